//! Rotation of the root key, while everything goes on.
//!
//! 1. A root key is made beside the one in use, with `.next` behind its name, and the hierarchy is sealed under it.
//! 2. The hierarchy is stored, with the approval that is spent.
//! 3. The key service goes on under the next root key, whose file takes the place of the old one.
//!
//! Whoever is killed in between is none the worse: before the second step the old root key opens what is stored, and
//! the next rotation takes the file that is there; after it the next one does, and the next start puts it in place.

use keyservice::approval::Subject;
use keyservice::{Right, SealedHierarchy};
use serde_json::json;

use super::{Actions, Call, Done, Failure};
use crate::domain::id::KeyApprovalId;
use crate::domain::key_approval::KeyApproval;
use crate::domain::refusal::Refusal;
use crate::vault::VaultError;

impl Actions {
    /// Puts another root key in the place of the one in use, as a second person agreed. Answers the approval, used.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `WRONG_STATE` when the approval is not given or for something else,
    /// or the root key is not in a file; `NOT_FOUND` for the approval; `CONFLICT` when somebody else rotated it.
    pub async fn rotate_root_key(&self, call: &Call, approval: KeyApprovalId) -> Done<KeyApproval> {
        self.require_role(call, "", Right::RotateRoot).await?;
        let subject = Subject { right: Right::RotateRoot, module: String::new(), object: String::new() };
        // Nothing is made beside the root key in use for whoever comes without an approval.
        self.require_spendable(call, approval, &subject).await?;
        let before = self.keys.vault.catch_up().await?;
        let now = self.world.now();
        let after: SealedHierarchy = match self.keys.vault.begin_root(now.timestamp_millis()).await {
            Err(VaultError::Refused(keyservice::Error::Malformed { .. })) => {
                let message = "The root key is not in a file of its own: whoever provides it puts another in its place.";
                let code = crate::domain::refusal::RefusalCode::WrongState;
                return Err(Refusal::new(code, message).reason("ROOT_KEY_SOURCE").into());
            }
            sealed => sealed?,
        };
        let mut tx = self.begin("key.root.rotate", call).await?;
        self.spend_approval(&mut tx, call, approval, &subject).await?;
        tx.save_hierarchy(&before.bytes, &after.bytes).await?;
        tx.audit(
            "key.root.rotate",
            "INSTANCE",
            self.profile.instance,
            "OK",
            json!({ "generation": after.generation() }),
        );
        tx.commit().await?;
        // From here on only the next root key opens what is stored.
        self.keys.vault.finish_root(&after).await?;
        tracing::info!("the root key was rotated: copies of the old one open older backups only");
        self.key_approval(call, approval).await?.ok_or(Failure::Bug("an approval that was spent"))
    }
}

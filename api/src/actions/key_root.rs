//! Rotation of the root key, while everything goes on.
//!
//! 1. A root key is made beside the one in use, with `.next` behind its name, and the hierarchy is sealed under it. A
//!    credential is not made here: the service manager passes the next one under that name.
//! 2. The hierarchy is stored, with the approval that is spent.
//! 3. The key service goes on under the next root key, whose file takes the place of the old one; who passes credentials
//!    passes it in the old one's place from the next start on.
//!
//! Whoever is killed in between is none the worse: before the second step the old root key opens what is stored, and
//! the next rotation takes the file that is there; after it the next one does, and the next start puts it in place.

use keyservice::approval::Subject;
use keyservice::{Error, Right, SealedHierarchy};
use serde_json::json;

use super::{Actions, Call, Done, Failure};
use crate::domain::check::Remedy;
use crate::domain::id::KeyApprovalId;
use crate::domain::key_approval::KeyApproval;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::vault::VaultError;

/// What an operator does first where there is no root key to rotate to.
const PROVIDE: &str = "Pass the next root key to the service beside the one in use, as the systemd credential \
    root.key.next, restart, and rotate again. Then pass it as root.key. A variable of the environment is for development, \
    and its key cannot be rotated.";
/// What an operator does first where a rotation by credential was not finished: another key in the place of the next one
/// would be one too many, and the one in use lost.
const FINISH: &str = "Keep what is root.key.next: it is the root key in use. First pass it as root.key, and none as \
    root.key.next, and restart; only then pass another next one, restart, and rotate.";
/// What an operator does first where what is provided is no root key, or open to others.
const MEND: &str = "Look at root.key and root.key.next: each is for linkspan's user alone, and 32 bytes or 64 \
    hexadecimal digits. Then rotate again, for a credential after a restart.";

fn cannot_rotate(message: &str, remedy: &'static str) -> Refusal {
    let refusal = Refusal::new(RefusalCode::WrongState, message).reason("ROOT_KEY_SOURCE");
    refusal.remedy(Remedy::human(remedy))
}

impl Actions {
    /// Puts another root key in the place of the one in use, as a second person agreed. Answers the approval, used.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `WRONG_STATE` when the approval is not given or for something else,
    /// or the root key is not in a file and no next one is provided, or one that cannot be used; `NOT_FOUND` for the
    /// approval; `CONFLICT` when somebody else rotated it.
    pub async fn rotate_root_key(&self, call: &Call, approval: KeyApprovalId) -> Done<KeyApproval> {
        self.require_role(call, "", Right::RotateRoot).await?;
        let subject = Subject { right: Right::RotateRoot, module: String::new(), object: String::new() };
        // Nothing is made beside the root key in use for whoever comes without an approval.
        self.require_spendable(call, approval, &subject).await?;
        let before = self.keys.vault.catch_up().await?;
        let now = self.world.now();
        let after: SealedHierarchy = match self.keys.vault.begin_root(now.timestamp_millis()).await {
            Err(VaultError::Refused(Error::Malformed { .. })) => {
                let message = "The root key is not in a file of its own, and no next one is provided.";
                return Err(cannot_rotate(message, PROVIDE).into());
            }
            Err(VaultError::Refused(Error::RootKeyUnchanged)) => {
                let message = "The next root key that is provided is the one in use.";
                return Err(cannot_rotate(message, FINISH).into());
            }
            Err(VaultError::Refused(error @ (Error::RootKeyMalformed | Error::RootKeyExposed { .. }))) => {
                let message = format!("A root key cannot be used: {error}.");
                return Err(cannot_rotate(&message, MEND).into());
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

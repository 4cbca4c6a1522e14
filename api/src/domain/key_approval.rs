//! Requests for a second person's approval: of what cannot be taken back, or lets key material in or out.

use uuid::Uuid;

use super::Timestamp;
use super::id::{KeyApprovalId, UserId};
use super::key_policy::KeyOperation;

words! {
    /// Where a request for approval is.
    KeyApprovalState {
        /// Waits for an answer.
        Pending = "PENDING", "Waiting for approval";
        /// Somebody else agreed.
        Approved = "APPROVED", "Approved";
        /// Somebody else did not agree.
        Refused = "REFUSED", "Refused";
        /// Whoever asked does not want it any more.
        Withdrawn = "WITHDRAWN", "Withdrawn";
        /// Nobody answered in time, or it was not used in time.
        Expired = "EXPIRED", "Expired";
        /// What was asked for was done.
        Used = "USED", "Used";
    }
}

words! {
    /// What can be done with a request for approval, by the mutation that does it.
    KeyApprovalVerb {
        /// Agree to it.
        Give = "giveKeyApproval", "Approve";
        /// Do not agree to it.
        Refuse = "refuseKeyApproval", "Refuse";
        /// Take one's own back.
        Withdraw = "withdrawKeyApproval", "Withdraw";
    }
}

/// A request for approval, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyApproval {
    /// Its id.
    pub id: KeyApprovalId,
    /// What is to be done.
    pub operation: KeyOperation,
    /// With which module; none for the key service as a whole.
    pub module: Option<String>,
    /// To what, such as the id of a key; none if there is nothing yet.
    pub object: Option<String>,
    /// Why, in the words of whoever asks.
    pub reason: String,
    /// Where it was when it last changed; see [`Self::state_at`].
    pub state: KeyApprovalState,
    /// Who asks.
    pub asked_by: UserId,
    /// When.
    pub asked_at: Timestamp,
    /// Who answered.
    pub answered_by: Option<UserId>,
    /// When.
    pub answered_at: Option<Timestamp>,
    /// Why it was refused.
    pub answer: Option<String>,
    /// When it can be used at the earliest.
    pub usable_from: Timestamp,
    /// When it expires by itself, unless it ends otherwise before.
    pub expires_at: Timestamp,
    /// When it was used, refused, withdrawn, or expired.
    pub ended_at: Option<Timestamp>,
    /// Grows by one with every change.
    pub revision: i64,
}

impl KeyApproval {
    /// The key that it is about; none if there is nothing yet.
    #[must_use]
    pub fn key(&self) -> Option<Uuid> {
        let object = self.object.as_deref()?;
        // What an export is bound to names its receiver behind the key.
        object.split('/').next().and_then(|id| Uuid::try_parse(id).ok())
    }

    /// Where it is at this moment: time alone can end it.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> KeyApprovalState {
        match self.state {
            KeyApprovalState::Pending | KeyApprovalState::Approved if now >= self.expires_at => {
                KeyApprovalState::Expired
            }
            state => state,
        }
    }
}

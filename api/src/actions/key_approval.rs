//! Requests for a second person's approval: asked, answered, taken back, and used once.
//!
//! A verb that needs two people ([`Right::needs_two`]) takes the id of a request, and spends it in its own transaction
//! with [`Actions::spend_approval`], which gives the proof that the key service asks for.

use keyservice::approval::{Agreed, Approval, ApprovalRefusal, Subject};
use keyservice::{Millis, Right};
use serde_json::json;
use uuid::Uuid;

use super::key_policy::{shared, stamp};
use super::key_rights::require_right;
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure};
use crate::domain::id::{KeyApprovalId, UserId};
use crate::domain::key_approval::{KeyApproval, KeyApprovalState, KeyApprovalVerb};
use crate::domain::key_policy::KeyOperation;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{ApprovalRecord, Page, Reader, Slice, Tx};

/// The most requests of one person that wait for an answer at the same time.
const PENDING_MAX: u64 = 100;
/// The most characters of what something is to be done to.
const OBJECT_MAX: usize = 200;
/// How many requests that time ended are written down in one go.
const LAPSED_AT_ONCE: u64 = 100;

/// What somebody says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Give,
    /// No, and why.
    Refuse(String),
    /// Whoever asked does not want it any more.
    Withdraw,
}

impl Verdict {
    const fn verb(&self) -> KeyApprovalVerb {
        match self {
            Self::Give => KeyApprovalVerb::Give,
            Self::Refuse(_) => KeyApprovalVerb::Refuse,
            Self::Withdraw => KeyApprovalVerb::Withdraw,
        }
    }
}

impl From<ApprovalRefusal> for Refusal {
    fn from(refusal: ApprovalRefusal) -> Self {
        use RefusalCode::{InvalidInput, NotAnAdministrator, WrongState};
        let at = |until: Millis| stamp(until).map(|at| at.to_rfc3339()).unwrap_or_default();
        match refusal {
            ApprovalRefusal::NeedsNobody(right) => {
                Self::new(InvalidInput, format!("{right} needs no second person.")).field("operation")
            }
            ApprovalRefusal::Reason => {
                let message = format!("A reason has 1 to {} characters.", keyservice::approval::MAX_REASON);
                Self::new(InvalidInput, message).field("reason")
            }
            ApprovalRefusal::OwnRequest => {
                let message = "Nobody answers their own request. Ask somebody else with the role.";
                Self::new(NotAnAdministrator, message).reason("OWN_REQUEST")
            }
            ApprovalRefusal::OthersRequest => {
                let message =
                    "This is the request of somebody else: only whoever asked withdraws or uses it.";
                Self::new(NotAnAdministrator, message).reason("OTHERS_REQUEST")
            }
            ApprovalRefusal::WrongState(state) => {
                wrong_state(KeyApprovalState::parse(state.as_str()).unwrap_or(KeyApprovalState::Expired))
            }
            ApprovalRefusal::TooEarly(until) => {
                let message = format!("The waiting period ends at {}.", at(until));
                Self::new(WrongState, message).reason("TOO_EARLY")
            }
            ApprovalRefusal::SomethingElse => {
                Self::new(WrongState, "The approval is for something else.").reason("SOMETHING_ELSE")
            }
        }
    }
}

impl Actions {
    /// Asks for a second person's approval of something that the caller may do, but not alone.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` and `POLICY_DENIED` without the right itself; `STEP_UP_REQUIRED`; `INVALID_INPUT` for what
    /// needs no second person, or no reason; `NOT_FOUND` for the module; `RATE_LIMITED` beyond 100 requests that wait.
    pub async fn request_key_approval(
        &self,
        call: &Call,
        operation: KeyOperation,
        module: Option<&str>,
        object: Option<&str>,
        reason: &str,
    ) -> Done<KeyApproval> {
        let right: Right = shared(operation.as_str().parse().ok())?;
        let by = require_right(call, right)?;
        self.require_fresh(call)?;
        match module {
            Some(name) if right.is_of_a_module() => {
                let module = self.module(name).await?;
                self.require_on(call, &module, right).await?;
            }
            None if !right.is_of_a_module() => {}
            Some(_) => {
                let message = "This concerns the key service as a whole: name no module.";
                return Err(Refusal::invalid("module", message).into());
            }
            None => return Err(Refusal::invalid("module", "Name the key module.").into()),
        }
        let object = object.unwrap_or_default();
        if object.chars().count() > OBJECT_MAX || object.chars().any(char::is_control) {
            return Err(Refusal::invalid("object", "One line of at most 200 characters.").into());
        }
        let subject =
            Subject { right, module: module.unwrap_or_default().to_owned(), object: object.to_owned() };
        let mut tx = self.begin("key.approval.request", call).await?;
        if tx.pending_approvals(by).await? >= PENDING_MAX {
            let message = "100 of your requests wait for an answer. Withdraw some of them first.";
            return Err(Refusal::new(RefusalCode::RateLimited, message).into());
        }
        let id = tx.uuid()?.into_bytes();
        let asked = Approval::ask(id, subject, reason, by, tx.now().timestamp_millis());
        let approval = asked.map_err(Refusal::from)?;
        tx.add_approval(&approval).await?;
        recorded(&mut tx, "key.approval.request", &approval);
        tx.commit().await?;
        shown((approval, 1))
    }

    /// Answers a request, or takes it back.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, also for one's own request and for somebody else's to withdraw; `WRONG_STATE`;
    /// `INVALID_INPUT` for a refusal without a reason; `NOT_FOUND`.
    pub async fn answer_key_approval(
        &self,
        call: &Call,
        id: KeyApprovalId,
        verdict: Verdict,
    ) -> Done<KeyApproval> {
        require_right(call, Right::ReadMetadata)?;
        let mut tx = self.begin("key.approval.answer", call).await?;
        let (approval, revision) = found(tx.key_approval(id).await?)?;
        let now = tx.now().timestamp_millis();
        self.may_answer(call, &shown((approval.clone(), revision))?, verdict.verb())?;
        let by = require_right(call, Right::ReadMetadata)?;
        let (next, operation) = match verdict {
            Verdict::Give => (approval.approve(by, now), "key.approval.give"),
            Verdict::Refuse(why) => (approval.refuse(by, &why, now), "key.approval.refuse"),
            Verdict::Withdraw => (approval.withdraw(by, now), "key.approval.withdraw"),
        };
        let next = next.map_err(Refusal::from)?;
        tx.save_approval(&next, revision).await?;
        recorded(&mut tx, operation, &next);
        tx.commit().await?;
        shown((next, revision + 1))
    }

    /// Whether the caller may answer a request this way now.
    ///
    /// # Errors
    /// As [`Actions::answer_key_approval`].
    pub fn may_answer(
        &self,
        call: &Call,
        approval: &KeyApproval,
        verb: KeyApprovalVerb,
    ) -> Result<(), Refusal> {
        let by = match verb {
            KeyApprovalVerb::Give | KeyApprovalVerb::Refuse => require_right(call, Right::Approve)?,
            KeyApprovalVerb::Withdraw => require_right(call, Right::ReadMetadata)?,
        };
        let own = approval.asked_by.bytes() == by;
        let state = approval.state_at(self.now());
        let open = match (verb, own) {
            (KeyApprovalVerb::Withdraw, false) => return Err(ApprovalRefusal::OthersRequest.into()),
            (KeyApprovalVerb::Give | KeyApprovalVerb::Refuse, true) => {
                return Err(ApprovalRefusal::OwnRequest.into());
            }
            (KeyApprovalVerb::Withdraw, true) => {
                matches!(state, KeyApprovalState::Pending | KeyApprovalState::Approved)
            }
            (KeyApprovalVerb::Give | KeyApprovalVerb::Refuse, false) => state == KeyApprovalState::Pending,
        };
        if !open {
            return Err(wrong_state(state));
        }
        match verb {
            KeyApprovalVerb::Give => self.require_themselves(call),
            KeyApprovalVerb::Refuse => self.require_fresh(call),
            KeyApprovalVerb::Withdraw => Ok(()),
        }
    }

    /// Whether the caller can do now what was approved: whoever asked, once its time has come.
    #[must_use]
    pub fn may_use(&self, call: &Call, approval: &KeyApproval) -> bool {
        let own = call.requester.person().is_some_and(|person| person.user == approval.asked_by);
        let now = self.now();
        own && approval.state_at(now) == KeyApprovalState::Approved && approval.usable_from <= now
    }

    /// Requests for approval, the newest first; none for whoever may not read them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_approvals(
        &self,
        call: &Call,
        (state, module): (Option<KeyApprovalState>, Option<&str>),
        page: Page,
    ) -> Done<Slice<KeyApproval>> {
        if require_right(call, Right::ReadMetadata).is_err() {
            return Ok(Slice { items: Vec::new(), has_next: false, has_previous: false });
        }
        let now = self.now().timestamp_millis();
        let state = state.map(|state| shared(state.as_str().parse().ok())).transpose()?;
        let Slice { items, has_next, has_previous } =
            self.store.key_approvals((state, module), now, page).await?;
        let items = items.into_iter().map(shown).collect::<Done<_>>()?;
        Ok(Slice { items, has_next, has_previous })
    }

    /// A request for approval; none for whoever may not read them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_approval(&self, call: &Call, id: KeyApprovalId) -> Done<Option<KeyApproval>> {
        if require_right(call, Right::ReadMetadata).is_err() {
            return Ok(None);
        }
        self.store.key_approval(id).await?.map(shown).transpose()
    }

    /// Uses an approval, once, in the transaction of what was approved: by whoever asked, for exactly that. The right
    /// itself is for the verb to require.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for somebody else's; `WRONG_STATE` when it is not approved, not any more, not yet, or for
    /// something else; `NOT_FOUND`.
    pub async fn spend_approval(
        &self,
        tx: &mut Tx,
        call: &Call,
        id: KeyApprovalId,
        subject: &Subject,
    ) -> Done<Agreed> {
        let by = require_right(call, subject.right)?;
        let (approval, revision) = found(tx.key_approval(id).await?)?;
        let spent = approval.spend(subject, by, tx.now().timestamp_millis());
        let (used, agreed) = spent.map_err(Refusal::from)?;
        tx.save_approval(&used, revision).await?;
        recorded(tx, "key.approval.use", &used);
        Ok(agreed)
    }

    /// Writes down which requests time ended.
    pub(super) async fn expire_approvals(&self, tx: &mut Tx) -> Done<()> {
        let now = tx.now().timestamp_millis();
        for (approval, revision) in tx.lapsed_approvals(LAPSED_AT_ONCE).await? {
            if let Some(expired) = approval.lapse(now) {
                tx.save_approval(&expired, revision).await?;
                recorded(tx, "key.approval.expire", &expired);
            }
        }
        Ok(())
    }
}

impl Answer for KeyApproval {
    fn kept(&self) -> Kept {
        Kept::of(self.id.0)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let id = KeyApprovalId(kept.subject.ok_or(Failure::Bug("a kept answer"))?);
        shown(found(reader.key_approval(id).await?)?)
    }
}

fn found(record: Option<ApprovalRecord>) -> Result<ApprovalRecord, Refusal> {
    record.ok_or_else(|| Refusal::not_found("request for approval").field("approvalId"))
}

fn recorded(tx: &mut Tx, operation: &'static str, approval: &Approval) {
    let subject = &approval.subject;
    let details = json!({
        "operation": subject.right.as_str(), "module": subject.module, "object": subject.object,
        "reason": approval.reason, "answer": approval.answer, "asked_by": Uuid::from_bytes(approval.asked_by),
    });
    tx.audit(operation, "KEY_APPROVAL", Uuid::from_bytes(approval.id), "OK", details);
}

fn wrong_state(state: KeyApprovalState) -> Refusal {
    let message = format!("The request is in the state “{}”. Make another one if need be.", state.label());
    Refusal::new(RefusalCode::WrongState, message).reason(state.as_str())
}

/// A request as people see it.
fn shown((approval, revision): ApprovalRecord) -> Done<KeyApproval> {
    let user = |id: [u8; 16]| UserId(Uuid::from_bytes(id));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let at = |millis| stamp(millis).ok_or(Failure::Bug("a time out of range"));
    Ok(KeyApproval {
        id: KeyApprovalId(Uuid::from_bytes(approval.id)),
        operation: shared(KeyOperation::parse(approval.subject.right.as_str()))?,
        module: some(&approval.subject.module),
        object: some(&approval.subject.object),
        state: shared(KeyApprovalState::parse(approval.state.as_str()))?,
        asked_by: user(approval.asked_by),
        asked_at: at(approval.asked_at)?,
        answered_by: approval.answered_by.map(user),
        answered_at: approval.answered_at.map(at).transpose()?,
        usable_from: at(approval.usable_from())?,
        expires_at: at(approval.expires_at())?,
        ended_at: approval.ended_at.map(at).transpose()?,
        reason: approval.reason,
        answer: approval.answer,
        revision,
    })
}

//! Requests for a second person's approval: asked, answered, taken back, and used once.
//!
//! A verb that needs two people ([`Right::needs_two`]) takes the id of a request, and spends it in its own transaction
//! with [`Actions::spend_approval`], which gives the proof that the key service asks for.
//!
//! A request is a row of the database, and says that two people agreed. So whatever acts on one first sees to it that it
//! is as this instance wrote it, and that it is the last that was written: see `believed`.

use keyservice::approval::{Agreed, Approval, ApprovalRefusal, Subject};
use keyservice::module::BuiltIn;
use keyservice::{MacPurpose, Millis, Right, SealedKey, SealedModule};
use serde_json::json;
use uuid::Uuid;

use super::key_policy::{shared, stamp};
use super::key_rights::{held, require_right};
use super::key_transfer::{require_exportable, require_portable};
use super::once::{Answer, Kept};
use super::token::same;
use super::{Actions, Call, Done, Failure};
use crate::domain::check::Remedy;
use crate::domain::id::{KeyApprovalId, UserId};
use crate::domain::key_approval::{KeyApproval, KeyApprovalState, KeyApprovalVerb};
use crate::domain::key_policy::KeyOperation;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{APPROVAL_KIND, ApprovalRecord, Page, Reader, Slice, StoreError, Tx, tampered_approval};

/// The most requests of one person that wait for an answer at the same time.
const PENDING_MAX: u64 = 100;
/// How a request names what it is about.
const BY_ITS_ID: &str = "Name the key by its id: one of this module.";
const BY_ITS_OBJECT: &str =
    "Give what the key says as its exportObject for the receiver: a key of this module.";
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
        use RefusalCode::{InvalidInput, NotAnAdministrator, SecondPersonRequired, WrongState};
        let at = |until: Millis| stamp(until).map(|at| at.to_rfc3339()).unwrap_or_default();
        match refusal {
            ApprovalRefusal::NeedsNobody(right) => {
                Self::new(InvalidInput, format!("{right} needs no second person.")).field("operation")
            }
            ApprovalRefusal::Reason => {
                let message =
                    format!("A reason has 1 to {} printable characters.", keyservice::approval::MAX_REASON);
                Self::new(InvalidInput, message).field("reason")
            }
            ApprovalRefusal::OwnRequest => {
                let message = "Nobody answers their own request. Ask somebody else with the role.";
                Self::new(SecondPersonRequired, message)
                    .reason("OWN_REQUEST")
                    .remedy(Remedy::human("Ask another person with the role to approve it."))
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
    /// needs no second person or can never be done, or no reason; `NOT_FOUND` for the module; `RATE_LIMITED` beyond 100
    /// requests that wait.
    pub async fn request_key_approval(
        &self,
        call: &Call,
        operation: KeyOperation,
        module: Option<&str>,
        object: Option<&str>,
        reason: &str,
    ) -> Done<KeyApproval> {
        let right: Right = shared(operation.as_str().parse().ok())?;
        let by = self.require_role(call, module.unwrap_or_default(), right).await?;
        self.require_fresh(call)?;
        let object = object.unwrap_or_default();
        let object = match module {
            Some(name) if right.is_of_a_module() => {
                let module = self.module(name).await?;
                let key = self.key_named(call, &module, object).await?;
                let name = key.as_ref().map_or(&module.name, |key| &key.module);
                self.require_on_keys(call, &module, name, right).await?;
                object_of(right, &module, key.as_ref(), object)?
            }
            None if !right.is_of_a_module() => nothing_named(object)?,
            Some(_) => {
                let message = "This concerns the key service as a whole: name no module.";
                return Err(Refusal::invalid("module", message).into());
            }
            None => return Err(Refusal::invalid("module", "Name the key module.").into()),
        };
        let subject = Subject { right, module: module.unwrap_or_default().to_owned(), object };
        let mut tx = self.begin("key.approval.request", call).await?;
        if tx.pending_approvals(by).await? >= PENDING_MAX {
            let message = "100 of your requests wait for an answer. Withdraw some of them first.";
            return Err(Refusal::new(RefusalCode::RateLimited, message).into());
        }
        let id = tx.uuid()?.into_bytes();
        let asked = Approval::ask(id, subject, reason, by, tx.now().timestamp_millis());
        let approval = asked.map_err(Refusal::from)?;
        tx.add_approval(&approval, &self.approval_seal(&approval, 1).await?).await?;
        recorded(&mut tx, "key.approval.request", &approval);
        tx.commit().await?;
        shown(&approval, 1)
    }

    /// The key of a module that an object names first; none where it names none of them.
    async fn key_named(
        &self,
        call: &Call,
        module: &SealedModule,
        object: &str,
    ) -> Result<Option<SealedKey>, StoreError> {
        let id = object.split('/').next().and_then(|id| Uuid::try_parse(id).ok());
        let key = match id {
            Some(id) => self.store.reader(&call.requester.viewer()).key(id).await?,
            None => None,
        };
        Ok(key.filter(|key| module.owns(key)))
    }

    /// Answers a request, or takes it back. What was approved can be refused after all, as long as it was not used.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, also for somebody else's to withdraw; `SECOND_PERSON_REQUIRED` for one's own; `WRONG_STATE`;
    /// `INVALID_INPUT` for a refusal without a reason; `NOT_FOUND`; `STEP_UP_REQUIRED`, and `CREDENTIALS_INVALID` for a
    /// program that agrees or refuses; `KEY_SERVICE_UNHEALTHY` for a request that somebody tampered with.
    pub async fn answer_key_approval(
        &self,
        call: &Call,
        id: KeyApprovalId,
        verdict: Verdict,
    ) -> Done<KeyApproval> {
        self.require_role(call, "", answering(verdict.verb())).await?;
        let mut tx = self.begin("key.approval.answer", call).await?;
        let (approval, revision) = self.believed(&tx, id).await?;
        let now = tx.now().timestamp_millis();
        self.may_answer(call, &shown(&approval, revision)?, verdict.verb())?;
        let by = require_right(call, Right::ReadMetadata)?;
        let (next, operation) = match verdict {
            Verdict::Give => (approval.approve(by, now), "key.approval.give"),
            Verdict::Refuse(why) => (approval.refuse(by, &why, now), "key.approval.refuse"),
            Verdict::Withdraw => (approval.withdraw(by, now), "key.approval.withdraw"),
        };
        let next = next.map_err(Refusal::from)?;
        self.save_approval(&mut tx, &next, revision + 1, operation).await?;
        tx.commit().await?;
        shown(&next, revision + 1)
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
        let by = require_right(call, answering(verb))?;
        let own = approval.asked_by.bytes() == by;
        let state = approval.state_at(self.now());
        let open = match (verb, own) {
            (KeyApprovalVerb::Withdraw, false) => return Err(ApprovalRefusal::OthersRequest.into()),
            (KeyApprovalVerb::Give | KeyApprovalVerb::Refuse, true) => {
                return Err(ApprovalRefusal::OwnRequest.into());
            }
            (KeyApprovalVerb::Withdraw, true) | (KeyApprovalVerb::Refuse, false) => {
                matches!(state, KeyApprovalState::Pending | KeyApprovalState::Approved)
            }
            (KeyApprovalVerb::Give, false) => state == KeyApprovalState::Pending,
        };
        if !open {
            return Err(wrong_state(state));
        }
        match verb {
            KeyApprovalVerb::Give => self.require_themselves(call),
            KeyApprovalVerb::Refuse => self.require_fresh_person(call),
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

    /// Requests for approval, the newest first, in one of these states, if any is named; none for whoever may not read them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_approvals(
        &self,
        call: &Call,
        (states, module): (&[KeyApprovalState], Option<&str>),
        page: Page,
    ) -> Done<Slice<KeyApproval>> {
        if require_right(call, Right::ReadMetadata).is_err() {
            return Ok(Slice::default());
        }
        let now = self.now().timestamp_millis();
        let states = states.iter().map(|state| shared(state.as_str().parse().ok()));
        let states = states.collect::<Done<Vec<_>>>()?;
        let Slice { items, has_next, has_previous } =
            self.store.key_approvals((&states, module), now, page).await?;
        let items = items.iter().map(stored).collect::<Done<_>>()?;
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
        self.store.key_approval(id).await?.as_ref().map(stored).transpose()
    }

    /// Uses an approval, once, in the transaction of what was approved: by whoever asked, for exactly that. The right
    /// itself is for the verb to require.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for somebody else's; `WRONG_STATE` when it is not approved, not any more, not yet, for
    /// something else, or by somebody who may not approve any more; `NOT_FOUND`; `STEP_UP_REQUIRED`, and
    /// `CREDENTIALS_INVALID` for a program; `KEY_SERVICE_UNHEALTHY` for a request that somebody tampered with.
    pub async fn spend_approval(
        &self,
        tx: &mut Tx,
        call: &Call,
        id: KeyApprovalId,
        subject: &Subject,
    ) -> Done<Agreed> {
        let (used, revision, agreed) = self.spendable(tx, call, id, subject).await?;
        self.save_approval(tx, &used, revision, "key.approval.use").await?;
        Ok(agreed)
    }

    /// That an approval could be used now, before anything is done that would be for nothing without.
    ///
    /// # Errors
    /// As [`Actions::spend_approval`].
    pub(super) async fn require_spendable(
        &self,
        call: &Call,
        id: KeyApprovalId,
        subject: &Subject,
    ) -> Done<()> {
        let tx = self.begin("key.approval.look", call).await?;
        self.spendable(&tx, call, id, subject).await.map(drop)
    }

    /// The approval once it is used, in its next revision, and the proof.
    async fn spendable(
        &self,
        tx: &Tx,
        call: &Call,
        id: KeyApprovalId,
        subject: &Subject,
    ) -> Done<(Approval, i64, Agreed)> {
        let by = require_right(call, subject.right)?;
        self.require_fresh_person(call)?;
        let (approval, revision) = self.believed(tx, id).await?;
        let (used, agreed) =
            approval.spend(subject, by, tx.now().timestamp_millis()).map_err(Refusal::from)?;
        require_approver(tx, &used).await?;
        Ok((used, revision + 1, agreed))
    }

    /// A request with its revision, if it is as this instance wrote it last: its seal is good, and the audit trail has
    /// as many entries about it as it had changes. Without the seal somebody who writes to the database could be the
    /// second person; without the count they could put back an approval that was used, refused or withdrawn.
    async fn believed(&self, tx: &Tx, id: KeyApprovalId) -> Done<(Approval, i64)> {
        let ApprovalRecord { approval, revision, seal } = found(tx.key_approval(id).await?)?;
        let good = self.approval_seal(&approval, revision).await?;
        let sealed = seal.is_some_and(|seal| same(&seal, &good));
        if sealed && tx.approval_entries(id).await? == revision {
            Ok((approval, revision))
        } else {
            Err(tampered_approval(id.0).into())
        }
    }

    async fn approval_seal(&self, approval: &Approval, revision: i64) -> Done<[u8; 32]> {
        Ok(self.keys.mac(MacPurpose::KeyApproval, &[&approval.seal_context(revision)]).await?)
    }

    /// Saves the next revision of a request, with its seal and its entry in the audit trail.
    async fn save_approval(
        &self,
        tx: &mut Tx,
        approval: &Approval,
        revision: i64,
        operation: &'static str,
    ) -> Done<()> {
        tx.save_approval(approval, revision, &self.approval_seal(approval, revision).await?).await?;
        recorded(tx, operation, approval);
        Ok(())
    }

    /// Writes down which requests time ended. Whatever the row of such a request says, it is at its end with this.
    pub(super) async fn expire_approvals(&self, tx: &mut Tx) -> Done<()> {
        let now = tx.now().timestamp_millis();
        for ApprovalRecord { approval, revision, .. } in tx.lapsed_approvals(LAPSED_AT_ONCE).await? {
            if let Some(expired) = approval.lapse(now) {
                self.save_approval(tx, &expired, revision + 1, "key.approval.expire").await?;
            }
        }
        Ok(())
    }
}

/// What a request is about, as the verb is going to compare it. What the verb never does is not asked for; what depends on
/// the state of the key may have changed by the time of the verb, and is left to it.
fn object_of(
    right: Right,
    module: &SealedModule,
    key: Option<&SealedKey>,
    object: &str,
) -> Result<String, Refusal> {
    let (id, receiver) = object.split_once('/').map_or((key, None), |(_, receiver)| (None, Some(receiver)));
    let id = id.map(id_of).ok_or_else(|| Refusal::invalid("object", BY_ITS_ID));
    match right {
        Right::Destroy => {
            if matches!(module.built_in(), Some(BuiltIn::Identity | BuiltIn::Data)) {
                let message = "This instance does not work without its own keys.";
                return Err(Refusal::invalid("module", message).reason("BUILT_IN"));
            }
            id
        }
        Right::OpenCompromised => {
            if module.built_in().is_some() {
                let message = "The keys of the built-in modules are for the parts of this program alone.";
                return Err(Refusal::invalid("module", message).reason("BUILT_IN"));
            }
            id
        }
        Right::Export => {
            require_exportable(module).map_err(of_the_module)?;
            let is_digest =
                |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let named = key.zip(receiver.filter(is_digest));
            let (key, receiver) = named.ok_or_else(|| Refusal::invalid("object", BY_ITS_OBJECT))?;
            Ok(format!("{}/{}", id_of(key), receiver.to_ascii_lowercase()))
        }
        Right::Import => {
            require_portable(module).map_err(of_the_module)?;
            nothing_named(object)
        }
        other => Err(ApprovalRefusal::NeedsNobody(other).into()),
    }
}

fn id_of(key: &SealedKey) -> String {
    Uuid::from_bytes(key.id).to_string()
}

/// That a request says of a module all that there is to say.
fn nothing_named(object: &str) -> Result<String, Refusal> {
    if object.is_empty() {
        return Ok(String::new());
    }
    Err(Refusal::invalid("object", "This is about no key that is there: leave the object out."))
}

/// What a module never does, as a fault of the request.
fn of_the_module(refusal: Refusal) -> Refusal {
    Refusal { code: RefusalCode::InvalidInput, ..refusal }.field("module")
}

/// That whoever approved a request still has an account and may approve: roles that are taken back count at once.
async fn require_approver(tx: &Tx, approval: &Approval) -> Done<()> {
    let approver = match approval.answered_by {
        Some(id) => tx.account(UserId(Uuid::from_bytes(id))).await?,
        None => None,
    };
    let may = approver.is_some_and(|approver| {
        approver.active && held(approver.roles.iter().copied()).rights().has(Right::Approve)
    });
    if may {
        return Ok(());
    }
    let message = "Whoever approved this may not approve any more. Ask somebody else for another approval.";
    Err(Refusal::new(RefusalCode::WrongState, message).reason("APPROVER_GONE").into())
}

impl Answer for KeyApproval {
    fn kept(&self) -> Kept {
        Kept::of(self.id.0)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let id = KeyApprovalId(kept.subject.ok_or(Failure::Bug("a kept answer"))?);
        stored(&found(reader.key_approval(id).await?)?)
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
    tx.audit(operation, APPROVAL_KIND, Uuid::from_bytes(approval.id), "OK", details);
}

fn wrong_state(state: KeyApprovalState) -> Refusal {
    let message = format!("The request is in the state “{}”. Make another one if need be.", state.label());
    Refusal::new(RefusalCode::WrongState, message).reason(state.as_str())
}

fn stored(record: &ApprovalRecord) -> Done<KeyApproval> {
    shown(&record.approval, record.revision)
}

/// A request as people see it.
fn shown(approval: &Approval, revision: i64) -> Done<KeyApproval> {
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
        reason: approval.reason.clone(),
        answer: approval.answer.clone(),
        revision,
    })
}

/// The right that it takes to answer a request like this.
const fn answering(verb: KeyApprovalVerb) -> Right {
    match verb {
        KeyApprovalVerb::Give | KeyApprovalVerb::Refuse => Right::Approve,
        KeyApprovalVerb::Withdraw => Right::ReadMetadata,
    }
}

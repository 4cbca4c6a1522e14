//! Requests for a second person's approval.

use async_graphql::{Context, ID, Object, Result};

use super::ask::{Ask, named};
use super::error;
use super::id::Kind;
use super::key_module::KeyVersion;
use super::load::{KeyVersionId, PersonName};
use super::page::{List, Window, cost, list};
use super::refusal::Action;
use super::words::{KeyApprovalState, KeyOperation};
use crate::actions::Verdict;
use crate::domain::Timestamp;
use crate::domain::id::{KeyApprovalId, UserId};
use crate::domain::key_approval as domain;

/// A request for a second person's approval: of what cannot be taken back, or lets key material in or out. Nobody
/// answers their own.
pub(super) struct KeyApproval(pub(super) domain::KeyApproval);

/// A request for a second person's approval: of what cannot be taken back, or lets key material in or out. Nobody
/// answers their own.
#[Object]
impl KeyApproval {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::KeyApproval.id(self.0.id.0)
    }

    /// What is to be done: `DESTROY`, `EXPORT`, `IMPORT`, `OPEN_COMPROMISED` or `ROTATE_ROOT`.
    async fn operation(&self) -> KeyOperation {
        self.0.operation.into()
    }

    /// The operation in words.
    async fn operation_label(&self) -> &'static str {
        self.0.operation.label()
    }

    /// The name of the key module; null when it concerns the key service as a whole.
    async fn module(&self) -> Option<&str> {
        self.0.module.as_deref()
    }

    /// What it is to be done to, such as the id of a key; null if there is nothing yet.
    async fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The version of a key that it is about, as far as it is yours to see; null where it is about no key that is there.
    async fn key(&self, ctx: &Context<'_>) -> Result<Option<KeyVersion>> {
        let key = self.0.key().map(KeyVersionId);
        Ok(Ask::anyone(ctx)?.load.maybe(key).await?.map(KeyVersion::from))
    }

    /// Why, in the words of whoever asks.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Where it is.
    async fn state(&self, ctx: &Context<'_>) -> Result<KeyApprovalState> {
        Ok(self.0.state_at(Ask::anyone(ctx)?.actions.now()).into())
    }

    /// The state in words.
    async fn state_label(&self, ctx: &Context<'_>) -> Result<&'static str> {
        Ok(self.0.state_at(Ask::anyone(ctx)?.actions.now()).label())
    }

    /// Who asks.
    async fn asked_by(&self) -> KeyPerson {
        KeyPerson(self.0.asked_by)
    }

    /// When it was asked.
    async fn asked_at(&self) -> Timestamp {
        self.0.asked_at
    }

    /// Who answered; null before.
    async fn answered_by(&self) -> Option<KeyPerson> {
        self.0.answered_by.map(KeyPerson)
    }

    /// When it was answered; null before.
    async fn answered_at(&self) -> Option<Timestamp> {
        self.0.answered_at
    }

    /// Why it was refused; null when it was not.
    async fn answer(&self) -> Option<&str> {
        self.0.answer.as_deref()
    }

    /// When the thing can be done at the earliest: a key is destroyed seven days after the request.
    async fn usable_from(&self) -> Timestamp {
        self.0.usable_from
    }

    /// When it expires by itself, unless it ends otherwise before: three days after it was asked, and once it is
    /// approved, one day after it can be used.
    async fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// When it was used, refused, withdrawn or found expired; null while it is open.
    async fn ended_at(&self) -> Option<Timestamp> {
        self.0.ended_at
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let action = |verb: &domain::KeyApprovalVerb| {
            Action::new(verb.as_str(), verb.label(), ask.actions.may_answer(ask.call, &self.0, *verb))
        };
        Ok(domain::KeyApprovalVerb::ALL.iter().map(action).collect())
    }

    /// Whether whoever asks can do now what was approved: it was their request, and its time has come.
    async fn viewer_can_use(&self, ctx: &Context<'_>) -> Result<bool> {
        let ask = Ask::anyone(ctx)?;
        Ok(ask.actions.may_use(ask.call, &self.0))
    }

    /// Grows by one with every change.
    async fn revision(&self) -> i64 {
        self.0.revision
    }
}

/// One of our own people, as those who look after keys with them see them.
pub(super) struct KeyPerson(pub(super) UserId);

/// One of our own people, as those who look after keys with them see them.
#[Object]
impl KeyPerson {
    /// The global id of the user.
    async fn id(&self) -> ID {
        Kind::User.id(self.0.0)
    }

    /// Name for people; null when there is no such account any more.
    async fn name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ask::anyone(ctx)?.load.one(PersonName(self.0)).await
    }
}

input! {
    /// What a second person is asked to approve.
    RequestKeyApprovalInput {
        /// What is to be done: `DESTROY`, `EXPORT`, `IMPORT`, `OPEN_COMPROMISED` or `ROTATE_ROOT`.
        operation: KeyOperation,
        /// The name of the key module; left out for `ROTATE_ROOT`, which concerns the key service as a whole.
        module: Option<String>,
        /// For `DESTROY` and `OPEN_COMPROMISED` the key, by its `id` or `keyId`; for `EXPORT` the key's `exportObject` for
        /// the receiver; left out for the others.
        object: Option<String>,
        /// Why, 1 to 500 characters.
        reason: String,
    }
}

inputs_of! {
    /// The request.
    approval_id;

    /// The request to approve.
    GiveKeyApprovalInput;

    /// The request to withdraw.
    WithdrawKeyApprovalInput;
}

input! {
    /// The request to refuse.
    RefuseKeyApprovalInput {
        /// The request.
        approval_id: ID,
        /// Why, 1 to 500 characters.
        reason: String,
    }
}

payload! {
    /// What became of a mutation of a request for approval.
    KeyApprovalPayload {
        /// The request afterwards; null when it was refused.
        key_approval: KeyApproval
    }
}

/// Queries of requests for approval.
#[derive(Default)]
pub(super) struct KeyApprovalQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl KeyApprovalQuery {
    /// Requests for a second person's approval, the newest first. Key managers, operators, auditors and integrators see
    /// them; for others there are none.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn key_approvals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In this state; as `states` with this one alone.")] state: Option<KeyApprovalState>,
        #[graphql(desc = "In one of these states; all when left out.")] states: Option<Vec<KeyApprovalState>>,
        #[graphql(desc = "That concern the key module with this name; all when left out.")] module: Option<
            String,
        >,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<KeyApproval>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let states: Vec<_> = states.into_iter().flatten().chain(state).map(Into::into).collect();
        let done = ask.actions.key_approvals(ask.call, (&states, module.as_deref()), page).await;
        Ok(list(done.map_err(error::failed)?, |approval| approval.id.0, KeyApproval))
    }

    /// A request for a second person's approval; null when there is none with this id, or it is not yours to see.
    async fn key_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<KeyApproval>> {
        let ask = Ask::new(ctx)?;
        let Some(id) = Kind::KeyApproval.read(&id) else { return Ok(None) };
        KeyApproval::load(&ask, KeyApprovalId(id)).await
    }
}

impl KeyApproval {
    /// The one with this id, if whoever asks may read it.
    pub(super) async fn load(ask: &Ask<'_>, id: KeyApprovalId) -> Result<Option<Self>> {
        let found = ask.actions.key_approval(ask.call, id).await;
        Ok(found.map_err(error::failed)?.map(Self))
    }
}

/// Mutations of requests for approval.
#[derive(Default)]
pub(super) struct KeyApprovalMutation;

#[Object]
impl KeyApprovalMutation {
    /// Asks for a second person's approval of something that you may do, but not alone. The request waits three days
    /// for an answer; 100 of one person can wait at the same time.
    async fn request_key_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be approved.")] input: RequestKeyApprovalInput,
    ) -> Result<KeyApprovalPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            // A key is named by its own id: what is asked for is bound to that.
            let key = input.object.as_deref().and_then(|object| Kind::KeyVersion.read(object));
            let object = key.map(|key| key.to_string()).or(input.object);
            let (module, object) = (input.module.as_deref(), object.as_deref());
            let operation = input.operation.into();
            ask.actions.request_key_approval(&call, operation, module, object, &input.reason).await
        });
        Ok(KeyApprovalPayload::new(done.await?, KeyApproval))
    }

    /// Approves what another person asked for. For key managers.
    async fn give_key_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request.")] input: GiveKeyApprovalInput,
    ) -> Result<KeyApprovalPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            ask.actions.answer_key_approval(&call, id, Verdict::Give).await
        });
        Ok(KeyApprovalPayload::new(done.await?, KeyApproval))
    }

    /// Refuses what another person asked for. For key managers.
    async fn refuse_key_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request, and why not.")] input: RefuseKeyApprovalInput,
    ) -> Result<KeyApprovalPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            ask.actions.answer_key_approval(&call, id, Verdict::Refuse(input.reason)).await
        });
        Ok(KeyApprovalPayload::new(done.await?, KeyApproval))
    }

    /// Withdraws one's own request, also after it was approved.
    async fn withdraw_key_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request.")] input: WithdrawKeyApprovalInput,
    ) -> Result<KeyApprovalPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            ask.actions.answer_key_approval(&call, id, Verdict::Withdraw).await
        });
        Ok(KeyApprovalPayload::new(done.await?, KeyApproval))
    }
}

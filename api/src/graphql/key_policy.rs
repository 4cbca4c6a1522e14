//! Access policies of key modules, what they come to, and how access was decided.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use uuid::Uuid;

use super::ask::{Ask, named};
use super::error;
use super::id::Kind;
use super::key_approval::KeyPerson;
use super::load::GoverningModule;
use super::page::{List, Window, cost, list};
use super::refusal::Action;
use super::words::{AccessEffect, AccessVerdict, KeyOperation, KeyUser, PolicyOutcome, Role};
use crate::domain::Timestamp;
use crate::domain::id::UserId;
use crate::domain::key_policy as domain;
use crate::domain::refusal::Refusal;

/// Who may do what with the keys of a module, or may not. Any `STRICT_REJECT` that applies denies; else any `TRACK`
/// allows, and the use is recorded; else any `REJECT` denies; else the module's default decides, which is to reject.
pub(super) struct AccessPolicy(pub(super) domain::KeyPolicy);

/// Who may do what with the keys of a module, or may not. Any `STRICT_REJECT` that applies denies; else any `TRACK`
/// allows, and the use is recorded; else any `REJECT` denies; else the module's default decides, which is to reject.
#[Object]
impl AccessPolicy {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::AccessPolicy.id(self.0.id.0)
    }

    /// The name of its key module.
    async fn module(&self) -> &str {
        &self.0.module
    }

    /// What follows when it applies.
    async fn effect(&self) -> AccessEffect {
        self.0.terms.effect.into()
    }

    /// The effect in words.
    async fn effect_label(&self) -> &'static str {
        self.0.terms.effect.label()
    }

    /// Whom it is about.
    async fn principal(&self) -> AccessPrincipal {
        AccessPrincipal::new(self.0.terms.principal)
    }

    /// What it is about.
    async fn operations(&self) -> Vec<KeyOperation> {
        self.0.terms.operations.iter().map(|operation| (*operation).into()).collect()
    }

    /// The associated data that it is bound to; null when it holds for all.
    async fn condition(&self) -> Option<AccessData> {
        self.0.terms.condition.clone().map(Into::into)
    }

    /// Why it exists.
    async fn note(&self) -> &str {
        &self.0.terms.note
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let module = ask.load.one(GoverningModule(self.0.module.clone())).await?;
        let judged = ask.actions.access_policy_actions(ask.call, module.as_ref(), &self.0);
        Ok(judged.into_iter().map(|(verb, may)| Action::new(verb.as_str(), verb.label(), may)).collect())
    }

    /// Grows by one with every change of the module and its policies; give it as `expectedRevision`.
    async fn revision(&self) -> i64 {
        self.0.revision
    }
}

/// What kind of principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(super) enum AccessPrincipalKind {
    /// Everybody, and every part of this program.
    Anyone,
    /// Every part of this program.
    EveryService,
    /// One part of this program, named by `service`.
    Service,
    /// Every person.
    EveryPerson,
    /// One person, named by `userId` or `user`.
    Person,
    /// Whoever holds the key role named by `role`.
    Role,
}

/// Whom an access policy is about, or who wanted to use a key.
#[derive(SimpleObject)]
pub(super) struct AccessPrincipal {
    /// What kind of principal.
    kind: AccessPrincipalKind,
    /// With `SERVICE`: the part of this program.
    service: Option<KeyUser>,
    /// With `PERSON`: the person.
    user: Option<KeyPerson>,
    /// With `ROLE`: the key role.
    role: Option<Role>,
    /// The principal in words.
    label: String,
}

impl AccessPrincipal {
    fn new(principal: domain::Principal) -> Self {
        use domain::Principal as P;
        let plain = |kind| Self { kind, service: None, user: None, role: None, label: principal.label() };
        match principal {
            P::Anyone => plain(AccessPrincipalKind::Anyone),
            P::EveryService => plain(AccessPrincipalKind::EveryService),
            P::EveryPerson => plain(AccessPrincipalKind::EveryPerson),
            P::Service(service) => {
                Self { service: Some(service.into()), ..plain(AccessPrincipalKind::Service) }
            }
            P::Person(user) => Self { user: Some(KeyPerson(user)), ..plain(AccessPrincipalKind::Person) },
            P::Role(role) => Self { role: Some(role.into()), ..plain(AccessPrincipalKind::Role) },
        }
    }
}

/// Associated data of a use of keys. `link_id` is the `linkId` of a connection.
#[derive(SimpleObject)]
pub(super) struct AccessData {
    /// The name of the data.
    name: String,
    /// The value it has, byte for byte.
    value: String,
}

impl From<domain::AccessData> for AccessData {
    fn from(data: domain::AccessData) -> Self {
        Self { name: data.name, value: data.value }
    }
}

/// Whether somebody can effectively do something with a key module, all its policies taken together.
#[derive(SimpleObject)]
pub(super) struct EffectiveRight {
    /// Who: a part of this program, whoever holds just that key role, a person whom a policy names, with all their roles,
    /// or, as `EVERY_PERSON`, whoever of this organisation's people holds no key role and is not named.
    principal: AccessPrincipal,
    /// What.
    operation: KeyOperation,
    /// Whether, for data that is given: without any, what allows only for some data does not allow, and what denies only for
    /// some data denies.
    verdict: AccessVerdict,
    /// The verdict in words.
    verdict_label: &'static str,
    /// With `ONLY`: the data for which it is allowed; with `EXCEPT`: the data for which it is not.
    data: Vec<AccessData>,
    /// With `ONLY`: other data for which it is not allowed all the same, nor where its name is not given; empty with the
    /// others.
    unless: Vec<AccessData>,
}

impl From<domain::EffectiveRight> for EffectiveRight {
    fn from(right: domain::EffectiveRight) -> Self {
        Self {
            principal: AccessPrincipal { label: right.who(), ..AccessPrincipal::new(right.principal) },
            operation: right.operation.into(),
            verdict: right.verdict.into(),
            verdict_label: right.verdict.label(),
            data: right.data.into_iter().map(Into::into).collect(),
            unless: right.unless.into_iter().map(Into::into).collect(),
        }
    }
}

/// How access to a key was decided.
#[derive(SimpleObject)]
pub(super) struct AccessDecision {
    /// Its id: the `reason` of the `POLICY_DENIED` that it caused.
    id: ID,
    /// When it was decided.
    decided_at: Timestamp,
    /// The name of the key module; empty when it was about the key service as a whole.
    module: String,
    /// Who wanted it.
    principal: AccessPrincipal,
    /// What they wanted.
    operation: KeyOperation,
    /// The associated data of the use.
    data: Vec<AccessData>,
    /// Whether it was allowed.
    allowed: bool,
    /// Why, in a sentence.
    explanation: String,
    /// Every policy of the module, in the order in which they decide: the first that applied settled it.
    trace: Vec<ConsideredPolicy>,
}

/// One policy in the trace of a decision, as it was then.
#[derive(SimpleObject)]
pub(super) struct ConsideredPolicy {
    /// The policy's global id.
    policy_id: ID,
    /// What it said.
    effect: AccessEffect,
    /// Whether it applied, or why not.
    outcome: PolicyOutcome,
    /// The outcome in words.
    outcome_label: &'static str,
    /// Its note.
    note: String,
}

impl From<domain::AccessDecision> for AccessDecision {
    fn from(decision: domain::AccessDecision) -> Self {
        let considered = |one: domain::ConsideredPolicy| ConsideredPolicy {
            policy_id: Kind::AccessPolicy.id(one.policy.0),
            effect: one.effect.into(),
            outcome: one.outcome.into(),
            outcome_label: one.outcome.label(),
            note: one.note,
        };
        Self {
            id: ID(decision.id.to_string()),
            decided_at: decision.at,
            module: decision.module,
            principal: AccessPrincipal::new(decision.principal),
            operation: decision.operation.into(),
            data: decision.data.into_iter().map(Into::into).collect(),
            allowed: decision.allowed,
            explanation: decision.explanation,
            trace: decision.trace.into_iter().map(considered).collect(),
        }
    }
}

/// Whom an access policy is about.
#[derive(InputObject)]
pub(super) struct AccessPrincipalInput {
    /// What kind of principal.
    kind: AccessPrincipalKind,
    /// With `SERVICE`: the part of this program.
    service: Option<KeyUser>,
    /// With `PERSON`: the global id of the user.
    user_id: Option<ID>,
    /// With `ROLE`: the key role.
    role: Option<Role>,
}

impl AccessPrincipalInput {
    fn principal(self) -> Result<domain::Principal, Refusal> {
        use domain::Principal as P;
        let missing = |field: &str| {
            let field = format!("terms.principal.{field}");
            Refusal::invalid(&field, "This is needed with that kind of principal.")
        };
        Ok(match self.kind {
            AccessPrincipalKind::Anyone => P::Anyone,
            AccessPrincipalKind::EveryService => P::EveryService,
            AccessPrincipalKind::EveryPerson => P::EveryPerson,
            AccessPrincipalKind::Service => {
                P::Service(self.service.ok_or_else(|| missing("service"))?.into())
            }
            AccessPrincipalKind::Role => P::Role(self.role.ok_or_else(|| missing("role"))?.into()),
            AccessPrincipalKind::Person => {
                let id = self.user_id.ok_or_else(|| missing("userId"))?;
                let user = Kind::User.read(&id);
                P::Person(UserId(
                    user.ok_or_else(|| Refusal::not_found("user").field("terms.principal.userId"))?,
                ))
            }
        })
    }
}

/// Associated data of a use of keys.
#[derive(InputObject)]
pub(super) struct AccessDataInput {
    /// The name of the data, such as `link_id`; 128 bytes at most.
    name: String,
    /// Its value, byte for byte; 128 bytes at most.
    value: String,
}

impl From<AccessDataInput> for domain::AccessData {
    fn from(data: AccessDataInput) -> Self {
        Self { name: data.name, value: data.value }
    }
}

/// What an access policy says.
#[derive(InputObject)]
pub(super) struct AccessPolicyTerms {
    /// What follows when it applies.
    effect: AccessEffect,
    /// Whom it is about.
    principal: AccessPrincipalInput,
    /// What it is about; at least one, each of a module.
    operations: Vec<KeyOperation>,
    /// The associated data that it is bound to; without it, it holds for all.
    condition: Option<AccessDataInput>,
    /// Why it exists, 500 characters at most.
    note: Option<String>,
}

impl AccessPolicyTerms {
    fn terms(self) -> Result<domain::PolicyTerms, Refusal> {
        Ok(domain::PolicyTerms {
            effect: self.effect.into(),
            principal: self.principal.principal()?,
            operations: self.operations.into_iter().map(Into::into).collect(),
            condition: self.condition.map(Into::into),
            note: self.note.unwrap_or_default(),
        })
    }
}

input! {
    /// The access policy to add.
    CreateAccessPolicyInput {
        /// The name of the key module, such as `links`.
        module: String,
        /// What it says.
        terms: AccessPolicyTerms,
    }
}

input! {
    /// The access policy to change.
    UpdateAccessPolicyInput {
        /// The policy.
        access_policy_id: ID,
        /// What it says from now on.
        terms: AccessPolicyTerms,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// The access policy to delete.
    DeleteAccessPolicyInput {
        /// The policy.
        access_policy_id: ID,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

payload! {
    /// What became of a mutation of an access policy.
    AccessPolicyPayload {
        /// The policy afterwards; null when it was refused.
        access_policy: AccessPolicy
    }
}

payload! {
    /// What became of deleting an access policy.
    DeleteAccessPolicyPayload {
        /// The global id of the policy that is gone; null when it was refused.
        deleted_id: ID
    }
}

/// Queries about access to keys.
#[derive(Default)]
pub(super) struct KeyPolicyQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl KeyPolicyQuery {
    /// The access policies of all key modules or of one, by module and then in the order in which they decide; a module has
    /// 200 at most. For key managers, operators, auditors and integrators.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn access_policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The name of the key module; all when left out.")] module: Option<String>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<AccessPolicy>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let done = ask.actions.access_policies(ask.call, module.as_deref(), page).await;
        Ok(list(done.map_err(error::failed)?, |policy| policy.id.0, AccessPolicy))
    }

    /// Who can effectively do what with a key module: every part of this program, whoever of this organisation's people
    /// holds just one key role or none, and each person whom one of its access policies names, with the roles that they
    /// hold now; whoever cannot sign in can do nothing. A right for each of them and each operation, so that its length is
    /// bounded by that of the policies, and so no connection.
    #[graphql(complexity = "250 + child_complexity")]
    async fn effective_rights(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The name of the key module.")] module: String,
    ) -> Result<Vec<EffectiveRight>> {
        let ask = Ask::new(ctx)?;
        let done = ask.actions.effective_rights(ask.call, &module).await;
        Ok(done.map_err(error::failed)?.into_iter().map(Into::into).collect())
    }

    /// How access to a key was decided; null when there is no such decision, or not any more. Denials are kept for 30
    /// days. For key managers and auditors.
    async fn explain_decision(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The decision's id: the `reason` of a `POLICY_DENIED`, or of the `NOT_AN_ADMINISTRATOR` of a mutation \
            about keys."
        )]
        id: ID,
    ) -> Result<Option<AccessDecision>> {
        let ask = Ask::new(ctx)?;
        let Ok(id) = Uuid::try_parse(&id) else { return Ok(None) };
        let decision = ask.actions.explain_decision(ask.call, id).await.map_err(error::failed)?;
        Ok(decision.map(Into::into))
    }
}

/// Mutations of access policies.
#[derive(Default)]
pub(super) struct KeyPolicyMutation;

#[Object]
impl KeyPolicyMutation {
    /// Adds an access policy to a key module. It counts from the next use of a key on; on other nodes of the same
    /// instance within ten seconds. For key managers.
    async fn create_access_policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The policy to add.")] input: CreateAccessPolicyInput,
    ) -> Result<AccessPolicyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.create_access_policy(&call, &input.module, &input.terms.terms()?).await
        });
        Ok(AccessPolicyPayload::new(done.await?, AccessPolicy))
    }

    /// Changes an access policy. For key managers.
    async fn update_access_policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The policy to change.")] input: UpdateAccessPolicyInput,
    ) -> Result<AccessPolicyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::AccessPolicy, "accessPolicyId", &input.access_policy_id)?;
            let (expected, terms) = (input.expected_revision, input.terms.terms()?);
            ask.actions.update_access_policy(&call, id, expected, &terms).await
        });
        Ok(AccessPolicyPayload::new(done.await?, AccessPolicy))
    }

    /// Deletes an access policy; the audit trail keeps what it said. For key managers.
    async fn delete_access_policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The policy to delete.")] input: DeleteAccessPolicyInput,
    ) -> Result<DeleteAccessPolicyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::AccessPolicy, "accessPolicyId", &input.access_policy_id)?;
            ask.actions.delete_access_policy(&call, id, input.expected_revision).await
        });
        Ok(DeleteAccessPolicyPayload::new(done.await?, |id| Kind::AccessPolicy.id(id.0)))
    }
}

//! Access policies as people manage them: listed, changed, and explained. They count from the next use of a key on.

use keyservice::module::{ModuleChange, SealedModule};
use keyservice::policy::{
    self, AccessPolicy, Condition, Context, Decision, Effective, MAX_CONDITION, MAX_NOTE, MAX_POLICIES,
    Matcher, effective,
};
use keyservice::role::KeyRole;
use keyservice::{Principal, Right, Rights, Service};
use serde_json::{Value, json};
use uuid::Uuid;

use super::key_module::{Governing, gone, require_revision, revision};
use super::key_rights::{may_see, require_allowed, require_right};
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure, Keys};
use crate::domain::Timestamp;
use crate::domain::id::{KeyPolicyId, UserId};
use crate::domain::key_policy::{
    AccessData, AccessDecision, AccessEffect, ConsideredPolicy, KeyOperation, KeyPolicy, KeyPolicyVerb,
    KeyUser, PolicyOutcome, PolicyTerms, Principal as Whom,
};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Role;
use crate::store::{DecisionRecord, Page, Reader, Slice, StoreError};

/// A word that the key service and the domain share, by its stable name.
pub(super) fn shared<T>(word: Option<T>) -> Done<T> {
    word.ok_or(Failure::Bug("a word of the key service that the domain does not know"))
}

/// A time of the key service.
pub(super) fn stamp(millis: keyservice::Millis) -> Option<Timestamp> {
    Timestamp::from_timestamp_millis(millis)
}

impl Actions {
    /// The access policies of all modules, or of one, by module and then in the order in which they decide.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`; `INVALID_INPUT` for a page behind a policy that is gone.
    pub async fn access_policies(
        &self,
        call: &Call,
        module: Option<&str>,
        page: Page,
    ) -> Done<Slice<KeyPolicy>> {
        require_right(call, Right::ReadMetadata)?;
        let modules = self.store.modules().await?;
        let asked = |known: &&SealedModule| module.is_none_or(|name| known.name == name);
        let mut all: Vec<(&SealedModule, &AccessPolicy)> = Vec::new();
        for known in modules.iter().filter(asked).filter(|known| may_see_policies(call, known)) {
            let mut policies: Vec<&AccessPolicy> = known.policies.iter().collect();
            policies.sort_by_key(|policy| (policy.effect, policy.id));
            all.extend(policies.into_iter().map(|policy| (known, policy)));
        }
        let slice =
            page.of(all, |(_, policy)| Uuid::from_bytes(policy.id)).ok_or_else(|| gone(page.backward))?;
        let Slice { items, has_next, has_previous } = slice;
        let items = items.into_iter().map(|(module, policy)| shown(module, policy));
        Ok(Slice { items: items.collect::<Done<_>>()?, has_next, has_previous })
    }

    /// The access policies with these ids, as far as the caller sees them; none of a module that somebody tampered with.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_policies_by_id(
        &self,
        call: &Call,
        ids: &[KeyPolicyId],
    ) -> Result<Vec<KeyPolicy>, StoreError> {
        let modules = self.reader(call).untouched_key_modules().await?;
        let seen = modules.iter().filter(|module| may_see_policies(call, module));
        let all = seen.flat_map(|module| module.policies.iter().map(move |policy| (module, policy)));
        let asked = all.filter(|(_, policy)| ids.contains(&KeyPolicyId(Uuid::from_bytes(policy.id))));
        // One whose words the domain does not know is on no list either.
        Ok(asked.filter_map(|(module, policy)| shown(module, policy).ok()).collect())
    }

    /// Whether the caller may add a policy to a module now.
    ///
    /// # Errors
    /// As [`Actions::create_access_policy`].
    pub fn may_add_access_policy(&self, call: &Call, module: Option<&Governing>) -> Result<(), Refusal> {
        let module = Governing::of(module)?;
        self.may_govern(call, module)?;
        require_room(module)
    }

    /// What can be done with an access policy of a module, and whether the caller may.
    pub fn access_policy_actions(
        &self,
        call: &Call,
        module: Option<&Governing>,
        policy: &KeyPolicy,
    ) -> [(KeyPolicyVerb, Result<(), Refusal>); 2] {
        let may = |verb| {
            let module = Governing::of(module)?;
            self.may_govern(call, module)?;
            match verb {
                KeyPolicyVerb::Delete => require_governable(module, &without(module, policy.id)),
                KeyPolicyVerb::Create | KeyPolicyVerb::Update => Ok(()),
            }
        };
        [KeyPolicyVerb::Update, KeyPolicyVerb::Delete].map(|verb| (verb, may(verb)))
    }

    fn may_govern(&self, call: &Call, module: &SealedModule) -> Result<(), Refusal> {
        require_allowed(call, module, &module.name, Right::ManagePolicies)?;
        self.require_fresh_person(call)
    }

    /// Adds an access policy to a module.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`, `INVALID_INPUT`, `CONFLICT`.
    pub async fn create_access_policy(
        &self,
        call: &Call,
        module: &str,
        terms: &PolicyTerms,
    ) -> Done<KeyPolicy> {
        self.require_role(call, module, Right::ManagePolicies).await?;
        self.require_fresh_person(call)?;
        let module = self.module(module).await?;
        require_room(&module)?;
        let policy = parse(self.world.uuid()?, terms)?;
        let mut policies = module.policies.clone();
        policies.push(policy.clone());
        self.govern(call, &module, policies, "key.policy.create", &policy).await
    }

    /// Changes an access policy.
    ///
    /// # Errors
    /// As [`Actions::create_access_policy`]; `CONFLICT` when the module's revision is not the expected one.
    pub async fn update_access_policy(
        &self,
        call: &Call,
        id: KeyPolicyId,
        expected: Option<i64>,
        terms: &PolicyTerms,
    ) -> Done<KeyPolicy> {
        self.require_role(call, "", Right::ManagePolicies).await?;
        self.require_fresh_person(call)?;
        let module = self.module_with(id, expected).await?;
        let policy = parse(id.0, terms)?;
        let mut policies = without(&module, id);
        policies.push(policy.clone());
        self.govern(call, &module, policies, "key.policy.update", &policy).await
    }

    /// Deletes an access policy; the audit trail keeps what it said.
    ///
    /// # Errors
    /// As [`Actions::update_access_policy`].
    pub async fn delete_access_policy(
        &self,
        call: &Call,
        id: KeyPolicyId,
        expected: Option<i64>,
    ) -> Done<KeyPolicyId> {
        self.require_role(call, "", Right::ManagePolicies).await?;
        self.require_fresh_person(call)?;
        let module = self.module_with(id, expected).await?;
        let gone = module.policies.iter().find(|known| known.id == id.bytes()).ok_or_else(no_policy)?;
        self.govern(call, &module, without(&module, id), "key.policy.delete", gone).await?;
        Ok(id)
    }

    /// The module of an access policy, if its revision is the expected one.
    async fn module_with(&self, policy: KeyPolicyId, expected: Option<i64>) -> Done<SealedModule> {
        let modules = self.store.modules().await?;
        let has = |module: &SealedModule| module.policies.iter().any(|known| known.id == policy.bytes());
        let module = modules.into_iter().find(has).ok_or_else(no_policy)?;
        self.keys.check_module(&module).await?;
        require_revision(&module, expected, "access policy")?;
        Ok(module)
    }

    async fn govern(
        &self,
        call: &Call,
        module: &SealedModule,
        policies: Vec<AccessPolicy>,
        operation: &'static str,
        about: &AccessPolicy,
    ) -> Done<KeyPolicy> {
        self.require_on(call, module, Right::ManagePolicies).await?;
        require_governable(module, &policies)?;
        let next = self.keys.change_module(module, ModuleChange::Govern(policies), self.world.now()).await?;
        let mut tx = self.begin(operation, call).await?;
        tx.save_module(&next).await?;
        let condition = about.condition.as_ref().map(|one| json!({ "name": one.name, "value": one.value }));
        let operations: Vec<&str> = about.rights.iter().map(Right::as_str).collect();
        let details = json!({
            "module": module.name, "effect": about.effect.as_str(), "principal": about.matcher.to_string(),
            "operations": operations, "condition": condition, "note": about.note,
            "module_revision": next.state_seq,
        });
        tx.audit(operation, "ACCESS_POLICY", Uuid::from_bytes(about.id), "OK", details);
        tx.commit().await?;
        shown(&next, about)
    }

    /// How access was decided; none when there is no such decision, or not any more.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn explain_decision(&self, call: &Call, id: Uuid) -> Done<Option<AccessDecision>> {
        require_right(call, Right::ReadDecisions)?;
        // Denials of parts of the program are written down with the next transaction: this may be it.
        self.keys.ready().await?;
        let Some(record) = self.store.key_decision(id).await? else { return Ok(None) };
        explained(record).map(Some)
    }
}

impl Answer for KeyPolicy {
    fn kept(&self) -> Kept {
        Kept::of(self.id.0)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let id = kept.subject.ok_or(Failure::Bug("a kept answer"))?;
        for module in reader.key_modules().await? {
            if let Some(policy) = module.policies.iter().find(|policy| policy.id == id.into_bytes()) {
                return shown(&module, policy);
            }
        }
        Err(no_policy().into())
    }
}

impl Answer for KeyPolicyId {
    fn kept(&self) -> Kept {
        Kept::of(self.0)
    }

    async fn again(kept: Kept, _: &Reader) -> Done<Self> {
        Ok(Self(kept.subject.ok_or(Failure::Bug("a kept answer"))?))
    }
}

/// Whether the caller sees the policies of a module: who may read its metadata, and who may change them, or nobody could
/// undo a policy that hides them.
pub(super) fn may_see_policies(call: &Call, module: &SealedModule) -> bool {
    may_see(call, module, &module.name)
        || require_allowed(call, module, &module.name, Right::ManagePolicies).is_ok()
}

fn no_policy() -> Refusal {
    Refusal::not_found("access policy").field("accessPolicyId")
}

/// That key managers can still change the policies afterwards, because nobody else could undo it; and that the audit trail
/// is still signed, because whoever looks after keys must not be able to end the evidence.
fn require_governable(module: &SealedModule, policies: &[AccessPolicy]) -> Result<(), Refusal> {
    let default = module.specification.default_decision;
    let allowed = |principal: &Principal, right| {
        matches!(effective(policies, default, principal, right), Effective::Allowed)
    };
    let refused = |reason: &str, message: &str| {
        Err(Refusal::new(RefusalCode::InvalidInput, message).reason(reason).field("terms"))
    };
    let manager = Principal::Person { id: [0; 16], roles: std::iter::once(KeyRole::Manager).collect() };
    if !allowed(&manager, Right::ManagePolicies) {
        let message = "Nobody could change the access policies of this module any more: key managers must keep \
            the operation MANAGE_POLICIES.";
        return refused("LAST_MANAGER", message);
    }
    if module.name == Keys::AUDIT && !allowed(&Principal::Service(Service::Audit), Right::Sign) {
        let message =
            "The audit trail could not be signed any more: the service AUDIT must keep the operation SIGN.";
        return refused("AUDIT_TRAIL", message);
    }
    Ok(())
}

/// That a module can have one more policy.
fn require_room(module: &SealedModule) -> Result<(), Refusal> {
    if module.policies.len() < MAX_POLICIES {
        return Ok(());
    }
    let message = format!("A module has {MAX_POLICIES} access policies at most.");
    Err(Refusal::invalid("module", message))
}

/// The policies of a module but this one.
fn without(module: &SealedModule, id: KeyPolicyId) -> Vec<AccessPolicy> {
    module.policies.iter().filter(|known| known.id != id.bytes()).cloned().collect()
}

/// A policy as the key service takes it.
fn parse(id: Uuid, terms: &PolicyTerms) -> Done<AccessPolicy> {
    let rights: Option<Rights> =
        terms.operations.iter().map(|operation| operation.as_str().parse::<Right>().ok()).collect();
    let rights = shared(rights)?;
    if rights.is_empty() || !rights.iter().all(Right::is_of_a_module) {
        let of_modules = Right::ALL.iter().filter(|right| right.is_of_a_module());
        let names: Vec<&str> = of_modules.map(|right| right.as_str()).collect();
        let message = format!("At least one of {}.", names.join(", "));
        return Err(Refusal::invalid("terms.operations", message).into());
    }
    let note = terms.note.trim();
    if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
        return Err(
            Refusal::invalid("terms.note", format!("One line of at most {MAX_NOTE} characters.")).into()
        );
    }
    if let Some(condition) = &terms.condition {
        let fits =
            |text: &str| (1..=MAX_CONDITION).contains(&text.len()) && !text.chars().any(char::is_control);
        if !fits(&condition.name) || !fits(&condition.value) {
            let message = format!("Name and value have 1 to {MAX_CONDITION} printable bytes each.");
            return Err(Refusal::invalid("terms.condition", message).into());
        }
    }
    let policy = AccessPolicy {
        id: id.into_bytes(),
        effect: shared(terms.effect.as_str().parse().ok())?,
        matcher: matcher(terms.principal)?,
        rights,
        condition: terms.condition.clone().map(|AccessData { name, value }| Condition { name, value }),
        note: note.to_owned(),
    };
    policy.check()?;
    Ok(policy)
}

fn matcher(principal: Whom) -> Done<Matcher> {
    Ok(match principal {
        Whom::Anyone => Matcher::Anyone,
        Whom::EveryService => Matcher::AnyService,
        Whom::EveryPerson => Matcher::AnyPerson,
        Whom::Service(service) => Matcher::Service(shared(service.as_str().parse().ok())?),
        Whom::Person(user) => Matcher::Person(user.bytes()),
        Whom::Role(role) => match role.as_str().parse() {
            Ok(role) => Matcher::Role(role),
            Err(_) => return Err(Refusal::invalid("terms.principal.role", "This is no key role.").into()),
        },
    })
}

pub(super) fn whom(matcher: Matcher) -> Done<Whom> {
    Ok(match matcher {
        Matcher::Anyone => Whom::Anyone,
        Matcher::AnyService => Whom::EveryService,
        Matcher::AnyPerson => Whom::EveryPerson,
        Matcher::Service(service) => Whom::Service(shared(KeyUser::parse(service.as_str()))?),
        Matcher::Person(id) => Whom::Person(UserId(Uuid::from_bytes(id))),
        Matcher::Role(role) => Whom::Role(shared(Role::parse(role.as_str()))?),
    })
}

pub(super) fn data_of(condition: Condition) -> AccessData {
    AccessData { name: condition.name, value: condition.value }
}

fn shown(module: &SealedModule, policy: &AccessPolicy) -> Done<KeyPolicy> {
    let operations = policy.rights.iter().map(|right| shared(KeyOperation::parse(right.as_str())));
    Ok(KeyPolicy {
        id: KeyPolicyId(Uuid::from_bytes(policy.id)),
        module: module.name.clone(),
        revision: revision(module),
        terms: PolicyTerms {
            effect: shared(AccessEffect::parse(policy.effect.as_str()))?,
            principal: whom(policy.matcher)?,
            operations: operations.collect::<Done<_>>()?,
            condition: policy.condition.clone().map(data_of),
            note: policy.note.clone(),
        },
    })
}

/// A decision as it is kept.
pub(super) fn kept_decision(
    decision: &Decision,
    module: &str,
    principal: &Principal,
    right: Right,
    context: &Context,
    at: Timestamp,
) -> DecisionRecord {
    let considered = |one: &policy::Considered| {
        json!({ "policy": Uuid::from_bytes(one.policy), "effect": one.effect.as_str(),
            "outcome": one.outcome.as_str(), "note": one.note })
    };
    DecisionRecord {
        id: Uuid::from_bytes(decision.id),
        at,
        module: module.to_owned(),
        principal: principal.to_string(),
        operation: right.to_string(),
        context: context.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect(),
        allowed: decision.allowed,
        explanation: decision.explanation(),
        trace: decision.trace.iter().map(considered).collect(),
    }
}

/// A kept decision as people see it.
fn explained(record: DecisionRecord) -> Done<AccessDecision> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let data = list(&record.context)
        .into_iter()
        .filter_map(|one| Some(AccessData { name: text(&one, "name")?, value: text(&one, "value")? }));
    let trace = list(&record.trace).into_iter().map(|one| {
        Some(ConsideredPolicy {
            policy: KeyPolicyId(Uuid::try_parse(&text(&one, "policy")?).ok()?),
            effect: AccessEffect::parse(&text(&one, "effect")?)?,
            outcome: PolicyOutcome::parse(&text(&one, "outcome")?)?,
            note: text(&one, "note")?,
        })
    });
    Ok(AccessDecision {
        id: record.id,
        at: record.at,
        principal: whom(shared(record.principal.parse().ok())?)?,
        operation: shared(KeyOperation::parse(&record.operation))?,
        data: data.collect(),
        allowed: record.allowed,
        explanation: record.explanation,
        trace: shared(trace.collect())?,
        module: record.module,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyservice::Service;
    use keyservice::approval::ApprovalState;
    use keyservice::policy::{Effect, Outcome};

    use crate::domain::key_approval::KeyApprovalState;

    #[test]
    fn the_domain_and_the_key_service_share_their_words() {
        fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|one| name(*one)).collect()
        }
        assert_eq!(names(KeyOperation::ALL, KeyOperation::as_str), names(Right::ALL, Right::as_str));
        assert_eq!(names(AccessEffect::ALL, AccessEffect::as_str), names(Effect::ALL, Effect::as_str));
        assert_eq!(names(PolicyOutcome::ALL, PolicyOutcome::as_str), names(Outcome::ALL, Outcome::as_str));
        assert_eq!(names(KeyUser::ALL, KeyUser::as_str), names(Service::ALL, Service::as_str));
        let states = names(ApprovalState::ALL, ApprovalState::as_str);
        assert_eq!(names(KeyApprovalState::ALL, KeyApprovalState::as_str), states);
        let roles = Role::ALL.iter().filter(|role| role.is_key_role()).map(|role| role.as_str());
        assert_eq!(roles.collect::<Vec<_>>(), names(KeyRole::ALL, KeyRole::as_str));
    }
}

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

use super::key_rights::{may_see, require_allowed, require_right};
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::id::{KeyPolicyId, UserId};
use crate::domain::key_policy::{
    AccessData, AccessDecision, AccessEffect, AccessVerdict, ConsideredPolicy, EffectiveRight, KeyOperation,
    KeyPolicy, KeyUser, PolicyOutcome, PolicyTerms, Principal as Whom,
};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Role;
use crate::store::{DecisionRecord, Reader};

/// A word that the key service and the domain share, by its stable name.
pub(super) fn shared<T>(word: Option<T>) -> Done<T> {
    word.ok_or(Failure::Bug("a word of the key service that the domain does not know"))
}

/// A time of the key service.
pub(super) fn stamp(millis: keyservice::Millis) -> Option<Timestamp> {
    Timestamp::from_timestamp_millis(millis)
}

/// The most access policies that are listed unless a module is named.
const POLICIES_MAX: usize = 1_000;

impl Actions {
    /// The access policies of all modules, or of one, by module and then in the order in which they decide.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`; `INVALID_INPUT` when no module is named and there are more than 1,000.
    pub async fn access_policies(&self, call: &Call, module: Option<&str>) -> Done<Vec<KeyPolicy>> {
        require_right(call, Right::ReadMetadata)?;
        let modules = self.store.modules().await?;
        let mut all = Vec::new();
        let asked = |known: &&SealedModule| module.is_none_or(|name| known.name == name);
        for known in modules.iter().filter(asked).filter(|known| may_see_policies(call, known)) {
            if module.is_none() && all.len() + known.policies.len() > POLICIES_MAX {
                let message =
                    format!("There are more than {POLICIES_MAX} access policies: name a key module.");
                return Err(Refusal::invalid("module", message).into());
            }
            let mut policies: Vec<&AccessPolicy> = known.policies.iter().collect();
            policies.sort_by_key(|policy| (policy.effect, policy.id));
            for policy in policies {
                all.push(shown(known, policy)?);
            }
        }
        Ok(all)
    }

    /// Who can effectively do what with a module: every part of the program, and whoever holds just one key role.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `NOT_FOUND`.
    pub async fn effective_rights(&self, call: &Call, module: &str) -> Done<Vec<EffectiveRight>> {
        require_right(call, Right::ReadMetadata)?;
        let module = self.module(module).await?;
        if !may_see_policies(call, &module) {
            return Err(Refusal::not_found("key module").field("module").into());
        }
        let services =
            Service::ALL.iter().map(|service| (Matcher::Service(*service), Principal::Service(*service)));
        let roles = KeyRole::ALL.iter().map(|role| {
            let roles = std::iter::once(*role).collect();
            (Matcher::Role(*role), Principal::Person { id: [0; 16], roles })
        });
        let mut rights = Vec::new();
        for (matcher, principal) in services.chain(roles) {
            for right in Right::ALL.iter().filter(|right| right.is_of_a_module()) {
                let default = module.specification.default_decision;
                let (verdict, data) = match effective(&module.policies, default, &principal, *right) {
                    Effective::Allowed => (AccessVerdict::Allowed, Vec::new()),
                    Effective::Denied => (AccessVerdict::Denied, Vec::new()),
                    Effective::Conditional { allowed, denied } if allowed.is_empty() => {
                        (AccessVerdict::Except, denied)
                    }
                    Effective::Conditional { allowed, .. } => (AccessVerdict::Only, allowed),
                };
                rights.push(EffectiveRight {
                    principal: whom(matcher)?,
                    operation: shared(KeyOperation::parse(right.as_str()))?,
                    verdict,
                    data: data.into_iter().map(data_of).collect(),
                });
            }
        }
        Ok(rights)
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
        if module.policies.len() >= MAX_POLICIES {
            let message = format!("A module has {MAX_POLICIES} access policies at most.");
            return Err(Refusal::invalid("module", message).into());
        }
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
        let mut policies = module.policies.clone();
        policies.retain(|known| known.id != policy.id);
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
        let (gone, left): (Vec<_>, Vec<_>) =
            module.policies.iter().cloned().partition(|known| known.id == id.bytes());
        let gone = gone.first().ok_or_else(no_policy)?;
        self.govern(call, &module, left, "key.policy.delete", gone).await?;
        Ok(id)
    }

    /// The module of an access policy, if its revision is the expected one.
    async fn module_with(&self, policy: KeyPolicyId, expected: Option<i64>) -> Done<SealedModule> {
        let modules = self.store.modules().await?;
        let has = |module: &SealedModule| module.policies.iter().any(|known| known.id == policy.bytes());
        let module = modules.into_iter().find(has).ok_or_else(no_policy)?;
        self.keys.check_module(&module).await?;
        match expected {
            Some(expected) if expected != revision(&module) => Err(Refusal::conflict("access policy").into()),
            _ => Ok(module),
        }
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
fn may_see_policies(call: &Call, module: &SealedModule) -> bool {
    may_see(call, module, &module.name)
        || require_allowed(call, module, &module.name, Right::ManagePolicies).is_ok()
}

fn no_policy() -> Refusal {
    Refusal::not_found("access policy").field("accessPolicyId")
}

/// That key managers can still change the policies afterwards: nobody else could undo it.
fn require_governable(module: &SealedModule, policies: &[AccessPolicy]) -> Result<(), Refusal> {
    let manager = Principal::Person { id: [0; 16], roles: std::iter::once(KeyRole::Manager).collect() };
    let default = module.specification.default_decision;
    match effective(policies, default, &manager, Right::ManagePolicies) {
        Effective::Allowed => Ok(()),
        Effective::Conditional { .. } | Effective::Denied => {
            let message = "Nobody could change the access policies of this module any more: key managers must \
                           keep the operation MANAGE_POLICIES.";
            Err(Refusal::new(RefusalCode::InvalidInput, message).reason("LAST_MANAGER").field("terms"))
        }
    }
}

fn revision(module: &SealedModule) -> i64 {
    i64::try_from(module.state_seq).unwrap_or(i64::MAX)
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

fn whom(matcher: Matcher) -> Done<Whom> {
    Ok(match matcher {
        Matcher::Anyone => Whom::Anyone,
        Matcher::AnyService => Whom::EveryService,
        Matcher::AnyPerson => Whom::EveryPerson,
        Matcher::Service(service) => Whom::Service(shared(KeyUser::parse(service.as_str()))?),
        Matcher::Person(id) => Whom::Person(UserId(Uuid::from_bytes(id))),
        Matcher::Role(role) => Whom::Role(shared(Role::parse(role.as_str()))?),
    })
}

fn data_of(condition: Condition) -> AccessData {
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

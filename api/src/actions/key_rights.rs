//! What people may do with the key service: their key roles decide, and then the access policies of the module.

use keyservice::policy::{self, Context, Decision};
use keyservice::role::{KeyRole, KeyRoles};
use keyservice::{Principal, Right, SealedModule};
use serde_json::json;
use uuid::Uuid;

use super::key_module::governing;
use super::key_policy::kept_decision;
use super::keys::{LINK, link_of};
use super::{Actions, Call, Done, Failure};
use crate::domain::key_policy::{KeyUser, key_roles};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Role;
use crate::vault::VaultError;

/// The most bytes of a module's name that are kept with a denial: `links/` and a UUID are shorter.
const NAME_MAX: usize = 64;

/// A person, as the key service knows them. Whoever works on the host, and this instance itself, are nobody to it.
pub(crate) fn key_person(call: &Call) -> Option<([u8; 16], KeyRoles)> {
    let person = call.requester.person().filter(|person| person.company.is_none())?;
    Some((person.user.bytes(), held(key_roles(person))))
}

/// The key roles among these, as the key service knows them.
pub(super) fn held(roles: impl Iterator<Item = Role>) -> KeyRoles {
    roles.filter_map(|role| role.as_str().parse::<KeyRole>().ok()).collect()
}

/// That a key role of the caller gives this right; answers the caller's account.
///
/// # Errors
/// `NOT_AN_ADMINISTRATOR`, with the roles that give it.
pub(crate) fn require_right(call: &Call, right: Right) -> Result<[u8; 16], Refusal> {
    match key_person(call) {
        Some((id, roles)) if roles.rights().has(right) => Ok(id),
        _ => {
            let holders = KeyRole::ALL.iter().filter(|role| role.rights().has(right));
            let labels = holders.filter_map(|role| Role::parse(role.as_str()).map(Role::label));
            let labels: Vec<String> = labels.map(str::to_lowercase).collect();
            let message = format!("This needs the role {}.", labels.join(" or "));
            Err(Refusal::new(RefusalCode::NotAnAdministrator, message).reason("KEY_ROLE"))
        }
    }
}

/// What conditions of access policies are compared with when somebody does something with the keys of this name: the
/// connection, if they are a connection's.
pub(super) fn about(name: &str) -> Context {
    link_of(name).map_or_else(Context::nothing, |link| Context::nothing().with(LINK, link))
}

/// Whether role and access policies let the caller see the keys of this name: without, they look like none.
pub(super) fn may_see(call: &Call, module: &SealedModule, name: &str) -> bool {
    require_allowed(call, module, name, Right::ReadMetadata).is_ok()
}

/// That role and access policies allow it with the keys of this name; nothing is recorded of the question.
pub(super) fn require_allowed(
    call: &Call,
    module: &SealedModule,
    name: &str,
    right: Right,
) -> Result<(), Refusal> {
    require_right(call, right)?;
    let Some((id, roles)) = key_person(call) else { return Ok(()) };
    let principal = Principal::Person { id, roles };
    let default = module.specification.default_decision;
    let decision = policy::decide([0; 16], &module.policies, default, &principal, right, &about(name));
    if decision.allowed {
        return Ok(());
    }
    match Failure::from(denied(&module.name, &principal, right, &decision)) {
        Failure::Refused(refusal) => Err(*refusal),
        _ => Err(Refusal::new(RefusalCode::PolicyDenied, "An access policy does not allow it.")),
    }
}

impl Actions {
    /// That a key role of the caller gives this right to the keys of this name, or to what is above all keys where there is
    /// none; a denial is kept under its decision id. Call it before the verb begins its transaction.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, with the roles that give it, and the decision as its reason.
    pub(crate) async fn require_role(&self, call: &Call, name: &str, right: Right) -> Done<[u8; 16]> {
        let refusal = match require_right(call, right) {
            Ok(id) => return Ok(id),
            Err(refusal) => refusal,
        };
        let Some((id, roles)) = key_person(call) else { return Err(refusal.into()) };
        // Whoever may nothing may say anything.
        let is_name = name.len() <= NAME_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
        let name = if is_name { name } else { "" };
        let principal = Principal::Person { id, roles };
        let ground = policy::Ground::NoRole;
        let decision =
            Decision { id: self.world.uuid()?.into_bytes(), allowed: false, ground, trace: Vec::new() };
        self.keep_denial(call, name, &principal, right, &about(name), &decision).await?;
        Err(refusal.reason(Uuid::from_bytes(decision.id)).into())
    }

    /// Writes a denial down, so that it can be explained.
    pub(super) async fn keep_denial(
        &self,
        call: &Call,
        name: &str,
        principal: &Principal,
        right: Right,
        context: &Context,
        decision: &Decision,
    ) -> Done<()> {
        let mut tx = self.begin("key.denied", call).await?;
        let kept = kept_decision(decision, governing(name), principal, right, context, tx.now());
        let result = match decision.ground {
            policy::Ground::NoRole => "NO_ROLE",
            _ => RefusalCode::PolicyDenied.as_str(),
        };
        let details = json!({ "module": name, "operation": right.as_str() });
        tx.audit("key.denied", "DECISION", kept.id, result, details);
        tx.keep_decisions(vec![kept]).await?;
        Ok(tx.commit().await?)
    }

    /// That a person may do this with a module as a whole, see [`Actions::require_on_keys`].
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `POLICY_DENIED`.
    pub(crate) async fn require_on(&self, call: &Call, module: &SealedModule, right: Right) -> Done<()> {
        self.require_on_keys(call, module, &module.name, right).await
    }

    /// That a person may do this with the keys of this name in a module: a key role, and then the module's access
    /// policies, decide. What the policies deny is kept under its decision id. Call it before the verb begins its
    /// transaction.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `POLICY_DENIED`.
    pub(crate) async fn require_on_keys(
        &self,
        call: &Call,
        module: &SealedModule,
        name: &str,
        right: Right,
    ) -> Done<()> {
        self.require_role(call, name, right).await?;
        let context = about(name);
        let (id, roles) = key_person(call).ok_or(Failure::Bug("a person with a key role"))?;
        let principal = Principal::Person { id, roles };
        let decision = policy::decide(
            self.world.uuid()?.into_bytes(),
            &module.policies,
            module.specification.default_decision,
            &principal,
            right,
            &context,
        );
        if decision.allowed {
            return Ok(());
        }
        self.keep_denial(call, name, &principal, right, &context, &decision).await?;
        Err(denied(&module.name, &principal, right, &decision).into())
    }

    /// The key module of this name, as the key service wrote it.
    ///
    /// # Errors
    /// `NOT_FOUND`; when its row was tampered with.
    pub(crate) async fn module(&self, name: &str) -> Done<SealedModule> {
        let module =
            self.store.module(name).await?.ok_or_else(|| Refusal::not_found("key module").field("module"))?;
        self.keys.check_module(&module).await?;
        Ok(module)
    }
}

/// The denial, as whoever was denied is told.
pub(super) fn denied(module: &str, principal: &Principal, right: Right, decision: &Decision) -> VaultError {
    let principal = match principal {
        Principal::Service(service) => {
            let name = KeyUser::parse(service.as_str()).map_or(service.as_str(), |user| user.label());
            format!("“{name}”")
        }
        Principal::Person { .. } => "this person".to_owned(),
    };
    VaultError::Denied {
        module: module.to_owned(),
        principal,
        operation: right.as_str().to_lowercase().replace('_', " "),
        decision: Uuid::from_bytes(decision.id),
    }
}

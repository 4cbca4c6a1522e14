//! Who can effectively do what with a module, all its access policies taken together.

use std::collections::BTreeSet;

use keyservice::policy::{Effective, Matcher, effective};
use keyservice::role::{KeyRole, KeyRoles};
use keyservice::{Principal, Right, SealedModule, Service};
use uuid::Uuid;

use super::key_policy::{data_of, may_see_policies, shared, whom};
use super::key_rights::{held, require_right};
use super::{Actions, Call, Done};
use crate::domain::id::UserId;
use crate::domain::key_policy::{AccessVerdict, EffectiveRight, KeyOperation};
use crate::domain::refusal::Refusal;

/// Someone whom the access policies tell apart, by how a policy names them; none who cannot sign in.
type Someone = (Matcher, Option<Principal>);

impl Actions {
    /// Who can effectively do what with a module: every part of the program, whoever of our own people holds just one key
    /// role or none, and each person whom a policy names, with all their roles.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `NOT_FOUND`.
    pub async fn effective_rights(&self, call: &Call, module: &str) -> Done<Vec<EffectiveRight>> {
        require_right(call, Right::ReadMetadata)?;
        let module = self.module(module).await?;
        if !may_see_policies(call, &module) {
            return Err(Refusal::not_found("key module").field("module").into());
        }
        let mut everybody = kinds();
        everybody.extend(self.named(&module).await?);
        let mut rights = Vec::new();
        for (matcher, principal) in everybody {
            for right in Right::ALL.iter().filter(|right| right.is_of_a_module()) {
                let default = module.specification.default_decision;
                let judged = principal.map_or(Effective::Denied, |principal| {
                    effective(&module.policies, default, &principal, *right)
                });
                let (verdict, data, unless) = match judged {
                    Effective::Allowed => (AccessVerdict::Allowed, Vec::new(), Vec::new()),
                    Effective::Denied => (AccessVerdict::Denied, Vec::new(), Vec::new()),
                    // No module allows what no policy says; one that did would have the same said of it.
                    Effective::Conditional { never, denied, otherwise: true, .. } => {
                        (AccessVerdict::Except, [never, denied].concat(), Vec::new())
                    }
                    Effective::Conditional { never, allowed, .. } => (AccessVerdict::Only, allowed, never),
                };
                rights.push(EffectiveRight {
                    principal: whom(matcher)?,
                    operation: shared(KeyOperation::parse(right.as_str()))?,
                    verdict,
                    data: data.into_iter().map(data_of).collect(),
                    unless: unless.into_iter().map(data_of).collect(),
                });
            }
        }
        Ok(rights)
    }

    /// The people whom the policies of a module name, with the roles that they hold now.
    async fn named(&self, module: &SealedModule) -> Done<Vec<Someone>> {
        let ids: BTreeSet<UserId> = module
            .policies
            .iter()
            .filter_map(|policy| match policy.matcher {
                Matcher::Person(id) => Some(UserId(Uuid::from_bytes(id))),
                _ => None,
            })
            .collect();
        let ids: Vec<UserId> = ids.into_iter().collect();
        let people = self.store.our_people(&ids).await?;
        let someone = |id: UserId| {
            let known = people.iter().find(|known| known.id == id);
            let roles = known.map(|known| held(known.roles.iter().copied()));
            (Matcher::Person(id.bytes()), roles.map(|roles| person(id.bytes(), roles)))
        };
        Ok(ids.into_iter().map(someone).collect())
    }
}

const fn person(id: [u8; 16], roles: KeyRoles) -> Principal {
    Principal::Person { id, roles }
}

/// Whom policies tell apart without naming a person: every part of the program, and people by their roles.
fn kinds() -> Vec<Someone> {
    let nobody = [0; 16];
    let services = Service::ALL.iter().map(|one| (Matcher::Service(*one), Some(Principal::Service(*one))));
    let roles = KeyRole::ALL.iter().map(|role| {
        let held = std::iter::once(*role).collect();
        (Matcher::Role(*role), Some(person(nobody, held)))
    });
    let others = (Matcher::AnyPerson, Some(person(nobody, KeyRoles::NONE)));
    services.chain(roles).chain([others]).collect()
}

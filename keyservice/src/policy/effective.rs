//! Who can effectively do what: decisions for everybody, seen at once.

use std::collections::BTreeSet;

use super::{AccessPolicy, Condition, Context, DefaultDecision, Effect, decide};
use crate::principal::Principal;
use crate::right::Right;

/// Whether a principal can do something with a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effective {
    /// Yes, whatever the data.
    Allowed,
    /// Depending on associated data: the first of these that applies decides.
    Conditional {
        /// Each denies, also where its name is not given at all.
        never: Vec<Condition>,
        /// Each allows.
        allowed: Vec<Condition>,
        /// Each denies, also where its name is not given at all.
        denied: Vec<Condition>,
        /// Whether it is allowed for all other data.
        otherwise: bool,
    },
    /// No, whatever the data.
    Denied,
}

/// Whether the principal can do it, over all associated data. A policy has one condition at most, but several of them may
/// be bound to different names.
pub fn effective(
    policies: &[AccessPolicy],
    default: DefaultDecision,
    principal: &Principal,
    right: Right,
) -> Effective {
    // What no policy and no default denies, the roles alone decide.
    let roles = decide([0; 16], &[], DefaultDecision::Track, principal, right, &Context::nothing());
    match (roles.allowed, right.is_of_a_module()) {
        (false, _) => return Effective::Denied,
        (true, false) => return Effective::Allowed,
        (true, true) => {}
    }
    let counts = |policy: &&AccessPolicy| policy.matcher.matches(principal) && policy.rights.has(right);
    let of = |effect| policies.iter().filter(counts).filter(move |policy| policy.effect == effect);
    let always = |effect| of(effect).any(|policy| policy.condition.is_none());
    let bound = |effect| -> Vec<Condition> {
        let conditions: BTreeSet<_> = of(effect).filter_map(|policy| policy.condition.clone()).collect();
        conditions.into_iter().collect()
    };
    if always(Effect::StrictReject) {
        return Effective::Denied;
    }
    let mut never = bound(Effect::StrictReject);
    if always(Effect::Track) {
        return conditional(never, Vec::new(), Vec::new(), true);
    }
    let mut allowed = bound(Effect::Track);
    if default == DefaultDecision::Track && !always(Effect::Reject) {
        return conditional(never, allowed, bound(Effect::Reject), true);
    }
    allowed.retain(|one| !never.contains(one));
    // Whoever gives a name the value that allows it gives it no other one.
    never.retain(|one| allowed.iter().any(|other| other.name != one.name));
    conditional(never, allowed, Vec::new(), false)
}

/// The same without conditions that change nothing.
fn conditional(
    never: Vec<Condition>,
    allowed: Vec<Condition>,
    denied: Vec<Condition>,
    otherwise: bool,
) -> Effective {
    match otherwise {
        true if never.is_empty() && denied.is_empty() => Effective::Allowed,
        false if allowed.is_empty() => Effective::Denied,
        _ => Effective::Conditional { never, allowed, denied, otherwise },
    }
}

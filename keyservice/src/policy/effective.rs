//! Who can effectively do what: decisions for everybody, seen at once.

use super::{AccessPolicy, Condition, Context, DefaultDecision, decide};
use crate::principal::Principal;
use crate::right::Right;

/// Whether a principal can do something with a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effective {
    /// Yes, whatever the data.
    Allowed,
    /// Depends on associated data; under these conditions it is allowed.
    Conditional {
        /// Each suffices by itself. Empty when it is allowed for all but some data.
        allowed: Vec<Condition>,
        /// Under each of these it is denied.
        denied: Vec<Condition>,
    },
    /// No, whatever the data.
    Denied,
}

/// Whether the principal can do it, over all associated data that the policies tell apart.
///
/// A policy has one condition at most, so it is enough to look at each condition by itself, next to data that meets
/// none of them.
pub fn effective(
    policies: &[AccessPolicy],
    default: DefaultDecision,
    principal: &Principal,
    right: Right,
) -> Effective {
    // What is about others, or about something else, changes nothing; neither do notes.
    let counts = |policy: &&AccessPolicy| policy.matcher.matches(principal) && policy.rights.has(right);
    let plain = |policy: &AccessPolicy| AccessPolicy { note: String::new(), ..policy.clone() };
    let policies: Vec<AccessPolicy> = policies.iter().filter(counts).map(plain).collect();
    let mut conditions: Vec<Condition> =
        policies.iter().filter_map(|policy| policy.condition.clone()).collect();
    conditions.sort();
    conditions.dedup();
    // No condition has an empty value, so this meets none.
    let elsewhere =
        conditions.iter().fold(Context::nothing(), |context, condition| context.with(&condition.name, ""));
    let allows = |context: &Context| decide([0; 16], &policies, default, principal, right, context).allowed;
    let usually = allows(&elsewhere);
    let (allowed, denied): (Vec<_>, Vec<_>) = conditions.into_iter().partition(|condition| {
        let mut context = Context::nothing().with(&condition.name, &condition.value);
        context.0.extend(elsewhere.0.iter().cloned());
        allows(&context)
    });
    match (usually, allowed.is_empty(), denied.is_empty()) {
        (true, _, true) => Effective::Allowed,
        (false, true, _) => Effective::Denied,
        (true, _, false) => Effective::Conditional { allowed: Vec::new(), denied },
        (false, false, _) => Effective::Conditional { allowed, denied: Vec::new() },
    }
}

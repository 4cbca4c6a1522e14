//! Access policies: who may do what with the keys of a module, decided in one order, with a trace.
//!
//! Any `STRICT_REJECT` denies; else any `TRACK` allows, and the use is recorded; else any `REJECT` denies; else the
//! default of the module decides, which is to reject. The decision depends on the set of policies, never on their order.

mod effective;
#[cfg(test)]
mod tests;
mod text;

pub use effective::{Effective, effective};

use crate::error::Error;
use crate::pae::{hash, pae};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::role::{KeyRole, KeyRoles};

/// The most policies that a module has.
pub const MAX_POLICIES: usize = 200;
/// The longest note, in characters.
pub const MAX_NOTE: usize = 500;
/// The longest name and value of a condition, in bytes.
pub const MAX_CONDITION: usize = 128;

names! {
    /// What a policy that applies says. In the order in which they decide.
    Effect, "effect" {
        /// Denies, whatever else applies.
        StrictReject = "STRICT_REJECT";
        /// Allows unless a strict reject applies; each use is recorded.
        Track = "TRACK";
        /// Denies unless another policy allows.
        Reject = "REJECT";
    }
}

names! {
    /// What happens when no policy applies.
    DefaultDecision, "default decision" {
        /// It is denied.
        Reject = "REJECT";
        /// It is allowed and recorded.
        Track = "TRACK";
    }
}

/// Whom a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matcher {
    /// Everybody and everything.
    Anyone,
    /// Every service.
    AnyService,
    /// One service.
    Service(Service),
    /// Every person.
    AnyPerson,
    /// One person, by the id of the account.
    Person([u8; 16]),
    /// Whoever holds the key role.
    Role(KeyRole),
}

impl Matcher {
    /// Whether the principal is meant.
    pub fn matches(self, principal: &Principal) -> bool {
        match (self, principal) {
            (Self::Anyone, _)
            | (Self::AnyService, Principal::Service(_))
            | (Self::AnyPerson, Principal::Person { .. }) => true,
            (Self::Service(service), Principal::Service(asking)) => service == *asking,
            (Self::Person(person), Principal::Person { id, .. }) => person == *id,
            (Self::Role(role), Principal::Person { roles, .. }) => roles.has(role),
            (Self::AnyService | Self::Service(_), Principal::Person { .. })
            | (Self::AnyPerson | Self::Person(_) | Self::Role(_), Principal::Service(_)) => false,
        }
    }
}

/// Binds a policy to associated data of the use, such as `link_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The name of the data.
    pub name: String,
    /// The value it must have, byte for byte.
    pub value: String,
}

/// What the use of a key is about: names and values of associated data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(Vec<(String, String)>);

impl Context {
    /// Nothing is known.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// This as well. The first value given for a name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Who may do what with a module, or may not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessPolicy {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// What it says.
    pub effect: Effect,
    /// Whom it is about.
    pub matcher: Matcher,
    /// What it is about.
    pub rights: Rights,
    /// Only for this associated data.
    pub condition: Option<Condition>,
    /// Why it exists, for people.
    pub note: String,
}

impl AccessPolicy {
    /// That its parts are within their limits and it can apply at all.
    ///
    /// # Errors
    /// [`Error::Malformed`] without a right of a module, or for a condition that is empty or not printable;
    /// [`Error::TooLarge`] beyond [`MAX_NOTE`] or [`MAX_CONDITION`].
    pub fn check(&self) -> Result<(), Error> {
        if self.rights.is_empty() || !self.rights.iter().all(Right::is_of_a_module) {
            return Err(Error::Malformed { what: "operations of an access policy" });
        }
        if self.note.chars().count() > MAX_NOTE {
            return Err(Error::TooLarge { what: "note of an access policy" });
        }
        for text in self.condition.iter().flat_map(|condition| [&condition.name, &condition.value]) {
            if text.len() > MAX_CONDITION {
                return Err(Error::TooLarge { what: "condition of an access policy" });
            }
            if text.is_empty() || text.chars().any(char::is_control) {
                return Err(Error::Malformed { what: "condition of an access policy" });
            }
        }
        Ok(())
    }

    /// The encoding that a row seal covers.
    pub fn canonical(&self) -> Vec<u8> {
        let rights: Vec<&str> = self.rights.iter().map(Right::as_str).collect();
        let condition = self.condition.as_ref();
        pae(&[
            b"ks1 policy",
            &self.id,
            self.effect.as_str().as_bytes(),
            self.matcher.to_string().as_bytes(),
            rights.join(",").as_bytes(),
            &[u8::from(condition.is_some())],
            condition.map(|condition| condition.name.as_bytes()).unwrap_or_default(),
            condition.map(|condition| condition.value.as_bytes()).unwrap_or_default(),
            self.note.as_bytes(),
        ])
    }

    fn consider(&self, principal: &Principal, right: Right, context: &Context) -> Outcome {
        if !self.matcher.matches(principal) {
            return Outcome::OtherPrincipal;
        }
        if !self.rights.has(right) {
            return Outcome::OtherOperation;
        }
        let Some(condition) = &self.condition else { return Outcome::Applies };
        match context.value(&condition.name) {
            Some(value) if value == condition.value => Outcome::Applies,
            Some(_) => Outcome::OtherData,
            // What is not known counts against the caller: it allows nothing, and it escapes no rejection.
            None if self.effect == Effect::Track => Outcome::OtherData,
            None => Outcome::Applies,
        }
    }
}

/// What a row seal covers of a set of policies, whatever their order.
pub fn digest(policies: &[AccessPolicy]) -> [u8; 32] {
    let mut all: Vec<Vec<u8>> = policies.iter().map(AccessPolicy::canonical).collect();
    all.sort();
    let mut parts: Vec<&[u8]> = vec![b"ks1 policies"];
    parts.extend(all.iter().map(Vec::as_slice));
    hash(&parts)
}

names! {
    /// Whether a policy applied, or why not.
    Outcome, "outcome" {
        /// It is about this principal, operation and data.
        Applies = "APPLIES";
        /// It is about somebody else.
        OtherPrincipal = "OTHER_PRINCIPAL";
        /// It is about other operations.
        OtherOperation = "OTHER_OPERATION";
        /// It is about other associated data.
        OtherData = "OTHER_DATA";
    }
}

/// One policy in the trace of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The policy.
    pub policy: [u8; 16],
    /// What it says.
    pub effect: Effect,
    /// Whether it applied.
    pub outcome: Outcome,
    /// Its note.
    pub note: String,
}

/// What settled a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ground {
    /// No role of the person allows it: policies were not asked.
    NoRole,
    /// It concerns the key service as a whole, and a role of the person allows it.
    Role,
    /// A policy; of several that say the same, the one with the smallest id.
    Policy(Effect, [u8; 16]),
    /// No policy applied.
    Default(DefaultDecision),
}

/// Whether something may be done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Under which it can be looked up.
    pub id: [u8; 16],
    /// Whether it may be done.
    pub allowed: bool,
    /// What settled it.
    pub ground: Ground,
    /// Every policy of the module, in the order in which effects decide, then by id.
    pub trace: Vec<Considered>,
}

impl Decision {
    /// One sentence for people.
    pub fn explanation(&self) -> String {
        let verdict = if self.allowed { "Allowed" } else { "Denied" };
        let note = |policy: &[u8; 16]| {
            let note = self.trace.iter().find(|considered| considered.policy == *policy);
            note.filter(|considered| !considered.note.is_empty())
                .map(|considered| format!(": {}", considered.note.trim_end_matches('.')))
                .unwrap_or_default()
        };
        match &self.ground {
            Ground::NoRole => format!("{verdict}: no key role of this person allows it."),
            Ground::Role => format!("{verdict} by a key role of this person."),
            Ground::Policy(effect, policy) => {
                let effect = effect.to_string().to_lowercase().replace('_', " ");
                format!("{verdict} by an access policy ({effect}){}.", note(policy))
            }
            Ground::Default(default) => {
                format!("{verdict} because no access policy applies and the default is {default}.")
            }
        }
    }
}

/// Decides whether a principal may do something with the keys of a module.
///
/// A person needs a key role that gives the right, and then the policies decide; for the use of material, the policies
/// alone decide. A service has no role: the policies decide about the module, and nothing else is open to it.
pub fn decide(
    id: [u8; 16],
    policies: &[AccessPolicy],
    default: DefaultDecision,
    principal: &Principal,
    right: Right,
    context: &Context,
) -> Decision {
    let roles = match principal {
        Principal::Service(_) => KeyRoles::NONE,
        Principal::Person { roles, .. } => *roles,
    };
    let person = matches!(principal, Principal::Person { .. });
    if !right.is_of_a_module() || (person && !right.uses_material()) {
        let held = roles.rights().has(right);
        if !held || !right.is_of_a_module() {
            let ground = if held { Ground::Role } else { Ground::NoRole };
            return Decision { id, allowed: held, ground, trace: Vec::new() };
        }
    }

    let mut trace: Vec<Considered> = policies
        .iter()
        .map(|policy| Considered {
            policy: policy.id,
            effect: policy.effect,
            outcome: policy.consider(principal, right, context),
            note: policy.note.clone(),
        })
        .collect();
    trace.sort_by(|a, b| {
        (a.effect, a.policy, a.outcome, &a.note).cmp(&(b.effect, b.policy, b.outcome, &b.note))
    });
    // The trace is in the order in which effects decide, so the first that applies settles it.
    let ground = trace
        .iter()
        .find(|considered| considered.outcome == Outcome::Applies)
        .map_or(Ground::Default(default), |first| Ground::Policy(first.effect, first.policy));
    let allowed =
        matches!(ground, Ground::Policy(Effect::Track, _) | Ground::Default(DefaultDecision::Track));
    Decision { id, allowed, ground, trace }
}

//! The life of a key as two tables: what each state allows, and where each verb leads.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Where a key is in its life (after NIST SP 800-57 part 1, section 7). A module has at most one active key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, not yet in use.
    PreActive,
    /// In use.
    Active,
    /// Out of use for a while.
    Suspended,
    /// Replaced; still opens and verifies what it once made.
    Deactivated,
    /// Withdrawn for a reason other than compromise.
    Revoked,
    /// Believed known to others.
    Compromised,
    /// The material is gone; the metadata stays.
    Destroyed,
}

/// What is done to a key as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleVerb {
    /// Puts a new key into use.
    Activate,
    /// Takes it out of use for a while.
    Suspend,
    /// Puts a suspended key back into use.
    Resume,
    /// Retires it because a newer version takes its place.
    Rotate,
    /// Retires it without a successor.
    Deactivate,
    /// Withdraws it. The reason belongs into the audit trail.
    Revoke,
    /// Marks it as known to others. The reason belongs into the audit trail.
    Compromise,
    /// Erases its material. The waiting period and the second person are the caller's to enforce.
    Destroy,
}

/// What is done with the material of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Make a ciphertext.
    Seal,
    /// Make a signature.
    Sign,
    /// Read a ciphertext.
    Open,
    /// Check a signature.
    Verify,
    /// Change the state.
    Change(LifecycleVerb),
}

/// Whether a state allows an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// No.
    Never,
    /// Yes.
    Allowed,
    /// Yes, and the use is recorded in the audit trail.
    Audited,
    /// Only by someone who states a reason, which is recorded.
    WithReason,
}

impl KeyState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::PreActive,
        Self::Active,
        Self::Suspended,
        Self::Deactivated,
        Self::Revoked,
        Self::Compromised,
        Self::Destroyed,
    ];

    /// The verbs that a key in this state allows, and where each leads.
    pub fn exits(self) -> &'static [(LifecycleVerb, Self)] {
        use LifecycleVerb::{Activate, Compromise, Deactivate, Destroy, Resume, Revoke, Rotate, Suspend};
        match self {
            Self::PreActive => &[(Activate, Self::Active), (Destroy, Self::Destroyed)],
            Self::Active => &[
                (Suspend, Self::Suspended),
                (Rotate, Self::Deactivated),
                (Deactivate, Self::Deactivated),
                (Revoke, Self::Revoked),
                (Compromise, Self::Compromised),
            ],
            Self::Suspended => &[
                (Resume, Self::Active),
                (Deactivate, Self::Deactivated),
                (Revoke, Self::Revoked),
                (Compromise, Self::Compromised),
            ],
            Self::Deactivated | Self::Revoked => {
                &[(Compromise, Self::Compromised), (Destroy, Self::Destroyed)]
            }
            Self::Compromised => &[(Destroy, Self::Destroyed)],
            Self::Destroyed => &[],
        }
    }

    /// The state after a verb.
    ///
    /// # Errors
    /// [`Error::WrongState`] when the state does not allow the verb.
    pub fn after(self, verb: LifecycleVerb) -> Result<Self, Error> {
        self.exits()
            .iter()
            .find(|(exit, _)| *exit == verb)
            .map(|(_, next)| *next)
            .ok_or(Error::WrongState { state: self, operation: Operation::Change(verb) })
    }

    /// Whether the state allows an operation with the material.
    pub fn permits(self, operation: Operation) -> Permission {
        use Permission::{Allowed, Audited, Never, WithReason};
        let (make, read) = match self {
            Self::PreActive | Self::Suspended | Self::Destroyed => (Never, Never),
            Self::Active => (Allowed, Allowed),
            Self::Deactivated => (Never, Allowed),
            Self::Revoked => (Never, Audited),
            Self::Compromised => (Never, WithReason),
        };
        match operation {
            Operation::Seal | Operation::Sign => make,
            Operation::Open | Operation::Verify => read,
            Operation::Change(verb) => {
                if self.after(verb).is_ok() {
                    Audited
                } else {
                    Never
                }
            }
        }
    }

    /// The name in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "PRE_ACTIVE",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Deactivated => "DEACTIVATED",
            Self::Revoked => "REVOKED",
            Self::Compromised => "COMPROMISED",
            Self::Destroyed => "DESTROYED",
        }
    }
}

impl LifecycleVerb {
    /// Every verb.
    pub const ALL: [Self; 8] = [
        Self::Activate,
        Self::Suspend,
        Self::Resume,
        Self::Rotate,
        Self::Deactivate,
        Self::Revoke,
        Self::Compromise,
        Self::Destroy,
    ];

    /// The name in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "ACTIVATE",
            Self::Suspend => "SUSPEND",
            Self::Resume => "RESUME",
            Self::Rotate => "ROTATE",
            Self::Deactivate => "DEACTIVATE",
            Self::Revoke => "REVOKE",
            Self::Compromise => "COMPROMISE",
            Self::Destroy => "DESTROY",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(Error::Malformed { what: "key state" })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seal => "SEAL",
            Self::Sign => "SIGN",
            Self::Open => "OPEN",
            Self::Verify => "VERIFY",
            Self::Change(verb) => verb.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_the_specified_one() {
        use KeyState::{Active, Compromised, Deactivated, Destroyed, PreActive, Revoked, Suspended};
        let leads_to = |state: KeyState| {
            let mut next: Vec<_> = state.exits().iter().map(|(_, next)| *next).collect();
            next.dedup();
            next
        };
        assert_eq!(leads_to(PreActive), [Active, Destroyed]);
        assert_eq!(leads_to(Active), [Suspended, Deactivated, Revoked, Compromised]);
        assert_eq!(leads_to(Suspended), [Active, Deactivated, Revoked, Compromised]);
        assert_eq!(leads_to(Deactivated), [Compromised, Destroyed]);
        assert_eq!(leads_to(Revoked), [Compromised, Destroyed]);
        assert_eq!(leads_to(Compromised), [Destroyed]);
        assert_eq!(leads_to(Destroyed), []);
    }

    #[test]
    fn only_an_active_key_makes_anything() {
        for state in KeyState::ALL {
            let makes = state.permits(Operation::Seal) != Permission::Never;
            assert_eq!(makes, state == KeyState::Active, "{state}");
            assert_eq!(state.permits(Operation::Seal), state.permits(Operation::Sign));
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in KeyState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }

    proptest! {
        #[test]
        fn no_life_leads_back_from_retirement_into_use(verbs in proptest::collection::vec(0..8usize, 0..40)) {
            let mut state = KeyState::PreActive;
            let mut retired = false;
            let mut spoilt = false;
            for verb in verbs {
                let Ok(next) = state.after(LifecycleVerb::ALL[verb]) else { continue };
                prop_assert_ne!(next, KeyState::PreActive);
                state = next;
                retired |= matches!(state, KeyState::Deactivated | KeyState::Revoked | KeyState::Destroyed);
                spoilt |= state == KeyState::Compromised;
                prop_assert!(!((retired || spoilt) && state.permits(Operation::Seal) != Permission::Never));
                prop_assert!(!(spoilt && state.permits(Operation::Open) == Permission::Allowed));
                if state == KeyState::Destroyed {
                    prop_assert!(state.exits().is_empty());
                }
            }
        }
    }
}

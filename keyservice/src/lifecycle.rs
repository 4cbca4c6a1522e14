//! The life of a key as two tables: what each state allows, and where each verb leads.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::right::Right;

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
    /// Gives it a later expiry; its state stays.
    Renew,
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

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Make a ciphertext.
    Seal,
    /// Read a ciphertext.
    Open,
    /// Make a signature.
    Sign,
    /// Check a signature.
    Verify,
    /// Make an authentication code.
    Mac,
    /// Check an authentication code.
    VerifyMac,
    /// Give the material to somebody else, wrapped.
    Export,
    /// Change the state.
    Change(LifecycleVerb),
}

impl Operation {
    /// Those that use the material of one key.
    pub const USES: [Self; 6] =
        [Self::Seal, Self::Open, Self::Sign, Self::Verify, Self::Mac, Self::VerifyMac];

    /// Every operation.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::USES.into_iter().chain([Self::Export]).chain(LifecycleVerb::ALL.into_iter().map(Self::Change))
    }

    /// The right that somebody needs for it.
    pub fn right(self) -> Right {
        match self {
            Self::Seal => Right::Seal,
            Self::Open => Right::Open,
            Self::Sign => Right::Sign,
            Self::Verify => Right::Verify,
            Self::Mac => Right::Mac,
            Self::VerifyMac => Right::VerifyMac,
            Self::Export => Right::Export,
            Self::Change(LifecycleVerb::Activate) => Right::Activate,
            Self::Change(LifecycleVerb::Suspend) => Right::Suspend,
            Self::Change(LifecycleVerb::Resume) => Right::Resume,
            Self::Change(LifecycleVerb::Renew) => Right::Renew,
            Self::Change(LifecycleVerb::Rotate) => Right::Rotate,
            Self::Change(LifecycleVerb::Deactivate | LifecycleVerb::Revoke) => Right::Revoke,
            Self::Change(LifecycleVerb::Compromise) => Right::Compromise,
            Self::Change(LifecycleVerb::Destroy) => Right::Destroy,
        }
    }

    /// Whether it makes something that is later to be opened or verified.
    pub fn makes(self) -> bool {
        matches!(self, Self::Seal | Self::Sign | Self::Mac)
    }

    /// The name in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "SEAL",
            Self::Open => "OPEN",
            Self::Sign => "SIGN",
            Self::Verify => "VERIFY",
            Self::Mac => "MAC",
            Self::VerifyMac => "VERIFY_MAC",
            Self::Export => "EXPORT",
            Self::Change(verb) => verb.as_str(),
        }
    }
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
        use LifecycleVerb::{
            Activate, Compromise, Deactivate, Destroy, Renew, Resume, Revoke, Rotate, Suspend,
        };
        match self {
            Self::PreActive => &[(Activate, Self::Active), (Destroy, Self::Destroyed)],
            Self::Active => &[
                (Renew, Self::Active),
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
            Operation::Seal | Operation::Sign | Operation::Mac => make,
            Operation::Open | Operation::Verify | Operation::VerifyMac => read,
            // What leaves was made to be used elsewhere, so only a key in use leaves.
            Operation::Export => make,
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
    pub const ALL: [Self; 9] = [
        Self::Activate,
        Self::Suspend,
        Self::Resume,
        Self::Renew,
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
            Self::Renew => "RENEW",
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
        f.write_str(self.as_str())
    }
}

impl FromStr for Operation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::all()
            .find(|operation| operation.as_str() == text)
            .ok_or(Error::Malformed { what: "key operation" })
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(leads_to(Active), [Active, Suspended, Deactivated, Revoked, Compromised]);
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
            for operation in [Operation::Sign, Operation::Mac, Operation::Export] {
                assert_eq!(state.permits(Operation::Seal), state.permits(operation));
            }
            for operation in [Operation::Verify, Operation::VerifyMac] {
                assert_eq!(state.permits(Operation::Open), state.permits(operation));
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in KeyState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for operation in Operation::all() {
            assert_eq!(operation.as_str().parse(), Ok(operation));
        }
    }
}

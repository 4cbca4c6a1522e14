//! The roles of the key service: which rights each gives, and who may grant what to whom.
//!
//! Roles are granted one by one and work at once. Being an administrator of the application gives none of them.

use crate::right::{Right, Rights};

names! {
    /// What a person may do with the key service.
    KeyRole, "key role" {
        /// Grants key roles to others, and uses none of them unless somebody else granted it.
        Admin = "KEY_ADMIN";
        /// Modules, access policies, and the whole life of keys; approves what other managers asked for.
        Manager = "KEY_MANAGER";
        /// Rotates, renews and revokes keys.
        Operator = "KEY_OPERATOR";
        /// Reads metadata, policies, decisions and audit, never material.
        Auditor = "KEY_AUDITOR";
        /// Brings keys in from external key stores.
        Integrator = "KEY_INTEGRATOR";
    }
}

impl KeyRole {
    /// The rights of the role: the one table.
    pub const fn rights(self) -> Rights {
        use Right::{
            Activate, Approve, Compromise, Destroy, Export, Generate, GrantRoles, Import, ManageModules,
            ManagePolicies, OpenCompromised, ReadAudit, ReadDecisions, ReadMetadata, Renew, Resume, Revoke,
            Rotate, RotateKeyEncryptionKey, RotateRoot, Suspend,
        };
        match self {
            Self::Admin => Rights::of(&[GrantRoles]),
            Self::Manager => Rights::of(&[
                Generate,
                Activate,
                Rotate,
                Renew,
                Suspend,
                Resume,
                Revoke,
                Compromise,
                OpenCompromised,
                Destroy,
                Import,
                Export,
                ManageModules,
                ManagePolicies,
                RotateRoot,
                RotateKeyEncryptionKey,
                Approve,
                ReadMetadata,
                ReadDecisions,
            ]),
            Self::Operator => Rights::of(&[Rotate, Renew, Revoke, ReadMetadata]),
            Self::Auditor => Rights::of(&[ReadMetadata, ReadDecisions, ReadAudit]),
            Self::Integrator => Rights::of(&[Import, ReadMetadata]),
        }
    }
}

/// The key roles that a person holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRoles(u8);

impl KeyRoles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Whether the role is among them.
    pub const fn has(self, role: KeyRole) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// The rights of all of them.
    pub fn rights(self) -> Rights {
        self.iter().fold(Rights::NONE, |rights, role| rights.and(role.rights()))
    }

    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = KeyRole> {
        KeyRole::ALL.iter().copied().filter(move |role| self.has(*role))
    }
}

impl FromIterator<KeyRole> for KeyRoles {
    fn from_iter<I: IntoIterator<Item = KeyRole>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |all, role| all | 1 << role as u8))
    }
}

/// Who grants or takes back a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granter {
    /// The command line of the host, where the first grants come from.
    Host,
    /// A person.
    Person {
        /// Their id.
        id: [u8; 16],
        /// What they hold.
        roles: KeyRoles,
    },
}

/// Who is to hold a role, and through whose hands their credentials went. Roles are worth what the credentials are: an
/// account that the granter made, or that opens with a password that others chose, can be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grantee {
    /// Their id.
    pub id: [u8; 16],
    /// Whether the granter made the account, or ever chose its password.
    pub made_by_granter: bool,
    /// Whether somebody else than they, or the host, chose the password that it has.
    pub password_of_another: bool,
}

/// Why a role may not be granted or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// They do not hold the right.
    #[error(
        "Key roles are granted and taken back by a key administrator, or on the command line of the host."
    )]
    NotAKeyAdministrator,
    /// The role is granted on the host only.
    #[error("The role key administrator is granted on the command line of the host only.")]
    HostOnly,
    /// They would grant it to themselves.
    #[error("Nobody grants a key role to themselves. Ask another key administrator.")]
    ToThemselves,
    /// They would grant it to an account that they made.
    #[error(
        "Nobody grants a key role to an account that they made, or whose password they chose. Ask another key \
         administrator."
    )]
    OwnMaking,
    /// They would grant it to whoever chose the password.
    #[error(
        "Somebody else chose the password of this account. Its holder sets one of their own first, and is granted the \
         role then."
    )]
    PasswordOfAnother,
}

/// Whether a role may be granted to somebody.
///
/// # Errors
/// Why not.
pub fn may_grant(granter: Granter, to: Grantee, role: KeyRole) -> Result<(), GrantRefusal> {
    let Granter::Person { id, .. } = granter else { return Ok(()) };
    may_take_back(granter)?;
    if role == KeyRole::Admin {
        return Err(GrantRefusal::HostOnly);
    }
    match to {
        to if to.id == id => Err(GrantRefusal::ToThemselves),
        to if to.made_by_granter => Err(GrantRefusal::OwnMaking),
        to if to.password_of_another => Err(GrantRefusal::PasswordOfAnother),
        _ => Ok(()),
    }
}

/// Whether a role may be taken back. Giving up one's own is nobody's harm.
///
/// # Errors
/// Why not.
pub fn may_take_back(granter: Granter) -> Result<(), GrantRefusal> {
    match granter {
        Granter::Host => Ok(()),
        Granter::Person { roles, .. } if roles.rights().has(Right::GrantRoles) => Ok(()),
        Granter::Person { .. } => Err(GrantRefusal::NotAKeyAdministrator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(roles: &[KeyRole]) -> Granter {
        Granter::Person { id: [1; 16], roles: roles.iter().copied().collect() }
    }

    fn to(id: u8) -> Grantee {
        Grantee { id: [id; 16], made_by_granter: false, password_of_another: false }
    }

    #[test]
    fn nobody_grants_a_role_to_themselves_whatever_they_hold() {
        for role in KeyRole::ALL {
            assert!(may_grant(person(KeyRole::ALL), to(1), *role).is_err(), "{role}");
        }
    }

    #[test]
    fn nobody_but_the_host_grants_a_role_to_an_account_whose_credentials_are_not_its_holders() {
        for (grantee, refusal) in [
            (Grantee { made_by_granter: true, ..to(2) }, GrantRefusal::OwnMaking),
            (Grantee { password_of_another: true, ..to(2) }, GrantRefusal::PasswordOfAnother),
        ] {
            assert_eq!(may_grant(person(KeyRole::ALL), grantee, KeyRole::Manager), Err(refusal));
            assert_eq!(may_grant(Granter::Host, grantee, KeyRole::Manager), Ok(()));
        }
    }

    #[test]
    fn an_administrator_of_keys_uses_none_of_them() {
        assert_eq!(KeyRole::Admin.rights().iter().collect::<Vec<_>>(), [Right::GrantRoles]);
    }

    #[test]
    fn only_an_administrator_of_keys_and_the_host_grant_roles() {
        for role in KeyRole::ALL.iter().filter(|role| **role != KeyRole::Admin) {
            assert_eq!(may_grant(Granter::Host, to(1), *role), Ok(()));
            assert_eq!(may_grant(person(&[KeyRole::Admin]), to(2), *role), Ok(()));
            let others = [KeyRole::Manager, KeyRole::Operator, KeyRole::Auditor, KeyRole::Integrator];
            assert_eq!(may_grant(person(&others), to(2), *role), Err(GrantRefusal::NotAKeyAdministrator));
        }
        assert_eq!(may_grant(person(&[KeyRole::Admin]), to(2), KeyRole::Admin), Err(GrantRefusal::HostOnly));
        assert_eq!(may_grant(Granter::Host, to(2), KeyRole::Admin), Ok(()));
    }

    #[test]
    fn an_auditor_reads_and_no_role_but_the_auditors_reads_the_audit() {
        let reads = [Right::ReadMetadata, Right::ReadDecisions, Right::ReadAudit];
        assert_eq!(KeyRole::Auditor.rights().iter().collect::<Vec<_>>(), reads);
        for role in KeyRole::ALL {
            assert_eq!(role.rights().has(Right::ReadAudit), *role == KeyRole::Auditor, "{role}");
            assert!(!role.rights().iter().any(Right::uses_material), "{role} uses no material");
        }
    }
}

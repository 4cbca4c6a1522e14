//! Who asks, and what they hold: a permission is a value obtained from a [`Requester`], never constructed.

use std::collections::BTreeSet;

use super::Timestamp;
use super::audit::AuditScope;
use super::id::{AccessTokenId, CompanyId, ConnectionId, SessionId, UserId};
use super::key_module::{grants_key_roles, reads_metadata};
use super::refusal::{Refusal, RefusalCode};

words! {
    /// What an account may do. Key roles are separate: being administrator of the application grants none of them.
    Role {
        /// Everything in the application.
        Admin = "ADMIN", "Administrator";
        /// Registers, onboards, resolves; no users and no roles.
        Operator = "OPERATOR", "Operator";
        /// Sees everything, changes nothing.
        Viewer = "VIEWER", "Viewer";
        /// The named contact of another organisation: sees and approves what concerns its company.
        ConsumerContact = "CONSUMER_CONTACT", "Consumer contact";
        /// Grants key roles to others.
        KeyAdmin = "KEY_ADMIN", "Key administrator";
        /// Modules, policies, and the life of keys.
        KeyManager = "KEY_MANAGER", "Key manager";
        /// Rotates, renews and revokes keys.
        KeyOperator = "KEY_OPERATOR", "Key operator";
        /// Reads metadata, policies, decisions and audit, never material.
        KeyAuditor = "KEY_AUDITOR", "Key auditor";
        /// External key stores.
        KeyIntegrator = "KEY_INTEGRATOR", "Key integrator";
    }
}

impl Role {
    /// Whether this role is one of the key service's.
    #[must_use]
    pub const fn is_key_role(self) -> bool {
        matches!(
            self,
            Self::KeyAdmin | Self::KeyManager | Self::KeyOperator | Self::KeyAuditor | Self::KeyIntegrator
        )
    }
}

/// How the requester showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A browser session; `fresh_at` is when credentials were last given.
    Session { id: SessionId, fresh_at: Timestamp },
    /// A personal access token.
    AccessToken(AccessTokenId),
    /// The command line on the host itself; `confirmed` when they gave their password as well.
    Host { confirmed: bool },
}

/// A person or program that signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The account.
    pub user: UserId,
    /// Mail address, which is also the sign-in name.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// Granted roles.
    pub roles: BTreeSet<Role>,
    /// The other organisation the person belongs to; none for our own people.
    pub company: Option<CompanyId>,
    /// How they signed in.
    pub means: Means,
}

impl Person {
    /// Whether the role is granted.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// Nobody we know.
    Anonymous,
    /// Somebody who signed in.
    Person(Person),
    /// The other instance of a connection: what its seal or its key shows it to be.
    Peer(ConnectionId),
    /// This instance itself, doing what a committed fact asked for.
    System,
}

/// May see; holds what may be seen.
#[derive(Clone, Debug)]
pub struct Viewer {
    scope: Scope,
    audit: Option<AuditScope>,
    keys: bool,
    grants: bool,
}
/// May register, onboard, resolve.
#[derive(Clone, Debug)]
pub struct Operator(UserId);
/// May do everything in the application.
#[derive(Clone, Debug)]
pub struct Administrator(UserId);

/// What a requester may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything of this instance.
    Everything,
    /// What concerns one company.
    Company(CompanyId),
    /// Only themselves.
    Nothing,
}

impl Viewer {
    /// What may be seen.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether the metadata of key modules and keys may be read.
    #[must_use]
    pub const fn keys(&self) -> bool {
        self.keys
    }

    /// Whether key roles may be granted, and so our own people be seen: whoever grants has to know to whom.
    #[must_use]
    pub const fn grants(&self) -> bool {
        self.grants
    }

    /// What may be read of the audit trail; none for whoever may not read it at all.
    #[must_use]
    pub const fn audit(&self) -> Option<AuditScope> {
        self.audit
    }
}

impl Operator {
    /// Who acts.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.0
    }
}

impl Administrator {
    /// Who acts.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.0
    }
}

/// Whether these roles show everything of this instance.
#[must_use]
pub fn sees_everything(roles: &BTreeSet<Role>) -> bool {
    [Role::Admin, Role::Operator, Role::Viewer].iter().any(|role| roles.contains(role))
}

impl Requester {
    /// The person, if it is one.
    #[must_use]
    pub const fn person(&self) -> Option<&Person> {
        match self {
            Self::Person(person) => Some(person),
            Self::Anonymous | Self::Peer(_) | Self::System => None,
        }
    }

    /// Whether it is a person at the command line of the host.
    #[must_use]
    pub fn is_on_host(&self) -> bool {
        self.person().is_some_and(|person| matches!(person.means, Means::Host { .. }))
    }

    /// What this requester may see. Everybody may see something, if only themselves.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        let scope = match self {
            Self::System => Scope::Everything,
            Self::Anonymous | Self::Peer(_) => Scope::Nothing,
            Self::Person(person) => {
                if sees_everything(&person.roles) {
                    Scope::Everything
                } else {
                    match (person.has(Role::ConsumerContact), person.company) {
                        (true, Some(company)) => Scope::Company(company),
                        _ => Scope::Nothing,
                    }
                }
            }
        };
        Viewer {
            scope,
            audit: self.person().and_then(AuditScope::of),
            keys: self.person().is_some_and(reads_metadata),
            grants: self.person().is_some_and(grants_key_roles),
        }
    }

    /// That our own people may be seen, each of them: by administrators, and by whoever grants key roles.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` when neither the administrator's nor the key administrator's role is granted.
    pub fn sees_people(&self) -> Result<(), Refusal> {
        if self.administrator().is_ok() || self.person().is_some_and(grants_key_roles) {
            return Ok(());
        }
        let message = "This needs the role administrator or key administrator of this instance.";
        Err(Refusal::new(RefusalCode::NotAnAdministrator, message))
    }

    /// The right to register, onboard and resolve.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` when neither the administrator's nor the operator's role is granted.
    pub fn operator(&self) -> Result<Operator, Refusal> {
        match self.person() {
            Some(person) if person.has(Role::Admin) || person.has(Role::Operator) => {
                Ok(Operator(person.user))
            }
            _ => Err(Refusal::new(
                RefusalCode::NotAnAdministrator,
                "This needs the role administrator or operator of this instance.",
            )),
        }
    }

    /// The right to do everything in the application.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` when the administrator's role is not granted.
    pub fn administrator(&self) -> Result<Administrator, Refusal> {
        match self.person() {
            Some(person) if person.has(Role::Admin) => Ok(Administrator(person.user)),
            _ => Err(Refusal::new(
                RefusalCode::NotAnAdministrator,
                "This needs the role administrator of this instance.",
            )),
        }
    }

    /// The roles under which audit entries record the requester, by name and comma-separated.
    #[must_use]
    pub fn roles(&self) -> String {
        let roles = self.person().into_iter().flat_map(|person| &person.roles);
        roles.map(|role| role.as_str()).collect::<Vec<_>>().join(",")
    }

    /// For whom the requester acts, as audit entries record it: another organisation's people act for it.
    #[must_use]
    pub fn on_behalf_of(&self) -> String {
        let company = self.person().and_then(|person| person.company);
        company.map(|company| format!("company:{company}")).unwrap_or_default()
    }

    /// The name under which audit entries record the requester.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::System => "system".to_owned(),
            Self::Person(person) => format!("user:{}", person.user),
            Self::Peer(connection) => format!("peer:{connection}"),
        }
    }
}

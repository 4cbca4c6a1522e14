//! Access policies, decisions and rights of the key service, as those who look after keys see them.

use uuid::Uuid;

use super::Timestamp;
use super::id::{KeyPolicyId, UserId};
use super::requester::{Person, Role};

words! {
    /// One thing that can be done with modules, keys and the key service.
    KeyOperation {
        /// Make a ciphertext.
        Seal = "SEAL", "Seal";
        /// Read a ciphertext.
        Open = "OPEN", "Open";
        /// Make a signature.
        Sign = "SIGN", "Sign";
        /// Check a signature.
        Verify = "VERIFY", "Verify";
        /// Make a message authentication code.
        Mac = "MAC", "Authenticate";
        /// Check a message authentication code.
        VerifyMac = "VERIFY_MAC", "Verify authentication";
        /// Take part in a key exchange, which makes the keys of a connection.
        Agree = "AGREE", "Agree on keys";
        /// Make a new key.
        Generate = "GENERATE", "Generate";
        /// Put a new key into use.
        Activate = "ACTIVATE", "Activate";
        /// Put a new version in the place of a key.
        Rotate = "ROTATE", "Rotate";
        /// Move the expiry of a key.
        Renew = "RENEW", "Renew";
        /// Take a key out of use for a while.
        Suspend = "SUSPEND", "Suspend";
        /// Put a suspended key back into use.
        Resume = "RESUME", "Resume";
        /// Withdraw a key.
        Revoke = "REVOKE", "Revoke";
        /// Mark a key as known to others.
        Compromise = "COMPROMISE", "Mark as compromised";
        /// Read under a key that is marked as compromised.
        OpenCompromised = "OPEN_COMPROMISED", "Open under a compromised key";
        /// Erase the material of a key.
        Destroy = "DESTROY", "Destroy";
        /// Bring key material in from elsewhere.
        Import = "IMPORT", "Import";
        /// Take key material out, wrapped for another system.
        Export = "EXPORT", "Export";
        /// Create, change and publish modules, and set when their keys rotate by themselves.
        ManageModules = "MANAGE_MODULES", "Manage modules";
        /// Create, change and delete access policies.
        ManagePolicies = "MANAGE_POLICIES", "Manage access policies";
        /// Put another root key in the place of the one in use.
        RotateRoot = "ROTATE_ROOT", "Rotate the root key";
        /// Put a new key encryption key in use and rewrap every key under it.
        RotateKeyEncryptionKey = "ROTATE_KEY_ENCRYPTION_KEY", "Rotate the key encryption key";
        /// Approve or refuse what another person asked for.
        Approve = "APPROVE", "Approve";
        /// Grant key roles to others and take them back.
        GrantRoles = "GRANT_ROLES", "Grant key roles";
        /// Read what is known of modules and keys, and access policies; never material.
        ReadMetadata = "READ_METADATA", "Read metadata";
        /// Read how access was decided.
        ReadDecisions = "READ_DECISIONS", "Read decisions";
        /// Read the audit trail of the key service.
        ReadAudit = "READ_AUDIT", "Read the audit trail";
    }
}

words! {
    /// What an access policy that applies says, in the order in which they decide.
    AccessEffect {
        /// Denies, whatever else applies.
        StrictReject = "STRICT_REJECT", "Strict reject";
        /// Allows unless a strict reject applies; each use is recorded.
        Track = "TRACK", "Track";
        /// Denies unless another policy allows.
        Reject = "REJECT", "Reject";
    }
}

words! {
    /// A part of this program that uses keys.
    KeyUser {
        /// Registration and onboarding: the exchange, identity documents, links.
        Onboarding = "ONBOARDING", "Onboarding";
        /// Messages between the instances of a connection: settings, probes, notices.
        Peer = "PEER", "Messages to peers";
        /// Letters and what they carry.
        Letters = "LETTERS", "Letters";
        /// Signing people in, and their second factors.
        SignIn = "SIGN_IN", "Sign-in";
        /// Tokens and assertions of OAuth.
        Authorization = "AUTHORIZATION", "Authorization";
        /// Secret settings and answers that are kept.
        Settings = "SETTINGS", "Settings";
        /// Checkpoints of the audit trail.
        Audit = "AUDIT", "Audit trail";
        /// Checks and the health report.
        Health = "HEALTH", "Health";
    }
}

words! {
    /// Whether an access policy applied, or why not.
    PolicyOutcome {
        /// It is about this principal, operation and data.
        Applies = "APPLIES", "Applies";
        /// It is about somebody else.
        OtherPrincipal = "OTHER_PRINCIPAL", "About somebody else";
        /// It is about other operations.
        OtherOperation = "OTHER_OPERATION", "About other operations";
        /// It is about other associated data.
        OtherData = "OTHER_DATA", "About other data";
    }
}

words! {
    /// Whether somebody can effectively do something with a module.
    AccessVerdict {
        /// Yes, whatever the data.
        Allowed = "ALLOWED", "Allowed";
        /// For some associated data.
        Only = "ONLY", "Allowed only for some data";
        /// For all but some associated data.
        Except = "EXCEPT", "Allowed except for some data";
        /// No, whatever the data.
        Denied = "DENIED", "Denied";
    }
}

/// Whom an access policy is about, or who wanted to use a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Everybody and everything.
    Anyone,
    /// Every part of this program.
    EveryService,
    /// One part of this program.
    Service(KeyUser),
    /// Every person.
    EveryPerson,
    /// One person.
    Person(UserId),
    /// Whoever holds the key role.
    Role(Role),
}

/// Associated data of a use of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessData {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What an access policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTerms {
    /// What follows when it applies.
    pub effect: AccessEffect,
    /// Whom it is about.
    pub principal: Principal,
    /// What it is about; at least one, each of a module.
    pub operations: Vec<KeyOperation>,
    /// The associated data that it is bound to.
    pub condition: Option<AccessData>,
    /// Why it exists.
    pub note: String,
}

words! {
    /// What can be done with the access policies of a module, by the mutation that does it.
    KeyPolicyVerb {
        /// Add one to the module.
        Create = "createAccessPolicy", "Add an access policy";
        /// Give one other terms.
        Update = "updateAccessPolicy", "Change";
        /// Take one out.
        Delete = "deleteAccessPolicy", "Delete";
    }
}

/// An access policy of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Its id.
    pub id: KeyPolicyId,
    /// The name of its module.
    pub module: String,
    /// Grows with every change of the module and its policies.
    pub revision: i64,
    /// What it says.
    pub terms: PolicyTerms,
}

/// Whether somebody can effectively do something with a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveRight {
    /// Who: a part of this program, whoever holds just that key role, a person with all their roles, or, as
    /// [`Principal::EveryPerson`], whoever holds no key role.
    pub principal: Principal,
    /// What.
    pub operation: KeyOperation,
    /// Whether.
    pub verdict: AccessVerdict,
    /// The data that the verdict names.
    pub data: Vec<AccessData>,
    /// Where it is allowed for some data only: other data that denies it, also where its name is not given.
    pub unless: Vec<AccessData>,
}

/// How access to a key was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDecision {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// The name of the module.
    pub module: String,
    /// Who wanted it.
    pub principal: Principal,
    /// What they wanted.
    pub operation: KeyOperation,
    /// The associated data of the use.
    pub data: Vec<AccessData>,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Why, in a sentence.
    pub explanation: String,
    /// Every policy of the module, in the order in which they decide.
    pub trace: Vec<ConsideredPolicy>,
}

/// One policy in the trace of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsideredPolicy {
    /// The policy.
    pub policy: KeyPolicyId,
    /// What it said.
    pub effect: AccessEffect,
    /// Whether it applied.
    pub outcome: PolicyOutcome,
    /// Its note.
    pub note: String,
}

impl EffectiveRight {
    /// Who it is, in words.
    #[must_use]
    pub fn who(&self) -> String {
        match self.principal {
            Principal::EveryPerson => "People without a key role".to_owned(),
            principal => principal.label(),
        }
    }
}

impl Principal {
    /// The words for people.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Anyone => "Everybody and every part of the program".to_owned(),
            Self::EveryService => "Every part of the program".to_owned(),
            Self::Service(service) => service.label().to_owned(),
            Self::EveryPerson => "Every person".to_owned(),
            Self::Person(_) => "One person".to_owned(),
            Self::Role(role) => role.label().to_owned(),
        }
    }
}

/// The key roles of a person, by their names in the key service. People of other organisations hold none.
pub fn key_roles(person: &Person) -> impl Iterator<Item = Role> {
    let ours = person.company.is_none();
    person.roles.iter().copied().filter(move |role| ours && role.is_key_role())
}

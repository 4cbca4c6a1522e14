//! Key modules and the versions of their keys, as those who look after keys see them.

use uuid::Uuid;

use super::Timestamp;
use super::id::ChannelId;
use super::requester::{Person, Role};

words! {
    /// Where a key module is in its life.
    KeyModuleState {
        /// Its specification can change; it has no keys.
        Draft = "DRAFT", "Draft";
        /// Its keys can be made and used; its specification is fixed.
        Published = "PUBLISHED", "Published";
    }
}

words! {
    /// Where a key is in its life.
    KeyState {
        /// Made, not yet in use.
        PreActive = "PRE_ACTIVE", "Pre-active";
        /// In use.
        Active = "ACTIVE", "Active";
        /// Out of use for a while.
        Suspended = "SUSPENDED", "Suspended";
        /// Replaced; it still opens and verifies what it made.
        Deactivated = "DEACTIVATED", "Deactivated";
        /// Withdrawn for a reason; what it made can still be read, and each reading is recorded.
        Revoked = "REVOKED", "Revoked";
        /// Believed known to others; read with only for a stated reason and with a second person's agreement.
        Compromised = "COMPROMISED", "Compromised";
        /// The material is gone; the metadata stays.
        Destroyed = "DESTROYED", "Destroyed";
    }
}

words! {
    /// What can be done with a key module, by the mutation that does it.
    KeyModuleVerb {
        /// Give a draft another specification.
        Specify = "specifyKeyModule", "Change specification";
        /// Set when its keys rotate by themselves.
        Schedule = "scheduleKeyModule", "Schedule rotation";
        /// Fix its specification and open it for keys.
        Publish = "publishKeyModule", "Publish";
        /// Put a new version of its key in the place of the one in use.
        Rotate = "rotateKeyModule", "Rotate";
        /// Make a new version of its key, to be put into use later.
        Generate = "generateKey", "Make a key for later";
    }
}

words! {
    /// What can be done with a version of a key, by the mutation that does it.
    KeyVerb {
        /// Put it into use, in the place of the one that is.
        Activate = "activateKey", "Put into use";
        /// Take it out of use for a while.
        Suspend = "suspendKey", "Suspend";
        /// Put it back into use.
        Resume = "resumeKey", "Resume";
        /// Give it another expiry.
        Renew = "renewKey", "Renew";
        /// Retire it without a successor.
        Deactivate = "deactivateKey", "Deactivate";
        /// Withdraw it.
        Revoke = "revokeKey", "Revoke";
        /// Mark it as known to others.
        MarkCompromised = "markKeyCompromised", "Mark as compromised";
        /// Erase its material.
        Destroy = "destroyKey", "Destroy";
    }
}

/// What holds for the keys of a module that somebody makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleTerms {
    /// Whether its keys may leave, wrapped, when a second person agrees.
    pub exportable: bool,
    /// How long after its activation a key is due for rotation, in seconds.
    pub rotation_period: Option<i64>,
    /// How long after it was made a key stops sealing and signing, in seconds.
    pub key_lifetime: Option<i64>,
}

/// A key module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyModule {
    /// Its id.
    pub id: Uuid,
    /// Grows by one with every change.
    pub revision: i64,
    /// Its name, unique in the instance.
    pub name: String,
    /// What its keys are for, as a stable name.
    pub purpose: &'static str,
    /// The algorithm of its keys, as a stable name.
    pub algorithm: &'static str,
    /// Whether every instance has it.
    pub built_in: bool,
    /// Where it is in its life.
    pub state: KeyModuleState,
    /// Whether its keys may leave, wrapped, when a second person agrees.
    pub exportable: bool,
    /// How long after its activation a key is due for rotation, in seconds.
    pub rotation_period: Option<i64>,
    /// How long after it was made a key stops sealing and signing, in seconds.
    pub key_lifetime: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// The versions of its key, the newest first.
    pub versions: Vec<KeyVersion>,
}

/// One version of a module's key. Never its material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its id.
    pub id: Uuid,
    /// The name under which it is kept: its module's, or `links/` and the id of a connection's channel.
    pub module: String,
    /// Its number, from 1.
    pub version: u64,
    /// Where it is in its life.
    pub state: KeyState,
    /// Why it was suspended, revoked or marked as compromised.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first put into use.
    pub activated_at: Option<Timestamp>,
    /// When a newer version took its place.
    pub rotated_at: Option<Timestamp>,
    /// When it went out of use for good.
    pub deactivated_at: Option<Timestamp>,
    /// When it stops sealing and signing by itself.
    pub expires_at: Option<Timestamp>,
    /// When its material was erased.
    pub destroyed_at: Option<Timestamp>,
    /// The public half, for keys that sign.
    pub public_key: Option<Vec<u8>>,
}

impl KeyVersion {
    /// How the messages of the connection name it whose key this is; none for the keys of other modules.
    #[must_use]
    pub fn channel(&self) -> Option<ChannelId> {
        channel_of(&self.module)
    }
}

/// How the messages of the connection name it whose keys are under this name; none for the keys of other modules.
#[must_use]
pub fn channel_of(module: &str) -> Option<ChannelId> {
    let id = module.strip_prefix("links/")?;
    Uuid::try_parse(id).ok().map(ChannelId)
}

/// Whether a person may grant key roles to others.
#[must_use]
pub fn grants_key_roles(person: &Person) -> bool {
    person.company.is_none() && person.has(Role::KeyAdmin)
}

/// Whether a person may read the metadata of modules and keys.
#[must_use]
pub fn reads_metadata(person: &Person) -> bool {
    let ours = person.company.is_none();
    ours && [Role::KeyManager, Role::KeyOperator, Role::KeyAuditor, Role::KeyIntegrator]
        .iter()
        .any(|role| person.has(*role))
}

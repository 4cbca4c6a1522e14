//! The audit trail, as people read it.

use super::Timestamp;
use super::id::{ConnectionId, TraceId, UserId};
use super::requester::{Person, Role};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// This instance itself, or its command line on the host.
    System,
    /// Nobody we know.
    Anonymous,
    /// Somebody with an account.
    Person(UserId),
    /// The other instance of a connection.
    Peer(ConnectionId),
}

/// Which entries somebody may read, by how their operations begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditScope {
    /// Only these; all when empty.
    pub within: &'static [&'static str],
    /// Not these.
    pub without: &'static [&'static str],
}

/// How the operations begin that concern keys: their entries are for key auditors alone.
const KEYS: &[&str] = &["key.", "key_module.", "audit."];
/// The same, with what both see: that a connection has keys.
const KEYS_AND_SHARED: &[&str] = &["key.", "key_module.", "audit.", "keys."];

/// Operations that are on record and leave keys, and who may use them, as they were.
const USES: &[&str] = &["key.denied", "key.use", "key.used", "key.window"];

/// Whether an operation on record changes what the key service holds, or who may use it.
#[must_use]
pub fn changes_keys(operation: &str) -> bool {
    (operation.starts_with("key.") || operation.starts_with("key_module.")) && !USES.contains(&operation)
}

impl AuditScope {
    /// What administrators and key auditors read of the trail; none for others, another organisation's people too.
    #[must_use]
    pub fn of(person: &Person) -> Option<Self> {
        let has = |role| person.company.is_none() && person.has(role);
        match (has(Role::KeyAuditor), has(Role::Admin)) {
            (true, true) => Some(Self { within: &[], without: &[] }),
            (true, false) => Some(Self { within: KEYS_AND_SHARED, without: &[] }),
            (false, true) => Some(Self { within: &[], without: KEYS }),
            (false, false) => None,
        }
    }
}

/// An entry's number in the trail, from 1 without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditNumber(pub i64);

/// An entry of the audit trail: who did what to what, when, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number.
    pub id: AuditNumber,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The roles they held, by their stable names.
    pub roles: Vec<String>,
    /// For whom they acted; none when for themselves.
    pub on_behalf_of: Option<String>,
    /// What was done, such as `registration.create`.
    pub operation: String,
    /// The kind of the thing it was done to.
    pub object_kind: String,
    /// The thing, by its own id.
    pub object_id: String,
    /// How it went: `OK` or the code of a refusal.
    pub result: String,
    /// The trace of the request or the work; none if it cannot be read.
    pub trace: Option<TraceId>,
    /// More about it: JSON text.
    pub details: String,
    /// The hash that covers this entry and all before it.
    pub hash: [u8; 32],
}

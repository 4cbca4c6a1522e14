//! The audit trail, as people read it.

use super::Timestamp;
use super::id::{TraceId, UserId};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// This instance itself, or its command line on the host.
    System,
    /// Nobody we know.
    Anonymous,
    /// Somebody with an account.
    Person(UserId),
}

/// An entry of the audit trail: who did what to what, when, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1 without a gap.
    pub number: i64,
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

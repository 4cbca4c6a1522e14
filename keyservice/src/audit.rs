//! The audit trail: a chain in which the hash of each entry covers the one before, and its verification offline.
//!
//! The chain by itself shows an edit, a removal and a change of order. Who can write the database could forge the whole
//! chain anew, so [`crate::checkpoint`]s of it are signed, and other instances keep them countersigned: against these
//! a truncation and a rewriting show as well.

mod verify;

#[cfg(test)]
mod tests;

pub use verify::{Fault, FirstBad, Verified, Verifier, Witness};

use crate::pae::hash;
use crate::ports::Millis;

/// What the first entry follows.
pub const GENESIS: [u8; 32] = [0; 32];

/// Who did what to what, when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1 without a gap.
    pub n: u64,
    /// When.
    pub at: Millis,
    /// Who: `system`, `anonymous`, `user:` and an id.
    pub actor: String,
    /// The roles under which it was done, by name and comma-separated; empty for services.
    pub role: String,
    /// For whom, when not for themselves, such as `company:` and an id; otherwise empty.
    pub on_behalf_of: String,
    /// What was done.
    pub operation: String,
    /// The kind of the thing it was done to.
    pub object_kind: String,
    /// The thing.
    pub object_id: String,
    /// How it went: `OK` or the code of a refusal.
    pub result: String,
    /// The trace of the request or job.
    pub trace: String,
    /// More about it, as JSON; no secret.
    pub details: String,
    /// Sensitive values, each as a keyed hash: who knows a value can look for it, and nobody can read it. By name.
    pub sensitive: Vec<(String, [u8; 32])>,
}

impl Entry {
    /// The hash of the entry behind the entry with hash `previous`.
    ///
    /// What an entry leaves empty at the end is left out, so that entries from before these fields keep their hash.
    #[must_use]
    pub fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let (n, at) = (self.n.to_le_bytes(), self.at.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![
            b"linkspan audit",
            previous,
            &n,
            &at,
            self.actor.as_bytes(),
            self.operation.as_bytes(),
            self.object_kind.as_bytes(),
            self.object_id.as_bytes(),
            self.result.as_bytes(),
            self.trace.as_bytes(),
            self.details.as_bytes(),
        ];
        if !(self.role.is_empty() && self.on_behalf_of.is_empty() && self.sensitive.is_empty()) {
            parts.extend([self.role.as_bytes(), self.on_behalf_of.as_bytes()]);
            for (name, mac) in &self.sensitive {
                parts.extend([name.as_bytes(), mac.as_slice()]);
            }
        }
        hash(&parts)
    }
}

/// An entry as it is kept: with the hash that was written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry.
    pub entry: Entry,
    /// The hash beside it.
    pub hash: [u8; 32],
}

//! Rows of keys against the audit trail: what a writer of the database did is found, and named.
//!
//! A key is given out by the store only while the trail says the same of its row. Here all of them are compared, whether
//! anybody uses them or not, when the instance starts and every hour from then on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use keyservice::{FaultyRow, LastEntry, RowFault, SealedKey};
use uuid::Uuid;

use super::{Actions, Done};
use crate::domain::Timestamp;
use crate::store::KeyTrail;

/// How often every key is compared with the audit trail.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How many keys are compared in one call of the key service.
const AT_ONCE: usize = 500;

/// A row that is not as it should be, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowFinding {
    /// A stable code.
    pub(crate) code: &'static str,
    /// Which row, and what was done to it.
    pub(crate) message: String,
}

/// What was compared last.
#[derive(Clone, Default)]
pub(crate) struct Integrity(Arc<Mutex<Compared>>);

#[derive(Clone, Default)]
struct Compared {
    keys_at: Option<Timestamp>,
    findings: Vec<RowFinding>,
    /// The module of the key of a connection that was tested last.
    last_link: String,
}

impl Integrity {
    fn get(&self) -> Compared {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut Compared)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Compares everything at the next measurement.
    pub(crate) fn forget(&self) {
        self.set(|compared| compared.keys_at = None);
    }

    /// Behind which module the next keys of connections are tested.
    pub(crate) fn last_link(&self) -> String {
        self.get().last_link
    }

    /// That keys of connections were tested, up to this module.
    pub(crate) fn tested_links(&self, upto: String) {
        self.set(|compared| compared.last_link = upto);
    }
}

impl Actions {
    /// The rows of keys that are not as they should be: compared when that is due, or when some were not last time.
    pub(crate) async fn faulty_rows(&self) -> Done<Vec<RowFinding>> {
        let now = self.world.now();
        let known = self.integrity.get();
        let due = known.keys_at.is_none_or(|at| now - at >= EVERY || now < at);
        if !due && known.findings.is_empty() {
            return Ok(known.findings);
        }
        let mut findings = self.compare_keys().await?;
        if !findings.is_empty() {
            // A key that was changed between the reading of its row and of the trail is no finding.
            let again = self.compare_keys().await?;
            findings.retain(|finding| again.contains(finding));
        }
        for finding in findings.iter().filter(|finding| !known.findings.contains(finding)) {
            tracing::error!(code = finding.code, "{}", finding.message);
        }
        self.integrity.set(|compared| (compared.keys_at, compared.findings) = (Some(now), findings.clone()));
        Ok(findings)
    }

    async fn compare_keys(&self) -> Done<Vec<RowFinding>> {
        let KeyTrail { rows, unreadable, entries } = self.store.key_trail().await?;
        let there: BTreeSet<[u8; 16]> = rows.iter().map(|row| row.id).collect();
        let mut faulty: BTreeSet<[u8; 16]> =
            entries.iter().map(|entry| entry.key).filter(|key| !there.contains(key)).collect();
        for piece in rows.chunks(AT_ONCE) {
            let ids: BTreeSet<[u8; 16]> = piece.iter().map(|row| row.id).collect();
            let of_these = |entry: &&LastEntry| ids.contains(&entry.key);
            let said: Vec<LastEntry> = entries.iter().filter(of_these).cloned().collect();
            faulty.extend(self.keys.compare(piece, &said).await?.into_iter().map(|row| row.key));
        }
        // Once more, those alone: what was done to a row is told from what the others are like.
        let rows: Vec<SealedKey> = rows.into_iter().filter(|row| faulty.contains(&row.id)).collect();
        let entries: Vec<LastEntry> =
            entries.into_iter().filter(|entry| faulty.contains(&entry.key)).collect();
        let named = self.keys.compare(&rows, &entries).await?;
        let mut findings: Vec<RowFinding> =
            named.iter().map(|faulty| finding(faulty, &rows, &entries)).collect();
        findings.extend(unreadable.into_iter().map(|name| RowFinding {
            code: RowFault::Changed.as_str(),
            message: format!("Key {name}: a field was changed to what is none."),
        }));
        Ok(findings)
    }
}

fn finding(faulty: &FaultyRow, rows: &[SealedKey], entries: &[LastEntry]) -> RowFinding {
    let row = rows.iter().find(|row| row.id == faulty.key);
    let entry = entries.iter().find(|entry| entry.key == faulty.key);
    let name = match (row, entry) {
        (Some(row), _) => format!("{}@{}", row.module, row.version),
        (None, Some(entry)) => entry.module.clone(),
        (None, None) => "?".to_owned(),
    };
    let id = Uuid::from_bytes(faulty.key);
    let done = match faulty.fault {
        RowFault::Changed => "a field was changed",
        RowFault::Moved => "it was given to another module",
        RowFault::Swapped => "it is the row of another key",
        RowFault::Revived => "its state was set back to one that is over",
        RowFault::RolledBack => "an older row was put in its place",
        RowFault::Missing => "its row was removed",
        RowFault::Unrecorded => "the audit trail knows nothing of this row",
    };
    RowFinding { code: faulty.fault.as_str(), message: format!("Key {name} ({id}): {done}.") }
}

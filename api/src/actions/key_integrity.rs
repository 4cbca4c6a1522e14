//! Rows of keys against the audit trail: what a writer of the database did is found, and named.
//!
//! A key is given out by the store only while the trail says the same of its row. Here all of them are compared, whether
//! anybody uses them or not, when the instance starts and every hour from then on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use keyservice::{Error, FaultyRow, LastEntry, RowFault, SealedKey};
use uuid::Uuid;

use super::{Actions, Done};
use crate::domain::Timestamp;
use crate::store::{KeyTrail, StoreError};
use crate::vault::VaultError;

/// How often every key is compared with the audit trail.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How many keys are compared in one call of the key service: with the longest reasons, less than its longest message.
const AT_ONCE: usize = 200;

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

    /// Those of these rows that are as the key service wrote them, whatever the audit trail says of them.
    pub(crate) async fn as_written(&self, mut keys: Vec<SealedKey>) -> Done<Vec<SealedKey>> {
        let mut faulty = Vec::new();
        for piece in keys.chunks(AT_ONCE) {
            let said = piece.iter().map(|key| LastEntry {
                key: key.id,
                module: key.module.clone(),
                state: key.state,
                state_seq: key.state_seq,
            });
            faulty.extend(self.keys.compare(piece, &said.collect::<Vec<_>>()).await?);
        }
        keys.retain(|key| faulty.iter().all(|faulty| faulty.key != key.id));
        Ok(keys)
    }

    /// What is not as it should be in the row of the instance, which holds the key hierarchy. What works goes on with
    /// what it had.
    pub(crate) async fn faulty_instance(&self) -> Done<Vec<RowFinding>> {
        let mut findings = self.compare_instance().await?;
        if !findings.is_empty() {
            // As with keys: a rotation may have come in between.
            let again = self.compare_instance().await?;
            findings.retain(|finding| again.contains(finding));
        }
        Ok(findings)
    }

    async fn compare_instance(&self) -> Done<Vec<RowFinding>> {
        let finding = |fault: RowFault, done: &str| RowFinding {
            code: fault.as_str(),
            message: format!("The row of this instance: {done}."),
        };
        let Some(row) = self.store.instance().await? else {
            return Ok(vec![finding(RowFault::Missing, "it was removed")]);
        };
        let mut findings = Vec::new();
        if row.id != self.profile.instance {
            findings.push(finding(RowFault::Changed, "its id is another"));
        }
        match self.keys.vault.catch_up().await {
            Ok(_) => {
                let oldest = self.keys.vault.key_encryption_keys().await?.first().copied();
                // The first one was never rotated in.
                let from = oldest.filter(|version| *version > 1).map_or(0, i64::from);
                if row.wraps_from != from {
                    let done = "from which key encryption key on wraps are stored was changed";
                    findings.push(finding(RowFault::Changed, done));
                }
            }
            Err(VaultError::Refused(Error::Tampered { .. })) if self.hierarchy_is_earlier().await? => {
                findings.push(finding(RowFault::RolledBack, "its key hierarchy is an earlier one"));
            }
            // Not of the row: another node may have rotated the root key. That part says so itself.
            Err(VaultError::Refused(
                Error::RootKeyMismatch
                | Error::RootKeyUnavailable { .. }
                | Error::RootKeyExposed { .. }
                | Error::RootKeyMalformed,
            )) => {}
            Err(VaultError::Refused(_)) => {
                findings.push(finding(RowFault::Changed, "its key hierarchy was changed"));
            }
            // The process says so itself.
            Err(VaultError::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(findings)
    }

    async fn hierarchy_is_earlier(&self) -> Done<bool> {
        match self.store.hierarchy().await {
            Ok(_) => Ok(false),
            Err(StoreError::Tampered { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn compare_keys(&self) -> Done<Vec<RowFinding>> {
        let KeyTrail { rows, unreadable, entries } = self.store.key_trail().await?;
        let rows: BTreeMap<[u8; 16], SealedKey> = rows.into_iter().map(|row| (row.id, row)).collect();
        let entries: BTreeMap<[u8; 16], LastEntry> =
            entries.into_iter().map(|entry| (entry.key, entry)).collect();
        let removed = entries.keys().filter(|key| !rows.contains_key(*key));
        let mut faults: BTreeMap<[u8; 16], RowFault> = removed.map(|key| (*key, RowFault::Missing)).collect();
        let all: Vec<[u8; 16]> = rows.keys().copied().collect();
        for piece in all.chunks(AT_ONCE) {
            faults.extend(self.compare_these(piece, &rows, &entries).await?);
        }
        // Once more, those alone, as many as go into one call: what was done to a row is told from what the others are
        // like.
        let faulty: Vec<[u8; 16]> = faults.keys().copied().take(AT_ONCE).collect();
        faults.extend(self.compare_these(&faulty, &rows, &entries).await?);
        let mut findings: Vec<RowFinding> =
            faults.iter().map(|(key, fault)| finding(key, *fault, rows.get(key), entries.get(key))).collect();
        findings.extend(unreadable.into_iter().map(|name| RowFinding {
            code: RowFault::Changed.as_str(),
            message: format!("Key {name}: a field was changed to what is none."),
        }));
        Ok(findings)
    }

    /// What is wrong with the rows of these keys, among themselves.
    async fn compare_these(
        &self,
        keys: &[[u8; 16]],
        rows: &BTreeMap<[u8; 16], SealedKey>,
        entries: &BTreeMap<[u8; 16], LastEntry>,
    ) -> Done<impl Iterator<Item = ([u8; 16], RowFault)> + use<>> {
        let rows: Vec<SealedKey> = keys.iter().filter_map(|key| rows.get(key)).cloned().collect();
        let entries: Vec<LastEntry> = keys.iter().filter_map(|key| entries.get(key)).cloned().collect();
        let faulty = self.keys.compare(&rows, &entries).await?;
        Ok(faulty.into_iter().map(|FaultyRow { key, fault }| (key, fault)))
    }
}

fn finding(
    key: &[u8; 16],
    fault: RowFault,
    row: Option<&SealedKey>,
    entry: Option<&LastEntry>,
) -> RowFinding {
    let name = match (row, entry) {
        (Some(row), _) => format!("{}@{}", row.module, row.version),
        (None, Some(entry)) => entry.module.clone(),
        (None, None) => "?".to_owned(),
    };
    let id = Uuid::from_bytes(*key);
    let done = match fault {
        RowFault::Changed => "a field was changed",
        RowFault::Moved => "it was given to another module",
        RowFault::Swapped => "it is the row of another key",
        RowFault::Revived => "its state was set back to one that is over",
        RowFault::RolledBack => "an older row was put in its place",
        RowFault::Missing => "its row was removed",
        RowFault::Unrecorded => "the audit trail knows nothing of this row",
    };
    RowFinding { code: fault.as_str(), message: format!("Key {name} ({id}): {done}.") }
}

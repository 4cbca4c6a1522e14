//! Keys on record against the audit trail: what a writer of the database did to a row is found, and named.
//!
//! A row seal shows a changed row. It does not show a whole row that was put back from a backup, or taken away: for that
//! the row's [`SealedKey::state_seq`] is compared with the last entry that the audit trail has for the key.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::key::SealedKey;
use crate::lifecycle::KeyState;
use crate::service::KeyService;

/// How many rows of one comparison are tried with the id of every other key, to tell a swapped row from a changed one.
/// What is beyond is found all the same, and called changed: a comparison takes time by the number of its rows.
pub const MAX_SEARCHES: usize = 32;

/// What the audit trail says last about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// The key.
    pub key: [u8; 16],
    /// Its module.
    pub module: String,
    /// Its state.
    pub state: KeyState,
    /// How many changes of state it had.
    pub state_seq: u64,
}

names! {
    /// What is wrong with a row.
    RowFault, "row fault" {
        /// A field was changed.
        Changed = "CHANGED";
        /// It was given to another module.
        Moved = "MOVED";
        /// It is the row of another key.
        Swapped = "SWAPPED";
        /// Its state was set back to one that is over.
        Revived = "REVIVED";
        /// An older row was put in its place.
        RolledBack = "ROLLED_BACK";
        /// The audit trail knows the key, and there is no row.
        Missing = "MISSING";
        /// There is a row that the audit trail does not know, or that is ahead of it.
        Unrecorded = "UNRECORDED";
    }
}

/// A row that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyRow {
    /// The key.
    pub key: [u8; 16],
    /// What is wrong with it.
    pub fault: RowFault,
}

impl KeyService {
    /// Every row that this service did not write like this, or that is not what the audit trail says last; by key. The
    /// first [`MAX_SEARCHES`] whose seal does not fit are looked for among the other keys.
    ///
    /// # Errors
    /// [`Error::Primitive`], which would be a defect.
    pub fn compare_with_audit(
        &self,
        rows: &[SealedKey],
        audited: &[LastEntry],
    ) -> Result<Vec<FaultyRow>, Error> {
        let last: BTreeMap<[u8; 16], &LastEntry> = audited.iter().map(|entry| (entry.key, entry)).collect();
        let (mut faults, mut searches) = (Vec::new(), MAX_SEARCHES);
        for row in rows {
            if let Some(fault) = self.fault(row, &last, &mut searches)? {
                faults.push(FaultyRow { key: row.id, fault });
            }
        }
        let there: BTreeSet<[u8; 16]> = rows.iter().map(|row| row.id).collect();
        let missing = last.keys().filter(|id| !there.contains(*id));
        faults.extend(missing.map(|key| FaultyRow { key: *key, fault: RowFault::Missing }));
        faults.sort_by_key(|faulty| faulty.key);
        Ok(faults)
    }

    fn fault(
        &self,
        row: &SealedKey,
        last: &BTreeMap<[u8; 16], &LastEntry>,
        searches: &mut usize,
    ) -> Result<Option<RowFault>, Error> {
        let entry = last.get(&row.id).copied();
        if !self.fits(row)? {
            return self.name(row, entry, last, searches).map(Some);
        }
        Ok(match entry {
            None => Some(RowFault::Unrecorded),
            Some(entry) if row.state_seq < entry.state_seq => Some(RowFault::RolledBack),
            Some(entry) if row.state_seq > entry.state_seq => Some(RowFault::Unrecorded),
            // The same count with another state cannot come from this service: two rows were written from one.
            Some(entry) if row.state != entry.state || row.module != entry.module => Some(RowFault::Changed),
            Some(_) => None,
        })
    }

    /// Whether the seal of a row is its own.
    fn fits(&self, row: &SealedKey) -> Result<bool, Error> {
        match self.check_row(row) {
            Ok(()) => Ok(true),
            Err(Error::Tampered { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// What was done to a row whose seal does not fit: it fits again once that is undone.
    fn name(
        &self,
        row: &SealedKey,
        entry: Option<&LastEntry>,
        last: &BTreeMap<[u8; 16], &LastEntry>,
        searches: &mut usize,
    ) -> Result<RowFault, Error> {
        let mut undone = row.clone();
        if let Some(entry) = entry {
            undone.module.clone_from(&entry.module);
            if row.module != entry.module && self.fits(&undone)? {
                return Ok(RowFault::Moved);
            }
            undone = SealedKey { state: entry.state, state_seq: entry.state_seq, ..row.clone() };
            if row.state != entry.state && self.fits(&undone)? {
                return Ok(RowFault::Revived);
            }
            undone = row.clone();
        }
        if *searches > 0 {
            *searches -= 1;
            for id in last.keys().filter(|id| **id != row.id) {
                undone.id = *id;
                if self.fits(&undone)? {
                    return Ok(RowFault::Swapped);
                }
            }
        }
        Ok(RowFault::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeySpec, Purpose};
    use crate::lifecycle::LifecycleVerb;
    use crate::testing::{NOW, service};

    /// Two keys of one module; the first was retired, then revoked for a reason.
    fn records(service: &KeyService) -> (Vec<SealedKey>, Vec<SealedKey>, Vec<LastEntry>) {
        let make = |id: u8| {
            let spec = KeySpec {
                id: [id; 16],
                module: "data".to_owned(),
                purpose: Purpose::DataEncryption,
                algorithm: Purpose::DataEncryption.algorithm(),
                version: u64::from(id),
                expires_at: None,
                activate: true,
                exportable: false,
            };
            service.generate(&spec, NOW).unwrap()
        };
        let before = vec![make(1), make(2)];
        let revoked = service.transition(&before[0], LifecycleVerb::Revoke, NOW).unwrap();
        let now = vec![revoked, before[1].clone()];
        let entries = now
            .iter()
            .map(|key| LastEntry {
                key: key.id,
                module: key.module.clone(),
                state: key.state,
                state_seq: key.state_seq,
            })
            .collect();
        (before, now, entries)
    }

    #[test]
    fn rows_as_they_were_written_have_no_fault() {
        let service = service(1);
        let (_, now, entries) = records(&service);
        assert_eq!(service.compare_with_audit(&now, &entries), Ok(Vec::new()));
    }

    #[test]
    fn every_one_of_two_thousand_rows_is_found_and_so_many_are_looked_for_among_the_others() {
        let service = service(1);
        let (_, now, _) = records(&service);
        let id = |number: u16| {
            let [high, low] = number.to_be_bytes();
            [high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        };
        let mut rows: Vec<SealedKey> = (0..2_000)
            .map(|number| {
                let mut row = SealedKey { id: id(number), ..now[1].clone() };
                row.row_seal = service.row_seal(&row).unwrap();
                row
            })
            .collect();
        let entry = |row: &SealedKey| LastEntry {
            key: row.id,
            module: row.module.clone(),
            state: row.state,
            state_seq: row.state_seq,
        };
        let entries: Vec<LastEntry> = rows.iter().map(entry).collect();
        assert_eq!(service.compare_with_audit(&rows, &entries), Ok(Vec::new()));
        // Each is given the id of the next.
        for row in &mut rows {
            row.id = id((u16::from_be_bytes([row.id[0], row.id[1]]) + 1) % 2_000);
        }
        let faults = service.compare_with_audit(&rows, &entries).unwrap();
        assert_eq!(faults.len(), rows.len(), "each is found");
        let of = |fault| faults.iter().filter(|faulty| faulty.fault == fault).count();
        assert_eq!(of(RowFault::Swapped), MAX_SEARCHES);
        assert_eq!(of(RowFault::Changed), rows.len() - MAX_SEARCHES);
    }

    #[test]
    fn what_was_done_to_a_row_is_found_and_named() {
        let service = service(1);
        let (before, now, entries) = records(&service);
        let found = |rows: &[SealedKey]| {
            let faults = service.compare_with_audit(rows, &entries).unwrap();
            faults.into_iter().map(|faulty| (faulty.key[0], faulty.fault)).collect::<Vec<_>>()
        };
        let with = |change: fn(&mut SealedKey)| {
            let mut rows = now.clone();
            change(&mut rows[0]);
            rows
        };
        assert_eq!(found(&with(|row| row.expires_at = Some(1))), [(1, RowFault::Changed)]);
        assert_eq!(found(&with(|row| row.wrapped[40] ^= 1)), [(1, RowFault::Changed)]);
        assert_eq!(found(&with(|row| row.row_seal[0] ^= 1)), [(1, RowFault::Changed)]);
        assert_eq!(found(&with(|row| row.module = "links/x".to_owned())), [(1, RowFault::Moved)]);
        assert_eq!(found(&with(|row| row.state = KeyState::Active)), [(1, RowFault::Revived)]);

        let swapped =
            [SealedKey { id: now[1].id, ..now[0].clone() }, SealedKey { id: now[0].id, ..now[1].clone() }];
        assert_eq!(found(&swapped), [(1, RowFault::Swapped), (2, RowFault::Swapped)]);

        let restored = [before[0].clone(), now[1].clone()];
        assert_eq!(found(&restored), [(1, RowFault::RolledBack)]);
        assert_eq!(found(&now[..1]), [(2, RowFault::Missing)]);

        let ahead = service.transition(&now[1], LifecycleVerb::Suspend, NOW).unwrap();
        assert_eq!(found(&[now[0].clone(), ahead]), [(2, RowFault::Unrecorded)]);
        let unknown = service.compare_with_audit(&now, &entries[..1]).unwrap();
        assert_eq!(unknown, [FaultyRow { key: [2; 16], fault: RowFault::Unrecorded }]);
    }
}

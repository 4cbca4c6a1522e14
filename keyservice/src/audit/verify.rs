//! Offline verification: from entries, checkpoints and public keys to the first entry that is not as it was written.

use std::collections::BTreeMap;
use std::fmt;

use super::{GENESIS, Recorded};
use crate::checkpoint::{Checkpoint, Note, VerifyingKey};

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Its content, or the hash beside it, was changed.
    Edited,
    /// It is not there.
    Removed,
    /// It stands in another place.
    Moved,
    /// It is there more than once.
    Repeated,
    /// It and every entry after it are gone: a checkpoint tells of more.
    Truncated {
        /// How many entries there were at least.
        size: u64,
        /// Who keeps the checkpoint that says so.
        witness: Witness,
    },
    /// This or a later entry, up to the one with this number, was written anew together with all that follow: a
    /// checkpoint has another hash.
    Rewritten {
        /// The entry at which the checkpoint stands.
        until: u64,
        /// Who keeps the checkpoint that says so.
        witness: Witness,
    },
    /// A checkpoint in the export has no valid signature under a key that was given, and no later one that has says the
    /// same.
    ForgedCheckpoint,
}

/// Who keeps a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Witness {
    /// The instance itself.
    Own,
    /// Another instance.
    Other,
}

/// The first bad entry, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FirstBad {
    /// Its number.
    pub n: u64,
    /// What is wrong with it.
    pub what: Fault,
}

impl fmt::Display for FirstBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.n;
        let held = |witness: &Witness| match witness {
            Witness::Own => "a checkpoint of its own",
            Witness::Other => "a checkpoint that another instance keeps",
        };
        match &self.what {
            Fault::Edited => write!(f, "entry {n} was changed: its hash does not follow from it"),
            Fault::Removed => write!(f, "entry {n} was removed"),
            Fault::Moved => write!(f, "entry {n} stands in another place"),
            Fault::Repeated => write!(f, "entry {n} is there more than once"),
            Fault::Truncated { size, witness } => {
                write!(f, "entry {n} and all after it are gone: {} tells of {size} entries", held(witness))
            }
            Fault::Rewritten { until, witness } if n == *until => {
                write!(f, "entry {n} was written anew: {} has another hash", held(witness))
            }
            Fault::Rewritten { until, witness } => {
                let held = held(witness);
                write!(
                    f,
                    "entries were written anew from entry {n} or one up to {until} on: {held} has another hash"
                )
            }
            Fault::ForgedCheckpoint => {
                write!(f, "the checkpoint at entry {n} is not signed with a key that was given")
            }
        }
    }
}

/// What a verification that found nothing wrong says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// Up to which entry a signed checkpoint vouches; 0 without one. What follows is chained only.
    pub signed: u64,
    /// Up to which entry a checkpoint kept elsewhere vouches; 0 without one. Up to here, not even the owner of the
    /// signing key can have rewritten anything.
    pub witnessed: u64,
    /// The hash of the last entry.
    pub head: [u8; 32],
}

/// Verifies exports of one instance's audit trail.
#[derive(Clone, Debug)]
pub struct Verifier<'a> {
    origin: &'a str,
    keys: &'a [VerifyingKey],
    checkpoints: Vec<(Checkpoint, Witness)>,
    /// The trail's own without a valid signature.
    unsigned: Vec<Checkpoint>,
}

impl<'a> Verifier<'a> {
    /// For the trail with this origin (see [`Checkpoint`]), trusting these keys only: those with which the instance
    /// signs checkpoints, and those with which its witnesses countersign.
    #[must_use]
    pub fn new(origin: &'a str, keys: &'a [VerifyingKey]) -> Self {
        Self { origin, keys, checkpoints: Vec::new(), unsigned: Vec::new() }
    }

    /// Takes a checkpoint into account. One of another origin, or without a valid signature under a trusted key, vouches
    /// for nothing: among the trail's own, it is a fault unless a later one covers it, as those of a key that is
    /// trusted no more; from elsewhere, it is left out.
    #[must_use]
    pub fn checkpoint(mut self, note: &Note, witness: Witness) -> Self {
        let Ok(checkpoint) = Checkpoint::parse(note.text()) else { return self };
        if note.verified_by(self.keys).next().is_some() && checkpoint.origin == self.origin {
            self.checkpoints.push((checkpoint, witness));
        } else if witness == Witness::Own {
            self.unsigned.push(checkpoint);
        }
        self
    }

    /// Goes through all entries of the trail, in the order in which they are kept.
    ///
    /// # Errors
    /// The first bad entry.
    pub fn verify(&self, entries: impl IntoIterator<Item = Recorded>) -> Result<Verified, FirstBad> {
        let bad = |n, what| Err(FirstBad { n, what });
        // Of what another keeps and what is our own, the other's word comes first.
        let mut expected: BTreeMap<u64, Vec<(&Checkpoint, Witness)>> = BTreeMap::new();
        for (checkpoint, witness) in &self.checkpoints {
            expected.entry(checkpoint.size).or_default().push((checkpoint, *witness));
        }
        let mut unsigned: BTreeMap<u64, Vec<&Checkpoint>> = BTreeMap::new();
        for checkpoint in &self.unsigned {
            unsigned.entry(checkpoint.size).or_default().push(checkpoint);
        }
        let (mut forged, mut uncovered) = (None, None);
        let mut verified = Verified { entries: 0, signed: 0, witnessed: 0, head: GENESIS };
        let mut entries = entries.into_iter();
        while let Some(Recorded { entry, hash }) = entries.next() {
            let n = verified.entries + 1;
            if entry.n != n {
                if entry.n < n {
                    return bad(entry.n, Fault::Repeated);
                }
                let moved = entries.any(|later| later.entry.n == n);
                return bad(n, if moved { Fault::Moved } else { Fault::Removed });
            }
            if entry.hash(&verified.head) != hash {
                return bad(n, Fault::Edited);
            }
            (verified.entries, verified.head) = (n, hash);
            for (checkpoint, witness) in expected.get(&n).into_iter().flatten() {
                if checkpoint.root != hash {
                    let agreed = verified.signed.max(verified.witnessed);
                    return bad(agreed + 1, Fault::Rewritten { until: n, witness: *witness });
                }
                match witness {
                    Witness::Own => (verified.signed, uncovered) = (n, None),
                    Witness::Other => verified.witnessed = n,
                }
            }
            for checkpoint in unsigned.remove(&n).into_iter().flatten() {
                if checkpoint.root != hash {
                    forged.get_or_insert(n);
                } else if verified.signed < n {
                    uncovered.get_or_insert(n);
                }
            }
        }
        let last = expected.last_key_value().filter(|(size, _)| **size > verified.entries);
        if let Some((size, kept)) = last {
            let witness = if kept.iter().any(|(_, witness)| *witness == Witness::Other) {
                Witness::Other
            } else {
                Witness::Own
            };
            return bad(verified.entries + 1, Fault::Truncated { size: *size, witness });
        }
        let elsewhere = unsigned.keys().next().copied();
        match [forged, uncovered, elsewhere].into_iter().flatten().min() {
            Some(n) => bad(n, Fault::ForgedCheckpoint),
            None => Ok(verified),
        }
    }
}

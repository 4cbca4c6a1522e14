//! The audit trail against itself and against its checkpoints: what a writer of the database did to it is found, named,
//! and not signed.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use keyservice::audit::GENESIS;
use keyservice::checkpoint::{Checkpoint, EVERY_SECONDS, Note, SignatureKind, VerifyingKey};
use keyservice::{AuditMeasure, SealedKey};

use super::witnesses::Witnesses;
use super::{Actions, Done, Failure, Keys, vouches};
use crate::domain::Timestamp;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::Kept;

/// How often the whole trail is verified from its beginning.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How many entries are read at once.
const ENTRIES: u64 = 1_000;
/// How many pieces of them one measurement verifies: the next goes on from there.
const PIECES_A_TURN: usize = 5;
/// How many pieces of them are verified before one checkpoint: the next goes on from there.
const PIECES_A_CHECKPOINT: usize = 100;
/// After how long entries under no checkpoint are reported.
const UNSIGNED: TimeDelta = TimeDelta::seconds(10 * EVERY_SECONDS);
/// How long it may be between two measurements for the time between them to count.
const WATCHED: TimeDelta = TimeDelta::minutes(2);

/// What was verified of the trail, over measurements.
#[derive(Clone, Default)]
pub(crate) struct Verified(Arc<Mutex<Progress>>);

#[derive(Clone, Default)]
struct Progress {
    chain: Chain,
    /// What the round before this one found, until this one comes to the end or finds something itself.
    standing: Option<String>,
    /// When verifying it from the beginning began.
    begun_at: Option<Timestamp>,
    /// Whether it reached the end since then.
    whole: bool,
    signing: Signing,
    witnesses: Witnesses,
}

impl Verified {
    fn get(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// The furthest checkpoint that this process saw, with this one.
    fn furthest(&self, signed: i64) -> i64 {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.signing.furthest = progress.signing.furthest.max(signed);
        progress.signing.furthest
    }

    /// Begins again at the next measurement, if the last round is over: asking often keeps nobody from the end.
    pub(crate) fn forget(&self) {
        let mut progress = self.get();
        if progress.whole {
            progress.begun_at = None;
        }
        self.set(progress);
    }
}

/// How far the chain was verified.
#[derive(Clone)]
struct Chain {
    n: i64,
    hash: [u8; 32],
    /// The first thing that is not as it should be.
    fault: Option<String>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { n: 0, hash: GENESIS, fault: None }
    }
}

/// Since when entries wait for a checkpoint, as far as it was watched.
#[derive(Clone, Copy, Default)]
struct Signing {
    signed: i64,
    /// The furthest checkpoint that this process saw.
    furthest: i64,
    waiting_since: Option<Timestamp>,
    looked_at: Option<Timestamp>,
}

impl Signing {
    /// Whether they wait for too long.
    fn look(&mut self, signed: i64, entries: i64, now: Timestamp) -> bool {
        // Nobody looked for a while, such as when the host was asleep: then nobody signed, either.
        let watched = self.looked_at.is_some_and(|at| (at..=at + WATCHED).contains(&now));
        let goes_on = watched && signed < entries && signed == self.signed;
        self.waiting_since = match self.waiting_since {
            _ if signed >= entries => None,
            Some(since) if goes_on => Some(since),
            _ => Some(now),
        };
        (self.signed, self.looked_at) = (signed, Some(now));
        self.waiting_since.is_some_and(|since| now - since >= UNSIGNED)
    }
}

fn removed(n: i64) -> String {
    format!("Checkpoint {n} of the audit trail was removed.")
}

fn not_signed(n: i64) -> String {
    format!("Entry {n} of the audit trail is not the one that was signed.")
}

impl Actions {
    /// Measures the audit trail: its chain, in turns; its newest checkpoint; whether it is signed; and, in turns, what
    /// this instance and its peers keep of each other's.
    pub(crate) async fn audit_measure(&self) -> Done<AuditMeasure> {
        let now = self.world.now();
        let mut progress = self.verified.get();
        let mut tail = self.store.audit_tail().await?;
        // Seen from the beginning again every hour; what was bad is looked at again at once.
        let due = progress.begun_at.is_none_or(|at| now - at >= EVERY || now < at);
        let over = progress.whole || progress.begun_at.is_none();
        if progress.chain.fault.is_some() || (due && over) {
            let Progress { chain, standing, signing, witnesses, .. } = progress;
            // Where it was may be far behind what one measurement comes to.
            let standing = chain.fault.or(standing);
            progress = Progress { begun_at: Some(now), standing, signing, witnesses, ..Progress::default() };
        }
        let newest = self.store.newest_checkpoint().await?;
        let signed = newest.as_ref().map_or(0, |kept| kept.n);
        progress.signing.furthest = self.verified.furthest(signed);
        self.verify_chain(&mut progress.chain, tail.n, PIECES_A_TURN).await?;
        if progress.chain.n > tail.n {
            // It grew meanwhile.
            tail = self.store.audit_tail().await?;
        }
        if progress.chain.n > tail.n || (progress.chain.n == tail.n && progress.chain.hash != tail.hash) {
            let last = progress.chain.n;
            let fault = format!("Entry {last} of the audit trail is not the one that was written last.");
            progress.chain.fault.get_or_insert(fault);
        }
        progress.whole |= progress.chain.n >= tail.n;
        if progress.whole || progress.chain.fault.is_some() {
            progress.standing = None;
        }
        let fault = match progress.chain.fault.as_ref().or(progress.standing.as_ref()) {
            Some(fault) => Some(fault.clone()),
            None => self.fault_beside(newest.as_ref(), &mut progress).await?,
        };
        let measure = AuditMeasure {
            entries: tail.n.unsigned_abs(),
            verified: if progress.whole { tail.n } else { progress.chain.n }.unsigned_abs(),
            fault,
            unsigned: progress.signing.look(signed, tail.n, now),
        };
        self.verified.set(progress);
        Ok(measure)
    }

    /// Goes over the trail up to its end, or to the first thing that is not as it should be: for whoever measures once
    /// only.
    pub(crate) async fn verify_to_the_end(&self) -> Done<()> {
        let a_turn = ENTRIES * PIECES_A_TURN as u64;
        // One more, for what comes meanwhile.
        for _ in 0..=self.store.audit_tail().await?.n.unsigned_abs() / a_turn + 1 {
            let measure = self.audit_measure().await?;
            if measure.fault.is_some() || measure.verified >= measure.entries {
                break;
            }
        }
        Ok(())
    }

    /// What is wrong beside the chain: with its newest checkpoint, or with what this instance and its peers keep.
    async fn fault_beside(&self, newest: Option<&Kept>, progress: &mut Progress) -> Done<Option<String>> {
        let furthest = progress.signing.furthest;
        if newest.map_or(0, |kept| kept.n) < furthest {
            return Ok(Some(removed(furthest)));
        }
        let contradiction = match newest {
            Some(newest) => self.contradiction(newest).await?,
            None => None,
        };
        match contradiction {
            None => self.faulty_witness(&mut progress.witnesses).await,
            fault => Ok(fault),
        }
    }

    /// In what a checkpoint of ours differs from the trail, if it does: a trail that was rewritten, each hash computed
    /// anew, agrees with itself.
    async fn contradiction(&self, kept: &Kept) -> Done<Option<String>> {
        let root = match self.signed_root(kept).await {
            Ok(Some(root)) => root,
            Ok(None) => {
                let n = kept.n;
                return Ok(Some(format!(
                    "Checkpoint {n} of the audit trail is not signed by this instance."
                )));
            }
            // Nobody can say. That the key service is away, the report says itself.
            Err(Failure::Refused(away)) if away.reason.as_deref() == Some(Failure::KEYS_AWAY) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let entry = self.store.audit_behind(kept.n - 1, 1).await?.into_iter().next();
        let same = entry.is_some_and(|entry| entry.entry.n == kept.n.unsigned_abs() && entry.hash == root);
        Ok((!same).then(|| not_signed(kept.n)))
    }

    /// What a checkpoint of ours says that the trail up to it is; none when this instance did not sign it.
    async fn signed_root(&self, kept: &Kept) -> Done<Option<[u8; 32]>> {
        let signed = self.signed(kept).await?;
        Ok(signed.and_then(|(checkpoint, by)| (!by.is_empty()).then_some(checkpoint.root)))
    }

    /// A checkpoint of ours, and the keys that vouch for it: whose rows the key service wrote, which nobody else can,
    /// and of which the trail says that they are no older ones.
    async fn signed(&self, kept: &Kept) -> Done<Option<(Checkpoint, Vec<SealedKey>)>> {
        let origin = self.audit_origin();
        let Ok(note) = kept.note.parse::<Note>() else { return Ok(None) };
        let ours =
            |checkpoint: &Checkpoint| checkpoint.origin == origin && checkpoint.size == kept.n.unsigned_abs();
        let Some(checkpoint) = Checkpoint::parse(note.text()).ok().filter(ours) else { return Ok(None) };
        let signed = |key: &SealedKey| {
            let key = key.public_key().and_then(|key| VerifyingKey::new(&origin, SignatureKind::Note, key));
            key.is_ok_and(|key| note.verified_by(&[key]).next().is_some())
        };
        let mut keys = self.store.sound_keys_of(&[Keys::AUDIT]).await?;
        keys.retain(|key| vouches(key.state) && signed(key));
        Ok(Some((checkpoint, self.as_written(keys).await?)))
    }

    /// Sees to it that the trail is signed with another key, before this one vouches for nothing any more: behind what
    /// it signed last, nothing would be signed.
    ///
    /// # Errors
    /// `KEY_SERVICE_UNHEALTHY` when it is not, because the trail is not as it was written.
    pub(crate) async fn sign_without(&self, key: &SealedKey) -> Done<()> {
        self.checkpoint(&super::Call::system(self.fresh_trace())).await?;
        let Some(newest) = self.store.newest_checkpoint().await? else { return Ok(()) };
        let signed = self.signed(&newest).await?;
        if signed.is_some_and(|(_, by)| by.iter().any(|other| other.id != key.id)) {
            return Ok(());
        }
        let message = "The audit trail is not signed by another key yet, because it is not as it was written. See \
            AUDIT_CHAIN under the health of the key service, and put the trail right first.";
        Err(Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Failure::TRAIL_AWAY).into())
    }

    /// The next checkpoint of the trail, if it went further than its newest one and goes on from there. What does not is
    /// not signed: the signature would be what covers it up.
    pub(super) async fn next_checkpoint(&self, newest: Option<&Kept>) -> Done<Option<Checkpoint>> {
        let tail = self.store.audit_tail().await?;
        let mut chain = Chain::default();
        let signed = newest.map_or(0, |kept| kept.n);
        let furthest = self.verified.furthest(signed);
        if signed < furthest {
            chain.fault = Some(removed(furthest));
        } else if let Some(newest) = newest {
            match self.signed_root(newest).await? {
                Some(hash) => (chain.n, chain.hash) = (newest.n, hash),
                None => chain.fault = Some(format!("checkpoint {} is not signed by this instance", newest.n)),
            }
        }
        let begin = chain.n;
        self.verify_chain(&mut chain, tail.n, PIECES_A_CHECKPOINT).await?;
        if let Some(fault) = chain.fault {
            tracing::error!(
                fault,
                "the audit trail is not signed: it does not go on from its last checkpoint"
            );
            return Ok(None);
        }
        let size = chain.n.unsigned_abs();
        Ok((chain.n > begin).then(|| Checkpoint { origin: self.audit_origin(), size, root: chain.hash }))
    }

    async fn verify_chain(&self, chain: &mut Chain, end: i64, pieces: usize) -> Done<()> {
        for _ in 0..pieces {
            if chain.n >= end || chain.fault.is_some() {
                break;
            }
            let entries = self.store.audit_behind(chain.n, ENTRIES).await?;
            let next = chain.n + 1;
            if entries.is_empty() {
                chain.fault =
                    Some(format!("Entry {next} of the audit trail, and what follows, was removed."));
                return Ok(());
            }
            let (begin, mut hashes) = (chain.n, Vec::with_capacity(entries.len()));
            for recorded in entries {
                let next = chain.n + 1;
                if recorded.entry.n != next.unsigned_abs() {
                    chain.fault = Some(format!("Entry {next} of the audit trail was removed."));
                    return Ok(());
                }
                let expected = recorded.entry.hash(&chain.hash);
                if expected != recorded.hash {
                    chain.fault = Some(format!("Entry {next} of the audit trail was changed."));
                    return Ok(());
                }
                (chain.n, chain.hash) = (next, expected);
                hashes.push(expected);
            }
            chain.fault = self.differing_checkpoint(begin, &hashes).await?;
        }
        Ok(())
    }

    /// The first checkpoint of ours that differs from the entries behind this one, with these hashes. Their signatures,
    /// but for the newest one's, are for the verification of an export to check.
    async fn differing_checkpoint(&self, begin: i64, hashes: &[[u8; 32]]) -> Done<Option<String>> {
        for kept in self.store.checkpoints_behind(begin, ENTRIES).await? {
            let at = usize::try_from(kept.n - begin - 1).unwrap_or(usize::MAX);
            let Some(hash) = hashes.get(at) else { break };
            let checkpoint = kept.note.parse::<Note>().and_then(|note| Checkpoint::parse(note.text()));
            let ours = checkpoint.ok().filter(|checkpoint| {
                checkpoint.origin == self.audit_origin() && checkpoint.size == kept.n.unsigned_abs()
            });
            match ours {
                None => return Ok(Some(format!("Checkpoint {} of the audit trail was changed.", kept.n))),
                Some(checkpoint) if checkpoint.root != *hash => return Ok(Some(not_signed(kept.n))),
                Some(_) => {}
            }
        }
        Ok(None)
    }
}

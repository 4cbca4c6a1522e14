//! What this instance and its peers keep of each other's trails, as a writer of the database may have left it.
//!
//! A checkpoint of a peer's trail carries our own countersignature, and the peer's of ours is one under its key: what was
//! changed, or belongs to another connection, shows by that. What was set back shows against the checkpoints of earlier
//! hours. What we kept of a peer and is gone altogether shows in that peer's own trail, whose export has our
//! countersignatures.

use keyservice::checkpoint::{Checkpoint, Note, NoteSignature, SignatureKind, VerifyingKey};

use super::{Actions, Done, witness_key, witness_name};
use crate::domain::id::ConnectionId;
use crate::store::{KeptOfPeer, Witnessed};

/// For how many connections it is looked at in one measurement: the next takes others, until all had their turn.
const CONNECTIONS: usize = 16;

/// How far it was looked at, over measurements.
#[derive(Clone, Copy, Default)]
pub(super) struct Witnesses {
    behind: Option<ConnectionId>,
}

impl Actions {
    /// The first of what is kept that is not as this instance kept it; of the connections whose turn it is.
    pub(super) async fn faulty_witness(&self, turn: &mut Witnesses) -> Done<Option<String>> {
        let mut all = self.store.kept_of_peers(turn.behind, CONNECTIONS).await?;
        // Round again, so that of a few each is looked at every time.
        if all.len() < CONNECTIONS && turn.behind.is_some() {
            all.extend(self.store.kept_of_peers(None, CONNECTIONS).await?);
        }
        let name = witness_name(self.profile.instance);
        let own = VerifyingKey::new(&name, SignatureKind::Cosignature, *self.keys.public_key())?;
        for kept in &all {
            if let Some(done) = self.fault_of(kept, &own).await? {
                // The next measurement looks at it again.
                return Ok(Some(format!("What is kept of audit trails for connection {}: {done}.", kept.of)));
            }
            turn.behind = Some(kept.of);
        }
        Ok(None)
    }

    async fn fault_of(&self, kept: &KeptOfPeer, own: &VerifyingKey) -> Done<Option<&'static str>> {
        let mut greatest = 0;
        for note in &kept.hourly {
            match size_of(note, kept, own) {
                Some(size) => greatest = greatest.max(size),
                None => return Ok(Some("a checkpoint of an earlier hour was changed")),
            }
        }
        let Some(Witnessed { ours, signature, theirs, note, .. }) = &kept.newest else {
            return Ok(Some("the newest was removed"));
        };
        let size = match note {
            Some(note) => size_of(note, kept, own),
            None => Some(0),
        };
        if size != Some(*theirs) {
            return Ok(Some("the newest checkpoint of the peer was changed"));
        }
        if *theirs < greatest {
            return Ok(Some("an older checkpoint of the peer was put in the place of the newest"));
        }
        let countersigned = match (&kept.connection, signature) {
            (_, None) => *ours == 0,
            // Nobody is left to say what the key is.
            (None, Some(_)) => true,
            (Some(connection), Some(signature)) => {
                let checkpoint = self.store.checkpoints_behind(*ours - 1, 1).await?.into_iter().next();
                let note = checkpoint.filter(|kept| kept.n == *ours).and_then(|kept| kept.note.parse().ok());
                let signature = signature.parse::<NoteSignature>().ok();
                match (note, signature, witness_key(connection)) {
                    (Some(note), Some(signature), Some(key)) => signed_by(note, signature, &key),
                    _ => false,
                }
            }
        };
        Ok((!countersigned).then_some("the peer's countersignature was changed"))
    }
}

fn signed_by(mut note: Note, signature: NoteSignature, key: &VerifyingKey) -> bool {
    note.push(signature);
    note.verified_by(std::slice::from_ref(key)).next().is_some()
}

/// How many entries a checkpoint of the peer covers; none when it is not one that this instance countersigned.
fn size_of(note: &str, kept: &KeptOfPeer, own: &VerifyingKey) -> Option<i64> {
    let note: Note = note.parse().ok()?;
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    let peer = kept.connection.as_ref().and_then(|connection| connection.peer.instance);
    let theirs = peer.is_none_or(|peer| checkpoint.origin == Checkpoint::origin_of(&peer.bytes()));
    let ours = note.verified_by(std::slice::from_ref(own)).next().is_some();
    if theirs && ours { i64::try_from(checkpoint.size).ok() } else { None }
}

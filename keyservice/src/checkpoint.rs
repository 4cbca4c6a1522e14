//! Signed checkpoints of the audit trail, and the countersignatures of other instances.
//!
//! The text form is that of the Community Cryptography Specification Project: a checkpoint (`c2sp.org/tlog-checkpoint`)
//! in a signed note (`c2sp.org/signed-note`), countersigned as a cosignature (`c2sp.org/tlog-cosignature`). One thing
//! differs: the root is the hash of the last entry of the chain, not of a Merkle tree, because whoever verifies has the
//! whole trail.
//!
//! These signatures cannot be taken for others of the same key: a checkpoint's text begins with a printable origin and
//! a cosigned one with `cosignature/v1`, where a labelled encoding has zero bytes and a JWS input has a dot and no line
//! break.

mod note;

#[cfg(test)]
mod tests;

pub use note::{Note, NoteSignature, SignatureKind, VerifyingKey};

use data_encoding::BASE64;

use crate::error::Error;
use crate::identity::PublicKey;
use crate::key::{Purpose, SealedKey};
use crate::lifecycle::Operation;
use crate::ports::Millis;
use crate::service::KeyService;

/// A checkpoint is made at the latest after this many entries.
pub const EVERY_ENTRIES: u64 = 256;
/// A checkpoint is made at the latest this many seconds after an entry.
pub const EVERY_SECONDS: i64 = 60;
/// The longest origin, in bytes.
pub const MAX_ORIGIN: usize = 128;

const CHECKPOINT: &str = "checkpoint";

/// How far the trail of one instance goes, and the hash that covers all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Whose trail it is.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The hash of the last of them.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// The origin of the trail of an instance.
    #[must_use]
    pub fn origin_of(instance: &[u8; 16]) -> String {
        format!("linkspan/{}/audit", data_encoding::HEXLOWER.encode(instance))
    }

    /// The text that is signed: three lines.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// Reads the text. Further lines are refused: we would not know what we sign.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything that [`Self::text`] would not write.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Malformed { what: CHECKPOINT };
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or_else(malformed);
        let (origin, size, root) = (line()?, line()?, line()?);
        let root = BASE64.decode(root.as_bytes()).map_err(|_| malformed())?;
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| malformed())?,
            root: root.try_into().map_err(|_| malformed())?,
        };
        let printable = origin.len() <= MAX_ORIGIN && origin.bytes().all(|byte| byte.is_ascii_graphic());
        if origin.is_empty() || !printable || checkpoint.text() != text {
            return Err(malformed());
        }
        Ok(checkpoint)
    }
}

/// What a cosignature signs: the time, in seconds since the Unix epoch, and the text of the checkpoint.
fn cosigned(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl KeyService {
    /// Signs a checkpoint with the key of the audit trail, as a note under the origin's name.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a checkpoint that cannot be read back; [`Error::WrongPurpose`], [`Error::WrongState`],
    /// [`Error::KeyExpired`], [`Error::Tampered`].
    pub fn sign_checkpoint(
        &self,
        key: &SealedKey,
        checkpoint: &Checkpoint,
        now: Millis,
    ) -> Result<Note, Error> {
        Checkpoint::parse(&checkpoint.text())?;
        self.require_purpose(key, Operation::Sign, &[Purpose::AuditSigning])?;
        let name = VerifyingKey::new(&checkpoint.origin, SignatureKind::Note, key.public_key()?)?;
        let signature = self.sign_raw(key, checkpoint.text().as_bytes(), now)?;
        let mut note = Note::unsigned(checkpoint.text())?;
        note.push(name.signature(&signature));
        Ok(note)
    }

    /// Countersigns the checkpoint of another instance with the identity key: we have seen it, and we keep it.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a note that is no checkpoint or a name that cannot be one; otherwise as
    /// [`Self::sign_checkpoint`].
    pub fn countersign(
        &self,
        identity: &SealedKey,
        name: &str,
        note: &Note,
        now: Millis,
    ) -> Result<NoteSignature, Error> {
        Checkpoint::parse(note.text())?;
        self.require_purpose(identity, Operation::Sign, &[Purpose::IdentitySigning])?;
        let public: PublicKey = identity.public_key()?;
        let name = VerifyingKey::new(name, SignatureKind::Cosignature, public)?;
        let seconds = u64::try_from(now / 1000).map_err(|_| Error::Malformed { what: "time" })?;
        let signature = self.sign_raw(identity, cosigned(note.text(), seconds).as_bytes(), now)?;
        let mut timed = seconds.to_be_bytes().to_vec();
        timed.extend(signature);
        Ok(name.signature(&timed))
    }
}

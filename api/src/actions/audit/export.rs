//! Exports of the audit trail: JSON, a line each. The first line says whose trail it is; then come entries in their
//! order, and checkpoints. Whoever has the file and the public keys can verify it without this instance.

use std::io::{self, BufRead, Read as _, Write};

use data_encoding::HEXLOWER;
use keyservice::audit::{Entry, FirstBad, Recorded, Verified, Verifier, Witness};
use keyservice::checkpoint::{Checkpoint, EVERY_ENTRIES, EVERY_SECONDS, Note, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::actions::{Actions, Call, Failure};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Requester;

/// The version of the form that is written here.
const VERSION: u32 = 1;
/// How many rows are read at once.
const BATCH: u64 = 1_000;
/// The longest line that is read, in bytes.
const LINE: u64 = 4 * 1024 * 1024;

/// A line of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// The first one.
    AuditTrail(Header),
    /// An entry.
    Entry(Box<EntryLine>),
    /// A signed note.
    Checkpoint(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    /// As in the checkpoints.
    origin: String,
    /// The public keys that the instance says are its own. Whoever verifies takes them from elsewhere.
    keys: Vec<String>,
}

/// An entry with the names of the field. `details` is a text with JSON in it, because it is hashed as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    n: u64,
    /// Milliseconds since the Unix epoch, UTC.
    at: i64,
    actor: String,
    role: String,
    on_behalf_of: String,
    operation: String,
    object_kind: String,
    object_id: String,
    result: String,
    trace: String,
    details: String,
    /// Each value's HMAC, in hexadecimal.
    sensitive: Vec<(String, String)>,
    /// In hexadecimal.
    hash: String,
}

impl From<Recorded> for EntryLine {
    fn from(Recorded { entry, hash }: Recorded) -> Self {
        let sensitive = entry.sensitive.into_iter().map(|(name, mac)| (name, HEXLOWER.encode(&mac)));
        Self {
            n: entry.n,
            at: entry.at,
            actor: entry.actor,
            role: entry.role,
            on_behalf_of: entry.on_behalf_of,
            operation: entry.operation,
            object_kind: entry.object_kind,
            object_id: entry.object_id,
            result: entry.result,
            trace: entry.trace,
            details: entry.details,
            sensitive: sensitive.collect(),
            hash: HEXLOWER.encode(&hash),
        }
    }
}

impl EntryLine {
    fn recorded(self) -> Option<Recorded> {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
        let sensitive = self.sensitive.iter().map(|(name, mac)| Some((name.clone(), hex(mac)?)));
        Some(Recorded {
            hash: hex(&self.hash)?,
            entry: Entry {
                sensitive: sensitive.collect::<Option<_>>()?,
                n: self.n,
                at: self.at,
                actor: self.actor,
                role: self.role,
                on_behalf_of: self.on_behalf_of,
                operation: self.operation,
                object_kind: self.object_kind,
                object_id: self.object_id,
                result: self.result,
                trace: self.trace,
                details: self.details,
            },
        })
    }
}

/// Why an export was not verified.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// This instance cannot write it.
    #[error(transparent)]
    Ours(#[from] Failure),
    /// It is not an export.
    #[error("line {0} is not a line of an audit export")]
    Line(usize),
    /// It is not what it was.
    #[error("{0}")]
    Bad(FirstBad),
    /// No checkpoint of it is signed with a key that was given.
    #[error(
        "nothing of it is signed with a key that was given, so whoever had the file may have written it; --unsigned looks \
         at the chain alone"
    )]
    Unsigned,
    /// There is nothing in what is kept elsewhere.
    #[error("there is no checkpoint in it")]
    NoCheckpoint,
    /// What is kept elsewhere is of other trails.
    #[error("there is no checkpoint of the trail {0} in it")]
    OtherTrail(String),
    /// Nobody says who signed what is kept elsewhere.
    #[error(
        "no checkpoint of the trail in it is signed with a key that was given; give the keys of the trail, or of whoever \
         kept it"
    )]
    OtherKeys,
    /// More follows the last signed entry than an instance leaves unsigned.
    #[error(
        "it is signed up to entry {signed} only, and what follows should have been signed: checkpoints were taken out, \
         or entries put in; --unsigned looks at the chain alone"
    )]
    Overdue {
        /// The last signed entry.
        signed: u64,
    },
}

/// An export of which each entry follows from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chained {
    /// Whose trail it is.
    origin: String,
    /// How far it goes, and who vouches for how much of it.
    pub verified: Verified,
    /// The time from the first entry that nobody vouches for to the last, in milliseconds.
    unsigned_ms: i64,
}

impl Chained {
    /// Up to which entry a signature vouches for it.
    #[must_use]
    pub fn vouched(&self) -> u64 {
        self.verified.signed.max(self.verified.witnessed)
    }

    /// Whether it is signed as far as an instance signs its trail. A chain alone proves nothing: anybody can write one.
    ///
    /// # Errors
    /// [`ExportError::Unsigned`], [`ExportError::Overdue`].
    pub fn require_signed(&self) -> Result<(), ExportError> {
        let signed = self.vouched();
        if signed == 0 {
            return Err(ExportError::Unsigned);
        }
        // Twice the time, because a checkpoint is due then and made a little later.
        let overdue = self.unsigned_ms > 2 * EVERY_SECONDS * 1_000;
        if overdue || self.verified.entries - signed > EVERY_ENTRIES {
            return Err(ExportError::Overdue { signed });
        }
        Ok(())
    }

    /// Whether any of these checkpoints, which are kept elsewhere, vouched for it.
    ///
    /// # Errors
    /// [`ExportError::NoCheckpoint`], [`ExportError::OtherTrail`], [`ExportError::OtherKeys`].
    pub fn require_kept(&self, notes: &[Note], keys: &[VerifyingKey]) -> Result<(), ExportError> {
        let of_it = |note: &&Note| {
            Checkpoint::parse(note.text()).is_ok_and(|checkpoint| checkpoint.origin == self.origin)
        };
        if notes.is_empty() {
            return Err(ExportError::NoCheckpoint);
        }
        let mut of_it = notes.iter().filter(of_it).peekable();
        if of_it.peek().is_none() {
            return Err(ExportError::OtherTrail(self.origin.clone()));
        }
        let vouched = of_it.any(|note| note.verified_by(keys).next().is_some());
        if vouched { Ok(()) } else { Err(ExportError::OtherKeys) }
    }
}

impl Actions {
    /// Writes the whole trail of this instance, and its checkpoints.
    ///
    /// # Errors
    /// When the database does not answer, or the file cannot be written.
    pub async fn export_audit(&self, out: &mut (dyn Write + Send)) -> Result<u64, ExportError> {
        let keys = self.audit_keys().await?.iter().map(ToString::to_string).collect();
        let origin = self.audit_origin();
        write(out, &Line::AuditTrail(Header { version: VERSION, origin, keys }))?;
        let (mut n, mut entries) = (0, 0);
        loop {
            let batch = self.store.audit_behind(n, BATCH).await.map_err(Failure::from)?;
            let Some(last) = batch.last() else { break };
            n = i64::try_from(last.entry.n).map_err(|_| Failure::Bug("audit number"))?;
            for recorded in batch {
                entries += 1;
                write(out, &Line::Entry(Box::new(recorded.into())))?;
            }
        }
        let mut n = 0;
        loop {
            let batch = self.countersigned_checkpoints(n, BATCH).await?;
            let Some((last, _)) = batch.last() else { break };
            n = *last;
            for (_, note) in batch {
                write(out, &Line::Checkpoint(note.to_string()))?;
            }
        }
        Ok(entries)
    }

    /// Writes the entries that keep an email address as its keyed hash, in their order, as lines of an export: whatever they
    /// are about, so on the host alone.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for whoever is not the host; as [`Actions::audited_address`]; when the database does not answer, or the file cannot be written.
    pub async fn find_address(
        &self,
        call: &Call,
        email: &str,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, ExportError> {
        if !matches!(call.requester, Requester::System) {
            let message = "The whole trail is searched on the host.";
            return Err(Failure::from(Refusal::new(RefusalCode::NotAnAdministrator, message)).into());
        }
        let mac = self.audited_address(call, email).await?;
        let (mut n, mut entries) = (0, 0);
        loop {
            let batch = self.store.audit_of_address(&mac, n, BATCH).await.map_err(Failure::from)?;
            let Some(last) = batch.last() else { return Ok(entries) };
            n = i64::try_from(last.entry.n).map_err(|_| Failure::Bug("audit number"))?;
            for recorded in batch {
                entries += 1;
                write(out, &Line::Entry(Box::new(recorded.into())))?;
            }
        }
    }
}

fn write(out: &mut dyn Write, line: &Line) -> Result<(), ExportError> {
    let text = serde_json::to_string(line).map_err(|_| Failure::Bug("audit export"))?;
    Ok(writeln!(out, "{text}")?)
}

/// A checkpoint of a trail, as a line of a file that [`verify`] takes as kept elsewhere.
#[must_use]
pub fn checkpoint_line(note: &Note) -> String {
    serde_json::to_string(&Line::Checkpoint(note.to_string())).unwrap_or_default()
}

/// Reads checkpoints that are kept elsewhere: lines of an export, of which entries are passed over, or one signed note.
///
/// # Errors
/// [`ExportError::File`], [`ExportError::Line`].
pub fn read_checkpoints(file: impl BufRead) -> Result<Vec<Note>, ExportError> {
    let mut text = String::new();
    file.take(64 * LINE).read_to_string(&mut text)?;
    if let Ok(note) = text.parse::<Note>() {
        return Ok(vec![note]);
    }
    let mut notes = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(Line::Checkpoint(note)) => notes.push(note.parse().map_err(|_| ExportError::Line(at + 1))?),
            Ok(Line::Entry(_) | Line::AuditTrail(_)) => {}
            Err(_) => return Err(ExportError::Line(at + 1)),
        }
    }
    Ok(notes)
}

/// Verifies an export against public keys and against checkpoints that are kept elsewhere. Nothing but these is needed.
/// How far it has to be signed is for [`Chained::require_signed`] to say.
///
/// # Errors
/// [`ExportError::Bad`] with the first bad entry; [`ExportError::Line`] for what is no export.
pub fn verify(file: impl BufRead, keys: &[VerifyingKey], elsewhere: &[Note]) -> Result<Chained, ExportError> {
    let mut header = None;
    let (mut entries, mut notes) = (Vec::<Recorded>::new(), Vec::new());
    for (at, line) in Lines(file).enumerate() {
        let (line, bad) = (line?, ExportError::Line(at + 1));
        match (serde_json::from_str(&line), &header) {
            (Ok(Line::AuditTrail(first)), None) if first.version == VERSION => header = Some(first),
            (Ok(Line::Entry(entry)), Some(_)) => entries.push(entry.recorded().ok_or(bad)?),
            (Ok(Line::Checkpoint(note)), Some(_)) => notes.push(note.parse::<Note>().map_err(|_| bad)?),
            _ => return Err(bad),
        }
    }
    let header = header.ok_or(ExportError::Line(1))?;
    let mut verifier = Verifier::new(&header.origin, keys);
    for note in &notes {
        verifier = verifier.checkpoint(note, Witness::Own);
        // A countersignature is the word of another, wherever it is kept.
        if note.verified_by(keys).any(|key| key.name() != header.origin) {
            verifier = verifier.checkpoint(note, Witness::Other);
        }
    }
    for note in elsewhere {
        verifier = verifier.checkpoint(note, Witness::Other);
    }
    let times: Vec<i64> = entries.iter().map(|recorded| recorded.entry.at).collect();
    let verified = verifier.verify(entries).map_err(ExportError::Bad)?;
    let mut chained = Chained { origin: header.origin, verified, unsigned_ms: 0 };
    let unsigned = times.get(usize::try_from(chained.vouched()).unwrap_or(usize::MAX)..).unwrap_or_default();
    if let (Some(first), Some(last)) = (unsigned.first(), unsigned.last()) {
        chained.unsigned_ms = last.saturating_sub(*first);
    }
    Ok(chained)
}

/// Lines of bounded length.
struct Lines<R>(R);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match io::Read::take(&mut self.0, LINE).read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(entries: u64, signed: u64, witnessed: u64, unsigned_ms: i64) -> Result<(), ExportError> {
        let verified = Verified { entries, signed, witnessed, head: [0; 32] };
        Chained { origin: String::new(), verified, unsigned_ms }.require_signed()
    }

    #[test]
    fn a_trail_is_good_when_it_is_signed_as_far_as_an_instance_signs_it() {
        assert!(required(300, 300, 0, 0).is_ok());
        assert!(required(300, 0, 300, 0).is_ok(), "what another keeps vouches as well");
        assert!(required(300, 44, 0, 60_000).is_ok(), "a checkpoint may be due");
        assert!(matches!(required(300, 0, 0, 0), Err(ExportError::Unsigned)));
        assert!(matches!(required(0, 0, 0, 0), Err(ExportError::Unsigned)));
        assert!(matches!(required(300, 43, 0, 0), Err(ExportError::Overdue { signed: 43 })));
        assert!(matches!(required(300, 299, 298, 120_001), Err(ExportError::Overdue { signed: 299 })));
    }
}

//! Signed notes (`c2sp.org/signed-note`): a text, an empty line, and one line for each signature.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{SHA256, digest};

use super::{MAX_ORIGIN, cosigned};
use crate::error::Error;
use crate::identity::{PublicKey, verify_raw};

/// The most signatures of a note.
const MAX_SIGNATURES: usize = 16;
/// The longest note, in bytes.
const MAX_NOTE: usize = 8 * 1024;

const NOTE: Error = Error::Malformed { what: "signed note" };
const KEY: Error = Error::Malformed { what: "verification key" };

/// What kind of signature a key makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// Ed25519 over the text.
    Note,
    /// Ed25519 over the time and the text, by somebody who keeps it.
    Cosignature,
}

impl SignatureKind {
    fn byte(self) -> u8 {
        match self {
            Self::Note => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A public key with its name. As text, `name+id+key`: the id in hexadecimal, kind and key in base64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    name: String,
    kind: SignatureKind,
    key: PublicKey,
}

impl VerifyingKey {
    /// The key under this name.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a name that is empty, longer than [`MAX_ORIGIN`], or has a space, a plus sign or
    /// anything but printable ASCII.
    pub fn new(name: &str, kind: SignatureKind, key: PublicKey) -> Result<Self, Error> {
        let fits = !name.is_empty() && name.len() <= MAX_ORIGIN;
        if !fits || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+') {
            return Err(KEY);
        }
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name, line break, kind and key.
    fn id(&self) -> [u8; 4] {
        let mut input = self.name.as_bytes().to_vec();
        input.extend([b'\n', self.kind.byte()]);
        input.extend(self.key.as_bytes());
        let mut id = [0; 4];
        id.copy_from_slice(&digest(&SHA256, &input).as_ref()[..4]);
        id
    }

    pub(super) fn signature(&self, signature: &[u8]) -> NoteSignature {
        NoteSignature { name: self.name.clone(), id: self.id(), signature: signature.to_vec() }
    }

    fn verifies(&self, text: &str, signature: &NoteSignature) -> bool {
        if signature.name != self.name || signature.id != self.id() {
            return false;
        }
        match self.kind {
            SignatureKind::Note => verify_raw(&self.key, text.as_bytes(), &signature.signature).is_ok(),
            SignatureKind::Cosignature => {
                let Some((seconds, rest)) = signature.signature.split_first_chunk() else { return false };
                let text = cosigned(text, u64::from_be_bytes(*seconds));
                verify_raw(&self.key, text.as_bytes(), rest).is_ok()
            }
        }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, rest) = text.split_once('+').ok_or(KEY)?;
        let (id, key) = rest.split_once('+').ok_or(KEY)?;
        let key = BASE64.decode(key.as_bytes()).map_err(|_| KEY)?;
        let (kind, public) = key.split_first().ok_or(KEY)?;
        let kind = match kind {
            0x01 => SignatureKind::Note,
            0x04 => SignatureKind::Cosignature,
            _ => return Err(KEY),
        };
        let key = Self::new(name, kind, PublicKey::parse(public)?)?;
        if HEXLOWER.encode(&key.id()) == id { Ok(key) } else { Err(KEY) }
    }
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl NoteSignature {
    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend(&self.signature);
        write!(f, "— {} {}", self.name, BASE64.encode(&bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, bytes) = text.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(NOTE)?;
        let bytes = BASE64.decode(bytes.as_bytes()).map_err(|_| NOTE)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(NOTE)?;
        if name.is_empty() || name.len() > MAX_ORIGIN || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NOTE);
        }
        Ok(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

/// A text with signatures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A text that nobody signed yet.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it ends with a line break and has no other control character.
    pub fn unsigned(text: String) -> Result<Self, Error> {
        if !text.ends_with('\n') || text.chars().any(|character| character.is_control() && character != '\n')
        {
            return Err(NOTE);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// The signed text, with its last line break.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature.
    pub fn push(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Those of the keys under which a signature of the note verifies. A line of an unknown key does no harm.
    pub fn verified_by<'a>(&self, keys: &'a [VerifyingKey]) -> impl Iterator<Item = &'a VerifyingKey> {
        keys.iter().filter(|key| self.signatures.iter().any(|signature| key.verifies(&self.text, signature)))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for Note {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_NOTE {
            return Err(Error::TooLarge { what: "signed note" });
        }
        let at = text.rfind("\n\n").ok_or(NOTE)?;
        let mut note = Self::unsigned(text[..=at].to_owned())?;
        let lines = text[at + 2..].strip_suffix('\n').ok_or(NOTE)?;
        for line in lines.split('\n') {
            note.push(line.parse()?);
        }
        if note.signatures.len() > MAX_SIGNATURES {
            return Err(Error::TooLarge { what: "signed note" });
        }
        Ok(note)
    }
}

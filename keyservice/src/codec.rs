//! A tiny binary codec, for what the crate seals for itself and for what crosses to its process: fixed-width
//! little-endian integers, length-prefixed bytes.

use zeroize::Zeroizing;

use crate::error::Error;
use crate::wire::Words;

/// Builds an encoding; the buffer is wiped when dropped, because most of what goes in is secret.
pub struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// Room for `capacity` bytes, so that it need not grow.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.array(&[value])
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.array(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.array(&value.to_le_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.array(&value.to_le_bytes())
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn array(mut self, value: &[u8]) -> Self {
        append(&mut self.0, value);
        self
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        self.u64(value.len() as u64).array(value)
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Appends to a buffer that is wiped when dropped. One that has to grow is wiped where it was, too: `Vec` alone would
/// leave a copy behind.
pub fn append(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if buffer.capacity() - buffer.len() < bytes.len() {
        let room = (buffer.len() + bytes.len()).max(2 * buffer.capacity());
        let mut grown = Zeroizing::new(Vec::with_capacity(room));
        grown.extend_from_slice(buffer);
        *buffer = grown;
    }
    buffer.extend_from_slice(bytes);
}

/// Takes an encoding apart; whatever is missing or left over is an error that names `what` is being read.
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
    words: Option<&'a Words>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what, words: None }
    }

    /// Keeps the program's own texts that it reads in `words`.
    pub(crate) fn with_words(self, words: &'a Words) -> Self {
        Self { words: Some(words), ..self }
    }

    /// A text of the program's own.
    pub(crate) fn keep(&self, text: &str) -> &'static str {
        self.words.map_or("something", |words| words.keep(text))
    }

    /// The error of this reading.
    pub(crate) fn malformed(&self) -> Error {
        Error::Malformed { what: self.what }
    }

    /// How many values follow: never more than there are bytes left, so that no length makes room for nothing.
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.u64()?).map_err(|_| self.malformed())?;
        if count > self.rest.len() { Err(self.malformed()) } else { Ok(count) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::Malformed { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Malformed { what: self.what })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = usize::try_from(self.u64()?).map_err(|_| Error::Malformed { what: self.what })?;
        self.take(len)
    }

    /// The unread remainder.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed { what: self.what }) }
    }
}

/// An id in the text form of a UUID (RFC 9562, section 4).
pub(crate) fn uuid_text(id: &[u8; 16]) -> String {
    let hex = data_encoding::HEXLOWER.encode(id);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

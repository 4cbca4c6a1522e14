//! What crosses the socket: frames, and the first message.
//!
//! A frame is `length of the body (u32) | id (u64) | last (u8) | body`, little-endian, 64 KiB at most. A message is
//! the bodies of the frames with its id, one behind the other, up to the one that is marked as the last. An answer has
//! the id of its request. Answers come in any order; the frames of one message are not mixed with others.

use std::io::{self, Read};

use keyservice::wire::{self, Words};
use keyservice::{Error, Millis, RootSource, SealedHierarchy};
use secrecy::zeroize::Zeroizing;

/// The largest frame, its header included, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;
/// The largest message, in bytes: the largest plaintext of the key service with a key and room to spare.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// The length of a frame's header, in bytes.
pub(super) const HEADER: usize = 13;
/// The id of the first message. Requests count from 1.
pub(super) const OPENING: u64 = 0;
/// The request that only asks for an answer. The calls of the key service count from 1.
pub(super) const PING: &[u8] = &[0];

/// A message as it travels; wiped when dropped.
pub(super) type Message = Zeroizing<Vec<u8>>;

/// Why the other end is no longer listened to.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The socket closed within a message, or broke.
    #[error("the socket broke: {0}")]
    Broken(#[from] io::Error),
    /// A frame or message is longer than it may be.
    #[error("a message is too long")]
    TooLong,
    /// A frame that cannot be one.
    #[error("a frame is malformed")]
    Malformed,
}

/// What stands before a frame's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) body: usize,
    id: u64,
    last: bool,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, i0, i1, i2, i3, i4, i5, i6, i7, last] = *bytes;
        let body = u32::from_le_bytes([l0, l1, l2, l3]);
        let body = usize::try_from(body).map_err(|_| FrameError::TooLong)?;
        if body > MAX_FRAME - HEADER {
            return Err(FrameError::TooLong);
        }
        // Only a whole message may be empty: a sender could otherwise keep the other end busy with nothing.
        if last > 1 || (body == 0 && last == 0) {
            return Err(FrameError::Malformed);
        }
        Ok(Self { body, id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]), last: last == 1 })
    }
}

/// A message in its frames.
pub(super) fn frames(id: u64, message: &[u8]) -> Result<Message, FrameError> {
    if message.len() > MAX_MESSAGE {
        return Err(FrameError::TooLong);
    }
    let count = message.len().div_ceil(MAX_FRAME - HEADER).max(1);
    let mut out = Zeroizing::new(Vec::with_capacity(message.len() + count * HEADER));
    let mut rest = message;
    for number in 1..=count {
        let (body, after) = rest.split_at(rest.len().min(MAX_FRAME - HEADER));
        rest = after;
        out.extend_from_slice(&u32::try_from(body.len()).map_err(|_| FrameError::TooLong)?.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
        out.push(u8::from(number == count));
        out.extend_from_slice(body);
    }
    Ok(out)
}

/// Puts frames together.
#[derive(Default)]
pub(super) struct Assembler(Option<(u64, Message)>);

impl Assembler {
    /// Whether a message is begun.
    pub(super) fn is_within(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a frame; a whole message comes out with its last one.
    pub(super) fn add(&mut self, header: Header, body: &[u8]) -> Result<Option<(u64, Message)>, FrameError> {
        let (id, mut message) = match self.0.take() {
            Some((id, _)) if id != header.id => return Err(FrameError::Malformed),
            Some(begun) => begun,
            None => (header.id, Message::default()),
        };
        if message.len() + body.len() > MAX_MESSAGE {
            return Err(FrameError::TooLong);
        }
        wire::append(&mut message, body);
        if header.last {
            return Ok(Some((id, message)));
        }
        self.0 = Some((id, message));
        Ok(None)
    }
}

/// The next message; none when the other end closed the socket between two.
pub(super) fn receive(from: &mut impl Read) -> Result<Option<(u64, Message)>, FrameError> {
    let mut assembler = Assembler::default();
    loop {
        let mut header = [0; HEADER];
        match from.read(&mut header[..1])? {
            0 if assembler.is_within() => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            0 => return Ok(None),
            _ => from.read_exact(&mut header[1..])?,
        }
        let header = Header::parse(&header)?;
        let mut body = Zeroizing::new(vec![0; header.body]);
        from.read_exact(&mut body)?;
        if let Some(whole) = assembler.add(header, &body)? {
            return Ok(Some(whole));
        }
    }
}

/// What the process is told first: whose keys, where the root key is (never the root key), and the sealed hierarchy.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The instance.
    pub instance: [u8; 16],
    /// Where the root key comes from.
    pub root: RootSource,
    /// The hierarchy; none makes a new one, and the root key's file if it is not there.
    pub hierarchy: Option<SealedHierarchy>,
    /// Whether the file of the next root key is made, unless it is there: for a rotation.
    pub make_next: bool,
    /// The time.
    pub now: Millis,
}

/// What the process answers to the first message.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) hierarchy: SealedHierarchy,
    /// Whether it was the next root key that opened it: only the files are left to be put right.
    pub(super) by_next: bool,
    pub(super) protection: Vec<Measure>,
}

/// One thing that keeps others from the process's memory, or the process from the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    /// What it is.
    pub(super) name: String,
    /// Whether it is in force.
    pub(super) in_force: bool,
}

const FIRST: &str = "first message";

impl Opening {
    pub(super) fn to_message(&self) -> Result<Message, Error> {
        // What crosses is text, and a path that is not would become another one.
        if let RootSource::File(path) = &self.root
            && path.to_str().is_none()
        {
            return Err(Error::Malformed { what: "path of the root key" });
        }
        let told = (self.hierarchy.clone(), self.make_next, self.now);
        Ok(wire::to_bytes(&(self.instance, self.root.clone(), told)))
    }

    pub(super) fn parse(message: &[u8]) -> Result<Self, Error> {
        type Parts = ([u8; 16], RootSource, (Option<SealedHierarchy>, bool, Millis));
        let (instance, root, (hierarchy, make_next, now)): Parts =
            wire::from_bytes(message, FIRST, &Words::default())?;
        Ok(Self { instance, root, hierarchy, make_next, now })
    }
}

type OpenedParts = (SealedHierarchy, bool, Vec<(String, bool)>);

/// The answer to the first message, as bytes.
pub(super) fn opened_to_message(opened: Result<Opened, Error>) -> Message {
    let parts: Result<OpenedParts, Error> = opened.map(|opened| {
        let measures = opened.protection.into_iter().map(|measure| (measure.name, measure.in_force));
        (opened.hierarchy, opened.by_next, measures.collect())
    });
    wire::to_bytes(&parts)
}

/// The answer to the first message, from bytes.
pub(super) fn parse_opened(message: &[u8], words: &Words) -> Result<Opened, Error> {
    let parts: Result<OpenedParts, Error> = wire::from_bytes(message, FIRST, words)?;
    let (hierarchy, by_next, measures) = parts?;
    let protection = measures.into_iter().map(|(name, in_force)| Measure { name, in_force }).collect();
    Ok(Opened { hierarchy, by_next, protection })
}

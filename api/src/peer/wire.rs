//! The messages between two instances as JSON, version 1. Bytes are base64url without padding; sizes are checked
//! by type where they are fixed. Unknown fields are refused: what is not understood is not signed for.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::heartbeat::{self, Heard, Line, Said};
use crate::domain::refusal::Refusal;

/// Where an instance publishes who it is.
pub const IDENTITY: &str = "/.well-known/linkspan";
/// Where the authorization server publishes what it supports (RFC 8414).
pub const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
/// Where a link is claimed.
pub const CLAIM: &str = "/link/v1/claim";
/// Where an instance proves that it holds the claiming key.
pub const PROVE: &str = "/link/v1/prove";
/// Where an attempt is called off, with or without keys.
pub const ABANDON: &str = "/link/v1/abandon";
/// Where a consumer hears that the provider called its attempt off.
pub const WITHDRAW: &str = "/link/v1/withdraw";
/// Where an instance hears that its peer took the connection down.
pub const OFFBOARD: &str = "/link/v1/offboard";
/// Where the first message of the handshake goes.
pub const EXCHANGE: &str = "/link/v1/exchange";
/// Where the third message of the handshake goes.
pub const CONFIRM: &str = "/link/v1/confirm";
/// Where sealed messages go.
pub const MESSAGE: &str = "/link/v1/message";
/// The largest body of a sealed message, in bytes.
pub const MESSAGE_LIMIT: usize = 512 * 1024;
/// The largest body of any other message, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// Exactly `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Blob(bytes) = Blob::deserialize(deserializer)?;
        let length = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format_args!("{N} bytes expected, {length} found")))
    }
}

/// Any number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Who an instance says it is. The signature is over the bytes of `document`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIdentity {
    /// The document, as JSON text in base64url: signed as it stands, so that nothing needs a canonical form.
    pub document: Blob,
    /// Ed25519 over `PAE("kx1 identity document", document)` by the active key.
    pub signature: Bytes<64>,
}

/// The identity document. Fields may be added; a reader ignores those it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The instance.
    pub instance_id: Uuid,
    /// Its canonical origin.
    pub origin: String,
    /// The issuer of its authorization server; the origin.
    pub issuer: String,
    /// Its name for people.
    pub name: String,
    /// Its software version.
    pub software: String,
    /// Its identity keys.
    pub keys: Vec<IdentityKey>,
    /// Grows with every change of the document.
    pub seq: i64,
    /// How often to look again, in seconds.
    pub refresh_hint: i64,
    /// When it was signed, in milliseconds since the Unix epoch: its clock.
    pub signed_at: i64,
    /// Protocol versions it speaks.
    pub versions: Vec<u16>,
    /// Suites it speaks.
    pub suites: Vec<u16>,
}

/// An identity key in the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityKey {
    /// Its name: base32 of the first 20 bytes of its fingerprint.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
    /// The 32 bytes of the key.
    pub pk: Bytes<32>,
    /// `active` or `next`.
    pub state: String,
}

/// The request to redeem a link (KX/1 phase 0, step 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The public part of the link.
    pub r: Uuid,
    /// The secret part of the link.
    pub t: Bytes<32>,
    /// Who claims.
    pub instance_id: Uuid,
    /// From where.
    pub origin: String,
    /// Its Ed25519 identity key.
    pub pk: Bytes<32>,
    /// 32 random bytes.
    pub n_c: Bytes<32>,
    /// Proof of possession of the key.
    pub proof: Bytes<64>,
    /// The claiming instance's name for people.
    pub name: String,
    /// Its software version.
    pub software: String,
    /// Only ask what would happen: nothing is bound.
    pub rehearsal: bool,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
pub enum ClaimAnswer {
    /// The claiming origin is being asked; send the same claim again in a moment.
    Proving {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The link is bound to the claiming key, or would be (rehearsal).
    Accepted {
        /// The claim; absent for a rehearsal.
        claim_id: Option<Uuid>,
    },
    /// The claiming origin could not be reached, or did not prove.
    NotProven {
        /// A stable reason.
        reason: String,
    },
}

/// The question whether an origin holds the claiming key (step 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prove {
    /// The public part of the link.
    pub r: Uuid,
    /// 32 random bytes.
    pub challenge: Bytes<32>,
}

/// The answer to [`Prove`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Over the challenge.
    pub proof: Bytes<64>,
}

/// An attempt is called off. Signed with the claiming key, so that it works before keys were exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abandon {
    /// The public part of the link.
    pub r: Uuid,
    /// The claiming instance.
    pub instance_id: Uuid,
    /// The claim that is given up; what was bound later stays.
    pub claim_id: Uuid,
    /// Over all of it.
    pub proof: Bytes<64>,
}

/// The provider calls an attempt off. Signed with its identity key, so that it works before keys were exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// The public part of the link.
    pub r: Uuid,
    /// The claim that is void; what is claimed later stays.
    pub claim_id: Uuid,
    /// A stable reason: `CANCELLED`, `DEADLINE_EXCEEDED`, `CHANGED` or `CLOSED`.
    pub reason: String,
    /// Over all of it and the id of the claiming instance.
    pub proof: Bytes<64>,
}

/// One side paused the connection. Within a sealed message, signed with its identity key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Since when, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Why, for people; empty where nothing was said.
    pub reason: String,
    /// Over all of it, both identity keys and the channel.
    pub proof: Bytes<64>,
}

/// One side took the connection down. Signed with its identity key and not sealed: the keys of the connection are gone
/// where it is said, and may have been out of use before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offboard {
    /// The channel of the connection.
    pub link_id: Bytes<16>,
    /// Since when, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Why, for people; empty where nothing was said.
    pub reason: String,
    /// Over all of it and both identity keys.
    pub proof: Bytes<64>,
}

/// M1 of the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the key service's M1")]
pub struct M1 {
    pub attempt: u64,
    pub offer_versions: Vec<u16>,
    pub offer_suites: Vec<u16>,
    pub kid: Bytes<20>,
    pub pk: Bytes<32>,
    pub instance_id: Uuid,
    pub origin: String,
    pub e: Bytes<32>,
    pub n: Bytes<32>,
}

/// M2 of the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the key service's M2")]
pub struct M2 {
    pub attempt: u64,
    pub version: u16,
    pub suite: u16,
    pub kid: Bytes<20>,
    pub pk: Bytes<32>,
    pub instance_id: Uuid,
    pub origin: String,
    pub e: Bytes<32>,
    pub n: Bytes<32>,
    pub sig: Bytes<64>,
    pub mac: Bytes<32>,
}

/// M3 of the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the key service's M3")]
pub struct M3 {
    pub attempt: u64,
    pub sig: Bytes<64>,
    pub mac: Bytes<32>,
}

/// M4 of the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the key service's M4")]
pub struct M4 {
    pub attempt: u64,
    pub epoch: u64,
    pub activated_at: i64,
    pub fin: Bytes<32>,
}

/// A sealed message (KX/1, section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Envelope version.
    pub v: u8,
    /// The channel.
    pub link_id: Bytes<16>,
    /// `c2p` or `p2c`.
    pub dir: String,
    /// The epoch of the key.
    pub epoch: u64,
    /// By which a repetition is recognised.
    pub msg_id: Uuid,
    /// Per direction.
    pub seq: u64,
    /// The type of message.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digest of method and path.
    pub route: Bytes<32>,
    /// Of the plaintext.
    pub content_type: String,
    /// When it was made, in seconds since the Unix epoch.
    pub created: i64,
    /// When it is void, in seconds since the Unix epoch.
    pub expires: i64,
    /// For an answer: what it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_reply_to: Option<InReplyTo>,
    /// Source of the message's own key.
    pub salt: Bytes<32>,
    /// Ciphertext and tag.
    pub ct: Blob,
}

/// What an answer refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InReplyTo {
    /// The request's id.
    pub msg_id: Uuid,
    /// Digest over the request's salt and ciphertext.
    pub digest: Bytes<32>,
}

/// What a probe says, and its answer: what either side sees, from its own place. Fields that are not known are ignored
/// and missing ones are blank, so that one side may say more than the other understands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// When it was said, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The direction to the reader.
    pub outbound: Option<Sight>,
    /// The direction from the reader.
    pub inbound: Option<Sight>,
    /// In a probe: where the chain of heartbeats of whoever sends it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// In the answer to a probe, refused or not: the last step of the asker's chain of heartbeats that is known.
pub const KNOWS: &str = "knows";

/// Where a chain of heartbeats is (KX/1, section 7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How many steps were taken.
    pub step: i64,
    /// The chance of the last one.
    pub token: Uuid,
    /// Its line.
    pub line: Uuid,
    /// The first step of that line.
    pub since: i64,
    /// The last step that it heard the reader knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<i64>,
    /// On which line that step was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Uuid>,
    /// Whether it heard so before it took that step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
    /// Whether administrators confirmed that this line goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub survivor: bool,
}

impl From<Said> for Mark {
    fn from(Said { mark, heard, then, survivor }: Said) -> Self {
        let heartbeat::Mark { step, token, line } = mark;
        let (heard, ahead) = heard.map_or((None, false), |heard| (Some(heard.step), heard.ahead));
        Self { step, token, line: line.id, since: line.since, heard, then, ahead, survivor }
    }
}

impl From<&Mark> for Said {
    fn from(mark: &Mark) -> Self {
        let Mark { step, token, line, since, heard, then, ahead, survivor } = *mark;
        let heard = heard.map(|step| Heard { step, ahead });
        let mark = heartbeat::Mark { step, token, line: Line { id: line, since } };
        Self { mark, heard, then, survivor }
    }
}

/// What one side sees of a direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sight {
    /// Its status.
    pub status: String,
    /// For how long, in milliseconds.
    pub for_ms: i64,
    /// Why it does not work, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A finer distinction within the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long ago it was last proven, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_ms: Option<i64>,
    /// How long the last answer took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<i64>,
}

/// A refusal on the wire between instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stable code of the refusal.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// A finer distinction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The trace on the refusing side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The clock on the refusing side, in milliseconds since the Unix epoch: a hint at why a message was not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

impl Refused {
    /// The refusal as it goes to the peer.
    #[must_use]
    pub fn new(refusal: &Refusal, trace_id: String) -> Self {
        Self {
            code: refusal.code.as_str().to_owned(),
            message: refusal.message.clone(),
            reason: refusal.reason.clone(),
            trace_id: Some(trace_id),
            at: None,
        }
    }
}

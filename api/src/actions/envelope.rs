//! The envelope of sealed messages (KX/1, section 5): sealed, opened, and put on the wire.

use chrono::TimeDelta;
use keyservice::{Direction, EnvelopeHeader, KeyState, SealedKey};
use serde_json::Value;
use uuid::Uuid;

use super::{Actions, Done, Failure};
use crate::domain::connection::{Connection, Part};
use crate::domain::id::ChannelId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::wire::{self, Blob, Bytes, InReplyTo};
use crate::vault::VaultError;

/// How long a message may travel. Every attempt to say something makes a new message, so this is short.
pub(super) const MESSAGE_LASTS: TimeDelta = TimeDelta::minutes(5);
const CONTENT_TYPE: &str = "application/json";

/// A sealed request on its way, and what its answer must refer to.
#[derive(Debug)]
pub(crate) struct SealedRequest {
    pub(crate) envelope: wire::Envelope,
    pub(crate) connection: Connection,
    digest: [u8; 32],
}

impl Actions {
    /// Seals a request to the peer with the active one of these keys.
    pub(super) async fn seal_with(
        &self,
        connection: &Connection,
        keys: &[SealedKey],
        message: (Uuid, i64),
        kind: &str,
        body: &[u8],
    ) -> Done<SealedRequest> {
        let key = active_key(keys)?;
        let header = self.header(connection, key, message, kind, None)?;
        let sealed = self.keys.peer().seal_message(key, &header, body, self.world.now()).await?;
        let digest = sealed.ciphertext_digest();
        Ok(SealedRequest { envelope: to_wire(sealed), connection: connection.clone(), digest })
    }

    /// Opens the answer to a request: it must come from the peer, over the same channel, to this very request.
    pub(super) async fn open_with(
        &self,
        keys: &[SealedKey],
        request: &SealedRequest,
        answer: &wire::Envelope,
    ) -> Done<Vec<u8>> {
        let answers = answer
            .in_reply_to
            .as_ref()
            .is_some_and(|reply| reply.msg_id == request.envelope.msg_id && reply.digest.0 == request.digest);
        let channel = ChannelId(Uuid::from_bytes(answer.link_id.0));
        if !answers || request.connection.channel != Some(channel) {
            return Err(undecipherable());
        }
        self.open_request(keys, answer).await
    }

    /// Seals the answer to a request, as it goes on the wire.
    pub(super) async fn answer_with(
        &self,
        connection: &Connection,
        keys: &[SealedKey],
        message: (Uuid, i64),
        request: &wire::Envelope,
        answer: &Value,
    ) -> Done<Vec<u8>> {
        let key = active_key(keys)?;
        let asked = from_wire(request)?;
        let reply = Some((asked.header.message, asked.ciphertext_digest()));
        let header = self.header(connection, key, message, &request.kind, reply)?;
        let answer = answer.to_string();
        let sealed = self.keys.peer().seal_message(key, &header, answer.as_bytes(), self.world.now()).await?;
        serde_json::to_vec(&to_wire(sealed)).map_err(|_| Failure::Bug("envelope"))
    }

    fn header(
        &self,
        connection: &Connection,
        key: &SealedKey,
        (message, seq): (Uuid, i64),
        kind: &str,
        in_reply_to: Option<([u8; 16], [u8; 32])>,
    ) -> Done<EnvelopeHeader> {
        let now = self.world.now();
        let channel = connection.channel.ok_or(Failure::Bug("no channel yet"))?;
        Ok(EnvelopeHeader {
            link: channel.bytes(),
            direction: match connection.part {
                Part::Consumer => Direction::ConsumerToProvider,
                Part::Provider => Direction::ProviderToConsumer,
            },
            epoch: key.version,
            message: message.into_bytes(),
            seq: u64::try_from(seq).map_err(|_| Failure::Bug("message number"))?,
            kind: kind.to_owned(),
            route: route(),
            content_type: CONTENT_TYPE.to_owned(),
            created: now.timestamp(),
            expires: (now + MESSAGE_LASTS).timestamp(),
            in_reply_to,
        })
    }

    /// Opens a request of the peer with the key that it names.
    pub(super) async fn open_request(&self, keys: &[SealedKey], envelope: &wire::Envelope) -> Done<Vec<u8>> {
        let key = keys.iter().find(|key| key.version == envelope.epoch).ok_or_else(undecipherable)?;
        if let Some(refusal) = withdrawn(key) {
            return Err(refusal.into());
        }
        let sealed = from_wire(envelope)?;
        if sealed.header.route != route() || sealed.header.content_type != CONTENT_TYPE {
            return Err(undecipherable());
        }
        self.keys.peer().open_message(key, &sealed, self.world.now()).await.map_err(|error| match error {
            VaultError::Refused(error) => {
                tracing::warn!(reason = error.code(), "sealed message refused");
                undecipherable()
            }
            VaultError::Unavailable(_) | VaultError::Unrecorded | VaultError::Denied { .. } => error.into(),
        })
    }
}

/// Why nothing is sealed or opened with the key of a connection, if somebody took it out of use: both sides hear it,
/// because it breaks something for both.
fn withdrawn(key: &SealedKey) -> Option<Refusal> {
    let (reason, done) = taken_out(key.state)?;
    let message = match &key.reason {
        Some(why) => format!("The key of the connection was {done}: {why}"),
        None => format!("The key of the connection was {done}."),
    };
    Some(Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(reason))
}

/// How a key was taken out of use that is in this state, if it was: for programs, and for people.
const fn taken_out(state: KeyState) -> Option<(&'static str, &'static str)> {
    Some(match state {
        KeyState::Suspended => ("KEY_SUSPENDED", "suspended"),
        KeyState::Revoked => ("KEY_REVOKED", "revoked"),
        KeyState::Compromised => ("KEY_COMPROMISED", "marked as compromised"),
        KeyState::Destroyed => ("KEY_DESTROYED", "destroyed"),
        KeyState::PreActive | KeyState::Active | KeyState::Deactivated => return None,
    })
}

fn active_key(keys: &[SealedKey]) -> Done<&SealedKey> {
    keys.iter().find(|key| key.state == KeyState::Active).ok_or_else(|| {
        // The newest of them comes first.
        if let Some(refusal) = keys.first().and_then(withdrawn) {
            return refusal.into();
        }
        let message = "The connection has no active key.";
        Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason("LINK_KEY").into()
    })
}

/// What binds a message to the one route that takes it.
fn route() -> [u8; 32] {
    keyservice::pae::hash(&[b"kx1 route", b"POST", wire::MESSAGE.as_bytes()])
}

/// The one answer to a message that cannot be opened.
pub(super) fn undecipherable() -> Failure {
    Refusal::new(RefusalCode::PeerRefused, "The message could not be opened.").reason("MESSAGE").into()
}

fn to_wire(envelope: keyservice::Envelope) -> wire::Envelope {
    let header = envelope.header;
    wire::Envelope {
        v: envelope.v,
        link_id: Bytes(header.link),
        dir: header.direction.as_str().to_owned(),
        epoch: header.epoch,
        msg_id: Uuid::from_bytes(header.message),
        seq: header.seq,
        kind: header.kind,
        route: Bytes(header.route),
        content_type: header.content_type,
        created: header.created,
        expires: header.expires,
        in_reply_to: header
            .in_reply_to
            .map(|(message, digest)| InReplyTo { msg_id: Uuid::from_bytes(message), digest: Bytes(digest) }),
        salt: Bytes(envelope.salt),
        ct: Blob(envelope.ciphertext),
    }
}

fn from_wire(envelope: &wire::Envelope) -> Done<keyservice::Envelope> {
    Ok(keyservice::Envelope {
        v: envelope.v,
        header: EnvelopeHeader {
            link: envelope.link_id.0,
            direction: envelope.dir.parse().map_err(|_| undecipherable())?,
            epoch: envelope.epoch,
            message: envelope.msg_id.into_bytes(),
            seq: envelope.seq,
            kind: envelope.kind.clone(),
            route: envelope.route.0,
            content_type: envelope.content_type.clone(),
            created: envelope.created,
            expires: envelope.expires,
            in_reply_to: envelope
                .in_reply_to
                .as_ref()
                .map(|reply| (reply.msg_id.into_bytes(), reply.digest.0)),
        },
        salt: envelope.salt.0,
        ciphertext: envelope.ct.0.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyservice::{Operation, Permission};

    #[test]
    fn a_key_that_may_not_read_is_said_to_be_taken_out_of_use_and_no_other() {
        for state in KeyState::ALL {
            let reads = state.permits(Operation::Open) == Permission::Allowed;
            let waits = state == KeyState::PreActive;
            assert_eq!(taken_out(state).is_none(), reads || waits, "{state}");
            let named = taken_out(state).is_none_or(|(reason, _)| reason == format!("KEY_{state}"));
            assert!(named, "{state}");
        }
    }
}

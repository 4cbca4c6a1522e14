//! Sealed messages between connected instances (KX/1, section 5): made, opened, and what each kind does.

use chrono::TimeDelta;
use keyservice::{Direction, EnvelopeHeader, KeyState, SealedKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::attempt::PhaseName;
use crate::domain::connection::{Connection, ConnectionState, Part, State};
use crate::domain::direction::{DirectionStatus, Way};
use crate::domain::effect::Work;
use crate::domain::id::{ChannelId, ConnectionId, MessageId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::wire::{self, Blob, Bytes, InReplyTo};
use crate::store::{ChangeKind, NewJob, ServiceAccount, StoreError, Tx};
use crate::vault::VaultError;

/// How long a message may travel. Every attempt to say something makes a new message, so this is short.
const MESSAGE_LASTS: TimeDelta = TimeDelta::minutes(5);
/// How long a service account is good before it must be renewed.
const SERVICE_ACCOUNT_LASTS: TimeDelta = TimeDelta::days(90);
/// The kinds of messages that a service account may send.
const SCOPES: &[&str] = &["activate", "call.back", "complete", "echo", "ping", "probe", "settings.sync"];
const CONTENT_TYPE: &str = "application/json";

/// A sealed request on its way, and what its answer must refer to.
#[derive(Debug)]
pub(crate) struct SealedRequest {
    pub(crate) envelope: wire::Envelope,
    pub(crate) connection: Connection,
    digest: [u8; 32],
}

/// What one side sees of both directions of a connection, from its own place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Views {
    outbound: Option<String>,
    inbound: Option<String>,
}

impl Actions {
    /// Seals a request to the peer of a connection.
    pub(crate) async fn seal_request(
        &self,
        call: &Call,
        id: ConnectionId,
        kind: &str,
        body: &Value,
    ) -> Done<SealedRequest> {
        let mut tx = self.begin("message.seal", call).await?;
        let connection = self.connection(&tx, id).await?;
        let channel = connection.channel.ok_or(Failure::Bug("no channel yet"))?;
        let key = active_key(tx.keys(&Self::channel_module(channel)).await?)?;
        let seq = tx.next_message_seq(id).await?;
        let message = tx.uuid()?;
        tx.commit().await?;
        let header = self.header(&connection, channel, &key, (message, seq), kind, None)?;
        let body = body.to_string();
        let sealed = self.keys.seal_message(&key, &header, body.as_bytes(), self.world.now()).await?;
        let digest = sealed.ciphertext_digest();
        Ok(SealedRequest { envelope: to_wire(sealed), connection, digest })
    }

    /// Opens the answer to a request: it must come from the peer, over the same channel, to this very request.
    pub(crate) async fn open_answer(
        &self,
        call: &Call,
        request: &SealedRequest,
        answer: &wire::Envelope,
    ) -> Done<Value> {
        let tx = self.begin("message.answer", call).await?;
        let answers = answer
            .in_reply_to
            .as_ref()
            .is_some_and(|reply| reply.msg_id == request.envelope.msg_id && reply.digest.0 == request.digest);
        let channel = ChannelId(Uuid::from_bytes(answer.link_id.0));
        if !answers || request.connection.channel != Some(channel) {
            return Err(undecipherable());
        }
        let plaintext = self.open_envelope(&tx, channel, answer).await?;
        serde_json::from_slice(&plaintext).map_err(|_| undecipherable())
    }

    /// Receives a sealed request and answers it, sealed. The same request again gets the same answer, and its
    /// effect is not repeated.
    ///
    /// # Errors
    /// `PEER_REFUSED` for whatever cannot be opened: one answer for all.
    pub async fn receive_message(&self, call: &Call, envelope: &wire::Envelope) -> Done<Vec<u8>> {
        let mut tx = self.begin("message.receive", call).await?;
        let channel = ChannelId(Uuid::from_bytes(envelope.link_id.0));
        let connection = tx.connection_by_channel(channel).await?.ok_or_else(undecipherable)?;
        let plaintext = self.open_envelope(&tx, channel, envelope).await?;
        if envelope.expires < tx.now().timestamp() - MESSAGE_LASTS.num_seconds()
            || envelope.in_reply_to.is_some()
        {
            return Err(undecipherable());
        }
        if let Some(known) = tx.answered_message(connection.id, MessageId(envelope.msg_id)).await? {
            return Ok(known.answer);
        }
        let body: Value = serde_json::from_slice(&plaintext).map_err(|_| undecipherable())?;
        let answer = match self.handle(&mut tx, call, &connection, &envelope.kind, body).await {
            Ok(answer) => answer,
            // What the peer may know of a refusal crosses sealed, as itself.
            Err(Failure::Refused(refusal)) => {
                drop(tx);
                tx = self.begin("message.refuse", call).await?;
                json!({ "refused": wire::Refused::new(&refusal, call.trace.to_string()) })
            }
            Err(failure) => return Err(failure),
        };
        let key = active_key(tx.keys(&Self::channel_module(channel)).await?)?;
        let seq = tx.next_message_seq(connection.id).await?;
        let request = from_wire(envelope)?;
        let reply = Some((request.header.message, request.ciphertext_digest()));
        let header = self.header(&connection, channel, &key, (tx.uuid()?, seq), &envelope.kind, reply)?;
        let now = tx.now();
        let sealed = self.keys.seal_message(&key, &header, answer.to_string().as_bytes(), now).await?;
        let bytes = serde_json::to_vec(&to_wire(sealed)).map_err(|_| Failure::Bug("envelope"))?;
        let until = now + MESSAGE_LASTS + MESSAGE_LASTS;
        match tx.keep_message(connection.id, envelope.msg_id, &bytes, until).await {
            Ok(()) => {}
            // The same message is being handled by another request: this one has had no effect.
            Err(StoreError::Duplicate(_)) => return Err(Refusal::conflict("message").into()),
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        Ok(bytes)
    }

    async fn handle(
        &self,
        tx: &mut Tx,
        call: &Call,
        connection: &Connection,
        kind: &str,
        body: Value,
    ) -> Done<Value> {
        match connection.state {
            State::Onboarding { .. } | State::Onboarded { .. } => {}
            _ => {
                let allowed = [ConnectionState::Onboarding.label(), ConnectionState::Onboarded.label()];
                return Err(
                    Refusal::wrong_state("connection", connection.state.name().label(), &allowed).into()
                );
            }
        }
        if kind == "credentials.create" {
            return self.create_credentials(tx, connection, &body).await;
        }
        let account = tx.service_account(connection.id).await?;
        let may =
            account.is_some_and(|a| a.expires_at > tx.now() && a.scopes.iter().any(|scope| scope == kind));
        if !may {
            let message = format!("The service account may not send messages of the kind “{kind}”.");
            return Err(Refusal::new(RefusalCode::PolicyDenied, message).reason("SCOPE").into());
        }
        let now = tx.now();
        match kind {
            "activate" => {
                self.prove_direction(tx, connection, Way::Inbound, now, None, &Views::default()).await?;
                let done = [PhaseName::CreateCredentials, PhaseName::ActivateOutbound];
                self.follow(tx, connection, &done).await?;
                Ok(json!({}))
            }
            "call.back" => {
                tx.enqueue(NewJob { work: Work::Ping(connection.id), run_at: now, sealed: None }).await?;
                Ok(json!({}))
            }
            "ping" => {
                self.prove_direction(tx, connection, Way::Inbound, now, None, &Views::default()).await?;
                if let State::Onboarding { attempt } = connection.state
                    && connection.part == Part::Consumer
                {
                    tx.enqueue(NewJob { work: Work::Phase(attempt), run_at: now, sealed: None }).await?;
                }
                Ok(json!({ "echo": body.get("echo") }))
            }
            "echo" => Ok(json!({ "echo": body.get("echo") })),
            "probe" => {
                let views = serde_json::from_value(body).unwrap_or_default();
                self.prove_direction(tx, connection, Way::Inbound, now, None, &views).await?;
                let views = self.views(tx, connection).await?;
                serde_json::to_value(views).map_err(|_| Failure::Bug("views"))
            }
            "settings.sync" => {
                let answer = self.receive_settings(tx, connection, body).await?;
                self.follow(tx, connection, &[PhaseName::ActivateInbound, PhaseName::SyncSettings]).await?;
                Ok(answer)
            }
            "complete" => self.receive_complete(tx, call, connection).await,
            _ => {
                Err(Refusal::new(RefusalCode::InvalidInput, "This kind of message is not known here.").into())
            }
        }
    }

    /// The peer made a service account for us and asks for one of ours. Asked again, it is renewed.
    async fn create_credentials(&self, tx: &mut Tx, connection: &Connection, body: &Value) -> Done<Value> {
        let peer = body.get("account").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
        let peer = peer.ok_or_else(|| Refusal::invalid("account", "A service account's id is missing."))?;
        let ours = self.make_service_account(tx, connection.id, Some(peer)).await?;
        Ok(json!({ "account": ours.id, "scopes": ours.scopes, "expires": ours.expires_at.timestamp() }))
    }

    async fn make_service_account(
        &self,
        tx: &mut Tx,
        id: ConnectionId,
        peer: Option<Uuid>,
    ) -> Done<ServiceAccount> {
        let known = tx.service_account(id).await?;
        let account = ServiceAccount {
            id: match &known {
                Some(known) => known.id,
                None => tx.uuid()?,
            },
            peer: peer.or(known.and_then(|known| known.peer)),
            scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            expires_at: tx.now() + SERVICE_ACCOUNT_LASTS,
        };
        tx.save_service_account(id, &account).await?;
        Ok(account)
    }

    /// The service account that we offer the peer.
    pub(crate) async fn offer_credentials(&self, call: &Call, id: ConnectionId) -> Done<Value> {
        let mut tx = self.begin("credentials.offer", call).await?;
        let account = self.make_service_account(&mut tx, id, None).await?;
        tx.commit().await?;
        Ok(
            json!({ "account": account.id, "scopes": account.scopes, "expires": account.expires_at.timestamp() }),
        )
    }

    /// The service account that the peer made for us.
    pub(crate) async fn take_credentials(&self, call: &Call, id: ConnectionId, answer: &Value) -> Done<()> {
        let peer = answer.get("account").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
        let mut tx = self.begin("credentials.take", call).await?;
        self.make_service_account(&mut tx, id, Some(peer.ok_or_else(undecipherable)?)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The consumer's phases are all done: registration and connection are, too. Said twice, it changes nothing.
    async fn receive_complete(&self, tx: &mut Tx, call: &Call, connection: &Connection) -> Done<Value> {
        let now = tx.now();
        let done = [PhaseName::EchoTest, PhaseName::Complete];
        self.follow(tx, connection, &done).await?;
        if let Some(registration) = connection.registration
            && connection.part == Part::Provider
        {
            let registration = self.registration(tx, registration).await?;
            let before = registration.clone();
            let step = registration.completed(connection.id, now)?;
            if step.next != before {
                self.settle(tx, call, &before, step).await?;
            }
        }
        self.stand(tx, connection.clone()).await?;
        Ok(json!({}))
    }

    /// The connection stands: it is watched from now on.
    pub(super) async fn stand(&self, tx: &mut Tx, connection: Connection) -> Done<()> {
        if matches!(connection.state, State::Onboarding { .. }) {
            let connection = tx.save_connection(connection.onboarded(tx.now())?.next).await?;
            tx.set_link_secret(connection.id, None).await?;
            let run_at = tx.now() + self.profile.measure.interval;
            tx.enqueue(NewJob { work: Work::Probe(connection.id), run_at, sealed: None }).await?;
            tx.audit("connection.onboarded", "CONNECTION", connection.id, "OK", json!({}));
        }
        Ok(())
    }

    /// The last phase: the provider acknowledged completion.
    pub(crate) async fn complete(&self, call: &Call, id: crate::domain::id::AttemptId) -> Done<()> {
        use crate::domain::attempt::Outcome;
        let mut tx = self.begin("onboarding.complete", call).await?;
        let Some((mut attempt, work, _, revision)) = tx.attempt(id).await? else { return Ok(()) };
        let connection = self.connection(&tx, attempt.connection).await?;
        attempt.tried(PhaseName::Complete, Outcome::Done, tx.now());
        tx.save_attempt(&attempt, &work, None, revision, connection.company).await?;
        self.stand(&mut tx, connection).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What we see of both directions, to tell the peer.
    pub(super) async fn views(&self, tx: &Tx, connection: &Connection) -> Done<Views> {
        let mut views = Views::default();
        for way in Way::ALL {
            let (evidence, _) = tx.evidence(connection.id, *way).await?;
            let seen = evidence.seen(connection.state.name(), self.profile.measure, tx.now());
            let seen = seen.map(|status| status.as_str().to_owned());
            match way {
                Way::Outbound => views.outbound = seen,
                Way::Inbound => views.inbound = seen,
            }
        }
        Ok(views)
    }

    /// A direction was proven; the peer's views may have come with the proof. Our outbound is its inbound.
    pub(super) async fn prove_direction(
        &self,
        tx: &mut Tx,
        connection: &Connection,
        way: Way,
        at: Timestamp,
        round_trip_ms: Option<i64>,
        views: &Views,
    ) -> Done<()> {
        for one in Way::ALL {
            let (mut evidence, shown) = tx.evidence(connection.id, *one).await?;
            let before = evidence.clone();
            if *one == way {
                evidence.proven(at, round_trip_ms);
            }
            let theirs = match one {
                Way::Outbound => &views.inbound,
                Way::Inbound => &views.outbound,
            };
            if let Some(theirs) = theirs {
                evidence.peer_view = DirectionStatus::parse(theirs);
            }
            let status = evidence.status(connection.state.name(), self.profile.measure, tx.now());
            if evidence != before || status != shown {
                tx.save_evidence(connection.id, *one, &evidence, status, false).await?;
            }
            if status != shown {
                tx.connection_changed(connection, ChangeKind::Updated, connection.revision);
            }
        }
        Ok(())
    }

    fn header(
        &self,
        connection: &Connection,
        channel: ChannelId,
        key: &SealedKey,
        (message, seq): (Uuid, i64),
        kind: &str,
        in_reply_to: Option<([u8; 16], [u8; 32])>,
    ) -> Done<EnvelopeHeader> {
        let now = self.world.now();
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

    async fn open_envelope(&self, tx: &Tx, channel: ChannelId, envelope: &wire::Envelope) -> Done<Vec<u8>> {
        let keys = tx.keys(&Self::channel_module(channel)).await?;
        let key = keys.into_iter().find(|key| key.version == envelope.epoch).ok_or_else(undecipherable)?;
        let sealed = from_wire(envelope)?;
        if sealed.header.route != route() || sealed.header.content_type != CONTENT_TYPE {
            return Err(undecipherable());
        }
        self.keys.open_message(&key, &sealed, tx.now()).await.map_err(|error| match error {
            VaultError::Refused(error) => {
                tracing::warn!(reason = error.code(), "sealed message refused");
                undecipherable()
            }
            VaultError::Unavailable(_) => error.into(),
        })
    }
}

fn active_key(keys: Vec<SealedKey>) -> Done<SealedKey> {
    keys.into_iter().find(|key| key.state == KeyState::Active).ok_or_else(|| {
        let message = "The connection has no active key.";
        Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason("LINK_KEY").into()
    })
}

/// What binds a message to the one route that takes it.
fn route() -> [u8; 32] {
    keyservice::pae::hash(&[b"kx1 route", b"POST", wire::MESSAGE.as_bytes()])
}

/// The one answer to a message that cannot be opened.
fn undecipherable() -> Failure {
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

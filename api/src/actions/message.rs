//! Sealed messages between connected instances (KX/1, section 5): made, opened, and what each kind does.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::envelope::{MESSAGE_LASTS, SealedRequest, undecipherable};
use super::failure::failed;
use super::pause::{PAUSE, paused_here};
use super::probing::PROBE;
use super::{Actions, Call, Done, Failure};
use crate::domain::attempt::PhaseName;
use crate::domain::connection::{Connection, ConnectionState, Part, State};
use crate::domain::direction::Way;
use crate::domain::effect::Work;
use crate::domain::failure::Operation;
use crate::domain::id::{ChannelId, ConnectionId, MessageId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Requester;
use crate::peer::wire::{self, Heartbeat};
use crate::store::{NewJob, ServiceAccount, StoreError, Tx};

/// How long a service account is good before it must be renewed.
const SERVICE_ACCOUNT_LASTS: TimeDelta = TimeDelta::days(90);
/// The kinds of messages that a service account may send.
pub(super) const SCOPES: &[&str] =
    &["activate", "call.back", "compare", "complete", "echo", "ping", "probe", "settings.sync"];

/// In a ping: the id of the message that asked for it.
pub(crate) const ANSWERS: &str = "answers";

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
        let keys = tx.keys(&Self::channel_module(channel)).await?;
        let seq = tx.next_message_seq(id).await?;
        let message = tx.uuid()?;
        tx.commit().await?;
        self.seal_with(&connection, &keys, (message, seq), kind, body.to_string().as_bytes()).await
    }

    /// Opens the answer to a request: it must come from the peer, over the same channel, to this very request.
    pub(crate) async fn open_answer(
        &self,
        call: &Call,
        request: &SealedRequest,
        answer: &wire::Envelope,
    ) -> Done<Value> {
        let channel = request.connection.channel.ok_or(Failure::Bug("no channel yet"))?;
        let keys = {
            let tx = self.begin_reading("message.answer", call).await?;
            tx.keys(&Self::channel_module(channel)).await?
        };
        let plaintext = self.open_with(&keys, request, answer).await?;
        self.watch.lock().count(request.connection.id, Way::Outbound, self.world.now());
        serde_json::from_slice(&plaintext).map_err(|_| undecipherable())
    }

    /// Receives a sealed request and answers it, sealed. The same request again gets the same answer, and its
    /// effect is not repeated.
    ///
    /// # Errors
    /// `PEER_REFUSED` for whatever cannot be opened: one answer for all.
    pub async fn receive_message(&self, call: &Call, envelope: &wire::Envelope) -> Done<Vec<u8>> {
        if envelope.kind == PROBE
            && let Some(answer) = self.receive_probe(call, envelope).await?
        {
            return Ok(answer);
        }
        let mut tx = self.begin("message.receive", call).await?;
        let channel = ChannelId(Uuid::from_bytes(envelope.link_id.0));
        let connection = tx.connection_by_channel(channel).await?.ok_or_else(undecipherable)?;
        if connection.ending().is_some() {
            self.remind_of_end(tx, connection).await?;
            return Err(undecipherable());
        }
        let keys = tx.keys(&Self::channel_module(channel)).await?;
        let plaintext = self.open_request(&keys, envelope).await?;
        tx.acts_for(Requester::Peer(connection.id));
        if envelope.expires < tx.now().timestamp() - MESSAGE_LASTS.num_seconds()
            || envelope.in_reply_to.is_some()
        {
            return Err(undecipherable());
        }
        if let Some(known) = tx.answered_message(connection.id, MessageId(envelope.msg_id)).await? {
            return Ok(known.answer);
        }
        let body: Value = serde_json::from_slice(&plaintext).map_err(|_| undecipherable())?;
        let answer = match self.handle(&mut tx, call, &connection, envelope, body).await {
            Ok(answer) => answer,
            // What the peer may know of a refusal crosses sealed, as itself.
            Err(Failure::Refused(refusal)) => {
                drop(tx);
                tx = self.begin("message.refuse", call).await?;
                tx.acts_for(Requester::Peer(connection.id));
                tx.record_failure(&failed(&connection, Operation::Receive, &refusal, call.trace)).await?;
                json!({ "refused": wire::Refused::new(&refusal, call.trace.to_string()) })
            }
            Err(failure) => return Err(failure),
        };
        let message = (tx.uuid()?, tx.next_message_seq(connection.id).await?);
        let bytes = self.answer_with(&connection, &keys, message, envelope, &answer).await?;
        let now = tx.now();
        let until = now + MESSAGE_LASTS + MESSAGE_LASTS;
        match tx.keep_message(connection.id, envelope.msg_id, &bytes, until).await {
            Ok(()) => {}
            // The same message is being handled by another request: this one has had no effect.
            Err(StoreError::Duplicate(_)) => return Err(Refusal::conflict("message").into()),
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        self.watch.lock().count(connection.id, Way::Inbound, now);
        Ok(bytes)
    }

    /// Over which connection this message of a peer came; none once it is forgotten.
    pub(crate) async fn asked_over(&self, call: &Call, question: MessageId) -> Done<Option<ConnectionId>> {
        let tx = self.begin_reading("message.read", call).await?;
        Ok(tx.connection_of_message(question).await?)
    }

    /// Whether a message came that names this one of ours as what asked for it.
    pub(crate) async fn is_answered(&self, call: &Call, id: ConnectionId, question: MessageId) -> Done<bool> {
        let tx = self.begin_reading("message.read", call).await?;
        Ok(tx.answered_message(id, question).await?.is_some())
    }

    async fn handle(
        &self,
        tx: &mut Tx,
        call: &Call,
        connection: &Connection,
        envelope: &wire::Envelope,
        body: Value,
    ) -> Done<Value> {
        let kind = envelope.kind.as_str();
        match &connection.state {
            State::Onboarding { .. } | State::Onboarded { .. } => {}
            State::Suspended { .. } => {
                return Err(connection.pause().map_or_else(undecipherable, |it| paused_here(&it).into()));
            }
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
        if kind == PAUSE {
            return self.receive_pause(tx, connection, body).await;
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
                self.prove_direction(tx, connection, Way::Inbound, None).await?;
                let done = [PhaseName::CreateCredentials, PhaseName::ActivateOutbound];
                self.follow(tx, connection, &done).await?;
                Ok(json!({}))
            }
            "call.back" => {
                let work = Work::Ping(MessageId(envelope.msg_id));
                tx.enqueue(NewJob { work, run_at: now, sealed: None }).await?;
                Ok(json!({}))
            }
            "ping" => {
                let question =
                    body.get(ANSWERS).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
                if let Some(question) = question {
                    tx.question_answered(connection.id, MessageId(question), now + MESSAGE_LASTS).await?;
                }
                self.prove_direction(tx, connection, Way::Inbound, None).await?;
                if let State::Onboarding { attempt } = connection.state
                    && connection.part == Part::Consumer
                {
                    tx.enqueue(NewJob { work: Work::Phase(attempt), run_at: now, sealed: None }).await?;
                }
                Ok(json!({ "echo": body.get("echo") }))
            }
            "echo" => Ok(json!({ "echo": body.get("echo") })),
            "compare" => self.answer_comparison(tx, connection).await,
            // The peer stands already, and we are about to: its word is not needed yet.
            PROBE => {
                self.prove_direction(tx, connection, Way::Inbound, None).await?;
                let said = Heartbeat { at: now.timestamp_millis(), ..Heartbeat::default() };
                serde_json::to_value(said).map_err(|_| Failure::Bug("heartbeat"))
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
        // It may have been taken down since this began.
        let connection = self.connection(tx, id).await?;
        if connection.ending().is_some() {
            return Err(
                Refusal::wrong_state("connection", connection.state.name().label(), &["Onboarded"]).into()
            );
        }
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
            self.look_after(tx, &connection).await?;
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
        if let (State::Onboarding { .. }, Some(by)) = (&connection.state, attempt.started_by) {
            self.tell_connected(&mut tx, &connection, by).await?;
        }
        attempt.tried(PhaseName::Complete, Outcome::Done, tx.now());
        tx.save_attempt(&attempt, &work, None, revision, connection.company).await?;
        self.stand(&mut tx, connection).await?;
        tx.commit().await?;
        Ok(())
    }
}

//! The phases of onboarding on the consumer, and the sealed messages of both sides.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Trouble, Worker, is_keys_away};
use crate::actions::envelope::SealedRequest;
use crate::actions::message::ANSWERS;
use crate::actions::onboarding::{LOOK_AGAIN, Learned, PhasePlan, PushAnswer, TokenAnswer, denied, too_late};
use crate::actions::pause::PAUSE;
use crate::actions::{Call, Failure};
use crate::domain::attempt::{Outcome, PhaseName};
use crate::domain::causes::causes;
use crate::domain::connection::{Connection, Part};
use crate::domain::id::{AttemptId, ConnectionId, MessageId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::{PeerError, wire};
use crate::store::Job;

/// How often settings are synced in a row before the two sides count as not agreeing.
const SYNC_ROUNDS: usize = 3;
/// Length of the echo test's payload in bytes.
const ECHO_LENGTH: usize = 1_024;
/// How often we look whether the peer's message arrived that we asked for, and how long between two looks: 10 s in all.
const CALL_BACK_LOOKS: (usize, Duration) = (200, Duration::from_millis(50));

/// What became of a step: recorded by the action already, or to be recorded.
enum Stepped {
    Recorded,
    Tried(Box<(Outcome, Learned)>),
}

fn tried(outcome: Outcome, learned: Learned) -> Stepped {
    Stepped::Tried(Box::new((outcome, learned)))
}

impl Worker {
    /// Carries an attempt's current phase on by one step.
    pub(super) async fn phase(&self, call: &Call, id: AttemptId) -> Result<(), Trouble> {
        let Some(plan) = self.actions.phase_plan(call, id).await? else { return Ok(()) };
        let (outcome, learned) = match self.step(call, id, &plan).await {
            Ok(Stepped::Recorded) => return Ok(()),
            Ok(Stepped::Tried(tried)) => *tried,
            Err(Trouble::Ours(Failure::Refused(refusal))) if is_keys_away(&refusal) => {
                (Outcome::Again(*refusal), Learned::Nothing)
            }
            Err(Trouble::Ours(Failure::Refused(refusal))) if refusal.code != RefusalCode::Conflict => {
                (Outcome::Failed(*refusal), Learned::Nothing)
            }
            Err(Trouble::Peer(error)) => {
                tracing::info!(error = causes(&error), phase = %plan.phase, "a phase did not go on");
                (
                    if error.is_passing() {
                        Outcome::Again(error.refusal())
                    } else {
                        Outcome::Failed(error.refusal())
                    },
                    Learned::Nothing,
                )
            }
            Err(trouble) => return Err(trouble),
        };
        Ok(self.actions.phase_tried(call, id, plan.phase, outcome, learned).await?)
    }

    async fn step(&self, call: &Call, id: AttemptId, plan: &PhasePlan) -> Result<Stepped, Trouble> {
        let connection = &plan.connection;
        match plan.phase {
            PhaseName::Claim => self.claim(call, connection).await,
            PhaseName::AuthorizeContact => self.authorize(call, id, plan).await,
            PhaseName::ExchangeKeys => {
                let (exchange, m1, token) = self.actions.begin_exchange(call, id).await?;
                let m2 = self
                    .peer
                    .post::<wire::M2>(&connection.peer.origin, wire::EXCHANGE, Some(&token), &m1, call.trace)
                    .await;
                let m2 = match m2 {
                    Ok(m2) => m2.body,
                    Err(error) => {
                        self.actions.drop_exchange(exchange).await;
                        return Err(error.into());
                    }
                };
                self.actions.conclude_exchange(call, id, exchange, &m2).await?;
                Ok(Stepped::Recorded)
            }
            PhaseName::ConfirmKeys => {
                let (m3, token) = self.actions.confirmation(call, id).await?;
                let origin = &connection.peer.origin;
                let m4 =
                    self.peer.post::<wire::M4>(origin, wire::CONFIRM, Some(&token), &m3, call.trace).await?;
                self.actions.finish_exchange(call, id, &m4.body).await?;
                Ok(Stepped::Recorded)
            }
            PhaseName::CreateCredentials => {
                let offer = self.actions.offer_credentials(call, connection.id).await?;
                let (answer, _) = self.say(call, connection.id, "credentials.create", &offer).await?;
                self.actions.take_credentials(call, connection.id, &answer).await?;
                Ok(tried(Outcome::Done, Learned::Nothing))
            }
            PhaseName::ActivateOutbound => {
                let (_, took) = self.say(call, connection.id, "activate", &json!({})).await?;
                self.actions.outbound_proven(call, connection.id, took).await?;
                Ok(tried(Outcome::Done, Learned::Nothing))
            }
            PhaseName::ActivateInbound => self.await_ping(call, plan).await,
            PhaseName::SyncSettings => {
                self.sync(call, connection.id).await?;
                Ok(tried(Outcome::Done, Learned::Nothing))
            }
            PhaseName::EchoTest => {
                self.echo(call, connection.id).await?;
                self.await_ping(call, plan).await
            }
            PhaseName::Complete => {
                self.say(call, connection.id, "complete", &json!({})).await?;
                self.actions.complete(call, id).await?;
                Ok(Stepped::Recorded)
            }
        }
    }

    /// Redeems the link: asked again until the provider has asked us back.
    async fn claim(&self, call: &Call, connection: &Connection) -> Result<Stepped, Trouble> {
        let origin = &connection.peer.origin;
        let identity = self.peer.identity(origin, call.trace).await?;
        let verified = self.actions.verify_identity(&identity.body, origin.as_str())?;
        self.actions.learn_peer(call, connection.id, &verified).await?;
        let metadata = self.peer.metadata(origin, call.trace).await?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(origin.as_str()) {
            let message = "The provider's authorization server names another issuer.";
            return Err(Refusal::new(RefusalCode::PeerIdentityMismatch, message).reason("ISSUER").into());
        }
        let claim = self.actions.make_claim(call, connection.id, false).await?;
        let answer =
            self.peer.post::<wire::ClaimAnswer>(origin, wire::CLAIM, None, &claim, call.trace).await?;
        Ok(match answer.body {
            wire::ClaimAnswer::Accepted { claim_id: Some(claim) } => {
                tried(Outcome::Done, Learned::Claim(claim))
            }
            wire::ClaimAnswer::Accepted { claim_id: None } => {
                return Err(PeerError::Nonsense(Default::default()).into());
            }
            wire::ClaimAnswer::Proving { retry_after_ms } => {
                let pause =
                    TimeDelta::milliseconds(i64::try_from(retry_after_ms.clamp(20, 5_000)).unwrap_or(100));
                tried(Outcome::Waiting { until: self.actions.now() + pause }, Learned::Nothing)
            }
            wire::ClaimAnswer::NotProven { reason } => {
                let message =
                    "The provider could not reach this instance at its base URL to prove the claim.";
                let refusal = Refusal::new(RefusalCode::PeerUnreachable, message).reason(reason);
                tried(Outcome::Again(refusal), Learned::Nothing)
            }
        })
    }

    /// Pushes the authorization request, waits for the person, redeems the code.
    async fn authorize(&self, call: &Call, id: AttemptId, plan: &PhasePlan) -> Result<Stepped, Trouble> {
        let (connection, work) = (&plan.connection, &plan.work);
        let origin = &connection.peer.origin;
        if let Some(error) = &work.authorization_error {
            return Ok(tried(Outcome::Failed(denied(error)), Learned::AskAgain));
        }
        if let Some(fields) = self.actions.code_to_redeem(call, id).await? {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return match self.peer.post_form::<TokenAnswer>(origin, "/oauth/token", &fields, call.trace).await
            {
                Ok(answer) => Ok(tried(Outcome::Done, Learned::Token(answer))),
                // A code is good for a minute and once: if that is over, the contact is asked again.
                Err(PeerError::Refused(refused)) if refused.reason.as_deref() == Some("invalid_grant") => {
                    Ok(tried(Outcome::Failed(too_late()), Learned::AskAgain))
                }
                Err(error) => Err(error.into()),
            };
        }
        let now = self.actions.now();
        let good_until = work.authorization_expires_at.filter(|_| work.authorization_url.is_some());
        if let Some(until) =
            good_until.and_then(crate::domain::Timestamp::from_timestamp_millis).filter(|at| *at > now)
        {
            return Ok(tried(Outcome::Waiting { until }, Learned::Nothing));
        }
        let claim = work.claim.ok_or(Failure::Bug("claim"))?;
        let push = self.actions.authorization_push(connection, claim).await?;
        let fields: Vec<(&str, &str)> =
            push.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer: PushAnswer = self.peer.post_form(&push.origin, "/oauth/par", &fields, call.trace).await?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &claim.to_string())
            .append_pair("request_uri", &answer.request_uri)
            .finish();
        let url = format!("{origin}/oauth/authorize?{query}");
        let until = now + TimeDelta::seconds(answer.expires_in.clamp(30, 3_600));
        let learned = Learned::Request(push, url, until.timestamp_millis());
        Ok(tried(Outcome::Waiting { until }, learned))
    }

    /// Asks the peer to ping us, and looks whether it did since the phase began.
    async fn await_ping(&self, call: &Call, plan: &PhasePlan) -> Result<Stepped, Trouble> {
        let id = plan.connection.id;
        if self.actions.inbound_proven_since(call, id, plan.started_at).await? {
            return Ok(tried(Outcome::Done, Learned::Nothing));
        }
        self.say(call, id, "call.back", &json!({})).await?;
        let until = self.actions.now() + LOOK_AGAIN;
        Ok(tried(Outcome::Waiting { until }, Learned::Nothing))
    }

    /// Answers a message of the peer that asks for one. Whoever asked asks again if nothing comes.
    pub(super) async fn ping(&self, call: &Call, question: MessageId) -> Result<(), Trouble> {
        let Some(id) = self.actions.asked_over(call, question).await? else { return Ok(()) };
        let more = json!({ ANSWERS: question.to_string() });
        match self.echo_with(call, id, "ping", more).await {
            Ok(took) => Ok(self.actions.outbound_proven(call, id, took).await?),
            Err(Trouble::Peer(error)) => {
                tracing::info!(connection = %id, %error, "a message that was asked for did not arrive");
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks the peer for a message, and waits until the one arrives that names this question.
    pub(super) async fn call_back(&self, call: &Call, id: ConnectionId) -> Result<bool, Trouble> {
        let request = self.actions.seal_request(call, id, "call.back", &json!({})).await?;
        let question = MessageId(request.envelope.msg_id);
        self.send(call, &request).await?;
        let (times, pause) = CALL_BACK_LOOKS;
        for _ in 0..times {
            if self.actions.is_answered(call, id, question).await? {
                return Ok(true);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(false)
    }

    /// Sends a payload that must come back as it went. Answers how long that took, in milliseconds.
    pub(super) async fn echo(&self, call: &Call, id: ConnectionId) -> Result<i64, Trouble> {
        self.echo_with(call, id, "echo", json!({})).await
    }

    async fn echo_with(
        &self,
        call: &Call,
        id: ConnectionId,
        kind: &str,
        mut body: Value,
    ) -> Result<i64, Trouble> {
        let payload = self.actions.random_text::<ECHO_LENGTH>()?;
        body["echo"] = json!(payload);
        let (answer, took) = self.say(call, id, kind, &body).await?;
        if answer.get("echo").and_then(Value::as_str) == Some(payload.as_str()) {
            return Ok(took);
        }
        let message = "The other instance sent another payload back than it was sent.";
        Err(Refusal::new(RefusalCode::PeerRefused, message).reason("ECHO").into())
    }

    async fn sync(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        for _ in 0..SYNC_ROUNDS {
            let request = self.actions.settings_request(call, id).await?;
            let (answer, _) = self.say(call, id, "settings.sync", &request).await?;
            if self.actions.take_settings(call, id, answer).await? {
                return Ok(());
            }
        }
        let message = "The two sides did not come to the same settings.";
        Err(Refusal::new(RefusalCode::Conflict, message).reason("SETTINGS").into())
    }

    /// Agrees on settings again after they changed: the consumer leads, the provider nudges.
    pub(super) async fn sync_settings(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        let done = match self.actions.part(call, id).await? {
            Some(Part::Consumer) => self.sync(call, id).await,
            Some(Part::Provider) => self.say(call, id, "settings.sync", &json!({})).await.map(|_| ()),
            None => return Ok(()),
        };
        let failure = match &done {
            Err(Trouble::Ours(Failure::Refused(refusal))) => (**refusal).clone(),
            Err(Trouble::Peer(error)) => error.refusal(),
            Err(Trouble::Ours(_) | Trouble::Mail(_) | Trouble::Late) | Ok(()) => return done,
        };
        self.actions.sync_failed(call, id, failure).await?;
        done
    }

    /// Tells the provider that an attempt is over; that it does not know the attempt is as good.
    pub(super) async fn abandon(&self, call: &Call, id: ConnectionId, job: &Job) -> Result<(), Trouble> {
        let sealed = job.sealed.as_deref().ok_or(Failure::Bug("abandon"))?;
        let Some((origin, abandon)) = self.actions.abandon_plan(call, id, sealed).await? else {
            return Ok(());
        };
        match self.peer.post::<Value>(&origin, wire::ABANDON, None, &abandon, call.trace).await {
            Ok(_) => Ok(()),
            Err(PeerError::Refused(refused)) if refused.code == RefusalCode::LinkInvalid.as_str() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the consumer that its attempt is over; that it does not know the attempt is as good.
    pub(super) async fn withdraw(&self, call: &Call, job: &Job) -> Result<(), Trouble> {
        let (origin, withdraw) = self.actions.withdrawal(job).await?;
        match self.peer.post::<Value>(&origin, wire::WITHDRAW, None, &withdraw, call.trace).await {
            Ok(_) => Ok(()),
            Err(PeerError::Refused(refused)) if refused.code == RefusalCode::LinkInvalid.as_str() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the peer that the connection is paused here, unless it is not any more.
    pub(super) async fn tell_pause(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        if let Some(notice) = self.actions.pause_notice(call, id).await? {
            self.say(call, id, PAUSE, &notice).await?;
        }
        Ok(())
    }

    /// Tells the peer that the connection was taken down here; that it does not know the connection is as good.
    pub(super) async fn tell_offboarding(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        let Some((origin, notice)) = self.actions.offboarding_notice(call, id).await? else { return Ok(()) };
        match self.peer.post::<Value>(&origin, wire::OFFBOARD, None, &notice, call.trace).await {
            Ok(_) => {}
            Err(PeerError::Refused(refused)) if refused.code == RefusalCode::LinkInvalid.as_str() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.actions.end_offboarding(call, id, true).await?)
    }

    /// Says something over the sealed channel and opens the answer. Answers how long it took, in milliseconds.
    pub(super) async fn say(
        &self,
        call: &Call,
        id: ConnectionId,
        kind: &str,
        body: &Value,
    ) -> Result<(Value, i64), Trouble> {
        let request = self.actions.seal_request(call, id, kind, body).await?;
        self.send(call, &request).await
    }

    async fn send(&self, call: &Call, request: &SealedRequest) -> Result<(Value, i64), Trouble> {
        let origin = &request.connection.peer.origin;
        let answer = self.peer.message(origin, &request.envelope, call.trace).await?;
        let value = self.actions.open_answer(call, request, &answer.body).await?;
        if let Some(refused) = value.get("refused") {
            let refused = serde_json::from_value(refused.clone());
            return Err(refused
                .map_or_else(|_| PeerError::Nonsense(Default::default()), PeerError::Refused)
                .into());
        }
        Ok((value, i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX)))
    }
}

//! The phases of an attempt on the consumer: what to do next, and what became of it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroize;

use super::failure::failed;
use super::token::digest;
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::attempt::{Attempt, Outcome, PhaseName, PhaseState};
use crate::domain::connection::Connection;
use crate::domain::effect::Work;
use crate::domain::failure::Operation;
use crate::domain::id::{AttemptId, ConnectionId};
use crate::domain::link::hex;
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::wire::{self, Bytes};
use crate::store::{AttemptWork, NewJob, Tx};

/// How long a client assertion is good (RFC 7523).
const ASSERTION_LASTS: TimeDelta = TimeDelta::seconds(60);
/// How often a phase that waits for the other side looks again.
pub(crate) const LOOK_AGAIN: TimeDelta = TimeDelta::milliseconds(500);

/// The secrets of an attempt, sealed in its row.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptSecrets {
    /// PKCE verifier (RFC 7636).
    pub(crate) verifier: Option<String>,
    /// Authorization code, until it is redeemed.
    pub(crate) code: Option<String>,
    /// Access token for the handshake.
    pub(crate) token: Option<String>,
}

impl Drop for AttemptSecrets {
    fn drop(&mut self) {
        for secret in [&mut self.verifier, &mut self.code, &mut self.token].into_iter().flatten() {
            secret.zeroize();
        }
    }
}

/// What the worker does next for an attempt.
#[derive(Debug)]
pub(crate) struct PhasePlan {
    /// The attempt's connection.
    pub(crate) connection: Connection,
    /// The phase.
    pub(crate) phase: PhaseName,
    /// What has been worked out.
    pub(crate) work: AttemptWork,
    /// When the phase began.
    pub(crate) started_at: Timestamp,
}

/// What a step of a phase worked out, to be kept with its outcome.
#[derive(Debug)]
pub(crate) enum Learned {
    /// Nothing.
    Nothing,
    /// The claim's id.
    Claim(Uuid),
    /// Where the contact approves.
    Request(AuthorizationPush, String, i64),
    /// The access token and whom it stands for.
    Token(TokenAnswer),
    /// The approval expired or was refused: it must be asked for again.
    AskAgain,
}

/// A pushed authorization request, ready to be sent.
#[derive(Debug)]
pub(crate) struct AuthorizationPush {
    /// Where to.
    pub(crate) origin: Origin,
    /// The form.
    pub(crate) fields: Vec<(&'static str, String)>,
    secrets: SecretParts,
}

struct SecretParts {
    verifier: String,
    state_digest: String,
}

impl std::fmt::Debug for SecretParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretParts")
    }
}

/// The answer to a pushed request (RFC 9126, section 2.2).
#[derive(Deserialize)]
pub(crate) struct PushAnswer {
    pub(crate) request_uri: String,
    pub(crate) expires_in: i64,
}

/// The token answer (RFC 6749, section 5.1) with what the handshake is bound to.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    access_token: String,
    auth_event_id: Uuid,
    contact_sub: Uuid,
    company_id: Uuid,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer").field("auth_event_id", &self.auth_event_id).finish_non_exhaustive()
    }
}

impl Actions {
    /// What to do next for an attempt; none when it ended, failed, or waits.
    pub(crate) async fn phase_plan(&self, call: &Call, id: AttemptId) -> Done<Option<PhasePlan>> {
        let tx = self.begin_reading("phase.read", call).await?;
        let Some((attempt, work, ..)) = tx.attempt(id).await? else { return Ok(None) };
        let Some(phase) = attempt.current().filter(|phase| phase.state == PhaseState::Running) else {
            return Ok(None);
        };
        let connection =
            tx.connection(attempt.connection).await?.ok_or(Failure::Bug("attempt without connection"))?;
        let (name, started_at) = (phase.name, phase.started_at.unwrap_or(tx.now()));
        if name == PhaseName::Claim && tx.has_work(&[Work::Abandon(connection.id)]).await? {
            // The provider must hear that the attempt before is over, or it would give us that one's claim.
            drop(tx);
            let until = self.world.now() + LOOK_AGAIN;
            self.phase_tried(call, id, name, Outcome::Waiting { until }, Learned::Nothing).await?;
            return Ok(None);
        }
        Ok(Some(PhasePlan { connection, phase: name, work, started_at }))
    }

    /// Records what became of a step and writes the work that follows from it.
    pub(crate) async fn phase_tried(
        &self,
        call: &Call,
        id: AttemptId,
        phase: PhaseName,
        outcome: Outcome,
        learned: Learned,
    ) -> Done<()> {
        let mut tx = self.begin(label(phase, &outcome), call).await?;
        let Some((mut attempt, mut work, sealed, revision)) = tx.attempt(id).await? else { return Ok(()) };
        let connection = self.connection(&tx, attempt.connection).await?;
        let mut secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        learn(&mut work, &mut secrets, learned);
        self.advance(&mut tx, &mut attempt, phase, outcome).await?;
        let sealed = self.seal_attempt_secrets(&attempt, &secrets, tx.now()).await?;
        tx.save_attempt(&attempt, &work, Some(sealed), revision, connection.company).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Moves an attempt on and writes the work of its next step.
    pub(super) async fn advance(
        &self,
        tx: &mut Tx,
        attempt: &mut Attempt,
        phase: PhaseName,
        outcome: Outcome,
    ) -> Done<()> {
        if let Outcome::Failed(refusal) | Outcome::Again(refusal) = &outcome {
            let details = json!({ "phase": phase.as_str(), "reason": refusal.reason });
            tx.audit("phase.failed", "CONNECTION", attempt.connection, refusal.code.as_str(), details);
            let connection = self.connection(tx, attempt.connection).await?;
            tx.record_failure(&failed(&connection, Operation::Phase, refusal, tx.trace())).await?;
        }
        attempt.tried(phase, outcome, tx.now());
        if let Some(next) = attempt.current().filter(|phase| phase.state == PhaseState::Running)
            && let Some(run_at) = next.next_try_at
        {
            tx.enqueue(NewJob { work: Work::Phase(attempt.id), run_at, sealed: None }).await?;
        }
        Ok(())
    }

    pub(super) async fn attempt_secrets(
        &self,
        attempt: &Attempt,
        sealed: Option<&[u8]>,
        now: Timestamp,
    ) -> Done<AttemptSecrets> {
        let Some(sealed) = sealed else { return Ok(AttemptSecrets::default()) };
        let mut bytes = self.keys.onboarding().open("attempt", &attempt.id.bytes(), sealed, now).await?;
        let secrets = serde_json::from_slice(&bytes).map_err(|_| Failure::Bug("attempt secrets"));
        bytes.zeroize();
        secrets
    }

    pub(super) async fn seal_attempt_secrets(
        &self,
        attempt: &Attempt,
        secrets: &AttemptSecrets,
        now: Timestamp,
    ) -> Done<Vec<u8>> {
        let mut bytes = serde_json::to_vec(secrets).map_err(|_| Failure::Bug("attempt secrets"))?;
        let sealed = self.keys.onboarding().seal("attempt", &attempt.id.bytes(), &bytes, now).await;
        bytes.zeroize();
        Ok(sealed?)
    }

    /// The authorization request to push for a claim (RFC 9126), with PKCE (RFC 7636) and `private_key_jwt`.
    pub(crate) async fn authorization_push(
        &self,
        connection: &Connection,
        claim: Uuid,
    ) -> Done<AuthorizationPush> {
        let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let verifier = encode(&self.world.bytes::<32>()?);
        let state = format!("{}.{}", connection.id.0.simple(), encode(&self.world.bytes::<32>()?));
        let challenge = encode(&digest(verifier.as_bytes()));
        let details = json!([{ "type": "linkspan_link", "registration": connection.link.to_string(), "claim_id": claim }]);
        let fields = vec![
            ("client_id", claim.to_string()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", self.client_assertion(&connection.peer.origin, claim).await?),
            ("response_type", "code".to_owned()),
            ("redirect_uri", self.redirect_uri()),
            ("scope", "link:establish".to_owned()),
            ("state", state.clone()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
            ("authorization_details", details.to_string()),
        ];
        let secrets = SecretParts { verifier, state_digest: hex(&digest(state.as_bytes())) };
        Ok(AuthorizationPush { origin: connection.peer.origin.clone(), fields, secrets })
    }

    /// The form that redeems the code of an attempt, if the contact came back with one.
    pub(crate) async fn code_to_redeem(
        &self,
        call: &Call,
        id: AttemptId,
    ) -> Done<Option<Vec<(&'static str, String)>>> {
        let tx = self.begin("phase.code", call).await?;
        let Some((attempt, work, sealed, _)) = tx.attempt(id).await? else { return Ok(None) };
        let secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        let (Some(code), Some(verifier), Some(claim)) = (&secrets.code, &secrets.verifier, work.claim) else {
            return Ok(None);
        };
        let connection = self.connection(&tx, attempt.connection).await?;
        Ok(Some(vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", claim.to_string()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", self.client_assertion(&connection.peer.origin, claim).await?),
            ("code", code.clone()),
            ("code_verifier", verifier.clone()),
            ("redirect_uri", self.redirect_uri()),
        ]))
    }

    fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.profile.origin)
    }

    /// A client assertion (RFC 7523) whose only audience is the issuer.
    async fn client_assertion(&self, issuer: &Origin, client: Uuid) -> Done<String> {
        let now = self.world.now();
        let encode =
            |value: &serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = json!({
            "alg": "EdDSA",
            "typ": "client-authentication+jwt",
            "kid": self.keys.public_key().kid().to_string(),
        });
        let claims = json!({
            "iss": client.to_string(),
            "sub": client.to_string(),
            "aud": issuer.to_string(),
            "jti": self.world.uuid()?.to_string(),
            "iat": now.timestamp(),
            "exp": (now + ASSERTION_LASTS).timestamp(),
        });
        let input = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.keys.authorization().sign_jws(input.as_bytes(), now).await?;
        Ok(format!("{input}.{}", data_encoding::BASE64URL_NOPAD.encode(&signature)))
    }

    /// What tells the provider that the attempt with this claim is over.
    pub(super) async fn make_abandon(
        &self,
        connection: &Connection,
        claim: Uuid,
        now: Timestamp,
    ) -> Done<wire::Abandon> {
        let (r, instance_id) = (connection.link.0, self.profile.instance.0);
        let parts: [&[u8]; 3] = [r.as_bytes(), instance_id.as_bytes(), claim.as_bytes()];
        let proof = self.keys.onboarding().sign("kx1 abandon", &parts, now).await?;
        let proof = Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?);
        Ok(wire::Abandon { r, instance_id, claim_id: claim, proof })
    }

    /// Where and what to say about an abandoned attempt, from the job's sealed body.
    pub(crate) async fn abandon_plan(
        &self,
        call: &Call,
        id: ConnectionId,
        sealed: &[u8],
    ) -> Done<Option<(Origin, wire::Abandon)>> {
        let tx = self.begin("abandon.read", call).await?;
        let Some(connection) = tx.connection(id).await? else { return Ok(None) };
        let bytes = self.keys.onboarding().open("abandon", &id.bytes(), sealed, tx.now()).await?;
        let abandon = serde_json::from_slice(&bytes).map_err(|_| Failure::Bug("abandon"))?;
        Ok(Some((connection.peer.origin, abandon)))
    }
}

fn learn(work: &mut AttemptWork, secrets: &mut AttemptSecrets, learned: Learned) {
    match learned {
        Learned::Nothing => {}
        Learned::Claim(claim) => work.claim = Some(claim),
        Learned::Request(push, url, expires_at) => {
            work.authorization_url = Some(url);
            work.authorization_expires_at = Some(expires_at);
            work.state_digest = Some(push.secrets.state_digest);
            work.authorization_error = None;
            secrets.verifier = Some(push.secrets.verifier);
            secrets.code = None;
        }
        Learned::Token(mut answer) => {
            work.auth_event = Some(answer.auth_event_id);
            work.contact = Some(answer.contact_sub);
            work.company = Some(answer.company_id);
            work.authorization_url = None;
            work.state_digest = None;
            secrets.token = Some(std::mem::take(&mut answer.access_token));
            secrets.code = None;
            secrets.verifier = None;
        }
        Learned::AskAgain => {
            work.authorization_url = None;
            work.authorization_expires_at = None;
            work.state_digest = None;
            work.authorization_error = None;
            secrets.code = None;
            secrets.verifier = None;
        }
    }
}

/// The name of the transition, for tests that interrupt at each of them.
fn label(phase: PhaseName, outcome: &Outcome) -> &'static str {
    match (phase, matches!(outcome, Outcome::Done)) {
        (PhaseName::Claim, true) => "phase.claim.done",
        (PhaseName::AuthorizeContact, true) => "phase.authorize.done",
        (PhaseName::CreateCredentials, true) => "phase.credentials.done",
        (PhaseName::ActivateOutbound, true) => "phase.outbound.done",
        (PhaseName::ActivateInbound, true) => "phase.inbound.done",
        (PhaseName::SyncSettings, true) => "phase.settings.done",
        (PhaseName::EchoTest, true) => "phase.echo.done",
        (_, true) => "phase.done",
        (_, false) => "phase.tried",
    }
}

/// The contact said no, or the provider did.
#[must_use]
pub(crate) fn denied(reason: &str) -> Refusal {
    Refusal::new(RefusalCode::AuthorizationDenied, "The contact did not approve on the provider.")
        .reason(reason)
}

/// The contact said yes, but that can be redeemed only once and within a minute.
#[must_use]
pub(crate) fn too_late() -> Refusal {
    Refusal::new(
        RefusalCode::AuthorizationDenied,
        "The contact approved, but the approval could not be redeemed in time.",
    )
    .reason("CODE_EXPIRED")
}

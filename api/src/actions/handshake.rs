//! The handshake (KX/1 phase 1): our records give the context, the key service does the rest.

use keyservice::exchange::{link_id, link_module};
use keyservice::module::BuiltIn;
use keyservice::{
    Error, ExchangeId, Floor, LifecycleVerb, LinkSpec, PublicKey, RegistrationContext, SealedPending,
};
use uuid::Uuid;

use super::token::digest;
use super::{Actions, Call, Done, Failure};
use crate::domain::attempt::{Outcome, PhaseName};
use crate::domain::causes::causes;
use crate::domain::connection::{Connection, State as ConnectionState};
use crate::domain::id::{AttemptId, ChannelId, InstanceId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::Registration;
use crate::domain::requester::Requester;
use crate::peer::wire::{self, Bytes};
use crate::store::{AttemptWork, AuthorizationRequest, Claim, Handshake, Tx};
use crate::vault::VaultError;

/// Handshakes of one attempt; the attempt's number is in the upper bits, so that numbers only grow.
const HANDSHAKES_PER_ATTEMPT: i64 = 1 << 16;
/// Why a key of a link is revoked that its attempt leaves behind.
pub(super) const UNDONE: &str = "Its onboarding was cancelled or started over.";

impl Actions {
    /// Begins a handshake on the consumer: what to send, with which token. The ephemeral key lives in the key
    /// service's memory for the length of one round trip.
    pub(crate) async fn begin_exchange(
        &self,
        call: &Call,
        id: AttemptId,
    ) -> Done<(ExchangeId, wire::M1, String)> {
        let mut tx = self.begin("exchange.begin", call).await?;
        let (attempt, mut work, sealed, revision) =
            tx.attempt(id).await?.ok_or_else(|| Refusal::not_found("attempt"))?;
        let connection = self.connection(&tx, attempt.connection).await?;
        let secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        let token = secrets.token.clone().ok_or(Failure::Bug("token"))?;
        let context = self.consumer_context(&tx, &connection, &work, &token).await?;
        let number = work.handshake.map_or(attempt.number * HANDSHAKES_PER_ATTEMPT, |number| number + 1);
        work.handshake = Some(number);
        tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        tx.commit().await?;
        let number = u64::try_from(number).map_err(|_| Failure::Bug("handshake number"))?;
        let (exchange, m1) = self.keys.onboarding().initiate(&context, number, self.world.now()).await?;
        Ok((exchange, m1_to_wire(m1), token))
    }

    /// The provider answered: the link's keys and the third message are kept before it is sent (rule 1).
    pub(crate) async fn conclude_exchange(
        &self,
        call: &Call,
        id: AttemptId,
        exchange: ExchangeId,
        m2: &wire::M2,
    ) -> Done<()> {
        let mut tx = self.begin("exchange.conclude", call).await?;
        let (mut attempt, mut work, sealed, revision) =
            tx.attempt(id).await?.ok_or_else(|| Refusal::not_found("attempt"))?;
        let mut connection = self.connection(&tx, attempt.connection).await?;
        let secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        let token = secrets.token.clone().ok_or(Failure::Bug("token"))?;
        let context = self.consumer_context(&tx, &connection, &work, &token).await?;
        let link = link_id(&context);
        let key_id = tx.uuid()?;
        let spec = LinkSpec { key_id: key_id.into_bytes(), link, epoch: m2.attempt };
        let concluded = self.keys.onboarding().conclude(exchange, &m2_from_wire(m2), spec, tx.now()).await;
        let (m3, key, pending) = concluded.map_err(handshake)?;
        tx.insert_key(&key).await?;
        connection.channel = Some(ChannelId(Uuid::from_bytes(link)));
        let connection = tx.save_connection(connection).await?;
        let m3 = wire::M3 { attempt: m3.attempt, sig: Bytes(m3.signature), mac: Bytes(m3.mac) };
        work.m3 = Some(serde_json::to_value(m3).map_err(|_| Failure::Bug("M3"))?);
        work.pending = Some(data_encoding::BASE64URL_NOPAD.encode(&pending.bytes));
        work.link_key = Some(key_id);
        self.advance(&mut tx, &mut attempt, PhaseName::ExchangeKeys, Outcome::Done).await?;
        tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The third message and its token, sent until it is answered.
    pub(crate) async fn confirmation(&self, call: &Call, id: AttemptId) -> Done<(wire::M3, String)> {
        let tx = self.begin("exchange.read", call).await?;
        let (attempt, work, sealed, _) =
            tx.attempt(id).await?.ok_or_else(|| Refusal::not_found("attempt"))?;
        let secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        let m3 = work.m3.ok_or(Failure::Bug("M3"))?;
        let m3 = serde_json::from_value(m3).map_err(|_| Failure::Bug("M3"))?;
        Ok((m3, secrets.token.clone().ok_or(Failure::Bug("token"))?))
    }

    /// The provider confirmed: the link's key is active.
    pub(crate) async fn finish_exchange(&self, call: &Call, id: AttemptId, m4: &wire::M4) -> Done<()> {
        let mut tx = self.begin("exchange.finish", call).await?;
        let (mut attempt, mut work, sealed, revision) =
            tx.attempt(id).await?.ok_or_else(|| Refusal::not_found("attempt"))?;
        let connection = self.connection(&tx, attempt.connection).await?;
        let key =
            tx.key(work.link_key.ok_or(Failure::Bug("link key"))?).await?.ok_or(Failure::Bug("link key"))?;
        let pending = work.pending.take().ok_or(Failure::Bug("pending"))?;
        let pending =
            data_encoding::BASE64URL_NOPAD.decode(pending.as_bytes()).map_err(|_| Failure::Bug("pending"))?;
        let m4 = keyservice::M4 {
            attempt: m4.attempt,
            epoch: m4.epoch,
            activated_at: m4.activated_at,
            fin: m4.fin.0,
        };
        let finished =
            self.keys.onboarding().finish(&SealedPending { bytes: pending }, &key, &m4, tx.now()).await;
        let active = finished.map_err(handshake)?;
        self.retire_older(&mut tx, &active.module, active.version).await?;
        tx.save_key(&active).await?;
        work.m3 = None;
        let mut secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        secrets.token = None;
        let sealed = Some(self.seal_attempt_secrets(&attempt, &secrets, tx.now()).await?);
        self.advance(&mut tx, &mut attempt, PhaseName::ConfirmKeys, Outcome::Done).await?;
        tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        tx.audit(
            "keys.established",
            "CONNECTION",
            connection.id,
            "OK",
            serde_json::json!({ "epoch": m4.epoch }),
        );
        tx.commit().await?;
        Ok(())
    }

    /// Answers the first message. The same one gets the same answer; numbers only grow.
    ///
    /// # Errors
    /// `KEY_CONFIRMATION_FAILED` for whatever is wrong with it: one answer for all, the reason is in our log.
    pub async fn receive_m1(&self, call: &Call, token: &str, m1: &wire::M1) -> Done<serde_json::Value> {
        let mut tx = self.begin("exchange.respond", call).await?;
        let (authorization, claim, registration, connection) = self.by_token(&tx, token).await?;
        let m1 = m1_from_wire(m1);
        if let Some(known) = tx.handshake(connection.id).await?
            && known.m1_digest == m1.digest()
        {
            return Ok(known.m2);
        }
        if i64::try_from(m1.attempt).map_or(true, |attempt| attempt <= registration.last_attempt) {
            return Err(uniform());
        }
        let context = self.provider_context(&authorization, &claim, &registration, token)?;
        let answered = self.keys.onboarding().respond(&context, &m1, Floor::default(), tx.now()).await;
        let (m2, pending) = answered.map_err(handshake)?;
        let attempt = m1.attempt;
        let m2 = serde_json::to_value(m2_to_wire(m2)).map_err(|_| Failure::Bug("M2"))?;
        tx.save_handshake(&Handshake {
            connection: connection.id,
            attempt,
            m1_digest: m1.digest(),
            m2: m2.clone(),
            module: Some(link_module(&link_id(&context))),
            pending: pending.bytes,
            m3_digest: None,
            m4: None,
        })
        .await?;
        let before = registration.clone();
        let mut next = registration;
        next.last_attempt = i64::try_from(attempt).map_err(|_| uniform())?;
        self.settle(&mut tx, call, &before, crate::domain::effect::Step::quiet(next)).await?;
        self.follow(&mut tx, &connection, &[PhaseName::AuthorizeContact, PhaseName::ExchangeKeys]).await?;
        tx.commit().await?;
        Ok(m2)
    }

    /// Answers the third message: the link's key is active here. The same one gets the same answer.
    ///
    /// # Errors
    /// As [`Actions::receive_m1`].
    pub async fn receive_m3(&self, call: &Call, token: &str, m3: &wire::M3) -> Done<serde_json::Value> {
        let mut tx = self.begin("exchange.confirm", call).await?;
        let (authorization, claim, registration, mut connection) = self.by_token(&tx, token).await?;
        let known = tx.handshake(connection.id).await?.ok_or_else(uniform)?;
        let m3 = keyservice::M3 { attempt: m3.attempt, signature: m3.sig.0, mac: m3.mac.0 };
        if known.attempt != m3.attempt {
            return Err(uniform());
        }
        if let (Some(digest), Some(m4)) = (known.m3_digest, &known.m4) {
            return if digest == m3.digest() { Ok(m4.clone()) } else { Err(uniform()) };
        }
        let context = self.provider_context(&authorization, &claim, &registration, token)?;
        let link = link_id(&context);
        let spec = LinkSpec { key_id: tx.uuid()?.into_bytes(), link, epoch: known.attempt };
        let pending = SealedPending { bytes: known.pending.clone() };
        let confirmed = self.keys.onboarding().confirm(&pending, &m3, spec, tx.now()).await;
        let (m4, key) = confirmed.map_err(handshake)?;
        self.retire_older(&mut tx, &key.module, key.version).await?;
        tx.insert_key(&key).await?;
        connection.channel = Some(ChannelId(Uuid::from_bytes(link)));
        let connection = tx.save_connection(connection).await?;
        let m4 = wire::M4 {
            attempt: m4.attempt,
            epoch: m4.epoch,
            activated_at: m4.activated_at,
            fin: Bytes(m4.fin),
        };
        let m4 = serde_json::to_value(m4).map_err(|_| Failure::Bug("M4"))?;
        let answered = (Some(m3.digest()), Some(m4.clone()));
        // What was to check the third message has no use any more.
        tx.save_handshake(&Handshake { pending: Vec::new(), m3_digest: answered.0, m4: answered.1, ..known })
            .await?;
        self.follow(&mut tx, &connection, &[PhaseName::ConfirmKeys]).await?;
        let details = serde_json::json!({ "epoch": key.version });
        tx.acts_for(Requester::Peer(connection.id));
        tx.audit("keys.established", "CONNECTION", connection.id, "OK", details);
        tx.commit().await?;
        Ok(m4)
    }

    /// The provider's copy of the attempt follows what the consumer asked for.
    pub(super) async fn follow(&self, tx: &mut Tx, connection: &Connection, done: &[PhaseName]) -> Done<()> {
        let ConnectionState::Onboarding { attempt } = connection.state else { return Ok(()) };
        let Some((mut attempt, work, sealed, revision)) = tx.attempt(attempt).await? else { return Ok(()) };
        let before = attempt.clone();
        for phase in done {
            attempt.tried(*phase, Outcome::Done, tx.now());
        }
        if attempt != before {
            tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        }
        Ok(())
    }

    /// Everything a token of the handshake stands for.
    async fn by_token(
        &self,
        tx: &Tx,
        token: &str,
    ) -> Done<(AuthorizationRequest, Claim, Registration, Connection)> {
        let authorization = self.approved_by_token(tx, token).await?;
        let claim = tx.claim(authorization.claim).await?.ok_or_else(uniform)?;
        let registration = tx.registration(claim.registration).await?.ok_or_else(uniform)?;
        let connection = match registration.state {
            crate::domain::registration::State::WorkInProgress { connection, .. } => {
                tx.connection(connection).await?
            }
            _ => None,
        };
        Ok((authorization, claim, registration, connection.ok_or_else(uniform)?))
    }

    fn provider_context(
        &self,
        authorization: &AuthorizationRequest,
        claim: &Claim,
        registration: &Registration,
        token: &str,
    ) -> Done<RegistrationContext> {
        let link = registration.state.link().ok_or_else(uniform)?;
        Ok(RegistrationContext {
            registration: claim.link.to_string(),
            provider_origin: self.profile.origin.to_string(),
            provider_instance: self.profile.instance.bytes(),
            provider_key: *self.keys.public_key(),
            consumer_origin: claim.origin.to_string(),
            consumer_instance: claim.instance.bytes(),
            consumer_key: PublicKey::parse(&claim.public_key)?,
            company: registration.company.bytes(),
            contact: authorization.account.ok_or_else(uniform)?.bytes(),
            link_digest: link.digest,
            claim: claim.id.bytes(),
            auth_event: authorization.id.bytes(),
            token_digest: digest(token.as_bytes()),
        })
    }

    async fn consumer_context(
        &self,
        tx: &Tx,
        connection: &Connection,
        work: &AttemptWork,
        token: &str,
    ) -> Done<RegistrationContext> {
        let bug = || Failure::Bug("the handshake began before its context was complete");
        let sealed = tx.link_secret(connection.id).await?.ok_or_else(bug)?;
        let secret =
            self.keys.onboarding().open("link secret", &connection.id.bytes(), &sealed, tx.now()).await?;
        let InstanceId(provider) = connection.peer.instance.ok_or_else(bug)?;
        Ok(RegistrationContext {
            registration: connection.link.to_string(),
            provider_origin: connection.peer.origin.to_string(),
            provider_instance: provider.into_bytes(),
            provider_key: PublicKey::parse(&connection.peer.public_key.ok_or_else(bug)?)?,
            consumer_origin: self.profile.origin.to_string(),
            consumer_instance: self.profile.instance.bytes(),
            consumer_key: *self.keys.public_key(),
            company: work.company.ok_or_else(bug)?.into_bytes(),
            contact: work.contact.ok_or_else(bug)?.into_bytes(),
            link_digest: digest(&secret),
            claim: work.claim.ok_or_else(bug)?.into_bytes(),
            auth_event: work.auth_event.ok_or_else(bug)?.into_bytes(),
            token_digest: digest(token.as_bytes()),
        })
    }

    /// A newer key of the module takes the place of the active one.
    async fn retire_older(&self, tx: &mut Tx, module: &str, version: u64) -> Done<()> {
        for key in tx.keys(module).await? {
            if key.version < version && key.state == keyservice::KeyState::Active {
                let retired = self.keys.onboarding().retire(&key, tx.now()).await?;
                tx.save_key(&retired).await?;
            }
        }
        Ok(())
    }

    /// Withdraws the keys of an attempt that is undone. They stay, as all keys do: one that was in use is revoked, and
    /// one that never was cannot come into use, because what would have confirmed it is gone.
    pub(super) async fn revoke_link_keys(&self, tx: &mut Tx, channel: ChannelId, why: &str) -> Done<()> {
        let links = tx.module(BuiltIn::Links.as_str()).await?.ok_or(Failure::Bug("the module of links"))?;
        for key in tx.keys(&link_module(&channel.bytes())).await? {
            if key.state.after(LifecycleVerb::Revoke).is_ok() {
                let revoked = self.keys.onboarding().revoke(&links, &key, why, tx.now()).await?;
                tx.save_key(&revoked).await?;
            }
        }
        Ok(())
    }

    /// Ends the keys of a connection that is taken down. A row that somebody edited is left as the evidence that it is;
    /// nothing is done with it, and it keeps nobody from ending the connection.
    pub(super) async fn end_link_keys(&self, tx: &mut Tx, channel: ChannelId, why: &str) -> Done<()> {
        match self.destroy_link_keys(tx, channel, why).await {
            Err(failure) if failure.breaks_a_seal() => {
                tracing::error!(
                    error = causes(&failure),
                    "the key of a connection that ends is not destroyed"
                );
                Ok(())
            }
            ended => ended,
        }
    }

    /// Keys are revoked, so that the trail says why, and destroyed.
    async fn destroy_link_keys(&self, tx: &mut Tx, channel: ChannelId, why: &str) -> Done<()> {
        self.revoke_link_keys(tx, channel, why).await?;
        for key in tx.keys(&link_module(&channel.bytes())).await? {
            if key.state.after(LifecycleVerb::Destroy).is_ok() {
                let destroyed = self.keys.onboarding().destroy_link(&key, tx.now()).await?;
                tx.save_key(&destroyed).await?;
            }
        }
        Ok(())
    }

    /// The module of a connection's keys.
    pub(super) fn channel_module(channel: ChannelId) -> String {
        link_module(&channel.bytes())
    }
}

/// The one answer to a handshake message that does not hold.
fn uniform() -> Failure {
    Refusal::new(RefusalCode::KeyConfirmationFailed, "The key exchange was refused.").into()
}

/// Errors of the exchange that are a peer's fault become the uniform refusal; the reason stays in our log.
fn handshake(error: VaultError) -> Failure {
    tracing::warn!(reason = error.code(), "key exchange refused");
    match error {
        VaultError::Refused(Error::Entropy | Error::Primitive | Error::ExchangesFull)
        | VaultError::Unavailable(_)
        | VaultError::Unrecorded
        | VaultError::Denied { .. } => error.into(),
        // The ephemeral key went with the process that held it: the phase begins again, with a new number.
        VaultError::Refused(Error::ExchangeUnknown) => {
            let message = "The key exchange was interrupted here. It begins again by itself.";
            Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Failure::KEYS_AWAY).into()
        }
        VaultError::Refused(_) => uniform(),
    }
}

fn m1_to_wire(m1: keyservice::M1) -> wire::M1 {
    wire::M1 {
        attempt: m1.attempt,
        offer_versions: m1.offer_versions,
        offer_suites: m1.offer_suites,
        kid: Bytes(m1.kid),
        pk: Bytes(m1.public_key),
        instance_id: Uuid::from_bytes(m1.instance),
        origin: m1.origin,
        e: Bytes(m1.ephemeral),
        n: Bytes(m1.nonce),
    }
}

fn m1_from_wire(m1: &wire::M1) -> keyservice::M1 {
    keyservice::M1 {
        attempt: m1.attempt,
        offer_versions: m1.offer_versions.clone(),
        offer_suites: m1.offer_suites.clone(),
        kid: m1.kid.0,
        public_key: m1.pk.0,
        instance: m1.instance_id.into_bytes(),
        origin: m1.origin.clone(),
        ephemeral: m1.e.0,
        nonce: m1.n.0,
    }
}

fn m2_to_wire(m2: keyservice::M2) -> wire::M2 {
    wire::M2 {
        attempt: m2.attempt,
        version: m2.version,
        suite: m2.suite,
        kid: Bytes(m2.kid),
        pk: Bytes(m2.public_key),
        instance_id: Uuid::from_bytes(m2.instance),
        origin: m2.origin,
        e: Bytes(m2.ephemeral),
        n: Bytes(m2.nonce),
        sig: Bytes(m2.signature),
        mac: Bytes(m2.mac),
    }
}

fn m2_from_wire(m2: &wire::M2) -> keyservice::M2 {
    keyservice::M2 {
        attempt: m2.attempt,
        version: m2.version,
        suite: m2.suite,
        kid: m2.kid.0,
        public_key: m2.pk.0,
        instance: m2.instance_id.into_bytes(),
        origin: m2.origin.clone(),
        ephemeral: m2.e.0,
        nonce: m2.n.0,
        signature: m2.sig.0,
        mac: m2.mac.0,
    }
}

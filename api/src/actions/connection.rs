//! What a consumer does with the link it was sent, and either side with a connection that stands.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::handshake::UNDONE;
use super::settings::sync_soon;
use super::token::{digest, same};
use super::{Actions, Call, Done, Failure, SECONDS, came_second};
use crate::domain::attempt::{Attempt, AttemptState, PhaseName};
use crate::domain::check::{Remedy, Suite};
use crate::domain::connection::{Connection, ConnectionVerb, Part, Peer, State};
use crate::domain::effect::Work;
use crate::domain::id::{AttemptId, CompanyId, ConnectionId, UserId};
use crate::domain::link::OpenLink;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scan::Subject;
use crate::store::{NewJob, StoreError, Tx};

impl Actions {
    /// Opens a registration link: the connection comes into being, and nothing is redeemed. The same link again
    /// answers the same connection.
    ///
    /// # Errors
    /// `LINK_INVALID`, `NOT_AN_ADMINISTRATOR`, `DUPLICATE_CONNECTION`.
    pub async fn open_registration_link(&self, call: &Call, link: SecretString) -> Done<Connection> {
        let mut done = self.try_open_registration_link(call, link.clone()).await;
        for _ in 0..SECONDS {
            if !came_second(&done) {
                break;
            }
            done = self.try_open_registration_link(call, link.clone()).await;
        }
        done
    }

    async fn try_open_registration_link(&self, call: &Call, link: SecretString) -> Done<Connection> {
        call.requester.administrator()?;
        let link = OpenLink::parse(link.expose_secret(), &self.profile.policy)?;
        if link.provider == self.profile.origin {
            let message = "This link leads to this very instance. Open it on the consumer's instance.";
            return Err(Refusal::new(RefusalCode::LinkInvalid, message).field("link").reason("SELF").into());
        }
        let mut tx = self.begin("connection.open", call).await?;
        let now = tx.now();
        let known = match tx.connection_to(&link.provider, Part::Consumer).await? {
            Some(known) => Some(known),
            // A link that was used is not good for another connection: it shows what became of its own.
            None => {
                let known = tx.connection_by_link(link.id).await?;
                known.filter(|known| known.peer.origin == link.provider)
            }
        };
        let connection = match known {
            Some(known) if known.link == link.id => known,
            Some(known) => self.replace_link(&mut tx, known, &link).await?,
            None => {
                let connection = Connection {
                    id: ConnectionId(tx.uuid()?),
                    part: Part::Consumer,
                    // Filled in where there is no choice; a person can change it.
                    company: tx.only_company().await?,
                    registration: None,
                    link: link.id,
                    peer: Peer {
                        origin: link.provider.clone(),
                        fingerprint: link.fingerprint,
                        instance: None,
                        public_key: None,
                        name: None,
                        version: None,
                        identity_seq: 0,
                    },
                    created_at: now,
                    updated_at: now,
                    revision: 1,
                    attempts: 0,
                    channel: None,
                    agreements: 0,
                    survivor: None,
                    state: State::Pending,
                };
                let sealed = self
                    .keys
                    .onboarding()
                    .seal("link secret", &connection.id.bytes(), &link.secret, now)
                    .await?;
                tx.insert_connection(&connection, Some(sealed)).await?;
                connection
            }
        };
        tx.audit(
            "connection.open",
            "CONNECTION",
            connection.id,
            "OK",
            json!({ "link": link.id.to_string() }),
        );
        tx.commit().await?;
        Ok(connection)
    }

    /// A newer link of the same provider takes the place of the one before, unless onboarding went further.
    async fn replace_link(
        &self,
        tx: &mut Tx,
        mut connection: Connection,
        link: &OpenLink,
    ) -> Done<Connection> {
        match connection.state {
            State::Pending
            | State::AwaitingValidation { .. }
            | State::Validated { .. }
            | State::ValidationFailed { .. } => {}
            State::Onboarding { .. }
            | State::Onboarded { .. }
            | State::Suspended { .. }
            | State::Offboarding { .. }
            | State::Offboarded { .. } => {
                let message = format!(
                    "A connection to {} exists already and is {}. Cancel its onboarding, or off-board it, first.",
                    link.provider,
                    connection.state.name().label()
                );
                return Err(Refusal::new(RefusalCode::DuplicateConnection, message).into());
            }
        }
        if connection.peer.fingerprint != link.fingerprint {
            // Another provider at the same address: what the former offered is nothing to this one.
            tx.forget_settings(connection.id).await?;
        }
        connection.link = link.id;
        connection.peer.fingerprint = link.fingerprint;
        connection.peer.public_key = None;
        connection.state = State::Pending;
        let sealed = self
            .keys
            .onboarding()
            .seal("link secret", &connection.id.bytes(), &link.secret, tx.now())
            .await?;
        tx.set_link_secret(connection.id, Some(sealed)).await?;
        Ok(tx.save_connection(connection).await?)
    }

    /// Says which company the provider is.
    ///
    /// # Errors
    /// `WRONG_STATE`, `INVALID_INPUT`, `NOT_AN_ADMINISTRATOR`.
    pub async fn choose_provider_company(
        &self,
        call: &Call,
        id: ConnectionId,
        company: CompanyId,
    ) -> Done<Connection> {
        call.requester.administrator()?;
        let mut tx = self.begin("connection.company", call).await?;
        let found = tx.company(company).await?;
        found.ok_or_else(|| Refusal::invalid("companyId", "There is no such company."))?;
        let connection = self.connection(&tx, id).await?;
        let connection = tx.save_connection(connection.choose_company(company)?.next).await?;
        tx.audit("connection.company", "CONNECTION", id, "OK", json!({ "company": company.to_string() }));
        tx.commit().await?;
        Ok(connection)
    }

    /// *Get Started*: runs the consumer's checks.
    ///
    /// # Errors
    /// `WRONG_STATE`. Anybody who operates may ask; whether they are an administrator is one of the checks.
    pub async fn run_pre_onboarding_checks(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        call.requester.operator()?;
        let mut tx = self.begin("connection.checks", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::RunChecks)?;
        let (suites, company) = (vec![Suite::PreOnboardingConsumer], connection.company);
        let scan = self.queue_scan(&mut tx, call, suites, None, Subject::Connection(id), company).await?;
        let connection = tx.save_connection(connection.run_checks(scan.id)?.next).await?;
        tx.commit().await?;
        Ok(connection)
    }

    /// *Start Registration*: the phases run, in the background, to the end. Where the checks passed too long ago
    /// they run again first, and onboarding starts by itself when they pass.
    ///
    /// # Errors
    /// `NOT_VALIDATED`, `WRONG_STATE`, `NOT_AN_ADMINISTRATOR`.
    pub async fn start_onboarding(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        let user = call.requester.administrator()?.user();
        let mut tx = self.begin("onboarding.start", call).await?;
        let connection = self.connection(&tx, id).await?;
        if matches!(connection.state, State::Pending | State::ValidationFailed { .. }) {
            let message = "The checks have not passed yet. Get started first, and resolve what they find.";
            let remedy = Remedy::call("runPreOnboardingChecks", &[("connectionId", id.to_string())]);
            return Err(Refusal::new(RefusalCode::NotValidated, message).remedy(remedy).into());
        }
        let connection = if connection.is_stale(tx.now()) {
            let (suites, company) = (vec![Suite::PreOnboardingConsumer], connection.company);
            let scan = self.queue_scan(&mut tx, call, suites, None, Subject::Connection(id), company).await?;
            let mut connection = connection.run_checks(scan.id)?.next;
            connection.state = State::AwaitingValidation { scan: scan.id, then_start: Some(user) };
            tx.save_connection(connection).await?
        } else {
            self.begin_attempt(&mut tx, connection, Some(user)).await?
        };
        tx.audit("onboarding.start", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// Writes a new attempt and the work of carrying it on.
    pub(super) async fn begin_attempt(
        &self,
        tx: &mut Tx,
        connection: Connection,
        user: Option<UserId>,
    ) -> Done<Connection> {
        let id = AttemptId(tx.uuid()?);
        let now = tx.now();
        let connection = match connection.state {
            State::Onboarding { .. } => connection.start_over(id)?.next,
            _ => connection.start(id, now)?.next,
        };
        let attempt = Attempt::begin(id, connection.id, connection.attempts, user, now);
        tx.insert_attempt(&attempt, connection.company).await?;
        tx.enqueue(NewJob { work: Work::Phase(id), run_at: now, sealed: None }).await?;
        Ok(tx.save_connection(connection).await?)
    }

    /// Runs the failed phase again, for whoever calls.
    ///
    /// # Errors
    /// `WRONG_STATE`.
    pub async fn retry_phase(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        let user = call.requester.administrator()?.user();
        let mut tx = self.begin("onboarding.retry", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::RetryPhase)?;
        let (mut attempt, work, sealed, revision) = self.attempt_of(&tx, &connection).await?;
        // Who only hastens what goes on takes it from nobody.
        if attempt.state == AttemptState::Failed {
            attempt.started_by = Some(user);
        }
        attempt.retry(tx.now())?;
        tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        tx.enqueue(NewJob { work: Work::Phase(attempt.id), run_at: tx.now(), sealed: None }).await?;
        tx.audit("onboarding.retry", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// Undoes the attempt on both sides and begins a new one.
    ///
    /// # Errors
    /// `WRONG_STATE`.
    pub async fn start_over(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        let user = call.requester.administrator()?.user();
        let mut tx = self.begin("onboarding.start_over", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::StartOver)?;
        let connection = self.undo_attempt(&mut tx, connection).await?;
        let connection = self.begin_attempt(&mut tx, connection, Some(user)).await?;
        tx.audit("onboarding.start_over", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// Undoes the attempt on both sides. The opened link stays, and can be started again.
    ///
    /// # Errors
    /// `WRONG_STATE`.
    pub async fn cancel_onboarding(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        call.requester.administrator()?;
        let mut tx = self.begin("onboarding.cancel", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::Cancel)?;
        let connection = self.undo_attempt(&mut tx, connection).await?;
        tx.discard_attempts(id).await?;
        let connection = tx.save_connection(connection.cancel()?.next).await?;
        tx.audit("onboarding.cancel", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// Removes what the attempt made here, and writes the work of telling the provider.
    async fn undo_attempt(&self, tx: &mut Tx, mut connection: Connection) -> Done<Connection> {
        let (_, work, ..) = self.attempt_of(tx, &connection).await?;
        if let Some(channel) = connection.channel.take() {
            self.revoke_link_keys(tx, channel, UNDONE).await?;
        }
        if let Some(claim) = work.claim {
            let abandon = serde_json::to_vec(&self.make_abandon(&connection, claim, tx.now()).await?)
                .map_err(|_| Failure::Bug("abandon"))?;
            let sealed =
                self.keys.onboarding().seal("abandon", &connection.id.bytes(), &abandon, tx.now()).await?;
            tx.enqueue(NewJob { work: Work::Abandon(connection.id), run_at: tx.now(), sealed: Some(sealed) })
                .await?;
        }
        tx.reset_directions(connection.id).await?;
        Ok(connection)
    }

    /// Asks for the contact's approval again, for whoever calls: the same person on another device, or another
    /// administrator.
    ///
    /// # Errors
    /// `WRONG_STATE` unless the contact's approval is what onboarding waits for.
    pub async fn continue_authorization(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        let user = call.requester.administrator()?.user();
        let mut tx = self.begin("onboarding.authorize_again", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::RetryPhase)?;
        let (mut attempt, mut work, _, revision) = self.attempt_of(&tx, &connection).await?;
        if attempt.current().map(|phase| phase.name) != Some(PhaseName::AuthorizeContact) {
            let allowed = [PhaseName::AuthorizeContact.label()];
            return Err(Refusal::wrong_state("attempt", "not waiting for the contact", &allowed).into());
        }
        attempt.started_by = Some(user);
        attempt.retry(tx.now())?;
        work.authorization_url = None;
        work.authorization_error = None;
        work.state_digest = None;
        tx.save_attempt(&attempt, &work, None, revision, connection.company).await?;
        tx.enqueue(NewJob { work: Work::Phase(attempt.id), run_at: tx.now(), sealed: None }).await?;
        tx.audit("onboarding.authorize_again", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// The connection that the `state` of an authorization names.
    #[must_use]
    pub fn connection_of_answer(state: &str) -> Option<ConnectionId> {
        let (id, _) = state.split_once('.')?;
        uuid::Uuid::try_parse(id).ok().map(ConnectionId)
    }

    /// The contact came back from the provider's authorization page.
    ///
    /// # Errors
    /// `NOT_FOUND` when nothing waits for this `state`, or it was begun by another account;
    /// `PEER_IDENTITY_MISMATCH` when another issuer answered (RFC 9207).
    pub async fn authorization_returned(
        &self,
        call: &Call,
        state: &str,
        outcome: Result<SecretString, String>,
        iss: &str,
    ) -> Done<ConnectionId> {
        let user = call.requester.administrator()?.user();
        let unknown = || {
            let message = "No registration waits for this answer here, or another account began it.";
            Failure::from(Refusal::new(RefusalCode::NotFound, message).reason("AUTHORIZATION"))
        };
        let id = Self::connection_of_answer(state).ok_or_else(unknown)?;
        let mut tx = self.begin("onboarding.authorized", call).await?;
        let connection = tx.connection(id).await?.ok_or_else(unknown)?;
        let (attempt, mut work, _, revision) =
            self.attempt_of(&tx, &connection).await.map_err(|_| unknown())?;
        let expected = work.state_digest.take().ok_or_else(unknown)?;
        let given = crate::domain::link::hex(&digest(state.as_bytes()));
        if !same(expected.as_bytes(), given.as_bytes()) || attempt.started_by != Some(user) {
            return Err(unknown());
        }
        if iss != connection.peer.origin.as_str() {
            let message = "Another authorization server answered than the one that was asked.";
            return Err(Refusal::new(RefusalCode::PeerIdentityMismatch, message).reason("ISSUER").into());
        }
        let (_, _, sealed, _) = self.attempt_of(&tx, &connection).await?;
        let mut secrets = self.attempt_secrets(&attempt, sealed.as_deref(), tx.now()).await?;
        match outcome {
            Ok(code) => secrets.code = Some(code.expose_secret().to_owned()),
            Err(error) => {
                work.authorization_error =
                    Some(error.chars().filter(char::is_ascii_graphic).take(64).collect());
            }
        }
        let sealed = self.seal_attempt_secrets(&attempt, &secrets, tx.now()).await?;
        tx.save_attempt(&attempt, &work, Some(sealed), revision, connection.company).await?;
        tx.enqueue(NewJob { work: Work::Phase(attempt.id), run_at: tx.now(), sealed: None }).await?;
        tx.audit(
            "onboarding.authorized",
            "CONNECTION",
            id,
            "OK",
            json!({ "error": work.authorization_error }),
        );
        tx.commit().await?;
        Ok(id)
    }

    /// Goes on after a pause; the next probe tells the peer.
    ///
    /// # Errors
    /// `WRONG_STATE` unless suspended, or while a copy of the peer is suspected and no survivor is confirmed there.
    pub async fn resume_connection(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        call.requester.operator()?;
        let mut tx = self.begin("connection.resume", call).await?;
        let connection = self.connection(&tx, id).await?;
        let connection = tx.save_connection(connection.resume()?.next).await?;
        // What either side changed in the meantime.
        sync_soon(&mut tx, &connection).await?;
        tx.audit("connection.resume", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }

    /// Whether a requester could use a verb now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_connect(
        &self,
        call: &Call,
        connection: &Connection,
        verb: ConnectionVerb,
    ) -> Result<(), Refusal> {
        match verb {
            ConnectionVerb::RunChecks
            | ConnectionVerb::Suspend
            | ConnectionVerb::Resume
            | ConnectionVerb::ReRegister
            | ConnectionVerb::Verify => {
                call.requester.operator()?;
            }
            ConnectionVerb::Offboard => {
                call.requester.administrator()?;
                connection.allows(verb)?;
                return self.require_fresh(call);
            }
            ConnectionVerb::ConfirmSurvivor => {
                call.requester.administrator()?;
                connection.allows(verb)?;
                return self.is_suspected(connection);
            }
            ConnectionVerb::ChooseCompany
            | ConnectionVerb::Start
            | ConnectionVerb::RetryPhase
            | ConnectionVerb::StartOver
            | ConnectionVerb::Cancel => {
                call.requester.administrator()?;
            }
        }
        connection.allows(verb)
    }

    pub(super) async fn connection(&self, tx: &Tx, id: ConnectionId) -> Done<Connection> {
        Ok(tx.connection(id).await?.ok_or_else(|| Refusal::not_found("connection"))?)
    }

    /// The attempt under way of a connection.
    pub(super) async fn attempt_of(
        &self,
        tx: &Tx,
        connection: &Connection,
    ) -> Done<(Attempt, crate::store::AttemptWork, Option<Vec<u8>>, i64)> {
        let State::Onboarding { attempt } = connection.state else {
            let allowed = [crate::domain::connection::ConnectionState::Onboarding.label()];
            return Err(Refusal::wrong_state("connection", connection.state.name().label(), &allowed).into());
        };
        Ok(tx.attempt(attempt).await?.ok_or(StoreError::Missing("attempt"))?)
    }
}

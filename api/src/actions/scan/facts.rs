//! The facts that checks are judged by, as far as our own memory, configuration and key service know them.

use crate::actions::message::SCOPES;
use crate::actions::scan::{ScanPlan, stands};
use crate::actions::{Actions, Call, Done};
use crate::domain::causes::causes;
use crate::domain::check::CheckCode;
use crate::domain::connection::{Connection, Part};
use crate::domain::direction::{DirectionStatus, Way};
use crate::domain::effect::Work;
use crate::domain::id::{CompanyId, RegistrationId, ScanId, UserId};
use crate::domain::key_health::KeyHealth;
use crate::domain::person::EmailAddress;
use crate::domain::registration::{Environment, Registration};
use crate::domain::requester::Role;
use crate::domain::scan::{
    AccountFacts, ContactFacts, DirectionFacts, LocalFacts, Measured, Scan, StandingFacts, Subject,
    Unmeasured,
};
use crate::store::Tx;

/// Registrations as people name them.
pub(super) fn numbered(registrations: &[Registration]) -> Vec<(RegistrationId, String)> {
    registrations.iter().map(|one| (one.id, one.label())).collect()
}

/// A connection as people find it in a list.
pub(super) fn in_words(connection: &Connection) -> String {
    let (origin, since) = (&connection.peer.origin, connection.created_at.format("%Y-%m-%d"));
    format!("{origin}: {}, begun {since}", connection.state.name().label())
}

impl Actions {
    /// What a scan needs to know before it asks anybody else; none when its subject is gone.
    pub(super) async fn plan(&self, tx: &Tx, scan: Scan) -> Done<Option<ScanPlan>> {
        let none = ScanPlan { scan, local: None, standing: None, target: None, pin: None, spared: None };
        Ok(match none.scan.subject {
            Subject::Registration(id) => {
                let Some(registration) = tx.registration(id).await? else { return Ok(None) };
                let local = Some(self.registration_facts(tx, &none.scan, &registration).await?);
                Some(ScanPlan { local, target: Some(registration.origin), ..none })
            }
            Subject::Connection(id) => {
                let Some(connection) = tx.connection(id).await? else { return Ok(None) };
                let local = Some(self.connection_facts(tx, &none.scan, &connection).await?);
                let standing = match stands(&connection) {
                    true => Some(self.standing_facts(tx, &connection).await?),
                    false => None,
                };
                let pin = Some(connection.peer.fingerprint);
                Some(ScanPlan { local, standing, target: Some(connection.peer.origin), pin, ..none })
            }
            Subject::Instance(_) => Some(none),
        })
    }

    async fn registration_facts(
        &self,
        tx: &Tx,
        scan: &Scan,
        registration: &Registration,
    ) -> Done<LocalFacts> {
        let (company, origin) = (registration.company, &registration.origin);
        let others = tx
            .rival_registrations(Some(company), registration.environment, origin, Some(registration.id))
            .await?;
        // What an attempt on this very registration left is no other connection.
        let left = tx.unfinished_connections(registration.id).await?;
        let rivals = tx.rival_connections(origin, Part::Provider, None).await?;
        let rivals = rivals.iter().filter(|rival| left.iter().all(|left| left.id != rival.id));
        Ok(LocalFacts {
            contact: self.contact_facts(tx, registration.contact, company).await?,
            environment: registration.environment,
            other_registrations: numbered(&others),
            other_connections: rivals.map(in_words).collect(),
            stale_attempts: left.iter().map(in_words).collect(),
            ..self.own_facts(tx, scan).await?
        })
    }

    async fn connection_facts(&self, tx: &Tx, scan: &Scan, connection: &Connection) -> Done<LocalFacts> {
        let origin = &connection.peer.origin;
        let run_by_admin = match scan.requested_by {
            Some(user) => tx
                .account(user)
                .await?
                .is_some_and(|account| account.active && account.roles.contains(&Role::Admin)),
            None => scan.requested_by_admin,
        };
        Ok(LocalFacts {
            other_connections: tx
                .rival_connections(origin, connection.part, Some(connection.id))
                .await?
                .iter()
                .map(in_words)
                .collect(),
            stale_attempts: self.stale_attempts(tx, connection).await?,
            run_by_admin,
            company_chosen: connection.company.is_some(),
            ..self.own_facts(tx, scan).await?
        })
    }

    /// What is true of this instance, whatever the subject.
    pub(super) async fn own_facts(&self, tx: &Tx, scan: &Scan) -> Done<LocalFacts> {
        Ok(LocalFacts {
            provider_record: tx.provider_record().await?.is_some(),
            base_url: self.profile.origin_is_set,
            contact: None,
            environment: self.profile.environment,
            mail_on: self.profile.mail_on,
            other_registrations: Vec::new(),
            other_connections: Vec::new(),
            stale_attempts: Vec::new(),
            run_by: scan.requested_by,
            run_by_admin: scan.requested_by_admin,
            company_chosen: true,
            subject: scan.subject,
        })
    }

    pub(super) async fn contact_facts(
        &self,
        tx: &Tx,
        user: UserId,
        company: CompanyId,
    ) -> Done<Option<ContactFacts>> {
        Ok(tx.account(user).await?.map(|account| ContactFacts {
            user,
            active: account.active,
            has_role: account.roles.contains(&Role::ConsumerContact),
            in_company: account.company == Some(company),
            email_valid: EmailAddress::parse(&account.email).is_ok(),
            email: account.email,
        }))
    }

    /// The attempts of a connection that were not brought to an end, each in words.
    async fn stale_attempts(&self, tx: &Tx, connection: &Connection) -> Done<Vec<String>> {
        let numbers = tx.stale_attempts(connection.id).await?;
        Ok(numbers.into_iter().map(|number| format!("unfinished attempt {number}")).collect())
    }

    async fn standing_facts(&self, tx: &Tx, connection: &Connection) -> Done<StandingFacts> {
        let id = connection.id;
        let mut leftovers = Vec::new();
        if tx.link_secret(id).await?.is_some() {
            leftovers.push("the link's secret".to_owned());
        }
        leftovers.extend(self.stale_attempts(tx, connection).await?);
        let account = tx.service_account(id).await?.map(|account| AccountFacts {
            scopes: account.scopes,
            expires_at: account.expires_at,
            has_peer: account.peer.is_some(),
        });
        let mut directions = Vec::new();
        for way in Way::ALL {
            let stored = tx.evidence(id, *way).await?;
            let (evidence, status) = self.direction(connection, *way, stored);
            directions.push(DirectionFacts {
                way: *way,
                ours: self.own_view(connection, &evidence),
                theirs: evidence.peer_view.as_ref().map(|view| view.status),
                disputed: status == Some(DirectionStatus::Disputed),
                failure: evidence.failure.map(|cause| (cause.code, cause.reason)),
            });
        }
        let key_made_at = match connection.channel {
            None => None,
            Some(channel) => {
                let keys = tx.keys(&Self::channel_module(channel)).await?;
                let active = keys.into_iter().find(|key| key.state == keyservice::KeyState::Active);
                active.and_then(|key| crate::domain::Timestamp::from_timestamp_millis(key.created_at))
            }
        };
        Ok(StandingFacts {
            connection: id,
            suspended: matches!(connection.state, crate::domain::connection::State::Suspended { .. }),
            suspects: connection.suspects_clone().then_some(connection.survivor.is_some()),
            leftovers,
            account,
            needed_scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            directions,
            key_made_at,
            stuck: tx.stuck_work(id.0).await?,
            ours: self.held(tx, connection).await?,
        })
    }

    /// The key service's health, for a check; announced where it is another one than before.
    pub(crate) async fn key_facts(&self) -> Measured<KeyHealth> {
        let health =
            self.measure_keys().await.map_err(|error| Unmeasured::Failed { reason: error.to_string() })?;
        self.announce_key_health(&health).await;
        Ok(health)
    }

    /// Whether the access policies allow the parts of this program what they need of the key modules.
    pub(crate) async fn key_access(&self) -> Measured<()> {
        match self.keys.lacking().await {
            Ok(None) => Ok(()),
            Ok(Some((module, right, service))) => {
                let reason = format!(
                    "the access policies of the key module {module} do not allow {right} to {service}"
                );
                Err(Unmeasured::Failed { reason })
            }
            // That a key does not work at all is another check's finding.
            Err(error) => {
                tracing::warn!(error = causes(&error), "the access policies could not be read");
                Err(Unmeasured::Blocked { by: CheckCode::KeyServiceHealth })
            }
        }
    }

    /// Whether a test breaks this check, or whatever else has this name: it hangs, or panics right here.
    pub(crate) fn hangs(&self, name: &'static str) -> bool {
        self.world.interruption.as_ref().is_some_and(|interruption| interruption.hangs(name))
    }

    /// Whether work about a scan's subject is under way that mends something: a check would look too early.
    pub(crate) async fn is_being_mended(&self, call: &Call, scan: ScanId) -> Done<bool> {
        let tx = self.begin_reading("scan.read", call).await?;
        let Some(Subject::Connection(id)) = tx.scan(scan).await?.map(|scan| scan.subject) else {
            return Ok(false);
        };
        let mends = [Work::SyncSettings(id), Work::RenewCredentials(id), Work::RefreshPeer(id)];
        Ok(tx.has_due_work(&mends).await?)
    }

    /// What this instance is for.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.profile.environment
    }
}

//! What a provider does with registrations.

use keyservice::PublicKey;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::handshake::UNDONE;
use super::letters::{self, LetterBody};
use super::token::digest;
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::check::{Remedy, Suite};
use crate::domain::connection::Connection;
use crate::domain::effect::{Effect, Step, Work};
use crate::domain::id::{CompanyId, ConnectionId, LinkId, RegistrationId, ScanId, UserId};
use crate::domain::link::{Delivery, Link, OpenLink, SECRET_LENGTH};
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{Environment, Registration, RegistrationVerb, State};
use crate::domain::requester::Role;
use crate::domain::scan::{Scan, ScanState, Subject};
use crate::store::{NewJob, StoreError, Tx};

/// What a new registration needs.
#[derive(Clone, Debug)]
pub struct NewRegistration {
    /// The organisation to connect.
    pub company: CompanyId,
    /// The person there who approves.
    pub contact: UserId,
    /// The consumer's instance, as it was typed.
    pub url: String,
    /// What that instance is for.
    pub environment: Environment,
}

impl Actions {
    /// Saves a registration; its checks start at once.
    ///
    /// # Errors
    /// `PROVIDER_RECORD_MISSING`, `INVALID_INPUT`, `CONTACT_NOT_IN_COMPANY`, `DUPLICATE_REGISTRATION`,
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn create_registration(&self, call: &Call, new: NewRegistration) -> Done<Registration> {
        let operator = call.requester.operator()?;
        let origin = self.origin(&new.url)?;
        let mut tx = self.begin("registration.create", call).await?;
        if tx.provider_record().await?.is_none() {
            return Err(Refusal::new(
                RefusalCode::ProviderRecordMissing,
                "This instance has no provider record yet. Save one first: it tells consumers what they connect to.",
            )
            .remedy(Remedy::call("saveProviderRecord", &[("name", "your-service".to_owned())]))
            .into());
        }
        let company = tx.company(new.company).await?;
        company.ok_or_else(|| Refusal::invalid("companyId", "There is no such company."))?;
        self.require_contact(&tx, new.contact, new.company).await?;
        let rivals = tx.rival_registrations(Some(new.company), new.environment, &origin, None).await?;
        if !rivals.is_empty() {
            return Err(duplicate(&rivals).into());
        }
        let registration = Registration {
            id: RegistrationId(tx.uuid()?),
            number: tx.next_registration_number().await?,
            company: new.company,
            contact: new.contact,
            origin,
            environment: new.environment,
            created_by: operator.user(),
            created_at: tx.now(),
            updated_at: tx.now(),
            revision: 1,
            last_attempt: 0,
            state: State::AwaitingValidation { scan: None },
        };
        let registration = self.validate(&mut tx, call, registration).await?;
        tx.insert_registration(&registration).await.map_err(|error| match error {
            StoreError::Duplicate(_) => duplicate(&[]).into(),
            error => Failure::from(error),
        })?;
        tx.grant_role(new.contact, Role::ConsumerContact).await?;
        let details =
            json!({ "origin": registration.origin.to_string(), "contact": new.contact.to_string() });
        tx.audit("registration.create", "REGISTRATION", registration.id, "OK", details);
        tx.commit().await?;
        Ok(registration)
    }

    /// Changes the contact, the URL, or both.
    ///
    /// # Errors
    /// `WRONG_STATE`, `INVALID_INPUT`, `CONTACT_NOT_IN_COMPANY`, `DUPLICATE_REGISTRATION`, `CONFLICT`.
    pub async fn update_registration(
        &self,
        call: &Call,
        id: RegistrationId,
        contact: Option<UserId>,
        url: Option<String>,
        expected: Option<i64>,
    ) -> Done<Registration> {
        call.requester.operator()?;
        self.require_fresh(call)?;
        let origin = url.map(|url| self.origin(&url)).transpose()?;
        let mut tx = self.begin("registration.update", call).await?;
        let registration = self.registration(&tx, id).await?;
        if expected.is_some_and(|expected| expected != registration.revision) {
            return Err(Refusal::conflict("registration").into());
        }
        if let Some(contact) = contact {
            self.require_contact(&tx, contact, registration.company).await?;
            tx.grant_role(contact, Role::ConsumerContact).await?;
        }
        let target = origin.clone().unwrap_or_else(|| registration.origin.clone());
        let rivals = tx
            .rival_registrations(Some(registration.company), registration.environment, &target, Some(id))
            .await?;
        if !rivals.is_empty() {
            return Err(duplicate(&rivals).into());
        }
        let before = registration.clone();
        let step = registration.update(contact, origin)?;
        let (registration, _) = self.settle(&mut tx, call, &before, step).await?;
        tx.audit("registration.update", "REGISTRATION", id, "OK", json!({ "origin": target.to_string() }));
        tx.commit().await?;
        Ok(registration)
    }

    /// Runs the checks again.
    ///
    /// # Errors
    /// `WRONG_STATE` unless validation failed.
    pub async fn revalidate_registration(&self, call: &Call, id: RegistrationId) -> Done<Registration> {
        Ok(self.verb("registration.revalidate", call, id, |r, _| r.revalidate()).await?.0)
    }

    /// Tries again after it was closed incomplete.
    ///
    /// # Errors
    /// `WRONG_STATE` unless closed incomplete.
    pub async fn retry_registration(&self, call: &Call, id: RegistrationId) -> Done<Registration> {
        Ok(self.verb("registration.retry", call, id, |r, _| r.retry()).await?.0)
    }

    /// Calls it off, and undoes an attempt under way.
    ///
    /// # Errors
    /// `WRONG_STATE` when it is final already.
    pub async fn cancel_registration(&self, call: &Call, id: RegistrationId) -> Done<Registration> {
        Ok(self.verb("registration.cancel", call, id, Registration::cancel).await?.0)
    }

    /// Makes a new link and shows it, this once; the one before is void. Showing a link is making one: only a
    /// digest is kept.
    ///
    /// # Errors
    /// `WRONG_STATE` unless open or expired.
    pub async fn reissue_registration_link(
        &self,
        call: &Call,
        id: RegistrationId,
    ) -> Done<(Registration, Option<SecretString>)> {
        call.requester.operator()?;
        self.require_fresh(call)?;
        self.verb("registration.reissue", call, id, |registration, _| registration.reissue()).await
    }

    /// A link's time is over.
    pub(crate) async fn expire_registration(&self, call: &Call, id: RegistrationId) -> Done<()> {
        let mut tx = self.begin("registration.expire", call).await?;
        let Some(registration) = tx.registration(id).await? else { return Ok(()) };
        let before = registration.clone();
        let step = registration.expired(tx.now());
        if step.next != before {
            self.settle(&mut tx, call, &before, step).await?;
            tx.audit("registration.expire", "REGISTRATION", id, "OK", json!({}));
            tx.commit().await?;
        }
        Ok(())
    }

    async fn verb(
        &self,
        operation: &'static str,
        call: &Call,
        id: RegistrationId,
        verb: impl FnOnce(Registration, Timestamp) -> Result<Step<Registration>, Refusal>,
    ) -> Done<(Registration, Option<SecretString>)> {
        call.requester.operator()?;
        let mut tx = self.begin(operation, call).await?;
        let before = self.registration(&tx, id).await?;
        let step = verb(before.clone(), tx.now())?;
        let outcome = self.settle(&mut tx, call, &before, step).await?;
        tx.audit(operation, "REGISTRATION", id, "OK", json!({ "state": outcome.0.state.name().as_str() }));
        tx.commit().await?;
        Ok(outcome)
    }

    /// Saves what a step says, with everything it causes. Answers the new link, if one was made.
    pub(super) async fn settle(
        &self,
        tx: &mut Tx,
        call: &Call,
        before: &Registration,
        step: Step<Registration>,
    ) -> Done<(Registration, Option<SecretString>)> {
        let mut registration = step.next;
        let mut link = None;
        for effect in step.effects {
            match effect {
                Effect::ValidateRegistration(_) => {
                    registration = self.validate(tx, call, registration).await?;
                }
                Effect::IssueLink(_) => {
                    let (opened, url) = self.issue_link(tx, registration).await?;
                    (registration, link) = (opened, Some(url));
                }
                Effect::DiscardAttempt(connection) => self.discard(tx, &registration, connection).await?,
                Effect::AnnounceCompletion(_) => self.announce_completion(tx, &registration).await?,
            }
        }
        if let Some(old) = before.state.link()
            && registration.state.link().map(|link| link.id) != Some(old.id)
        {
            let reason = match &registration.state {
                State::Expired { .. } => "EXPIRED",
                State::Cancelled { .. } => "CANCELLED",
                State::ClosedComplete { .. } => "USED",
                _ => "REISSUED",
            };
            tx.spend_link(registration.id, old, reason).await?;
        }
        if registration.has_ended() {
            tx.close_issues(Subject::Registration(registration.id), Some(registration.company), &[]).await?;
        }
        Ok((tx.save_registration(registration).await?, link))
    }

    /// Writes the scan that decides and the work of running it.
    async fn validate(&self, tx: &mut Tx, call: &Call, mut registration: Registration) -> Done<Registration> {
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suites: vec![Suite::PreOnboardingProvider],
            only: None,
            subject: Subject::Registration(registration.id),
            requested_by: call.requester.person().map(|person| person.user),
            requested_by_admin: call.requester.administrator().is_ok(),
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
        };
        tx.insert_scan(&scan, Some(registration.company)).await?;
        // Nobody who saves is refused for what was saved before: the checks wait for their turn instead. A run that
        // begins by itself because the last issue was resolved waits longer each time.
        let again = scan.requested_by.is_none();
        let run_at = self.turn_towards(&registration.origin, scan.subject, again, tx.now());
        tx.enqueue(NewJob { work: Work::Scan(scan.id), run_at, sealed: None }).await?;
        registration.state = State::AwaitingValidation { scan: Some(scan.id) };
        Ok(registration)
    }

    /// Makes the link, and the letter with it where mail is on.
    async fn issue_link(
        &self,
        tx: &mut Tx,
        registration: Registration,
    ) -> Done<(Registration, SecretString)> {
        let (now, profile) = (tx.now(), &self.profile);
        let secret: [u8; SECRET_LENGTH] = self.world.bytes()?;
        let open = OpenLink {
            provider: profile.origin.clone(),
            fingerprint: self.keys.fingerprint(),
            id: LinkId(Uuid::from_bytes(self.world.bytes()?)),
            secret,
        };
        let url = open.url(&registration.origin);
        let expires_at = now + profile.link_lifetime;
        let delivery = if profile.mail_on { Delivery::SentToContact } else { Delivery::ShareItYourself };
        let link = Link {
            id: open.id,
            digest: digest(&secret),
            issued_at: now,
            expires_at,
            delivery,
            contested_at: None,
        };
        let registration = registration.opened(link)?;
        tx.enqueue(NewJob {
            work: Work::ExpireRegistration(registration.id),
            run_at: expires_at,
            sealed: None,
        })
        .await?;
        if profile.mail_on {
            let contact = tx.account(registration.contact).await?.ok_or(Failure::Bug("contact"))?;
            let company = tx.company(registration.company).await?.ok_or(Failure::Bug("company"))?;
            let body = LetterBody::RegistrationLink {
                to_name: contact.name.clone(),
                to_address: contact.email,
                provider_name: profile.name.clone(),
                provider_origin: profile.origin.to_string(),
                company_name: company.name,
                consumer_origin: registration.origin.to_string(),
                link: url.clone(),
                expires_at_ms: expires_at.timestamp_millis(),
                registration_number: registration.label(),
                fingerprint: self.keys.fingerprint_text(),
            };
            letters::enqueue_letter(tx, &self.keys, Subject::Registration(registration.id), &body).await?;
        }
        let details = json!({ "link": open.id.to_string(), "delivery": delivery.as_str() });
        tx.audit("registration.link", "REGISTRATION", registration.id, "OK", details);
        Ok((registration, SecretString::from(url)))
    }

    /// Removes everything an abandoned attempt left on this side: connection, attempt, claims, approvals; its keys are
    /// revoked. The consumer is told, unless it was the one to let go of its claim.
    pub(super) async fn discard(
        &self,
        tx: &mut Tx,
        registration: &Registration,
        connection: ConnectionId,
    ) -> Done<()> {
        if let Some(claim) = tx.bound_claim(registration.id).await? {
            self.withdraw(tx, registration, &claim).await?;
        }
        if let Some(connection) = tx.connection(connection).await? {
            if let Some(channel) = connection.channel {
                self.revoke_link_keys(tx, channel, UNDONE).await?;
            }
            tx.delete_connection(&connection).await?;
            tx.audit("attempt.discard", "CONNECTION", connection.id, "OK", json!({}));
        }
        tx.delete_claims(registration.id).await?;
        Ok(())
    }

    async fn announce_completion(&self, tx: &mut Tx, registration: &Registration) -> Done<()> {
        let State::ClosedComplete { connection, .. } = &registration.state else { return Ok(()) };
        let Some(connection) = tx.connection(*connection).await? else { return Ok(()) };
        self.tell_connected(tx, &connection, registration.created_by).await
    }

    /// A connection stands: whoever had it made is told.
    pub(super) async fn tell_connected(
        &self,
        tx: &mut Tx,
        connection: &Connection,
        reader: UserId,
    ) -> Done<()> {
        let reader = tx.account(reader).await?.filter(|reader| reader.active && self.profile.mail_on);
        let Some(reader) = reader else { return Ok(()) };
        let key = PublicKey::parse(&connection.peer.public_key.ok_or(Failure::Bug("peer key"))?)?;
        let body = LetterBody::OnboardingComplete {
            to_name: reader.name.clone(),
            to_address: reader.email,
            instance_name: self.profile.name.clone(),
            peer_name: connection.peer.name.clone().unwrap_or_default(),
            peer_origin: connection.peer.origin.to_string(),
            fingerprint: key.fingerprint_groups(),
            established_at_ms: tx.now().timestamp_millis(),
            connection_url: format!("{}/connections/{}", self.profile.origin, connection.id),
        };
        letters::enqueue_letter(tx, &self.keys, Subject::Connection(connection.id), &body).await
    }

    /// The registration, for whoever may act on all of them.
    pub(super) async fn registration(&self, tx: &Tx, id: RegistrationId) -> Done<Registration> {
        Ok(tx.registration(id).await?.ok_or_else(|| Refusal::not_found("registration"))?)
    }

    pub(super) fn origin(&self, url: &str) -> Done<Origin> {
        let origin = Origin::parse(url, &self.profile.policy)
            .map_err(|error| Refusal::invalid("url", error.to_string()))?;
        if origin == self.profile.origin {
            let message = "This is the URL of this very instance. Enter the consumer's.";
            return Err(Refusal::invalid("url", message).into());
        }
        Ok(origin)
    }

    async fn require_contact(&self, tx: &Tx, contact: UserId, company: CompanyId) -> Done<()> {
        let account = tx.account(contact).await?;
        let account = account.ok_or_else(|| Refusal::invalid("contactId", "There is no such contact."))?;
        if account.company != Some(company) {
            return Err(Refusal::new(
                RefusalCode::ContactNotInCompany,
                "The contact belongs to another company. Choose one of the registration's company.",
            )
            .field("contactId")
            .into());
        }
        Ok(())
    }

    /// Whether a requester could use a verb now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_register(
        &self,
        call: &Call,
        registration: &Registration,
        verb: RegistrationVerb,
    ) -> Result<(), Refusal> {
        call.requester.operator()?;
        registration.allows(verb)?;
        match verb {
            RegistrationVerb::Update | RegistrationVerb::Reissue => self.require_fresh(call),
            RegistrationVerb::Revalidate | RegistrationVerb::Retry | RegistrationVerb::Cancel => Ok(()),
        }
    }
}

/// One of these is in the way; none is known where another request was quicker just now.
fn duplicate(rivals: &[Registration]) -> Refusal {
    let rule = "There is one unfinished registration at a time for a company and environment, and for a URL";
    let refusal = |message| Refusal::new(RefusalCode::DuplicateRegistration, message).field("url");
    match rivals.first() {
        Some(rival) => {
            let message = format!(
                "{} ({}) is not finished: finish or cancel it first. {rule}.",
                rival.label(),
                rival.origin
            );
            let rival = ("registrationId", rival.id.to_string());
            refusal(message).remedy(Remedy::call("cancelRegistration", &[rival]))
        }
        None => refusal(format!("{rule}: finish or cancel the other one first.")),
    }
}

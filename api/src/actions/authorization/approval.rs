//! The named contact allows or denies. Everything is looked at again when they decide.

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde_json::json;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::{bound, not_the_contact};
use crate::actions::failure::failed_about;
use crate::actions::limits::Limit;
use crate::actions::token::digest_of_given;
use crate::actions::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::check::Remedy;
use crate::domain::failure::Operation;
use crate::domain::person::EmailAddress;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::Registration;
use crate::domain::requester::Person;
use crate::domain::scan::Subject;
use crate::store::{AuthorizationRequest, AuthorizationState, Claim, Tx};

/// What the error log says of somebody else who came; who it was is in the audit trail.
const NOT_THE_CONTACT: &str = "Somebody else than the named contact, or somebody who may not any more, was asked to \
    approve. Sign in as the contact, or change the registration's contact.";
/// How long a code can be redeemed.
const CODE_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// What to show to whoever opens the authorization page.
pub enum Approval {
    /// They must sign in, or sign in again: it was longer ago than five minutes.
    SignIn,
    /// The named contact may decide.
    Consent(Consent),
    /// Somebody else, or somebody who no longer may: the same page whatever the reason.
    Mismatch(Mismatch),
}

/// What the contact decides on.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The contact's name.
    pub signed_in_name: String,
    /// The contact's address.
    pub signed_in_email: EmailAddress,
    /// The company to be connected.
    pub company_name: String,
    /// The origin of its instance.
    pub consumer_origin: String,
    /// The provider.
    pub provider_name: String,
    /// `REG-000001`.
    pub registration_number: String,
    /// The fingerprint of our identity key.
    pub fingerprint: String,
    /// When the request can no longer be decided.
    pub expires_at: Timestamp,
    /// Where the browser is sent afterwards.
    pub redirect_uri: Url,
}

/// Who is expected, and who came.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The named contact: to be shown masked.
    pub expected: EmailAddress,
    /// Who signed in.
    pub signed_in_name: String,
    /// Their address.
    pub signed_in_email: EmailAddress,
    /// The company to be connected.
    pub company_name: String,
    /// The provider.
    pub provider_name: String,
    /// `REG-000001`.
    pub registration_number: String,
}

/// What the contact decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Connect.
    Allow,
    /// Do not.
    Deny,
}

/// What came of a decision.
pub enum Decided {
    /// They must sign in first, and come back here.
    SignIn {
        /// The authorization page's path and query.
        return_to: String,
    },
    /// Not theirs to decide.
    Mismatch(Mismatch),
    /// The browser goes back to the client with this.
    Redirect(Url),
}

struct Case {
    request: AuthorizationRequest,
    claim: Claim,
    registration: Registration,
}

impl Actions {
    /// What to show for a pushed request. Looking spoils nothing.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such request of this client, or it was decided, overtaken, or is too old;
    /// `RATE_LIMITED`. Never a redirect: nobody verified where to.
    pub async fn authorization_page(
        &self,
        call: &Call,
        client_id: &str,
        request_uri: &str,
    ) -> Done<Approval> {
        let mut tx = self.begin("authorization.page", call).await?;
        let case = self.pending(&tx, request_uri).await?;
        if case.claim.id.to_string() != client_id {
            return Err(gone().into());
        }
        let Some(person) = call.requester.person().filter(|_| self.is_fresh(call)) else {
            return Ok(Approval::SignIn);
        };
        self.limits.take(Limit::Approval, &person.user.to_string(), tx.now())?;
        if let Some(reason) = self.objection(&tx, person, &case).await? {
            let page = self.mismatch(&mut tx, person, &case, reason).await?;
            tx.commit().await?;
            return Ok(Approval::Mismatch(page));
        }
        Ok(Approval::Consent(Consent {
            signed_in_name: person.name.clone(),
            signed_in_email: email(&person.email)?,
            company_name: self.company_name_of(&tx, &case).await?,
            consumer_origin: case.claim.origin.to_string(),
            provider_name: self.provider_name(&tx).await?,
            registration_number: case.registration.label(),
            fingerprint: self.keys.fingerprint_text(),
            expires_at: case.request.request_expires_at,
            redirect_uri: address(&case.request.redirect_uri)?,
        }))
    }

    /// The contact decided. A request is decided once.
    ///
    /// # Errors
    /// As [`Actions::authorization_page`].
    pub async fn decide_authorization(
        &self,
        call: &Call,
        request_uri: &str,
        decision: Decision,
    ) -> Done<Decided> {
        let mut tx = self.begin("authorization.decide", call).await?;
        let case = self.pending(&tx, request_uri).await?;
        let Some(person) = call.requester.person().filter(|_| self.is_fresh(call)) else {
            let request: String = byte_serialize(request_uri.as_bytes()).collect();
            let return_to = format!("/oauth/authorize?client_id={}&request_uri={request}", case.claim.id);
            return Ok(Decided::SignIn { return_to });
        };
        if let Some(reason) = self.objection(&tx, person, &case).await? {
            let page = self.mismatch(&mut tx, person, &case, reason).await?;
            tx.commit().await?;
            return Ok(Decided::Mismatch(page));
        }
        let (code, digest) = self.secret("")?;
        let kept = (decision == Decision::Allow).then(|| (digest, tx.now() + CODE_LIFETIME));
        if !tx.decide_authorization(case.request.id, person.user, kept).await? {
            return Err(gone().into());
        }
        let result = if kept.is_some() { "ALLOWED" } else { "DENIED" };
        let details = json!({
            "claim": case.claim.id.to_string(),
            "registration": case.registration.id.to_string(),
            "consumer": case.claim.origin.to_string(),
        });
        tx.audit("authorization.decide", "AUTHORIZATION", case.request.id, result, details);
        tx.commit().await?;
        let mut url = address(&case.request.redirect_uri)?;
        let outcome = match decision {
            Decision::Allow => ("code", code.expose_secret()),
            Decision::Deny => ("error", "access_denied"),
        };
        url.query_pairs_mut()
            .append_pair(outcome.0, outcome.1)
            .append_pair("state", &case.request.client_state)
            .append_pair("iss", self.profile.origin.as_str());
        Ok(Decided::Redirect(url))
    }

    /// The request that can still be decided.
    async fn pending(&self, tx: &Tx, request_uri: &str) -> Done<Case> {
        let digest = digest_of_given(request_uri).ok_or_else(gone)?;
        let request = tx.authorization_by_request(&digest).await?.ok_or_else(gone)?;
        if request.state != AuthorizationState::Pending || tx.now() >= request.request_expires_at {
            return Err(gone().into());
        }
        let (claim, registration) = bound(tx, request.claim).await?.ok_or_else(gone)?;
        Ok(Case { request, claim, registration })
    }

    /// Why this person may not decide, from the account as it is now.
    async fn objection(&self, tx: &Tx, person: &Person, case: &Case) -> Done<Option<&'static str>> {
        let account = tx.account(person.user).await?;
        Ok(not_the_contact(account.as_ref(), person.user, &case.registration))
    }

    async fn mismatch(
        &self,
        tx: &mut Tx,
        person: &Person,
        case: &Case,
        reason: &'static str,
    ) -> Done<Mismatch> {
        let details = json!({ "reason": reason, "registration": case.registration.id.to_string() });
        let result = RefusalCode::ContactMismatch.as_str();
        tx.audit("authorization.page", "AUTHORIZATION", case.request.id, result, details);
        let about = (Subject::Registration(case.registration.id), Some(case.registration.company));
        let refusal = Refusal::new(RefusalCode::ContactMismatch, NOT_THE_CONTACT).reason(reason);
        tx.record_failure(&failed_about(about, Operation::Approval, &refusal, tx.trace())).await?;
        let expected = tx.account(case.registration.contact).await?.ok_or(Failure::Bug("contact"))?;
        Ok(Mismatch {
            expected: email(&expected.email)?,
            signed_in_name: person.name.clone(),
            signed_in_email: email(&person.email)?,
            company_name: self.company_name_of(tx, case).await?,
            provider_name: self.provider_name(tx).await?,
            registration_number: case.registration.label(),
        })
    }

    async fn company_name_of(&self, tx: &Tx, case: &Case) -> Done<String> {
        Ok(tx.company(case.registration.company).await?.ok_or(Failure::Bug("company"))?.name)
    }

    async fn provider_name(&self, tx: &Tx) -> Done<String> {
        Ok(tx.provider_record().await?.map_or_else(|| self.profile.name.clone(), |record| record.name))
    }
}

fn gone() -> Refusal {
    let message =
        "This request to approve a connection is not known here, was decided already, or took too long.";
    let remedy = Remedy::human("Go back to your own instance, and continue from there.");
    Refusal::new(RefusalCode::NotFound, message).reason("AUTHORIZATION_REQUEST").remedy(remedy)
}

fn email(text: &str) -> Done<EmailAddress> {
    EmailAddress::parse(text).map_err(|_| Failure::Bug("a stored address"))
}

fn address(text: &str) -> Done<Url> {
    Url::parse(text).map_err(|_| Failure::Bug("a stored redirect URI"))
}

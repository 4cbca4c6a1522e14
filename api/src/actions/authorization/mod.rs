//! The authorization server (RFC 6749, RFC 9126, RFC 9207): the named contact approves a claim in the browser.
//!
//! The client is the instance whose claim is bound to a registration link; its id is the claim's. The access token
//! is good for one thing, the handshake, which proves possession of the claim's key in itself: binding the token to
//! a key once more (DPoP) would prove the same thing twice.

mod approval;
mod client;
mod token;

pub use approval::{Approval, Consent, Decided, Decision, Mismatch};
pub use client::{ClientCredentials, Detail, Push, Pushed};
pub use token::{IssuedToken, Redeem};

use super::token::digest_of_given;
use super::{Actions, Done, Failure};
use crate::domain::id::{ClaimId, UserId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{Registration, State};
use crate::domain::requester::Role;
use crate::store::{Account, AuthorizationRequest, AuthorizationState, Claim, ClaimState, StoreError, Tx};
use crate::vault::VaultError;

/// The one scope there is.
pub const SCOPE: &str = "link:establish";
/// The one type of authorization detail (RFC 9396).
pub const DETAILS_TYPE: &str = "linkspan_link";
/// Where a consumer's browser comes back to, on its own origin.
pub const CALLBACK_PATH: &str = "/oauth/callback";
/// What a `request_uri` begins with (RFC 9126, 2.2).
pub(super) const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

words! {
    /// The error codes of RFC 6749 (4.1.2.1, 5.2), RFC 8707 and RFC 9396 that are answered.
    OAuthCode {
        /// A parameter is missing, doubled or malformed.
        InvalidRequest = "invalid_request", "Invalid request";
        /// The client did not prove who it is.
        InvalidClient = "invalid_client", "Invalid client";
        /// The code is wrong, used, expired, or another client's.
        InvalidGrant = "invalid_grant", "Invalid grant";
        /// Another grant than the authorization code.
        UnsupportedGrantType = "unsupported_grant_type", "Unsupported grant type";
        /// Another response than a code.
        UnsupportedResponseType = "unsupported_response_type", "Unsupported response type";
        /// Another scope than the one there is.
        InvalidScope = "invalid_scope", "Invalid scope";
        /// The authorization details are not for this claim.
        InvalidAuthorizationDetails = "invalid_authorization_details", "Invalid authorization details";
    }
}

/// Why the authorization server did not do what a client asked.
#[derive(Debug, thiserror::Error)]
pub enum OAuthFailure {
    /// The client's fault.
    #[error("{code}: {description}")]
    Client {
        /// The code that is answered.
        code: OAuthCode,
        /// For the client's developer.
        description: &'static str,
    },
    /// Too many requests, or ours.
    #[error(transparent)]
    Other(#[from] Failure),
}

impl OAuthFailure {
    const fn new(code: OAuthCode, description: &'static str) -> Self {
        Self::Client { code, description }
    }
}

impl From<StoreError> for OAuthFailure {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<VaultError> for OAuthFailure {
    fn from(error: VaultError) -> Self {
        Self::Other(error.into())
    }
}

impl From<keyservice::Error> for OAuthFailure {
    fn from(error: keyservice::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<Refusal> for OAuthFailure {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal.into())
    }
}

impl Actions {
    /// The approval behind an access token, for the handshake.
    ///
    /// # Errors
    /// `CREDENTIALS_INVALID` when the token is wrong, expired or revoked.
    pub async fn approved_by_token(&self, tx: &Tx, token: &str) -> Done<AuthorizationRequest> {
        let invalid = || {
            let message = "The access token is wrong, expired or revoked. Ask the contact to approve again.";
            Refusal::new(RefusalCode::CredentialsInvalid, message).reason("ACCESS_TOKEN")
        };
        let digest = digest_of_given(token).ok_or_else(invalid)?;
        let request = tx.authorization_by_token(&digest).await?.ok_or_else(invalid)?;
        let good = request.state == AuthorizationState::Redeemed
            && request.token_expires_at.is_some_and(|until| tx.now() < until);
        if !good {
            return Err(invalid().into());
        }
        Ok(request)
    }
}

/// The claim behind a client id, if it is bound and its registration still waits for onboarding to end.
async fn bound(tx: &Tx, id: ClaimId) -> Done<Option<(Claim, Registration)>> {
    let Some(claim) =
        tx.claim(id).await?.filter(|claim| claim.state == ClaimState::Bound && !claim.rehearsal)
    else {
        return Ok(None);
    };
    let registration =
        tx.registration(claim.registration).await?.ok_or(Failure::Bug("a claim without registration"))?;
    let waits = match &registration.state {
        State::WorkInProgress { link, .. } => link.id == claim.link && link.contested_at.is_none(),
        State::AwaitingValidation { .. }
        | State::ValidationFailed { .. }
        | State::Open { .. }
        | State::ClosedComplete { .. }
        | State::ClosedIncomplete { .. }
        | State::Expired { .. }
        | State::Cancelled { .. } => false,
    };
    Ok(waits.then_some((claim, registration)))
}

/// Why this account may not approve this registration, if it may not: for the audit trail only.
fn not_the_contact(
    account: Option<&Account>,
    user: UserId,
    registration: &Registration,
) -> Option<&'static str> {
    let Some(account) = account else { return Some("NO_ACCOUNT") };
    if user != registration.contact {
        Some("OTHER_PERSON")
    } else if !account.active {
        Some("INACTIVE")
    } else if !account.roles.contains(&Role::ConsumerContact) {
        Some("ROLE")
    } else if account.company != Some(registration.company) {
        Some("COMPANY")
    } else {
        None
    }
}

//! The client shows who it is, and pushes what it wants (RFC 9126).

use std::net::IpAddr;

use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use keyservice::PublicKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{CALLBACK_PATH, DETAILS_TYPE, OAuthCode, OAuthFailure, REQUEST_URI, SCOPE, bound};
use crate::actions::jwt::{Assertion, AssertionError};
use crate::actions::limits::{Limit, network};
use crate::actions::{Actions, Call};
use crate::domain::id::{AuthorizationId, ClaimId};
use crate::domain::registration::Registration;
use crate::store::{AuthorizationRequest, AuthorizationState, Claim, StoreError};

/// The one way in which a client authenticates (RFC 7523, 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long a pushed request can be used. The person has to sign in within it.
const REQUEST_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The fewest and the most characters of a client's `state`.
const STATE: std::ops::RangeInclusive<usize> = 16..=512;
/// Where replays are remembered.
const REPLAY: &str = "client-assertion";

/// How a client authenticates, as it was posted. No `Debug`: an assertion is good for a minute.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ClientCredentials {
    /// `client_id`: the claim.
    pub client_id: Option<String>,
    /// `client_assertion_type`.
    pub client_assertion_type: Option<String>,
    /// `client_assertion`.
    pub client_assertion: Option<String>,
    /// `client_secret`, which no client has.
    pub client_secret: Option<String>,
}

/// A request to be pushed, as it was posted.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Push {
    /// `response_type`.
    pub response_type: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `code_challenge`.
    pub code_challenge: Option<String>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `authorization_details`, JSON.
    pub authorization_details: Option<String>,
    /// `request_uri`, which cannot be pushed.
    pub request_uri: Option<String>,
    /// `request`, which is not supported.
    pub request: Option<String>,
}

/// A request that was pushed.
pub struct Pushed {
    /// Names it at the authorization endpoint.
    pub request_uri: SecretString,
    /// For how many seconds.
    pub expires_in: i64,
}

/// RFC 9396: what exactly is asked for, and granted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// [`DETAILS_TYPE`].
    pub r#type: String,
    /// The registration, by the public part of its link: as the consumer knows it.
    pub registration: Uuid,
    /// The claim.
    pub claim_id: Uuid,
}

impl Detail {
    /// What a claim's approval grants: all that can be asked for.
    pub(super) fn of(claim: &Claim) -> Self {
        Self { r#type: DETAILS_TYPE.to_owned(), registration: claim.link.0, claim_id: claim.id.0 }
    }
}

impl Actions {
    /// Keeps a pushed request; the claim's earlier ones, and what they led to, are void. `from` is the network address
    /// that it came from.
    ///
    /// # Errors
    /// An OAuth error; `RATE_LIMITED`.
    pub async fn push_authorization(
        &self,
        call: &Call,
        client: &ClientCredentials,
        push: &Push,
        from: Option<IpAddr>,
    ) -> Result<Pushed, OAuthFailure> {
        let (claim, registration) = self.authenticate_client(call, client, from).await?;
        let (state, challenge) = judge(push, &claim)?;
        let (secret, digest) = self.secret(REQUEST_URI)?;
        let mut tx = self.begin("authorization.push", call).await?;
        let request = AuthorizationRequest {
            id: AuthorizationId(tx.uuid()?),
            claim: claim.id,
            request_digest: digest,
            request_expires_at: tx.now() + REQUEST_LIFETIME,
            redirect_uri: redirect_uri(&claim),
            code_challenge: challenge.to_owned(),
            client_state: state.to_owned(),
            scope: SCOPE.to_owned(),
            state: AuthorizationState::Pending,
            account: None,
            code_digest: None,
            code_expires_at: None,
            token_digest: None,
            token_expires_at: None,
        };
        tx.insert_authorization(&request).await?;
        let details = json!({ "claim": claim.id.to_string(), "registration": registration.id.to_string() });
        tx.audit("authorization.push", "AUTHORIZATION", request.id, "OK", details);
        tx.commit().await?;
        Ok(Pushed { request_uri: secret, expires_in: REQUEST_LIFETIME.num_seconds() })
    }

    /// Which claim the client is, proven by its assertion, which is used up whatever comes of the request.
    pub(super) async fn authenticate_client(
        &self,
        call: &Call,
        client: &ClientCredentials,
        from: Option<IpAddr>,
    ) -> Result<(Claim, Registration), OAuthFailure> {
        let refused = || OAuthFailure::new(OAuthCode::InvalidClient, "client authentication failed");
        if client.client_assertion_type.as_deref() != Some(ASSERTION_TYPE) || client.client_secret.is_some() {
            let description = "authenticate with private_key_jwt";
            return Err(OAuthFailure::new(OAuthCode::InvalidClient, description));
        }
        let assertion = Assertion::parse(client.client_assertion.as_deref().ok_or_else(refused)?);
        let assertion = assertion.map_err(|_| refused())?;
        let name = assertion.client();
        // RFC 7521, 4.2: `client_id` is optional here, but must be the same.
        if client.client_id.as_deref().is_some_and(|id| id != name) {
            return Err(refused());
        }
        let id = Uuid::try_parse(name).ok().filter(|id| id.to_string() == name).ok_or_else(refused)?;
        // Who a client is, everybody may know: what others send in its name is not counted as its own.
        let forged = || match self.limits.take(Limit::Forged, &network(from), self.world.now()) {
            Ok(()) => refused(),
            Err(limited) => limited.into(),
        };
        let key = self.store.claim_key(ClaimId(id)).await?.ok_or_else(forged)?;
        let key = PublicKey::parse(&key).map_err(|_| forged())?;
        let verified = assertion.verify(name, &key, self.profile.origin.as_str(), self.world.now());
        if verified == Err(AssertionError::Signature) {
            return Err(forged());
        }
        self.limits.take(Limit::Client, name, self.world.now())?;
        let mut tx = self.begin("authorization.client", call).await?;
        let (claim, registration) = bound(&tx, ClaimId(id)).await?.ok_or_else(refused)?;
        let outcome = match verified {
            Ok(used) => match tx.use_once(REPLAY, &format!("{name}:{}", used.id), used.until).await {
                Ok(()) => return Ok(tx.commit().await.map(|()| (claim, registration))?),
                Err(StoreError::Duplicate(_)) => "REPLAYED".to_owned(),
                Err(error) => return Err(error.into()),
            },
            Err(error) => error.to_string(),
        };
        // A transaction in which a rule was broken cannot go on.
        drop(tx);
        let mut tx = self.begin("authorization.client", call).await?;
        tx.audit("authorization.client", "CLAIM", id, outcome, json!({}));
        tx.commit().await?;
        Err(refused())
    }
}

/// Where a claim's approval goes back to: nowhere else, to the byte.
fn redirect_uri(claim: &Claim) -> String {
    format!("{}{CALLBACK_PATH}", claim.origin)
}

/// The client's state and challenge, if the rest is as it must be.
fn judge<'p>(push: &'p Push, claim: &Claim) -> Result<(&'p str, &'p str), OAuthFailure> {
    let invalid = |description| OAuthFailure::new(OAuthCode::InvalidRequest, description);
    if push.request_uri.is_some() || push.request.is_some() {
        return Err(invalid("request_uri and request cannot be pushed"));
    }
    match push.response_type.as_deref() {
        Some("code") => {}
        None => return Err(invalid("response_type is missing")),
        Some(_) => {
            return Err(OAuthFailure::new(OAuthCode::UnsupportedResponseType, "response_type must be code"));
        }
    }
    if push.redirect_uri.as_deref() != Some(redirect_uri(claim).as_str()) {
        return Err(invalid("redirect_uri must be the registered one"));
    }
    if push.scope.as_deref().is_some_and(|scope| scope != SCOPE) {
        return Err(OAuthFailure::new(OAuthCode::InvalidScope, "the only scope is link:establish"));
    }
    let printable =
        |text: &&str| STATE.contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let state = push.state.as_deref().filter(printable);
    let state = state.ok_or_else(|| invalid("state must have 16 to 512 printable characters"))?;
    if push.code_challenge_method.as_deref() != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let digest = |text: &&str| BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|digest| digest.len() == 32);
    let challenge = push.code_challenge.as_deref().filter(digest);
    let challenge = challenge.ok_or_else(|| invalid("code_challenge must be a SHA-256 in base64url"))?;
    let details =
        push.authorization_details.as_deref().and_then(|text| serde_json::from_str::<[Detail; 1]>(text).ok());
    if !details.is_some_and(|[detail]| detail == Detail::of(claim)) {
        let description =
            "authorization_details must hold one linkspan_link with this registration and claim";
        return Err(OAuthFailure::new(OAuthCode::InvalidAuthorizationDetails, description));
    }
    Ok((state, challenge))
}

impl Pushed {
    /// The `request_uri`, for the answer only.
    #[must_use]
    pub fn request_uri(&self) -> &str {
        self.request_uri.expose_secret()
    }
}

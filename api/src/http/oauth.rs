//! The authorization server's endpoints (RFC 6749, RFC 8414, RFC 9126, RFC 7009, RFC 9207), and its page.

use std::net::IpAddr;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Form, FromRequestParts, OriginalUri, Query, Request, State as With};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::BASE64URL_NOPAD;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::State;
use super::browser::{FORM_LIMIT, came_from, local_path, retry_after, see_other, sign_in_url};
use super::pages::{self, page, page_with_form_target};
use super::visitor::{Posted, Visitor};
use crate::actions::authorization::{
    Approval, ClientCredentials, DETAILS_TYPE, Decided, Decision, Mismatch, OAuthCode, OAuthFailure, Push,
    Redeem, SCOPE,
};
use crate::actions::jwt::ALGORITHMS;
use crate::actions::{Call, Failure};

/// Where the person approves.
const AUTHORIZE: &str = "/oauth/authorize";
/// What everybody may know and seldom changes.
const FOR_A_WHILE: &str = "public, max-age=300";

/// The routes of the authorization server.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/jwks.json", get(keys))
        .route("/oauth/par", post(push))
        .route(AUTHORIZE, get(authorize).post(decide))
        .route("/oauth/token", post(token))
        .route("/oauth/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(from_fn(challenge))
        .with_state(state)
}

/// RFC 8414: only what is supported.
async fn metadata(With(state): With<State>) -> Response {
    let origin = state.actions.profile().origin.as_str();
    let at = |path: &str| format!("{origin}{path}");
    let body = json!({
        "issuer": origin,
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": at("/oauth/token"),
        "pushed_authorization_request_endpoint": at("/oauth/par"),
        "require_pushed_authorization_requests": true,
        "revocation_endpoint": at("/oauth/revoke"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "scopes_supported": [SCOPE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "authorization_details_types_supported": [DETAILS_TYPE],
        "authorization_response_iss_parameter_supported": true,
    });
    ([(header::CACHE_CONTROL, FOR_A_WHILE)], Json(body)).into_response()
}

/// The key with which this instance signs when it is the client (RFC 8037).
async fn keys(With(state): With<State>) -> Response {
    let key = state.actions.keys().public_key();
    let x = BASE64URL_NOPAD.encode(key.as_bytes());
    let kid = key.kid().to_string();
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA" });
    ([(header::CACHE_CONTROL, FOR_A_WHILE)], Json(json!({ "keys": [key] }))).into_response()
}

/// A request of a client, which shows who it is in its form only, and the network address that it came from.
struct Sender {
    call: Call,
    from: Option<IpAddr>,
}

impl FromRequestParts<State> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        Ok(Self { call: state.auth.anonymous(&parts.headers)?, from: came_from(&parts.extensions) })
    }
}

#[derive(Deserialize)]
struct PushForm {
    #[serde(flatten)]
    client: ClientCredentials,
    #[serde(flatten)]
    push: Push,
}

async fn push(
    With(state): With<State>,
    Sender { call, from }: Sender,
    form: Parameters,
) -> Result<Response, Problem> {
    let PushForm { client, push } = read(form)?;
    let pushed = state.actions.push_authorization(&call, &client, &push, from).await?;
    let body = json!({ "request_uri": pushed.request_uri(), "expires_in": pushed.expires_in });
    Ok(answer(StatusCode::CREATED, body))
}

#[derive(Deserialize)]
struct TokenForm {
    #[serde(flatten)]
    client: ClientCredentials,
    #[serde(flatten)]
    redeem: Redeem,
}

async fn token(
    With(state): With<State>,
    Sender { call, from }: Sender,
    form: Parameters,
) -> Result<Response, Problem> {
    let TokenForm { client, redeem } = read(form)?;
    let issued = state.actions.redeem_code(&call, &client, &redeem, from).await?;
    let body = json!({
        "access_token": issued.token.expose_secret(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
        "authorization_details": [issued.detail],
        "auth_event_id": issued.auth_event.to_string(),
        "contact_sub": issued.contact.to_string(),
        "company_id": issued.company.to_string(),
    });
    Ok(answer(StatusCode::OK, body))
}

#[derive(Deserialize)]
struct RevokeForm {
    #[serde(flatten)]
    client: ClientCredentials,
    #[serde(default)]
    token: Option<String>,
}

async fn revoke(
    With(state): With<State>,
    Sender { call, from }: Sender,
    form: Parameters,
) -> Result<Response, Problem> {
    let RevokeForm { client, token } = read(form)?;
    state.actions.revoke_token(&call, &client, token.as_deref(), from).await?;
    Ok(answer(StatusCode::OK, json!({})))
}

/// A form's parameters as they came.
type Parameters = Result<Form<Vec<(String, String)>>, FormRejection>;

/// RFC 6749, 3.1 and 3.2: a parameter without a value is left out, one that is given twice is refused, one that
/// nobody knows is ignored.
fn read<T: for<'de> Deserialize<'de>>(form: Parameters) -> Result<T, Problem> {
    let malformed = |description| {
        let code = OAuthCode::InvalidRequest;
        Problem { failure: OAuthFailure::Client { code, description }, status: None }
    };
    let Form(params) = form.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => malformed("the form is larger than 64 KiB").with(rejection.status()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            malformed("send application/x-www-form-urlencoded").with(rejection.status())
        }
        _ => malformed("the form cannot be read"),
    })?;
    let mut known = serde_json::Map::new();
    for (name, value) in params {
        if known.insert(name, Value::String(value)).is_some() {
            return Err(malformed("a parameter is given twice"));
        }
    }
    known.retain(|_, value| value != "");
    serde_json::from_value(Value::Object(known)).map_err(|_| malformed("a parameter is malformed"))
}

fn answer(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    // RFC 6749, 5.1.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// What went wrong, as a client hears of it (RFC 6749, 5.2).
struct Problem {
    failure: OAuthFailure,
    /// Where HTTP has a status of its own for it (RFC 9126, 2.3).
    status: Option<StatusCode>,
}

impl Problem {
    fn with(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }
}

impl<T: Into<OAuthFailure>> From<T> for Problem {
    fn from(failure: T) -> Self {
        Self { failure: failure.into(), status: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match &self.failure {
            OAuthFailure::Client { code, description } => {
                let status = self.status.unwrap_or(match code {
                    OAuthCode::InvalidClient => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::BAD_REQUEST,
                });
                answer(status, json!({ "error": code.as_str(), "error_description": description }))
            }
            OAuthFailure::Other(Failure::Refused(refusal)) => {
                let body =
                    json!({ "error": "temporarily_unavailable", "error_description": refusal.message });
                let mut response = answer(super::browser::status(refusal.code), body);
                retry_after(&mut response, refusal);
                response
            }
            OAuthFailure::Other(failure) => {
                tracing::error!(error = ?failure, "the authorization server failed");
                answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "server_error" }))
            }
        }
    }
}

/// Says with a 401 how one authenticates (RFC 9110, 15.5.2): in the scheme that the client tried (RFC 6749, 5.2), or, as
/// there is none for an assertion in the body, with an error alone.
async fn challenge(request: Request, next: Next) -> Response {
    let tried = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic =
        tried.and_then(|value| value.split(' ').next()).is_some_and(|it| it.eq_ignore_ascii_case("basic"));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = if basic { "Basic realm=\"linkspan\"" } else { "Bearer error=\"invalid_client\"" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    client_id: String,
    request_uri: String,
}

async fn authorize(
    With(state): With<State>,
    Visitor(call): Visitor,
    OriginalUri(uri): OriginalUri,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let here = uri.path_and_query().map_or(AUTHORIZE, |uri| uri.as_str());
    let shown = state.actions.authorization_page(&call, &asked.client_id, &asked.request_uri).await;
    let csrf = match state.actions.form_token(&call).await {
        Ok(csrf) => csrf,
        Err(failure) => return state.failure(&call, &failure),
    };
    match shown {
        Ok(Approval::SignIn) => see_other(&sign_in_url(here)),
        Ok(Approval::Mismatch(mismatch)) => mismatch_page(&state, &call, &mismatch, here, &csrf),
        Ok(Approval::Consent(consent)) => {
            let view = pages::Consent {
                instance: state.instance(),
                action: AUTHORIZE,
                signed_in_name: &consent.signed_in_name,
                signed_in_email: &consent.signed_in_email,
                company_name: &consent.company_name,
                consumer_origin: &consent.consumer_origin,
                provider_name: &consent.provider_name,
                registration_number: &consent.registration_number,
                fingerprint: &consent.fingerprint,
                scopes: &[
                    "Exchange keys with this instance, once, in your company's name.",
                    "From then on, both instances send each other sealed messages.",
                ],
                expires_at: &consent.expires_at.format("%-d %B %Y at %H:%M UTC").to_string(),
                request: &asked.request_uri,
                return_to: here,
                csrf: &csrf,
            };
            page_with_form_target(StatusCode::OK, &view, &consent.redirect_uri)
        }
        Err(failure) => {
            let mut response = state.failure(&call, &failure);
            if response.status() == StatusCode::NOT_FOUND {
                // The page is here; what it was asked about is not (RFC 6749, 4.1.2.1).
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DecisionForm {
    decision: String,
    request: String,
    return_to: String,
    csrf: String,
}

async fn decide(
    With(state): With<State>,
    Visitor(call): Visitor,
    headers: HeaderMap,
    Posted(form): Posted<DecisionForm>,
) -> Result<Response, Response> {
    state.require_session_form(&headers, &call, &form.csrf).await?;
    let decision = match form.decision.as_str() {
        "allow" => Decision::Allow,
        "deny" => Decision::Deny,
        _ => return Err(state.foreign()),
    };
    match state.actions.decide_authorization(&call, &form.request, decision).await {
        Ok(Decided::Redirect(url)) => Ok(see_other(url.as_str())),
        Ok(Decided::SignIn { return_to }) => Ok(see_other(&sign_in_url(&return_to))),
        Ok(Decided::Mismatch(mismatch)) => match state.actions.form_token(&call).await {
            Ok(csrf) => {
                let here = local_path(&form.return_to).unwrap_or("/");
                Ok(mismatch_page(&state, &call, &mismatch, here, &csrf))
            }
            Err(failure) => Err(state.failure(&call, &failure)),
        },
        Err(failure) => Err(state.failure(&call, &failure)),
    }
}

fn mismatch_page(state: &State, call: &Call, mismatch: &Mismatch, return_to: &str, csrf: &str) -> Response {
    let view = pages::Mismatch {
        instance: state.instance(),
        expected: mismatch.expected.masked(),
        signed_in_name: &mismatch.signed_in_name,
        signed_in_email: &mismatch.signed_in_email,
        company_name: &mismatch.company_name,
        provider_name: &mismatch.provider_name,
        registration_number: &mismatch.registration_number,
        reference: &call.trace.to_string(),
        return_to,
        csrf,
    };
    page(StatusCode::FORBIDDEN, &view)
}

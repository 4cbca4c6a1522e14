//! The endpoints for other instances: who we are, claims, proofs, the handshake, sealed messages. Every answer
//! that is not a success is a `Refused` body with a stable code.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use crate::actions::{Actions, Call, Failure};
use crate::auth;
use crate::domain::causes::causes;
use crate::domain::connection::Pause;
use crate::domain::id::TraceId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Requester;
use crate::peer::wire;

/// Why a body is refused that is no JSON at all.
const CONTENT_TYPE: &str = "CONTENT_TYPE";
/// Why a body is refused that is too long.
const SIZE: &str = "SIZE";

/// The routes for peers.
pub fn router(actions: Actions) -> Router {
    Router::new()
        .route(wire::IDENTITY, get(identity))
        .route(wire::CLAIM, post(claim))
        .route(wire::PROVE, post(prove))
        .route(wire::ABANDON, post(abandon))
        .route(wire::WITHDRAW, post(withdraw))
        .route(wire::OFFBOARD, post(offboard))
        .route(wire::EXCHANGE, post(exchange))
        .route(wire::CONFIRM, post(confirm))
        .route(wire::MESSAGE, post(message))
        .layer(from_fn_with_state(actions.clone(), unless_copied))
        .with_state(actions)
}

/// A copy answers no peer: what it would say is the original's to say.
async fn unless_copied(State(actions): State<Actions>, request: Request, next: Next) -> Response {
    if !actions.profile().copied {
        return next.run(request).await;
    }
    let message =
        "This instance may be a copy, and exchanges nothing until its operator says that it goes on.";
    let refusal = Refusal::new(RefusalCode::PeerUnavailable, message).reason(Pause::SUSPECTS);
    refused(&call(&actions, request.headers()), &refusal)
}

async fn identity(State(actions): State<Actions>, headers: HeaderMap) -> Response {
    let call = call(&actions, &headers);
    answer(&call, actions.identity().await.map(Json))
}

async fn claim(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Claim>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    answer(&call, actions.receive_claim(&call, &body).await.map(Json))
}

async fn prove(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Prove>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    answer(&call, actions.prove(&call, &body).await.map(Json))
}

async fn abandon(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Abandon>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    let done = actions.receive_abandon(&call, &body).await;
    answer(&call, done.map(|()| Json(serde_json::json!({}))))
}

async fn withdraw(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Withdraw>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    let done = actions.receive_withdrawal(&call, &body).await;
    answer(&call, done.map(|()| Json(serde_json::json!({}))))
}

async fn offboard(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Offboard>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    let done = actions.receive_offboarding(&call, &body).await;
    answer(&call, done.map(|()| Json(serde_json::json!({}))))
}

async fn exchange(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let token = bearer(request.headers());
    let body = match read::<wire::M1>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    answer(&call, actions.receive_m1(&call, &token, &body).await.map(Json))
}

async fn confirm(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let token = bearer(request.headers());
    let body = match read::<wire::M3>(request, wire::BODY_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    answer(&call, actions.receive_m3(&call, &token, &body).await.map(Json))
}

async fn message(State(actions): State<Actions>, request: Request) -> Response {
    let call = call(&actions, request.headers());
    let body = match read::<wire::Envelope>(request, wire::MESSAGE_LIMIT).await {
        Ok(body) => body,
        Err(refusal) => return refused(&call, &refusal),
    };
    match actions.receive_message(&call, &body).await {
        // Whoever cannot be understood is told the time, in case that is why.
        Err(Failure::Refused(refusal)) => {
            let mut body = wire::Refused::new(&refusal, call.trace.to_string());
            body.at = Some(actions.now().timestamp_millis());
            (status(&refusal), Json(body)).into_response()
        }
        sealed => answer(&call, sealed.map(|bytes| ([(header::CONTENT_TYPE, "application/json")], bytes))),
    }
}

/// A peer is nobody until its signature, token or seal says otherwise; that is the action's to check.
fn call(actions: &Actions, headers: &HeaderMap) -> Call {
    let given =
        headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceId::from_traceparent);
    Call::by(Requester::Anonymous, given.unwrap_or_else(|| actions.fresh_trace()))
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(auth::bearer).unwrap_or_default().to_owned()
}

/// Reads a JSON body of at most `limit` bytes: size first, then form.
async fn read<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Refusal> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|it| it.eq_ignore_ascii_case("application/json")) {
        return Err(malformed(CONTENT_TYPE));
    }
    let bytes = to_bytes(request.into_body(), limit).await.map_err(|_| malformed(SIZE))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        tracing::info!(line = error.line(), column = error.column(), "a peer sent a malformed message");
        malformed("FORM")
    })
}

fn malformed(reason: &str) -> Refusal {
    Refusal::new(RefusalCode::InvalidInput, "The message does not have the form that this endpoint takes.")
        .reason(reason)
}

fn answer(call: &Call, outcome: Result<impl axum::response::IntoResponse, Failure>) -> Response {
    match outcome {
        Ok(body) => ([(header::CACHE_CONTROL, "no-store")], body).into_response(),
        Err(Failure::Refused(refusal)) => refused(call, &refusal),
        Err(failure) => {
            tracing::error!(failure = causes(&failure), trace_id = %call.trace, "a peer's request failed here");
            // What does not work here is for the peer's people to know, who would look for it at their own side; not
            // how it does not work.
            let (code, reason, message) = match failure {
                Failure::Keys(_) => (
                    RefusalCode::KeyServiceUnhealthy,
                    "PEER",
                    "The other instance can seal and open nothing now.",
                ),
                Failure::Store(_) => (
                    RefusalCode::PeerUnavailable,
                    "DATABASE",
                    "The other instance's database does not answer.",
                ),
                Failure::Bug(_) | Failure::Refused(_) => {
                    (RefusalCode::PeerUnavailable, "FAULT", "Something went wrong in the other instance.")
                }
            };
            let body = wire::Refused {
                code: code.as_str().to_owned(),
                message: message.to_owned(),
                reason: Some(reason.to_owned()),
                trace_id: Some(call.trace.to_string()),
                at: None,
            };
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

fn refused(call: &Call, refusal: &Refusal) -> Response {
    let status = status(refusal);
    let mut response = (status, Json(wire::Refused::new(refusal, call.trace.to_string()))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6750, 3.
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal.code {
        RefusalCode::InvalidInput => match refusal.reason.as_deref() {
            Some(CONTENT_TYPE) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some(SIZE) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        },
        RefusalCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::NotFound | RefusalCode::NoMatchingRegistration => StatusCode::NOT_FOUND,
        RefusalCode::CredentialsInvalid => StatusCode::UNAUTHORIZED,
        RefusalCode::Conflict => StatusCode::CONFLICT,
        // It passes: whoever reads nothing but the status shall come again.
        RefusalCode::KeyServiceUnhealthy | RefusalCode::PeerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}

//! Requests and answers: methods, status codes, headers.

use std::time::Duration;

use apollo_compiler::executable::OperationType;
use async_graphql::Executor;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::Request as HttpRequest;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::admission::Full;
use super::error::{Body, Code, RequestError};
use super::execute::Call;
use super::negotiate::{self, Accepted, Media};
use super::params::Params;
use super::{Backend, Endpoint, sse, ws};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

/// Answers whatever comes to the endpoint's path.
pub(super) async fn handle<E: Executor, B: Backend>(
    endpoint: Endpoint<E, B>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    if ws::is_upgrade(&parts) {
        return match ws::upgrade(endpoint, parts).await {
            Ok(response) => response,
            Err(refused) => refuse(refused, Media::Json),
        };
    }
    match parts.method {
        Method::GET | Method::HEAD | Method::POST => {}
        // No CORS headers: other origins have no business here, and the list of methods is no secret.
        Method::OPTIONS => return (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response(),
        _ => return not_allowed(METHODS, "Only GET and POST are answered here.", Media::Json),
    }
    let accepted = match negotiate::accept(&parts.headers) {
        Ok(accepted) => accepted,
        Err(refused) => return refuse(refused, Media::Json),
    };
    // Who takes nothing but a stream gets what is no stream with its true status.
    let media = accepted.json.unwrap_or(Media::GraphqlResponse);
    match serve(&endpoint, &parts, body, accepted, media).await {
        Ok(response) => response,
        Err(refused) => refuse(refused, media),
    }
}

async fn serve<E: Executor, B: Backend>(
    endpoint: &Endpoint<E, B>,
    parts: &Parts,
    body: HttpBody,
    accepted: Accepted,
    media: Media,
) -> Result<Response, RequestError> {
    let inner = &endpoint.0;
    negotiate::origin(&parts.headers, &parts.uri, &inner.config.allowed_origins)?;
    let is_post = parts.method == Method::POST;
    if is_post {
        negotiate::content_type(&parts.headers)?;
    }
    let caller = endpoint.caller(parts).await?;
    let params = if is_post { read_body(endpoint, parts, body).await? } else { read_query(endpoint, parts)? };

    let share = inner.admission.share(inner.backend.counted_as(&caller));
    let call = Call { caller: &caller, headers: &parts.headers, share: &share };
    let ready = match endpoint.ready(params, &call) {
        Ok(ready) => ready,
        // An `EventSource` of a browser shows its page nothing of an answer that is no stream, so it gets errors as an
        // event; whoever posts reads the status.
        Err(refused) if !is_post && accepted.prefers_stream => return Ok(sse::refusal(refused)),
        Err(refused) => return Err(refused),
    };
    if !is_post && ready.kind == OperationType::Mutation {
        let allow = HeaderValue::from_static("POST");
        return Ok(not_allowed(allow, "A mutation must be sent with POST.", media));
    }
    let is_subscription = ready.kind == OperationType::Subscription;
    if is_subscription && parts.method == Method::HEAD {
        return Err(RequestError::invalid("A subscription cannot be asked for with HEAD."));
    }
    if accepted.prefers_stream || (is_subscription && accepted.stream) {
        let permit = inner.admission.connection(&share).map_err(too_many)?;
        return Ok(sse::respond(endpoint, caller, ready, permit));
    }
    if is_subscription {
        return Err(RequestError::invalid(
            "A subscription needs a WebSocket, or `Accept: text/event-stream`.",
        ));
    }
    let reply = endpoint.run(ready).await?;
    let mut response = answer(StatusCode::OK, media, &reply.body);
    response.headers_mut().extend(reply.headers);
    Ok(response)
}

async fn read_body<E: Executor, B: Backend>(
    endpoint: &Endpoint<E, B>,
    parts: &Parts,
    body: HttpBody,
) -> Result<Params, RequestError> {
    let config = &endpoint.0.config;
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > config.body_limit as u64) {
        return Err(too_large(config.body_limit));
    }
    // One error type for "over the limit" and "the connection broke"; in the second case nobody reads the answer.
    let reading = to_bytes(body, config.body_limit);
    match timeout(Duration::from_millis(config.body_timeout_ms), reading).await {
        Ok(Ok(bytes)) => Params::from_body(&bytes),
        Ok(Err(_)) => Err(too_large(config.body_limit)),
        Err(_) => Err(RequestError::transport(
            StatusCode::REQUEST_TIMEOUT,
            Code::InvalidInput,
            "The body did not arrive in time.",
        )),
    }
}

fn read_query<E: Executor, B: Backend>(
    endpoint: &Endpoint<E, B>,
    parts: &Parts,
) -> Result<Params, RequestError> {
    let query = parts.uri.query().unwrap_or_default();
    if query.len() > endpoint.0.config.body_limit {
        return Err(too_large(endpoint.0.config.body_limit));
    }
    Params::from_query(query)
}

fn too_large(limit: usize) -> RequestError {
    let message = format!("The request is larger than {limit} bytes.");
    RequestError::transport(StatusCode::PAYLOAD_TOO_LARGE, Code::LimitExceeded, message)
}

/// The answer to a connection that finds no place.
pub(super) fn too_many(full: Full) -> RequestError {
    match full {
        Full::Caller => RequestError::transport(
            StatusCode::TOO_MANY_REQUESTS,
            Code::LimitExceeded,
            "You have too many connections open.",
        ),
        Full::Everybody => RequestError::transport(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            "Too many connections are open.",
        ),
    }
}

fn not_allowed(allow: HeaderValue, message: &'static str, media: Media) -> Response {
    let refused = RequestError::transport(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidInput, message);
    let mut response = refuse(refused, media);
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// The answer to a request that is not executed (GraphQL over HTTP, 6.4).
pub(super) fn refuse(refused: RequestError, media: Media) -> Response {
    let status = if refused.well_formed && media == Media::Json { StatusCode::OK } else { refused.status };
    let mut response = answer(status, media, &Body::from(refused));
    let headers = response.headers_mut();
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn answer(status: StatusCode, media: Media, body: &Body) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else {
        tracing::error!("an answer could not be written as JSON");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = (status, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    private(headers);
    response
}

/// What every answer says: not for caches, not to be guessed at, and that it depends on who asks and how.
pub(super) fn private(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("accept, authorization, cookie, origin"));
}

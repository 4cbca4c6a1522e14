//! What goes out when something is wrong: one shape and a closed set of codes on every transport.

use std::borrow::Cow;

use async_graphql::{ErrorExtensionValues, PathSegment, Pos, Response, ServerError, Value};
use axum::http::StatusCode;
use serde::Serialize;

use super::shape::Shape;

/// The classes of error that `errors[].extensions.code` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Credentials are missing, wrong or no longer good.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// The request is at fault.
    InvalidInput,
    /// The same request may succeed later.
    Unavailable,
    /// We are at fault; the trace id leads to the log.
    Internal,
    /// A limit of the endpoint; the message names it.
    LimitExceeded,
}

impl Code {
    /// The code as it is written in `extensions.code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::InvalidInput => "INVALID_INPUT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
        }
    }

    fn is_ours(code: &str) -> bool {
        [
            Self::Unauthenticated,
            Self::Forbidden,
            Self::InvalidInput,
            Self::Unavailable,
            Self::Internal,
            Self::LimitExceeded,
        ]
        .iter()
        .any(|ours| ours.as_str() == code)
    }
}

/// Why credentials were not accepted. Says nothing more to the outside on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The credentials that were given are not good (any more).
    #[error("The credentials are not valid.")]
    Rejected,
    /// They could not be checked just now.
    #[error("The credentials cannot be checked at the moment.")]
    Unavailable,
}

/// A request that ends before it is executed: its answer has no `data`.
#[derive(Clone, Debug)]
pub(super) struct RequestError {
    pub(super) status: StatusCode,
    /// Whether the request was a well-formed GraphQL request. If it was, an `application/json` answer has status 200
    /// (GraphQL over HTTP, 6.4.1); if not, the status is the same in each media type.
    pub(super) well_formed: bool,
    pub(super) errors: Vec<ServerError>,
}

impl RequestError {
    /// The transport's part is at fault: no GraphQL request came out of it.
    pub(super) fn transport(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, well_formed: false, errors: vec![error(code, message.into(), None)] }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::transport(StatusCode::BAD_REQUEST, Code::InvalidInput, message)
    }

    /// The GraphQL request is at fault: document, operation name or variables.
    pub(super) fn document(errors: Vec<ServerError>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, well_formed: true, errors }
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::document(vec![error(Code::InvalidInput, message.into(), None)])
    }

    pub(super) fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::document(vec![error(Code::LimitExceeded, message.into(), None)])
    }

    pub(super) fn forbidden(message: &'static str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            ..Self::document(vec![error(Code::Forbidden, message.into(), None)])
        }
    }

    /// Not now. The status is the same in each media type, so that proxies and probes see it too.
    pub(super) fn unavailable(message: &'static str, trace_id: &str) -> Self {
        let mut problem = error(Code::Unavailable, message.into(), None);
        set(&mut problem, "traceId", trace_id);
        Self { status: StatusCode::SERVICE_UNAVAILABLE, well_formed: false, errors: vec![problem] }
    }

    pub(super) fn internal(trace_id: &str) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            well_formed: false,
            errors: vec![internal(trace_id, None)],
        }
    }
}

impl From<AuthError> for RequestError {
    fn from(cause: AuthError) -> Self {
        match cause {
            AuthError::Rejected => {
                Self::transport(StatusCode::UNAUTHORIZED, Code::Unauthenticated, cause.to_string())
            }
            AuthError::Unavailable => {
                Self::transport(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, cause.to_string())
            }
        }
    }
}

/// One public error.
pub(super) fn error(code: Code, message: Cow<'static, str>, location: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(message, location);
    set(&mut error, "code", code.as_str());
    error
}

fn set(error: &mut ServerError, key: &str, value: &str) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set(key, value);
}

fn internal(trace_id: &str, origin: Option<&ServerError>) -> ServerError {
    let mut public = error(Code::Internal, "internal error".into(), None);
    if let Some(origin) = origin {
        public.locations.clone_from(&origin.locations);
        public.path.clone_from(&origin.path);
    }
    set(&mut public, "traceId", trace_id);
    public
}

/// The body of an answer; entries that are not there are left out, `errors` first (GraphQL, 7.1).
#[derive(Debug, Serialize)]
pub(super) struct Body {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ServerError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    extensions: std::collections::BTreeMap<String, Value>,
}

impl From<RequestError> for Body {
    fn from(refused: RequestError) -> Self {
        Self { errors: refused.errors, data: None, extensions: std::collections::BTreeMap::new() }
    }
}

/// Makes an execution's result fit to leave: errors without one of our codes become "internal error", the real one
/// goes to the log, and the data gets the shape that the operation promises.
///
/// # Errors
/// When the operation was refused before it ran (a limit that only the schema can compute).
pub(super) fn publish(response: Response, shape: &Shape, trace_id: &str) -> Result<Body, RequestError> {
    let Response { mut data, errors, extensions, .. } = response;
    let errors: Vec<_> = errors.into_iter().map(|error| public(error, trace_id)).collect();
    if data == Value::Null && !errors.is_empty() && errors.iter().all(|error| error.path.is_empty()) {
        return Err(RequestError::document(errors));
    }
    shape.complete(&mut data, &errors);
    Ok(Body { errors, data: Some(data), extensions })
}

fn public(mut origin: ServerError, trace_id: &str) -> ServerError {
    if let Some(Value::String(code)) = origin.extensions.as_ref().and_then(|values| values.get("code"))
        && Code::is_ours(code)
    {
        if code == Code::Internal.as_str() {
            tracing::error!(trace_id, path = %Path(&origin.path), error = %origin.message, "resolver failed");
            return internal(trace_id, Some(&origin));
        }
        return origin;
    }
    if let Some(code) = library_code(&origin) {
        set(&mut origin, "code", code.as_str());
        return origin;
    }
    tracing::error!(trace_id, path = %Path(&origin.path), error = %origin.message, "resolver failed");
    internal(trace_id, Some(&origin))
}

/// The errors that async-graphql itself makes about a request. They carry no type, only a text; a resolver's error
/// made with `?` carries its source and is never taken for one of them.
fn library_code(error: &ServerError) -> Option<Code> {
    if error.source.is_some() {
        return None;
    }
    const LIMITS: [&str; 4] = [
        "Query is too complex.",
        "Query is nested too deep.",
        "The recursion depth of the query",
        "The number of directives on the field",
    ];
    if error.path.is_empty() && LIMITS.iter().any(|start| error.message.starts_with(start)) {
        return Some(Code::LimitExceeded);
    }
    const INPUT: [&str; 3] =
        ["Failed to parse \"", "Expected input type \"", "Invalid value for argument \""];
    INPUT.iter().any(|start| error.message.starts_with(start)).then_some(Code::InvalidInput)
}

struct Path<'a>(&'a [PathSegment]);

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in self.0 {
            match segment {
                PathSegment::Field(name) => write!(f, "/{name}")?,
                PathSegment::Index(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}

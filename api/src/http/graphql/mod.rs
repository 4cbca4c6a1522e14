//! GraphQL over HTTP, over `graphql-transport-ws` and over server-sent events, on one path.
//!
//! The handling is our own because the usual one accepts what it should refuse: documents that overflow the parser's
//! stack or never end, mutations that any web page can trigger, bodies and sockets without a limit. Each request goes
//! the same way whatever it came by: `params` → `document` (bytes, size, validation) → `execute` → `shape` and `error`.
//!
//! Built to: GraphQL over HTTP (GraphQL Foundation, working draft), the protocol document of `graphql-ws`
//! (`graphql-transport-ws`), and that of `graphql-sse` (distinct connections mode).

mod admission;
mod config;
mod document;
mod error;
mod execute;
mod guard;
mod http;
mod introspection;
mod merge;
mod negotiate;
mod params;
mod shape;
mod size;
mod sse;
#[cfg(test)]
mod tests;
mod ws;

use std::future::Future;
use std::sync::Arc;

use async_graphql::{Executor, Request};
use axum::Router;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::any;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use admission::Admission;
use document::Documents;

pub use config::{GraphqlConfig, Introspection, WebsocketConfig};
pub use document::SchemaError;
pub use error::{AuthError, Code};

/// What the transports need of the application.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Who asks; nobody in particular is a caller too.
    type Caller: Clone + Send + Sync + 'static;

    /// Who sends this request or opens this socket, from its headers (and its extensions, for the peer's address).
    ///
    /// # Errors
    /// When credentials were given that are not good, or that cannot be checked.
    fn caller(&self, request: &Parts) -> impl Future<Output = Result<Self::Caller, AuthError>> + Send;

    /// Who talks on a socket after `connection_init`; `upgrade` is who opened it.
    ///
    /// # Errors
    /// As [`Backend::caller`]; the socket is closed with 4403.
    fn caller_from_init(
        &self,
        upgrade: &Self::Caller,
        payload: Option<&Map<String, Value>>,
    ) -> impl Future<Output = Result<Self::Caller, AuthError>> + Send;

    /// Whether a caller with a socket or stream open may still be served. Asked again and again.
    fn still_valid(&self, caller: &Self::Caller) -> impl Future<Output = bool> + Send;

    /// Under which name the caller's operations and connections are counted: a session, a token, an address.
    fn counted_as(&self, caller: &Self::Caller) -> String;

    /// Whether the caller may ask for the schema when that is not for everybody.
    fn introspection_allowed(&self, caller: &Self::Caller) -> bool;

    /// The trace id of one operation, new or taken over from the headers.
    fn trace_id(&self, headers: &HeaderMap) -> String;

    /// Puts in what the resolvers need: the caller, loaders, the trace id.
    fn prepare(&self, request: Request, operation: &Operation<'_, Self::Caller>) -> Request;
}

/// One operation that is about to run.
#[derive(Debug)]
pub struct Operation<'a, C> {
    /// Who asks.
    pub caller: &'a C,
    /// The headers of the request, or of the upgrade for a socket.
    pub headers: &'a HeaderMap,
    /// The operation's trace id, as in its errors and the log.
    pub trace_id: &'a str,
}

/// The GraphQL door over one schema.
#[derive(Clone)]
pub struct Endpoint<E, B>(Arc<Inner<E, B>>);

struct Inner<E, B> {
    executor: E,
    backend: B,
    config: GraphqlConfig,
    documents: Documents,
    admission: Admission,
    shutdown: watch::Receiver<bool>,
}

impl<E: Executor, B: Backend> Endpoint<E, B> {
    /// Makes the door. `executor` is a schema built through [`GraphqlConfig::apply`], `sdl` its description, which
    /// documents are validated against. When `shutdown` turns true, sockets are closed with 1001 and streams end.
    ///
    /// # Errors
    /// When `sdl` is not a valid schema.
    pub fn new(
        executor: E,
        sdl: &str,
        backend: B,
        config: GraphqlConfig,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Self, SchemaError> {
        let documents = Documents::new(sdl, config.document_cache_entries)?;
        let admission = Admission::new(&config);
        Ok(Self(Arc::new(Inner { executor, backend, config, documents, admission, shutdown })))
    }

    /// The routes: `/graphql`, every method.
    pub fn router(self) -> Router {
        Router::new().route(
            "/graphql",
            any(move |request| {
                let endpoint = self.clone();
                async move { http::handle(endpoint, request).await }
            }),
        )
    }
}

impl<E: Executor, B: Backend> Endpoint<E, B> {
    /// Asks who sends a request, for as long as an operation may take.
    async fn caller(&self, parts: &Parts) -> Result<B::Caller, AuthError> {
        self.in_time(self.0.backend.caller(parts)).await
    }

    async fn caller_from_init(
        &self,
        upgrade: &B::Caller,
        payload: Option<&Map<String, Value>>,
    ) -> Result<B::Caller, AuthError> {
        self.in_time(self.0.backend.caller_from_init(upgrade, payload)).await
    }

    /// Asks whether a caller may still be served. No answer is a no.
    async fn still_valid(&self, caller: &B::Caller) -> bool {
        timeout(self.0.config.operation_timeout(), self.0.backend.still_valid(caller)).await.unwrap_or(false)
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<B::Caller, AuthError>>,
    ) -> Result<B::Caller, AuthError> {
        timeout(self.0.config.operation_timeout(), asked).await.unwrap_or(Err(AuthError::Unavailable))
    }
}

/// Becomes ready when the server stops; never, if nobody can stop it any more.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}

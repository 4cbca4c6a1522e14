//! Runs an operation: the same for each transport.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use apollo_compiler::executable::OperationType;
use async_graphql::{Executor, Request, Response, Value, Variables};
use axum::http::HeaderMap;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{Instrument, Span};

use super::admission::Share;
use super::config::Introspection;
use super::error::{Body, RequestError, publish};
use super::params::Params;
use super::shape::Shape;
use super::{Backend, Endpoint, Operation};

/// Who asks, and by which request.
pub(super) struct Call<'a, C> {
    pub(super) caller: &'a C,
    pub(super) headers: &'a HeaderMap,
    pub(super) share: &'a Arc<Share>,
}

/// A checked operation, ready to run.
pub(super) struct Ready {
    pub(super) kind: OperationType,
    /// Whether it asks for the schema.
    introspects: bool,
    request: Request,
    shape: Arc<Shape>,
    trace_id: String,
    share: Arc<Share>,
}

/// A result with the headers that resolvers set.
pub(super) struct Reply {
    pub(super) body: Body,
    pub(super) headers: HeaderMap,
}

impl<E: Executor, B: Backend> Endpoint<E, B> {
    /// Checks all that can be checked without running anything.
    ///
    /// # Errors
    /// When the request cannot be executed.
    pub(super) fn ready(&self, params: Params, call: &Call<'_, B::Caller>) -> Result<Ready, RequestError> {
        let inner = &self.0;
        let document = inner.documents.check(&params.query, &inner.config)?;
        let operation = document.operation(params.operation_name.as_deref())?;
        let introspection = match inner.config.introspection {
            Introspection::On => true,
            Introspection::SignedIn => inner.backend.introspection_allowed(call.caller),
            Introspection::Off => false,
        };
        let introspects = document.introspects(operation);
        if !introspection && introspects {
            return Err(RequestError::forbidden("The schema is not shown to you."));
        }
        inner.documents.check_variables(&document, operation, &params.variables)?;

        let trace_id = inner.backend.trace_id(call.headers);
        let variables = Variables::from_json(serde_json::Value::Object(params.variables));
        let mut request = Request::new(params.query).variables(variables);
        request.operation_name = params.operation_name;
        request.extensions.0 = params
            .extensions
            .into_iter()
            .filter_map(|(key, value)| Some((key, Value::from_json(value).ok()?)))
            .collect();
        if !introspection {
            request = request.disable_introspection();
        }
        let about = Operation { caller: call.caller, headers: call.headers, trace_id: &trace_id };
        let mut request = inner.backend.prepare(request, &about);
        request.set_parsed_query(document.parsed());
        let shape = document.shape(operation);
        let share = Arc::clone(call.share);
        Ok(Ready { kind: operation.operation_type, introspects, request, shape, trace_id, share })
    }

    /// Runs a query or mutation, for as long as the time-out allows. Dropping the future ends it.
    ///
    /// # Errors
    /// When there was no time or room for it, or it was refused before it ran.
    pub(super) async fn run(&self, ready: Ready) -> Result<Reply, RequestError> {
        let (kind, trace_id) = (ready.kind, ready.trace_id.clone());
        let span = tracing::info_span!("graphql", trace_id, kind = kind.name());
        let work = async {
            if ready.introspects { self.clone().run_aside(ready).await } else { self.execute(ready).await }
        };
        match timeout(self.0.config.operation_timeout(), work.instrument(span)).await {
            Ok(Some(done)) => done,
            Ok(None) | Err(_) => {
                tracing::warn!(trace_id, "operation took too long");
                Err(RequestError::unavailable("The operation took too long.", &trace_id))
            }
        }
    }

    /// Runs a query or mutation; `None` when there is no room.
    async fn execute(&self, ready: Ready) -> Option<Result<Reply, RequestError>> {
        let Ready { request, shape, trace_id, share, .. } = ready;
        let permit = self.0.admission.operation(&share).await.ok()?;
        let result = AssertUnwindSafe(self.0.executor.execute(request)).catch_unwind().await;
        drop(permit);
        let Ok(mut response) = result else {
            tracing::error!(trace_id, "operation panicked");
            return Some(Err(RequestError::internal(&trace_id)));
        };
        let headers = std::mem::take(&mut response.http_headers);
        Some(publish(response, &shape, &trace_id).map(|body| Reply { body, headers }))
    }

    /// Runs what asks for the schema, on a thread where it holds up nobody: such an answer is computed in one stretch.
    /// One at a time, so that many of them take one core and not all.
    async fn run_aside(self, ready: Ready) -> Option<Result<Reply, RequestError>> {
        let turn = self.0.admission.introspection().await.ok()?;
        let (runtime, span) = (Handle::current(), Span::current());
        let work = move || {
            // Whoever waits for it ends only the waiting.
            let limit = self.0.config.operation_timeout();
            let done = runtime.block_on(async { timeout(limit, self.execute(ready)).await }.instrument(span));
            drop(turn);
            done.ok().flatten()
        };
        spawn_blocking(work).await.ok().flatten()
    }

    /// Runs a query or mutation in a task of its own, so that it does not stand still, with its permit, while whoever
    /// waits for it is busy with a client that does not read. Dropping the future ends it all the same.
    async fn run_apart(self, ready: Ready) -> Result<Body, RequestError> {
        let trace_id = ready.trace_id.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { self.run(ready).await.map(|reply| reply.body) });
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(RequestError::internal(&trace_id)),
        }
    }

    /// Runs any operation as a stream of results: one for a query or mutation. Nothing follows an error.
    pub(super) fn results(&self, ready: Ready) -> BoxStream<'static, Result<Body, RequestError>> {
        let endpoint = self.clone();
        if ready.kind != OperationType::Subscription {
            return stream::once(async move { endpoint.run_apart(ready).await }).boxed();
        }
        let Ready { request, shape, trace_id, .. } = ready;
        let responses = AssertUnwindSafe(endpoint.0.executor.execute_stream(request, None)).catch_unwind();
        responses
            .enumerate()
            .map(move |(place, response)| match response {
                Ok(response) => publish_event(response, place == 0, &shape, &trace_id),
                Err(_panic) => {
                    tracing::error!(trace_id, "subscription panicked");
                    Err(RequestError::internal(&trace_id))
                }
            })
            .boxed()
    }
}

/// A subscription whose source could not be made answers once, without data: that is a request error
/// (GraphQL, 6.2.3.1), not an event.
fn publish_event(
    mut response: Response,
    first: bool,
    shape: &Shape,
    trace_id: &str,
) -> Result<Body, RequestError> {
    let failed = first && response.data == Value::Null && !response.errors.is_empty();
    if failed {
        response.errors.iter_mut().for_each(|error| error.path.clear());
    }
    publish(response, shape, trace_id)
}

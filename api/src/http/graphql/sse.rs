//! Results as server-sent events: the *distinct connections mode* of the protocol of `graphql-sse`.

use std::convert::Infallible;
use std::time::Duration;

use async_graphql::Executor;
use axum::body::Body as HttpBody;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::admission::Permit;
use super::error::{AuthError, Body, RequestError};
use super::execute::Ready;
use super::http::private;
use super::{Backend, Endpoint, stopped};

const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// The empty `data` is for `EventSource`, which keeps events without data to itself.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata: \n\n");

/// Starts the stream of an operation's results. It ends with the operation, with the caller's rights, or with us;
/// dropping it (the client went away) ends the operation.
pub(super) fn respond<E: Executor, B: Backend>(
    endpoint: &Endpoint<E, B>,
    caller: B::Caller,
    ready: Ready,
    permit: Permit,
) -> Response {
    let config = &endpoint.0.config;
    let stream = EventStream {
        results: endpoint.results(ready),
        keepalive: every(config.sse_keepalive_ms),
        reauthorise: every(config.reauthorise_ms),
        shutdown: endpoint.0.shutdown.clone(),
        endpoint: endpoint.clone(),
        caller,
        phase: Phase::Opening,
        _permit: permit,
    };
    event_stream(stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok(chunk), stream))
    }))
}

/// The errors of a request that is not executed, as the only event of a stream.
pub(super) fn refusal(refused: RequestError) -> Response {
    event_stream(stream::iter([Ok(next(&refused.into())), Ok(COMPLETE)]))
}

fn event_stream(chunks: impl stream::Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = HttpBody::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    private(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // Proxies of the nginx kind hold a stream back until their buffer is full, unless told not to.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct EventStream<E, B: Backend> {
    results: BoxStream<'static, Result<Body, RequestError>>,
    keepalive: Interval,
    reauthorise: Interval,
    shutdown: watch::Receiver<bool>,
    endpoint: Endpoint<E, B>,
    caller: B::Caller,
    phase: Phase,
    _permit: Permit,
}

enum Phase {
    /// A comment goes out at once, so that the client and the proxies on the way know that the stream is open.
    Opening,
    Running,
    /// Only `complete` is left to send.
    Closing,
    Closed,
}

impl<E: Executor, B: Backend> EventStream<E, B> {
    async fn next(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Opening => {
                self.phase = Phase::Running;
                return Some(COMMENT);
            }
            Phase::Running => {}
            Phase::Closing => {
                self.phase = Phase::Closed;
                return Some(COMPLETE);
            }
            Phase::Closed => return None,
        }
        loop {
            tokio::select! {
                result = self.results.next() => {
                    // Whoever was shut out a moment ago is told nothing more.
                    return Some(if self.is_valid().await { self.result(result) } else { self.refusal() });
                }
                _ = self.keepalive.tick() => return Some(COMMENT),
                _ = self.reauthorise.tick() => {
                    if !self.is_valid().await {
                        return Some(self.refusal());
                    }
                }
                // No `complete`: the operation is not over, the client shall come back for the rest.
                () = stopped(&mut self.shutdown) => return None,
            }
        }
    }

    async fn is_valid(&mut self) -> bool {
        self.endpoint.still_valid(&self.caller).await
    }

    fn refusal(&mut self) -> Bytes {
        self.phase = Phase::Closing;
        next(&RequestError::from(AuthError::Rejected).into())
    }

    fn result(&mut self, result: Option<Result<Body, RequestError>>) -> Bytes {
        match result {
            Some(Ok(body)) => next(&body),
            Some(Err(refused)) => {
                self.phase = Phase::Closing;
                next(&refused.into())
            }
            None => {
                self.phase = Phase::Closed;
                COMPLETE
            }
        }
    }
}

/// One `next` event. JSON as it is written here has no line breaks, so it is one `data` line.
fn next(body: &Body) -> Bytes {
    let mut event = b"event: next\ndata: ".to_vec();
    if serde_json::to_writer(&mut event, body).is_err() {
        tracing::error!("an event could not be written as JSON");
        return COMMENT;
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// Ticks after each pause, first after one pause.
pub(super) fn every(pause_ms: u64) -> Interval {
    let pause = Duration::from_millis(pause_ms.max(1));
    let mut interval = interval_at(Instant::now() + pause, pause);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

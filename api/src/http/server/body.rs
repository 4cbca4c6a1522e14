//! Bodies that know about time, and the count of requests in progress.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// The requests in progress on one connection, from their headers to their response's last byte.
#[derive(Clone)]
pub(super) struct InProgress(Arc<watch::Sender<usize>>);

/// Counts as one request in progress until dropped.
pub(super) struct Ticket(InProgress);

impl InProgress {
    pub(super) fn new() -> (Self, watch::Receiver<usize>) {
        let (sender, receiver) = watch::channel(0);
        (Self(Arc::new(sender)), receiver)
    }

    pub(super) fn enter(&self) -> Ticket {
        self.0.send_modify(|now| *now += 1);
        Ticket(self.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| *now = now.saturating_sub(1));
    }
}

/// The client stopped sending its request body.
#[derive(Debug, thiserror::Error)]
#[error("the request body stopped arriving")]
pub(super) struct BodyStalled;

/// A request body that fails when nothing arrives for a while. Time during which nobody asks for more, because the
/// handler is busy, does not count.
pub(super) struct RequestBody {
    body: Incoming,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self { body, idle, waiting: None, is_waiting: false }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let timer = this.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !this.is_waiting {
            // One allocation for the whole body, moved forward at each pause.
            timer.as_mut().set(sleep(idle));
            this.is_waiting = true;
        }
        timer.as_mut().poll(cx).map(|()| Some(Err(BodyStalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body that keeps its request in progress.
pub(super) struct ResponseBody {
    body: axum::body::Body,
    _ticket: Ticket,
}

impl ResponseBody {
    pub(super) fn new(body: axum::body::Body, ticket: Ticket) -> Self {
        Self { body, _ticket: ticket }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

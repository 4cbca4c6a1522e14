//! Bodies that know about time, and the count of requests in progress.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

use super::config::BodyLimits;

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

/// The client stopped sending its request body, or sends it too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the request body did not arrive in time")]
pub(super) struct BodyLate;

/// Whether a request's body was given up on, whatever its handler made of that.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<AtomicBool>);

impl Late {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request body that fails when nothing arrives for a while, or too little for long. Time during which nobody asks for
/// more, because the handler is busy, does not count.
pub(super) struct RequestBody {
    body: Incoming,
    limits: BodyLimits,
    late: Late,
    received: u64,
    /// How long was waited, without the pause that is now.
    waited: Duration,
    /// Since when nothing arrives.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, limits: BodyLimits, late: Late) -> Self {
        Self { body, limits, late, received: 0, waited: Duration::ZERO, since: None, timer: None }
    }

    /// How long the next pause may be.
    fn patience(&self) -> Duration {
        let BodyLimits { idle, whole, bytes_per_second } = self.limits;
        let earned = Duration::from_millis(self.received.saturating_mul(1_000) / u64::from(bytes_per_second));
        whole.saturating_add(earned).saturating_sub(self.waited).min(idle)
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
            this.waited += this.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.received += data.map_or(0, |data| data.len() as u64);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = this.patience();
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        if this.since.is_none() {
            // One allocation for the whole body, moved forward at each pause.
            timer.as_mut().set(sleep(patience));
            this.since = Some(Instant::now());
        }
        timer.as_mut().poll(cx).map(|()| {
            this.late.0.store(true, Ordering::Relaxed);
            Some(Err(BodyLate.into()))
        })
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

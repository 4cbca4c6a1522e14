//! What can fail about one instance while it runs: the line to it, what it answers, its clock, its key service.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use keyservice::{Entropy, Error, SystemEntropy};
use linkspan::store::Store;
use linkspan::world::{Clock, ManualClock};

use super::proxy::Proxy;

/// What becomes of a message that reaches the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answer {
    /// As it should be.
    Right,
    /// The message is taken, and the answer lost.
    Lost,
    /// The connection breaks before the message is read.
    Broken,
    /// Status 500, in plain words.
    Status500,
    /// Status 404, as another web server would.
    Status404,
    /// A page instead of an answer.
    Page,
    /// JSON that is no answer.
    OtherJson,
    /// More than anybody would read.
    TooLong,
    /// A refusal because of too many requests.
    RateLimited,
}

impl Answer {
    const ALL: [Self; 9] = [
        Self::Right,
        Self::Lost,
        Self::Broken,
        Self::Status500,
        Self::Status404,
        Self::Page,
        Self::OtherJson,
        Self::TooLong,
        Self::RateLimited,
    ];
}

/// The switches of one instance.
pub(crate) struct Outage {
    /// The line of others to it.
    pub(crate) line: Proxy,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) skew_ms: AtomicI64,
    /// Whether its key service has no entropy, without which it seals nothing.
    pub(crate) keys_stopped: AtomicBool,
    answer: AtomicU8,
    database: Mutex<Option<Store>>,
}

impl Outage {
    pub(crate) fn over(line: Proxy) -> Arc<Self> {
        Arc::new(Self {
            line,
            skew_ms: AtomicI64::new(0),
            keys_stopped: AtomicBool::new(false),
            answer: AtomicU8::new(0),
            database: Mutex::new(None),
        })
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.answer.store(answer as u8, Ordering::SeqCst);
    }

    pub(super) fn watches(&self, store: Store) {
        *self.database.lock().unwrap() = Some(store);
    }

    /// Stops the instance's database; it comes back when the instance is started again.
    pub(crate) async fn stop_database(&self) {
        let store = self.database.lock().unwrap().clone();
        store.unwrap().close().await.unwrap();
    }

    pub(super) fn round(self: &Arc<Self>, router: axum::Router) -> axum::Router {
        router.layer(from_fn_with_state(self.clone(), pass))
    }
}

async fn pass(State(outage): State<Arc<Outage>>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/link/v1/message" {
        return next.run(request).await;
    }
    let json = |body: &'static str| ([("content-type", "application/json")], body);
    match Answer::ALL[usize::from(outage.answer.load(Ordering::SeqCst))] {
        Answer::Right => next.run(request).await,
        Answer::Lost => {
            let _ = next.run(request).await;
            std::panic::resume_unwind(Box::new("the answer is lost by the test"))
        }
        Answer::Broken => std::panic::resume_unwind(Box::new("the connection is broken by the test")),
        Answer::Status500 => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "oh no").into_response(),
        Answer::Status404 => (axum::http::StatusCode::NOT_FOUND, "not here").into_response(),
        Answer::Page => ([("content-type", "text/html")], "<h1>Under construction</h1>").into_response(),
        Answer::OtherJson => json("{\"hello\":1}").into_response(),
        Answer::TooLong => Response::new(Body::from("x".repeat(4 * 1024 * 1024))),
        Answer::RateLimited => (
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            json("{\"code\":\"RATE_LIMITED\",\"message\":\"Too many requests.\"}"),
        )
            .into_response(),
    }
}

/// The clock of an instance whose clock may be wrong.
pub(super) struct Skewed(pub(super) Arc<ManualClock>, pub(super) Arc<Outage>);

impl Clock for Skewed {
    fn now_ms(&self) -> i64 {
        self.0.now_ms() + self.1.skew_ms.load(Ordering::SeqCst)
    }

    fn moved(&self) -> Option<tokio::sync::watch::Receiver<i64>> {
        self.0.moved()
    }
}

/// The most bytes that an id or a trace takes; what the key service draws for a seal is longer.
const ID_LENGTH: usize = 16;

/// Entropy that can run dry for the key service.
pub(super) struct Dry(pub(super) Arc<Outage>);

impl Entropy for Dry {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        let dry = self.0.keys_stopped.load(Ordering::SeqCst) && out.len() > ID_LENGTH;
        if dry { Err(Error::Entropy) } else { SystemEntropy.fill(out) }
    }
}

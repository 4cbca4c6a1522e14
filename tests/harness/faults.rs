//! Breaks things on purpose: an instance dies at a commit; a message between instances is lost, repeated or late.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures_util::FutureExt as _;
use linkspan::world::{Clock as _, Interruption, ManualClock};

use super::Pair;

/// The longest body that is kept to be sent again.
const BODY: usize = 4 * 1024 * 1024;

/// One commit of a run: its label, how often that label had come before, and the moment before or after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Commit {
    pub(crate) label: &'static str,
    pub(crate) nth: usize,
    pub(crate) committed: bool,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.committed { "after" } else { "before" };
        write!(f, "{when} commit {} of {}", self.nth + 1, self.label)
    }
}

/// Records the commits of an instance, and lets it die at one of them. From then on it commits nothing any more.
#[derive(Default)]
pub(crate) struct Commits(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    commits: Vec<Commit>,
    dies_at: Option<Commit>,
    dead: bool,
}

impl Commits {
    pub(crate) fn dying_at(point: Option<Commit>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Seen { dies_at: point, ..Seen::default() })))
    }

    pub(crate) fn dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    pub(crate) fn seen(&self) -> Vec<Commit> {
        self.0.lock().unwrap().commits.clone()
    }
}

impl Interruption for Commits {
    fn dies(&self, label: &'static str, committed: bool) -> bool {
        let mut seen = self.0.lock().unwrap();
        let before = |commit: &&Commit| commit.label == label && commit.committed == committed;
        let commit = Commit { label, nth: seen.commits.iter().filter(before).count(), committed };
        seen.dead = seen.dead || seen.dies_at.as_ref() == Some(&commit);
        seen.commits.push(commit);
        let dead = seen.dead;
        drop(seen);
        if dead {
            die();
        }
        false
    }
}

/// Whoever was at work is gone in mid-sentence: nobody hears an error, and nothing is tidied up.
fn die() -> ! {
    std::panic::resume_unwind(Box::new("killed by the test"))
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It does not arrive.
    RequestLost,
    /// It arrives and has its effect; the answer does not arrive.
    AnswerLost,
    /// It arrives twice; the second answer is the one that counts.
    Twice,
    /// It arrives seven seconds later.
    Late,
    /// It arrives, and once more after the next message.
    AgainAfterTheNext,
    /// It arrives, and once more when everything is over.
    AgainAtTheEnd,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::RequestLost,
        Self::AnswerLost,
        Self::Twice,
        Self::Late,
        Self::AgainAfterTheNext,
        Self::AgainAtTheEnd,
    ];
}

/// The n-th message to one path of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) path: String,
    pub(crate) nth: usize,
}

/// The wire in front of an instance: records the messages from the other one, and breaks one of them.
pub(crate) struct Wire {
    clock: Arc<ManualClock>,
    state: Mutex<OnWire>,
}

#[derive(Default)]
struct OnWire {
    messages: Vec<Message>,
    breaks: Option<(Message, Fault)>,
    broke: bool,
    kept: Option<(Next, Parts, Bytes)>,
    answers: BTreeMap<String, (u16, String)>,
}

impl Wire {
    pub(crate) fn breaking(clock: &Arc<ManualClock>, fault: Option<(Message, Fault)>) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            state: Mutex::new(OnWire { breaks: fault, ..OnWire::default() }),
        })
    }

    pub(crate) fn seen(&self) -> Vec<Message> {
        self.state.lock().unwrap().messages.clone()
    }

    /// Answers what is asked of one path in the place of the instance.
    pub(crate) fn answer(&self, path: &str, status: u16, body: String) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), (status, body));
    }

    /// Lets the instance answer for itself again.
    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().answers.clear();
    }

    /// Whether the message that was to be broken came.
    pub(crate) fn broke(&self) -> bool {
        self.state.lock().unwrap().broke
    }

    pub(crate) fn round(self: &Arc<Self>, router: axum::Router) -> axum::Router {
        router.layer(from_fn_with_state(self.clone(), carry))
    }

    /// Delivers the message that was kept, once more.
    pub(crate) async fn deliver_again(&self) {
        let kept = self.state.lock().unwrap().kept.take();
        if let Some((next, parts, body)) = kept {
            let _ = next.run(Request::from_parts(parts, Body::from(body))).await;
        }
    }

    /// Notes a message, and answers what is to happen to it, and whether a kept one is to follow it.
    fn note(&self, path: &str) -> (Option<Fault>, bool) {
        let mut state = self.state.lock().unwrap();
        let nth = state.messages.iter().filter(|message| message.path == path).count();
        let message = Message { path: path.to_owned(), nth };
        let fault = state.breaks.as_ref().filter(|(broken, _)| *broken == message).map(|(_, fault)| *fault);
        let follows = state.broke && matches!(state.breaks, Some((_, Fault::AgainAfterTheNext)));
        state.broke |= fault.is_some();
        state.messages.push(message);
        (fault, follows)
    }
}

/// Whether a path is one that instances use among themselves.
fn is_message(path: &str) -> bool {
    path.starts_with("/link/v1/")
        || path.starts_with("/.well-known/")
        || matches!(path, "/oauth/par" | "/oauth/token")
}

async fn carry(State(wire): State<Arc<Wire>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if !is_message(&path) {
        return next.run(request).await;
    }
    let answer = wire.state.lock().unwrap().answers.get(&path).cloned();
    if let Some((status, body)) = answer {
        let answer = Response::builder().status(status).header("content-type", "application/json");
        return answer.body(Body::from(body)).unwrap();
    }
    let (fault, follows) = wire.note(&path);
    let Some(fault) = fault else {
        let answer = next.run(request).await;
        if follows {
            wire.deliver_again().await;
        }
        return answer;
    };
    if fault == Fault::RequestLost {
        die();
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY).await.unwrap();
    let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    if fault == Fault::Late {
        wire.clock.advance(7_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = next.clone().run(again()).await;
    match fault {
        Fault::AnswerLost => die(),
        Fault::Twice => next.run(again()).await,
        Fault::AgainAfterTheNext | Fault::AgainAtTheEnd => {
            wire.state.lock().unwrap().kept = Some((next, parts, body));
            answer
        }
        Fault::RequestLost | Fault::Late => answer,
    }
}

/// Waits until neither instance has anything to do now, or one of them is broken off.
pub(crate) async fn rest(pair: &Pair, broken: impl Fn() -> bool) {
    let mut quiet = 0;
    for _ in 0..4_000 {
        if broken() {
            return;
        }
        let due = [pair.provider.next_due_ms().await, pair.consumer.next_due_ms().await];
        let now = pair.clock.now_ms();
        match due.into_iter().flatten().min() {
            _ if pair.provider.busy() + pair.consumer.busy() > 0 => quiet = 0,
            Some(at) if at <= now => quiet = 0,
            Some(at) if at - now <= 2_000 => {
                pair.clock.advance(at - now);
                quiet = 0;
            }
            _ => quiet += 1,
        }
        if quiet > 4 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the instances do not come to rest");
}

/// What a person does at a browser whose instance may be gone: either it works, or they will try again.
pub(crate) async fn perhaps<T>(step: impl Future<Output = T>) -> Option<T> {
    std::panic::AssertUnwindSafe(step).catch_unwind().await.ok()
}

//! One socket: a single task that reads, runs the operations and writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Executor, ServerError};
use axum::extract::ws::{Message, WebSocket};
use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, AbortHandle, Abortable, BoxStream, SelectAll};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, timeout};

use super::super::admission::{Permit, Share};
use super::super::config::WebsocketConfig;
use super::super::error::{AuthError, Body, RequestError};
use super::super::execute::Call;
use super::super::params::Params;
use super::super::sse::every;
use super::super::{Backend, Endpoint, stopped};
use super::message::{Incoming, Outgoing, invalid};
use super::rate::Rate;
use super::{Close, close};

/// Pings that a client may leave unanswered.
const SILENT_PINGS: u32 = 3;

pub(super) struct Connection<E, B: Backend> {
    endpoint: Endpoint<E, B>,
    caller: B::Caller,
    headers: HeaderMap,
    share: Arc<Share>,
    permit: Permit,
    acknowledged: bool,
    /// The operations by the client's id for them.
    active: HashMap<Arc<str>, Active>,
    events: SelectAll<BoxStream<'static, Event>>,
    /// Tells an operation from an earlier one of the same id.
    serial: u64,
    rate: Rate,
    last_heard: Instant,
}

struct Active {
    serial: u64,
    abort: AbortHandle,
}

struct Event {
    id: Arc<str>,
    serial: u64,
    what: What,
}

enum What {
    Next(Body),
    Failed(Vec<ServerError>),
    Completed,
}

/// Why a socket ends.
enum End {
    /// We close it.
    Close(Close),
    /// The other side is gone, or does not read.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

impl<E: Executor, B: Backend> Connection<E, B> {
    pub(super) fn new(
        endpoint: Endpoint<E, B>,
        caller: B::Caller,
        headers: HeaderMap,
        share: Arc<Share>,
        permit: Permit,
    ) -> Self {
        let now = Instant::now();
        let WebsocketConfig { message_burst, messages_per_second, .. } = endpoint.0.config.websocket;
        Self {
            endpoint,
            caller,
            headers,
            share,
            permit,
            acknowledged: false,
            active: HashMap::new(),
            events: SelectAll::new(),
            serial: 0,
            rate: Rate::new(message_burst, messages_per_second, now),
            last_heard: now,
        }
    }

    /// Serves the socket until one side ends it. All operations end with it.
    pub(super) async fn serve(mut self, mut socket: WebSocket) {
        if let Err(End::Close(reason)) = self.converse(&mut socket).await {
            self.events.clear();
            close(&mut socket, reason).await;
        }
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let config = &self.endpoint.0.config;
        let init_timeout = Duration::from_millis(config.websocket.init_timeout_ms);
        let init_deadline = tokio::time::sleep(init_timeout);
        tokio::pin!(init_deadline);
        let mut keepalive = every(config.websocket.keepalive_ms);
        let mut reauthorise = every(config.reauthorise_ms);
        let mut shutdown: watch::Receiver<bool> = self.endpoint.0.shutdown.clone();
        loop {
            tokio::select! {
                message = socket.recv() => self.hear(message, socket).await?,
                Some(event) = self.events.next(), if !self.events.is_empty() => {
                    // Whoever was shut out a moment ago is told nothing more.
                    self.require_valid().await?;
                    self.report(event, socket).await?;
                }
                () = &mut init_deadline, if !self.acknowledged => {
                    return Err(Close::new(4408, "Connection initialisation timeout").into());
                }
                _ = keepalive.tick() => self.check_alive(&keepalive, socket).await?,
                _ = reauthorise.tick() => self.require_valid().await?,
                () = stopped(&mut shutdown) => return Err(Close::new(1001, "Going away").into()),
            }
        }
    }

    async fn require_valid(&mut self) -> Result<(), Close> {
        if self.endpoint.still_valid(&self.caller).await {
            return Ok(());
        }
        Err(Close::new(4403, "Forbidden"))
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
        socket: &mut WebSocket,
    ) -> Result<(), End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(problem)) => return Err(unreadable(&problem)),
            None => return Err(End::Gone),
        };
        self.last_heard = Instant::now();
        if !self.rate.allows(self.last_heard) {
            return Err(Close::new(4429, "Too many messages").into());
        }
        match message {
            Message::Text(text) => self.obey(Incoming::parse(&text)?, socket).await,
            Message::Binary(_) => Err(invalid("only text frames are read").into()),
            // A ping is answered by the library; a close is answered by it too, and the next read ends.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        }
    }

    async fn obey(&mut self, message: Incoming, socket: &mut WebSocket) -> Result<(), End> {
        match message {
            Incoming::Init(_) if self.acknowledged => {
                Err(Close::new(4429, "Too many initialisation requests").into())
            }
            Incoming::Init(payload) => {
                self.initialise(payload).await?;
                self.send(&Outgoing::ConnectionAck, socket).await
            }
            Incoming::Ping(payload) => self.send(&Outgoing::Pong { payload }, socket).await,
            Incoming::Pong => Ok(()),
            Incoming::Subscribe { .. } if !self.acknowledged => Err(Close::new(4401, "Unauthorized").into()),
            Incoming::Subscribe { id, params } => {
                self.subscribe(id.into(), params)?;
                Ok(())
            }
            // An id that is not known has just ended by itself: the two messages met on the way.
            Incoming::Complete { id } => {
                if let Some(active) = self.active.remove(id.as_str()) {
                    active.abort.abort();
                }
                Ok(())
            }
        }
    }

    async fn initialise(&mut self, payload: Option<Map<String, Value>>) -> Result<(), Close> {
        let caller = match self.endpoint.caller_from_init(&self.caller, payload.as_ref()).await {
            Ok(caller) => caller,
            Err(AuthError::Rejected) => return Err(Close::new(4403, "Forbidden")),
            Err(AuthError::Unavailable) => return Err(Close::new(1013, "Try again later")),
        };
        let inner = &self.endpoint.0;
        let share = inner.admission.share(inner.backend.counted_as(&caller));
        if !Arc::ptr_eq(&share, &self.share) {
            self.permit =
                inner.admission.connection(&share).map_err(|_| Close::new(1013, "Too many connections"))?;
            self.share = share;
        }
        self.caller = caller;
        self.acknowledged = true;
        Ok(())
    }

    fn subscribe(&mut self, id: Arc<str>, params: Params) -> Result<(), Close> {
        if self.active.contains_key(&id) {
            let shown = if id.len() <= 64 { &*id } else { "this id" };
            return Err(Close::new(4409, format!("Subscriber for {shown} already exists")));
        }
        self.serial += 1;
        let serial = self.serial;
        let most = self.endpoint.0.config.websocket.max_subscriptions;
        let results = if self.active.len() >= most {
            Err(RequestError::limit(format!("A socket can have {most} operations at one time.")))
        } else {
            let call = Call { caller: &self.caller, headers: &self.headers, share: &self.share };
            self.endpoint.ready(params, &call).map(|ready| self.endpoint.results(ready))
        };
        let results = results.unwrap_or_else(|refused| stream::iter([Err(refused)]).boxed());
        let named = Arc::clone(&id);
        let events = results
            .map(|result| result.map_or_else(|refused| What::Failed(refused.errors), What::Next))
            .chain(stream::iter([What::Completed]))
            .map(move |what| Event { id: Arc::clone(&named), serial, what });
        let (abort, registration) = AbortHandle::new_pair();
        self.events.push(Abortable::new(events, registration).boxed());
        self.active.insert(id, Active { serial, abort });
        Ok(())
    }

    async fn report(&mut self, event: Event, socket: &mut WebSocket) -> Result<(), End> {
        let Event { id, serial, what } = event;
        if self.active.get(&id).is_none_or(|active| active.serial != serial) {
            return Ok(());
        }
        if !matches!(what, What::Next(_))
            && let Some(active) = self.active.remove(&id)
        {
            active.abort.abort();
        }
        let message = match what {
            What::Next(payload) => Outgoing::Next { id: &id, payload },
            What::Failed(payload) => Outgoing::Error { id: &id, payload },
            What::Completed => Outgoing::Complete { id: &id },
        };
        self.send(&message, socket).await
    }

    async fn send(&mut self, message: &Outgoing<'_>, socket: &mut WebSocket) -> Result<(), End> {
        let text = serde_json::to_string(message).map_err(|_| Close::new(1011, "Internal error"))?;
        self.send_frame(Message::Text(text.into()), socket).await
    }

    /// While a frame waits to leave nothing is read and no operation goes on, so a slow reader costs one message.
    async fn send_frame(&mut self, frame: Message, socket: &mut WebSocket) -> Result<(), End> {
        let patience = Duration::from_millis(self.endpoint.0.config.websocket.send_timeout_ms);
        match timeout(patience, socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn check_alive(&mut self, keepalive: &Interval, socket: &mut WebSocket) -> Result<(), End> {
        if self.last_heard.elapsed() > keepalive.period() * SILENT_PINGS {
            return Err(End::Gone);
        }
        self.send_frame(Message::Ping(Bytes::new()), socket).await
    }
}

/// What the library could not read, by the status codes of RFC 6455, 7.4.1. Its error types are those of a crate that we
/// do not depend on ourselves, so the text decides.
fn unreadable(problem: &axum::Error) -> End {
    let text = problem.to_string();
    let close = if text.starts_with("Space limit exceeded") {
        Close::new(1009, "Message too big")
    } else if text.starts_with("UTF-8 encoding error") {
        Close::new(1007, "Not UTF-8")
    } else if text.starts_with("WebSocket protocol error") {
        Close::new(1002, "Protocol error")
    } else {
        return End::Gone;
    };
    End::Close(close)
}

//! The one HTTP client for URLs that others gave us: scans, claims, peers.
//!
//! A URL from somebody else must not become a way into our own network. The guard is the connector: it resolves the
//! name, refuses unless *every* address is public (or in a network the operator allowed), and dials an address it
//! has just judged. Above it nothing follows redirects, reads proxy settings or decompresses, bodies and times are
//! bounded, and a failure says at which step it happened.
//!
//! It speaks HTTP/1.1: what an instance says to each of many peers is one small request now and then, and a connection
//! over HTTP/2, which serves to carry many at once, takes several times the memory while it carries none.
//!
//! It is built on hyper-util's client rather than on a larger one, because only a connector of our own can check IP
//! literals as well as names and tell a DNS, TCP, TLS or HTTP failure (or time-out) apart.

mod certificate;
mod config;
mod dialer;
mod error;
mod guard;
mod resolver;
mod response;
#[cfg(test)]
pub(crate) mod test_authority;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    collections::HashMap,
    error::Error as _,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request,
    header::{self, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

pub use self::{
    certificate::{TlsFacts, TlsVersion},
    config::{AllowedPorts, EveryPort, OutboundConfig},
    error::{HttpProblem, OutboundError, Refusal, Stage, Step, TlsProblem, Verdict},
    resolver::{Resolver, SystemResolver},
    response::Response,
    tls::OutboundConfigError,
};
use self::{dialer::Dialer, guard::Guard, response::Whole};
use crate::domain::origin::Origin;

/// The types of HTTP that requests and responses are made of.
pub mod http {
    pub use hyper::http::HeaderName;
    pub use hyper::{HeaderMap, StatusCode, header, header::HeaderValue};
}

/// How long an unused connection is kept for the next request, one for each target; shorter than what servers usually
/// keep.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The most bytes of response headers.
const HEADER_LIMIT: usize = 16 * 1024;
/// From how many targets on the list of turns is swept of those that nobody waits for.
const SWEEP_FROM: usize = 256;

/// The client for URLs that others gave us. Clones share connections and turns.
#[derive(Clone)]
pub struct Outbound {
    client: Client<Dialer, Whole>,
    dialer: Dialer,
    config: Arc<OutboundConfig>,
    turns: Arc<Mutex<HashMap<Origin, Weak<Semaphore>>>>,
}

fn client(dialer: &Dialer, idle: usize) -> Client<Dialer, Whole> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(HEADER_LIMIT)
        .build(dialer.clone())
}

impl Outbound {
    /// Sets the client up, reading the trusted authorities from the system and from files.
    ///
    /// # Errors
    ///
    /// [`OutboundConfigError`] when a file cannot be used, nothing is trusted or a number is out of range.
    pub fn new(config: OutboundConfig) -> Result<Self, OutboundConfigError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// Like [`Self::new`], with a resolver of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_resolver(
        config: OutboundConfig,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, OutboundConfigError> {
        for (field, is_zero) in [
            ("connect_timeout_ms", config.connect_timeout_ms == 0),
            ("total_timeout_ms", config.total_timeout_ms == 0),
            ("body_limit", config.body_limit == 0),
            ("per_target_concurrency", config.per_target_concurrency == 0),
        ] {
            if is_zero {
                return Err(OutboundConfigError::Zero { field });
            }
        }
        let dialer = Dialer {
            guard: Guard::new(config.allow_networks.clone()),
            policy: Arc::new(config.origin_policy()),
            resolver,
            tls: Arc::new(tls::client_config(&config)?),
            step_timeout: config.connect_timeout(),
        };
        let client = client(&dialer, 1);
        Ok(Self { client, dialer, config: Arc::new(config), turns: Arc::default() })
    }

    /// The same client, which makes a connection for each request: for asking whether something can be reached at all, of
    /// which a connection that was made before tells nothing.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self { client: client(&self.dialer, 0), ..self.clone() }
    }

    /// The same client with turns of its own: for what must not wait behind other requests to the same target.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { turns: Arc::default(), ..self.clone() }
    }

    /// The same client with at most so much time for each request. Connections and turns are shared.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        let most = limit.min(self.config.total_timeout());
        let total_timeout_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        let config = OutboundConfig { total_timeout_ms, ..(*self.config).clone() };
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// What this client accepts as the address of another instance.
    #[must_use]
    pub fn config(&self) -> &OutboundConfig {
        &self.config
    }

    /// Sends `GET path` to `origin` and reads the whole response.
    ///
    /// # Errors
    ///
    /// [`OutboundError`] when no response within the limits came back; any status is a response.
    pub async fn get(
        &self,
        origin: &Origin,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, OutboundError> {
        self.send(Method::GET, origin, path, headers, Bytes::new(), self.config.body_limit).await
    }

    /// Sends `POST path` with a JSON body to `origin` and reads the whole response.
    ///
    /// # Errors
    ///
    /// As [`Self::get`]; refused when `body` cannot be written as JSON.
    pub async fn post_json<T: Serialize + Sync + ?Sized>(
        &self,
        origin: &Origin,
        path: &str,
        headers: HeaderMap,
        body: &T,
    ) -> Result<Response, OutboundError> {
        self.post_json_within(origin, path, headers, body, self.config.body_limit).await
    }

    /// Like [`Self::post_json`], for an answer of at most `limit` bytes: for the few that may be larger than what a
    /// stranger may send.
    ///
    /// # Errors
    ///
    /// As [`Self::post_json`].
    pub async fn post_json_within<T: Serialize + Sync + ?Sized>(
        &self,
        origin: &Origin,
        path: &str,
        mut headers: HeaderMap,
        body: &T,
        limit: usize,
    ) -> Result<Response, OutboundError> {
        let body = serde_json::to_vec(body).map_err(|error| malformed(&error))?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(Method::POST, origin, path, headers, body.into(), limit).await
    }

    /// Sends `POST path` with a body of the given type to `origin` and reads the whole response.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn post(
        &self,
        origin: &Origin,
        path: &str,
        mut headers: HeaderMap,
        content_type: HeaderValue,
        body: Bytes,
    ) -> Result<Response, OutboundError> {
        headers.insert(header::CONTENT_TYPE, content_type);
        self.send(Method::POST, origin, path, headers, body, self.config.body_limit).await
    }

    /// Resolves `origin` and judges its addresses, without connecting.
    ///
    /// # Errors
    ///
    /// [`Stage::Dns`] or [`Stage::Refused`], also when only one of several addresses is not acceptable.
    pub async fn resolve(&self, origin: &Origin) -> Result<Vec<IpAddr>, OutboundError> {
        let _turn = self.turn(origin, Instant::now() + self.config.total_timeout()).await?;
        self.dialer.resolve(origin).await
    }

    /// Connects to `origin`, does a verified TLS handshake, and says what was seen.
    ///
    /// # Errors
    ///
    /// [`OutboundError`] by step; an untrusted, expired or misnamed certificate is a [`Stage::Tls`] with its reason.
    pub async fn inspect_tls(&self, origin: &Origin) -> Result<TlsFacts, OutboundError> {
        let _turn = self.turn(origin, Instant::now() + self.config.total_timeout()).await?;
        let stream = self.dialer.connect(origin).await?;
        let stream = self.dialer.handshake(origin, stream).await?;
        certificate::facts(stream.get_ref().1)
    }

    async fn send(
        &self,
        method: Method,
        origin: &Origin,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        limit: usize,
    ) -> Result<Response, OutboundError> {
        let deadline = Instant::now() + self.config.total_timeout();
        let _turn = self.turn(origin, deadline).await?;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static("linkspan"));
        let mut request = Request::builder()
            .method(method)
            .uri(origin.join(path).as_str())
            .body(Whole(body))
            .map_err(|error| malformed(&error))?;
        *request.headers_mut() = headers;
        let connection = capture_connection(&mut request);
        // How long a peer takes is a measurement, not a decision: the monotonic clock, whatever time our records use.
        let start = Instant::now();
        let response = timeout_at(deadline, self.exchange(request, limit)).await.map_err(|_| {
            let connected = connection.connection_metadata().is_some();
            OutboundError::timeout(if connected { Step::Http } else { Step::Tcp })
        })??;
        Ok(Response { elapsed: start.elapsed(), ..response })
    }

    async fn exchange(&self, request: Request<Whole>, limit: usize) -> Result<Response, OutboundError> {
        let (head, body) = self.client.request(request).await.map_err(|error| failure(&error))?.into_parts();
        if head.headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(OutboundError::http(HttpProblem::Encoding, "the response is compressed"));
        }
        let body = response::read(body, limit).await?;
        Ok(Response { status: head.status, headers: head.headers, body, elapsed: Duration::ZERO })
    }

    /// Waits until fewer than `per_target_concurrency` requests to `origin` are under way.
    async fn turn(&self, origin: &Origin, deadline: Instant) -> Result<OwnedSemaphorePermit, OutboundError> {
        let semaphore = self.semaphore(origin);
        timeout_at(deadline, semaphore.acquire_owned())
            .await
            .map_err(|_| OutboundError::timeout(Step::Queue))?
            .map_err(|error| malformed(&error))
    }

    fn semaphore(&self, origin: &Origin) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = turns.get(origin).and_then(Weak::upgrade) {
            return semaphore;
        }
        if turns.len() >= SWEEP_FROM {
            turns.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.config.per_target_concurrency));
        turns.insert(origin.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

fn malformed(error: &dyn std::error::Error) -> OutboundError {
    OutboundError::refused(Refusal::Request, error.to_string())
}

/// Our own error from the dialer if there is one among the causes, otherwise a failure of the exchange.
fn failure(error: &hyper_util::client::legacy::Error) -> OutboundError {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<OutboundError>() {
            return ours.clone();
        }
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    OutboundError::http(HttpProblem::Connection, detail)
}

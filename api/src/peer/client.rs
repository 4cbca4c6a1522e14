//! The hand that sends messages to the other instance, through the guarded client.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{self, Refused};
use crate::domain::Timestamp;
use crate::domain::direction::Cause;
use crate::domain::id::TraceId;
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::outbound::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use crate::outbound::{Outbound, OutboundError, Response, Stage, Step};

/// Why the other instance gave no answer that can be used: the blame is on the way or on the peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It could not be reached.
    #[error("the other instance could not be reached: {0}")]
    Unreachable(#[from] OutboundError),
    /// It said no.
    #[error("the other instance refused: {} {}", .0.code, .0.message)]
    Refused(Refused),
    /// It answered something that is no answer.
    #[error("the other instance answered {0}, which is no answer to this")]
    Nonsense(StatusCode),
}

impl PeerError {
    /// The refusal that tells a person here what happened there.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Unreachable(error) => {
                let at = match error.stage {
                    Stage::Refused(_) => "REFUSED",
                    Stage::Dns => "DNS",
                    Stage::Tcp => "TCP",
                    Stage::Tls(_) => "TLS",
                    Stage::Http(_) => "HTTP",
                    Stage::Timeout { .. } => "TIMEOUT",
                };
                let message = format!("The other instance could not be reached. {}", error.stage.sentence());
                Refusal::new(RefusalCode::PeerUnreachable, message).reason(at)
            }
            Self::Refused(refused) => {
                // The peer's own code crosses as itself where we know it, so that nobody hunts the wrong cause.
                let code = RefusalCode::parse(&refused.code).unwrap_or(RefusalCode::PeerRefused);
                let message = format!("The other instance said no: {}", clean(&refused.message));
                Refusal::new(code, message).reason(clean(refused.reason.as_ref().unwrap_or(&refused.code)))
            }
            Self::Nonsense(status) => Refusal::new(
                RefusalCode::PeerRefused,
                format!(
                    "The other instance answered with status {}, which is no answer to this.",
                    status.as_u16()
                ),
            )
            .reason("NONSENSE"),
        }
    }

    /// Why a probe was missed, as the evidence keeps it. The step at which a request failed is the reason, also where
    /// it failed by taking too long.
    #[must_use]
    pub fn cause(&self, at: Timestamp, trace: TraceId) -> Cause {
        let refusal = self.refusal();
        let (reason, detail, peer_trace) = match self {
            Self::Unreachable(error) => {
                let step = match error.stage {
                    // Whoever takes a connection and then is silent is not there: a line that is half open.
                    Stage::Timeout { at: Step::Queue | Step::Tcp | Step::Tls } => Some("TCP".to_owned()),
                    Stage::Timeout { at: Step::Dns } => Some("DNS".to_owned()),
                    Stage::Timeout { at: Step::Http } => Some("HTTP".to_owned()),
                    _ => refusal.reason,
                };
                (step, error.stage.sentence().to_owned(), None)
            }
            Self::Refused(refused) => {
                let trace = refused.trace_id.as_deref().and_then(TraceId::parse);
                (refusal.reason, clean(&refused.message), trace)
            }
            Self::Nonsense(status) => {
                let detail =
                    format!("It answers with status {}, and not as a Linkspan does.", status.as_u16());
                (refusal.reason, detail, None)
            }
        };
        Cause { code: refusal.code, reason, detail: Some(detail), at, trace: Some(trace), peer_trace }
    }

    /// Whether the same request may succeed later by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(error) => !matches!(error.stage, Stage::Refused(_)),
            Self::Refused(refused) => {
                matches!(
                    refused.code.as_str(),
                    "RATE_LIMITED"
                        | "CONFLICT"
                        | "PEER_UNAVAILABLE"
                        | "UNAVAILABLE"
                        | "KEY_SERVICE_UNHEALTHY"
                )
            }
            Self::Nonsense(status) => status.is_server_error(),
        }
    }
}

/// One printable line of at most 300 characters: a peer's words reach people and logs.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// How we speak to other instances.
#[derive(Clone)]
pub struct Peer {
    outbound: Outbound,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer")
    }
}

/// An answer, with how long it took.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was said.
    pub body: T,
    /// How long it took.
    pub took: Duration,
}

impl Peer {
    /// Speaks through this client.
    #[must_use]
    pub const fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// The same, with at most so much time for each request; its connections are shared.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { outbound: self.outbound.within(limit) }
    }

    /// The same, which does not wait behind what is under way to the same peer.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { outbound: self.outbound.apart() }
    }

    /// The same, with a connection for each request.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self { outbound: self.outbound.afresh() }
    }

    /// Asks who an instance is. What it answers is not verified here.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn identity(
        &self,
        origin: &Origin,
        trace: TraceId,
    ) -> Result<Answer<wire::SignedIdentity>, PeerError> {
        self.read(self.outbound.get(origin, wire::IDENTITY, headers(trace, None)).await?)
    }

    /// What an instance's authorization server supports, as the issuer it names (RFC 8414, section 3.3).
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn metadata(&self, origin: &Origin, trace: TraceId) -> Result<serde_json::Value, PeerError> {
        let answer = self.outbound.get(origin, wire::AUTHORIZATION_SERVER, headers(trace, None)).await?;
        Ok(self.read(answer)?.body)
    }

    /// Sends a message and reads its answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        origin: &Origin,
        path: &str,
        token: Option<&str>,
        body: &(impl Serialize + Sync),
        trace: TraceId,
    ) -> Result<Answer<T>, PeerError> {
        self.read(self.outbound.post_json(origin, path, headers(trace, token), body).await?)
    }

    /// Sends a sealed message and reads its sealed answer, which may be as large as a message.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn message(
        &self,
        origin: &Origin,
        envelope: &wire::Envelope,
        trace: TraceId,
    ) -> Result<Answer<wire::Envelope>, PeerError> {
        let (headers, limit) = (headers(trace, None), wire::MESSAGE_LIMIT);
        self.read(self.outbound.post_json_within(origin, wire::MESSAGE, headers, envelope, limit).await?)
    }

    /// Sends a form to the authorization server and reads its answer (RFC 6749, appendix B).
    ///
    /// # Errors
    /// [`PeerError`]; an OAuth error comes as [`PeerError::Refused`] with its code as the reason.
    pub async fn post_form<T: DeserializeOwned>(
        &self,
        origin: &Origin,
        path: &str,
        fields: &[(&str, &str)],
        trace: TraceId,
    ) -> Result<T, PeerError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let answer = self.outbound.post(origin, path, headers(trace, None), form, body.into()).await?;
        if answer.status.is_client_error()
            && let Ok(error) = answer.json::<OauthError>()
        {
            return Err(PeerError::Refused(Refused {
                code: RefusalCode::PeerRefused.as_str().to_owned(),
                message: error.error_description.unwrap_or_else(|| error.error.clone()),
                reason: Some(error.error),
                trace_id: None,
                at: None,
            }));
        }
        Ok(self.read(answer)?.body)
    }

    fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<Answer<T>, PeerError> {
        if answer.status.is_success() {
            return Ok(Answer { body: answer.json()?, took: answer.elapsed });
        }
        match answer.json::<Refused>() {
            Ok(refused) => Err(PeerError::Refused(refused)),
            Err(_) => Err(PeerError::Nonsense(answer.status)),
        }
    }
}

#[derive(serde::Deserialize)]
struct OauthError {
    error: String,
    error_description: Option<String>,
}

fn headers(trace: TraceId, token: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::from_str(&trace.traceparent()) {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
    if let Some(Ok(mut value)) = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    headers
}

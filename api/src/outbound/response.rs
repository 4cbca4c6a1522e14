//! What came back, and the small bodies that go out and come in.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    HeaderMap, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use serde::de::DeserializeOwned;

use super::error::{HttpProblem, OutboundError};

/// The whole answer to a request, whatever its status. Redirects are answers too: they are never followed.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most `body_limit` bytes.
    pub body: Bytes,
    /// How long the request took, waiting for its turn not included.
    pub elapsed: Duration,
}

impl Response {
    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// At [`Stage::Http`](super::Stage::Http) when the content type is not JSON (`application/json` or `…+json`), or
    /// the body does not parse.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutboundError> {
        let content_type = self.content_type().unwrap_or_default();
        if content_type != "application/json"
            && !(content_type.starts_with("application/") && content_type.ends_with("+json"))
        {
            return Err(OutboundError::http(HttpProblem::ContentType, format!("got {content_type:?}")));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // The message of serde_json can quote the body; its place is enough to find the fault.
            let place = format!("at line {} column {}", error.line(), error.column());
            OutboundError::http(HttpProblem::Malformed, place)
        })
    }

    /// The media type of the body in lower case, without parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}

/// Reads a body, giving up as soon as it is larger than `limit`.
pub(super) async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, OutboundError> {
    let too_large = || OutboundError::http(HttpProblem::TooLarge, format!("more than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut received = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| OutboundError::http(HttpProblem::Connection, error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if data.len() > limit - received.len() {
                return Err(too_large());
            }
            received.extend_from_slice(&data);
        }
    }
    Ok(received.freeze())
}

/// A request body that is sent in one piece; empty for none.
pub(super) struct Whole(pub(super) Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = std::mem::take(&mut self.0);
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

//! The WebSocket sub-protocol `graphql-transport-ws` (the protocol document of `graphql-ws`).

mod connection;
mod message;
mod rate;

use std::borrow::Cow;
use std::time::Duration;

use async_graphql::Executor;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use self::connection::Connection;
use super::error::{Code, RequestError};
use super::http::{private, refuse, too_many};
use super::negotiate::{self, Media};
use super::{Backend, Endpoint};

const PROTOCOL: &str = "graphql-transport-ws";
/// Buffers of one socket, in bytes. There are many sockets, and what goes over them is small.
const BUFFER: usize = 4 * 1024;
/// How long the other side has to answer our close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// Whether a request wants a WebSocket: RFC 6455, 4.1, or RFC 8441 over HTTP/2.
pub(super) fn is_upgrade(parts: &Parts) -> bool {
    let named = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket")))
    };
    parts.method == Method::CONNECT
        || (parts.method == Method::GET && parts.headers.get_all(UPGRADE).iter().any(named))
}

/// Accepts a socket, or refuses the upgrade.
///
/// # Errors
/// When the origin, the credentials or the number of connections forbid it, or it is no proper upgrade.
pub(super) async fn upgrade<E: Executor, B: Backend>(
    endpoint: Endpoint<E, B>,
    mut parts: Parts,
) -> Result<Response, RequestError> {
    // No preflight guards an upgrade: without this check any page could open a socket with its visitor's cookie.
    negotiate::origin(&parts.headers, &parts.uri, &endpoint.0.config.allowed_origins)?;
    let version = parts.headers.get(SEC_WEBSOCKET_VERSION);
    if parts.method == Method::GET && version.is_none_or(|version| version != "13") {
        return Ok(wrong_version());
    }
    let caller = endpoint.caller(&parts).await?;
    let share = endpoint.0.admission.share(endpoint.0.backend.counted_as(&caller));
    let permit = endpoint.0.admission.connection(&share).map_err(too_many)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| RequestError::bad_request("This is not a proper WebSocket upgrade."))?;

    let max_frame = endpoint.0.config.websocket.max_frame;
    let mut response = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_frame_size(max_frame)
        .max_message_size(max_frame)
        .on_upgrade(move |mut socket| async move {
            if socket.protocol().is_none_or(|protocol| protocol != PROTOCOL) {
                close(&mut socket, Close::new(4406, "Subprotocol not acceptable")).await;
                return;
            }
            Connection::new(endpoint, caller, parts.headers, share, permit).serve(socket).await;
        });
    private(response.headers_mut());
    Ok(response)
}

fn wrong_version() -> Response {
    let message = "Only version 13 of the WebSocket protocol is spoken here.";
    let refused = RequestError::transport(StatusCode::UPGRADE_REQUIRED, Code::InvalidInput, message);
    let headers = [
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (UPGRADE, HeaderValue::from_static("websocket")),
    ];
    (headers, refuse(refused, Media::Json)).into_response()
}

/// Why we close a socket.
#[derive(Debug)]
struct Close {
    code: u16,
    reason: Cow<'static, str>,
}

impl Close {
    fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Sends a close frame and waits a moment for the answer: dropping a socket with unread input resets the connection,
/// and the client might never read why.
async fn close(socket: &mut WebSocket, close: Close) {
    let frame = CloseFrame { code: close.code, reason: close.reason.into_owned().into() };
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // The socket is dropped either way.
    let _ = timeout(CLOSING, goodbye).await;
}

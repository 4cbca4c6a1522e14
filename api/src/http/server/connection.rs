//! One connection from its first byte to its last.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    response::{IntoResponse as _, Response as AxumResponse},
};
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HeaderValue},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    pin,
    sync::{OwnedSemaphorePermit, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    ServerConfig,
    body::{InProgress, Late, RequestBody, ResponseBody},
    config::Limits,
    forwarded,
    host::Host,
    stream::Accepted,
};

/// How long a connection may take to say goodbye once it was told to close while idle.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every connection of one server shares.
pub(super) struct Shared {
    pub(super) builder: auto::Builder<TokioExecutor>,
    pub(super) router: Router,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) proxies: Vec<IpNet>,
}

/// The protocol limits, on top of hyper's own.
pub(super) fn builder(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Idle time is watched here for both protocols; hyper's own timer would cut an idle connection at 30 s.
        .header_read_timeout(None)
        .max_headers(100)
        .max_buf_size(config.max_header_bytes.max(8192) as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(config.max_header_bytes)
        // Streams that are opened and reset cost us work and the client nothing (CVE-2023-44487).
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Serves one accepted socket until it closes, is idle for too long, or the server stops.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection ended before it began");
        return;
    }
    let stream = Accepted::new(stream, shared.limits.write, place);
    let Some(acceptor) = &shared.acceptor else {
        return speak(&shared, stream, peer, shutdown).await;
    };
    match timeout(shared.limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => speak(&shared, stream, peer, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

async fn speak(
    shared: &Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) {
    let limits = shared.limits;
    let (in_progress, mut progress) = InProgress::new();
    let service = service_fn(|request| answer(Arc::clone(shared), request, peer, in_progress.clone()));
    let connection = shared.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let idle = sleep(limits.header);
    pin!(connection, idle);
    let (mut is_fresh, mut is_closing) = (true, false);
    loop {
        let now = *progress.borrow_and_update();
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection failed");
                }
                return;
            }
            // The sender is `in_progress`, which outlives this loop.
            Ok(()) = progress.changed() => {
                is_fresh = false;
                idle.set(sleep(if is_closing { FAREWELL } else { limits.keep_alive }));
            }
            () = idle.as_mut(), if now == 0 => {
                if progress.has_changed().unwrap_or(false) {
                    // A request arrived in this very moment.
                    continue;
                }
                if is_fresh || is_closing {
                    tracing::debug!(%peer, "closed: idle for too long");
                    return;
                }
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                idle.set(sleep(FAREWELL));
            }
            _ = shutdown.wait_for(|stop| *stop), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                idle.set(sleep(FAREWELL));
            }
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    peer: SocketAddr,
    in_progress: InProgress,
) -> Result<Response<ResponseBody>, Infallible> {
    let ticket = in_progress.enter();
    let (mut parts, body) = request.into_parts();
    let is_http1 = parts.version < Version::HTTP_2;
    let late = Late::default();
    let refused = refuse(&mut parts);
    let is_refused = refused.is_some();
    let response = match refused {
        None => {
            parts.extensions.insert(ConnectInfo(forwarded::client(peer, &parts.headers, &shared.proxies)));
            let body = RequestBody::new(body, shared.limits.body, late.clone());
            shared.router.clone().oneshot(Request::from_parts(parts, body)).await?
        }
        Some(refused) => refused,
    };
    // The handler knows only that its body broke off.
    let mut response = if late.is_so() {
        plain(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time\n")
    } else {
        response
    };
    if is_http1 && (late.is_so() || is_refused) {
        // Its body is not read to the end.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| ResponseBody::new(body, ticket)))
}

/// The answer to what no request may be, whoever would answer it: it must name one host, and its body come as it stands.
fn refuse(parts: &mut Parts) -> Option<AxumResponse> {
    match Host::of(parts) {
        Ok(Some(host)) => drop(parts.extensions.insert(host)),
        Ok(None) => {}
        Err(error) => return Some(plain(StatusCode::BAD_REQUEST, &format!("{error}\n"))),
    }
    let codings = parts.headers.get_all(CONTENT_ENCODING);
    if codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return None;
    }
    let mut refused = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without a content coding\n");
    // RFC 9110, 12.5.3.
    refused.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(refused)
}

fn plain(status: StatusCode, text: &str) -> AxumResponse {
    (status, text.to_owned()).into_response()
}

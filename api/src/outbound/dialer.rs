//! The only way out: resolve, judge, connect to the judged address, shake hands.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::select_ok;
use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    error::{OutboundError, Refusal, Stage, Step},
    guard::Guard,
    resolver::Resolver,
};
use crate::domain::origin::{Origin, OriginPolicy, Scheme};

/// How many of a name's addresses are tried.
const ATTEMPTS: usize = 4;
/// How long one address is tried alone before the next one is tried beside it (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Opens connections to other instances.
///
/// It is the connector itself that resolves and judges, not a hook in front of a general one: IP literals, a name
/// that answers differently the second time and reconnects all pass the same check, because nothing else dials.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) guard: Guard,
    pub(super) policy: Arc<OriginPolicy>,
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) step_timeout: Duration,
}

impl Dialer {
    /// The addresses of `origin`, all of them acceptable.
    pub(super) async fn resolve(&self, origin: &Origin) -> Result<Vec<IpAddr>, OutboundError> {
        if origin.scheme() == Scheme::Http && !self.policy.allow_http {
            return Err(OutboundError::refused(Refusal::Scheme, origin.as_str()));
        }
        if !self.policy.ports.allow(origin.scheme(), origin.port()) {
            return Err(OutboundError::refused(Refusal::Port, origin.as_str()));
        }
        if let Some(address) = origin.ip() {
            return if self.guard.allows_explicitly(address) {
                Ok(vec![address])
            } else {
                Err(OutboundError::refused(Refusal::AddressLiteral, origin.as_str()))
            };
        }
        let addresses = self.lookup(origin.host()).await?;
        match addresses.iter().find(|address| !self.guard.allows(**address)) {
            Some(address) => Err(OutboundError::refused(
                Refusal::Address(*address),
                format!("{} is at {address}", origin.host()),
            )),
            None => Ok(addresses),
        }
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, OutboundError> {
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(self.loopback());
        }
        let addresses = timeout(self.step_timeout, self.resolver.addresses(host.to_owned()))
            .await
            .map_err(|_| OutboundError::timeout(Step::Dns))?
            .map_err(|error| OutboundError::new(Stage::Dns, error.to_string()))?;
        if addresses.is_empty() {
            return Err(OutboundError::new(Stage::Dns, format!("{host} has no address")));
        }
        Ok(addresses)
    }

    /// The answer for `localhost` and names under it, which are this host without asking anyone (RFC 6761 section
    /// 6.3): those of its two addresses that are allowed, or, for the refusal's sake, one that is not.
    fn loopback(&self) -> Vec<IpAddr> {
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        let allowed: Vec<_> =
            [v4, Ipv6Addr::LOCALHOST.into()].into_iter().filter(|ip| self.guard.allows(*ip)).collect();
        if allowed.is_empty() { vec![v4] } else { allowed }
    }

    pub(super) async fn connect(&self, origin: &Origin) -> Result<TcpStream, OutboundError> {
        let addresses = self.resolve(origin).await?;
        let attempts = addresses.into_iter().zip(0..).take(ATTEMPTS).map(|(address, place)| {
            let address = SocketAddr::new(address, origin.port());
            Box::pin(async move {
                sleep(ATTEMPT_DELAY * place).await;
                TcpStream::connect(address).await
            })
        });
        let failed = |error: io::Error| OutboundError::new(Stage::Tcp, error.to_string());
        let (stream, _) = timeout(self.step_timeout, select_ok(attempts))
            .await
            .map_err(|_| OutboundError::timeout(Step::Tcp))?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    pub(super) async fn handshake(
        &self,
        origin: &Origin,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let host = origin.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| OutboundError::refused(Refusal::Request, error.to_string()))?;
        timeout(self.step_timeout, TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream))
            .await
            .map_err(|_| OutboundError::timeout(Step::Tls))?
            .map_err(|error| OutboundError::tls(&error))
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<Dialled>, OutboundError> {
        let origin = Origin::parse(
            &format!(
                "{}://{}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |part| part.as_str())
            ),
            &OriginPolicy::ANY,
        )
        .map_err(|error| OutboundError::refused(Refusal::Request, error.to_string()))?;
        let stream = self.connect(&origin).await?;
        let dialled = match origin.scheme() {
            Scheme::Http => Dialled(Box::new(stream)),
            Scheme::Https => Dialled(Box::new(self.handshake(&origin, stream).await?)),
        };
        Ok(TokioIo::new(dialled))
    }
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Dialled>;
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, OutboundError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// An open connection, encrypted or not.
pub(super) struct Dialled(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

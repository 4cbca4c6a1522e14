//! The accept loop: sockets in, requests to the router, everything with a time limit.
//!
//! axum's own `serve` has no limit on time or number; an internet-facing server needs both. Each connection is
//! watched by one timer for the time in which it has no request in progress, whatever the protocol, so that slow
//! headers, half-open sockets and idle keep-alive are one case.

mod body;
mod config;
mod connection;
mod forwarded;
mod host;
mod stream;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::connection::Shared;
pub use self::{
    config::ServerConfig,
    host::Host,
    tls::{Certificate, CertificateError, CertificateFault},
};

/// How long accepting pauses when the system cannot give us another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop what listens there, or set server.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Only one of certificate and key is set.
    #[error("server.tls_certificate_file and server.tls_key_file must be set together")]
    HalfTls,
    /// A number is out of range.
    #[error("server.max_connections must be at least 1")]
    NoConnections,
}

/// A server that holds its socket and certificate, ready to serve.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: ServerConfig,
}

impl Server {
    /// Listens on the configured address and reads the certificate.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when the address is taken or a file cannot be used.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
        Self::on(listener, config)
    }

    /// Takes a listener that is bound already, instead of `config.listen`.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when the certificate or key cannot be used.
    pub fn on(listener: TcpListener, config: ServerConfig) -> Result<Self, ServerError> {
        if config.max_connections == 0 {
            return Err(ServerError::NoConnections);
        }
        let certificate = match (&config.tls_certificate_file, &config.tls_key_file) {
            (Some(certificate), Some(key)) => {
                Some(Arc::new(Certificate::read(certificate.clone(), key.clone())?))
            }
            (None, None) => None,
            _ => return Err(ServerError::HalfTls),
        };
        let tls = certificate.clone().map(tls::server_config).transpose()?.map(Arc::new);
        Ok(Self { listener, certificate, tls, config })
    }

    /// The address that is listened on, with the real port.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The certificate in use, to reload it; `None` without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Accepts and serves connections until `shutdown` is true or its sender is gone. Then it stops accepting, lets
    /// requests in progress finish within `shutdown_grace_ms`, and ends what is left.
    ///
    /// Handlers find the client's address as [`axum::extract::ConnectInfo<SocketAddr>`]. A WebSocket's handler has to
    /// watch `shutdown` itself to say goodbye in its protocol.
    pub async fn serve(self, router: Router, mut shutdown: watch::Receiver<bool>) {
        let max_connections = self.config.max_connections;
        let places = Arc::new(Semaphore::new(max_connections as usize));
        let shared = Arc::new(Shared {
            builder: connection::builder(&self.config),
            router,
            acceptor: self.tls.clone().map(TlsAcceptor::from),
            limits: self.config.limits(),
            proxies: self.config.trusted_proxies.clone(),
        });
        let (mut connections, watched) = (JoinSet::new(), shutdown.clone());
        loop {
            // The place comes first: without one, connections wait in the system's queue and cost us nothing.
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, accept(&self.listener).await)
            };
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(ended) = connections.join_next() => report_panic(ended),
                (place, (stream, peer)) = next => {
                    let Ok(place) = place else { break };
                    connections.spawn(connection::serve(Arc::clone(&shared), stream, peer, place, watched.clone()));
                }
            }
        }
        drop(self.listener);
        // All places free means all sockets closed, those of upgraded connections included.
        if timeout(self.config.shutdown_grace(), places.acquire_many(max_connections)).await.is_err() {
            tracing::warn!(
                open = max_connections as usize - places.available_permits(),
                "connections cut at shutdown"
            );
        }
        connections.shutdown().await;
    }
}

/// Serves `router` on a listener that is bound already: [`Server::on`] and [`Server::serve`] in one.
///
/// # Errors
///
/// [`ServerError`] when the certificate or key cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    shutdown: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    Server::on(listener, config)?.serve(router, shutdown).await;
    Ok(())
}

/// The next connection. An error here is about one connection or about a system that is out of sockets, never a
/// reason to stop serving the others.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A handler's panic ends its connection and nothing else; its message may quote the request and is not logged here.
fn report_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection was lost to a panic");
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

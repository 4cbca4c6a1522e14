//! The accept loop, over real sockets: what it must survive and what it must not cut.

use std::{fs, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, WebSocketUpgrade, ws::WebSocket},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use hyper::Version;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    headers::secured,
    server::{Certificate, CertificateError, CertificateFault, Server, ServerConfig, ServerError},
};
use crate::{
    domain::origin::{Origin, Scheme},
    outbound::{
        AllowedPorts, EveryPort, Outbound, OutboundConfig,
        test_authority::{TestAuthority, TestCertificate},
    },
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// The time limit under test; the others stay at seconds.
const SHORT: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(4);

struct Running {
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(config: ServerConfig) -> Self {
        let server =
            Server::bind(ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), ..config }).await.unwrap();
        let (address, certificate) = (server.local_addr().unwrap(), server.certificate());
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(server.serve(router(), stopped));
        Self { address, certificate, stop, served }
    }

    fn origin(&self) -> Origin {
        format!("https://a.localhost:{}", self.address.port()).parse().unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_and_send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

/// The configuration of a server with this certificate.
fn over_tls(files: &TestCertificate) -> ServerConfig {
    ServerConfig {
        tls_certificate_file: Some(files.certificate_file.clone()),
        tls_key_file: Some(files.key_file.clone()),
        ..ServerConfig::default()
    }
}

/// Asks as a browser does, over HTTP/2 where the server speaks it, and answers what came back.
async fn browse(authority: &TestAuthority, server: &Running, path: &str) -> String {
    // The first test of this process that asks for it sets it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(&fs::read(&authority.ca_file).unwrap()).unwrap();
    let browser = reqwest::Client::builder()
        .tls_certs_only([authority])
        .resolve("a.localhost", server.address)
        .no_proxy()
        .build()
        .unwrap();
    let answer = browser.get(server.origin().join(path).as_str()).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    answer.text().await.unwrap()
}

/// A client that trusts this authority alone.
fn client(authority: &TestAuthority) -> Outbound {
    Outbound::new(OutboundConfig {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allowed_ports: AllowedPorts::Every(EveryPort::Any),
        extra_ca_files: vec![authority.ca_file.clone()],
        trust_system_authorities: false,
        ..OutboundConfig::default()
    })
    .unwrap()
}

fn router() -> Router {
    let slow = || async {
        sleep(Duration::from_millis(3 * SHORT)).await;
        "slow"
    };
    let endless = || async {
        Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 65_536]))))
    };
    let echo = |mut socket: WebSocket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(slow))
        .route("/stuck", get(|| async { sleep(Duration::from_secs(60)).await }))
        .route("/endless", get(endless))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/version", get(|version: Version| async move { format!("{version:?}") }))
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .route("/socket", get(move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(echo) }))
}

/// Reads until `wanted` has come.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&text).contains(wanted) {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            assert_ne!(length, 0, "closed after {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..length]);
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("never received {wanted:?}"));
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits for the server to end the connection, and says after how long.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    timeout(PATIENCE, async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} })
        .await
        .expect("the server keeps the connection open");
    start.elapsed()
}

fn is_about(elapsed: Duration, limit: u64) -> bool {
    (limit / 2..limit + 1_500).contains(&u64::try_from(elapsed.as_millis()).unwrap())
}

#[tokio::test]
async fn slow_headers_are_cut_however_they_begin() {
    let server = Running::start(ServerConfig { header_timeout_ms: SHORT, ..ServerConfig::default() }).await;
    for beginning in [
        &b""[..],
        b"G",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = server.connect_and_send(beginning).await;
        let elapsed = closed_after(&mut stream).await;
        assert!(is_about(elapsed, SHORT), "{beginning:?} {elapsed:?}");
    }
}

#[tokio::test]
async fn headers_that_drip_are_cut_too() {
    let server = Running::start(ServerConfig { header_timeout_ms: SHORT, ..ServerConfig::default() }).await;
    let mut stream = server.connect_and_send(b"GET / HTTP/1.1\r\nX-A: ").await;
    let start = Instant::now();
    while stream.write_all(b"a").await.is_ok() {
        sleep(Duration::from_millis(20)).await;
        assert!(start.elapsed() < PATIENCE, "the server keeps reading");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = Running::start(ServerConfig { keep_alive_ms: SHORT, ..ServerConfig::default() }).await;
    let mut stream = server.connect_and_send(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    read_until(&mut stream, "slow").await;
    stream.write_all(REQUEST).await.unwrap();
    read_until(&mut stream, "hello").await;
    assert!(is_about(closed_after(&mut stream).await, SHORT));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let authority = TestAuthority::new("stall");
    let files = authority.issue("a.localhost", 2096);
    let server = Running::start(ServerConfig { tls_handshake_timeout_ms: SHORT, ..over_tls(&files) }).await;
    for beginning in [&b""[..], &[0x16, 3, 1, 1, 0, 1]] {
        let mut stream = server.connect_and_send(beginning).await;
        assert!(is_about(closed_after(&mut stream).await, SHORT));
    }
    let mut plain = server.connect_and_send(REQUEST).await;
    closed_after(&mut plain).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_and_one_that_only_pauses_is_taken() {
    let server =
        Running::start(ServerConfig { body_idle_timeout_ms: SHORT, ..ServerConfig::default() }).await;
    let head = b"POST /body HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nab";
    let mut stalls = server.connect_and_send(head).await;
    let answer = read_until(&mut stalls, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    closed_after(&mut stalls).await;

    let mut pauses = server.connect_and_send(head).await;
    for part in [b"cd", b"ef"] {
        sleep(Duration::from_millis(SHORT * 2 / 3)).await;
        pauses.write_all(part).await.unwrap();
    }
    read_until(&mut pauses, "\r\n\r\n6").await;
}

#[tokio::test]
async fn a_body_that_drips_is_refused_and_one_that_comes_along_is_taken() {
    let config =
        ServerConfig { body_timeout_ms: 2 * SHORT, body_bytes_per_second: 100, ..ServerConfig::default() };
    let server = Running::start(config).await;
    let head =
        |length: usize| format!("POST /body HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n");
    let mut drips = server.connect_and_send(head(1_000).as_bytes()).await;
    let (mut answer, mut writer) = drips.split();
    let dripping = async {
        loop {
            // Once it is refused, nobody reads on.
            let _ = writer.write_all(b"a").await;
            sleep(Duration::from_millis(SHORT / 4)).await;
        }
    };
    let mut status = [0; 12];
    tokio::select! {
        read = timeout(PATIENCE, answer.read_exact(&mut status)) => {
            read.expect("it is read on for ever").unwrap();
        }
        () = dripping => {}
    }
    assert_eq!(&status, b"HTTP/1.1 408");

    // Takes longer than the whole may, at more than a hundred bytes a second.
    let mut comes = server.connect_and_send(head(6_000).as_bytes()).await;
    for _ in 0..6 {
        sleep(Duration::from_millis(SHORT / 2)).await;
        comes.write_all(&[b'a'; 1_000]).await.unwrap();
    }
    read_until(&mut comes, "\r\n\r\n6000").await;
}

#[tokio::test]
async fn a_request_names_one_host_or_is_refused() {
    let server = Running::start(ServerConfig::default()).await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: a.example", 200),
        ("GET / HTTP/1.1\r\nHost: A.example.:8080", 200),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080", 200),
        ("GET http://a.example/ HTTP/1.1\r\nHost: a.example", 200),
        ("GET / HTTP/1.0", 200),
        ("GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1\r\nHost:", 400),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example", 400),
        ("GET / HTTP/1.1\r\nHost: a.example, b.example:1:2", 400),
        ("GET / HTTP/1.1\r\nHost: a.example:port", 400),
        ("GET / HTTP/1.1\r\nHost: a.example:65536", 400),
        ("GET / HTTP/1.1\r\nHost: a.example/b", 400),
        ("GET / HTTP/1.1\r\nHost: somebody@a.example", 400),
        ("GET / HTTP/1.1\r\nHost: [a.example]", 400),
        ("GET http://a.example/ HTTP/1.1", 400),
    ] {
        let mut stream = server.connect_and_send(format!("{head}\r\n\r\n").as_bytes()).await;
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert_eq!(answer[9..12].parse(), Ok(status), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_in_a_content_coding_is_refused() {
    let server = Running::start(ServerConfig::default()).await;
    for (coding, status) in [("gzip", 415), ("identity, br", 415), ("identity", 200), ("Identity", 200)] {
        let head = format!(
            "POST /body HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\nContent-Encoding: {coding}"
        );
        let mut stream = server.connect_and_send(format!("{head}\r\n\r\nab").as_bytes()).await;
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert_eq!(answer[9..12].parse(), Ok(status), "{coding}: {answer}");
    }
}

#[tokio::test]
async fn behind_a_proxy_of_ours_the_client_is_who_it_says() {
    let trusted = |networks: &[&str]| ServerConfig {
        trusted_proxies: networks.iter().map(|network| network.parse().unwrap()).collect(),
        ..ServerConfig::default()
    };
    let head = b"GET /peer HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n\r\n";
    let server = Running::start(trusted(&["127.0.0.0/8"])).await;
    read_until(&mut server.connect_and_send(head).await, "198.51.100.7").await;
    let server = Running::start(trusted(&["10.0.0.0/8"])).await;
    read_until(&mut server.connect_and_send(head).await, "127.0.0.1").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let config = ServerConfig { write_timeout_ms: SHORT, max_connections: 1, ..ServerConfig::default() };
    let server = Running::start(config).await;
    let stream = server.connect_and_send(b"GET /endless HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    // Its place is free again although it never let go of its end.
    read_until(&mut server.connect_and_send(REQUEST).await, "hello").await;
    drop(stream);
}

#[tokio::test]
async fn no_more_than_the_allowed_connections_are_served() {
    let server = Running::start(ServerConfig { max_connections: 2, ..ServerConfig::default() }).await;
    let mut first = server.connect_and_send(REQUEST).await;
    let mut second = server.connect_and_send(REQUEST).await;
    read_until(&mut first, "hello").await;
    read_until(&mut second, "hello").await;
    let mut third = server.connect_and_send(REQUEST).await;
    assert!(
        timeout(Duration::from_millis(SHORT), third.read(&mut [0; 1])).await.is_err(),
        "served beyond the limit"
    );
    drop(first);
    read_until(&mut third, "hello").await;
}

#[tokio::test]
async fn a_websocket_works_and_keeps_its_place() {
    let config = ServerConfig {
        max_connections: 1,
        header_timeout_ms: SHORT,
        keep_alive_ms: SHORT,
        ..ServerConfig::default()
    };
    let server = Running::start(config).await;
    let upgrade = b"GET /socket HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut socket = server.connect_and_send(upgrade).await;
    let answer = read_until(&mut socket, "\r\n\r\n").await;
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    // Idle for longer than a connection between requests may be.
    sleep(Duration::from_millis(2 * SHORT)).await;
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0; 4];
    timeout(PATIENCE, socket.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    let mut other = server.connect_and_send(REQUEST).await;
    assert!(
        timeout(Duration::from_millis(SHORT), other.read(&mut [0; 1])).await.is_err(),
        "served beyond the limit"
    );
    drop(socket);
    read_until(&mut other, "hello").await;
}

#[tokio::test]
async fn at_shutdown_requests_finish_idle_connections_close_and_nobody_new_is_served() {
    let server = Running::start(ServerConfig::default()).await;
    let mut idle = server.connect_and_send(REQUEST).await;
    read_until(&mut idle, "hello").await;
    let mut busy = server.connect_and_send(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    server.stop.send(true).unwrap();
    closed_after(&mut idle).await;
    assert!(read_until(&mut busy, "slow").await.contains("connection: close"));
    timeout(PATIENCE, server.served).await.expect("the server does not end").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn at_shutdown_http2_requests_finish_too() {
    let authority = TestAuthority::new("goaway");
    let server = Running::start(over_tls(&authority.issue("a.localhost", 2096))).await;
    let stop = async {
        sleep(Duration::from_millis(100)).await;
        server.stop.send(true).unwrap();
    };
    let (answer, ()) = tokio::join!(browse(&authority, &server, "/slow"), stop);
    assert_eq!(answer, "slow");
    timeout(PATIENCE, server.served).await.expect("the server does not end").unwrap();
}

#[tokio::test]
async fn what_does_not_finish_is_cut_after_the_grace() {
    let server = Running::start(ServerConfig { shutdown_grace_ms: SHORT, ..ServerConfig::default() }).await;
    let mut stuck = server.connect_and_send(b"GET /stuck HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    // A lost sender stops the server just as well: nobody is left to stop it later.
    drop(server.stop);
    assert!(is_about(closed_after(&mut stuck).await, SHORT));
    timeout(PATIENCE, server.served).await.expect("the server does not end").unwrap();
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_gives_its_place_back() {
    let server = Running::start(ServerConfig { max_connections: 1, ..ServerConfig::default() }).await;
    for _ in 0..3 {
        let mut stream = server.connect_and_send(b"GET /panic HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        closed_after(&mut stream).await;
    }
    read_until(&mut server.connect_and_send(REQUEST).await, "hello").await;
}

#[tokio::test]
async fn handlers_know_the_clients_address() {
    let server = Running::start(ServerConfig::default()).await;
    let mut stream = server.connect_and_send(b"GET /peer HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let address = stream.local_addr().unwrap().to_string();
    read_until(&mut stream, &address).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let authority = TestAuthority::new("renew");
    let files = authority.issue("a.localhost", 2090);
    let server = Running::start(over_tls(&files)).await;
    let client = client(&authority);
    let origin = server.origin();
    let before = client.inspect_tls(&origin).await.unwrap();
    assert_eq!(browse(&authority, &server, "/version").await, "HTTP/2.0");

    let certificate = server.certificate.unwrap();
    fs::write(&files.key_file, "not a key").unwrap();
    assert!(matches!(certificate.reload(), Err(CertificateError::File { .. })));
    assert_eq!(client.inspect_tls(&origin).await.unwrap(), before);

    authority.issue("a.localhost", 2096);
    certificate.reload().unwrap();
    let after = client.inspect_tls(&origin).await.unwrap();
    assert_eq!((before.not_after, after.not_after), (3_818_361_600, 4_007_750_400));
}

#[test]
fn a_certificate_is_judged_by_its_dates_and_by_the_name_that_others_call() {
    use CertificateFault::{Expired, NotYet, OtherName};

    let authority = TestAuthority::new("judge");
    let files = authority.issue("a.localhost", 2090);
    let certificate = Certificate::read(files.certificate_file, files.key_file).unwrap();
    let judged = |host, seconds| certificate.judge(host, Duration::from_secs(seconds));
    // It is good from 2020 to the last day of 2090.
    let (before, good, after) = (1_577_836_799, 1_800_000_000, 3_818_361_601);
    assert_eq!(judged(Some("a.localhost"), good), Ok(()));
    assert_eq!(judged(None, good), Ok(()));
    assert_eq!(judged(Some("b.localhost"), good), Err(OtherName));
    assert_eq!(judged(Some("a.localhost"), after), Err(Expired));
    assert_eq!(judged(None, before), Err(NotYet));
}

#[tokio::test]
async fn a_certificate_needs_its_own_key() {
    let authority = TestAuthority::new("pair");
    let (one, other) = (authority.issue("a.localhost", 2096), authority.issue("b.localhost", 2096));
    let listen = "127.0.0.1:0".parse().unwrap();
    let bind = |certificate, key| {
        Server::bind(ServerConfig {
            listen,
            tls_certificate_file: certificate,
            tls_key_file: key,
            ..ServerConfig::default()
        })
    };
    let mismatched = bind(Some(one.certificate_file.clone()), Some(other.key_file)).await;
    assert!(matches!(mismatched, Err(ServerError::Certificate(CertificateError::Pair(_)))));
    assert!(matches!(bind(Some(one.certificate_file.clone()), None).await, Err(ServerError::HalfTls)));
    let missing = bind(Some("/nonexistent.pem".into()), Some(one.key_file)).await;
    assert!(matches!(missing, Err(ServerError::Certificate(CertificateError::File { .. }))));
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    use tower::ServiceExt;

    for (scheme, strict) in [(Scheme::Https, true), (Scheme::Http, false)] {
        for path in ["/", "/nowhere"] {
            let request = hyper::Request::get(path).body(Body::empty()).unwrap();
            let response = secured(router(), scheme).oneshot(request).await.unwrap();
            let headers = response.headers();
            assert_eq!(headers.contains_key("strict-transport-security"), strict, "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["referrer-policy"], "no-referrer");
            assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
            assert!(headers.contains_key("permissions-policy"));
            assert_eq!(
                headers["content-security-policy"],
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            );
        }
    }
    let own = Router::new().route("/", get(|| async { [("content-security-policy", "default-src 'none'")] }));
    let request = hyper::Request::get("/").body(Body::empty()).unwrap();
    let response = secured(own, Scheme::Https).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-security-policy"], "default-src 'none'");
}

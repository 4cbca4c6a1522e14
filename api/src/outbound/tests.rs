//! The client for strangers' URLs, over real sockets.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Redirect, routing::get};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use hyper::{HeaderMap, StatusCode, Version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    AllowedPorts, EveryPort, HttpProblem, Outbound, OutboundConfig, OutboundConfigError, OutboundError,
    Refusal, Resolver, Stage, Step, TlsProblem, TlsVersion, Verdict, certificate, guard,
    test_authority::TestAuthority,
};
use crate::{
    domain::origin::{Origin, OriginPolicy, Ports},
    http::server::{Server, ServerConfig},
};

const HOST: &str = "peer.localhost";

/// A client that may reach this host, on any port, over http too.
fn local() -> OutboundConfig {
    OutboundConfig {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        allowed_ports: AllowedPorts::Every(EveryPort::Any),
        connect_timeout_ms: 400,
        total_timeout_ms: 1_500,
        ..OutboundConfig::default()
    }
}

fn client(config: OutboundConfig) -> Outbound {
    Outbound::new(config).unwrap()
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

/// A server for the time of the test.
struct Running {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Running {
    async fn start(router: Router, config: ServerConfig) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(ServerConfig { listen, ..config }).await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server.serve(router, stopped));
        Self { address, _stop: stop }
    }

    async fn plain(router: Router) -> Self {
        Self::start(router, ServerConfig::default()).await
    }

    async fn tls(authority: &TestAuthority, name: &str, end_of_year: i32) -> Self {
        let certificate = authority.issue(name, end_of_year);
        let config = ServerConfig {
            tls_certificate_file: Some(certificate.certificate_file),
            tls_key_file: Some(certificate.key_file),
            ..ServerConfig::default()
        };
        let version = |version: Version| async move { format!("{version:?}") };
        Self::start(Router::new().route("/version", get(version)), config).await
    }

    fn origin(&self, scheme: &str) -> Origin {
        origin(&format!("{scheme}://{HOST}:{}", self.address.port()))
    }
}

/// A server that answers every connection with these bytes after reading something, and then hangs or closes.
async fn raw(answer: &'static [u8], hang: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
                if hang {
                    sleep(Duration::from_secs(60)).await;
                }
            });
        }
    });
    port
}

async fn get_stage(client: &Outbound, origin: &Origin) -> Stage {
    client.get(origin, "/", HeaderMap::new()).await.unwrap_err().stage
}

/// Answers each question with the next entry of a script, whatever the name.
struct Script(Mutex<VecDeque<Vec<&'static str>>>);

impl Script {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())))
    }
}

impl Resolver for Script {
    fn addresses(&self, _: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let answer = self.0.lock().unwrap().pop_front();
        Box::pin(async move {
            let answer = answer.ok_or_else(|| io::Error::other("no such name"))?;
            Ok(answer.into_iter().map(|text| text.parse().unwrap()).collect())
        })
    }
}

/// Never answers.
struct Silent;

impl Resolver for Silent {
    fn addresses(&self, _: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn only_public_addresses_are_global() {
    for address in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ] {
        assert!(!guard::is_global(address.parse().unwrap()), "{address}");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ] {
        assert!(guard::is_global(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn an_allowed_network_also_covers_its_ipv4_addresses_in_ipv6_clothes() {
    let guard = guard::Guard::new(vec!["10.20.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    for (address, allowed) in [
        ("10.20.1.1", true),
        ("::ffff:10.20.1.1", true),
        ("10.21.1.1", false),
        ("::ffff:10.21.1.1", false),
        ("fd00::1", true),
        ("fc00::1", false),
    ] {
        assert_eq!(guard.allows(address.parse().unwrap()), allowed, "{address}");
    }
}

#[tokio::test]
async fn nothing_local_is_reached_by_default() {
    let server = Running::plain(Router::new()).await;
    let port = server.address.port();
    let strict = client(OutboundConfig { allow_networks: Vec::new(), ..local() });
    for host in ["peer.localhost", "a.b.localhost"] {
        let stage = get_stage(&strict, &origin(&format!("http://{host}:{port}"))).await;
        assert_eq!(stage, Stage::Refused(Refusal::Address("127.0.0.1".parse().unwrap())), "{host}");
    }
    for host in
        ["127.0.0.1", "127.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "8.8.8.8"]
    {
        let error =
            strict.get(&origin(&format!("http://{host}:{port}")), "/", HeaderMap::new()).await.unwrap_err();
        assert_eq!(error.stage, Stage::Refused(Refusal::AddressLiteral), "{host}");
        assert_eq!(error.verdict(), Verdict::NotAcceptable);
    }
    let allowed = client(local())
        .get(&origin(&format!("http://127.0.0.1:{port}")), "/", HeaderMap::new())
        .await
        .unwrap();
    assert_eq!(allowed.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn scheme_and_port_are_checked_before_anything_is_asked() {
    let strict = Outbound::with_resolver(OutboundConfig::default(), Arc::new(Silent)).unwrap();
    assert_eq!(get_stage(&strict, &origin("http://a.example")).await, Stage::Refused(Refusal::Scheme));
    assert_eq!(get_stage(&strict, &origin("https://a.example:22")).await, Stage::Refused(Refusal::Port));
}

#[tokio::test]
async fn one_unacceptable_address_among_several_is_enough_to_refuse() {
    let script = Script::new(&[&["1.1.1.1", "10.0.0.1"], &["2606:4700::1111", "::1"], &[]]);
    let client = Outbound::with_resolver(OutboundConfig::default(), script).unwrap();
    let name = origin("https://peer.example");
    assert_eq!(
        get_stage(&client, &name).await,
        Stage::Refused(Refusal::Address("10.0.0.1".parse().unwrap()))
    );
    let refused = client.resolve(&name).await.unwrap_err().stage;
    assert_eq!(refused, Stage::Refused(Refusal::Address("::1".parse().unwrap())));
    assert_eq!(client.resolve(&name).await.unwrap_err().stage, Stage::Dns);
    assert_eq!(client.resolve(&name).await.unwrap_err().stage, Stage::Dns);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_again_at_the_next_dial() {
    let port = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false).await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.1"], &["192.168.1.1"]]);
    let client = Outbound::with_resolver(local(), script).unwrap();
    let name = origin(&format!("http://peer.example:{port}"));
    assert_eq!(client.resolve(&name).await.unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(client.get(&name, "/", HeaderMap::new()).await.unwrap().body, "ok");
    assert_eq!(
        get_stage(&client, &name).await,
        Stage::Refused(Refusal::Address("192.168.1.1".parse().unwrap()))
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere =
        Router::new().route("/", get(|| async { Redirect::temporary("http://169.254.169.254/") }));
    let server = Running::plain(elsewhere).await;
    let response = client(local()).get(&server.origin("http"), "/", HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers["location"], "http://169.254.169.254/");
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_whether_announced_or_not() {
    let endless = || async {
        Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 512]))))
    };
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/large", get(|| async { vec![0_u8; 1025] }))
        .route("/full", get(|| async { vec![0_u8; 1024] }));
    let server = Running::plain(router).await;
    let client = client(OutboundConfig { body_limit: 1024, ..local() });
    for path in ["/endless", "/large"] {
        let error = client.get(&server.origin("http"), path, HeaderMap::new()).await.unwrap_err();
        assert_eq!(error.stage, Stage::Http(HttpProblem::TooLarge), "{path}");
        assert_eq!(error.verdict(), Verdict::NotReachable);
    }
    let full = client.get(&server.origin("http"), "/full", HeaderMap::new()).await.unwrap();
    assert_eq!(full.body.len(), 1024);
}

#[tokio::test]
async fn json_goes_out_and_comes_back() {
    let echo = |headers: HeaderMap, body: axum::Json<serde_json::Value>| async move {
        assert_eq!(headers["accept-encoding"], "identity");
        body
    };
    let router = Router::new()
        .route("/", get(|| async { "text" }).post(echo))
        .route("/bad", get(|| async { ([("content-type", "application/problem+json")], "{secret") }))
        .route("/packed", get(|| async { ([("content-encoding", "gzip")], "x") }));
    let server = Running::plain(router).await;
    let (client, origin) = (client(local()), server.origin("http"));
    let sent = serde_json::json!({ "a": 1 });
    let response = client.post_json(&origin, "/", HeaderMap::new(), &sent).await.unwrap();
    assert_eq!(response.json::<serde_json::Value>().unwrap(), sent);
    let problem = |error: OutboundError| (error.stage, error.detail.contains("secret"));
    let text =
        client.get(&origin, "/", HeaderMap::new()).await.unwrap().json::<serde_json::Value>().unwrap_err();
    assert_eq!(problem(text), (Stage::Http(HttpProblem::ContentType), false));
    let bad =
        client.get(&origin, "/bad", HeaderMap::new()).await.unwrap().json::<serde_json::Value>().unwrap_err();
    assert_eq!(problem(bad), (Stage::Http(HttpProblem::Malformed), false));
    let packed = client.get(&origin, "/packed", HeaderMap::new()).await.unwrap_err();
    assert_eq!(problem(packed), (Stage::Http(HttpProblem::Encoding), false));
}

#[tokio::test]
async fn a_private_authority_is_trusted_beside_the_systems_and_only_when_named() {
    let authority = TestAuthority::new("private");
    let server = Running::tls(&authority, HOST, 2096).await;
    let origin = server.origin("https");
    let trusting = client(OutboundConfig { extra_ca_files: vec![authority.ca_file.clone()], ..local() });
    let response = trusting.get(&origin, "/version", HeaderMap::new()).await.unwrap();
    assert_eq!(response.body, "HTTP/1.1", "the server would speak HTTP/2 as well");
    let facts = trusting.inspect_tls(&origin).await.unwrap();
    assert_eq!(facts.version, TlsVersion::V1_3);
    assert_eq!((facts.not_before, facts.not_after), (1_577_836_800, 4_007_750_400));
    assert_eq!(facts.names, [HOST]);

    let other = TestAuthority::new("other");
    let config = OutboundConfig {
        extra_ca_files: vec![other.ca_file.clone()],
        trust_system_authorities: false,
        ..local()
    };
    let stage = get_stage(&client(config), &origin).await;
    assert_eq!(stage, Stage::Tls(TlsProblem::UnknownIssuer));
}

#[tokio::test]
async fn a_wrong_name_and_an_expired_certificate_fail_at_tls_with_their_reason() {
    let authority = TestAuthority::new("reasons");
    let client = client(OutboundConfig {
        extra_ca_files: vec![authority.ca_file.clone()],
        trust_system_authorities: false,
        ..local()
    });
    let misnamed = Running::tls(&authority, "other.localhost", 2096).await;
    let expired = Running::tls(&authority, HOST, 2021).await;
    let plain = Running::plain(Router::new()).await;
    for (server, problem) in
        [(misnamed, TlsProblem::WrongName), (expired, TlsProblem::Expired), (plain, TlsProblem::Handshake)]
    {
        let origin = server.origin("https");
        assert_eq!(get_stage(&client, &origin).await, Stage::Tls(problem));
        assert_eq!(client.inspect_tls(&origin).await.unwrap_err().stage, Stage::Tls(problem));
    }
}

#[test]
fn a_damaged_certificate_is_unreadable_and_harmless() {
    let der = TestAuthority::new("damaged").der(HOST);
    assert!(certificate::read(&der).is_some());
    for length in 0..der.len() {
        assert_eq!(certificate::read(&der[..length]), None, "cut at {length}");
    }
    for (place, mask) in (0..der.len()).flat_map(|place| [(place, 0xff), (place, 0x80), (place, 1)]) {
        let mut damaged = der.clone();
        damaged[place] ^= mask;
        let _ = certificate::read(&damaged);
    }
}

#[tokio::test]
async fn an_address_that_does_not_answer_does_not_hide_one_that_does() {
    let server = Running::plain(Router::new()).await;
    let script = Script::new(&[&["127.0.0.2", "127.0.0.1"]]);
    let client = Outbound::with_resolver(local(), script).unwrap();
    let name = origin(&format!("http://peer.example:{}", server.address.port()));
    let response = client.get(&name, "/", HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, StatusCode::NOT_FOUND);
}

#[test]
fn the_configuration_reads_as_documented_and_refuses_what_it_does_not_know() {
    let read = |text| serde_json::from_str::<OutboundConfig>(text);
    assert_eq!(read("{}").unwrap(), OutboundConfig::default());
    let wide =
        read(r#"{ "allowed_ports": "any", "allow_networks": ["10.0.0.0/8"] }"#).unwrap().origin_policy();
    assert!(wide.allow_ip && wide.ports == Ports::Any);
    let listed = read(r#"{ "allowed_ports": [8443] }"#).unwrap().origin_policy();
    assert_eq!(listed, OriginPolicy { ports: Ports::DefaultAnd(vec![8443]), ..OriginPolicy::STRICT });
    assert!(read(r#"{ "follow_redirects": true }"#).is_err());
    assert!(read(r#"{ "allowed_ports": "all" }"#).is_err());
}

#[tokio::test]
async fn each_step_has_its_own_time_out() {
    let silent = raw(b"", true).await;
    let client = client(local());
    let timed_out = |at| Stage::Timeout { at };
    let start = Instant::now();
    assert_eq!(get_stage(&client, &origin(&format!("https://{HOST}:{silent}"))).await, timed_out(Step::Tls));
    assert_eq!(get_stage(&client, &origin(&format!("http://{HOST}:{silent}"))).await, timed_out(Step::Http));
    let unresolved = Outbound::with_resolver(local(), Arc::new(Silent)).unwrap();
    assert_eq!(get_stage(&unresolved, &origin("https://peer.example")).await, timed_out(Step::Dns));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn failures_below_and_within_http_are_told_apart() {
    let client = client(local());
    let free = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    assert_eq!(get_stage(&client, &origin(&format!("http://{HOST}:{free}"))).await, Stage::Tcp);
    for answer in
        [&b""[..], b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"]
    {
        let port = raw(answer, false).await;
        let stage = get_stage(&client, &origin(&format!("http://{HOST}:{port}"))).await;
        assert_eq!(stage, Stage::Http(HttpProblem::Connection), "{answer:?}");
    }
}

#[tokio::test]
async fn one_target_gets_a_few_requests_at_a_time() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = {
        let most = Arc::clone(&most);
        move || async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let server = Running::plain(Router::new().route("/", get(counted))).await;
    let (client, origin) = (client(local()), server.origin("http"));
    let all = join_all((0..12).map(|_| client.get(&origin, "/", HeaderMap::new()))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 2);

    let slow = origin_of_silence().await;
    let start = Instant::now();
    let another = client.apart();
    let (waiting, apart) =
        tokio::join!(join_all((0..3).map(|_| get_stage(&client, &slow))), get_stage(&another, &slow));
    assert_eq!(apart, Stage::Timeout { at: Step::Http }, "it has a turn of its own");
    // The third may still get its turn in the very moment in which its time is over.
    assert_eq!(waiting[..2], [Stage::Timeout { at: Step::Http }, Stage::Timeout { at: Step::Http }]);
    assert!(matches!(waiting[2], Stage::Timeout { at: Step::Queue | Step::Tcp }), "{waiting:?}");
    assert!(start.elapsed() < Duration::from_millis(2_500), "waiting does not count");
}

async fn origin_of_silence() -> Origin {
    origin(&format!("http://{HOST}:{}", raw(b"", true).await))
}

#[test]
fn a_client_that_could_trust_nobody_or_do_nothing_is_not_set_up() {
    let none = Outbound::new(OutboundConfig { trust_system_authorities: false, ..local() });
    assert!(matches!(none, Err(OutboundConfigError::NoAuthorities)));
    let missing = OutboundConfig { extra_ca_files: vec!["/nonexistent/ca.pem".into()], ..local() };
    assert!(matches!(Outbound::new(missing), Err(OutboundConfigError::AuthorityFile { .. })));
    let zero = Outbound::new(OutboundConfig { total_timeout_ms: 0, ..local() });
    assert!(matches!(zero, Err(OutboundConfigError::Zero { field: "total_timeout_ms" })));
}

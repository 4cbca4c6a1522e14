//! Clients as they are in the world, and as they are at their worst, against a whole instance.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::environment;
use crate::harness::{Client, Database, Pair};

const MADE: &str = "mutation { createCompany(input: { name: \"By mistake\" }) { company { id } } }";

/// How many companies there are, which tells whether anything was executed.
async fn companies(client: &Client) -> usize {
    let data = client.query("{ companies { edges { node { id } } } }", json!({})).await;
    data["companies"]["edges"].as_array().unwrap().len()
}

/// Runs a script of `tests/node` as a program that holds a personal access token.
async fn node(script: &'static str) {
    if !environment::node() {
        return;
    }
    let pair = Pair::start(Database::Sqlite).await;
    let admin = pair.provider_admin().await;
    let token = admin.mutate("createAccessToken", json!({ "name": "node", "days": 1 }), "secret").await;
    let authorization = format!("Bearer {}", token["secret"].as_str().unwrap());
    let ready = pair.make_ready(&admin).await;
    let registration = pair.register(&admin, &ready).await;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/node");
    let authority = pair.provider.config.data_dir.join("authority.pem");
    std::fs::write(&authority, &pair.provider.ca).unwrap();
    let mut command = Command::new("node");
    command
        .args(["--require", "./localhost.cjs", script])
        .current_dir(directory)
        .env("NODE_EXTRA_CA_CERTS", authority)
        .env("GRAPHQL_URL", format!("{}/graphql", pair.provider.origin))
        .env("HEADERS", json!({ "authorization": authorization }).to_string())
        .env("QUERY", "{ viewer { email } }")
        .env(
            "SUBSCRIPTION",
            "subscription($subjects: [ChangeSubject!]) { changes(subjects: $subjects) { cursor kind } }",
        )
        .env("SUBSCRIPTION_VARIABLES", json!({ "subjects": ["SCAN"] }).to_string())
        .env(
            "MUTATION",
            "mutation($input: RunScanInput!) { runScan(input: $input) { scan { id } refusal { code } } }",
        )
        .env("MUTATION_VARIABLES", json!({ "input": { "subjectId": registration } }).to_string())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}:\n{text}");
    assert!(text.contains(" passed, 0 failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_audits_of_graphql_over_http_all_pass() {
    node("http-audits.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_clients_follow_a_subscription_over_a_websocket() {
    node("ws.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_clients_follow_a_subscription_over_server_sent_events() {
    node("sse.mjs").await;
}

/// Sends a document as nobody and answers status and body.
async fn ask(client: &Client, query: &str) -> (u16, Value) {
    let request = client.post_graphql(&json!({ "query": query }));
    let answer = request.header("accept", "application/graphql-response+json").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn doubling(depth: usize) -> String {
    let chain = (0..depth).map(|n| format!("fragment F{n} on Query {{ ...F{0} ...F{0} }}", n + 1));
    let chain: Vec<_> = chain.collect();
    format!("{{ ...F0 }} {} fragment F{depth} on Query {{ __typename }}", chain.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_made_to_exhaust_the_server_are_refused_at_once() {
    let pair = Pair::start(Database::Sqlite).await;
    let client = pair.provider.client();
    let bombs = [
        format!("{{ a(b: {} }}", "[".repeat(4_000)),
        "{a".repeat(2_000),
        format!("query($a: {}", "[".repeat(4_000)),
        doubling(30),
        format!("{{ {} }}", "__typename ".repeat(10_000)),
        "fragment A on Query { ...B } fragment B on Query { ...A } { ...A }".to_owned(),
        format!("{{ {} }}", (0..300).map(|n| format!("a{n}: __typename ")).collect::<String>()),
        format!("{{ __typename {} }}", "@skip(if: false) ".repeat(100)),
    ];
    for bomb in bombs {
        let start = &bomb[..40];
        let sent = tokio::time::timeout(Duration::from_secs(5), ask(&client, &bomb));
        let (status, answer) = sent.await.unwrap_or_else(|_| panic!("no answer to {start}"));
        assert_eq!(status, 400, "{start}: {answer:#}");
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap();
        assert!(["INVALID_INPUT", "LIMIT_EXCEEDED"].contains(&code), "{start}: {answer:#}");
        assert!(answer.get("data").is_none(), "{start}: {answer:#}");
        let (status, answer) = ask(&client, "{ __typename }").await;
        assert_eq!((status, &answer["data"]["__typename"]), (200, &json!("Query")), "after {start}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_validation_leaves_out_on_typename_is_refused_all_the_same() {
    let pair = Pair::start(Database::Sqlite).await;
    let client = pair.provider.client();
    for query in
        ["{ __typename @nothing }", "{ __typename(a: 1) }", "{ __typename { a } }", "{ __typename @skip }"]
    {
        let (status, answer) = ask(&client, query).await;
        assert_eq!(status, 400, "{query}: {answer:#}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_somebody_else_cannot_make_a_browser_execute_anything() {
    let pair = Pair::start(Database::Sqlite).await;
    let admin = pair.provider_admin().await;
    let cookie: Vec<_> =
        admin.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = format!("{}/graphql", pair.provider.origin);
    let sent = |request: reqwest::RequestBuilder| request.header("cookie", cookie.join("; ")).send();

    let mut by_get = url::Url::parse(&url).unwrap();
    by_get.query_pairs_mut().append_pair("query", MADE);
    let answer = sent(admin.http().get(by_get)).await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");

    let body = json!({ "query": MADE }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer =
            sent(admin.http().post(&url).header("content-type", kind).body(body.clone())).await.unwrap();
        assert_eq!(answer.status(), 415, "{kind}");
    }
    let answer = sent(admin.http().post(&url).body(body.clone())).await.unwrap();
    assert_eq!(answer.status(), 415, "no content type");
    let foreign = admin
        .http()
        .post(&url)
        .header("content-type", "application/json")
        .header("origin", "https://evil.example");
    let answer = sent(foreign.body(body)).await.unwrap();
    assert_eq!(answer.status(), 403, "a foreign origin");
    assert_eq!(companies(&admin).await, 0, "nothing was executed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_introspection_query_passes() {
    let pair = Pair::start(Database::Sqlite).await;
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let query = format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name kind }} mutationType {{ name kind }}
           subscriptionType {{ name kind }} types {{ ...FullType }}
           directives {{ name description locations args {{ ...InputValue }} }} }} }}
         fragment FullType on __Type {{ kind name description
           fields(includeDeprecated: true) {{ name description args {{ ...InputValue }} type {{ ...TypeRef }}
             isDeprecated deprecationReason }}
           inputFields {{ ...InputValue }} interfaces {{ ...TypeRef }}
           enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
           possibleTypes {{ ...TypeRef }} }}
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue }}
         fragment TypeRef on __Type {{ kind name {of_type} }}"
    );
    let (status, answer) = ask(&pair.provider.client(), &query).await;
    assert_eq!(status, 200, "{answer:#}");
    assert!(answer["data"]["__schema"]["types"].as_array().unwrap().len() > 50);
}

async fn broken(database: Database) {
    let pair = Pair::start(database).await;
    let admin = pair.provider_admin().await;
    let db = sea_orm::Database::connect(&pair.provider.config.database.url).await.unwrap();
    db.execute_unprepared("alter table company rename to lost_company").await.unwrap();
    let answer = admin.raw("{ companies { edges { node { name } } } }", json!({})).await;
    db.execute_unprepared("alter table lost_company rename to company").await.unwrap();
    let error = &answer["errors"][0];
    assert_eq!(error["message"], "internal error", "{answer:#}");
    assert_eq!(error["extensions"]["code"], "INTERNAL");
    assert!(error["extensions"]["traceId"].as_str().is_some_and(|trace| !trace.is_empty()), "{answer:#}");
    let text = answer.to_string().to_lowercase();
    assert!(!text.contains("lost_") && !text.contains("table") && !text.contains("relation"), "{text}");
    assert_eq!(companies(&admin).await, 0, "and it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_inside_is_not_told_outside() {
    for database in Database::available() {
        broken(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_a_line_break_is_refused_before_it_reaches_a_letter() {
    let pair = Pair::start(Database::Sqlite).await;
    let admin = pair.provider_admin().await;
    let ready = pair.make_ready(&admin).await;
    for name in ["A\r\nBcc: thief@example.com", "A\nB", "A\rB", "A\u{2028}B"] {
        let input = json!({ "companyId": ready.company, "email": "a@example.com", "name": name });
        let payload = admin.try_mutate("createContact", input, "contact { id }").await;
        assert_eq!(payload["refusal"]["code"], "INVALID_INPUT", "{name:?}: {payload:#}");
        assert_eq!(payload["refusal"]["field"], "name", "{name:?}");
    }
}

/// Reads until the other side ends the connection, which it must do soon.
async fn ends(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
    // Reset or closed: either is an end.
    let _ = read.await.expect("the connection stays open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_to_say_what_they_want_is_cut_off() {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.provider.config.server.tls_handshake_timeout_ms = 300;
    pair.provider.config.server.header_timeout_ms = 300;
    pair.run().await;
    let origin = url::Url::parse(&pair.provider.origin).unwrap();
    let address = ("127.0.0.1", origin.port().unwrap());
    ends(TcpStream::connect(address).await.unwrap()).await;

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(pair.provider.ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let host = ServerName::try_from(origin.host_str().unwrap().to_owned()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(host, stream).await.unwrap();
    stream.write_all(b"POST /graphql HTTP/1.1\r\nhost: pro").await.unwrap();
    ends(stream).await;
    let (status, _) = ask(&pair.provider.client(), "{ __typename }").await;
    assert_eq!(status, 200);
}

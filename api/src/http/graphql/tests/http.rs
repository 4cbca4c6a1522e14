use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::{GraphqlConfig, Introspection};
use super::client::{post, post_with, query, read_answer, request, send};
use super::fixture::serve;
use super::server;

const JSON: &str = "application/json; charset=utf-8";
const RESPONSE: &str = "application/graphql-response+json; charset=utf-8";

#[tokio::test]
async fn a_query_is_answered_by_post_and_by_get() {
    let server = server().await;
    let posted = query(server.address, "{ hello }").await;
    let got = send(server.address, "GET /graphql?query=%7Bhello%7D HTTP/1.1", b"").await;
    for answer in [posted, got] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({ "data": { "hello": "world" } }));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn the_answer_has_the_media_type_that_the_client_likes_best() {
    let server = server().await;
    for (accept, status, media) in [
        ("*/*", 200, JSON),
        ("application/json", 200, JSON),
        ("application/*", 200, JSON),
        ("application/graphql-response+json, application/json;q=0.9", 200, RESPONSE),
        ("application/json;q=0.5, application/graphql-response+json;q=0.8", 200, RESPONSE),
        ("application/graphql-response+json;q=0, */*", 200, JSON),
        ("application/json, application/graphql-response+json", 200, JSON),
        ("image/png", 406, JSON),
        ("application/json;q=0", 406, JSON),
    ] {
        let answer =
            post_with(server.address, &format!("accept: {accept}"), &json!({ "query": "{ hello }" })).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(media)), "{accept}");
    }
    let none = post_with(server.address, "x-nothing: 1", &json!({ "query": "{ hello }" })).await;
    assert_eq!(none.header("content-type"), Some(JSON));
}

#[tokio::test]
async fn a_request_error_has_no_data_and_the_status_of_its_media_type() {
    let server = server().await;
    for text in
        ["{", "{ nonsense }", "query A { hello } query B { hello }", "query($v: Int!) { echo(value: $v) }"]
    {
        let body = json!({ "query": text });
        let modern = post(server.address, &body).await;
        let legacy = post_with(server.address, "accept: application/json", &body).await;
        assert_eq!((modern.status, legacy.status), (400, 200), "{text}");
        for answer in [modern, legacy] {
            assert_eq!(answer.code(), "INVALID_INPUT", "{text}");
            assert_eq!(answer.json().get("data"), None, "{text}");
        }
    }
}

#[tokio::test]
async fn a_post_of_anything_but_json_in_utf8_is_not_executed() {
    let server = server().await;
    let body = json!({ "query": "mutation { bump }" }).to_string();
    for kind in [
        "x-nothing: 1",
        "content-type: text/plain",
        "content-type: application/x-www-form-urlencoded",
        "content-type: multipart/form-data; boundary=x",
        "content-type: application/json; charset=iso-8859-1",
        "content-type: application/jsonp",
    ] {
        let answer = send(server.address, &format!("POST /graphql HTTP/1.1\n{kind}"), body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "INVALID_INPUT"), "{kind}");
    }
    assert_eq!(server.world.bumps.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_mutation_by_get_is_refused_and_does_not_run() {
    let server = server().await;
    let answer = send(server.address, "GET /graphql?query=mutation%7Bbump%7D HTTP/1.1", b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(server.world.bumps.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn other_methods_are_named_not_allowed_and_nothing_is_shared_across_origins() {
    let server = server().await;
    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        let answer = send(server.address, &format!("{method} /graphql HTTP/1.1"), b"").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD, POST, OPTIONS")),
            "{method}"
        );
    }
    let preflight =
        "OPTIONS /graphql HTTP/1.1\norigin: https://evil.example\naccess-control-request-method: POST";
    let answer = send(server.address, preflight, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, None));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let server = server().await;
    let text = format!("{{ hello }} #{}", "x".repeat(200_000));
    let body = json!({ "query": text }).to_string();
    let answer =
        send(server.address, "POST /graphql HTTP/1.1\ncontent-type: application/json", body.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "LIMIT_EXCEEDED"));
    let head =
        "POST /graphql HTTP/1.1\ncontent-type: application/json\ntransfer-encoding: chunked\nx-chunked: 1";
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!("{head}\nhost: x\nconnection: close\n\n").replace('\n', "\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let _ = stream.write_all(chunk.as_bytes()).await;
    assert_eq!(read_answer(stream).await.status, 413);
}

#[tokio::test]
async fn parameters_are_checked_before_anything_runs() {
    let server = server().await;
    for body in [
        "",
        "null",
        "\"x\"",
        "{}",
        "{\"query\":",
        "[{\"query\":\"{hello}\"}]",
        "{\"query\":null}",
        "{\"query\":1}",
        "{\"qeury\":\"{hello}\"}",
        "{\"query\":\"{hello}\",\"variables\":[]}",
        "{\"query\":\"{hello}\",\"variables\":\"{}\"}",
        "{\"query\":\"{hello}\",\"operationName\":1}",
        "{\"query\":\"{hello}\",\"extensions\":1}",
        "{\"query\":\"{hello}\",\"query\":\"{hello}\"}",
        "{\"query\":\"{hello}\",\"variables\":{},\"variables\":{}}",
    ] {
        for accept in ["application/json", "application/graphql-response+json"] {
            let head = format!("POST /graphql HTTP/1.1\ncontent-type: application/json\naccept: {accept}");
            let answer = send(server.address, &head, body.as_bytes()).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"), "{body}");
        }
    }
    let not_utf8 = b"{\"query\":\"{ hello }\",\"operationName\":\"\xff\xfe\"}";
    let head = "POST /graphql HTTP/1.1\ncontent-type: application/json";
    assert_eq!(send(server.address, head, not_utf8).await.status, 400);
    for target in
        ["", "?query=%7Bhello%7D&query=%7Bhello%7D", "?query=%7Bhello%7D&variables=x", "?variables=%7B%7D"]
    {
        assert_eq!(
            send(server.address, &format!("GET /graphql{target} HTTP/1.1"), b"").await.status,
            400,
            "{target}"
        );
    }
}

#[tokio::test]
async fn what_is_null_and_what_is_absent_are_the_same() {
    let server = server().await;
    let body =
        json!({ "query": "query A { hello }", "operationName": null, "variables": null, "extensions": null });
    assert_eq!(post(server.address, &body).await.json(), json!({ "data": { "hello": "world" } }));
}

#[tokio::test]
async fn credentials_that_are_not_good_are_refused_and_none_are_fine() {
    let server = server().await;
    let ask = |header: &'static str| async move {
        post_with(server.address, header, &json!({ "query": "{ viewer }" })).await
    };
    let bad = ask("authorization: Bearer bad").await;
    assert_eq!(
        (bad.status, bad.code().as_str(), bad.header("www-authenticate")),
        (401, "UNAUTHENTICATED", Some("Bearer"))
    );
    assert_eq!(ask("authorization: Bearer good").await.json(), json!({ "data": { "viewer": "anna" } }));
    assert_eq!(ask("x-nothing: 1").await.json(), json!({ "data": { "viewer": null } }));
}

#[tokio::test]
async fn a_browser_on_another_site_is_refused() {
    let listed = "https://door.example".to_owned();
    let server = serve(GraphqlConfig { allowed_origins: vec![listed], ..GraphqlConfig::default() }, 0).await;
    let own = format!("origin: http://{}", server.address);
    for (header, status) in [
        (own.as_str(), 200),
        ("origin: https://door.example", 200),
        ("sec-fetch-site: same-origin", 200),
        ("sec-fetch-site: none", 200),
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-site", 403),
    ] {
        let got =
            send(server.address, &format!("GET /graphql?query=%7Bhello%7D HTTP/1.1\n{header}"), b"").await;
        let posted = post_with(server.address, header, &json!({ "query": "{ hello }" })).await;
        assert_eq!((got.status, posted.status), (status, status), "{header}");
    }
}

#[tokio::test]
async fn a_resolvers_error_stays_inside() {
    let server = server().await;
    let answer = query(server.address, "{ hello broken }").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["data"], json!({ "hello": "world", "broken": null }));
    let error = json!({
        "message": "internal error",
        "locations": [{ "line": 1, "column": 9 }],
        "path": ["broken"],
        "extensions": { "code": "INTERNAL", "traceId": "trace-1" },
    });
    assert_eq!(answer.json()["errors"], json!([error]));
    let panicked = query(server.address, "{ panics }").await;
    assert_eq!((panicked.status, panicked.code().as_str()), (500, "INTERNAL"));
    assert_eq!(query(server.address, "{ hello }").await.status, 200);
}

#[tokio::test]
async fn an_operation_has_so_much_time_and_ends_when_its_client_goes() {
    let server = serve(GraphqlConfig { operation_timeout_ms: 200, ..GraphqlConfig::default() }, 0).await;
    let answer = query(server.address, "{ slow(ms: 60000) }").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(server.world.slow.load(Ordering::SeqCst), 0);

    let server = super::server().await;
    let body = json!({ "query": "{ slow(ms: 4000) }" }).to_string();
    let head = "POST /graphql HTTP/1.1\ncontent-type: application/json";
    let stream = request(server.address, head, body.as_bytes()).await;
    assert!(server.world.reaches(1).await);
    drop(stream);
    assert!(server.world.reaches(0).await);
}

#[tokio::test]
async fn the_schema_is_shown_to_whom_it_may_be() {
    let config = GraphqlConfig { introspection: Introspection::SignedIn, ..GraphqlConfig::default() };
    let server = serve(config, 0).await;
    let body = json!({ "query": "{ ... on Query { __schema { queryType { name } } } }" });
    let nobody = post(server.address, &body).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (403, "FORBIDDEN"));
    let anna = post_with(server.address, "authorization: Bearer good", &body).await;
    assert_eq!(anna.json(), json!({ "data": { "__schema": { "queryType": { "name": "Query" } } } }));
}

#[tokio::test]
async fn a_subscription_needs_a_stream() {
    let server = server().await;
    let answer = query(server.address, "subscription { ticks }").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"));
    let head = "HEAD /graphql?query=subscription%7Bticks%7D HTTP/1.1\naccept: text/event-stream";
    assert_eq!(send(server.address, head, b"").await.status, 400);
}

#[tokio::test]
async fn one_callers_operations_do_not_take_the_others_turn() {
    let config =
        GraphqlConfig { max_operations_per_caller: 1, operation_timeout_ms: 400, ..GraphqlConfig::default() };
    let server = serve(config, 0).await;
    let slow = json!({ "query": "{ slow(ms: 60000) }" });
    let hello = json!({ "query": "{ hello }" });
    let first = post(server.address, &slow);
    let rest = async {
        while server.world.slow.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let anna = post_with(server.address, "authorization: Bearer good", &hello).await;
        // Still running: the other answer came meanwhile.
        assert_eq!((anna.status, server.world.slow.load(Ordering::SeqCst)), (200, 1));
        post(server.address, &slow).await
    };
    let (first, second) = tokio::join!(first, rest);
    assert_eq!((first.status, second.status), (503, 503));
}

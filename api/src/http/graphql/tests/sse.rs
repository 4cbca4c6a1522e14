use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::GraphqlConfig;
use super::client::{post_with, read_answer, request, send};
use super::fixture::serve;
use super::server;

const ACCEPT: &str = "accept: text/event-stream";

fn head() -> String {
    format!("POST /graphql HTTP/1.1\ncontent-type: application/json\n{ACCEPT}")
}

#[tokio::test]
async fn a_subscription_is_a_stream_of_next_events_and_one_complete() {
    let server = server().await;
    let body = json!({ "query": "subscription { ticks(count: 2) }" });
    let answer = post_with(server.address, ACCEPT, &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(
        answer.body,
        ":\n\nevent: next\ndata: {\"data\":{\"ticks\":0}}\n\nevent: next\ndata: {\"data\":{\"ticks\":1}}\n\n\
         event: complete\ndata: \n\n"
    );
}

#[tokio::test]
async fn a_query_is_one_event_by_post_and_by_get() {
    let server = server().await;
    let posted = post_with(server.address, ACCEPT, &json!({ "query": "{ hello }" })).await;
    let got = send(server.address, &format!("GET /graphql?query=%7Bhello%7D HTTP/1.1\n{ACCEPT}"), b"").await;
    for answer in [posted, got] {
        assert_eq!(
            answer.body,
            ":\n\nevent: next\ndata: {\"data\":{\"hello\":\"world\"}}\n\nevent: complete\ndata: \n\n"
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_both_gets_a_stream_for_a_subscription_only() {
    let server = server().await;
    let accept = "accept: application/json, text/event-stream";
    let query = post_with(server.address, accept, &json!({ "query": "{ hello }" })).await;
    assert_eq!(query.json(), json!({ "data": { "hello": "world" } }));
    let stream =
        post_with(server.address, accept, &json!({ "query": "subscription { ticks(count: 1) }" })).await;
    assert!(stream.body.contains("event: next"), "{}", stream.body);
}

#[tokio::test]
async fn an_invalid_request_is_an_answer_to_a_post_and_an_event_to_an_event_source() {
    let server = server().await;
    let posted = post_with(server.address, ACCEPT, &json!({ "query": "subscription { nonsense }" })).await;
    assert_eq!((posted.status, posted.code().as_str()), (400, "INVALID_INPUT"));
    let target = "/graphql?query=subscription%7Bnonsense%7D";
    let got = send(server.address, &format!("GET {target} HTTP/1.1\n{ACCEPT}"), b"").await;
    assert_eq!(got.status, 200);
    assert!(got.body.starts_with("event: next\ndata: {\"errors\":["), "{}", got.body);
    assert!(got.body.ends_with("\n\nevent: complete\ndata: \n\n"), "{}", got.body);
}

#[tokio::test]
async fn a_source_that_fails_is_an_error_without_its_reason() {
    let server = server().await;
    let answer = post_with(server.address, ACCEPT, &json!({ "query": "subscription { refused }" })).await;
    assert!(answer.body.contains("\"code\":\"INTERNAL\""), "{}", answer.body);
    assert!(!answer.body.contains("disk"), "{}", answer.body);
    assert!(answer.body.ends_with("event: complete\ndata: \n\n"), "{}", answer.body);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let server = serve(GraphqlConfig { sse_keepalive_ms: 20, ..GraphqlConfig::default() }, 0).await;
    let body = json!({ "query": "subscription { ticks(intervalMs: 200, count: 1) }" });
    let answer = post_with(server.address, ACCEPT, &body).await;
    assert!(answer.body.matches(":\n\n").count() >= 3, "{}", answer.body);
}

#[tokio::test]
async fn a_stream_ends_with_its_callers_rights() {
    let soon = GraphqlConfig { reauthorise_ms: 30, ..GraphqlConfig::default() };
    // At the next look, or before it once there is something to tell.
    for (config, query) in
        [(soon, "subscription { bumped }"), (GraphqlConfig::default(), "subscription { ticks }")]
    {
        let server = serve(config, 0).await;
        let body = json!({ "query": query }).to_string();
        let stream = request(server.address, &head(), body.as_bytes()).await;
        server.world.valid.store(false, Ordering::SeqCst);
        let answer = read_answer(stream).await;
        assert!(answer.body.contains("\"code\":\"UNAUTHENTICATED\""), "{}", answer.body);
        assert!(answer.body.ends_with("event: complete\ndata: \n\n"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_stream_that_we_end_is_not_complete() {
    let server = server().await;
    let body = json!({ "query": "subscription { bumped }" }).to_string();
    let stream = request(server.address, &head(), body.as_bytes()).await;
    server.shutdown.send_replace(true);
    let answer = read_answer(stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ":\n\n"));
}

#[tokio::test]
async fn a_caller_can_have_so_many_streams_open() {
    let server = serve(GraphqlConfig { max_connections_per_caller: 2, ..GraphqlConfig::default() }, 0).await;
    let body = json!({ "query": "subscription { bumped }" });
    let bytes = body.to_string();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = request(server.address, &head(), bytes.as_bytes()).await;
        // The head of the answer is there once the place is taken.
        tokio::io::AsyncReadExt::read_u8(&mut stream).await.expect("an answer");
        open.push(stream);
    }
    let third = post_with(server.address, ACCEPT, &body).await;
    assert_eq!((third.status, third.code().as_str()), (429, "LIMIT_EXCEEDED"));
    let other = json!({ "query": "subscription { ticks(count: 1) }" });
    let anna = post_with(server.address, &format!("{ACCEPT}\nauthorization: Bearer good"), &other).await;
    assert_eq!(anna.status, 200);
}

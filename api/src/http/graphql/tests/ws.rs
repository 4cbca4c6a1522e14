use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{GraphqlConfig, WebsocketConfig};
use super::client::{Frame, Socket};
use super::fixture::serve;
use super::server;

const PROTOCOL: &str = "sec-websocket-protocol: graphql-transport-ws";

fn config(change: impl FnOnce(&mut WebsocketConfig)) -> GraphqlConfig {
    let mut config = GraphqlConfig::default();
    change(&mut config.websocket);
    config
}

#[tokio::test]
async fn a_subscription_is_next_messages_and_one_complete() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    for _ in 0..2 {
        // The second time the id is free again.
        socket.subscribe("a", "subscription { ticks(count: 2) }").await;
        for tick in 0..2 {
            let next = json!({ "type": "next", "id": "a", "payload": { "data": { "ticks": tick } } });
            assert_eq!(socket.message().await, next);
        }
        assert_eq!(socket.message().await, json!({ "type": "complete", "id": "a" }));
    }
}

#[tokio::test]
async fn a_query_and_a_mutation_are_one_next_and_complete() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    for (text, data) in
        [("{ hello }", json!({ "hello": "world" })), ("mutation { bump }", json!({ "bump": 1 }))]
    {
        socket.subscribe("q", text).await;
        assert_eq!(socket.message().await, json!({ "type": "next", "id": "q", "payload": { "data": data } }));
        assert_eq!(socket.message().await, json!({ "type": "complete", "id": "q" }));
    }
}

#[tokio::test]
async fn request_errors_are_error_messages_and_the_socket_goes_on() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    for (text, code) in [
        ("{", "INVALID_INPUT"),
        ("{ nonsense }", "INVALID_INPUT"),
        ("query($v: Int!) { echo(value: $v) }", "INVALID_INPUT"),
        ("subscription { refused }", "INTERNAL"),
    ] {
        socket.subscribe("e", text).await;
        let message = socket.message().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("e")), "{text}");
        assert_eq!(message["payload"][0]["extensions"]["code"], json!(code), "{text}");
        assert!(!message.to_string().contains("disk"), "{message}");
    }
    socket.send(&json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let server = server().await;
    let init = json!({ "type": "connection_init" });
    let ticks = json!({ "id": "a", "type": "subscribe", "payload": { "query": "subscription { ticks }" } });
    let cases: Vec<(u16, Vec<Value>)> = vec![
        (4401, vec![ticks.clone()]),
        (4429, vec![init.clone(), init.clone()]),
        (4409, vec![init.clone(), ticks.clone(), ticks.clone()]),
        (4403, vec![json!({ "type": "connection_init", "payload": { "token": "bad" } })]),
        (4400, vec![json!({ "type": "connection_init", "payload": "x" })]),
        (4400, vec![json!([])]),
        (4400, vec![json!({ "payload": {} })]),
        (4400, vec![json!({ "type": 1 })]),
        (
            4400,
            vec![init.clone(), json!({ "type": "start", "id": "a", "payload": { "query": "{ hello }" } })],
        ),
        (4400, vec![init.clone(), json!({ "type": "next", "id": "a", "payload": {} })]),
        (4400, vec![init.clone(), json!({ "type": "complete" })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "payload": { "query": "{ hello }" } })]),
        (
            4400,
            vec![init.clone(), json!({ "type": "subscribe", "id": "", "payload": { "query": "{ hello }" } })],
        ),
        (
            4400,
            vec![init.clone(), json!({ "type": "subscribe", "id": 1, "payload": { "query": "{ hello }" } })],
        ),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": "a" })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": "a", "payload": {} })]),
        (
            4400,
            vec![
                init,
                json!({ "type": "subscribe", "id": "a", "payload": { "query": "{ hello }", "variables": [] } }),
            ],
        ),
    ];
    for (code, messages) in cases {
        let mut socket = Socket::open(server.address).await;
        for message in &messages {
            socket.send(message).await;
        }
        assert_eq!(socket.closed().await, Some(code), "{messages:?}");
    }
}

#[tokio::test]
async fn frames_that_hold_no_message_have_their_close_codes() {
    let server = server().await;
    let large = vec![b'x'; 70_000];
    for (code, opcode, payload) in [
        (4400, 1, b"nonsense".as_slice()),
        (4400, 2, b"{}".as_slice()),
        (1007, 1, b"\xff\xfe".as_slice()),
        (1009, 1, large.as_slice()),
        (1002, 5, b"".as_slice()),
    ] {
        let mut socket = Socket::ready(server.address).await;
        socket.frame(opcode, payload).await;
        assert_eq!(socket.closed().await, Some(code), "opcode {opcode}, {} bytes", payload.len());
    }
}

#[tokio::test]
async fn a_socket_that_is_not_initialised_is_closed() {
    let server = serve(config(|websocket| websocket.init_timeout_ms = 50), 0).await;
    assert_eq!(Socket::open(server.address).await.closed().await, Some(4408));
    let mut socket = Socket::ready(server.address).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    socket.send(&json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn other_protocols_and_other_origins_are_refused() {
    let server = server().await;
    for protocol in ["sec-websocket-protocol: graphql-ws", "x-nothing: 1"] {
        let mut socket = Socket::open_with(server.address, protocol).await.expect("an upgrade");
        assert_eq!(socket.closed().await, Some(4406));
    }
    for (header, status) in
        [("origin: https://evil.example", 403), ("origin: null", 403), ("authorization: Bearer bad", 401)]
    {
        let refused = Socket::open_with(server.address, &format!("{PROTOCOL}\n{header}")).await.err();
        assert_eq!(refused, Some(status), "{header}");
    }
    let own = format!("{PROTOCOL}\norigin: http://{}", server.address);
    assert!(Socket::open_with(server.address, &own).await.is_ok());
}

#[tokio::test]
async fn the_caller_is_who_the_payload_says_or_who_opened_the_socket() {
    let server = server().await;
    let anna = format!("{PROTOCOL}\nauthorization: Bearer good");
    for (headers, payload) in [(PROTOCOL, json!({ "token": "good" })), (anna.as_str(), json!({}))] {
        let mut socket = Socket::open_with(server.address, headers).await.expect("an upgrade");
        socket.send(&json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.message().await["type"], json!("connection_ack"));
        socket.subscribe("v", "{ viewer }").await;
        assert_eq!(socket.message().await["payload"]["data"]["viewer"], json!("anna"));
    }
}

#[tokio::test]
async fn nothing_follows_when_the_client_completes() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    socket.subscribe("a", "subscription { ticks(intervalMs: 5) }").await;
    assert_eq!(socket.message().await["id"], json!("a"));
    socket.send(&json!({ "type": "complete", "id": "a" })).await;
    socket.send(&json!({ "type": "complete", "id": "never seen" })).await;
    socket.send(&json!({ "type": "ping", "payload": { "mark": 1 } })).await;
    // What was under way may come before the pong, nothing after it.
    while socket.message().await != json!({ "type": "pong", "payload": { "mark": 1 } }) {}
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.subscribe("a", "{ hello }").await;
    assert_eq!(socket.message().await["payload"]["data"]["hello"], json!("world"));
}

#[tokio::test]
async fn a_socket_has_so_many_operations_and_so_many_messages() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    for n in 0..16 {
        socket.subscribe(&format!("s{n}"), "subscription { bumped }").await;
    }
    socket.subscribe("one more", "subscription { bumped }").await;
    let refused = socket.message().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("one more")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], json!("LIMIT_EXCEEDED"));
    for _ in 0..80 {
        socket.send(&json!({ "type": "pong" })).await;
    }
    assert_eq!(socket.closed().await, Some(4429));
}

#[tokio::test]
async fn a_socket_ends_with_its_callers_rights_and_with_the_server() {
    let server = serve(GraphqlConfig { reauthorise_ms: 30, ..GraphqlConfig::default() }, 0).await;
    let mut socket = Socket::ready(server.address).await;
    server.world.valid.store(false, Ordering::SeqCst);
    assert_eq!(socket.closed().await, Some(4403));

    // Also before the next look, once there is something to tell.
    let server = super::server().await;
    let mut socket = Socket::ready(server.address).await;
    socket.subscribe("a", "subscription { ticks }").await;
    assert_eq!(socket.message().await["payload"]["data"]["ticks"], json!(0));
    server.world.valid.store(false, Ordering::SeqCst);
    assert_eq!(socket.closed().await, Some(4403));

    let server = super::server().await;
    let mut socket = Socket::ready(server.address).await;
    socket.subscribe("a", "subscription { ticks }").await;
    server.shutdown.send_replace(true);
    assert_eq!(socket.closed().await, Some(1001));
}

#[tokio::test]
async fn a_client_that_is_silent_is_dropped() {
    let server = serve(config(|websocket| websocket.keepalive_ms = 30), 0).await;
    let mut socket = Socket::ready(server.address).await;
    assert_eq!(socket.next().await, Frame::Ping);
    assert_eq!(socket.closed().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let limits = |websocket: &mut WebsocketConfig| {
        websocket.send_timeout_ms = 100;
        websocket.max_frame = 100_000;
        websocket.max_subscriptions = 1000;
        websocket.message_burst = 1000;
    };
    let server = serve(config(limits), 0).await;
    let mut socket = Socket::ready(server.address).await;
    // Some 100 KB an answer, so that the buffers of the two kernels are soon full.
    let ids = json!(vec!["x".repeat(500); 100]).to_string();
    for n in 0..200 {
        socket.subscribe(&format!("s{n}"), &format!("{{ items(ids: {ids}) {{ id name }} }}")).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // All that was sent can still be read; then there is the end, and no farewell.
    assert_eq!(socket.closed().await, None);
}

#[tokio::test]
async fn an_operation_ends_when_the_client_completes_it_or_goes() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    socket.subscribe("a", "{ slow(ms: 4000) }").await;
    socket.subscribe("b", "{ slow(ms: 4000) }").await;
    assert!(server.world.reaches(2).await);
    socket.send(&json!({ "type": "complete", "id": "a" })).await;
    assert!(server.world.reaches(1).await);
    drop(socket);
    assert!(server.world.reaches(0).await);
}

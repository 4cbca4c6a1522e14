//! Documents that are meant to hurt, and those that only look like it.
#![allow(clippy::disallowed_methods, reason = "how long the machine takes is what is measured")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::GraphqlConfig;
use super::super::introspection::STANDARD;
use super::client::{Socket, post, query};
use super::fixture::serve;
use super::server;

/// No document may hold a worker for longer, here without optimisation.
const SOON: Duration = Duration::from_secs(1);

/// Thirty fragments, each with two spreads of the next: written out they are a thousand million fields.
fn doubling() -> String {
    let links: String =
        (0..30).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
    format!("{{ ...F0 }} {links} fragment F30 on Query {{ hello }}")
}

fn bombs() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("nested lists", format!("{{ items(ids: {}", "[".repeat(4000)), "LIMIT_EXCEEDED"),
        ("nested selections", "{self".repeat(1000), "LIMIT_EXCEEDED"),
        ("nested objects", format!("{{ items(ids: {}", "{a:".repeat(4000)), "LIMIT_EXCEEDED"),
        ("nested types", format!("query($a: {}Int", "[".repeat(4000)), "LIMIT_EXCEEDED"),
        ("nesting after an open string", format!("{{ hello(a: \"\n {}", "[".repeat(4000)), "LIMIT_EXCEEDED"),
        ("nesting after an escaped block", format!("\"\"\"\\\"\"\"\"\"\" {}", "[".repeat(4000)), "LIMIT_EXCEEDED"),
        ("fragments that double", doubling(), "LIMIT_EXCEEDED"),
        ("one field many times", format!("{{ {} }}", "hello ".repeat(20_000)), "LIMIT_EXCEEDED"),
        ("many aliases", format!("{{ {} }}", (0..300).map(|n| format!("a{n}: hello ")).collect::<String>()), "LIMIT_EXCEEDED"),
        ("deep fields", format!("{}{{ hello }}{}", "{ self ".repeat(16), "}".repeat(16)), "LIMIT_EXCEEDED"),
        ("many directives", "{ hello @skip(if: false) @skip(if: false) @skip(if: false) @skip(if: false) @skip(if: false) }".into(), "LIMIT_EXCEEDED"),
        ("directives without end", format!("{{ hello {} }}", "@a".repeat(50_000)), "LIMIT_EXCEEDED"),
        (
            "a long chain of fragments",
            format!("{{ ...F0 }} {} fragment F150 on Query {{ hello }}", (0..150).map(|n| format!("fragment F{n} on Query {{ ...F{} }} ", n + 1)).collect::<String>()),
            "LIMIT_EXCEEDED",
        ),
        ("a cycle", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".into(), "INVALID_INPUT"),
        ("a cycle that is not used", "{ hello } fragment A on Query { self { ...A } }".into(), "INVALID_INPUT"),
        ("an unknown directive on __typename", "{ __typename @nonsense }".into(), "INVALID_INPUT"),
        ("an argument of __typename", "{ __typename(a: 1) }".into(), "INVALID_INPUT"),
        ("a selection of __typename", "{ __typename { x } }".into(), "INVALID_INPUT"),
        ("a conflict through fragments", "{ ...A ...B } fragment A on Query { self { a: hello } } fragment B on Query { self { a: __typename } }".into(), "INVALID_INPUT"),
        ("two operations of one name", "query A { hello } query A { hello }".into(), "INVALID_INPUT"),
        ("an unused fragment", "{ hello } fragment A on Query { hello }".into(), "INVALID_INPUT"),
        ("a type definition", "type Query { a: Int }".into(), "INVALID_INPUT"),
    ]
}

#[tokio::test]
async fn bad_documents_are_refused_soon_over_http() {
    let server = server().await;
    for (name, text, code) in bombs() {
        let since = Instant::now();
        let answer = query(server.address, &text).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{name}: {}", answer.body);
        assert!(since.elapsed() < SOON, "{name}: {:?}", since.elapsed());
    }
    assert_eq!(query(server.address, "{ hello }").await.status, 200);
}

#[tokio::test]
async fn bad_documents_are_refused_soon_over_a_socket() {
    let server = server().await;
    let mut socket = Socket::ready(server.address).await;
    for (name, text, code) in bombs().into_iter().filter(|(_, text, _)| text.len() < 14_000) {
        let since = Instant::now();
        socket.subscribe("1", &text).await;
        let message = socket.message().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{name}: {message}");
        assert_eq!(message["payload"][0]["extensions"]["code"], json!(code), "{name}: {message}");
        assert!(since.elapsed() < SOON, "{name}: {:?}", since.elapsed());
    }
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.message().await["payload"]["data"]["hello"], json!("world"));
}

#[tokio::test]
async fn brackets_in_strings_and_comments_do_not_count() {
    let server = server().await;
    let brackets = "[{(".repeat(100);
    for text in [
        format!("{{ items(ids: [\"{brackets}\"]) {{ id }} }}"),
        format!("{{ items(ids: [\"\\\"{brackets}\\\\\"]) {{ id }} }}"),
        format!("{{ items(ids: [\"\"\"{brackets}\" \\\"\"\" \n {brackets}\"\"\"]) {{ id }} }}"),
        format!("# {brackets}\n{{ hello }} # {brackets}"),
        format!("{{ hello }} # {}", "word ".repeat(5000)),
    ] {
        let answer = query(server.address, &text).await;
        assert_eq!((answer.status, answer.json().get("errors")), (200, None), "{text}");
    }
}

#[tokio::test]
async fn a_document_up_to_the_limits_is_served() {
    let server = server().await;
    let deep = format!("{}{{ hello }}{}", "{ self ".repeat(14), "}".repeat(14));
    let wide = format!("{{ {} }}", (0..200).map(|n| format!("a{n}: hello ")).collect::<String>());
    for text in [deep, wide] {
        let answer = query(server.address, &text).await;
        assert_eq!((answer.status, answer.json().get("errors")), (200, None), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_introspection_query_of_the_tools_passes() {
    let server = server().await;
    let answer = query(server.address, STANDARD).await;
    assert_eq!((answer.status, answer.json().get("errors")), (200, None), "{}", answer.body);
    assert_eq!(answer.json()["data"]["__schema"]["queryType"]["name"], json!("Query"));
}

/// What clients ask of a schema besides: by name, to know what an interface may be, with `__typename` everywhere.
#[tokio::test]
async fn other_questions_about_the_schema_pass_up_to_what_the_tools_ask() {
    let server = server().await;
    let by_name = (0..8)
        .map(|n| format!("t{n}: __type(name: \"Query\") {{ name fields {{ name type {{ name }} }} }} "));
    let everywhere =
        STANDARD.replace("{ kind name", "{ __typename kind name").replace("{ name", "{ __typename name");
    for text in [
        format!("{{ {} }}", by_name.collect::<String>()),
        "query($name: String!) { __type(name: $name) { fields { name args { name } type { name ofType { name } } } } }".into(),
        "{ __schema { types { kind name possibleTypes { name } } } }".into(),
        everywhere,
    ] {
        let body = json!({ "query": text, "variables": { "name": "Query" } });
        let answer = post(server.address, &body).await;
        assert_eq!((answer.status, answer.json().get("errors")), (200, None), "{text}: {}", answer.body);
    }
}

#[tokio::test]
async fn no_more_of_the_schema_is_told_at_once_than_the_tools_ask_for() {
    let server = server().await;
    let aliases = |field: &str| (0..190).map(|n| format!("a{n}: {field} ")).collect::<String>();
    let whole = STANDARD.strip_prefix("query IntrospectionQuery { ").unwrap();
    let (whole, fragments) = whole.split_once(" } fragment").unwrap();
    for (name, text) in [
        ("the whole twice", format!("{{ a: {whole} b: {whole} }} fragment{fragments}")),
        ("in two operations", format!("query A {{ {whole} }} query B {{ {whole} }} fragment{fragments}")),
        ("one name many times", format!("{{ {} }}", aliases("__schema { types { name } }"))),
        ("many lists", format!("{{ __schema {{ {} }} }}", aliases("types { name }"))),
        (
            "one text many times",
            format!("{{ __schema {{ types {{ fields {{ {} }} }} }} }}", aliases("description")),
        ),
        (
            "by a variable",
            format!("query($n: String!) {{ {} }}", aliases("__type(name: $n) { fields { name } }")),
        ),
        (
            "through fragments",
            format!(
                "{{ ...A }} fragment A on Query {{ {} }} fragment T on __Type {{ fields {{ name }} }}",
                aliases("__schema { types { ... on __Type { ...T } } }")
            ),
        ),
    ] {
        let answer = post(server.address, &json!({ "query": text, "variables": { "n": "Query" } })).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "LIMIT_EXCEEDED"),
            "{name}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn whoever_asks_for_the_schema_waits_for_their_turn_and_nobody_else_does() {
    let server = server().await;
    let running = || server.world.slow.load(Ordering::SeqCst);
    let long = query(server.address, "{ __schema { queryType { name } } slow(ms: 1500) }");
    let rest = async {
        assert!(server.world.reaches(1).await);
        assert_eq!((query(server.address, "{ hello }").await.status, running()), (200, 1));
        let next = query(server.address, "{ __schema { queryType { name } } }").await;
        assert_eq!((next.status, running()), (200, 0));
    };
    let (long, ()) = tokio::join!(long, rest);
    assert_eq!(long.status, 200);
}

#[tokio::test]
async fn an_error_tells_neither_other_names_nor_the_document() {
    let server = server().await;
    let near = query(server.address, "{ helo }").await;
    assert!(!near.body.contains("hello"), "{}", near.body);
    let broken = query(server.address, "{ items(ids: [\"the-secret\"]) { id }").await;
    assert_eq!(broken.json()["errors"][0]["locations"][0]["line"], json!(1));
    assert!(!broken.body.contains("the-secret"), "{}", broken.body);
    let body = json!({ "query": "query($v: Int!) { echo(value: $v) }", "variables": { "v": "the-secret" } });
    let variable = post(server.address, &body).await;
    assert_eq!(variable.status, 400);
    assert!(!variable.body.contains("the-secret"), "{}", variable.body);
}

#[tokio::test]
async fn a_document_that_is_remembered_is_still_checked_against_its_variables() {
    let server = server().await;
    for value in [json!(1), json!("x"), json!(2), json!(null), json!(3)] {
        let body = json!({ "query": "query($v: Int!) { echo(value: $v) }", "variables": { "v": value } });
        let answer = post(server.address, &body).await;
        if value.is_number() {
            assert_eq!(answer.json(), json!({ "data": { "echo": value } }));
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"), "{value}");
        }
    }
}

#[tokio::test]
async fn what_only_the_schema_can_count_is_limited_too() {
    let server = serve(GraphqlConfig { complexity: 3, ..GraphqlConfig::default() }, 0).await;
    let answer = query(server.address, "{ a: hello b: hello c: hello d: hello }").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "LIMIT_EXCEEDED"));
    assert_eq!(query(server.address, "{ hello }").await.status, 200);
}

#[tokio::test]
async fn the_answer_has_the_shape_of_the_document() {
    let server = server().await;
    for (text, data) in [
        ("{ hello @skip(if: true) }", r#"{}"#),
        ("{ self { hello @skip(if: true) } }", r#"{"self":{}}"#),
        ("{ late hello }", r#"{"late":"at last","hello":"world"}"#),
        (
            "{ self { late ...A } } fragment A on Query { hello b: late }",
            r#"{"self":{"late":"at last","hello":"world","b":"at last"}}"#,
        ),
        (
            "{ self { late } hello self { hello } }",
            r#"{"self":{"late":"at last","hello":"world"},"hello":"world"}"#,
        ),
        ("{ broken }", r#"{"broken":null}"#),
        ("{ broken hello }", r#"{"broken":null,"hello":"world"}"#),
        ("{ self { a: broken hello } }", r#"{"self":{"a":null,"hello":"world"}}"#),
        ("{ needed hello }", "null"),
        ("{ self { needed hello } hello }", "null"),
        ("{ maybe { needed hello } hello }", r#"{"maybe":null,"hello":"world"}"#),
        ("{ maybe { self { needed } hello } hello }", r#"{"maybe":null,"hello":"world"}"#),
        (
            "{ maybe { maybe { needed } hello } hello }",
            r#"{"maybe":{"maybe":null,"hello":"world"},"hello":"world"}"#,
        ),
    ] {
        let answer = query(server.address, text).await;
        let (_, shown) = answer.body.split_once("\"data\":").expect("data");
        assert_eq!((answer.status, shown), (200, format!("{data}}}").as_str()), "{text}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_field_that_is_selected_twice_runs_once() {
    let server = server().await;
    for (text, data) in [
        ("mutation { bump bump }", json!({ "bump": 1 })),
        (
            "mutation { bump ...A ... { bump } ... on Mutation { bump } } fragment A on Mutation { bump }",
            json!({ "bump": 2 }),
        ),
        ("mutation { bump a: bump bump }", json!({ "bump": 3, "a": 4 })),
        (
            "query { self { hello ...A } ...B } fragment A on Query { late } fragment B on Query { self { late echo(value: 1) } }",
            json!({ "self": { "hello": "world", "late": "at last", "echo": 1 } }),
        ),
        ("mutation { bump @skip(if: true) bump }", json!({ "bump": 5 })),
    ] {
        assert_eq!(query(server.address, text).await.json(), json!({ "data": data }), "{text}");
    }
}

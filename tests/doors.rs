//! What HTTP asks of every door, whatever is behind it; and who is let through when strangers push.

use linkspan::peer::wire;
use reqwest::{Response, StatusCode};
use serde_json::json;

use crate::harness::browser::{Form, form};
use crate::harness::{Client, Database, Pair};
use crate::secrets::code_in;

const FORM: &str = "application/x-www-form-urlencoded";
const ADMIN: &str = "admin@provider.example.com";

async fn post_with(
    pair: &Pair,
    path: &str,
    kind: &str,
    body: String,
    headers: &[(&'static str, &str)],
) -> Response {
    let origin = &pair.provider.origin;
    let mut request = pair.provider.client().http().post(format!("{origin}{path}")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.header("content-type", kind).header("origin", origin).send().await.unwrap()
}

/// The instance by another name than its own.
fn known_as(pair: &Pair, host: &str) -> Client {
    let origin = pair.provider.origin.replace("provider.localhost", host);
    Client::reaching(&pair.provider.origin, &origin, &pair.provider.ca)
}

async fn bodies(pair: &Pair) {
    let big = || "a".repeat(600 * 1_024);
    for (path, kind, body, status) in [
        ("/oauth/par", FORM, big(), 413),
        ("/oauth/token", "application/json", "{}".to_owned(), 415),
        (wire::CLAIM, "application/json", big(), 413),
        (wire::MESSAGE, "application/json", big(), 413),
        (wire::CLAIM, "text/plain", "{}".to_owned(), 415),
        (wire::CLAIM, "Application/JSON; charset=utf-8", "{}".to_owned(), 400),
        ("/sign-in", FORM, big(), 413),
        ("/sign-in", "application/json", "{}".to_owned(), 415),
        ("/graphql", "APPLICATION/JSON", json!({ "query": "{ __typename }" }).to_string(), 200),
    ] {
        let answer = post_with(pair, path, kind, body, &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {kind}");
    }
    for path in ["/graphql", "/sign-in", "/oauth/par", wire::CLAIM] {
        let body = json!({ "query": "{ __typename }" }).to_string();
        let coded = post_with(pair, path, "application/json", body, &[("content-encoding", "gzip")]).await;
        assert_eq!(coded.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        assert_eq!(coded.headers()["accept-encoding"], "identity", "{path}");
    }
}

async fn challenges(pair: &Pair) {
    for (path, tried, challenge) in [
        ("/oauth/par", "", "Bearer error=\"invalid_client\""),
        ("/oauth/token", "basic YTpi", "Basic realm=\"linkspan\""),
        ("/oauth/revoke", "Bearer a", "Bearer error=\"invalid_client\""),
    ] {
        let answer = post_with(pair, path, FORM, String::new(), &[("authorization", tried)]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], challenge, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_answers_under_its_name_and_with_the_status_that_http_has_for_it() {
    let pair = Pair::start(Database::Sqlite).await;
    for (host, known) in [("evil.localhost", false), ("127.0.0.1", true)] {
        let elsewhere = known_as(&pair, host);
        for path in ["/", "/sign-in", "/graphql?query=%7B__typename%7D"] {
            let status = elsewhere.get(path).await.status;
            assert_eq!(status != 421, known, "{host} {path}: {status}");
        }
        for path in ["/livez", "/readyz", wire::IDENTITY] {
            assert_eq!(elsewhere.get(path).await.status, 200, "{host} {path}");
        }
    }
    bodies(&pair).await;
    challenges(&pair).await;
}

/// Posts a form of the sign-in pages from somewhere behind the proxy; answers the status.
async fn try_from(pair: &Pair, from: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    post_with(pair, path, FORM, body, &[("x-forwarded-for", from)]).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_guesses_locks_nobody_out() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        pair.run().await;
        let stranger = "203.0.113.5";
        let mut tries = Vec::new();
        for _ in 0..12 {
            let fields = [("email", ADMIN), ("password", "not the password")];
            tries.push(try_from(&pair, stranger, "/sign-in", &fields).await);
        }
        assert_eq!((tries[0], tries[11]), (403, 429), "the stranger has to wait: {tries:?}");
        pair.provider_admin().await;

        // The other way in: the letters that a stranger asks for, and the codes they try, are theirs.
        let person = pair.provider.client();
        let page = person.get("/sign-in").await;
        let ask = Form { action: "/sign-in/code".to_owned(), ..form(&page, &["email"]) };
        let page = person.submit(&page, ask, &[("email", ADMIN)]).await;
        pair.settle().await;
        let code = code_in(pair.provider.letters().last().unwrap());
        for _ in 0..6 {
            try_from(&pair, stranger, "/sign-in/code", &[("email", ADMIN)]).await;
            let fields = [("email", ADMIN), ("code", "00000000")];
            assert_eq!(try_from(&pair, stranger, "/sign-in/code/verify", &fields).await, 403);
        }
        assert_eq!(try_from(&pair, stranger, "/sign-in/code", &[("email", ADMIN)]).await, 429);
        let page = person.submit(&page, form(&page, &["code"]), &[("email", ADMIN), ("code", &code)]).await;
        assert_eq!(page.status, 303, "{}", page.body);
    }
}

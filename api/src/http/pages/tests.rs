use axum::body::to_bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::*;
use crate::domain::person::EmailAddress;

const HERE: Instance<'static> = Instance { name: "Northwind-IT", origin: "https://provider.example" };

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

/// Every page, filled with text that means something to HTML.
fn pages() -> Vec<(&'static str, String)> {
    let (reader, other) = (address("person@consumer.example"), address("other@consumer.example"));
    let sign_in = SignIn {
        instance: HERE,
        reason: Some("To approve the connection of Lovelace & Söhne <b>."),
        error: Some("The address and the password do not belong together."),
        email: "\"><script>alert(1)</script>",
        code_by_mail: true,
        return_to: "/oauth/authorize?request_uri=urn:x&client_id=1",
        csrf: "csrf",
    };
    let code = Code {
        instance: HERE,
        email: "person@consumer.example",
        minutes: 10,
        error: None,
        password_url: "/sign-in?return_to=%2F",
        return_to: "/",
        csrf: "csrf",
    };
    let consent = Consent {
        instance: HERE,
        action: "/oauth/decision",
        signed_in_name: "A Person",
        signed_in_email: &reader,
        company_name: "Lovelace & Söhne <b>",
        consumer_origin: "https://consumer.example",
        provider_name: "Northwind-IT",
        registration_number: "REG-000001",
        fingerprint: "12345 67890 12345 67890",
        scopes: &["Exchange keys with this instance, once.", "Send and receive messages through it."],
        expires_at: "18 November 2026 at 11:06 UTC",
        request: "request",
        return_to: "/oauth/authorize?request_uri=urn:x",
        csrf: "csrf",
    };
    let mismatch = Mismatch {
        instance: HERE,
        expected: reader.masked(),
        signed_in_name: "Bob",
        signed_in_email: &other,
        company_name: "Lovelace & Söhne <b>",
        provider_name: "Northwind-IT",
        registration_number: "REG-000001",
        reference: "4bf92f3577b34da6a3ce929d0e0e4736",
        return_to: "/oauth/authorize?request_uri=urn:x",
        csrf: "csrf",
    };
    let message = Message {
        instance: HERE,
        title: "This link has expired",
        happened: "The registration link was good until 18 November 2026.",
        why: Some("Links are good for seven days, so that a lost letter cannot be used later."),
        what_to_do: &["Ask Northwind-IT for a new link.", "Name REG-000001."],
        go_on: Some(("To the start", "/")),
        reference: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
    };
    let connect =
        Connect { instance: HERE, error: None, kept: None, provider: "", signed_in: None, csrf: "csrf" };
    let links =
        [DocsLink { address: "/docs/refusals/conflict".to_owned(), code: "CONFLICT", label: "Conflict" }];
    let docs = Docs { instance: HERE, checks: &[], refusals: &links };
    let sides = vec![OutageSide { whose: "This side <b>", lines: vec!["Outbound: Down <b>.".to_owned()] }];
    let outages = [OutageSection { name: "LINE_CLOSED", happens: "It <b> breaks.", sides }];
    let outages = Outages { instance: HERE, recovered: 5, outages: &outages };
    let not_an_administrator = NotAnAdministrator {
        instance: HERE,
        signed_in_name: "Another Person",
        signed_in_email: "other@consumer.example",
        reference: "4bf92f3577b34da6a3ce929d0e0e4736",
        return_to: "/connect?kept=k",
        csrf: "csrf",
    };
    let signed_out = SignedOut { instance: HERE, sign_in_url: "/sign-in" };
    let render = |page: Result<String, askama::Error>| page.unwrap();
    vec![
        ("sign-in", render(askama::Template::render(&sign_in))),
        ("code", render(askama::Template::render(&code))),
        ("consent", render(askama::Template::render(&consent))),
        ("mismatch", render(askama::Template::render(&mismatch))),
        ("message", render(askama::Template::render(&message))),
        ("connect", render(askama::Template::render(&connect))),
        ("docs", render(askama::Template::render(&docs))),
        ("outages", render(askama::Template::render(&outages))),
        ("not-an-administrator", render(askama::Template::render(&not_an_administrator))),
        ("signed-out", render(askama::Template::render(&signed_out))),
    ]
}

#[test]
fn no_page_has_anything_inline_and_each_has_one_heading() {
    for (name, html) in pages() {
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        let handler = |word: &str| word.starts_with("on") && word.contains("=\"");
        assert!(!html.contains("style=\"") && !html.contains("<style"), "{name}");
        assert!(!html.split_whitespace().any(handler), "{name}");
        assert!(!html.contains("<script>"), "{name}");
        assert!(!html.contains("<b>"), "{name}");
    }
}

#[test]
fn the_wrong_person_learns_no_address() {
    let (_, html) = pages().swap_remove(3);
    assert!(html.contains("p•••@consumer.example") && html.contains("other@consumer.example"));
    assert!(!html.contains("person@"));
}

#[test]
fn who_is_refused_finds_the_field_again() {
    let (_, refused) = pages().swap_remove(0);
    assert!(refused.contains("<title>Not signed in – Sign in – Linkspan</title>"), "{refused}");
    assert_eq!(
        (refused.matches("aria-invalid=\"true\"").count(), refused.matches(" autofocus").count()),
        (2, 1)
    );
    let (_, first) = pages().swap_remove(1);
    assert!(first.contains("<title>Enter your code – Linkspan</title>"), "{first}");
    assert!(!first.contains("aria-invalid") && !first.contains("autofocus"));
}

#[tokio::test]
async fn a_page_may_post_home_and_on_request_be_sent_to_one_other_origin() {
    let view = SignedOut { instance: HERE, sign_in_url: "/sign-in" };
    let policy = |response: &axum::response::Response| {
        response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    };
    let home = page(StatusCode::OK, &view);
    assert!(policy(&home).contains("form-action 'self';"), "{}", policy(&home));
    let target = Url::parse("https://consumer.example:8443/oauth/callback?x=1").unwrap();
    let away = page_with_form_target(StatusCode::FORBIDDEN, &view, &target);
    assert!(policy(&away).contains("form-action 'self' https://consumer.example:8443;"), "{}", policy(&away));
    assert_eq!(away.status(), StatusCode::FORBIDDEN);
    assert_eq!(away.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(away.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
}

#[tokio::test]
async fn an_asset_that_the_browser_has_is_not_sent_again() {
    let first = STYLE.response(&HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[header::ETAG].clone();
    assert_eq!(to_bytes(first.into_body(), usize::MAX).await.unwrap(), STYLE.body);
    let mut known = HeaderMap::new();
    known.insert(header::IF_NONE_MATCH, tag.clone());
    let again = STYLE.response(&known);
    assert_eq!((again.status(), &again.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &tag));
    assert!(to_bytes(again.into_body(), usize::MAX).await.unwrap().is_empty());
    known.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
    assert_eq!(STYLE.response(&known).status(), StatusCode::OK);
}

#[test]
fn every_file_that_a_page_refers_to_is_served() {
    for (name, html) in pages() {
        for path in html.split('"').filter(|text| text.starts_with("/assets/")) {
            assert!(ASSETS.iter().any(|asset| asset.path == path), "{name}: {path}");
        }
    }
}

/// The colours of a scheme by name: what follows this in the style, up to the end of the rule.
fn colours(from: &str) -> std::collections::BTreeMap<&'static str, [f64; 3]> {
    let rule = STYLE.body.split(from).nth(1).unwrap().split('}').next().unwrap();
    let channel = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
    let colour = |line: &'static str| {
        let (name, hex) = line.trim().strip_prefix("--")?.split_once(": #")?;
        Some((name, [channel(hex, 0), channel(hex, 2), channel(hex, 4)]))
    };
    rule.lines().filter_map(colour).collect()
}

/// WCAG 2.2, "contrast ratio".
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
    let (one, other) = (luminance(one), luminance(other));
    one.max(other) / one.min(other)
}

#[test]
fn colours_can_be_told_from_what_is_behind_them() {
    for scheme in [colours(":root {"), colours("prefers-color-scheme: dark) {\n  :root {")] {
        let at_least = |least: f64, name: &str, behind: &str| {
            let found = contrast(scheme[name], scheme[behind]);
            assert!(found >= least, "{name} on {behind}: {found:.2}");
        };
        for behind in ["ground", "surface"] {
            // WCAG 2.2, 1.4.11: bars of pictures, edges of controls, signs, the ring of the focus.
            for name in ["good", "warn", "bad", "calm", "control-line", "accent", "focus"] {
                at_least(3.0, name, behind);
            }
            for name in ["ink", "ink-quiet", "accent"] {
                at_least(4.5, name, behind);
            }
        }
        for name in ["good", "warn", "bad", "calm"] {
            at_least(4.5, name, &format!("{name}-ground"));
        }
    }
}

//! What the handlers for browsers share: where a form came from, where it leads, and pages about refusals.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::form_urlencoded::byte_serialize;

use super::State;
use super::pages::{Instance, Message, page};
use crate::actions::{Call, Failure};
use crate::domain::check::Remedy;
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};

/// The most octets of a posted form.
pub(super) const FORM_LIMIT: usize = 64 * 1024;
/// The longest path that is gone to after signing in.
const PATH_LIMIT: usize = 4_096;

impl State {
    pub(super) fn instance(&self) -> Instance<'_> {
        let profile = self.actions.profile();
        Instance { name: &profile.name, origin: profile.origin.as_str() }
    }

    /// A page about what went wrong.
    pub(super) fn failure(&self, call: &Call, failure: &Failure) -> Response {
        match failure {
            Failure::Refused(refusal) => self.refusal(call, refusal),
            Failure::Store(_) | Failure::Keys(_) | Failure::Bug(_) => {
                tracing::error!(error = ?failure, trace = %call.trace, "a page failed");
                self.broken(Some(call))
            }
        }
    }

    /// A page about an error of ours.
    pub(super) fn broken(&self, call: Option<&Call>) -> Response {
        let reference = call.map(|call| call.trace.to_string());
        let message = Message {
            instance: self.instance(),
            title: "Something went wrong here",
            happened: "This instance could not do what you asked. Nothing was changed.",
            why: None,
            what_to_do: &[
                "Try again in a moment.",
                "If it stays so, tell the instance's operator the reference.",
            ],
            go_on: None,
            reference: reference.as_deref(),
        };
        page(StatusCode::INTERNAL_SERVER_ERROR, &message)
    }

    /// A page about an expected "no".
    pub(super) fn refusal(&self, call: &Call, refusal: &Refusal) -> Response {
        let todo = match refusal.remedy.as_deref() {
            Some(Remedy::Human(text)) => vec![text.as_str()],
            Some(Remedy::Call { .. } | Remedy::Config { .. }) | None => refusal.code.what_to_do().to_vec(),
        };
        let docs = super::docs::refusal_path(refusal.code);
        let reference = call.trace.to_string();
        let message = Message {
            instance: self.instance(),
            title: refusal.code.label(),
            happened: &refusal.message,
            why: None,
            what_to_do: &todo,
            go_on: Some(("What this means", &docs)),
            reference: Some(&reference),
        };
        let mut response = page(status(refusal.code), &message);
        retry_after(&mut response, refusal);
        response
    }

    /// Refuses a form that did not come from a page of ours.
    pub(super) fn foreign(&self) -> Response {
        let trusted = self.actions.profile().origin.is_trustworthy();
        let message = Message {
            instance: self.instance(),
            title: "This form came from somewhere else",
            happened: if trusted {
                "Nothing was done: the form was not sent by a page of this instance, or the page was too old."
            } else {
                "Nothing was done: over plain http:// a browser does not say which page sent a form."
            },
            why: None,
            what_to_do: if trusted {
                &["Go back, load the page again, and repeat what you did."]
            } else {
                &[
                    "Ask whoever operates this instance for an https:// address: base_url in its configuration.",
                ]
            },
            go_on: Some(("To the start", "/")),
            reference: None,
        };
        page(StatusCode::FORBIDDEN, &message)
    }

    /// Refuses what is no form, or one that is too large.
    pub(super) fn unreadable(&self, status: StatusCode) -> Response {
        let happened = if status == StatusCode::PAYLOAD_TOO_LARGE {
            "Nothing was done: what was sent is larger than 64 KiB."
        } else {
            "Nothing was done: what was sent could not be read as a form."
        };
        let message = Message {
            instance: self.instance(),
            title: "This form cannot be read",
            happened,
            why: None,
            what_to_do: &["Go back, load the page again, and repeat what you did."],
            go_on: Some(("To the start", "/")),
            reference: None,
        };
        page(status, &message)
    }

    /// Whether the browser says that a page of ours sent this.
    ///
    /// `Sec-Fetch-Site` decides where there is one: our pages send no referrer, and browsers then write `null` as
    /// the `Origin` of their forms (Fetch, "append a request `Origin` header").
    pub(super) fn is_own_form(&self, headers: &HeaderMap) -> bool {
        is_same_origin(headers, &self.actions.profile().origin)
    }
}

fn is_same_origin(headers: &HeaderMap, ours: &Origin) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.get(header::ORIGIN).is_some_and(|origin| origin == ours.as_str()),
    }
}

/// The status of a refusal's page.
pub(super) const fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::NotFound => StatusCode::NOT_FOUND,
        RefusalCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::NotAnAdministrator
        | RefusalCode::SecondPersonRequired
        | RefusalCode::PersonRequired
        | RefusalCode::ContactMismatch
        | RefusalCode::ContactInactive
        | RefusalCode::ContactNotInCompany
        | RefusalCode::CredentialsInvalid
        | RefusalCode::StepUpRequired => StatusCode::FORBIDDEN,
        RefusalCode::InvalidInput | RefusalCode::LinkInvalid => StatusCode::BAD_REQUEST,
        RefusalCode::KeyServiceUnhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    }
}

/// Says how long to wait after `RATE_LIMITED`, whose reason is the seconds (RFC 6585, 4).
pub(super) fn retry_after(response: &mut Response, refusal: &Refusal) {
    let seconds = refusal.reason.as_deref().filter(|_| refusal.code == RefusalCode::RateLimited);
    if let Some(value) = seconds.and_then(|seconds| HeaderValue::from_str(seconds).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
}

/// Goes on with a GET, whatever this request was (RFC 9110, 15.4.4).
pub(super) fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The sign-in page that comes back here.
pub(super) fn sign_in_url(return_to: &str) -> String {
    format!("/sign-in?return_to={}", byte_serialize(return_to.as_bytes()).collect::<String>())
}

/// The text, if it is a path of this instance: never an address of somebody else.
pub(super) fn local_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('/')?;
    // Browsers take `//` and `/\` for the beginning of another host, and drop control characters.
    let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
    (plain && !rest.starts_with('/') && text.len() <= PATH_LIMIT).then_some(text)
}

/// From which network address the request came.
pub(super) fn came_from(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::origin::OriginPolicy;

    #[test]
    fn a_path_of_ours_is_one() {
        for path in [
            "/",
            "/connect?kept=a-b_c",
            "/oauth/authorize?client_id=a&request_uri=urn%3Aietf",
            "/a#b",
            "/a//b",
        ] {
            assert_eq!(local_path(path), Some(path));
        }
    }

    #[test]
    fn an_address_of_somebody_else_is_no_path_of_ours() {
        let long = format!("/{}", "a".repeat(PATH_LIMIT));
        for text in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:a",
            "/\t/evil.example",
            "/\n/evil.example",
            " /a",
            "/a b",
            "/ä",
            "/a\\b",
            &long,
        ] {
            assert_eq!(local_path(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_form_is_ours_when_the_browser_says_so() {
        let ours = Origin::parse("https://a.example", &OriginPolicy::STRICT).unwrap();
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.insert(*name, HeaderValue::from_static(value));
                headers
            })
        };
        for (pairs, expected) in [
            (&[("origin", "https://a.example")][..], true),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "https://a.example"), ("sec-fetch-site", "same-origin")], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://b.example")], false),
            (&[("origin", "http://a.example")], false),
            (&[("origin", "https://a.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
        ] {
            assert_eq!(is_same_origin(&headers(pairs), &ours), expected, "{pairs:?}");
        }
    }
}

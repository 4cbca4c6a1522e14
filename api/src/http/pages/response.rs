use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

/// Sends a page with the headers that every page has; forms may post to this instance only.
///
/// HSTS is left to the listener, which knows whether it speaks TLS.
#[must_use]
pub fn page(status: StatusCode, view: &impl Template) -> Response {
    send(status, view, content_security_policy(None))
}

/// As [`page()`], and a form's answer may redirect to `target`'s origin: browsers apply `form-action` to each step.
#[must_use]
pub fn page_with_form_target(status: StatusCode, view: &impl Template, target: &Url) -> Response {
    send(status, view, content_security_policy(Some(target)))
}

/// The policy of our pages: own script and style from files, nothing inline, nothing foreign, in no frame.
#[must_use]
pub fn content_security_policy(form_target: Option<&Url>) -> String {
    // An opaque origin (of a URL without a host) is written "null", which matches nothing.
    let target =
        form_target.map(|url| format!(" {}", url.origin().ascii_serialization())).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         object-src 'none'; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'"
    )
}

fn send(status: StatusCode, view: &impl Template, policy: String) -> Response {
    let (status, body) = match view.render() {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "<!DOCTYPE html><title>Internal error</title>".to_owned())
        }
    };
    let mut response = (status, Html(body)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

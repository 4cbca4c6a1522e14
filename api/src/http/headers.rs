//! Security headers on every response, and the names under which there is one.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, StatusCode},
    middleware::{Next, from_fn_with_state, map_response_with_state},
    response::{IntoResponse as _, Response},
};
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};

use super::server::Host;
use crate::domain::origin::Scheme;

/// No third party, no inline script or style, nobody may frame us.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// Two years, as browsers' preload lists ask for; without subdomains, which are not ours to decide about.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=63072000");

const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), HeaderValue::from_static("none")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// Puts the security headers on every response of `router`, unknown paths and refusals included.
///
/// `scheme` is that of our own origin as browsers see it, which behind a TLS-terminating proxy is not that of the
/// socket: with HTTPS, browsers are told to stay with it (HSTS, RFC 6797). A handler may set its own
/// `Content-Security-Policy`, such as a consent page whose form leads to the consumer; it is then left as it is.
pub fn secured(router: Router, scheme: Scheme) -> Router {
    router.layer(map_response_with_state(scheme, secure))
}

/// Answers `router` under the names of these hosts and under addresses only, or under any name if there are none (RFC 9110,
/// 15.5.20). A page that reaches us under a name of its own, which its server had resolve to our address, would pass for
/// one of ours (DNS rebinding); under an address there is no page but ours.
pub fn only_as(router: Router, hosts: Vec<String>) -> Router {
    if hosts.is_empty() {
        return router;
    }
    router.layer(from_fn_with_state(Arc::<[String]>::from(hosts), look_for_name))
}

async fn look_for_name(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Host>() {
        Some(host @ Host(name)) if !hosts.contains(name) && !host.is_address() => {
            let message = format!("this instance is known as {}\n", hosts.join(", "));
            (StatusCode::MISDIRECTED_REQUEST, message).into_response()
        }
        // HTTP/1.0 knows no names.
        Some(_) | None => next.run(request).await,
    }
}

async fn secure(State(scheme): State<Scheme>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    if scheme == Scheme::Https {
        headers.insert(STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    response
}

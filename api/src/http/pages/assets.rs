use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;

/// The style sheet, at `/assets/style.css`, as `text/css`.
pub const STYLE: &str = include_str!("style.css");
/// The icon, at `/assets/icon.svg`, as `image/svg+xml`.
pub const ICON: &str = include_str!("icon.svg");
/// The connect page's script, at `/assets/connect.js`, as `text/javascript`.
pub const CONNECT_SCRIPT: &str = include_str!("connect.js");

/// Answers with a file of the binary, or 304 when the browser has this version of it (RFC 9110, 13.1.2).
///
/// Always asked again, never stale: a new binary's pages must not meet the old one's style.
#[must_use]
pub fn asset(request: &HeaderMap, content_type: &'static str, body: &'static str) -> Response {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    let tag = format!("\"{}\"", BASE64URL_NOPAD.encode(&digest.as_ref()[..12]));
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let fresh = known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = if fresh { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;

/// A file of the binary that pages refer to.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where pages look for it.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub body: &'static str,
}

/// The style sheet of every page: the console links it too.
pub const STYLE: Asset = Asset {
    path: "/assets/style.css",
    content_type: "text/css; charset=utf-8",
    body: include_str!("style.css"),
};

/// All files that the pages refer to: the router serves each under its path.
pub const ASSETS: [Asset; 3] = [
    STYLE,
    Asset { path: "/assets/icon.svg", content_type: "image/svg+xml", body: include_str!("icon.svg") },
    Asset {
        path: "/assets/connect.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_str!("connect.js"),
    },
];

impl Asset {
    /// Answers with the file, or 304 when the browser has this version of it (RFC 9110, 13.1.2).
    ///
    /// Always asked again, never stale: a new binary's pages must not meet the old one's style.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Response {
        let digest = digest::digest(&digest::SHA256, self.body.as_bytes());
        let tag = format!("\"{}\"", BASE64URL_NOPAD.encode(&digest.as_ref()[..12]));
        let mut response = if matches_tag(request, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.body.into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// Whether the browser says that it has the version with this entity tag (RFC 9110, 13.1.2).
#[must_use]
pub fn matches_tag(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

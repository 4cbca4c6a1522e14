use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;

use super::super::pages::matches_tag;

/// A file of `api/console`.
struct Embedded {
    path: &'static str,
    plain: &'static [u8],
    /// The same under gzip (RFC 1952): most of what a first visit costs is the transfer.
    packed: &'static [u8],
}

/// Every file of `api/console`.
const EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The console's files: those of the binary, or those of a folder for whoever works on them.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    version: String,
}

impl Files {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        let version = if folder.is_some() { "folder".to_owned() } else { version() };
        Self { folder, version }
    }

    /// What the paths of this set of files begin with. It changes with any of them, so that a page never mixes the
    /// modules of two versions, and a browser may keep what it has for ever.
    pub(super) fn base(&self) -> String {
        format!("/console/{}", self.version)
    }

    /// Answers with a file; 404 for one of another version.
    pub(super) async fn response(&self, version: &str, path: &str, request: &HeaderMap) -> Response {
        let known = version == self.version;
        let packed = self.folder.is_none() && takes_gzip(request);
        let Some((kind, body)) = content_type(path).filter(|_| known).zip(self.read(path, packed).await)
        else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let tag = tag(&body);
        let mut response = if matches_tag(request, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            body.into_response()
        };
        let caching = match self.folder {
            Some(_) => "no-cache",
            None => "public, max-age=31536000, immutable",
        };
        let headers = response.headers_mut();
        if packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    async fn read(&self, path: &str, packed: bool) -> Option<Cow<'static, [u8]>> {
        let Some(folder) = &self.folder else {
            let file = EMBEDDED.iter().find(|file| file.path == path)?;
            return Some(Cow::Borrowed(if packed { file.packed } else { file.plain }));
        };
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return None;
        }
        tokio::fs::read(folder.join(path)).await.ok().map(Cow::Owned)
    }
}

fn version() -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for file in EMBEDDED {
        for part in [file.path.as_bytes(), file.plain] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    BASE64URL_NOPAD.encode(&context.finish().as_ref()[..9])
}

/// Whether the client takes gzip (RFC 9110, 12.5.3); with a weight of its own it is taken to prefer something else.
fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|codings| codings.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

fn tag(body: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, body);
    format!("\"{}\"", BASE64URL_NOPAD.encode(&digest.as_ref()[..12]))
}

/// The media type of a file that browsers load; none for licences and the like.
fn content_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_this_version_may_be_kept_for_ever_and_one_of_another_is_not_there() {
        let files = Files::new(None);
        let version = files.version.clone();
        let response = files.response(&version, "app.js", &HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, response.headers()[header::ETAG].clone());
        assert_eq!(files.response(&version, "app.js", &again).await.status(), StatusCode::NOT_MODIFIED);
        for (version, path) in [("other", "app.js"), (&version, "missing.js"), (&version, "../Cargo.toml")] {
            let response = files.response(version, path, &HeaderMap::new()).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{version} {path}");
        }
    }

    #[tokio::test]
    async fn whoever_takes_gzip_gets_less_under_another_tag() {
        let files = Files::new(None);
        let plain = files.response(&files.version, "console.css", &HeaderMap::new()).await;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
        let packed = files.response(&files.version, "console.css", &headers).await;
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        assert_ne!(packed.headers()[header::ETAG], plain.headers()[header::ETAG]);
        let length = async |response: Response| {
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().len()
        };
        assert!(length(packed).await * 2 < length(plain).await);
    }

    #[tokio::test]
    async fn a_folder_gives_nothing_from_outside_of_it() {
        let files = Files::new(Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("console")));
        assert!(files.read("app.js", false).await.is_some());
        assert!(files.read("../build.rs", false).await.is_none());
        assert!(files.read("/etc/hostname", false).await.is_none());
    }
}

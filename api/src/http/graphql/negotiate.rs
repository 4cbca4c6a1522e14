//! What the headers of a request allow: media types, character sets, origins.

use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::error::{Code, RequestError};

/// The media type of a JSON answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    GraphqlResponse,
    Json,
}

impl Media {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// What the client takes, best first where it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    /// The JSON type it likes best; `None` if it takes event streams only.
    pub(super) json: Option<Media>,
    /// Whether it takes an event stream.
    pub(super) stream: bool,
    /// Whether it likes an event stream better than any JSON.
    pub(super) prefers_stream: bool,
}

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const EVENT_STREAM: &str = "text/event-stream";

/// Reads `Accept` (RFC 9110, 12.5.1). Without one, and for `*/*`, the answer is `application/json`.
///
/// # Errors
/// 406 when nothing we have is acceptable.
pub(super) fn accept(headers: &HeaderMap) -> Result<Accepted, RequestError> {
    let ranges: Vec<Range> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .enumerate()
        .filter_map(|(place, text)| Range::parse(text, place))
        .collect();
    if ranges.is_empty() && !headers.contains_key(ACCEPT) {
        return Ok(Accepted { json: Some(Media::Json), stream: false, prefers_stream: false });
    }
    let json = Weight::of(JSON, &ranges);
    let response = Weight::of(GRAPHQL_RESPONSE, &ranges);
    // A wildcard is not a wish for a stream.
    let stream = Weight::of(EVENT_STREAM, &ranges).filter(|weight| weight.exact);
    let media = match (json, response) {
        (None, None) => None,
        (Some(_), None) => Some(Media::Json),
        (None, Some(_)) => Some(Media::GraphqlResponse),
        (Some(json), Some(response)) if response.beats(json) => Some(Media::GraphqlResponse),
        (Some(_), Some(_)) => Some(Media::Json),
    };
    if media.is_none() && stream.is_none() {
        return Err(RequestError::transport(
            StatusCode::NOT_ACCEPTABLE,
            Code::InvalidInput,
            "This endpoint answers application/graphql-response+json, application/json and text/event-stream.",
        ));
    }
    let prefers_stream =
        stream.is_some_and(|stream| [json, response].into_iter().flatten().all(|other| stream.beats(other)));
    Ok(Accepted { json: media, stream: stream.is_some(), prefers_stream })
}

struct Range {
    name: String,
    /// Thousandths.
    quality: u16,
    place: usize,
}

impl Range {
    fn parse(text: &str, place: usize) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
        let mut quality = 1000;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key.trim().eq_ignore_ascii_case("q") {
                // A weight that is none counts as not given.
                let weight = value.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
                quality = weight.map_or(1000, |weight| (weight * 1000.0) as u16);
            } else if key.trim().eq_ignore_ascii_case("charset") && !is_utf8(value) {
                return None;
            }
        }
        Some(Self { name, quality, place })
    }
}

#[derive(Clone, Copy)]
struct Weight {
    quality: u16,
    exact: bool,
    place: usize,
}

impl Weight {
    /// The most specific range that matches decides; weight 0 means "not this".
    fn of(media: &str, ranges: &[Range]) -> Option<Self> {
        let family = media.split_once('/').map_or(media, |(family, _)| family);
        let wildcard = format!("{family}/*");
        [media, wildcard.as_str(), "*/*"]
            .into_iter()
            .find_map(|name| ranges.iter().find(|range| range.name == name))
            .filter(|range| range.quality > 0)
            .map(|range| Self { quality: range.quality, exact: range.name == media, place: range.place })
    }

    fn beats(self, other: Self) -> bool {
        let rank = |weight: Self| (weight.quality, weight.exact, std::cmp::Reverse(weight.place));
        rank(self) > rank(other)
    }
}

/// Only JSON in UTF-8 is read. The other types that a browser sends without asking first (forms, text, none) would
/// let any web page act for the person who visits it.
///
/// # Errors
/// 415.
pub(super) fn content_type(headers: &HeaderMap) -> Result<(), RequestError> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let text = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(JSON));
    let utf8 = parts
        .filter_map(|part| part.split_once('='))
        .all(|(key, value)| !key.trim().eq_ignore_ascii_case("charset") || is_utf8(value));
    if json && utf8 && values.next().is_none() {
        return Ok(());
    }
    Err(RequestError::transport(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidInput,
        "The body must be application/json in UTF-8.",
    ))
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim().trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Refuses what a browser says comes from another site. Programs send neither header and pass.
///
/// # Errors
/// 403.
pub(super) fn origin(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<(), RequestError> {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let trusted = match headers.get(ORIGIN) {
        Some(origin) => {
            origin.to_str().is_ok_and(|origin| is_own(origin, headers, uri) || is_listed(origin, allowed))
        }
        None => matches!(site, None | Some("same-origin" | "none")),
    };
    if trusted {
        return Ok(());
    }
    Err(RequestError::transport(
        StatusCode::FORBIDDEN,
        Code::Forbidden,
        "Calls from other origins are not allowed.",
    ))
}

fn is_listed(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|listed| listed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// Compares with the name the request came in under. The scheme is a proxy's to know, so it decides only the port.
fn is_own(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let Some(host) = host.or_else(|| uri.authority().map(Authority::as_str)) else {
        return false;
    };
    let (authority, port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(authority), _) => (authority, ":443"),
        (None, Some(authority)) => (authority, ":80"),
        (None, None) => return false,
    };
    let host = host.strip_suffix(port).unwrap_or(host);
    authority.strip_suffix(port).unwrap_or(authority).eq_ignore_ascii_case(host)
}

//! A browser as far as forms need one: cookies by host, redirects, and the GraphQL calls that a page makes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::{Position, Url};

use crate::cli::Failed;
use crate::domain::origin::{Origin, OriginPolicy};
use crate::outbound::{Outbound, OutboundConfig, Response};

/// The most redirects that are followed one after the other.
const REDIRECTS: usize = 10;

/// A browser with its cookies.
pub(super) struct Browser {
    client: Outbound,
    cookies: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

/// A page that was loaded.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) html: String,
}

/// A form of a page: where it goes, and what it carries unseen.
pub(super) struct Form {
    action: String,
    hidden: Vec<(String, String)>,
}

impl Browser {
    pub(super) fn open(config: &OutboundConfig) -> Result<Self, Failed> {
        let config = OutboundConfig { body_limit: 1024 * 1024, ..config.clone() };
        let client = Outbound::new(config).map_err(Failed::because)?;
        Ok(Self { client, cookies: Mutex::default() })
    }

    /// Opens an address and follows where it leads.
    pub(super) async fn visit(&self, url: &str) -> Result<Page, Failed> {
        let url = Url::parse(url).map_err(|error| Failed(format!("{url}: {error}")))?;
        let response = self.send(&url, None).await?;
        self.follow(url, response).await
    }

    /// Fills a form in and sends it, as a click on its button does.
    pub(super) async fn submit(
        &self,
        page: &Page,
        form: &Form,
        fields: &[(&str, &str)],
    ) -> Result<Page, Failed> {
        let url = page.url.join(&form.action).map_err(Failed::because)?;
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            form.hidden.iter().filter(|(name, _)| fields.iter().all(|(field, _)| field != name))
        {
            body.append_pair(name, value);
        }
        body.extend_pairs(fields);
        let body = (HeaderValue::from_static("application/x-www-form-urlencoded"), body.finish());
        let response = self.send(&url, Some(body)).await?;
        self.follow(url, response).await
    }

    /// One GraphQL operation, with the session of this browser; answers `data`.
    pub(super) async fn graphql(
        &self,
        origin: &Origin,
        query: &str,
        variables: Value,
    ) -> Result<Value, Failed> {
        let url = origin.join("/graphql");
        let body = json!({ "query": query, "variables": variables }).to_string();
        let response = self.send(&url, Some((HeaderValue::from_static("application/json"), body))).await?;
        let status = response.status;
        let answer: Value = serde_json::from_slice(&response.body)
            .map_err(|_| Failed(format!("{url} answered {status} and no JSON")))?;
        match answer.get("errors").and_then(|errors| errors.get(0)) {
            None => Ok(answer.get("data").cloned().unwrap_or_default()),
            Some(error) => {
                let code = error.pointer("/extensions/code").and_then(Value::as_str).unwrap_or("ERROR");
                let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
                Err(Failed(format!("{origin} answered {code}: {message}")))
            }
        }
    }

    async fn follow(&self, mut url: Url, mut response: Response) -> Result<Page, Failed> {
        for _ in 0..REDIRECTS {
            let Some(target) = response.headers.get(header::LOCATION) else {
                let html = String::from_utf8_lossy(&response.body).into_owned();
                return Ok(Page { url, status: response.status.as_u16(), html });
            };
            let target = target.to_str().map_err(Failed::because)?;
            url = url.join(target).map_err(Failed::because)?;
            response = self.send(&url, None).await?;
        }
        Err(Failed(format!("{url} redirects without end")))
    }

    async fn send(&self, url: &Url, post: Option<(HeaderValue, String)>) -> Result<Response, Failed> {
        let origin = Origin::parse(&url.origin().ascii_serialization(), &OriginPolicy::ANY)
            .map_err(|error| Failed(format!("{url}: {error}")))?;
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let mut headers = HeaderMap::new();
        if let Some(cookies) = self.cookies_for(origin.host()) {
            headers.insert(header::COOKIE, HeaderValue::from_str(&cookies).map_err(Failed::because)?);
        }
        let failed = |error| Failed(format!("{origin} cannot be reached: {error}"));
        let response = match post {
            None => {
                headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
                self.client.get(&origin, path, headers).await.map_err(failed)?
            }
            Some((kind, body)) => {
                let own = HeaderValue::from_str(origin.as_str()).map_err(Failed::because)?;
                headers.insert(header::ORIGIN, own);
                headers.insert(
                    HeaderName::from_static("sec-fetch-site"),
                    HeaderValue::from_static("same-origin"),
                );
                if kind == "application/json" {
                    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
                }
                self.client.post(&origin, path, headers, kind, body.into()).await.map_err(failed)?
            }
        };
        self.keep_cookies(origin.host(), &response.headers);
        Ok(response)
    }

    fn cookies_for(&self, host: &str) -> Option<String> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<String> =
            cookies.get(host)?.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn keep_cookies(&self, host: &str, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let own = cookies.entry(host.to_owned()).or_default();
        for text in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let gone = value.is_empty() || parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
            if gone {
                own.remove(name);
            } else {
                own.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// The first form that has something with this text in it: a field's name, a button's value.
    pub(super) fn form(&self, with: &str) -> Option<Form> {
        let quoted = format!("\"{with}\"");
        let forms = self.html.split("<form").skip(1);
        let form = forms
            .map(|form| form.split("</form>").next().unwrap_or(form))
            .find(|form| form.contains(&quoted))?;
        let hidden =
            form.split('<').filter(|tag| tag.starts_with("input") && tag.contains("type=\"hidden\""));
        Some(Form {
            action: attribute(form.split('>').next()?, "action").unwrap_or_default(),
            hidden: hidden
                .filter_map(|tag| {
                    Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
                })
                .collect(),
        })
    }

    /// The heading and the first paragraph, for saying what a page says.
    pub(super) fn says(&self) -> String {
        let between = |tag: &str| {
            let text = self.html.split(&format!("<{tag}")).nth(1)?.split_once('>')?.1;
            Some(unescaped(text.split(&format!("</{tag}>")).next()?))
        };
        let parts: Vec<String> = ["h1", "p"].into_iter().filter_map(between).collect();
        format!("{} {}", self.status, parts.join(": "))
    }
}

impl Form {
    /// The same form by another of its buttons, one with a `formaction`.
    pub(super) fn by(self, action: &str) -> Self {
        Self { action: action.to_owned(), ..self }
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let text = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(unescaped(text.split('"').next()?))
}

/// The characters behind the references that askama writes, and the named ones of XML.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let character = part.split_once(';').and_then(|(name, rest)| {
            let found = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => match name.strip_prefix("#x") {
                    Some(digits) => char::from_u32(u32::from_str_radix(digits, 16).ok()?)?,
                    None => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
                },
            };
            Some((found, rest))
        });
        match character {
            Some((found, rest)) => {
                plain.push(found);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_found_by_what_is_in_it() {
        let html = r#"<form method="post" action="/one"><input name="other"></form>
            <form method="post" action="/two?a=1&amp;b=2"><input type="hidden" name="csrf" value="&#60;&quot;x">
            <button name="decision" value="allow">Allow</button></form>"#;
        let page =
            Page { url: Url::parse("http://a.localhost/").unwrap(), status: 200, html: html.to_owned() };
        let form = page.form("allow").unwrap();
        assert_eq!(form.action, "/two?a=1&b=2");
        assert_eq!(form.hidden, [("csrf".to_owned(), "<\"x".to_owned())]);
        assert!(page.form("deny").is_none());
    }
}

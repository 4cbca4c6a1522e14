//! Reads the forms of a page, and walks a person through the authorization pages.

use std::collections::BTreeMap;

use super::client::{Client, Page};

/// A form as a page shows it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: BTreeMap<String, String>,
}

/// The form that has all these fields.
pub(crate) fn form(page: &Page, having: &[&str]) -> Form {
    find(page, having).unwrap_or_else(|| panic!("no form with {having:?} on {}: {}", page.url, page.body))
}

fn find(page: &Page, having: &[&str]) -> Option<Form> {
    page.body.split("<form").skip(1).find_map(|rest| {
        let html = rest.split("</form>").next().unwrap_or(rest);
        let action = attribute(html.split('>').next()?, "action").unwrap_or_default();
        let mut fields = BTreeMap::new();
        let mut names = Vec::new();
        for tag in html.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("button")) {
            let tag = tag.split('>').next().unwrap_or(tag);
            let Some(name) = attribute(tag, "name") else { continue };
            names.push(name.clone());
            fields.insert(name, attribute(tag, "value").unwrap_or_default());
        }
        having
            .iter()
            .all(|want| names.iter().any(|name| name == want) || html.contains(want))
            .then_some(Form { action, fields })
    })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let value = tag[start..].split('"').next()?;
    Some(
        value
            .replace("&amp;", "&")
            .replace("&#38;", "&")
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&#x2F;", "/"),
    )
}

/// Where a person ends up at the authorization server.
#[derive(Debug)]
pub(crate) enum Consent {
    /// The consent page, for the named contact.
    Asked(Page),
    /// The page for anybody else.
    Refused(Page),
}

/// Opens the authorization page as this person, signing in as asked.
pub(crate) async fn authorize(provider: &Client, url: &str, email: &str, password: &str) -> Consent {
    let mut page = provider.get(url).await;
    for _ in 0..6 {
        if let Some(location) = &page.location {
            let next = url::Url::parse(&page.url).unwrap().join(location).unwrap().to_string();
            page = provider.get(&next).await;
        } else if find(&page, &["password", "email"]).is_some() {
            let form = form(&page, &["password", "email"]);
            page = provider.submit(&page, form, &[("email", email), ("password", password)]).await;
        } else if find(&page, &["decision"]).is_some() {
            return Consent::Asked(page);
        } else {
            return Consent::Refused(page);
        }
    }
    panic!("no end: {page:?}")
}

/// Presses *Allow* or *Deny* and answers where the browser is sent.
pub(crate) async fn decide(provider: &Client, page: &Page, decision: &str) -> String {
    let form = form(page, &["decision", &format!("value=\"{decision}\"")]);
    let page = provider.submit(page, form, &[("decision", decision)]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    page.location.unwrap()
}

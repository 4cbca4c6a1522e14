//! The GraphQL operations of the demonstration, and what a refusal looks like to a person.

use serde_json::{Value, json};

use super::web::Browser;
use crate::cli::Failed;
use crate::domain::origin::Origin;

/// A registration as far as the journey needs it.
pub(super) const REGISTRATION: &str = "query Registration($id: ID!) { registration(id: $id) { id number state stateLabel \
    banner { text } issues { check message blocking remedy { mutation setting value text } } \
    connection { id state outbound { status } inbound { status } } } }";

/// A connection as far as the journey needs it.
pub(super) const CONNECTION: &str = "query Connection($id: ID!) { connection(id: $id) { id state stateLabel \
    peer { name origin fingerprintText } outbound { status lastFailure } inbound { status lastFailure } \
    issues { check message blocking remedy { mutation setting value text } } \
    onboarding { state authorizationUrl phases { name label message state nextTryAt \
    failure { code message reason remedy { mutation setting value text } } } } } }";

/// Whether this instance offers a service.
pub(super) const PROVIDER_RECORD: &str = "query ProviderRecord { providerRecord { name } }";

/// Who is signed in.
pub(super) const VIEWER: &str = "query Viewer { viewer { email signedIn } }";

/// Calls a mutation; its name begins its input's type. Answers the payload.
pub(super) async fn mutate(
    browser: &Browser,
    origin: &Origin,
    name: &str,
    input: Value,
    fields: &str,
) -> Result<Value, Failed> {
    let kind = format!("{}{}Input", name[..1].to_ascii_uppercase(), &name[1..]);
    let query = format!(
        "mutation Demo($input: {kind}!) {{ {name}(input: $input) {{ {fields} \
         refusal {{ code message reason remedy {{ mutation setting value text }} }} }} }}"
    );
    let data = browser.graphql(origin, &query, json!({ "input": input })).await?;
    let payload = data[name].clone();
    match payload.get("refusal").filter(|refusal| !refusal.is_null()) {
        Some(refusal) => Err(Failed(format!("{origin} refused {name}: {}", refused(refusal)))),
        None => Ok(payload),
    }
}

/// A refusal in a line or two: code, message, remedy.
pub(super) fn refused(refusal: &Value) -> String {
    let reason = refusal["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{}{reason}: {}{}", word(refusal, "code"), word(refusal, "message"), remedy(&refusal["remedy"]))
}

/// The open blocking issues, a line each.
pub(super) fn issues(subject: &Value) -> String {
    let issues = subject["issues"].as_array().into_iter().flatten();
    let blocking = issues.filter(|issue| issue["blocking"] == true);
    let line = |issue: &Value| {
        format!("\n  {}: {}{}", word(issue, "check"), word(issue, "message"), remedy(&issue["remedy"]))
    };
    blocking.map(line).collect()
}

fn remedy(remedy: &Value) -> String {
    let text = match (remedy["text"].as_str(), remedy["mutation"].as_str(), remedy["setting"].as_str()) {
        (Some(text), _, _) => text.to_owned(),
        (_, Some(mutation), _) => format!("call {mutation}"),
        (_, _, Some(setting)) => format!("set {setting} = {}", remedy["value"].as_str().unwrap_or("…")),
        (None, None, None) => return String::new(),
    };
    format!("\n  What to do: {text}")
}

/// A field that is text, or nothing.
pub(super) fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

//! What the API answers, for a person at a terminal.

use std::process::ExitCode;

use serde_json::Value;

use super::super::{failed, out};
use super::{DEGRADED, MALFUNCTION, REFUSED, Verb};

/// A text of an answer; empty where there is none.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows under headings, each column as wide as it needs.
pub(super) fn table(headings: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        return out(nothing);
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn period(seconds: &Value) -> String {
    match seconds.as_i64() {
        None => "-".to_owned(),
        Some(seconds) if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        Some(seconds) if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        Some(seconds) => format!("{seconds}s"),
    }
}

fn versions<'a>(keys: impl Iterator<Item = &'a Value>) {
    let row = |key: &Value| {
        ["module", "version", "stateLabel", "createdAt", "expiresAt", "keyId", "reason"]
            .map(|field| text(&key[field]))
            .to_vec()
    };
    let headings = ["MODULE", "VERSION", "STATE", "MADE", "EXPIRES", "KEY ID", "REASON"];
    table(&headings, keys.map(row).collect(), "There are no keys.");
}

fn modules(modules: &Value) {
    let row = |module: &Value| {
        let active = items(&module["versions"]).find(|key| key["state"] == "ACTIVE");
        vec![
            text(&module["name"]),
            text(&module["purpose"]),
            text(&module["algorithm"]),
            text(&module["stateLabel"]),
            period(&module["rotationPeriod"]),
            period(&module["keyLifetime"]),
            active.map_or_else(|| "-".to_owned(), |key| text(&key["version"])),
            text(&module["revision"]),
        ]
    };
    let headings =
        ["MODULE", "PURPOSE", "ALGORITHM", "STATE", "ROTATES", "LIFETIME", "ACTIVE VERSION", "REVISION"];
    table(&headings, items(modules).map(row).collect(), "There are no modules.");
}

fn module(module: &Value) {
    out(&format!("{} is {}.", text(&module["name"]), text(&module["stateLabel"]).to_lowercase()));
    if items(&module["versions"]).next().is_some() {
        versions(items(&module["versions"]));
    }
}

pub(super) fn key(key: &Value) {
    let reason = match text(&key["reason"]) {
        reason if reason.is_empty() => ".".to_owned(),
        reason => format!(": {reason}"),
    };
    let (module, version, state) =
        (text(&key["module"]), text(&key["version"]), text(&key["stateLabel"]).to_lowercase());
    out(&format!("Version {version} of {module} is {state}{reason}"));
}

fn health(health: &Value) {
    let reason = health["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    out(&format!("The key service is {}{reason}", text(&health["statusLabel"]).to_lowercase()));
    for part in items(&health["components"]) {
        let mark = match part["status"].as_str() {
            Some("OPERATIONAL") => '✓',
            Some("MALFUNCTION") => '✗',
            _ => '!',
        };
        let module = part["module"].as_str().map(|module| format!(" ({module})")).unwrap_or_default();
        let remedy = part["remedy"].as_str().map(|remedy| format!(" To do: {remedy}.")).unwrap_or_default();
        let name = format!("{}{module}", text(&part["name"]));
        out(&format!("{mark} {name:<32} {}{remedy}", text(&part["message"])));
    }
}

fn decision(decision: &Value) {
    let data: Vec<String> = items(&decision["data"])
        .map(|one| format!("{} = {}", text(&one["name"]), text(&one["value"])))
        .collect();
    let data = if data.is_empty() { String::new() } else { format!(", with {}", data.join(", ")) };
    let (module, operation) = (text(&decision["module"]), text(&decision["operation"]));
    let (who, at) = (text(&decision["principal"]["label"]), text(&decision["decidedAt"]));
    out(&format!("{at}: {who} wanted to {operation} with {module}{data}."));
    out(&text(&decision["explanation"]));
    let row = |one: &Value| ["effect", "outcomeLabel", "note", "policyId"].map(|f| text(&one[f])).to_vec();
    let headings = ["EFFECT", "OUTCOME", "NOTE", "POLICY"];
    table(&headings, items(&decision["trace"]).map(row).collect(), "No policy was asked.");
}

fn approvals<'a>(approvals: impl Iterator<Item = &'a Value>) {
    let row = |one: &Value| {
        vec![
            text(&one["id"]),
            text(&one["operation"]),
            text(&one["module"]),
            text(&one["object"]),
            text(&one["stateLabel"]),
            text(&one["askedBy"]["name"]),
            text(&one["usableFrom"]),
            text(&one["expiresAt"]),
            text(&one["reason"]),
        ]
    };
    let headings =
        ["ID", "OPERATION", "MODULE", "OBJECT", "STATE", "ASKED BY", "USABLE FROM", "EXPIRES", "REASON"];
    table(&headings, approvals.map(row).collect(), "There are no requests.");
}

fn encryption(key: &Value) {
    let (version, rotation) = (text(&key["version"]), &key["rotation"]);
    if rotation.is_null() {
        return out(&format!("Key encryption key {version}; it was never rotated."));
    }
    let (done, total, state) =
        (text(&rotation["done"]), text(&rotation["total"]), text(&rotation["stateLabel"]));
    let error = rotation["error"].as_str().map(|error| format!(" {error}")).unwrap_or_default();
    out(&format!("Key encryption key {version}: {state}, {done} of {total} are under it.{error}"));
}

/// A refusal on the standard error output, with what to do about it.
pub(super) fn refusal(refusal: &Value) {
    let remedy = &refusal["remedy"];
    let remedy = ["text", "setting", "mutation"].iter().find_map(|field| remedy[*field].as_str());
    let remedy = remedy.map(|remedy| format!(" To do: {remedy}")).unwrap_or_default();
    let reason = match (refusal["code"].as_str(), refusal["reason"].as_str()) {
        // A person's lack of a role has another reason than a decision where nothing was decided about keys.
        (Some("POLICY_DENIED" | "NOT_AN_ADMINISTRATOR"), Some(id)) if uuid::Uuid::try_parse(id).is_ok() => {
            format!(" To know why: linkspan key explain {id}")
        }
        _ => String::new(),
    };
    let (code, message) = (text(&refusal["code"]), text(&refusal["message"]));
    // The code to end with is another than that of a failure.
    let _ = failed(&format!("refused ({code}): {message}{remedy}{reason}"));
}

impl Verb {
    /// Shows what was given to a person.
    pub(super) fn show(&self, given: &Value) {
        match self {
            Self::Modules => modules(given),
            Self::List { module: None } => {
                versions(items(given).flat_map(|module| items(&module["versions"])));
            }
            Self::List { module: Some(_) } => versions(items(given)),
            Self::Health { .. } => health(given),
            Self::Transfer(verb) => verb.show(given),
            Self::Policy(verb) => verb.show(given),
            Self::Data(verb) => verb.show(given),
            Self::CreateModule { .. }
            | Self::Specify { .. }
            | Self::Generate { .. }
            | Self::Publish { .. }
            | Self::Schedule { .. }
            | Self::Rotate { .. } => {
                module(given);
            }
            Self::Activate(_)
            | Self::Suspend(_)
            | Self::Resume(_)
            | Self::Renew { .. }
            | Self::Deactivate(_)
            | Self::Revoke(_)
            | Self::Compromised(_)
            | Self::Destroy { .. } => key(given),
            Self::Explain { .. } => decision(given),
            Self::Approvals { .. } => approvals(items(given)),
            Self::RotateKeyEncryptionKey { .. } => encryption(given),
            Self::Request { .. }
            | Self::Approve { .. }
            | Self::Refuse { .. }
            | Self::Withdraw { .. }
            | Self::RotateRoot { .. } => approvals(std::iter::once(given)),
        }
    }

    /// The code to end with.
    pub(super) fn code(&self, given: &Value) -> ExitCode {
        if given["valid"] == false {
            return ExitCode::from(REFUSED);
        }
        match (self, given["status"].as_str()) {
            (Self::Health { .. }, Some("DEGRADED")) => ExitCode::from(DEGRADED),
            (Self::Health { .. }, Some("OPERATIONAL")) | (_, None) => ExitCode::SUCCESS,
            (Self::Health { .. }, Some(_)) => ExitCode::from(MALFUNCTION),
            (_, Some(_)) => ExitCode::SUCCESS,
        }
    }
}

//! The few words that the console keeps by hand, beside those that the API says.

use std::path::Path;

use linkspan::domain::attempt::PhaseName;
use linkspan::domain::connection::ConnectionState;
use linkspan::domain::direction::DirectionStatus;
use linkspan::domain::key_approval::KeyApprovalState;
use linkspan::domain::key_policy::{AccessEffect, KeyUser};
use linkspan::domain::refusal::RefusalCode;
use linkspan::domain::registration::{Environment, RegistrationState};
use linkspan::domain::requester::Role;
use linkspan::domain::settings::DefinitionKind;

fn api() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("api")
}

/// The text of a constant of a module of the console, from its opening bracket to its closing one.
fn constant(module: &str, name: &str) -> String {
    let text = std::fs::read_to_string(api().join("console").join(module)).unwrap();
    let rest = text.split_once(&format!("const {name} = ")).unwrap_or_else(|| panic!("{module}: {name}")).1;
    rest.split(';').next().unwrap_or_default().to_owned()
}

/// What stands between single quotes, in order.
fn quoted(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}

/// The pairs of a constant like `[['OPEN', 'Open'], …]`, without the choice of none of them.
fn pairs(module: &str, name: &str) -> Vec<(String, String)> {
    let text = constant(module, name);
    let words = quoted(&text);
    let pairs = words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
    pairs.filter(|(value, _)| !value.is_empty()).collect()
}

fn owned<'a>(words: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    words.map(|(value, label)| (value.to_owned(), label.to_owned())).collect()
}

macro_rules! words_of {
    ($type:ty) => {
        owned(<$type>::ALL.iter().map(|one| (one.as_str(), one.label())))
    };
}

#[test]
fn what_the_console_lets_people_choose_from_is_said_as_the_api_says_it() {
    assert_eq!(pairs("pages/connections.js", "STATES"), words_of!(ConnectionState));
    assert_eq!(pairs("pages/provider.js", "STATES"), words_of!(RegistrationState));
    assert_eq!(pairs("pages/key-approvals.js", "STATES"), words_of!(KeyApprovalState));
    assert_eq!(pairs("pages/register.js", "ENVIRONMENTS"), words_of!(Environment));
    // Remote is what they are to whoever does not publish them.
    let kinds = pairs("pages/definitions.js", "KINDS").into_iter();
    let remote: Vec<_> =
        kinds.map(|(kind, label)| (kind, format!("Remote {}", label.to_lowercase()))).collect();
    assert_eq!(remote, words_of!(DefinitionKind));
    assert_eq!(pairs("lib/key-policies.js", "SERVICES"), words_of!(KeyUser));
    for (value, label) in pairs("lib/key-policies.js", "EFFECTS") {
        let effect = AccessEffect::parse(&value).unwrap_or_else(|| panic!("{value}"));
        assert!(label.starts_with(effect.label()), "{label}");
    }
    for (value, label) in pairs("pages/audit.js", "RESULTS").into_iter().filter(|(value, _)| value != "OK") {
        assert_eq!(RefusalCode::parse(&value).map(RefusalCode::label), Some(label.as_str()));
    }
}

#[test]
fn the_console_says_roles_messages_and_statuses_as_the_api_does() {
    let roles = constant("lib/words.js", "KINDS");
    for role in Role::ALL {
        let (name, label) = (role.as_str().to_uppercase(), role.label());
        assert!(roles.contains(&format!("{name}: '{label}'")), "{name} is {label}: {roles}");
    }
    let mut messages: Vec<_> = PhaseName::ALL.iter().map(|phase| phase.message()).collect();
    messages.dedup();
    let said = pairs("pages/form.js", "MESSAGES");
    assert_eq!(said.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>(), messages);
    let colours = constant("lib/history.js", "PARTS");
    for status in DirectionStatus::ALL.iter().filter(|one| **one != DirectionStatus::NotOnboarded) {
        assert!(quoted(&colours).contains(&status.label()), "{status}: {colours}");
    }
}

/// The names under which the program's own modules record what was done, where they are written out.
fn recorded(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(recorded(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split(".audit(").skip(1).map(str::trim_start);
            let names = calls.filter_map(|call| call.strip_prefix('"')?.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
    found
}

#[test]
fn everything_that_is_recorded_in_the_audit_trail_has_words_for_people() {
    let words = constant("lib/audit-words.js", "OPERATIONS");
    let recorded = recorded(&api().join("src"));
    assert!(recorded.len() > 70, "the calls were not found");
    for operation in recorded {
        assert!(quoted(&words).contains(&operation.as_str()), "{operation} has no words in audit-words.js");
    }
}

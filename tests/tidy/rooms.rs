//! The arrows between the rooms of `api/src`, and the homes of the libraries: two tables and their check.

use super::Finding;
use super::source::{Kind, Source};

/// Any room: for the few files that put the house together.
const ANY: &[&str] = &["*"];

/// A room, or a folder in one (the longest that fits a file counts), and what it may name after `crate::`.
/// `store::Reader` allows that one item of the room. A room may always name itself.
const ROOMS: &[(&str, &[&str])] = &[
    // Truth: pure.
    ("domain", &[]),
    // Memory: it answers in the types of the domain.
    ("store", &["domain", "world"]),
    // The outside, as values.
    ("world", &["domain", "outbound", "mail", "vault"]),
    ("outbound", &["domain"]),
    ("password", &["domain"]),
    ("vault", &[]),
    // Hands: they are told what to do and report; they know nothing of rows or of who asked.
    ("peer", &["domain", "outbound"]),
    ("probe", &["domain", "outbound"]),
    ("mail", &["domain"]),
    // Decisions: effects leave as jobs, never by a hand. The messages between instances are values that actions
    // make and read; only the client that sends them is a hand.
    ("actions", &["domain", "store", "password", "vault", "world", "peer::wire"]),
    // Doors. They read through a Reader and write through an action.
    ("auth", &["domain", "actions", "store::Reader", "world"]),
    // What a Reader takes and answers; no transaction.
    (
        "graphql",
        &[
            "domain",
            "actions",
            "auth",
            "store::Account",
            "store::AttemptWork",
            "store::AuditFilter",
            "store::Change",
            "store::ChangeKind",
            "store::Company",
            "store::ConnectionFilter",
            "store::ConnectionOrder",
            "store::AccessToken",
            "store::FailureRecord",
            "store::IssueFilter",
            "store::IssueOrder",
            "store::Page",
            "store::ProviderRecord",
            "store::PublishedDefinition",
            "store::Session",
            "store::Reader",
            "store::RegistrationFilter",
            "store::RegistrationOrder",
            "store::ScanResult",
            "store::Session",
            "store::SettingsRecord",
            "store::Slice",
            "store::StateTally",
            "store::StoreError",
            "store::SubjectKind",
            "store::Traffic",
        ],
    ),
    ("http", &["domain", "actions", "store::Reader", "auth", "world"]),
    ("http/peer", &["domain", "actions", "store::Reader", "auth", "world", "peer::wire", "peer::signature"]),
    ("worker", &["domain", "actions", "store::Job", "peer", "probe", "mail", "outbound", "world"]),
    // The binary's own rooms.
    ("config", ANY),
    ("app", ANY),
    ("cli", ANY),
    ("demo", &["domain", "app", "config", "world", "outbound", "cli"]),
];

/// A library that has a home, and the rooms that are its home (`keyservice/` and the like are folders of the
/// repository). Libraries that are not listed may be named everywhere but in `domain`.
const HOMES: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("migrations", &["store", "app", "cli"]),
    // The store carries sealed keys as values and knows only their metadata.
    ("keyservice", &["actions", "store", "vault", "world", "config", "app", "cli"]),
    ("async_graphql", &["graphql", "http/graphql", "app", "cli"]),
    ("apollo_compiler", &["http/graphql"]),
    ("axum", &["http", "auth", "app"]),
    ("hyper", &["http", "outbound"]),
    ("hyper_util", &["http", "outbound"]),
    ("reqwest", &["outbound", "demo"]),
    ("lettre", &["mail"]),
    ("argon2", &["password"]),
    ("landlock", &["vault"]),
    ("libc", &["vault"]),
    ("rustix", &["cli", "vault"]),
    ("seccompiler", &["vault"]),
    ("clap", &["cli", "config"]),
    ("indicatif", &["demo"]),
];

/// All that the pure room may name from outside itself.
const PURE: &[&str] = &["std", "core", "alloc", "chrono", "uuid", "url", "thiserror"];

/// A path as written, `use` trees unfolded, with the line it is on.
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

/// The room of a file: `api/src/http/peer/claim.rs` → `http/peer/claim`. None outside `api/src` and for its roots.
fn place(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("api/src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    (!matches!(inside, "lib" | "main")).then_some(inside)
}

fn is_in(place: &str, folder: &str) -> bool {
    place.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every file keeps to the arrows of its room.
pub(crate) fn arrows(source: &Source) -> Vec<Finding> {
    let Some(place) = place(&source.path) else { return Vec::new() };
    let room = place.split('/').next().unwrap_or(place);
    let row = ROOMS.iter().filter(|(name, _)| is_in(place, name)).max_by_key(|(name, _)| name.len());
    let Some((_, may)) = row else {
        return vec![Finding::new(
            source,
            1,
            format!("`{room}` has no row; give it one in tests/tidy/rooms.rs"),
        )];
    };
    let depth = place.split('/').count();
    let mut found = Vec::new();
    // A test may stand another room up as its counterpart; the tests of the pure room are pure too.
    for named in paths(source).into_iter().filter(|named| !named.test || room == "domain") {
        let Some(target) = from_root(&named, depth) else { continue };
        let Some(first) = target.first() else { continue };
        let known = ROOMS.iter().any(|(name, _)| name == first);
        let allowed = first == room
            || *may == ANY
            || may.iter().any(|one| {
                let mut parts = one.split("::");
                parts.next() == Some(first)
                    && parts.next().is_none_or(|item| target.get(1).is_some_and(|t| t == item))
            });
        if known && !allowed {
            let message = format!(
                "`{place}` names `{}`; its row in tests/tidy/rooms.rs allows {may:?}: go through a room it may use",
                target.join("::")
            );
            found.push(Finding::new(source, named.line, message));
        }
    }
    found
}

/// A path from the root of the crate, or none when it stays inside the file's own room or names a library.
fn from_root(named: &Named, depth: usize) -> Option<Vec<String>> {
    let supers = named.segments.iter().take_while(|s| *s == "super").count();
    match named.segments.first().map(String::as_str) {
        Some("crate") => Some(named.segments[1..].to_vec()),
        Some("super") if supers >= depth => Some(named.segments[supers..].to_vec()),
        _ => None,
    }
}

/// Libraries are named at home only, and the pure room names none but its few.
pub(crate) fn libraries(source: &Source, dependencies: &[String]) -> Vec<Finding> {
    let Some(place) = place(&source.path) else { return Vec::new() };
    let mut found = Vec::new();
    for named in paths(source).into_iter().filter(|named| !named.test) {
        let Some(first) = named.segments.first().filter(|_| named.segments.len() > 1) else { continue };
        let is_library = dependencies.contains(first) || HOMES.iter().any(|(name, _)| name == first);
        if is_in(place, "domain") && is_library && !PURE.contains(&first.as_str()) {
            let message =
                format!("the pure room names `{first}`; it may name {PURE:?}: move this to another room");
            found.push(Finding::new(source, named.line, message));
        } else if let Some((_, homes)) = HOMES.iter().find(|(name, _)| name == first)
            && !homes.iter().any(|home| is_in(place, home))
        {
            let message =
                format!("`{first}` is named in `{place}`; its home is {homes:?}: ask that room instead");
            found.push(Finding::new(source, named.line, message));
        }
    }
    found
}

/// Every path of two or more segments in the file, and each leaf of a `use` tree as a path of its own.
pub(crate) fn paths(source: &Source) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        if starts_path(source, at) {
            at = branch(source, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn starts_path(source: &Source, at: usize) -> bool {
    source.tokens[at].kind == Kind::Word && source.follows(at + 1, &[":", ":"])
}

/// Reads one branch of a path or `use` tree; answers the index after it.
fn branch(source: &Source, mut at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let mut segments = before.to_vec();
    let (line, test) = (source.tokens[at].line, source.tokens[at].test);
    while let Some(token) = source.tokens.get(at) {
        if token.is("{") && !segments.is_empty() {
            return tree(source, at, &segments, found);
        }
        if token.kind != Kind::Word {
            break;
        }
        segments.push(token.text.clone());
        at += 1;
        if !source.follows(at, &[":", ":"]) {
            break;
        }
        at += 2;
    }
    found.push(Named { segments, line, test });
    at
}

fn tree(source: &Source, open: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let end = source.closing(open);
    let mut at = open + 1;
    while at < end {
        if source.tokens[at].kind != Kind::Word {
            at += 1;
        } else if source.tokens[at].is("as") {
            at += 2;
        } else {
            at = branch(source, at, before, found);
        }
    }
    end + 1
}

/// Every module of `lib.rs` is on the map in its crate documentation and has a row in the table.
pub(crate) fn map(source: &Source) -> Vec<Finding> {
    if source.path != "api/src/lib.rs" {
        return Vec::new();
    }
    let documentation: String =
        source.text.lines().filter(|line| line.trim_start().starts_with("//!")).collect();
    let mut found = Vec::new();
    for pair in source.tokens.windows(2).filter(|pair| pair[0].is("mod") && !pair[0].test) {
        let (name, line) = (&pair[1].text, pair[1].line);
        if !documentation.contains(&format!("`{name}`")) {
            let message =
                format!("the room `{name}` is not on the map: name it, in backticks, in the `//!` text");
            found.push(Finding::new(source, line, message));
        }
        if !ROOMS.iter().any(|(room, _)| room == name) {
            let message = format!("the room `{name}` has no row in tests/tidy/rooms.rs: say what it may use");
            found.push(Finding::new(source, line, message));
        }
    }
    found
}

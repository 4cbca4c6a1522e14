//! Holds the shape of the house: each rule reads the source tree, and each shows that it can fail.
//!
//! A finding names file and line and says how to mend it. A rule that turns out wrong is changed here, in its
//! table and with its reason, not worked around.

mod rooms;
mod shape;
mod source;
mod words;

use std::fmt;

use source::{Source, root, tree};

/// One thing to mend.
pub(crate) struct Finding {
    place: String,
    message: String,
}

impl Finding {
    pub(crate) fn new(source: &Source, line: usize, message: impl Into<String>) -> Self {
        Self { place: format!("{}:{line}", source.path), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Applies a rule to the whole tree, and first to samples: a rule that lets a bad sample pass, or finds fault
/// with a good one, holds nothing.
#[track_caller]
fn hold(rule: impl Fn(&Source) -> Vec<Finding>, bad: &[(&str, &str)], good: &[(&str, &str)]) {
    for (path, text) in bad {
        assert!(!rule(&Source::new(path, text)).is_empty(), "the rule lets this pass in {path}:\n{text}");
    }
    for (path, text) in good {
        let found = rule(&Source::new(path, text));
        assert!(found.is_empty(), "the rule refuses this in {path}:\n{text}\n{}", list(&found));
    }
    let found: Vec<Finding> = tree().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{} to mend:\n{}", found.len(), list(&found));
}

fn list(found: &[Finding]) -> String {
    found.iter().map(|finding| format!("  {finding}\n")).collect()
}

/// The names under `[dependencies]` in a manifest, as Rust names them.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap_or_default();
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[test]
fn rooms_keep_to_their_arrows() {
    hold(
        rooms::arrows,
        &[
            ("api/src/domain/scan.rs", "use crate::store::Tx;"),
            ("api/src/domain/scan.rs", "use super::super::store::Tx;"),
            ("api/src/actions/scan.rs", "use crate::{domain::scan, peer};"),
            ("api/src/graphql/scan.rs", "use crate::store::{Reader, Tx};"),
            ("api/src/graphql/scan.rs", "fn a() { crate::http::oauth::b() }"),
            ("api/src/http/oauth.rs", "use crate::peer::wire::Claim;"),
            ("api/src/worker/mod.rs", "use crate::store::Tx;"),
            ("api/src/garage/mod.rs", ""),
        ],
        &[
            ("api/src/domain/scan.rs", "use crate::domain::{id, issue}; // crate::store\nuse super::id;"),
            ("api/src/actions/scan.rs", "use crate::{domain::scan as s, store::{Tx, job}};"),
            ("api/src/graphql/scan.rs", "use crate::store::Reader;"),
            ("api/src/http/peer/claim.rs", "use crate::peer::{signature, wire::Claim};"),
            ("api/src/worker/mod.rs", "use crate::store::Job;"),
            ("api/src/http/server_tests.rs", "use crate::outbound::Outbound;"),
            ("api/src/app.rs", "use crate::{graphql, http, store::Store, worker};"),
        ],
    );
}

#[test]
fn libraries_stay_at_home() {
    let dependencies = dependencies("api/Cargo.toml");
    assert!(dependencies.len() > 20 && dependencies.contains(&"sea_orm".to_owned()), "{dependencies:?}");
    hold(
        |source| rooms::libraries(source, &dependencies),
        &[
            ("api/src/domain/scan.rs", "#[derive(serde::Serialize)] struct A;"),
            ("api/src/domain/scan.rs", "use tokio::sync::Mutex;"),
            ("api/src/actions/scan.rs", "use sea_orm::{EntityTrait, Set};"),
            ("api/src/http/oauth.rs", "fn a() { keyservice::verify() }"),
            ("api/src/mail/mod.rs", "use reqwest::Client;"),
        ],
        &[
            ("api/src/domain/scan.rs", "use {chrono::DateTime, std::fmt, uuid::Uuid};"),
            ("api/src/store/scan.rs", "use sea_orm::{EntityTrait, Set};"),
            ("api/src/actions/scan.rs", "use keyservice::SealedKey;"),
            ("api/src/outbound/mod.rs", "use reqwest::Client;"),
        ],
    );
}

#[test]
fn every_room_is_on_the_map() {
    hold(
        rooms::map,
        &[
            ("api/src/lib.rs", "//! The house.\npub mod domain;"),
            ("api/src/lib.rs", "//! The house: `garage`.\npub mod garage;"),
        ],
        &[("api/src/lib.rs", "//! - `domain`: truth\npub mod domain;"), ("api/src/main.rs", "mod x;")],
    );
}

#[test]
fn files_are_at_most_600_lines() {
    let (long, fits) = ("//\n".repeat(601), "//\n".repeat(600));
    hold(shape::file_length, &[("api/src/a.rs", &long)], &[("api/src/a.rs", &fits)]);
}

#[test]
fn functions_are_at_most_100_lines() {
    let long = format!("fn a(b: [u8; 2]) {{\n{}}}\n", "b();\n".repeat(99));
    let fits = format!("fn a() {{\n{}}}\nfn b() {{\n{}}}", "b();\n".repeat(98), "\"}\";\n".repeat(98));
    let declared = format!("trait A {{ fn a(f: fn() -> u8);\n{}}}", "// }\n".repeat(200));
    hold(
        shape::function_length,
        &[("api/src/a.rs", &long), ("tests/a.rs", &long)],
        &[("api/src/a.rs", &fits), ("api/src/a.rs", &declared)],
    );
}

#[test]
fn nothing_is_shared_by_two_instances_of_one_process() {
    hold(
        shape::statics,
        &[
            ("api/src/a.rs", "static A: u8 = 0;"),
            ("keyservice/src/a.rs", "fn f() { static RING: OnceLock<u8> = OnceLock::new(); }"),
            ("api/src/a.rs", "thread_local! { static A: u8 = 0; }"),
        ],
        &[
            ("api/src/a.rs", "const A: &'static str = \"static\"; struct B { c: OnceLock<u8> }"),
            ("api/src/a.rs", "#[cfg(test)]\nmod tests { static A: u8 = 0; }"),
        ],
    );
}

#[test]
fn time_and_chance_have_one_source() {
    hold(
        shape::time_and_chance,
        &[
            ("api/src/actions/a.rs", "let now = Utc::now();"),
            ("api/src/actions/a.rs", "let now = std::time::SystemTime::now();"),
            ("api/src/http/server.rs", "use std::time::Instant; let now = Instant::now();"),
            ("api/src/store/a.rs", "let id = Uuid::new_v4();"),
            ("api/src/store/a.rs", "let random = ring::rand::SystemRandom::new();"),
            ("api/src/actions/a.rs", "tokio::time::sleep(wait).await;"),
            ("api/src/actions/a.rs", "use tokio::time; fn a() { time::timeout(wait, work) }"),
        ],
        &[
            ("api/src/world.rs", "let now = Utc::now();"),
            ("api/src/http/server.rs", "use tokio::time::Instant; let now = Instant::now();"),
            ("api/src/http/server.rs", "tokio::time::timeout(wait, work).await;"),
            ("keyservice/src/entropy.rs", "let random = ring::rand::SystemRandom::new();"),
            ("api/src/actions/a.rs", "// Utc::now()\n\"Utc::now()\";"),
        ],
    );
}

#[test]
fn tests_do_not_sleep() {
    hold(
        shape::sleeping_tests,
        &[
            ("tests/journey.rs", "tokio::time::sleep(second).await;"),
            ("tests/journey.rs", "use std::thread; thread::sleep(second);"),
            ("keyservice/src/a.rs", "#[cfg(test)]\nmod tests { use tokio::time::{sleep, Duration}; }"),
        ],
        &[("tests/harness/instance.rs", "tokio::time::sleep(second).await;")],
    );
}

#[test]
fn no_test_is_left_aside() {
    hold(
        shape::ignored_tests,
        &[("tests/a.rs", "#[test]\n#[ignore]\nfn a() {}"), ("tests/a.rs", "#[ignore = \"slow\"] fn a() {}")],
        &[("tests/a.rs", "#[test]\nfn ignore() {}")],
    );
}

#[test]
fn libraries_do_not_print() {
    hold(
        shape::printing,
        &[("api/src/store/a.rs", "println!(\"a\");"), ("keyservice/src/a.rs", "eprint!(\"a\");")],
        &[
            ("api/src/cli/check.rs", "println!(\"a\");"),
            ("api/src/store/a.rs", "writeln!(out, \"println!\");"),
            ("api/src/store/a.rs", "#[cfg(test)] fn a() { println!() }"),
        ],
    );
}

#[test]
fn failures_are_typed() {
    hold(
        shape::panics,
        &[
            ("api/src/store/a.rs", "a.unwrap();"),
            ("keyservice/src/a.rs", "a\n.expect(\"a\");"),
            ("keyservice/src/a.rs", "unreachable!();"),
            ("keyservice/src/a.rs", "fn a() { todo!() }"),
        ],
        &[
            ("api/src/store/a.rs", "a.unwrap_or_default(); b.expect_err(1);"),
            ("keyservice/src/a.rs", "#[cfg(test)]\nmod tests { fn a() { b.unwrap(); panic!() } }"),
            ("keyservice/src/a.rs", "self.keyring.unwrap(wrapped)?;"),
        ],
    );
}

#[test]
fn statements_bind_their_values() {
    hold(
        shape::built_sql,
        &[
            ("api/src/store/a.rs", "format!(\"SELECT id FROM job WHERE kind = '{kind}'\")"),
            ("api/src/store/a.rs", "write!(sql, \"delete from job where id = {}\", id)"),
        ],
        &[
            ("api/src/store/a.rs", "format!(\"SELECT {COLUMNS} FROM job WHERE kind = $1\")"),
            ("api/src/cli/a.rs", "format!(\"Delete {name}? Update {name}!\")"),
        ],
    );
}

#[test]
fn every_migration_runs_and_stands_alone() {
    let files: Vec<String> = tree().into_iter().map(|source| source.path).collect();
    hold(
        |source| shape::migrations(source, &files),
        &[
            ("migrations/src/m0001_a.rs", "use linkspan::domain;"),
            ("migrations/src/m0001_a.rs", "use keyservice::Kid;"),
        ],
        &[("migrations/src/m0001_a.rs", "use sea_orm_migration::prelude::*;")],
    );
    let lib = |text| {
        shape::migrations(&Source::new("migrations/src/lib.rs", text), &["migrations/src/m1_a.rs".into()])
    };
    assert!(!lib("steps! { m2_b, }").is_empty(), "a migration that is never run passes");
    assert!(lib("steps! { m1_a, }").is_empty());
}

#[test]
fn the_key_service_keeps_to_itself() {
    const BUDGET: &[&str] = &["data_encoding", "ring", "secrecy", "thiserror", "zeroize"];
    let found = dependencies("keyservice/Cargo.toml");
    let over: Vec<&String> = found.iter().filter(|name| !BUDGET.contains(&name.as_str())).collect();
    assert!(
        !found.is_empty() && over.is_empty(),
        "keyservice/Cargo.toml: {over:?} exceed the budget {BUDGET:?}"
    );
    hold(
        shape::synchronous,
        &[
            ("keyservice/src/a.rs", "pub async fn sign() {}"),
            ("keyservice/src/a.rs", "use std::net::TcpStream;"),
        ],
        &[("keyservice/src/a.rs", "pub fn sign() {}"), ("api/src/a.rs", "async fn a() {}")],
    );
}

#[test]
fn one_cryptographic_provider_is_linked() {
    hold(
        words::lock,
        &[("Cargo.lock", "[[package]]\nname = \"aws-lc-rs\"\n"), ("Cargo.lock", "name = \"openssl-sys\"\n")],
        &[("Cargo.lock", "name = \"ring\"\nname = \"openssl-probe\"\n")],
    );
}

#[test]
fn the_build_needs_rust_alone() {
    let npm = "fn main() { std::process::Command::new(\"npm\"); }";
    hold(words::build, &[("api/build.rs", npm)], &[("api/build.rs", "fn main() {}"), ("api/src/a.rs", npm)]);
}

#[test]
fn nothing_half_done_or_of_one_machine_is_kept() {
    let marker = concat!("// TO", "DO: later");
    let folder = concat!("see /ho", "me/somebody/linkspan");
    let host = concat!("https://registry.npm", "js.org/ws");
    hold(
        words::words,
        &[
            ("api/src/a.rs", marker),
            ("README.md", folder),
            ("tests/node/package-lock.json", host),
            ("api/src/old_store.rs", ""),
            ("api/src/a.rs", "fn temp_claim() {}"),
        ],
        &[
            ("api/src/a.rs", "// todos, a homepage\nfn threshold_store() {}"),
            ("api/src/new.rs", "fn new() {}"),
        ],
    );
}

//! Rules about sizes and about what code may do where.

use super::Finding;
use super::rooms::paths;
use super::source::{Kind, Source};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 100;

/// The one place that reads the clock and draws random numbers for `api`, and the key service's own source.
const CLOCK: &[&str] = &["api/src/world.rs"];
const CHANCE: &[&str] = &["api/src/world.rs", "keyservice/src/"];

/// Where a socket, a stream or a queue waits in real time. No state of the domain depends on these.
const TIMERS: &[&str] = &[
    // How long a database may hang is a matter of the machine, whatever the clock says.
    "api/src/actions/probing.rs",
    "api/src/app.rs",
    "api/src/demo",
    "api/src/http/graphql/",
    "api/src/http/server",
    "api/src/mail/",
    "api/src/outbound",
    "api/src/password.rs",
    "api/src/store/",
    "api/src/vault/",
    "api/src/worker/",
    // How the worker waits, as the clock goes.
    "api/src/world.rs",
];

/// Tests that may wait in real time: the harness, whose waits every other test shares, and the tests of the
/// time-outs of real sockets and processes.
const WAITING_TESTS: &[&str] = &[
    "tests/vault",
    "tests/harness/",
    "api/tests/",
    "api/src/http/graphql/tests",
    "api/src/http/server",
    "api/src/outbound/",
    "api/src/mail/",
];

/// Files that speak to a person at a terminal.
const TERMINAL: &[&str] = &["api/src/main.rs", "api/src/cli", "api/src/demo"];

fn is_under(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| source.path.starts_with(place))
}

/// Whether this is code of the product, not of its tests.
fn is_product(source: &Source) -> bool {
    source.path.ends_with(".rs") && is_under(source, &["api/src/", "keyservice/src/", "migrations/src/"])
}

pub(crate) fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if !source.path.ends_with(".rs") || lines <= FILE_LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines, at most {FILE_LINES}: cut it where a second idea begins");
    vec![Finding::new(source, 1, message)]
}

pub(crate) fn function_length(source: &Source) -> Vec<Finding> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let named = tokens[at].is("fn") && tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Word);
        let Some(open) = named.then(|| body(source, at)).flatten() else { continue };
        let lines = tokens[source.closing(open)].line - tokens[at].line + 1;
        if lines > FUNCTION_LINES {
            let name = &tokens[at + 1].text;
            let message = format!("`{name}` is {lines} lines, at most {FUNCTION_LINES}: name its steps");
            found.push(Finding::new(source, tokens[at].line, message));
        }
    }
    found
}

/// The brace that opens the body of the function at `at`; none if it is only declared.
fn body(source: &Source, mut at: usize) -> Option<usize> {
    while let Some(token) = source.tokens.get(at) {
        match token.text.as_str() {
            "(" | "[" if token.kind == Kind::Sign => at = source.closing(at),
            ";" if token.kind == Kind::Sign => return None,
            "{" if token.kind == Kind::Sign => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

pub(crate) fn statics(source: &Source) -> Vec<Finding> {
    if !is_product(source) {
        return Vec::new();
    }
    let is_static = |name: &str| matches!(name, "static" | "thread_local" | "lazy_static");
    let named = source.tokens.iter().filter(|t| t.kind == Kind::Word && !t.test && is_static(&t.text));
    let message =
        "two instances in one process would share this: use a `const`, or a field of `World` or `App`";
    named.map(|token| Finding::new(source, token.line, message)).collect()
}

pub(crate) fn time_and_chance(source: &Source) -> Vec<Finding> {
    if !is_product(source) {
        return Vec::new();
    }
    let named = paths(source);
    let has = |path: &[&str]| {
        named
            .iter()
            .any(|n| n.segments.iter().zip(path).all(|(a, b)| a == b) && n.segments.len() >= path.len())
    };
    let tokio_instant = has(&["tokio", "time", "Instant"]) && !has(&["std", "time", "Instant"]);
    let mut found = Vec::new();
    for path in named.iter().filter(|path| !path.test) {
        let last: Vec<&str> = path.segments.iter().rev().take(2).rev().map(String::as_str).collect();
        let message = match last.as_slice() {
            ["Instant", "now"] if tokio_instant && is_under(source, TIMERS) => continue,
            ["SystemTime" | "Instant" | "Utc" | "Local", "now"] if !is_under(source, CLOCK) => {
                "reads the clock: take `now` as an argument; the clock is in api/src/world.rs"
            }
            ["Uuid", "new_v4" | "now_v7"] if !is_under(source, CLOCK) => {
                "draws an identifier: take it as an argument, made by the entropy in api/src/world.rs"
            }
            ["rand", "SystemRandom"] | ["SystemRandom", "new"] if !is_under(source, CHANCE) => {
                "draws random numbers: take the entropy of api/src/world.rs as an argument"
            }
            ["rand" | "getrandom" | "fastrand", _]
                if path.segments.len() == 2 && !is_under(source, CHANCE) =>
            {
                "draws random numbers: take the entropy of api/src/world.rs as an argument"
            }
            ["time", "sleep" | "sleep_until" | "timeout" | "timeout_at" | "interval" | "interval_at"]
                if !is_under(source, TIMERS) =>
            {
                "waits in real time: make it a job that is due later, or list the file in TIMERS with a reason"
            }
            _ => continue,
        };
        found.push(Finding::new(source, path.line, format!("`{}` {message}", path.segments.join("::"))));
    }
    found
}

pub(crate) fn sleeping_tests(source: &Source) -> Vec<Finding> {
    if is_under(source, WAITING_TESTS) {
        return Vec::new();
    }
    let named = paths(source).into_iter().filter(|path| path.test);
    let sleeps = named.filter(|path| {
        let mut last = path.segments.iter().rev().map(String::as_str);
        matches!((last.next(), last.next()), (Some("sleep" | "sleep_until"), Some("time" | "thread")))
    });
    let message =
        "sleeps: move the clock with `advance()` and wait with `settle()`, or wait in tests/harness";
    sleeps.map(|path| Finding::new(source, path.line, message)).collect()
}

pub(crate) fn ignored_tests(source: &Source) -> Vec<Finding> {
    let message = "a test that never runs proves nothing: make it run or remove it";
    source.find(&["#", "[", "ignore"]).map(|token| Finding::new(source, token.line, message)).collect()
}

pub(crate) fn printing(source: &Source) -> Vec<Finding> {
    if !is_product(source) || is_under(source, TERMINAL) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in ["println", "print", "eprintln", "eprint", "dbg"] {
        for token in source.find(&[name, "!"]).filter(|token| !token.test) {
            let message =
                format!("`{name}!` in a library: use `tracing`, or answer a value that `cli` prints");
            found.push(Finding::new(source, token.line, message));
        }
    }
    found
}

pub(crate) fn panics(source: &Source) -> Vec<Finding> {
    if !is_product(source) {
        return Vec::new();
    }
    const EVERYWHERE: &[&[&str]] =
        &[&[".", "unwrap", "(", ")"], &[".", "expect", "("], &["todo", "!"], &["unimplemented", "!"]];
    const KEY_SERVICE: &[&[&str]] = &[&["panic", "!"], &["unreachable", "!"]];
    let more = if is_under(source, &["keyservice/"]) { KEY_SERVICE } else { &[] };
    let mut found = Vec::new();
    for sequence in EVERYWHERE.iter().chain(more) {
        for token in source.find(sequence).filter(|token| !token.test) {
            let message = format!("`{}` can end the process: answer a typed error", sequence.concat());
            found.push(Finding::new(source, token.line, message));
        }
    }
    found
}

/// A statement's text may be put together from constants (`{COLUMNS}`), never from values.
pub(crate) fn built_sql(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        let formats = ["format", "write", "writeln", "format_args"].iter().any(|name| token.is(name));
        if !formats || !source.follows(at + 1, &["!", "("]) {
            continue;
        }
        let arguments = &source.tokens[at + 2..source.closing(at + 2)];
        if arguments.iter().any(|t| t.kind == Kind::Text && is_statement(&t.text) && has_value(&t.text)) {
            let message = "a statement built from values: bind them";
            found.push(Finding::new(source, token.line, message));
        }
    }
    found
}

fn is_statement(literal: &str) -> bool {
    const FORMS: &[(&str, &str)] =
        &[("SELECT", "FROM"), ("INSERT", "INTO"), ("UPDATE", "SET"), ("DELETE", "FROM")];
    let mut words = literal.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let mut rest = words;
    FORMS.iter().any(|(verb, then)| {
        (first == *verb && rest.any(|word| word == *then))
            || (first == verb.to_lowercase() && rest.any(|word| word == then.to_lowercase()))
    })
}

fn has_value(literal: &str) -> bool {
    let names = literal.split('{').skip(1).filter_map(|part| part.split('}').next());
    names.map(|name| name.split(':').next().unwrap_or_default()).any(|name| !is_constant(name))
}

fn is_constant(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Each migration file is declared and run by `lib.rs`, and none depends on code that changes.
pub(crate) fn migrations(source: &Source, files: &[String]) -> Vec<Finding> {
    if !source.path.starts_with("migrations/src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in paths(source) {
        if let Some("linkspan" | "keyservice") = path.segments.first().map(String::as_str) {
            let message =
                "a migration must mean the same for ever: write down what it needs, import nothing of ours";
            found.push(Finding::new(source, path.line, message));
        }
    }
    if source.path == "migrations/src/lib.rs" {
        let names = files.iter().filter_map(|file| file.strip_prefix("migrations/src/")?.strip_suffix(".rs"));
        let steps = names.filter(|name| name.starts_with('m') && name.contains(|c: char| c.is_ascii_digit()));
        for step in steps.filter(|name| !name.contains('/')) {
            // The list declares what it names, so to be in it is to be run.
            if source.find(&["steps", "!"]).next().is_none() || source.find(&[step]).next().is_none() {
                found.push(Finding::new(
                    source,
                    1,
                    format!("`{step}` is not run: declare it and add it to the list"),
                ));
            }
        }
    }
    found
}

/// The key service neither waits nor reaches for the network.
pub(crate) fn synchronous(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("keyservice/src/") {
        return Vec::new();
    }
    let words = source.tokens.iter().filter(|t| t.is("async") || t.is("await")).map(|t| t.line);
    let net = paths(source)
        .into_iter()
        .filter(|p| p.segments.starts_with(&["std".into(), "net".into()]))
        .map(|p| p.line);
    let message = "the key service is synchronous and alone: plain values in, plain values out";
    words.chain(net).map(|line| Finding::new(source, line, message)).collect()
}

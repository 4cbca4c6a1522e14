//! Rules about text: what a lock file, a comment or a name must not hold.

use super::Finding;
use super::source::{Kind, Source, Token};

/// Crates that would bring a second implementation of cryptography, or one with a standing advisory.
const REFUSED_CRATES: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys", "rsa"];

pub(crate) fn lock(source: &Source) -> Vec<Finding> {
    if source.path != "Cargo.lock" {
        return Vec::new();
    }
    let names = source.text.lines().enumerate().filter_map(|(at, line)| {
        let name = line.strip_prefix("name = \"")?.strip_suffix('"')?;
        REFUSED_CRATES.contains(&name).then_some((at + 1, name))
    });
    let message = |name| format!("`{name}`: ring is the one provider; turn off the feature that brings this");
    names.map(|(line, name)| Finding::new(source, line, message(name))).collect()
}

/// A build script that starts another program: whoever has Rust has all that the first command asks for.
pub(crate) fn build(source: &Source) -> Vec<Finding> {
    if source.path.rsplit('/').next() != Some("build.rs") {
        return Vec::new();
    }
    let started = source.tokens.iter().filter(|token| token.is("Command"));
    started.map(|token| Finding::new(source, token.line, "build without other programs")).collect()
}

/// Unfinished work, one machine's folders, hosts of registries (a mirror must do), and names without a meaning.
pub(crate) fn words(source: &Source) -> Vec<Finding> {
    const MARKERS: &[&str] =
        &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    const FOLDERS: &[&str] =
        &[concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/"), concat!("/tmp/", "wt")];
    const HOSTS: &[&str] =
        &[concat!("npmjs", ".org"), concat!("static.cra", "tes.io"), concat!("deb.deb", "ian.org")];
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if words.any(|word| MARKERS.contains(&word)) {
            found.push(Finding::new(source, at + 1, "unfinished: finish it, or remove it"));
        }
        if FOLDERS.iter().any(|folder| line.contains(folder)) {
            found.push(Finding::new(source, at + 1, "a folder of one machine: take it from the environment"));
        }
        if HOSTS.iter().any(|host| line.contains(host)) {
            let message = "the host of a registry: leave it out (npm: omit-lockfile-registry-resolved)";
            found.push(Finding::new(source, at + 1, message));
        }
    }
    found.extend(names(source));
    found
}

/// `new_`, `old_` and `temp_` say when something was written, not what it is. A test's name is a sentence, though.
fn names(source: &Source) -> Vec<Finding> {
    let dated = |name: &str| ["new_", "old_", "temp_", "tmp_"].iter().any(|prefix| name.starts_with(prefix));
    let message = |name: &str| format!("`{name}`: name it for what it is, not for when it was written");
    let file = source.path.rsplit('/').next().unwrap_or_default();
    let mut found = Vec::new();
    if dated(file) {
        found.push(Finding::new(source, 1, message(file)));
    }
    let named = |pair: &&[Token]| (pair[0].is("fn") || pair[0].is("mod")) && !pair[0].test;
    let declared = source.tokens.windows(2).filter(named);
    for name in declared.map(|pair| &pair[1]).filter(|name| name.kind == Kind::Word && dated(&name.text)) {
        found.push(Finding::new(source, name.line, message(&name.text)));
    }
    found
}

//! What the tests may use beyond Rust, as the environment tells. `tests/run` brings all of it; `cargo test` alone
//! runs without and says what it left out.

use std::env;
use std::io::{self, Write};
use std::path::Path;

use linkspan::vault::Form;

/// The address of a PostgreSQL superuser who may create databases.
pub(crate) fn postgres() -> Option<String> {
    env::var("LINKSPAN_TEST_POSTGRES").ok().filter(|address| !address.is_empty())
}

/// Whether `node` is there and the packages of `tests/node` are installed.
pub(crate) fn node() -> bool {
    env::var_os("LINKSPAN_TEST_NODE").is_some()
}

/// Where Chromium is, if there is one and the packages of `tests/node` are installed.
pub(crate) fn chromium() -> Option<std::ffi::OsString> {
    env::var_os("LINKSPAN_TEST_CHROMIUM").filter(|_| node())
}

/// Where the key service of the instances is: in a process of its own, as in the product, unless the run says otherwise.
pub(crate) fn key_service() -> Form {
    match env::var("LINKSPAN_TEST_KEYSERVICE").as_deref() {
        Ok("in_process") => Form::InProcess,
        Ok("process" | "") | Err(_) => Form::Process,
        Ok(other) => panic!("LINKSPAN_TEST_KEYSERVICE is process or in_process, not {other}"),
    }
}

#[test]
fn everything_is_run_or_named_as_left_out() {
    let has_clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/package.json").exists();
    let mut left_out = Vec::new();
    if postgres().is_none() {
        left_out.push("every test on PostgreSQL (LINKSPAN_TEST_POSTGRES is not set)");
    }
    if has_clients && !node() {
        left_out.push("the clients from npm (LINKSPAN_TEST_NODE is not set)");
    }
    if has_clients && chromium().is_none() {
        left_out.push("the console in a browser (LINKSPAN_TEST_CHROMIUM is not set)");
    }
    if left_out.is_empty() {
        return;
    }
    let text = format!("left out: {}; ./tests/run runs everything", left_out.join(", "));
    assert!(env::var_os("LINKSPAN_TEST_COMPLETE").is_none(), "{text}");
    // Past the capture of a passing test's output, to where a person sees it.
    writeln!(io::stderr(), "\n{text}").unwrap();
}

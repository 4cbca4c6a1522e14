//! Writing for whoever called us. A reader that has gone away (`| head`) is no failure.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// A line on the standard output.
pub fn out(line: &str) {
    raw(&format!("{line}\n"));
}

/// Text on the standard output, as it is.
pub(super) fn raw(text: &str) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        tracing::debug!("nobody reads our output");
    }
}

/// Something that whoever called us should know of, on the standard error output.
pub(super) fn warned(what: &str) {
    if writeln!(io::stderr().lock(), "linkspan: {what}").is_err() {
        tracing::debug!("nobody reads our errors");
    }
}

/// The reason of a failure on the standard error output, and the code to end with.
#[must_use]
pub fn failed(reason: &str) -> ExitCode {
    warned(reason);
    ExitCode::FAILURE
}

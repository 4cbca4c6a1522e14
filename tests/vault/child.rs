//! This test program as a process of its own: the key service of an instance, or an instance to look into.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyservice::SystemEntropy;
use linkspan::vault::{Launcher, serve};

/// What tells this program that it is the process of a key service.
const ROLE: &str = "LINKSPAN_TEST_KEY_SERVICE_PROCESS";

/// How a test starts a key service: this program, with the one test below.
pub(crate) fn launcher() -> Launcher {
    Launcher {
        program: PathBuf::from("/proc/self/exe"),
        arguments: arguments("vault::child::a_key_service"),
        environment: vec![(ROLE.to_owned(), "yes".to_owned())],
    }
}

/// The same, where whatever is started writes down when, in nanoseconds, and ends at once unless there is such a file.
pub(super) fn gated_launcher(gate: &Path, starts: &Path) -> Launcher {
    let Launcher { arguments, environment, .. } = launcher();
    let look = "date +%s%N >> \"$1\"; [ -e \"$0\" ] || exit 1; shift; exec \"$@\"";
    let program = std::env::current_exe().unwrap().into_os_string();
    let shell = ["-c".into(), look.into(), gate.into(), starts.into(), program];
    Launcher {
        program: PathBuf::from("/bin/sh"),
        arguments: shell.into_iter().chain(arguments).collect::<Vec<OsString>>(),
        environment,
    }
}

/// The arguments with which this program runs nothing but one test of its own.
pub(super) fn arguments(test: &str) -> Vec<OsString> {
    [test, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from).to_vec()
}

/// No test but the process of a key service, where a test asks for one.
#[test]
fn a_key_service() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let _ = serve(Arc::new(SystemEntropy));
    std::process::exit(0);
}

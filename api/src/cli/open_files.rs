//! How many files may be open at once: each client that is connected takes one, and so does each way to another instance.

use crate::config::Config;

/// What goes out, the database and everything else, beside the clients.
#[cfg(unix)]
const OTHERS: u64 = 1_024;

/// Has the system let this process open as many files as it may: what a shell or a service begins with is often 1,024,
/// for programs of another time.
#[cfg(unix)]
pub(super) fn raise() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Has the system let this process open as many files as it may.
#[cfg(not(unix))]
pub(super) fn raise() {}

/// How many files may be open and how many are needed, where that is too few for what is configured.
#[cfg(unix)]
pub(super) fn too_few(config: &Config) -> Option<(u64, u64)> {
    use rustix::process::{Resource, getrlimit};

    let most = getrlimit(Resource::Nofile).maximum?;
    let needed = u64::from(config.server.max_connections) + OTHERS;
    (most < needed).then_some((most, needed))
}

/// How many files may be open and how many are needed, where that is too few for what is configured.
#[cfg(not(unix))]
pub(super) fn too_few(_: &Config) -> Option<(u64, u64)> {
    None
}

//! How many files may be open at once: each client that is connected takes one, and so does each way to another instance.
//! A peer is both: its probes come in on one connection, and ours go out on another.

use crate::config::Config;

/// The database, listeners, the key service and everything else.
#[cfg(unix)]
const OTHERS: u64 = 1_024;

/// How many files it takes when every place of `server.max_connections` is a peer's, to which another one goes out.
#[cfg(unix)]
fn needed(config: &Config) -> u64 {
    2 * u64::from(config.server.max_connections) + OTHERS
}

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
    let needed = needed(config);
    (most < needed).then_some((most, needed))
}

/// How many files may be open and how many are needed, where that is too few for what is configured.
#[cfg(not(unix))]
pub(super) fn too_few(_: &Config) -> Option<(u64, u64)> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_peers_leave_room_for_people_and_for_the_ways_back() {
        let mut config = Config::default();
        let (peers, places) = (10_000, u64::from(config.server.max_connections));
        assert!(places >= 2 * peers);
        assert!(needed(&config) >= places + peers);

        config.server.max_connections = 1;
        assert_eq!(too_few(&config), None);
        config.server.max_connections = u32::MAX;
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        assert_eq!(too_few(&config), most.map(|most| (most, needed(&config))));
    }
}

//! This test program as a process of its own: the key service of an instance, or an instance to look into.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use keyservice::{Entropy, Error, SystemEntropy};
use linkspan::vault::{Launcher, serve};

/// What tells this program that it is the process of a key service. Its value seeds the chance, if it is not empty.
const ROLE: &str = "LINKSPAN_TEST_KEY_SERVICE_PROCESS";

/// How a test starts a key service: this program, with the one test below.
pub(crate) fn launcher() -> Launcher {
    seeded_launcher("")
}

/// The same, with chance that can be repeated.
pub(super) fn seeded_launcher(seed: &str) -> Launcher {
    Launcher {
        program: PathBuf::from("/proc/self/exe"),
        arguments: arguments("vault::child::a_key_service"),
        environment: vec![(ROLE.to_owned(), seed.to_owned())],
    }
}

/// The arguments with which this program runs nothing but one test of its own.
pub(super) fn arguments(test: &str) -> Vec<OsString> {
    [test, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from).to_vec()
}

/// No test but the process of a key service, where a test asks for one.
#[test]
fn a_key_service() {
    let Ok(seed) = std::env::var(ROLE) else { return };
    let entropy: Arc<dyn Entropy> =
        if seed.is_empty() { Arc::new(SystemEntropy) } else { Arc::new(Seeded::new(&seed)) };
    let _ = serve(entropy);
    std::process::exit(0);
}

/// Chance that is the same in each run with one seed: every 32 bytes are the digest of their number.
pub(super) struct Seeded {
    seed: String,
    count: Mutex<u64>,
}

impl Seeded {
    pub(super) fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), count: Mutex::new(0) }
    }

    pub(super) fn chunk(seed: &str, number: u64) -> [u8; 32] {
        keyservice::pae::hash(&[b"seeded", seed.as_bytes(), &number.to_le_bytes()])
    }

    pub(super) fn count(&self) -> u64 {
        *self.count.lock().unwrap()
    }
}

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        let mut count = self.count.lock().unwrap();
        for chunk in out.chunks_mut(32) {
            *count += 1;
            chunk.copy_from_slice(&Self::chunk(&self.seed, *count)[..chunk.len()]);
        }
        Ok(())
    }
}

//! What the key service needs from outside, as values: time, chance, and a stopwatch for its health report.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// A point in time: milliseconds since the Unix epoch, UTC.
pub type Millis = i64;

/// A monotonic count of microseconds from any origin; only differences are used, for how long a measurement took.
pub type Stopwatch = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A source of cryptographically strong random bytes.
///
/// One thing never comes through it: the ephemeral X25519 key of an exchange. ring generates that from its own sealed
/// source and offers no way to supply the bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out` completely.
    ///
    /// # Errors
    /// [`Error::Entropy`] when the source cannot deliver; `out` must then not be used.
    fn fill(&self, out: &mut [u8]) -> Result<(), Error>;
}

/// The operating system's source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        SystemRandom::new().fill(out).map_err(|_| Error::Entropy)
    }
}

/// `N` fresh random bytes that are not secret: ids, nonces, salts.
pub(crate) fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

//! Everything from outside, as values: the clock, chance, and the places where a test may break things.
//! The one file that reads the machine's clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keyservice::Entropy;
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::id::TraceId;
use crate::vault::Launcher;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Changes whenever the clock is moved by hand; none for a clock that only runs.
    fn moved(&self) -> Option<watch::Receiver<i64>> {
        None
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now_ms(&self) -> i64 {
        chrono::Utc::now().timestamp_millis()
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<i64>);

impl ManualClock {
    /// Stands at this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(ms: i64) -> Self {
        Self(watch::Sender::new(ms))
    }

    /// Moves on by so many milliseconds, and wakes who waits for a time.
    pub fn advance(&self, ms: i64) {
        self.0.send_modify(|now| *now += ms);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        *self.0.borrow()
    }

    fn moved(&self) -> Option<watch::Receiver<i64>> {
        Some(self.0.subscribe())
    }
}

/// Where a test may stop the instance: at each commit, and at each check.
pub trait Interruption: Send + Sync {
    /// Called with the transaction's label right before (`false`) and right after (`true`) its commit.
    /// Answers whether the instance dies here.
    fn dies(&self, label: &'static str, committed: bool) -> bool;

    /// Called before a check is asked, with its code, and before a probe, as `PROBE`. Answers whether it hangs; it may
    /// panic, as a check may.
    fn hangs(&self, name: &'static str) -> bool {
        let _ = name;
        false
    }

    /// Whether a part of the key service is to look broken: one that nothing outside this program can break.
    fn breaks(&self, part: &'static str) -> bool {
        let _ = part;
        false
    }
}

/// Everything from outside.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// How the process of the key service is started.
    pub launcher: Launcher,
    /// Where a test may stop the instance.
    pub interruption: Option<Arc<dyn Interruption>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// The real one.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(keyservice::SystemEntropy),
            launcher: Launcher::own(),
            interruption: None,
        }
    }

    /// Now, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_millis(self.clock.now_ms()).unwrap_or_default()
    }

    /// Waits for a time, `most` at the longest, and at least for `least`. Wakes early when the clock is moved by hand.
    pub async fn wait_until(&self, at: Option<Timestamp>, least: Duration, most: Duration) {
        let moved = self.clock.moved();
        let left = at.map_or(most, |at| (at - self.now()).to_std().unwrap_or_default().clamp(least, most));
        match moved {
            Some(mut moved) => drop(tokio::time::timeout(left, moved.changed()).await),
            None => tokio::time::sleep(left).await,
        }
    }

    /// `N` unpredictable bytes.
    ///
    /// # Errors
    /// When the machine has none to give.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], keyservice::Error> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A fresh id that sorts by time (RFC 9562, version 7).
    ///
    /// # Errors
    /// When the machine has no entropy to give.
    pub fn uuid(&self) -> Result<Uuid, keyservice::Error> {
        let ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(ms, &self.bytes()?).into_uuid())
    }

    /// A fresh trace id.
    ///
    /// # Errors
    /// When the machine has no entropy to give.
    pub fn trace(&self) -> Result<TraceId, keyservice::Error> {
        Ok(TraceId(u128::from_be_bytes(self.bytes()?) | 1))
    }
}

//! Everything from outside, as values: the clock, chance, and the places where a test may break things.
//! The one file that reads the machine's clock.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Hands out ids that sort in the order in which they were made, also within one millisecond: the 12 bits after the time
/// count, and begin anywhere in their lower half (RFC 9562, section 6.2, method 1). Where they run out, and where the
/// clock was set back, the next one is after the last all the same.
#[derive(Clone, Debug, Default)]
pub struct Ids(Arc<Mutex<(u64, u16)>>);

impl Ids {
    /// Where the count may begin.
    const BEGINS: u16 = 0x7ff;
    /// Where it runs out.
    const ENDS: u16 = 0xfff;

    fn next(&self, now_ms: u64, mut random: [u8; 10]) -> Uuid {
        let [first, second, ..] = random;
        let begins = u16::from_be_bytes([first, second]) & Self::BEGINS;
        let (ms, count) = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = match *last {
                (ms, _) if ms < now_ms => (now_ms, begins),
                (ms, Self::ENDS) => (ms + 1, begins),
                (ms, count) => (ms, count + 1),
            };
            *last
        };
        random[..2].copy_from_slice(&count.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
    }
}

/// Everything from outside.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Ids in order.
    pub ids: Ids,
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
            ids: Ids::default(),
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

    /// A fresh id that sorts after those before it (RFC 9562, version 7).
    ///
    /// # Errors
    /// When the machine has no entropy to give.
    pub fn uuid(&self) -> Result<Uuid, keyservice::Error> {
        let ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        Ok(self.ids.next(ms, self.bytes()?))
    }

    /// A fresh trace id.
    ///
    /// # Errors
    /// When the machine has no entropy to give.
    pub fn trace(&self) -> Result<TraceId, keyservice::Error> {
        Ok(TraceId(u128::from_be_bytes(self.bytes()?) | 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than fit into one millisecond, and through a clock that is set back.
    #[test]
    fn ids_sort_in_the_order_in_which_they_were_made() {
        let ids = Ids::default();
        let mut random = [0xff; 10];
        let mut last = Uuid::nil();
        for at in 0..20_000_u64 {
            random[2] = u8::try_from(at * 151 % 256).unwrap();
            let now = if at < 10_000 { 1_700_000_000_000 } else { 1_600_000_000_000 };
            let id = ids.next(now, random);
            assert!(id > last, "{at}: {id} after {last}");
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            last = id;
        }
        let later = ids.next(1_800_000_000_000, random);
        assert_eq!(later.get_timestamp().unwrap().to_unix(), (1_800_000_000, 0));
    }
}

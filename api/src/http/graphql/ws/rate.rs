//! How often a client may speak.

use tokio::time::Instant;

/// A token bucket: so many messages at once, so many a second in the long run.
pub(super) struct Rate {
    burst: f64,
    per_second: f64,
    left: f64,
    counted_at: Instant,
}

impl Rate {
    pub(super) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { burst, per_second: f64::from(per_second), left: burst, counted_at: now }
    }

    /// Counts one message; false when it is one too many.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.counted_at).as_secs_f64() * self.per_second;
        self.counted_at = now;
        self.left = (self.left + earned).min(self.burst);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

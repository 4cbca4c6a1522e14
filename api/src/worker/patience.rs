//! While the database does not answer: how long the worker waits before it asks again, and what it says of it.

use std::time::Duration;

use crate::actions::Failure;
use crate::domain::Timestamp;
use crate::domain::causes::causes;

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: a database that is back is noticed within it.
const MOST: Duration = Duration::from_secs(1);

/// Says once that the database does not answer, and once that it does again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Timestamp>,
    failed: u32,
}

impl Patience {
    /// It did not answer. Answers how long to wait, by chance up to a fifth less, so that many nodes do not come back in
    /// step.
    pub(super) fn failed(&mut self, failure: &Failure, now: Timestamp, chance: u16) -> Duration {
        if self.since.is_none() {
            tracing::error!(
                failure = causes(&failure),
                "the database does not answer: no work is taken until it does"
            );
            self.since = Some(now);
        }
        let wait = (FIRST * 2_u32.saturating_pow(self.failed.min(4))).min(MOST);
        self.failed = self.failed.saturating_add(1);
        wait - wait / 5 * u32::from(chance) / u32::from(u16::MAX)
    }

    /// It answered.
    pub(super) fn answered(&mut self, now: Timestamp) {
        if let Some(since) = self.since.take() {
            let (seconds, tries) = ((now - since).num_seconds(), self.failed);
            tracing::info!(seconds, tries, "the database answers again: work goes on");
            self.failed = 0;
        }
    }
}

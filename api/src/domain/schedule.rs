//! Schedules: how often a suite runs by itself.

use chrono::TimeDelta;

use super::Timestamp;
use super::check::Suite;
use super::id::UserId;
use super::refusal::Refusal;

/// The longest time between two runs.
pub const INTERVAL_MAX: TimeDelta = TimeDelta::days(7);

words! {
    /// What can be done with a schedule, by the name of its mutation.
    ScheduleVerb {
        /// Change how often the suite runs, or whether it does.
        Update = "updateCheckSchedule", "Change";
    }
}

/// How often a suite runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What runs.
    pub suite: Suite,
    /// The time between two runs.
    pub interval: TimeDelta,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Who changed it last; none for the default.
    pub updated_by: Option<UserId>,
    /// When; none for the default.
    pub updated_at: Option<Timestamp>,
    /// Grows by one with every change.
    pub revision: i64,
}

impl Schedule {
    /// The shortest time between two runs: what asks another instance is asked less often.
    #[must_use]
    pub const fn shortest(suite: Suite) -> TimeDelta {
        match suite {
            Suite::KeyService => TimeDelta::seconds(5),
            _ => TimeDelta::seconds(60),
        }
    }

    /// Changes how often it runs, and whether.
    ///
    /// # Errors
    /// `INVALID_INPUT` for an interval that is too short or too long.
    pub fn change(mut self, interval: Option<TimeDelta>, enabled: Option<bool>) -> Result<Self, Refusal> {
        if let Some(interval) = interval {
            let shortest = Self::shortest(self.suite);
            if interval < shortest || interval > INTERVAL_MAX {
                let message = format!(
                    "From {} seconds to {} seconds.",
                    shortest.num_seconds(),
                    INTERVAL_MAX.num_seconds()
                );
                return Err(Refusal::invalid("intervalSeconds", message));
            }
            self.interval = interval;
        }
        self.enabled = enabled.unwrap_or(self.enabled);
        Ok(self)
    }
}

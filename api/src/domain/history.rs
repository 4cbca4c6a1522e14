//! Up-time: what a direction's transitions add up to.

use chrono::TimeDelta;

use super::Timestamp;
use super::direction::{DirectionStatus, Transition};

/// How long the history of a direction is kept.
pub const HISTORY_KEPT: TimeDelta = TimeDelta::days(90);

words! {
    /// How long one part of a history is.
    BucketSize {
        /// An hour, on the hour (UTC).
        Hour = "HOUR", "Hour";
        /// A day, from midnight to midnight (UTC).
        Day = "DAY", "Day";
    }
}

impl BucketSize {
    /// How long it is.
    #[must_use]
    pub const fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }
}

/// How long a direction had each status in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// *Up*.
    pub up: TimeDelta,
    /// *Slow*.
    pub slow: TimeDelta,
    /// *Down*.
    pub down: TimeDelta,
    /// *Disputed*.
    pub disputed: TimeDelta,
    /// *Suspended*.
    pub suspended: TimeDelta,
    /// Not onboarded, nothing begun, or nobody watched.
    pub unknown: TimeDelta,
}

impl Spent {
    fn add(&mut self, status: Option<DirectionStatus>, time: TimeDelta) {
        let part = match status {
            Some(DirectionStatus::Up) => &mut self.up,
            Some(DirectionStatus::Slow) => &mut self.slow,
            Some(DirectionStatus::Down) => &mut self.down,
            Some(DirectionStatus::Disputed) => &mut self.disputed,
            Some(DirectionStatus::Suspended) => &mut self.suspended,
            Some(DirectionStatus::NotOnboarded) | None => &mut self.unknown,
        };
        *part += time;
    }

    /// The share of the time in which messages got through, out of the time in which they were meant to and somebody
    /// watched: in thousandths; none when that is no time at all.
    #[must_use]
    pub fn uptime_permille(&self) -> Option<i64> {
        let works = self.up + self.slow;
        let all = works + self.down + self.disputed;
        (all > TimeDelta::zero()).then(|| works.num_milliseconds() * 1_000 / all.num_milliseconds().max(1))
    }
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, or now if it has not ended.
    pub to: Timestamp,
    /// What it was spent with.
    pub spent: Spent,
}

/// The buckets between two moments, the oldest first. The first begins on its hour or day, also before `from`.
/// `transitions` are in order and begin with the one that was in force at `from`, if any is known.
#[must_use]
pub fn buckets(transitions: &[Transition], from: Timestamp, now: Timestamp, size: BucketSize) -> Vec<Bucket> {
    let length = size.length();
    let step = length.num_milliseconds();
    let start = from.timestamp_millis().div_euclid(step) * step;
    let Some(mut begin) = Timestamp::from_timestamp_millis(start) else { return Vec::new() };
    let (mut status, mut next, mut buckets) = (None, 0, Vec::new());
    while begin < now {
        let end = (begin + length).min(now);
        let (mut spent, mut at) = (Spent::default(), begin);
        while let Some(transition) = transitions.get(next).filter(|transition| transition.at < end) {
            let change = transition.at.max(begin);
            spent.add(status, change - at);
            (at, status) = (change, transition.status);
            next += 1;
        }
        spent.add(status, end - at);
        buckets.push(Bucket { from: begin, to: end, spent });
        begin += length;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use DirectionStatus::{Down, Up};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_603_600 + 60 * minutes, 0).unwrap_or_default()
    }

    fn to(status: Option<DirectionStatus>, minutes: i64) -> Transition {
        Transition { at: at(minutes), status, code: None, reason: None }
    }

    #[test]
    fn time_is_told_apart_by_status_and_hour() {
        let transitions = [to(Some(Up), 30), to(Some(Down), 75), to(Some(Up), 90), to(None, 100)];
        let buckets = buckets(&transitions, at(0), at(150), BucketSize::Hour);
        let minutes = |time: TimeDelta| time.num_minutes();
        let told: Vec<_> = buckets
            .iter()
            .map(|b| (minutes(b.spent.up), minutes(b.spent.down), minutes(b.spent.unknown)))
            .collect();
        assert_eq!(told, [(30, 0, 30), (25, 15, 20), (0, 0, 30)]);
        assert_eq!(buckets[1].spent.uptime_permille(), Some(625));
        assert_eq!(buckets[2].spent.uptime_permille(), None);
    }

    #[test]
    fn what_was_in_force_before_counts_and_the_parts_are_the_whole() {
        let transitions = [to(Some(Up), -500), to(Some(Down), 61)];
        let buckets = buckets(&transitions, at(0), at(125), BucketSize::Hour);
        assert_eq!(buckets[0].spent.up, TimeDelta::hours(1));
        for bucket in &buckets {
            let Spent { up, slow, down, disputed, suspended, unknown } = bucket.spent.clone();
            assert_eq!(up + slow + down + disputed + suspended + unknown, bucket.to - bucket.from);
        }
    }
}

//! Judging what is watched by the time that passed, also where the clock leaps.

use chrono::TimeDelta;

use super::Watched;
use crate::domain::Timestamp;
use crate::domain::direction::Measure;
use crate::domain::id::ConnectionId;

/// How often all directions are judged, to find those that fell silent.
const JUDGED_EVERY: TimeDelta = TimeDelta::milliseconds(500);

impl Watched {
    /// Looks for directions that fell silent, and for the peer's views that grew old.
    pub(in crate::actions) fn judge_all(&mut self, measure: Measure, now: Timestamp) {
        if self.judged_at.is_some_and(|at| at <= now && now - at < JUDGED_EVERY) {
            return;
        }
        let went_back = self.judged_at.is_some_and(|at| at > now);
        self.slept(measure, now);
        self.judged_at = Some(now);
        let ids: Vec<_> = self.known.keys().copied().collect();
        if went_back {
            self.turn_back(&ids, now);
        }
        for id in ids {
            self.judge(id, measure, now);
        }
    }

    /// Whoever did not look for as long as a silence takes, as when the host was paused, knows nothing of the time between:
    /// neither that all was well, nor that the peers were silent. It begins anew, with what is due.
    pub(super) fn slept(&mut self, measure: Measure, now: Timestamp) {
        let awake = self.judged_at.filter(|at| now - *at > measure.interval * 3);
        if let (Some(_), Some(from)) = (self.since, awake) {
            (self.since, self.judged_at) = (Some(now), Some(now));
            self.gap = Some(self.gap.map_or(from, |gap| gap.min(from)));
        }
    }

    /// The clock was set back: what was to be later would be very late.
    fn turn_back(&mut self, ids: &[ConnectionId], now: Timestamp) {
        self.since = self.since.map(|since| since.min(now));
        for id in ids {
            let Some(one) = self.known.get_mut(id) else { continue };
            one.outbound.not_after(now);
            one.inbound.not_after(now);
            if one.due.is_some_and(|due| due > now) && !one.asked {
                self.schedule(*id, Some(now));
            }
        }
    }
}

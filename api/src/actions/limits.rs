//! How often something may be tried. Kept in memory: a restart forgives, and every node counts for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Timestamp;
use crate::domain::refusal::{Refusal, RefusalCode};

/// The most names that are counted at once; with more, those who are not known yet have to wait.
const MOST: usize = 50_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// Passwords and codes tried for one account, whether it exists or not.
    SignIn,
    /// Passwords and codes tried from one network address, behind which many people may be.
    Address,
    /// Letters with a code to one mail address.
    Letter,
    /// Approval pages shown to one account.
    Approval,
    /// Requests pushed, and codes redeemed, by one client.
    Client,
}

impl Limit {
    /// How many at once, and how many milliseconds each takes to come back.
    const fn rate(self) -> (i64, i64) {
        match self {
            Self::SignIn => (10, 30_000),
            Self::Address => (120, 500),
            Self::Letter => (4, 60_000),
            Self::Approval => (60, 1_000),
            Self::Client => (30, 2_000),
        }
    }
}

/// The counters of one instance.
#[derive(Clone, Default)]
pub(crate) struct Limits(Arc<Mutex<HashMap<(Limit, String), i64>>>);

impl Limits {
    /// Counts one more.
    ///
    /// A token bucket kept as one number (the generic cell rate algorithm): when it will be full again.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the seconds to wait as its reason.
    pub(crate) fn take(&self, limit: Limit, name: &str, now: Timestamp) -> Result<(), Refusal> {
        let (burst, interval) = limit.rate();
        let now = now.timestamp_millis();
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST {
            full_at.retain(|_, at| *at > now);
        }
        let key = (limit, name.to_owned());
        if full_at.len() >= MOST && !full_at.contains_key(&key) {
            return Err(limited(1_000));
        }
        let at = full_at.entry(key).or_insert(now);
        let next = (*at).max(now) + interval;
        let wait = next - now - burst * interval;
        if wait > 0 {
            return Err(limited(wait));
        }
        *at = next;
        Ok(())
    }
}

fn limited(wait_ms: i64) -> Refusal {
    let seconds = (wait_ms + 999) / 1_000;
    let message = format!("Too many tries. Wait {seconds} seconds, then try again.");
    Refusal::new(RefusalCode::RateLimited, message).reason(seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_comes_back_one_by_one() {
        let at = |ms| Timestamp::from_timestamp_millis(ms).unwrap();
        let limits = Limits::default();
        for _ in 0..10 {
            limits.take(Limit::SignIn, "a", at(0)).unwrap();
        }
        let refused = limits.take(Limit::SignIn, "a", at(0)).unwrap_err();
        assert_eq!((refused.code, refused.reason.as_deref()), (RefusalCode::RateLimited, Some("30")));
        limits.take(Limit::SignIn, "b", at(0)).unwrap();
        limits.take(Limit::SignIn, "a", at(30_000)).unwrap();
        limits.take(Limit::SignIn, "a", at(30_000)).unwrap_err();
    }
}

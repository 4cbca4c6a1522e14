//! How often something may be tried. Kept in memory: a restart forgives, and every node counts for itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;

use crate::domain::Timestamp;
use crate::domain::refusal::{Refusal, RefusalCode};

/// The most names that are counted at once; with more, those who are not known yet have to wait.
const MOST: usize = 50_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// Passwords tried for one account, whether it exists or not, from one network address; codes likewise; and
    /// passwords given again in one session.
    SignIn,
    /// Passwords tried for one account from anywhere; codes likewise. Wide, so that a stranger who fails again and again
    /// does not keep its owner out.
    Account,
    /// Passwords and codes tried from one network address, behind which many people may be.
    Address,
    /// Letters with a code to one mail address, asked for from one network address.
    Letter,
    /// Letters with a code to one mail address, asked for from anywhere.
    LetterAccount,
    /// Approval pages shown to one account.
    Approval,
    /// Requests pushed, and codes redeemed, by one client that has proven who it is.
    Client,
    /// Assertions of clients from one network address that the client did not sign.
    Forged,
    /// Scans that look at one other instance.
    Look,
    /// The same, over a day.
    LookDay,
    /// Scans of one thing that run again by themselves.
    Resume,
}

impl Limit {
    /// How many at once, and how many milliseconds each takes to come back.
    const fn rate(self) -> (i64, i64) {
        match self {
            Self::SignIn => (10, 30_000),
            Self::Account => (100, 6_000),
            Self::Address => (120, 500),
            Self::Letter => (4, 60_000),
            Self::LetterAccount => (12, 60_000),
            Self::Approval => (60, 1_000),
            Self::Client => (30, 2_000),
            Self::Forged => (30, 2_000),
            Self::Look => (12, 10_000),
            Self::LookDay => (200, 432_000),
            Self::Resume => (3, 60_000),
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
        self.count(limit, name, now, false).map(|_| ())
    }

    /// Counts one more, whatever its turn; answers how long it has to wait for it.
    pub(crate) fn reserve(&self, limit: Limit, name: &str, now: Timestamp) -> TimeDelta {
        let wait = self.count(limit, name, now, true).unwrap_or(1_000);
        TimeDelta::milliseconds(wait)
    }

    fn count(&self, limit: Limit, name: &str, now: Timestamp, wait_for_it: bool) -> Result<i64, Refusal> {
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
        if wait > 0 && !wait_for_it {
            return Err(limited(wait));
        }
        *at = next;
        Ok(wait.max(0))
    }
}

/// Whom a network address is counted with: a household has a whole IPv6 network of 64 bits. Those whose address is not
/// known are one.
pub(crate) fn network(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => "-".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
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

    #[test]
    fn whoever_reserves_waits_for_their_turn() {
        let at = |ms| Timestamp::from_timestamp_millis(ms).unwrap();
        let limits = Limits::default();
        let waits: Vec<_> = (0..5).map(|_| limits.reserve(Limit::Resume, "a", at(0)).num_seconds()).collect();
        assert_eq!(waits, [0, 0, 0, 60, 120]);
        limits.take(Limit::Resume, "a", at(0)).unwrap_err();
        assert_eq!(limits.reserve(Limit::Resume, "b", at(0)), TimeDelta::zero());
    }
}

//! How healthy an instance's connections are, as one number with its parts.

/// The formula, for people.
pub const FORMULA: &str = "Score = weight × value of each part, added up, divided by the sum of all weights, rounded down; \
                           each value is from 0 to 100. Directions (weight 60): the share of the directions of onboarded \
                           connections that work; a slow one counts half. Issues (weight 25): the share of connections \
                           without an open issue that is critical or high. Keys (weight 15): 100 when the key service \
                           is operational, 50 when it is degraded, otherwise 0; not counted for people of other \
                           organisations.";

/// A part of the score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its stable name.
    pub name: &'static str,
    /// How much it counts.
    pub weight: i64,
    /// How good it is, from 0 to 100.
    pub value: i64,
    /// What was counted, for people.
    pub counted: String,
}

/// The share of `good` in `all`, from 0 to 100; nothing at all is nothing bad.
fn share(good: i64, all: i64) -> i64 {
    if all <= 0 { 100 } else { (100 * good / all).clamp(0, 100) }
}

/// `1 direction`, `10,000 directions`.
fn counted(number: i64, what: &str) -> String {
    format!("{} {what}{}", figure(number), if number == 1 { "" } else { "s" })
}

/// `10,001`: as the console writes numbers.
fn figure(number: i64) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", figure(number / 1_000), number % 1_000)
}

/// The directions of onboarded connections: of `all`, so many are up and so many slow.
#[must_use]
pub fn directions(up: i64, slow: i64, all: i64) -> Part {
    let verb = if up + slow == 1 || all == 1 { "works" } else { "work" };
    let slowly = if slow == 0 { String::new() } else { format!(", {} slowly", figure(slow)) };
    let counted = format!("{} of {} {verb}{slowly}", figure(up + slow), counted(all, "direction"));
    Part { name: "DIRECTIONS", weight: 60, value: share(2 * up + slow, 2 * all), counted }
}

/// The connections: of `all`, so many have an open issue that is critical or high.
#[must_use]
pub fn issues(burdened: i64, all: i64) -> Part {
    let verb = if burdened == 1 || all == 1 { "has" } else { "have" };
    let counted =
        format!("{} of {} {verb} a critical or high issue", figure(burdened), counted(all, "connection"));
    Part { name: "ISSUES", weight: 25, value: share(all - burdened, all), counted }
}

/// The key service, from 0 to 100, and how it is in words.
#[must_use]
pub fn keys(value: i64, how: &str) -> Part {
    Part { name: "KEYS", weight: 15, value, counted: format!("the key service {how}") }
}

/// The score of these parts.
#[must_use]
pub fn score(parts: &[Part]) -> i64 {
    let weights: i64 = parts.iter().map(|part| part.weight).sum();
    parts.iter().map(|part| part.weight * part.value).sum::<i64>() / weights.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_without_connections_and_with_good_keys_is_at_one_hundred() {
        assert_eq!(score(&[directions(0, 0, 0), issues(0, 0), keys(100, "works")]), 100);
    }

    #[test]
    fn what_was_counted_is_said_as_people_write_it() {
        assert_eq!(directions(9_990, 10, 10_001).counted, "10,000 of 10,001 directions work, 10 slowly");
        assert_eq!(directions(1, 0, 2).counted, "1 of 2 directions works");
        assert_eq!(issues(1, 1).counted, "1 of 1 connection has a critical or high issue");
        assert_eq!(issues(0, 1_234_567).counted, "0 of 1,234,567 connections have a critical or high issue");
    }

    #[test]
    fn each_part_counts_by_its_weight() {
        assert_eq!(score(&[directions(1, 1, 4), issues(1, 2), keys(50, "works badly")]), 42);
        assert_eq!(score(&[directions(0, 0, 2), issues(1, 1), keys(0, "does not work")]), 0);
        assert_eq!(score(&[directions(2, 0, 2), issues(1, 1)]), 70);
    }
}

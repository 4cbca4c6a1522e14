//! How healthy an instance's connections are, as one number with its parts.

/// The formula, for people.
pub const FORMULA: &str = "score = sum(weight × value) / sum(weight), rounded down; each value is from 0 to 100. \
                           DIRECTIONS (60): the share of directions that work, a slow one counting half, of those of \
                           onboarded connections. ISSUES (25): the share of connections without an open issue that is \
                           critical or high. KEYS (15): 100 when the key service is operational, 50 when it is \
                           degraded, otherwise 0; left out for other organisations' people.";

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

/// The directions of onboarded connections: of `all`, so many are up and so many slow.
#[must_use]
pub fn directions(up: i64, slow: i64, all: i64) -> Part {
    let counted = format!("{} of {all} directions work, {slow} of them slowly", up + slow);
    Part { name: "DIRECTIONS", weight: 60, value: share(2 * up + slow, 2 * all), counted }
}

/// The connections: of `all`, so many have an open issue that is critical or high.
#[must_use]
pub fn issues(burdened: i64, all: i64) -> Part {
    let counted = format!("{burdened} of {all} connections have a critical or high issue");
    Part { name: "ISSUES", weight: 25, value: share(all - burdened, all), counted }
}

/// The key service, from 0 to 100.
#[must_use]
pub fn keys(value: i64, status: &str) -> Part {
    Part { name: "KEYS", weight: 15, value, counted: format!("the key service is {status}") }
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
        assert_eq!(score(&[directions(0, 0, 0), issues(0, 0), keys(100, "operational")]), 100);
    }

    #[test]
    fn each_part_counts_by_its_weight() {
        assert_eq!(score(&[directions(1, 1, 4), issues(1, 2), keys(50, "degraded")]), 42);
        assert_eq!(score(&[directions(0, 0, 2), issues(1, 1), keys(0, "broken")]), 0);
        assert_eq!(score(&[directions(2, 0, 2), issues(1, 1)]), 70);
    }
}

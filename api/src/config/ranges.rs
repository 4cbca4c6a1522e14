//! The ranges of numbers: what a number's own type cannot refuse, and what together makes no sense.

use serde_json::Value;

use super::{Config, SETTINGS, settings};

/// The ranges of settings, both ends included. A number without one here is at least 1; a time without one is at most
/// [`LONGEST_MS`].
pub(super) const RANGES: &[(&str, u64, u64)] = &[
    ("link_lifetime_days", 1, 90),
    ("probe_interval_seconds", 1, 3_600),
    ("probe_timeout_ms", 1, 60_000),
    ("slow_ms", 1, 60_000),
    ("server.max_header_bytes", 8_192, 1_048_576),
    ("server.shutdown_grace_ms", 0, LONGEST_MS),
    ("database.max_connections", 1, 1_000),
    ("database.statement_timeout_ms", 0, LONGEST_MS),
    ("keyservice.deadline_ms", 100, 60_000),
    ("keyservice.hang_ms", 100, 600_000),
    ("graphql.document_cache_entries", 0, 1_000_000),
    ("graphql.websocket.max_frame", 1_024, 16_777_216),
    ("outbound.body_limit", 1_024, 16_777_216),
    ("mail.smtp.port", 1, 65_535),
    ("mail.smtp.timeout_seconds", 1, 600),
];

/// The longest time of a setting in milliseconds: an hour.
const LONGEST_MS: u64 = 3_600_000;
/// The most of what has no other.
const MOST: u64 = 4_294_967_295;

/// The least and the most that the setting at this path can be, if it is a number.
fn range(path: &str) -> (u64, u64) {
    let most = if path.ends_with("_ms") { LONGEST_MS } else { MOST };
    RANGES.iter().find(|(of, ..)| *of == path).map_or((1, most), |(_, least, most)| (*least, *most))
}

/// The range of the setting at this path, for the example file.
pub(super) fn in_words(path: &str) -> String {
    match range(path) {
        (least, MOST) => format!("at least {least}"),
        (least, most) => format!("from {least} to {most}"),
    }
}

/// Each number that is outside its range, as a line.
pub(super) fn outside(config: &Config) -> Vec<String> {
    let values = serde_json::to_value(config).unwrap_or_default();
    let mut problems: Vec<String> = SETTINGS
        .iter()
        .filter_map(|setting| {
            let (value, (least, most)) = (settings::value(&values, setting.path), range(setting.path));
            let Value::Number(number) = value else { return None };
            let within = number.as_u64().is_some_and(|value| (least..=most).contains(&value));
            (!within).then(|| format!("{}: {number} is not from {least} to {most}", setting.path))
        })
        .collect();
    // A probe that outlasts the interval would let a dead peer pass for longer than is promised.
    let interval = u64::from(config.probe_interval_seconds) * 1_000;
    if u64::from(config.probe_timeout_ms) >= interval {
        let timeout = config.probe_timeout_ms;
        problems.push(format!(
            "probe_timeout_ms: {timeout} is not less than probe_interval_seconds, which is {interval} milliseconds"
        ));
    }
    problems
}

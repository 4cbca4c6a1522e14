//! The log, on the standard error output: lines for people on a terminal, JSON objects otherwise.

use std::io::{self, IsTerminal as _};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. A filter that cannot be read is said and replaced by `info`; a second start changes nothing.
pub fn start(config: &LogConfig) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let wanted = wanted.unwrap_or_else(|| config.filter.clone());
    let (filter, problem) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let filter = filter.and(filter_fn(is_safe));
    let terminal = io::stderr().is_terminal();
    let human = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = if human {
        layer.with_ansi(terminal).compact().with_filter(filter).boxed()
    } else {
        layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed()
    };
    if tracing::subscriber::set_global_default(Registry::default().with(layer)).is_err() {
        tracing::debug!("the log was started before");
    }
    if let Some(error) = problem {
        tracing::warn!(%error, filter = wanted, "this log filter cannot be read; using info");
    }
}

/// Libraries put headers, statements and credentials into their details: those are never logged, whatever the filter.
#[must_use]
pub fn is_safe(metadata: &Metadata<'_>) -> bool {
    let own = ["linkspan", "keyservice", "migrations"];
    let target = metadata.target().split("::").next().unwrap_or_default();
    own.contains(&target) || *metadata.level() <= Level::INFO
}

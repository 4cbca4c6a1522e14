//! What the instances of a test log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

/// Every log line of this process, of every level that can be switched on.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens in the way the command line does with `RUST_LOG=trace`.
    pub(crate) fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let layer = layer.with_filter(tracing_subscriber::filter::filter_fn(linkspan::cli::logging::is_safe));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
        log
    }

    /// What was logged since it was last taken.
    pub(crate) fn peek(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// What was logged since it was last taken.
    pub(crate) fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
    }
}

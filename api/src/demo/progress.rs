//! Visible progress: a moving line on a terminal, plain lines otherwise.

use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Failed, out};
use crate::world::World;

/// Says what is being done, what was done, and how long it took.
pub(super) struct Progress {
    world: World,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(world: &World) -> Self {
        let bar = io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::no_length().with_style(style)
        });
        Self { world: world.clone(), bar }
    }

    /// Does one step under its name.
    pub(super) async fn step<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{name} …"));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let began = self.world.now();
        let done = work.await;
        let mark = if done.is_ok() { '✓' } else { '✗' };
        self.line(&format!("{mark} {name} ({} ms)", (self.world.now() - began).num_milliseconds()));
        done
    }

    /// Says what the present step is doing, where a line can change.
    pub(super) fn doing(&self, what: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(what);
        }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out(text)),
            None => out(text),
        }
    }

    /// Takes the moving line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

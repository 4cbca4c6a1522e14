//! The process from outside: started, watched, stopped, and started again.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyservice::RootSource;
use keyservice::wire::Words;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Link, Silence};
use super::protocol::{FrameError, Measure, Opened, Opening, PING, parse_opened};
use super::{VaultConfig, VaultError};

/// How long a process may take to open the hierarchy and confine itself.
const START: Duration = Duration::from_secs(10);
/// How long a process that is told to stop, by its socket, may take before it is killed.
const STOP: Duration = Duration::from_millis(500);
/// The pauses before a process is started again: they double, up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A process that lived so long is started again without a longer pause.
const STABLE: Duration = Duration::from_secs(30);
/// How often a process that nobody asks anything is asked whether it is there.
const IDLE_PING: Duration = Duration::from_secs(5);
/// How often one that did not answer in time is asked again.
const PING_AGAIN: Duration = Duration::from_millis(200);

/// How the process is started.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

impl Launcher {
    /// This program with its own command for it.
    #[must_use]
    pub fn own() -> Self {
        // The program that runs, even when an upgrade has put another in its place.
        let running = Path::new("/proc/self/exe");
        let program = if running.exists() { Some(running.to_owned()) } else { std::env::current_exe().ok() };
        Self {
            program: program.unwrap_or_else(|| PathBuf::from("linkspan")),
            arguments: vec![OsString::from("keyservice")],
            environment: Vec::new(),
        }
    }
}

/// Why a process that ended cannot be asked.
const RESTARTED: &str = "The key service ended and is being started again";
/// Why it is not asked: a call waited for its deadline.
pub(super) const LATE: &str = "The key service did not answer in time";

/// Whether the process can be asked.
#[derive(Clone)]
pub(super) enum State {
    /// It answers.
    Up { link: Arc<Link>, pid: u32, protection: Arc<[Measure]> },
    /// It does not.
    Down(&'static str),
}

impl State {
    /// The process, if it answers.
    pub(super) const fn pid(&self) -> Option<u32> {
        match self {
            Self::Up { pid, .. } => Some(*pid),
            Self::Down(_) => None,
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Up { pid, .. } => write!(f, "Up({pid})"),
            Self::Down(why) => write!(f, "Down({why})"),
        }
    }
}

/// What is seen of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It does not answer, and why.
    Away(&'static str),
    /// It answers again.
    There,
}

/// Tells whenever the process stops to answer or answers again, also when both were faster than whoever looks.
#[derive(Debug)]
pub struct ProcessWatch {
    state: watch::Receiver<State>,
    /// The process that was seen to answer.
    seen: Option<u32>,
}

impl ProcessWatch {
    pub(super) fn over(mut state: watch::Receiver<State>) -> Self {
        let seen = state.borrow_and_update().pid();
        Self { state, seen }
    }

    /// What is seen next; none when nobody holds the key service any more.
    pub async fn next(&mut self) -> Option<Sight> {
        loop {
            let now = self.state.borrow_and_update().clone();
            match (self.seen, now) {
                (Some(_), State::Down(why)) => {
                    self.seen = None;
                    return Some(Sight::Away(why));
                }
                (Some(before), State::Up { pid, .. }) if pid != before => {
                    self.seen = None;
                    return Some(Sight::Away(RESTARTED));
                }
                (None, State::Up { pid, .. }) => {
                    self.seen = Some(pid);
                    return Some(Sight::There);
                }
                _ => self.state.changed().await.ok()?,
            }
        }
    }
}

/// A process that opened the hierarchy.
pub(super) struct Running {
    link: Arc<Link>,
    pid: u32,
    protection: Arc<[Measure]>,
    closed: oneshot::Receiver<FrameError>,
    child: Child,
    since: Instant,
}

impl Running {
    pub(super) fn state(&self) -> State {
        State::Up { link: self.link.clone(), pid: self.pid, protection: self.protection.clone() }
    }

    /// Closes the socket, and kills what does not stop by that.
    async fn stop(self) {
        let Self { link, mut child, .. } = self;
        drop(link);
        if timeout(STOP, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

/// What the process is to know of our environment: where the root key is, if it is there.
fn passed_on(root: &RootSource) -> Option<(OsString, OsString)> {
    let name = match root {
        RootSource::File(_) => return None,
        RootSource::Credential(_) => "CREDENTIALS_DIRECTORY",
        RootSource::Environment(name) => name,
    };
    Some((OsString::from(name), std::env::var_os(name)?))
}

/// Starts the process and opens the hierarchy in it.
pub(super) async fn launch(
    launcher: &Launcher,
    opening: &Opening,
    words: &Words,
) -> Result<(Running, Opened), VaultError> {
    let message = opening.to_message()?;
    let failed = |error: std::io::Error| {
        tracing::error!(%error, program = %launcher.program.display(), "the key service cannot be started");
        VaultError::Unavailable("The key service's process cannot be started")
    };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let ours = UnixStream::from_std(ours).map_err(failed)?;
    let child = Command::new(&launcher.program)
        .arg0("linkspan")
        .args(&launcher.arguments)
        .env_clear()
        .envs(launcher.environment.iter().map(|(name, value)| (name, value)))
        .envs(passed_on(&opening.root))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // Signals from a terminal are for the gateway.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let pid = child.id().unwrap_or_default();
    let (link, closed) = Link::over(ours);
    let answered = link.ask(&message, START).await;
    let opened = match answered {
        Ok(answer) => parse_opened(&answer, words)?,
        Err(Silence::Late) => return Err(VaultError::Unavailable("The key service took too long to start")),
        Err(_) => return Err(VaultError::Unavailable("The key service ended while it started")),
    };
    let protection = opened.protection.clone().into();
    Ok((Running { link: Arc::new(link), pid, protection, closed, child, since: Instant::now() }, opened))
}

/// Whoever watches a process for as long as somebody holds the other end of `gone`.
pub(super) struct Supervisor {
    pub(super) launcher: Launcher,
    pub(super) opening: Arc<Mutex<Opening>>,
    pub(super) words: Arc<Words>,
    pub(super) config: VaultConfig,
    pub(super) state: watch::Sender<State>,
    pub(super) suspect: Arc<Notify>,
    pub(super) gone: mpsc::Receiver<Infallible>,
}

/// Why a process is not watched any more.
enum End {
    /// Nobody needs it.
    Unneeded,
    /// It ended by itself, or broke the protocol.
    Ended,
    /// It did not answer for too long.
    Hung,
}

impl Supervisor {
    pub(super) async fn run(mut self, mut running: Running) {
        let mut pause = BACK_OFF.0;
        loop {
            let end = self.watch(&mut running).await;
            let lived = running.since.elapsed();
            match end {
                End::Unneeded => {
                    self.state.send_replace(State::Down("The key service is stopped"));
                    return running.stop().await;
                }
                End::Ended => {
                    tracing::error!(pid = running.pid, "the key service ended; it is started again");
                }
                End::Hung => {
                    tracing::error!(
                        pid = running.pid,
                        "the key service hangs; it is killed and started again"
                    );
                }
            }
            self.state.send_replace(State::Down(RESTARTED));
            let _ = running.child.kill().await;
            if lived >= STABLE {
                pause = BACK_OFF.0;
            }
            running = loop {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = self.gone.recv() => return,
                }
                pause = (pause * 2).min(BACK_OFF.1);
                let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match launch(&self.launcher, &opening, &self.words).await {
                    Ok((running, _)) => break running,
                    Err(error) => tracing::error!(%error, "the key service did not start"),
                }
            };
            tracing::info!(pid = running.pid, "the key service is back");
            self.state.send_replace(running.state());
        }
    }

    async fn watch(&mut self, running: &mut Running) -> End {
        loop {
            tokio::select! {
                _ = &mut running.closed => return End::Ended,
                _ = self.gone.recv() => return End::Unneeded,
                () = self.suspect.notified() => {}
                () = sleep(IDLE_PING) => {
                    if running.link.ask(PING, self.config.deadline()).await.is_ok() {
                        continue;
                    }
                }
            }
            if let Some(end) = self.doubt(running).await {
                return end;
            }
        }
    }

    /// Nobody asks until a ping is answered; whoever does, hears so at once.
    async fn doubt(&mut self, running: &mut Running) -> Option<End> {
        self.state.send_replace(State::Down(LATE));
        tracing::warn!(pid = running.pid, "the key service does not answer in time");
        let until = Instant::now() + self.config.hang();
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Some(End::Hung);
            }
            tokio::select! {
                answered = running.link.ask(PING, PING_AGAIN.min(rest)) => match answered {
                    Ok(_) => break,
                    Err(Silence::Late) => {}
                    Err(_) => return Some(End::Ended),
                },
                _ = self.gone.recv() => return Some(End::Unneeded),
            }
        }
        tracing::info!(pid = running.pid, "the key service answers again");
        self.state.send_replace(running.state());
        None
    }
}

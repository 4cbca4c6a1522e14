//! The key service as the gateway reaches it: in a process of its own, or inside the gateway.
//!
//! ```text
//! gateway                                            linkspan keyservice
//!   Vault ─ Client ─ frames over a socket pair ─▶ server ─ keyservice::KeyService
//!     └ Supervisor: starts, watches, kills, starts again     └ confine: landlock, seccomp, no core dumps
//! ```
//!
//! The socket has no name: it is made as a pair, and one end is the standard input of the process, which checks that
//! the other end is its parent's. The process reads the root key; the gateway knows only where it is. An exchange in
//! progress lives in the process, and ends with it: the attempt goes on with a new number (KX/1, section 3).
//!
//! A call has a deadline. When one passes, nobody asks until a ping is answered, so that requests do not queue up
//! behind a process that hangs.

mod client;
mod confine;
mod process;
mod protocol;
mod rotation;
mod server;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyservice::calls::IntoAnswer as _;
use keyservice::wire::{self, Wire, Words};
use keyservice::{
    Component, ComponentKind, Entropy, HealthStatus, KeyService, Millis, RootProvider as _, RootSource,
    SealedHierarchy, key_service_argument, key_service_calls,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};

use client::{Link, Silence};
use process::{LATE, State, Supervisor, launch};
use rotation::{finish_rotation, make_next};

pub use client::MAX_CALLS;
pub use process::{Launcher, ProcessWatch, Sight};
pub use protocol::{MAX_FRAME, MAX_MESSAGE, Opening};
pub use rotation::{HierarchyRecord, Recorded};
pub use server::serve;

/// How the key service is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultConfig {
    /// Where it is.
    pub form: Form,
    /// The longest time that one call may take, in milliseconds.
    pub deadline_ms: u64,
    /// How long the process may be silent before it is killed and started again, in milliseconds.
    pub hang_ms: u64,
}

/// Where the key service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// In a process of its own.
    Process,
    /// Inside the gateway, which then holds the keys in its own memory. For tests and development.
    InProcess,
}

impl Default for VaultConfig {
    fn default() -> Self {
        Self { form: Form::Process, deadline_ms: 2_000, hang_ms: 5_000 }
    }
}

impl VaultConfig {
    fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    fn hang(&self) -> Duration {
        Duration::from_millis(self.hang_ms)
    }
}

use uuid::Uuid;

/// Why the key service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It refused: the reason is its own.
    #[error(transparent)]
    Refused(#[from] keyservice::Error),
    /// It did not answer, or not in time. Nothing is known of what it did.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The audit trail takes no entry, and nothing is done with keys that is not on record.
    #[error("The use of keys cannot be entered into the audit trail")]
    Unrecorded,
    /// The access policies of the module forbid it.
    #[error("The access policies of the key module “{module}” do not allow {principal} to {operation}.")]
    Denied {
        /// The name of the module.
        module: String,
        /// Who wanted it, in words.
        principal: String,
        /// What they wanted, in words.
        operation: String,
        /// Under which the decision is explained.
        decision: Uuid,
    },
}

impl VaultError {
    /// A stable code for logs and records.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Unrecorded => "UNRECORDED",
            Self::Denied { .. } => "POLICY_DENIED",
        }
    }
}

/// The key service. Its calls are those of [`KeyService`], by the same names.
#[derive(Clone)]
pub struct Vault {
    place: Place,
    /// Where the sealed hierarchy is kept, once it is.
    record: Option<Arc<dyn HierarchyRecord>>,
    /// The hierarchy it works with; none when that is not certain. Held while it takes another one.
    adopted: Arc<tokio::sync::Mutex<Option<SealedHierarchy>>>,
}

#[derive(Clone)]
enum Place {
    Here(Arc<KeyService>, RootSource),
    There(Arc<Remote>),
}

/// A key service in a process of its own. When the last one who holds it lets go, the process ends.
struct Remote {
    config: VaultConfig,
    launcher: Launcher,
    entropy: Arc<dyn Entropy>,
    state: watch::Sender<State>,
    suspect: Arc<Notify>,
    words: Arc<Words>,
    opening: Arc<Mutex<Opening>>,
    deadline: Duration,
    _needed: mpsc::Sender<Infallible>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    fn at(place: Place, hierarchy: &SealedHierarchy) -> Self {
        let adopted = Arc::new(tokio::sync::Mutex::new(Some(hierarchy.clone())));
        Self { place, record: None, adopted }
    }

    /// Opens the key service in the form that is configured; answers the sealed hierarchy, which for a new instance
    /// the caller stores.
    ///
    /// # Errors
    /// Why the root key or the hierarchy cannot be used; [`VaultError::Unavailable`] when the process does not start.
    pub async fn open(
        config: &VaultConfig,
        launcher: &Launcher,
        entropy: Arc<dyn Entropy>,
        opening: Opening,
    ) -> Result<(Self, SealedHierarchy), VaultError> {
        if opening.root.is_for_development() {
            tracing::warn!(
                source = %opening.root,
                "the root key is in the environment, where others can see it: for development"
            );
        }
        if config.form == Form::InProcess {
            let (service, opened) = server::open(&opening, entropy)?;
            tracing::warn!(
                "the key service runs inside this process, which holds the root key: for development"
            );
            finish_rotation(&opening.root, opened.by_next);
            return Ok((
                Self::at(Place::Here(Arc::new(service), opening.root), &opened.hierarchy),
                opened.hierarchy,
            ));
        }
        let words = Arc::new(Words::default());
        let (running, opened) = launch(launcher, &opening, &words).await?;
        finish_rotation(&opening.root, opened.by_next);
        let state = watch::Sender::new(running.state());
        let (needed, gone) = mpsc::channel(1);
        let opening = Opening { hierarchy: Some(opened.hierarchy.clone()), make_next: false, ..opening };
        let remote = Remote {
            config: config.clone(),
            launcher: launcher.clone(),
            entropy,
            state: state.clone(),
            suspect: Arc::default(),
            words,
            opening: Arc::new(Mutex::new(opening)),
            deadline: config.deadline(),
            _needed: needed,
        };
        let supervisor = Supervisor {
            launcher: launcher.clone(),
            opening: remote.opening.clone(),
            words: remote.words.clone(),
            config: config.clone(),
            state,
            suspect: remote.suspect.clone(),
            gone,
        };
        tokio::spawn(supervisor.run(running));
        let vault = Self::at(Place::There(Arc::new(remote)), &opened.hierarchy);
        tracing::info!(protection = vault.protection().1, "the key service runs in a process of its own");
        Ok((vault, opened.hierarchy))
    }

    /// The id of the process, if the service has one and it answers.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.place {
            Place::Here(..) => None,
            Place::There(remote) => remote.state.borrow().pid(),
        }
    }

    /// Tells when the process ends and comes back; none for a service without one.
    #[must_use]
    pub fn watch_process(&self) -> Option<ProcessWatch> {
        match &self.place {
            Place::Here(..) => None,
            Place::There(remote) => Some(ProcessWatch::over(remote.state.subscribe())),
        }
    }

    /// Whether the process answers, and how it is protected, as a component of the health report.
    #[must_use]
    pub fn component(&self, now: Millis) -> Component {
        let (status, message) = self.protection();
        component(status, message, now)
    }

    fn protection(&self) -> (HealthStatus, String) {
        let Place::There(remote) = &self.place else {
            let message = "The key service runs inside the gateway, which holds the root key in its memory.";
            return (HealthStatus::Disabled, message.to_owned());
        };
        match &*remote.state.borrow() {
            State::Down(why) => away(why),
            State::Up { protection, .. } => {
                let named = |in_force| {
                    let names = protection.iter().filter(|measure| measure.in_force == in_force);
                    names.map(|measure| measure.name.as_str()).collect::<Vec<_>>().join(", ")
                };
                let missing = match named(false) {
                    names if names.is_empty() => String::new(),
                    names => format!(" Not in this kernel: {names}."),
                };
                (HealthStatus::Operational, format!("A process of its own; {}.{missing}", named(true)))
            }
        }
    }
}

/// The component of the health report that says that the process does not answer.
#[must_use]
pub fn process_away(why: &str, now: Millis) -> Component {
    let (status, message) = away(why);
    component(status, message, now)
}

fn away(why: &str) -> (HealthStatus, String) {
    (HealthStatus::Malfunction, format!("{why}."))
}

fn component(status: HealthStatus, message: String, now: Millis) -> Component {
    let (code, remedy) = match status {
        HealthStatus::Disabled => (
            "IN_PROCESS",
            Some(
                "An operator may set keyservice.form to \"process\", so that keys are in a process of their own.",
            ),
        ),
        HealthStatus::Operational => ("OK", None),
        HealthStatus::Degraded | HealthStatus::Malfunction => (
            "UNAVAILABLE",
            Some("It is started again by itself; if it stays so, the log of this instance says why."),
        ),
    };
    Component {
        component: ComponentKind::Process,
        module: None,
        critical: ComponentKind::Process.is_critical(),
        status,
        code,
        message,
        remedy,
        measured_at: now,
        took_micros: 0,
    }
}

impl Remote {
    async fn call<T: Wire>(&self, request: &[u8]) -> Result<T, VaultError> {
        let link: Arc<Link> = match &*self.state.borrow() {
            State::Up { link, .. } => link.clone(),
            State::Down(why) => return Err(VaultError::Unavailable(why)),
        };
        match link.ask(request, self.deadline).await {
            Ok(answer) => {
                Ok(wire::from_bytes::<Result<T, keyservice::Error>>(&answer, "answer", &self.words)??)
            }
            Err(Silence::Late) => {
                self.silent(&link);
                Err(VaultError::Unavailable(LATE))
            }
            Err(Silence::Closed) => Err(VaultError::Unavailable("The key service ended while it was asked")),
            Err(Silence::TooLong) => Err(keyservice::Error::TooLarge { what: "request" }.into()),
        }
    }
}

/// An argument, for a call that may be made a second time.
macro_rules! lend {
    ($value:ident, copy) => {
        $value.clone()
    };
    ($value:ident, $other:ident) => {
        $value
    };
}

impl Remote {
    /// Nobody else is to wait for a process that did not answer in time, from now on: whoever watches it says when it
    /// answers again, and may be busy with a ping of its own.
    fn silent(&self, link: &Arc<Link>) {
        self.state.send_if_modified(|state| {
            let same = matches!(state, State::Up { link: up, .. } if Arc::ptr_eq(up, link));
            if same {
                *state = State::Down(LATE);
            }
            same
        });
        self.suspect.notify_one();
    }
}

macro_rules! functions {
    ($($number:literal $name:ident($($argument:ident: $kind:ident $(<$type:ty>)?),*) -> $answer:ty;)*) => {
        /// The calls. Each fails as the function of [`KeyService`] with its name does, and when the service does not
        /// answer in time.
        impl Vault {
            $(
                #[doc = concat!("[`KeyService::", stringify!($name), "`].")]
                ///
                /// # Errors
                /// See there; [`VaultError::Unavailable`].
                pub async fn $name(
                    &self,
                    $($argument: key_service_argument!($kind $(<$type>)?)),*
                ) -> Result<$answer, VaultError> {
                    match &self.place {
                        Place::Here(service, _) => {
                            let answer = || -> Result<$answer, VaultError> {
                                Ok(service.$name($(lend!($argument, $kind)),*).into_answer()?)
                            };
                            let first = answer();
                            if self.was_behind(&first).await { answer() } else { first }
                        }
                        Place::There(remote) => {
                            let request = keyservice::calls::request::$name($($argument),*);
                            let first = remote.call(&request).await;
                            if self.was_behind(&first).await { remote.call(&request).await } else { first }
                        }
                    }
                }
            )*
        }
    };
}

key_service_calls!(functions);

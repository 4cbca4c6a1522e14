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
mod server;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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

pub use client::MAX_CALLS;
pub use process::Launcher;
pub use protocol::{MAX_FRAME, MAX_MESSAGE, Opening};
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

use keyservice::Right;
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
    #[error("The access policies of the key module “{module}” do not allow {operation} to {principal} ({}).", ground(*policy))]
    Denied {
        /// The name of the module.
        module: String,
        /// Who wanted it.
        principal: String,
        /// What they wanted.
        operation: Right,
        /// The policy that settled it; none when no policy applied.
        policy: Option<Uuid>,
        /// Under which the decision is explained.
        decision: Uuid,
    },
}

fn ground(policy: Option<Uuid>) -> String {
    policy.map_or_else(|| "no policy allows it".to_owned(), |id| format!("policy {id}"))
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

/// The file of the root key that is to take the place of this one; none for a source that is not a file.
#[must_use]
pub fn next_of(root: &RootSource) -> Option<PathBuf> {
    let RootSource::File(path) = root else { return None };
    let mut name = path.clone().into_os_string();
    name.push(".next");
    Some(PathBuf::from(name))
}

/// Why a root key cannot be replaced from here.
const NOT_A_FILE: keyservice::Error = keyservice::Error::Malformed { what: "root key: it is not in a file" };

/// Puts the next root key in the place of the one before, which nothing is sealed under any more.
///
/// # Errors
/// When the system refuses; the next start tries again.
fn put_in_place(root: &RootSource) -> std::io::Result<()> {
    match (root, next_of(root)) {
        (RootSource::File(path), Some(next)) => std::fs::rename(next, path),
        _ => Ok(()),
    }
}

/// What a rotation of the root key left to do, once the hierarchy opens by the next one.
fn finish_rotation(root: &RootSource, by_next: bool) {
    if by_next {
        match put_in_place(root) {
            Ok(()) => tracing::info!("an interrupted rotation of the root key is finished"),
            Err(error) => {
                tracing::error!(%error, "the next root key cannot be put in the place of the old one");
            }
        }
    }
}

/// The key service. Its calls are those of [`KeyService`], by the same names.
#[derive(Clone)]
pub struct Vault(Place);

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
            return Ok((Self(Place::Here(Arc::new(service), opening.root)), opened.hierarchy));
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
        let vault = Self(Place::There(Arc::new(remote)));
        tracing::info!(protection = vault.protection().1, "the key service runs in a process of its own");
        Ok((vault, opened.hierarchy))
    }

    /// Makes the next root key, unless an interrupted rotation left one, and seals the hierarchy under it: what the
    /// caller stores before [`Self::finish_root`]. Nothing has changed until then.
    ///
    /// # Errors
    /// [`keyservice::Error::Malformed`] when the root key is not in a file, which is then for whoever provides it to
    /// replace; those of [`RootKey::create`](keyservice::RootKey::create); [`VaultError::Unavailable`].
    pub async fn begin_root(&self, now: Millis) -> Result<SealedHierarchy, VaultError> {
        match &self.0 {
            Place::Here(service, root) => {
                let path = next_of(root).ok_or(NOT_A_FILE)?;
                if !path.exists() {
                    keyservice::RootKey::create(&path, &keyservice::SystemEntropy)?;
                }
                Ok(service.rotate_root_to(&RootSource::File(path))?)
            }
            Place::There(remote) => {
                let opening = remote.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let next = RootSource::File(next_of(&opening.root).ok_or(NOT_A_FILE)?);
                // The process that answers can write nothing any more: another one, for this alone, makes the file.
                let opening = Opening { make_next: true, now, ..opening };
                let (other, _) =
                    Box::pin(Self::open(&remote.config, &remote.launcher, remote.entropy.clone(), opening))
                        .await?;
                other.rotate_root_to(&next).await
            }
        }
    }

    /// Works under the next root key from now on, and puts it in the place of the one before: the stored hierarchy is
    /// sealed under it.
    ///
    /// # Errors
    /// When it cannot be read, or put in place; the next start does it then.
    pub async fn finish_root(&self, hierarchy: &SealedHierarchy) -> Result<(), VaultError> {
        let root = match &self.0 {
            Place::Here(_, root) => root.clone(),
            Place::There(remote) => {
                remote.opening.lock().unwrap_or_else(PoisonError::into_inner).root.clone()
            }
        };
        let next = RootSource::File(next_of(&root).ok_or(NOT_A_FILE)?);
        self.adopt_root(&next, hierarchy).await?;
        self.remember(hierarchy.clone());
        put_in_place(&root).map_err(|error| {
            tracing::error!(%error, "the next root key cannot be put in the place of the old one");
            VaultError::Unavailable("The next root key cannot be put in the place of the old one")
        })
    }

    /// Opens with this hierarchy when the process is started again: the one before was rotated.
    pub fn remember(&self, hierarchy: SealedHierarchy) {
        if let Place::There(remote) = &self.0 {
            remote.opening.lock().unwrap_or_else(PoisonError::into_inner).hierarchy = Some(hierarchy);
        }
    }

    /// The id of the process, if the service has one and it answers.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.0 {
            Place::Here(..) => None,
            Place::There(remote) => match &*remote.state.borrow() {
                State::Up { pid, .. } => Some(*pid),
                State::Down(_) => None,
            },
        }
    }

    /// Whether the process answers, and how it is protected, as a component of the health report.
    #[must_use]
    pub fn component(&self, now: Millis) -> Component {
        let (status, message) = self.protection();
        let (code, remedy) = match status {
            HealthStatus::Disabled => ("IN_PROCESS", Some("set keyservice.form to \"process\"")),
            HealthStatus::Operational => ("OK", None),
            HealthStatus::Degraded | HealthStatus::Malfunction => (
                "UNAVAILABLE",
                Some("it is started again by itself; if it stays so, the log of this instance says why"),
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

    fn protection(&self) -> (HealthStatus, String) {
        let Place::There(remote) = &self.0 else {
            let message = "The key service runs inside the gateway, which holds the root key in its memory.";
            return (HealthStatus::Disabled, message.to_owned());
        };
        match &*remote.state.borrow() {
            State::Down(why) => (HealthStatus::Malfunction, format!("{why}.")),
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
                    match &self.0 {
                        Place::Here(service, _) => {
                            let answer: Result<$answer, _> = service.$name($($argument),*).into_answer();
                            Ok(answer?)
                        }
                        Place::There(remote) => {
                            remote.call(&keyservice::calls::request::$name($($argument),*)).await
                        }
                    }
                }
            )*
        }
    };
}

key_service_calls!(functions);

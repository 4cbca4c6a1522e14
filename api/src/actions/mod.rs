//! The verbs: one file per noun, one function per verb. An action loads, asks the domain, and saves the fact with
//! its work, its audit entry and its change in one transaction. No action touches the network.

mod catalogue;
mod claim;
mod clone;
mod compare;
mod connection;
pub(crate) mod envelope;
mod failure;
mod field_schema;
mod guided_setup;
mod handshake;
mod identity;
mod issue;
mod issue_letters;
mod key_ahead;
mod key_approval;
mod key_effective;
mod key_encryption;
mod key_health;
mod key_integrity;
pub(crate) mod key_life;
mod key_module;
mod key_policy;
mod key_rights;
mod key_root;
mod key_transfer;
pub mod key_use;
mod keys;
pub(crate) mod message;
mod offboarding;
pub(crate) mod onboarding;
pub(crate) mod pause;
pub(crate) mod probing;
mod registration;
mod scan;
mod settings;
mod verification;
mod watch;
mod withdrawal;
pub(crate) mod work;

pub mod audit;
pub mod authorization;
pub mod jwt;
pub mod kept;
pub mod letters;
mod limits;
pub mod once;
pub mod people;
pub mod session;
mod token;

use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::TimeDelta;

pub use catalogue::DefinitionDraft;
pub use guided_setup::SetupActivity;
pub use identity::VerifiedIdentity;
pub use key_approval::Verdict;
pub use key_life::KeyWish;
pub use key_module::{Governing, MODULES_MAX};
pub use key_transfer::Receiver;
pub use keys::{Keys, needed};
use limits::Limits;
pub use registration::NewRegistration;
pub use scan::{Answers, DryRun, Examine, Mending, ScanPlan, is_remote};
pub use settings::{Active, SettingsChange, is_agreed, settings_digest};

use crate::domain::check::Remedy;
use crate::domain::direction::Measure;
use crate::domain::id::{InstanceId, TraceId};
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::Environment;
use crate::domain::requester::Requester;
use crate::password::PasswordHasher;
use crate::store::{Cause, Once, Store, StoreError, Tx};
use crate::vault::VaultError;
use crate::world::World;

/// Protocol versions this instance speaks, the newest first.
pub const PROTOCOL_VERSIONS: &[u16] = &[1];
/// The software version that is told to peers.
pub const SOFTWARE: &str = env!("CARGO_PKG_VERSION");

/// What this instance is, as its operator configured it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How peers know it.
    pub instance: InstanceId,
    /// Where others reach it.
    pub origin: Origin,
    /// Whether an operator set the origin, rather than leaving the default.
    pub origin_is_set: bool,
    /// Name for people.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// Which URLs of others are acceptable.
    pub policy: OriginPolicy,
    /// Whether letters can be sent.
    pub mail_on: bool,
    /// How long a registration link is good.
    pub link_lifetime: TimeDelta,
    /// How directions are judged.
    pub measure: Measure,
    /// How long a probe may take.
    pub probe_limit: TimeDelta,
    /// Whether another installation is at home on this host: nothing is exchanged with any peer.
    pub copied: bool,
}

/// Who asks, under which trace.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub requester: Requester,
    /// Follows the request through logs, refusals and peers.
    pub trace: TraceId,
    /// The idempotency key that the request is under, see [`Actions::once`].
    pub once: Option<Arc<Once>>,
}

impl Call {
    /// A call by somebody.
    #[must_use]
    pub const fn by(requester: Requester, trace: TraceId) -> Self {
        Self { requester, trace, once: None }
    }

    /// A call by this instance itself.
    #[must_use]
    pub const fn system(trace: TraceId) -> Self {
        Self::by(Requester::System, trace)
    }
}

/// Why an action did not do what it was asked: the caller's fault is a refusal, the rest is ours.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The expected "no".
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// Memory does not work.
    #[error(transparent)]
    Store(StoreError),
    /// The key service does not work, or refuses.
    #[error(transparent)]
    Keys(#[from] keyservice::Error),
    /// Something that cannot be, unless we have a bug.
    #[error("{0}")]
    Bug(&'static str),
}

/// What an action answers.
pub type Done<T> = Result<T, Failure>;

impl Failure {
    /// The reason of `KEY_SERVICE_UNHEALTHY` when the key service did not answer: its component in the health report.
    pub const KEYS_AWAY: &'static str = "PROCESS";
    /// The reason of `KEY_SERVICE_UNHEALTHY` when the use of keys cannot be recorded: its component as well.
    pub const TRAIL_AWAY: &'static str = "AUDIT_CHAIN";
    /// The reason of `KEY_SERVICE_UNHEALTHY` when a row is not as it was written: the component as well.
    const TAMPERED: &'static str = "INTEGRITY_KEY";

    /// Whether nothing was done because a row of the key service's is not as it was written.
    fn breaks_a_seal(&self) -> bool {
        let Self::Refused(refusal) = self else { return false };
        refusal.code == RefusalCode::KeyServiceUnhealthy && refusal.reason.as_deref() == Some(Self::TAMPERED)
    }
}

/// Nothing is done with a row of the key service's that is not as it was written.
fn tampered(error: &dyn std::error::Error) -> Failure {
    let message = format!("Nothing is done with it: {error}.");
    Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Failure::TAMPERED).into()
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match error {
            // A row that somebody wrote to. Whatever else fails its check came from elsewhere, and has a refusal of its own.
            VaultError::Refused(error @ keyservice::Error::Tampered { what: "key" | "module" }) => {
                tampered(&error)
            }
            VaultError::Refused(error) => Self::Keys(error),
            VaultError::Denied { decision, .. } => {
                let remedy = "A key manager of this instance can allow it under Keys, Access.";
                Refusal::new(RefusalCode::PolicyDenied, error.to_string())
                    .reason(decision)
                    .remedy(Remedy::human(remedy))
                    .into()
            }
            VaultError::Unrecorded => {
                let message =
                    format!("{error}, so no keys are used. It goes on by itself when the trail works again.");
                Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Self::TRAIL_AWAY).into()
            }
            VaultError::Unavailable(why) => {
                let message = format!("{why}. It comes back by itself; try again soon.");
                Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Self::KEYS_AWAY).into()
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(what) => Refusal::conflict(what).into(),
            StoreError::Missing(what) => Refusal::not_found(what).into(),
            error if error.breaks_a_seal() => tampered(&error),
            StoreError::Duplicate(what) => {
                Refusal::new(RefusalCode::Duplicate, format!("Such a {what} exists already.")).into()
            }
            error => Self::Store(error),
        }
    }
}

/// The verbs of one instance.
#[derive(Clone)]
pub struct Actions {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) world: World,
    pub(crate) profile: Arc<Profile>,
    pub(crate) passwords: PasswordHasher,
    pub(crate) limits: Limits,
    pub(crate) trail: audit::Trail,
    pub(crate) integrity: key_integrity::Integrity,
    /// What was last announced of the key service's health, once that is known.
    announced_key_health: Arc<tokio::sync::Mutex<Option<serde_json::Value>>>,
    verified: audit::chain::Verified,
    watch: watch::Watch,
}

impl std::fmt::Debug for Actions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actions").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Actions {
    /// The verbs over this memory and these keys.
    #[must_use]
    pub fn new(store: Store, keys: Keys, world: World, profile: Profile, cores: NonZeroUsize) -> Self {
        Self {
            store,
            keys,
            world,
            profile: Arc::new(profile),
            passwords: PasswordHasher::new(cores),
            limits: Limits::default(),
            trail: audit::Trail::default(),
            integrity: key_integrity::Integrity::default(),
            announced_key_health: Arc::default(),
            verified: audit::chain::Verified::default(),
            watch: watch::Watch::default(),
        }
    }

    /// What this instance is.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What this instance's keys are known by; never the keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts on record what is not yet, before the program stops: how often keys were used.
    ///
    /// # Errors
    /// When the audit trail takes no entry.
    pub async fn finish(&self) -> Done<()> {
        Ok(self.keys.finish().await?)
    }

    /// Begins the transaction of a verb.
    pub(crate) async fn begin(&self, label: &'static str, call: &Call) -> Done<Tx> {
        if call.once.as_ref().is_some_and(|once| once.is_written()) {
            return Err(Failure::Bug("a verb commits one transaction"));
        }
        // What it must say where nothing can be recorded, a use of keys says itself; the rest goes on.
        let _ = self.keys.ready().await;
        self.begin_keyless(label, call).await
    }

    /// As [`Actions::begin`], for what an instance does before it serves: it uses no keys, and nothing is on record for
    /// them yet.
    pub(crate) async fn begin_keyless(&self, label: &'static str, call: &Call) -> Done<Tx> {
        Ok(self.store.begin(label, &self.cause(call)).await?)
    }

    /// Begins a transaction that only reads: a question waits for no writer, and keeps none waiting.
    pub(crate) async fn begin_reading(&self, label: &'static str, call: &Call) -> Done<Tx> {
        let _ = self.keys.ready().await;
        Ok(self.store.begin_reading(label, &self.cause(call)).await?)
    }

    fn cause(&self, call: &Call) -> Cause {
        Cause {
            requester: call.requester.clone(),
            trace: call.trace,
            now: self.world.now(),
            once: call.once.clone(),
        }
    }
}

/// How often the same request may come second: once for the thing, once for its key, once more for good measure.
pub(crate) const SECONDS: usize = 3;

/// Whether somebody else was faster with the same thing: asked again, it is known.
pub(crate) fn came_second<T>(done: &Done<T>) -> bool {
    use RefusalCode::{Conflict, Duplicate, DuplicateRegistration};
    matches!(done, Err(Failure::Refused(refusal)) if matches!(refusal.code, Conflict | Duplicate | DuplicateRegistration))
}

//! Whether the keys work: measured by using them, not by looking at flags.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::exchange::LinkSecrets;
use crate::identity::labelled;
use crate::key::{Purpose, SealedKey};
use crate::keyring::Keyring;
use crate::lifecycle::{KeyState, Operation};
use crate::operations::{hmac_check, hmac_tag};
use crate::ports::{Millis, random};
use crate::service::KeyService;
use crate::signing;

/// A key that expires sooner than this is reported, in milliseconds.
const EXPIRY_NOTICE: Millis = 7 * 24 * 60 * 60 * 1000;
/// How far the clock may be behind a date that it gave earlier, in milliseconds.
const CLOCK_TOLERANCE: Millis = 5 * 60 * 1000;
const SELF_TEST: &str = "ks1 self-test";

/// How a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// It works.
    Operational,
    /// It works, but someone should act.
    Degraded,
    /// It does not work.
    Malfunction,
    /// It was not checked.
    Disabled,
}

impl HealthStatus {
    /// The name in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "OPERATIONAL",
            Self::Degraded => "DEGRADED",
            Self::Malfunction => "MALFUNCTION",
            Self::Disabled => "DISABLED",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentKind {
    /// The root key opens the hierarchy.
    RootKey,
    /// The key encryption keys wrap and unwrap.
    KeyEncryptionKey,
    /// The integrity key authenticates.
    IntegrityKey,
    /// The identity key signs.
    IdentitySigningKey,
    /// The source of randomness delivers.
    Entropy,
    /// The clock does not run behind its own past.
    Clock,
    /// The keys of one module do what they are for.
    ModuleSelfTest,
}

impl ComponentKind {
    /// The name in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootKey => "ROOT_KEY",
            Self::KeyEncryptionKey => "KEY_ENCRYPTION_KEY",
            Self::IntegrityKey => "INTEGRITY_KEY",
            Self::IdentitySigningKey => "IDENTITY_SIGNING_KEY",
            Self::Entropy => "ENTROPY",
            Self::Clock => "CLOCK",
            Self::ModuleSelfTest => "MODULE_SELF_TEST",
        }
    }

    /// Whether nothing works without it.
    pub fn is_critical(self) -> bool {
        match self {
            Self::RootKey
            | Self::KeyEncryptionKey
            | Self::IntegrityKey
            | Self::IdentitySigningKey
            | Self::Entropy => true,
            Self::Clock | Self::ModuleSelfTest => false,
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What was measured.
    pub component: ComponentKind,
    /// The module, for [`ComponentKind::ModuleSelfTest`].
    pub module: Option<String>,
    /// Whether nothing works without it.
    pub critical: bool,
    /// How it is.
    pub status: HealthStatus,
    /// A stable code; `OK` when nothing is wrong.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
    /// When.
    pub measured_at: Millis,
    /// How long it took, in microseconds.
    pub took_micros: u64,
}

/// All measurements at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// [`roll_up`] of the components.
    pub status: HealthStatus,
    /// In a fixed order, modules last and by name.
    pub components: Vec<Component>,
    /// When.
    pub measured_at: Millis,
}

/// One status for many: disabled components do not count; none left is disabled; a critical malfunction, or nothing but
/// malfunctions, is a malfunction; any degradation or malfunction is a degradation.
pub fn roll_up(components: &[Component]) -> HealthStatus {
    let mut counted =
        components.iter().filter(|component| component.status != HealthStatus::Disabled).peekable();
    if counted.peek().is_none() {
        return HealthStatus::Disabled;
    }
    let (mut all_fail, mut critical_fails, mut all_work) = (true, false, true);
    for component in counted {
        let fails = component.status == HealthStatus::Malfunction;
        all_fail &= fails;
        critical_fails |= fails && component.critical;
        all_work &= component.status == HealthStatus::Operational;
    }
    if critical_fails || all_fail {
        HealthStatus::Malfunction
    } else if all_work {
        HealthStatus::Operational
    } else {
        HealthStatus::Degraded
    }
}

/// What a measurement found, before it is dated.
struct Finding {
    status: HealthStatus,
    code: &'static str,
    message: String,
    remedy: Option<&'static str>,
}

impl Finding {
    fn fine(message: &str) -> Self {
        Self { status: HealthStatus::Operational, code: "OK", message: message.to_owned(), remedy: None }
    }

    fn degraded(code: &'static str, message: String, remedy: &'static str) -> Self {
        Self { status: HealthStatus::Degraded, code, message, remedy: Some(remedy) }
    }

    fn malfunction(code: &'static str, message: String, remedy: &'static str) -> Self {
        Self { status: HealthStatus::Malfunction, code, message, remedy: Some(remedy) }
    }

    fn of(result: Result<(), Error>, fine: &str, remedy: &'static str) -> Self {
        match result {
            Ok(()) => Self::fine(fine),
            Err(error) => Self::malfunction(error.code(), error.to_string(), remedy),
        }
    }
}

impl KeyService {
    /// Measures everything. `keys` are the keys on record; each module among them is tested with its active key.
    pub fn health(&self, keys: &[SealedKey], now: Millis) -> HealthReport {
        let mut components = vec![
            self.measure(ComponentKind::RootKey, None, now, || {
                Finding::of(
                    self.test_root_key(),
                    "The root key opens the hierarchy.",
                    "Give the service the root key that the hierarchy was made with.",
                )
            }),
            self.measure(ComponentKind::KeyEncryptionKey, None, now, || {
                Finding::of(
                    self.test_wrap(),
                    "Material can be wrapped and unwrapped.",
                    "Restore the key hierarchy from a backup.",
                )
            }),
            self.measure(ComponentKind::IntegrityKey, None, now, || {
                Finding::of(
                    self.test_rows(keys),
                    "Every key on record is as this service wrote it.",
                    "Somebody changed a key on record: restore it from a backup, and find out who.",
                )
            }),
            self.measure(ComponentKind::IdentitySigningKey, None, now, || self.test_identity(keys, now)),
            self.measure(ComponentKind::Entropy, None, now, || {
                Finding::of(
                    self.test_entropy(),
                    "The source of randomness delivers.",
                    "Repair the random number source of the host.",
                )
            }),
            self.measure(ComponentKind::Clock, None, now, || self.test_clock(keys, now)),
        ];
        let mut modules: BTreeMap<&str, Vec<&SealedKey>> = BTreeMap::new();
        for key in keys {
            modules.entry(&key.module).or_default().push(key);
        }
        for (module, keys) in modules {
            components.push(
                self.measure(ComponentKind::ModuleSelfTest, Some(module), now, || {
                    self.test_module(&keys, now)
                }),
            );
        }
        HealthReport { status: roll_up(&components), components, measured_at: now }
    }

    fn measure(
        &self,
        component: ComponentKind,
        module: Option<&str>,
        now: Millis,
        test: impl FnOnce() -> Finding,
    ) -> Component {
        let begun = (self.stopwatch)();
        let Finding { status, code, message, remedy } = test();
        Component {
            component,
            module: module.map(str::to_owned),
            critical: component.is_critical(),
            status,
            code,
            message,
            remedy,
            measured_at: now,
            took_micros: (self.stopwatch)().saturating_sub(begun),
        }
    }

    fn test_root_key(&self) -> Result<(), Error> {
        let current = self.current();
        Keyring::open(&current.root, *self.instance(), &current.hierarchy).map(|_| ())
    }

    fn test_wrap(&self) -> Result<(), Error> {
        let known = b"a known value";
        let wrapped = self.current().keyring.wrap(self.entropy.as_ref(), SELF_TEST, b"", known)?;
        let opened = self.current().keyring.unwrap(SELF_TEST, b"", &wrapped, "self-test")?;
        if opened.as_slice() == known { Ok(()) } else { Err(Error::Tampered { what: "self-test" }) }
    }

    fn test_rows(&self, keys: &[SealedKey]) -> Result<(), Error> {
        keys.iter().try_for_each(|key| self.check_row(key))
    }

    fn test_identity(&self, keys: &[SealedKey], now: Millis) -> Finding {
        let remedy = "Rotate the identity key.";
        let active =
            keys.iter().find(|key| key.purpose == Purpose::IdentitySigning && key.state == KeyState::Active);
        match active {
            None => Finding::malfunction(
                "IDENTITY_KEY_MISSING",
                "There is no active identity key.".to_owned(),
                "Generate an identity key, or resume the suspended one.",
            ),
            Some(key) => match self.self_test(key, now) {
                Ok(()) => expiry(key, now).unwrap_or_else(|| Finding::fine("The identity key signs.")),
                Err(error) => Finding::malfunction(error.code(), error.to_string(), remedy),
            },
        }
    }

    fn test_entropy(&self) -> Result<(), Error> {
        let first: [u8; 32] = random(self.entropy.as_ref())?;
        let second: [u8; 32] = random(self.entropy.as_ref())?;
        if first == second || first == [0; 32] || second == [0; 32] { Err(Error::Entropy) } else { Ok(()) }
    }

    fn test_clock(&self, keys: &[SealedKey], now: Millis) -> Finding {
        let dates = keys.iter().flat_map(|key| {
            [Some(key.created_at), key.activated_at, key.rotated_at, key.deactivated_at, key.destroyed_at]
        });
        let latest = dates.flatten().chain([self.current().keyring.created_at()]).max().unwrap_or(now);
        if now < latest.saturating_sub(CLOCK_TOLERANCE) {
            let behind = latest.saturating_sub(now) / 1000;
            return Finding::malfunction(
                "CLOCK_BEHIND",
                format!("The clock is {behind} s behind a date that it gave earlier."),
                "Synchronise the clock of the host.",
            );
        }
        Finding::fine("The clock is not behind its own past.")
    }

    fn test_module(&self, keys: &[&SealedKey], now: Millis) -> Finding {
        let mut active = keys.iter().filter(|key| key.state == KeyState::Active);
        match (active.next(), active.next()) {
            (None, _) => Finding {
                status: HealthStatus::Disabled,
                code: "NO_ACTIVE_KEY",
                message: "The module has no active key.".to_owned(),
                remedy: None,
            },
            (Some(_), Some(_)) => Finding::malfunction(
                "TWO_ACTIVE_KEYS",
                "The module has more than one active key.".to_owned(),
                "Deactivate all but the newest.",
            ),
            (Some(key), None) => match self.self_test(key, now) {
                Ok(()) => expiry(key, now).unwrap_or_else(|| Finding::fine("The active key works.")),
                Err(error) => {
                    Finding::malfunction(error.code(), error.to_string(), "Rotate the key, or restore it.")
                }
            },
        }
    }

    /// Does with a key what it is for.
    fn self_test(&self, key: &SealedKey, now: Millis) -> Result<(), Error> {
        match key.algorithm {
            Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 => {
                // With a label of its own: the signature says nothing to anybody.
                let message = labelled(SELF_TEST, &[&now.to_le_bytes()]);
                let signature = self.sign_raw(key, &message, now)?;
                let public = key.public.as_deref().unwrap_or_default();
                signing::verify(key.algorithm, public, &message, &signature)
            }
            Algorithm::Aes256Gcm => {
                let known: [u8; 16] = random(self.entropy.as_ref())?;
                let material = self.material(key, Operation::Seal, now)?;
                let sealed = self.seal_under(key, &material, &[SELF_TEST.as_bytes()], &known)?;
                let opened = self.open_under(key, &material, &[SELF_TEST.as_bytes()], &sealed)?;
                if opened == known { Ok(()) } else { Err(Error::Tampered { what: "self-test" }) }
            }
            Algorithm::HmacSha256 | Algorithm::HmacSha384 | Algorithm::HmacSha512 => {
                let message = labelled(SELF_TEST, &[&now.to_le_bytes()]);
                let material = self.material(key, Operation::Mac, now)?;
                let tag = hmac_tag(key.algorithm, &material, &message)?;
                hmac_check(key.algorithm, &material, &message, &tag)
            }
            Algorithm::Kx1Suite1 => {
                // Only one side's keys are of use to us, so a message cannot be sealed and opened again.
                let secrets = LinkSecrets::decode(&self.material(key, Operation::Seal, now)?)?;
                let distinct = secrets.consumer_to_provider.expose_secret()
                    != secrets.provider_to_consumer.expose_secret();
                if distinct { Ok(()) } else { Err(Error::Tampered { what: "link key" }) }
            }
        }
    }
}

fn expiry(key: &SealedKey, now: Millis) -> Option<Finding> {
    let left = key.expires_at?.saturating_sub(now);
    (left < EXPIRY_NOTICE).then(|| {
        Finding::degraded(
            "KEY_EXPIRES_SOON",
            format!("Version {} of {} expires in {} h.", key.version, key.module, left / 3_600_000),
            "Rotate the key.",
        )
    })
}

#[cfg(test)]
mod tests;

//! The measurements themselves.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::{AuditMeasure, Component, ComponentKind, Finding, HealthReport, HealthStatus, Records, roll_up};
use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::exchange::LinkSecrets;
use crate::hierarchy::RootPlace;
use crate::identity::labelled;
use crate::key::{Purpose, SealedKey};
use crate::keyring::Keyring;
use crate::lifecycle::{KeyState, Operation};
use crate::module::{ModuleState, SealedModule};
use crate::operations::{hmac_check, hmac_tag};
use crate::policy::{AccessPolicy, Context, DefaultDecision, Effect, Matcher, decide};
use crate::ports::{Millis, random};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::root::RootSource;
use crate::service::KeyService;
use crate::signing;
use crate::versions::due_rotations;

/// A key that expires sooner than this is reported, in milliseconds; one that lives short, in the last quarter of its
/// life.
const EXPIRY_NOTICE: Millis = 7 * 24 * 60 * 60 * 1000;
/// How far the clock may be behind a date that it gave earlier, in milliseconds.
const CLOCK_TOLERANCE: Millis = 5 * 60 * 1000;
/// How long after it is due a rotation is reported, in milliseconds.
const ROTATION_TOLERANCE: Millis = 60 * 60 * 1000;
/// How many keys of one module are used in one report; each report takes others, until all had their turn.
const KEYS_AT_ONCE: usize = 64;
/// How often reports are made, in milliseconds; decides whose turn it is.
const REPORT_PERIOD: Millis = 15_000;
const SELF_TEST: &str = "ks1 self-test";
/// What to do where it is no row's fault.
const HOST: &str = "Look at the host, no row is to blame: ENTROPY and KNOWN_ANSWERS say what of it fails.";

impl KeyService {
    /// Measures the service over the keys on record, without modules and without the audit trail.
    pub fn health(&self, keys: &[SealedKey], now: Millis) -> HealthReport {
        self.health_of(&Records { modules: &[], keys, audit: None }, now)
    }

    /// [`Self::health_of`], for a caller whose records come in pieces, which [`HealthReport::with`] joins.
    /// The identity's key belongs into each of them.
    pub fn report(
        &self,
        modules: &[SealedModule],
        keys: &[SealedKey],
        audit: Option<AuditMeasure>,
        now: Millis,
    ) -> HealthReport {
        self.health_of(&Records { modules, keys, audit: audit.as_ref() }, now)
    }

    /// Measures everything. Each published module is tested with its active keys; keys of no module are tested by the
    /// name that they carry.
    pub fn health_of(&self, records: &Records<'_>, now: Millis) -> HealthReport {
        let keys = records.keys;
        let mut components = vec![
            self.measure(ComponentKind::RootKey, None, now, || self.test_root_key()),
            self.measure(ComponentKind::KeyEncryptionKey, None, now, || {
                let wraps = self.test_wrap();
                let host = wraps.as_ref().is_err_and(is_of_the_host);
                let remedy = if host { HOST } else { "Restore the key hierarchy from a backup." };
                Finding::of(wraps, "Material can be wrapped and unwrapped.", remedy)
            }),
            self.measure(ComponentKind::IntegrityKey, None, now, || {
                Finding::of(
                    self.test_rows(records),
                    "Every module and key on record is as this service wrote it.",
                    "Somebody changed a row on record: restore it from a backup, and find out who.",
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
            self.measure(ComponentKind::KnownAnswers, None, now, || {
                Finding::of(
                    self.test_known_answers(now),
                    "Every primitive gives its known answer.",
                    "The processor or the program computes wrongly: move the instance to another host.",
                )
            }),
            self.measure(ComponentKind::Clock, None, now, || self.test_clock(keys, now)),
            self.measure(ComponentKind::PolicyEngine, None, now, || {
                Finding::of(
                    self.test_policy_engine(records),
                    "Access policies decide as they should.",
                    "Restore the access policies of the module, or the program.",
                )
            }),
            self.measure(ComponentKind::AuditChain, None, now, || test_audit_chain(records)),
            self.measure(ComponentKind::RotationSchedule, None, now, || test_schedule(records, now)),
        ];
        for (module, Group { rotation_period, keys }) in by_module(records) {
            components.push(self.measure(ComponentKind::ModuleSelfTest, Some(module), now, || {
                self.test_module(&keys, rotation_period, now)
            }));
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

    /// That the root key opens the hierarchy, and that the next start will find it.
    fn test_root_key(&self) -> Finding {
        let current = self.current();
        if let Err(error) = Keyring::open(&current.root, *self.instance(), &current.hierarchy) {
            let remedy = match &error {
                Error::RootKeyMismatch => "Give the service the root key that the hierarchy was made with.",
                error if is_of_the_host(error) => HOST,
                _ => "Restore the row of this instance, which holds the key hierarchy, from a backup.",
            };
            return Finding::malfunction(error.code(), error.to_string(), remedy);
        }
        match &self.root_source {
            Some(own) => root_finding(own, self.root_place(own)),
            None => Finding::fine(ROOT_KEY_OPENS),
        }
    }

    fn test_wrap(&self) -> Result<(), Error> {
        let known = b"a known value";
        let keyring = &self.current().keyring;
        let wrapped = keyring.wrap(self.entropy.as_ref(), SELF_TEST, b"", known)?;
        let opened = keyring.unwrap(SELF_TEST, b"", &wrapped, "self-test")?;
        if opened.as_slice() == known { Ok(()) } else { Err(Error::Tampered { what: "self-test" }) }
    }

    fn test_rows(&self, records: &Records<'_>) -> Result<(), Error> {
        records.modules.iter().try_for_each(|module| self.check_module(module))?;
        records.keys.iter().try_for_each(|key| self.check_row(key))
    }

    fn test_identity(&self, keys: &[SealedKey], now: Millis) -> Finding {
        let active =
            keys.iter().find(|key| key.purpose == Purpose::IdentitySigning && key.state == KeyState::Active);
        match active {
            None => Finding::malfunction(
                "IDENTITY_KEY_MISSING",
                "There is no active identity key.".to_owned(),
                remedy(Purpose::IdentitySigning, None),
            ),
            Some(key) => match self.self_test(key, now) {
                Ok(()) => expiry(key, None, now).unwrap_or_else(|| Finding::fine("The identity key signs.")),
                Err(error) => Finding::malfunction(
                    error.code(),
                    error.to_string(),
                    remedy(Purpose::IdentitySigning, Some(&error)),
                ),
            },
        }
    }

    fn test_entropy(&self) -> Result<(), Error> {
        let first: [u8; 32] = random(self.entropy.as_ref())?;
        let second: [u8; 32] = random(self.entropy.as_ref())?;
        if first == second || first == [0; 32] || second == [0; 32] { Err(Error::Entropy) } else { Ok(()) }
    }

    /// Once an hour; a wrong answer is asked for again each time.
    fn test_known_answers(&self, now: Millis) -> Result<(), Error> {
        if self.known_answers_are_due(now) {
            (self.answers)()?;
            self.note_known_answers(now);
        }
        Ok(())
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

    /// That the policies on record can be, and that known questions get their known answers.
    fn test_policy_engine(&self, records: &Records<'_>) -> Result<(), Error> {
        records.modules.iter().flat_map(|module| &module.policies).try_for_each(AccessPolicy::check)?;
        let policy = |effect| AccessPolicy {
            id: [0; 16],
            effect,
            matcher: Matcher::Service(Service::Health),
            rights: Rights::of(&[Right::Seal]),
            condition: None,
            note: String::new(),
        };
        let health = Principal::Service(Service::Health);
        let (strict, track, reject) =
            (policy(Effect::StrictReject), policy(Effect::Track), policy(Effect::Reject));
        for (policies, right, allowed) in [
            (vec![], Right::Seal, false),
            (vec![reject.clone()], Right::Seal, false),
            (vec![reject.clone(), track.clone()], Right::Seal, true),
            (vec![track.clone()], Right::Open, false),
            (vec![track, reject, strict], Right::Seal, false),
        ] {
            let decided =
                decide([0; 16], &policies, DefaultDecision::Reject, &health, right, &Context::nothing());
            if decided.allowed != allowed {
                return Err(Error::KnownAnswer { primitive: "access policy" });
            }
        }
        Ok(())
    }

    fn test_module(&self, keys: &[&SealedKey], rotation_period: Option<Millis>, now: Millis) -> Finding {
        let active: Vec<&SealedKey> =
            keys.iter().copied().filter(|key| key.state == KeyState::Active).collect();
        if active.is_empty() {
            return Finding {
                status: HealthStatus::Disabled,
                code: "NO_ACTIVE_KEY",
                message: "The module has no active key.".to_owned(),
                remedy: None,
            };
        }
        let mut names: Vec<&str> = active.iter().map(|key| key.module.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Finding::malfunction(
                "TWO_ACTIVE_KEYS",
                "The module has more than one active key.".to_owned(),
                "Somebody changed the rows of its keys: restore them from a backup, and find out who.",
            );
        }
        let turn = usize::try_from(now / REPORT_PERIOD).unwrap_or_default().wrapping_mul(KEYS_AT_ONCE);
        let begin = if active.len() > KEYS_AT_ONCE { turn % active.len() } else { 0 };
        for key in active.iter().cycle().skip(begin).take(active.len().min(KEYS_AT_ONCE)) {
            if let Err(error) = self.self_test(key, now) {
                let message = format!("Version {} of {}: {error}.", key.version, key.module);
                return Finding::malfunction(error.code(), message, remedy(key.purpose, Some(&error)));
            }
        }
        let expiring = active.iter().find_map(|key| expiry(key, rotation_period, now));
        expiring.unwrap_or_else(|| Finding::fine("The active key works."))
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

const ROOT_KEY_OPENS: &str = "The root key opens the hierarchy.";

/// What it means for the next start where the root key in use is.
fn root_finding(own: &RootSource, place: Result<RootPlace, Error>) -> Finding {
    match (place, own, own.next()) {
        // A file is put in its place by the service itself.
        (Ok(RootPlace::Next), RootSource::Credential(_), Some(next)) => Finding::degraded(
            "ROOT_KEY_NOT_IN_PLACE",
            format!("The root key in use is {next}, and {own} is still another one."),
            "Pass the one in use in the place of the other, and no next one, and restart: both are needed until then.",
        ),
        (Ok(RootPlace::Own | RootPlace::Next), ..) => Finding::fine(ROOT_KEY_OPENS),
        (Ok(RootPlace::Nowhere), ..) => Finding::malfunction(
            Error::RootKeyMismatch.code(),
            format!("{own} holds another root key than the one in use."),
            "Put the root key in use, or the copy of it, in its place: this instance does not start again without it.",
        ),
        (Err(error), ..) => {
            let remedy = match (&error, own) {
                (Error::RootKeyUnavailable { .. } | Error::RootKeyMalformed, _) => {
                    "Put the copy of the root key back in its place: this instance does not start again without it."
                }
                (Error::RootKeyExposed { .. }, RootSource::Credential(_)) => {
                    "Have the service manager pass it to linkspan's user alone, and rotate the root key if another may have read it."
                }
                (Error::RootKeyExposed { .. }, _) => {
                    "Take the access from the others (chmod 400), and rotate the root key if one of them may have read it."
                }
                _ => HOST,
            };
            Finding::malfunction(error.code(), error.to_string(), remedy)
        }
    }
}

/// What is tested under one name.
#[derive(Default)]
struct Group<'a> {
    /// How soon its keys are rotated by themselves.
    rotation_period: Option<Millis>,
    keys: Vec<&'a SealedKey>,
}

/// The keys to test under each name, by name: published modules with theirs, and what is left by the name it carries.
fn by_module<'a>(records: &Records<'a>) -> BTreeMap<&'a str, Group<'a>> {
    let mut modules: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for module in records.modules.iter().filter(|module| module.state == ModuleState::Published) {
        modules.entry(&module.name).or_default().rotation_period = module.specification.rotation_period;
    }
    for key in records.keys {
        let owner = records.modules.iter().find(|module| module.owns(key));
        modules.entry(owner.map_or(&key.module, |module| &module.name)).or_default().keys.push(key);
    }
    modules
}

/// What the gateway measured of the audit trail.
fn test_audit_chain(records: &Records<'_>) -> Finding {
    let Some(audit) = records.audit else {
        return Finding {
            status: HealthStatus::Disabled,
            code: "NOT_MEASURED",
            message: "The audit trail was not measured.".to_owned(),
            remedy: None,
        };
    };
    match (&audit.fault, audit.unsigned) {
        (Some(fault), _) => Finding::malfunction(
            "AUDIT_CHAIN_BROKEN",
            fault.clone(),
            "Export the trail, verify it against the checkpoints that the peers hold, and find out who changed it.",
        ),
        (None, true) => Finding::degraded(
            "CHECKPOINT_OVERDUE",
            format!("The last of {} entries are under no checkpoint.", audit.entries),
            "See that the worker runs and that the audit key can sign.",
        ),
        (None, false) if audit.verified < audit.entries => Finding {
            code: "BEING_VERIFIED",
            message: format!(
                "The audit trail is signed, and whole up to entry {} of {}: the rest is being verified.",
                audit.verified, audit.entries
            ),
            ..Finding::fine("")
        },
        (None, false) => Finding::fine("The audit trail is whole, and signed."),
    }
}

fn test_schedule(records: &Records<'_>, now: Millis) -> Finding {
    let late = now.saturating_sub(ROTATION_TOLERANCE);
    let due = due_rotations(records.modules, records.keys, late);
    let Some(first) = due.first() else { return Finding::fine("No rotation is overdue.") };
    let module = records.modules.iter().find(|module| module.id == first.module);
    let name = module.map_or("a module", |module| module.name.as_str());
    let hours = now.saturating_sub(first.due_at) / 3_600_000;
    Finding::degraded(
        "ROTATION_OVERDUE",
        format!("The rotation of {name} is overdue by {hours} h."),
        "See that the worker runs, or rotate the key.",
    )
}

/// That a key expires soon; nothing where it is rotated by itself before that, which the schedule answers for.
fn expiry(key: &SealedKey, rotation_period: Option<Millis>, now: Millis) -> Option<Finding> {
    let expires_at = key.expires_at?;
    let active_since = key.activated_at.unwrap_or(key.created_at);
    if rotation_period.is_some_and(|period| active_since.saturating_add(period) < expires_at) {
        return None;
    }
    let left = expires_at.saturating_sub(now);
    let notice = EXPIRY_NOTICE.min(expires_at.saturating_sub(key.created_at) / 4);
    (left < notice).then(|| {
        Finding::degraded(
            "KEY_EXPIRES_SOON",
            format!("Version {} of {} expires in {} h.", key.version, key.module, left / 3_600_000),
            remedy(key.purpose, None),
        )
    })
}

/// Whether the machine or the program fails, whatever the rows are like. Signatures and tags among it: what is checked here
/// was made a moment before, under a row whose seal holds.
fn is_of_the_host(error: &Error) -> bool {
    matches!(
        error,
        Error::Entropy | Error::Primitive | Error::KnownAnswer { .. } | Error::BadSignature | Error::BadTag
    )
}

/// What to do about a key that fails with this error, or will not be in use for long. Each purpose has its own: the
/// identity and the keys of links are not rotated by anybody.
fn remedy(purpose: Purpose, error: Option<&Error>) -> &'static str {
    match error {
        Some(error) if is_of_the_host(error) => return HOST,
        Some(Error::KeyEncryptionKeyUnknown { .. }) => {
            return "The row and the key hierarchy in use here are of different times: do what ROOT_KEY says; where that \
                is well, put back the row from a newer backup.";
        }
        _ => {}
    }
    match purpose {
        Purpose::IdentitySigning => "Restore the row of the identity key from a backup.",
        Purpose::LinkTraffic => {
            "Restore the row of the key from a backup, or off-board the connection and register the consumer again."
        }
        Purpose::AuditSigning
        | Purpose::TokenSigning
        | Purpose::DataEncryption
        | Purpose::Sealing
        | Purpose::Signing
        | Purpose::Authentication => match error {
            None | Some(Error::KeyExpired { .. }) => "Rotate the key of the module.",
            Some(_) => "Restore the row of the key from a backup.",
        },
    }
}

#[cfg(test)]
mod tests;

//! Whether the keys work: measured by using them, not by looking at flags.

mod measure;

use crate::error::Error;
use crate::key::SealedKey;
use crate::module::SealedModule;
use crate::ports::Millis;

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
    /// How much worse one is than another.
    fn weight(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Operational => 1,
            Self::Degraded => 2,
            Self::Malfunction => 3,
        }
    }

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
    /// Each primitive gives its published answer.
    KnownAnswers,
    /// The clock does not run behind its own past.
    Clock,
    /// Access policies decide as they should.
    PolicyEngine,
    /// The audit trail is whole and signed.
    AuditChain,
    /// Keys are rotated when they are due.
    RotationSchedule,
    /// The keys of one module do what they are for.
    ModuleSelfTest,
    /// The process of the service answers. Measured by whoever asks it.
    Process,
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
            Self::KnownAnswers => "KNOWN_ANSWERS",
            Self::Clock => "CLOCK",
            Self::PolicyEngine => "POLICY_ENGINE",
            Self::AuditChain => "AUDIT_CHAIN",
            Self::RotationSchedule => "ROTATION_SCHEDULE",
            Self::ModuleSelfTest => "MODULE_SELF_TEST",
            Self::Process => "PROCESS",
        }
    }

    /// Whether nothing works without it.
    pub fn is_critical(self) -> bool {
        match self {
            Self::RootKey
            | Self::KeyEncryptionKey
            | Self::IntegrityKey
            | Self::IdentitySigningKey
            | Self::Entropy
            | Self::KnownAnswers
            | Self::Process => true,
            Self::Clock
            | Self::PolicyEngine
            | Self::AuditChain
            | Self::RotationSchedule
            | Self::ModuleSelfTest => false,
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
    /// A stable code; `OK` when nothing is wrong, `BEING_VERIFIED` while the audit trail is gone over and nothing was found.
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

/// What is on record, for a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// All modules.
    pub modules: &'a [SealedModule],
    /// The keys whose health counts.
    pub keys: &'a [SealedKey],
    /// What was measured of the audit trail; none leaves it unchecked.
    pub audit: Option<&'a AuditMeasure>,
}

/// How the audit trail is, as whoever keeps it measured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditMeasure {
    /// How many entries it has.
    pub entries: u64,
    /// Up to which entry it was verified.
    pub verified: u64,
    /// The first bad entry, in words; none if the part that was verified is whole.
    pub fault: Option<String>,
    /// Whether entries are under no checkpoint for longer than they should be.
    pub unsigned: bool,
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

impl HealthReport {
    /// One report over records that came in pieces: of what both measured, the worse finding counts.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for component in other.components {
            let same = |known: &&mut Component| {
                (known.component, &known.module) == (component.component, &component.module)
            };
            match self.components.iter_mut().find(same) {
                None => self.components.push(component),
                Some(known) => {
                    let took_micros = known.took_micros.saturating_add(component.took_micros);
                    if component.status.weight() > known.status.weight() {
                        *known = component;
                    }
                    known.took_micros = took_micros;
                }
            }
        }
        // Those of no module have their order, and stay before the others.
        self.components.sort_by(|one, other| one.module.cmp(&other.module));
        self.status = roll_up(&self.components);
        self
    }
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

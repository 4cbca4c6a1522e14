//! Why the key service refused: the local reason. What a peer is told is uniform, and decided elsewhere.

use crate::key::Purpose;
use crate::lifecycle::{KeyState, Operation};
use crate::module::ModuleState;
use crate::policy::Decision;
use crate::ports::Millis;
use crate::right::Right;

/// A refusal or failure of the key service. No variant carries secret material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source of randomness failed.
    #[error("the source of randomness failed")]
    Entropy,
    /// A cryptographic primitive refused input that this crate believed valid.
    #[error("a cryptographic primitive refused its input")]
    Primitive,
    /// A primitive does not give its published answer: the machine or the program computes wrongly.
    #[error("{primitive} does not give its known answer")]
    KnownAnswer {
        /// The primitive.
        primitive: &'static str,
    },
    /// The root key could not be read or created.
    #[error("root key {path}: {reason}")]
    RootKeyUnavailable {
        /// The file, or what stands for one.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// Others than its owner can read the root key.
    #[error("root key file {path} has mode {mode:03o}: only its owner may have access")]
    RootKeyExposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The root key is neither 32 bytes nor 64 hexadecimal digits.
    #[error("a root key is 32 bytes or 64 hexadecimal digits")]
    RootKeyMalformed,
    /// The hierarchy was sealed under another root key, or belongs to another instance.
    #[error("the key hierarchy was sealed under another root key or for another instance")]
    RootKeyMismatch,
    /// A value does not have the form it must have.
    #[error("{what} is malformed")]
    Malformed {
        /// The value.
        what: &'static str,
    },
    /// A value is larger than allowed.
    #[error("{what} is too large")]
    TooLarge {
        /// The value.
        what: &'static str,
    },
    /// An authenticity check of something sealed failed.
    #[error("{what} fails its authenticity check")]
    Tampered {
        /// The sealed thing.
        what: &'static str,
    },
    /// A wrap names a key encryption key that the hierarchy does not have.
    #[error("key encryption key {version} is unknown")]
    KeyEncryptionKeyUnknown {
        /// Its version.
        version: u32,
    },
    /// The state of the key does not allow the operation.
    #[error("a key that is {state} does not allow to {operation}")]
    WrongState {
        /// The state.
        state: KeyState,
        /// The operation.
        operation: Operation,
    },
    /// The key is for something else.
    #[error("a key for {purpose} does not {operation}")]
    WrongPurpose {
        /// What the key is for.
        purpose: Purpose,
        /// The operation.
        operation: Operation,
    },
    /// An algorithm is not offered.
    #[error("{asked:?} is refused: {why}")]
    AlgorithmRefused {
        /// What was asked for.
        asked: String,
        /// Why not.
        why: &'static str,
    },
    /// A specification of a module that cannot hold.
    #[error("the module's {what} is refused: {why}")]
    SpecificationRefused {
        /// The part of it.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// The state of the module does not allow it.
    #[error("a module that is {state} does not allow to {what}")]
    WrongModuleState {
        /// The state.
        state: ModuleState,
        /// What was tried.
        what: &'static str,
    },
    /// No access policy allows it.
    #[error("access to the module {module} is denied. {}", decision.explanation())]
    PolicyDenied {
        /// The module.
        module: String,
        /// The decision, with its trace.
        decision: Box<Decision>,
    },
    /// The module has no active key.
    #[error("the module {module} has no active key")]
    NoActiveKey {
        /// The module.
        module: String,
    },
    /// The module has no key of that version.
    #[error("the module has no key of version {version}")]
    UnknownKeyVersion {
        /// The version that was asked for.
        version: u64,
    },
    /// The key is of another module.
    #[error("the key does not belong to the module {module}")]
    OtherModule {
        /// The module that was named.
        module: String,
    },
    /// Another version is active, and a module has one active key at most.
    #[error("version {version} is active already")]
    AnotherIsActive {
        /// The other version.
        version: u64,
    },
    /// No second person agreed to exactly this.
    #[error("{right} needs the agreement of a second person to exactly this")]
    ApprovalMismatch {
        /// What needs it.
        right: Right,
    },
    /// The keys of the module never leave.
    #[error("the keys of the module {module} never leave")]
    NotExportable {
        /// The module.
        module: String,
    },
    /// The keys of the module come from here alone.
    #[error("the keys of the module {module} are made here alone")]
    NotImportable {
        /// The module.
        module: String,
    },
    /// Key material from elsewhere is not good enough.
    #[error("the key is refused: {why}")]
    KeyRefused {
        /// Why.
        why: &'static str,
    },
    /// The root key to rotate to is the one in use.
    #[error("the root key is the one in use")]
    RootKeyUnchanged,
    /// The last rotation of the key encryption key is not over.
    #[error("a rotation of the key encryption key is in progress")]
    RotationInProgress,
    /// Keys are still wrapped under an older key encryption key.
    #[error("{count} keys are still wrapped under an older key encryption key")]
    StillWrapped {
        /// How many.
        count: u64,
    },
    /// The state of the key allows it only for a stated reason.
    #[error("a key that is {state} needs a stated reason for this")]
    ReasonRequired {
        /// The state.
        state: KeyState,
    },
    /// The key expired.
    #[error("the key expired at {at}")]
    KeyExpired {
        /// When.
        at: Millis,
    },
    /// A ciphertext belongs to another key or key version.
    #[error("the ciphertext belongs to version {version} of the key")]
    OtherKeyVersion {
        /// The version named by the ciphertext.
        version: u64,
    },
    /// The signature label belongs to the exchange alone.
    #[error("the label is reserved for the key exchange")]
    ReservedLabel,
    /// An Ed25519 public key is not canonical or of small order.
    #[error("the public key is not canonical or of small order")]
    WeakKey,
    /// An X25519 public key gives an agreement without secrecy.
    #[error("the ephemeral key is refused")]
    WeakEphemeral,
    /// A signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
    /// An authentication code does not belong to the message.
    #[error("the authentication code does not verify")]
    BadTag,
    /// The peer does not hold the key that the transcript leads to.
    #[error("the key confirmation does not verify")]
    KeyConfirmationFailed,
    /// A message of the exchange disagrees with what is on record.
    #[error("{what} is not the one on record")]
    ContextMismatch {
        /// The disagreeing field.
        what: &'static str,
    },
    /// A message belongs to another attempt.
    #[error("the message belongs to another attempt")]
    OtherAttempt,
    /// The exchange is over, expired, or was begun before a restart: begin a new attempt.
    #[error("the exchange is unknown or over")]
    ExchangeUnknown,
    /// Too many exchanges are in progress.
    #[error("too many exchanges are in progress")]
    ExchangesFull,
    /// No common protocol version at or above the floor.
    #[error("no common protocol version")]
    VersionUnsupported,
    /// No common suite at or above the floor.
    #[error("no common suite")]
    SuiteUnsupported,
    /// A message belongs to another link.
    #[error("the message belongs to another link")]
    OtherLink,
    /// A message belongs to another epoch.
    #[error("the message belongs to epoch {epoch}")]
    OtherEpoch {
        /// The epoch named by the message.
        epoch: u64,
    },
    /// A message goes the other way: ours to open when sealing, or one of our own coming back.
    #[error("the message goes the other way")]
    WrongDirection,
    /// A message is older than a day, or past its own expiry.
    #[error("the message is too old")]
    TooOld,
    /// A message was made more than five minutes ahead of our clock.
    #[error("the message is from the future")]
    FromTheFuture,
}

impl Error {
    /// A stable code for logs and records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Entropy => "ENTROPY",
            Self::Primitive => "PRIMITIVE",
            Self::KnownAnswer { .. } => "KNOWN_ANSWER",
            Self::RootKeyUnavailable { .. } => "ROOT_KEY_UNAVAILABLE",
            Self::RootKeyExposed { .. } => "ROOT_KEY_EXPOSED",
            Self::RootKeyMalformed => "ROOT_KEY_MALFORMED",
            Self::RootKeyMismatch => "ROOT_KEY_MISMATCH",
            Self::Malformed { .. } => "MALFORMED",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::Tampered { .. } => "TAMPERED",
            Self::KeyEncryptionKeyUnknown { .. } => "KEY_ENCRYPTION_KEY_UNKNOWN",
            Self::WrongState { .. } => "WRONG_STATE",
            Self::WrongPurpose { .. } => "WRONG_PURPOSE",
            Self::AlgorithmRefused { .. } => "ALGORITHM_REFUSED",
            Self::SpecificationRefused { .. } => "SPECIFICATION_REFUSED",
            Self::WrongModuleState { .. } => "WRONG_MODULE_STATE",
            Self::PolicyDenied { .. } => "POLICY_DENIED",
            Self::NoActiveKey { .. } => "NO_ACTIVE_KEY",
            Self::UnknownKeyVersion { .. } => "UNKNOWN_KEY_VERSION",
            Self::OtherModule { .. } => "OTHER_MODULE",
            Self::ReasonRequired { .. } => "REASON_REQUIRED",
            Self::AnotherIsActive { .. } => "ANOTHER_IS_ACTIVE",
            Self::ApprovalMismatch { .. } => "APPROVAL_MISMATCH",
            Self::NotExportable { .. } => "NOT_EXPORTABLE",
            Self::NotImportable { .. } => "NOT_IMPORTABLE",
            Self::KeyRefused { .. } => "KEY_REFUSED",
            Self::RootKeyUnchanged => "ROOT_KEY_UNCHANGED",
            Self::RotationInProgress => "ROTATION_IN_PROGRESS",
            Self::StillWrapped { .. } => "STILL_WRAPPED",
            Self::KeyExpired { .. } => "KEY_EXPIRED",
            Self::OtherKeyVersion { .. } => "OTHER_KEY_VERSION",
            Self::ReservedLabel => "RESERVED_LABEL",
            Self::WeakKey => "WEAK_KEY",
            Self::WeakEphemeral => "WEAK_EPHEMERAL",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::BadTag => "BAD_TAG",
            Self::KeyConfirmationFailed => "KEY_CONFIRMATION_FAILED",
            Self::ContextMismatch { .. } => "CONTEXT_MISMATCH",
            Self::OtherAttempt => "OTHER_ATTEMPT",
            Self::ExchangeUnknown => "EXCHANGE_UNKNOWN",
            Self::ExchangesFull => "EXCHANGES_FULL",
            Self::VersionUnsupported => "VERSION_UNSUPPORTED",
            Self::SuiteUnsupported => "SUITE_UNSUPPORTED",
            Self::OtherLink => "OTHER_LINK",
            Self::OtherEpoch { .. } => "OTHER_EPOCH",
            Self::WrongDirection => "WRONG_DIRECTION",
            Self::TooOld => "TOO_OLD",
            Self::FromTheFuture => "FROM_THE_FUTURE",
        }
    }
}

//! Which values cross, and as what: tables only.

use super::{Reader, Wire, Writer};
use crate::algorithm::Algorithm;
use crate::approval::Subject;
use crate::checkpoint::{Checkpoint, Note, NoteSignature};
use crate::envelope::{Direction, Envelope, EnvelopeHeader};
use crate::error::Error;
use crate::exchange::{ExchangeId, Floor, LinkSpec, M1, M2, M3, M4, RegistrationContext, SealedPending};
use crate::health::{AuditMeasure, Component, ComponentKind, HealthReport, HealthStatus};
use crate::hierarchy::RewrapProgress;
use crate::identity::PublicKey;
use crate::integrity::{FaultyRow, LastEntry, RowFault};
use crate::key::{KeySpec, PortablePurpose, Purpose, SealedKey};
use crate::keyring::SealedHierarchy;
use crate::lifecycle::{KeyState, Operation, Permission};
use crate::module::{BuiltIn, ModuleChange, ModuleSpec, ModuleState, SealedModule, Specification};
use crate::operations::{Signature, Tag};
use crate::policy::{
    AccessPolicy, Condition, Considered, Context, Decision, DefaultDecision, Effect, Ground, Matcher, Outcome,
};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::role::{KeyRole, KeyRoles};
use crate::root::RootSource;
use crate::service::MacPurpose;
use crate::transfer::{Arrival, Destination, ImportOffer, Package};
use crate::usage::{UseRecord, Used};
use crate::versions::{KeyChange, Rotation};

named! {
    Algorithm, BuiltIn, DefaultDecision, Direction, Effect, KeyRole, KeyState, ModuleState, Operation, Outcome,
    Purpose, Right, RowFault, Service,
}

fields! {
    KeySpec { id, module, purpose, algorithm, version, expires_at, activate, exportable }
    SealedKey {
        id, module, purpose, algorithm, version, state, state_seq, created_at, activated_at, rotated_at,
        deactivated_at, expires_at, destroyed_at, exportable, public, wrapped, reason, row_seal,
    }
    SealedHierarchy { bytes }
    SealedPending { bytes }
    LinkSpec { key_id, link, epoch }
    Floor { version, suite }
    RegistrationContext {
        registration, provider_origin, provider_instance, provider_key, consumer_origin, consumer_instance,
        consumer_key, company, contact, link_digest, claim, auth_event, token_digest,
    }
    M1 { attempt, offer_versions, offer_suites, kid, public_key, instance, origin, ephemeral, nonce }
    M2 { attempt, version, suite, kid, public_key, instance, origin, ephemeral, nonce, signature, mac }
    M3 { attempt, signature, mac }
    M4 { attempt, epoch, activated_at, fin }
    EnvelopeHeader {
        link, direction, epoch, message, seq, kind, route, content_type, created, expires, in_reply_to,
    }
    Envelope { v, header, salt, ciphertext }
    Component { component, module, critical, status, code, message, remedy, measured_at, took_micros }
    HealthReport { status, components, measured_at }
    AuditMeasure { entries, verified, fault, unsigned }
    LastEntry { key, module, state, state_seq }
    FaultyRow { key, fault }
    Rotation { made, retired }
    ImportOffer { id, public, aad, expires_at }
    Arrival { offer, package, id }
    Destination { public, aad }
    Package { bytes, aad }
    RewrapProgress { newest, total, remaining }
    Condition { name, value }
    AccessPolicy { id, effect, matcher, rights, condition, note }
    Considered { policy, effect, outcome, note }
    Decision { id, allowed, ground, trace }
    Specification { exportable, rotation_period, key_lifetime, default_decision }
    ModuleSpec { id, name, purpose, algorithm, specification }
    SealedModule {
        id, name, purpose, algorithm, specification, state, state_seq, created_at, published_at, policies,
        row_seal,
    }
    Checkpoint { origin, size, root }
    Signature { version, bytes }
    Subject { right, module, object }
    Tag { version, bytes }
    UseRecord { module, key, version, operation, permission, reason, decision }
}

variants! {
    Permission { 1 Never, 2 Allowed, 3 Audited, 4 WithReason }
    PortablePurpose { 1 Sealing, 2 Signing, 3 Authentication }
    MacPurpose { 1 Lookup, 2 PasswordPepper, 3 OpaqueId, 4 Csrf, 5 AuditField, 6 KeyApproval }
    HealthStatus { 1 Operational, 2 Degraded, 3 Malfunction, 4 Disabled }
    ComponentKind {
        1 RootKey, 2 KeyEncryptionKey, 3 IntegrityKey, 4 IdentitySigningKey, 5 Entropy, 6 Clock,
        7 ModuleSelfTest, 8 Process, 9 KnownAnswers, 10 PolicyEngine, 11 AuditChain, 12 RotationSchedule,
    }
    Matcher { 1 Anyone, 2 AnyService, 3 Service(one), 4 AnyPerson, 5 Person(id), 6 Role(one) }
    Ground { 1 NoRole, 2 Role, 3 Policy(effect, id), 4 Default(decision) }
    Principal { 1 Service(one), 2 Person { id, roles } }
    ModuleChange { 1 Specify(specification), 2 Schedule(period), 3 Govern(policies), 4 Publish }
    KeyChange {
        1 Activate, 2 Suspend { reason }, 3 Resume, 4 Renew { expires_at }, 5 Deactivate, 6 Revoke { reason },
        7 Compromise { reason },
    }
    Error {
        1 Entropy,
        2 Primitive,
        3 RootKeyUnavailable { path, reason },
        4 RootKeyExposed { path, mode },
        5 RootKeyMalformed,
        6 RootKeyMismatch,
        7 Malformed { what },
        8 TooLarge { what },
        9 Tampered { what },
        10 KeyEncryptionKeyUnknown { version },
        11 WrongState { state, operation },
        12 WrongPurpose { purpose, operation },
        13 KeyExpired { at },
        14 OtherKeyVersion { version },
        15 ReservedLabel,
        16 WeakKey,
        17 WeakEphemeral,
        18 BadSignature,
        19 KeyConfirmationFailed,
        20 ContextMismatch { what },
        21 OtherAttempt,
        22 ExchangeUnknown,
        23 ExchangesFull,
        24 VersionUnsupported,
        25 SuiteUnsupported,
        26 OtherLink,
        27 OtherEpoch { epoch },
        28 WrongDirection,
        29 TooOld,
        30 FromTheFuture,
        31 AlgorithmRefused { asked, why },
        32 SpecificationRefused { what, why },
        33 WrongModuleState { state, what },
        34 PolicyDenied { module, decision },
        35 NoActiveKey { module },
        36 UnknownKeyVersion { version },
        37 OtherModule { module },
        38 ReasonRequired { state },
        39 BadTag,
        40 KnownAnswer { primitive },
        41 AnotherIsActive { version },
        42 ApprovalMismatch { right },
        43 NotExportable { module },
        44 NotImportable { module },
        45 KeyRefused { why },
        46 RootKeyUnchanged,
        47 RotationInProgress,
        48 StillWrapped { count },
    }
}

/// What has a text form of its own that is strict already.
macro_rules! texts {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: Writer) -> Writer {
                out.bytes(self.to_string().as_bytes())
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
                std::str::from_utf8(from.bytes()?).map_err(|_| from.malformed())?.parse()
            }
        }
    )*};
}

texts!(Note, NoteSignature, RootSource);

impl<T: Wire> Wire for Used<T> {
    fn write(&self, out: Writer) -> Writer {
        let Self { value, record } = self;
        record.write(value.write(out))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self { value: T::read(from)?, record: Wire::read(from)? })
    }
}

impl Wire for ExchangeId {
    fn write(&self, out: Writer) -> Writer {
        out.array(&self.0)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        from.array().map(Self)
    }
}

/// Keeps its input rules also on this way in.
impl Wire for PublicKey {
    fn write(&self, out: Writer) -> Writer {
        out.array(self.as_bytes())
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Self::parse(from.take(32)?)
    }
}

impl Wire for Rights {
    fn write(&self, out: Writer) -> Writer {
        self.iter().collect::<Vec<Right>>().write(out)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Vec::<Right>::read(from).map(Self::from_iter)
    }
}

impl Wire for KeyRoles {
    fn write(&self, out: Writer) -> Writer {
        self.iter().collect::<Vec<KeyRole>>().write(out)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Vec::<KeyRole>::read(from).map(Self::from_iter)
    }
}

impl Wire for Context {
    fn write(&self, out: Writer) -> Writer {
        let all: Vec<(String, String)> =
            self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        all.write(out)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let all = Vec::<(String, String)>::read(from)?;
        Ok(all.into_iter().fold(Self::nothing(), |context, (name, value)| context.with(name, value)))
    }
}

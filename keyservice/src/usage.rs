//! One use of a key: who, with which module, and the one place that judges it before any material is unwrapped.

use std::fmt;

use zeroize::Zeroizing;

use crate::approval::{Agreed, Subject};
use crate::codec::uuid_text;
use crate::error::Error;
use crate::key::SealedKey;
use crate::lifecycle::{KeyState, Operation, Permission};
use crate::module::{ModuleState, SealedModule};
use crate::policy::{Context, Decision, decide};
use crate::ports::{Millis, random};
use crate::principal::Principal;
use crate::right::Right;
use crate::service::KeyService;
use crate::versions::{require_agreed, require_owned};

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// Who uses a module, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// The module, as it is stored.
    pub module: &'a SealedModule,
    /// The versions of its key that may be needed, as they are stored, in any order.
    pub versions: &'a [SealedKey],
    /// What the use is about; conditions of access policies are compared with it.
    pub context: &'a Context,
    /// Why a key that is compromised must be used all the same, 1 to [`MAX_REASON`] characters.
    pub reason: Option<&'a str>,
    /// That a second person agreed to it: to [`compromised_subject`].
    pub agreed: Option<&'a Agreed>,
    /// When.
    pub now: Millis,
}

/// What a use left behind for the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseRecord {
    /// The module.
    pub module: [u8; 16],
    /// The key.
    pub key: [u8; 16],
    /// Its version.
    pub version: u64,
    /// What was done.
    pub operation: Operation,
    /// How the state of the key allowed it.
    pub permission: Permission,
    /// The stated reason, where one was needed.
    pub reason: Option<String>,
    /// The decision of the access policies.
    pub decision: Decision,
}

/// What a use gave, and what must be recorded of it. Its `Debug` form leaves out what was given: it may be a plaintext.
#[derive(Clone, PartialEq, Eq)]
pub struct Used<T> {
    /// What was asked for.
    pub value: T,
    /// What the caller records.
    pub record: UseRecord,
}

impl<T> fmt::Debug for Used<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Used").field("record", &self.record).finish_non_exhaustive()
    }
}

/// A use that was found right.
pub(crate) struct Judged<'a> {
    pub(crate) key: &'a SealedKey,
    pub(crate) record: UseRecord,
}

impl<'a> Judged<'a> {
    pub(crate) fn gives<T>(self, value: T) -> Used<T> {
        Used { value, record: self.record }
    }
}

impl KeyService {
    /// Whether this use is right, without doing it: for operations that take a key of a built-in module directly, and
    /// for questions. `version` names the version that reads; what makes, uses the active one.
    ///
    /// # Errors
    /// In this order: [`Error::Tampered`] (the module), [`Error::WrongModuleState`], [`Error::WrongPurpose`],
    /// [`Error::PolicyDenied`], [`Error::NoActiveKey`] or [`Error::UnknownKeyVersion`], [`Error::Tampered`] (the key),
    /// [`Error::OtherModule`], [`Error::WrongState`], [`Error::ReasonRequired`], [`Error::KeyExpired`],
    /// [`Error::ApprovalMismatch`].
    pub fn authorise(
        &self,
        using: &Use<'_>,
        operation: Operation,
        version: Option<u64>,
    ) -> Result<UseRecord, Error> {
        self.judge(using, operation, version).map(|judged| judged.record)
    }

    /// As [`Self::authorise`].
    pub(crate) fn judge<'a>(
        &self,
        using: &Use<'a>,
        operation: Operation,
        version: Option<u64>,
    ) -> Result<Judged<'a>, Error> {
        let module = using.module;
        self.check_module(module)?;
        if module.state != ModuleState::Published {
            return Err(Error::WrongModuleState { state: module.state, what: "use its keys" });
        }
        if !module.purpose.operations().contains(&operation) {
            return Err(Error::WrongPurpose { purpose: module.purpose, operation });
        }
        let decision = self.require_access(using, operation.right())?;
        let key = choose(using, operation, version)?;
        self.check_row(key)?;
        require_owned(module, key)?;
        let permission = permit(key, operation, using.reason)?;
        if operation.makes() {
            require_unexpired(key, using.now)?;
        }
        let decision = match permission {
            // A right of its own, which a service never has by the policies for opening.
            Permission::WithReason => {
                let subject = compromised_subject(module, key);
                let agreed = using.agreed.ok_or(Error::ApprovalMismatch { right: subject.right })?;
                require_agreed(agreed, &subject)?;
                self.require_access(using, Right::OpenCompromised)?
            }
            _ => decision,
        };
        let reason = using.reason.filter(|_| permission == Permission::WithReason).map(str::to_owned);
        let record = UseRecord {
            module: module.id,
            key: key.id,
            version: key.version,
            operation,
            permission,
            reason,
            decision,
        };
        Ok(Judged { key, record })
    }

    /// The material of a key whose use was judged.
    pub(crate) fn judged_material(&self, judged: &Judged<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.material_unchecked(judged.key)
    }

    /// The decision of the access policies, if it allows.
    pub(crate) fn require_access(&self, using: &Use<'_>, right: Right) -> Result<Decision, Error> {
        let module = using.module;
        let decision = decide(
            random(self.entropy.as_ref())?,
            &module.policies,
            module.specification.default_decision,
            using.principal,
            right,
            using.context,
        );
        if decision.allowed {
            Ok(decision)
        } else {
            Err(Error::PolicyDenied { module: module.name.clone(), decision: Box::new(decision) })
        }
    }
}

/// What a second person is asked to agree to before a key that is compromised is read with.
pub fn compromised_subject(module: &SealedModule, key: &SealedKey) -> Subject {
    Subject { right: Right::OpenCompromised, module: module.name.clone(), object: uuid_text(&key.id) }
}

/// The active version for what makes, the named one for what reads.
fn choose<'a>(using: &Use<'a>, operation: Operation, version: Option<u64>) -> Result<&'a SealedKey, Error> {
    match version {
        Some(version) => using
            .versions
            .iter()
            .find(|key| key.version == version)
            .ok_or(Error::UnknownKeyVersion { version }),
        None => using.versions.iter().find(|key| key.state == KeyState::Active).ok_or_else(|| {
            let module = using.module.name.clone();
            // One that is out of use says more than that there is none in use.
            match using.versions.iter().max_by_key(|key| key.version) {
                Some(newest) => Error::WrongState { state: newest.state, operation },
                None => Error::NoActiveKey { module },
            }
        }),
    }
}

fn permit(key: &SealedKey, operation: Operation, reason: Option<&str>) -> Result<Permission, Error> {
    let permission = key.state.permits(operation);
    match permission {
        Permission::Allowed | Permission::Audited => Ok(permission),
        Permission::WithReason => match reason {
            Some(reason) if is_reason(reason) => Ok(permission),
            _ => Err(Error::ReasonRequired { state: key.state }),
        },
        Permission::Never => Err(Error::WrongState { state: key.state, operation }),
    }
}

/// Whether a text can stand as a reason.
pub(crate) fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_REASON && !text.chars().any(char::is_control)
}

/// That a key may still make something.
pub(crate) fn require_unexpired(key: &SealedKey, now: Millis) -> Result<(), Error> {
    match key.expires_at {
        Some(at) if at <= now => Err(Error::KeyExpired { at }),
        _ => Ok(()),
    }
}

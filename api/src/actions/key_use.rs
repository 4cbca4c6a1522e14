//! The use of a module's keys by people and their programs: seal and open, sign and verify, authenticate.
//!
//! Whoever asks is the principal that the access policies decide about, in the key service, before any material is
//! unwrapped. What a use gives leaves this instance only after an entry of the audit trail says so; without the entry,
//! nothing is given. (The parts of this program use keys far more often, and in windows: `keys/window.rs`.)

use keyservice::policy::Context;
use keyservice::usage::compromised_subject;
use keyservice::{
    Error, KeyService, KeyState, Operation, Principal, SealedKey, SealedModule, Signature, Tag, Use,
    UseRecord, Used,
};
use secrecy::zeroize::Zeroizing;
use serde_json::json;
use uuid::Uuid;

use super::key_rights::{denied, key_person};
use super::keys::{Kept, unrecorded};
use super::{Actions, Call, Done, Failure};
use crate::domain::id::KeyApprovalId;
use crate::domain::key_policy::AccessData;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::Tx;
use crate::vault::VaultError;

/// The most bytes that are sealed, signed or authenticated at once.
pub const DATA_MAX: usize = 64 * 1024;
/// The most bytes of a ciphertext: what sealing adds is less than the difference.
pub const CIPHERTEXT_MAX: usize = DATA_MAX + 256;
/// The most associated data of one use.
pub const ASSOCIATED_MAX: usize = 16;
/// The longest name and value of associated data, in bytes.
const ASSOCIATED_BYTES: usize = keyservice::policy::MAX_CONDITION;
/// What signatures and authentication codes begin with, so that none made here is one of the program's own.
const LABEL: &str = "linkspan data";

/// What is done with a module's keys.
pub enum KeyUse {
    /// Seal this.
    Seal(Zeroizing<Vec<u8>>),
    /// Open this ciphertext.
    Open(Vec<u8>),
    /// Sign this.
    Sign(Vec<u8>),
    /// Whether this signature of that version is one of this data.
    Verify {
        /// What was signed.
        message: Vec<u8>,
        /// The version.
        version: u64,
        /// The signature.
        signature: Vec<u8>,
    },
    /// Make an authentication code of this.
    Mac(Vec<u8>),
    /// Whether this code of that version is one of this data.
    VerifyMac {
        /// What was authenticated.
        message: Vec<u8>,
        /// The version.
        version: u64,
        /// The code.
        tag: Vec<u8>,
    },
}

impl KeyUse {
    const fn operation(&self) -> Operation {
        match self {
            Self::Seal(_) => Operation::Seal,
            Self::Open(_) => Operation::Open,
            Self::Sign(_) => Operation::Sign,
            Self::Verify { .. } => Operation::Verify,
            Self::Mac(_) => Operation::Mac,
            Self::VerifyMac { .. } => Operation::VerifyMac,
        }
    }

    /// The version that reads; none for what makes, which the active one does.
    fn version(&self) -> Result<Option<u64>, Refusal> {
        match self {
            Self::Seal(_) | Self::Sign(_) | Self::Mac(_) => Ok(None),
            Self::Open(ciphertext) => KeyService::sealed_version(ciphertext)
                .map(Some)
                .map_err(|_| Refusal::invalid("ciphertext", "This is no ciphertext of a key module.")),
            Self::Verify { version, .. } | Self::VerifyMac { version, .. } => Ok(Some(*version)),
        }
    }
}

/// What a use gave.
pub struct KeyUsed {
    /// The version of the key.
    pub version: u64,
    /// The ciphertext, plaintext, signature or code; empty for what was only checked.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether what was checked is right; true for what was made.
    pub valid: bool,
}

/// Why a key that is marked as compromised must be used all the same, and who agreed.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Why, 1 to 500 characters.
    pub reason: String,
    /// The approval of `OPEN_COMPROMISED`, with the module, and the key's id as its object.
    pub approval: KeyApprovalId,
}

impl Actions {
    /// Uses the keys of a module that a manager made. The associated data is bound into what is made, must be the same,
    /// in whatever order, for what is read, and is what conditions of access policies are compared with.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for other organisations' people; `NOT_FOUND`; `INVALID_INPUT`; `WRONG_STATE` when the
    /// module or the key does not allow it, or it is built in; `CONFLICT` when one of them was changed meanwhile;
    /// `POLICY_DENIED`, with the decision as its reason;
    /// `KEY_SERVICE_UNHEALTHY`, also when it cannot be recorded; with an exception, those of the approval, and
    /// `STEP_UP_REQUIRED`.
    pub async fn use_key(
        &self,
        call: &Call,
        module: &str,
        data: &[AccessData],
        wish: KeyUse,
        exception: Option<&Exception>,
    ) -> Done<KeyUsed> {
        let (id, roles) = key_person(call).ok_or_else(|| {
            let message = "The keys of modules are for this organisation's own people and their programs.";
            Refusal::new(RefusalCode::NotAnAdministrator, message)
        })?;
        let data = associated(data)?;
        let version = wish.version()?;
        let module = self
            .store
            .module(module)
            .await?
            .ok_or_else(|| Refusal::not_found("key module").field("module"))?;
        if module.built_in().is_some() {
            let message = "The keys of the built-in modules are for the parts of this program alone.";
            return Err(Refusal::new(RefusalCode::WrongState, message).reason("BUILT_IN").into());
        }
        let key = one_of(self.store.keys_for(&module.name, version).await?, version);
        let context = data.iter().fold(Context::nothing(), |all, (name, value)| all.with(*name, *value));
        let asked = Asked { principal: Principal::Person { id, roles }, module, key, context, data, wish };
        let done = match exception {
            None => self.use_and_record(call, &asked).await?,
            Some(exception) => self.use_compromised(call, &asked, exception).await?,
        };
        match done {
            Ok(given) => Ok(given),
            Err(VaultError::Refused(Error::PolicyDenied { decision, .. })) => {
                let (right, name) = (asked.wish.operation().right(), &asked.module.name);
                self.keep_denial(call, name, &asked.principal, right, &asked.context, &decision).await?;
                Err(denied(name, &asked.principal, right, &decision).into())
            }
            Err(error @ VaultError::Refused(Error::Tampered { what: "ciphertext" })) => {
                self.record_failed(call, &asked, version, exception).await?;
                Err(refused(error))
            }
            Err(error) => Err(refused(error)),
        }
    }

    async fn use_and_record(&self, call: &Call, asked: &Asked<'_>) -> Done<Kept<KeyUsed>> {
        let used = match self.carry_out(asked, None).await {
            Ok(used) => used,
            Err(error) => return Ok(Err(error)),
        };
        let mut tx = self.begin("key.use", call).await?;
        asked.record_used(&mut tx, &used).await?;
        tx.commit().await.map_err(unrecorded)?;
        Ok(Ok(used.given))
    }

    /// As a second person agreed: their approval is spent with the entry.
    async fn use_compromised(
        &self,
        call: &Call,
        asked: &Asked<'_>,
        exception: &Exception,
    ) -> Done<Kept<KeyUsed>> {
        self.require_fresh(call)?;
        let key = asked.key.first().ok_or_else(|| Refusal::not_found("key").field("approvalId"))?;
        let mut tx = self.begin("key.use", call).await?;
        let subject = compromised_subject(&asked.module, key);
        let agreed = self.spend_approval(&mut tx, call, exception.approval, &subject).await?;
        let used = match self.carry_out(asked, Some((&exception.reason, &agreed))).await {
            Ok(used) => used,
            Err(error) => return Ok(Err(error)),
        };
        asked.record_used(&mut tx, &used).await?;
        tx.commit().await.map_err(unrecorded)?;
        Ok(Ok(used.given))
    }

    /// That the key was used for what did not open: whoever tries leaves a trace. An approval that was given is not spent.
    async fn record_failed(
        &self,
        call: &Call,
        asked: &Asked<'_>,
        version: Option<u64>,
        exception: Option<&Exception>,
    ) -> Done<()> {
        let mut tx = self.begin("key.use", call).await?;
        let reason = exception.map(|exception| exception.reason.as_str());
        asked.record(&mut tx, "TAMPERED", version, reason, None);
        tx.commit().await.map_err(|error| unrecorded(error).into())
    }

    async fn carry_out(
        &self,
        asked: &Asked<'_>,
        exception: Option<(&str, &keyservice::approval::Agreed)>,
    ) -> Kept<Carried> {
        let using = Use {
            principal: &asked.principal,
            module: &asked.module,
            versions: &asked.key,
            context: &asked.context,
            reason: exception.map(|(reason, _)| reason),
            agreed: exception.map(|(_, agreed)| agreed),
            now: self.world.now().timestamp_millis(),
        };
        let bound = asked.bound();
        let vault = &self.keys.vault;
        let with = |message| [&[message][..], &bound].concat();
        match &asked.wish {
            KeyUse::Seal(plaintext) => vault.module_seal(&using, &bound, plaintext).await.map(made),
            KeyUse::Open(ciphertext) => vault.module_open(&using, &bound, ciphertext).await.map(made),
            KeyUse::Sign(message) => {
                let signed = vault.module_sign(&using, LABEL, &with(message.as_slice())).await?;
                Ok(made(Used { value: signed.value.bytes, record: signed.record }))
            }
            KeyUse::Mac(message) => {
                let tag = vault.module_mac(&using, LABEL, &with(message.as_slice())).await?;
                Ok(made(Used { value: tag.value.bytes, record: tag.record }))
            }
            KeyUse::Verify { message, version, signature } => {
                let signature = Signature { version: *version, bytes: signature.clone() };
                let parts = with(message.as_slice());
                checked(vault.module_verify(&using, LABEL, &parts, &signature).await, *version)
            }
            KeyUse::VerifyMac { message, version, tag } => {
                let tag = Tag { version: *version, bytes: tag.clone() };
                let parts = with(message.as_slice());
                checked(vault.module_verify_mac(&using, LABEL, &parts, &tag).await, *version)
            }
        }
    }
}

/// Who wants what, with what belongs to it.
struct Asked<'a> {
    principal: Principal,
    module: SealedModule,
    /// The one version that is needed; none when there is none.
    key: Vec<SealedKey>,
    context: Context,
    data: Vec<(&'a str, &'a str)>,
    wish: KeyUse,
}

impl Asked<'_> {
    /// Each name and value, as it is bound into what is made.
    fn bound(&self) -> Vec<&[u8]> {
        self.data.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect()
    }

    /// A use that gave something, or the answer that what was checked is wrong. What it was judged by must still hold: a
    /// key that was taken out of use meanwhile, or a policy that now denies it, gives nothing.
    async fn record_used(&self, tx: &mut Tx, used: &Carried) -> Done<()> {
        for key in &self.key {
            tx.require_unchanged(&self.module, key).await?;
        }
        let reason = used.record.as_ref().and_then(|record| record.reason.as_deref());
        let explanation = used.record.as_ref().map(|record| record.decision.explanation());
        self.record(tx, used.result, Some(used.given.version), reason, explanation);
        Ok(())
    }

    fn record(
        &self,
        tx: &mut Tx,
        result: &'static str,
        version: Option<u64>,
        reason: Option<&str>,
        explanation: Option<String>,
    ) {
        let data: Vec<_> =
            self.data.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let details = json!({
            "module": self.module.name, "operation": self.wish.operation().right().as_str(),
            "version": version, "data": data, "reason": reason, "explanation": explanation,
        });
        tx.audit("key.use", "KEY_MODULE", Uuid::from_bytes(self.module.id), result, details);
    }
}

/// A use that was carried out.
struct Carried {
    given: KeyUsed,
    result: &'static str,
    record: Option<UseRecord>,
}

fn made(used: Used<Vec<u8>>) -> Carried {
    let given = KeyUsed { version: used.record.version, bytes: Zeroizing::new(used.value), valid: true };
    Carried { given, result: "OK", record: Some(used.record) }
}

/// A signature or code that is not right is an answer, and on record like any other.
fn checked(done: Kept<Used<()>>, version: u64) -> Kept<Carried> {
    let given = |valid| KeyUsed { version, bytes: Zeroizing::default(), valid };
    match done {
        Ok(used) => Ok(Carried { given: given(true), result: "OK", record: Some(used.record) }),
        Err(VaultError::Refused(wrong @ (Error::BadSignature | Error::BadTag))) => {
            Ok(Carried { given: given(false), result: wrong.code(), record: None })
        }
        Err(error) => Err(error),
    }
}

/// The version that is needed: the named one, or else the active one, or the newest, whose state says why it is not.
fn one_of(mut keys: Vec<SealedKey>, version: Option<u64>) -> Vec<SealedKey> {
    keys.sort_by_key(|key| (key.state == KeyState::Active, key.version));
    match version {
        Some(version) => keys.into_iter().filter(|key| key.version == version).collect(),
        None => keys.pop().into_iter().collect(),
    }
}

/// The associated data, each name once and in the order of names.
fn associated(data: &[AccessData]) -> Result<Vec<(&str, &str)>, Refusal> {
    let mut pairs: Vec<_> = data.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
    pairs.sort_unstable();
    let fits =
        |text: &str| (1..=ASSOCIATED_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    let once = pairs.windows(2).all(|two| two[0].0 != two[1].0);
    if pairs.len() > ASSOCIATED_MAX || !once || !pairs.iter().all(|(name, value)| fits(name) && fits(value)) {
        let message = format!(
            "At most {ASSOCIATED_MAX} names, each once, with a value: 1 to {ASSOCIATED_BYTES} printable bytes each."
        );
        return Err(Refusal::invalid("associatedData", message));
    }
    Ok(pairs)
}

/// What the key service refuses of a use, as a refusal; the rest is ours.
fn refused(error: VaultError) -> Failure {
    let VaultError::Refused(reason) = &error else { return error.into() };
    let wrong = |message: String| Refusal::new(RefusalCode::WrongState, message).reason(reason.code());
    let text = crate::domain::explain::sentence(&reason.to_string());
    match reason {
        Error::Tampered { what: "ciphertext" } => {
            let message = "This is not what was sealed, or not with this associated data.";
            Refusal::invalid("ciphertext", message).reason("TAMPERED").into()
        }
        Error::Malformed { .. } | Error::TooLarge { .. } => Refusal::invalid("ciphertext", text).into(),
        Error::UnknownKeyVersion { .. } => Refusal::invalid("version", text).into(),
        Error::ReasonRequired { .. } | Error::ApprovalMismatch { .. } => {
            wrong(format!("{text} State one, with the approval of a second person of OPEN_COMPROMISED."))
                .into()
        }
        Error::WrongState { .. }
        | Error::WrongModuleState { .. }
        | Error::WrongPurpose { .. }
        | Error::NoActiveKey { .. }
        | Error::KeyExpired { .. } => wrong(text).into(),
        _ => error.into(),
    }
}

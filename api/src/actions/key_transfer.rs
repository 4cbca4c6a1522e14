//! Keys that come in and keys that leave, wrapped: only those of modules that people make, with two people's agreement.

use data_encoding::BASE64URL_NOPAD;
use keyservice::approval::Subject;
use keyservice::transfer::{MAX_PACKAGE, MAX_RECEIVER_AAD, export_subject, import_subject};
use keyservice::{
    Arrival, Destination, Error, ImportOffer, ModuleState, Operation, Permission, PortablePurpose, Right,
    SealedKey, SealedModule,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::key_module::explained;
use super::key_module::{Governing, Judged, version};
use super::key_rights::require_allowed;
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::explain::sentence;
use crate::domain::id::KeyApprovalId;
use crate::domain::key_module::KeyVersion;
use crate::domain::key_transfer::{ImportTicket, KeyPackage, KeyTransferVerb};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::Reader;
use crate::vault::VaultError;

/// Somebody who is to receive a key, as they told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Their X25519 public key, base64url.
    pub public_key: String,
    /// The associated data that they open with, base64url; none for that of the export.
    pub associated_data: Option<String>,
}

impl Receiver {
    fn destination(&self) -> Result<Destination, Refusal> {
        let public =
            BASE64URL_NOPAD.decode(self.public_key.as_bytes()).ok().and_then(|key| key.try_into().ok());
        let public = public.ok_or_else(|| {
            Refusal::invalid("publicKey", "An X25519 public key is 32 bytes, as base64url without padding.")
        })?;
        let given = self.associated_data.as_deref().map(|text| BASE64URL_NOPAD.decode(text.as_bytes()));
        let aad =
            given.transpose().ok().filter(|aad| aad.as_ref().is_none_or(|aad| aad.len() <= MAX_RECEIVER_AAD));
        let aad = aad.ok_or_else(|| {
            let message = format!("At most {MAX_RECEIVER_AAD} bytes, as base64url without padding.");
            Refusal::invalid("associatedData", message)
        })?;
        Ok(Destination { public, aad })
    }
}

impl Actions {
    /// A key to wrap another one to, for a module: good for one package within ten minutes, on the node that made it.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`; `WRONG_STATE` for a draft and for what
    /// every instance has; `RATE_LIMITED` while 16 of them wait.
    pub async fn offer_key_import(&self, call: &Call, module: &str) -> Done<ImportTicket> {
        let module = self.importing(call, module).await?;
        let now = self.world.now();
        let offered = self
            .keys
            .vault
            .offer_import(&module, now.timestamp_millis())
            .await
            .map_err(|error| refused(error, "publicKey"))?;
        let mut tx = self.begin("key.import.offer", call).await?;
        let details = json!({ "module": module.name, "offer": Uuid::from_bytes(offered.id) });
        tx.audit("key.import.offer", "KEY_MODULE", Uuid::from_bytes(module.id), "OK", details);
        tx.commit().await?;
        ticket(&module, offered)
    }

    /// Takes in the key that was wrapped to an offer: the next version of the module's key, not yet in use. The offer is
    /// over, whatever becomes of it.
    ///
    /// # Errors
    /// As [`Actions::offer_key_import`]; `WRONG_STATE` when the approval is not given or for something else, or the offer
    /// is over; `INVALID_INPUT` for a package that was changed, or was wrapped for something else, or holds what is no key
    /// of full strength.
    pub async fn import_key(
        &self,
        call: &Call,
        module: &str,
        (offer, package): (Uuid, &str),
        approval: KeyApprovalId,
    ) -> Done<KeyVersion> {
        let module = self.importing(call, module).await?;
        let package =
            BASE64URL_NOPAD.decode(package.as_bytes()).ok().filter(|bytes| bytes.len() <= MAX_PACKAGE);
        let package = package.ok_or_else(|| {
            let message = format!("A package is at most {MAX_PACKAGE} bytes, as base64url without padding.");
            Refusal::invalid("package", message)
        })?;
        let versions = self.store.keys_for(&module.name, None).await?;
        let arrival = Arrival { offer: offer.into_bytes(), package, id: self.world.uuid()?.into_bytes() };
        let mut tx = self.begin("key.import", call).await?;
        let agreed = self.spend_approval(&mut tx, call, approval, &import_subject(&module)).await?;
        let now = tx.now().timestamp_millis();
        let key = self.keys.vault.import(&module, &versions, &arrival, &agreed, now).await;
        let key = key.map_err(|error| refused(error, "package"))?;
        tx.insert_key(&key).await?;
        let details =
            json!({ "module": key.module, "version": key.version, "approval": approval.to_string() });
        tx.audit("key.import", "KEY_VERSION", Uuid::from_bytes(key.id), "OK", details);
        tx.commit().await?;
        Ok(version(&key))
    }

    async fn importing(&self, call: &Call, module: &str) -> Done<SealedModule> {
        self.require_role(call, module, Right::Import).await?;
        let module = self.module(module).await?;
        self.require_on(call, &module, Right::Import).await?;
        self.may_import(call, &module)?;
        Ok(module)
    }

    /// Wraps a key in use for somebody else.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`; `WRONG_STATE` when the module's
    /// specification forbids it, the key is not in use or expired, or the approval is not given, or for something else;
    /// `CONFLICT` when module or key were changed meanwhile; `INVALID_INPUT` for a public key that gives no secret.
    pub async fn export_key(
        &self,
        call: &Call,
        (module, number): (&str, u64),
        receiver: &Receiver,
        approval: KeyApprovalId,
    ) -> Done<KeyPackage> {
        self.require_role(call, module, Right::Export).await?;
        let module = self.module(module).await?;
        self.require_on(call, &module, Right::Export).await?;
        let versions = self.store.keys_for(&module.name, Some(number)).await?;
        let key = versions.iter().find(|key| key.version == number);
        let key = key.ok_or_else(|| Refusal::not_found("key").field("version"))?;
        self.may_export(call, &module, &Judged::stored(key, &versions))?;
        let to = receiver.destination()?;
        let subject = export_subject(&module.name, &key.id, &to);
        let mut tx = self.begin("key.export", call).await?;
        let agreed = self.spend_approval(&mut tx, call, approval, &subject).await?;
        let now = tx.now().timestamp_millis();
        let package = self
            .keys
            .vault
            .export(&module, key, &to, &agreed, now)
            .await
            .map_err(|error| refused(error, "publicKey"))?;
        tx.require_unchanged(&module, key).await?;
        let details = json!({
            "module": key.module, "version": key.version, "receiver": BASE64URL_NOPAD.encode(&to.public),
            "approval": approval.to_string(),
        });
        tx.audit("key.export", "KEY_VERSION", Uuid::from_bytes(key.id), "OK", details);
        tx.commit().await?;
        Ok(packed(key, package.bytes, package.aad))
    }

    /// What a request for approval to wrap a key for somebody names as its object.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a receiver that cannot be one.
    pub fn export_object(&self, key: &KeyVersion, receiver: &Receiver) -> Done<String> {
        let Subject { object, .. } = export_subject(&key.module, key.id.as_bytes(), &receiver.destination()?);
        Ok(object)
    }

    /// Whether the caller may take a key in for a module now.
    ///
    /// # Errors
    /// As [`Actions::import_key`].
    fn may_import(&self, call: &Call, module: &SealedModule) -> Result<(), Refusal> {
        require_allowed(call, module, &module.name, Right::Import)?;
        require_portable(module)?;
        if module.state != ModuleState::Published {
            let message = "A draft has no keys: publish it first.";
            return Err(Refusal::new(RefusalCode::WrongState, message).reason("DRAFT"));
        }
        self.require_fresh_person(call)
    }

    /// Whether the caller may wrap this key of the module for somebody else now.
    ///
    /// # Errors
    /// As [`Actions::export_key`].
    fn may_export(&self, call: &Call, module: &SealedModule, key: &Judged<'_>) -> Result<(), Refusal> {
        require_allowed(call, module, &module.name, Right::Export)?;
        require_exportable(module)?;
        let state = key.state;
        if state.permits(Operation::Export) == Permission::Never {
            let message = format!("A key that is {state} does not leave.");
            return Err(Refusal::new(RefusalCode::WrongState, message).reason(state.as_str()));
        }
        key.require_unexpired(self.now())?;
        self.require_fresh_person(call)
    }

    /// What can be done with a module and another system, and whether the caller may.
    pub fn key_module_transfers(
        &self,
        call: &Call,
        module: Option<&Governing>,
    ) -> (KeyTransferVerb, Result<(), Refusal>) {
        (KeyTransferVerb::Import, Governing::of(module).and_then(|module| self.may_import(call, module)))
    }

    /// What can be done with a key and another system, and whether the caller may.
    pub fn key_transfers(
        &self,
        call: &Call,
        module: Option<&Governing>,
        key: &KeyVersion,
    ) -> (KeyTransferVerb, Result<(), Refusal>) {
        let may =
            Governing::judging(module, key).and_then(|(module, key)| self.may_export(call, module, &key));
        (KeyTransferVerb::Export, may)
    }
}

/// That the module is one that people made: the keys of the instance itself and of its connections stay where they are.
pub(super) fn require_portable(module: &SealedModule) -> Result<(), Refusal> {
    if PortablePurpose::of(module.purpose).is_some() {
        return Ok(());
    }
    let message = "The keys of this instance and of its connections neither come from outside nor leave.";
    Err(Refusal::new(RefusalCode::WrongState, message).reason("BUILT_IN"))
}

/// That the keys of the module may leave.
pub(super) fn require_exportable(module: &SealedModule) -> Result<(), Refusal> {
    require_portable(module)?;
    if module.specification.exportable {
        return Ok(());
    }
    let message = "The module's specification does not let its keys leave.";
    Err(Refusal::new(RefusalCode::WrongState, message).reason("NOT_EXPORTABLE"))
}

fn ticket(module: &SealedModule, offer: ImportOffer) -> Done<ImportTicket> {
    Ok(ImportTicket {
        id: Uuid::from_bytes(offer.id),
        module: module.name.clone(),
        algorithm: module.algorithm.to_string(),
        public_key: offer.public.to_vec(),
        associated_data: offer.aad,
        expires_at: Timestamp::from_timestamp_millis(offer.expires_at)
            .ok_or(Failure::Bug("a time out of range"))?,
    })
}

fn packed(key: &SealedKey, bytes: Vec<u8>, associated_data: Vec<u8>) -> KeyPackage {
    let (id, module) = (Uuid::from_bytes(key.id), key.module.clone());
    KeyPackage { key: id, version: key.version, module, bytes, associated_data }
}

/// What the key service refuses of a package or a receiver, as a refusal; the rest is as for any other wish. `point` is
/// the field with a public key.
fn refused(error: VaultError, point: &str) -> Failure {
    let VaultError::Refused(why) = &error else { return error.into() };
    match why {
        Error::ExchangeUnknown => {
            let message = "The offer is over: it was used, or ten minutes passed, or another node made it. Ask for \
                           another one.";
            Refusal::new(RefusalCode::WrongState, message).reason("OFFER_OVER").into()
        }
        Error::ExchangesFull => {
            let message = "Too many offers wait for a package. Each is over after ten minutes.";
            Refusal::new(RefusalCode::RateLimited, message).into()
        }
        Error::WeakEphemeral => {
            let message = "The public key is of low order: nothing would be secret.";
            Refusal::invalid(point, message).into()
        }
        Error::KeyRefused { .. } => Refusal::invalid("package", sentence(&why.to_string())).into(),
        Error::Tampered { what: "key package" }
        | Error::Malformed { what: "key package" }
        | Error::TooLarge { what: "key package" } => {
            let message = "The package was changed, or was not wrapped to this offer.";
            Refusal::invalid("package", message).into()
        }
        Error::NotExportable { .. } => {
            Refusal::new(RefusalCode::WrongState, sentence(&why.to_string())).reason("NOT_EXPORTABLE").into()
        }
        _ => explained(error),
    }
}

/// Bytes in an answer that is kept.
fn text(bytes: &[u8]) -> Value {
    BASE64URL_NOPAD.encode(bytes).into()
}

/// What was kept of an answer.
struct Told(Value);

impl Told {
    fn of(kept: &Kept) -> Done<Self> {
        let told = kept.secret.as_ref().and_then(|text| serde_json::from_str(text.expose_secret()).ok());
        Ok(Self(told.ok_or(Failure::Bug("a kept answer"))?))
    }

    fn word(&self, name: &str) -> Done<String> {
        Ok(self.0.get(name).and_then(Value::as_str).ok_or(Failure::Bug("a kept answer"))?.to_owned())
    }

    fn bytes(&self, name: &str) -> Done<Vec<u8>> {
        BASE64URL_NOPAD.decode(self.word(name)?.as_bytes()).map_err(|_| Failure::Bug("a kept answer"))
    }
}

impl Answer for ImportTicket {
    fn kept(&self) -> Kept {
        let told = json!({
            "module": self.module, "algorithm": self.algorithm, "public": text(&self.public_key),
            "aad": text(&self.associated_data), "expires": self.expires_at.timestamp_millis(),
        });
        Kept { subject: Some(self.id), secret: Some(SecretString::from(told.to_string())) }
    }

    async fn again(kept: Kept, _reader: &Reader) -> Done<Self> {
        let told = Told::of(&kept)?;
        let expires =
            told.0.get("expires").and_then(Value::as_i64).and_then(Timestamp::from_timestamp_millis);
        Ok(Self {
            id: kept.subject.ok_or(Failure::Bug("a kept answer"))?,
            module: told.word("module")?,
            algorithm: told.word("algorithm")?,
            public_key: told.bytes("public")?,
            associated_data: told.bytes("aad")?,
            expires_at: expires.ok_or(Failure::Bug("a kept answer"))?,
        })
    }
}

impl Answer for KeyPackage {
    fn kept(&self) -> Kept {
        let told = json!({
            "module": self.module, "version": self.version, "package": text(&self.bytes),
            "aad": text(&self.associated_data),
        });
        Kept { subject: Some(self.key), secret: Some(SecretString::from(told.to_string())) }
    }

    async fn again(kept: Kept, _reader: &Reader) -> Done<Self> {
        let told = Told::of(&kept)?;
        let version = told.0.get("version").and_then(Value::as_u64);
        Ok(Self {
            key: kept.subject.ok_or(Failure::Bug("a kept answer"))?,
            version: version.ok_or(Failure::Bug("a kept answer"))?,
            module: told.word("module")?,
            bytes: told.bytes("package")?,
            associated_data: told.bytes("aad")?,
        })
    }
}

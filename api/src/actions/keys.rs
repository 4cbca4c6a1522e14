//! What the verbs may do with keys. A key is named here, never held: the key service keeps what is secret.

use std::sync::Arc;

use keyservice::checkpoint::{Checkpoint, Note, NoteSignature};
use keyservice::module::{ModuleChange, SealedModule};
use keyservice::{
    AuditMeasure, Envelope, EnvelopeHeader, ExchangeId, FaultyRow, Floor, HealthReport, LastEntry,
    LifecycleVerb, LinkSpec, M1, M2, M3, M4, MacPurpose, PublicKey, RegistrationContext, SealedKey,
    SealedPending, roll_up,
};

use crate::domain::Timestamp;
use crate::vault::{Vault, VaultError};

/// What the key service answers.
pub(crate) type Kept<T> = Result<T, VaultError>;

/// The key service with this instance's own keys: the one place that calls it.
///
/// A call may be one to another process. Make it before a transaction begins where that costs no contortion, because
/// SQLite has one writer.
///
/// Every method fails as the function of the same name in [`keyservice::KeyService`] does, and when the service does not answer.
#[derive(Clone)]
pub struct Keys {
    vault: Vault,
    identity: Arc<SealedKey>,
    data: Arc<SealedKey>,
    public: PublicKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The module of the instance's identity key.
    pub const IDENTITY: &'static str = "identity";
    /// The module of the key that signs checkpoints of the audit trail.
    pub const AUDIT: &'static str = "audit";
    /// The module of the key that seals secrets at rest.
    pub const DATA: &'static str = "data";

    /// The key service with the active identity and data keys.
    ///
    /// # Errors
    /// When the identity key has no valid public half.
    pub fn new(vault: Vault, identity: SealedKey, data: SealedKey) -> Result<Self, keyservice::Error> {
        let public = identity.public_key()?;
        Ok(Self { vault, identity: Arc::new(identity), data: Arc::new(data), public })
    }

    /// The instance's Ed25519 identity key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// SHA-256 fingerprint of the identity key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.public.fingerprint()
    }

    /// The fingerprint as people compare it.
    #[must_use]
    pub fn fingerprint_text(&self) -> String {
        self.public.fingerprint_groups()
    }

    /// The id of the key service's process, if it has one and answers.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.vault.pid()
    }

    /// That the row of a module is as the key service wrote it.
    pub(crate) async fn check_module(&self, module: &SealedModule) -> Kept<()> {
        self.vault.check_module(module).await
    }

    /// The module after a change; the caller saves it.
    pub(crate) async fn change_module(
        &self,
        module: &SealedModule,
        change: ModuleChange,
        now: Timestamp,
    ) -> Kept<SealedModule> {
        self.vault.change_module(module, change, now.timestamp_millis()).await
    }

    /// Measures the service over what is on record.
    pub(crate) async fn health(
        &self,
        modules: &[SealedModule],
        keys: &[SealedKey],
        audit: AuditMeasure,
        now: Timestamp,
    ) -> Kept<HealthReport> {
        let now = now.timestamp_millis();
        let answered = self.vault.report(modules, keys, Some(audit), now).await;
        let process = self.vault.component(now);
        let components = match answered {
            Ok(report) => [vec![process], report.components].concat(),
            Err(VaultError::Unavailable(_)) => vec![process],
            Err(refused) => return Err(refused),
        };
        Ok(HealthReport { status: roll_up(&components), components, measured_at: now })
    }

    /// Which rows the service did not write, or are not what the audit trail says last.
    pub(crate) async fn compare(&self, rows: &[SealedKey], audited: &[LastEntry]) -> Kept<Vec<FaultyRow>> {
        self.vault.compare_with_audit(rows, audited).await
    }

    /// Seals a secret for the database; `what` and `id` must be given again to open it.
    pub(crate) async fn seal(&self, what: &str, id: &[u8], secret: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.vault.seal(&self.data, &[what.as_bytes(), id], secret, now.timestamp_millis()).await
    }

    /// Opens what [`Keys::seal`] sealed.
    pub(crate) async fn open(&self, what: &str, id: &[u8], sealed: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.vault.open_sealed(&self.data, &[what.as_bytes(), id], sealed, now.timestamp_millis()).await
    }

    /// Signs with the identity key over `PAE(label, parts…)`.
    pub(crate) async fn sign(&self, label: &str, parts: &[&[u8]], now: Timestamp) -> Kept<Vec<u8>> {
        self.vault.sign(&self.identity, label, parts, now.timestamp_millis()).await
    }

    /// Signs the input of a JSON Web Signature (RFC 7515, section 5.1) with the identity key.
    pub(crate) async fn sign_jws(&self, input: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.vault.sign_jws(&self.identity, input, now.timestamp_millis()).await
    }

    /// A MAC under a key of this instance.
    pub(crate) async fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Kept<[u8; 32]> {
        self.vault.mac(purpose, parts).await
    }

    /// Signs a checkpoint of our audit trail.
    pub(crate) async fn sign_checkpoint(
        &self,
        key: &SealedKey,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Kept<Note> {
        self.vault.sign_checkpoint(key, checkpoint, now.timestamp_millis()).await
    }

    /// Countersigns a checkpoint of another instance's audit trail.
    pub(crate) async fn countersign(&self, name: &str, note: &Note, now: Timestamp) -> Kept<NoteSignature> {
        self.vault.countersign(&self.identity, name, note, now.timestamp_millis()).await
    }

    /// Takes a key to another state; the caller saves it.
    pub(crate) async fn transition(
        &self,
        key: &SealedKey,
        verb: LifecycleVerb,
        now: Timestamp,
    ) -> Kept<SealedKey> {
        self.vault.transition(key, verb, now.timestamp_millis()).await
    }

    /// Seals a message to the peer of a link.
    pub(crate) async fn seal_message(
        &self,
        key: &SealedKey,
        header: &EnvelopeHeader,
        plaintext: &[u8],
        now: Timestamp,
    ) -> Kept<Envelope> {
        self.vault.seal_message(key, header, plaintext, now.timestamp_millis()).await
    }

    /// Opens a message from the peer of a link.
    pub(crate) async fn open_message(
        &self,
        key: &SealedKey,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Kept<Vec<u8>> {
        self.vault.open_message(key, envelope, now.timestamp_millis()).await
    }

    /// Consumer: begins an exchange.
    pub(crate) async fn initiate(
        &self,
        context: &RegistrationContext,
        attempt: u64,
        now: Timestamp,
    ) -> Kept<(ExchangeId, M1)> {
        self.vault.initiate(&self.identity, context, attempt, now.timestamp_millis()).await
    }

    /// Consumer: forgets an exchange.
    pub(crate) async fn abandon(&self, exchange: ExchangeId) -> Kept<()> {
        self.vault.abandon(exchange).await
    }

    /// Consumer: checks the provider's proof and makes the link's key, pre-active.
    pub(crate) async fn conclude(
        &self,
        exchange: ExchangeId,
        m2: &M2,
        link: LinkSpec,
        now: Timestamp,
    ) -> Kept<(M3, SealedKey, SealedPending)> {
        self.vault.conclude(exchange, &self.identity, m2, link, now.timestamp_millis()).await
    }

    /// Consumer: checks the final confirmation and activates the link's key.
    pub(crate) async fn finish(
        &self,
        pending: &SealedPending,
        key: &SealedKey,
        m4: &M4,
        now: Timestamp,
    ) -> Kept<SealedKey> {
        self.vault.finish(pending, key, m4, now.timestamp_millis()).await
    }

    /// Provider: answers an offer.
    pub(crate) async fn respond(
        &self,
        context: &RegistrationContext,
        m1: &M1,
        floor: Floor,
        now: Timestamp,
    ) -> Kept<(M2, SealedPending)> {
        self.vault.respond(&self.identity, context, m1, floor, now.timestamp_millis()).await
    }

    /// Provider: checks the consumer's proof and makes the link's key, active at once.
    pub(crate) async fn confirm(
        &self,
        pending: &SealedPending,
        m3: &M3,
        link: LinkSpec,
        now: Timestamp,
    ) -> Kept<(M4, SealedKey)> {
        self.vault.confirm(pending, m3, link.epoch, link, now.timestamp_millis()).await
    }
}

//! What the verbs may do with keys. A key is named here, never held: the key service keeps what is secret.

mod needs;
mod report;
mod window;

use std::sync::{Arc, Mutex, PoisonError};

use keyservice::checkpoint::{Checkpoint, Note, NoteSignature};
use keyservice::module::{BuiltIn, ModuleChange, SealedModule};
use keyservice::principal::{IsService, Token, Tokens};
use keyservice::{
    AuditMeasure, Envelope, EnvelopeHeader, ExchangeId, FaultyRow, Floor, HealthReport, KeyChange,
    KeyService, KeyState, LastEntry, LinkSpec, M1, M2, M3, M4, MacPurpose, Operation, Permission, PublicKey,
    RegistrationContext, Right, SealedKey, SealedPending, Service, roll_up,
};

use uuid::Uuid;
use window::Window;

pub use needs::needed;
pub(super) use window::LINK;
pub(super) use window::unrecorded;

use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::store::{Store, StoreError};
use crate::vault::{HierarchyRecord, ProcessWatch, Recorded, Vault, VaultError, process_away};
use crate::world::World;

/// What the key service answers.
pub(crate) type Kept<T> = Result<T, VaultError>;

/// The key service with this instance's own keys: the one place that calls it.
///
/// A call may be one to another process. Make it before a transaction begins where that costs no contortion, because
/// SQLite has one writer.
///
/// Each part of the program uses them under its own name (`peer()` and the like), and only as the access policies of the
/// modules allow: `keys/window.rs` decides. What is under the integrity key (MACs, the seals of rows) is no use of a
/// module.
///
/// Every method fails as the function of the same name in [`keyservice::KeyService`] does, and when the service does not
/// answer.
#[derive(Clone)]
pub struct Keys {
    pub(super) vault: Vault,
    store: Store,
    own: Arc<Mutex<Arc<Own>>>,
    public: PublicKey,
    tokens: Arc<Tokens>,
    window: Arc<Window>,
}

/// The rows of the instance's own keys, as they were read last.
struct Own {
    identity: SealedKey,
    /// All versions of the data key, the newest first.
    data: Vec<SealedKey>,
}

impl Own {
    /// The data key that seals.
    fn newest(&self) -> Kept<&SealedKey> {
        let active = self.data.iter().find(|key| key.state == KeyState::Active);
        Ok(active.or(self.data.first()).ok_or(keyservice::Error::UnknownKeyVersion { version: 0 })?)
    }

    /// The data key that a ciphertext names.
    fn named_by(&self, ciphertext: &[u8]) -> Kept<&SealedKey> {
        let version = KeyService::sealed_version(ciphertext)?;
        let named = self.data.iter().find(|key| key.version == version);
        Ok(named.ok_or(keyservice::Error::UnknownKeyVersion { version })?)
    }
}

/// Does something with the instance's own keys; once more with their rows read anew when those in memory turn out to be
/// too old: another node may have rotated the data key, or what wraps them.
macro_rules! with_own {
    ($keys:expr, |$own:ident| $call:expr) => {{
        let $own = $keys.own();
        match $call {
            Err(VaultError::Refused(
                keyservice::Error::KeyEncryptionKeyUnknown { .. }
                | keyservice::Error::UnknownKeyVersion { .. },
            )) => {
                $keys.reload().await?;
                let $own = $keys.own();
                $call
            }
            done => done,
        }
    }};
}

impl HierarchyRecord for Store {
    fn hierarchy(&self) -> Recorded<'_> {
        Box::pin(async move {
            self.hierarchy().await.map_err(|error| {
                tracing::warn!(error = causes(&error), "the key hierarchy cannot be read");
                match error {
                    StoreError::Tampered { .. } => {
                        keyservice::Error::Tampered { what: "key hierarchy" }.into()
                    }
                    _ => VaultError::Unavailable("The key hierarchy cannot be read"),
                }
            })
        })
    }
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

    /// The key service with the active identity key and all versions of the data key, the newest first.
    ///
    /// # Errors
    /// When the identity key has no valid public half.
    pub fn new(
        vault: Vault,
        identity: SealedKey,
        data: Vec<SealedKey>,
        (store, world): (Store, World),
    ) -> Result<Self, keyservice::Error> {
        let public = identity.public_key()?;
        Ok(Self {
            vault: vault.following(Arc::new(store.clone())),
            own: Arc::new(Mutex::new(Arc::new(Own { identity, data }))),
            public,
            tokens: Arc::new(Tokens::hand_out()),
            window: Arc::new(Window::new(store.clone(), world)?),
            store,
        })
    }

    fn own(&self) -> Arc<Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the rows of the instance's own keys again. A row that somebody changed leaves the good one in its place.
    pub(super) async fn reload(&self) -> Kept<()> {
        let rows = self.store.sound_keys_of(&[Self::IDENTITY, Self::DATA]).await.map_err(|error| {
            tracing::warn!(error = causes(&error), "the instance's own keys cannot be read");
            VaultError::Unavailable("The rows of this instance's own keys cannot be read")
        })?;
        let (data, identity): (Vec<_>, Vec<_>) = rows.into_iter().partition(|key| key.module == Self::DATA);
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |key: &SealedKey| key.id == own.identity.id;
        let identity = identity.into_iter().find(same).unwrap_or_else(|| own.identity.clone());
        let data = if data.is_empty() { own.data.clone() } else { data };
        *own = Arc::new(Own { identity, data });
        Ok(())
    }

    fn of<S: IsService>(&self, _token: &Token<S>) -> ServiceKeys<'_> {
        ServiceKeys { keys: self, service: S::SERVICE }
    }

    /// For registration and onboarding.
    pub(crate) fn onboarding(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.onboarding)
    }

    /// For messages between the two instances of a connection.
    pub(crate) fn peer(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.peer)
    }

    /// For letters.
    pub(crate) fn letters(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.letters)
    }

    /// For people who sign in.
    pub(crate) fn sign_in(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.sign_in)
    }

    /// For client assertions.
    pub(crate) fn authorization(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.authorization)
    }

    /// For answers that are kept.
    pub(crate) fn settings(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.settings)
    }

    /// For checkpoints of audit trails.
    pub(crate) fn audit(&self) -> ServiceKeys<'_> {
        self.of(&self.tokens.audit)
    }

    /// Puts the uses that were counted on record, before the program stops.
    pub(super) async fn finish(&self) -> Kept<()> {
        self.window.finish().await
    }

    /// Sees to it that the use of keys is on record for a while. Called where no transaction is open.
    pub(crate) async fn ready(&self) -> Kept<()> {
        self.window.ready(self).await
    }

    /// What a part of the program needs and the access policies do not allow it: the first that is found.
    pub(crate) async fn lacking(&self) -> Kept<Option<(BuiltIn, Right, Service)>> {
        self.ready().await?;
        Ok(self.window.lacking())
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

    /// Tells when the key service's process ends and comes back; none where it has no process of its own.
    pub(crate) fn watch_process(&self) -> Option<ProcessWatch> {
        self.vault.watch_process()
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
        if self.window.has_failed() {
            // What becomes of it, the report says.
            let _ = self.ready().await;
        }
        let (stopped, now) = (self.window.stopped(now), now.timestamp_millis());
        let answered = report::measure(&self.vault, modules, keys, (audit, now)).await;
        let mut components = match answered {
            Ok(report) => [vec![self.vault.component(now)], report.components].concat(),
            // Whoever watches the process may not have seen it yet.
            Err(VaultError::Unavailable(why)) => vec![process_away(why, now)],
            Err(refused) => return Err(refused),
        };
        if let Some(stopped) = stopped {
            components.retain(|component| component.component != stopped.component);
            components.push(stopped);
        }
        Ok(HealthReport { status: roll_up(&components), components, measured_at: now })
    }

    /// Which rows the service did not write, or are not what the audit trail says last.
    pub(crate) async fn compare(&self, rows: &[SealedKey], audited: &[LastEntry]) -> Kept<Vec<FaultyRow>> {
        self.vault.compare_with_audit(rows, audited).await
    }

    /// A MAC under a key of this instance.
    pub(crate) async fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Kept<[u8; 32]> {
        self.vault.mac(purpose, parts).await
    }
}

/// The keys in the hands of one part of this program: what it does with them, the access policies decide.
#[derive(Clone, Copy)]
pub(crate) struct ServiceKeys<'a> {
    keys: &'a Keys,
    service: Service,
}

impl std::fmt::Debug for ServiceKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceKeys({})", self.service)
    }
}

impl ServiceKeys<'_> {
    /// Counts a use of this version of a key, which is on record within a window.
    fn count(&self, key: &SealedKey, right: Right) {
        self.keys.window.count((&key.module, key.version), right, self.service);
    }

    /// As [`Self::count`], of a key that reads: one whose use must have an entry of its own is not used.
    fn count_reading(&self, key: &SealedKey) -> Kept<()> {
        require_countable(key.state, Operation::Open)?;
        self.count(key, Right::Open);
        Ok(())
    }

    /// That this part of the program may do so with the keys of the module, under an entry of the audit trail.
    async fn permit(&self, module: BuiltIn, right: Right, link: Option<&str>, now: Timestamp) -> Kept<()> {
        self.keys.window.permit(self.keys, (module, right, self.service), link, now).await
    }

    /// Seals a secret for the database; `what` and `id` must be given again to open it.
    pub(crate) async fn seal(&self, what: &str, id: &[u8], secret: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.permit(BuiltIn::Data, Right::Seal, None, now).await?;
        let (aad, at) = ([what.as_bytes(), id], now.timestamp_millis());
        with_own!(self.keys, |own| {
            let key = own.newest()?;
            self.count(key, Right::Seal);
            self.keys.vault.seal(key, &aad, secret, at).await
        })
    }

    /// Opens what [`Keys::seal`] sealed.
    pub(crate) async fn open(&self, what: &str, id: &[u8], sealed: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.permit(BuiltIn::Data, Right::Open, None, now).await?;
        let (aad, at) = ([what.as_bytes(), id], now.timestamp_millis());
        with_own!(self.keys, |own| match own.named_by(sealed) {
            Ok(key) => {
                self.count_reading(key)?;
                self.keys.vault.open_sealed(key, &aad, sealed, at).await
            }
            Err(unknown) => Err(unknown),
        })
    }

    /// Signs with the identity key over `PAE(label, parts…)`.
    pub(crate) async fn sign(&self, label: &str, parts: &[&[u8]], now: Timestamp) -> Kept<Vec<u8>> {
        self.permit(BuiltIn::Identity, Right::Sign, None, now).await?;
        let at = now.timestamp_millis();
        with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Sign);
            self.keys.vault.sign(&own.identity, label, parts, at).await
        })
    }

    /// Signs the input of a JSON Web Signature (RFC 7515, section 5.1) with the identity key.
    pub(crate) async fn sign_jws(&self, input: &[u8], now: Timestamp) -> Kept<Vec<u8>> {
        self.permit(BuiltIn::Identity, Right::Sign, None, now).await?;
        let at = now.timestamp_millis();
        with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Sign);
            self.keys.vault.sign_jws(&own.identity, input, at).await
        })
    }

    /// Signs a checkpoint of our audit trail.
    pub(crate) async fn sign_checkpoint(
        &self,
        key: &SealedKey,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Kept<Note> {
        self.permit(BuiltIn::Audit, Right::Sign, None, now).await?;
        self.count(key, Right::Sign);
        self.keys.vault.sign_checkpoint(key, checkpoint, now.timestamp_millis()).await
    }

    /// Countersigns a checkpoint of another instance's audit trail.
    pub(crate) async fn countersign(&self, name: &str, note: &Note, now: Timestamp) -> Kept<NoteSignature> {
        self.permit(BuiltIn::Identity, Right::Sign, None, now).await?;
        let at = now.timestamp_millis();
        with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Sign);
            self.keys.vault.countersign(&own.identity, name, note, at).await
        })
    }

    /// Retires the key of a link, for the next one; the caller saves it.
    pub(crate) async fn retire(&self, key: &SealedKey, now: Timestamp) -> Kept<SealedKey> {
        self.permit(BuiltIn::Links, Right::Rotate, link_of(&key.module), now).await?;
        self.count(key, Right::Rotate);
        self.keys.vault.retire(key, now.timestamp_millis()).await
    }

    /// Withdraws the key of a link; the caller saves it.
    pub(crate) async fn revoke(
        &self,
        links: &SealedModule,
        key: &SealedKey,
        reason: &str,
        now: Timestamp,
    ) -> Kept<SealedKey> {
        self.permit(BuiltIn::Links, Right::Revoke, link_of(&key.module), now).await?;
        self.count(key, Right::Revoke);
        let (versions, change) = (std::slice::from_ref(key), KeyChange::Revoke { reason: reason.to_owned() });
        self.keys.vault.change_key(links, versions, key.version, &change, now.timestamp_millis()).await
    }

    /// Destroys the key of a link that ended, which takes no more than to withdraw it; the caller saves it.
    pub(crate) async fn destroy_link(&self, key: &SealedKey, now: Timestamp) -> Kept<SealedKey> {
        self.permit(BuiltIn::Links, Right::Revoke, link_of(&key.module), now).await?;
        self.count(key, Right::Revoke);
        self.keys.vault.destroy_link(key, now.timestamp_millis()).await
    }

    /// Seals a message to the peer of a link.
    pub(crate) async fn seal_message(
        &self,
        key: &SealedKey,
        header: &EnvelopeHeader,
        plaintext: &[u8],
        now: Timestamp,
    ) -> Kept<Envelope> {
        self.permit(BuiltIn::Links, Right::Seal, link_of(&key.module), now).await?;
        self.count(key, Right::Seal);
        self.keys.vault.seal_message(key, header, plaintext, now.timestamp_millis()).await
    }

    /// Opens a message from the peer of a link.
    pub(crate) async fn open_message(
        &self,
        key: &SealedKey,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Kept<Vec<u8>> {
        self.permit(BuiltIn::Links, Right::Open, link_of(&key.module), now).await?;
        self.count_reading(key)?;
        self.keys.vault.open_message(key, envelope, now.timestamp_millis()).await
    }

    /// Consumer: begins an exchange.
    pub(crate) async fn initiate(
        &self,
        context: &RegistrationContext,
        attempt: u64,
        now: Timestamp,
    ) -> Kept<(ExchangeId, M1)> {
        self.permit(BuiltIn::Identity, Right::Agree, None, now).await?;
        let at = now.timestamp_millis();
        with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Agree);
            self.keys.vault.initiate(&own.identity, context, attempt, at).await
        })
    }

    /// Consumer: forgets an exchange.
    pub(crate) async fn abandon(&self, exchange: ExchangeId) -> Kept<()> {
        self.keys.vault.abandon(exchange).await
    }

    /// Consumer: checks the provider's proof and makes the link's key, pre-active.
    pub(crate) async fn conclude(
        &self,
        exchange: ExchangeId,
        m2: &M2,
        link: LinkSpec,
        now: Timestamp,
    ) -> Kept<(M3, SealedKey, SealedPending)> {
        self.permit(BuiltIn::Identity, Right::Agree, None, now).await?;
        self.permit(BuiltIn::Links, Right::Agree, Some(&link_text(&link)), now).await?;
        let at = now.timestamp_millis();
        let made = with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Agree);
            self.keys.vault.conclude(exchange, &own.identity, m2, link, at).await
        })?;
        self.count(&made.1, Right::Agree);
        Ok(made)
    }

    /// Consumer: checks the final confirmation and activates the link's key.
    pub(crate) async fn finish(
        &self,
        pending: &SealedPending,
        key: &SealedKey,
        m4: &M4,
        now: Timestamp,
    ) -> Kept<SealedKey> {
        self.permit(BuiltIn::Links, Right::Agree, link_of(&key.module), now).await?;
        self.count(key, Right::Agree);
        self.keys.vault.finish(pending, key, m4, now.timestamp_millis()).await
    }

    /// Provider: answers an offer.
    pub(crate) async fn respond(
        &self,
        context: &RegistrationContext,
        m1: &M1,
        floor: Floor,
        now: Timestamp,
    ) -> Kept<(M2, SealedPending)> {
        self.permit(BuiltIn::Identity, Right::Agree, None, now).await?;
        let at = now.timestamp_millis();
        with_own!(self.keys, |own| {
            self.count(&own.identity, Right::Agree);
            self.keys.vault.respond(&own.identity, context, m1, floor, at).await
        })
    }

    /// Provider: checks the consumer's proof and makes the link's key, active at once.
    pub(crate) async fn confirm(
        &self,
        pending: &SealedPending,
        m3: &M3,
        link: LinkSpec,
        now: Timestamp,
    ) -> Kept<(M4, SealedKey)> {
        self.permit(BuiltIn::Identity, Right::Agree, None, now).await?;
        self.permit(BuiltIn::Links, Right::Agree, Some(&link_text(&link)), now).await?;
        let made = self.keys.vault.confirm(pending, m3, link.epoch, link, now.timestamp_millis()).await?;
        self.count(&made.1, Right::Agree);
        Ok(made)
    }
}

/// That a use in this state need not have an entry of its own: then it is counted with others.
fn require_countable(state: KeyState, operation: Operation) -> Kept<()> {
    match state.permits(operation) {
        // What is never done, the key service refuses.
        Permission::Allowed | Permission::Never => Ok(()),
        Permission::Audited | Permission::WithReason => {
            Err(keyservice::Error::WrongState { state, operation }.into())
        }
    }
}

fn link_text(link: &LinkSpec) -> String {
    Uuid::from_bytes(link.link).to_string()
}

/// The connection whose keys these are, as its messages name it: what stands behind `links/` in the module's name.
pub(super) fn link_of(module: &str) -> Option<&str> {
    module.strip_prefix(BuiltIn::Links.as_str())?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_have_an_entry_of_its_own_is_not_counted_with_others() {
        for state in KeyState::ALL {
            let counted = require_countable(state, Operation::Open).is_ok();
            assert_eq!(counted, !matches!(state, KeyState::Revoked | KeyState::Compromised), "{state}");
        }
    }
}

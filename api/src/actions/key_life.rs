//! What people do with key modules and the life of their keys.

use keyservice::approval::Agreed;
use keyservice::module::{BuiltIn, ModuleChange, ModuleSpec, SealedModule, Specification};
use keyservice::policy::{AccessPolicy, DefaultDecision, Effect, Matcher};
use keyservice::role::KeyRole;
use keyservice::versions::destruction_subject;
use keyservice::{
    Algorithm, Error, KeyChange, KeyState, LifecycleVerb, ModuleState, Operation, PortablePurpose, Purpose,
    Right, Rights, Rotation, SealedKey, due_rotations,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::key_module::{
    Governing, Judged, MODULES_MAX, VERSIONS_SHOWN, explained, governing, require_revision, shown, version,
    with_changes,
};
use super::key_rights::{may_see, require_allowed, require_right};
use super::keys::Kept as Answered;
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure, Keys};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::id::KeyApprovalId;
use crate::domain::key_module::{KeyModule, KeyModuleVerb, KeyVerb, KeyVersion, ModuleTerms, channel_of};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{ChangeKind, Page, Reader, Slice, Tx};
use crate::world::World;

/// A wish about one version of a module's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWish {
    /// Take it out of use for a while, and why.
    Suspend(String),
    /// Put it back into use.
    Resume,
    /// Give it another expiry; none for never.
    Renew(Option<Timestamp>),
    /// Retire it without a successor.
    Deactivate,
    /// Withdraw it, and why.
    Revoke(String),
    /// Mark it as known to others, and what is known.
    MarkCompromised(String),
}

impl KeyWish {
    const fn verb(&self) -> KeyVerb {
        match self {
            Self::Suspend(_) => KeyVerb::Suspend,
            Self::Resume => KeyVerb::Resume,
            Self::Renew(_) => KeyVerb::Renew,
            Self::Deactivate => KeyVerb::Deactivate,
            Self::Revoke(_) => KeyVerb::Revoke,
            Self::MarkCompromised(_) => KeyVerb::MarkCompromised,
        }
    }

    fn change(self) -> KeyChange {
        match self {
            Self::Suspend(reason) => KeyChange::Suspend { reason },
            Self::Resume => KeyChange::Resume,
            Self::Renew(until) => KeyChange::Renew { expires_at: until.map(|at| at.timestamp_millis()) },
            Self::Deactivate => KeyChange::Deactivate,
            Self::Revoke(reason) => KeyChange::Revoke { reason },
            Self::MarkCompromised(reason) => KeyChange::Compromise { reason },
        }
    }
}

const fn lifecycle(verb: KeyVerb) -> LifecycleVerb {
    match verb {
        KeyVerb::Activate => LifecycleVerb::Activate,
        KeyVerb::Suspend => LifecycleVerb::Suspend,
        KeyVerb::Resume => LifecycleVerb::Resume,
        KeyVerb::Renew => LifecycleVerb::Renew,
        KeyVerb::Deactivate => LifecycleVerb::Deactivate,
        KeyVerb::Revoke => LifecycleVerb::Revoke,
        KeyVerb::MarkCompromised => LifecycleVerb::Compromise,
        KeyVerb::Destroy => LifecycleVerb::Destroy,
    }
}

/// The calls of the key service for it.
impl Keys {
    async fn create_module(&self, spec: &ModuleSpec, now: Timestamp) -> Answered<SealedModule> {
        self.vault.create_module(spec, now.timestamp_millis()).await
    }

    async fn rotate(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: Uuid,
        now: Timestamp,
    ) -> Answered<Rotation> {
        self.vault.rotate(module, versions, id.into_bytes(), now.timestamp_millis()).await
    }

    async fn change_key(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        version: u64,
        change: &KeyChange,
        now: Timestamp,
    ) -> Answered<SealedKey> {
        self.vault.change_key(module, versions, version, change, now.timestamp_millis()).await
    }

    async fn destroy(
        &self,
        module: &SealedModule,
        key: &SealedKey,
        agreed: &Agreed,
        now: Timestamp,
    ) -> Answered<SealedKey> {
        self.vault.destroy(module, key, agreed, now.timestamp_millis()).await
    }
}

impl Actions {
    /// A key module by its name, with the versions of its key; none when there is no such module.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn key_module(&self, call: &Call, name: &str) -> Done<Option<KeyModule>> {
        require_right(call, Right::ReadMetadata)?;
        let found = self.store.module(name).await?;
        let Some(module) = found.filter(|module| may_see(call, module, name)) else { return Ok(None) };
        Ok(Some(shown(&module, &self.store.newest_keys_of(&[name], VERSIONS_SHOWN).await?)))
    }

    /// Versions of a module's key, the newest first, in pages that begin behind a version; `links/` and the id of a
    /// channel are the keys of one connection.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn keys_in(&self, call: &Call, module: &str, page: Page<i64>) -> Done<Slice<KeyVersion>> {
        require_right(call, Right::ReadMetadata)?;
        let known = self.store.module(governing(module)).await?;
        if !known.is_some_and(|known| may_see(call, &known, module)) {
            return Ok(Slice::default());
        }
        Ok(self.store.keys_page(module, page).await?.map(|key| version(&key)))
    }

    /// One version of a module's key; none when there is no such version.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn key_in(&self, call: &Call, module: &str, number: u64) -> Done<Option<KeyVersion>> {
        let next = i64::try_from(number).unwrap_or(i64::MAX).saturating_add(1);
        let newest = Page { beyond: Some(next), limit: 1, backward: false };
        let found = self.keys_in(call, module, newest).await?;
        Ok(found.items.into_iter().find(|key| key.version == number))
    }

    /// A draft of a module, which key managers, operators and auditors may use as their roles say.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `INVALID_INPUT` for a name, purpose, algorithm or period that cannot
    /// be; `DUPLICATE`.
    pub async fn create_key_module(
        &self,
        call: &Call,
        (name, purpose, algorithm): (&str, &str, &str),
        terms: &ModuleTerms,
    ) -> Done<KeyModule> {
        self.require_role(call, name, Right::ManageModules).await?;
        self.require_fresh_person(call)?;
        let purpose = purpose.parse::<Purpose>().ok().and_then(PortablePurpose::of).ok_or_else(|| {
            Refusal::invalid("purpose", "A module that you make is for SEALING, SIGNING or AUTHENTICATION.")
        })?;
        if self.store.modules().await?.len() >= MODULES_MAX {
            let message =
                format!("An instance has {MODULES_MAX} key modules at most; they are never deleted.");
            return Err(Refusal::invalid("name", message).into());
        }
        let now = self.world.now();
        let spec = ModuleSpec {
            id: self.world.uuid()?.into_bytes(),
            name: name.to_owned(),
            purpose,
            algorithm: Algorithm::ask(algorithm).map_err(|error| explained(error.into()))?,
            specification: specification(terms),
        };
        let made = self.keys.create_module(&spec, now).await.map_err(explained)?;
        let governed = ModuleChange::Govern(role_policies(&self.world)?);
        let made = self.keys.change_module(&made, governed, now).await?;
        let mut tx = self.begin("key_module.create", call).await?;
        tx.insert_module(&made).await?;
        audited(&mut tx, "key_module.create", &made);
        tx.commit().await?;
        Ok(shown(&made, &[]))
    }

    /// Changes a module: the terms of a draft, when its keys rotate by themselves, or that it is published.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`; `WRONG_STATE` when it is published;
    /// `INVALID_INPUT` for a period that cannot be; `CONFLICT` when its revision is not the expected one.
    pub async fn change_key_module(
        &self,
        call: &Call,
        (name, expected): (&str, Option<i64>),
        verb: KeyModuleVerb,
        terms: &ModuleTerms,
    ) -> Done<KeyModule> {
        self.require_role(call, name, Right::ManageModules).await?;
        let module = self.module(name).await?;
        self.require_on(call, &module, Right::ManageModules).await?;
        require_revision(&module, expected, "key module")?;
        self.may_change_module(call, &module, verb)?;
        let (operation, change) = match verb {
            KeyModuleVerb::Specify => ("key_module.specify", ModuleChange::Specify(specification(terms))),
            KeyModuleVerb::Schedule => {
                ("key_module.schedule", ModuleChange::Schedule(terms.rotation_period.map(millis)))
            }
            KeyModuleVerb::Publish => ("key_module.publish", ModuleChange::Publish),
            KeyModuleVerb::Rotate | KeyModuleVerb::Generate => {
                return Err(Failure::Bug("a new key is no change of the module"));
            }
        };
        let next = self.keys.change_module(&module, change, self.world.now()).await.map_err(explained)?;
        let keys = self.store.newest_keys_of(&[name], VERSIONS_SHOWN).await?;
        let mut tx = self.begin(operation, call).await?;
        tx.save_module(&next).await?;
        audited(&mut tx, operation, &next);
        tx.commit().await?;
        Ok(shown(&next, &keys))
    }

    /// Makes the next version of a module's key, active, and retires the one before, which still opens and verifies.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`; `WRONG_STATE` for a draft, and for what
    /// is not rotated like this; `CONFLICT`.
    pub async fn rotate_key_module(&self, call: &Call, name: &str) -> Done<KeyModule> {
        self.require_role(call, name, Right::Rotate).await?;
        let module = self.module(name).await?;
        self.require_on(call, &module, Right::Rotate).await?;
        self.may_change_module(call, &module, KeyModuleVerb::Rotate)?;
        self.rotate_now(call, &module).await
    }

    async fn rotate_now(&self, call: &Call, module: &SealedModule) -> Done<KeyModule> {
        let keys = self.store.keys_for(&module.name, None).await?;
        let before = self.store.newest_keys_of(&[&module.name], VERSIONS_SHOWN).await?;
        let now = self.world.now();
        let Rotation { made, retired } =
            self.keys.rotate(module, &keys, self.world.uuid()?, now).await.map_err(explained)?;
        let mut tx = self.begin("key.rotate", call).await?;
        if let Some(retired) = &retired {
            tx.save_key(retired).await?;
        }
        tx.insert_key(&made).await?;
        let details = json!({
            "module": module.name, "version": made.version,
            "retired": retired.as_ref().map(|key| key.version),
        });
        tx.audit("key.rotate", "KEY_MODULE", Uuid::from_bytes(module.id), "OK", details);
        tx.commit().await?;
        Ok(shown(module, &with_changes(before, retired.iter().chain([&made]))))
    }

    /// Rotates what is due by its module's schedule. A module with which it does not work keeps none of the others from
    /// it; the first such failure is answered at the end.
    pub(crate) async fn rotate_due_keys(&self, call: &Call) -> Done<()> {
        let modules = self.store.untouched_modules().await?;
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        let keys = self.store.sound_newest_keys_of(&names).await?;
        let mut all = Ok(());
        for due in due_rotations(&modules, &keys, self.world.now().timestamp_millis()) {
            let Some(module) = modules.iter().find(|module| module.id == due.module) else { continue };
            if rotates(module).is_err() {
                continue;
            }
            match self.rotate_now(call, module).await {
                // Another node was first.
                Err(Failure::Refused(refusal)) if refusal.code == RefusalCode::Conflict => {}
                Err(error) => {
                    tracing::error!(
                        error = causes(&error),
                        module = module.name,
                        "a key is due for rotation and does not rotate"
                    );
                    all = all.and(Err(error));
                }
                Ok(_) => {}
            }
        }
        all
    }

    /// Does to a version of a key what somebody wishes.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `POLICY_DENIED`, `NOT_FOUND`; `WRONG_STATE` when its state does not
    /// allow it; `INVALID_INPUT` for a reason or an expiry that cannot be; `CONFLICT`.
    pub async fn change_key(
        &self,
        call: &Call,
        module: &str,
        number: u64,
        wish: KeyWish,
    ) -> Done<KeyVersion> {
        let verb = wish.verb();
        let (governing, versions, key) = self.key_for(call, module, number, verb).await?;
        let change = wish.change();
        let now = self.world.now();
        let next = self.keys.change_key(&governing, &versions, key.version, &change, now).await;
        let next = next.map_err(explained)?;
        if governing.built_in() == Some(BuiltIn::Audit) && verb == KeyVerb::MarkCompromised {
            self.sign_without(&key).await?;
        }
        let mut tx = self.begin("key.life", call).await?;
        tx.save_key(&next).await?;
        changed(&mut tx, &next, verb).await?;
        tx.commit().await?;
        Ok(version(&next))
    }

    /// Erases the material of a key for good, as a second person agreed after the waiting period.
    ///
    /// # Errors
    /// As [`Actions::change_key`]; `WRONG_STATE` when the approval is not given, not usable yet or for something else.
    pub async fn destroy_key(
        &self,
        call: &Call,
        module: &str,
        number: u64,
        approval: KeyApprovalId,
    ) -> Done<KeyVersion> {
        let (governing, _, key) = self.key_for(call, module, number, KeyVerb::Destroy).await?;
        if governing.built_in() == Some(BuiltIn::Audit) {
            self.sign_without(&key).await?;
        }
        let mut tx = self.begin("key.destroy", call).await?;
        let subject = destruction_subject(&governing, &key);
        let agreed = self.spend_approval(&mut tx, call, approval, &subject).await?;
        let next = self.keys.destroy(&governing, &key, &agreed, tx.now()).await.map_err(explained)?;
        tx.save_key(&next).await?;
        changed(&mut tx, &next, KeyVerb::Destroy).await?;
        tx.commit().await?;
        Ok(version(&next))
    }

    /// The key that a verb is about, if the caller may: with the module that governs it and all its versions.
    pub(super) async fn key_for(
        &self,
        call: &Call,
        module: &str,
        number: u64,
        verb: KeyVerb,
    ) -> Done<(SealedModule, Vec<SealedKey>, SealedKey)> {
        let right = Operation::Change(lifecycle(verb)).right();
        self.require_role(call, module, right).await?;
        let governing = self.module(governing(module)).await?;
        self.require_on_keys(call, &governing, module, right).await?;
        let versions = self.store.keys_for(module, Some(number)).await?;
        let key = versions.iter().find(|key| key.version == number).cloned();
        let key = key.ok_or_else(|| Refusal::not_found("key").field("version"))?;
        self.may_change_key(call, &governing, &Judged::stored(&key, &versions), verb)?;
        Ok((governing, versions, key))
    }

    /// Whether the caller may do this with the module now.
    ///
    /// # Errors
    /// As the verbs.
    pub(super) fn may_change_module(
        &self,
        call: &Call,
        module: &SealedModule,
        verb: KeyModuleVerb,
    ) -> Result<(), Refusal> {
        let right = match verb {
            KeyModuleVerb::Rotate => Right::Rotate,
            KeyModuleVerb::Generate => Right::Generate,
            KeyModuleVerb::Specify | KeyModuleVerb::Schedule | KeyModuleVerb::Publish => Right::ManageModules,
        };
        require_allowed(call, module, &module.name, right)?;
        let draft = module.state == ModuleState::Draft;
        let wrong =
            |message: &str, reason| Err(Refusal::new(RefusalCode::WrongState, message).reason(reason));
        match verb {
            KeyModuleVerb::Specify | KeyModuleVerb::Publish if !draft => {
                wrong("The module is published: its specification is fixed.", "PUBLISHED")
            }
            KeyModuleVerb::Rotate | KeyModuleVerb::Generate if draft => {
                wrong("A draft has no keys: publish it first.", "DRAFT")
            }
            // A version of it is of use only from the moment on at which everything is sealed under it.
            KeyModuleVerb::Generate if module.built_in() == Some(BuiltIn::Data) => {
                wrong("The key of this module is not made ahead: rotate it.", "BUILT_IN")
            }
            KeyModuleVerb::Rotate | KeyModuleVerb::Generate | KeyModuleVerb::Schedule => rotates(module),
            KeyModuleVerb::Specify | KeyModuleVerb::Publish => Ok(()),
        }?;
        match verb {
            KeyModuleVerb::Rotate | KeyModuleVerb::Generate => self.require_fresh(call),
            KeyModuleVerb::Specify | KeyModuleVerb::Schedule | KeyModuleVerb::Publish => {
                self.require_fresh_person(call)
            }
        }
    }

    /// Whether the caller may do this with a key of the module.
    ///
    /// # Errors
    /// As the verbs.
    pub(super) fn may_change_key(
        &self,
        call: &Call,
        module: &SealedModule,
        key: &Judged<'_>,
        verb: KeyVerb,
    ) -> Result<(), Refusal> {
        let state = key.state;
        require_allowed(call, module, key.name, Operation::Change(lifecycle(verb)).right())?;
        match module.built_in() {
            Some(BuiltIn::Identity | BuiltIn::Data) => {
                let message = "This instance does not work without its own keys.";
                return Err(Refusal::new(RefusalCode::WrongState, message).reason("BUILT_IN"));
            }
            Some(BuiltIn::Links)
                if matches!(verb, KeyVerb::Renew | KeyVerb::Activate | KeyVerb::Deactivate) =>
            {
                return Err(exchanged());
            }
            // Whoever looks after keys must not be able to end the evidence about what they do.
            Some(BuiltIn::Audit | BuiltIn::Tokens) if state == KeyState::Active => {
                let message = "This instance does not go on without this key: rotate its module first, and then take the \
                               version before out of use.";
                return Err(Refusal::new(RefusalCode::WrongState, message).reason("ROTATE_FIRST"));
            }
            _ => {}
        }
        state.after(lifecycle(verb)).map_err(|_| {
            let message = format!("A key that is {state} cannot be changed like this.");
            Refusal::new(RefusalCode::WrongState, message).reason(state.as_str())
        })?;
        match verb {
            KeyVerb::Resume => {
                key.require_none_in_use()?;
                self.require_fresh_person(call)
            }
            KeyVerb::Destroy => self.require_fresh_person(call),
            KeyVerb::Activate => {
                key.require_unexpired(self.now())?;
                self.require_fresh(call)
            }
            KeyVerb::Renew
            | KeyVerb::Suspend
            | KeyVerb::Deactivate
            | KeyVerb::Revoke
            | KeyVerb::MarkCompromised => self.require_fresh(call),
        }
    }

    /// What can be done with a module, and whether the caller may.
    pub fn key_module_actions(
        &self,
        call: &Call,
        module: Option<&Governing>,
    ) -> Vec<(KeyModuleVerb, Result<(), Refusal>)> {
        let judged = |verb: &KeyModuleVerb| {
            (*verb, Governing::of(module).and_then(|module| self.may_change_module(call, module, *verb)))
        };
        KeyModuleVerb::ALL.iter().map(judged).collect()
    }

    /// What can be done with a key of a module, and whether the caller may.
    pub fn key_actions(
        &self,
        call: &Call,
        module: Option<&Governing>,
        key: &KeyVersion,
    ) -> Vec<(KeyVerb, Result<(), Refusal>)> {
        let may = |verb: KeyVerb| {
            let (module, key) = Governing::judging(module, key)?;
            self.may_change_key(call, module, &key, verb)
        };
        KeyVerb::ALL.iter().map(|verb| (*verb, may(*verb))).collect()
    }
}

impl Answer for KeyModule {
    fn kept(&self) -> Kept {
        Kept::of(self.id)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let id = kept.subject.ok_or(Failure::Bug("a kept answer"))?.into_bytes();
        let modules = reader.key_modules().await?;
        let module = modules.iter().find(|module| module.id == id);
        let module = module.ok_or_else(|| Refusal::not_found("key module"))?;
        Ok(shown(module, &reader.newest_keys(&module.name, VERSIONS_SHOWN).await?))
    }
}

impl Answer for KeyVersion {
    fn kept(&self) -> Kept {
        Kept::of(self.id)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let key = reader.key(kept.subject.ok_or(Failure::Bug("a kept answer"))?).await?;
        Ok(version(&key.ok_or_else(|| Refusal::not_found("key"))?))
    }
}

/// That a module's key gets new versions by itself or by a person.
fn rotates(module: &SealedModule) -> Result<(), Refusal> {
    match module.built_in() {
        Some(BuiltIn::Links) => Err(exchanged()),
        Some(BuiltIn::Identity) => {
            let message = "The peers know this instance by its identity, which is not replaced alone.";
            Err(Refusal::new(RefusalCode::WrongState, message).reason("BUILT_IN"))
        }
        Some(BuiltIn::Tokens | BuiltIn::Audit | BuiltIn::Data) | None => Ok(()),
    }
}

fn exchanged() -> Refusal {
    let message = "The keys of connections come from an exchange between the two instances.";
    Refusal::new(RefusalCode::WrongState, message).reason("EXCHANGE")
}

/// What each key role may do with a new module.
pub(crate) fn role_policies(world: &World) -> Result<Vec<AccessPolicy>, Error> {
    let governed = KeyRole::ALL.iter().filter_map(|role| {
        let rights: Rights = role.rights().iter().filter(|right| right.is_of_a_module()).collect();
        (!rights.is_empty()).then_some((role, rights))
    });
    governed
        .map(|(role, rights)| {
            Ok(AccessPolicy {
                id: world.uuid()?.into_bytes(),
                effect: Effect::Track,
                matcher: Matcher::Role(*role),
                rights,
                condition: None,
                note: format!("Comes with the role {}.", role.as_str().to_lowercase().replace('_', " ")),
            })
        })
        .collect()
}

const fn millis(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000)
}

fn specification(terms: &ModuleTerms) -> Specification {
    Specification {
        exportable: terms.exportable,
        rotation_period: terms.rotation_period.map(millis),
        key_lifetime: terms.key_lifetime.map(millis),
        default_decision: DefaultDecision::Reject,
    }
}

fn audited(tx: &mut Tx, operation: &'static str, module: &SealedModule) {
    let terms: Value = json!({
        "module": module.name, "purpose": module.purpose.as_str(), "algorithm": module.algorithm.as_str(),
        "exportable": module.specification.exportable,
        "rotation_period_ms": module.specification.rotation_period,
        "key_lifetime_ms": module.specification.key_lifetime,
    });
    tx.audit(operation, "KEY_MODULE", Uuid::from_bytes(module.id), "OK", terms);
}

/// Writes down what became of a key, and tells whoever watches its connection.
pub(super) async fn changed(tx: &mut Tx, key: &SealedKey, verb: KeyVerb) -> Done<()> {
    let details = json!({
        "module": key.module, "version": key.version, "state": key.state.as_str(), "reason": key.reason,
    });
    let operation = match verb {
        KeyVerb::Suspend => "key.suspend",
        KeyVerb::Resume => "key.resume",
        KeyVerb::Renew => "key.renew",
        KeyVerb::Deactivate => "key.deactivate",
        KeyVerb::Revoke => "key.revoke",
        KeyVerb::MarkCompromised => "key.compromise",
        KeyVerb::Destroy => "key.destroy",
        KeyVerb::Activate => "key.activate",
    };
    tx.audit(operation, "KEY_VERSION", Uuid::from_bytes(key.id), "OK", details);
    if let Some(channel) = channel_of(&key.module)
        && let Some(connection) = tx.connection_by_channel(channel).await?
    {
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
    }
    Ok(())
}

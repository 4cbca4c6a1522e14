//! Keys that are made ahead, or were brought in, and put into use later.

use keyservice::{Right, Rotation, SealedKey, SealedModule};
use serde_json::json;
use uuid::Uuid;

use super::key_life::changed;
use super::key_module::explained;
use super::key_module::{VERSIONS_SHOWN, shown, version, with_changes};
use super::keys::Kept;
use super::{Actions, Call, Done, Keys};
use crate::domain::Timestamp;
use crate::domain::key_module::{KeyModule, KeyModuleVerb, KeyVerb, KeyVersion};

/// The calls of the key service for it.
impl Keys {
    async fn next_version(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: Uuid,
        now: Timestamp,
    ) -> Kept<SealedKey> {
        self.vault.next_version(module, versions, id.into_bytes(), now.timestamp_millis()).await
    }

    async fn activate(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        version: u64,
        now: Timestamp,
    ) -> Kept<Rotation> {
        self.vault.activate(module, versions, version, now.timestamp_millis()).await
    }
}

impl Actions {
    /// Makes the next version of a module's key, which is not in use until it is activated.
    ///
    /// # Errors
    /// As [`Actions::rotate_key_module`].
    pub async fn generate_key(&self, call: &Call, name: &str) -> Done<KeyModule> {
        self.require_role(call, name, Right::Generate).await?;
        let module = self.module(name).await?;
        self.require_on(call, &module, Right::Generate).await?;
        self.may_change_module(call, &module, KeyModuleVerb::Generate)?;
        let versions = self.store.keys_for(name, None).await?;
        let before = self.store.newest_keys_of(&[name], VERSIONS_SHOWN).await?;
        let made = self.keys.next_version(&module, &versions, self.world.uuid()?, self.world.now()).await;
        let made = made.map_err(explained)?;
        let mut tx = self.begin("key.generate", call).await?;
        tx.insert_key(&made).await?;
        let details = json!({ "module": module.name, "version": made.version });
        tx.audit("key.generate", "KEY_MODULE", Uuid::from_bytes(module.id), "OK", details);
        tx.commit().await?;
        Ok(shown(&module, &with_changes(before, [&made])))
    }

    /// Puts a version that waits into use, and retires the one that was.
    ///
    /// # Errors
    /// As [`Actions::change_key`].
    pub async fn activate_key(&self, call: &Call, module: &str, number: u64) -> Done<KeyVersion> {
        let (governing, versions, key) = self.key_for(call, module, number, KeyVerb::Activate).await?;
        let Rotation { made, retired } = self
            .keys
            .activate(&governing, &versions, key.version, self.world.now())
            .await
            .map_err(explained)?;
        let mut tx = self.begin("key.activate", call).await?;
        if let Some(retired) = &retired {
            tx.save_key(retired).await?;
        }
        tx.save_key(&made).await?;
        changed(&mut tx, &made, KeyVerb::Activate).await?;
        tx.commit().await?;
        Ok(version(&made))
    }
}

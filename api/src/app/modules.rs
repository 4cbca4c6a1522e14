//! The key modules that every instance has, made where they are missing, with the access policies that let the parts of
//! the program do what they are there for and nothing else.

use keyservice::module::BuiltIn;
use keyservice::policy::{Effect, Matcher};
use keyservice::{AccessPolicy, Rights};
use uuid::Uuid;

use super::StartError;
use crate::actions::key_life::role_policies;
use crate::actions::needed;
use crate::domain::requester::Requester;
use crate::store::{Cause, Store, StoreError};
use crate::vault::Vault;
use crate::world::World;

/// Makes the built-in modules that are missing: all on first start, those that a newer program brings later.
pub(super) async fn ensure(vault: &Vault, store: &Store, world: &World) -> Result<(), StartError> {
    let present = store.modules().await?;
    let is_missing = |module: &&BuiltIn| !present.iter().any(|known| known.name == module.as_str());
    let missing: Vec<BuiltIn> = BuiltIn::ALL.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let now = world.now();
    let cause = Cause { requester: Requester::System, trace: world.trace()?, now, once: None };
    let mut made = Vec::with_capacity(missing.len());
    for built_in in missing {
        let (id, policies) = (world.uuid()?, policies(built_in, world)?);
        let module =
            vault.built_in_module(built_in, id.into_bytes(), policies, now.timestamp_millis()).await?;
        made.push((id, module));
    }
    let mut tx = store.begin("key_module.create", &cause).await?;
    for (id, module) in made {
        match tx.insert_module(&module).await {
            // Another process was first: its modules count.
            Err(StoreError::Duplicate(_)) => return Ok(()),
            done => done?,
        }
        tx.audit("key_module.create", "KEY_MODULE", id, "OK", serde_json::json!({ "module": module.name }));
    }
    Ok(tx.commit().await?)
}

fn policies(module: BuiltIn, world: &World) -> Result<Vec<AccessPolicy>, StartError> {
    let policy = |matcher, rights, note| {
        let id: Uuid = world.uuid()?;
        Ok(AccessPolicy {
            id: id.into_bytes(),
            effect: Effect::Track,
            matcher,
            rights,
            condition: None,
            note,
        })
    };
    let services = needed(module).iter().map(|(service, rights)| {
        let note = "Comes with this part of the program, which works only with it.".to_owned();
        policy(Matcher::Service(*service), Rights::of(rights), note)
    });
    let mut policies: Vec<AccessPolicy> = services.collect::<Result<_, StartError>>()?;
    policies.extend(role_policies(world)?);
    Ok(policies)
}

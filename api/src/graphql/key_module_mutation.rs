//! What people do with key modules and the life of their keys.

use async_graphql::{Context, ID, Object, Result};

use super::ask::{Ask, named};
use super::id::Kind;
use super::key_module::{KeyModule, KeyVersion};
use crate::actions::KeyWish;
use crate::domain::Timestamp;
use crate::domain::key_module::{KeyModuleVerb, ModuleTerms};

input! {
    /// A new key module: a draft until it is published.
    CreateKeyModuleInput {
        /// Its name, unique in this instance: 1 to 64 of `a` to `z`, `0` to `9` and `-`, beginning with a letter.
        name: String,
        /// `SEALING`, `SIGNING` or `AUTHENTICATION`.
        purpose: String,
        /// `A256GCM` to seal; `Ed25519` or `ECDSA-P256-SHA256` to sign; `HMAC-SHA256`, `HMAC-SHA384` or `HMAC-SHA512` to
        /// authenticate. Anything weaker is refused with the reason.
        algorithm: String,
        /// Whether its keys may leave, wrapped, when a second person agrees; false when left out.
        exportable: Option<bool>,
        /// How long after its activation a key is due for rotation, in seconds: one hour to ten years. Left to people
        /// when left out.
        rotation_period: Option<i64>,
        /// How long after it was made a key stops sealing and signing, in seconds: one hour to ten years, and not
        /// shorter than the rotation period. Never when left out.
        key_lifetime: Option<i64>,
    }
}

input! {
    /// Another specification for a draft: what is left out is as if the draft were made anew.
    SpecifyKeyModuleInput {
        /// The name of the module.
        module: String,
        /// Whether its keys may leave, wrapped, when a second person agrees; false when left out.
        exportable: Option<bool>,
        /// As in `CreateKeyModuleInput`, in seconds.
        rotation_period: Option<i64>,
        /// As in `CreateKeyModuleInput`, in seconds.
        key_lifetime: Option<i64>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// When the keys of a module rotate by themselves.
    ScheduleKeyModuleInput {
        /// The name of the module.
        module: String,
        /// How long after its activation a key is due for rotation, in seconds: one hour to ten years. Left to people
        /// when left out.
        rotation_period: Option<i64>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// The draft to publish.
    PublishKeyModuleInput {
        /// The name of the module.
        module: String,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// The module whose key to rotate.
    RotateKeyModuleInput {
        /// The name of the module.
        module: String,
    }
}

input! {
    /// The module for whose key a new version is made.
    GenerateKeyInput {
        /// The name of the module.
        module: String,
    }
}

input! {
    /// The version to put into use.
    ActivateKeyInput {
        /// The name of its module.
        module: String,
        /// Its version.
        version: u64,
    }
}

input! {
    /// The key to take out of use for a while.
    SuspendKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// Why, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The suspended key to put back into use.
    ResumeKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
    }
}

input! {
    /// The key to give another expiry.
    RenewKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// When it stops sealing and signing; never when left out.
        expires_at: Option<Timestamp>,
    }
}

input! {
    /// The key to retire.
    DeactivateKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
    }
}

input! {
    /// The key to withdraw.
    RevokeKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// Why, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The key that others are believed to know.
    MarkKeyCompromisedInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// What is known about it, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The key whose material to erase.
    DestroyKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// The approval of a second person: of `DESTROY`, with the module, and the key's `keyId` as its object. It can
        /// be used seven days after it was asked for.
        approval_id: ID,
    }
}

payload! {
    /// What became of a mutation of a key module.
    KeyModulePayload {
        /// The module afterwards; null when it was refused.
        key_module: KeyModule
    }
}

payload! {
    /// What became of a mutation of a key.
    KeyPayload {
        /// The key afterwards; null when it was refused.
        key: KeyVersion
    }
}

/// Mutations of key modules and keys.
#[derive(Default)]
pub(super) struct KeyModuleMutation;

#[Object]
impl KeyModuleMutation {
    /// Makes a draft of a key module. For key managers.
    async fn create_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: CreateKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(input.exportable, input.rotation_period, input.key_lifetime);
            let what = (input.name.as_str(), input.purpose.as_str(), input.algorithm.as_str());
            ask.actions.create_key_module(&call, what, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Gives a draft another specification. For key managers.
    async fn specify_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft, and what shall hold for its keys.")] input: SpecifyKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(input.exportable, input.rotation_period, input.key_lifetime);
            let which = (input.module.as_str(), input.expected_revision);
            ask.actions.change_key_module(&call, which, KeyModuleVerb::Specify, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Sets when the keys of a module rotate by themselves. For key managers.
    async fn schedule_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module, and the period.")] input: ScheduleKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(None, input.rotation_period, None);
            let which = (input.module.as_str(), input.expected_revision);
            ask.actions.change_key_module(&call, which, KeyModuleVerb::Schedule, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Publishes a draft: its keys can be made and used, and its specification is fixed. For key managers.
    async fn publish_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft.")] input: PublishKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = ModuleTerms::default();
            let which = (input.module.as_str(), input.expected_revision);
            ask.actions.change_key_module(&call, which, KeyModuleVerb::Publish, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Makes the next version of a module's key, in use at once; the one before still opens and verifies what it made.
    /// For key managers and operators.
    async fn rotate_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: RotateKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.rotate_key_module(&call, &input.module).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Makes the next version of a module's key, which is not in use until it is activated: for a change that is planned.
    /// For key managers.
    async fn generate_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: GenerateKeyInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask
            .once(input, |call, input| async move { ask.actions.generate_key(&call, &input.module).await });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Puts a version that is not in use yet into use, made by `generateKey` or brought in; the one before still opens
    /// and verifies what it made. For key managers.
    async fn activate_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ActivateKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.activate_key(&call, &input.module, input.version).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Takes a key out of use for a while: it neither makes nor reads anything. For key managers.
    async fn suspend_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and why.")] input: SuspendKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Suspend(input.reason)).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Puts a suspended key back into use. For key managers.
    async fn resume_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ResumeKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Resume).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Gives a key another expiry. For key managers and operators.
    async fn renew_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and until when.")] input: RenewKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let wish = KeyWish::Renew(input.expires_at);
            ask.actions.change_key(&call, &input.module, input.version, wish).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Retires a key in use, or one that is suspended, without a successor: it makes nothing any more, and still opens and
    /// verifies what it made. Not for the key of a connection. For key managers and operators.
    async fn deactivate_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: DeactivateKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Deactivate).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Withdraws a key: it makes nothing any more; what it made can still be read. That of a connection ends the connection
    /// on both sides, which needs its key for everything: suspend it to stop for a while. For key managers and operators.
    async fn revoke_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and why.")] input: RevokeKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Revoke(input.reason)).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Marks a key as known to others: what it made is only read for a stated reason. That of a connection ends the
    /// connection, as revoking it does. For key managers.
    async fn mark_key_compromised(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and what is known.")] input: MarkKeyCompromisedInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let wish = KeyWish::MarkCompromised(input.reason);
            ask.actions.change_key(&call, &input.module, input.version, wish).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Erases the material of a key for good; what it made can never be read again. For key managers, with the approval
    /// of a second person after seven days.
    async fn destroy_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and the approval.")] input: DestroyKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let approval = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            ask.actions.destroy_key(&call, &input.module, input.version, approval).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }
}

fn terms(exportable: Option<bool>, rotation_period: Option<i64>, key_lifetime: Option<i64>) -> ModuleTerms {
    ModuleTerms { exportable: exportable.unwrap_or_default(), rotation_period, key_lifetime }
}

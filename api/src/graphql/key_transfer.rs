//! Keys that come from another system, and keys that leave for one.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use data_encoding::BASE64URL_NOPAD;

use super::ask::{Ask, named};
use super::id::Kind;
use super::key_module::KeyVersion;
use super::key_module_mutation::KeyPayload;
use crate::actions::Receiver;
use crate::domain::Timestamp;
use crate::domain::key_transfer as domain;
use crate::domain::refusal::Refusal;

/// What another system needs to wrap one key for a module of this instance. All bytes are base64url without padding
/// (RFC 4648, section 5).
#[derive(SimpleObject)]
pub(super) struct KeyImportOffer {
    /// Its id, a UUID.
    offer_id: String,
    /// The module.
    module: String,
    /// The algorithm that the key must be of.
    algorithm: String,
    /// The X25519 public key (RFC 7748) to wrap to, 32 bytes. It is used once.
    public_key: String,
    /// The associated data to wrap with: the `associatedData` of `exportKey` on another instance.
    associated_data: String,
    /// Until when the package is waited for: ten minutes. It must come to the node that made the offer.
    expires_at: Timestamp,
}

/// A key, wrapped for another system: `1 | E | ciphertext | tag`, where `E` is an X25519 public key that is used once.
/// All bytes are base64url without padding (RFC 4648, section 5).
#[derive(SimpleObject)]
pub(super) struct KeyPackage {
    /// The id of the key, a UUID.
    key_id: String,
    /// Its module.
    module: String,
    /// Its version.
    version: u64,
    /// The package: the `package` of `importKey` on another instance.
    package: String,
    /// The associated data that opens it.
    associated_data: String,
}

input! {
    /// The module that a key is to come into.
    OfferKeyImportInput {
        /// Its name.
        module: String,
    }
}

input! {
    /// A key that was wrapped to an offer.
    ImportKeyInput {
        /// The name of the module that the offer is for.
        module: String,
        /// The `offerId` of the offer, which is over then.
        offer_id: String,
        /// The package, base64url, at most 512 bytes.
        package: String,
        /// The approval of a second person: of `IMPORT`, with the module, without an object.
        approval_id: ID,
    }
}

input! {
    /// A key, and for whom to wrap it.
    ExportKeyInput {
        /// The name of its module, whose specification must allow it.
        module: String,
        /// Its version. It must be in use.
        version: u64,
        /// The receiver's X25519 public key (RFC 7748), 32 bytes as base64url.
        public_key: String,
        /// The associated data that the receiver opens with, base64url, at most 512 bytes: another instance's offer says
        /// which. When left out, it is told with the package.
        associated_data: Option<String>,
        /// The approval of a second person: of `EXPORT`, with the module, and the key's `exportObject` as its object.
        approval_id: ID,
    }
}

payload! {
    /// What became of the wish for an offer.
    OfferKeyImportPayload {
        /// The offer; null when it was refused.
        key_import_offer: KeyImportOffer
    }
}

payload! {
    /// What became of the wish to wrap a key for somebody else.
    ExportKeyPayload {
        /// The package; null when it was refused.
        key_package: KeyPackage
    }
}

/// Mutations that bring keys in and let them leave.
#[derive(Default)]
pub(super) struct KeyTransferMutation;

#[Object]
impl KeyTransferMutation {
    /// Hands out a key to which another system wraps one for a module; at most 16 wait at a time. For key managers and
    /// integrators.
    async fn offer_key_import(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: OfferKeyImportInput,
    ) -> Result<OfferKeyImportPayload> {
        let ask = Ask::new(ctx)?;
        let done =
            ask.once(
                input,
                |call, input| async move { ask.actions.offer_key_import(&call, &input.module).await },
            );
        Ok(OfferKeyImportPayload::new(done.await?, KeyImportOffer::from))
    }

    /// Takes in a key that was wrapped to an offer, as the next version of the module's key, not yet in use. For key
    /// managers and integrators, with the approval of a second person.
    async fn import_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The package, and the approval.")] input: ImportKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let approval = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            let offer = input.offer_id.parse().map_err(|_| Refusal::not_found("offer").field("offerId"))?;
            ask.actions.import_key(&call, &input.module, (offer, &input.package), approval).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Wraps a key for another system, if the module's specification lets its keys leave. For key managers, with the
    /// approval of a second person for exactly this key and this receiver.
    async fn export_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, the receiver, and the approval.")] input: ExportKeyInput,
    ) -> Result<ExportKeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let approval = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            let to = Receiver { public_key: input.public_key, associated_data: input.associated_data };
            ask.actions.export_key(&call, (&input.module, input.version), &to, approval).await
        });
        Ok(ExportKeyPayload::new(done.await?, KeyPackage::from))
    }
}

impl From<domain::ImportTicket> for KeyImportOffer {
    fn from(offer: domain::ImportTicket) -> Self {
        Self {
            offer_id: offer.id.to_string(),
            module: offer.module,
            algorithm: offer.algorithm,
            public_key: BASE64URL_NOPAD.encode(&offer.public_key),
            associated_data: BASE64URL_NOPAD.encode(&offer.associated_data),
            expires_at: offer.expires_at,
        }
    }
}

impl From<domain::KeyPackage> for KeyPackage {
    fn from(package: domain::KeyPackage) -> Self {
        Self {
            key_id: package.key.to_string(),
            module: package.module,
            version: package.version,
            package: BASE64URL_NOPAD.encode(&package.bytes),
            associated_data: BASE64URL_NOPAD.encode(&package.associated_data),
        }
    }
}

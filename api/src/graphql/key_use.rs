//! The use of a module's keys: seal and open, sign and verify, authenticate.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use secrecy::zeroize::Zeroizing;

use super::ask::{Ask, check, named};
use super::id::Kind;
use super::key_policy::AccessDataInput;
use crate::actions::Done;
use crate::actions::key_use::{CIPHERTEXT_MAX, DATA_MAX, Exception, KeyUse, KeyUsed};
use crate::domain::key_policy::AccessData;
use crate::domain::refusal::Refusal;

/// What was sealed.
#[derive(SimpleObject)]
pub(super) struct SealedData {
    /// The ciphertext, in base64 with padding (RFC 4648, section 4): AES-256-GCM under a key of its own, which the
    /// module's key derives. It names the version of the module's key.
    ciphertext: String,
    /// The version of the key.
    version: u64,
}

/// What was opened.
#[derive(SimpleObject)]
pub(super) struct OpenedData {
    /// The plaintext, in base64 with padding.
    plaintext: String,
    /// The version of the key under which it was sealed.
    version: u64,
}

/// A signature of a module's key.
#[derive(SimpleObject)]
pub(super) struct DataSignature {
    /// The signature, in base64 with padding: 64 bytes, RFC 8032 for Ed25519, `r | s` for ECDSA P-256 with SHA-256. What
    /// is signed is the pre-authentication encoding (PAE, as in PASETO) of `linkspan data`, the message, and each name
    /// and value of the associated data in the order of names, so that anybody verifies it with the version's
    /// `publicKey`.
    signature: String,
    /// The version of the key.
    version: u64,
}

/// An authentication code of a module's key.
#[derive(SimpleObject)]
pub(super) struct DataMac {
    /// The code, in base64 with padding: HMAC (RFC 2104), 32, 48 or 64 bytes by the module's algorithm, over the same
    /// encoding as signatures.
    mac: String,
    /// The version of the key.
    version: u64,
}

/// Whether a signature or an authentication code is right.
#[derive(SimpleObject)]
pub(super) struct DataVerification {
    /// Whether it is one of this message, this associated data and this version of the key.
    valid: bool,
    /// The version of the key.
    version: u64,
}

input! {
    /// What to seal.
    SealDataInput {
        /// The name of the key module; one for sealing that a key manager made.
        module: String,
        /// The plaintext, in base64; 64 KiB at most.
        plaintext: String,
        /// What it is about, at most 16 names with a value, such as `link_id` and a connection's `linkId`. It is not in
        /// the ciphertext, must be given again to open it, is compared with the conditions of access policies, and is
        /// recorded in the audit trail.
        associated_data: Option<Vec<AccessDataInput>>,
    }
}

input! {
    /// What to open.
    OpenDataInput {
        /// The name of the key module.
        module: String,
        /// The ciphertext, in base64.
        ciphertext: String,
        /// The associated data with which it was sealed, in any order.
        associated_data: Option<Vec<AccessDataInput>>,
        /// Why it must be opened although its key is marked as compromised, 1 to 500 characters.
        reason: Option<String>,
        /// With `reason`: the approval of a second person, of `OPEN_COMPROMISED`, with the module, and the key's `keyId`
        /// as its object. It is good for one ciphertext.
        approval_id: Option<ID>,
    }
}

input! {
    /// What to sign.
    SignDataInput {
        /// The name of the key module; one for signing that a key manager made.
        module: String,
        /// The message, in base64; 64 KiB at most.
        message: String,
        /// What it is about, as in `SealDataInput`.
        associated_data: Option<Vec<AccessDataInput>>,
    }
}

input! {
    /// The signature to verify.
    VerifySignatureInput {
        /// The name of the key module.
        module: String,
        /// The message, in base64; 64 KiB at most.
        message: String,
        /// The associated data with which it was signed, in any order.
        associated_data: Option<Vec<AccessDataInput>>,
        /// The signature, in base64.
        signature: String,
        /// The version of the key that made it.
        version: u64,
    }
}

input! {
    /// What to authenticate.
    CreateMacInput {
        /// The name of the key module; one for authentication that a key manager made.
        module: String,
        /// The message, in base64; 64 KiB at most.
        message: String,
        /// What it is about, as in `SealDataInput`.
        associated_data: Option<Vec<AccessDataInput>>,
    }
}

input! {
    /// The authentication code to verify.
    VerifyMacInput {
        /// The name of the key module.
        module: String,
        /// The message, in base64; 64 KiB at most.
        message: String,
        /// The associated data with which it was made, in any order.
        associated_data: Option<Vec<AccessDataInput>>,
        /// The code, in base64, whole.
        mac: String,
        /// The version of the key that made it.
        version: u64,
    }
}

payload! {
    /// What became of a wish to seal.
    SealDataPayload {
        /// What was sealed; null when it was refused.
        sealed: SealedData
    }
}

payload! {
    /// What became of a wish to open.
    OpenDataPayload {
        /// What was opened; null when it was refused.
        opened: OpenedData
    }
}

payload! {
    /// What became of a wish to sign.
    SignDataPayload {
        /// The signature; null when it was refused.
        signature: DataSignature
    }
}

payload! {
    /// What became of a wish to authenticate.
    CreateMacPayload {
        /// The authentication code; null when it was refused.
        mac: DataMac
    }
}

payload! {
    /// What became of a wish to verify.
    VerifyDataPayload {
        /// Whether it is right; null when nothing was verified.
        verification: DataVerification
    }
}

/// Mutations that use the keys of modules.
#[derive(Default)]
pub(super) struct KeyUseMutation;

/// Base64 is read with either alphabet, with padding or without. All of these are safe to repeat: they change nothing but
/// the audit trail, which has an entry of each use before its answer is given, and an idempotency key does nothing.
#[Object]
impl KeyUseMutation {
    /// Seals data under the active key of a module. The module's access policies decide: `POLICY_DENIED` names the
    /// decision for `explainDecision`. Safe to repeat: each time it is another ciphertext, whatever the idempotency key.
    async fn seal_data(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plaintext, and under which module.")] input: SealDataInput,
    ) -> Result<SealDataPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::Seal(Zeroizing::new(bytes("plaintext", &input.plaintext, DATA_MAX)?));
            ask.actions.use_key(ask.call, &input.module, &about(input.associated_data), wish, None).await
        };
        Ok(SealDataPayload::new(ask.settle(done.await)?, |used| SealedData {
            ciphertext: text(&used),
            version: used.version,
        }))
    }

    /// Opens what `sealData` sealed, with the version of the key that it names; also after the key was rotated. Safe to
    /// repeat, whatever the idempotency key; an approval is used up by it.
    async fn open_data(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ciphertext, and of which module.")] input: OpenDataInput,
    ) -> Result<OpenDataPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::Open(bytes("ciphertext", &input.ciphertext, CIPHERTEXT_MAX)?);
            let exception = exception(input.reason, input.approval_id.as_ref())?;
            let about = about(input.associated_data);
            ask.actions.use_key(ask.call, &input.module, &about, wish, exception.as_ref()).await
        };
        Ok(OpenDataPayload::new(ask.settle(done.await)?, |used| OpenedData {
            plaintext: text(&used),
            version: used.version,
        }))
    }

    /// Signs a message with the active key of a module. Safe to repeat, whatever the idempotency key.
    async fn sign_data(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message, and with which module.")] input: SignDataInput,
    ) -> Result<SignDataPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::Sign(bytes("message", &input.message, DATA_MAX)?);
            ask.actions.use_key(ask.call, &input.module, &about(input.associated_data), wish, None).await
        };
        Ok(SignDataPayload::new(ask.settle(done.await)?, |used| DataSignature {
            signature: text(&used),
            version: used.version,
        }))
    }

    /// Verifies a signature of `signData`. Safe to repeat, whatever the idempotency key.
    async fn verify_signature(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The signature, and of what.")] input: VerifySignatureInput,
    ) -> Result<VerifyDataPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::Verify {
                message: bytes("message", &input.message, DATA_MAX)?,
                version: input.version,
                signature: bytes("signature", &input.signature, PROOF_MAX)?,
            };
            ask.actions.use_key(ask.call, &input.module, &about(input.associated_data), wish, None).await
        };
        Ok(VerifyDataPayload::new(ask.settle(done.await)?, verification))
    }

    /// Makes an authentication code of a message with the active key of a module. Safe to repeat, whatever the
    /// idempotency key.
    async fn create_mac(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message, and with which module.")] input: CreateMacInput,
    ) -> Result<CreateMacPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::Mac(bytes("message", &input.message, DATA_MAX)?);
            ask.actions.use_key(ask.call, &input.module, &about(input.associated_data), wish, None).await
        };
        Ok(CreateMacPayload::new(ask.settle(done.await)?, |used| DataMac {
            mac: text(&used),
            version: used.version,
        }))
    }

    /// Verifies an authentication code of `createMac`, in constant time. Safe to repeat, whatever the idempotency key.
    async fn verify_mac(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code, and of what.")] input: VerifyMacInput,
    ) -> Result<VerifyDataPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let wish = KeyUse::VerifyMac {
                message: bytes("message", &input.message, DATA_MAX)?,
                version: input.version,
                tag: bytes("mac", &input.mac, PROOF_MAX)?,
            };
            ask.actions.use_key(ask.call, &input.module, &about(input.associated_data), wish, None).await
        };
        Ok(VerifyDataPayload::new(ask.settle(done.await)?, verification))
    }
}

/// The most bytes of a signature or a code.
const PROOF_MAX: usize = 64;

fn verification(used: KeyUsed) -> DataVerification {
    DataVerification { valid: used.valid, version: used.version }
}

fn text(used: &KeyUsed) -> String {
    BASE64.encode(&used.bytes)
}

/// Reads base64 with either alphabet, with padding or without.
fn bytes(field: &str, text: &str, most: usize) -> Done<Vec<u8>> {
    let forms = [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD];
    match forms.iter().find_map(|form| form.decode(text.as_bytes()).ok()) {
        Some(bytes) if bytes.len() <= most => Ok(bytes),
        Some(_) => Err(Refusal::invalid(field, format!("At most {most} bytes.")).into()),
        None => Err(Refusal::invalid(field, "This is not base64 (RFC 4648).").into()),
    }
}

fn about(data: Option<Vec<AccessDataInput>>) -> Vec<AccessData> {
    data.unwrap_or_default().into_iter().map(Into::into).collect()
}

fn exception(reason: Option<String>, approval: Option<&ID>) -> Done<Option<Exception>> {
    match (reason, approval) {
        (None, None) => Ok(None),
        (Some(reason), Some(approval)) => {
            Ok(Some(Exception { reason, approval: named(Kind::KeyApproval, "approvalId", approval)? }))
        }
        (None, Some(_)) => Err(Refusal::invalid("reason", "An approval is used with the reason.").into()),
        (Some(_), None) => {
            let message = "The reason is used with the approval of a second person.";
            Err(Refusal::invalid("approvalId", message).into())
        }
    }
}

//! What is done with the keys of a module: seal and open, sign and verify, make and check authentication codes.
//!
//! What is made comes from the newest active version and carries its number; whatever the number names is read with.
//! Messages to be signed or authenticated are `PAE(label, parts…)`, so that one made for one thing is none for another.

use ring::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::identity::labelled;
use crate::lifecycle::Operation;
use crate::service::{KeyService, MAX_PLAINTEXT, require_label};
use crate::signing;
use crate::usage::{Use, Used};

/// A signature of a module's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The version of the key.
    pub version: u64,
    /// 64 bytes: RFC 8032, 5.1.6, for Ed25519; `r | s` for ECDSA.
    pub bytes: Vec<u8>,
}

/// An authentication code of a module's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The version of the key.
    pub version: u64,
    /// 32, 48 or 64 bytes, never shortened.
    pub bytes: Vec<u8>,
}

impl KeyService {
    /// Seals under the module's active key; `aad` must be given again to open it. The ciphertext names the version.
    ///
    /// # Errors
    /// Those of [`Self::authorise`]; [`Error::TooLarge`] above [`MAX_PLAINTEXT`]; [`Error::Entropy`].
    pub fn module_seal(
        &self,
        using: &Use<'_>,
        aad: &[&[u8]],
        plaintext: &[u8],
    ) -> Result<Used<Vec<u8>>, Error> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::TooLarge { what: "plaintext" });
        }
        let judged = self.judge(using, Operation::Seal, None)?;
        let material = self.judged_material(&judged)?;
        let ciphertext = self.seal_under(judged.key, &material, aad, plaintext)?;
        Ok(judged.gives(ciphertext))
    }

    /// Opens a ciphertext of [`Self::module_seal`] with the version that it names.
    ///
    /// # Errors
    /// Those of [`Self::authorise`]; [`Error::Malformed`], [`Error::TooLarge`]; [`Error::Tampered`] when ciphertext or
    /// associated data are not those that were sealed.
    pub fn module_open(
        &self,
        using: &Use<'_>,
        aad: &[&[u8]],
        ciphertext: &[u8],
    ) -> Result<Used<Vec<u8>>, Error> {
        let version = Self::sealed_version(ciphertext)?;
        let judged = self.judge(using, Operation::Open, Some(version))?;
        let material = self.judged_material(&judged)?;
        let plaintext = self.open_under(judged.key, &material, aad, ciphertext)?;
        Ok(judged.gives(plaintext))
    }

    /// Signs `PAE(label, parts…)` with the module's active key.
    ///
    /// # Errors
    /// Those of [`Self::authorise`]; [`Error::ReservedLabel`] for the labels of the exchange.
    pub fn module_sign(
        &self,
        using: &Use<'_>,
        label: &str,
        parts: &[&[u8]],
    ) -> Result<Used<Signature>, Error> {
        require_label(label)?;
        let judged = self.judge(using, Operation::Sign, None)?;
        let material = self.judged_material(&judged)?;
        let public = judged.key.public.as_deref().unwrap_or_default();
        let bytes = signing::sign(judged.key.algorithm, &material, public, &labelled(label, parts))?;
        let version = judged.key.version;
        Ok(judged.gives(Signature { version, bytes }))
    }

    /// Verifies a signature of [`Self::module_sign`] with the version that it names.
    ///
    /// # Errors
    /// Those of [`Self::authorise`]; [`Error::BadSignature`].
    pub fn module_verify(
        &self,
        using: &Use<'_>,
        label: &str,
        parts: &[&[u8]],
        signature: &Signature,
    ) -> Result<Used<()>, Error> {
        let judged = self.judge(using, Operation::Verify, Some(signature.version))?;
        let public = judged.key.public.as_deref().unwrap_or_default();
        signing::verify(judged.key.algorithm, public, &labelled(label, parts), &signature.bytes)?;
        Ok(judged.gives(()))
    }

    /// An authentication code over `PAE(label, parts…)` under the module's active key.
    ///
    /// # Errors
    /// Those of [`Self::authorise`].
    pub fn module_mac(&self, using: &Use<'_>, label: &str, parts: &[&[u8]]) -> Result<Used<Tag>, Error> {
        let judged = self.judge(using, Operation::Mac, None)?;
        let material = self.judged_material(&judged)?;
        let bytes = hmac_tag(judged.key.algorithm, &material, &labelled(label, parts))?;
        let version = judged.key.version;
        Ok(judged.gives(Tag { version, bytes }))
    }

    /// Checks a code of [`Self::module_mac`], in constant time, with the version that it names.
    ///
    /// # Errors
    /// Those of [`Self::authorise`]; [`Error::BadTag`], also for a shortened code.
    pub fn module_verify_mac(
        &self,
        using: &Use<'_>,
        label: &str,
        parts: &[&[u8]],
        tag: &Tag,
    ) -> Result<Used<()>, Error> {
        let judged = self.judge(using, Operation::VerifyMac, Some(tag.version))?;
        let material = self.judged_material(&judged)?;
        hmac_check(judged.key.algorithm, &material, &labelled(label, parts), &tag.bytes)?;
        Ok(judged.gives(()))
    }
}

/// HMAC (RFC 2104).
pub(crate) fn hmac_tag(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(hmac::sign(&hmac_key(algorithm, key)?, message).as_ref().to_vec())
}

/// Whether the tag is that of the message; in constant time.
pub(crate) fn hmac_check(algorithm: Algorithm, key: &[u8], message: &[u8], tag: &[u8]) -> Result<(), Error> {
    hmac::verify(&hmac_key(algorithm, key)?, message, tag).map_err(|_| Error::BadTag)
}

fn hmac_key(algorithm: Algorithm, key: &[u8]) -> Result<hmac::Key, Error> {
    let hash = match algorithm {
        Algorithm::HmacSha256 => HMAC_SHA256,
        Algorithm::HmacSha384 => HMAC_SHA384,
        Algorithm::HmacSha512 => HMAC_SHA512,
        _ => return Err(Error::Malformed { what: "authentication algorithm" }),
    };
    Ok(hmac::Key::new(hash, key))
}

#[cfg(test)]
mod tests;

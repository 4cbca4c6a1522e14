//! Secrets that are given out once and kept as a digest: cookies, codes, tokens.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::SHA256;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::{Actions, Done};

/// The most characters of a secret that is looked up: longer ones are nobody's.
const MAX_LENGTH: usize = 128;

/// What is kept of a secret. SHA-256 is enough for 256 unpredictable bits.
pub(super) fn digest(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&SHA256, secret).as_ref());
    bytes
}

/// As [`digest`], for a secret that is text.
pub(super) fn digest_of(text: &str) -> [u8; 32] {
    digest(text.as_bytes())
}

/// As [`digest_of`], for text from outside.
pub(super) fn digest_of_given(text: &str) -> Option<[u8; 32]> {
    (text.len() <= MAX_LENGTH).then(|| digest_of(text))
}

/// Whether two values are the same. How long that takes tells their lengths and nothing else.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

impl Actions {
    /// 256 unpredictable bits as text behind a prefix, and what is kept of it.
    pub(super) fn secret(&self, prefix: &str) -> Done<(SecretString, [u8; 32])> {
        let bytes: [u8; 32] = self.world.bytes()?;
        let text = SecretString::from(format!("{prefix}{}", BASE64URL_NOPAD.encode(&bytes)));
        let digest = digest_of(text.expose_secret());
        Ok((text, digest))
    }
}

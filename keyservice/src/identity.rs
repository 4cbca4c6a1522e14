//! Public identity keys: their input rules, their names, and verification under them.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::error::Error;
use crate::pae::{hash, pae};

/// The `y` coordinates of the points of small order (order 1, 2, 4 and 8), little-endian, without the sign bit.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// An Ed25519 public key that keeps the input rules: 32 bytes, canonical, not of small order.
///
/// ring verifies forgeries under small-order keys, so every key of a stranger passes through [`PublicKey::parse`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes a key from outside.
    ///
    /// # Errors
    /// [`Error::WeakKey`] unless it is exactly 32 bytes with `y < p`, and not one of the small-order encodings with
    /// either sign bit (their non-canonical forms have `y >= p`).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let key: [u8; 32] = bytes.try_into().map_err(|_| Error::WeakKey)?;
        let mut y = key;
        y[31] &= 0x7f;
        if !is_below_p(&y) || SMALL_ORDER.contains(&y) {
            return Err(Error::WeakKey);
        }
        Ok(Self(key))
    }

    /// The encoded point (RFC 8032, 5.1.2).
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The full fingerprint: SHA-256 over `PAE("kx1 kid", "Ed25519", key)`. This is what a registration link pins.
    pub fn fingerprint(&self) -> [u8; 32] {
        hash(&[b"kx1 kid", b"Ed25519", &self.0])
    }

    /// The short name of the key: the first 20 bytes of its fingerprint.
    pub fn kid(&self) -> Kid {
        let mut kid = [0; 20];
        kid.copy_from_slice(&self.fingerprint()[..20]);
        Kid(kid)
    }

    /// The fingerprint for people: the 32 characters of the [`Kid`] in eight groups of four, with spaces between.
    pub fn fingerprint_groups(&self) -> String {
        let text = self.kid().to_string();
        let mut out = String::with_capacity(39);
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                out.push(' ');
            }
            out.push(character);
        }
        out
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

/// The name of an identity key. As text, 32 characters of base32 (RFC 4648, upper case, no padding).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kid(pub [u8; 20]);

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

impl FromStr for Kid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| Error::Malformed { what: "key id" })?;
        bytes.try_into().map(Self).map_err(|_| Error::Malformed { what: "key id" })
    }
}

/// Verifies a signature over `PAE(label, parts…)`.
///
/// # Errors
/// [`Error::BadSignature`].
pub fn verify(public_key: &PublicKey, label: &str, parts: &[&[u8]], signature: &[u8]) -> Result<(), Error> {
    verify_raw(public_key, &labelled(label, parts), signature)
}

/// Verifies a signature over a JWS signing input (RFC 7515, 5.1).
///
/// # Errors
/// [`Error::BadSignature`]; [`Error::Malformed`] when the input is not two base64url texts with a dot between, because
/// only then is it certain that the signature was not made for something else.
pub fn verify_jws(public_key: &PublicKey, signing_input: &[u8], signature: &[u8]) -> Result<(), Error> {
    require_signing_input(signing_input)?;
    verify_raw(public_key, signing_input, signature)
}

pub(crate) fn labelled(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::with_capacity(parts.len() + 1);
    all.push(label.as_bytes());
    all.extend_from_slice(parts);
    pae(&all)
}

/// A signing input never looks like a labelled encoding: that one has zero bytes near its start, this one has none.
pub(crate) fn require_signing_input(input: &[u8]) -> Result<(), Error> {
    let is_base64url =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let mut parts = input.split(|byte| *byte == b'.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), None)
            if !header.is_empty() && is_base64url(header) && is_base64url(payload) =>
        {
            Ok(())
        }
        _ => Err(Error::Malformed { what: "JWS signing input" }),
    }
}

pub(crate) fn verify_raw(public_key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), Error> {
    UnparsedPublicKey::new(&ED25519, public_key.as_bytes())
        .verify(message, signature)
        .map_err(|_| Error::BadSignature)
}

/// Whether a little-endian number is below `p = 2^255 - 19`.
fn is_below_p(y: &[u8; 32]) -> bool {
    let all_ones_above = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff);
    y[31] < 0x80 && !(all_ones_above && y[0] >= 0xed)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn weak_keys_are_refused_in_every_encoding() {
        for text in crate::testing::SMALL_ORDER_ED25519 {
            let mut key = HEXLOWER.decode(text.as_bytes()).unwrap();
            assert_eq!(PublicKey::parse(&key), Err(Error::WeakKey), "{text}");
            key[31] |= 0x80;
            assert_eq!(PublicKey::parse(&key), Err(Error::WeakKey), "{text} with sign");
        }
    }

    #[test]
    fn only_canonical_encodings_are_keys() {
        let mut key = [0xff; 32];
        for low in 0xed..=0xff {
            key[0] = low;
            for high in [0x7f, 0xff] {
                key[31] = high;
                assert_eq!(PublicKey::parse(&key), Err(Error::WeakKey));
            }
        }
        key[0] = 0xeb;
        assert!(PublicKey::parse(&key).is_ok());
        assert_eq!(PublicKey::parse(&key[..31]), Err(Error::WeakKey));
        assert_eq!(PublicKey::parse(&[3; 33]), Err(Error::WeakKey));
    }

    #[test]
    fn the_rule_is_needed_because_ring_has_none() {
        // R = the identity, S = 0 verifies every message under the identity point.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(verify_raw(&PublicKey(identity), b"anything", &signature), Ok(()));
    }

    #[test]
    fn a_key_has_the_known_names() {
        let key = PublicKey::parse(&[0x12; 32]).unwrap();
        assert_eq!(
            HEXLOWER.encode(&key.fingerprint()),
            "8f0b4d2ef32129af78408b134fd7512011329e1f412300b6d46e2560b441d9c0"
        );
        assert_eq!(key.kid().to_string(), "R4FU2LXTEEU266CARMJU7V2REAITFHQ7");
        assert_eq!(key.fingerprint_groups(), "R4FU 2LXT EEU2 66CA RMJU 7V2R EAIT FHQ7");
        assert_eq!(key.kid().to_string().parse(), Ok(key.kid()));
        assert!("short".parse::<Kid>().is_err());
    }
}

//! The algorithms that keys may have, and why the others are refused.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Signatures (RFC 8032).
    Ed25519,
    /// Signatures over P-256 with SHA-256, fixed-length form `r | s` (FIPS 186-5; RFC 7518, 3.4).
    EcdsaP256Sha256,
    /// Authenticated encryption, each ciphertext under a key derived from this one and a random salt.
    Aes256Gcm,
    /// Authentication codes (RFC 2104) of 32 bytes.
    HmacSha256,
    /// Authentication codes (RFC 2104) of 48 bytes.
    HmacSha384,
    /// Authentication codes (RFC 2104) of 64 bytes.
    HmacSha512,
    /// The epoch keys of suite `0x0001` of KX/1.
    Kx1Suite1,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::Aes256Gcm,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
        Self::Kx1Suite1,
    ];

    /// The name in records, which is also authenticated.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256Sha256 => "ECDSA-P256-SHA256",
            Self::Aes256Gcm => "A256GCM",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha384 => "HMAC-SHA384",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::Kx1Suite1 => "KX1-0001",
        }
    }

    /// Length of the secret of a new key, in bytes; none where it is not a plain string of bytes.
    pub fn secret_length(self) -> Option<usize> {
        match self {
            Self::Ed25519 | Self::Aes256Gcm | Self::HmacSha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 => Some(64),
            Self::EcdsaP256Sha256 | Self::Kx1Suite1 => None,
        }
    }

    /// The algorithm that somebody asks for by any of its usual names, in any case.
    ///
    /// # Errors
    /// [`Error::AlgorithmRefused`] with the reason, for whatever is weaker than what this service makes, and for what
    /// it does not know.
    pub fn ask(name: &str) -> Result<Self, Error> {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        let known = match plain.as_str() {
            "ED25519" | "EDDSA" => Self::Ed25519,
            "ECDSAP256SHA256" | "ECDSAP256" | "ES256" => Self::EcdsaP256Sha256,
            "A256GCM" | "AES256GCM" => Self::Aes256Gcm,
            "HMACSHA256" | "HS256" => Self::HmacSha256,
            "HMACSHA384" | "HS384" => Self::HmacSha384,
            "HMACSHA512" | "HS512" => Self::HmacSha512,
            _ => return Err(Error::AlgorithmRefused { asked: shown(name), why: refusal(&plain) }),
        };
        Ok(known)
    }
}

/// What may be repeated to whoever asked: short, and nothing that a terminal or a log would interpret.
fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect()
}

/// Why an algorithm is not offered; `plain` is its name in capitals and digits.
fn refusal(plain: &str) -> &'static str {
    const REASONS: [(&[&str], &str); 9] = [
        (&["NONE", "NULL", "PLAIN"], "it protects nothing"),
        (&["SHA1", "MD5", "MD4", "HS1"], "its hash is broken: collisions are made at will"),
        (&["SHA224", "SHA512224"], "its codes are shorter than 256 bits"),
        (
            &["RSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            "RSA leaks through timing and padding, and its keys are long: use Ed25519",
        ),
        (
            &["P192", "P224", "SECP192", "SECP224", "BRAINPOOL", "K256", "SECP256K1", "ES256K"],
            "its curve gives less than 128 bits of security, or is not verified here: use P-256",
        ),
        (&["AES128", "A128", "AES192", "A192"], "its key is shorter than 256 bits: use AES-256-GCM"),
        (&["DES", "RC4", "RC2", "BLOWFISH", "IDEA"], "it is broken, or its blocks are too short"),
        (&["ECB", "CBC", "CTR", "CFB", "OFB"], "it encrypts without authenticating: use AES-256-GCM"),
        (&["DSA"], "DSA needs a fresh secret for each signature and is withdrawn: use Ed25519"),
    ];
    REASONS
        .iter()
        .find(|(names, _)| names.iter().any(|name| plain.contains(name)))
        .map_or("it is not one that this service makes", |(_, why)| why)
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(Error::Malformed { what: "key algorithm" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_known_by_its_usual_names() {
        for (name, algorithm) in [
            ("Ed25519", Algorithm::Ed25519),
            ("aes-256-gcm", Algorithm::Aes256Gcm),
            ("ES256", Algorithm::EcdsaP256Sha256),
            ("HMAC-SHA-384", Algorithm::HmacSha384),
        ] {
            assert_eq!(Algorithm::ask(name), Ok(algorithm));
        }
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Kx1Suite1) {
            assert_eq!(Algorithm::ask(algorithm.as_str()), Ok(algorithm));
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn anything_weaker_is_refused_with_the_reason() {
        for (asked, reason) in [
            ("AES-128-GCM", "shorter than 256 bits"),
            ("A192GCM", "shorter than 256 bits"),
            ("AES-256-CBC", "without authenticating"),
            ("HMAC-SHA-1", "hash is broken"),
            ("HMAC-MD5", "hash is broken"),
            ("HMAC-SHA-224", "shorter than 256 bits"),
            ("RSA-4096", "RSA leaks"),
            ("RS256", "RSA leaks"),
            ("ECDSA-P224-SHA256", "curve"),
            ("ES256K", "curve"),
            ("3DES", "broken"),
            ("DSA", "withdrawn"),
            ("none", "protects nothing"),
            ("KX1-0001", "not one that this service makes"),
            ("", "not one that this service makes"),
        ] {
            match Algorithm::ask(asked) {
                Err(Error::AlgorithmRefused { asked: named, why }) => {
                    assert_eq!(named, asked);
                    assert!(why.contains(reason), "{asked}: {why}");
                }
                other => panic!("{asked}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_refused_name_is_repeated_without_what_a_terminal_would_interpret() {
        let Err(Error::AlgorithmRefused { asked, .. }) = Algorithm::ask(&"\u{1b}[2J\nx".repeat(99)) else {
            panic!("refused");
        };
        assert!(asked.len() <= 64 && asked.bytes().all(|byte| byte.is_ascii_graphic()), "{asked}");
    }
}

//! Pre-authentication encoding: the one way in which values enter a hash, a MAC, a signature or associated data.
//!
//! `PAE(p1..pn)` is `LE64(n)`, then `LE64(len)` and the bytes of each part, as in PASETO. No two different lists of
//! parts have the same encoding, which plain concatenation (and HKDF's `info`) does not give. By convention the first
//! part is a fixed ASCII label that says what the bytes are for.

use ring::digest::{SHA256, digest};

/// Encodes a list of parts so that it can be decoded in exactly one way.
pub fn pae(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + parts.iter().map(|part| 8 + part.len()).sum::<usize>());
    out.extend_from_slice(&(parts.len() as u64).to_le_bytes());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// SHA-256 over the encoding of the parts.
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &pae(parts)).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodes_the_published_vectors() {
        // The vectors of the PASETO specification, "PAE definition".
        assert_eq!(pae(&[]), [0; 8]);
        assert_eq!(pae(&[b""]), b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(pae(&[b"test"]), b"\x01\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00test");
    }

    proptest! {
        #[test]
        fn two_lists_with_one_encoding_are_the_same_list(
            a in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
            b in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            let encode = |list: &[Vec<u8>]| pae(&list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }
    }
}

//! The cryptography that `jsonwebtoken` works with here: EdDSA through the key service, and nothing else. Its own
//! backends bring a second crypto library, or an `rsa` crate with a standing advisory; and with one algorithm there
//! is none to be confused with.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use keyservice::{PublicKey, verify_jws};

/// Has no state, so that it is the same for every instance in a process. Signing is refused: no private key is
/// ever where this runs.
const PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes sure that `jsonwebtoken` uses it; asked again, it changes nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

struct EdDsa(PublicKey);

impl Verifier<Vec<u8>> for EdDsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        verify_jws(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::EdDSA {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = PublicKey::parse(key.try_get_as_bytes()?).map_err(|_| ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(EdDsa(key)))
}

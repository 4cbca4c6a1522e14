//! An identity document that holds, and says what a test wants it to say.

use linkspan::peer::wire::{Blob, Bytes, Identity, IdentityKey, SignedIdentity};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use uuid::Uuid;

/// What is said.
pub(crate) struct Claim<'a> {
    pub(crate) origin: &'a str,
    pub(crate) instance: Uuid,
    pub(crate) versions: Vec<u16>,
    pub(crate) signed_at: i64,
}

/// The document as an instance answers it.
pub(crate) fn identity(claim: &Claim<'_>) -> String {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public: [u8; 32] = key.public_key().as_ref().try_into().unwrap();
    let kid = keyservice::PublicKey::parse(&public).unwrap().kid().to_string();
    let identity = Identity {
        instance_id: claim.instance,
        origin: claim.origin.to_owned(),
        issuer: claim.origin.to_owned(),
        name: "Rogue".to_owned(),
        software: "0.0.0".to_owned(),
        keys: vec![IdentityKey {
            kid,
            alg: "EdDSA".to_owned(),
            pk: Bytes(public),
            state: "active".to_owned(),
        }],
        seq: 1,
        refresh_hint: 3_600,
        signed_at: claim.signed_at,
        versions: claim.versions.clone(),
        suites: vec![1],
    };
    let document = serde_json::to_vec(&identity).unwrap();
    let message = keyservice::pae::pae(&[b"kx1 identity document", &document]);
    let signature: [u8; 64] = key.sign(&message).as_ref().try_into().unwrap();
    serde_json::to_string(&SignedIdentity { document: Blob(document), signature: Bytes(signature) }).unwrap()
}

//! Operations per second of the key service in process, next to bare ring in the same run.
//!
//! `cargo bench -p keyservice`. The service does more than ring: each use checks the seals of module and key, decides by
//! the access policies, and unwraps the material; each ciphertext has a key of its own.

mod measure;

use std::hint::black_box;
use std::sync::Arc;

use keyservice::policy::{Context, Effect, Matcher};
use keyservice::{
    AccessPolicy, Algorithm, KeyService, ModuleChange, ModuleSpec, PortablePurpose, Principal, Right, Rights,
    RootKey, SealedKey, SealedModule, Service, Specification, SystemEntropy, Use,
};
use measure::{Column, Operation};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The time of the run, in milliseconds since the Unix epoch.
const NOW: i64 = 1_790_000_000_000;
const PLAINTEXT: [u8; 256] = [7; 256];
const MESSAGE: &[u8] = b"a message to be signed";
const CALLER: Principal = Principal::Service(Service::Peer);

fn main() {
    let service =
        KeyService::initialise(&RootKey::from_bytes([1; 32]), [2; 16], Arc::new(SystemEntropy), NOW)
            .expect("a hierarchy")
            .0;
    let sealing = Room::new(&service, "sealing", PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let signing = Room::new(&service, "signing", PortablePurpose::Signing, Algorithm::Ed25519);
    let columns =
        [Column { name: "bare ring", operations: ring() }, in_process(&service, &sealing, &signing)];
    measure::print(&columns);
}

/// A published module with a key and a policy.
struct Room {
    module: SealedModule,
    keys: Vec<SealedKey>,
    context: Context,
}

impl Room {
    fn new(service: &KeyService, name: &str, purpose: PortablePurpose, algorithm: Algorithm) -> Self {
        let policy = AccessPolicy {
            id: [3; 16],
            effect: Effect::Track,
            matcher: Matcher::Service(Service::Peer),
            rights: Rights::of(&[Right::Seal, Right::Open, Right::Sign, Right::Verify]),
            condition: None,
            note: String::new(),
        };
        let specification = Specification::STRICT;
        let spec = ModuleSpec { id: [4; 16], name: name.to_owned(), purpose, algorithm, specification };
        let mut module = service.create_module(&spec, NOW).expect("a draft");
        for change in [ModuleChange::Govern(vec![policy]), ModuleChange::Publish] {
            module = service.change_module(&module, change, NOW).expect("a module");
        }
        let keys = vec![service.rotate(&module, &[], [5; 16], NOW).expect("a key").made];
        Self { module, keys, context: Context::nothing() }
    }

    fn using(&self) -> Use<'_> {
        Use {
            principal: &CALLER,
            module: &self.module,
            versions: &self.keys,
            context: &self.context,
            reason: None,
            agreed: None,
            now: NOW,
        }
    }
}

fn in_process<'a>(service: &'a KeyService, sealing: &'a Room, signing: &'a Room) -> Column<'a> {
    let sealed = service.module_seal(&sealing.using(), &[b"row"], &PLAINTEXT).expect("sealed").value;
    let signature = service.module_sign(&signing.using(), "bench", &[MESSAGE]).expect("signed").value;
    let operations: Vec<Operation<'a>> = vec![
        (
            "seal",
            Box::new(move || {
                black_box(service.module_seal(&sealing.using(), &[b"row"], &PLAINTEXT)).expect("seal");
            }),
        ),
        (
            "open",
            Box::new(move || {
                black_box(service.module_open(&sealing.using(), &[b"row"], &sealed)).expect("open");
            }),
        ),
        (
            "sign",
            Box::new(move || {
                black_box(service.module_sign(&signing.using(), "bench", &[MESSAGE])).expect("sign");
            }),
        ),
        (
            "verify",
            Box::new(move || {
                let parts = &[MESSAGE];
                black_box(service.module_verify(&signing.using(), "bench", parts, &signature))
                    .expect("verify");
            }),
        ),
        (
            "key creation",
            Box::new(move || {
                black_box(service.next_version(&signing.module, &[], [6; 16], NOW)).expect("key");
            }),
        ),
    ];
    Column { name: "in process", operations }
}

fn ring<'a>() -> Vec<Operation<'a>> {
    let random = SystemRandom::new();
    let aead = || LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[8; 32]).expect("32 bytes"));
    let fresh = |random: &SystemRandom| {
        let mut nonce = [0; 12];
        random.fill(&mut nonce).expect("entropy");
        nonce
    };
    let (sealer, opener, pair) =
        (aead(), aead(), Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("32 bytes"));
    let mut sealed = PLAINTEXT.to_vec();
    sealer
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([1; 12]), Aad::from(b"row"), &mut sealed)
        .expect("sealed");
    let (public, signature) = (pair.public_key().as_ref().to_vec(), pair.sign(MESSAGE));
    let (seal_random, key_random) = (random.clone(), random);
    vec![
        (
            "seal",
            Box::new(move || {
                let mut buffer = PLAINTEXT.to_vec();
                let nonce = Nonce::assume_unique_for_key(fresh(&seal_random));
                sealer.seal_in_place_append_tag(nonce, Aad::from(b"row"), &mut buffer).expect("seal");
                black_box(buffer);
            }),
        ),
        (
            "open",
            Box::new(move || {
                let mut buffer = sealed.clone();
                let nonce = Nonce::assume_unique_for_key([1; 12]);
                black_box(opener.open_in_place(nonce, Aad::from(b"row"), &mut buffer)).expect("open");
            }),
        ),
        (
            "sign",
            Box::new(move || {
                black_box(pair.sign(MESSAGE));
            }),
        ),
        (
            "verify",
            Box::new(move || {
                let key = UnparsedPublicKey::new(&ED25519, &public);
                black_box(key.verify(MESSAGE, signature.as_ref())).expect("verify");
            }),
        ),
        (
            "key creation",
            Box::new(move || {
                black_box(Ed25519KeyPair::generate_pkcs8(&key_random)).expect("key");
            }),
        ),
    ]
}

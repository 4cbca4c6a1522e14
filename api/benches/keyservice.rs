//! Operations per second of the key service, in process and through the socket to its own process, next to bare ring in
//! the same run.
//!
//! `cargo bench -p linkspan --bench keyservice`. The service does more than ring: each use checks the seals of module and
//! key, decides by the access policies, and unwraps the material; each ciphertext has a key of its own. Through the
//! socket come two frames, two system calls on either side and the other process's turn: what the isolation costs.

mod measure;

use std::ffi::OsString;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use keyservice::policy::{Context, Effect, Matcher};
use keyservice::{
    AccessPolicy, Algorithm, Entropy, KeyService, ModuleChange, ModuleSpec, PortablePurpose, Principal,
    Right, Rights, RootKey, RootSource, SealedKey, SealedModule, Service, Specification, SystemEntropy, Use,
};
use linkspan::vault::{Launcher, Opening, Vault, VaultConfig};
use measure::{Column, Operation, here, there};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The time of the run, in milliseconds since the Unix epoch.
const NOW: i64 = 1_790_000_000_000;
const INSTANCE: [u8; 16] = [2; 16];
const PLAINTEXT: [u8; 256] = [7; 256];
const MESSAGE: &[u8] = b"a message to be signed";
const CALLER: Principal = Principal::Service(Service::Peer);

fn main() {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let file = std::env::temp_dir().join(format!("linkspan-bench-{}.key", std::process::id()));
    let root = RootKey::create(&file, entropy.as_ref()).expect("a root key");
    let (service, hierarchy) =
        KeyService::initialise(&root, INSTANCE, entropy.clone(), NOW).expect("a hierarchy");
    let rooms = Arc::new(Rooms {
        sealing: Room::new(&service, "sealing", PortablePurpose::Sealing, Algorithm::Aes256Gcm),
        signing: Room::new(&service, "signing", PortablePurpose::Signing, Algorithm::Ed25519),
    });
    let made = Made::new(&service, &rooms);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // The same hierarchy, so the same rows, in the process that `linkspan serve` starts.
    let opening = Opening {
        instance: INSTANCE,
        root: RootSource::File(file.clone()),
        hierarchy: Some(hierarchy),
        make_next: false,
        now: NOW,
    };
    let launcher = Launcher {
        program: PathBuf::from(env!("CARGO_BIN_EXE_linkspan")),
        arguments: vec![OsString::from("keyservice")],
        environment: Vec::new(),
    };
    let opened = runtime.block_on(Vault::open(&VaultConfig::default(), &launcher, entropy, opening));
    let _ = std::fs::remove_file(&file);
    let (vault, _) = opened.expect("the key service's process");
    let columns = vec![
        Column { name: "bare ring", operations: ring() },
        Column { name: "in process", operations: in_process(&Arc::new(service), &rooms, &made) },
        Column { name: "socket", operations: through_the_socket(&vault, &rooms, &made) },
    ];
    measure::print(&runtime, columns);
}

struct Rooms {
    sealing: Room,
    signing: Room,
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

/// What is opened and verified.
struct Made {
    sealed: Arc<Vec<u8>>,
    signature: Arc<keyservice::Signature>,
}

impl Made {
    fn new(service: &KeyService, rooms: &Rooms) -> Self {
        let sealed = service.module_seal(&rooms.sealing.using(), &[b"row"], &PLAINTEXT).expect("sealed");
        let signed = service.module_sign(&rooms.signing.using(), "bench", &[MESSAGE]).expect("signed");
        Self { sealed: Arc::new(sealed.value), signature: Arc::new(signed.value) }
    }
}

/// The operation's row in both columns of the service: on the service itself, or through the socket.
macro_rules! rows {
    ($how:ident, $service:expr, $rooms:expr, $made:expr, ($($wait:tt)*)) => {{
        let (service, rooms) = ($service, $rooms);
        let (sealed, signature) = (&$made.sealed, &$made.signature);
        vec![
            ("seal", $how!([service, rooms], {
                service.module_seal(&rooms.sealing.using(), &[b"row"], &PLAINTEXT)$($wait)*
            })),
            ("open", $how!([service, rooms, sealed], {
                service.module_open(&rooms.sealing.using(), &[b"row"], &sealed)$($wait)*
            })),
            ("sign", $how!([service, rooms], {
                service.module_sign(&rooms.signing.using(), "bench", &[MESSAGE])$($wait)*
            })),
            ("verify", $how!([service, rooms, signature], {
                service.module_verify(&rooms.signing.using(), "bench", &[MESSAGE], &signature)$($wait)*
            })),
            ("key creation", $how!([service, rooms], {
                service.next_version(&rooms.signing.module, &[], [6; 16], NOW)$($wait)*
            })),
        ]
    }};
}

macro_rules! on_this_thread {
    ([$($name:ident),*], $call:block) => {{
        $(let $name = $name.clone();)*
        here(move || {
            black_box($call.expect("done"));
        })
    }};
}

macro_rules! in_a_task {
    ([$($name:ident),*], $call:block) => {{
        $(let $name = $name.clone();)*
        there(move || {
            $(let $name = $name.clone();)*
            async move {
                black_box($call.expect("done"));
            }
        })
    }};
}

fn in_process(service: &Arc<KeyService>, rooms: &Arc<Rooms>, made: &Made) -> Vec<Operation> {
    rows!(on_this_thread, service, rooms, made, ())
}

fn through_the_socket(vault: &Vault, rooms: &Arc<Rooms>, made: &Made) -> Vec<Operation> {
    rows!(in_a_task, vault, rooms, made, (.await))
}

fn ring() -> Vec<Operation> {
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
            here(move || {
                let mut buffer = PLAINTEXT.to_vec();
                let nonce = Nonce::assume_unique_for_key(fresh(&seal_random));
                sealer.seal_in_place_append_tag(nonce, Aad::from(b"row"), &mut buffer).expect("seal");
                black_box(buffer);
            }),
        ),
        (
            "open",
            here(move || {
                let mut buffer = sealed.clone();
                let nonce = Nonce::assume_unique_for_key([1; 12]);
                black_box(opener.open_in_place(nonce, Aad::from(b"row"), &mut buffer)).expect("open");
            }),
        ),
        (
            "sign",
            here(move || {
                black_box(pair.sign(MESSAGE));
            }),
        ),
        (
            "verify",
            here(move || {
                let key = UnparsedPublicKey::new(&ED25519, &public);
                black_box(key.verify(MESSAGE, signature.as_ref())).expect("verify");
            }),
        ),
        (
            "key creation",
            here(move || {
                black_box(Ed25519KeyPair::generate_pkcs8(&key_random)).expect("key");
            }),
        ),
    ]
}

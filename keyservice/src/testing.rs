//! Two instances in a room, with seeded chance: what the unit tests begin with.

use std::sync::{Arc, Mutex};

use crate::algorithm::Algorithm;
use crate::approval::{Agreed, Approval, Subject};
use crate::error::Error;
use crate::exchange::{Floor, LinkSpec, M1, M2, M3, M4, RegistrationContext, SealedPending, link_id};
use crate::key::{KeySpec, PortablePurpose, Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb};
use crate::module::{ModuleChange, ModuleSpec, SealedModule, Specification};
use crate::pae::hash;
use crate::ports::{Entropy, Millis};
use crate::root::RootKey;
use crate::service::KeyService;

/// The time in all tests: 2026-09-21T13:33:20Z.
pub(crate) const NOW: Millis = 1_790_000_000_000;

/// The same bytes in each run, never the same twice in one, and others for each seed.
pub(crate) struct Seeded {
    seed: u8,
    count: Mutex<u64>,
}

impl Seeded {
    pub(crate) fn new(seed: u8) -> Self {
        Self { seed, count: Mutex::new(0) }
    }
}

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        for chunk in out.chunks_mut(32) {
            let mut count = self.count.lock().unwrap();
            *count += 1;
            chunk.copy_from_slice(&hash(&[b"seeded", &[self.seed], &count.to_le_bytes()])[..chunk.len()]);
        }
        Ok(())
    }
}

/// An instance whose root key and id are this byte repeated.
pub(crate) fn service(byte: u8) -> KeyService {
    service_as(byte, byte)
}

fn service_as(byte: u8, instance: u8) -> KeyService {
    let root = RootKey::from_bytes([byte; 32]);
    KeyService::initialise(&root, [instance; 16], Arc::new(Seeded::new(byte)), NOW).unwrap().0
}

/// The encodings of points of low order (and their non-canonical twins) that Curve25519 implementations must survive.
pub(crate) const LOW_ORDER_X25519: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Every encoding of a point of small order of Ed25519, canonical or not; the sign bit is to be set as well.
pub(crate) const SMALL_ORDER_ED25519: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// A key in each state, in the order of [`KeyState::ALL`], each with the same material: what became of one that was not
/// yet in use, by the verbs.
pub(crate) fn in_each_state(service: &KeyService, new: &SealedKey) -> [SealedKey; KeyState::ALL.len()] {
    use LifecycleVerb::{Activate, Compromise, Deactivate, Destroy, Revoke, Suspend};
    let paths: [&[LifecycleVerb]; KeyState::ALL.len()] = [
        &[],
        &[Activate],
        &[Activate, Suspend],
        &[Activate, Deactivate],
        &[Activate, Revoke],
        &[Activate, Compromise],
        &[Activate, Deactivate, Destroy],
    ];
    let by = |key: SealedKey, verb: &LifecycleVerb| service.transition(&key, *verb, NOW).unwrap();
    let keys = paths.map(|path| path.iter().fold(new.clone(), by));
    assert!(keys.iter().map(|key| key.state).eq(KeyState::ALL));
    keys
}

/// An active key.
pub(crate) fn key(service: &KeyService, purpose: Purpose) -> SealedKey {
    made(service, purpose, true)
}

/// One that is not yet in use.
pub(crate) fn new_key(service: &KeyService, purpose: Purpose) -> SealedKey {
    made(service, purpose, false)
}

fn made(service: &KeyService, purpose: Purpose, activate: bool) -> SealedKey {
    let spec = KeySpec {
        id: [9; 16],
        module: format!("tests/{purpose}"),
        purpose,
        algorithm: purpose.algorithm(),
        version: 1,
        expires_at: None,
        activate,
        exportable: false,
    };
    service.generate(&spec, NOW).unwrap()
}

/// Proof that a second person agreed.
pub(crate) fn agreed(subject: Subject) -> Agreed {
    let asked = Approval::ask([60; 16], subject.clone(), "It is needed.", [61; 16], NOW).unwrap();
    let usable_from = asked.usable_from();
    asked.approve([62; 16], NOW).unwrap().spend(&subject, [61; 16], usable_from).unwrap().1
}

/// A published module of a manager's making.
pub(crate) fn module(
    service: &KeyService,
    purpose: PortablePurpose,
    algorithm: Algorithm,
    specification: Specification,
) -> SealedModule {
    let spec = ModuleSpec { id: [30; 16], name: "room".to_owned(), purpose, algorithm, specification };
    let draft = service.create_module(&spec, NOW).unwrap();
    service.change_module(&draft, ModuleChange::Publish, NOW).unwrap()
}

/// An instance with its identity.
pub(crate) struct Side {
    pub(crate) service: KeyService,
    pub(crate) identity: SealedKey,
}

impl Side {
    pub(crate) fn new(byte: u8) -> Self {
        Self::posing_as(byte, byte)
    }

    /// One with keys of its own and the id of another.
    pub(crate) fn posing_as(byte: u8, instance: u8) -> Self {
        let service = service_as(byte, instance);
        let identity = key(&service, Purpose::IdentitySigning);
        Self { service, identity }
    }
}

/// Two instances with a registration between them.
pub(crate) struct Pair {
    pub(crate) provider: Side,
    pub(crate) consumer: Side,
    pub(crate) context: RegistrationContext,
}

/// A whole exchange.
pub(crate) struct Run {
    pub(crate) m3: M3,
    pub(crate) m4: M4,
    pub(crate) provider_pending: SealedPending,
    pub(crate) consumer_pending: SealedPending,
    pub(crate) provider_key: SealedKey,
    /// Still pre-active.
    pub(crate) consumer_key: SealedKey,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (provider, consumer) = (Side::new(1), Side::new(2));
        let context = RegistrationContext {
            registration: "reg-1".to_owned(),
            provider_origin: "https://p.example".to_owned(),
            provider_instance: [1; 16],
            provider_key: provider.identity.public_key().unwrap(),
            consumer_origin: "https://c.example".to_owned(),
            consumer_instance: [2; 16],
            consumer_key: consumer.identity.public_key().unwrap(),
            company: [3; 16],
            contact: [4; 16],
            link_digest: [5; 32],
            claim: [6; 16],
            auth_event: [7; 16],
            token_digest: [8; 32],
        };
        Self { provider, consumer, context }
    }

    pub(crate) fn link(&self, epoch: u64) -> LinkSpec {
        LinkSpec { key_id: [10; 16], link: link_id(&self.context), epoch }
    }

    pub(crate) fn respond(&self, m1: &M1) -> Result<(M2, SealedPending), Error> {
        self.provider.service.respond(&self.provider.identity, &self.context, m1, Floor::default(), NOW)
    }

    pub(crate) fn confirm(&self, pending: &SealedPending, m3: &M3) -> Result<(M4, SealedKey), Error> {
        self.provider.service.confirm(pending, m3, 1, self.link(1), NOW)
    }

    pub(crate) fn run(&self, attempt: u64) -> Run {
        let consumer = &self.consumer;
        let (id, m1) = consumer.service.initiate(&consumer.identity, &self.context, attempt, NOW).unwrap();
        let (m2, provider_pending) = self.respond(&m1).unwrap();
        let (m3, consumer_key, consumer_pending) =
            consumer.service.conclude(id, &consumer.identity, &m2, self.link(1), NOW).unwrap();
        let (m4, provider_key) = self.confirm(&provider_pending, &m3).unwrap();
        Run { m3, m4, provider_pending, consumer_pending, provider_key, consumer_key }
    }

    /// The active link keys of provider and consumer.
    pub(crate) fn linked(&self) -> (SealedKey, SealedKey) {
        let run = self.run(1);
        let consumer_key =
            self.consumer.service.finish(&run.consumer_pending, &run.consumer_key, &run.m4, NOW).unwrap();
        (run.provider_key, consumer_key)
    }
}

/// Every value that differs from `bytes` in one bit.
pub(crate) fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

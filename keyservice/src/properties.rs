//! What holds for every input, each with a hundred thousand of them.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::health::{Component, ComponentKind, HealthStatus, roll_up};
use crate::key::{PortablePurpose, Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation, Permission};
use crate::module::{ModuleChange, SealedModule, Specification};
use crate::policy::{AccessPolicy, Context, Effect, Matcher};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::service::KeyService;
use crate::testing::{NOW, agreed, in_each_state, module, service};
use crate::transfer::{Arrival, import_subject, wrap};
use crate::usage::Use;
use crate::versions::{KeyChange, Rotation, destruction_subject};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() }
}

const LETTERS: Principal = Principal::Service(Service::Letters);

/// A module with keys to take from: for each state a key that came to it by the verbs, and eight rotated versions.
struct World {
    service: KeyService,
    module: SealedModule,
    by_state: [SealedKey; KeyState::ALL.len()],
    rotated: Vec<SealedKey>,
    /// The same versions, each while it was active.
    in_use: Vec<SealedKey>,
}

/// Made once: the cases only read it.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let service = service(1);
    let mut module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, Specification::STRICT);
    let policy = AccessPolicy {
        id: [1; 16],
        effect: Effect::Track,
        matcher: Matcher::AnyService,
        rights: Rights::of(&[Right::Seal, Right::Open]),
        condition: None,
        note: String::new(),
    };
    module = service.change_module(&module, ModuleChange::Govern(vec![policy]), NOW).unwrap();

    let new = service.next_version(&module, &[], [1; 16], NOW).unwrap();
    let by_state = in_each_state(&service, &new);

    let (mut rotated, mut in_use) = (Vec::<SealedKey>::new(), Vec::new());
    for id in 20..28 {
        let rotation = service.rotate(&module, &rotated, [id; 16], NOW).unwrap();
        if let Some(retired) = rotation.retired {
            *rotated.last_mut().unwrap() = retired;
        }
        in_use.push(rotation.made.clone());
        rotated.push(rotation.made);
    }
    World { service, module, by_state, rotated, in_use }
});

fn flip_bit(bytes: &mut [u8; 16], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn using<'a>(versions: &'a [SealedKey], context: &'a Context) -> Use<'a> {
    let module = &WORLD.module;
    Use { principal: &LETTERS, module, versions, context, reason: None, agreed: None, now: NOW }
}

/// How many kinds of steps there are in the life of a module's key.
const STEPS: usize = 14;

/// The versions of a module's key, and beside them what the table of states says they are.
#[derive(Default)]
struct Life {
    versions: Vec<SealedKey>,
    model: Vec<KeyState>,
}

impl Life {
    /// One step, on this version where it is on one: the service does and refuses as the model does.
    fn take(&mut self, step: usize, version: u64) -> Result<(), TestCaseError> {
        let World { service, module, .. } = &*WORLD;
        let id = [40 + u8::try_from(self.versions.len()).unwrap(); 16];
        let reason = || "Because.".to_owned();
        let change = match step {
            0 | 1 => {
                let rotated = service.rotate(module, &self.versions, id, NOW).unwrap();
                return self.takes_over(rotated);
            }
            2 | 3 => {
                let made = service.next_version(module, &self.versions, id, NOW).unwrap();
                return self.comes(made);
            }
            4 => {
                let offer = service.offer_import(module, NOW).unwrap();
                let package = wrap(&offer.public, &offer.aad, &[&id[..], &[1; 16]].concat()).unwrap();
                let arrival = Arrival { offer: offer.id, package, id };
                let agreed = agreed(import_subject(module));
                let made = service.import(module, &self.versions, &arrival, &agreed, NOW).unwrap();
                return self.comes(made);
            }
            5 => return self.activates(service.activate(module, &self.versions, version, NOW), version),
            6 => return self.destroys(version),
            7 => KeyChange::Activate,
            8 => KeyChange::Suspend { reason: reason() },
            9 => KeyChange::Resume,
            10 => KeyChange::Deactivate,
            11 => KeyChange::Revoke { reason: reason() },
            12 => KeyChange::Renew { expires_at: Some(NOW + 1) },
            _ => KeyChange::Compromise { reason: reason() },
        };
        let done = service.change_key(module, &self.versions, version, &change, NOW);
        let Some(state) = self.state(version) else {
            prop_assert_eq!(done, Err(Error::UnknownKeyVersion { version }));
            return Ok(());
        };
        let another = self
            .model
            .iter()
            .zip(1..)
            .find(|(state, other)| **state == KeyState::Active && *other != version);
        let expected = match (state.after(change.verb()), another) {
            (Ok(KeyState::Active), Some((_, version))) => Err(Error::AnotherIsActive { version }),
            (next, _) => next,
        };
        prop_assert_eq!(done.as_ref().map(|key| key.state), expected.as_ref().copied());
        self.becomes(version, done)
    }

    fn state(&self, version: u64) -> Option<KeyState> {
        self.model.get(usize::try_from(version - 1).unwrap()).copied()
    }

    /// A version that is not yet in use, with the next number.
    fn comes(&mut self, made: SealedKey) -> Result<(), TestCaseError> {
        prop_assert_eq!((made.version, made.state), (self.model.len() as u64 + 1, KeyState::PreActive));
        self.model.push(made.state);
        self.versions.push(made);
        self.holds()
    }

    /// The active one goes out of use, for one that is active.
    fn takes_over(&mut self, Rotation { made, retired }: Rotation) -> Result<(), TestCaseError> {
        prop_assert_eq!(made.state, KeyState::Active);
        let active = self.model.iter().zip(1..).find(|(state, _)| **state == KeyState::Active);
        prop_assert_eq!(retired.as_ref().map(|key| key.version), active.map(|(_, version)| version));
        if let Some(retired) = retired {
            let version = retired.version;
            prop_assert_eq!(retired.state, KeyState::Deactivated);
            self.becomes(version, Ok(retired))?;
        }
        if made.version > self.model.len() as u64 {
            prop_assert_eq!(made.version, self.model.len() as u64 + 1);
            self.model.push(made.state);
            self.versions.push(made);
            return self.holds();
        }
        let version = made.version;
        self.becomes(version, Ok(made))
    }

    fn activates(&mut self, done: Result<Rotation, Error>, version: u64) -> Result<(), TestCaseError> {
        match self.state(version) {
            Some(KeyState::PreActive) => self.takes_over(done.unwrap()),
            Some(state) => {
                let refused = matches!(done, Err(Error::WrongState { state: named, .. }) if named == state);
                prop_assert!(refused, "{:?}", done);
                Ok(())
            }
            None => {
                prop_assert_eq!(done, Err(Error::UnknownKeyVersion { version }));
                Ok(())
            }
        }
    }

    fn destroys(&mut self, version: u64) -> Result<(), TestCaseError> {
        let World { service, module, .. } = &*WORLD;
        let Some(state) = self.state(version) else { return Ok(()) };
        let key = &self.versions[usize::try_from(version - 1).unwrap()];
        let done = service.destroy(module, key, &agreed(destruction_subject(module, key)), NOW);
        let expected = state.after(LifecycleVerb::Destroy);
        prop_assert_eq!(done.as_ref().map(|key| key.state), expected.as_ref().copied());
        self.becomes(version, done)
    }

    /// What was done to a version is on record, if anything was.
    fn becomes(&mut self, version: u64, done: Result<SealedKey, Error>) -> Result<(), TestCaseError> {
        let Ok(changed) = done else { return Ok(()) };
        let at = usize::try_from(version - 1).unwrap();
        prop_assert_ne!(self.model[at], KeyState::Destroyed);
        prop_assert_eq!(changed.state_seq, self.versions[at].state_seq + 1);
        prop_assert_eq!(changed.wrapped.is_empty(), changed.state == KeyState::Destroyed);
        self.model[at] = changed.state;
        self.versions[at] = changed;
        self.holds()
    }

    fn holds(&self) -> Result<(), TestCaseError> {
        let active = self.versions.iter().filter(|key| key.state == KeyState::Active).count();
        prop_assert!(active <= 1, "{} are active", active);
        prop_assert!(self.versions.iter().map(|key| key.state).eq(self.model.iter().copied()));
        prop_assert!(self.versions.iter().map(|key| key.version).eq(1..=self.versions.len() as u64));
        Ok(())
    }
}

fn component(critical: bool, status: u8) -> Component {
    Component {
        component: ComponentKind::Clock,
        module: None,
        critical,
        status: [
            HealthStatus::Operational,
            HealthStatus::Degraded,
            HealthStatus::Malfunction,
            HealthStatus::Disabled,
        ][usize::from(status % 4)],
        code: "OK",
        message: String::new(),
        remedy: None,
        measured_at: NOW,
        took_micros: 0,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_life_leads_back_from_the_end_of_it(verbs in proptest::collection::vec(0..9usize, 0..24)) {
        let (mut state, mut retired, mut spoilt) = (KeyState::PreActive, false, false);
        for verb in verbs {
            let Ok(next) = state.after(LifecycleVerb::ALL[verb]) else { continue };
            prop_assert_ne!(state, KeyState::Destroyed);
            prop_assert_ne!(next, KeyState::PreActive);
            state = next;
            retired |= matches!(state, KeyState::Deactivated | KeyState::Revoked | KeyState::Destroyed);
            spoilt |= state == KeyState::Compromised;
            prop_assert!(!((retired || spoilt) && state.permits(Operation::Seal) != Permission::Never));
            prop_assert!(!(spoilt && state.permits(Operation::Open) == Permission::Allowed));
        }
    }

    #[test]
    fn nothing_leads_out_of_destroyed_and_one_key_at_most_is_active_whatever_is_done_in_whatever_order(
        steps in proptest::collection::vec((0..STEPS, 1..4u64), 1..5),
    ) {
        let mut life = Life::default();
        for (step, version) in steps {
            life.take(step, version)?;
        }
    }

    #[test]
    fn nothing_is_done_in_a_state_that_forbids_it(state in 0..7usize, opens in any::<bool>(), byte in any::<u8>()) {
        let world = &*WORLD;
        let key = std::slice::from_ref(&world.by_state[state]);
        let context = Context::nothing();
        let operation = if opens { Operation::Open } else { Operation::Seal };
        let allowed = key[0].state.permits(operation);
        let done = if opens {
            // A ciphertext that could not be opened: that it was tried shows in the error.
            let mut ciphertext = vec![byte; 64];
            ciphertext[..9].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0]);
            world.service.module_open(&using(key, &context), &[], &ciphertext).map(|_| ())
        } else {
            world.service.module_seal(&using(key, &context), &[], &[byte]).map(|_| ())
        };
        match allowed {
            Permission::Allowed | Permission::Audited if opens => {
                prop_assert_eq!(done, Err(Error::Tampered { what: "ciphertext" }));
            }
            Permission::Allowed | Permission::Audited => prop_assert_eq!(done, Ok(())),
            Permission::WithReason => {
                prop_assert_eq!(done, Err(Error::ReasonRequired { state: key[0].state }));
            }
            Permission::Never => {
                prop_assert_eq!(done, Err(Error::WrongState { state: key[0].state, operation }));
            }
        }
    }

    #[test]
    fn what_was_sealed_opens_after_every_rotation(
        version in 0..8usize,
        plaintext in proptest::collection::vec(any::<u8>(), 0..24),
        aad in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let world = &*WORLD;
        let context = Context::nothing();
        let then = std::slice::from_ref(&world.in_use[version]);
        let sealed = world.service.module_seal(&using(then, &context), &[&aad], &plaintext).unwrap().value;
        let opened = world.service.module_open(&using(&world.rotated, &context), &[&aad], &sealed).unwrap();
        prop_assert_eq!(opened.value, plaintext);
        prop_assert_eq!(opened.record.version, version as u64 + 1);
    }

    #[test]
    fn a_wrap_opens_for_no_changed_bit_of_it_or_of_what_it_is_bound_to(
        bit in 0..(5 + 32 + 32 + 16) * 8usize,
        field in 0..7usize,
        flip in 0..128usize,
    ) {
        let world = &*WORLD;
        let key = &world.in_use[0];
        let mut changed = key.clone();
        changed.wrapped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(world.service.material_unchecked(&changed).is_err());

        let other = |all: usize, own: usize| (own + 1 + flip % (all - 1)) % all;
        let mut changed = key.clone();
        let mut elsewhere = None;
        match field {
            0 => flip_bit(&mut changed.id, flip),
            1 => {
                let mut module = changed.module.into_bytes();
                // The highest bit of a byte would leave no text.
                let at = flip % (module.len() * 7);
                module[at / 7] ^= 1 << (at % 7);
                changed.module = String::from_utf8(module).unwrap();
            }
            2 => {
                let own = Purpose::ALL.iter().position(|purpose| *purpose == key.purpose).unwrap();
                changed.purpose = Purpose::ALL[other(Purpose::ALL.len(), own)];
            }
            3 => {
                let all: Vec<Algorithm> = Purpose::ALL.iter().flat_map(|purpose| purpose.algorithms()).copied()
                    .filter(|algorithm| *algorithm != key.algorithm).collect();
                changed.algorithm = all[flip % all.len()];
            }
            4 if flip < 64 => changed.version ^= 1 << flip,
            4 => changed.created_at ^= 1 << (flip % 64),
            5 => changed.exportable = !changed.exportable,
            _ => {
                let mut instance = *world.service.instance();
                flip_bit(&mut instance, flip);
                elsewhere = Some(instance);
            }
        }
        let tampered = Err(Error::Tampered { what: "key" });
        if let Some(instance) = elsewhere {
            let context = changed.wrap_context(&instance);
            let opened = world.service.current().keyring.unwrap("ks1 wrap", &context, &changed.wrapped, "key");
            prop_assert_eq!(opened.map(|_| ()), tampered);
            return Ok(());
        }
        prop_assert_eq!(world.service.material_unchecked(&changed).map(|_| ()), tampered.clone());
        prop_assert_eq!(world.service.check_row(&changed), tampered);
    }

    #[test]
    fn the_roll_up_knows_no_order_and_a_disabled_part_changes_nothing(
        parts in proptest::collection::vec((any::<u8>(), any::<bool>(), 0..4u8), 0..8),
        at in 0..9usize,
        critical in any::<bool>(),
    ) {
        let of = |parts: &[(u8, bool, u8)]| {
            parts.iter().map(|(_, critical, status)| component(*critical, *status)).collect::<Vec<_>>()
        };
        let whole = roll_up(&of(&parts));
        let mut shuffled = parts.clone();
        shuffled.sort_unstable();
        prop_assert_eq!(roll_up(&of(&shuffled)), whole);
        shuffled.reverse();
        prop_assert_eq!(roll_up(&of(&shuffled)), whole);
        let mut with_disabled = of(&parts);
        with_disabled.insert(at % (parts.len() + 1), component(critical, 3));
        prop_assert_eq!(roll_up(&with_disabled), whole);
    }
}

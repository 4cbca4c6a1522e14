//! What holds for every input, each with a hundred thousand of them.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::health::{Component, ComponentKind, HealthStatus, roll_up};
use crate::key::{PortablePurpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation, Permission};
use crate::module::{ModuleChange, SealedModule, Specification};
use crate::policy::{AccessPolicy, Context, Effect, Matcher};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::service::KeyService;
use crate::testing::{NOW, in_each_state, module, service};
use crate::usage::Use;
use crate::versions::KeyChange;

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

fn using<'a>(versions: &'a [SealedKey], context: &'a Context) -> Use<'a> {
    let module = &WORLD.module;
    Use { principal: &LETTERS, module, versions, context, reason: None, agreed: None, now: NOW }
}

fn change(verb: LifecycleVerb) -> Option<KeyChange> {
    let reason = || "Because.".to_owned();
    Some(match verb {
        LifecycleVerb::Activate => KeyChange::Activate,
        LifecycleVerb::Suspend => KeyChange::Suspend { reason: reason() },
        LifecycleVerb::Resume => KeyChange::Resume,
        LifecycleVerb::Renew => KeyChange::Renew { expires_at: None },
        LifecycleVerb::Deactivate => KeyChange::Deactivate,
        LifecycleVerb::Revoke => KeyChange::Revoke { reason: reason() },
        LifecycleVerb::Compromise => KeyChange::Compromise { reason: reason() },
        LifecycleVerb::Rotate | LifecycleVerb::Destroy => return None,
    })
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
    fn nothing_leads_out_of_destroyed_and_one_key_at_most_is_active(
        chosen in proptest::collection::vec(0..7usize, 1..4),
        target in 0..3usize,
        verb in 0..9usize,
    ) {
        // Versions of one module: their ids differ, their numbers are those of their places.
        let world = &*WORLD;
        let mut versions: Vec<SealedKey> = Vec::new();
        for state in chosen {
            let key = &world.by_state[state];
            let second = key.state == KeyState::Active
                && versions.iter().any(|other| other.state == KeyState::Active);
            if !second && !versions.iter().any(|other| other.id == key.id) {
                versions.push(key.clone());
            }
        }
        let target = target % versions.len();
        let before = versions[target].clone();
        let Some(change) = change(LifecycleVerb::ALL[verb]) else { return Ok(()) };
        // All were made as version 1; the one in question is the only one that has to be found.
        versions.swap(0, target);
        let changed = world.service.change_key(&world.module, &versions, before.version, &change, NOW);
        if before.state == KeyState::Destroyed {
            let refused = matches!(changed, Err(Error::WrongState { state: KeyState::Destroyed, .. }));
            prop_assert!(refused);
        }
        if let Ok(changed) = changed {
            prop_assert_eq!(Ok(changed.state), before.state.after(change.verb()));
            prop_assert_eq!(changed.state_seq, before.state_seq + 1);
            versions[0] = changed;
        }
        let active = versions.iter().filter(|key| key.state == KeyState::Active).count();
        prop_assert!(active <= 1, "{} are active", active);
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
        field in 0..8usize,
        flip in 0..64u32,
    ) {
        let world = &*WORLD;
        let key = &world.in_use[0];
        let mut changed = key.clone();
        changed.wrapped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(world.service.material_unchecked(&changed).is_err());

        let mut changed = key.clone();
        match field {
            0 => changed.id[flip as usize % 16] ^= 1 << (flip % 8),
            1 => changed.module.push('x'),
            2 => changed.purpose = crate::key::Purpose::DataEncryption,
            3 => changed.algorithm = Algorithm::HmacSha256,
            4 => changed.version ^= 1 << flip,
            5 => changed.created_at ^= 1 << flip,
            6 => changed.exportable = true,
            _ => changed.module.clear(),
        }
        let tampered = Err(Error::Tampered { what: "key" });
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

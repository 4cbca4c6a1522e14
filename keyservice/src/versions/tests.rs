use std::slice::from_ref;

use super::*;
use crate::algorithm::Algorithm;
use crate::key::PortablePurpose;
use crate::module::{BuiltIn, ModuleChange, SHORTEST_PERIOD, Specification};
use crate::testing::{NOW, agreed, module, service};

const HOUR: Millis = SHORTEST_PERIOD;

fn room(service: &KeyService) -> SealedModule {
    let specification = Specification {
        rotation_period: Some(2 * HOUR),
        key_lifetime: Some(5 * HOUR),
        ..Specification::STRICT
    };
    module(service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, specification)
}

fn because(reason: &str) -> String {
    reason.to_owned()
}

#[test]
fn a_rotation_makes_the_next_version_and_retires_the_active_one() {
    let service = service(1);
    let module = room(&service);
    let first = service.rotate(&module, &[], [1; 16], NOW).unwrap();
    assert_eq!((first.made.version, first.made.state, first.retired), (1, KeyState::Active, None));
    assert_eq!(first.made.expires_at, Some(NOW + 5 * HOUR));

    let second = service.rotate(&module, from_ref(&first.made), [2; 16], NOW + HOUR).unwrap();
    assert_eq!((second.made.version, second.made.state), (2, KeyState::Active));
    let retired = second.retired.unwrap();
    assert_eq!((retired.version, retired.state), (1, KeyState::Deactivated));
    assert_eq!((retired.rotated_at, retired.state_seq), (Some(NOW + HOUR), 1));

    let two = [first.made, second.made];
    let refused = service.rotate(&module, &two, [3; 16], NOW);
    assert_eq!(refused, Err(Error::AnotherIsActive { version: 2 }));
}

#[test]
fn a_second_key_does_not_become_active_by_activation_or_resumption() {
    let service = service(1);
    let module = room(&service);
    let first = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let suspend = KeyChange::Suspend { reason: because("An audit.") };
    let first = service.change_key(&module, &[first], 1, &suspend, NOW).unwrap();
    assert_eq!(first.reason.as_deref(), Some("An audit."));
    let second = service.next_version(&module, from_ref(&first), [2; 16], NOW).unwrap();
    let both = [first.clone(), second];
    let second = service.change_key(&module, &both, 2, &KeyChange::Activate, NOW).unwrap();

    let both = [first.clone(), second];
    let refused = service.change_key(&module, &both, 1, &KeyChange::Resume, NOW);
    assert_eq!(refused, Err(Error::AnotherIsActive { version: 2 }));
    let resumed = service.change_key(&module, &[first], 1, &KeyChange::Resume, NOW).unwrap();
    assert_eq!((resumed.state, resumed.reason), (KeyState::Active, None));
}

#[test]
fn what_is_withdrawn_says_why() {
    let service = service(1);
    let module = room(&service);
    let key = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    for reason in ["", " ", "a\u{7}b", &"x".repeat(501)] {
        for change in [
            KeyChange::Suspend { reason: because(reason) },
            KeyChange::Revoke { reason: because(reason) },
            KeyChange::Compromise { reason: because(reason) },
        ] {
            let refused = service.change_key(&module, from_ref(&key), 1, &change, NOW);
            assert_eq!(refused, Err(Error::Malformed { what: "reason" }), "{reason:?}");
        }
    }
    let revoke = KeyChange::Revoke { reason: because("Its owner left.") };
    let revoked = service.change_key(&module, &[key], 1, &revoke, NOW).unwrap();
    assert_eq!(revoked.reason.as_deref(), Some("Its owner left."));
    let mut hidden = revoked.clone();
    hidden.reason = None;
    assert!(service.check_row(&hidden).is_err(), "the reason is under the row seal");
    let compromise = KeyChange::Compromise { reason: because("Found in a log.") };
    let compromised = service.change_key(&module, &[revoked], 1, &compromise, NOW).unwrap();
    assert_eq!(compromised.reason.as_deref(), Some("Found in a log."));
}

#[test]
fn a_renewed_key_works_again_and_is_counted() {
    let service = service(1);
    let module = room(&service);
    let key = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let late = NOW + 6 * HOUR;
    let past = KeyChange::Renew { expires_at: Some(late) };
    let refused = service.change_key(&module, from_ref(&key), 1, &past, late);
    assert_eq!(refused, Err(Error::Malformed { what: "expiry" }));
    let renew = KeyChange::Renew { expires_at: Some(late + HOUR) };
    let renewed = service.change_key(&module, &[key], 1, &renew, late).unwrap();
    assert_eq!((renewed.state, renewed.state_seq), (KeyState::Active, 1));
    assert_eq!(renewed.expires_at, Some(late + HOUR));
    assert!(service.check_row(&renewed).is_ok());
}

#[test]
fn nothing_is_destroyed_without_a_second_person_who_agreed_to_this_key() {
    let service = service(1);
    let module = room(&service);
    let key = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let proof = agreed(destruction_subject(&module, &key));
    let in_use = service.destroy(&module, &key, &proof, NOW);
    assert!(matches!(in_use, Err(Error::WrongState { .. })));

    let retired = service.change_key(&module, &[key], 1, &KeyChange::Deactivate, NOW).unwrap();
    let mut other = retired.clone();
    other.id = [2; 16];
    let elsewhere = agreed(destruction_subject(&module, &other));
    let refused = service.destroy(&module, &retired, &elsewhere, NOW);
    assert_eq!(refused, Err(Error::ApprovalMismatch { right: Right::Destroy }));

    let destroyed = service.destroy(&module, &retired, &proof, NOW).unwrap();
    assert_eq!(destroyed.state, KeyState::Destroyed);
    assert!(destroyed.wrapped.is_empty());
}

#[test]
fn a_draft_the_links_and_foreign_versions_get_no_keys() {
    let service = service(1);
    let links = service.built_in_module(BuiltIn::Links, [5; 16], vec![], NOW).unwrap();
    let refused = service.rotate(&links, &[], [1; 16], NOW);
    assert_eq!(refused, Err(Error::Malformed { what: "key specification" }));

    let data = service.built_in_module(BuiltIn::Data, [6; 16], vec![], NOW).unwrap();
    let foreign = service.rotate(&room(&service), &[], [1; 16], NOW).unwrap().made;
    let refused = service.rotate(&data, &[foreign], [2; 16], NOW);
    assert_eq!(refused, Err(Error::OtherModule { module: because("data") }));
}

#[test]
fn rotations_are_due_by_the_period_of_the_module() {
    let service = service(1);
    let module = room(&service);
    let key = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let due = |keys: &[SealedKey], module: &SealedModule, now| due_rotations(from_ref(module), keys, now);
    let keys = [key];
    assert_eq!(due(&keys, &module, NOW + 2 * HOUR - 1), []);
    let expected = DueRotation { module: module.id, key: Some([1; 16]), due_at: NOW + 2 * HOUR };
    assert_eq!(due(&keys, &module, NOW + 2 * HOUR), [expected]);

    let first = DueRotation { module: module.id, key: None, due_at: NOW };
    assert_eq!(due(&[], &module, NOW), [first], "a scheduled module without a key gets one");
    let suspend = KeyChange::Suspend { reason: because("An audit.") };
    let suspended = service.change_key(&module, &keys, 1, &suspend, NOW).unwrap();
    assert_eq!(due(&[suspended], &module, NOW + 9 * HOUR), [], "what people stopped stays stopped");

    let module = service.change_module(&module, ModuleChange::Schedule(None), NOW).unwrap();
    assert_eq!(due(&keys, &module, NOW + 9 * HOUR), []);
}

#[test]
fn a_version_that_was_made_before_takes_over_and_the_one_before_still_opens() {
    let service = service(1);
    let module = room(&service);
    let first = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let ready = service.next_version(&module, from_ref(&first), [2; 16], NOW + 1).unwrap();
    assert_eq!(ready.state, KeyState::PreActive);
    let versions = [first, ready];
    let Rotation { made, retired } = service.activate(&module, &versions, 2, NOW + 2).unwrap();
    assert_eq!((made.state, made.activated_at), (KeyState::Active, Some(NOW + 2)));
    assert_eq!(retired.as_ref().map(|key| key.state), Some(KeyState::Deactivated));
    let twice = service.activate(&module, &[made, retired.unwrap()], 2, NOW + 3);
    assert!(matches!(twice, Err(Error::WrongState { .. })), "{twice:?}");
    let none = service.activate(&module, &versions, 3, NOW);
    assert_eq!(none, Err(Error::UnknownKeyVersion { version: 3 }));
}

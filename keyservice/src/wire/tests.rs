//! Values that cross are the values that were sent; anything else is refused.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::calls::{name, request};
use crate::key::{KeySpec, Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation};
use crate::policy::{Considered, Decision, Effect, Ground, Outcome};
use crate::service::{KeyService, MacPurpose};
use crate::testing::{self, service};

fn read<T: Wire>(bytes: &[u8]) -> Result<T, Error> {
    from_bytes(bytes, "test", &Words::default())
}

fn crosses<T: Wire + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = to_bytes(value);
    assert_eq!(read::<T>(&bytes).as_ref(), Ok(value));
    for len in 0..bytes.len() {
        assert!(read::<T>(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(read::<T>(&longer).err(), Some(Error::Malformed { what: "test" }), "a byte too many");
}

#[test]
fn what_crosses_is_what_was_sent_and_nothing_else_is_read() {
    let service = service(1);
    crosses(&testing::key(&service, Purpose::IdentitySigning));
    crosses(&service.health(&[testing::key(&service, Purpose::DataEncryption)], 1));
    let decision = Decision {
        id: [7; 16],
        allowed: false,
        ground: Ground::Policy(Effect::StrictReject, [8; 16]),
        trace: vec![Considered {
            policy: [8; 16],
            effect: Effect::StrictReject,
            outcome: Outcome::Applies,
            note: "not this one".to_owned(),
        }],
    };
    for error in [
        Error::Entropy,
        Error::Tampered { what: "key" },
        Error::WrongState { state: KeyState::Suspended, operation: Operation::Change(LifecycleVerb::Renew) },
        Error::RootKeyExposed { path: "/root.key".to_owned(), mode: 0o644 },
        Error::PolicyDenied { module: "data".to_owned(), decision: Box::new(decision) },
    ] {
        crosses(&Err::<(), Error>(error));
    }
}

#[test]
fn a_length_that_is_not_there_sets_no_room_aside() {
    let lie = u64::MAX.to_le_bytes();
    assert_eq!(read::<Vec<u8>>(&lie), Err(Error::Malformed { what: "test" }));
    assert_eq!(read::<String>(&lie), Err(Error::Malformed { what: "test" }));
}

#[test]
fn a_text_of_the_program_is_kept_once_and_only_so_many_are() {
    let words = Words::default();
    assert!(std::ptr::eq(words.keep("OK"), words.keep("OK")));
    for number in 0..2 * MAX_WORDS {
        words.keep(&number.to_string());
    }
    assert_eq!(words.keep("one too many"), "something");
    assert_eq!(words.keep("OK"), "OK");
    assert_eq!(Words::default().keep(&"x".repeat(MAX_WORD + 1)), "something");
}

fn ask<T: Wire>(service: &KeyService, request: &[u8]) -> Result<T, Error> {
    read::<Result<T, Error>>(&service.answer(request)).unwrap()
}

#[test]
fn a_call_as_bytes_is_the_call() {
    let service = service(1);
    let key = testing::key(&service, Purpose::DataEncryption);
    let aad: &[&[u8]] = &[b"letter", b""];
    let sealed: Vec<u8> = ask(&service, &request::seal(&key, aad, b"secret", 5)).unwrap();
    assert_eq!(service.open_sealed(&key, aad, &sealed, 5).unwrap(), b"secret");
    assert_eq!(ask::<Vec<u8>>(&service, &request::open_sealed(&key, aad, &sealed, 5)).unwrap(), b"secret");
    let refused = ask::<Vec<u8>>(&service, &request::open_sealed(&key, &[b"other"], &sealed, 5));
    assert_eq!(refused.err(), service.open_sealed(&key, &[b"other"], &sealed, 5).err());
    let mac = ask::<[u8; 32]>(&service, &request::mac(MacPurpose::Csrf, &[b"form"]));
    assert_eq!(mac, service.mac(MacPurpose::Csrf, &[b"form"]));
    assert_eq!(name(&request::mac(MacPurpose::Csrf, &[])), "mac");
    let spec = KeySpec {
        id: [3; 16],
        module: "tokens".to_owned(),
        purpose: Purpose::TokenSigning,
        algorithm: Purpose::TokenSigning.algorithm(),
        version: 1,
        expires_at: None,
        activate: true,
        exportable: false,
    };
    let made: SealedKey = ask(&service, &request::generate(&spec, 5)).unwrap();
    assert_eq!(service.check_row(&made), Ok(()));
}

/// Made once: the cases only ask it.
static SERVICE: LazyLock<KeyService> = LazyLock::new(|| service(1));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn whatever_comes_as_a_request_is_answered(call in 0..64u8, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let request = [&[call][..], &rest].concat();
        prop_assert!(!SERVICE.answer(&request).is_empty());
    }

    #[test]
    fn a_changed_request_is_refused_or_answered_and_nothing_else(at in any::<usize>(), byte in any::<u8>()) {
        let key = testing::key(&SERVICE, Purpose::DataEncryption);
        let mut request = request::seal(&key, &[b"letter"], b"secret", 5).to_vec();
        let at = at % request.len();
        request[at] = byte;
        prop_assert!(!SERVICE.answer(&request).is_empty());
    }
}

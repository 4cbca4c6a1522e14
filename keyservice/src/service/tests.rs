use proptest::prelude::*;

use super::*;
use crate::identity::{PublicKey, verify, verify_jws};
use crate::ports::SystemEntropy;
use crate::testing::{NOW, Seeded, flips, key, service};

#[test]
fn a_hierarchy_opens_with_its_root_key_and_its_instance_only() {
    let root = RootKey::from_bytes([1; 32]);
    let (service, sealed) = KeyService::initialise(&root, [2; 16], Arc::new(Seeded::new(1)), NOW).unwrap();
    let open = |root: &RootKey, instance| KeyService::open(root, instance, &sealed, Arc::new(SystemEntropy));

    let data = key(&service, Purpose::DataEncryption);
    let ciphertext = service.seal(&data, &[b"row 1"], b"secret", NOW).unwrap();
    let again = open(&root, [2; 16]).unwrap();
    assert_eq!(again.open_sealed(&data, &[b"row 1"], &ciphertext, NOW).unwrap(), b"secret");
    assert_eq!(again.mac(MacPurpose::Lookup, &[b"x"]), service.mac(MacPurpose::Lookup, &[b"x"]));

    assert_eq!(open(&RootKey::from_bytes([3; 32]), [2; 16]).unwrap_err(), Error::RootKeyMismatch);
    assert_eq!(open(&root, [3; 16]).unwrap_err(), Error::RootKeyMismatch);
}

#[test]
fn nothing_starts_where_a_primitive_gives_another_answer_than_the_known_one() {
    let wrong: Answers = || Err(Error::KnownAnswer { primitive: "SHA-256" });
    let (root, entropy) = (RootKey::from_bytes([1; 32]), Arc::new(SystemEntropy));
    let refused = Some(Error::KnownAnswer { primitive: "SHA-256" });
    let made = KeyService::initialise_by(wrong, &root, [2; 16], entropy.clone(), NOW);
    assert_eq!(made.err(), refused);
    let (_, sealed) = KeyService::initialise(&root, [2; 16], entropy.clone(), NOW).unwrap();
    assert_eq!(KeyService::open_by(wrong, &root, [2; 16], &sealed, entropy).err(), refused);
}

#[test]
fn every_flipped_bit_of_a_hierarchy_is_refused() {
    let root = RootKey::from_bytes([1; 32]);
    let (_, sealed) = KeyService::initialise(&root, [2; 16], Arc::new(Seeded::new(1)), NOW).unwrap();
    let cut = (0..sealed.bytes.len()).map(|len| sealed.bytes[..len].to_vec());
    for bytes in flips(&sealed.bytes).chain(cut) {
        assert!(Keyring::open(&root, [2; 16], &SealedHierarchy { bytes }).is_err());
    }
    assert!(KeyService::open(&root, [2; 16], &sealed, Arc::new(SystemEntropy)).is_ok());
}

#[test]
fn the_keys_of_one_instance_are_useless_in_another() {
    let data = key(&service(1), Purpose::DataEncryption);
    assert_eq!(service(2).seal(&data, &[], b"", NOW).unwrap_err(), Error::Tampered { what: "key" });
}

/// A row with one field changed, for each field that a writer of the database could change.
fn changed_rows(key: &SealedKey) -> Vec<SealedKey> {
    let changes: [fn(&mut SealedKey); 16] = [
        |key| key.id[0] ^= 1,
        |key| key.module.push('x'),
        |key| key.purpose = Purpose::LinkTraffic,
        |key| key.algorithm = Algorithm::Kx1Suite1,
        |key| key.version += 1,
        |key| key.state = KeyState::Suspended,
        |key| key.state_seq += 1,
        |key| key.created_at += 1,
        |key| key.activated_at = None,
        |key| key.rotated_at = Some(NOW),
        |key| key.deactivated_at = Some(NOW),
        |key| key.expires_at = Some(NOW * 2),
        |key| key.destroyed_at = Some(NOW),
        |key| key.exportable = true,
        |key| key.reason = Some(String::new()),
        |key| key.public = Some(Vec::new()),
    ];
    let mut rows: Vec<SealedKey> = changes
        .into_iter()
        .map(|change| {
            let mut row = key.clone();
            change(&mut row);
            row
        })
        .collect();
    rows.extend(flips(&key.wrapped).map(|wrapped| SealedKey { wrapped, ..key.clone() }));
    rows.extend(
        flips(&key.row_seal).map(|seal| SealedKey { row_seal: seal.try_into().unwrap(), ..key.clone() }),
    );
    rows
}

#[test]
fn a_changed_row_is_good_for_nothing() {
    let service = service(1);
    let data = key(&service, Purpose::DataEncryption);
    let ciphertext = service.seal(&data, &[], b"secret", NOW).unwrap();
    for row in changed_rows(&data) {
        let tampered = Err(Error::Tampered { what: "key" });
        assert_eq!(service.seal(&row, &[], b"", NOW), tampered);
        assert_eq!(service.open_sealed(&row, &[], &ciphertext, NOW), tampered);
        assert_eq!(
            service.transition(&row, LifecycleVerb::Suspend, NOW).unwrap_err(),
            Error::Tampered { what: "key" }
        );
    }
}

#[test]
fn a_wrap_is_bound_to_its_key_even_if_the_row_seal_were_forged() {
    let service = service(1);
    let data = key(&service, Purpose::DataEncryption);
    for wrapped in flips(&data.wrapped) {
        let row = SealedKey { wrapped, ..data.clone() };
        assert!(service.material_unchecked(&row).is_err());
    }
    let mut moved = data.clone();
    moved.module = "elsewhere".to_owned();
    assert_eq!(service.material_unchecked(&moved).unwrap_err(), Error::Tampered { what: "key" });
}

#[test]
fn every_flipped_bit_of_a_ciphertext_is_refused() {
    let service = service(1);
    let data = key(&service, Purpose::DataEncryption);
    let ciphertext = service.seal(&data, &[b"smtp", b"password"], b"secret", NOW).unwrap();
    let open = |aad: &[&[u8]], bytes: &[u8]| service.open_sealed(&data, aad, bytes, NOW);
    assert_eq!(open(&[b"smtp", b"password"], &ciphertext).unwrap(), b"secret");
    for bytes in flips(&ciphertext) {
        assert!(open(&[b"smtp", b"password"], &bytes).is_err());
    }
    for len in 0..ciphertext.len() {
        assert!(open(&[b"smtp", b"password"], &ciphertext[..len]).is_err());
    }
    assert_eq!(open(&[b"smtppassword"], &ciphertext), Err(Error::Tampered { what: "ciphertext" }));
}

#[test]
fn a_ciphertext_names_the_key_version_it_needs() {
    let service = service(1);
    let first = key(&service, Purpose::DataEncryption);
    let spec = KeySpec {
        id: [8; 16],
        module: first.module.clone(),
        purpose: first.purpose,
        algorithm: first.algorithm,
        version: 2,
        expires_at: None,
        activate: true,
        exportable: false,
    };
    let second = service.generate(&spec, NOW).unwrap();
    let rotated = service.transition(&first, LifecycleVerb::Rotate, NOW).unwrap();
    let ciphertext = service.seal(&first, &[], b"old", NOW).unwrap();
    assert_eq!(KeyService::sealed_version(&ciphertext), Ok(1));
    assert_eq!(
        service.open_sealed(&second, &[], &ciphertext, NOW),
        Err(Error::OtherKeyVersion { version: 1 })
    );
    assert_eq!(service.open_sealed(&rotated, &[], &ciphertext, NOW).unwrap(), b"old");
    assert!(matches!(service.seal(&rotated, &[], b"new", NOW), Err(Error::WrongState { .. })));
}

#[test]
fn a_signature_is_for_one_key_one_label_and_one_list_of_parts() {
    let service = service(1);
    let identity = key(&service, Purpose::IdentitySigning);
    let public = identity.public_key().unwrap();
    let signature = service.sign(&identity, "kx1 claim", &[b"a", b"b"], NOW).unwrap();
    assert_eq!(verify(&public, "kx1 claim", &[b"a", b"b"], &signature), Ok(()));
    for (label, parts) in [
        ("kx1 prove", vec![&b"a"[..], b"b"]),
        ("kx1 claim", vec![&b"ab"[..]]),
        ("kx1 claim", vec![&b"a"[..], b"b", b""]),
    ] {
        assert_eq!(verify(&public, label, &parts, &signature), Err(Error::BadSignature));
    }
    let other = key(&crate::testing::service(2), Purpose::IdentitySigning).public_key().unwrap();
    assert_eq!(verify(&other, "kx1 claim", &[b"a", b"b"], &signature), Err(Error::BadSignature));
}

#[test]
fn the_labels_of_the_exchange_are_not_for_others() {
    let service = service(1);
    let identity = key(&service, Purpose::IdentitySigning);
    for label in ["kx1 sig P", "kx1 sig C"] {
        assert_eq!(service.sign(&identity, label, &[&[0; 32]], NOW), Err(Error::ReservedLabel));
    }
}

#[test]
fn a_token_signature_cannot_stand_for_anything_else() {
    let service = service(1);
    let identity = key(&service, Purpose::IdentitySigning);
    let public = identity.public_key().unwrap();
    let signature = service.sign_jws(&identity, b"eyJh.eyJp", NOW).unwrap();
    assert_eq!(verify_jws(&public, b"eyJh.eyJp", &signature), Ok(()));
    assert_eq!(verify_jws(&public, b"eyJh.eyJq", &signature), Err(Error::BadSignature));
    let encoded = labelled("kx1 claim", &[b"a"]);
    for input in [&encoded[..], b"", b"abc", b".abc", b"a.b.c", b"a.b=", b"a b.c"] {
        assert_eq!(
            service.sign_jws(&identity, input, NOW),
            Err(Error::Malformed { what: "JWS signing input" })
        );
    }
}

#[test]
fn a_key_is_used_for_its_purpose_only() {
    let service = service(1);
    for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::LinkTraffic) {
        let key = key(&service, purpose);
        let allowed = [
            service.sign(&key, "x", &[], NOW).is_ok(),
            service.sign_jws(&key, b"a.b", NOW).is_ok(),
            service.seal(&key, &[], b"", NOW).is_ok(),
        ];
        let expected = match purpose {
            Purpose::IdentitySigning => [true, true, false],
            Purpose::AuditSigning => [true, false, false],
            Purpose::TokenSigning => [false, true, false],
            Purpose::DataEncryption => [false, false, true],
            // The keys of a manager's modules are used through their modules only.
            Purpose::LinkTraffic | Purpose::Sealing | Purpose::Signing | Purpose::Authentication => {
                [false, false, false]
            }
        };
        assert_eq!(allowed, expected, "{purpose}");
    }
}

#[test]
fn a_key_that_makes_no_sense_is_not_made() {
    let service = service(1);
    let right = KeySpec {
        id: [1; 16],
        module: "identity".to_owned(),
        purpose: Purpose::IdentitySigning,
        algorithm: Algorithm::Ed25519,
        version: 1,
        expires_at: None,
        activate: false,
        exportable: false,
    };
    assert_eq!(service.generate(&right, NOW).unwrap().state, KeyState::PreActive);
    for wrong in [
        KeySpec { algorithm: Algorithm::Aes256Gcm, ..right.clone() },
        KeySpec { exportable: true, ..right.clone() },
        KeySpec { version: 0, ..right.clone() },
        KeySpec { module: String::new(), ..right.clone() },
        KeySpec { module: "a b".to_owned(), ..right.clone() },
        KeySpec { purpose: Purpose::LinkTraffic, algorithm: Algorithm::Kx1Suite1, ..right.clone() },
    ] {
        assert_eq!(service.generate(&wrong, NOW), Err(Error::Malformed { what: "key specification" }));
    }
}

#[test]
fn an_expired_key_reads_but_makes_nothing() {
    let service = service(1);
    let spec = KeySpec {
        id: [1; 16],
        module: "settings".to_owned(),
        purpose: Purpose::DataEncryption,
        algorithm: Algorithm::Aes256Gcm,
        version: 1,
        expires_at: Some(NOW + 10),
        activate: true,
        exportable: false,
    };
    let data = service.generate(&spec, NOW).unwrap();
    let ciphertext = service.seal(&data, &[], b"x", NOW + 9).unwrap();
    assert_eq!(service.seal(&data, &[], b"x", NOW + 10), Err(Error::KeyExpired { at: NOW + 10 }));
    assert!(service.open_sealed(&data, &[], &ciphertext, NOW + 10).is_ok());
}

#[test]
fn authenticators_differ_by_purpose_and_by_instance() {
    let purposes = [
        MacPurpose::Lookup,
        MacPurpose::PasswordPepper,
        MacPurpose::OpaqueId,
        MacPurpose::Csrf,
        MacPurpose::AuditField,
        MacPurpose::KeyApproval,
    ];
    let (one, two) = (service(1), service(2));
    let mut all: Vec<_> =
        [&one, &two].iter().flat_map(|service| purposes.map(|p| service.mac(p, &[b"x"]).unwrap())).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * purposes.len());
}

#[test]
fn the_service_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<KeyService>();
}

#[test]
fn nothing_secret_is_printed() {
    let service = service(1);
    assert_eq!(format!("{service:?}"), "KeyService { .. }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_from_outside_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let service = service(1);
        let data = key(&service, Purpose::DataEncryption);
        prop_assert!(service.open_sealed(&data, &[], &bytes, NOW).is_err());
        let hierarchy = SealedHierarchy { bytes: bytes.clone() };
        let root = RootKey::from_bytes([1; 32]);
        prop_assert!(KeyService::open(&root, [1; 16], &hierarchy, Arc::new(SystemEntropy)).is_err());
        let mut known = vec![SEAL_FORMAT, 1, 0, 0, 0, 0, 0, 0, 0];
        known.extend_from_slice(&bytes);
        prop_assert!(service.open_sealed(&data, &[], &known, NOW).is_err());
        let _ = PublicKey::parse(&bytes);
        let _ = RootKey::parse(&bytes);
    }

    #[test]
    fn a_life_is_dated_counted_and_final(verbs in proptest::collection::vec(0..LifecycleVerb::ALL.len(), 0..12)) {
        let service = service(1);
        let spec = KeySpec {
            id: [1; 16],
            module: "settings".to_owned(),
            purpose: Purpose::DataEncryption,
            algorithm: Algorithm::Aes256Gcm,
            version: 1,
            expires_at: None,
            activate: false,
            exportable: false,
        };
        let mut key = service.generate(&spec, NOW).unwrap();
        for (step, verb) in verbs.into_iter().enumerate() {
            let now = NOW + 1 + i64::try_from(step).unwrap();
            let verb = LifecycleVerb::ALL[verb];
            let Ok(next) = service.transition(&key, verb, now) else {
                prop_assert!(key.state.after(verb).is_err());
                continue;
            };
            prop_assert_eq!(next.state_seq, key.state_seq + 1);
            prop_assert_eq!(next.activated_at.is_some(), next.state != KeyState::Destroyed || key.activated_at.is_some());
            prop_assert_eq!(next.wrapped.is_empty(), next.state == KeyState::Destroyed);
            prop_assert_eq!(next.destroyed_at.is_some(), next.state == KeyState::Destroyed);
            prop_assert_eq!(service.seal(&next, &[], b"", now).is_ok(), next.state == KeyState::Active);
            prop_assert!(service.check_row(&next).is_ok());
            key = next;
        }
    }
}

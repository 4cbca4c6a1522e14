use super::*;
use crate::key::Purpose;
use crate::module::{BuiltIn, Specification};
use crate::signing::generate;
use crate::testing::{LOW_ORDER_X25519, NOW, Seeded, agreed, module, service};

const EXPORTABLE: Specification = Specification { exportable: true, ..Specification::STRICT };

fn secret(algorithm: Algorithm) -> Vec<u8> {
    match algorithm.secret_length() {
        Some(length) => (0..length).map(|index| u8::try_from(index).unwrap()).collect(),
        None => generate(algorithm, &Seeded::new(7)).unwrap().secret.to_vec(),
    }
}

fn import(service: &KeyService, module: &SealedModule, secret: &[u8]) -> Result<SealedKey, Error> {
    let offer = service.offer_import(module, NOW)?;
    let package = wrap(&offer.public, &offer.aad, secret)?;
    let arrival = Arrival { offer: offer.id, package, id: [40; 16] };
    service.import(module, &[], &arrival, &agreed(import_subject(module)), NOW)
}

#[test]
fn a_key_comes_in_and_leaves_as_the_same_key() {
    for (purpose, algorithm) in [
        (PortablePurpose::Sealing, Algorithm::Aes256Gcm),
        (PortablePurpose::Signing, Algorithm::Ed25519),
        (PortablePurpose::Signing, Algorithm::EcdsaP256Sha256),
        (PortablePurpose::Authentication, Algorithm::HmacSha256),
        (PortablePurpose::Authentication, Algorithm::HmacSha512),
    ] {
        let service = service(1);
        let module = module(&service, purpose, algorithm, EXPORTABLE);
        let secret = secret(algorithm);
        let key = import(&service, &module, &secret).unwrap();
        assert_eq!((key.state, key.version), (crate::lifecycle::KeyState::PreActive, 1));
        let change = crate::versions::KeyChange::Activate;
        let key = service.change_key(&module, &[key], 1, &change, NOW).unwrap();

        let recipient = Recipient::generate().unwrap();
        let to = Destination::of(recipient.public());
        let proof = agreed(export_subject(&module.name, &key.id, &to));
        let package = service.export(&module, &key, &to, &proof, NOW).unwrap();
        assert!(package.bytes.len() <= MAX_PACKAGE);
        assert_eq!(package.aad, service.export_context(&module, &key));
        let opened = recipient.open(&package.aad, &package.bytes).unwrap();
        assert_eq!(*opened, secret, "{algorithm}");
    }
}

#[test]
fn a_key_that_may_not_leave_is_not_portable_and_does_not_open_as_one_that_may_whatever_its_row_says() {
    let service = service(1);
    let module = module(&service, PortablePurpose::Signing, Algorithm::Ed25519, EXPORTABLE);
    let key = crate::testing::key(&service, Purpose::IdentitySigning);
    assert!(matches!(Portable::of(&module, &key), Err(Error::NotExportable { .. })));
    let renamed = SealedKey { purpose: Purpose::Signing, ..key.clone() };
    let freed = SealedKey { exportable: true, ..key };
    let posing = SealedKey { exportable: true, ..renamed.clone() };
    assert!(Portable::of(&module, &posing).is_ok());
    for row in [&renamed, &freed, &posing] {
        assert_eq!(Portable(row).material(&service).err(), Some(Error::Tampered { what: "key" }));
    }
}

#[test]
fn a_package_is_for_one_offer_one_module_and_one_time() {
    let service = service(1);
    let module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, EXPORTABLE);
    let proof = agreed(import_subject(&module));
    let secret = secret(Algorithm::Aes256Gcm);
    let try_with = |offer: [u8; 16], package: &[u8], now| {
        let arrival = Arrival { offer, package: package.to_vec(), id: [40; 16] };
        service.import(&module, &[], &arrival, &proof, now).err()
    };
    let offer = || service.offer_import(&module, NOW).unwrap();

    let one = offer();
    let package = wrap(&one.public, &one.aad, &secret).unwrap();
    assert_eq!(try_with(one.id, &package, NOW), None);
    assert_eq!(try_with(one.id, &package, NOW), Some(Error::ExchangeUnknown), "an offer is used once");

    let other = offer();
    assert_eq!(try_with(other.id, &package, NOW), Some(Error::Tampered { what: PACKAGE }));
    let late = offer();
    let package = wrap(&late.public, &late.aad, &secret).unwrap();
    assert_eq!(try_with(late.id, &package, NOW + IMPORT_WITHIN), Some(Error::ExchangeUnknown));
    let elsewhere = offer();
    let package = wrap(&elsewhere.public, b"another module", &secret).unwrap();
    assert_eq!(try_with(elsewhere.id, &package, NOW), Some(Error::Tampered { what: PACKAGE }));
    let long = offer();
    assert_eq!(try_with(long.id, &[1; MAX_PACKAGE + 1], NOW), Some(Error::TooLarge { what: PACKAGE }));
}

#[test]
fn every_changed_bit_of_a_package_is_refused() {
    let aad = b"aad";
    let package = |recipient: &Recipient| wrap(&recipient.public(), aad, b"secret").unwrap();
    let recipient = Recipient::generate().unwrap();
    let length = package(&recipient).len();
    for bit in 0..length * 8 {
        let recipient = Recipient::generate().unwrap();
        let mut bytes = package(&recipient);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(recipient.open(aad, &bytes).is_err(), "bit {bit}");
    }
    for cut in 0..length {
        let recipient = Recipient::generate().unwrap();
        let bytes = package(&recipient);
        assert!(recipient.open(aad, &bytes[..cut]).is_err());
    }
}

#[test]
fn weak_keys_from_outside_are_refused_with_the_reason() {
    let service = service(1);
    for (purpose, algorithm, secrets) in [
        (
            PortablePurpose::Sealing,
            Algorithm::Aes256Gcm,
            vec![vec![], (0..16).collect(), (0..31).collect(), (0..33).collect(), vec![0; 32], vec![9; 32]],
        ),
        (
            PortablePurpose::Authentication,
            Algorithm::HmacSha512,
            vec![(0..63).collect(), (0..129).collect(), vec![0; 64]],
        ),
        (
            PortablePurpose::Signing,
            Algorithm::Ed25519,
            vec![(0..31).collect(), (0..64).collect(), vec![0; 32]],
        ),
        (PortablePurpose::Signing, Algorithm::EcdsaP256Sha256, vec![(0..32).collect(), vec![]]),
    ] {
        let module = module(&service, purpose, algorithm, EXPORTABLE);
        for secret in secrets {
            let refused = import(&service, &module, &secret);
            assert!(matches!(refused, Err(Error::KeyRefused { .. })), "{algorithm} {}", secret.len());
        }
    }
}

#[test]
fn low_order_points_are_refused_in_both_directions() {
    let service = service(1);
    let module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, EXPORTABLE);
    let key = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
    let points = LOW_ORDER_X25519.into_iter().flat_map(|point| {
        let point: [u8; 32] = data_encoding::HEXLOWER.decode(point.as_bytes()).unwrap().try_into().unwrap();
        let mut with_high_bit = point;
        with_high_bit[31] |= 0x80;
        [point, with_high_bit]
    });
    for point in points {
        assert_eq!(wrap(&point, b"", b"secret"), Err(Error::WeakEphemeral), "by whoever sends");
        let to = Destination::of(point);
        let proof = agreed(export_subject(&module.name, &key.id, &to));
        let refused = service.export(&module, &key, &to, &proof, NOW);
        assert_eq!(refused, Err(Error::WeakEphemeral));

        let offer = service.offer_import(&module, NOW).unwrap();
        let mut package = vec![FORMAT];
        package.extend_from_slice(&point);
        package.extend_from_slice(&[0; 48]);
        let arrival = Arrival { offer: offer.id, package, id: [40; 16] };
        let refused = service.import(&module, &[], &arrival, &agreed(import_subject(&module)), NOW);
        assert_eq!(refused, Err(Error::WeakEphemeral));
    }
}

#[test]
fn nothing_leaves_unless_the_module_allows_it_and_a_second_person_agreed() {
    let service = service(1);
    let recipient = Destination::of(Recipient::generate().unwrap().public());
    let strict = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, Specification::STRICT);
    let key = service.rotate(&strict, &[], [1; 16], NOW).unwrap().made;
    let proof = agreed(export_subject(&strict.name, &key.id, &recipient));
    let refused = service.export(&strict, &key, &recipient, &proof, NOW);
    assert_eq!(refused, Err(Error::NotExportable { module: "room".to_owned() }));

    let open = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, EXPORTABLE);
    let refused = service.export(&open, &key, &recipient, &proof, NOW);
    let made_to_stay = Error::NotExportable { module: "room".to_owned() };
    assert_eq!(refused, Err(made_to_stay), "whatever its module says later");
    let key = service.rotate(&open, &[], [1; 16], NOW).unwrap().made;
    assert!(key.exportable);
    for subject in [
        export_subject(&open.name, &key.id, &Destination::of([5; 32])),
        crate::versions::destruction_subject(&open, &key),
        Subject { module: "other".to_owned(), ..export_subject(&open.name, &key.id, &recipient) },
    ] {
        let refused = service.export(&open, &key, &recipient, &agreed(subject), NOW);
        assert_eq!(refused, Err(Error::ApprovalMismatch { right: Right::Export }));
    }
    let proof = agreed(export_subject(&open.name, &key.id, &recipient));
    let change = crate::versions::KeyChange::Deactivate;
    let retired = service.change_key(&open, &[key], 1, &change, NOW).unwrap();
    let refused = service.export(&open, &retired, &recipient, &proof, NOW);
    assert!(matches!(refused, Err(Error::WrongState { operation: Operation::Export, .. })));
}

#[test]
fn the_keys_of_the_instance_and_of_its_connections_neither_come_nor_leave() {
    let service = service(1);
    for built_in in BuiltIn::ALL {
        let mut module = service.built_in_module(*built_in, [1; 16], vec![], NOW).unwrap();
        let refused = service.offer_import(&module, NOW).err();
        assert_eq!(refused, Some(Error::NotImportable { module: built_in.to_string() }));
        // Even where somebody could have sealed such a specification.
        module.specification.exportable = true;
        let mut key = crate::testing::key(&service, Purpose::IdentitySigning);
        (key.purpose, key.exportable) = (module.purpose, true);
        assert!(Portable::of(&module, &key).is_err());
    }
}

#[test]
fn import_keys_are_few() {
    let service = service(1);
    let module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, EXPORTABLE);
    for _ in 0..MAX_IMPORTS {
        service.offer_import(&module, NOW).unwrap();
    }
    assert_eq!(service.offer_import(&module, NOW), Err(Error::ExchangesFull));
    assert!(service.offer_import(&module, NOW + IMPORT_WITHIN).is_ok());
}

#[test]
fn a_key_goes_from_one_service_into_another() {
    let (from, into) = (service(1), service(2));
    let [ours, theirs] = [&from, &into]
        .map(|service| module(service, PortablePurpose::Signing, Algorithm::Ed25519, EXPORTABLE));
    let key = from.rotate(&ours, &[], [1; 16], NOW).unwrap().made;
    let send = |offer: &ImportOffer| {
        let to = Destination { public: offer.public, aad: Some(offer.aad.clone()) };
        let proof = agreed(export_subject(&ours.name, &key.id, &to));
        (from.export(&ours, &key, &to, &proof, NOW).unwrap(), to, proof)
    };
    let offer = into.offer_import(&theirs, NOW).unwrap();
    let (package, to, proof) = send(&offer);
    let arrival = Arrival { offer: offer.id, package: package.bytes, id: [40; 16] };
    let taken = into.import(&theirs, &[], &arrival, &agreed(import_subject(&theirs)), NOW).unwrap();
    assert_eq!(taken.public, key.public);

    // What was agreed to for one receiver is not for the same one with other associated data.
    let elsewhere = Destination { aad: None, ..to };
    let refused = from.export(&ours, &key, &elsewhere, &proof, NOW);
    assert_eq!(refused, Err(Error::ApprovalMismatch { right: Right::Export }));
    let long = Destination { aad: Some(vec![0; MAX_RECEIVER_AAD + 1]), ..elsewhere };
    let proof = agreed(export_subject(&ours.name, &key.id, &long));
    let refused = from.export(&ours, &key, &long, &proof, NOW);
    assert_eq!(refused, Err(Error::TooLarge { what: "associated data" }));
}

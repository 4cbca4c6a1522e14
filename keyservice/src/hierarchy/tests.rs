use super::*;
use crate::key::Purpose;
use crate::lifecycle::LifecycleVerb;
use crate::ports::SystemEntropy;
use crate::testing::{NOW, Pair, Seeded, key};

fn root(byte: u8) -> RootKey {
    RootKey::from_bytes([byte; 32])
}

/// What an instance has on its disk.
struct Disk {
    hierarchy: SealedHierarchy,
    keys: Vec<SealedKey>,
    ciphertexts: Vec<Vec<u8>>,
}

fn instance() -> (KeyService, Disk) {
    let entropy = Arc::new(Seeded::new(1));
    let (service, hierarchy) = KeyService::initialise(&root(1), [1; 16], entropy, NOW).unwrap();
    let mut keys = Vec::new();
    let mut ciphertexts = Vec::new();
    for index in 0..5 {
        let mut data = key(&service, Purpose::DataEncryption);
        ciphertexts.push(service.seal(&data, &[], &[index], NOW).unwrap());
        if index == 4 {
            for verb in [LifecycleVerb::Deactivate, LifecycleVerb::Destroy] {
                data = service.transition(&data, verb, NOW).unwrap();
            }
        }
        keys.push(data);
    }
    (service, Disk { hierarchy, keys, ciphertexts })
}

/// After a restart with whichever of the root keys is there.
fn restart(disk: &Disk, roots: [u8; 2]) -> (KeyService, bool) {
    let [first, second] = roots.map(root);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    KeyService::open_with_either(&first, || Ok(second), [1; 16], &disk.hierarchy, &entropy).unwrap()
}

fn everything_opens(service: &KeyService, disk: &Disk) {
    for (index, (key, ciphertext)) in disk.keys.iter().zip(&disk.ciphertexts).take(4).enumerate() {
        let plain = service.open_sealed(key, &[], ciphertext, NOW).unwrap();
        assert_eq!(plain, [u8::try_from(index).unwrap()]);
    }
    assert!(disk.keys.iter().all(|key| service.check_row(key).is_ok()));
}

#[test]
fn a_root_rotation_killed_at_each_step_loses_nothing() {
    let (service, mut disk) = instance();
    let rotated = service.rotate_root(&root(2)).unwrap();
    // Killed before it is stored: the old root key is right.
    assert!(!restart(&disk, [1, 2]).1);
    everything_opens(&restart(&disk, [1, 2]).0, &disk);

    disk.hierarchy = rotated;
    // Killed after it is stored: the new one is, wherever it lies.
    assert!(restart(&disk, [1, 2]).1);
    everything_opens(&restart(&disk, [1, 2]).0, &disk);

    service.adopt_under(&root(2), &disk.hierarchy).unwrap();
    everything_opens(&service, &disk);
    let entropy = Arc::new(SystemEntropy);
    let old = KeyService::open(&root(1), [1; 16], &disk.hierarchy, entropy).err();
    assert_eq!(old, Some(Error::RootKeyMismatch), "nothing is left under the old root key");
    assert_eq!(service.rotate_root(&root(2)).err(), Some(Error::RootKeyUnchanged));
}

#[test]
fn a_next_root_key_that_cannot_be_read_stops_nothing_that_opens_without_it() {
    let (service, disk) = instance();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let with = |hierarchy: &SealedHierarchy| {
        let spoilt = || Err(Error::RootKeyMalformed);
        KeyService::open_with_either(&root(1), spoilt, [1; 16], hierarchy, &entropy)
    };
    assert!(matches!(with(&disk.hierarchy), Ok((_, false))));
    let rotated = service.rotate_root(&root(2)).unwrap();
    assert_eq!(
        with(&rotated).err(),
        Some(Error::RootKeyMalformed),
        "where it is needed, what is wrong is said"
    );
}

/// How far it is, over these wraps, as whoever stores them counts.
fn progress<'a>(service: &KeyService, wraps: impl IntoIterator<Item = &'a [u8]>) -> RewrapProgress {
    let newest = *service.key_encryption_keys().last().unwrap();
    let begin = KeyService::wraps_begin_with(newest);
    let wraps: Vec<&[u8]> = wraps.into_iter().filter(|wrapped| !wrapped.is_empty()).collect();
    let remaining = wraps.iter().filter(|wrapped| !wrapped.starts_with(&begin)).count();
    RewrapProgress { newest, total: wraps.len() as u64, remaining: remaining as u64 }
}

#[test]
fn a_root_key_is_read_from_its_two_places_and_no_other() {
    crate::root::tests::in_directory("root-places", |directory| root_places(&directory));
}

fn root_places(directory: &std::path::Path) {
    let (own, next) = (directory.join("root.key"), directory.join("root.key.next"));
    let source = |path: &std::path::Path| RootSource::File(path.to_owned());
    let first = RootKey::create(&own, &SystemEntropy).unwrap();
    let (service, _) = KeyService::initialise(&first, [1; 16], Arc::new(Seeded::new(1)), NOW).unwrap();
    let unavailable = |error: Option<Error>| matches!(error, Some(Error::RootKeyUnavailable { .. }));
    assert!(unavailable(service.rotate_root_to_next().err()), "nobody said where one is");
    let service = service.with_root_source(source(&own));
    assert!(unavailable(service.rotate_root_to_next().err()), "there is none");

    RootKey::create(&next, &SystemEntropy).unwrap();
    let rotated = service.rotate_root_to_next().unwrap();
    assert_eq!(service.adopt(&rotated), Err(Error::RootKeyMismatch));
    assert_eq!(service.adopt_root(&rotated), Ok(true), "beside the one in use");
    std::fs::rename(&next, &own).unwrap();
    assert_eq!(service.adopt_root(&rotated), Ok(false), "in its place");
    let elsewhere = service.rotate_root(&root(9)).unwrap();
    assert_eq!(service.adopt_root(&elsewhere), Err(Error::RootKeyMismatch));
}

#[test]
fn a_rotation_of_the_key_encryption_key_killed_at_each_step_loses_nothing_and_leaves_nothing() {
    let (_, mut disk) = instance();
    let wraps = |disk: &Disk| disk.keys.iter().map(|key| key.wrapped.clone()).collect::<Vec<_>>();
    let progress =
        |service: &KeyService, disk: &Disk| progress(service, wraps(disk).iter().map(Vec::as_slice));
    // Each turn is another process: it sees from the disk what comes next, does that one step, and is killed.
    for step in 0..20 {
        let (service, _) = restart(&disk, [1, 1]);
        everything_opens(&service, &disk);
        let now = progress(&service, &disk);
        match service.key_encryption_keys().as_slice() {
            [1] => disk.hierarchy = service.add_key_encryption_key().unwrap(),
            [1, 2] if now.remaining > 0 => {
                assert_eq!(
                    service.retire_key_encryption_keys(now).err(),
                    Some(Error::StillWrapped { count: now.remaining })
                );
                assert_eq!(service.add_key_encryption_key().err(), Some(Error::RotationInProgress));
                let next = disk.keys.iter_mut().find_map(|key| {
                    let changed = service.rewrap(std::slice::from_ref(key)).unwrap().pop();
                    changed.map(|changed| (key, changed))
                });
                let (row, changed) = next.expect("some are left");
                assert_eq!((row.state, row.state_seq), (changed.state, changed.state_seq));
                *row = changed;
                assert_eq!(progress(&service, &disk).remaining, now.remaining - 1);
            }
            [1, 2] => disk.hierarchy = service.retire_key_encryption_keys(now).unwrap(),
            [2] => {
                // One for adding, four for the keys with material, one for retiring.
                assert_eq!(step, 6);
                assert_eq!(now, RewrapProgress { newest: 2, total: 4, remaining: 0 });
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the rotation never ended");
}

#[test]
fn a_rotation_goes_on_while_the_service_works() {
    let (service, mut disk) = instance();
    disk.hierarchy = service.add_key_encryption_key().unwrap();
    service.adopt(&disk.hierarchy).unwrap();
    let young = key(&service, Purpose::DataEncryption);
    assert_eq!(wrapping_version(&young.wrapped), Some(2));
    everything_opens(&service, &disk);
    for changed in service.rewrap(&disk.keys.clone()).unwrap() {
        let row = disk.keys.iter_mut().find(|key| key.wrapped != changed.wrapped && key.id == changed.id);
        assert!(row.is_some());
    }
    let keys: Vec<SealedKey> = disk
        .keys
        .iter()
        .map(|key| service.rewrap(std::slice::from_ref(key)).unwrap().pop().unwrap_or_else(|| key.clone()))
        .collect();
    disk.keys = keys;
    let progress = progress(&service, disk.keys.iter().map(|key| key.wrapped.as_slice()));
    disk.hierarchy = service.retire_key_encryption_keys(progress).unwrap();
    service.adopt(&disk.hierarchy).unwrap();
    everything_opens(&service, &disk);
    assert_eq!(service.key_encryption_keys(), [2]);
}

#[test]
fn a_pending_attempt_survives_a_rotation_of_the_key_encryption_key() {
    let pair = Pair::new();
    let (provider, consumer) = (&pair.provider.service, &pair.consumer.service);
    let run = pair.run(1);
    for (service, pending) in [(provider, &run.provider_pending), (consumer, &run.consumer_pending)] {
        service.adopt(&service.add_key_encryption_key().unwrap()).unwrap();
        let rewrapped = service.rewrap_pending(&pair.link(1).module(), pending).unwrap();
        assert_eq!(progress(service, [rewrapped.bytes.as_slice()]).remaining, 0);
        let elsewhere = service.rewrap_pending("links/other", pending);
        assert_eq!(elsewhere.err(), Some(Error::Tampered { what: "pending attempt" }));
    }
    let pending = provider.rewrap_pending(&pair.link(1).module(), &run.provider_pending).unwrap();
    assert!(pair.confirm(&pending, &run.m3).is_ok());
}

#[test]
fn a_hierarchy_of_another_making_is_not_adopted() {
    let (service, _) = instance();
    let entropy = Arc::new(Seeded::new(9));
    let (_, foreign) = KeyService::initialise(&root(1), [1; 16], entropy, NOW).unwrap();
    assert_eq!(service.adopt(&foreign), Err(Error::Tampered { what: "key hierarchy" }));
}

#[test]
fn a_hierarchy_of_an_earlier_generation_is_not_adopted_and_a_changed_generation_does_not_open() {
    let (service, disk) = instance();
    let begun = service.add_key_encryption_key().unwrap();
    service.adopt(&begun).unwrap();
    let progress = RewrapProgress { newest: 2, total: 0, remaining: 0 };
    let retired = service.retire_key_encryption_keys(progress).unwrap();
    service.adopt(&retired).unwrap();
    let generations = [&disk.hierarchy, &begun, &retired].map(SealedHierarchy::generation);
    assert_eq!(generations, [1, 2, 3].map(Some));
    for earlier in [&disk.hierarchy, &begun] {
        assert_eq!(service.adopt(earlier), Err(Error::Tampered { what: "key hierarchy" }));
    }
    assert_eq!(service.key_encryption_keys(), [2], "the one that was retired does not come back");

    let mut raised = begun.clone();
    raised.bytes[1] += 1;
    assert_eq!(raised.generation(), Some(3));
    assert_eq!(service.adopt(&raised), Err(Error::Tampered { what: "key hierarchy" }));
    assert_eq!(SealedHierarchy { bytes: vec![9; 200] }.generation(), None);
}

#[test]
fn a_hierarchy_that_was_sealed_without_a_generation_still_opens_and_gets_one() {
    let (service, disk) = instance();
    let (keyring, instance_root) = Keyring::unseal(&root(1), [1; 16], &disk.hierarchy).unwrap();
    let before = keyring.seal_hierarchy_without_generation(&root(1), &instance_root);
    assert_eq!(before.generation(), Some(0));
    let entropy = Arc::new(SystemEntropy);
    let older = KeyService::open(&root(1), [1; 16], &before, entropy).unwrap();
    everything_opens(&older, &disk);
    let rotated = older.rotate_root(&root(2)).unwrap();
    assert_eq!(rotated.generation(), Some(1));
    assert_eq!(service.adopt_under(&root(2), &rotated), Ok(()));
}

#[test]
fn a_changed_key_is_not_rewrapped() {
    let (service, disk) = instance();
    service.adopt(&service.add_key_encryption_key().unwrap()).unwrap();
    let mut key = disk.keys[0].clone();
    key.state_seq += 1;
    assert_eq!(service.rewrap(&[key]), Err(Error::Tampered { what: "key" }));
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::health::AuditMeasure;
use crate::key::{KeySpec, PortablePurpose};
use crate::lifecycle::LifecycleVerb;
use crate::module::{SealedModule, Specification};
use crate::ports::{Entropy, SystemEntropy};
use crate::root::RootKey;
use crate::service::Opened;
use crate::testing::{NOW, Pair, key, module, service};

fn component(critical: bool, status: HealthStatus) -> Component {
    Component {
        component: ComponentKind::Clock,
        module: None,
        critical,
        status,
        code: "OK",
        message: String::new(),
        remedy: None,
        measured_at: NOW,
        took_micros: 0,
    }
}

#[test]
fn the_roll_up_follows_the_rules() {
    use HealthStatus::{Degraded, Disabled, Malfunction, Operational};
    let of = |parts: &[(bool, HealthStatus)]| {
        roll_up(&parts.iter().map(|(critical, status)| component(*critical, *status)).collect::<Vec<_>>())
    };
    assert_eq!(of(&[]), Disabled);
    assert_eq!(of(&[(true, Disabled)]), Disabled);
    assert_eq!(of(&[(true, Operational), (true, Disabled)]), Operational);
    assert_eq!(of(&[(true, Operational), (true, Malfunction)]), Malfunction);
    assert_eq!(of(&[(true, Operational), (false, Malfunction)]), Degraded);
    assert_eq!(of(&[(false, Malfunction), (false, Malfunction)]), Malfunction);
    assert_eq!(of(&[(false, Malfunction), (true, Disabled)]), Malfunction);
    assert_eq!(of(&[(true, Degraded), (false, Operational)]), Degraded);
}

#[test]
fn a_whole_instance_is_operational() {
    let pair = Pair::new();
    let (link_key, _) = pair.linked();
    let ticks = AtomicU64::new(0);
    let Pair { provider, .. } = pair;
    let service = provider.service.with_stopwatch(Arc::new(move || ticks.fetch_add(7, Ordering::Relaxed)));
    let keys = [provider.identity, link_key, key(&service, Purpose::DataEncryption)];
    let report = service.health(&keys, NOW);
    assert_eq!(report.status, HealthStatus::Operational, "{report:#?}");
    let names: Vec<_> = report
        .components
        .iter()
        .map(|part| part.module.as_deref().unwrap_or(part.component.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            "ROOT_KEY",
            "KEY_ENCRYPTION_KEY",
            "INTEGRITY_KEY",
            "IDENTITY_SIGNING_KEY",
            "ENTROPY",
            "KNOWN_ANSWERS",
            "CLOCK",
            "POLICY_ENGINE",
            "AUDIT_CHAIN",
            "ROTATION_SCHEDULE",
            "links/e9fafd44-2e96-6a5e-c28a-b8904e4dce6e",
            "tests/DATA_ENCRYPTION",
            "tests/IDENTITY_SIGNING"
        ]
    );
    assert!(report.components.iter().all(|part| part.took_micros == 7));
}

/// The code of a component in a report over these keys.
fn code(service: &KeyService, keys: &[SealedKey], now: Millis, kind: ComponentKind) -> &'static str {
    service.health(keys, now).components.into_iter().find(|part| part.component == kind).unwrap().code
}

#[test]
fn what_is_wrong_with_the_keys_is_found() {
    let service = service(1);
    let identity = key(&service, Purpose::IdentitySigning);
    assert_eq!(code(&service, &[], NOW, ComponentKind::IdentitySigningKey), "IDENTITY_KEY_MISSING");
    assert_eq!(service.health(&[], NOW).status, HealthStatus::Malfunction);

    let suspended = service.transition(&identity, LifecycleVerb::Suspend, NOW).unwrap();
    let report = [suspended.clone()];
    assert_eq!(code(&service, &report, NOW, ComponentKind::IdentitySigningKey), "IDENTITY_KEY_MISSING");
    assert_eq!(code(&service, &report, NOW, ComponentKind::ModuleSelfTest), "NO_ACTIVE_KEY");

    let revived = SealedKey { state: KeyState::Active, ..suspended };
    assert_eq!(code(&service, &[revived], NOW, ComponentKind::IntegrityKey), "TAMPERED");

    let twice = [identity.clone(), identity.clone()];
    assert_eq!(code(&service, &twice, NOW, ComponentKind::ModuleSelfTest), "TWO_ACTIVE_KEYS");

    assert_eq!(code(&service, &[], NOW - 300_001, ComponentKind::Clock), "CLOCK_BEHIND");
    assert_eq!(code(&service, &[identity], NOW - 300_000, ComponentKind::Clock), "OK");
}

#[test]
fn a_key_near_its_end_degrades() {
    let service = service(1);
    for (lives, notice) in
        [(4 * EXPIRY_NOTICE, EXPIRY_NOTICE), (9 * EXPIRY_NOTICE, EXPIRY_NOTICE), (8_000, 2_000)]
    {
        let spec = KeySpec {
            id: [1; 16],
            module: "identity".to_owned(),
            purpose: Purpose::IdentitySigning,
            algorithm: Algorithm::Ed25519,
            version: 1,
            expires_at: Some(NOW + lives),
            activate: true,
            exportable: false,
        };
        let keys = [service.generate(&spec, NOW).unwrap()];
        let (soon, end) = (NOW + lives - notice, NOW + lives);
        assert_eq!(service.health(&keys, NOW).status, HealthStatus::Operational);
        assert_eq!(service.health(&keys, soon).status, HealthStatus::Operational, "{lives}");
        assert_eq!(code(&service, &keys, soon + 1, ComponentKind::IdentitySigningKey), "KEY_EXPIRES_SOON");
        assert_eq!(service.health(&keys, soon + 1).status, HealthStatus::Degraded);
        assert_eq!(code(&service, &keys, end, ComponentKind::IdentitySigningKey), "KEY_EXPIRED");
    }
}

#[test]
fn a_key_that_is_rotated_before_it_expires_is_not_reported_to_expire() {
    let service = service(1);
    let hour = crate::module::SHORTEST_PERIOD;
    for (rotation_period, found) in
        [(Some(2 * hour), "OK"), (Some(4 * hour), "KEY_EXPIRES_SOON"), (None, "KEY_EXPIRES_SOON")]
    {
        let specification =
            Specification { rotation_period, key_lifetime: Some(4 * hour), ..Specification::STRICT };
        let module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, specification);
        let keys = [service.rotate(&module, &[], [1; 16], NOW).unwrap().made];
        let report = report(&[module], &keys, None, NOW + 4 * hour - 1);
        let tested = report.components.iter().find(|part| part.module.as_deref() == Some("room")).unwrap();
        assert_eq!(tested.code, found, "{rotation_period:?}");
    }
}

/// Delivers the same bytes for ever, as a virtual machine without a random number generator might.
struct Stuck;

impl Entropy for Stuck {
    fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(4);
        Ok(())
    }
}

#[test]
fn a_stuck_source_of_randomness_is_found() {
    let root = RootKey::from_bytes([1; 32]);
    let (service, _) = KeyService::initialise(&root, [1; 16], Arc::new(Stuck), NOW).unwrap();
    assert_eq!(code(&service, &[], NOW, ComponentKind::Entropy), "ENTROPY");
}

/// The report of an instance with an identity, over modules and what is known of the audit trail.
fn report(
    modules: &[SealedModule],
    keys: &[SealedKey],
    audit: Option<&AuditMeasure>,
    now: Millis,
) -> HealthReport {
    let service = service(1);
    let mut all = vec![key(&service, Purpose::IdentitySigning)];
    all.extend_from_slice(keys);
    service.health_of(&Records { modules, keys: &all, audit }, now)
}

fn part(report: &HealthReport, kind: ComponentKind) -> (HealthStatus, &'static str) {
    let part = report.components.iter().find(|part| part.component == kind).unwrap();
    (part.status, part.code)
}

#[test]
fn a_broken_or_unsigned_audit_trail_is_reported() {
    let of =
        |audit: Option<AuditMeasure>| part(&report(&[], &[], audit.as_ref(), NOW), ComponentKind::AuditChain);
    let whole = AuditMeasure { entries: 9, verified: 9, fault: None, unsigned: false };
    assert_eq!(of(None), (HealthStatus::Disabled, "NOT_MEASURED"));
    assert_eq!(of(Some(whole.clone())), (HealthStatus::Operational, "OK"));
    let begun = AuditMeasure { verified: 8, ..whole.clone() };
    assert_eq!(of(Some(begun)), (HealthStatus::Operational, "BEING_VERIFIED"));
    let unsigned = AuditMeasure { unsigned: true, ..whole.clone() };
    assert_eq!(of(Some(unsigned)), (HealthStatus::Degraded, "CHECKPOINT_OVERDUE"));
    let broken = AuditMeasure { fault: Some("Entry 7 was changed.".to_owned()), ..whole };
    assert_eq!(of(Some(broken)), (HealthStatus::Malfunction, "AUDIT_CHAIN_BROKEN"));
}

#[test]
fn every_published_module_is_tested_by_its_name_whatever_its_algorithm() {
    let service = service(1);
    for (purpose, algorithm) in [
        (PortablePurpose::Sealing, Algorithm::Aes256Gcm),
        (PortablePurpose::Signing, Algorithm::EcdsaP256Sha256),
        (PortablePurpose::Authentication, Algorithm::HmacSha384),
    ] {
        let module = module(&service, purpose, algorithm, Specification::STRICT);
        let none = report(std::slice::from_ref(&module), &[], None, NOW);
        assert_eq!(part(&none, ComponentKind::ModuleSelfTest).1, "NO_ACTIVE_KEY");

        let active = service.rotate(&module, &[], [1; 16], NOW).unwrap().made;
        let modules = [module];
        let whole = report(&modules, std::slice::from_ref(&active), None, NOW);
        let tested: Vec<_> = whole.components.iter().filter_map(|part| part.module.as_deref()).collect();
        assert_eq!(tested, ["room", "tests/IDENTITY_SIGNING"]);
        assert_eq!(whole.status, HealthStatus::Operational, "{whole:#?}");

        let mut spoilt = active;
        spoilt.wrapped[60] ^= 1;
        let broken = report(&modules, &[spoilt], None, NOW);
        assert_eq!(part(&broken, ComponentKind::IntegrityKey), (HealthStatus::Malfunction, "TAMPERED"));
        assert_eq!(part(&broken, ComponentKind::ModuleSelfTest), (HealthStatus::Malfunction, "TAMPERED"));
    }
}

#[test]
fn an_overdue_rotation_degrades_once_the_schedule_had_its_time() {
    let service = service(1);
    let hour = crate::module::SHORTEST_PERIOD;
    let specification = Specification { rotation_period: Some(hour), ..Specification::STRICT };
    let module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, specification);
    let keys = [service.rotate(&module, &[], [1; 16], NOW).unwrap().made];
    let modules = [module];
    let at = |now| part(&report(&modules, &keys, None, now), ComponentKind::RotationSchedule);
    assert_eq!(at(NOW + 2 * hour - 1), (HealthStatus::Operational, "OK"));
    assert_eq!(at(NOW + 2 * hour), (HealthStatus::Degraded, "ROTATION_OVERDUE"));
}

/// What a report without keys says of one part, and what to do about it.
fn said(
    service: &KeyService,
    kind: ComponentKind,
    now: Millis,
) -> (HealthStatus, &'static str, &'static str) {
    let all = service.health(&[], now).components;
    let part = all.into_iter().find(|part| part.component == kind).unwrap();
    (part.status, part.code, part.remedy.unwrap_or_default())
}

#[test]
fn a_hierarchy_that_the_root_key_in_use_does_not_open_is_found() {
    let service = service(1);
    let of = |service: &KeyService| code(service, &[], NOW, ComponentKind::RootKey);
    assert_eq!(of(&service), "OK");
    let current = service.current();
    let with = |root: [u8; 32], bytes: Vec<u8>| {
        let keyring = Keyring::open(&RootKey::from_bytes([1; 32]), [1; 16], &current.hierarchy).unwrap();
        let hierarchy = crate::keyring::SealedHierarchy { bytes };
        service.exchange_hierarchy(Opened { keyring, root: RootKey::from_bytes(root), hierarchy });
        of(&service)
    };
    assert_eq!(with([2; 32], current.hierarchy.bytes.clone()), "ROOT_KEY_MISMATCH");
    let mut spoilt = current.hierarchy.bytes.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    assert_eq!(with([1; 32], spoilt), "TAMPERED");
    let (_, _, remedy) = said(&service, ComponentKind::RootKey, NOW);
    assert!(remedy.contains("the row of this instance"), "no root key mends it: {remedy}");
}

#[test]
fn a_credential_that_is_in_use_as_the_next_one_degrades_until_it_is_passed_in_its_place() {
    let [file, credential]: [RootSource; 2] =
        ["file:root.key", "credential:root.key"].map(|s| s.parse().unwrap());
    let of = |own: &RootSource, place| {
        let Finding { status, code, message, remedy } = root_finding(own, place);
        (status, code, format!("{message} {}", remedy.unwrap_or_default()))
    };
    let (status, code, said) = of(&credential, Ok(RootPlace::Next));
    assert_eq!((status, code), (HealthStatus::Degraded, "ROOT_KEY_NOT_IN_PLACE"));
    assert!(said.contains("in use is credential:root.key.next"), "{said}");
    // The service renames a file itself.
    for (own, place) in [(&file, RootPlace::Next), (&file, RootPlace::Own), (&credential, RootPlace::Own)] {
        assert_eq!(of(own, Ok(place)).1, "OK", "{own} {place:?}");
    }
    for (own, remedy) in [(&file, "chmod 400"), (&credential, "service manager")] {
        let (status, code, said) = of(own, Ok(RootPlace::Nowhere));
        assert_eq!((status, code), (HealthStatus::Malfunction, "ROOT_KEY_MISMATCH"));
        assert!(said.starts_with(&format!("{own} holds another root key")), "{said}");
        let (_, _, said) = of(own, Err(Error::RootKeyExposed { path: "root.key".to_owned(), mode: 0o644 }));
        assert!(said.contains(remedy), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_root_key_that_the_next_start_would_not_find_or_not_take_is_found() {
    crate::root::tests::in_directory("root-health", |directory| {
        use std::os::unix::fs::PermissionsExt as _;

        let (own, next) = (directory.join("root.key"), directory.join("root.key.next"));
        let (root, entropy) = (RootKey::create(&own, &SystemEntropy).unwrap(), Arc::new(SystemEntropy));
        let (service, _) = KeyService::initialise(&root, [1; 16], entropy, NOW).unwrap();
        let service = service.with_root_source(RootSource::File(own.clone()));
        let of = || said(&service, ComponentKind::RootKey, NOW);
        let mode = |mode| std::fs::set_permissions(&own, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(of().1, "OK");
        mode(0o644);
        let (status, code, remedy) = of();
        assert_eq!((status, code), (HealthStatus::Malfunction, "ROOT_KEY_EXPOSED"));
        assert!(remedy.contains("chmod 400"), "{remedy}");
        mode(0o400);
        std::fs::rename(&own, &next).unwrap();
        assert_eq!(of().1, "ROOT_KEY_UNAVAILABLE");
        RootKey::create(&own, &SystemEntropy).unwrap();
        assert_eq!(of().1, "OK", "the one in use waits to be put in the place of the other");
        std::fs::remove_file(&next).unwrap();
        assert_eq!(of().1, "ROOT_KEY_MISMATCH");
    });
}

/// Gives nothing.
struct Empty;

impl Entropy for Empty {
    fn fill(&self, _: &mut [u8]) -> Result<(), Error> {
        Err(Error::Entropy)
    }
}

#[test]
fn a_key_encryption_key_that_does_not_wrap_is_found() {
    let mut service = service(1);
    service.entropy = Arc::new(Empty);
    let (status, code, remedy) = said(&service, ComponentKind::KeyEncryptionKey, NOW);
    assert_eq!((status, code, remedy), (HealthStatus::Malfunction, "ENTROPY", HOST));
}

#[test]
fn known_answers_are_asked_for_each_hour_and_a_wrong_one_until_it_is_right() {
    let mut service = service(1);
    let of = |service: &KeyService, now| said(service, ComponentKind::KnownAnswers, now).1;
    assert_eq!(of(&service, NOW), "OK");
    service.answers = || Err(Error::KnownAnswer { primitive: "SHA-256" });
    let hour = crate::known_answers::BELIEVED;
    assert_eq!(hour, 3_600_000);
    assert_eq!(of(&service, NOW + hour - 1), "OK", "not asked for again so soon");
    for late in 0..2 {
        let (status, code, _) = said(&service, ComponentKind::KnownAnswers, NOW + hour + late);
        assert_eq!((status, code), (HealthStatus::Malfunction, "KNOWN_ANSWER"));
    }
    assert_eq!(service.health(&[], NOW + hour).status, HealthStatus::Malfunction);
    service.answers = crate::known_answers::check;
    assert_eq!(of(&service, NOW + hour + 2), "OK", "at once");
    service.answers = || Err(Error::KnownAnswer { primitive: "SHA-256" });
    assert_eq!(of(&service, NOW - 1), "KNOWN_ANSWER", "a clock that was set back believes nothing");
}

#[test]
fn a_policy_on_record_that_cannot_be_is_found_by_the_policy_engine() {
    let service = service(1);
    let mut module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, Specification::STRICT);
    module.policies.push(AccessPolicy {
        id: [0; 16],
        effect: Effect::Track,
        matcher: Matcher::AnyService,
        rights: Rights::of(&[]),
        condition: None,
        note: String::new(),
    });
    let report = report(&[module], &[], None, NOW);
    assert_eq!(part(&report, ComponentKind::PolicyEngine).0, HealthStatus::Malfunction);
}

#[test]
fn no_remedy_says_what_is_refused_for_the_key_that_it_is_about() {
    let expired = Error::KeyExpired { at: NOW };
    let others = [Error::Entropy, Error::Primitive, Error::KeyEncryptionKeyUnknown { version: 2 }];
    let others = others.each_ref().map(Some);
    for error in [None, Some(&expired), Some(&Error::Tampered { what: "key" })].into_iter().chain(others) {
        for purpose in Purpose::ALL {
            let remedy = remedy(purpose, error);
            // Keys of an instance's identity stay, and those of links come from an exchange.
            let stays = matches!(purpose, Purpose::IdentitySigning | Purpose::LinkTraffic);
            for verb in ["Rotate", "Generate", "Resume", "Revoke", "Renew"] {
                assert!(!stays || !remedy.contains(verb), "{purpose}: {remedy}");
            }
            // Nothing is done to a key whose row is not as it was written.
            let tampered = matches!(error, Some(Error::Tampered { .. }));
            assert!(!tampered || remedy.contains("from a backup"), "{purpose}: {remedy}");
            // Nor is a row restored that is not at fault.
            assert!(!others.contains(&error) || !remedy.contains("Restore"), "{purpose}: {remedy}");
        }
    }
}

#[test]
fn a_module_whose_policies_were_changed_is_found() {
    let service = service(1);
    let mut module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, Specification::STRICT);
    module.specification.default_decision = DefaultDecision::Track;
    let report = report(&[module], &[], None, NOW);
    assert_eq!(part(&report, ComponentKind::IntegrityKey), (HealthStatus::Malfunction, "TAMPERED"));
    assert_eq!(report.status, HealthStatus::Malfunction);
}

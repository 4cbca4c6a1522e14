use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::health::AuditMeasure;
use crate::key::{KeySpec, PortablePurpose};
use crate::lifecycle::LifecycleVerb;
use crate::module::{SealedModule, Specification};
use crate::ports::Entropy;
use crate::root::RootKey;
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

#[test]
fn a_module_whose_policies_were_changed_is_found() {
    let service = service(1);
    let mut module = module(&service, PortablePurpose::Sealing, Algorithm::Aes256Gcm, Specification::STRICT);
    module.specification.default_decision = DefaultDecision::Track;
    let report = report(&[module], &[], None, NOW);
    assert_eq!(part(&report, ComponentKind::IntegrityKey), (HealthStatus::Malfunction, "TAMPERED"));
    assert_eq!(report.status, HealthStatus::Malfunction);
}

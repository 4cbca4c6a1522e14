use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::key::KeySpec;
use crate::lifecycle::LifecycleVerb;
use crate::ports::Entropy;
use crate::root::RootKey;
use crate::testing::{NOW, Pair, key, service};

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
            "CLOCK",
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
    let spec = KeySpec {
        id: [1; 16],
        module: "identity".to_owned(),
        purpose: Purpose::IdentitySigning,
        algorithm: Algorithm::Ed25519,
        version: 1,
        expires_at: Some(NOW + EXPIRY_NOTICE),
        activate: true,
    };
    let keys = [service.generate(&spec, NOW).unwrap()];
    assert_eq!(service.health(&keys, NOW).status, HealthStatus::Operational);
    assert_eq!(code(&service, &keys, NOW + 1, ComponentKind::IdentitySigningKey), "KEY_EXPIRES_SOON");
    assert_eq!(service.health(&keys, NOW + 1).status, HealthStatus::Degraded);
    assert_eq!(code(&service, &keys, NOW + EXPIRY_NOTICE, ComponentKind::IdentitySigningKey), "KEY_EXPIRED");
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

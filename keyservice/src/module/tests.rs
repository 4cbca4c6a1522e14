use super::*;
use crate::policy::{Effect, Matcher};
use crate::right::{Right, Rights};
use crate::testing::{NOW, flips, service};

fn spec() -> ModuleSpec {
    ModuleSpec {
        id: [20; 16],
        name: "webhooks".to_owned(),
        purpose: PortablePurpose::Authentication,
        algorithm: Algorithm::HmacSha384,
        specification: Specification::STRICT,
    }
}

fn policy() -> AccessPolicy {
    AccessPolicy {
        id: [21; 16],
        effect: Effect::Track,
        matcher: Matcher::AnyService,
        rights: Rights::of(&[Right::Mac]),
        condition: None,
        note: String::new(),
    }
}

#[test]
fn a_draft_is_specified_and_a_published_module_only_governed_and_scheduled() {
    let service = service(1);
    let specification = Specification { exportable: true, ..Specification::STRICT };
    let draft = service.create_module(&spec(), NOW).unwrap();
    assert_eq!((draft.state, draft.state_seq, draft.published_at), (ModuleState::Draft, 0, None));

    let draft = service.change_module(&draft, ModuleChange::Specify(specification), NOW).unwrap();
    let published = service.change_module(&draft, ModuleChange::Publish, NOW + 1).unwrap();
    assert_eq!((published.state, published.state_seq), (ModuleState::Published, 2));
    assert_eq!(published.published_at, Some(NOW + 1));

    for change in [ModuleChange::Specify(Specification::STRICT), ModuleChange::Publish] {
        let refused = service.change_module(&published, change, NOW).unwrap_err();
        assert!(matches!(refused, Error::WrongModuleState { state: ModuleState::Published, .. }));
    }
    let governed = service.change_module(&published, ModuleChange::Govern(vec![policy()]), NOW).unwrap();
    let scheduled =
        service.change_module(&governed, ModuleChange::Schedule(Some(SHORTEST_PERIOD)), NOW).unwrap();
    assert_eq!(scheduled.policies, [policy()]);
    assert_eq!(
        scheduled.specification,
        Specification { rotation_period: Some(SHORTEST_PERIOD), ..specification }
    );
}

#[test]
fn a_specification_that_cannot_hold_is_refused() {
    let service = service(1);
    let refused = |spec: ModuleSpec| service.create_module(&spec, NOW).unwrap_err();
    for name in ["", "Webhooks", "9lives", "-a", "a/b", "a b", "links", "identity", &"a".repeat(65)] {
        let name = name.to_owned();
        assert!(matches!(
            refused(ModuleSpec { name, ..spec() }),
            Error::SpecificationRefused { what: "name", .. }
        ));
    }
    for algorithm in [Algorithm::Ed25519, Algorithm::Aes256Gcm, Algorithm::Kx1Suite1] {
        assert!(matches!(refused(ModuleSpec { algorithm, ..spec() }), Error::AlgorithmRefused { .. }));
    }
    for period in [0, -1, SHORTEST_PERIOD - 1, LONGEST_PERIOD + 1, Millis::MAX, Millis::MIN] {
        for specification in [
            Specification { rotation_period: Some(period), ..Specification::STRICT },
            Specification { key_lifetime: Some(period), ..Specification::STRICT },
        ] {
            let refusal = refused(ModuleSpec { specification, ..spec() });
            assert!(matches!(refusal, Error::SpecificationRefused { .. }), "{period}");
        }
    }
    let late = Specification {
        rotation_period: Some(2 * SHORTEST_PERIOD),
        key_lifetime: Some(SHORTEST_PERIOD),
        ..Specification::STRICT
    };
    assert!(matches!(
        refused(ModuleSpec { specification: late, ..spec() }),
        Error::SpecificationRefused { what: "rotation period", .. }
    ));
}

#[test]
fn a_changed_row_of_a_module_is_found() {
    let service = service(1);
    let mut module = service.create_module(&spec(), NOW).unwrap();
    module = service.change_module(&module, ModuleChange::Govern(vec![policy()]), NOW).unwrap();
    let changes: [fn(&mut SealedModule); 13] = [
        |module| module.id[0] ^= 1,
        |module| module.name.push('x'),
        |module| module.purpose = Purpose::Sealing,
        |module| module.algorithm = Algorithm::HmacSha256,
        |module| module.specification.exportable = true,
        |module| module.specification.rotation_period = Some(SHORTEST_PERIOD),
        |module| module.specification.key_lifetime = Some(SHORTEST_PERIOD),
        |module| module.specification.default_decision = DefaultDecision::Track,
        |module| module.state = ModuleState::Published,
        |module| module.state_seq -= 1,
        |module| module.published_at = Some(NOW),
        |module| module.policies.clear(),
        |module| module.policies[0].matcher = Matcher::Anyone,
    ];
    for change in changes {
        let mut row = module.clone();
        change(&mut row);
        assert_eq!(service.check_module(&row), Err(Error::Tampered { what: "module" }), "{row:?}");
        let refused = service.change_module(&row, ModuleChange::Publish, NOW);
        assert_eq!(refused, Err(Error::Tampered { what: "module" }));
    }
    for seal in flips(&module.row_seal) {
        let row = SealedModule { row_seal: seal.try_into().unwrap(), ..module.clone() };
        assert!(service.check_module(&row).is_err());
    }
}

#[test]
fn every_instance_has_modules_that_never_let_a_key_out() {
    let service = service(1);
    for built_in in BuiltIn::ALL {
        let module = service.built_in_module(*built_in, [1; 16], vec![], NOW).unwrap();
        assert_eq!(module.built_in(), Some(*built_in));
        assert_eq!(module.state, ModuleState::Published);
        assert!(!module.specification.exportable);
        assert_eq!(PortablePurpose::of(module.purpose), None, "{built_in}");
    }
}

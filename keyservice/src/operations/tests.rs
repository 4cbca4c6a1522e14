use super::*;
use crate::key::{PortablePurpose, Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb, Permission};
use crate::module::{ModuleChange, ModuleSpec, SealedModule, Specification};
use crate::policy::{AccessPolicy, Condition, Context, Effect, Matcher};
use crate::principal::{Principal, Service};
use crate::right::{Right, Rights};
use crate::testing::{NOW, flips, service};

const ALICE: Principal = Principal::Service(Service::Letters);

/// A published module of one purpose, with an active key and a policy for letters.
struct Room {
    service: KeyService,
    module: SealedModule,
    keys: Vec<SealedKey>,
    context: Context,
}

impl Room {
    fn new(purpose: PortablePurpose, algorithm: Algorithm) -> Self {
        let service = service(1);
        let spec = ModuleSpec {
            id: [30; 16],
            name: "room".to_owned(),
            purpose,
            algorithm,
            specification: Specification::STRICT,
        };
        let mut module = service.create_module(&spec, NOW).unwrap();
        let rights = [
            Right::Seal,
            Right::Open,
            Right::Sign,
            Right::Verify,
            Right::Mac,
            Right::VerifyMac,
            Right::OpenCompromised,
        ];
        let policy = AccessPolicy {
            id: [31; 16],
            effect: Effect::Track,
            matcher: Matcher::Service(Service::Letters),
            rights: Rights::of(&rights),
            condition: None,
            note: String::new(),
        };
        for change in [ModuleChange::Govern(vec![policy]), ModuleChange::Publish] {
            module = service.change_module(&module, change, NOW).unwrap();
        }
        let mut room = Self { service, module, keys: Vec::new(), context: Context::nothing() };
        room.add_version();
        room
    }

    fn add_version(&mut self) {
        let version = self.keys.len() as u64 + 1;
        let spec = crate::key::KeySpec {
            id: [u8::try_from(version).unwrap(); 16],
            module: self.module.name.clone(),
            purpose: self.module.purpose,
            algorithm: self.module.algorithm,
            version,
            expires_at: Some(NOW + 1000),
            activate: true,
            exportable: false,
        };
        self.keys.push(self.service.generate(&spec, NOW).unwrap());
    }

    fn rotate(&mut self) {
        self.change(LifecycleVerb::Rotate);
        self.add_version();
    }

    fn change(&mut self, verb: LifecycleVerb) {
        let key = self.keys.last_mut().unwrap();
        *key = self.service.transition(key, verb, NOW).unwrap();
    }

    fn using(&self) -> Use<'_> {
        Use {
            principal: &ALICE,
            module: &self.module,
            versions: &self.keys,
            context: &self.context,
            reason: None,
            agreed: None,
            now: NOW,
        }
    }

    fn agreed(&self) -> crate::approval::Agreed {
        crate::testing::agreed(crate::usage::compromised_subject(&self.module, &self.keys[0]))
    }
}

#[test]
fn what_was_opened_is_not_in_the_debug_form_of_it() {
    let room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let sealed = room.service.module_seal(&room.using(), &[], b"\xab\xab\xab").unwrap().value;
    let opened = room.service.module_open(&room.using(), &[], &sealed).unwrap();
    let printed = format!("{opened:?}");
    assert!(printed.contains("version: 1") && !printed.contains("171, 171"), "{printed}");
}

#[test]
fn what_is_sealed_opens_after_rotation_with_the_version_it_names() {
    let mut room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let first = room.service.module_seal(&room.using(), &[b"row"], b"one").unwrap().value;
    room.rotate();
    let second = room.service.module_seal(&room.using(), &[b"row"], b"two").unwrap();
    assert_eq!(second.record.version, 2);
    for (ciphertext, plaintext) in [(&first, b"one"), (&second.value, b"two")] {
        let opened = room.service.module_open(&room.using(), &[b"row"], ciphertext).unwrap();
        assert_eq!(opened.value, plaintext);
    }
    for bytes in flips(&first) {
        assert!(room.service.module_open(&room.using(), &[b"row"], &bytes).is_err());
    }
}

#[test]
fn signatures_of_both_algorithms_verify_for_their_version_label_and_parts_only() {
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256Sha256] {
        let mut room = Room::new(PortablePurpose::Signing, algorithm);
        let signature = room.service.module_sign(&room.using(), "letter", &[b"a", b"b"]).unwrap().value;
        assert_eq!(signature.bytes.len(), 64);
        room.rotate();
        let verify = |label: &str, parts: &[&[u8]], signature: &Signature| {
            room.service.module_verify(&room.using(), label, parts, signature).map(|used| used.value)
        };
        assert_eq!(verify("letter", &[b"a", b"b"], &signature), Ok(()));
        assert_eq!(verify("letter", &[b"ab"], &signature), Err(Error::BadSignature));
        assert_eq!(verify("notice", &[b"a", b"b"], &signature), Err(Error::BadSignature));
        let other = Signature { version: 2, ..signature.clone() };
        assert_eq!(verify("letter", &[b"a", b"b"], &other), Err(Error::BadSignature));
        let none = Signature { version: 3, ..signature.clone() };
        assert_eq!(verify("letter", &[b"a", b"b"], &none), Err(Error::UnknownKeyVersion { version: 3 }));
        for bytes in flips(&signature.bytes) {
            let flipped = Signature { bytes, ..signature.clone() };
            assert_eq!(verify("letter", &[b"a", b"b"], &flipped), Err(Error::BadSignature));
        }
        let refused = room.service.module_sign(&room.using(), "kx1 sig P", &[]).unwrap_err();
        assert_eq!(refused, Error::ReservedLabel);
    }
}

#[test]
fn authentication_codes_are_whole_and_for_their_message_only() {
    for (algorithm, length) in
        [(Algorithm::HmacSha256, 32), (Algorithm::HmacSha384, 48), (Algorithm::HmacSha512, 64)]
    {
        let mut room = Room::new(PortablePurpose::Authentication, algorithm);
        let tag = room.service.module_mac(&room.using(), "hook", &[b"body"]).unwrap().value;
        assert_eq!(tag.bytes.len(), length);
        room.rotate();
        let verify = |parts: &[&[u8]], bytes: &[u8]| {
            let tag = Tag { version: tag.version, bytes: bytes.to_vec() };
            room.service.module_verify_mac(&room.using(), "hook", parts, &tag).map(|used| used.value)
        };
        assert_eq!(verify(&[b"body"], &tag.bytes), Ok(()));
        assert_eq!(verify(&[b"bod", b"y"], &tag.bytes), Err(Error::BadTag));
        assert_eq!(verify(&[b"body"], &tag.bytes[..length - 1]), Err(Error::BadTag));
        assert_eq!(verify(&[b"body"], &[]), Err(Error::BadTag));
        for bytes in flips(&tag.bytes) {
            assert_eq!(verify(&[b"body"], &bytes), Err(Error::BadTag));
        }
    }
}

#[test]
fn a_module_does_what_it_is_for_and_nothing_else() {
    let sealing = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let refused = sealing.service.module_sign(&sealing.using(), "x", &[]).unwrap_err();
    assert_eq!(refused, Error::WrongPurpose { purpose: Purpose::Sealing, operation: Operation::Sign });
    let refused = sealing.service.module_mac(&sealing.using(), "x", &[]).unwrap_err();
    assert_eq!(refused, Error::WrongPurpose { purpose: Purpose::Sealing, operation: Operation::Mac });
}

#[test]
fn who_is_not_allowed_by_a_policy_is_denied_with_the_decision() {
    let room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let stranger = Principal::Service(Service::Peer);
    let using = Use { principal: &stranger, ..room.using() };
    match room.service.module_seal(&using, &[], b"").unwrap_err() {
        Error::PolicyDenied { module, decision } => {
            assert_eq!(module, "room");
            assert!(!decision.allowed);
            assert_eq!(decision.trace.len(), 1);
        }
        other => panic!("{other:?}"),
    }
    let allowed = room.service.module_seal(&room.using(), &[], b"").unwrap();
    assert!(allowed.record.decision.allowed && allowed.record.permission == Permission::Allowed);
}

#[test]
fn a_strict_reject_bound_to_associated_data_denies_for_that_data_only() {
    let mut room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let mut policies = room.module.policies.clone();
    policies.push(AccessPolicy {
        id: [32; 16],
        effect: Effect::StrictReject,
        matcher: Matcher::Anyone,
        rights: Rights::of(&[Right::Seal]),
        condition: Some(Condition { name: "link_id".to_owned(), value: "one".to_owned() }),
        note: String::new(),
    });
    let change = ModuleChange::Govern(policies);
    room.module = room.service.change_module(&room.module, change, NOW).unwrap();
    for (link, allowed) in [("one", false), ("two", true)] {
        let context = Context::nothing().with("link_id", link);
        let using = Use { context: &context, ..room.using() };
        assert_eq!(room.service.module_seal(&using, &[], b"").is_ok(), allowed, "{link}");
    }
}

#[test]
fn each_state_of_a_key_allows_what_its_table_says_and_no_more() {
    use LifecycleVerb::{Compromise, Deactivate, Revoke, Suspend};
    let state = |verb| {
        let mut room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
        let sealed = room.service.module_seal(&room.using(), &[], b"x").unwrap().value;
        room.change(verb);
        let made = room.service.module_seal(&room.using(), &[], b"x").map(|_| ());
        let read = room.service.module_open(&room.using(), &[], &sealed);
        let reasoned = Use { reason: Some("Restoring what it protected."), ..room.using() };
        let alone = room.service.module_open(&reasoned, &[], &sealed).map(|_| ());
        if verb == Compromise {
            let right = Right::OpenCompromised;
            assert_eq!(alone, Err(Error::ApprovalMismatch { right }), "nobody reads under it alone");
        }
        let agreed = room.agreed();
        let reasoned = Use { agreed: Some(&agreed), ..reasoned };
        let told = room.service.module_open(&reasoned, &[], &sealed);
        (made, read.map(|used| used.record.permission), told.map(|used| used.record))
    };
    let (made, read, _) = state(Deactivate);
    assert!(matches!(made, Err(Error::WrongState { state: KeyState::Deactivated, .. })));
    assert_eq!(read, Ok(Permission::Allowed));

    let (made, read, _) = state(Suspend);
    assert!(made.is_err());
    assert!(matches!(read, Err(Error::WrongState { state: KeyState::Suspended, .. })));

    let (made, read, told) = state(Revoke);
    assert!(made.is_err());
    assert_eq!(read, Ok(Permission::Audited));
    assert_eq!(told.unwrap().permission, Permission::Audited);

    let (made, read, told) = state(Compromise);
    assert!(made.is_err());
    assert_eq!(read, Err(Error::ReasonRequired { state: KeyState::Compromised }));
    let record = told.unwrap();
    assert_eq!(record.permission, Permission::WithReason);
    assert_eq!(record.reason.as_deref(), Some("Restoring what it protected."));
}

#[test]
fn an_empty_or_unprintable_reason_is_none() {
    let mut room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let sealed = room.service.module_seal(&room.using(), &[], b"x").unwrap().value;
    room.change(LifecycleVerb::Compromise);
    for reason in ["", "  ", "a\nb", &"x".repeat(501)] {
        let using = Use { reason: Some(reason), ..room.using() };
        let refused = room.service.module_open(&using, &[], &sealed).unwrap_err();
        assert_eq!(refused, Error::ReasonRequired { state: KeyState::Compromised }, "{reason:?}");
    }
}

#[test]
fn expiry_is_judged_at_use_and_stops_only_what_makes() {
    let room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let sealed = room.service.module_seal(&room.using(), &[], b"x").unwrap().value;
    let late = Use { now: NOW + 1000, ..room.using() };
    assert_eq!(room.service.module_seal(&late, &[], b"x"), Err(Error::KeyExpired { at: NOW + 1000 }));
    assert!(room.service.module_open(&late, &[], &sealed).is_ok());
}

#[test]
fn a_draft_a_foreign_key_and_a_changed_row_are_used_for_nothing() {
    let room = Room::new(PortablePurpose::Sealing, Algorithm::Aes256Gcm);
    let other = Room::new(PortablePurpose::Authentication, Algorithm::HmacSha256);
    let foreign = Use { versions: &other.keys, ..room.using() };
    assert_eq!(
        room.service.module_seal(&foreign, &[], b""),
        Err(Error::OtherModule { module: "room".to_owned() })
    );
    let mut revived = room.keys.clone();
    revived[0].expires_at = None;
    let using = Use { versions: &revived, ..room.using() };
    assert_eq!(room.service.module_seal(&using, &[], b""), Err(Error::Tampered { what: "key" }));

    let mut opened = room.module.clone();
    opened.policies[0].matcher = Matcher::Anyone;
    let using = Use { module: &opened, ..room.using() };
    assert_eq!(room.service.module_seal(&using, &[], b""), Err(Error::Tampered { what: "module" }));

    let spec = ModuleSpec {
        id: [33; 16],
        name: "draft".to_owned(),
        purpose: PortablePurpose::Sealing,
        algorithm: Algorithm::Aes256Gcm,
        specification: Specification::STRICT,
    };
    let draft = room.service.create_module(&spec, NOW).unwrap();
    let using = Use { module: &draft, ..room.using() };
    assert!(matches!(room.service.module_seal(&using, &[], b""), Err(Error::WrongModuleState { .. })));
    let none = Use { versions: &[], ..room.using() };
    assert_eq!(
        room.service.module_seal(&none, &[], b""),
        Err(Error::NoActiveKey { module: "room".to_owned() })
    );
}

//! Every call in every state of the key that it is given: nothing is done in a state that forbids it, and a key is
//! destroyed by one call alone. A call that is added stands in no row here, and fails these tests until it does.

use std::slice::from_ref;

use super::*;
use crate::algorithm::Algorithm;
use crate::approval::Agreed;
use crate::checkpoint::{Checkpoint, Note};
use crate::envelope::{Direction, EnvelopeHeader};
use crate::exchange::{Floor, LinkSpec, RegistrationContext, link_id};
use crate::hierarchy::RewrapProgress;
use crate::integrity::LastEntry;
use crate::key::{PortablePurpose, Purpose};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation, Permission};
use crate::module::{ModuleChange, Specification};
use crate::operations::{Signature, Tag};
use crate::policy::{AccessPolicy, Effect, Matcher};
use crate::principal::Service;
use crate::right::Right;
use crate::testing::{NOW, Pair, Run, agreed, in_each_state, module, new_key};
use crate::transfer::{Destination, Recipient, export_subject};
use crate::versions::{KeyChange, Rotation, destruction_subject};

macro_rules! table {
    ($($number:literal $name:ident($($argument:ident: $kind:ident $(<$type:ty>)?),*) -> $answer:ty;)*) => {
        /// The name of every call, and what it takes.
        const CALLS: &[(&str, &[&str])] =
            &[$((stringify!($name), &[$(concat!(stringify!($kind), $(" ", stringify!($type))?)),*])),*];
    };
}

key_service_calls!(table);

const LETTERS: Principal = Principal::Service(Service::Letters);

/// A module of a manager's making, and its key in each state.
struct Room {
    module: SealedModule,
    keys: [SealedKey; KeyState::ALL.len()],
}

impl Room {
    fn new(service: &KeyService, purpose: PortablePurpose, algorithm: Algorithm) -> Self {
        let specification = Specification { exportable: true, ..Specification::STRICT };
        let policy = AccessPolicy {
            id: [1; 16],
            effect: Effect::Track,
            matcher: Matcher::AnyService,
            rights: Right::ALL.iter().copied().filter(|right| right.is_of_a_module()).collect(),
            condition: None,
            note: String::new(),
        };
        let module = module(service, purpose, algorithm, specification);
        let module = service.change_module(&module, ModuleChange::Govern(vec![policy]), NOW).unwrap();
        let new = service.next_version(&module, &[], [20; 16], NOW).unwrap();
        Self { keys: in_each_state(service, &new), module }
    }

    fn using<'a>(&'a self, at: usize, context: &'a Context) -> Use<'a> {
        Use {
            principal: &LETTERS,
            module: &self.module,
            versions: from_ref(&self.keys[at]),
            context,
            reason: None,
            agreed: None,
            now: NOW,
        }
    }
}

/// What one call did with a key: what it needed the state to permit, and what became of it.
struct Tried {
    needs: Option<Operation>,
    done: Result<Vec<SealedKey>, Error>,
}

fn uses<T>(operation: Operation, done: Result<T, Error>) -> Vec<Tried> {
    vec![Tried { needs: Some(operation), done: done.map(|_| Vec::new()) }]
}

fn changes(verb: LifecycleVerb, done: Result<SealedKey, Error>) -> Tried {
    Tried { needs: Some(Operation::Change(verb)), done: done.map(|key| vec![key]) }
}

/// Asks nothing of the state; what comes of it are keys all the same.
fn whatever(done: Result<Vec<SealedKey>, Error>) -> Vec<Tried> {
    vec![Tried { needs: None, done }]
}

/// A service with keys of every kind in every state, and somebody else to exchange keys with.
struct World {
    pair: Pair,
    run: Run,
    identity: [SealedKey; KeyState::ALL.len()],
    data: [SealedKey; KeyState::ALL.len()],
    audit: [SealedKey; KeyState::ALL.len()],
    link: [SealedKey; KeyState::ALL.len()],
    sealing: Room,
    signing: Room,
    authentication: Room,
}

impl World {
    fn new() -> Self {
        let pair = Pair::new();
        let run = pair.run(1);
        let service = &pair.consumer.service;
        let each = |purpose| in_each_state(service, &new_key(service, purpose));
        Self {
            identity: each(Purpose::IdentitySigning),
            data: each(Purpose::DataEncryption),
            audit: each(Purpose::AuditSigning),
            link: in_each_state(service, &run.consumer_key),
            sealing: Room::new(service, PortablePurpose::Sealing, Algorithm::Aes256Gcm),
            signing: Room::new(service, PortablePurpose::Signing, Algorithm::EcdsaP256Sha256),
            authentication: Room::new(service, PortablePurpose::Authentication, Algorithm::HmacSha256),
            run,
            pair,
        }
    }

    fn service(&self) -> &KeyService {
        &self.pair.consumer.service
    }

    fn header(&self, direction: Direction) -> EnvelopeHeader {
        EnvelopeHeader {
            link: self.pair.link(1).link,
            direction,
            epoch: 1,
            message: [1; 16],
            seq: 1,
            kind: "echo".to_owned(),
            route: [2; 32],
            content_type: "text/plain".to_owned(),
            created: NOW / 1000,
            expires: NOW / 1000 + 60,
            in_reply_to: None,
        }
    }

    /// The registration, with this identity as the consumer's.
    fn as_consumer(&self) -> RegistrationContext {
        let consumer_key = self.identity[0].public_key().unwrap();
        RegistrationContext { consumer_key, ..self.pair.context.clone() }
    }

    /// The same the other way round: the other side asks, and this one answers.
    fn as_provider(&self) -> RegistrationContext {
        let context = &self.pair.context;
        RegistrationContext {
            provider_instance: context.consumer_instance,
            provider_key: self.identity[0].public_key().unwrap(),
            consumer_instance: context.provider_instance,
            consumer_key: context.provider_key,
            ..context.clone()
        }
    }

    /// The call with the key in the state at this place of [`KeyState::ALL`]; nothing for one that is given no key.
    fn call(&self, name: &str, at: usize) -> Vec<Tried> {
        match name {
            "sign" | "sign_jws" | "seal" | "open_sealed" | "sign_checkpoint" | "countersign" => {
                self.with_own_key(name, at)
            }
            "initiate" | "conclude" | "respond" | "finish" | "retire" | "destroy_link" | "seal_message"
            | "open_message" => self.with_a_peer(name, at),
            "authorise" | "module_seal" | "module_open" | "module_sign" | "module_verify" | "module_mac"
            | "module_verify_mac" | "export" => self.with_a_module(name, at),
            "rotate" | "activate" | "change_key" | "destroy" | "next_version" | "rewrap" | "report"
            | "compare_with_audit" => self.on_a_key(name, at),
            // What comes of `confirm`, `generate` and `import` is a new key; the others know no keys of modules.
            "generate"
            | "mac"
            | "abandon"
            | "confirm"
            | "create_module"
            | "built_in_module"
            | "change_module"
            | "check_module"
            | "key_encryption_keys"
            | "add_key_encryption_key"
            | "rewrap_pending"
            | "retire_key_encryption_keys"
            | "adopt"
            | "rotate_root_to_next"
            | "adopt_root"
            | "offer_import"
            | "import" => Vec::new(),
            other => panic!("{other} stands in no row of this table"),
        }
    }

    fn with_own_key(&self, name: &str, at: usize) -> Vec<Tried> {
        let (service, data, identity) = (self.service(), &self.data[at], &self.identity[at]);
        let checkpoint = Checkpoint { origin: "a.example/1".to_owned(), size: 1, root: [1; 32] };
        match name {
            "sign" => uses(Operation::Sign, service.sign(identity, "label", &[], NOW)),
            "sign_jws" => uses(Operation::Sign, service.sign_jws(identity, b"a.b", NOW)),
            "seal" => uses(Operation::Seal, service.seal(data, &[], b"secret", NOW)),
            "open_sealed" => {
                let sealed = service.seal(&self.data[1], &[], b"secret", NOW).unwrap();
                uses(Operation::Open, service.open_sealed(data, &[], &sealed, NOW))
            }
            "sign_checkpoint" => {
                uses(Operation::Sign, service.sign_checkpoint(&self.audit[at], &checkpoint, NOW))
            }
            _ => {
                let note = Note::unsigned(checkpoint.text()).unwrap();
                uses(Operation::Sign, service.countersign(identity, "b.example", &note, NOW))
            }
        }
    }

    fn with_a_peer(&self, name: &str, at: usize) -> Vec<Tried> {
        let (service, identity, link) = (self.service(), &self.identity[at], &self.link[at]);
        let (other, others) = (&self.pair.provider.service, &self.pair.provider.identity);
        match name {
            "initiate" => uses(Operation::Sign, service.initiate(identity, &self.as_consumer(), 1, NOW)),
            "conclude" => {
                let context = self.as_consumer();
                let (id, m1) = service.initiate(&self.identity[1], &context, 1, NOW).unwrap();
                let (m2, _) = other.respond(others, &context, &m1, Floor::default(), NOW).unwrap();
                let link = LinkSpec { key_id: [3; 16], link: link_id(&context), epoch: 1 };
                uses(Operation::Sign, service.conclude(id, identity, &m2, link, NOW))
            }
            "respond" => {
                let context = self.as_provider();
                let (_, m1) = other.initiate(others, &context, 1, NOW).unwrap();
                uses(Operation::Sign, service.respond(identity, &context, &m1, Floor::default(), NOW))
            }
            "finish" => {
                let done = service.finish(&self.run.consumer_pending, link, &self.run.m4, NOW);
                vec![changes(LifecycleVerb::Activate, done)]
            }
            "retire" => vec![changes(LifecycleVerb::Rotate, service.retire(link, NOW))],
            "destroy_link" => vec![changes(LifecycleVerb::Destroy, service.destroy_link(link, NOW))],
            "seal_message" => {
                let header = self.header(Direction::ConsumerToProvider);
                uses(Operation::Seal, service.seal_message(link, &header, b"", NOW))
            }
            _ => {
                let header = self.header(Direction::ProviderToConsumer);
                let envelope = other.seal_message(&self.run.provider_key, &header, b"", NOW).unwrap();
                let done = service.open_message(link, &envelope, NOW);
                if link.state == KeyState::Revoked {
                    // Stricter than the table, which speaks of what is at rest.
                    let operation = Operation::Open;
                    assert_eq!(done, Err(Error::WrongState { state: link.state, operation }));
                    return Vec::new();
                }
                uses(Operation::Open, done)
            }
        }
    }

    fn with_a_module(&self, name: &str, at: usize) -> Vec<Tried> {
        let (service, context) = (self.service(), Context::nothing());
        let Self { sealing, signing, authentication, .. } = self;
        match name {
            "authorise" => [sealing, signing, authentication]
                .into_iter()
                .flat_map(|room| {
                    let [makes, reads] = room.module.purpose.operations();
                    let using = room.using(at, &context);
                    let made = uses(makes, service.authorise(&using, makes, None));
                    made.into_iter().chain(uses(reads, service.authorise(&using, reads, Some(1))))
                })
                .collect(),
            "module_seal" => {
                uses(Operation::Seal, service.module_seal(&sealing.using(at, &context), &[], b""))
            }
            "module_open" => {
                let sealed = service.module_seal(&sealing.using(1, &context), &[], b"").unwrap().value;
                uses(Operation::Open, service.module_open(&sealing.using(at, &context), &[], &sealed))
            }
            "module_sign" => {
                uses(Operation::Sign, service.module_sign(&signing.using(at, &context), "label", &[]))
            }
            "module_verify" => {
                let signature: Signature =
                    service.module_sign(&signing.using(1, &context), "label", &[]).unwrap().value;
                let using = signing.using(at, &context);
                uses(Operation::Verify, service.module_verify(&using, "label", &[], &signature))
            }
            "module_mac" => {
                uses(Operation::Mac, service.module_mac(&authentication.using(at, &context), "label", &[]))
            }
            "module_verify_mac" => {
                let tag: Tag =
                    service.module_mac(&authentication.using(1, &context), "label", &[]).unwrap().value;
                let using = authentication.using(at, &context);
                uses(Operation::VerifyMac, service.module_verify_mac(&using, "label", &[], &tag))
            }
            _ => {
                let (key, to) = (&sealing.keys[at], Destination::of(Recipient::generate().unwrap().public()));
                let agreed = agreed(export_subject(&sealing.module.name, &key.id, &to));
                uses(Operation::Export, service.export(&sealing.module, key, &to, &agreed, NOW))
            }
        }
    }

    fn on_a_key(&self, name: &str, at: usize) -> Vec<Tried> {
        let (service, Room { module, keys }) = (self.service(), &self.sealing);
        let versions = from_ref(&keys[at]);
        match name {
            "rotate" => {
                let rotated = service.rotate(module, versions, [21; 16], NOW);
                whatever(
                    rotated.map(|Rotation { made, retired }| {
                        [Some(made), retired].into_iter().flatten().collect()
                    }),
                )
            }
            "activate" => {
                let done = service.activate(module, versions, 1, NOW);
                vec![changes(LifecycleVerb::Activate, done.map(|rotation| rotation.made))]
            }
            "change_key" => every_change()
                .iter()
                .map(|change| changes(change.verb(), service.change_key(module, versions, 1, change, NOW)))
                .collect(),
            "destroy" => {
                let agreed = agreed(destruction_subject(module, &keys[at]));
                vec![changes(LifecycleVerb::Destroy, service.destroy(module, &keys[at], &agreed, NOW))]
            }
            "next_version" => {
                whatever(service.next_version(module, versions, [21; 16], NOW).map(|key| vec![key]))
            }
            "rewrap" => whatever(service.rewrap(versions)),
            "report" => {
                let report = service.report(from_ref(module), versions, None, NOW);
                assert!(!report.components.is_empty());
                Vec::new()
            }
            _ => {
                let key = &keys[at];
                let (key, module, state, state_seq) = (key.id, key.module.clone(), key.state, key.state_seq);
                let said = [LastEntry { key, module, state, state_seq }];
                assert_eq!(service.compare_with_audit(versions, &said), Ok(Vec::new()));
                Vec::new()
            }
        }
    }
}

fn every_change() -> [KeyChange; 7] {
    let reason = || "Because.".to_owned();
    [
        KeyChange::Activate,
        KeyChange::Suspend { reason: reason() },
        KeyChange::Resume,
        KeyChange::Renew { expires_at: None },
        KeyChange::Deactivate,
        KeyChange::Revoke { reason: reason() },
        KeyChange::Compromise { reason: reason() },
    ]
}

#[test]
fn no_call_does_with_a_key_what_its_state_forbids() {
    let world = World::new();
    let mut tried = 0;
    for (name, _) in CALLS {
        for (at, state) in KeyState::ALL.into_iter().enumerate() {
            for Tried { needs, done } in world.call(name, at) {
                tried += 1;
                let permitted = needs.map_or(Permission::Allowed, |operation| state.permits(operation));
                match permitted {
                    Permission::Allowed | Permission::Audited => {
                        assert!(done.is_ok(), "{name} of a key that is {state}: {done:?}");
                    }
                    Permission::Never => {
                        let refused =
                            matches!(done, Err(Error::WrongState { state: named, .. }) if named == state);
                        assert!(refused, "{name} of a key that is {state}: {done:?}");
                    }
                    Permission::WithReason => {
                        let refused = matches!(
                            done,
                            Err(Error::WrongState { state: named, .. } | Error::ReasonRequired { state: named })
                                if named == state
                        );
                        assert!(refused, "{name} of a key that is {state}, without a reason: {done:?}");
                    }
                }
            }
        }
    }
    assert!(tried > 200, "only {tried} uses were tried");
}

#[test]
fn a_key_is_destroyed_with_the_approval_of_a_second_person_or_with_the_link_that_it_was_of() {
    let world = World::new();
    let mut destroyed_by = Vec::new();
    for (name, arguments) in CALLS {
        assert!(
            !arguments.iter().any(|argument| argument.contains("LifecycleVerb")),
            "{name} is told by its caller what to do to a key"
        );
        assert!(
            !arguments.iter().any(|argument| argument.contains("RootSource")),
            "{name} is told by its caller where a root key is"
        );
        for (at, state) in KeyState::ALL.into_iter().enumerate() {
            let made = world.call(name, at).into_iter().filter_map(|tried| tried.done.ok()).flatten();
            let destroyed = made.filter(|key| key.state == KeyState::Destroyed).count();
            if destroyed > 0 && state != KeyState::Destroyed {
                destroyed_by.push(*name);
            }
        }
    }
    destroyed_by.dedup();
    assert_eq!(destroyed_by, ["destroy", "destroy_link"]);
    let (_, arguments) = CALLS.iter().find(|(name, _)| *name == "destroy").unwrap();
    assert!(arguments.iter().any(|argument| argument.contains("Agreed")), "{arguments:?}");

    let (service, Room { module, keys }) = (world.service(), &world.sealing);
    for key in keys {
        let ended = service.destroy_link(key, NOW);
        assert!(matches!(ended, Err(Error::WrongPurpose { .. })), "{}: no key of a link", key.state);
        let of_another: Agreed = agreed(destruction_subject(module, &world.link[0]));
        let refused = service.destroy(module, key, &of_another, NOW);
        assert_eq!(refused, Err(Error::ApprovalMismatch { right: Right::Destroy }), "{}", key.state);
    }
}

#[test]
fn every_call_is_known_by_a_number_of_its_own() {
    let progress = RewrapProgress { newest: 1, total: 0, remaining: 0 };
    assert_eq!(name(&request::retire_key_encryption_keys(progress)), "retire_key_encryption_keys");
    let known: Vec<&str> =
        (0..=u8::MAX).map(|number| name(&[number])).filter(|name| *name != "unknown").collect();
    let mut all: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known.len(), all.len());
    all.retain(|name| !known.contains(name));
    assert_eq!(all, [""; 0]);
}

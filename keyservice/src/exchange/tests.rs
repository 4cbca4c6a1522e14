//! The exchange under attack: whatever is changed, moved or weak is refused.

mod flips;
mod known_answers;

use data_encoding::HEXLOWER;

use crate::error::Error;
use crate::exchange::schedule::{Identities, provider_signature_input, transcript_1, transcript_2};
use crate::exchange::{Floor, LinkSpec, M1, M2, RegistrationContext, SUITE_1, VERSION_1, link_id};
use crate::lifecycle::{KeyState, LifecycleVerb};
use crate::testing::{NOW, Pair, Run, Side};

#[test]
fn both_sides_end_with_the_same_keys_and_every_run_with_others() {
    let pair = Pair::new();
    let mut codes = Vec::new();
    for _ in 0..3 {
        let (provider_key, consumer_key) = pair.linked();
        assert_eq!(provider_key.state, KeyState::Active);
        assert_eq!(consumer_key.state, KeyState::Active);
        assert_eq!(provider_key.module, consumer_key.module);
        let code = pair.provider.service.compare_code(&provider_key, NOW).unwrap();
        assert_eq!(code, pair.consumer.service.compare_code(&consumer_key, NOW).unwrap());
        assert_eq!(code.len(), 24);
        codes.push(code);
    }
    codes.dedup();
    assert_eq!(codes.len(), 3);
}

#[test]
fn a_message_made_for_one_registration_is_refused_in_every_other() {
    let pair = Pair::new();
    let stranger = Side::new(3).identity.public_key().unwrap();
    type Change = fn(&mut RegistrationContext);
    let changes: [(&str, Change); 10] = [
        ("registration", |context| context.registration.push('0')),
        ("provider origin", |context| context.provider_origin.push('m')),
        ("provider instance", |context| context.provider_instance[0] ^= 1),
        ("consumer origin", |context| context.consumer_origin.push('m')),
        ("consumer instance", |context| context.consumer_instance[0] ^= 1),
        ("company", |context| context.company[0] ^= 1),
        ("contact", |context| context.contact[0] ^= 1),
        ("link", |context| context.link_digest[0] ^= 1),
        ("claim", |context| context.claim[0] ^= 1),
        ("approval", |context| context.auth_event[0] ^= 1),
    ];
    let mut others: Vec<(&str, RegistrationContext)> = changes
        .into_iter()
        .map(|(name, change)| {
            let mut other = pair.context.clone();
            change(&mut other);
            (name, other)
        })
        .collect();
    others.push(("token", RegistrationContext { token_digest: [0; 32], ..pair.context.clone() }));
    others.push(("provider key", RegistrationContext { provider_key: stranger, ..pair.context.clone() }));
    others.push(("consumer key", RegistrationContext { consumer_key: stranger, ..pair.context.clone() }));

    let Pair { provider, consumer, context } = &pair;
    for (name, other) in others {
        let (id, m1) = consumer.service.initiate(&consumer.identity, context, 1, NOW).unwrap();
        let answer = provider.service.respond(&provider.identity, &other, &m1, Floor::default(), NOW);
        let refused = match answer {
            Err(error) => error,
            Ok((m2, _)) => {
                consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), NOW).unwrap_err()
            }
        };
        assert!(
            matches!(refused, Error::BadSignature | Error::ContextMismatch { .. }),
            "another {name}: {refused:?}"
        );
    }
}

#[test]
fn an_impostor_who_says_everything_right_but_has_another_key_is_refused() {
    let pair = Pair::new();
    let Pair { provider, consumer, context } = &pair;
    let unexpected = |what| Error::ContextMismatch { what };

    let impostor = Side::posing_as(3, 1);
    let provider_key = impostor.identity.public_key().unwrap();
    let theirs = RegistrationContext { provider_key, ..context.clone() };
    let (id, m1) = consumer.service.initiate(&consumer.identity, context, 1, NOW).unwrap();
    let (m2, _) = impostor.service.respond(&impostor.identity, &theirs, &m1, Floor::default(), NOW).unwrap();
    let refused = consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), NOW);
    assert_eq!(refused.unwrap_err(), unexpected("provider key"));

    let impostor = Side::posing_as(3, 2);
    let consumer_key = impostor.identity.public_key().unwrap();
    let theirs = RegistrationContext { consumer_key, ..context.clone() };
    let (_, m1) = impostor.service.initiate(&impostor.identity, &theirs, 1, NOW).unwrap();
    let refused = provider.service.respond(&provider.identity, context, &m1, Floor::default(), NOW);
    assert_eq!(refused.unwrap_err(), unexpected("consumer key"));
}

#[test]
fn a_weak_identity_key_is_refused_before_anything_else() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, NOW).unwrap();
    let (m2, _) = pair.respond(&m1).unwrap();
    for low in [0, 1] {
        let mut public_key = [0; 32];
        public_key[0] = low;
        assert_eq!(pair.respond(&M1 { public_key, ..m1.clone() }).unwrap_err(), Error::WeakKey);
    }
    let weak = M2 { public_key: [0; 32], ..m2 };
    let refused = consumer.service.conclude(id, &consumer.identity, &weak, pair.link(1), NOW);
    assert_eq!(refused.unwrap_err(), Error::WeakKey);
}

#[test]
fn oversized_messages_are_refused() {
    let pair = Pair::new();
    let (_, m1) = pair.consumer.service.initiate(&pair.consumer.identity, &pair.context, 1, NOW).unwrap();
    for large in [
        M1 { offer_suites: vec![SUITE_1; 17], ..m1.clone() },
        M1 { offer_versions: Vec::new(), ..m1.clone() },
        M1 { origin: "x".repeat(301), ..m1.clone() },
    ] {
        assert_eq!(pair.respond(&large).unwrap_err(), Error::TooLarge { what: "M1" });
    }
}

#[test]
fn a_stripped_or_unknown_offer_is_refused() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    let offer = |suites: &[u16]| {
        consumer.service.initiate_offering(&consumer.identity, &pair.context, 1, suites, NOW).unwrap()
    };

    let (id, mut stripped) = offer(&[2, SUITE_1]);
    stripped.offer_suites.remove(0);
    let (m2, _) = pair.respond(&stripped).unwrap();
    let refused = consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), NOW);
    assert_eq!(refused.unwrap_err(), Error::BadSignature);

    let (id, m1) = offer(&[2, SUITE_1]);
    let (mut m2, _) = pair.respond(&m1).unwrap();
    m2.suite = 2;
    let refused = consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), NOW);
    assert_eq!(refused.unwrap_err(), Error::SuiteUnsupported);

    let (_, m1) = offer(&[2]);
    assert_eq!(pair.respond(&m1).unwrap_err(), Error::SuiteUnsupported);

    let (_, mut m1) = offer(&[SUITE_1]);
    m1.offer_versions = vec![2];
    assert_eq!(pair.respond(&m1).unwrap_err(), Error::VersionUnsupported);
}

#[test]
fn a_link_refuses_less_than_its_floor() {
    let pair = Pair::new();
    let (_, m1) = pair.consumer.service.initiate(&pair.consumer.identity, &pair.context, 1, NOW).unwrap();
    let respond =
        |floor| pair.provider.service.respond(&pair.provider.identity, &pair.context, &m1, floor, NOW);
    let above = Floor { version: VERSION_1, suite: SUITE_1 + 1 };
    assert_eq!(respond(above).unwrap_err(), Error::SuiteUnsupported);
    let above = Floor { version: VERSION_1 + 1, suite: SUITE_1 };
    assert_eq!(respond(above).unwrap_err(), Error::VersionUnsupported);
}

#[test]
fn an_ephemeral_key_of_low_order_is_refused_in_both_directions() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    for point in crate::testing::LOW_ORDER_X25519 {
        let point: [u8; 32] = HEXLOWER.decode(point.as_bytes()).unwrap().try_into().unwrap();
        for point in [point, with_high_bit(point)] {
            let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, NOW).unwrap();
            let (m2, _) = pair.respond(&m1).unwrap();

            let mut weak = m1.clone();
            weak.ephemeral = point;
            assert_eq!(pair.respond(&weak).unwrap_err(), Error::WeakEphemeral);

            // The provider itself is the attacker: its signature over the weak key is right.
            let mut weak = M2 { ephemeral: point, ..m2 };
            let th2 = transcript_2(&transcript_1(&pair.context.digest(), &m1), &weak);
            weak.signature = pair
                .provider
                .service
                .exchange_signature(&pair.provider.identity, &provider_signature_input(&th2), NOW)
                .unwrap();
            let refused = consumer.service.conclude(id, &consumer.identity, &weak, pair.link(1), NOW);
            assert_eq!(refused.unwrap_err(), Error::WeakEphemeral);
        }
    }
}

fn with_high_bit(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

#[test]
fn a_right_signature_without_the_agreed_key_is_refused() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, NOW).unwrap();
    let (mut m2, _) = pair.respond(&m1).unwrap();
    m2.mac[0] ^= 1;
    let refused = consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), NOW);
    assert_eq!(refused.unwrap_err(), Error::KeyConfirmationFailed);

    let run = pair.run(2);
    let mut m3 = run.m3;
    m3.mac[0] ^= 1;
    assert_eq!(pair.confirm(&run.provider_pending, &m3).unwrap_err(), Error::KeyConfirmationFailed);
}

#[test]
fn a_confirmation_binds_both_identities() {
    let secrets = super::schedule::agree(&[1; 32], &[2; 32]).unwrap();
    let (one, two, three) = ([1; 32], [2; 32], [3; 32]);
    let mac =
        |provider, consumer| secrets.provider_mac(&[1; 32], &Identities { provider, consumer }, &[0; 64]);
    let mut all = vec![mac(&one, &two), mac(&two, &one), mac(&one, &three), mac(&three, &two)];
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn a_proof_of_one_attempt_is_refused_in_another() {
    let pair = Pair::new();
    let (first, second) = (pair.run(1), pair.run(2));
    assert_eq!(pair.confirm(&second.provider_pending, &first.m3).unwrap_err(), Error::OtherAttempt);
    let mut relabelled = first.m3.clone();
    relabelled.attempt = 2;
    assert_eq!(pair.confirm(&second.provider_pending, &relabelled).unwrap_err(), Error::BadSignature);

    let finish =
        |run: &Run, m4| pair.consumer.service.finish(&run.consumer_pending, &run.consumer_key, m4, NOW);
    assert_eq!(finish(&second, &first.m4).unwrap_err(), Error::OtherAttempt);
    let mut relabelled = first.m4.clone();
    relabelled.attempt = 2;
    assert_eq!(finish(&second, &relabelled).unwrap_err(), Error::KeyConfirmationFailed);
    assert!(finish(&second, &second.m4).is_ok());
}

#[test]
fn a_repeated_proof_gives_the_same_keys_again() {
    // The caller answers repetitions from storage; if it did not, nothing would break.
    let pair = Pair::new();
    let run = pair.run(1);
    let (m4, again) = pair.confirm(&run.provider_pending, &run.m3).unwrap();
    assert_eq!(m4, run.m4);
    let code = |key| pair.provider.service.compare_code(key, NOW).unwrap();
    assert_eq!(code(&again), code(&run.provider_key));
}

#[test]
fn an_exchange_is_concluded_once_and_in_time() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, NOW).unwrap();
    let (m2, _) = pair.respond(&m1).unwrap();
    let conclude = |id, now| consumer.service.conclude(id, &consumer.identity, &m2, pair.link(1), now);
    assert!(conclude(id, NOW).is_ok());
    assert_eq!(conclude(id, NOW).unwrap_err(), Error::ExchangeUnknown);

    let (id, _) = consumer.service.initiate(&consumer.identity, &pair.context, 2, NOW).unwrap();
    assert_eq!(conclude(id, NOW + 120_001).unwrap_err(), Error::ExchangeUnknown);
}

#[test]
fn exchanges_in_progress_are_bounded_and_forgotten() {
    let pair = Pair::new();
    let begin = |now| pair.consumer.service.initiate(&pair.consumer.identity, &pair.context, 1, now);
    for _ in 0..256 {
        begin(NOW).unwrap();
    }
    assert_eq!(begin(NOW).unwrap_err(), Error::ExchangesFull);
    assert!(begin(NOW + 120_001).is_ok());

    let (id, _) = begin(NOW + 120_001).unwrap();
    pair.consumer.service.abandon(id);
    let (m2, _) = pair.respond(&begin(NOW + 120_001).unwrap().1).unwrap();
    let concluded =
        pair.consumer.service.conclude(id, &pair.consumer.identity, &m2, pair.link(1), NOW + 120_001);
    assert_eq!(concluded.unwrap_err(), Error::ExchangeUnknown);
}

#[test]
fn a_pending_attempt_belongs_to_one_side_of_one_link() {
    let pair = Pair::new();
    let run = pair.run(1);
    let other = LinkSpec { link: [0; 16], ..pair.link(1) };
    let tampered = Error::Tampered { what: "pending attempt" };
    let confirm = |link| pair.provider.service.confirm(&run.provider_pending, &run.m3, 1, link, NOW);
    assert_eq!(confirm(other).unwrap_err(), tampered);
    assert_eq!(
        pair.consumer.service.finish(&run.provider_pending, &run.consumer_key, &run.m4, NOW).unwrap_err(),
        tampered
    );
}

#[test]
fn only_an_active_identity_takes_part() {
    let pair = Pair::new();
    let service = &pair.consumer.service;
    let suspended = service.transition(&pair.consumer.identity, LifecycleVerb::Suspend, NOW).unwrap();
    let (id, m1) = service.initiate(&pair.consumer.identity, &pair.context, 1, NOW).unwrap();
    let (m2, _) = pair.respond(&m1).unwrap();
    let refused = service.conclude(id, &suspended, &m2, pair.link(1), NOW);
    assert!(matches!(refused.unwrap_err(), Error::WrongState { state: KeyState::Suspended, .. }));
}

#[test]
fn the_link_id_is_that_of_the_context() {
    let pair = Pair::new();
    let consumer = &pair.consumer;
    let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, NOW).unwrap();
    let (m2, _) = pair.respond(&m1).unwrap();
    let other = LinkSpec { link: [0; 16], ..pair.link(1) };
    assert_ne!(other.link, link_id(&pair.context));
    let refused = consumer.service.conclude(id, &consumer.identity, &m2, other, NOW);
    assert_eq!(refused.unwrap_err(), Error::ContextMismatch { what: "link" });
}

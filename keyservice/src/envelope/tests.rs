use data_encoding::HEXLOWER;

use super::*;
use crate::lifecycle::LifecycleVerb;
use crate::testing::{NOW, Pair, flips};

const SECONDS: i64 = NOW / 1000;

fn header(link: [u8; 16]) -> EnvelopeHeader {
    EnvelopeHeader {
        link,
        direction: Direction::ConsumerToProvider,
        epoch: 1,
        message: [0x72; 16],
        seq: 9,
        kind: "echo".to_owned(),
        route: [0x73; 32],
        content_type: "application/json".to_owned(),
        created: SECONDS,
        expires: SECONDS + 60,
        in_reply_to: Some(([0x74; 16], [0x75; 32])),
    }
}

#[test]
fn an_envelope_has_the_known_ciphertext() {
    // Computed by another implementation: Python's `hmac` and the AESGCM of its `cryptography` package.
    let key = Secret::new(Box::new([0x55; 32]));
    let sealed = seal_with(&key, &header([0x71; 16]), &[0x66; 32], br#"{"echo":true}"#).unwrap();
    assert_eq!(
        HEXLOWER.encode(&sealed.ciphertext),
        "cd3de19b35e6819fdea549654b130cc51c4af8fd9557fa90321eac0c40"
    );
}

#[test]
fn messages_go_both_ways() {
    let pair = Pair::new();
    let (provider_key, consumer_key) = pair.linked();
    let mut header = header(pair.link(1).link);
    let (provider, consumer) = (&pair.provider.service, &pair.consumer.service);

    let request = consumer.seal_message(&consumer_key, &header, b"ping", NOW).unwrap();
    assert_eq!(provider.open_message(&provider_key, &request, NOW).unwrap(), b"ping");

    header.direction = Direction::ProviderToConsumer;
    header.in_reply_to = Some((request.header.message, request.ciphertext_digest()));
    let answer = provider.seal_message(&provider_key, &header, b"", NOW).unwrap();
    assert_eq!(consumer.open_message(&consumer_key, &answer, NOW).unwrap(), b"");
}

#[test]
fn the_same_message_is_never_the_same_ciphertext() {
    let pair = Pair::new();
    let (_, key) = pair.linked();
    let header = header(pair.link(1).link);
    let seal = || pair.consumer.service.seal_message(&key, &header, b"ping", NOW).unwrap();
    let (first, second) = (seal(), seal());
    assert_ne!(first.salt, second.salt);
    assert_ne!(first.ciphertext, second.ciphertext);
    assert_ne!(first.ciphertext_digest(), second.ciphertext_digest());
}

/// For each bit of a field, the envelope with that bit flipped.
fn flipped(sealed: &Envelope, bytes: &[u8], set: impl Fn(&mut Envelope, Vec<u8>)) -> Vec<Envelope> {
    flips(bytes)
        .map(|bytes| {
            let mut envelope = sealed.clone();
            set(&mut envelope, bytes);
            envelope
        })
        .collect()
}

fn flips_of(sealed: &Envelope) -> Vec<Envelope> {
    let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let header = &sealed.header;
    let (request, digest) = header.in_reply_to.unwrap();
    let mut all = flipped(sealed, &[sealed.v], |e, bytes| e.v = bytes[0]);
    all.extend(flipped(sealed, &header.link, |e, bytes| e.header.link = bytes.try_into().unwrap()));
    all.extend(flipped(sealed, &header.epoch.to_le_bytes(), |e, bytes| e.header.epoch = number(bytes)));
    all.extend(flipped(sealed, &header.message, |e, bytes| e.header.message = bytes.try_into().unwrap()));
    all.extend(flipped(sealed, &header.seq.to_le_bytes(), |e, bytes| e.header.seq = number(bytes)));
    all.extend(flipped(sealed, header.kind.as_bytes(), |e, bytes| e.header.kind = text(bytes)));
    all.extend(flipped(sealed, &header.route, |e, bytes| e.header.route = bytes.try_into().unwrap()));
    all.extend(flipped(sealed, header.content_type.as_bytes(), |e, bytes| {
        e.header.content_type = text(bytes);
    }));
    all.extend(flipped(sealed, &header.created.to_le_bytes(), |e, bytes| {
        e.header.created = number(bytes).cast_signed();
    }));
    all.extend(flipped(sealed, &header.expires.to_le_bytes(), |e, bytes| {
        e.header.expires = number(bytes).cast_signed();
    }));
    all.extend(flipped(sealed, &request, |e, bytes| {
        e.header.in_reply_to = Some((bytes.try_into().unwrap(), digest));
    }));
    all.extend(flipped(sealed, &digest, |e, bytes| {
        e.header.in_reply_to = Some((request, bytes.try_into().unwrap()));
    }));
    all.extend(flipped(sealed, &sealed.salt, |e, bytes| e.salt = bytes.try_into().unwrap()));
    all.extend(flipped(sealed, &sealed.ciphertext, |e, bytes| e.ciphertext = bytes));
    all
}

#[test]
fn every_flipped_bit_of_an_envelope_is_refused() {
    let pair = Pair::new();
    let (provider_key, consumer_key) = pair.linked();
    let header = header(pair.link(1).link);
    let sealed = pair.consumer.service.seal_message(&consumer_key, &header, b"ping", NOW).unwrap();
    let open = |envelope: &Envelope| pair.provider.service.open_message(&provider_key, envelope, NOW);
    assert!(open(&sealed).is_ok());

    let all = flips_of(&sealed);
    for envelope in &all {
        assert!(open(envelope).is_err(), "{envelope:?}");
    }
    println!("{} single-bit flips of an envelope refused", all.len());

    let mut request = sealed.clone();
    request.header.in_reply_to = None;
    assert_eq!(open(&request), Err(Error::Tampered { what: "envelope" }));
    let mut turned = sealed;
    turned.header.direction = Direction::ProviderToConsumer;
    assert_eq!(open(&turned), Err(Error::WrongDirection));
}

#[test]
fn a_message_fits_its_link_epoch_and_direction() {
    let pair = Pair::new();
    let (provider_key, consumer_key) = pair.linked();
    let right = header(pair.link(1).link);
    let seal = |header: &EnvelopeHeader| pair.consumer.service.seal_message(&consumer_key, header, b"", NOW);
    assert_eq!(seal(&header([0; 16])).unwrap_err(), Error::OtherLink);
    assert_eq!(
        seal(&EnvelopeHeader { epoch: 2, ..right.clone() }).unwrap_err(),
        Error::OtherEpoch { epoch: 2 }
    );
    let turned = EnvelopeHeader { direction: Direction::ProviderToConsumer, ..right.clone() };
    assert_eq!(seal(&turned).unwrap_err(), Error::WrongDirection);

    // Our own message, sent back to us.
    let sealed = seal(&right).unwrap();
    let reflected = pair.consumer.service.open_message(&consumer_key, &sealed, NOW);
    assert_eq!(reflected, Err(Error::WrongDirection));

    // The keys of another run in the same place.
    let (other_key, _) = pair.linked();
    let refused = pair.provider.service.open_message(&other_key, &sealed, NOW);
    assert_eq!(refused, Err(Error::Tampered { what: "envelope" }));
    assert!(pair.provider.service.open_message(&provider_key, &sealed, NOW).is_ok());
}

#[test]
fn a_message_is_read_in_its_time_only() {
    let pair = Pair::new();
    let (provider_key, consumer_key) = pair.linked();
    let long = EnvelopeHeader { expires: SECONDS + 1_000_000, ..header(pair.link(1).link) };
    let short = header(pair.link(1).link);
    let seal = |header| pair.consumer.service.seal_message(&consumer_key, header, b"", NOW).unwrap();
    let open = |envelope: &Envelope, seconds: i64| {
        pair.provider.service.open_message(&provider_key, envelope, (SECONDS + seconds) * 1000).map(|_| ())
    };
    let (long, short) = (seal(&long), seal(&short));
    assert_eq!(open(&long, 24 * 3600), Ok(()));
    assert_eq!(open(&long, 24 * 3600 + 1), Err(Error::TooOld));
    assert_eq!(open(&long, -300), Ok(()));
    assert_eq!(open(&long, -301), Err(Error::FromTheFuture));
    assert_eq!(open(&short, 59), Ok(()));
    assert_eq!(open(&short, 60), Err(Error::TooOld));
}

#[test]
fn a_link_key_out_of_use_seals_nothing_and_a_revoked_one_opens_nothing() {
    let pair = Pair::new();
    let (provider_key, consumer_key) = pair.linked();
    let header = header(pair.link(1).link);
    let (provider, consumer) = (&pair.provider.service, &pair.consumer.service);
    let sealed = consumer.seal_message(&consumer_key, &header, b"", NOW).unwrap();
    for (verb, opens) in [
        (LifecycleVerb::Suspend, false),
        (LifecycleVerb::Rotate, true),
        (LifecycleVerb::Revoke, false),
        (LifecycleVerb::Compromise, false),
    ] {
        let ours = consumer.transition(&consumer_key, verb, NOW).unwrap();
        assert!(consumer.seal_message(&ours, &header, b"", NOW).is_err(), "{verb:?}");
        let theirs = provider.transition(&provider_key, verb, NOW).unwrap();
        assert_eq!(provider.open_message(&theirs, &sealed, NOW).is_ok(), opens, "{verb:?}");
    }
}

#[test]
fn sizes_and_names_are_bounded() {
    let pair = Pair::new();
    let (_, key) = pair.linked();
    let right = header(pair.link(1).link);
    let seal = |header: &EnvelopeHeader, size: usize| {
        pair.consumer.service.seal_message(&key, header, &vec![0; size], NOW).map(|_| ())
    };
    assert_eq!(seal(&right, MAX_PLAINTEXT), Ok(()));
    assert_eq!(seal(&right, MAX_PLAINTEXT + 1), Err(Error::TooLarge { what: "message" }));
    for kind in [String::new(), "x".repeat(129), "a\nb".to_owned()] {
        let header = EnvelopeHeader { kind, ..right.clone() };
        assert_eq!(seal(&header, 0), Err(Error::Malformed { what: "envelope header" }));
    }
}

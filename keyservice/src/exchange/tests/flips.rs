//! Every single bit of every field of every message.

use crate::error::Error;
use crate::exchange::schedule::{transcript_1, transcript_2, transcript_3};
use crate::exchange::{M1, M2, M3, M4};
use crate::testing::{NOW, Pair, flips};

/// For each bit of a field, the message with that bit flipped.
fn flipped<M: Clone>(message: &M, bytes: &[u8], set: impl Fn(&mut M, Vec<u8>)) -> Vec<M> {
    flips(bytes)
        .map(|bytes| {
            let mut message = message.clone();
            set(&mut message, bytes);
            message
        })
        .collect()
}

fn u64_of(bytes: Vec<u8>) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn u16_of(bytes: Vec<u8>) -> u16 {
    u16::from_le_bytes(bytes.try_into().unwrap())
}

/// Where the flip leaves no text, another character takes the place: such a field could not even be decoded.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn flips_of_m1(m1: &M1) -> Vec<M1> {
    let mut all = flipped(m1, &m1.attempt.to_le_bytes(), |m, bytes| m.attempt = u64_of(bytes));
    all.extend(flipped(m1, &m1.offer_versions[0].to_le_bytes(), |m, b| m.offer_versions[0] = u16_of(b)));
    all.extend(flipped(m1, &m1.offer_suites[0].to_le_bytes(), |m, b| m.offer_suites[0] = u16_of(b)));
    all.extend(flipped(m1, &m1.kid, |m, bytes| m.kid = bytes.try_into().unwrap()));
    all.extend(flipped(m1, &m1.public_key, |m, bytes| m.public_key = bytes.try_into().unwrap()));
    all.extend(flipped(m1, &m1.instance, |m, bytes| m.instance = bytes.try_into().unwrap()));
    all.extend(flipped(m1, m1.origin.as_bytes(), |m, bytes| m.origin = text_of(bytes)));
    all.extend(flipped(m1, &m1.ephemeral, |m, bytes| m.ephemeral = bytes.try_into().unwrap()));
    all.extend(flipped(m1, &m1.nonce, |m, bytes| m.nonce = bytes.try_into().unwrap()));
    all
}

fn flips_of_m2(m2: &M2) -> Vec<M2> {
    let mut all = flipped(m2, &m2.attempt.to_le_bytes(), |m, bytes| m.attempt = u64_of(bytes));
    all.extend(flipped(m2, &m2.version.to_le_bytes(), |m, bytes| m.version = u16_of(bytes)));
    all.extend(flipped(m2, &m2.suite.to_le_bytes(), |m, bytes| m.suite = u16_of(bytes)));
    all.extend(flipped(m2, &m2.kid, |m, bytes| m.kid = bytes.try_into().unwrap()));
    all.extend(flipped(m2, &m2.public_key, |m, bytes| m.public_key = bytes.try_into().unwrap()));
    all.extend(flipped(m2, &m2.instance, |m, bytes| m.instance = bytes.try_into().unwrap()));
    all.extend(flipped(m2, m2.origin.as_bytes(), |m, bytes| m.origin = text_of(bytes)));
    all.extend(flipped(m2, &m2.ephemeral, |m, bytes| m.ephemeral = bytes.try_into().unwrap()));
    all.extend(flipped(m2, &m2.nonce, |m, bytes| m.nonce = bytes.try_into().unwrap()));
    all.extend(flipped(m2, &m2.signature, |m, bytes| m.signature = bytes.try_into().unwrap()));
    all.extend(flipped(m2, &m2.mac, |m, bytes| m.mac = bytes.try_into().unwrap()));
    all
}

fn flips_of_m3(m3: &M3) -> Vec<M3> {
    let mut all = flipped(m3, &m3.attempt.to_le_bytes(), |m, bytes| m.attempt = u64_of(bytes));
    all.extend(flipped(m3, &m3.signature, |m, bytes| m.signature = bytes.try_into().unwrap()));
    all.extend(flipped(m3, &m3.mac, |m, bytes| m.mac = bytes.try_into().unwrap()));
    all
}

fn flips_of_m4(m4: &M4) -> Vec<M4> {
    let mut all = flipped(m4, &m4.attempt.to_le_bytes(), |m, bytes| m.attempt = u64_of(bytes));
    all.extend(flipped(m4, &m4.epoch.to_le_bytes(), |m, bytes| m.epoch = u64_of(bytes)));
    all.extend(flipped(m4, &m4.activated_at.to_le_bytes(), |m, bytes| {
        m.activated_at = u64_of(bytes).cast_signed();
    }));
    all.extend(flipped(m4, &m4.fin, |m, bytes| m.fin = bytes.try_into().unwrap()));
    all
}

#[test]
fn every_flipped_bit_of_every_message_is_refused() {
    let pair = Pair::new();
    let Pair { provider, consumer, context } = &pair;
    let initiate = || consumer.service.initiate(&consumer.identity, context, 1, NOW).unwrap();
    let conclude = |id, m2: &M2| consumer.service.conclude(id, &consumer.identity, m2, pair.link(1), NOW);
    let mut refused: Vec<(&str, Error)> = Vec::new();

    // Each message is made anew for each flip, since the consumer's half is good for one use.
    let count = flips_of_m1(&initiate().1).len();
    for index in 0..count {
        let (id, m1) = initiate();
        let error = match pair.respond(&flips_of_m1(&m1)[index]) {
            Err(error) => {
                consumer.service.abandon(id);
                error
            }
            Ok((m2, _)) => conclude(id, &m2).map(|_| ()).unwrap_err(),
        };
        refused.push(("M1", error));
    }

    let count = flips_of_m2(&pair.respond(&initiate().1).unwrap().0).len();
    for index in 0..count {
        let (id, m1) = initiate();
        let (m2, _) = pair.respond(&m1).unwrap();
        refused.push(("M2", conclude(id, &flips_of_m2(&m2)[index]).map(|_| ()).unwrap_err()));
    }

    let run = pair.run(1);
    for m3 in flips_of_m3(&run.m3) {
        refused.push(("M3", pair.confirm(&run.provider_pending, &m3).map(|_| ()).unwrap_err()));
    }
    for m4 in flips_of_m4(&run.m4) {
        let finished = consumer.service.finish(&run.consumer_pending, &run.consumer_key, &m4, NOW);
        refused.push(("M4", finished.map(|_| ()).unwrap_err()));
    }
    for bytes in flips(&run.provider_pending.bytes) {
        let changed = crate::exchange::SealedPending { bytes };
        refused.push(("pending", pair.confirm(&changed, &run.m3).map(|_| ()).unwrap_err()));
    }

    let origin = context.consumer_origin.len() * 8;
    let expected_m1 = 64 + 16 + 16 + 160 + 256 + 128 + origin + 256 + 256;
    let expected_m2 = 64 + 16 + 16 + 160 + 256 + 128 + origin + 256 + 256 + 512 + 256;
    let of = |name| refused.iter().filter(|(message, _)| *message == name).count();
    assert_eq!([of("M1"), of("M2"), of("M3"), of("M4")], [expected_m1, expected_m2, 832, 448]);
    println!(
        "{} single-bit flips refused: {} in M1, {} in M2, {} in M3, {} in M4, {} in what is kept between",
        refused.len(),
        of("M1"),
        of("M2"),
        of("M3"),
        of("M4"),
        of("pending")
    );
    assert!(provider.service.check_row(&run.provider_key).is_ok());
}

#[test]
fn every_field_enters_the_transcript() {
    // Fields that are compared with the record are refused before any signature; this shows that they are signed too.
    let pair = Pair::new();
    let (_, m1) = pair.consumer.service.initiate(&pair.consumer.identity, &pair.context, 1, NOW).unwrap();
    let (m2, _) = pair.respond(&m1).unwrap();
    let th1 = transcript_1(&[0; 32], &m1);
    assert!(flips_of_m1(&m1).iter().all(|changed| transcript_1(&[0; 32], changed) != th1));
    let th3 = |m2: &M2| transcript_3(&transcript_2(&th1, m2), m2);
    assert!(flips_of_m2(&m2).iter().all(|changed| th3(changed) != th3(&m2)));
    assert!(flips_of_m1(&m1).iter().all(|changed| changed.digest() != m1.digest()));
    assert!(flips_of_m2(&m2).iter().all(|changed| changed.digest() != m2.digest()));
}

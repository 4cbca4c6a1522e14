//! Every kind of tampering with a trail is found, and its first bad entry named.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::{Checkpoint, Note, SignatureKind, VerifyingKey};
use crate::key::{Purpose, SealedKey};
use crate::service::KeyService;
use crate::testing::{NOW, key, service};

const ORIGIN: &str = "linkspan/test/audit";

fn entry(n: u64) -> Entry {
    Entry {
        n,
        at: NOW + i64::try_from(n).unwrap(),
        actor: format!("user:{}", n % 3),
        role: if n.is_multiple_of(2) { String::new() } else { "KEY_MANAGER".to_owned() },
        operation: "key.rotate".to_owned(),
        object_kind: "KEY".to_owned(),
        object_id: n.to_string(),
        result: "OK".to_owned(),
        details: "{}".to_owned(),
        ..Entry::default()
    }
}

fn chained(entries: impl IntoIterator<Item = Entry>) -> Vec<Recorded> {
    let mut head = GENESIS;
    let record = |entry: Entry| {
        head = entry.hash(&head);
        Recorded { entry, hash: head }
    };
    entries.into_iter().map(record).collect()
}

fn trail(len: u64) -> Vec<Recorded> {
    chained((1..=len).map(entry))
}

/// An instance that signs checkpoints, and one that keeps them.
struct Signed {
    service: KeyService,
    audit: SealedKey,
    witness: KeyService,
    identity: SealedKey,
}

impl Signed {
    fn new() -> Self {
        let (service, witness) = (service(1), service(2));
        let (audit, identity) =
            (key(&service, Purpose::AuditSigning), key(&witness, Purpose::IdentitySigning));
        Self { service, audit, witness, identity }
    }

    fn keys(&self) -> [VerifyingKey; 2] {
        let audit = self.audit.public_key().unwrap();
        let identity = self.identity.public_key().unwrap();
        [
            VerifyingKey::new(ORIGIN, SignatureKind::Note, audit).unwrap(),
            VerifyingKey::new("witness.example", SignatureKind::Cosignature, identity).unwrap(),
        ]
    }

    fn note(&self, trail: &[Recorded], size: usize) -> Note {
        let checkpoint =
            Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root: trail[size - 1].hash };
        self.service.sign_checkpoint(&self.audit, &checkpoint, NOW).unwrap()
    }

    fn kept_elsewhere(&self, trail: &[Recorded], size: usize) -> Note {
        let mut note = self.note(trail, size);
        note.push(self.witness.countersign(&self.identity, "witness.example", &note, NOW).unwrap());
        note
    }
}

fn chain_only(entries: Vec<Recorded>) -> Result<Verified, FirstBad> {
    Verifier::new(ORIGIN, &[]).verify(entries)
}

#[test]
fn an_untouched_trail_verifies_up_to_its_checkpoints() {
    let (signed, trail) = (Signed::new(), trail(20));
    let keys = signed.keys();
    let verifier = Verifier::new(ORIGIN, &keys)
        .checkpoint(&signed.note(&trail, 10), Witness::Own)
        .checkpoint(&signed.note(&trail, 18), Witness::Own)
        .checkpoint(&signed.kept_elsewhere(&trail, 10), Witness::Other);
    let head = trail[19].hash;
    assert_eq!(verifier.verify(trail), Ok(Verified { entries: 20, signed: 18, witnessed: 10, head }));
    assert_eq!(chain_only(Vec::new()), Ok(Verified { entries: 0, signed: 0, witnessed: 0, head: GENESIS }));
}

#[test]
fn the_hash_of_an_entry_is_the_one_that_rows_already_have() {
    let plain = Entry { role: String::new(), ..entry(1) };
    let parts: [&[u8]; 11] = [
        b"linkspan audit",
        &GENESIS,
        &1_i64.to_le_bytes(),
        &plain.at.to_le_bytes(),
        b"user:1",
        b"key.rotate",
        b"KEY",
        b"1",
        b"OK",
        b"",
        b"{}",
    ];
    assert_eq!(plain.hash(&GENESIS), hash(&parts));
}

#[test]
fn a_forged_tail_shows_against_a_checkpoint_with_the_entries_it_can_be() {
    let (signed, honest) = (Signed::new(), trail(20));
    let keys = signed.keys();
    let forged = chained((1..=20).map(|n| Entry { actor: "user:9".to_owned(), ..entry(n) }.clone()).map(
        |entry| {
            if entry.n < 15 { self::entry(entry.n) } else { entry }
        },
    ));
    let verifier = Verifier::new(ORIGIN, &keys)
        .checkpoint(&signed.note(&honest, 10), Witness::Own)
        .checkpoint(&signed.note(&honest, 20), Witness::Own);
    let what = Fault::Rewritten { until: 20, witness: Witness::Own };
    assert_eq!(verifier.verify(forged), Err(FirstBad { n: 11, what }));
}

#[test]
fn a_trail_that_its_owner_rewrote_and_signed_anew_shows_against_the_witness() {
    let (signed, honest) = (Signed::new(), trail(20));
    let keys = signed.keys();
    let forged = chained((1..=20).map(|n| Entry { actor: "user:9".to_owned(), ..entry(n) }));
    let own = Verifier::new(ORIGIN, &keys).checkpoint(&signed.note(&forged, 20), Witness::Own);
    assert!(own.verify(forged.clone()).is_ok(), "the forger's own checkpoints agree with the forgery");
    let both = own.checkpoint(&signed.kept_elsewhere(&honest, 10), Witness::Other);
    let what = Fault::Rewritten { until: 10, witness: Witness::Other };
    assert_eq!(both.verify(forged), Err(FirstBad { n: 1, what }));
}

#[test]
fn a_truncation_shows_against_the_witness_alone() {
    let (signed, honest) = (Signed::new(), trail(20));
    let keys = signed.keys();
    let verifier = Verifier::new(ORIGIN, &keys);
    assert!(verifier.verify(honest[..12].to_vec()).is_ok(), "nothing here tells of more");
    let verifier = verifier.checkpoint(&signed.kept_elsewhere(&honest, 17), Witness::Other);
    let what = Fault::Truncated { size: 17, witness: Witness::Other };
    assert_eq!(verifier.verify(honest[..12].to_vec()), Err(FirstBad { n: 13, what: what.clone() }));
    assert_eq!(verifier.verify(Vec::new()), Err(FirstBad { n: 1, what }));
}

#[test]
fn a_checkpoint_counts_only_under_a_key_that_was_given() {
    let (signed, other, trail) = (Signed::new(), Signed::new(), trail(20));
    let stranger = Signed { service: service(3), audit: key(&service(3), Purpose::AuditSigning), ..other };
    let keys = signed.keys();
    let verifier = Verifier::new(ORIGIN, &keys).checkpoint(&stranger.note(&trail, 10), Witness::Own);
    assert_eq!(verifier.verify(trail.clone()), Err(FirstBad { n: 10, what: Fault::ForgedCheckpoint }));
    // What others claim to keep is their word: without a signature it neither helps nor harms.
    let verifier = Verifier::new(ORIGIN, &keys).checkpoint(&stranger.note(&trail, 10), Witness::Other);
    assert_eq!(verifier.verify(trail).unwrap().witnessed, 0);
}

#[test]
fn a_checkpoint_of_a_key_that_is_trusted_no_more_is_good_only_where_a_later_one_covers_it() {
    let (signed, trail) = (Signed::new(), trail(20));
    let stranger =
        Signed { service: service(3), audit: key(&service(3), Purpose::AuditSigning), ..Signed::new() };
    let keys = signed.keys();
    let newest = Verifier::new(ORIGIN, &keys).checkpoint(&signed.note(&trail, 18), Witness::Own);
    let found = |note: &Note| {
        let verified = newest.clone().checkpoint(note, Witness::Own).verify(trail.clone());
        verified.map(|verified| verified.signed).map_err(|bad| (bad.n, bad.what))
    };
    assert_eq!(found(&stranger.note(&trail, 10)), Ok(18));
    assert_eq!(found(&stranger.note(&trail, 18)), Ok(18));
    assert_eq!(found(&stranger.note(&trail, 19)), Err((19, Fault::ForgedCheckpoint)));
    let another = chained((1..=21).map(|n| Entry { actor: "user:9".to_owned(), ..entry(n) }));
    for size in [10, 21] {
        let forged = stranger.note(&another, size);
        assert_eq!(found(&forged), Err((size as u64, Fault::ForgedCheckpoint)));
    }
}

/// Two different places.
fn two(a: prop::sample::Index, b: prop::sample::Index, len: usize) -> (usize, usize) {
    let (a, b) = (a.index(len), b.index(len - 1));
    (a, if b >= a { b + 1 } else { b })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_of_any_field_is_found_at_its_entry(len in 1_u64..12, at in any::<prop::sample::Index>(), field in 0..13) {
        let mut trail = trail(len);
        let at = at.index(trail.len());
        let Recorded { entry, hash } = &mut trail[at];
        match field {
            0 => entry.at += 1,
            1 => entry.actor.push('x'),
            2 => entry.role.push('x'),
            3 => entry.on_behalf_of.push('x'),
            4 => entry.operation.push('x'),
            5 => entry.object_kind.push('x'),
            6 => entry.object_id.push('x'),
            7 => entry.result.push('x'),
            8 => entry.trace.push('x'),
            9 => entry.details.push('x'),
            10 => entry.sensitive.push(("email".to_owned(), [1; 32])),
            11 => (entry.operation, entry.object_kind) = ("key.rotateK".to_owned(), "EY".to_owned()),
            _ => hash[0] ^= 1,
        }
        prop_assert_eq!(chain_only(trail), Err(FirstBad { n: at as u64 + 1, what: Fault::Edited }));
    }

    #[test]
    fn a_removal_before_the_end_is_found_at_the_first_that_is_gone(len in 2_u64..12, from in any::<prop::sample::Index>(), count in 1_usize..4) {
        let mut trail = trail(len);
        let from = from.index(trail.len() - 1);
        let until = (from + count).min(trail.len() - 1);
        trail.drain(from..until);
        prop_assert_eq!(chain_only(trail), Err(FirstBad { n: from as u64 + 1, what: Fault::Removed }));
    }

    #[test]
    fn another_order_is_found_at_the_first_that_moved(len in 2_u64..12, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut trail = trail(len);
        let (a, b) = two(a, b, trail.len());
        trail.swap(a, b);
        prop_assert_eq!(chain_only(trail), Err(FirstBad { n: a.min(b) as u64 + 1, what: Fault::Moved }));
    }

    #[test]
    fn contents_that_change_places_are_found_at_the_first_of_them(len in 2_u64..12, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut trail = trail(len);
        let (a, b) = two(a, b, trail.len());
        trail.swap(a, b);
        let (first, second) = (trail[a].entry.n, trail[b].entry.n);
        (trail[a].entry.n, trail[b].entry.n) = (second, first);
        prop_assert_eq!(chain_only(trail), Err(FirstBad { n: a.min(b) as u64 + 1, what: Fault::Edited }));
    }
}

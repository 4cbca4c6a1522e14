//! Checkpoints and notes: the published example, what is refused, and who can sign what.

use super::*;
use crate::error::Error;
use crate::testing::{NOW, key, service};

/// The example of Go's `golang.org/x/mod/sumdb/note`, from which the format comes.
const PUBLISHED_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PUBLISHED_NOTE: &str = "If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
";

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: Checkpoint::origin_of(&[7; 16]), size: 256, root: [9; 32] }
}

#[test]
fn the_published_note_verifies_under_its_key_and_no_other_text_does() {
    let keys = [PUBLISHED_KEY.parse::<VerifyingKey>().unwrap()];
    assert_eq!(keys[0].to_string(), PUBLISHED_KEY);
    let note: Note = PUBLISHED_NOTE.parse().unwrap();
    assert_eq!(note.to_string(), PUBLISHED_NOTE);
    assert_eq!(note.verified_by(&keys).count(), 1);
    let other: Note = PUBLISHED_NOTE.replace("answer", "Answer").parse().unwrap();
    assert_eq!(other.verified_by(&keys).count(), 0);
}

#[test]
fn a_checkpoint_is_signed_by_the_audit_key_and_countersigned_by_an_identity() {
    let (ours, theirs) = (service(1), service(2));
    let (audit, identity) = (key(&ours, Purpose::AuditSigning), key(&theirs, Purpose::IdentitySigning));
    let mut note = ours.sign_checkpoint(&audit, &checkpoint(), NOW).unwrap();
    note.push(theirs.countersign(&identity, "witness.example", &note, NOW).unwrap());
    let note: Note = note.to_string().parse().unwrap();

    let origin = checkpoint().origin;
    let keys = [
        VerifyingKey::new(&origin, SignatureKind::Note, audit.public_key().unwrap()).unwrap(),
        VerifyingKey::new("witness.example", SignatureKind::Cosignature, identity.public_key().unwrap())
            .unwrap(),
        VerifyingKey::new(&origin, SignatureKind::Note, identity.public_key().unwrap()).unwrap(),
    ];
    let names: Vec<_> = note.verified_by(&keys).map(VerifyingKey::name).collect();
    assert_eq!(names, [origin.as_str(), "witness.example"]);
    assert_eq!(Checkpoint::parse(note.text()).unwrap(), checkpoint());
}

#[test]
fn keys_of_other_purposes_make_no_checkpoint_and_no_countersignature() {
    let service = service(1);
    for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::LinkTraffic) {
        let key = key(&service, purpose);
        let signed = service.sign_checkpoint(&key, &checkpoint(), NOW);
        assert_eq!(signed.is_ok(), purpose == Purpose::AuditSigning, "{purpose}");
        let note = Note::unsigned(checkpoint().text()).unwrap();
        let countersigned = service.countersign(&key, "witness.example", &note, NOW);
        assert_eq!(countersigned.is_ok(), purpose == Purpose::IdentitySigning, "{purpose}");
    }
}

#[test]
fn a_checkpoint_is_read_in_exactly_one_form() {
    let text = checkpoint().text();
    assert_eq!(Checkpoint::parse(&text), Ok(checkpoint()));
    for other in [
        text.trim_end().to_owned(),
        text.replace("256", "0256"),
        text.replace("256", "+256"),
        text.replace("256", "-1"),
        text.replace("256", "18446744073709551616"),
        format!("{text}more\n"),
        text.replace("linkspan/", "link span/"),
        text.replacen("linkspan", &"x".repeat(MAX_ORIGIN), 1),
        format!("\n{text}"),
        text.replace('=', ""),
        text.replace('\n', "\r\n"),
        String::new(),
    ] {
        assert_eq!(Checkpoint::parse(&other), Err(Error::Malformed { what: CHECKPOINT }), "{other:?}");
    }
}

#[test]
fn a_note_that_is_not_one_is_refused() {
    let long = format!("{}\n\n— a AAAAAAAA\n", "x".repeat(9_000));
    let many = format!("x\n\n{}", "— a AAAAAAAA\n".repeat(17));
    for text in [
        "",
        "x",
        "x\n",
        "x\n\n",
        "x\n\n— a\n",
        "x\n\n— a !!\n",
        "x\n\n- a AAAA\n",
        "x\r\n\n— a AAAAAAAA\n",
        &long,
        &many,
    ] {
        assert!(text.parse::<Note>().is_err(), "{text:?}");
    }
    for text in
        ["", "a", "a+b+c", &PUBLISHED_KEY.replace("c74f", "c74e"), &PUBLISHED_KEY.replace("+AR", "+BR")]
    {
        assert!(text.parse::<VerifyingKey>().is_err(), "{text:?}");
    }
}

//! Two people are needed where two are needed.

use proptest::prelude::*;

use super::*;

const ASKS: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];
const NOW: Millis = 1_790_000_000_000;

fn subject(right: Right) -> Subject {
    Subject { right, module: "links".to_owned(), object: "key".to_owned() }
}

fn asked(right: Right) -> Approval {
    Approval::ask([9; 16], subject(right), "It is time.", ASKS, NOW).unwrap()
}

#[test]
fn whatever_needs_two_people_is_done_by_one_of_them_only_after_the_other_agreed() {
    for right in NEEDS_TWO.iter() {
        let (request, now) = (asked(right), NOW + right.waiting_period());
        let spend =
            |request: &Approval| request.clone().spend(&subject(right), ASKS, now).map(|(_, agreed)| agreed);
        assert!(spend(&request).is_err(), "{right}: nobody agreed");
        assert_eq!(request.clone().approve(ASKS, NOW), Err(ApprovalRefusal::OwnRequest), "{right}");
        assert_eq!(request.clone().refuse(ASKS, "No.", NOW), Err(ApprovalRefusal::OwnRequest), "{right}");
        let approved = request.approve(OTHER, NOW + 1).unwrap();
        assert_eq!(spend(&approved).unwrap().subject(), &subject(right));
        let elsewhere = Subject { object: "another".to_owned(), ..subject(right) };
        let (used, _) = approved.clone().spend(&subject(right), ASKS, now).unwrap();
        for (refused, why) in [
            (approved.clone().spend(&elsewhere, ASKS, now), ApprovalRefusal::SomethingElse),
            (approved.spend(&subject(right), OTHER, now), ApprovalRefusal::OthersRequest),
            (used.spend(&subject(right), ASKS, now), ApprovalRefusal::WrongState(ApprovalState::Used)),
        ] {
            assert_eq!(refused.err(), Some(why), "{right}");
        }
    }
}

#[test]
fn what_cannot_be_taken_back_and_what_lets_material_through_needs_two_people() {
    for right in Right::ALL {
        let asked = Approval::ask([9; 16], subject(*right), "It is time.", ASKS, NOW);
        assert_eq!(asked.is_ok(), right.needs_two(), "{right}");
    }
    for right in [Right::Destroy, Right::Export, Right::Import, Right::OpenCompromised, Right::RotateRoot] {
        assert!(right.needs_two(), "{right}");
    }
}

#[test]
fn a_key_is_destroyed_after_its_waiting_period_and_not_before() {
    let approved = asked(Right::Destroy).approve(OTHER, NOW + 1).unwrap();
    let at = NOW + WAIT_BEFORE_DESTRUCTION;
    let spend = |now| approved.clone().spend(&subject(Right::Destroy), ASKS, now).map(|_| ());
    assert_eq!(spend(at - 1), Err(ApprovalRefusal::TooEarly(at)));
    assert_eq!(spend(at), Ok(()));
    assert_eq!(spend(at + USE_WITHIN), Err(ApprovalRefusal::WrongState(ApprovalState::Expired)));
}

#[test]
fn what_was_agreed_to_is_refused_after_all_by_anybody_but_who_asked() {
    let approved = asked(Right::Destroy).approve(OTHER, NOW + 1).unwrap();
    let later = NOW + WAIT_BEFORE_DESTRUCTION;
    assert_eq!(approved.clone().refuse(ASKS, "No.", later), Err(ApprovalRefusal::OwnRequest));
    for by in [OTHER, [3; 16]] {
        let refused = approved.clone().refuse(by, "It was a mistake.", later).unwrap();
        assert_eq!((refused.state, refused.answered_by), (ApprovalState::Refused, Some(by)));
        assert!(refused.check().is_ok());
        let spent = refused.spend(&subject(Right::Destroy), ASKS, later).map(|_| ());
        assert_eq!(spent, Err(ApprovalRefusal::WrongState(ApprovalState::Refused)));
    }
}

#[test]
fn a_stored_request_names_times_that_can_be() {
    for asked_at in [-1, Millis::MAX] {
        let odd = Approval { asked_at, ..asked(Right::Destroy) };
        assert!(odd.check().is_err() && odd.expires_at() >= odd.asked_at, "{asked_at}");
    }
}

#[test]
fn an_unanswered_request_expires_and_says_so() {
    let request = asked(Right::Export);
    let end = NOW + ANSWER_WITHIN;
    assert_eq!(request.state_at(end - 1), ApprovalState::Pending);
    assert_eq!(request.clone().lapse(end - 1), None);
    assert_eq!(request.clone().approve(OTHER, end), Err(ApprovalRefusal::WrongState(ApprovalState::Expired)));
    assert_eq!(request.lapse(end).unwrap().state, ApprovalState::Expired);
}

#[test]
fn a_request_says_why() {
    for reason in ["", "  ", "It is\u{1b}[2K time.", &"x".repeat(501)] {
        let asked = Approval::ask([9; 16], subject(Right::Export), reason, ASKS, NOW);
        assert_eq!(asked, Err(ApprovalRefusal::Reason));
    }
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Approve,
    Refuse,
    Withdraw,
    Spend,
    Lapse,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_uses_what_another_person_did_not_agree_to_or_uses_it_twice(
        right in prop::sample::select(NEEDS_TWO.iter().collect::<Vec<_>>()),
        events in prop::collection::vec(
            (
                prop::sample::select(vec![Verb::Approve, Verb::Refuse, Verb::Withdraw, Verb::Spend, Verb::Lapse]),
                prop::sample::select(vec![ASKS, OTHER, [3; 16]]),
                0_i64..40,
            ),
            0..8,
        ),
    ) {
        let (mut request, mut now, mut used, mut agreed) = (asked(right), NOW, 0, None);
        for (verb, by, hours) in events {
            now += hours * 60 * 60 * 1000;
            let before = request.state_at(now);
            let next = match verb {
                Verb::Approve => request.clone().approve(by, now).ok(),
                Verb::Refuse => request.clone().refuse(by, "No.", now).ok(),
                Verb::Withdraw => request.clone().withdraw(by, now).ok(),
                Verb::Spend => request.clone().spend(&subject(right), by, now).ok().map(|(next, _)| next),
                Verb::Lapse => request.clone().lapse(now),
            };
            let Some(next) = next else { continue };
            prop_assert!(matches!(verb, Verb::Lapse) || !before.is_final(), "{before} is left by {verb:?}");
            match verb {
                Verb::Approve => agreed = Some(by),
                Verb::Spend => {
                    used += 1;
                    prop_assert!(agreed.is_some_and(|other| other != by));
                    prop_assert!(now >= NOW + right.waiting_period());
                }
                Verb::Refuse | Verb::Withdraw | Verb::Lapse => agreed = None,
            }
            prop_assert_eq!(next.check(), Ok(()));
            request = next;
        }
        prop_assert!(used <= 1);
    }
}

use chrono::TimeDelta;

use super::*;
use crate::domain::connection::ConnectionState::Onboarded;
use DirectionStatus::{Disputed, Down, Slow, Suspended, Up};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_603_600 + seconds, 0).unwrap_or_default()
}

fn miss(seconds: i64) -> Cause {
    Cause {
        code: RefusalCode::PeerUnreachable,
        reason: Some("TCP".to_owned()),
        detail: None,
        at: at(seconds),
        trace: None,
        peer_trace: None,
    }
}

fn view(status: DirectionStatus, since: i64, said: i64) -> View {
    View { status, code: None, reason: None, since: at(since), at: at(said) }
}

fn up() -> Evidence {
    let mut evidence = Evidence::default();
    evidence.proven(at(0), Some(20), Measure::default());
    evidence.judge(Onboarded, Measure::default(), at(0));
    evidence
}

fn now(evidence: &mut Evidence, seconds: i64) -> Option<DirectionStatus> {
    evidence.judge(Onboarded, Measure::default(), at(seconds));
    evidence.shown.map(|(status, _)| status)
}

#[test]
fn one_miss_is_forgiven_and_two_make_it_down() {
    let mut evidence = up();
    evidence.missed(miss(5));
    assert_eq!(now(&mut evidence, 5), Some(Up));
    evidence.missed(miss(10));
    assert_eq!(now(&mut evidence, 10), Some(Down));
}

#[test]
fn one_answer_does_not_make_it_up_again_and_two_do() {
    let mut evidence = up();
    evidence.missed(miss(5));
    evidence.missed(miss(10));
    evidence.proven(at(15), Some(20), Measure::default());
    assert_eq!(now(&mut evidence, 15), Some(Down));
    assert!(evidence.wants_confirmation(at(15)));
    evidence.proven(at(15), Some(20), Measure::default());
    assert_eq!(now(&mut evidence, 15), Some(Up));
    assert!(!evidence.wants_confirmation(at(15)));
}

#[test]
fn a_direction_that_keeps_falling_needs_four_answers_in_their_own_time() {
    let mut evidence = up();
    for fall in 0..3 {
        let start = 30 * fall;
        evidence.missed(miss(start + 5));
        evidence.missed(miss(start + 10));
        assert_eq!(now(&mut evidence, start + 10), Some(Down));
        if fall < 2 {
            evidence.proven(at(start + 15), Some(20), Measure::default());
            evidence.proven(at(start + 15), Some(20), Measure::default());
            assert_eq!(now(&mut evidence, start + 15), Some(Up), "fall {fall}");
        }
    }
    for answer in 0..3 {
        evidence.proven(at(75 + 5 * answer), Some(20), Measure::default());
        assert_eq!(now(&mut evidence, 75 + 5 * answer), Some(Down), "answer {answer}");
        assert!(!evidence.wants_confirmation(at(75 + 5 * answer)));
    }
    evidence.proven(at(90), Some(20), Measure::default());
    assert_eq!(now(&mut evidence, 90), Some(Up));
}

#[test]
fn silence_for_more_than_two_and_a_half_intervals_makes_it_down_unless_nobody_watched() {
    let mut evidence = up();
    assert_eq!(now(&mut evidence.clone(), 12), Some(Up));
    let began = Measure { since: Some(at(100)), ..Measure::default() };
    let mut watched = evidence.clone();
    watched.judge(Onboarded, began, at(110));
    assert_eq!(watched.shown.map(|(status, _)| status), Some(Up));
    assert_eq!(now(&mut evidence, 13), Some(Down));
    // One message is one answer: also here it takes two.
    evidence.proven(at(20), None, Measure::default());
    assert_eq!(now(&mut evidence, 20), Some(Down));
    evidence.proven(at(20), None, Measure::default());
    assert_eq!(now(&mut evidence, 20), Some(Up));
}

#[test]
fn two_slow_answers_make_it_slow_and_two_quick_ones_up() {
    let mut evidence = up();
    let mut took = |seconds, ms| {
        evidence.proven(at(seconds), Some(ms), Measure::default());
        now(&mut evidence, seconds)
    };
    assert_eq!(took(5, 2_001), Some(Up));
    assert_eq!(took(10, 2_001), Some(Slow));
    assert_eq!(took(15, 1_600), Some(Slow));
    assert_eq!(took(20, 1_600), Some(Up));
}

/// How often a direction becomes something else within ten minutes, with an answer each five seconds.
fn changes(took: impl Fn(i64) -> i64) -> usize {
    let mut evidence = up();
    let answer = |n: i64| {
        evidence.proven(at(5 * n), Some(took(n)), Measure::default());
        evidence.judge(Onboarded, Measure::default(), at(5 * n))
    };
    (1..=120).filter_map(answer).count()
}

#[test]
fn what_swings_about_the_threshold_is_slow_and_stays_so() {
    let swings = |n: i64| if n % 4 < 2 { 2_001 } else { 1_700 };
    assert_eq!(changes(swings), 1);
}

#[test]
fn what_swings_widely_and_keeps_doing_so_needs_four_answers_as_a_falling_one_does() {
    // Three times it becomes slow; after that, it takes five minutes without for two answers to count again.
    let swings = |n: i64| if n % 4 < 2 { 3_000 } else { 100 };
    assert!(changes(swings) <= 12, "{}", changes(swings));
    // What lasts shows all the same.
    let lasts = |n: i64| if n <= 13 { swings(n) } else { 100 };
    assert_eq!(changes(lasts), 6, "three times slow, and as often quick again");
}

#[test]
fn views_that_differ_for_longer_than_it_takes_to_notice_are_a_dispute() {
    let mut evidence = up();
    evidence.missed(miss(5));
    evidence.missed(miss(10));
    assert_eq!(now(&mut evidence, 10), Some(Down));
    evidence.told(view(Up, 0, 12));
    assert_eq!(now(&mut evidence, 12), Some(Down));
    evidence.told(view(Up, 0, 25));
    assert_eq!(now(&mut evidence, 25), Some(Disputed));
    // What was said long ago says nothing about now.
    assert_eq!(now(&mut evidence, 41), Some(Down));
    evidence.told(view(Down, 12, 41));
    assert_eq!(now(&mut evidence, 41), Some(Down));
}

#[test]
fn a_pause_is_neither_up_nor_down_and_a_dispute_needs_both() {
    let evidence = up();
    assert_eq!(evidence.status(ConnectionState::Suspended, Measure::default(), at(99)), Some(Suspended));
    let mut evidence = up();
    evidence.proven(at(20), Some(20), Measure::default());
    evidence.told(view(Suspended, 0, 20));
    assert_eq!(now(&mut evidence, 20), Some(Up));
}

#[test]
fn a_transition_is_told_once_with_its_cause() {
    let mut evidence = up();
    assert_eq!(evidence.judge(Onboarded, Measure::default(), at(1)), None);
    evidence.missed(miss(5));
    evidence.missed(miss(10));
    let told = evidence.judge(Onboarded, Measure::default(), at(10));
    let expected = Transition {
        at: at(10),
        status: Some(Down),
        code: Some(RefusalCode::PeerUnreachable),
        reason: Some("TCP".to_owned()),
    };
    assert_eq!(told, Some(expected));
    assert_eq!(evidence.judge(Onboarded, Measure::default(), at(11)), None);
}

#[test]
fn intervals_are_counted_from_the_measure() {
    let mut evidence = up();
    let slow = Measure { interval: TimeDelta::seconds(60), ..Measure::default() };
    assert_eq!(evidence.judge(Onboarded, slow, at(150)), None);
    assert_eq!(evidence.judge(Onboarded, slow, at(151)).and_then(|told| told.status), Some(Down));
}

#[test]
fn a_pause_of_the_peer_is_no_fall_outlasts_one_miss_and_ends_with_a_proof() {
    let mut evidence = up();
    let pause = |seconds| Cause {
        code: RefusalCode::WrongState,
        reason: Some("SUSPENDED".to_owned()),
        ..miss(seconds)
    };
    evidence.paused(pause(5));
    assert_eq!(now(&mut evidence, 5), Some(Suspended));
    assert_eq!(now(&mut evidence, 600), Some(Suspended));
    evidence.missed(miss(605));
    assert_eq!(now(&mut evidence, 605), Some(Suspended));
    evidence.missed(miss(610));
    assert_eq!(now(&mut evidence, 610), Some(Down));
    evidence.paused(pause(615));
    assert_eq!(now(&mut evidence, 615), Some(Suspended));

    let mut resumed = up();
    resumed.paused(pause(5));
    resumed.proven(at(600), Some(20), Measure::default());
    assert_eq!(now(&mut resumed, 600), Some(Up));
}

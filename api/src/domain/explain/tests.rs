//! Explanations from looks at both directions.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_603_600 + seconds, 0).unwrap_or_default()
}

fn standing() -> Situation {
    let look = Look { status: Some(DirectionStatus::Up), own: Some(DirectionStatus::Up), ..Look::default() };
    Situation {
        connection: ConnectionId(uuid::Uuid::nil()),
        state: ConnectionState::Onboarded,
        changed_at: at(0),
        suspects: None,
        outbound: look.clone(),
        inbound: look,
        phase: None,
        issue: None,
        next_probe_at: Some(at(5)),
        now: at(1),
    }
}

fn missed(code: RefusalCode, reason: &str) -> Situation {
    let mut situation = standing();
    situation.outbound.own = Some(DirectionStatus::Down);
    situation.outbound.status = Some(DirectionStatus::Down);
    situation.outbound.evidence.failure = Some(Cause {
        code,
        reason: Some(reason.to_owned()),
        detail: None,
        at: at(0),
        trace: None,
        peer_trace: None,
    });
    situation
}

#[test]
fn a_connection_that_works_has_a_whole_chain_and_says_what_comes_next() {
    let explained = standing().explain();
    assert_eq!(explained.fault, None);
    assert!(explained.chain.iter().all(|link| link.holds == Some(true)));
    assert_eq!(explained.next.and_then(|next| next.at), Some(at(5)));
}

#[test]
fn what_comes_before_the_fault_holds_and_what_comes_behind_is_not_known() {
    let explained = missed(RefusalCode::PeerUnreachable, "TLS").explain();
    let holds =
        |wanted: Dependency| explained.chain.iter().find(|l| l.dependency == wanted).and_then(|l| l.holds);
    assert_eq!(holds(Dependency::PeerAddress), Some(true));
    assert_eq!(holds(Dependency::PeerCertificate), Some(false));
    assert_eq!(holds(Dependency::PeerHttp), None);
}

#[test]
fn a_call_that_is_advised_about_a_connection_that_stands_is_one_that_may_be_made_then() {
    let connection = ConnectionId(uuid::Uuid::nil());
    let reasons = [None, Some("DIGEST"), Some("DNS"), Some("OURS"), Some("SUSPENDED"), Some("SCOPE")];
    for (code, reason) in RefusalCode::ALL.iter().flat_map(|code| reasons.map(|reason| (*code, reason))) {
        match remedy_for(code, reason, connection) {
            Remedy::Call { mutation, .. } => {
                let may = ["syncConnectionSettings", "renewConnectionCredentials"];
                assert!(may.contains(&mutation.as_str()), "{code} {reason:?}: {mutation}");
            }
            Remedy::Human(text) => assert!(text.ends_with('.'), "{text}"),
            Remedy::Config { .. } => {}
        }
    }
}

#[test]
fn our_key_service_and_the_peers_are_told_apart() {
    let cause = |reason| {
        missed(RefusalCode::KeyServiceUnhealthy, reason).explain().fault.map(|fault| fault.dependency)
    };
    assert_eq!(cause("OURS"), Some(Dependency::OurKeyService));
    assert_eq!(cause("PEER"), Some(Dependency::PeerKeyService));
    assert_eq!(cause("PROCESS"), Some(Dependency::PeerKeyService));
    assert_eq!(cause("OUR_KEY_REVOKED"), Some(Dependency::OurKeyService));
    assert_eq!(cause("KEY_REVOKED"), Some(Dependency::PeerKeyService));
}

#[test]
fn what_the_other_side_tells_of_us_is_mended_here_and_what_it_tells_of_itself_there() {
    use RefusalCode as C;
    let told = |code, reason| {
        let connection = ConnectionId(uuid::Uuid::nil());
        let Remedy::Human(text) = remedy_for_told(code, reason, connection) else {
            panic!("{code} {reason:?}")
        };
        text
    };
    for (code, reason, who) in [
        (C::KeyServiceUnhealthy, Some("PROCESS"), "this instance's key health"),
        (C::KeyServiceUnhealthy, Some("OURS"), "The other side's key manager"),
        (C::KeyServiceUnhealthy, Some("KEY_SUSPENDED"), "A key manager of this instance"),
        (C::KeyServiceUnhealthy, Some("OUR_KEY_SUSPENDED"), "the other side's key manager"),
        (C::PolicyDenied, Some("OURS"), "The other side's key manager"),
        (C::PeerUnavailable, Some("DATABASE"), "This instance's operator"),
        (C::PeerUnavailable, Some("OUR_DATABASE"), "The other side's operator"),
        (C::PeerUnreachable, Some("TCP"), "this instance's base URL"),
        (C::WrongState, Some("SUSPENDED"), "resumed here"),
        (C::WrongState, Some(Pause::SUSPECTS), "The other side says first"),
    ] {
        let text = told(code, reason);
        assert!(text.contains(who) && text.ends_with('.'), "{code} {reason:?}: {text}");
    }
    assert!(matches!(
        remedy_for_told(C::PolicyDenied, Some("SCOPE"), ConnectionId(uuid::Uuid::nil())),
        Remedy::Call { mutation, .. } if mutation == "renewConnectionCredentials"
    ));
    for code in RefusalCode::ALL {
        for reason in [None, Some("DNS"), Some("OURS"), Some("SUSPENDED")] {
            let said = told_by_peer(*code, reason);
            assert!(said.starts_with("The other side says") && said.ends_with('.'), "{said}");
        }
    }
}

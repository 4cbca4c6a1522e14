//! Facts in, answers out: where each judge passes, warns and blocks.

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::domain::Timestamp;
use crate::domain::check::Finding;
use crate::domain::direction::{DirectionStatus, Way};
use crate::domain::id::{ConnectionId, InstanceId, RegistrationId, UserId};
use crate::domain::key_health::{KeyHealth, KeyHealthComponent, KeyHealthStatus};
use crate::domain::registration::Environment;
use crate::domain::scan::{
    AccountFacts, Comparison, ContactFacts, DirectionFacts, IdentityFacts, LocalFacts, StandingFacts, Subject,
};

const PASSES: &str = "passes";
const WARNS: &str = "warns";
const BLOCKS: &str = "blocks";
const SKIPS: &str = "skips";
const BREAKS: &str = "breaks";

fn weight(answer: &Answer) -> &'static str {
    match answer {
        Answer::Pass => PASSES,
        Answer::Finding(finding) if finding.blocking => BLOCKS,
        Answer::Finding(_) => WARNS,
        Answer::Skipped(_) => SKIPS,
        Answer::Error(_) => BREAKS,
    }
}

fn found(answer: Answer) -> Finding {
    match answer {
        Answer::Finding(finding) => finding,
        answer => panic!("no finding: {answer:?}"),
    }
}

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_767_603_600, 0).unwrap_or_default()
}

fn days(days: i64, seconds: i64) -> TimeDelta {
    TimeDelta::days(days) + TimeDelta::seconds(seconds)
}

#[test]
fn a_certificate_warns_in_its_last_thirty_days_and_one_that_is_no_good_blocks() {
    let judge = |tls| judge_certificate(CheckCode::PeerTls, &tls, now());
    assert_eq!(weight(&judge(Ok(None))), SKIPS);
    for (left, expected) in
        [(days(365, 0), PASSES), (days(30, 1), PASSES), (days(30, 0), WARNS), (days(0, 1), WARNS)]
    {
        assert_eq!(weight(&judge(Ok(Some(now() + left)))), expected, "{left}");
    }
    let failed = judge(Err(Unmeasured::Failed { reason: "its certificate is for another name".to_owned() }));
    assert_eq!(weight(&failed), BLOCKS);
    assert_eq!(found(failed).evidence, "Its certificate is for another name.");
    assert_eq!(weight(&judge(Err(Unmeasured::Blocked { by: CheckCode::PeerDns }))), SKIPS);
    assert_eq!(weight(&judge(Err(Unmeasured::Broken { why: "a fault".to_owned() }))), BREAKS);
}

#[test]
fn where_nothing_answers_no_certificate_is_blamed() {
    let reason = "Nothing takes a connection at its address and port.".to_owned();
    let silent = Err(Unmeasured::Unanswered { reason: reason.clone() });
    let finding = found(judge_certificate(CheckCode::PeerTls, &silent, now()));
    assert!(finding.blocking && finding.message.starts_with("Nothing answers"), "{finding:?}");
    assert_eq!(finding.evidence, reason);
    let Remedy::Human(text) = finding.remedy else { panic!("{:?}", finding.remedy) };
    assert!(text.contains("runs") && !text.contains("certificate"), "{text}");
}

fn identity() -> IdentityFacts {
    IdentityFacts {
        is_us: false,
        versions: vec![1],
        software: "0.1.0".to_owned(),
        clock_offset: TimeDelta::zero(),
        fingerprint_matches: true,
    }
}

#[test]
fn clocks_warn_beyond_thirty_seconds_and_block_beyond_two_minutes_in_either_direction() {
    for (seconds, expected) in [(0, PASSES), (30, PASSES), (31, WARNS), (120, WARNS), (121, BLOCKS)] {
        for seconds in [seconds, -seconds] {
            let facts = IdentityFacts { clock_offset: TimeDelta::seconds(seconds), ..identity() };
            assert_eq!(weight(&judge_skew(&Ok(facts))), expected, "{seconds} s");
        }
    }
    let silent = Err(Unmeasured::Failed { reason: "no answer".to_owned() });
    assert_eq!(weight(&judge_skew(&silent)), SKIPS, "that is the finding of another check");
}

#[test]
fn who_answers_is_another_instance_with_the_right_key_and_a_common_version() {
    let us = Ok(IdentityFacts { is_us: true, ..identity() });
    let stranger = Ok(IdentityFacts { fingerprint_matches: false, ..identity() });
    let newer = Ok(IdentityFacts { versions: vec![2, 3], ..identity() });
    let silent = Err(Unmeasured::Failed { reason: "no answer".to_owned() });
    for (facts, is_linkspan, is_not_us, version) in [
        (&Ok(identity()), PASSES, PASSES, PASSES),
        (&us, PASSES, BLOCKS, PASSES),
        (&stranger, BLOCKS, PASSES, PASSES),
        (&newer, PASSES, PASSES, BLOCKS),
        (&silent, BLOCKS, SKIPS, SKIPS),
    ] {
        let seen = [
            weight(&judge_identity(CheckCode::PeerIsLinkspan, facts)),
            weight(&judge_identity(CheckCode::PeerIsNotUs, facts)),
            weight(&judge_versions(facts, &[1])),
        ];
        assert_eq!(seen, [is_linkspan, is_not_us, version], "{facts:?}");
    }
}

fn local() -> LocalFacts {
    LocalFacts {
        provider_record: true,
        base_url: true,
        contact: Some(ContactFacts {
            user: UserId(Uuid::nil()),
            active: true,
            has_role: true,
            in_company: true,
            email: "contact@consumer.example".to_owned(),
            email_valid: true,
        }),
        environment: Environment::Production,
        mail_on: true,
        other_registrations: Vec::new(),
        other_connections: Vec::new(),
        stale_attempts: Vec::new(),
        run_by: None,
        run_by_admin: true,
        company_chosen: true,
        subject: Subject::Instance(InstanceId(Uuid::nil())),
    }
}

fn contact(change: impl FnOnce(ContactFacts) -> ContactFacts) -> LocalFacts {
    let facts = local();
    LocalFacts { contact: facts.contact.clone().map(change), ..facts }
}

#[test]
fn our_own_side_is_judged_fact_by_fact_and_names_what_is_in_the_way() {
    use CheckCode as C;
    let rival = RegistrationId(Uuid::max());
    let somewhere = "https://consumer.example: Onboarded, begun 2026-01-05".to_owned();
    let elsewhere = |mut facts: LocalFacts| {
        facts.environment = Environment::NonProduction;
        facts
    };
    let bad_address = || contact(|contact| ContactFacts { email_valid: false, ..contact });
    let cases = [
        (C::ProviderRecord, LocalFacts { provider_record: false, ..local() }, BLOCKS, "no record"),
        (C::BaseUrlSet, LocalFacts { base_url: false, ..local() }, BLOCKS, "base_url"),
        (
            C::ContactActive,
            contact(|contact| ContactFacts { active: false, ..contact }),
            BLOCKS,
            "contact@consumer.example",
        ),
        (
            C::ContactRole,
            contact(|contact| ContactFacts { has_role: false, ..contact }),
            BLOCKS,
            "contact@consumer.example",
        ),
        (
            C::ContactInCompany,
            contact(|contact| ContactFacts { in_company: false, ..contact }),
            BLOCKS,
            "contact@",
        ),
        (C::ContactEmail, bad_address(), BLOCKS, "contact@"),
        (C::ContactEmail, elsewhere(bad_address()), WARNS, "contact@"),
        (C::MailService, LocalFacts { mail_on: false, ..local() }, WARNS, "mail.transport"),
        (
            C::DuplicateRegistration,
            LocalFacts { other_registrations: vec![(rival, "REG-000002".to_owned())], ..local() },
            BLOCKS,
            "REG-000002",
        ),
        (
            C::DuplicateConnection,
            LocalFacts { other_connections: vec![somewhere], ..local() },
            BLOCKS,
            "https://consumer.example",
        ),
        (
            C::StaleAttempts,
            LocalFacts { stale_attempts: vec!["unfinished attempt 2".to_owned()], ..local() },
            BLOCKS,
            "attempt 2",
        ),
        (C::RunningUserIsAdmin, LocalFacts { run_by_admin: false, ..local() }, BLOCKS, "nobody asked"),
        (C::ProviderCompanyChosen, LocalFacts { company_chosen: false, ..local() }, BLOCKS, "no company"),
    ];
    for (code, facts, expected, named) in cases {
        assert_eq!(weight(&judge_local(code, &local())), PASSES, "{code}");
        let answer = judge_local(code, &facts);
        assert_eq!(weight(&answer), expected, "{code}");
        let evidence = found(answer).evidence;
        assert!(evidence.contains(named), "{code}: {evidence}");
    }
    let nobody = LocalFacts { contact: None, ..local() };
    assert_eq!(weight(&judge_local(C::ContactActive, &nobody)), BREAKS);
}

fn comparison() -> Comparison {
    Comparison {
        keys: vec!["1 ACTIVE".to_owned()],
        settings: "00".to_owned(),
        software: "0.1.0".to_owned(),
        peer_software: Some("0.1.0".to_owned()),
    }
}

fn direction(way: Way) -> DirectionFacts {
    let up = Some(DirectionStatus::Up);
    DirectionFacts { way, ours: up, theirs: up, disputed: false, failure: None }
}

fn standing() -> StandingFacts {
    StandingFacts {
        connection: ConnectionId(Uuid::nil()),
        suspended: false,
        suspects: None,
        leftovers: Vec::new(),
        account: Some(AccountFacts {
            scopes: vec!["echo".to_owned()],
            expires_at: now() + TimeDelta::days(60),
            has_peer: true,
        }),
        needed_scopes: vec!["echo".to_owned()],
        directions: vec![direction(Way::Outbound), direction(Way::Inbound)],
        key_made_at: Some(now()),
        stuck: Vec::new(),
        ours: comparison(),
    }
}

fn account(change: impl FnOnce(AccountFacts) -> AccountFacts) -> StandingFacts {
    let facts = standing();
    StandingFacts { account: facts.account.clone().map(change), ..facts }
}

fn outbound(change: impl FnOnce(DirectionFacts) -> DirectionFacts) -> StandingFacts {
    StandingFacts {
        directions: vec![change(direction(Way::Outbound)), direction(Way::Inbound)],
        ..standing()
    }
}

#[test]
fn a_connection_that_stands_is_judged_fact_by_fact() {
    use CheckCode as C;
    let made = |ago| StandingFacts { key_made_at: Some(now() - ago), ..standing() };
    let ends = |left| account(|account| AccountFacts { expires_at: now() + left, ..account });
    let scopes = |scopes: &[&str]| {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        account(|account| AccountFacts { scopes, ..account })
    };
    let status = |ours| outbound(|direction| DirectionFacts { ours, ..direction });
    let disputed =
        DirectionFacts { disputed: true, theirs: Some(DirectionStatus::Down), ..direction(Way::Outbound) };
    for (code, facts, expected) in [
        (C::CredentialRenews, ends(days(14, 1)), PASSES),
        (C::CredentialRenews, ends(days(14, 0)), BLOCKS),
        (C::CredentialRenews, account(|account| AccountFacts { has_peer: false, ..account }), BLOCKS),
        (C::CredentialRenews, StandingFacts { account: None, ..standing() }, BLOCKS),
        (C::ServiceAccountLeastPrivilege, scopes(&["echo", "keys.export"]), BLOCKS),
        (C::ServiceAccountLeastPrivilege, scopes(&[]), BLOCKS),
        (C::ServiceAccountLeastPrivilege, StandingFacts { account: None, ..standing() }, SKIPS),
        (
            C::NoLeftovers,
            StandingFacts { leftovers: vec!["the link's secret".to_owned()], ..standing() },
            BLOCKS,
        ),
        (C::DirectionsUp, status(Some(DirectionStatus::Slow)), PASSES),
        (C::DirectionsUp, status(Some(DirectionStatus::Down)), BLOCKS),
        (C::DirectionsUp, status(None), BLOCKS),
        (C::ViewsAgree, outbound(|_| disputed), BLOCKS),
        (C::KeyAge, made(days(90, 0)), PASSES),
        (C::KeyAge, made(days(90, 1)), WARNS),
        (C::KeyAge, StandingFacts { key_made_at: None, ..standing() }, WARNS),
        (
            C::QueueMoving,
            StandingFacts { stuck: vec!["SYNC_SETTINGS: late".to_owned()], ..standing() },
            BLOCKS,
        ),
    ] {
        assert_eq!(weight(&judge_standing(code, &standing(), now())), PASSES, "{code}");
        assert_eq!(weight(&judge_standing(code, &facts, now())), expected, "{code}: {facts:?}");
    }
}

#[test]
fn what_to_do_about_a_direction_depends_on_who_paused_it() {
    let down = |status| outbound(|direction| DirectionFacts { ours: Some(status), ..direction });
    let remedy = |facts: &StandingFacts| found(judge_standing(CheckCode::DirectionsUp, facts, now())).remedy;
    let ours = StandingFacts { suspended: true, ..down(DirectionStatus::Suspended) };
    assert!(matches!(remedy(&ours), Remedy::Call { mutation, .. } if mutation == "resumeConnection"));
    let theirs = remedy(&down(DirectionStatus::Suspended));
    assert!(matches!(&theirs, Remedy::Human(text) if text.contains("ask it to resume")), "{theirs:?}");
    let broken = remedy(&down(DirectionStatus::Down));
    assert!(matches!(&broken, Remedy::Human(text) if text.contains("explanation")), "{broken:?}");
}

#[test]
fn what_both_sides_hold_is_compared_thing_by_thing() {
    use CheckCode as C;
    let keys = Comparison { keys: Vec::new(), ..comparison() };
    let settings = Comparison { settings: "ff".to_owned(), ..comparison() };
    let software = Comparison { software: "0.2.0".to_owned(), ..comparison() };
    let unknown = Comparison { peer_software: None, ..comparison() };
    for (code, theirs, expected) in [
        (C::KeysAgree, keys, BLOCKS),
        (C::SettingsAgree, settings, BLOCKS),
        (C::VersionsKnown, software, WARNS),
        (C::VersionsKnown, unknown, WARNS),
    ] {
        assert_eq!(weight(&judge_agreement(code, &standing(), &Ok(comparison()))), PASSES, "{code}");
        let answer = judge_agreement(code, &standing(), &Ok(theirs));
        assert_eq!(weight(&answer), expected, "{code}");
        let evidence = found(answer).evidence;
        let (ours, theirs) = evidence.split_once("; they hold ").unwrap_or_default();
        assert!(ours.starts_with("we hold ") && !ours.ends_with(theirs), "{code}: {evidence}");
    }
}

fn health(status: KeyHealthStatus, name: &'static str) -> Measured<KeyHealth> {
    let part = KeyHealthComponent {
        name,
        module: Some("data".to_owned()),
        critical: true,
        status,
        code: "A_CODE",
        message: "It is so.".to_owned(),
        remedy: None,
        measured_at: now(),
        took_micros: 10,
    };
    Ok(KeyHealth { status, reason: None, components: vec![part], measured_at: now() })
}

#[test]
fn the_key_service_blocks_where_it_fails_and_warns_where_it_only_ails() {
    use KeyHealthStatus as S;
    for (status, whole, part) in [
        (S::Operational, PASSES, PASSES),
        (S::Degraded, WARNS, WARNS),
        (S::Malfunction, BLOCKS, BLOCKS),
        (S::Disabled, BLOCKS, SKIPS),
    ] {
        let health = health(status, "ROOT_KEY");
        assert_eq!(weight(&judge_key_service(&health)), whole, "{status}");
        let judged = judge_key_part(CheckCode::RootKey, &health);
        assert_eq!(weight(&judged), part, "{status}");
        if part == BLOCKS {
            assert_eq!(found(judged).evidence, "A_CODE (data)");
        }
        assert_eq!(weight(&judge_key_part(CheckCode::Entropy, &health)), SKIPS, "there is no such part");
    }
    let late = health(S::Malfunction, "ROTATION_SCHEDULE");
    assert_eq!(weight(&judge_key_part(CheckCode::RotationSchedule, &late)), WARNS);
    let silent = Err(Unmeasured::Failed { reason: "no answer".to_owned() });
    assert_eq!(weight(&judge_key_service(&silent)), BLOCKS);
    assert_eq!(weight(&judge_key_access(&Err(Unmeasured::Failed { reason: "data".to_owned() }))), BLOCKS);
    assert_eq!(weight(&judge_key_access(&Ok(()))), PASSES);
}

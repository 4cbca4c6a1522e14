//! Checks whose own code throws or hangs: an error within its limit, which blocks where it should.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use linkspan::domain::check::{CheckCode, Suite};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::latest;
use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Pair, Stage, let_pass};

/// Two instances whose checks can be broken.
struct Scene {
    pair: Pair,
    saboteur: Arc<Saboteur>,
    provider: Client,
    consumer: Client,
}

impl Scene {
    async fn set(database: Database) -> Self {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.run().await;
        for instance in [&mut pair.provider, &mut pair.consumer] {
            instance.kill().await;
            instance.start(Some(saboteur.clone())).await;
        }
        let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
        Self { pair, saboteur, provider, consumer }
    }
}

/// The checks of this scan, each of which broke off and blocks.
fn all_broken(scan: &Value) -> BTreeSet<String> {
    let broke = |result: &Value| {
        assert_eq!((&result["answer"], &result["blocking"]), (&json!("ERROR"), &json!(true)), "{result:#}");
        result["check"].as_str().unwrap().to_owned()
    };
    scan["results"].as_array().unwrap().iter().map(broke).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_throws_or_hangs_is_an_error_within_its_limit_and_nothing_passes() {
    for database in Database::available() {
        let Scene { pair, saboteur, provider, .. } = Scene::set(database).await;
        let ready = pair.make_ready(&provider).await;
        saboteur.throw("CONTACT_ROLE");
        saboteur.hang("MAIL_SERVICE");
        let begun = Instant::now();
        let registration = pair.register(&provider, &ready).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "it took {:?}", begun.elapsed());
        let scan = latest(&provider, Some(&registration)).await;
        assert_eq!(scan["state"], "FAILED", "{scan:#}");
        for result in scan["results"].as_array().unwrap() {
            let broken = matches!(result["check"].as_str(), Some("CONTACT_ROLE" | "MAIL_SERVICE"));
            assert_eq!(result["answer"], if broken { "ERROR" } else { "PASS" }, "{result:#}");
            assert_eq!(
                result["blocking"], broken,
                "a check that only warns blocks when it breaks: {result:#}"
            );
        }
        let failed = pair.registration(&provider, &registration).await;
        assert_eq!(failed["state"], "VALIDATION_FAILED");
        saboteur.mend();
        for issue in failed["issues"].as_array().unwrap() {
            provider.mutate("validateIssue", json!({ "issueId": issue["id"] }), "scan { id }").await;
        }
        pair.settle().await;
        let open = pair.registration(&provider, &registration).await;
        assert_eq!(open["state"], "OPEN", "{open:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_check_throws_it_is_an_error_that_blocks() {
    let Scene { pair, saboteur, provider, consumer } = Scene::set(Database::Sqlite).await;
    let mut broken = BTreeSet::new();
    let ready = pair.make_ready(&provider).await;
    saboteur.throw_all();
    let registration = pair.register(&provider, &ready).await;
    broken.append(&mut all_broken(&latest(&provider, Some(&registration)).await));
    saboteur.mend();
    pair.clock.advance(10);
    let input = json!({ "registrationId": registration });
    provider.mutate("revalidateRegistration", input, "registration { state }").await;
    pair.settle().await;

    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    saboteur.throw_all();
    let failed = pair.get_started(&consumer, &connection).await;
    assert_eq!(failed["state"], "VALIDATION_FAILED", "{failed:#}");
    broken.append(&mut all_broken(&latest(&consumer, Some(&connection)).await));
    assert_the_explanation_passes_over_what_is_waived(&consumer, &connection).await;
    saboteur.mend();
    pair.clock.advance(10);
    let input = json!({ "connectionId": connection });
    consumer.mutate("runPreOnboardingChecks", input, "connection { state }").await;
    pair.settle().await;
    assert_eq!(pair.onboard(&consumer, &connection).await["state"], "ONBOARDED");

    saboteur.throw_all();
    for (subject, suites) in
        [(Some(&connection), json!(["POST_ONBOARDING", "CONNECTION_HEALTH"])), (None, json!(["KEY_SERVICE"]))]
    {
        pair.clock.advance(10);
        let input = json!({ "subjectId": subject, "suites": suites });
        consumer.mutate("runScan", input, "scan { id }").await;
        pair.settle().await;
        broken.append(&mut all_broken(&latest(&consumer, subject.map(String::as_str)).await));
    }
    let all: BTreeSet<_> = CheckCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(broken, all);
}

/// Of several things that block, the first that nobody waived is the reason why it does not go on.
async fn assert_the_explanation_passes_over_what_is_waived(client: &Client, connection: &str) {
    let query = "query($id: ID!) { explain(connectionId: $id) { fault { evidence } }
        issues(filter: { subjectId: $id, state: OPEN }, orderBy: NEWEST) { edges { node { id message } } } }";
    let before = client.query(query, json!({ "id": connection })).await;
    let first = before["explain"]["fault"]["evidence"].clone();
    let edges = before["issues"]["edges"].as_array().unwrap();
    let named = edges.iter().find(|edge| edge["node"]["message"] == first).unwrap();
    let input = json!({
        "issueId": named["node"]["id"], "reason": "It is known.", "until": "2026-01-06T09:00:00Z",
    });
    client.mutate("waiveIssue", input, "issue { id }").await;
    let after = client.query(query, json!({ "id": connection })).await;
    let second = &after["explain"]["fault"]["evidence"];
    assert!(second.is_string() && *second != first, "{after:#}");
}

/// The checks of this scan once it has ended, each of which hung for as long as its limit says, and blocks.
async fn all_hung(client: &Client, subject: &str) -> BTreeSet<String> {
    let scan = loop {
        let scan = latest(client, Some(subject)).await;
        if !matches!(scan["state"].as_str(), Some("QUEUED" | "RUNNING")) {
            break scan;
        }
        let_pass(Duration::from_millis(250)).await;
    };
    assert_eq!(scan["state"], "FAILED", "{scan:#}");
    for result in scan["results"].as_array().unwrap() {
        let code = CheckCode::parse(result["check"].as_str().unwrap()).unwrap();
        let limit = code.spec().time_limit.num_seconds();
        assert_eq!(result["message"], format!("No answer within {limit} s."), "{result:#}");
    }
    all_broken(&scan)
}

/// Before onboarding: a registration, a connection, and the key service, which is looked at by itself.
async fn what_hangs_before_onboarding() -> BTreeSet<String> {
    let Scene { pair, saboteur, provider, consumer } = Scene::set(Database::Sqlite).await;
    let ready = pair.make_ready(&provider).await;
    pair.register(&provider, &ready).await;
    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    let other = provider.mutate("createCompany", json!({ "name": "Other Ltd" }), "company { id }").await;
    let other = other["company"]["id"].as_str().unwrap();
    let contact = pair.make_contact(&provider, other, "contact@other.example.com").await;
    saboteur.hang_all();
    let input = json!({ "connectionId": connection });
    consumer.mutate("runPreOnboardingChecks", input, "connection { state }").await;
    let input = json!({
        "companyId": other, "contactId": contact, "url": "https://other.invalid", "environment": "NON_PRODUCTION",
    });
    let made = provider.mutate("createRegistration", input, "registration { id }").await;
    pair.clock.advance(16_000);
    let registration = made["registration"]["id"].as_str().unwrap();
    let mut hung = all_hung(&provider, registration).await;
    hung.append(&mut all_hung(&consumer, &connection).await);
    for code in Suite::KeyService.checks() {
        let limit = code.spec().time_limit.num_seconds();
        let by_itself = format!(
            "issue where check_code = '{code}' and subject_kind = 'INSTANCE' and state = 'OPEN' and blocking
             and evidence = 'no answer within {limit} s'"
        );
        assert_eq!(pair.provider.rows(&by_itself).await, 1, "{code}");
        hung.insert(code.as_str().to_owned());
    }
    hung
}

/// Of a connection that stands.
async fn what_hangs_after_onboarding() -> BTreeSet<String> {
    let Scene { pair, saboteur, provider, .. } = Scene::set(Database::Sqlite).await;
    let stage = Stage::open_over(pair).await;
    stage.onboard().await;
    let connection = stage.providers_connection().await;
    saboteur.hang_all();
    let input = json!({ "subjectId": connection, "suites": ["POST_ONBOARDING", "CONNECTION_HEALTH"] });
    stage.pair.clock.advance(10);
    provider.mutate("runScan", input, "scan { id }").await;
    all_hung(&provider, &connection).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_check_hangs_it_is_an_error_that_blocks_after_as_long_as_its_limit_says() {
    // At the same time: they mostly wait.
    let (mut hung, mut others) = tokio::join!(what_hangs_before_onboarding(), what_hangs_after_onboarding());
    hung.append(&mut others);
    let all: BTreeSet<_> = CheckCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(hung, all);
}

/// The database takes no answer that passes: a fault that stays, and that a test can set from outside.
const NO_PASSES: [(Database, &str, &str); 2] = [
    (
        Database::Sqlite,
        "create trigger no_passes before insert on scan_result when new.answer = 'PASS' \
         begin select raise(abort, 'no passes'); end",
        "drop trigger no_passes",
    ),
    (
        Database::Postgres,
        "create function no_passes() returns trigger as 'begin raise exception ''no passes''; end' language plpgsql; \
         create trigger no_passes before insert on scan_result for each row when (new.answer = 'PASS') \
         execute function no_passes()",
        "drop trigger no_passes on scan_result; drop function no_passes()",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_cannot_be_carried_out_is_given_up_with_an_error_for_each_check_and_can_be_run_again() {
    for database in Database::available() {
        let Scene { pair, provider, .. } = Scene::set(database).await;
        let ready = pair.make_ready(&provider).await;
        let (_, set, lift) = NO_PASSES.into_iter().find(|(of, ..)| *of == database).unwrap();
        pair.provider.tamper(set).await;
        let registration = pair.register(&provider, &ready).await;
        // Tried again as often as it says, each time a little later.
        for _ in 0..8 {
            pair.advance(4).await;
        }
        let scan = latest(&provider, Some(&registration)).await;
        assert_eq!(scan["state"], "FAILED", "{database:?}: {scan:#}");
        assert_eq!(all_broken(&scan).len(), scan["results"].as_array().unwrap().len());
        let why = "This instance could not carry it out; its log says why.";
        assert!(
            scan["results"].as_array().unwrap().iter().all(|result| result["message"] == why),
            "{scan:#}"
        );
        let failed = pair.registration(&provider, &registration).await;
        assert_eq!(failed["state"], "VALIDATION_FAILED", "{database:?}");
        pair.provider.tamper(lift).await;
        let input = json!({ "registrationId": registration });
        provider.mutate("revalidateRegistration", input, "registration { state }").await;
        pair.settle().await;
        let open = pair.registration(&provider, &registration).await;
        assert_eq!(open["state"], "OPEN", "{database:?}: {open:#}");
    }
}

//! The named contact decides, nobody else does, and every way out leaves nothing behind.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::browser::{Consent, decide, form};
use crate::harness::client::Page;
use crate::harness::pair::CONTACT;
use crate::harness::stage::failure;
use crate::harness::{Database, Instance, Stage};

/// What of an attempt is in a provider's or consumer's memory.
const TRACES: [&str; 6] = [
    "attempt where state in ('RUNNING', 'FAILED')",
    "claim where rehearsal = false",
    "authorization_request",
    "handshake",
    "service_account",
    // Its keys stay, and none of them does anything.
    "key_version where module like 'link%' and state not in ('PRE_ACTIVE', 'REVOKED')",
];

async fn leaves_nothing(instance: &Instance) {
    for traces in TRACES {
        assert_eq!(instance.rows(traces).await, 0, "{}: {traces}", instance.name);
    }
}

fn refused(consent: Consent) -> Page {
    let Consent::Refused(page) = consent else { panic!("somebody else was asked") };
    page
}

fn asked(consent: Consent) -> Page {
    match consent {
        Consent::Asked(page) => page,
        Consent::Refused(page) => panic!("the contact was not asked: {}", page.body),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_person_spoils_nothing_and_the_right_one_goes_on_with_the_same_link() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let colleague = "colleague@consumer.example.com";
        stage.pair.make_contact(&stage.provider, &stage.ready.company, colleague).await;
        let (consumer, connection) = stage.validated().await;
        let before = stage.start(&consumer, &connection).await;

        let browser = stage.pair.provider.client();
        let page = refused(stage.consent(&browser, &before, colleague).await);
        assert_eq!(page.status, 403);
        assert!(page.body.contains("CONTACT_MISMATCH"), "a program can tell why: {}", page.body);
        assert!(page.body.contains("Someone else is expected"), "{}", page.body);
        assert!(page.body.contains(colleague), "who is signed in is said");
        assert!(!page.body.contains(CONTACT), "who is expected is masked");
        let audited = "audit where operation = 'authorization.page' and result = 'CONTACT_MISMATCH'";
        assert_eq!(stage.pair.provider.rows(audited).await, 1);

        stage.pair.settle().await;
        assert_eq!(stage.pair.connection(&consumer, &connection).await, before, "nothing is spoilt");
        assert_eq!(stage.now().await["state"], "WORK_IN_PROGRESS");

        let switch = form(&page, &["return_to", "Switch account"]);
        let page = browser.submit(&page, switch, &[]).await;
        assert_eq!(page.status, 303, "{}", page.body);
        let page = asked(stage.consent(&browser, &before, CONTACT).await);
        let back = decide(&browser, &page, "allow").await;
        assert_eq!(consumer.get(&back).await.status, 303);
        stage.pair.settle().await;
        assert_eq!(stage.pair.connection(&consumer, &connection).await["state"], "ONBOARDED");
        assert_eq!(stage.now().await["state"], "CLOSED_COMPLETE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_who_lost_the_role_is_refused_when_they_decide() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let now = stage.start(&consumer, &connection).await;
        let browser = stage.pair.provider.client();
        let page = asked(stage.consent(&browser, &now, CONTACT).await);
        let input = json!({ "userId": stage.ready.contact, "role": "CONSUMER_CONTACT" });
        stage.provider.mutate("revokeRole", input.clone(), "__typename").await;
        let allow = form(&page, &["decision", "value=\"allow\""]);
        let late = browser.submit(&page, allow, &[("decision", "allow")]).await;
        assert_eq!(late.status, 403, "looked at again when they decide: {}", late.body);
        stage.provider.mutate("grantRole", input, "__typename").await;
        stage.finishes(&consumer, &connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_who_denies_is_a_typed_failure_and_can_be_asked_again_by_any_administrator() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let now = stage.start(&consumer, &connection).await;
        let browser = stage.pair.provider.client();
        let page = asked(stage.consent(&browser, &now, CONTACT).await);
        let back = decide(&browser, &page, "deny").await;
        let page = consumer.get(&back).await;
        assert_eq!(page.status, 303, "to where the failure is shown: {}", page.body);
        stage.pair.settle().await;

        let denied = stage.pair.connection(&consumer, &connection).await;
        assert_eq!(denied["state"], "ONBOARDING");
        assert_eq!(failure(&denied).0, "AUTHORIZATION_DENIED");
        assert_eq!(stage.now().await["state"], "WORK_IN_PROGRESS");

        let here = json!({ "connectionId": connection });
        consumer.mutate("retryPhase", here.clone(), "connection { state }").await;
        stage.pair.settle().await;
        let other = stage.pair.consumer.person("other", &[Role::Admin]).await;
        let operator = stage.pair.consumer.person("operator", &[Role::Operator]).await;
        let asked_again = stage.pair.connection(&consumer, &connection).await;
        for client in [&other, &operator] {
            assert_eq!(*address(&stage.pair.connection(client, &connection).await), Value::Null);
        }

        let page = asked(stage.consent(&browser, &asked_again, CONTACT).await);
        let back = decide(&browser, &page, "allow").await;
        let page = other.get(&back).await;
        assert_eq!(page.status, 404, "another account began it: {}", page.body);
        assert!(
            page.body.contains(&format!("/connections/{connection}/wizard\"")),
            "the way on: {}",
            page.body
        );
        stage.pair.settle().await;
        assert_eq!(stage.pair.connection(&consumer, &connection).await, asked_again, "it waits still");

        other.mutate("continueAuthorization", here, "connection { state }").await;
        stage.pair.settle().await;
        assert_eq!(*address(&stage.pair.connection(&consumer, &connection).await), Value::Null);
        assert_eq!(consumer.get(&back).await.status, 404, "the address before is void");
        stage.finishes(&other, &connection).await;
    }
}

/// Where the contact approves, for whoever was answered so.
fn address(connection: &Value) -> &Value {
    &connection["onboarding"]["authorizationUrl"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_on_the_consumer_nothing_is_left_and_the_same_link_succeeds() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        consumer
            .mutate("cancelOnboarding", json!({ "connectionId": connection }), "connection { state }")
            .await;
        stage.pair.settle().await;
        let open = stage.now().await;
        assert_eq!(open["state"], "OPEN", "{open:#}");
        assert!(open["connection"].is_null());
        assert_eq!(stage.pair.provider.rows("connection").await, 0);
        leaves_nothing(&stage.pair.provider).await;
        leaves_nothing(&stage.pair.consumer).await;

        let again = stage.pair.get_started(&consumer, &connection).await;
        assert_eq!(again["state"], "VALIDATED", "{again:#}");
        stage.start(&consumer, &connection).await;
        consumer.mutate("startOver", json!({ "connectionId": connection }), "connection { state }").await;
        stage.pair.settle().await;
        for instance in [&stage.pair.provider, &stage.pair.consumer] {
            assert_eq!(instance.rows("connection").await, 1, "{}", instance.name);
            assert_eq!(instance.rows("attempt where state = 'RUNNING'").await, 1, "{}", instance.name);
        }
        assert_eq!(stage.pair.provider.rows("claim where rehearsal = false").await, 1);
        stage.finishes(&consumer, &connection).await;
        assert_eq!(
            stage.pair.provider.letters().iter().filter(|letter| letter.contains("/connect#")).count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_on_the_provider_the_consumer_hears_why_and_is_free_again() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let now = stage.start(&consumer, &connection).await;
        stage.with_registration("cancelRegistration").await;
        assert_eq!(stage.now().await["state"], "CANCELLED");
        assert_eq!(stage.pair.provider.rows("connection").await, 0);
        leaves_nothing(&stage.pair.provider).await;
        let page = refused(stage.consent(&stage.pair.provider.client(), &now, CONTACT).await);
        assert_eq!(page.status, 400, "there is nothing left to approve: {}", page.body);
        assert!(page.body.contains("What to do"), "{}", page.body);

        consumer.mutate("startOver", json!({ "connectionId": connection }), "connection { state }").await;
        stage.pair.settle().await;
        let over = stage.pair.connection(&consumer, &connection).await;
        assert_eq!(failure(&over), ("NO_MATCHING_REGISTRATION".to_owned(), "CANCELLED".to_owned()));
        consumer
            .mutate("cancelOnboarding", json!({ "connectionId": connection }), "connection { state }")
            .await;
        stage.pair.settle().await;
        leaves_nothing(&stage.pair.consumer).await;

        let next = stage.pair.register(&stage.provider, &stage.ready).await;
        assert_eq!(stage.pair.registration(&stage.provider, &next).await["state"], "OPEN");
        let same = stage.pair.open_link(&consumer, &stage.pair.link_in_letter()).await;
        assert_eq!(same, connection, "one connection to one provider");
        let valid = stage.pair.get_started(&consumer, &same).await;
        assert_eq!(valid["state"], "VALIDATED", "{valid:#}");
        let done = stage.pair.onboard(&consumer, &same).await;
        assert_eq!(done["state"], "ONBOARDED", "{done:#}");
    }
}

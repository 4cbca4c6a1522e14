//! From saving a registration to its link: what stops it, how it goes on by itself, and who may see it.

use futures_util::future::join_all;
use linkspan::domain::requester::Role;
use linkspan::mail::TransportKind;
use serde_json::{Value, json};

use crate::harness::pair::{CONTACT, PASSWORD, Ready};
use crate::harness::{Client, Database, Pair, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mail_off_the_link_is_shared_by_hand_and_the_journey_is_the_same() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.mail.transport = TransportKind::Off;
        pair.run().await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let registration = pair.register(&provider, &ready).await;
        let mut stage = Stage { pair, provider, ready, registration, link: String::new() };
        let open = stage.now().await;
        assert_eq!(open["state"], "OPEN", "{open:#}");
        assert_eq!(open["link"]["delivery"], "SHARE_IT_YOURSELF");
        assert_eq!(
            open["issues"].as_array().unwrap().len(),
            1,
            "mail off is said, and stops nothing: {open:#}"
        );
        stage.link = stage.reissue().await;
        assert!(stage.pair.provider.letters().is_empty());
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        stage.finishes(&consumer, &connection).await;
        assert!(stage.pair.provider.letters().is_empty());
    }
}

/// Three things in the way: the contact is switched off and has no role, and the consumer does not run.
const IN_THE_WAY: [&str; 3] = ["CONTACT_ACTIVE", "CONTACT_ROLE", "PEER_TLS"];

async fn blocked(database: Database) -> (Pair, Client, Ready, String) {
    let mut pair = Pair::prepare(database).await;
    pair.provider.config.outbound.connect_timeout_ms = 400;
    pair.provider.config.outbound.total_timeout_ms = 3_000;
    pair.provider.start(None).await;
    pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    provider
        .mutate("updateContact", json!({ "userId": ready.contact, "active": false }), "contact { active }")
        .await;
    let registration = pair.register(&provider, &ready).await;
    let failed = pair.registration(&provider, &registration).await;
    assert_eq!(failed["state"], "VALIDATION_FAILED", "{failed:#}");
    provider
        .mutate("revokeRole", json!({ "userId": ready.contact, "role": "CONSUMER_CONTACT" }), "__typename")
        .await;
    let input = json!({ "registrationId": registration });
    provider.mutate("revalidateRegistration", input, "registration { state }").await;
    pair.settle().await;
    let failed = pair.registration(&provider, &registration).await;
    assert_eq!(failed["state"], "VALIDATION_FAILED");
    assert!(failed["banner"]["text"].as_str().unwrap().contains("link is made when all issues are resolved"));
    assert!(failed["link"].is_null(), "there is no link: {failed:#}");
    let mut found: Vec<_> = issues(&failed).into_iter().map(|(check, _)| check).collect();
    found.sort();
    assert_eq!(found, IN_THE_WAY, "{failed:#}");
    (pair, provider, ready, registration)
}

/// Check and id of what blocks.
fn issues(registration: &Value) -> Vec<(String, String)> {
    let issues = registration["issues"].as_array().unwrap().iter().filter(|issue| issue["blocking"] == true);
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    issues.map(|issue| (text(issue, "check"), text(issue, "id"))).collect()
}

async fn mend(pair: &mut Pair, provider: &Client, ready: &Ready, check: &str) {
    match check {
        "CONTACT_ACTIVE" => {
            let input = json!({ "userId": ready.contact, "active": true });
            provider.mutate("updateContact", input, "contact { active }").await;
        }
        "CONTACT_ROLE" => {
            let input = json!({ "userId": ready.contact, "role": "CONSUMER_CONTACT" });
            provider.mutate("grantRole", input, "__typename").await;
        }
        _ => pair.consumer.start(None).await,
    }
}

/// Open, once, with one letter, and after every check was asked.
async fn assert_open_once(pair: &Pair, provider: &Client, registration: &str) {
    let open = pair.registration(provider, registration).await;
    assert_eq!(open["state"], "OPEN", "{open:#}");
    assert!(open["banner"].is_null());
    assert!(issues(&open).is_empty());
    let invitations =
        pair.provider.letters().into_iter().filter(|letter| letter.contains("/connect#")).count();
    assert_eq!(invitations, 1, "exactly one letter with a link");
    assert_eq!(
        pair.provider.rows("audit where operation = 'registration.link'").await,
        1,
        "exactly one link"
    );
    for result in passed_suite(provider, registration).await {
        assert_eq!(
            result["answer"], "PASS",
            "what was skipped at first was asked before it opened: {result}"
        );
    }
}

/// What the checks answered in the one whole run that passed.
async fn passed_suite(client: &Client, subject: &str) -> Vec<Value> {
    let query = "query($id: ID!) { scans(subjectId: $id) { edges { node { only state results { check answer } } } } }";
    let scans = client.query(query, json!({ "id": subject })).await["scans"]["edges"].clone();
    let edges = scans.as_array().unwrap();
    let passed: Vec<_> = edges
        .iter()
        .filter(|edge| edge["node"]["only"].is_null() && edge["node"]["state"] == "PASSED")
        .collect();
    assert_eq!(passed.len(), 1, "{scans:#}");
    passed[0]["node"]["results"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_that_failed_goes_on_by_itself_in_whatever_order_it_is_resolved() {
    for database in Database::available() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut pair, provider, ready, registration) = blocked(database).await;
            for (done, index) in order.into_iter().enumerate() {
                mend(&mut pair, &provider, &ready, IN_THE_WAY[index]).await;
                let now = pair.registration(&provider, &registration).await;
                assert_eq!(now["state"], "VALIDATION_FAILED");
                let left = issues(&now);
                assert_eq!(left.len(), 3 - done);
                let (_, issue) = left.iter().find(|(check, _)| check == IN_THE_WAY[index]).unwrap();
                provider.mutate("validateIssue", json!({ "issueId": issue }), "scan { id }").await;
                pair.settle().await;
            }
            assert_open_once(&pair, &provider, &registration).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_that_failed_opens_once_when_all_is_resolved_at_once() {
    for database in Database::available() {
        let (mut pair, provider, ready, registration) = blocked(database).await;
        for check in IN_THE_WAY {
            mend(&mut pair, &provider, &ready, check).await;
        }
        let left = issues(&pair.registration(&provider, &registration).await);
        let twice = left.iter().chain(&left);
        join_all(twice.map(|(_, issue)| {
            // Whoever comes after the check has passed is told that it did.
            provider.try_mutate("validateIssue", json!({ "issueId": issue }), "scan { id }")
        }))
        .await;
        pair.settle().await;
        assert_open_once(&pair, &provider, &registration).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_cannot_be_carried_out_is_an_error_and_never_a_pass() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let consumer = stage.pair.consumer_admin().await;
        let connection = stage.pair.open_link(&consumer, &stage.link).await;
        // The provider cannot look at claims: what it answers says nothing of the link.
        stage.pair.provider.tamper("alter table claim rename to claim_elsewhere").await;
        let now = stage.pair.get_started(&consumer, &connection).await;
        stage.pair.provider.tamper("alter table claim_elsewhere rename to claim").await;
        assert_eq!(now["state"], "VALIDATION_FAILED", "{now:#}");
        let query = "query($id: ID!) { connection(id: $id) { latestScan { state results { check answer blocking } } } }";
        let scan =
            consumer.query(query, json!({ "id": connection })).await["connection"]["latestScan"].clone();
        assert_eq!(scan["state"], "FAILED");
        let results = scan["results"].as_array().unwrap();
        let of = |check: &str| results.iter().find(|result| result["check"] == check).unwrap();
        assert_eq!(of("REGISTRATION_MATCHES")["answer"], "ERROR", "{scan:#}");
        assert_eq!(of("REGISTRATION_MATCHES")["blocking"], true);
        assert_eq!(of("CALL_BACK")["answer"], "SKIPPED", "{scan:#}");
        let start = consumer
            .try_mutate("startOnboarding", json!({ "connectionId": connection }), "connection { state }")
            .await;
        assert_eq!(start["refusal"]["code"], "NOT_VALIDATED");
        let call = "mutation($input: StartOnboardingInput!) { startOnboarding(input: $input) {
            refusal { remedy { mutation variables { name value } } } } }";
        let start = consumer.query(call, json!({ "input": { "connectionId": connection } })).await;
        let variables = json!([{ "name": "connectionId", "value": connection }]);
        let remedy = json!({ "mutation": "runPreOnboardingChecks", "variables": variables });
        assert_eq!(start["startOnboarding"]["refusal"]["remedy"], remedy);

        let issue = now["issues"]
            .as_array()
            .unwrap()
            .iter()
            .find(|issue| issue["check"] == "REGISTRATION_MATCHES")
            .unwrap();
        consumer.mutate("validateIssue", json!({ "issueId": issue["id"] }), "scan { id }").await;
        stage.pair.settle().await;
        let valid = stage.pair.connection(&consumer, &connection).await;
        assert_eq!(valid["state"], "VALIDATED", "{valid:#}");
        for result in passed_suite(&consumer, &connection).await {
            assert_eq!(result["answer"], "PASS", "what was skipped was asked before it passed: {result}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_makes_one_registration_and_another_is_refused() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let input = |url: &str, key: Option<&str>| {
            json!({
                "companyId": ready.company, "contactId": ready.contact, "url": url,
                "environment": "NON_PRODUCTION", "idempotencyKey": key,
            })
        };
        let origin = &pair.consumer.origin;
        let create =
            |input: Value| provider.try_mutate("createRegistration", input, "registration { id number }");
        let at_once = join_all((0..8).map(|_| create(input(origin, Some("first"))))).await;
        for answer in &at_once {
            assert_eq!(answer["registration"], at_once[0]["registration"], "{answer:#}");
            assert!(answer["registration"]["id"].is_string() && answer["refusal"].is_null(), "{answer:#}");
        }
        let again = create(input(origin, Some("first"))).await;
        assert_eq!(again["registration"], at_once[0]["registration"]);
        let other = create(input("https://other.consumer.example.com", Some("first"))).await;
        assert_eq!(other["refusal"]["code"], "IDEMPOTENCY_CONFLICT");
        let spelled =
            format!("{}/", origin.replace("https://consumer.localhost", "HTTPS://Consumer.LocalHost"));
        for (url, key) in [(origin.as_str(), None), (origin, Some("second")), (&spelled, None)] {
            let refused = create(input(url, key)).await;
            assert_eq!(refused["refusal"]["code"], "DUPLICATE_REGISTRATION", "{url}: {refused:#}");
        }
        assert_eq!(pair.provider.rows("registration").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_a_link_under_one_key_is_one_connection() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let consumer = stage.pair.consumer_admin().await;
        let open = |key: &str| {
            let input = json!({ "link": stage.link, "idempotencyKey": key });
            consumer.try_mutate("openRegistrationLink", input, "connection { id }")
        };
        let at_once = join_all((0..8).map(|index| open(if index % 2 == 0 { "even" } else { "odd" }))).await;
        for answer in &at_once {
            assert_eq!(answer["connection"], at_once[0]["connection"], "{answer:#}");
            assert!(answer["connection"]["id"].is_string(), "{answer:#}");
        }
        assert_eq!(stage.pair.consumer.rows("connection").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_sees_only_what_is_of_their_company() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let company =
            stage.provider.mutate("createCompany", json!({ "name": "Other Ltd" }), "company { id }").await;
        let company = company["company"]["id"].as_str().unwrap().to_owned();
        let stranger = stage.pair.make_contact(&stage.provider, &company, "contact@other.example.com").await;
        let input = json!({
            "companyId": company, "contactId": stranger,
            "url": "https://nowhere.invalid", "environment": "NON_PRODUCTION",
        });
        let other = stage.provider.mutate("createRegistration", input, "registration { id }").await;
        let other = other["registration"]["id"].as_str().unwrap().to_owned();
        stage.pair.settle().await;
        let issue = issues(&stage.pair.registration(&stage.provider, &other).await)[0].1.clone();

        let contact = stage.pair.provider.client();
        contact.sign_in(CONTACT, PASSWORD).await;
        let all = "{ registrations { edges { node { id } } } companies { edges { node { id } } }
            contacts { edges { node { id } } } issues { edges { node { id } } } }";
        let seen = contact.query(all, json!({})).await;
        let nodes = |list: &str| {
            seen[list]["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| edge["node"]["id"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(nodes("registrations"), [json!(stage.registration)]);
        assert_eq!(nodes("companies"), [json!(stage.ready.company)]);
        assert_eq!(nodes("contacts"), [json!(stage.ready.contact)]);
        assert!(nodes("issues").is_empty());
        for hidden in [&other, &company, &stranger, &issue] {
            let node =
                contact.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": hidden })).await;
            assert!(node["node"].is_null(), "{node}");
        }
        let ids = json!({ "ids": [other, stage.registration] });
        let both = contact.query("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids).await;
        assert_eq!(both["nodes"], json!([null, { "id": stage.registration }]));
        let named =
            contact.query("query($id: ID!) { registration(id: $id) { id } }", json!({ "id": other })).await;
        assert!(named["registration"].is_null());

        for id in [&stage.registration, &other] {
            let input = json!({ "registrationId": id });
            let query = "mutation($input: CancelRegistrationInput!) { cancelRegistration(input: $input) { registration { id } } }";
            let answer = contact.raw(query, json!({ "input": input })).await;
            assert!(answer["data"]["cancelRegistration"]["registration"].is_null(), "{answer:#}");
        }
        assert_eq!(stage.now().await["state"], "OPEN");
        let other = stage.pair.registration(&stage.provider, &other).await;
        assert_eq!(other["state"], "VALIDATION_FAILED");
    }
}

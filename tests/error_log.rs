//! The error log: what failed about a registration or a connection, why, what to do, and where to look on both sides.

use linkspan::actions::Call;
use linkspan::domain::requester::Role;
use linkspan::peer::wire;
use serde_json::{Value, json};

use crate::harness::browser::authorize;
use crate::harness::instance::connection_id;
use crate::harness::pair::{CONTACT, PASSWORD};
use crate::harness::{Client, Database, Pair, Stage};

const LOG: &str =
    "query($id: ID) { errorLog(subjectId: $id) { edges { node { id operation code reason message count
    traceId peerTraceId docsUrl subjectId remedy { kind text } } } } }";

/// What is logged about this, what failed last first.
async fn log_of(client: &Client, subject: &str) -> Vec<Value> {
    let found = client.query(LOG, json!({ "id": subject })).await;
    let edges = found["errorLog"]["edges"].as_array().unwrap().clone();
    edges.into_iter().map(|edge| edge["node"].clone()).collect()
}

/// The one line about this operation.
async fn line(client: &Client, subject: &str, operation: &str) -> Value {
    let log = log_of(client, subject).await;
    let mut found = log.iter().filter(|entry| entry["operation"] == operation);
    let one = found.next().unwrap_or_else(|| panic!("no {operation} in {log:#?}")).clone();
    assert!(found.next().is_none(), "more than one {operation} in {log:#?}");
    one
}

fn because(entry: &Value) -> (&str, &str) {
    (entry["code"].as_str().unwrap(), entry["reason"].as_str().unwrap_or_default())
}

/// Whether this entry leads to the log of the other side, where the other entry is.
fn leads_to(entry: &Value, other: &Value) -> bool {
    entry["peerTraceId"] == other["traceId"] && entry["traceId"].as_str().unwrap().len() == 32
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_refused_is_in_the_error_logs_of_both_sides_under_one_trace() {
    for database in Database::available() {
        for (verb, reason) in [("cancelRegistration", "CANCELLED"), ("reissueRegistrationLink", "REISSUED")] {
            let stage = Stage::open(database).await;
            let (consumer, connection) = stage.validated().await;
            stage.with_registration(verb).await;
            stage.start(&consumer, &connection).await;
            let theirs = line(&stage.provider, &stage.registration, "CLAIM").await;
            let ours = line(&consumer, &connection, "PHASE").await;
            for entry in [&theirs, &ours] {
                assert_eq!(because(entry), ("NO_MATCHING_REGISTRATION", reason), "{entry:#}");
                assert!(
                    entry["docsUrl"].as_str().unwrap().ends_with("/docs/refusals/no-matching-registration")
                );
            }
            assert!(leads_to(&ours, &theirs) && leads_to(&theirs, &ours), "{ours:#}\n{theirs:#}");
            assert!(ours["remedy"]["kind"].is_string(), "{ours:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_from_before_that_is_redeemed_again_and_again_is_one_line_counted_once_a_second() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (_, connection) = stage.validated().await;
        let actions = stage.pair.consumer.app().actions();
        let call = Call::system(actions.fresh_trace());
        let claim = actions.make_claim(&call, connection_id(&connection), false).await.unwrap();
        let mut claim = serde_json::to_value(claim).unwrap();
        stage.with_registration("cancelRegistration").await;
        let sender = stage.pair.provider.client();
        for (already, seconds) in [(0, 2), (1, 2)] {
            for _ in 0..20 {
                let (_, answer) = sender.post_json(wire::CLAIM, &claim).await;
                assert_eq!(answer["reason"], "CANCELLED", "{answer}");
            }
            let entry = line(&stage.provider, &stage.registration, "CLAIM").await;
            assert_eq!(entry["count"], already + 1, "{database:?}: {entry:#}");
            stage.pair.advance(seconds).await;
        }
        // Whoever does not have the secret adds nothing.
        claim["t"] = json!(data_encoding::BASE64URL_NOPAD.encode(&[7; 32]));
        let (_, answer) = sender.post_json(wire::CLAIM, &claim).await;
        assert_eq!(answer["code"], "LINK_INVALID", "{answer}");
        assert_eq!(line(&stage.provider, &stage.registration, "CLAIM").await["count"], 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_refused_is_in_the_error_logs_of_both_sides_under_one_trace() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let there = stage.providers_connection().await;
        let input = json!({ "connectionId": there });
        stage.provider.mutate("suspendConnection", input, "connection { state }").await;
        stage.pair.settle().await;
        let input = json!({ "connectionId": connection });
        consumer.mutate("renewConnectionCredentials", input, "connection { state }").await;
        stage.pair.settle().await;
        let ours = line(&consumer, &connection, "CREDENTIALS").await;
        let theirs = line(&stage.provider, &there, "RECEIVE").await;
        for entry in [&ours, &theirs] {
            assert_eq!(because(entry), ("WRONG_STATE", "SUSPENDED"), "{entry:#}");
        }
        assert!(leads_to(&ours, &theirs) && leads_to(&theirs, &ours), "{ours:#}\n{theirs:#}");
        assert!(ours["remedy"]["kind"].is_string(), "{ours:#}");

        let input = json!({ "connectionId": connection });
        consumer.mutate("verifyConnection", input.clone(), "verification { state }").await;
        stage.pair.settle().await;
        let steps = line(&consumer, &connection, "VERIFICATION").await;
        assert_eq!(because(&steps), ("WRONG_STATE", "SUSPENDED"), "{steps:#}");
        // The first of these failures happens once more, and comes first.
        stage
            .pair
            .consumer
            .tamper("update failure set last_at = last_at + 600000 where operation = 'CREDENTIALS'")
            .await;
        assert_eq!(log_of(&consumer, &connection).await[0]["id"], ours["id"]);
        let page = "query($id: ID, $after: String) { errorLog(subjectId: $id, first: 1, after: $after) {
            edges { node { id } } pageInfo { endCursor } } }";
        let first = consumer.query(page, json!({ "id": connection })).await["errorLog"].clone();
        let after = json!({ "id": connection, "after": first["pageInfo"]["endCursor"] });
        let second = consumer.query(page, after).await["errorLog"].clone();
        assert_ne!(second["edges"][0]["node"]["id"], first["edges"][0]["node"]["id"], "{second:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_does_not_arrive_is_logged_here_and_leads_to_no_log_there() {
    for database in Database::available() {
        let (mut stage, _, _) = Stage::onboarded(database).await;
        let there = stage.providers_connection().await;
        stage.pair.consumer.kill().await;
        let input = json!({ "connectionId": there });
        for verb in ["suspendConnection", "refreshConnectionPeer"] {
            stage.provider.mutate(verb, input.clone(), "connection { state }").await;
        }
        stage.pair.settle().await;
        let asked = line(&stage.provider, &there, "IDENTITY").await;
        assert_eq!(asked["code"], "PEER_UNREACHABLE", "{asked:#}");
        let entry = line(&stage.provider, &there, "NOTICE").await;
        assert_eq!(entry["code"], "PEER_UNREACHABLE", "{entry:#}");
        assert!(entry["peerTraceId"].is_null(), "nobody heard of it: {entry:#}");
        assert!(entry["remedy"]["text"].is_string(), "{entry:#}");
        assert_eq!(entry["subjectId"], there.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_found_by_its_global_id_by_whoever_may_see_it() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        stage.with_registration("cancelRegistration").await;
        stage.start(&consumer, &connection).await;
        let entry = line(&stage.provider, &stage.registration, "CLAIM").await;
        let other =
            stage.provider.mutate("createCompany", json!({ "name": "Other Ltd" }), "company { id }").await;
        let stranger = "contact@other.example.com";
        stage.pair.make_contact(&stage.provider, other["company"]["id"].as_str().unwrap(), stranger).await;
        let (contact, outsider) = (stage.pair.provider.client(), stage.pair.provider.client());
        contact.sign_in(CONTACT, PASSWORD).await;
        outsider.sign_in(stranger, PASSWORD).await;
        let viewer = stage.pair.provider.person("viewer", &[Role::Viewer]).await;

        let node =
            "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on ErrorLogEntry { operation } } }";
        let ids = json!({ "ids": [entry["id"]] });
        let seen = json!([{ "__typename": "ErrorLogEntry", "id": entry["id"], "operation": "CLAIM" }]);
        for client in [&stage.provider, &contact, &viewer] {
            assert_eq!(client.query(node, ids.clone()).await["nodes"], seen);
        }
        assert_eq!(outsider.query(node, ids.clone()).await["nodes"], json!([null]));
        assert_eq!(outsider.query(LOG, json!({})).await["errorLog"]["edges"], json!([]));
        assert_eq!(consumer.query(node, ids).await["nodes"], json!([null]), "another instance's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_log_of_a_registration_tells_of_claims_letters_and_the_wrong_person() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.run().await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let colleague = "colleague@consumer.example.com";
        pair.make_contact(&provider, &ready.company, colleague).await;
        // The directory for letters is a file: nothing can be written there.
        let directory = pair.provider.config.mail.directory.clone();
        std::fs::remove_dir_all(&directory).ok();
        std::fs::write(&directory, "not a directory").unwrap();
        let registration = pair.register(&provider, &ready).await;
        let log = "query($id: ID!) { errorLog(subjectId: $id) { edges { node { operation code reason message count traceId
            docsUrl remedy { kind text } } } } }";
        let entries = async || {
            let found = provider.query(log, json!({ "id": registration })).await;
            let edges = found["errorLog"]["edges"].as_array().unwrap().clone();
            edges.into_iter().map(|edge| edge["node"].clone()).collect::<Vec<_>>()
        };
        let found = entries().await;
        let letter = found.iter().find(|entry| entry["operation"] == "LETTER");
        let letter = letter.unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!((&letter["code"], &letter["reason"]), (&json!("MAIL_FAILED"), &json!("FILE")));
        assert!(letter["remedy"]["text"].as_str().unwrap().contains("mail.directory"), "{letter:#}");
        let shown = "query($id: ID!) { registration(id: $id) { banner { text } link { delivery } } }";
        let shown =
            async || provider.query(shown, json!({ "id": registration })).await["registration"].clone();
        let unsent = shown().await;
        assert_eq!(unsent["link"]["delivery"], "FAILED");
        assert!(unsent["banner"]["text"].as_str().unwrap().contains("did not go out"), "{unsent:#}");
        std::fs::remove_file(&directory).unwrap();
        pair.advance(600).await;
        assert_eq!(shown().await, json!({ "banner": null, "link": { "delivery": "SENT_TO_CONTACT" } }));

        let consumer = pair.consumer_admin().await;
        let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
        pair.get_started(&consumer, &connection).await;
        consumer
            .mutate("startOnboarding", json!({ "connectionId": connection }), "connection { state }")
            .await;
        pair.settle().await;
        let now = pair.connection(&consumer, &connection).await;
        let url = now["onboarding"]["authorizationUrl"].as_str().unwrap();
        let browser = pair.provider.client();
        authorize(&browser, url, colleague, PASSWORD).await;
        let found = entries().await;
        let person = found.iter().find(|entry| entry["operation"] == "APPROVAL");
        let person = person.unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!(person["code"], "CONTACT_MISMATCH");
        assert!(!person["message"].as_str().unwrap().contains('@'), "{person:#}");
        assert_eq!(person["traceId"].as_str().unwrap().len(), 32);
    }
}

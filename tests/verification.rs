//! Verifying a connection asks the real path, both ways, and says of each step what it found.

use std::sync::atomic::Ordering;

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Stage};

const STATE: &str = "query($id: ID!) { connection(id: $id) { verification { state
    steps { name state ours theirs failure { code reason message remedy { kind mutation } } } } } }";

async fn verified(pair: &Pair, client: &Client, connection: &str) -> Value {
    let input = json!({ "connectionId": connection });
    client.mutate("verifyConnection", input, "verification { state }").await;
    pair.settle().await;
    client.query(STATE, json!({ "id": connection })).await["connection"]["verification"].clone()
}

/// The step shows what each side holds, and its remedy makes the verification pass.
async fn assert_mended(pair: &Pair, client: &Client, connection: &str, step: &Value) {
    assert_ne!(step["ours"], step["theirs"], "{step:#}");
    assert_eq!(step["failure"]["remedy"]["kind"], "CALL", "{step:#}");
    let remedy = step["failure"]["remedy"]["mutation"].as_str().unwrap();
    client.mutate(remedy, json!({ "connectionId": connection }), "__typename").await;
    pair.settle().await;
    let again = verified(pair, client, connection).await;
    assert_eq!(again["state"], "PASSED", "{again:#}");
}

/// Name, state, and code of the failure, of each step.
fn steps(verification: &Value) -> Vec<(&str, &str, &str)> {
    let steps = verification["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let code = step["failure"]["code"].as_str().unwrap_or_default();
            (step["name"].as_str().unwrap(), step["state"].as_str().unwrap(), code)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_verifies_and_each_step_is_told_as_it_is_answered() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let live = "subscription($id: ID!) { connectionChanged(id: $id) { connection { verification {
            state steps { state } } } } }";
        let mut events = consumer.subscribe(live, json!({ "id": connection })).await;
        let here = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(here["state"], "PASSED", "{here:#}");
        loop {
            let event = events.expect().await;
            if event["connection"]["verification"]["state"] == "PASSED" {
                break;
            }
        }
        let theirs = stage.providers_connection().await;
        let there = verified(&stage.pair, &stage.provider, &theirs).await;
        assert_eq!(there["state"], "PASSED", "{there:#}");
        for (ours, other) in here["steps"].as_array().unwrap().iter().zip(there["steps"].as_array().unwrap())
        {
            assert_eq!((&ours["ours"], &ours["theirs"]), (&other["theirs"], &other["ours"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_between_the_two_sides_is_found_by_its_step_and_shown_from_both() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        stage.pair.provider.tamper("update catalogue set revision = revision + 1").await;
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(found["state"], "FAILED", "{found:#}");
        let expected = [
            ("SEND", "PASSED", ""),
            ("RECEIVE", "PASSED", ""),
            ("KEYS", "PASSED", ""),
            ("SETTINGS", "FAILED", "CONFLICT"),
            ("VERSIONS", "PASSED", ""),
        ];
        assert_eq!(steps(&found), expected, "{found:#}");
        assert_mended(&stage.pair, &consumer, &connection, &found["steps"][3]).await;

        stage.pair.consumer.tamper("update connection set peer_version = null").await;
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(steps(&found)[3], ("SETTINGS", "PASSED", ""), "{found:#}");
        assert_eq!(steps(&found)[4], ("VERSIONS", "FAILED", "CONFLICT"), "{found:#}");
        assert_mended(&stage.pair, &consumer, &connection, &found["steps"][4]).await;

        // What was asked for is not taken here: that something came is not that.
        let keep_out = "update service_account set scopes = replace(scopes, 'ping', 'nothing')";
        stage.pair.consumer.tamper(keep_out).await;
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(steps(&found)[1], ("RECEIVE", "FAILED", "PEER_UNREACHABLE"), "{found:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_peer_is_gone_the_first_step_says_so_and_nothing_else_is_asked() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.consumer.config.outbound.total_timeout_ms = 1_000;
        pair.run().await;
        let mut stage = Stage::open_over(pair).await;
        let (consumer, connection) = stage.onboard().await;
        stage.pair.provider.kill().await;
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(found["state"], "FAILED", "{found:#}");
        let found = steps(&found);
        assert_eq!(found[0], ("SEND", "FAILED", "PEER_UNREACHABLE"), "{found:?}");
        assert!(found[1..].iter().all(|step| step.1 == "SKIPPED"), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_connection_that_stands_is_verified_and_only_by_who_operates() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let input = json!({ "connectionId": connection });
        let early = consumer.try_mutate("verifyConnection", input.clone(), "verification { state }").await;
        assert_eq!(early["refusal"]["code"], "WRONG_STATE");
        stage.pair.consumer.user("viewer@consumer.example.com", PASSWORD, &[Role::Viewer]).await;
        let viewer = stage.pair.consumer.client();
        viewer.sign_in("viewer@consumer.example.com", PASSWORD).await;
        let refused = viewer.try_mutate("verifyConnection", input, "verification { state }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_is_completed_by_a_person_and_against_its_verification_only_with_a_reason_in_the_audit_log()
 {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let mut input = json!({ "side": "PROVIDER", "activity": "PROVIDER_RECORD" });
        let fields = "activity { state overrideReason }";
        let refused = admin.try_mutate("completeActivity", input.clone(), fields).await;
        assert_eq!(refused["refusal"]["code"], "NOT_VALIDATED", "{refused:#}");
        pair.provider.user("operator@provider.example.com", PASSWORD, &[Role::Operator]).await;
        let operator = pair.provider.client();
        operator.sign_in("operator@provider.example.com", PASSWORD).await;
        input["overrideReason"] = json!("It is made by a script later");
        let refused = operator.try_mutate("completeActivity", input.clone(), fields).await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
        let done = admin.mutate("completeActivity", input, fields).await;
        assert_eq!(done["activity"]["state"], "COMPLETED");
        assert_eq!(done["activity"]["overrideReason"], "It is made by a script later");
        assert_eq!(pair.provider.rows("audit where operation = 'activity.complete'").await, 1);
        let other = json!({ "side": "PROVIDER", "activity": "OPEN_LINK" });
        let refused = admin.try_mutate("completeActivity", other, fields).await;
        assert_eq!(refused["refusal"]["field"], "activity");
        let nobody =
            pair.provider.client().raw("{ guidedSetup(side: PROVIDER) { completed } }", json!({})).await;
        assert_eq!(nobody["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_work_here_is_a_result_too() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.consumer.fragile().await;
        pair.run().await;
        let stage = Stage::open_over(pair).await;
        let (consumer, connection) = stage.onboard().await;
        stage.pair.consumer.outage().keys_stopped.store(true, Ordering::SeqCst);
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(found["state"], "FAILED", "{found:#}");
        assert_eq!(steps(&found)[0], ("SEND", "FAILED", "KEY_SERVICE_UNHEALTHY"));

        // Work that is given up for a reason that is only in the log ends it, too.
        stage.pair.consumer.outage().keys_stopped.store(false, Ordering::SeqCst);
        stage
            .pair
            .consumer
            .tamper("update key_version set module = 'x' || module where purpose = 'LINK_TRAFFIC'")
            .await;
        let found = verified(&stage.pair, &consumer, &connection).await;
        assert_eq!(found["state"], "FAILED", "{found:#}");
        assert_eq!(stage.pair.consumer.rows("job where state = 'DEAD'").await, 0);
    }
}

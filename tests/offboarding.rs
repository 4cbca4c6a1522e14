//! A connection that is taken down: it ends on both sides, whoever is away, and another one can be made.

use linkspan::domain::requester::Role;
use linkspan::peer::wire;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Stage, nodes};

const SHOWN: &str =
    "query($id: ID!) { connection(id: $id) { state keyModule linkId outbound { status } inbound { status }
    offboarding { byPeer reason since onboardedAt endedAt peerTold } suspension { byPeer } issues { check }
    settings { savedAt syncedAt } actions { name allowed } peer { origin name } } }";

async fn shown(client: &Client, id: &str) -> Value {
    client.query(SHOWN, json!({ "id": id })).await["connection"].clone()
}

fn offers(connection: &Value, name: &str) -> bool {
    let actions = connection["actions"].as_array().unwrap();
    actions.iter().find(|action| action["name"] == name).unwrap()["allowed"] == true
}

/// Takes a connection down, which names its peer by its URL.
async fn offboard(client: &Client, id: &str, reason: &str) -> Value {
    let origin = shown(client, id).await["peer"]["origin"].clone();
    let input = json!({ "connectionId": id, "confirmation": origin, "reason": reason });
    client.mutate("offboardConnection", input, "connection { state }").await["connection"]["state"].clone()
}

/// Nothing of the connection is left that could do anything.
async fn is_dead(instance: &Instance, shown: &Value) {
    let module = shown["keyModule"].as_str().unwrap();
    let keys = format!("key_version where module = '{module}'");
    assert!(instance.rows(&keys).await > 0, "that there were keys stays known");
    let gone = format!("{keys} and state = 'DESTROYED' and length(wrapped) = 0");
    assert_eq!(instance.rows(&gone).await, instance.rows(&keys).await);
    for table in ["service_account", "settings", "message", "handshake", "verification"] {
        assert_eq!(instance.rows(table).await, 0, "{table}");
    }
    let work =
        "job where kind not in ('TELL_OFFBOARDING', 'LETTER', 'SWEEP', 'CHECKPOINT', 'KEY_SERVICE_HEALTH',
        'ISSUE_DIGEST', 'EXPIRE_REGISTRATION', 'EXPIRE_ATTEMPT')";
    assert_eq!(instance.rows(work).await, 0, "work is left");
    assert_eq!(instance.rows("scan where state in ('QUEUED', 'RUNNING')").await, 0);
    assert_eq!(shown["outbound"]["status"], Value::Null, "{shown:#}");
    assert_eq!(shown["issues"], json!([]), "{shown:#}");
    assert!(!offers(shown, "offboardConnection") && !offers(shown, "verifyConnection"), "{shown:#}");
}

/// The consumer is registered again, and both sides stand: the new connections here and there.
async fn register_again(stage: &mut Stage, consumer: &Client, ended: &str) -> [String; 2] {
    let input = json!({ "connectionId": ended });
    let again = stage.provider.mutate("reRegister", input, "registration { id state }").await;
    stage.registration = again["registration"]["id"].as_str().unwrap().to_owned();
    stage.pair.settle().await;
    let open = stage.now().await;
    assert_eq!(open["state"], "OPEN", "{open:#}");
    stage.link = stage.pair.link_in_letter();
    let there = stage.pair.open_link(consumer, &stage.link).await;
    let valid = stage.pair.get_started(consumer, &there).await;
    assert_eq!(valid["state"], "VALIDATED", "{valid:#}");
    stage.start(consumer, &there).await;
    stage.finishes(consumer, &there).await;
    let input = json!({ "connectionId": ended });
    let twice = stage.provider.try_mutate("reRegister", input, "registration { id }").await;
    assert_eq!(twice["refusal"]["code"], "DUPLICATE_CONNECTION", "{twice:#}");
    [stage.providers_connection().await, there]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_takes_a_connection_down_and_the_consumer_is_registered_again() {
    for database in Database::available() {
        let (mut stage, consumer, there) = Stage::onboarded(database).await;
        let here = stage.providers_connection().await;
        let (old, old_link) = (shown(&stage.provider, &here).await, stage.link.clone());
        refused(&stage, &here, &old).await;

        let live = "subscription($id: ID!) { connectionChanged(id: $id) { state connection { offboarding { reason } } } }";
        let mut events = consumer.subscribe(live, json!({ "id": there })).await;
        assert_eq!(offboard(&stage.provider, &here, "The contract ended.").await, "OFFBOARDING");
        stage.pair.settle().await;
        let (ours, theirs) = (shown(&stage.provider, &here).await, shown(&consumer, &there).await);
        for (shown, by_peer) in [(&ours, false), (&theirs, true)] {
            assert_eq!(shown["state"], "OFFBOARDED", "{shown:#}");
            let ending = &shown["offboarding"];
            assert_eq!((&ending["byPeer"], &ending["peerTold"]), (&json!(by_peer), &json!(true)));
            assert_eq!(ending["reason"], "The contract ended.");
            assert!(ending["onboardedAt"].is_string() && ending["endedAt"].is_string(), "{ending:#}");
        }
        is_dead(&stage.pair.provider, &ours).await;
        is_dead(&stage.pair.consumer, &theirs).await;
        let told = "audit where operation = 'connection.offboarded_by_peer'";
        assert_eq!(stage.pair.consumer.rows(told).await, 1);
        let ended = |event: &Value| event["state"] == "OFFBOARDED";
        while !ended(&events.expect().await) {}

        let input = json!({ "connectionId": there });
        let changed = consumer.try_mutate("updateSettings", input, "settings { revision }").await;
        assert_eq!(changed["refusal"]["reason"], "OFFBOARDED", "{changed:#}");

        // The old link shows what became of it.
        let input = json!({ "link": old_link });
        let opened = consumer.mutate("openRegistrationLink", input, "connection { id state }").await;
        assert_eq!(opened["connection"], json!({ "id": there, "state": "OFFBOARDED" }));
        assert!(!offers(&theirs, "reRegister"), "the provider does");
        let [here, there] = register_again(&mut stage, &consumer, &here).await;
        let new = shown(&stage.provider, &here).await;
        assert_ne!(new["keyModule"], old["keyModule"]);
        for ways in [&new, &shown(&consumer, &there).await] {
            assert_eq!(
                (&ways["outbound"]["status"], &ways["inbound"]["status"]),
                (&json!("UP"), &json!("UP"))
            );
        }

        // Once more: now the consumer does it, while it is suspended there and the key is revoked here.
        revoke(&stage, &new).await;
        consumer.mutate("suspendConnection", json!({ "connectionId": there }), "connection { state }").await;
        offboard(&consumer, &there, "").await;
        stage.pair.settle().await;
        for (client, id, by_peer) in [(&stage.provider, &here, true), (&consumer, &there, false)] {
            let shown = shown(client, id).await;
            assert_eq!(shown["state"], "OFFBOARDED", "{shown:#}");
            assert_eq!(shown["offboarding"]["byPeer"], by_peer, "{shown:#}");
            assert_eq!(shown["offboarding"]["reason"], Value::Null);
        }
        let [here, there] = register_again(&mut stage, &consumer, &here).await;
        ends_with_edited_keys(&stage, [(&stage.provider, &here), (&consumer, &there)]).await;
    }
}

/// Rows of keys that somebody edited, here so that the database's reader refuses them and there so that the key service
/// does, stay as they are and keep nobody from ending the connection.
async fn ends_with_edited_keys(stage: &Stage, sides: [(&Client, &String); 2]) {
    let edits = ["state = 'NO SUCH STATE'", "wrapped = row_seal"];
    let instances = [&stage.pair.provider, &stage.pair.consumer];
    let mut edited = Vec::new();
    for (((client, id), instance), edit) in sides.iter().zip(instances).zip(edits) {
        let module = shown(client, id).await["keyModule"].as_str().unwrap().to_owned();
        instance.tamper(&format!("update key_version set {edit} where module = '{module}'")).await;
        edited.push(format!("key_version where {edit} and module = '{module}'"));
    }
    assert_eq!(offboard(sides[0].0, sides[0].1, "").await, "OFFBOARDING");
    stage.pair.settle().await;
    for (((client, id), instance), edited) in sides.iter().zip(instances).zip(edited) {
        let shown = shown(client, id).await;
        assert_eq!(
            (&shown["state"], &shown["offboarding"]["peerTold"]),
            (&json!("OFFBOARDED"), &json!(true))
        );
        assert_eq!(instance.rows(&edited).await, 1, "{edited}");
    }
}

/// What does not take it down: another name, others than administrators, and words that its peer did not sign.
async fn refused(stage: &Stage, here: &str, connection: &Value) {
    let wrong = json!({ "connectionId": here, "confirmation": "consumer.example", "reason": "No." });
    let payload = stage.provider.try_mutate("offboardConnection", wrong, "connection { id }").await;
    let refusal = &payload["refusal"];
    assert_eq!((&refusal["code"], &refusal["field"]), (&json!("INVALID_INPUT"), &json!("confirmation")));
    let operator = stage.pair.provider.person("operator", &[Role::Operator]).await;
    let input = json!({ "connectionId": here, "confirmation": connection["peer"]["origin"] });
    let payload = operator.try_mutate("offboardConnection", input, "connection { id }").await;
    assert_eq!(payload["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{payload:#}");
    let channel = uuid::Uuid::try_parse(connection["linkId"].as_str().unwrap()).unwrap();
    let forged = wire::Offboard {
        link_id: wire::Bytes(channel.into_bytes()),
        at: 0,
        reason: String::new(),
        proof: wire::Bytes([7; 64]),
    };
    let forged = serde_json::to_value(&forged).unwrap();
    for instance in [&stage.pair.provider, &stage.pair.consumer] {
        let (status, answer) = instance.client().post_json(wire::OFFBOARD, &forged).await;
        assert_eq!((status, &answer["code"]), (403, &json!("LINK_INVALID")), "{answer:#}");
    }
    assert_eq!(shown(&stage.provider, here).await["state"], "ONBOARDED");
}

async fn revoke(stage: &Stage, connection: &Value) {
    let manager = stage.pair.provider.person("manager", &[Role::KeyManager]).await;
    manager.sign_in("manager@provider.example.com", PASSWORD).await;
    let module = &connection["keyModule"];
    let keys = "query($module: String!) { keys(module: $module) { edges { node { version } } } }";
    let keys = nodes(&manager.query(keys, json!({ "module": module })).await["keys"]);
    let input = json!({ "module": module, "version": keys[0]["version"], "reason": "It was lost." });
    manager.mutate("revokeKey", input, "key { state }").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_side_ends_alone_while_the_other_is_away_which_follows_when_it_is_back() {
    // On one database only, the one that several nodes share where there is it: the other test has both.
    let database = Database::available().last().copied().unwrap();
    let (mut stage, consumer, there) = Stage::onboarded(database).await;
    let here = stage.providers_connection().await;
    stage.pair.consumer.kill().await;
    assert_eq!(offboard(&stage.provider, &here, "They are gone.").await, "OFFBOARDING");
    stage.pair.settle().await;
    let ours = shown(&stage.provider, &here).await;
    assert_eq!((&ours["state"], &ours["offboarding"]["endedAt"]), (&json!("OFFBOARDING"), &Value::Null));
    is_dead(&stage.pair.provider, &ours).await;
    let again = offboard_again(&stage.provider, &here).await;
    assert_eq!(again["code"], "WRONG_STATE", "{again:#}");
    for pause in [5, 15, 30, 60, 120, 180, 240, 300, 300, 300, 300] {
        stage.pair.advance(pause).await;
    }
    // That was too long for anybody's session.
    stage.provider.sign_in("admin@provider.example.com", PASSWORD).await;
    let ours = shown(&stage.provider, &here).await;
    assert_eq!((&ours["state"], &ours["offboarding"]["peerTold"]), (&json!("OFFBOARDED"), &json!(false)));
    assert!(offers(&ours, "reRegister"), "{ours:#}");

    // Back with the database from before: its first probe is answered with the notice.
    stage.pair.consumer.start(None).await;
    consumer.sign_in("admin@consumer.example.com", PASSWORD).await;
    for _ in 0..4 {
        stage.pair.advance(6).await;
    }
    let theirs = shown(&consumer, &there).await;
    assert_eq!((&theirs["state"], &theirs["offboarding"]["byPeer"]), (&json!("OFFBOARDED"), &json!(true)));
    assert_eq!(shown(&stage.provider, &here).await["offboarding"]["peerTold"], true);

    // Back with nothing: it knows of no connection, and that ends it as well.
    let [here, there] = register_again(&mut stage, &consumer, &here).await;
    let gone = "delete from connection where state = 'ONBOARDED'";
    stage.pair.consumer.tamper(gone).await;
    offboard(&stage.provider, &here, "They lost all.").await;
    stage.pair.settle().await;
    let ours = shown(&stage.provider, &here).await;
    assert_eq!((&ours["state"], &ours["offboarding"]["peerTold"]), (&json!("OFFBOARDED"), &json!(true)));
    assert_eq!(shown(&consumer, &there).await, Value::Null);

    // Both at once.
    let [here, there] = register_again(&mut stage, &consumer, &here).await;
    // One of the two may hear of the other's before it is begun.
    tokio::join!(offboard_again(&stage.provider, &here), offboard_again(&consumer, &there));
    stage.pair.settle().await;
    for (client, id) in [(&stage.provider, &here), (&consumer, &there)] {
        let shown = shown(client, id).await;
        assert_eq!(
            (&shown["state"], &shown["offboarding"]["peerTold"]),
            (&json!("OFFBOARDED"), &json!(true))
        );
    }
}

async fn offboard_again(client: &Client, id: &str) -> Value {
    let origin = shown(client, id).await["peer"]["origin"].clone();
    let input = json!({ "connectionId": id, "confirmation": origin });
    client.try_mutate("offboardConnection", input, "connection { state }").await["refusal"].clone()
}

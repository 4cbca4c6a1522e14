//! What a request for approval says of the key that it is about, to whoever is to answer it.

use std::sync::atomic::Ordering;

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::uses::module;
use crate::harness::{Client, Database, Stage, nodes};

const ASKED: &str = "query($states: [KeyApprovalState!], $first: Int) { keyApprovals(states: $states, first: $first) { edges { node {
    operation object state key { module version connection { id peer { origin } } } } } } }";

/// The id of the newest key under this name.
async fn key_of(client: &Client, module: &str) -> Value {
    let query = "query($module: String!) { keys(module: $module) { edges { node { keyId } } } }";
    nodes(&client.query(query, json!({ "module": module })).await["keys"])[0]["keyId"].clone()
}

async fn ask(client: &Client, operation: &str, module: Option<&str>, object: Option<&Value>) -> Value {
    let input =
        json!({ "operation": operation, "module": module, "object": object, "reason": "It is time." });
    client.mutate("requestKeyApproval", input, "keyApproval { id }").await["keyApproval"]["id"].clone()
}

async fn asked(client: &Client, states: &[&str]) -> Vec<Value> {
    nodes(&client.query(ASKED, json!({ "states": states })).await["keyApprovals"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_says_which_key_it_is_about_and_of_which_connection() {
    for database in Database::available() {
        let (stage, ..) = Stage::onboarded(database).await;
        let (provider, here) = (&stage.pair.provider, stage.providers_connection().await);
        let manager = provider.person("manager", &[Role::KeyManager, Role::Viewer]).await;
        let keys_only = provider.person("keys-only", &[Role::KeyManager]).await;
        let query = "query($id: ID!) { connection(id: $id) { keyModule } }";
        let link = manager.query(query, json!({ "id": here })).await["connection"]["keyModule"].clone();
        let link_key = key_of(&manager, link.as_str().unwrap()).await;
        module(&manager, "papers", "SIGNING", "Ed25519", &[]).await;
        let papers = key_of(&manager, "papers").await;

        ask(&manager, "DESTROY", Some("links"), Some(&link_key)).await;
        let given = ask(&manager, "DESTROY", Some("papers"), Some(&papers)).await;
        let withdrawn = ask(&manager, "ROTATE_ROOT", None, None).await;
        keys_only.mutate("giveKeyApproval", json!({ "approvalId": given }), "keyApproval { id }").await;
        manager.mutate("withdrawKeyApproval", json!({ "approvalId": withdrawn }), "keyApproval { id }").await;

        let all = asked(&manager, &[]).await;
        let keys: Vec<_> = all.iter().map(|one| one["key"].clone()).collect();
        assert_eq!(keys[0], Value::Null, "about no key: {all:#?}");
        assert_eq!(keys[1], json!({ "module": "papers", "version": 1, "connection": null }), "{all:#?}");
        let of_the_link = &keys[2];
        assert_eq!((&of_the_link["module"], &of_the_link["connection"]["id"]), (&link, &json!(here)));
        assert_eq!(of_the_link["connection"]["peer"]["origin"], stage.pair.consumer.origin, "{all:#?}");
        let unseen = asked(&keys_only, &[]).await[2]["key"].clone();
        assert_eq!(unseen["module"], link, "a key is seen by whoever looks after keys: {unseen:#}");
        assert_eq!(unseen["connection"], Value::Null, "and its connection by whoever sees connections");

        for (states, expected) in [
            (&["PENDING", "APPROVED"][..], &["APPROVED", "PENDING"][..]),
            (&["WITHDRAWN"][..], &["WITHDRAWN"][..]),
            (&["USED", "WITHDRAWN"][..], &["WITHDRAWN"][..]),
        ] {
            let found = asked(&manager, states).await;
            let found: Vec<_> = found.iter().map(|one| one["state"].as_str().unwrap()).collect();
            assert_eq!(found, expected, "{states:?}");
        }

        let statements = async |first: u64| {
            let mut least = usize::MAX;
            for _ in 0..6 {
                let before = provider.statements.load(Ordering::SeqCst);
                manager.query(ASKED, json!({ "states": ["PENDING", "APPROVED"], "first": first })).await;
                least = least.min(provider.statements.load(Ordering::SeqCst) - before);
            }
            least
        };
        ask(&manager, "DESTROY", Some("links"), Some(&link_key)).await;
        assert_eq!(statements(1).await, statements(3).await, "however many there are");
    }
}

//! The data key is rotated: what is sealed from then on is sealed under the new one, and what was sealed before opens.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Instance, Pair};

/// How soon a node takes the newest key for what it seals, in seconds, and a little.
const SOON: i64 = 11;

/// A secret that is kept sealed under the data key, and shown again for the same idempotency key.
async fn secret(client: &Client, key: &str) -> Value {
    let input = json!({ "name": "program", "days": 1, "idempotencyKey": key });
    client.mutate("createAccessToken", input, "secret").await["secret"].clone()
}

/// How many kept answers name this version of the data key.
async fn sealed_under(instance: &Instance, version: u8) -> i64 {
    let hex = if instance.config.database.url.starts_with("postgres") {
        "encode(substr(sealed, 1, 9), 'hex')"
    } else {
        "lower(hex(substr(sealed, 1, 9)))"
    };
    instance.rows(&format!("idempotency where {hex} = '01{version:02x}00000000000000'")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_data_key_seals_and_all_of_them_open_on_every_node() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        let mut node = pair.provider.second_node();
        node.start(None).await;
        let admins = [pair.provider_admin().await, node.client()];
        admins[1].sign_in("admin@provider.example.com", crate::harness::pair::PASSWORD).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let first = secret(&admins[0], "first").await;
        assert_eq!(sealed_under(&pair.provider, 1).await, 1);

        let rotated = manager.mutate(
            "rotateKeyModule",
            json!({ "module": "data" }),
            "keyModule { versions { version state } }",
        );
        let versions = rotated.await["keyModule"]["versions"].clone();
        assert_eq!(versions[0], json!({ "version": 2, "state": "ACTIVE" }));
        assert_eq!(versions[1], json!({ "version": 1, "state": "DEACTIVATED" }));
        pair.advance(SOON).await;
        let second = secret(&admins[0], "second").await;
        assert_eq!(sealed_under(&pair.provider, 2).await, 1);
        for admin in &admins {
            assert_eq!(secret(admin, "first").await, first);
            assert_eq!(secret(admin, "second").await, second);
        }
        secret(&admins[1], "third").await;
        assert_eq!(sealed_under(&pair.provider, 2).await, 2);

        pair.provider.kill().await;
        pair.provider.start(None).await;
        let admin = pair.provider_admin().await;
        assert_eq!(secret(&admin, "first").await, first);
        assert_eq!(secret(&admin, "second").await, second);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_opens_at_once_what_is_sealed_under_a_data_key_that_it_has_not_seen() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        let mut node = pair.provider.second_node();
        node.start(None).await;
        let other = node.client();
        other.sign_in("admin@provider.example.com", crate::harness::pair::PASSWORD).await;
        secret(&other, "before").await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        manager.mutate("rotateKeyModule", json!({ "module": "data" }), "keyModule { name }").await;
        // A node that starts has the newest one.
        pair.provider.kill().await;
        pair.provider.start(None).await;
        let admin = pair.provider_admin().await;
        let made = secret(&admin, "after").await;
        assert_eq!(sealed_under(&pair.provider, 2).await, 1);
        assert_eq!(secret(&other, "after").await, made);
    }
}

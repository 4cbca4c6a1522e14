//! The root key is rotated while everything goes on, and may be interrupted anywhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use keyservice::{KeyService, RootProvider as _, RootSource, SealedHierarchy, SystemEntropy};
use linkspan::domain::requester::Role;
use linkspan::world::Interruption;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Pair};

/// The instance dies at the commit of the rotation: before it, or behind it.
struct Dies {
    committed: bool,
}

impl Interruption for Dies {
    fn dies(&self, label: &'static str, committed: bool) -> bool {
        label == "key.root.rotate" && committed == self.committed
    }
}

async fn person(instance: &Instance, name: &str) -> Client {
    let client = instance.client();
    client.sign_in(&format!("{name}@provider.example.com"), PASSWORD).await;
    client
}

/// Rotates the root key with a fresh approval.
async fn rotate(instance: &Instance) -> Value {
    let (asks, other) = (person(instance, "asks").await, person(instance, "other").await);
    let request = json!({ "operation": "ROTATE_ROOT", "reason": "It is time." });
    let asked = asks.mutate("requestKeyApproval", request, "keyApproval { id }").await;
    let input = json!({ "approvalId": asked["keyApproval"]["id"] });
    let early = asks.try_mutate("rotateRootKey", input.clone(), "keyApproval { state }").await;
    assert_eq!(early["refusal"]["code"], "WRONG_STATE", "without approval: {early:#}");
    other.mutate("giveKeyApproval", input.clone(), "keyApproval { state }").await;
    let rotate = "mutation($input: RotateRootKeyInput!) { rotateRootKey(input: $input) \
        { keyApproval { state } refusal { code message } } }";
    asks.raw(rotate, json!({ "input": input })).await
}

/// That the instance starts over what is there, and its keys work.
async fn comes_back(pair: &mut Pair) {
    pair.provider.kill().await;
    pair.provider.start(None).await;
    works(&pair.provider).await;
}

/// That its keys work.
async fn works(instance: &Instance) {
    let client = person(instance, "asks").await;
    let health = client.mutate("recheckKeyHealth", json!({}), "keyHealth { status reason }").await;
    assert_eq!(health["keyHealth"]["status"], "OPERATIONAL", "{health:#}");
}

/// What is killed in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    /// The request.
    Request,
    /// The request, when the next root key had taken the place of the old one and nobody worked with it yet.
    Renamed,
    /// The request, and the process of the key service.
    KeyService,
    /// The instance.
    Instance,
}

/// That of all root keys there were, only this one opens what is stored.
async fn nothing_is_under(instance: &Instance, old: &[&Vec<u8>], new: &Vec<u8>) {
    use sea_orm::{ConnectionTrait as _, Statement};
    let database = sea_orm::Database::connect(&instance.config.database.url).await.unwrap();
    let sql = "select hierarchy from instance";
    let row = database.query_one_raw(Statement::from_string(database.get_database_backend(), sql)).await;
    let hierarchy = SealedHierarchy { bytes: row.unwrap().unwrap().try_get_by_index(0).unwrap() };
    database.close().await.unwrap();
    let id = instance.app().actions().profile().instance.bytes();
    let opens = |key: &Vec<u8>| {
        let path = instance.config.data_dir.join("copy.key");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let root = RootSource::File(path).root_key().unwrap();
        KeyService::open(&root, id, &hierarchy, Arc::new(SystemEntropy)).map(|_| ())
    };
    assert_eq!(opens(new), Ok(()));
    for key in old {
        assert_eq!(opens(key), Err(keyservice::Error::RootKeyMismatch));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_key_is_rotated_and_a_kill_at_any_step_loses_nothing() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        for name in ["asks", "other"] {
            let email = format!("{name}@provider.example.com");
            pair.provider.user(&email, PASSWORD, &[Role::KeyManager]).await;
        }
        let file = pair.provider.config.root_key_file.clone().unwrap();
        let next = PathBuf::from(format!("{}.next", file.display()));
        let read = || std::fs::read(&file).unwrap();
        let first = read();

        // Another node has a file of its own, which somebody exchanges.
        let mut node = pair.provider.second_node();
        let own = file.with_file_name("node.key");
        std::fs::copy(&file, &own).unwrap();
        node.config.root_key_file = Some(own.clone());
        node.start(None).await;

        // Whoever was killed while the next one was written left a draft, which nothing was sealed under.
        let draft = PathBuf::from(format!("{}.next.0123456789abcdef", file.display()));
        std::fs::write(&draft, "half a key").unwrap();
        let done = rotate(&pair.provider).await;
        assert_eq!(done["data"]["rotateRootKey"]["keyApproval"]["state"], "USED", "{done:#}");
        let second = read();
        assert!(first != second && !next.exists());
        let client = person(&node, "asks").await;
        let health = "keyHealth { status components { name status code } }";
        let behind = client.mutate("recheckKeyHealth", json!({}), health).await["keyHealth"].clone();
        assert_eq!(behind["status"], "MALFUNCTION", "it would not start again: {behind:#}");
        let parts = behind["components"].as_array().unwrap().iter();
        let ailing: Vec<_> = parts.filter(|part| part["status"] == "MALFUNCTION").collect();
        assert!(
            ailing.len() == 1 && ailing[0]["name"] == "ROOT_KEY" && ailing[0]["code"] == "ROOT_KEY_MISMATCH",
            "{behind:#}"
        );
        std::fs::remove_file(&own).unwrap();
        std::fs::copy(&file, &own).unwrap();
        works(&node).await;
        node.kill().await;
        comes_back(&mut pair).await;
        nothing_is_under(&pair.provider, &[&first], &second).await;

        use Killed::{Instance, KeyService, Renamed, Request};
        for (committed, killed) in
            [(false, Instance), (true, Request), (true, Renamed), (true, KeyService), (true, Instance)]
        {
            let before = read();
            pair.provider.kill().await;
            pair.provider.start(Some(Arc::new(Dies { committed }))).await;
            let died = rotate(&pair.provider).await;
            assert!(!died["errors"].is_null(), "{died:#}");
            assert!(
                next.exists() && read() == before,
                "the files are as they were, and the next one is there"
            );
            let made = std::fs::read(&next).unwrap();
            match killed {
                Request => works(&pair.provider).await,
                Renamed => {
                    std::fs::rename(&next, &file).unwrap();
                    works(&pair.provider).await;
                }
                KeyService => {
                    pair.provider.restart_key_service().await;
                    works(&pair.provider).await;
                }
                Instance => comes_back(&mut pair).await,
            }
            // What was stored is opened by the next one, so it is in place; else by the old one.
            assert_eq!((read() == made, next.exists()), (committed, !committed), "{killed:?}");
            if !committed {
                let done = rotate(&pair.provider).await;
                assert_eq!(done["data"]["rotateRootKey"]["keyApproval"]["state"], "USED", "{done:#}");
                assert_eq!(read(), made, "the rotation that was begun is finished");
            }
            nothing_is_under(&pair.provider, &[&first, &second, &before], &read()).await;
        }
        assert_eq!(std::fs::read_to_string(&draft).unwrap(), "half a key", "a draft is nobody's root key");
    }
}

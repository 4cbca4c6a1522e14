//! The key encryption key is rotated while everything goes on, and may be interrupted anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::faults::{Commit, Commits, perhaps, rest};
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Pair, Stage};

const KEY: &str = "keyEncryptionKey { version rotation { state total done startedAt oldKeyUntil finishedAt error } \
    actions { name allowed reason } }";
/// More than one transaction wraps again.
const KEYS: usize = 103;
/// How long the old key stays when nothing is left under it, in seconds, and a little.
const SETTLES: i64 = 121;

/// How many wraps in the database name this version of the key encryption key: of keys, of handshakes, of attempts.
async fn wrapped_under(instance: &Instance, version: u8) -> i64 {
    let postgres = instance.config.database.url.starts_with("postgres");
    let begins = |column: &str| match postgres {
        true => format!("encode(substr({column}, 1, 5), 'hex') = '01{version:02x}000000'"),
        false => format!("lower(hex(substr({column}, 1, 5))) = '01{version:02x}000000'"),
    };
    let pending = data_encoding::BASE64URL_NOPAD.encode(&[1, version, 0, 0, 0, 0]);
    let mut all = 0;
    for rows in [
        format!("key_version where {}", begins("wrapped")),
        format!("handshake where {}", begins("pending")),
        format!("attempt where cast(work as text) like '%\"pending\"%\"{}%'", &pending[..6]),
    ] {
        all += instance.rows(&rows).await;
    }
    all
}

async fn rotate(manager: &Client) -> Value {
    manager.try_mutate("rotateKeyEncryptionKey", json!({}), KEY).await
}

async fn state(manager: &Client) -> Value {
    manager.query(&format!("{{ {KEY} }}"), json!({})).await["keyEncryptionKey"].clone()
}

/// Waits for a state of the rotation, whichever node brings it there.
async fn until(manager: &Client, wanted: &str) -> Value {
    let query = format!("{{ {KEY} }}");
    let is = |data: &Value| data["keyEncryptionKey"]["rotation"]["state"] == wanted;
    manager.query_until(&query, is).await["keyEncryptionKey"].clone()
}

/// Many keys, so that they are wrapped again in more than one transaction.
async fn many_keys(manager: &Client) {
    let draft = json!({ "name": "many", "purpose": "AUTHENTICATION", "algorithm": "HMAC-SHA256" });
    manager.mutate("createKeyModule", draft, "keyModule { name }").await;
    manager.mutate("publishKeyModule", json!({ "module": "many" }), "keyModule { name }").await;
    for _ in 0..KEYS {
        manager.mutate("rotateKeyModule", json!({ "module": "many" }), "keyModule { name }").await;
    }
}

/// A secret that is shown once, and again for the same idempotency key: it is kept sealed under the data key.
async fn secret(client: &Client, key: &str) -> Value {
    let input = json!({ "name": "program", "days": 1, "idempotencyKey": key });
    client.mutate("createAccessToken", input, "secret").await["secret"].clone()
}

/// That every key still does what it is for, on this side.
async fn works(stage: &Stage, consumer: &Client, connection: &str, kept: &Value) {
    let provider = stage.pair.provider_admin().await;
    assert_eq!(secret(&provider, "before").await, *kept, "what was sealed before opens");
    let health = provider.mutate("recheckKeyHealth", json!({}), "keyHealth { status reason }").await;
    assert_eq!(health["keyHealth"]["status"], "OPERATIONAL", "{health:#}");
    // A message each way, under the link's keys. Time jumped: somebody may have missed somebody for a moment.
    for _ in 0..12 {
        stage.pair.advance(5).await;
        let now = stage.pair.connection(consumer, connection).await;
        if now["outbound"]["status"] == "UP" && now["inbound"]["status"] == "UP" {
            return;
        }
    }
    panic!("{:#}", stage.pair.connection(consumer, connection).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_the_key_encryption_key_leaves_nothing_under_the_old_one_and_everything_works() {
    for database in Database::available() {
        let (mut stage, consumer, connection) = Stage::onboarded(database).await;
        let manager = stage.pair.provider.person("manager", &[Role::KeyManager]).await;
        let kept = secret(&stage.provider, "before").await;
        assert_eq!(state(&manager).await["version"], 1);
        let wraps = wrapped_under(&stage.pair.provider, 1).await;

        let begun = rotate(&manager).await;
        assert_eq!(begun["keyEncryptionKey"]["rotation"]["state"], "REWRAPPING", "{begun:#}");
        stage.pair.settle().await;
        let now = state(&manager).await;
        assert_eq!(now["rotation"]["state"], "SETTLING", "{now:#}");
        assert_eq!(now["rotation"]["done"], wraps, "{now:#}");
        assert_eq!(now["actions"][0]["allowed"], false, "{now:#}");
        assert_eq!(wrapped_under(&stage.pair.provider, 1).await, 0);
        let early = rotate(&manager).await;
        assert_eq!(early["refusal"]["reason"], "ROTATION_IN_PROGRESS", "{early:#}");

        stage.pair.advance(SETTLES).await;
        let now = state(&manager).await;
        assert_eq!(now["rotation"]["state"], "DONE", "{now:#}");
        assert_eq!(now["version"], 2, "{now:#}");
        assert_eq!(wrapped_under(&stage.pair.provider, 2).await, wraps);
        works(&stage, &consumer, &connection, &kept).await;
        stage.pair.provider.kill().await;
        stage.pair.provider.start(None).await;
        works(&stage, &consumer, &connection, &kept).await;
    }
}

/// One rotation, during which the provider dies at this commit, if one is named. Answers its commits.
async fn rotation(stage: &mut Stage, version: u8, dies_at: Option<&Commit>) -> Vec<Commit> {
    let pair = &mut stage.pair;
    pair.provider.kill().await;
    let commits = Commits::dying_at(dies_at.cloned());
    pair.provider.start(Some(commits.clone())).await;
    let manager = pair.provider.client();
    manager.sign_in("manager@provider.example.com", PASSWORD).await;
    perhaps(rotate(&manager)).await;
    rest(pair, || commits.dead()).await;
    if !commits.dead() {
        pair.clock.advance(SETTLES * 1_000);
        rest(pair, || commits.dead()).await;
    }
    if let Some(point) = dies_at {
        assert!(commits.dead(), "never died {point}");
        pair.provider.kill().await;
        // A good minute, after which nobody holds its work any more.
        pair.clock.advance(61_000);
        pair.provider.start(None).await;
        pair.settle().await;
        let manager = pair.provider.client();
        manager.sign_in("manager@provider.example.com", PASSWORD).await;
        if state(&manager).await["version"] != version {
            let begun = rotate(&manager).await;
            assert!(begun["refusal"].is_null(), "{point}: {begun:#}");
            pair.settle().await;
        }
        pair.advance(SETTLES).await;
        let now = state(&manager).await;
        assert_eq!(now["rotation"]["state"], "DONE", "{point}: {now:#}");
        assert_eq!(now["version"], version, "{point}: {now:#}");
    }
    let ours = |commit: &Commit| commit.label.starts_with("key.encryption.");
    commits.seen().into_iter().filter(ours).collect()
}

/// Kills the provider at those commits of a rotation that are wanted.
async fn kill_at(database: Database, wanted: impl Fn(usize) -> bool) {
    let (mut stage, consumer, connection) = Stage::onboarded(database).await;
    let manager = stage.pair.provider.person("manager", &[Role::KeyManager]).await;
    many_keys(&manager).await;
    let kept = secret(&stage.provider, "before").await;
    let all = wrapped_under(&stage.pair.provider, 1).await;
    let points = rotation(&mut stage, 2, None).await;
    let labels: std::collections::BTreeSet<_> = points.iter().map(|point| point.label).collect();
    let expected = ["key.encryption.begin", "key.encryption.retire", "key.encryption.rewrap"];
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), expected);
    let batches = points.iter().filter(|point| point.label == "key.encryption.rewrap").count();
    assert!(batches >= 4, "two transactions at least, before and after each: {points:?}");
    let mut version = 2;
    for (_, point) in points.iter().enumerate().filter(|(n, _)| wanted(*n)) {
        version += 1;
        rotation(&mut stage, version, Some(point)).await;
        assert_eq!(wrapped_under(&stage.pair.provider, version).await, all, "{point}: nothing is lost");
        for old in 1..version {
            assert_eq!(wrapped_under(&stage.pair.provider, old).await, 0, "{point}: nothing is left");
        }
        works(&stage, &consumer, &connection, &kept).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_the_key_encryption_key_killed_at_every_step_is_finished_and_loses_nothing() {
    kill_at(Database::Sqlite, |_| true).await;
    if Database::available().contains(&Database::Postgres) {
        kill_at(Database::Postgres, |n| n % 3 == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_the_key_encryption_key_is_rotated() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let manager = stage.pair.provider.person("manager", &[Role::KeyManager]).await;
        many_keys(&manager).await;
        let (stop, did) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let provider = stage.pair.provider_admin().await;
        let (stopped, count, clock) = (stop.clone(), did.clone(), stage.pair.clock.clone());
        let traffic = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                let n = count.fetch_add(1, Ordering::SeqCst);
                // Seals, opens, and signs; each asks the key service, and refuses when that does.
                let made = secret(&provider, &format!("{n}")).await;
                assert_eq!(secret(&provider, &format!("{n}")).await, made);
                // Time for probes, and for the old key to go.
                clock.advance(1_000);
            }
        });
        let begun = rotate(&manager).await;
        assert!(begun["refusal"].is_null(), "{begun:#}");
        let now = until(&manager, "DONE").await;
        assert!(now["rotation"]["error"].is_null(), "{now:#}");
        stop.store(true, Ordering::SeqCst);
        traffic.await.unwrap();
        assert!(did.load(Ordering::SeqCst) > 10);
        stage.pair.advance(10).await;
        let now = stage.pair.connection(&consumer, &connection).await;
        assert_eq!(now["outbound"]["status"], "UP", "{now:#}");
        assert_eq!(stage.pair.provider.rows("failure").await, 0, "nothing was entered in an error log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_goes_on_under_the_new_key_encryption_key_without_being_told() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let mut node = pair.provider.second_node();
        node.start(None).await;
        let admin = node.client();
        admin.sign_in("admin@provider.example.com", PASSWORD).await;
        let before = secret(&admin, "before").await;
        // What one wraps, the other opens: first while both keys are there, then with the new one alone.
        for (round, seconds) in [("during", 0), ("after", SETTLES)] {
            if seconds == 0 {
                assert!(rotate(&manager).await["refusal"].is_null());
                until(&manager, "SETTLING").await;
            } else {
                // What the other node wrapped before it heard of the new key is found when the old one is to go, which
                // then waits once more.
                pair.advance(seconds).await;
                pair.advance(seconds).await;
                until(&manager, "DONE").await;
            }
            assert_eq!(secret(&admin, "before").await, before, "{round}");
            secret(&admin, round).await;
            let draft = json!({ "name": round, "purpose": "SIGNING", "algorithm": "Ed25519" });
            manager.mutate("createKeyModule", draft, "keyModule { name }").await;
            manager.mutate("publishKeyModule", json!({ "module": round }), "keyModule { name }").await;
            let other = node.client();
            other.sign_in("manager@provider.example.com", PASSWORD).await;
            for who in [&manager, &other, &manager] {
                who.mutate("rotateKeyModule", json!({ "module": round }), "keyModule { name }").await;
            }
        }
        assert_eq!(wrapped_under(&pair.provider, 1).await, 0);
        let health = admin.mutate("recheckKeyHealth", json!({}), "keyHealth { status reason }").await;
        assert_eq!(health["keyHealth"]["status"], "OPERATIONAL", "{health:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_under_way_outlives_a_rotation_on_both_sides() {
    for database in Database::available() {
        let (stage, wire) = Stage::open_wired(database).await;
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        // The third message does not get through: each side holds its half, wrapped.
        wire.answer("/link/v1/confirm", 503, json!({ "code": "UNAVAILABLE" }).to_string());
        stage.pair.approve(&consumer, &connection).await;
        let halves = |version: u8| {
            let header = data_encoding::BASE64URL_NOPAD.encode(&[1, version, 0, 0, 0, 0]);
            format!("attempt where cast(work as text) like '%\"pending\"%\"{}%'", &header[..6])
        };
        assert_eq!(stage.pair.consumer.rows(&halves(1)).await, 1);
        assert_eq!(stage.pair.provider.rows("handshake where length(pending) > 0").await, 1);
        for instance in [&stage.pair.provider, &stage.pair.consumer] {
            let manager = instance.person("manager", &[Role::KeyManager]).await;
            assert!(rotate(&manager).await["refusal"].is_null());
            stage.pair.settle().await;
            let now = state(&manager).await;
            assert_eq!(now["rotation"]["state"], "SETTLING", "{now:#}");
            assert_eq!(wrapped_under(instance, 1).await, 0);
        }
        assert_eq!(stage.pair.consumer.rows(&halves(2)).await, 1);
        wire.mend();
        stage.pair.advance(60).await;
        let now = stage.pair.connection(&consumer, &connection).await;
        assert_eq!(now["state"], "ONBOARDED", "{now:#}");
        assert_eq!(stage.pair.provider.rows("handshake where length(pending) > 0").await, 0);
        stage.pair.advance(SETTLES).await;
        for instance in [&stage.pair.provider, &stage.pair.consumer] {
            assert_eq!(wrapped_under(instance, 1).await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_wrapped_again_is_named_and_keeps_the_old_key_alive() {
    let pair = Pair::start(Database::Sqlite).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    many_keys(&manager).await;
    let wraps = wrapped_under(&pair.provider, 1).await;
    let tamper = "update key_version set created_at = created_at + 1 where module = 'many' and version = 7";
    pair.provider.tamper(tamper).await;
    // One that nobody can read, of another batch than some of the others.
    let kept_state = |state: &str| {
        format!("update key_version set state = '{state}' where module = 'many' and version = 8")
    };
    pair.provider.tamper(&kept_state("NO SUCH STATE")).await;
    assert!(rotate(&manager).await["refusal"].is_null());
    pair.settle().await;
    pair.advance(SETTLES).await;
    let now = state(&manager).await;
    assert_eq!(now["rotation"]["state"], "REWRAPPING", "{now:#}");
    assert_eq!(now["rotation"]["done"], wraps - 2, "{now:#}");
    let error = now["rotation"]["error"].as_str().unwrap();
    assert!(error.contains("many@7") && error.contains("many@8"), "{now:#}");
    pair.provider.tamper(&tamper.replace('+', "-")).await;
    pair.provider.tamper(&kept_state("DEACTIVATED")).await;
    pair.advance(31).await;
    pair.advance(SETTLES).await;
    let now = state(&manager).await;
    assert_eq!(now["rotation"]["state"], "DONE", "{now:#}");
    assert!(now["rotation"]["error"].is_null(), "{now:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_encryption_key_is_for_key_managers_who_confirmed_who_they_are() {
    let pair = Pair::start(Database::Sqlite).await;
    let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
    let refused = rotate(&operator).await;
    assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
    assert_eq!(state(&operator).await["actions"][0]["allowed"], false);
    let admin = pair.provider_admin().await;
    let unseen = admin.raw(&format!("{{ {KEY} }}"), json!({})).await;
    assert_eq!(unseen["errors"][0]["extensions"]["code"], "FORBIDDEN", "{unseen:#}");
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    pair.advance(6 * 60).await;
    let stale = rotate(&manager).await;
    assert_eq!(stale["refusal"]["code"], "STEP_UP_REQUIRED", "{stale:#}");
}

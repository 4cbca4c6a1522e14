//! The key of a connection, when somebody takes it out of use or writes to its row: both sides show it, and nothing goes
//! through.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::tamper::EDITS;
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Stage, nodes};

const WAYS: &str = "query($id: ID!) { connection(id: $id) { keyModule
    outbound { status lastProofAt cause { code reason detail } } inbound { lastProofAt } } }";

/// One side of a connection: its administrator, its key manager, and the connection as it knows it.
struct Side<'a> {
    admin: &'a Client,
    manager: Client,
    connection: String,
}

impl<'a> Side<'a> {
    async fn of(instance: &Instance, admin: &'a Client, connection: String) -> Self {
        let manager = instance.person("manager", &[Role::KeyManager]).await;
        Self { admin, manager, connection }
    }

    async fn ways(&self) -> Value {
        self.admin.query(WAYS, json!({ "id": self.connection })).await["connection"].clone()
    }

    /// When something last came through, either way.
    async fn proven(&self) -> [String; 2] {
        let ways = self.ways().await;
        ["outbound", "inbound"].map(|way| ways[way]["lastProofAt"].as_str().unwrap().to_owned())
    }

    async fn fault(&self) -> Value {
        let query =
            "query($id: ID!) { explain(connectionId: $id) { summary fault { dependency reason evidence
            remedy { text } } } }";
        let explained = self.admin.query(query, json!({ "id": self.connection })).await["explain"].clone();
        // It does not say that the service does not work.
        assert_eq!(explained["summary"], explained["fault"]["evidence"], "{explained:#}");
        explained["fault"].clone()
    }

    /// Does this to the key of the connection.
    async fn does(&self, verb: &str, reason: Option<&str>) {
        self.manager.sign_in("manager@provider.example.com", PASSWORD).await;
        let module = self.ways().await["keyModule"].clone();
        let query = "query($module: String!) { keys(module: $module) { edges { node { version } } } }";
        let keys = nodes(&self.manager.query(query, json!({ "module": module })).await["keys"]);
        let mut input = json!({ "module": module, "version": keys[0]["version"] });
        if let Some(reason) = reason {
            input["reason"] = reason.into();
        }
        self.manager.mutate(verb, input, "key { state }").await;
    }

    /// What it shows once the key is out of use: why, and what to do about it.
    async fn shows(&self, reason: &str, dependency: &str, remedy: &str) {
        let ways = self.ways().await;
        assert_eq!(ways["outbound"]["status"], "DOWN", "{ways:#}");
        let cause = &ways["outbound"]["cause"];
        assert_eq!(cause["code"], "KEY_SERVICE_UNHEALTHY", "{ways:#}");
        assert_eq!(cause["reason"], reason, "{ways:#}");
        assert!(cause["detail"].as_str().unwrap().contains("A backup was stolen."), "{ways:#}");
        let fault = self.fault().await;
        assert_eq!(
            (&fault["dependency"], &fault["reason"]),
            (&json!(dependency), &json!(reason)),
            "{fault:#}"
        );
        assert!(fault["evidence"].as_str().unwrap().contains("A backup was stolen."), "{fault:#}");
        assert!(fault["remedy"]["text"].as_str().unwrap().contains(remedy), "{fault:#}");
    }
}

/// One side does this to the key; both show it, and nothing goes through.
async fn withdrawn(stage: &Stage, (doing, other): (&Side<'_>, &Side<'_>), (verb, reason, remedy): Deed) {
    // After the last proof that it worked.
    stage.pair.clock.advance(10);
    doing.does(verb, Some("A backup was stolen.")).await;
    for _ in 0..4 {
        stage.pair.advance(6).await;
    }
    doing.shows(&format!("OUR_{reason}"), "OUR_KEY_SERVICE", remedy).await;
    other.shows(reason, "PEER_KEY_SERVICE", remedy).await;
    let before = (doing.proven().await, other.proven().await);
    for _ in 0..2 {
        stage.pair.advance(6).await;
    }
    assert_eq!((doing.proven().await, other.proven().await), before, "{verb}: nothing goes through");
}

/// What changed before it was seen to fail, for somebody who may read about keys.
async fn changed_before(instance: &Instance, connection: &str, who: &str) -> Vec<Value> {
    let address = format!("{who}@reader.example.com");
    instance.user(&address, PASSWORD, &[Role::Viewer, Role::KeyAuditor]).await;
    let reader = instance.client();
    reader.sign_in(&address, PASSWORD).await;
    let query = "query($id: ID!) { explain(connectionId: $id) { changedBefore { subject } } }";
    let explained = reader.query(query, json!({ "id": connection })).await["explain"].clone();
    let changes = explained["changedBefore"].as_array().unwrap();
    changes.iter().map(|change| change["subject"].clone()).collect()
}

/// A verb, what the other side hears, and what is advised.
type Deed = (&'static str, &'static str, &'static str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_either_side_takes_out_of_use_shows_on_both_with_its_reason_and_what_to_do() {
    let suspend = ("suspendKey", "KEY_SUSPENDED", "It goes on by itself");
    let revoke = ("revokeKey", "KEY_REVOKED", "does not come back");
    let compromised = ("markKeyCompromised", "KEY_COMPROMISED", "does not come back");
    for (consumers, providers) in [(Some(suspend), Some(revoke)), (Some(compromised), None)] {
        let (stage, consumer, there) = Stage::onboarded(Database::available()[0]).await;
        let here = stage.providers_connection().await;
        let ours = Side::of(&stage.pair.provider, &stage.provider, here).await;
        let theirs = Side::of(&stage.pair.consumer, &consumer, there.clone()).await;
        if let Some(deed) = consumers {
            withdrawn(&stage, (&theirs, &ours), deed).await;
            // What was done to the key is among it, though it came after the last proof.
            let kinds = changed_before(&stage.pair.consumer, &there, deed.0).await;
            assert!(kinds.contains(&json!("KEYS")), "{kinds:?}");
        }
        let Some(deed) = providers else { continue };
        theirs.does("resumeKey", None).await;
        for seconds in [30, 30, 30, 6, 6, 6, 6, 6] {
            stage.pair.advance(seconds).await;
        }
        for side in [&ours, &theirs] {
            let ways = side.ways().await;
            assert_eq!(ways["outbound"]["status"], "UP", "what is advised helps: {ways:#}");
        }
        withdrawn(&stage, (&ours, &theirs), deed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_through_with_the_row_of_a_key_that_somebody_edited() {
    for database in Database::available() {
        let (mut stage, consumer, there) = Stage::onboarded(database).await;
        let here = stage.providers_connection().await;
        let pair = &mut stage.pair;
        let sides = [
            Side::of(&pair.provider, &stage.provider, here).await,
            Side::of(&pair.consumer, &consumer, there).await,
        ];
        let proven = async || [sides[0].proven().await, sides[1].proven().await].concat();
        pair.provider.tamper("create table kept as select * from key_version").await;
        // What is judged does not depend on the database: on the second one a sample will do.
        let step = if database == Database::Sqlite { 1 } else { 4 };
        let of_the_row = EDITS.iter().filter(|(column, ..)| *column != "id").step_by(step);
        let edits = of_the_row.map(|(column, value, _)| {
            format!("update key_version set {column} = {value} where module like 'links/%'")
        });
        for sql in edits.chain(["".to_owned()]) {
            // A watch that runs goes on with the good row that it has; one that starts reads this one.
            pair.provider.kill().await;
            pair.provider.tamper("delete from key_version; insert into key_version select * from kept").await;
            pair.provider.tamper(&sql).await;
            pair.provider.start(None).await;
            let before = proven().await;
            for seconds in [31, 6] {
                pair.advance(seconds).await;
            }
            let after = proven().await;
            // What is shown may be what was stored a moment before.
            let proven = after.iter().zip(&before).filter(|(after, before)| after > before).count();
            assert_eq!(
                proven,
                if sql.is_empty() { 4 } else { 0 },
                "{database:?}: {sql}: {before:?}, {after:?}"
            );
        }
    }
}

//! Somebody writes to the database: what they did to the row of a key is found, and named.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::uses::{module, open, seal};
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

const HEALTH: &str = "keyHealth { status reason components { name status code message } }";

pub(super) async fn auditor(pair: &Pair) -> Client {
    pair.provider.user("auditor@provider.example.com", PASSWORD, &[Role::KeyAuditor]).await;
    let auditor = pair.provider.client();
    auditor.sign_in("auditor@provider.example.com", PASSWORD).await;
    auditor
}

/// One part of the health, measured from scratch.
pub(super) async fn part(client: &Client, name: &str) -> Value {
    let health = client.mutate("recheckKeyHealth", json!({}), HEALTH).await["keyHealth"].clone();
    let parts = health["components"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{health:#}")).clone()
}

/// That the part that guards rows says this of them, and that all is well once the rows are back.
async fn found_and_mended(pair: &Pair, client: &Client, done: &str, code: &str, named: &str) {
    let part = part(client, "INTEGRITY_KEY").await;
    assert_eq!(part["status"], "MALFUNCTION", "{done}: {part}");
    assert_eq!(part["code"], code, "{done}: {part}");
    assert!(part["message"].as_str().unwrap().contains(named), "{done}: {part}");
    mend(pair, client, done).await;
}

/// Puts the rows back, and all is well.
async fn mend(pair: &Pair, client: &Client, done: &str) {
    pair.provider.tamper("delete from key_version; insert into key_version select * from kept").await;
    let part = part(client, "INTEGRITY_KEY").await;
    assert_eq!(part["status"], "OPERATIONAL", "after {done}: {part}");
}

/// What somebody may write into each column, and what that is called. The id of nobody sorts first.
pub(super) const EDITS: &[(&str, &str, &str)] = &[
    ("id", "NOBODY", "SWAPPED"),
    ("module", "'spare'", "MOVED"),
    ("purpose", "'DATA_ENCRYPTION'", "CHANGED"),
    ("algorithm", "'HMAC-SHA256'", "CHANGED"),
    ("version", "2", "CHANGED"),
    ("state", "'SUSPENDED'", "REVIVED"),
    ("state", "'NO SUCH STATE'", "CHANGED"),
    ("state_seq", "1", "CHANGED"),
    ("created_at", "1", "CHANGED"),
    ("activated_at", "1", "CHANGED"),
    ("rotated_at", "1", "CHANGED"),
    ("deactivated_at", "1", "CHANGED"),
    ("expires_at", "1", "CHANGED"),
    ("destroyed_at", "1", "CHANGED"),
    ("exportable", "true", "CHANGED"),
    ("reason", "'another'", "CHANGED"),
    ("public_key", "row_seal", "CHANGED"),
    ("wrapped", "row_seal", "CHANGED"),
    ("row_seal", "(select row_seal from key_version where module = 'identity')", "CHANGED"),
];

/// What is signed, in base64.
const DEED: &str = "SSBzZWxsIHRoZSBob3VzZQ==";

/// How a database writes the id of nobody.
pub(super) fn nobody(database: Database) -> &'static str {
    match database {
        Database::Sqlite => "zeroblob(16)",
        Database::Postgres => "'00000000-0000-0000-0000-000000000000'",
    }
}

/// An instance with a module to seal with and one to sign with, and something that was sealed and signed before.
struct Papers {
    pair: Pair,
    auditor: Client,
    user: Client,
    sealed: Value,
    signature: Value,
}

impl Papers {
    async fn prepare(database: Database) -> Self {
        let pair = Pair::start(database).await;
        let auditor = auditor(&pair).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
        let older = "create table older as select * from key_version where module = 'papers'";
        pair.provider.tamper(older).await;
        for (verb, reason) in [("suspendKey", Some("An audit.")), ("resumeKey", None)] {
            let mut key = json!({ "module": "papers", "version": 1 });
            if let Some(reason) = reason {
                key["reason"] = reason.into();
            }
            manager.mutate(verb, key, "key { state }").await;
        }
        let sealed = seal(&user, "papers", "Once upon a time", &[]).await;
        assert!(sealed["refusal"].is_null(), "{sealed:#}");
        module(&manager, "deeds", "SIGNING", "Ed25519", &["SIGN", "VERIFY"]).await;
        let input = json!({ "module": "deeds", "message": DEED });
        let signed = user.mutate("signData", input, "signature { signature }").await;
        let signature = signed["signature"]["signature"].clone();
        pair.provider.tamper("create table kept as select * from key_version").await;
        Self { pair, auditor, user, sealed, signature }
    }

    /// Nothing is signed and no signature is verified.
    async fn assert_signs_nothing(&self, done: &str) {
        let mut input = json!({ "module": "deeds", "message": DEED });
        let signing = self.user.try_mutate("signData", input.clone(), "signature { signature }").await;
        input["signature"] = self.signature.clone();
        input["version"] = 1.into();
        let verifying = self.user.try_mutate("verifySignature", input, "verification { valid }").await;
        for refused in [signing, verifying] {
            assert!(!refused["refusal"].is_null(), "{done}: {refused:#}");
        }
    }

    /// Nothing is sealed and nothing is opened.
    async fn assert_unusable(&self, done: &str) {
        let sealing = seal(&self.user, "papers", "never", &[]).await;
        let opening = open(&self.user, "papers", &self.sealed, &[]).await;
        for refused in [sealing, opening] {
            assert!(!refused["refusal"].is_null(), "{done}: {refused:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_any_column_of_a_key_is_found_and_named_and_nothing_is_done_with_the_key() {
    for database in Database::available() {
        let papers = Papers::prepare(database).await;
        let Papers { pair, auditor, .. } = &papers;
        let columns = pair.provider.columns(database, "key_version").await;
        for column in &columns {
            assert!(EDITS.iter().any(|(edited, ..)| edited == column), "nobody tries to change {column}");
        }
        for (column, value, code) in EDITS {
            let value = value.replace("NOBODY", nobody(database));
            let sql = format!("update key_version set {column} = {value} where module = 'papers'");
            pair.provider.tamper(&sql).await;
            papers.assert_unusable(&sql).await;
            let named = if *column == "module" { "spare@1" } else { "Key papers@" };
            let named = if value.contains("NO SUCH") { "matches no legal state" } else { named };
            found_and_mended(pair, auditor, &sql, code, named).await;
        }
        // What another key has there, and what this one had there before.
        for (table, module) in [("kept", "identity"), ("older", "papers")] {
            for column in columns.iter().filter(|column| !["id", "module"].contains(&column.as_str())) {
                let there = format!("(select {column} from {table} where module = '{module}')");
                let other =
                    format!("key_version where module = 'papers' and {column} is distinct from {there}");
                if pair.provider.rows(&other).await == 0 {
                    continue;
                }
                let sql = format!("update key_version set {column} = {there} where module = 'papers'");
                pair.provider.tamper(&sql).await;
                papers.assert_unusable(&sql).await;
                let part = part(auditor, "INTEGRITY_KEY").await;
                assert_eq!(part["status"], "MALFUNCTION", "{sql}: {part}");
                assert!(part["message"].as_str().unwrap().contains("papers@1"), "{sql}: {part}");
                mend(pair, auditor, &sql).await;
            }
        }
        for (column, value, _) in EDITS {
            let value = value.replace("NOBODY", nobody(database));
            let sql = format!("update key_version set {column} = {value} where module = 'deeds'");
            pair.provider.tamper(&sql).await;
            papers.assert_signs_nothing(&sql).await;
            pair.provider.tamper("delete from key_version; insert into key_version select * from kept").await;
        }
        pair.provider.tamper("delete from key_version where module = 'papers'").await;
        papers.assert_unusable("a row that was removed").await;
        pair.provider.tamper("insert into key_version select * from older").await;
        papers.assert_unusable("an older row").await;
        found_and_mended(pair, auditor, "an older row", "ROLLED_BACK", "Key papers@1").await;
    }
}

/// What somebody may write into each column of a module.
const MODULE_EDITS: &[(&str, &str)] = &[
    ("id", "(select id from key_version where module = 'papers')"),
    ("name", "'paper'"),
    ("purpose", "'DATA_ENCRYPTION'"),
    ("algorithm", "'HMAC-SHA256'"),
    ("exportable", "true"),
    ("rotation_period", "7200000"),
    ("key_lifetime", "7200000"),
    ("default_decision", "'TRACK'"),
    ("state", "'DRAFT'"),
    ("state_seq", "state_seq - 1"),
    ("created_at", "1"),
    ("published_at", "null"),
    ("policies", "'[]'"),
    ("row_seal", "(select row_seal from key_module where name = 'data')"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_any_column_of_a_module_is_found_and_nothing_is_done_with_its_keys() {
    for database in Database::available() {
        let papers = Papers::prepare(database).await;
        let Papers { pair, auditor, .. } = &papers;
        for column in pair.provider.columns(database, "key_module").await {
            let tried = MODULE_EDITS.iter().any(|(edited, _)| *edited == column);
            assert!(tried, "nobody tries to change {column}");
        }
        pair.provider.tamper("create table modules as select * from key_module").await;
        for (column, value) in MODULE_EDITS {
            let sql = format!("update key_module set {column} = {value} where name = 'papers'");
            pair.provider.tamper(&sql).await;
            papers.assert_unusable(&sql).await;
            let part = part(auditor, "INTEGRITY_KEY").await;
            assert_eq!(part["status"], "MALFUNCTION", "{sql}: {part}");
            let back = "delete from key_module; insert into key_module select * from modules";
            pair.provider.tamper(back).await;
        }
        // Whole rows: the one of another module under its name or id, two swapped, none.
        let copies = ["papers", "data"]
            .map(|name| format!("create table {name}_row as select * from modules where name = '{name}'"));
        for sql in &copies {
            pair.provider.tamper(sql).await;
        }
        let both = "delete from key_module where name in ('papers', 'data')";
        for (done, steps) in [
            (
                "moved",
                vec![
                    "delete from key_module where name = 'papers'",
                    "update data_row set name = 'papers', id = (select id from papers_row)",
                    "insert into key_module select * from data_row",
                ],
            ),
            (
                "swapped by id",
                vec![
                    both,
                    "update data_row set name = 'data', id = (select id from papers_row)",
                    "update papers_row set id = (select id from modules where name = 'data')",
                    "insert into key_module select * from data_row",
                    "insert into key_module select * from papers_row",
                ],
            ),
            (
                "swapped by name",
                vec![
                    both,
                    "update data_row set name = 'papers', id = (select id from modules where name = 'data')",
                    "update papers_row set name = 'data', id = (select id from modules where name = 'papers')",
                    "insert into key_module select * from data_row",
                    "insert into key_module select * from papers_row",
                ],
            ),
            ("removed", vec!["delete from key_module where name = 'papers'"]),
        ] {
            for sql in steps {
                pair.provider.tamper(sql).await;
            }
            papers.assert_unusable(done).await;
            let found = part(auditor, "INTEGRITY_KEY").await;
            assert_eq!(found["status"], "MALFUNCTION", "{done}: {found}");
            assert!(found["message"].as_str().unwrap().contains("key module"), "{done}: {found}");
            let back = "delete from key_module; insert into key_module select * from modules";
            pair.provider.tamper(back).await;
        }
        assert_eq!(part(auditor, "INTEGRITY_KEY").await["status"], "OPERATIONAL");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_swapped_removed_or_added_are_found_and_named() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let client = auditor(&pair).await;
        pair.provider.tamper("create table kept as select * from key_version").await;
        let id = |module: &str| format!("(select id from kept where module = '{module}')");
        let swap = [
            "delete from key_version where module in ('data', 'identity')",
            "create table one as select * from kept where module = 'data'",
            "create table other as select * from kept where module = 'identity'",
            &format!("update one set id = {}", id("identity")),
            &format!("update other set id = {}", id("data")),
            "insert into key_version select * from one",
            "insert into key_version select * from other",
        ];
        for sql in swap {
            pair.provider.tamper(sql).await;
        }
        found_and_mended(&pair, &client, "two swapped", "SWAPPED", "it is the row of another key").await;

        pair.provider.tamper("delete from key_version where module = 'data'").await;
        found_and_mended(&pair, &client, "one removed", "MISSING", "Key data").await;

        let add = [
            "create table more as select * from kept where module = 'data'",
            "update more set id = (select id from one), version = 7, state = 'DEACTIVATED'",
            "delete from key_version where module = 'identity'",
            "insert into key_version select * from more",
        ];
        for sql in add {
            pair.provider.tamper(sql).await;
        }
        found_and_mended(&pair, &client, "one added", "CHANGED", "Key data@7").await;

        // So many that they are named a few and counted: measuring goes on in calls of a bounded length.
        let fresh = match database {
            Database::Sqlite => "randomblob(16)",
            Database::Postgres => "gen_random_uuid()",
        };
        let columns = pair.provider.columns(database, "key_version").await;
        let values: Vec<&str> = columns
            .iter()
            .map(|column| match column.as_str() {
                "id" => fresh,
                "version" => "100 + i",
                "state" => "'DEACTIVATED'",
                other => other,
            })
            .collect();
        let flood = format!(
            "insert into key_version ({}) with recursive n(i) as (select 1 union all select i + 1 from n \
             where i < 2000) select {} from kept, n where module = 'data'",
            columns.join(", "),
            values.join(", ")
        );
        pair.provider.tamper(&flood).await;
        found_and_mended(&pair, &client, "two thousand", "CHANGED", "And 1995 more.").await;
    }
}

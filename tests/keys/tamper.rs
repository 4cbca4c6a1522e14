//! Somebody writes to the database: what they did to the row of a key is found, and named.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

const HEALTH: &str = "keyHealth { status reason components { name status code message } }";

async fn auditor(pair: &Pair) -> Client {
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
    for sql in ["delete from key_version", "insert into key_version select * from kept"] {
        pair.provider.tamper(sql).await;
    }
    let part = self::part(client, "INTEGRITY_KEY").await;
    assert_eq!(part["status"], "OPERATIONAL", "after {done}: {part}");
}

/// What somebody may write into each column, and what that is called.
pub(super) const EDITS: &[(&str, &str, &str)] = &[
    ("module", "'spare'", "MOVED"),
    ("purpose", "'SEALING'", "CHANGED"),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_any_column_of_a_key_is_found_and_named() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let client = auditor(&pair).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        for _ in 0..2 {
            manager.mutate("rotateKeyModule", json!({ "module": "tokens" }), "keyModule { name }").await;
        }
        pair.provider.tamper("create table kept as select * from key_version").await;
        // Who does not see the parts measures, and does not have every key compared.
        assert_eq!(part(&client, "INTEGRITY_KEY").await["status"], "OPERATIONAL");
        let edit = "update key_version set reason = 'another' where module = 'tokens' and version = 1";
        pair.provider.tamper(edit).await;
        let admin = pair.provider_admin().await;
        let health = admin.mutate("recheckKeyHealth", json!({}), HEALTH).await["keyHealth"].clone();
        assert_eq!((&health["status"], &health["components"]), (&json!("OPERATIONAL"), &Value::Null));
        found_and_mended(&pair, &client, edit, "CHANGED", "Key tokens@1").await;
        for (column, value, code) in EDITS {
            let sql = format!("update key_version set {column} = {value} where module = 'data'");
            pair.provider.tamper(&sql).await;
            let named = if *column == "module" { "spare@1" } else { "Key data@" };
            let named = if value.contains("NO SUCH") { "matches no legal state" } else { named };
            found_and_mended(&pair, &client, &sql, code, named).await;
        }
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_the_audit_trail_that_is_changed_or_removed_is_named_by_the_health() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let client = auditor(&pair).await;
        assert_eq!(part(&client, "AUDIT_CHAIN").await["status"], "OPERATIONAL");
        pair.provider.tamper("create table spare as select * from audit").await;
        // The last two are about people: what is about keys would be missed there as well.
        let last = pair.provider.rows("audit").await;
        let before = last - 1;
        for (sql, said) in [
            (
                format!("update audit set actor = 'somebody' where n = {last}"),
                format!("Entry {last} of the audit trail was changed."),
            ),
            (
                format!("delete from audit where n = {before}"),
                format!("Entry {before} of the audit trail was removed."),
            ),
            (
                format!("delete from audit where n >= {last}"),
                format!("Entry {last} of the audit trail, and what follows, was removed."),
            ),
        ] {
            pair.provider.tamper(&sql).await;
            let part = part(&client, "AUDIT_CHAIN").await;
            assert_eq!(part["status"], "MALFUNCTION", "{sql}: {part}");
            assert_eq!(part["message"], said, "{sql}");
            for sql in ["delete from audit", "insert into audit select * from spare"] {
                pair.provider.tamper(sql).await;
            }
        }
    }
}

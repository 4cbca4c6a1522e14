//! Somebody writes to the rows of keys and to the audit trail as well, and does it with care.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::tamper::part;
use crate::harness::{Database, Pair};

const MODULE: &str = "keyModule { name }";

/// Writes an earlier entry about a thing once more, as the last one.
fn say_again(object: &str) -> String {
    format!(
        "insert into audit (n, hash, at, actor, operation, object_kind, object_id, result, trace, details, role, \
            on_behalf_of, sensitive) \
            select (select max(n) + 1 from audit), hash, at, actor, operation, object_kind, object_id, result, trace, \
            details, role, on_behalf_of, sensitive from audit where object_id = '{object}' \
            and object_kind in ('KEY', 'KEY_MODULE_ROW') order by n limit 1; \
        update head set audit_n = audit_n + 1, audit_hash = (select hash from audit order by n desc limit 1)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_row_is_found_whatever_is_appended_to_the_audit_trail() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let draft = json!({ "name": "signatures", "purpose": "SIGNING", "algorithm": "Ed25519" });
        manager.mutate("createKeyModule", draft, MODULE).await;
        let named = json!({ "module": "signatures" });
        for verb in ["publishKeyModule", "rotateKeyModule"] {
            manager.mutate(verb, named.clone(), MODULE).await;
        }
        pair.provider.tamper("create table old_keys as select * from key_version").await;
        let key = json!({ "module": "signatures", "version": 1, "reason": "A backup was stolen." });
        manager.mutate("suspendKey", key, "key { state }").await;

        let put_back = "delete from key_version; insert into key_version select * from old_keys";
        pair.provider.tamper(put_back).await;
        pair.provider.tamper(&say_again("signatures@1")).await;
        let found = part(&manager, "INTEGRITY_KEY").await;
        assert_eq!(found["code"], "ROLLED_BACK", "{found}");
        assert!(found["message"].as_str().unwrap().contains("signatures@1"), "{found}");
        let refused = manager.try_mutate("rotateKeyModule", named.clone(), MODULE).await;
        assert_eq!(refused["refusal"]["reason"], "INTEGRITY_KEY", "{refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_module_is_found_whatever_is_appended_and_a_removed_one_is_not_made_anew() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        pair.provider.tamper("create table old_modules as select * from key_module").await;
        let schedule = json!({ "module": "tokens", "rotationPeriod": 7_200 });
        manager.mutate("scheduleKeyModule", schedule, MODULE).await;
        pair.provider.tamper("create table new_modules as select * from key_module").await;

        let put_back = "delete from key_module; insert into key_module select * from old_modules";
        pair.provider.tamper(put_back).await;
        pair.provider.tamper(&say_again("tokens")).await;
        let found = part(&manager, "INTEGRITY_KEY").await;
        assert_eq!(found["code"], "ROLLED_BACK", "{found}");
        assert!(found["message"].as_str().unwrap().contains("key module tokens"), "{found}");

        let without = "delete from key_module; \
            insert into key_module select * from new_modules where name <> 'links'";
        pair.provider.tamper(without).await;
        let found = part(&manager, "INTEGRITY_KEY").await;
        assert!(found["message"].as_str().unwrap().contains("key module links"), "{found}");
        pair.provider.kill().await;
        let refused = pair.provider.refuses_to_start().await;
        assert!(refused.contains("key module links"), "{refused}");
        assert_eq!(
            pair.provider.rows("key_module where name = 'links'").await,
            0,
            "with its default policies"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_rewritten_is_named_by_the_health_and_not_signed() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        pair.advance(65).await;
        assert_eq!(part(&manager, "AUDIT_CHAIN").await["status"], "OPERATIONAL");
        let signed = pair.provider.rows("audit_checkpoint").await;
        assert!(signed > 0);

        rewrite(&pair, database, 2).await;
        let found = part(&manager, "AUDIT_CHAIN").await;
        assert_eq!(found["code"], "AUDIT_CHAIN_BROKEN", "{found}");
        assert!(found["message"].as_str().unwrap().ends_with("is not the one that was signed."), "{found}");
        // It grows, and is not signed for it.
        pair.provider.person("another", &[Role::Viewer]).await;
        pair.advance(130).await;
        assert_eq!(pair.provider.rows("audit_checkpoint").await, signed, "what does not go on is not signed");

        pair.provider.tamper("delete from audit_checkpoint").await;
        let found = part(&manager, "AUDIT_CHAIN").await;
        assert!(found["message"].as_str().unwrap().contains("was removed"), "{found}");
    }
}

/// Changes who did an entry, and computes each hash from there on anew: the trail agrees with itself.
async fn rewrite(pair: &Pair, database: Database, n: u64) {
    let mut file = Vec::new();
    pair.provider.app().actions().export_audit(&mut file).await.unwrap();
    let mut head = keyservice::audit::GENESIS;
    let mut sql = Vec::new();
    for line in String::from_utf8(file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(row) = line.get("entry") else { continue };
        let mut entry = crate::audit::entry(row);
        if entry.n == n {
            entry.actor = "somebody".to_owned();
            sql.push(format!("update audit set actor = 'somebody' where n = {n}"));
        }
        head = entry.hash(&head);
        let hash = data_encoding::HEXLOWER.encode(&head);
        sql.push(format!("update audit set hash = {} where n = {}", database.bytes(&hash), entry.n));
    }
    let last = database.bytes(&data_encoding::HEXLOWER.encode(&head));
    sql.push(format!("update head set audit_hash = {last}"));
    pair.provider.tamper(&sql.join("; ")).await;
}

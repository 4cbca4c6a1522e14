//! Somebody writes to the rows of keys and to the audit trail as well, and does it with care.

use std::sync::Arc;

use keyservice::audit::Entry;
use keyservice::checkpoint::Checkpoint;
use keyservice::{Algorithm, KeyService, KeySpec, Purpose, RootKey, SystemEntropy};
use linkspan::actions::Call;
use linkspan::actions::audit::export::verify;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::tamper::{auditor, nobody, part};
use crate::harness::{Client, Database, Instance, Pair};

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
async fn an_entry_that_is_none_about_a_row_says_nothing_of_the_key_to_whoever_uses_it_either() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        pair.provider.tamper(&say_again("data@1")).await;
        let another = "update audit set operation = 'nothing', object_id = 'audit@1', details = '{\"count\":99}' \
            where n = (select max(n) from audit)";
        pair.provider.tamper(another).await;
        assert_eq!(part(&manager, "INTEGRITY_KEY").await["status"], "OPERATIONAL");
        manager.mutate("rotateKeyModule", json!({ "module": "audit" }), MODULE).await;
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

        rewrite(&pair, database, &[("actor", "somebody")]).await;
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
        pair.advance(130).await;
        assert_eq!(pair.provider.rows("audit_checkpoint").await, 0, "nor from its beginning");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_under_a_key_that_somebody_put_among_ours_is_named_and_not_signed_over() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let manager = provider.person("manager", &[Role::KeyManager]).await;
        pair.advance(65).await;
        let keys = provider.app().actions().audit_keys().await.unwrap();

        let now = linkspan::world::Clock::now_ms(pair.clock.as_ref());
        let root = RootKey::from_bytes([7; 32]);
        let (theirs, _) = KeyService::initialise(&root, [7; 16], Arc::new(SystemEntropy), now).unwrap();
        let spec = KeySpec {
            id: [7; 16],
            module: "audit".to_owned(),
            purpose: Purpose::AuditSigning,
            algorithm: Algorithm::Ed25519,
            version: 1,
            expires_at: None,
            activate: true,
            exportable: false,
        };
        let key = theirs.generate(&spec, now).unwrap();
        let public = data_encoding::HEXLOWER.encode(key.public.as_deref().unwrap());
        let insert = format!(
            "create table added as select * from key_version where module = 'audit'; \
             update added set id = {}, version = 0, state = 'DEACTIVATED', state_seq = 0, public_key = {}; \
             insert into key_version select * from added",
            nobody(database),
            database.bytes(&public)
        );
        provider.tamper(&insert).await;
        let said = json!({ "count": 0, "key": uuid::Uuid::nil(), "module": "audit", "state": "DEACTIVATED" });
        let entry = [
            ("operation", "key.add"),
            ("object_kind", "KEY"),
            ("object_id", "audit@0"),
            ("details", &said.to_string()),
        ];
        let (size, root) = rewrite(&pair, database, &entry).await;
        let checkpoint = Checkpoint { origin: keys[0].name().to_owned(), size, root };
        let note = theirs.sign_checkpoint(&key, &checkpoint, now).unwrap();
        let replace = format!(
            "delete from audit_checkpoint; \
             insert into audit_checkpoint (n, note, at) values ({size}, '{note}', 0)"
        );
        provider.tamper(&replace).await;

        let found = part(&manager, "AUDIT_CHAIN").await;
        assert_eq!(found["code"], "AUDIT_CHAIN_BROKEN", "{found}");
        assert!(found["message"].as_str().unwrap().ends_with("is not signed by this instance."), "{found}");
        provider.person("another", &[Role::Viewer]).await;
        pair.advance(130).await;
        assert_eq!(provider.rows("audit_checkpoint").await, 1, "it is not signed over");
        assert_eq!(provider.app().actions().audit_keys().await.unwrap(), keys, "nobody is told to trust it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_signed_that_is_marked_as_compromised_vouches_for_nothing_any_more() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let all = async |instance: &Instance| instance.app().actions().audit_keys().await.unwrap();
        // Whoever has the key signs what they wrote: here, the instance does it for them.
        rewrite(&pair, database, &[("actor", "somebody")]).await;
        let actions = pair.provider.app().actions();
        actions.checkpoint(&Call::system(actions.fresh_trace())).await.unwrap();
        pair.provider.tamper("create table theirs as select * from audit_checkpoint").await;
        let before = all(&pair.provider).await;

        manager.mutate("rotateKeyModule", json!({ "module": "audit" }), MODULE).await;
        let known = json!({ "module": "audit", "version": 1, "reason": "Seen elsewhere." });
        manager.mutate("markKeyCompromised", known, "key { state }").await;
        assert_eq!(pair.provider.rows("audit_checkpoint").await, 2, "signed at once with the other key");
        assert_eq!(part(&manager, "AUDIT_CHAIN").await["status"], "OPERATIONAL");
        let keys = all(&pair.provider).await;
        assert!(keys.len() == before.len() && !keys.contains(&before[0]), "{keys:?}");
        let mut file = Vec::new();
        pair.provider.app().actions().export_audit(&mut file).await.unwrap();
        let verified = verify(file.as_slice(), &keys, &[]).unwrap().verified;
        let newest = format!("audit_checkpoint where n = {}", verified.signed);
        assert_eq!(pair.provider.rows(&newest).await, 1, "what the other signed covers all before");

        pair.provider.kill().await;
        let alone = "delete from audit_checkpoint where n > (select max(n) from theirs)";
        pair.provider.tamper(alone).await;
        pair.provider.start(None).await;
        let auditor = auditor(&pair).await;
        let found = part(&auditor, "AUDIT_CHAIN").await;
        assert_eq!(found["code"], "AUDIT_CHAIN_BROKEN", "{found}");
        assert!(found["message"].as_str().unwrap().ends_with("is not signed by this instance."), "{found}");
        pair.advance(130).await;
        assert_eq!(pair.provider.rows("audit_checkpoint").await, 1, "it is not signed over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_far_behind_in_the_trail_is_said_until_it_is_mended_and_at_once_on_the_host() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let auditor = auditor(&pair).await;
        lengthen(&pair.provider, database, 6_000).await;
        let n = pair.provider.rows("audit").await - 100;
        let write = async |actor: &str| {
            pair.provider.tamper(&format!("update audit set actor = '{actor}' where n = {n}")).await;
        };
        write("somebody").await;
        let changed = format!("Entry {n} of the audit trail was changed.");

        let actions = pair.provider.app().actions();
        let call = actions.person_on_host("auditor@provider.example.com", None).await.unwrap();
        let health = actions.recheck_key_health(&call).await.unwrap();
        let found = health.components.iter().find(|part| part.name == "AUDIT_CHAIN").unwrap();
        assert_eq!(found.message, changed, "a process that ends with the answer goes over all of it");
        for time in 1..=4 {
            let found = measured(&auditor).await;
            assert_eq!(found["message"], changed, "{time}: {found}");
        }
        write("system").await;
        for _ in 1..=2 {
            measured(&auditor).await;
        }
        let found = measured(&auditor).await;
        assert_eq!(found["message"], "The audit trail is whole, and signed.", "{found}");
    }
}

/// The audit trail's part of the health, as it is measured by itself.
async fn measured(client: &Client) -> Value {
    let query = "{ keyHealth { components { name status message } } }";
    let health = client.query(query, json!({})).await["keyHealth"].clone();
    let parts = health["components"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == "AUDIT_CHAIN").unwrap().clone()
}

/// Appends so many entries, each as this program would write it.
async fn lengthen(instance: &Instance, database: Database, entries: u64) {
    let (tail, mut head) = exported(instance).await.last().map(|(entry, hash)| (entry.n, *hash)).unwrap();
    let mut rows = Vec::new();
    for n in tail + 1..=tail + entries {
        let entry = Entry {
            n,
            actor: "system".to_owned(),
            operation: "nothing".to_owned(),
            details: "{}".to_owned(),
            ..Entry::default()
        };
        head = entry.hash(&head);
        let hash = database.bytes(&data_encoding::HEXLOWER.encode(&head));
        rows.push(format!("({n}, {hash}, 0, 'system', 'nothing', '', '', '', '', '{{}}', '', '', '{{}}')"));
    }
    let sql = rows.chunks(500).map(|rows| {
        format!(
            "insert into audit (n, hash, at, actor, operation, object_kind, object_id, result, trace, details, role, \
                on_behalf_of, sensitive) values {}",
            rows.join(", ")
        )
    });
    let last = database.bytes(&data_encoding::HEXLOWER.encode(&head));
    let mut sql: Vec<String> = sql.collect();
    sql.push(format!("update head set audit_n = audit_n + {entries}, audit_hash = {last}"));
    instance.tamper(&sql.join("; ")).await;
}

/// The entries of the trail, each with its hash.
async fn exported(instance: &Instance) -> Vec<(Entry, [u8; 32])> {
    let mut file = Vec::new();
    instance.app().actions().export_audit(&mut file).await.unwrap();
    let lines = String::from_utf8(file).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let entry = |line: Value| {
        let row = line.get("entry")?;
        let hash = data_encoding::HEXLOWER.decode(row["hash"].as_str()?.as_bytes()).unwrap();
        Some((crate::audit::entry(row), hash.try_into().unwrap()))
    };
    lines.filter_map(entry).collect()
}

/// Changes fields of the entry about the first person, and computes each hash from there on anew: the trail agrees with
/// itself. Answers how many entries there are, and the hash of the last.
async fn rewrite(pair: &Pair, database: Database, fields: &[(&str, &str)]) -> (u64, [u8; 32]) {
    let (mut size, mut head) = (0, keyservice::audit::GENESIS);
    let mut sql = Vec::new();
    let mut fields = Some(fields);
    for (mut entry, _) in exported(&pair.provider).await {
        if entry.operation == "user.create" {
            for (name, value) in fields.take().unwrap_or_default() {
                let field = match *name {
                    "actor" => &mut entry.actor,
                    "operation" => &mut entry.operation,
                    "object_kind" => &mut entry.object_kind,
                    "object_id" => &mut entry.object_id,
                    "details" => &mut entry.details,
                    name => panic!("{name}"),
                };
                (*value).clone_into(field);
                sql.push(format!("update audit set {name} = '{value}' where n = {}", entry.n));
            }
        }
        (size, head) = (entry.n, entry.hash(&head));
        let hash = database.bytes(&data_encoding::HEXLOWER.encode(&head));
        sql.push(format!("update audit set hash = {hash} where n = {size}"));
    }
    assert!(fields.is_none(), "nobody was made");
    let last = database.bytes(&data_encoding::HEXLOWER.encode(&head));
    sql.push(format!("update head set audit_hash = {last}"));
    pair.provider.tamper(&sql.join("; ")).await;
    (size, head)
}

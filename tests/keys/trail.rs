//! Somebody writes to the audit trail, to what signs it, or to the row of the instance: it is found, and named.

use linkspan::actions::Call;
use linkspan::domain::requester::Role;
use serde_json::json;

use super::tamper::{auditor, part};
use super::uses::{module, seal};
use crate::harness::{Client, Database, Instance, Pair};

/// What somebody may write into each column of an entry.
const ENTRY: &[(&str, &str)] = &[
    ("n", "n + 1000"),
    ("hash", "(select audit_hash from first)"),
    ("at", "at + 1"),
    ("actor", "'somebody'"),
    ("operation", "'nothing'"),
    ("object_kind", "'NOTHING'"),
    ("object_id", "'none'"),
    ("result", "'X'"),
    ("trace", "'none'"),
    ("details", "'{\"a\":1}'"),
    ("role", "'ADMIN'"),
    ("on_behalf_of", "'company:none'"),
    ("sensitive", "'{\"name\":\"no hash\"}'"),
];
/// Of the tables about checkpoints and of the instance's row, what is no part of what is signed or sealed: when something
/// was written, and what the trail says as well.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("audit_checkpoint", &["at"]),
    ("audit_witness", &["at", "disputed"]),
    ("audit_kept", &["hour"]),
    // Peers refuse an identity document with a lower number than they saw.
    ("instance", &["id", "install_id", "created_at", "identity_seq"]),
];

/// That every column of the table is changed by one of these, or has its reason not to be.
async fn all_columns_are_tried<'a>(
    instance: &Instance,
    database: Database,
    table: &str,
    tried: impl Iterator<Item = &'a str> + Clone,
) {
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, columns)| columns);
    for column in instance.columns(database, table).await {
        let known = tried.clone().chain(elsewhere.iter().copied()).any(|tried| tried == column);
        assert!(known, "nobody tries to change {table}.{column}");
    }
}

/// That this is what a part says after each of these, and that all is well once the tables are back.
async fn said_of_each(instance: &Instance, client: &Client, name: &str, cases: Vec<(String, String)>) {
    for (sql, said) in cases {
        instance.tamper(&sql).await;
        let found = part(client, name).await;
        assert_eq!(found["status"], "MALFUNCTION", "{sql}: {found}");
        assert!(found["message"].as_str().unwrap().contains(&said), "{sql}: {found}");
        for table in ["audit", "head", "audit_checkpoint", "audit_witness", "audit_kept", "instance"] {
            instance.tamper(&format!("delete from {table}")).await;
            instance.tamper(&format!("insert into {table} select * from {table}_before")).await;
        }
        let found = part(client, name).await;
        assert_eq!(found["status"], "OPERATIONAL", "after {sql}: {found}");
    }
}

async fn keep(instance: &Instance) {
    for table in ["audit", "head", "audit_checkpoint", "audit_witness", "audit_kept", "instance"] {
        instance.tamper(&format!("create table {table}_before as select * from {table}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_change_of_the_audit_trail_or_of_a_checkpoint_is_named_by_the_health() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let client = auditor(&pair).await;
        assert_eq!(part(&client, "AUDIT_CHAIN").await["status"], "OPERATIONAL");
        let actions = provider.app().actions();
        provider.tamper("create table first as select * from head").await;
        for name in ["one", "two", "three"] {
            pair.provider.person(name, &[Role::Viewer]).await;
            actions.checkpoint(&Call::system(actions.fresh_trace())).await.unwrap();
        }
        pair.provider.person("four", &[Role::Viewer]).await;
        keep(provider).await;
        // The last two are about people: what is about keys would be missed there as well.
        let last = provider.rows("audit").await;
        let (before, beyond) = (last - 1, last + 1);
        let entry = |n: i64, done: &str| format!("Entry {n} of the audit trail{done}");
        let mut cases: Vec<(String, String)> = ENTRY
            .iter()
            .map(|(column, value)| {
                let done = if *column == "n" { " was removed." } else { " was changed." };
                (format!("update audit set {column} = {value} where n = {last}"), entry(last, done))
            })
            .collect();
        cases.extend([
            (format!("delete from audit where n = {before}"), entry(before, " was removed.")),
            (format!("delete from audit where n >= {last}"), entry(last, ", and what follows, was removed.")),
            (
                "update head set audit_n = audit_n - 1".to_owned(),
                entry(last, " is not the one that was written last"),
            ),
            (
                "update head set audit_n = audit_n + 1".to_owned(),
                entry(beyond, ", and what follows, was removed."),
            ),
            (
                "update head set audit_hash = (select audit_hash from first)".to_owned(),
                entry(last, " is not the one that was written last"),
            ),
        ]);
        if database == Database::Sqlite {
            // A query takes the first of two fields with one name, this program the last.
            let key = "(select max(n) from audit where operation = 'key.add')";
            cases.extend([
                (
                    format!(
                        "update audit set details = '{{\"count\":99,' || substr(details, 2) where n = {key}"
                    ),
                    "was changed.".to_owned(),
                ),
                (format!("update audit set at = 'never' where n = {last}"), entry(last, " was changed.")),
                (format!("update audit set details = 'none' where n = {last}"), entry(last, " was changed.")),
            ]);
        }

        all_columns_are_tried(provider, database, "audit", ENTRY.iter().map(|(column, _)| *column)).await;
        all_columns_are_tried(provider, database, "audit_checkpoint", ["n", "note"].into_iter()).await;
        let (first, newest) =
            ("(select min(n) from audit_checkpoint)", "(select max(n) from audit_checkpoint)");
        let note = |of: &str| format!("(select note from audit_checkpoint_before where n = {of})");
        let changed = "of the audit trail was changed.".to_owned();
        cases.extend([
            (format!("update audit_checkpoint set n = n - 1 where n = {first}"), changed.clone()),
            (
                format!("update audit_checkpoint set note = {} where n = {first}", note(newest)),
                changed.clone(),
            ),
            (format!("update audit_checkpoint set note = 'none' where n = {first}"), changed.clone()),
            (format!("update audit_checkpoint set note = {} where n = {newest}", note(first)), changed),
            (
                format!("update audit_checkpoint set note = replace(note, '— ', '— x') where n = {newest}"),
                "is not signed by this instance.".to_owned(),
            ),
            (format!("delete from audit_checkpoint where n = {newest}"), "was removed.".to_owned()),
        ]);
        said_of_each(provider, &client, "AUDIT_CHAIN", cases).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_or_an_older_key_hierarchy_is_found_and_not_used() {
    for database in Database::available() {
        let mut pair = Pair::start(database).await;
        let client = auditor(&pair).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
        pair.provider.tamper("create table older as select * from instance").await;
        manager.mutate("rotateKeyEncryptionKey", json!({}), "keyEncryptionKey { version }").await;
        keep(&pair.provider).await;
        let tried = ["instance_id", "hierarchy", "wraps_from"].into_iter();
        all_columns_are_tried(&pair.provider, database, "instance", tried).await;

        let older = "update instance set hierarchy = (select hierarchy from older)".to_owned();
        let cases = [
            ("update instance set instance_id = install_id".to_owned(), "its id is another"),
            ("update instance set wraps_from = 1".to_owned(), "from which key encryption key on"),
            (
                "update instance set hierarchy = (select audit_hash from head)".to_owned(),
                "its key hierarchy was changed",
            ),
            (older.clone(), "its key hierarchy is an earlier one"),
            ("delete from instance".to_owned(), "it was removed"),
        ];
        let cases = cases.map(|(sql, said)| (sql, format!("The row of this instance: {said}")));
        said_of_each(&pair.provider, &client, "INTEGRITY_KEY", cases.to_vec()).await;

        // What works goes on with the right one; nobody starts with the older one, whatever is appended to the trail.
        let again = "insert into audit (n, hash, at, actor, operation, object_kind, object_id, result, trace, details) \
            select (select max(n) + 1 from audit), hash, at, actor, operation, object_kind, object_id, result, trace, \
            details from audit where operation = 'instance.initialise'";
        pair.provider.tamper(&older).await;
        let sealed = seal(&manager, "papers", "still", &[]).await;
        assert!(sealed["refusal"].is_null(), "{sealed:#}");
        pair.provider.kill().await;
        pair.provider.tamper(again).await;
        let refused = pair.provider.refuses_to_start().await;
        assert!(refused.contains("the key hierarchy is not the one that was written last"), "{refused}");
    }
}

/// That what is kept of the other instance's audit trail is as it was kept: by the health, after each of these.
pub(super) async fn what_is_kept_of_a_peer_is_guarded(
    instance: &Instance,
    client: &Client,
    database: Database,
) {
    keep(instance).await;
    let tried = ["connection_id", "ours", "signature", "theirs", "note"].into_iter();
    all_columns_are_tried(instance, database, "audit_witness", tried).await;
    all_columns_are_tried(instance, database, "audit_kept", ["connection_id", "note"].into_iter()).await;
    let (newest, hourly) =
        ("the newest checkpoint of the peer was changed", "a checkpoint of an earlier hour was changed");
    let countersigned = "the peer's countersignature was changed";
    let own = "(select note from audit_checkpoint order by n desc limit 1)";
    let cases = [
        (
            "update audit_witness set connection_id = (select install_id from instance)".to_owned(),
            "was removed",
        ),
        ("update audit_witness set ours = ours - 1".to_owned(), countersigned),
        ("update audit_witness set ours = 0".to_owned(), countersigned),
        ("update audit_witness set signature = null".to_owned(), countersigned),
        ("update audit_witness set signature = 'none'".to_owned(), countersigned),
        ("update audit_witness set theirs = theirs + 1".to_owned(), newest),
        ("update audit_witness set note = null".to_owned(), newest),
        (format!("update audit_witness set note = {own}"), newest),
        ("update audit_witness set note = null, theirs = 0".to_owned(), "an older checkpoint of the peer"),
        ("delete from audit_witness".to_owned(), "the newest was removed"),
        ("update audit_kept set connection_id = (select install_id from instance)".to_owned(), "was removed"),
        (format!("update audit_kept set note = {own}"), hourly),
    ];
    let cases = cases.map(|(sql, said)| (sql, said.to_owned()));
    said_of_each(instance, client, "AUDIT_CHAIN", cases.to_vec()).await;
}

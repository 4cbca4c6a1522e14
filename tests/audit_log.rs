//! The audit trail as people read it.

use std::sync::atomic::Ordering;

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::events::Events;
use crate::harness::{Client, Database, Pair};

const LOG: &str = "query($filter: AuditLogFilter, $first: Int, $after: String, $last: Int, $before: String) {
    auditLog(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        edges { cursor node { id number operation actorKind actorId actorName roles objectKind objectId result traceId
            details hash } }
        pageInfo { hasNextPage hasPreviousPage } } }";

async fn read(client: &Client, variables: Value) -> Value {
    client.query(LOG, variables).await["auditLog"].clone()
}

fn each<'a>(log: &'a Value, field: &str) -> Vec<&'a Value> {
    log["edges"].as_array().unwrap().iter().map(|edge| &edge["node"][field]).collect()
}

const LIVE: &str = "subscription($after: String) {
    auditLogChanged(after: $after) { cursor kind entry { number operation } } }";
const KEYS: &str = "subscription { changes(subjects: [KEYS]) { kind subject subjectId } }";

/// The entries that are heard up to the `times`th of this operation.
async fn heard_until(events: &mut Events, operation: &str, times: usize) -> Vec<Value> {
    let mut heard: Vec<Value> = Vec::new();
    while heard.iter().filter(|entry| entry["operation"] == operation).count() < times {
        let event = events.expect().await;
        assert_eq!(event["kind"], "CREATED", "{event}");
        heard.push(event["entry"].clone());
    }
    heard
}

/// Each hears what they may read, as it is written; that keys changed, those who read of keys.
async fn each_hears_their_own(pair: &Pair, [admin, auditor, both]: [&Client; 3]) {
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let mut keys = manager.subscribe(KEYS, json!({})).await;
    assert_eq!(keys.expect().await["kind"], "PRESENT");
    let [mut by_admin, mut by_auditor, mut by_both] = [
        admin.subscribe(LIVE, json!({})).await,
        auditor.subscribe(LIVE, json!({})).await,
        both.subscribe(LIVE, json!({})).await,
    ];
    let mut present = Value::Null;
    for events in [&mut by_admin, &mut by_auditor, &mut by_both] {
        present = events.expect().await;
        assert_eq!((&present["kind"], &present["entry"]), (&json!("PRESENT"), &Value::Null));
    }
    admin.mutate("createCompany", json!({ "name": "Before" }), "company { id }").await;
    let module =
        json!({ "name": "heard", "purpose": "SIGNING", "algorithm": "Ed25519", "exportable": false });
    manager.mutate("createKeyModule", module, "keyModule { name }").await;
    admin.mutate("createCompany", json!({ "name": "After" }), "company { id }").await;
    let operations = |heard: &[Value]| -> Vec<String> {
        heard.iter().map(|entry| entry["operation"].as_str().unwrap().to_owned()).collect()
    };
    let of_admin = heard_until(&mut by_admin, "company.create", 2).await;
    assert_eq!(operations(&of_admin), ["company.create"; 2]);
    let of_auditor = heard_until(&mut by_auditor, "key_module.create", 1).await;
    assert!(!operations(&of_auditor).contains(&"company.create".to_owned()), "{of_auditor:?}");
    let mut again = both.subscribe(LIVE, json!({ "after": present["cursor"] })).await;
    let whole = heard_until(&mut by_both, "company.create", 2).await;
    assert!(operations(&whole).contains(&"key_module.create".to_owned()), "{whole:?}");
    assert!(whole.iter().map(|entry| entry["number"].as_i64()).is_sorted(), "{whole:?}");
    let resumed = heard_until(&mut again, "company.create", 2).await;
    assert_eq!(resumed, whole, "who comes back misses nothing");
    let told = keys.expect().await;
    assert_eq!(told, json!({ "kind": "UPDATED", "subject": "KEYS", "subjectId": null }));
    let of_keys = "{ changes(subjects: [KEYS]) { events { subject } } }";
    let unseen = admin.query(of_keys, json!({})).await;
    assert_eq!(unseen["changes"]["events"], json!([]), "nobody else hears of keys");
    let odd = both.subscribe(LIVE, json!({ "after": "bjo5OTk5OTk" })).await.next().await.unwrap();
    assert_eq!(odd["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{odd}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_read_and_hear_what_concerns_the_application_and_key_auditors_what_concerns_keys() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        pair.make_ready(&admin).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let both = pair.provider.person("both", &[Role::KeyAuditor, Role::Admin]).await;
        let about_keys = |operation: &&&Value| {
            let operation = operation.as_str().unwrap();
            ["key.", "key_module.", "audit."].iter().any(|prefix| operation.starts_with(prefix))
        };
        let everything = json!({ "first": 250 });
        let (of_admin, of_auditor, of_both) = (
            read(&admin, everything.clone()).await,
            read(&auditor, everything.clone()).await,
            read(&both, everything).await,
        );
        let operations = [&of_admin, &of_auditor, &of_both].map(|log| each(log, "operation"));
        let [of_admin, of_auditor, of_both] = &operations;
        assert!(of_admin.iter().any(|operation| *operation == "company.create"), "{of_admin:?}");
        assert_eq!(of_admin.iter().filter(about_keys).count(), 0, "{of_admin:?}");
        assert!(of_auditor.iter().any(|operation| *operation == "key.role.grant"), "{of_auditor:?}");
        assert_eq!(of_auditor.iter().filter(about_keys).count(), of_auditor.len(), "{of_auditor:?}");
        assert!(of_both.len() >= of_admin.len() + of_auditor.len());
        // A filter finds nothing that may not be read.
        let keys = json!({ "filter": { "operation": "key.role" } });
        assert_eq!(each(&read(&admin, keys.clone()).await, "operation").len(), 0);
        assert!(!each(&read(&auditor, keys).await, "operation").is_empty());

        each_hears_their_own(&pair, [&admin, &auditor, &both]).await;
        for role in [Role::Operator, Role::Viewer, Role::KeyManager, Role::KeyAdmin] {
            let client = pair.provider.person(role.as_str().to_lowercase().as_str(), &[role]).await;
            let answer = client.raw(LOG, json!({})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{role}: {answer}");
            let answer = client.subscribe(LIVE, json!({})).await.next().await.unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{role}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_is_read_in_pages_from_either_end() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let both = pair.provider.person("both", &[Role::KeyAuditor, Role::Admin]).await;
        let whole = read(&both, json!({ "first": 250 })).await;
        let numbers: Vec<i64> = each(&whole, "number").iter().map(|n| n.as_i64().unwrap()).collect();
        let newest = numbers[0];
        assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>(), "the newest first, without a gap");
        assert!(newest > 4, "{newest}");

        let page = read(&both, json!({ "first": 2 })).await;
        assert_eq!(page["pageInfo"], json!({ "hasNextPage": true, "hasPreviousPage": false }));
        let after = &page["edges"][1]["cursor"];
        let next = read(&both, json!({ "first": 2, "after": after })).await;
        assert_eq!(each(&next, "number"), [&json!(newest - 2), &json!(newest - 3)]);
        assert_eq!(next["pageInfo"]["hasPreviousPage"], true);
        let before = &next["edges"][0]["cursor"];
        let back = read(&both, json!({ "last": 2, "before": before })).await;
        assert_eq!(each(&back, "number"), each(&page, "number"));
        let end = read(&both, json!({ "last": 1 })).await;
        assert_eq!(each(&end, "number"), [&json!(1)]);
    }
}

/// A sign-in that failed: whoever knows the address finds it, and nobody reads the address.
async fn found_by_the_address_that_it_keeps(pair: &Pair, admin: &Client) {
    for (email, password) in [("ada@example.com", "not her password"), ("bob@example.com", "nor his")] {
        let somebody = pair.provider.client();
        let page = somebody.get("/sign-in").await;
        let form = crate::harness::browser::form(&page, &["password"]);
        let page = somebody.submit(&page, form, &[("email", email), ("password", password)]).await;
        assert_ne!(page.status, 303, "{}", page.body);
    }
    let with = |filter: Value| json!({ "filter": filter });
    let all = read(admin, with(json!({ "result": "CREDENTIALS_INVALID" }))).await;
    assert_eq!(each(&all, "operation").len(), 2, "{all:#}");
    assert!(!all.to_string().contains("ada@"), "{all:#}");
    // In whatever case it is written.
    let hers = read(admin, with(json!({ "email": "Ada@Example.com", "operation": "session." }))).await;
    assert_eq!(each(&hers, "number"), [each(&all, "number")[1]], "{hers:#}");
    let nobodys = read(admin, with(json!({ "email": "eve@example.com" }))).await;
    assert!(each(&nobodys, "number").is_empty(), "{nobodys:#}");
    let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
    let unseen = read(&auditor, with(json!({ "email": "ada@example.com" }))).await;
    assert!(each(&unseen, "number").is_empty(), "it does not concern keys: {unseen:#}");
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let refused = manager.raw(LOG, with(json!({ "email": "ada@example.com" }))).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{refused}");
    let odd = admin.raw(LOG, with(json!({ "email": "ada" }))).await;
    assert_eq!(odd["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{odd}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_says_who_did_what_to_what_and_is_found_by_each() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let made = admin.mutate("createCompany", json!({ "name": "Example" }), "company { id }").await;
        let company = &made["company"]["id"];
        let me = admin.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone();
        let log = read(&admin, json!({ "filter": { "operation": "company.create" } })).await;
        let entry = &log["edges"][0]["node"];
        assert_eq!((&entry["actorId"], &entry["actorName"]), (&me, &json!("A Person")));
        assert_eq!((&entry["roles"], &entry["actorKind"]), (&json!(["ADMIN"]), &json!("PERSON")));
        assert_eq!((&entry["objectKind"], &entry["objectId"]), (&json!("COMPANY"), company));
        assert_eq!(entry["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(entry["hash"].as_str().unwrap().len(), 64);
        let signed_in = read(&admin, json!({ "filter": { "operation": "session.start" } })).await;
        assert_eq!(
            signed_in["edges"][0]["node"]["actorId"], me,
            "whoever signed in did that, too: {signed_in:#}"
        );
        for filter in [
            json!({ "objectId": company }),
            json!({ "actorId": me, "operation": "company." }),
            json!({ "operation": "company.create", "result": "OK", "since": "2026-01-05T00:00:00Z" }),
        ] {
            let found = read(&admin, json!({ "filter": filter })).await;
            assert_eq!(each(&found, "number"), [&entry["number"]], "{filter}");
        }
        for filter in [
            json!({ "operation": "company.create", "result": "CONFLICT" }),
            json!({ "operation": "company.create", "until": "2026-01-05T00:00:00Z" }),
            json!({ "operation": "ompany" }),
            // No wildcard of the database.
            json!({ "operation": "company_create" }),
        ] {
            let found = read(&admin, json!({ "filter": filter })).await;
            assert!(each(&found, "number").is_empty(), "{filter}: {found:#}");
        }
        // All operations begin like this: the entries are in one order, page after page.
        let (all, every) = (json!({ "first": 250 }), json!({ "first": 250, "filter": { "operation": "" } }));
        let (all, every) = (read(&admin, all).await, read(&admin, every).await);
        assert_eq!(all, every);
        let numbers = each(&all, "number");
        assert!(numbers.len() > 3, "{numbers:?}");
        let (mut walked, mut after) = (Vec::new(), Value::Null);
        while walked.len() < numbers.len() {
            let page = json!({ "filter": { "operation": "" }, "first": 1, "after": after });
            let page = read(&admin, page).await;
            after = page["edges"][0]["cursor"].clone();
            walked.push(page["edges"][0]["node"]["number"].clone());
        }
        assert_eq!(walked.iter().collect::<Vec<_>>(), numbers);
        found_by_the_address_that_it_keeps(&pair, &admin).await;
        let odd = admin.raw(LOG, json!({ "filter": { "operation": "%" } })).await;
        assert_eq!(odd["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_found_by_its_global_id_by_whoever_reads_it_and_many_as_cheaply_as_one() {
    let node =
        "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on AuditEntry { number operation } } }";
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let operator = pair.provider.person("operator", &[Role::Operator]).await;
        for n in 0..20 {
            admin.mutate("createCompany", json!({ "name": format!("Company {n}") }), "company { id }").await;
        }
        let log = read(&admin, json!({ "first": 20 })).await;
        let ids: Vec<_> = each(&log, "id").into_iter().cloned().collect();
        let found = admin.query(node, json!({ "ids": ids })).await["nodes"].clone();
        for (found, edge) in found.as_array().unwrap().iter().zip(log["edges"].as_array().unwrap()) {
            let read = &edge["node"];
            assert_eq!(
                (&found["__typename"], &found["number"], &found["id"]),
                (&json!("AuditEntry"), &read["number"], &read["id"])
            );
        }

        let of_keys = read(&auditor, json!({ "filter": { "operation": "key." } })).await;
        let (of_keys, of_application) = (each(&of_keys, "id")[0].clone(), ids[0].clone());
        let both = json!({ "ids": [of_keys, of_application] });
        let seen = async |client: &Client| {
            let nodes = client.query(node, both.clone()).await["nodes"].clone();
            nodes.as_array().unwrap().iter().map(|node| !node.is_null()).collect::<Vec<_>>()
        };
        assert_eq!(seen(&auditor).await, [true, false]);
        assert_eq!(seen(&admin).await, [false, true]);
        assert_eq!(seen(&operator).await, [false, false]);

        let statements = async |count: usize| {
            let mut least = usize::MAX;
            for _ in 0..6 {
                let before = pair.provider.statements.load(Ordering::SeqCst);
                admin.query(node, json!({ "ids": ids[..count] })).await;
                least = least.min(pair.provider.statements.load(Ordering::SeqCst) - before);
            }
            least
        };
        assert_eq!(statements(1).await, statements(20).await);
    }
}

const APPROVALS: &str =
    "query($module: String) { keyApprovals(module: $module) { edges { node { module object } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_one_key_module_is_found_by_its_name() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let mut keys = Vec::new();
        for name in ["receipts", "receipts-2"] {
            let terms = json!({ "name": name, "purpose": "SIGNING", "algorithm": "Ed25519" });
            manager.mutate("createKeyModule", terms, "keyModule { name }").await;
            for verb in ["publishKeyModule", "rotateKeyModule"] {
                manager.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
            }
            let query = "query($module: String!) { key(module: $module, version: 1) { keyId } }";
            let key = manager.query(query, json!({ "module": name })).await["key"]["keyId"].clone();
            let wish = json!({ "operation": "DESTROY", "module": name, "object": key, "reason": "Old." });
            keys.push(key);
            manager.mutate("requestKeyApproval", wish, "keyApproval { id }").await;
            let life = json!({ "module": name, "version": 1, "reason": "A laptop was lost." });
            manager.mutate("suspendKey", life, "key { state }").await;
        }
        let log = read(&auditor, json!({ "filter": { "module": "receipts" } })).await;
        let operations = each(&log, "operation");
        for operation in ["key_module.create", "key.rotate", "key.approval.request", "key.suspend"] {
            assert_eq!(operations.iter().filter(|one| **one == operation).count(), 1, "{operations:?}");
        }
        assert!(each(&log, "result").iter().all(|result| **result == "OK"), "{log:#}");
        assert!(each(&log, "details").iter().all(|text| text.as_str().unwrap().contains("\"receipts\"")));
        for (operation, kind) in [("key_module.create", "KeyModule"), ("key.suspend", "KeyVersion")] {
            let at = operations.iter().position(|one| **one == operation).unwrap();
            let object = json!({ "id": each(&log, "objectId")[at] });
            let found = auditor.query("query($id: ID!) { node(id: $id) { __typename } }", object).await;
            assert_eq!(found["node"]["__typename"], kind, "what it was done to: {found:#}");
        }
        let links = read(&auditor, json!({ "filter": { "module": "links" } })).await;
        assert!(each(&links, "details").iter().all(|text| text.as_str().unwrap().contains("\"links")));

        let found = manager.query(APPROVALS, json!({ "module": "receipts" })).await;
        let expected = json!([{ "node": { "module": "receipts", "object": keys[0] } }]);
        assert_eq!(found["keyApprovals"]["edges"], expected);
        let all = manager.query(APPROVALS, json!({})).await;
        assert_eq!(all["keyApprovals"]["edges"].as_array().unwrap().len(), 2);

        let odd = auditor.raw(LOG, json!({ "filter": { "module": "%" } })).await;
        assert!(odd["errors"][0]["message"].as_str().unwrap().contains("`module`"), "{odd}");
    }
}

//! Access policies: who may do what with keys, enforced where keys are used, and on record before they are.

use std::collections::BTreeSet;

use linkspan::actions::MODULES_MAX;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Pair, Stage, nodes};

const FIELDS: &str = "accessPolicy { id module effect principal { kind service role } operations \
    condition { name value } note revision }";

/// The policies of the module that all connections share.
const OF_LINKS: &str = "{ accessPolicies(module: \"links\") { edges { node { id principal { role } } } } }";

pub(crate) fn terms(effect: &str, principal: Value, operations: &[&str]) -> Value {
    json!({ "effect": effect, "principal": principal, "operations": operations, "note": "A test." })
}

pub(crate) fn service(name: &str) -> Value {
    json!({ "kind": "SERVICE", "service": name })
}

pub(crate) async fn create(manager: &Client, module: &str, terms: &Value) -> Value {
    manager.mutate("createAccessPolicy", json!({ "module": module, "terms": terms }), FIELDS).await
        ["accessPolicy"]
        .clone()
}

pub(crate) async fn delete(manager: &Client, policy: &Value) {
    manager.mutate("deleteAccessPolicy", json!({ "accessPolicyId": policy["id"] }), "deletedId").await;
}

pub(crate) async fn explain(auditor: &Client, decision: &Value) -> Value {
    let query = "query($id: ID!) { explainDecision(id: $id) { module operation allowed explanation
        principal { kind service label } data { name value } trace { policyId effect outcome note } } }";
    auditor.query(query, json!({ "id": decision })).await["explainDecision"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_managers_change_policies_and_every_change_is_in_the_trail() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let admin = pair.provider_admin().await;
        let asked = terms("TRACK", service("HEALTH"), &["SIGN"]);
        let input = json!({ "module": "identity", "terms": asked });
        let refused = admin.try_mutate("createAccessPolicy", input, FIELDS).await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");

        let made = create(&manager, "identity", &asked).await;
        assert_eq!(made["operations"], json!(["SIGN"]));
        assert_eq!(made["principal"], json!({ "kind": "SERVICE", "service": "HEALTH", "role": null }));
        let other = terms("REJECT", json!({ "kind": "EVERY_SERVICE" }), &["SIGN", "AGREE"]);
        let input = json!({
            "accessPolicyId": made["id"], "terms": other, "expectedRevision": made["revision"],
        });
        let changed =
            manager.mutate("updateAccessPolicy", input.clone(), FIELDS).await["accessPolicy"].clone();
        assert_eq!((&changed["id"], &changed["effect"]), (&made["id"], &json!("REJECT")));
        let stale = manager.try_mutate("updateAccessPolicy", input, FIELDS).await;
        assert_eq!(stale["refusal"]["code"], "CONFLICT", "{stale:#}");
        delete(&manager, &changed).await;
        let all = "{ accessPolicies(module: \"identity\") { edges { node { id } } } }";
        let all = manager.query(all, json!({})).await;
        let left = nodes(&all["accessPolicies"]);
        assert!(!left.iter().any(|policy| policy["id"] == made["id"]), "{all:#}");
        for operation in ["create", "update", "delete"] {
            let noted = format!("audit where operation = 'key.policy.{operation}' and actor like 'user:%'");
            assert_eq!(pair.provider.rows(&noted).await, 1, "{operation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_hold_is_refused_with_the_field_at_fault() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let person = |kind: &str| json!({ "kind": kind });
    let mut bound = terms("TRACK", service("PEER"), &["SEAL"]);
    bound["condition"] = json!({ "name": "", "value": "x" });
    let mut noted = terms("TRACK", service("PEER"), &["SEAL"]);
    noted["note"] = json!("x".repeat(501));
    for (terms, field) in [
        (terms("TRACK", service("PEER"), &[]), "terms.operations"),
        (terms("TRACK", service("PEER"), &["ROTATE_ROOT"]), "terms.operations"),
        (terms("TRACK", person("SERVICE"), &["SEAL"]), "terms.principal.service"),
        (terms("TRACK", json!({ "kind": "ROLE", "role": "ADMIN" }), &["SEAL"]), "terms.principal.role"),
        (bound, "terms.condition"),
        (noted, "terms.note"),
        // Nobody could undo it.
        (terms("STRICT_REJECT", person("EVERY_PERSON"), &["MANAGE_POLICIES"]), "terms"),
    ] {
        let input = json!({ "module": "links", "terms": terms });
        let refused = manager.try_mutate("createAccessPolicy", input, FIELDS).await;
        assert_eq!(refused["refusal"]["code"], "INVALID_INPUT", "{terms}: {refused:#}");
        assert_eq!(refused["refusal"]["field"], field, "{terms}");
    }
    let own = nodes(&manager.query(OF_LINKS, json!({})).await["accessPolicies"]);
    let own = own.into_iter().find(|policy| policy["principal"]["role"] == "KEY_MANAGER").unwrap();
    // What would be refused is not offered.
    let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
    let query = "query($id: ID!) { keyModule(name: \"links\") { actions { name allowed } }
        node(id: $id) { ... on AccessPolicy { actions { name allowed reason } } } }";
    for (client, manages) in [(&manager, true), (&operator, false)] {
        let seen = client.query(query, json!({ "id": own["id"] })).await;
        let (policy, module) = (&seen["node"]["actions"], &seen["keyModule"]["actions"]);
        let of = |actions: &Value, name: &str| {
            let mut actions = actions.as_array().unwrap().iter();
            actions.find(|one| one["name"] == name).unwrap()["allowed"] == true
        };
        assert_eq!(of(module, "createAccessPolicy"), manages, "{module:#}");
        assert_eq!(of(policy, "updateAccessPolicy"), manages, "{policy:#}");
        assert!(!of(policy, "deleteAccessPolicy"), "{policy:#}");
    }
    let input = json!({ "accessPolicyId": own["id"] });
    let refused = manager.try_mutate("deleteAccessPolicy", input, "deletedId").await;
    assert_eq!(refused["refusal"]["reason"], "LAST_MANAGER", "{refused:#}");
    // Nor does a key manager alone end the evidence.
    let input = json!({ "module": "audit", "terms": terms("STRICT_REJECT", service("AUDIT"), &["SIGN"]) });
    let refused = manager.try_mutate("createAccessPolicy", input, FIELDS).await;
    assert_eq!(refused["refusal"]["reason"], "AUDIT_TRAIL", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_denied_what_their_role_gives_and_an_auditor_reads_why() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let role = json!({ "kind": "ROLE", "role": "KEY_MANAGER" });
        let policy = create(&manager, "data", &terms("STRICT_REJECT", role, &["DESTROY"])).await;
        let input = json!({ "operation": "DESTROY", "module": "data", "reason": "Old." });
        let denied = manager.try_mutate("requestKeyApproval", input.clone(), "keyApproval { id }").await;
        assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
        let why = explain(&auditor, &denied["refusal"]["reason"]).await;
        assert_eq!(
            (&why["module"], &why["operation"], &why["allowed"]),
            (&json!("data"), &json!("DESTROY"), &json!(false))
        );
        let first = &why["trace"][0];
        assert_eq!((&first["policyId"], &first["outcome"]), (&policy["id"], &json!("APPLIES")), "{why:#}");
        let noted = "audit where operation = 'key.denied' and result = 'POLICY_DENIED'";
        assert_eq!(pair.provider.rows(noted).await, 1);
        delete(&manager, &policy).await;
        let allowed = manager.try_mutate("requestKeyApproval", input, "keyApproval { id }").await;
        assert_eq!(allowed["refusal"]["field"], "module", "no policy denies it any more: {allowed:#}");

        let admin = pair.provider_admin().await;
        let hidden = admin.raw(
            "query($id: ID!) { explainDecision(id: $id) { allowed } }",
            json!({ "id": denied["refusal"]["reason"] }),
        );
        assert_eq!(hidden.await["errors"][0]["extensions"]["code"], "FORBIDDEN");
        pair.advance(31 * 24 * 3_600).await;
        assert_eq!(pair.provider.rows("key_decision").await, 0, "kept for 30 days");
    }
}

/// A connection's directions as its administrator sees them.
async fn directions(client: &Client, connection: &str) -> Value {
    let query = "query($id: ID!) { connection(id: $id) { linkId outbound { status cause { code reason } }
        inbound { status } } }";
    client.query(query, json!({ "id": connection })).await["connection"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_that_breaks_the_connection_of_a_peer_is_seen_there_as_itself() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let pair = &stage.pair;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        pair.advance(6).await;
        let up = directions(&consumer, &connection).await;
        assert_eq!(up["outbound"]["status"], "UP", "{up:#}");
        let mut other = terms("STRICT_REJECT", service("PEER"), &["OPEN"]);
        other["condition"] = json!({ "name": "link_id", "value": "another connection" });
        create(&manager, "links", &other).await;
        pair.advance(6).await;
        let still = directions(&consumer, &connection).await;
        assert_eq!(still["outbound"]["status"], "UP", "it is about another connection: {still:#}");

        let mut this = other;
        this["condition"]["value"] = up["linkId"].clone();
        let policy = create(&manager, "links", &this).await;
        for _ in 0..4 {
            pair.advance(6).await;
        }
        let down = directions(&consumer, &connection).await;
        assert_eq!(down["outbound"]["status"], "DOWN", "{down:#}");
        assert_eq!(down["outbound"]["cause"]["code"], "POLICY_DENIED", "{down:#}");
        let why = explain(&auditor, &down["outbound"]["cause"]["reason"]).await;
        assert_eq!(why["principal"]["service"], "PEER", "the peer names the decision: {why:#}");
        assert_eq!(why["data"], json!([{ "name": "link_id", "value": up["linkId"] }]));
        let applied = why["trace"].as_array().unwrap().iter().find(|one| one["outcome"] == "APPLIES");
        assert_eq!(applied.unwrap()["policyId"], policy["id"], "{why:#}");
        let denials = pair.provider.rows("key_decision").await;
        assert!(denials <= 2, "{denials} denials are kept of the same use");

        delete(&manager, &policy).await;
        for _ in 0..4 {
            pair.advance(6).await;
        }
        let again = directions(&consumer, &connection).await;
        assert_eq!(again["outbound"]["status"], "UP", "by itself: {again:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policies_take_from_a_part_of_the_program_keeps_registrations_from_going_on() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let admin = pair.provider_admin().await;
        let ready = pair.make_ready(&admin).await;
        // Where no use says which connection it is for, a rejection that is about one rejects them all.
        let mut about_one = terms("STRICT_REJECT", service("ONBOARDING"), &["SEAL"]);
        about_one["condition"] = json!({ "name": "link_id", "value": "another" });
        let policy = create(&manager, "data", &about_one).await;
        let registration = pair.register(&admin, &ready).await;
        let stuck = pair.registration(&admin, &registration).await;
        assert_eq!(stuck["issues"][0]["check"], "KEY_ACCESS_POLICY", "{stuck:#}");
        delete(&manager, &policy).await;

        let policy =
            create(&manager, "links", &terms("STRICT_REJECT", service("ONBOARDING"), &["AGREE"])).await;
        let again = json!({ "registrationId": registration });
        admin.mutate("revalidateRegistration", again, "registration { id }").await;
        pair.settle().await;
        let stuck = pair.registration(&admin, &registration).await;
        assert_eq!(stuck["state"], "VALIDATION_FAILED", "{stuck:#}");
        assert_eq!(stuck["issues"][0]["check"], "KEY_ACCESS_POLICY", "{stuck:#}");
        delete(&manager, &policy).await;
        admin
            .mutate(
                "revalidateRegistration",
                json!({ "registrationId": registration }),
                "registration { id }",
            )
            .await;
        pair.settle().await;
        assert_eq!(pair.registration(&admin, &registration).await["state"], "OPEN");
    }
}

/// The entries of this operation in the trail, the oldest first.
async fn entries(auditor: &Client, operation: &str) -> Vec<Value> {
    let query = "query($operation: String!) { auditLog(first: 250, filter: { operation: $operation }) {
        edges { node { details } } } }";
    let log = auditor.query(query, json!({ "operation": operation })).await["auditLog"].clone();
    let details = |edge: &Value| serde_json::from_str(edge["node"]["details"].as_str().unwrap()).unwrap();
    log["edges"].as_array().unwrap().iter().rev().map(details).collect()
}

/// How often these entries say that a key was used like this by that part of the program.
fn uses(entries: &[Value], key: &str, operation: &str, service: &str) -> i64 {
    let all = entries.iter().flat_map(|entry| entry["uses"].as_array().unwrap());
    let is = |one: &&Value| one["key"].as_str().unwrap().starts_with(key) && one["service"] == service;
    all.filter(is).map(|one| one["counts"][operation].as_i64().unwrap_or(0)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_keys_are_used_one_entry_comes_first_and_another_says_how_often_each_was() {
    for database in Database::available() {
        let (stage, _, _) = Stage::onboarded(database).await;
        let pair = &stage.pair;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let query = "query($id: ID!) { connection(id: $id) { keyModule } }";
        let here = stage.providers_connection().await;
        let named =
            stage.provider.query(query, json!({ "id": here })).await["connection"]["keyModule"].clone();
        let link = format!("{}@", named.as_str().unwrap());
        // A window that begins now, however long onboarding took.
        pair.advance(61).await;
        let before = entries(&auditor, "key.window").await;
        let probes = 7;
        for _ in 0..probes {
            pair.advance(6).await;
        }
        assert_eq!(entries(&auditor, "key.window").await.len(), before.len(), "within a minute");
        pair.advance(30).await;
        let after = entries(&auditor, "key.window").await;
        assert_eq!(after.len(), before.len() + 1, "within the next");
        assert!(after[0]["revisions"]["links"].is_i64(), "under which policies: {}", after[0]);
        let used = entries(&auditor, "key.used").await;
        // Each probe of either side is opened or sealed here, and its answer sealed or opened.
        assert!(uses(&used, &link, "SEAL", "PEER") >= probes, "{used:#?}");
        assert!(uses(&used, &link, "OPEN", "PEER") >= probes, "{used:#?}");
        assert!(uses(&used, &link, "AGREE", "ONBOARDING") > 0, "{used:#?}");
        assert!(uses(&used, "data@1", "SEAL", "LETTERS") > 0, "{used:#?}");
        assert!(uses(&used, "identity@1", "SIGN", "ONBOARDING") > 0, "{used:#?}");

        // What was counted since is on record when the program stops in order, too.
        pair.advance(6).await;
        let counted = uses(&entries(&auditor, "key.used").await, &link, "SEAL", "PEER");
        pair.provider.app().finish().await;
        let last = uses(&entries(&auditor, "key.used").await, &link, "SEAL", "PEER");
        assert!(last > counted, "{counted} and {last}");
    }
}

/// Makes the trail refuse entries of this operation, with `%` for any text.
pub(crate) async fn stop_entries(instance: &Instance, database: Database, operation: &str) {
    let sql = match database {
        Database::Sqlite => format!(
            "create trigger stop before insert on audit when new.operation like '{operation}'
             begin select raise(abort, 'no entries'); end"
        ),
        Database::Postgres => format!(
            "create or replace function stop() returns trigger language plpgsql as $$ begin
                 if new.operation like '{operation}' then raise exception 'no entries'; end if; return new; end $$;
             create trigger stop before insert on audit for each row execute function stop()"
        ),
    };
    instance.tamper(&sql).await;
}

pub(crate) async fn allow_entries(instance: &Instance, database: Database) {
    let sql = match database {
        Database::Sqlite => "drop trigger stop",
        Database::Postgres => "drop trigger stop on audit",
    };
    instance.tamper(sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_used_while_the_trail_takes_no_entry() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let pair = &stage.pair;
        let admin = pair.provider_admin().await;
        let identity = "/.well-known/linkspan";
        let nobody = pair.provider.client();
        // An entry that is lost, of whatever, ends the use of keys at once.
        stop_entries(&pair.provider, database, "%").await;
        assert_eq!(nobody.get(identity).await.status, 200, "nobody knows yet");
        let lost = "mutation { createCompany(input: { name: \"A\" }) { company { id } } }";
        let lost = admin.raw(lost, json!({})).await;
        assert_eq!(lost["errors"][0]["extensions"]["code"], "INTERNAL", "{lost:#}");
        assert_eq!(nobody.get(identity).await.status, 503, "no time has passed");
        allow_entries(&pair.provider, database).await;
        admin.mutate("createCompany", json!({ "name": "One" }), "company { id }").await;
        assert_eq!(nobody.get(identity).await.status, 200, "it takes entries again");

        // When nothing else is written, the minute ends it: the entry of the next one is refused.
        stop_entries(&pair.provider, database, "key.window").await;
        pair.advance(61).await;
        let refused = nobody.get(identity).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        let refused: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(
            (&refused["code"], &refused["reason"]),
            (&json!("KEY_SERVICE_UNHEALTHY"), &json!("AUDIT_CHAIN"))
        );
        let health = admin.query("{ keyHealth { reason } }", json!({})).await["keyHealth"]["reason"].clone();
        assert!(health.as_str().unwrap().contains("takes no entries"), "{health}");
        let company = admin.mutate("createCompany", json!({ "name": "Another" }), "company { id }").await;
        assert!(company["company"]["id"].is_string(), "what uses no key goes on");
        // Two probes that miss are *Down*.
        for _ in 0..2 {
            pair.advance(6).await;
        }
        consumer.sign_in("admin@consumer.example.com", PASSWORD).await;
        let down = directions(&consumer, &connection).await;
        assert_eq!(down["outbound"]["status"], "DOWN", "{down:#}");
        assert_eq!(down["outbound"]["cause"]["code"], "KEY_SERVICE_UNHEALTHY", "{down:#}");

        allow_entries(&pair.provider, database).await;
        for _ in 0..4 {
            pair.advance(6).await;
        }
        assert_eq!(nobody.get(identity).await.status, 200, "by itself");
        let again = directions(&consumer, &connection).await;
        assert_eq!(again["outbound"]["status"], "UP", "{again:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_bound_to_one_connection_counts_for_people_with_its_keys_alone() {
    for database in Database::available() {
        let (stage, ..) = Stage::onboarded(database).await;
        let provider = &stage.pair.provider;
        let manager = provider.person("manager", &[Role::KeyManager]).await;
        let operator = provider.person("operator", &[Role::KeyOperator]).await;
        let here = stage.providers_connection().await;
        let query = "query($id: ID!) { connection(id: $id) { keyModule } }";
        let name =
            stage.provider.query(query, json!({ "id": here })).await["connection"]["keyModule"].clone();
        let link = name.as_str().unwrap().strip_prefix("links/").unwrap().to_owned();
        let bound = |effect: &str, link: &str, operations: &[&str]| {
            let mut terms = terms(effect, json!({ "kind": "ROLE", "role": "KEY_MANAGER" }), operations);
            terms["condition"] = json!({ "name": "link_id", "value": link });
            terms
        };
        let query = "query($m: String!) { keys(module: $m) { edges { node { version keyId } } } }";
        let key = nodes(&manager.query(query, json!({ "m": name })).await["keys"])[0].clone();
        let input = json!({ "module": name, "version": key["version"], "reason": "A test." });
        let verbs = |allowed: bool| {
            let (manager, name) = (&manager, name.clone());
            async move {
                let query =
                    "query($m: String!) { keys(module: $m) { edges { node { actions { name allowed } } } } }";
                let keys = nodes(&manager.query(query, json!({ "m": name })).await["keys"]);
                let actions = keys[0]["actions"].as_array().unwrap().clone();
                let suspend = actions.iter().find(|one| one["name"] == "suspendKey").unwrap();
                assert_eq!(suspend["allowed"], allowed, "{suspend}");
            }
        };

        // A connection that another policy names is nothing to this one.
        let other = create(&manager, "links", &bound("STRICT_REJECT", "another", &["SUSPEND"])).await;
        verbs(true).await;
        let done = manager.mutate("suspendKey", input.clone(), "key { state }").await;
        assert_eq!(done["key"]["state"], "SUSPENDED");
        manager
            .mutate("resumeKey", json!({ "module": name, "version": key["version"] }), "key { state }")
            .await;
        delete(&manager, &other).await;

        let strict = create(&manager, "links", &bound("STRICT_REJECT", &link, &["SUSPEND", "DESTROY"])).await;
        verbs(false).await;
        let denied = manager.try_mutate("suspendKey", input.clone(), "key { state }").await;
        assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
        let asked = |object: Value| {
            let input =
                json!({ "operation": "DESTROY", "module": "links", "object": object, "reason": "Old." });
            manager.try_mutate("requestKeyApproval", input, "keyApproval { id }")
        };
        let denied = asked(key["keyId"].clone()).await;
        assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
        delete(&manager, &strict).await;

        // What the role does not allow of itself, a policy allows for one connection.
        let all = nodes(&manager.query(OF_LINKS, json!({})).await["accessPolicies"]);
        let own = all.iter().find(|policy| policy["principal"]["role"] == "KEY_OPERATOR").unwrap();
        delete(&manager, own).await;
        let revoke = || operator.try_mutate("revokeKey", input.clone(), "key { state }");
        let denied = revoke().await;
        assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
        let mut one = bound("TRACK", &link, &["REVOKE", "READ_METADATA"]);
        one["principal"]["role"] = "KEY_OPERATOR".into();
        create(&manager, "links", &one).await;
        assert_eq!(revoke().await["key"]["state"], "REVOKED");
    }
}

/// The global ids of a module, its first key and its first policy, as `node` takes them.
async fn ids_of(client: &Client, module: &str) -> Value {
    let query = "query($m: String!) { keyModule(name: $m) { id } key(module: $m, version: 1) { id }
        accessPolicies(module: $m, first: 1) { edges { node { id } } } }";
    let found = client.query(query, json!({ "m": module })).await;
    json!([found["keyModule"]["id"], found["key"]["id"], nodes(&found["accessPolicies"])[0]["id"]])
}

/// Which of the three `node` gives to whoever asks; each as what it is, and by the id that it was asked for.
async fn by_id(client: &Client, ids: &Value) -> Vec<bool> {
    let query =
        "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on KeyModule { name versions { id } }
        ... on KeyVersion { module version } ... on AccessPolicy { effect module } } }";
    let found = client.query(query, json!({ "ids": ids })).await["nodes"].clone();
    let kinds = ["KeyModule", "KeyVersion", "AccessPolicy"];
    let each = found.as_array().unwrap().iter().zip(kinds).zip(ids.as_array().unwrap());
    let seen = each.map(|((node, kind), id)| {
        assert!(node.is_null() || (&node["__typename"], &node["id"]) == (&json!(kind), id), "{node:#}");
        !node.is_null()
    });
    seen.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_a_policy_hides_looks_like_none_and_a_lost_role_shows_nothing_again() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
        let role = |role: &str| json!({ "kind": "ROLE", "role": role });
        let ids = ids_of(&operator, "data").await;
        assert_eq!(by_id(&operator, &ids).await, [true; 3], "{ids}");
        let admin = pair.provider_admin().await;
        assert_eq!(by_id(&admin, &ids).await, [false; 3], "without a key role");
        for name in ["KEY_OPERATOR", "KEY_MANAGER"] {
            create(&manager, "data", &terms("STRICT_REJECT", role(name), &["READ_METADATA"])).await;
        }
        let query = "{ keyModules { edges { node { name } } } keyModule(name: \"data\") { name }
            keys(module: \"data\") { edges { node { version } } } key(module: \"data\", version: 1) { version }
            accessPolicies(module: \"data\") { edges { node { id } } } }";
        let seen = operator.query(query, json!({})).await;
        let names = nodes(&seen["keyModules"]);
        assert!(names.len() >= 4 && !names.iter().any(|one| one["name"] == "data"), "{seen:#}");
        assert_eq!((&seen["keyModule"], &seen["key"]), (&Value::Null, &Value::Null), "{seen:#}");
        assert_eq!((nodes(&seen["keys"]).len(), nodes(&seen["accessPolicies"]).len()), (0, 0), "{seen:#}");
        // Nor by their ids, from before; but whoever can undo it sees the policies.
        let (theirs, left) = (by_id(&operator, &ids).await, by_id(&manager, &ids).await);
        assert_eq!(theirs, [false; 3], "{ids}");
        assert_eq!(left, [false, false, true], "{ids}");

        let input = json!({ "module": "tokens", "idempotencyKey": "one" });
        operator.mutate("rotateKeyModule", input.clone(), "keyModule { name }").await;
        let call = linkspan::actions::Call::system(pair.provider.app().actions().fresh_trace());
        let actions = pair.provider.app().actions();
        let account = actions.account_by_email(&call, "operator@provider.example.com").await.unwrap();
        actions.revoke_role(&call, account.id, Role::KeyOperator).await.unwrap();
        let again = operator.try_mutate("rotateKeyModule", input, "keyModule { name }").await;
        assert_eq!(again["keyModule"], Value::Null, "{again:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_has_250_key_modules_at_most_and_all_their_policies_are_listed_page_by_page() {
    let pair = Pair::start(Database::Sqlite).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let draft = |number: usize| {
        let input =
            json!({ "name": format!("module-{number:03}"), "purpose": "SIGNING", "algorithm": "Ed25519" });
        manager.try_mutate("createKeyModule", input, "keyModule { name }")
    };
    let names = "query($after: String) { keyModules(first: 250, after: $after) { edges { node { name } }
        pageInfo { hasNextPage endCursor } } }";
    let built_in = nodes(&manager.query(names, json!({})).await["keyModules"]).len();
    for number in built_in..MODULES_MAX {
        let made = draft(number).await;
        assert!(made["refusal"].is_null(), "{number}: {made:#}");
    }
    let refused = draft(MODULES_MAX).await;
    assert_eq!(refused["refusal"]["code"], "INVALID_INPUT", "{refused:#}");
    assert_eq!(refused["refusal"]["field"], "name", "{refused:#}");
    let listed = whole(&manager, "keyModules", names).await;
    assert_eq!(listed.len(), MODULES_MAX);
    assert!(listed.iter().map(|module| module["name"].as_str()).is_sorted(), "{listed:?}");

    let all =
        "query($after: String) { accessPolicies(first: 250, after: $after) { edges { node { id module } }
        pageInfo { hasNextPage endCursor } } }";
    let policies = whole(&manager, "accessPolicies", all).await;
    assert!(policies.len() > 1_000, "{}", policies.len());
    let ids: BTreeSet<_> = policies.iter().map(|policy| policy["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), policies.len(), "each once");
    assert!(policies.iter().map(|policy| policy["module"].as_str()).is_sorted(), "by module");
    let one = "{ accessPolicies(module: \"module-100\", last: 2) { edges { node { id } }
        pageInfo { hasPreviousPage hasNextPage startCursor } } }";
    let one = manager.query(one, json!({})).await["accessPolicies"].clone();
    assert_eq!((&one["pageInfo"]["hasPreviousPage"], nodes(&one).len()), (&json!(true), 2), "{one:#}");
    // A place in the list that is gone is said to be.
    delete(&manager, &nodes(&one)[0]).await;
    let before = "query($before: String) { accessPolicies(module: \"module-100\", last: 2, before: $before) {
        edges { node { id } } } }";
    let gone = manager.raw(before, json!({ "before": one["pageInfo"]["startCursor"] })).await;
    assert_eq!(gone["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{gone:#}");
}

/// All items of a list, page after page.
async fn whole(client: &Client, list: &str, query: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = client.query(query, json!({ "after": after })).await[list].clone();
        all.extend(nodes(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            return all;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

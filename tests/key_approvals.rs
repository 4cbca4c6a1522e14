//! Two people where two are needed, and key roles that nobody gives to themselves.

use keyservice::Right;
use linkspan::domain::key_policy::KeyOperation;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

const SIX_MINUTES: i64 = 6 * 60 * 1_000;

const FIELDS: &str = "keyApproval { id operation module object reason state stateLabel askedBy { name }
    answeredBy { name } answer revision actions { name allowed } }";

/// A module with a key that may leave; the id of that key.
async fn module(client: &Client, name: &str) -> String {
    let draft = json!({ "name": name, "purpose": "SEALING", "algorithm": "A256GCM", "exportable": true });
    client.mutate("createKeyModule", draft, "keyModule { name }").await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        client.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
    }
    key_of(client, name).await
}

/// The id of the first version of a module's key.
async fn key_of(client: &Client, module: &str) -> String {
    let query = "query($module: String!) { key(module: $module, version: 1) { keyId } }";
    let key = client.query(query, json!({ "module": module })).await;
    key["key"]["keyId"].as_str().unwrap().to_owned()
}

/// Asks for it with a key of a module, as far as it is about one.
async fn ask(client: &Client, operation: &str, (module, key): (&str, &str)) -> Value {
    let right: Right = operation.parse().unwrap();
    let object = match right {
        Right::Export => Some(format!("{key}/{}", "0".repeat(64))),
        Right::Import | Right::RotateRoot => None,
        _ => Some(key.to_owned()),
    };
    let module = right.is_of_a_module().then_some(module);
    ask_for(client, operation, module, object.as_deref()).await
}

async fn ask_for(client: &Client, operation: &str, module: Option<&str>, object: Option<&str>) -> Value {
    let input =
        json!({ "operation": operation, "module": module, "object": object, "reason": "It is time." });
    client.try_mutate("requestKeyApproval", input, FIELDS).await
}

async fn answer(client: &Client, mutation: &str, id: &Value) -> Value {
    client.try_mutate(mutation, json!({ "approvalId": id }), FIELDS).await
}

fn allowed(approval: &Value) -> Vec<&str> {
    let actions = approval["actions"].as_array().unwrap().iter();
    actions.filter(|one| one["allowed"] == true).map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_that_needs_two_people_is_approved_by_another_than_who_asked() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let asks = pair.provider.person("asks", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;
        let key = module(&asks, "papers").await;
        let mut two = 0;
        for operation in KeyOperation::ALL {
            let right: Right = operation.as_str().parse().unwrap();
            let asked = ask(&asks, operation.as_str(), ("papers", &key)).await;
            if !right.needs_two() {
                assert!(asked["keyApproval"].is_null(), "{operation} needs nobody: {asked:#}");
                continue;
            }
            two += 1;
            let approval = &asked["keyApproval"];
            assert_eq!(approval["state"], "PENDING", "{asked:#}");
            assert_eq!(allowed(approval), ["withdrawKeyApproval"], "by who asked");
            let id = &approval["id"];
            let own = answer(&asks, "giveKeyApproval", id).await;
            assert_eq!(own["refusal"]["code"], "SECOND_PERSON_REQUIRED", "{operation}: {own:#}");
            let given = answer(&other, "giveKeyApproval", id).await;
            assert_eq!(given["keyApproval"]["state"], "APPROVED", "{operation}: {given:#}");
            let again = answer(&other, "giveKeyApproval", id).await;
            assert_eq!(again["refusal"]["code"], "WRONG_STATE", "{again:#}");
        }
        assert_eq!(two, keyservice::approval::NEEDS_TWO.iter().count());
        let noted = "audit where operation in ('key.approval.request', 'key.approval.give')";
        assert_eq!(pair.provider.rows(noted).await, 2 * two as i64, "each step is in the audit trail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_refused_with_a_reason_withdrawn_by_who_asked_and_expires_by_itself() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let asks = pair.provider.person("asks", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let key = module(&asks, "papers").await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let asked = ask(&asks, "DESTROY", ("papers", &key)).await;
            ids.push(asked["keyApproval"]["id"].clone());
        }
        let input = json!({ "approvalId": ids[0], "reason": " " });
        let bare = other.try_mutate("refuseKeyApproval", input, FIELDS).await;
        assert_eq!(bare["refusal"]["field"], "reason", "{bare:#}");
        let input = json!({ "approvalId": ids[0], "reason": "It is still needed." });
        let refused = other.mutate("refuseKeyApproval", input, FIELDS).await;
        assert_eq!(refused["keyApproval"]["state"], "REFUSED");
        assert_eq!(refused["keyApproval"]["answer"], "It is still needed.");
        assert_eq!(refused["keyApproval"]["answeredBy"]["name"], "A Person");

        let by_other = answer(&other, "withdrawKeyApproval", &ids[1]).await;
        assert_eq!(by_other["refusal"]["reason"], "OTHERS_REQUEST", "{by_other:#}");
        let by_auditor = answer(&auditor, "giveKeyApproval", &ids[1]).await;
        assert_eq!(by_auditor["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{by_auditor:#}");
        answer(&other, "giveKeyApproval", &ids[1]).await;
        let withdrawn = answer(&asks, "withdrawKeyApproval", &ids[1]).await;
        assert_eq!(
            withdrawn["keyApproval"]["state"], "WITHDRAWN",
            "also after it was approved: {withdrawn:#}"
        );

        pair.advance(3 * 24 * 3_600).await;
        // Their sessions ended meanwhile.
        other.sign_in("other@provider.example.com", PASSWORD).await;
        auditor.sign_in("auditor@provider.example.com", PASSWORD).await;
        let late = answer(&other, "giveKeyApproval", &ids[2]).await;
        assert_eq!(late["refusal"]["reason"], "EXPIRED", "{late:#}");
        let list =
            "query($state: KeyApprovalState) { keyApprovals(state: $state) { edges { node { id state } } } }";
        for (state, id) in [("REFUSED", &ids[0]), ("WITHDRAWN", &ids[1]), ("EXPIRED", &ids[2])] {
            let found = auditor.query(list, json!({ "state": state })).await;
            let expected = json!([{ "node": { "id": id, "state": state } }]);
            assert_eq!(found["keyApprovals"]["edges"], expected, "{state}");
        }
        pair.advance(3_600).await;
        let expired = "audit where operation = 'key.approval.expire'";
        assert_eq!(pair.provider.rows(expired).await, 1, "that it expired is in the audit trail, once");
        for operation in ["refuse", "withdraw"] {
            let noted = format!("audit where operation = 'key.approval.{operation}' and result = 'OK'");
            assert_eq!(pair.provider.rows(&noted).await, 1, "{operation} is, too");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_administers_the_application_neither_asks_nor_sees_nor_approves() {
    let pair = Pair::start(Database::available()[0]).await;
    let admin = pair.provider_admin().await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let key = module(&manager, "papers").await;
    let asked = ask(&admin, "DESTROY", ("papers", &key)).await;
    assert_eq!(asked["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{asked:#}");
    let id = ask(&manager, "DESTROY", ("papers", &key)).await["keyApproval"]["id"].clone();
    let given = answer(&admin, "giveKeyApproval", &id).await;
    assert_eq!(given["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{given:#}");
    let list = admin.query("{ keyApprovals { edges { node { id } } } }", json!({})).await;
    assert_eq!(list["keyApprovals"]["edges"], json!([]), "{list}");
    for query in ["keyApproval(id: $id) { id }", "node(id: $id) { id }"] {
        let query = format!("query($id: ID!) {{ found: {query} }}");
        let hidden = admin.query(&query, json!({ "id": id })).await;
        assert!(hidden["found"].is_null(), "what may not be seen looks like what does not exist: {hidden}");
        let seen = manager.query(&query, json!({ "id": id })).await;
        assert_eq!(seen["found"]["id"], id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_asked_twice_under_one_key_is_one_request() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let key = module(&manager, "papers").await;
    let input = json!({ "operation": "DESTROY", "module": "papers", "object": key, "reason": "Old.",
        "idempotencyKey": "one" });
    let first = manager.mutate("requestKeyApproval", input.clone(), "keyApproval { id }").await;
    let second = manager.mutate("requestKeyApproval", input, "keyApproval { id }").await;
    assert_eq!(first, second);
    assert_eq!(pair.provider.rows("key_approval").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_roles_are_given_by_another_and_work_at_once() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        // The first key administrator is made on the host.
        let granter = pair.provider.person("granter", &[Role::KeyAdmin, Role::Admin]).await;
        let admin = pair.provider_admin().await;
        let later = pair.provider.person("later", &[]).await;
        let me = |client| async move {
            let viewer = Client::query(client, "{ viewer { id } }", json!({})).await;
            viewer["viewer"]["id"].clone()
        };
        let (granter_id, later_id) = (me(&granter).await, me(&later).await);
        let grant = |id: &Value, role: &str| json!({ "userId": id, "role": role });
        let fields = "user { id }";

        for role in Role::ALL.iter().filter(|role| role.is_key_role()) {
            let by_admin = admin.try_mutate("grantRole", grant(&later_id, role.as_str()), fields).await;
            assert_eq!(by_admin["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{role}: {by_admin:#}");
            let own = granter.try_mutate("grantRole", grant(&granter_id, role.as_str()), fields).await;
            assert_eq!(own["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{role}: {own:#}");
        }
        let modules = "{ keyModules { edges { node { name } } } }";
        let before = later.raw(modules, json!({})).await;
        assert_eq!(before["errors"][0]["extensions"]["code"], "FORBIDDEN", "{before}");
        granter.mutate("grantRole", grant(&later_id, "KEY_AUDITOR"), fields).await;
        assert!(later.query(modules, json!({})).await["keyModules"]["edges"].is_array(), "at once");
        granter.mutate("revokeRole", grant(&later_id, "KEY_AUDITOR"), fields).await;
        let after = later.raw(modules, json!({})).await;
        assert_eq!(after["errors"][0]["extensions"]["code"], "FORBIDDEN", "at once: {after}");
        let noted = "audit where operation in ('key.role.grant', 'key.role.revoke')";
        assert_eq!(pair.provider.rows(noted).await, 3, "on the host, by the granter, and taken back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_approval_of_what_can_never_be_done() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let (key, other) = (module(&manager, "papers").await, module(&manager, "letters").await);
    let stays = json!({ "name": "stays", "purpose": "SIGNING", "algorithm": "Ed25519" });
    manager.mutate("createKeyModule", stays, "keyModule { name }").await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        manager.mutate(verb, json!({ "module": "stays" }), "keyModule { name }").await;
    }
    let (data, staying) = (key_of(&manager, "data").await, key_of(&manager, "stays").await);
    let to = |key: &str| format!("{key}/{}", "0aF".repeat(22)[..64].to_owned());
    let (export, staying) = (to(&key), to(&staying));
    for (operation, module, object, field, reason) in [
        ("DESTROY", Some("data"), Some(data.as_str()), "module", Some("BUILT_IN")),
        ("OPEN_COMPROMISED", Some("data"), Some(&data), "module", Some("BUILT_IN")),
        ("IMPORT", Some("links"), None, "module", Some("BUILT_IN")),
        ("EXPORT", Some("data"), Some(&to(&data)), "module", Some("BUILT_IN")),
        ("EXPORT", Some("stays"), Some(&staying), "module", Some("NOT_EXPORTABLE")),
        ("DESTROY", Some("papers"), None, "object", None),
        ("DESTROY", Some("papers"), Some("the old key"), "object", None),
        ("DESTROY", Some("papers"), Some(&other), "object", None),
        ("DESTROY", Some("papers"), Some(&export), "object", None),
        ("OPEN_COMPROMISED", Some("papers"), Some(&other), "object", None),
        ("EXPORT", Some("papers"), Some(&key), "object", None),
        ("EXPORT", Some("papers"), Some(&export[..100]), "object", None),
        ("EXPORT", Some("papers"), Some(&to(&other)), "object", None),
        ("IMPORT", Some("papers"), Some(&key), "object", None),
        ("ROTATE_ROOT", None, Some(&key), "object", None),
    ] {
        let refused = ask_for(&manager, operation, module, object).await["refusal"].clone();
        assert_eq!(refused["code"], "INVALID_INPUT", "{operation} {module:?} {object:?}: {refused:#}");
        assert_eq!((&refused["field"], &refused["reason"]), (&json!(field), &json!(reason)), "{refused:#}");
    }
    assert_eq!(pair.provider.rows("key_approval").await, 0);
    // However it is written, it is the key that the verb is going to compare.
    for (operation, object) in [("DESTROY", &key), ("EXPORT", &export)] {
        let asked = ask_for(&manager, operation, Some("papers"), Some(&object.to_uppercase())).await;
        assert_eq!(asked["keyApproval"]["object"], object.to_lowercase(), "{asked:#}");
    }
}

async fn me(client: &Client) -> Value {
    client.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_of_the_application_becomes_no_key_manager() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let admin = pair.provider_admin().await;
        let both = provider.person("both", &[Role::Admin, Role::KeyAdmin]).await;
        let manager = provider.person("manager", &[Role::KeyManager]).await;
        let manager_id = me(&manager).await;

        let input = json!({ "userId": manager_id, "password": "chosen by an administrator" });
        for client in [&admin, &both] {
            let taken = client.try_mutate("setPassword", input.clone(), "done").await;
            assert_eq!(taken["refusal"]["reason"], "KEY_ROLE", "{taken:#}");
        }
        assert_eq!(me(&manager).await, manager_id, "their session goes on");

        let user = |name: &str, password: Option<&str>, roles: &[&str]| {
            let email = format!("{name}@provider.example.com");
            json!({ "email": email, "name": name, "password": password, "roles": roles })
        };
        let made = both.try_mutate("createUser", user("a", None, &["KEY_MANAGER"]), "user { id }").await;
        assert_eq!(made["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{made:#}");
        let grant = |made: &Value| json!({ "userId": made["user"]["id"], "role": "KEY_MANAGER" });
        for password in [None, Some(PASSWORD)] {
            let name = if password.is_some() { "puppet" } else { "straw" };
            let puppet = both.mutate("createUser", user(name, password, &["VIEWER"]), "user { id }").await;
            let own = both.try_mutate("grantRole", grant(&puppet), "user { id }").await;
            assert_eq!(own["refusal"]["field"], "userId", "{own:#}");
        }
        let input = user("colleague", Some("chosen by an administrator"), &[]);
        let colleague = admin.mutate("createUser", input, "user { id }").await;
        let known = both.try_mutate("grantRole", grant(&colleague), "user { id }").await;
        assert!(known["refusal"]["message"].as_str().unwrap().contains("one of their own"), "{known:#}");
        let person = provider.client();
        person.sign_in("colleague@provider.example.com", "chosen by an administrator").await;
        person.mutate("setPassword", json!({ "password": PASSWORD }), "done").await;
        both.mutate("grantRole", grant(&colleague), "user { id }").await;

        let switch = |active: bool| json!({ "userId": manager_id, "active": active });
        admin.mutate("updateUser", switch(false), "user { id }").await;
        let revived = admin.try_mutate("updateUser", switch(true), "user { id }").await;
        assert_eq!(revived["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{revived:#}");
        both.mutate("updateUser", switch(true), "user { id }").await;
        let auditor = provider.person("auditor", &[Role::KeyAuditor]).await;
        let read = "{ auditLog { edges { node { operation } } } }";
        let log = auditor.query(read, json!({})).await["auditLog"]["edges"].clone();
        let noted =
            log.as_array().unwrap().iter().filter(|one| one["node"]["operation"] == "key.account.update");
        assert_eq!(noted.count(), 2, "key auditors see what is done to who holds key roles: {log:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_rights_or_is_for_two_people_asks_for_a_person_who_is_there() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let roles = [Role::Admin, Role::KeyAdmin, Role::KeyManager];
        let person = pair.provider.person("person", &roles).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;
        let made = person.mutate("createAccessToken", json!({ "name": "ci", "days": 1 }), "secret").await;
        let program = pair.provider.client().with_token(made["secret"].as_str().unwrap());
        let draft = json!({ "name": "signatures", "purpose": "SIGNING", "algorithm": "Ed25519" });
        let module = json!({ "module": "signatures" });
        person.mutate("createKeyModule", draft, "keyModule { name }").await;
        person.mutate("publishKeyModule", module.clone(), "keyModule { name }").await;
        person.mutate("rotateKeyModule", module.clone(), "keyModule { name }").await;
        let key = key_of(&person, "signatures").await;
        let asked = ask(&other, "DESTROY", ("signatures", &key)).await["keyApproval"]["id"].clone();
        let own = json!({ "operation": "ROTATE_ROOT", "reason": "It is time." });
        let own = person.mutate("requestKeyApproval", own, "keyApproval { id }").await["keyApproval"].clone();
        other.mutate("giveKeyApproval", json!({ "approvalId": own["id"] }), "keyApproval { id }").await;
        let key = |reason: Option<&str>| {
            let mut key = json!({ "module": "signatures", "version": 1 });
            if let Some(reason) = reason {
                key["reason"] = reason.into();
            }
            key
        };
        let suspend = program.mutate("suspendKey", key(Some("An alarm.")), "key { state }").await;
        assert_eq!(suspend["key"]["state"], "SUSPENDED", "a program takes a key out of use: {suspend:#}");
        let terms = json!({ "effect": "TRACK", "principal": { "kind": "SERVICE", "service": "PEER" },
            "operations": ["SIGN"], "note": "A test." });
        let policy = json!({ "module": "signatures", "terms": terms });
        let policy = person.mutate("createAccessPolicy", policy, "accessPolicy { id }").await;
        let policy = policy["accessPolicy"]["id"].clone();
        let user = me(&other).await;
        let people_alone = [
            ("giveKeyApproval", json!({ "approvalId": asked })),
            ("refuseKeyApproval", json!({ "approvalId": asked, "reason": "No." })),
            ("rotateRootKey", json!({ "approvalId": own["id"] })),
            ("resumeKey", key(None)),
            ("createKeyModule", json!({ "name": "more", "purpose": "SIGNING", "algorithm": "Ed25519" })),
            ("scheduleKeyModule", json!({ "module": "signatures", "rotationPeriod": 7_200 })),
            ("createAccessPolicy", json!({ "module": "signatures", "terms": terms })),
            ("updateAccessPolicy", json!({ "accessPolicyId": policy, "terms": terms })),
            ("deleteAccessPolicy", json!({ "accessPolicyId": policy })),
            ("grantRole", json!({ "userId": user, "role": "KEY_AUDITOR" })),
            ("revokeRole", json!({ "userId": user, "role": "KEY_MANAGER" })),
            ("createUser", json!({ "email": "n@provider.example.com", "name": "N", "roles": ["ADMIN"] })),
            (
                "createUser",
                json!({ "email": "n@provider.example.com", "name": "N", "password": PASSWORD, "roles": [] }),
            ),
        ];
        let before = pair.provider.rows("audit where actor like 'user:%'").await;
        for (verb, input) in &people_alone {
            let refused = program.try_mutate(verb, input.clone(), "__typename").await;
            assert_eq!(refused["refusal"]["code"], "PERSON_REQUIRED", "{verb} by a program: {refused:#}");
        }
        pair.clock.advance(SIX_MINUTES);
        for (verb, input) in people_alone.iter().chain(&[("rotateKeyModule", module.clone())]) {
            let refused = person.try_mutate(verb, input.clone(), "__typename").await;
            assert_eq!(
                refused["refusal"]["code"], "STEP_UP_REQUIRED",
                "{verb} after six minutes: {refused:#}"
            );
        }
        assert_eq!(pair.provider.rows("audit where actor like 'user:%'").await, before, "nothing was done");
        let rotated = program.mutate("rotateKeyModule", module, "keyModule { versions { version } }").await;
        assert_eq!(rotated["keyModule"]["versions"][0]["version"], 2, "a program rotates: {rotated:#}");
    }
}

/// What no seal covers: the id is how a request is found, and the expiry is for finding those that time ended, which is
/// computed from the rest whenever it counts.
const UNSEALED: [&str; 2] = ["id", "expires_at"];

/// What somebody may write into a request, with its state as it was.
const EDITS: &[(&str, &str)] = &[
    ("operation", "'EXPORT'"),
    ("module", "'links'"),
    ("object", "'another key'"),
    ("reason", "'another'"),
    ("asked_by", "answered_by"),
    ("asked_at", "asked_at - 604800000"),
    ("asked_at", "9000000000000000000"),
    ("state", "'PENDING'"),
    ("state", "'USED'"),
    ("answered_by", "id"),
    ("answered_at", "answered_at + 1"),
    ("answer", "'Yes.'"),
    ("ended_at", "asked_at"),
    ("revision", "revision + 1"),
    ("revision", "revision - 1"),
    ("seal", "null"),
    ("seal", "(select row_seal from key_version where module = 'data')"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_to_the_database_is_no_second_person() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let asks = provider.person("asks", &[Role::KeyManager]).await;
        let other = provider.person("other", &[Role::KeyManager]).await;
        let key = module(&asks, "papers").await;
        let id = ask(&asks, "DESTROY", ("papers", &key)).await["keyApproval"]["id"].clone();
        provider.tamper("create table asked as select * from key_approval").await;
        answer(&other, "giveKeyApproval", &id).await;
        provider.tamper("create table kept as select * from key_approval").await;
        let back = ["delete from key_approval", "insert into key_approval select * from kept"];
        let input = json!({ "approvalId": id, "reason": "No." });
        for column in provider.columns(database, "key_approval").await {
            let tried = EDITS.iter().any(|(edited, _)| *edited == column) || UNSEALED.contains(&&*column);
            assert!(tried, "nobody tries to change {column}");
        }
        for (column, value) in EDITS {
            provider.tamper(&format!("update key_approval set {column} = {value}")).await;
            let done = other.try_mutate("refuseKeyApproval", input.clone(), FIELDS).await;
            assert_eq!(done["refusal"]["reason"], "INTEGRITY_KEY", "{column} = {value}: {done:#}");
            for sql in back {
                provider.tamper(sql).await;
            }
        }
        // The row from before it was approved, whose seal is good.
        for sql in ["delete from key_approval", "insert into key_approval select * from asked"] {
            provider.tamper(sql).await;
        }
        let done = other.try_mutate("refuseKeyApproval", input.clone(), FIELDS).await;
        assert_eq!(done["refusal"]["reason"], "INTEGRITY_KEY", "an older row: {done:#}");
        for sql in back {
            provider.tamper(sql).await;
        }
        let refused = other.mutate("refuseKeyApproval", input, FIELDS).await;
        assert_eq!(refused["keyApproval"]["state"], "REFUSED", "also after it was approved: {refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_used_once_and_only_while_who_gave_it_may_approve() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let granter = provider.person("granter", &[Role::KeyAdmin, Role::Admin]).await;
        let asks = provider.person("asks", &[Role::KeyManager]).await;
        let other = provider.person("other", &[Role::KeyManager]).await;
        let other_id = me(&other).await;
        let request = json!({ "operation": "ROTATE_ROOT", "reason": "It is time." });
        let asked = asks.mutate("requestKeyApproval", request, "keyApproval { id }").await;
        let input = json!({ "approvalId": asked["keyApproval"]["id"] });
        let next = std::path::PathBuf::from(format!(
            "{}.next",
            provider.config.root_key_file.as_ref().unwrap().display()
        ));
        let early = asks.try_mutate("rotateRootKey", input.clone(), FIELDS).await;
        assert_eq!(early["refusal"]["reason"], "PENDING", "{early:#}");
        other.mutate("giveKeyApproval", input.clone(), FIELDS).await;

        let role = json!({ "userId": other_id, "role": "KEY_MANAGER" });
        granter.mutate("revokeRole", role.clone(), "user { id }").await;
        let gone = asks.try_mutate("rotateRootKey", input.clone(), FIELDS).await;
        assert_eq!(gone["refusal"]["reason"], "APPROVER_GONE", "{gone:#}");
        granter.mutate("grantRole", role, "user { id }").await;
        for active in [false, true] {
            let account = json!({ "userId": other_id, "active": active });
            granter.mutate("updateUser", account, "user { id }").await;
            if !active {
                let gone = asks.try_mutate("rotateRootKey", input.clone(), FIELDS).await;
                assert_eq!(gone["refusal"]["reason"], "APPROVER_GONE", "{gone:#}");
            }
        }
        assert!(!next.exists(), "nothing was made for whoever had no approval");

        provider.tamper("create table kept as select * from key_approval").await;
        let done = asks.mutate("rotateRootKey", input.clone(), FIELDS).await;
        assert_eq!(done["keyApproval"]["state"], "USED", "{done:#}");
        for sql in ["delete from key_approval", "insert into key_approval select * from kept"] {
            provider.tamper(sql).await;
        }
        let twice = asks.try_mutate("rotateRootKey", input, FIELDS).await;
        assert_eq!(twice["refusal"]["reason"], "INTEGRITY_KEY", "an approval that was put back: {twice:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_role_that_the_audit_trail_does_not_know_of_gives_nothing() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let provider = &pair.provider;
        let granter = provider.person("granter", &[Role::KeyAdmin, Role::Admin]).await;
        let manager = provider.person("manager", &[Role::KeyManager]).await;
        let viewer = provider.person("viewer", &[Role::Viewer]).await;
        let modules = "{ keyModules { edges { node { name } } } }";
        provider.tamper("create table kept as select * from account_role").await;
        let insert = "insert into account_role select a.id, 'KEY_MANAGER', 'system', 1 from account a \
            where a.email = 'viewer@provider.example.com'";
        provider.tamper(insert).await;
        let refused = viewer.raw(modules, json!({})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "written by hand: {refused}");

        let role = json!({ "userId": me(&manager).await, "role": "KEY_MANAGER" });
        granter.mutate("revokeRole", role.clone(), "user { id }").await;
        for sql in ["delete from account_role", "insert into account_role select * from kept"] {
            provider.tamper(sql).await;
        }
        let refused = manager.raw(modules, json!({})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "put back: {refused}");
        granter.mutate("grantRole", role, "user { id }").await;
        assert!(manager.query(modules, json!({})).await["keyModules"]["edges"].is_array(), "granted again");
    }
}

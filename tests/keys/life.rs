//! What people do with key modules and keys.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Stage, nodes};

const MODULE: &str = "keyModule { name revision state algorithm rotationPeriod versions { version state reason } \
    actions { name allowed } }";
const VERSIONS: &str = "{ keys(module: \"signatures\") { edges { node { version state } } } }";
const KEY: &str = "key { id module version state reason actions { name allowed } }";

fn draft(name: &str, purpose: &str, algorithm: &str) -> Value {
    json!({ "name": name, "purpose": purpose, "algorithm": algorithm })
}

/// A published module with a key in use.
async fn module(manager: &Client, name: &str) {
    manager.mutate("createKeyModule", draft(name, "SIGNING", "Ed25519"), MODULE).await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        manager.mutate(verb, json!({ "module": name }), MODULE).await;
    }
}

fn states(payload: &Value) -> Vec<(u64, &str)> {
    let versions = payload["keyModule"]["versions"].as_array().unwrap().iter();
    versions.map(|one| (one["version"].as_u64().unwrap(), one["state"].as_str().unwrap())).collect()
}

fn allowed(thing: &Value) -> Vec<&str> {
    let actions = thing["actions"].as_array().unwrap().iter();
    actions.filter(|one| one["allowed"] == true).map(|one| one["name"].as_str().unwrap()).collect()
}

async fn change(client: &Client, verb: &str, version: u64, reason: Option<&str>) -> Value {
    let mut input = json!({ "module": "signatures", "version": version });
    if let Some(reason) = reason {
        input["reason"] = reason.into();
    }
    client.try_mutate(verb, input, KEY).await
}

async fn usable(client: &Client, approval: &Value) -> bool {
    let query = "query($id: ID!) { keyApproval(id: $id) { viewerCanUse } }";
    client.query(query, json!({ "id": approval })).await["keyApproval"]["viewerCanUse"] == true
}

/// Two people edit the same draft; answers its revision afterwards.
async fn nobody_overwrites_what_another_changed(one: &Client, other: &Client, read: &Value) -> Value {
    let fields = "keyModule { revision rotationPeriod }";
    let input = |revision: &Value, period: i64| json!({ "module": "signatures", "rotationPeriod": period, "expectedRevision": revision });
    let first = &read["revision"];
    let theirs = other.mutate("specifyKeyModule", input(first, 7_200), fields).await["keyModule"].clone();
    for verb in ["specifyKeyModule", "scheduleKeyModule"] {
        let late = one.try_mutate(verb, input(first, 3_600), fields).await;
        assert_eq!(late["refusal"]["code"], "CONFLICT", "{verb}: {late:#}");
    }
    let publish = json!({ "module": "signatures", "expectedRevision": first });
    let late = one.try_mutate("publishKeyModule", publish, fields).await;
    assert_eq!(late["refusal"]["code"], "CONFLICT", "{late:#}");
    let kept = one.query("{ keyModule(name: \"signatures\") { rotationPeriod revision } }", json!({})).await;
    assert_eq!(kept["keyModule"], json!({ "rotationPeriod": 7_200, "revision": theirs["revision"] }));
    let next = one.mutate("scheduleKeyModule", input(&theirs["revision"], 3_600), fields).await;
    // A rotation that comes by itself is none of what follows.
    let never = json!({ "module": "signatures", "expectedRevision": next["keyModule"]["revision"] });
    one.mutate("specifyKeyModule", never, fields).await["keyModule"]["revision"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_goes_from_draft_to_published_and_its_key_through_its_whole_life() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;

        let made = manager.mutate("createKeyModule", draft("signatures", "SIGNING", "es256"), MODULE).await;
        assert_eq!(made["keyModule"]["state"], "DRAFT");
        assert_eq!(made["keyModule"]["algorithm"], "ECDSA-P256-SHA256");
        let able = allowed(&made["keyModule"]);
        assert_eq!(able, ["specifyKeyModule", "scheduleKeyModule", "publishKeyModule", "createAccessPolicy"]);
        let named = json!({ "module": "signatures" });
        let early = manager.try_mutate("rotateKeyModule", named.clone(), MODULE).await;
        assert_eq!(early["refusal"]["reason"], "DRAFT", "{early:#}");
        let read = nobody_overwrites_what_another_changed(&manager, &other, &made["keyModule"]).await;
        let publish = json!({ "module": "signatures", "expectedRevision": read });
        manager.mutate("publishKeyModule", publish, MODULE).await;
        let late = manager.try_mutate("specifyKeyModule", named.clone(), MODULE).await;
        assert_eq!(late["refusal"]["reason"], "PUBLISHED", "{late:#}");

        manager.mutate("rotateKeyModule", named.clone(), MODULE).await;
        let rotated = manager.mutate("rotateKeyModule", named, MODULE).await;
        assert_eq!(states(&rotated), [(2, "ACTIVE"), (1, "DEACTIVATED")]);

        let silent = change(&manager, "suspendKey", 2, Some("  ")).await;
        assert_eq!(silent["refusal"]["field"], "reason", "{silent:#}");
        let suspended = change(&manager, "suspendKey", 2, Some("A laptop was lost.")).await;
        assert_eq!(suspended["key"]["reason"], "A laptop was lost.", "{suspended:#}");
        let leads_on = ["resumeKey", "deactivateKey", "revokeKey", "markKeyCompromised"];
        assert_eq!(allowed(&suspended["key"]), leads_on);
        let resumed = change(&manager, "resumeKey", 2, None).await;
        assert_eq!(resumed["key"]["state"], "ACTIVE", "{resumed:#}");
        let again = change(&manager, "resumeKey", 2, None).await;
        assert_eq!(again["refusal"]["code"], "WRONG_STATE", "{again:#}");
        change(&manager, "suspendKey", 2, Some("It is lost again.")).await;
        let retired = change(&manager, "deactivateKey", 2, None).await;
        assert_eq!(retired["key"]["state"], "DEACTIVATED", "{retired:#}");
        assert_eq!(allowed(&retired["key"]), ["markKeyCompromised", "destroyKey"]);
        let twice = change(&manager, "deactivateKey", 2, None).await;
        assert_eq!(twice["refusal"]["code"], "WRONG_STATE", "{twice:#}");
        assert_eq!(pair.provider.rows("audit where operation = 'key.deactivate'").await, 1);
        let input = json!({ "module": "identity", "version": 1 });
        let own = manager.try_mutate("deactivateKey", input, KEY).await;
        assert_eq!(own["refusal"]["reason"], "BUILT_IN", "{own:#}");
        let input = json!({ "module": "signatures" });
        let rotated = manager.mutate("rotateKeyModule", input, MODULE).await;
        assert_eq!(states(&rotated), [(3, "ACTIVE"), (2, "DEACTIVATED"), (1, "DEACTIVATED")]);
        let revoked = change(&manager, "revokeKey", 3, Some("It was found.")).await;
        assert_eq!(revoked["key"]["state"], "REVOKED", "{revoked:#}");
        let known = change(&manager, "markKeyCompromised", 1, Some("It was published.")).await;
        assert_eq!(known["key"]["state"], "COMPROMISED", "{known:#}");

        let request = json!({ "operation": "DESTROY", "module": "signatures",
            "object": known["key"]["id"], "reason": "Nobody needs it." });
        let asked = manager.mutate("requestKeyApproval", request, "keyApproval { id }").await;
        let approval = asked["keyApproval"]["id"].clone();
        other.mutate("giveKeyApproval", json!({ "approvalId": approval }), "keyApproval { state }").await;
        assert!(!usable(&manager, &approval).await, "before its time");
        let destroy =
            |version: u64| json!({ "module": "signatures", "version": version, "approvalId": approval });
        let early = manager.try_mutate("destroyKey", destroy(1), KEY).await;
        assert_eq!(early["refusal"]["reason"], "TOO_EARLY", "{early:#}");
        pair.advance(7 * 24 * 3_600 + 60).await;
        manager.sign_in("manager@provider.example.com", PASSWORD).await;
        let another = manager.try_mutate("destroyKey", destroy(2), KEY).await;
        assert_eq!(another["refusal"]["reason"], "SOMETHING_ELSE", "{another:#}");
        other.sign_in("other@provider.example.com", PASSWORD).await;
        assert!(usable(&manager, &approval).await && !usable(&other, &approval).await);
        let gone = manager.mutate("destroyKey", destroy(1), KEY).await;
        assert_eq!(gone["key"]["state"], "DESTROYED", "{gone:#}");
        assert!(allowed(&gone["key"]).is_empty());
        assert_eq!(
            pair.provider.rows("key_version where state = 'DESTROYED' and length(wrapped) = 0").await,
            1
        );
        let twice = manager.try_mutate("destroyKey", destroy(1), KEY).await;
        assert_eq!(twice["refusal"]["code"], "WRONG_STATE", "{twice:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_weak_or_cannot_be_is_refused_with_the_field_and_the_reason() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    for (name, purpose, algorithm, field, said) in [
        ("a", "SIGNING", "RS256", "algorithm", "RSA"),
        ("a", "SEALING", "AES-128-GCM", "algorithm", "shorter than 256 bits"),
        ("a", "SIGNING", "A256GCM", "algorithm", "does not do what the module is for"),
        ("a", "IDENTITY_SIGNING", "Ed25519", "purpose", "SEALING, SIGNING or AUTHENTICATION"),
        ("links", "SEALING", "A256GCM", "name", "built-in"),
        ("A", "SEALING", "A256GCM", "name", "characters"),
    ] {
        let refused = manager.try_mutate("createKeyModule", draft(name, purpose, algorithm), MODULE).await;
        assert_eq!(refused["refusal"]["field"], field, "{name} {purpose} {algorithm}: {refused:#}");
        assert!(refused["refusal"]["message"].as_str().unwrap().contains(said), "{refused:#}");
    }
    let mut short = draft("a", "SEALING", "A256GCM");
    short["rotationPeriod"] = 60.into();
    let refused = manager.try_mutate("createKeyModule", short, MODULE).await;
    assert_eq!(refused["refusal"]["field"], "rotationPeriod", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_what_it_is_for_and_an_administrator_nothing() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
    let admin = pair.provider_admin().await;
    module(&manager, "signatures").await;
    let rotated = operator.mutate("rotateKeyModule", json!({ "module": "signatures" }), MODULE).await;
    assert_eq!(allowed(&rotated["keyModule"]), ["rotateKeyModule"]);
    let refused = change(&operator, "suspendKey", 2, Some("No.")).await;
    assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
    // A denial is a decision like any other.
    let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
    let why = crate::key_policies::explain(&auditor, &refused["refusal"]["reason"]).await;
    assert_eq!((&why["module"], &why["operation"]), (&json!("signatures"), &json!("SUSPEND")), "{why:#}");
    assert!(why["explanation"].as_str().unwrap().contains("no key role"), "{why:#}");
    assert_eq!(why["principal"]["kind"], "PERSON", "{why:#}");
    let named = json!({ "module": "\u{0}".repeat(200), "version": 1 });
    let refused = operator.try_mutate("resumeKey", named, KEY).await;
    let why = crate::key_policies::explain(&auditor, &refused["refusal"]["reason"]).await;
    assert_eq!(why["module"], "", "what no module is called is not kept: {refused:#}");
    let input = json!({ "module": "signatures", "version": 2, "reason": "Old." });
    assert_eq!(operator.mutate("revokeKey", input, KEY).await["key"]["state"], "REVOKED");
    let refused = admin.try_mutate("createKeyModule", draft("b", "SIGNING", "Ed25519"), MODULE).await;
    assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
    for (own, reason) in [("identity", "BUILT_IN"), ("links", "EXCHANGE")] {
        let refused = manager.try_mutate("rotateKeyModule", json!({ "module": own }), MODULE).await;
        assert_eq!(refused["refusal"]["reason"], reason, "{own}: {refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_with_a_period_rotates_by_itself() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        module(&manager, "signatures").await;
        let input = json!({ "module": "signatures", "rotationPeriod": 7_200 });
        manager.mutate("scheduleKeyModule", input, MODULE).await;
        for _ in 0..3 {
            pair.advance(3_600).await;
        }
        manager.sign_in("manager@provider.example.com", PASSWORD).await;
        let found = manager.query(VERSIONS, json!({})).await;
        let expected = json!([{ "version": 2, "state": "ACTIVE" }, { "version": 1, "state": "DEACTIVATED" }]);
        assert_eq!(json!(nodes(&found["keys"])), expected);
    }
}

async fn outbound(client: &Client, connection: &str) -> Value {
    let query = "query($id: ID!) { connection(id: $id) { keyModule outbound { status \
        cause { code reason detail } } } }";
    client.query(query, json!({ "id": connection })).await["connection"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_key_of_a_connection_shows_on_both_sides_and_an_older_row_does_not_revive_it() {
    for database in Database::available() {
        let (stage, consumer, there) = Stage::onboarded(database).await;
        let pair = &stage.pair;
        let here = stage.providers_connection().await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let name = outbound(&stage.provider, &here).await["keyModule"].clone();
        pair.provider.tamper("create table before as select * from key_version").await;

        let query = "query($module: String!) { keys(module: $module) { edges { node { version } } } }";
        let keys = nodes(&manager.query(query, json!({ "module": name })).await["keys"]);
        let version = keys[0]["version"].clone();
        let input = json!({ "module": name, "version": version, "reason": "A backup was stolen." });
        let suspended = manager.mutate("suspendKey", input, KEY).await;
        assert_eq!(suspended["key"]["state"], "SUSPENDED");
        for _ in 0..4 {
            pair.advance(6).await;
        }
        let ours = outbound(&stage.provider, &here).await["outbound"].clone();
        assert_eq!(ours["status"], "DOWN", "{ours:#}");
        let theirs = outbound(&consumer, &there).await["outbound"].clone();
        assert_eq!(theirs["cause"]["code"], "KEY_SERVICE_UNHEALTHY", "{theirs:#}");
        assert_eq!(theirs["cause"]["reason"], "KEY_SUSPENDED", "{theirs:#}");
        for cause in [&ours["cause"], &theirs["cause"]] {
            assert!(cause["detail"].as_str().unwrap().contains("A backup was stolen."), "{cause:#}");
        }

        // The row from before, whose seal is good: nothing is done with it, and it is named.
        let put_back = "delete from key_version; insert into key_version select * from before";
        pair.provider.tamper("create table after as select * from key_version").await;
        pair.provider.tamper(put_back).await;
        let part = super::tamper::part(&manager, "INTEGRITY_KEY").await;
        assert_eq!(part["code"], "ROLLED_BACK", "{part}");
        for _ in 0..4 {
            pair.advance(6).await;
        }
        for (client, connection) in [(&stage.provider, &here), (&consumer, &there)] {
            let way = outbound(client, connection).await["outbound"].clone();
            assert_eq!(way["status"], "DOWN", "{way:#}");
        }
        pair.provider.tamper("delete from key_version; insert into key_version select * from after").await;

        let input = json!({ "module": name, "version": version });
        manager.mutate("resumeKey", input, KEY).await;
        for seconds in [30, 30, 30, 6, 6, 6, 6, 6] {
            pair.advance(seconds).await;
        }
        for (client, connection) in [(&stage.provider, &here), (&consumer, &there)] {
            let way = outbound(client, connection).await["outbound"].clone();
            assert_eq!(way["status"], "UP", "{way:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_row_of_a_module_with_other_policies_is_found_and_nothing_is_done_with_it() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        module(&manager, "signatures").await;
        pair.provider.tamper("create table before as select * from key_module").await;
        let input = json!({ "module": "signatures", "rotationPeriod": 7_200 });
        manager.mutate("scheduleKeyModule", input, MODULE).await;
        pair.provider.tamper("delete from key_module; insert into key_module select * from before").await;
        let part = super::tamper::part(&manager, "INTEGRITY_KEY").await;
        assert_eq!(part["code"], "ROLLED_BACK", "{part}");
        assert!(part["message"].as_str().unwrap().contains("key module signatures"), "{part}");
        let refused = manager.try_mutate("rotateKeyModule", json!({ "module": "signatures" }), MODULE).await;
        assert_eq!(refused["refusal"]["reason"], "INTEGRITY_KEY", "{refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lives_no_longer_than_its_module_says_however_often_it_is_renewed() {
    let pair = Pair::start(Database::available()[0]).await;
    let operator = pair.provider.person("operator", &[Role::KeyOperator, Role::KeyManager]).await;
    let day = 24 * 3_600;
    let mut short = draft("signatures", "SIGNING", "Ed25519");
    short["keyLifetime"] = (90 * day).into();
    operator.mutate("createKeyModule", short, MODULE).await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        operator.mutate(verb, json!({ "module": "signatures" }), MODULE).await;
    }
    let renew = |until: Value| {
        let input = json!({ "module": "signatures", "version": 1, "expiresAt": until });
        operator.try_mutate("renewKey", input, KEY)
    };
    let now = linkspan::world::Clock::now_ms(pair.clock.as_ref());
    let at = |days: i64| {
        let at = chrono::DateTime::from_timestamp_millis(now + days * day * 1_000).unwrap();
        json!(at.to_rfc3339())
    };
    for until in [Value::Null, at(91), at(36_500)] {
        let refused = renew(until.clone()).await;
        assert_eq!(refused["refusal"]["field"], "expiresAt", "{until}: {refused:#}");
    }
    let renewed = renew(at(89)).await;
    assert_eq!(renewed["key"]["state"], "ACTIVE", "{renewed:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_that_signs_checkpoints_is_taken_out_of_use_only_once_another_took_its_place() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        // The first key for tokens is made when somebody rotates.
        manager.mutate("rotateKeyModule", json!({ "module": "tokens" }), MODULE).await;
        for module in ["audit", "tokens"] {
            let with = |version: u64| json!({ "module": module, "version": version, "reason": "Lost." });
            for verb in ["suspendKey", "revokeKey", "markKeyCompromised"] {
                let refused = manager.try_mutate(verb, with(1), KEY).await;
                assert_eq!(refused["refusal"]["reason"], "ROTATE_FIRST", "{verb} {module}: {refused:#}");
            }
            let soon = json!({ "module": module, "version": 1, "expiresAt": "2999-01-01T00:00:00Z" });
            let refused = manager.try_mutate("renewKey", soon, KEY).await;
            assert_eq!(refused["refusal"]["reason"], "ROTATE_FIRST", "{refused:#}");
            manager.mutate("rotateKeyModule", json!({ "module": module }), MODULE).await;
            let known = manager.mutate("markKeyCompromised", with(1), KEY).await;
            assert_eq!(known["key"]["state"], "COMPROMISED", "{known:#}");
        }
        let before = pair.provider.rows("audit_checkpoint").await;
        for _ in 0..3 {
            pair.advance(120).await;
        }
        assert!(pair.provider.rows("audit_checkpoint").await > before, "checkpoints go on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_was_tampered_with_keeps_no_other_from_rotating() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        for name in ["broken", "missing", "signatures"] {
            module(&manager, name).await;
            let input = json!({ "module": name, "rotationPeriod": 7_200 });
            manager.mutate("scheduleKeyModule", input, MODULE).await;
            // The first is due longest.
            pair.clock.advance(1_000);
        }
        for sql in [
            "update key_module set key_lifetime = 1 where name = 'broken'",
            "update key_version set row_seal = wrapped where module = 'broken'",
            "update key_module set state_seq = 7 where name = 'missing'",
        ] {
            pair.provider.tamper(sql).await;
        }
        for _ in 0..3 {
            pair.advance(3_600).await;
        }
        let versions = |module: &str| format!("key_version where module = '{module}'");
        for (name, count) in [("broken", 1), ("missing", 1), ("signatures", 2)] {
            assert_eq!(pair.provider.rows(&versions(name)).await, count, "{name} on {database:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_undone_leaves_its_keys_revoked_with_the_reason() {
    for database in Database::available() {
        let (stage, wire) = Stage::open_wired(database).await;
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        // Both have their keys, and nothing goes through them.
        wire.answer("/link/v1/message", 503, String::new());
        stage.pair.approve(&consumer, &connection).await;
        let active = "key_version where module like 'links/%' and state = 'ACTIVE'";
        for instance in [&stage.pair.provider, &stage.pair.consumer] {
            assert_eq!(instance.rows(active).await, 1, "{}", instance.name);
        }
        let input = json!({ "connectionId": connection });
        consumer.mutate("cancelOnboarding", input, "connection { state }").await;
        wire.mend();
        stage.pair.settle().await;
        let revoked =
            "key_version where module like 'links/%' and state = 'REVOKED' and reason like '%cancelled%'";
        for instance in [&stage.pair.provider, &stage.pair.consumer] {
            assert_eq!(instance.rows(active).await, 0, "{}", instance.name);
            assert_eq!(instance.rows(revoked).await, 1, "{}", instance.name);
        }
        let auditor = stage.pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let part = super::tamper::part(&auditor, "INTEGRITY_KEY").await;
        assert_eq!(part["status"], "OPERATIONAL", "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_ahead_and_put_into_use_later_by_a_manager() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
        let named = json!({ "module": "signatures" });
        manager.mutate("createKeyModule", draft("signatures", "SIGNING", "Ed25519"), MODULE).await;
        let early = manager.try_mutate("generateKey", named.clone(), MODULE).await;
        assert_eq!(early["refusal"]["reason"], "DRAFT", "{early:#}");
        manager.mutate("publishKeyModule", named.clone(), MODULE).await;
        manager.mutate("rotateKeyModule", named.clone(), MODULE).await;
        let refused = operator.try_mutate("generateKey", named.clone(), MODULE).await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");

        let made = manager.mutate("generateKey", named, MODULE).await;
        assert_eq!(states(&made), [(2, "PRE_ACTIVE"), (1, "ACTIVE")]);
        let query = "{ key(module: \"signatures\", version: 2) { actions { name allowed } } }";
        let key = manager.query(query, json!({})).await["key"].clone();
        assert_eq!(allowed(&key), ["activateKey", "destroyKey"]);
        let active = change(&manager, "activateKey", 2, None).await;
        assert_eq!(active["key"]["state"], "ACTIVE", "{active:#}");
        let found = manager.query(VERSIONS, json!({})).await;
        let expected = json!([{ "version": 2, "state": "ACTIVE" }, { "version": 1, "state": "DEACTIVATED" }]);
        assert_eq!(json!(nodes(&found["keys"])), expected);
        let twice = change(&manager, "activateKey", 2, None).await;
        assert_eq!(twice["refusal"]["code"], "WRONG_STATE", "{twice:#}");
        for (own, reason) in [("identity", "BUILT_IN"), ("data", "BUILT_IN"), ("links", "EXCHANGE")] {
            let refused = manager.try_mutate("generateKey", json!({ "module": own }), MODULE).await;
            assert_eq!(refused["refusal"]["reason"], reason, "{own}: {refused:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_put_a_version_each_into_use_the_second_is_told_to_look_again() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let mut modules = 0;
        for (one, version, other) in [
            ("resumeKey", Some(1), "rotateKeyModule"),
            ("activateKey", Some(2), "resumeKey"),
            ("rotateKeyModule", None, "resumeKey"),
        ] {
            let mut conflicts = 0;
            let mut n = 0;
            loop {
                modules += 1;
                let name = format!("module-{modules}");
                module(&manager, &name).await;
                let key = json!({ "module": name, "version": 1, "reason": "A laptop was lost." });
                manager.mutate("suspendKey", key, KEY).await;
                let named = json!({ "module": name });
                let first = json!({ "module": name, "version": 1 });
                if one == "activateKey" {
                    manager.mutate("generateKey", named.clone(), MODULE).await;
                }
                let input = match version {
                    Some(version) => json!({ "module": name, "version": version }),
                    None => named.clone(),
                };
                let theirs = if other == "resumeKey" { first } else { named };
                let (given, held) = pair
                    .provider
                    .meanwhile
                    .between(
                        n,
                        manager.try_mutate(one, input, "__typename"),
                        manager.try_mutate(other, theirs, "__typename"),
                    )
                    .await;
                let active = format!("key_version where module = '{name}' and state = 'ACTIVE'");
                assert_eq!(pair.provider.rows(&active).await, 1, "{one} on {database:?}: {given:#}");
                if !held {
                    assert!(given["refusal"].is_null(), "{given:#}");
                    if conflicts > 0 {
                        break;
                    }
                    // What the instance does by itself may have been held up instead.
                    n = 0;
                    continue;
                }
                conflicts += i32::from(given["refusal"]["code"] == "CONFLICT");
                n += 1;
            }
        }
    }
}

/// Whether a version says that this can be done with it, and the reason that doing it is refused with.
async fn refused(client: &Client, version: u64, verb: &str, input: Value) -> (bool, Value) {
    let query = "query($version: Int!) { key(module: \"signatures\", version: $version) { \
        actions { name allowed } } }";
    let key = client.query(query, json!({ "version": version })).await["key"].clone();
    let refused = client.try_mutate(verb, input, "__typename").await;
    assert_eq!(refused["refusal"]["code"], "WRONG_STATE", "{refused:#}");
    (allowed(&key).contains(&verb), refused["refusal"]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_version_in_use_or_the_expiry_forbids_is_not_offered() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;
        let mut short = draft("signatures", "SIGNING", "Ed25519");
        short["keyLifetime"] = (2 * 3_600).into();
        short["exportable"] = true.into();
        manager.mutate("createKeyModule", short, MODULE).await;
        let named = json!({ "module": "signatures" });
        for verb in ["publishKeyModule", "rotateKeyModule"] {
            manager.mutate(verb, named.clone(), MODULE).await;
        }
        change(&manager, "suspendKey", 1, Some("A laptop was lost.")).await;
        manager.mutate("rotateKeyModule", named.clone(), MODULE).await;
        let input = |version: u64| json!({ "module": "signatures", "version": version });
        let resume = refused(&manager, 1, "resumeKey", input(1)).await;
        assert_eq!(resume, (false, json!("ANOTHER_IS_ACTIVE")), "{database:?}");

        manager.mutate("generateKey", named, MODULE).await;
        pair.advance(2 * 3_600).await;
        for client in [(&manager, "manager"), (&other, "other")] {
            client.0.sign_in(&format!("{}@provider.example.com", client.1), PASSWORD).await;
        }
        let activate = refused(&manager, 3, "activateKey", input(3)).await;
        assert_eq!(activate, (false, json!("EXPIRED")), "{database:?}");
        let request = json!({ "operation": "IMPORT", "module": "signatures", "reason": "Some approval." });
        let asked = manager.mutate("requestKeyApproval", request, "keyApproval { id }").await;
        let mut export = input(2);
        export["approvalId"] = asked["keyApproval"]["id"].clone();
        export["publicKey"] = data_encoding::BASE64URL_NOPAD.encode(&[9; 32]).into();
        let export = refused(&manager, 2, "exportKey", export).await;
        assert_eq!(export, (false, json!("EXPIRED")), "{database:?}");
    }
}

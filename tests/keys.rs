//! The key service as its users see it.

mod asked;
mod data;
mod encryption;
mod granting;
mod life;
mod links;
mod rewrite;
mod rights;
mod root;
mod tamper;
mod trail;
mod transfer;
mod two;
mod uses;

use linkspan::domain::requester::Role;
use serde_json::json;

use crate::harness::pair::{CONTACT, PASSWORD};
use crate::harness::{Database, Pair, Stage, nodes};

const HEALTH: &str = "{ keyHealth { status reason components { name status code } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_of_ours_sees_that_the_keys_work_and_only_key_roles_see_each_part() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let health = admin.query(HEALTH, json!({})).await["keyHealth"].clone();
        assert_eq!(health, json!({ "status": "OPERATIONAL", "reason": null, "components": null }));

        pair.provider.user("auditor@provider.example.com", PASSWORD, &[Role::KeyAuditor]).await;
        let auditor = pair.provider.client();
        auditor.sign_in("auditor@provider.example.com", PASSWORD).await;
        let health = auditor.query(HEALTH, json!({})).await["keyHealth"].clone();
        let parts = health["components"].as_array().unwrap();
        let of = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap()["status"].clone();
        for name in ["ROOT_KEY", "KEY_ENCRYPTION_KEY", "INTEGRITY_KEY", "IDENTITY_SIGNING_KEY", "ENTROPY"] {
            assert_eq!(of(name), "OPERATIONAL", "{name}");
        }

        // Each says when and how long it was measured.
        let timed = "{ keyHealth { measuredAt components { measuredAt tookMicros } } }";
        let timed = auditor.query(timed, json!({})).await["keyHealth"].clone();
        for part in timed["components"].as_array().unwrap() {
            assert_eq!(part["measuredAt"], timed["measuredAt"], "{timed:#}");
            assert!(part["tookMicros"].is_u64(), "{timed:#}");
        }

        // Whether that is looked after is for those who look after keys.
        let off = json!({ "suite": "KEY_SERVICE", "enabled": false });
        let refused = admin.try_mutate("updateCheckSchedule", off.clone(), "checkSchedule { enabled }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let done = manager.mutate("updateCheckSchedule", off, "checkSchedule { enabled }").await;
        assert_eq!(done["checkSchedule"]["enabled"], false);

        pair.make_ready(&admin).await;
        let contact = pair.provider.client();
        contact.sign_in(CONTACT, PASSWORD).await;
        let answer = contact.raw(HEALTH, json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_connections_are_tested_like_those_of_any_module_and_what_is_kept_of_the_peer() {
    for database in Database::available() {
        let (mut stage, ..) = Stage::onboarded(database).await;
        let auditor = stage.pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let links = async || {
            let query = "keyHealth { components { name module status message } }";
            let health = auditor.mutate("recheckKeyHealth", json!({}), query).await["keyHealth"].clone();
            let part = health["components"].as_array().unwrap().iter().find(|part| part["module"] == "links");
            part.unwrap_or_else(|| panic!("{health:#}")).clone()
        };
        let part = links().await;
        assert_eq!(part["status"], "OPERATIONAL", "{part}");
        // And so is what each keeps of the other's audit trail: a checkpoint within a minute, and probes with it.
        let both = "audit_witness where signature is not null and note is not null";
        stage.pair.advance(65).await;
        for _ in 0..20 {
            if stage.pair.provider.rows(both).await == 1 {
                break;
            }
            stage.pair.advance(6).await;
        }
        assert_eq!(stage.pair.provider.rows(both).await, 1);
        // A probe that is late would bring another.
        stage.pair.consumer.kill().await;
        stage.pair.advance(1).await;
        trail::what_is_kept_of_a_peer_is_guarded(&stage.pair.provider, &auditor, database).await;

        let spoilt = "update key_version set wrapped = row_seal where module like 'links/%'";
        stage.pair.provider.tamper(spoilt).await;
        let part = links().await;
        assert_eq!(part["status"], "MALFUNCTION", "{part}");
        assert!(part["message"].as_str().unwrap().contains("of links/"), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_measures_the_key_service_many_times_is_refused() {
    let pair = Pair::start(Database::available()[0]).await;
    let admin = pair.provider_admin().await;
    let query = "keyHealth { status }";
    let mutation = "recheckKeyHealth(input: {}) { keyHealth { status } }";
    for (kind, field) in [("query", query), ("mutation", mutation)] {
        let many = |count: usize| -> String { (0..count).map(|n| format!("h{n}: {field} ")).collect() };
        let answer = admin.raw(&format!("{kind} {{ {} }}", many(30)), json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{kind}: {answer}");
        let few = admin.raw(&format!("{kind} {{ {} }}", many(3)), json!({})).await;
        assert!(few["errors"].is_null(), "{kind}: {few}");
    }
}

const MODULES: &str = "{ keyModules { edges { node { name purpose algorithm builtIn state exportable \
    versions { version state stateLabel reason publicKey } } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instance_has_the_built_in_modules_for_those_who_look_after_keys() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        pair.provider.user("auditor@provider.example.com", PASSWORD, &[Role::KeyAuditor]).await;
        let auditor = pair.provider.client();
        auditor.sign_in("auditor@provider.example.com", PASSWORD).await;
        let modules = nodes(&auditor.query(MODULES, json!({})).await["keyModules"]);
        let names: Vec<_> = modules.iter().map(|module| module["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["audit", "data", "identity", "links", "tokens"]);
        for module in &modules {
            assert_eq!(module["state"], "PUBLISHED", "{module}");
            assert_eq!(module["builtIn"], true, "{module}");
            assert_eq!(module["exportable"], false, "{module}");
        }
        let identity = &modules[2]["versions"];
        assert_eq!(identity[0]["state"], "ACTIVE", "{identity}");
        assert_eq!(identity[0]["publicKey"].as_str().unwrap().len(), 43, "{identity}");

        pair.provider.user("granter@provider.example.com", PASSWORD, &[Role::KeyAdmin, Role::Admin]).await;
        let granter = pair.provider.client();
        granter.sign_in("granter@provider.example.com", PASSWORD).await;
        let answer = granter.raw(MODULES, json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
}

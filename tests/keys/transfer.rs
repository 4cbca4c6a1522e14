//! Keys come in and leave only wrapped, with two people, and only where the module allows it.

use data_encoding::BASE64URL_NOPAD;
use linkspan::domain::requester::Role;
use linkspan::world::Clock as _;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Pair, nodes};

const VERSION: &str = "keyId version state publicKey actions { name allowed reason }";

/// Two people who look after keys.
struct People {
    asks: Client,
    agrees: Client,
}

impl People {
    async fn of(instance: &Instance) -> Self {
        Self {
            asks: instance.person("asks", &[Role::KeyManager]).await,
            agrees: instance.person("agrees", &[Role::KeyManager]).await,
        }
    }

    async fn ask(&self, operation: &str, module: &str, object: Option<&str>) -> Value {
        let request =
            json!({ "operation": operation, "module": module, "object": object, "reason": "To move." });
        self.asks.try_mutate("requestKeyApproval", request, "keyApproval { id }").await
    }

    /// A request that the second person approved, or not.
    async fn approval(&self, operation: &str, module: &str, object: Option<&str>, given: bool) -> Value {
        let asked = self.ask(operation, module, object).await;
        assert!(asked["refusal"].is_null(), "{asked:#}");
        let id = asked["keyApproval"]["id"].clone();
        if given {
            self.agrees.mutate("giveKeyApproval", json!({ "approvalId": id }), "keyApproval { state }").await;
        }
        id
    }

    /// A published module with a key in use.
    async fn module(&self, name: &str, purpose: &str, algorithm: &str, exportable: bool) {
        let draft =
            json!({ "name": name, "purpose": purpose, "algorithm": algorithm, "exportable": exportable });
        self.asks.mutate("createKeyModule", draft, "keyModule { name }").await;
        for verb in ["publishKeyModule", "rotateKeyModule"] {
            self.asks.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
        }
    }

    async fn newest(&self, module: &str) -> Value {
        let query = format!(
            "query($module: String!) {{ keys(module: $module, first: 1) {{ edges {{ node {{ {VERSION} }} }} }} }}"
        );
        nodes(&self.asks.query(&query, json!({ "module": module })).await["keys"])[0].clone()
    }

    async fn offer(&self, module: &str) -> Value {
        let fields = "keyImportOffer { offerId publicKey associatedData expiresAt algorithm }";
        self.asks.mutate("offerKeyImport", json!({ "module": module }), fields).await["keyImportOffer"]
            .clone()
    }

    /// What an approval to wrap the newest key for this receiver is about.
    async fn object(&self, module: &str, offer: &Value) -> String {
        let query = "query($module: String!, $key: String!, $aad: String) { keys(module: $module, first: 1) \
            { edges { node { exportObject(publicKey: $key, associatedData: $aad) } } } }";
        let variables =
            json!({ "module": module, "key": offer["publicKey"], "aad": offer["associatedData"] });
        let newest = nodes(&self.asks.query(query, variables).await["keys"]);
        newest[0]["exportObject"].as_str().unwrap().to_owned()
    }

    async fn export(&self, module: &str, offer: &Value, approval: &Value) -> Value {
        let input = json!({ "module": module, "version": 1, "publicKey": offer["publicKey"],
            "associatedData": offer["associatedData"], "approvalId": approval });
        self.asks.try_mutate("exportKey", input, "keyPackage { package associatedData }").await
    }

    async fn import(&self, module: &str, offer: &Value, package: &Value, approval: &Value) -> Value {
        let input = json!({ "module": module, "offerId": offer["offerId"], "package": package,
            "approvalId": approval });
        self.asks.try_mutate("importKey", input, &format!("key {{ {VERSION} }}")).await
    }

    /// The first version of a module's key, wrapped for this receiver with everybody's agreement.
    async fn package(&self, module: &str, offer: &Value) -> Value {
        let object = self.object(module, offer).await;
        let approval = self.approval("EXPORT", module, Some(&object), true).await;
        let done = self.export(module, offer, &approval).await;
        assert!(done["refusal"].is_null(), "{done:#}");
        done["keyPackage"]["package"].clone()
    }
}

fn action<'a>(thing: &'a Value, name: &str) -> &'a Value {
    thing["actions"].as_array().unwrap().iter().find(|action| action["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_instance_exports_is_the_same_in_the_one_that_imports_it() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let (from, into) = (People::of(&pair.provider).await, People::of(&pair.consumer).await);
        from.module("moves", "SIGNING", "Ed25519", true).await;
        into.module("arrives", "SIGNING", "Ed25519", false).await;
        let key = from.newest("moves").await;
        assert_eq!(action(&key, "exportKey")["allowed"], true, "{key:#}");

        let offer = into.offer("arrives").await;
        assert_eq!(offer["algorithm"], "Ed25519");
        let package = from.package("moves", &offer).await;
        let approval = into.approval("IMPORT", "arrives", None, true).await;
        let done = into.import("arrives", &offer, &package, &approval).await;
        let taken = &done["key"];
        assert_eq!(taken["publicKey"], key["publicKey"], "{done:#}");
        assert_eq!((&taken["version"], &taken["state"]), (&json!(2), &json!("PRE_ACTIVE")), "{done:#}");
        assert_ne!(taken["keyId"], key["keyId"]);

        // Once is once: the offer, and the approval.
        let again = into.approval("IMPORT", "arrives", None, true).await;
        let over = into.import("arrives", &offer, &package, &again).await;
        assert_eq!(over["refusal"]["reason"], "OFFER_OVER", "{over:#}");
        let fresh = into.offer("arrives").await;
        let spent = into.import("arrives", &fresh, &package, &approval).await;
        assert_eq!(spent["refusal"]["reason"], "USED", "{spent:#}");

        for (instance, operation) in [(&pair.provider, "key.export"), (&pair.consumer, "key.import")] {
            assert_eq!(instance.rows(&format!("audit where operation = '{operation}'")).await, 1);
        }
    }
}

/// Whoever connects external key stores takes keys in, as a key manager agreed, and no more.
async fn an_integrator_brings_keys_in_and_does_nothing_else(instance: &Instance, managers: &People) {
    let agrees = instance.client();
    agrees.sign_in("agrees@provider.example.com", PASSWORD).await;
    let brings = People { asks: instance.person("integrator", &[Role::KeyIntegrator]).await, agrees };
    let offer = brings.offer("moves").await;
    let package = managers.package("moves", &offer).await;
    let early = brings.approval("IMPORT", "moves", None, false).await;
    let early = brings.import("moves", &offer, &package, &early).await;
    assert_eq!(early["refusal"]["reason"], "PENDING", "{early:#}");
    let approval = brings.approval("IMPORT", "moves", None, true).await;
    let done = brings.import("moves", &offer, &package, &approval).await;
    assert_eq!(done["key"]["state"], "PRE_ACTIVE", "{done:#}");
    let may: Vec<&Value> = done["key"]["actions"].as_array().unwrap().iter().collect();
    assert!(may.iter().all(|action| action["allowed"] == false), "{may:#?}");

    let terms = json!({ "effect": "TRACK", "principal": { "kind": "EVERY_PERSON" }, "operations": ["SEAL"] });
    for (mutation, input, noun) in [
        (
            "exportKey",
            json!({ "module": "moves", "version": 1, "publicKey": offer["publicKey"], "approvalId": approval }),
            "keyPackage { package }",
        ),
        ("rotateKeyModule", json!({ "module": "moves" }), "keyModule { name }"),
        ("activateKey", json!({ "module": "moves", "version": done["key"]["version"] }), "key { state }"),
        ("createAccessPolicy", json!({ "module": "moves", "terms": terms }), "accessPolicy { id }"),
    ] {
        let refused = brings.asks.try_mutate(mutation, input, noun).await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{mutation}: {refused:#}");
    }
    let health = brings.asks.query("{ keyHealth { status components { name } } }", json!({})).await;
    let expected = json!({ "status": "OPERATIONAL", "components": null });
    assert_eq!(health["keyHealth"], expected, "the whole, and none of its parts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_comes_or_leaves_without_a_second_person_who_agreed_to_just_that() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let people = People::of(&pair.provider).await;
        people.module("moves", "SEALING", "A256GCM", true).await;
        let (offer, other) = (people.offer("moves").await, people.offer("moves").await);
        let object = people.object("moves", &offer).await;
        assert_ne!(object, people.object("moves", &other).await);

        let asked = people.approval("EXPORT", "moves", Some(&object), false).await;
        let early = people.export("moves", &offer, &asked).await;
        assert_eq!(early["refusal"]["reason"], "PENDING", "{early:#}");
        people
            .agrees
            .mutate("giveKeyApproval", json!({ "approvalId": asked }), "keyApproval { state }")
            .await;
        let elsewhere = people.export("moves", &other, &asked).await;
        assert_eq!(elsewhere["refusal"]["reason"], "SOMETHING_ELSE", "{elsewhere:#}");
        let without = json!({ "publicKey": offer["publicKey"] });
        let otherwise = people.export("moves", &without, &asked).await;
        assert_eq!(otherwise["refusal"]["reason"], "SOMETHING_ELSE", "{otherwise:#}");
        let done = people.export("moves", &offer, &asked).await;
        assert!(done["refusal"].is_null(), "{done:#}");
        let twice = people.export("moves", &offer, &asked).await;
        assert_eq!(twice["refusal"]["reason"], "USED", "{twice:#}");
        an_integrator_brings_keys_in_and_does_nothing_else(&pair.provider, &people).await;

        let package = &done["keyPackage"]["package"];
        let asked = people.approval("IMPORT", "moves", None, false).await;
        let early = people.import("moves", &offer, package, &asked).await;
        assert_eq!(early["refusal"]["reason"], "PENDING", "{early:#}");
        people.module("elsewhere", "SEALING", "A256GCM", false).await;
        let wrong = people.approval("IMPORT", "elsewhere", None, true).await;
        let wrong = people.import("moves", &offer, package, &wrong).await;
        assert_eq!(wrong["refusal"]["reason"], "SOMETHING_ELSE", "{wrong:#}");
        people
            .agrees
            .mutate("giveKeyApproval", json!({ "approvalId": asked }), "keyApproval { state }")
            .await;
        let done = people.import("moves", &offer, package, &asked).await;
        assert!(done["refusal"].is_null(), "{done:#}");

        let operator = pair.provider.person("operator", &[Role::KeyOperator]).await;
        let denied =
            operator.try_mutate("offerKeyImport", json!({ "module": "moves" }), "keyImportOffer { offerId }");
        let denied = denied.await;
        assert_eq!(denied["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{denied:#}");
        pair.advance(6 * 60).await;
        let stale = json!({ "module": "moves" });
        let stale = people.asks.try_mutate("offerKeyImport", stale, "keyImportOffer { offerId }").await;
        assert_eq!(stale["refusal"]["code"], "STEP_UP_REQUIRED", "{stale:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_the_instance_and_of_modules_that_forbid_it_do_not_leave_and_the_actions_say_why() {
    let pair = Pair::start(Database::Sqlite).await;
    let people = People::of(&pair.provider).await;
    people.module("stays", "SIGNING", "ES256", false).await;
    let offer = people.offer("stays").await;
    let other = people.approval("IMPORT", "stays", None, true).await;
    for (module, reason, words) in [
        ("identity", "BUILT_IN", "neither come"),
        ("data", "BUILT_IN", "neither come"),
        ("stays", "NOT_EXPORTABLE", "does not let"),
    ] {
        let key = people.newest(module).await;
        let export = action(&key, "exportKey");
        assert_eq!(export["allowed"], false, "{export:#}");
        assert!(export["reason"].as_str().unwrap().contains(words), "{export:#}");
        // And nobody waits for an approval that would be for nothing.
        let object = people.object(module, &offer).await;
        let asked = people.ask("EXPORT", module, Some(&object)).await;
        assert_eq!(asked["refusal"]["reason"], reason, "{asked:#}");
        assert_eq!(asked["refusal"]["field"], "module", "{asked:#}");
        let refused = people.export(module, &offer, &other).await;
        assert_eq!(refused["refusal"]["reason"], reason, "{refused:#}");
    }
    for module in ["identity", "data", "audit", "tokens", "links"] {
        let input = json!({ "module": module });
        let refused = people.asks.try_mutate("offerKeyImport", input, "keyImportOffer { offerId }").await;
        assert_eq!(refused["refusal"]["reason"], "BUILT_IN", "{module}: {refused:#}");
    }
    people.asks.mutate("rotateKeyModule", json!({ "module": "stays" }), "keyModule { name }").await;
    let draft = json!({ "name": "draft", "purpose": "SEALING", "algorithm": "A256GCM", "exportable": true });
    people.asks.mutate("createKeyModule", draft, "keyModule { name }").await;
    let refused = people
        .asks
        .try_mutate("offerKeyImport", json!({ "module": "draft" }), "keyImportOffer { offerId }")
        .await;
    assert_eq!(refused["refusal"]["reason"], "DRAFT", "{refused:#}");
    let bad = json!({ "publicKey": BASE64URL_NOPAD.encode(&[0; 32]) });
    people.module("moves", "SIGNING", "ES256", true).await;
    let object = people.object("moves", &bad).await;
    let approval = people.approval("EXPORT", "moves", Some(&object), true).await;
    let refused = people.export("moves", &bad, &approval).await;
    assert_eq!(refused["refusal"]["field"], "publicKey", "a point of low order: {refused:#}");
}

/// Keys that left behind the last suspension.
const LATE: &str = "audit where operation = 'key.export' and result = 'OK' and n > (select max(n) from audit where \
    operation = 'key.suspend')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_suspended_while_it_is_wrapped_does_not_leave() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let people = People::of(&pair.provider).await;
        people.module("moves", "SIGNING", "Ed25519", true).await;
        let offer = people.offer("moves").await;
        let object = people.object("moves", &offer).await;
        let mut approval = people.approval("EXPORT", "moves", Some(&object), true).await;
        let key = json!({ "module": "moves", "version": 1 });
        let suspend = json!({ "module": "moves", "version": 1, "reason": "A laptop was lost." });
        let mut conflicts = 0;
        let mut n = 0;
        loop {
            let export = people.export("moves", &offer, &approval);
            let change = people.agrees.mutate("suspendKey", suspend.clone(), "key { state }");
            let (given, held) = pair.provider.meanwhile.between(n, export, change).await;
            if !held {
                // What was refused had not spent the approval.
                assert!(given["keyPackage"]["package"].is_string(), "{given:#}");
                if conflicts > 0 {
                    break;
                }
                // What the instance does by itself may have been held up instead.
                n = 0;
                approval = people.approval("EXPORT", "moves", Some(&object), true).await;
                continue;
            }
            assert_eq!(pair.provider.rows(LATE).await, 0, "behind statement {n} on {database:?}: {given:#}");
            conflicts += i32::from(given["refusal"]["code"] == "CONFLICT");
            people.agrees.mutate("resumeKey", key.clone(), "key { state }").await;
            if given["refusal"].is_null() {
                approval = people.approval("EXPORT", "moves", Some(&object), true).await;
            }
            n += 1;
        }
    }
}

/// How much of the audit trail there is, and is signed, at a time.
struct Signed {
    entries: i64,
    checkpoints: i64,
    at_ms: i64,
}

impl Signed {
    async fn now(pair: &Pair) -> Self {
        pair.settle().await;
        Self {
            entries: pair.provider.rows("audit").await,
            checkpoints: pair.provider.rows("audit_checkpoint").await,
            at_ms: pair.clock.now_ms(),
        }
    }

    /// After 256 entries the trail is signed, although the minute after which it is in any case is not over.
    async fn a_checkpoint_came_by_the_number_of_entries(self, pair: &Pair) {
        let now = Self::now(pair).await;
        assert!(now.entries >= self.entries + 256, "{} entries", now.entries - self.entries);
        assert!(now.at_ms - self.at_ms < 40_000, "{} ms", now.at_ms - self.at_ms);
        assert!(now.checkpoints > self.checkpoints, "{} checkpoints", now.checkpoints);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_changed_byte_of_a_package_is_refused_and_costs_no_approval() {
    let pair = Pair::start(Database::Sqlite).await;
    let people = People::of(&pair.provider).await;
    people.module("moves", "AUTHENTICATION", "HMAC-SHA256", true).await;
    let approval = people.approval("IMPORT", "moves", None, true).await;
    let began = Signed::now(&pair).await;
    let mut index = 0;
    loop {
        let offer = people.offer("moves").await;
        let package = people.package("moves", &offer).await;
        let mut bytes = BASE64URL_NOPAD.decode(package.as_str().unwrap().as_bytes()).unwrap();
        let Some(byte) = bytes.get_mut(index) else {
            // Untouched, it is taken, with the approval that nothing before it used up.
            let done = people.import("moves", &offer, &package, &approval).await;
            assert!(done["refusal"].is_null(), "{done:#}");
            break;
        };
        *byte ^= 1;
        let changed = BASE64URL_NOPAD.encode(&bytes).into();
        let refused = people.import("moves", &offer, &changed, &approval).await;
        assert_eq!(refused["refusal"]["field"], "package", "byte {index}: {refused:#}");
        index += 1;
    }
    assert!(index > 60, "{index} bytes");
    began.a_checkpoint_came_by_the_number_of_entries(&pair).await;
    assert_eq!(pair.provider.rows("key_version where module = 'moves'").await, 2);
    let long: Value = BASE64URL_NOPAD.encode(&[1; 513]).into();
    let offer = people.offer("moves").await;
    let approval = people.approval("IMPORT", "moves", None, true).await;
    let refused = people.import("moves", &offer, &long, &approval).await;
    assert_eq!(refused["refusal"]["field"], "package", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_sixteen_offers_wait_and_each_for_ten_minutes() {
    let pair = Pair::start(Database::Sqlite).await;
    let people = People::of(&pair.provider).await;
    people.module("moves", "SEALING", "A256GCM", true).await;
    for _ in 0..16 {
        people.offer("moves").await;
    }
    let input = json!({ "module": "moves" });
    let full = people.asks.try_mutate("offerKeyImport", input, "keyImportOffer { offerId }").await;
    assert_eq!(full["refusal"]["code"], "RATE_LIMITED", "{full:#}");
    pair.advance(601).await;
    people.asks.sign_in("asks@provider.example.com", PASSWORD).await;
    people.offer("moves").await;
}

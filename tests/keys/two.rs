//! Two people where two are needed: everything that the key service says needs a second person, done and not done.

use keyservice::Right;
use keyservice::approval::NEEDS_TWO;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::uses::{module, seal};
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

/// What needs two people, ready to be done but for the approval.
struct Deed {
    /// The module that the request names.
    module: Option<&'static str>,
    /// What the request is about.
    object: Option<Value>,
    /// The mutation that does it.
    mutation: &'static str,
    /// Its input without the approval.
    input: Value,
    /// What its payload shows, and that it was done.
    fields: &'static str,
    is_done: fn(&Value) -> bool,
    /// The offer that a key which leaves is wrapped for.
    offer: Value,
}

/// The id of the only version of a module's key.
async fn key_of(client: &Client, module: &str) -> Value {
    let query = "query($module: String!) { key(module: $module, version: 1) { keyId } }";
    client.query(query, json!({ "module": module })).await["key"]["keyId"].clone()
}

async fn compromised(client: &Client, module: &str) {
    let input = json!({ "module": module, "version": 1, "reason": "It was published." });
    client.mutate("markKeyCompromised", input, "key { state }").await;
}

/// Prepares it. A right that begins to need two people does not get by without a line here.
async fn prepare(right: Right, manager: &Client, other: &Client) -> Deed {
    match right {
        Right::Destroy => {
            module(manager, "old", "SIGNING", "Ed25519", &[]).await;
            compromised(manager, "old").await;
            Deed {
                module: Some("old"),
                object: Some(key_of(manager, "old").await),
                mutation: "destroyKey",
                input: json!({ "module": "old", "version": 1 }),
                fields: "key { state }",
                is_done: |done| done["key"]["state"] == "DESTROYED",
                offer: Value::Null,
            }
        }
        Right::OpenCompromised => {
            module(manager, "known", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
            let sealed = seal(manager, "known", "still needed", &[]).await;
            compromised(manager, "known").await;
            let ciphertext = &sealed["sealed"]["ciphertext"];
            let alone = manager
                .try_mutate(
                    "openData",
                    json!({ "module": "known", "ciphertext": ciphertext }),
                    "opened { version }",
                )
                .await;
            assert_eq!(alone["refusal"]["reason"], "REASON_REQUIRED", "without any approval: {alone:#}");
            Deed {
                module: Some("known"),
                object: Some(key_of(manager, "known").await),
                mutation: "openData",
                input: json!({ "module": "known", "ciphertext": ciphertext, "reason": "The backup needs it." }),
                fields: "opened { version }",
                is_done: |done| done["opened"]["version"] == 1,
                offer: Value::Null,
            }
        }
        Right::RotateRoot => Deed {
            module: None,
            object: None,
            mutation: "rotateRootKey",
            input: json!({}),
            fields: "keyApproval { state }",
            is_done: |done| done["keyApproval"]["state"] == "USED",
            offer: Value::Null,
        },
        Right::Export => export(manager, "leaves").await,
        Right::Import => {
            // A key that another module gave for it.
            let leaving = export(manager, "comes").await;
            let approval = leaving.ask(manager, Right::Export, leaving.object.as_ref()).await;
            give(other, &approval).await;
            let package = leaving.attempt(manager, &approval).await["keyPackage"]["package"].clone();
            Deed {
                module: Some("comes"),
                object: None,
                mutation: "importKey",
                input: json!({ "module": "comes", "offerId": leaving.offer, "package": package }),
                fields: "key { state }",
                is_done: |done| done["key"]["state"] == "PRE_ACTIVE",
                offer: Value::Null,
            }
        }
        other => panic!("{other} needs two people: show here that they are two"),
    }
}

/// The key of a new module that is to leave, wrapped for whoever takes it into the same module.
async fn export(manager: &Client, name: &'static str) -> Deed {
    let draft = json!({ "name": name, "purpose": "SIGNING", "algorithm": "Ed25519", "exportable": true });
    manager.mutate("createKeyModule", draft, "keyModule { name }").await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        manager.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
    }
    let fields = "keyImportOffer { offerId publicKey associatedData }";
    let offer =
        manager.mutate("offerKeyImport", json!({ "module": name }), fields).await["keyImportOffer"].clone();
    let query = "query($module: String!, $key: String!, $aad: String) { key(module: $module, version: 1) \
        { exportObject(publicKey: $key, associatedData: $aad) } }";
    let variables = json!({ "module": name, "key": offer["publicKey"], "aad": offer["associatedData"] });
    let object = manager.query(query, variables).await["key"]["exportObject"].clone();
    Deed {
        module: Some(name),
        object: Some(object),
        mutation: "exportKey",
        input: json!({ "module": name, "version": 1, "publicKey": offer["publicKey"],
            "associatedData": offer["associatedData"] }),
        fields: "keyPackage { package }",
        is_done: |done| done["keyPackage"]["package"].is_string(),
        offer: offer["offerId"].clone(),
    }
}

impl Deed {
    async fn ask(&self, client: &Client, right: Right, object: Option<&Value>) -> Value {
        Self::ask_for(client, right, self.module, object).await
    }

    async fn ask_for(client: &Client, right: Right, module: Option<&str>, object: Option<&Value>) -> Value {
        let input = json!({ "operation": right.as_str(), "module": module, "object": object,
            "reason": "It is time." });
        let asked = client.mutate("requestKeyApproval", input, "keyApproval { id }").await;
        asked["keyApproval"]["id"].clone()
    }

    async fn attempt(&self, client: &Client, approval: &Value) -> Value {
        let mut input = self.input.clone();
        input["approvalId"] = approval.clone();
        client.try_mutate(self.mutation, input, self.fields).await
    }

    async fn assert_spends_nothing_on_what_does_not_open(&self, client: &Client, approval: &Value) {
        let mut input = self.input.clone();
        input["approvalId"] = approval.clone();
        input["associatedData"] = json!([{ "name": "field", "value": "another" }]);
        let refused = client.try_mutate(self.mutation, input, self.fields).await;
        assert_eq!(refused["refusal"]["reason"], "TAMPERED", "{refused:#}");
    }

    async fn assert_refused(&self, client: &Client, approval: &Value, reason: &str) {
        let refused = self.attempt(client, approval).await;
        assert_eq!(refused["refusal"]["reason"], reason, "{}: {refused:#}", self.mutation);
        assert!(!(self.is_done)(&refused), "{refused:#}");
    }
}

async fn give(client: &Client, approval: &Value) -> Value {
    client.try_mutate("giveKeyApproval", json!({ "approvalId": approval }), "keyApproval { state }").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_two_people_is_done_with_anothers_approval_of_exactly_that_and_once() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let asks = pair.provider.person("asks", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[Role::KeyManager]).await;
        export(&asks, "elsewhere").await;
        let elsewhere = key_of(&asks, "elsewhere").await;
        let mut deeds = Vec::new();
        for right in NEEDS_TWO.iter() {
            let deed = prepare(right, &asks, &other).await;
            deeds.push(deed.mutation);
            let unknown = deed.attempt(&asks, &json!("unknown")).await;
            assert_eq!(unknown["refusal"]["code"], "NOT_FOUND", "{right}: {unknown:#}");
            let approval = deed.ask(&asks, right, deed.object.as_ref()).await;
            deed.assert_refused(&asks, &approval, "PENDING").await;
            let own = give(&asks, &approval).await;
            assert_eq!(own["refusal"]["reason"], "OWN_REQUEST", "{right}: {own:#}");
            deed.assert_refused(&asks, &approval, "PENDING").await;

            let another = match right {
                Right::Destroy | Right::OpenCompromised => Some(elsewhere.clone()),
                Right::Export => Some(json!(format!("{}/{}", elsewhere.as_str().unwrap(), "0".repeat(64)))),
                _ => None,
            };
            // There is one root key: what is asked for instead is another right.
            let instead = if deed.module.is_some() { right } else { Right::Import };
            let another = Deed::ask_for(&asks, instead, Some("elsewhere"), another.as_ref()).await;
            for approval in [&another, &approval] {
                let given = give(&other, approval).await;
                assert_eq!(given["keyApproval"]["state"], "APPROVED", "{right}: {given:#}");
            }
            deed.assert_refused(&asks, &another, "SOMETHING_ELSE").await;
            if right.waiting_period() > 0 {
                deed.assert_refused(&asks, &approval, "TOO_EARLY").await;
                pair.advance(right.waiting_period() / 1_000 + 60).await;
                asks.sign_in("asks@provider.example.com", PASSWORD).await;
                other.sign_in("other@provider.example.com", PASSWORD).await;
            }
            deed.assert_refused(&other, &approval, "OTHERS_REQUEST").await;
            if right == Right::OpenCompromised {
                deed.assert_spends_nothing_on_what_does_not_open(&asks, &approval).await;
                let tried = "audit where operation = 'key.use' and result = 'TAMPERED'";
                assert_eq!(pair.provider.rows(tried).await, 1, "but it is on record");
            }
            let done = deed.attempt(&asks, &approval).await;
            assert!((deed.is_done)(&done), "{right}: {done:#}");
            let again = deed.attempt(&asks, &approval).await;
            assert_eq!(again["refusal"]["code"], "WRONG_STATE", "{right}, once: {again:#}");
        }
        // And no mutation that takes an approval is missing here.
        let query = "{ __schema { mutationType { fields { name args { type { ofType { inputFields { name } } } } } } } }";
        let schema = asks.query(query, json!({})).await;
        let takes = schema["__schema"]["mutationType"]["fields"].as_array().unwrap().iter().filter(|field| {
            let inputs = field["args"][0]["type"]["ofType"]["inputFields"].as_array().unwrap();
            inputs.iter().any(|input| input["name"] == "approvalId")
        });
        let mut takes: Vec<&str> = takes.map(|field| field["name"].as_str().unwrap()).collect();
        takes.retain(|name| !name.ends_with("KeyApproval"));
        takes.sort_unstable();
        deeds.sort_unstable();
        assert_eq!(takes, deeds);

        let used = "audit where operation = 'key.approval.use'";
        // To import a key it was exported first.
        assert_eq!(pair.provider.rows(used).await, NEEDS_TWO.iter().count() as i64 + 1);
    }
}

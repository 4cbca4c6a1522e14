//! A mutation under an idempotency key is done once: asked again, nothing happens again, and the answer is the first.

use futures_util::future::join_all;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Instance, Stage};

/// A request under a key.
async fn ask(client: &Client, name: &str, input: &Value, key: &str, fields: &str) -> Value {
    let mut input = input.clone();
    input["idempotencyKey"] = json!(key);
    client.try_mutate(name, input, fields).await
}

/// How much people did on an instance.
async fn done(instance: &Instance) -> i64 {
    instance.rows("audit where actor like 'user:%'").await
}

/// Asks six times at once and once more: one effect, one answer.
async fn once(instance: &Instance, client: &Client, name: &str, input: Value, fields: &str) -> Value {
    let key = format!("the key of {name}");
    let before = done(instance).await;
    let answers = join_all((0..6).map(|_| ask(client, name, &input, &key, fields))).await;
    let first = answers[0].clone();
    assert!(first["refusal"].is_null(), "{name}: {first:#}");
    for answer in &answers {
        assert_eq!(*answer, first, "{name}, at the same time");
    }
    let after = done(instance).await;
    // Making a user or a link is two entries; a rotation is three, with one for each key that it changes.
    assert!(after <= before + 3, "{name} was done {} times", after - before);
    assert_eq!(ask(client, name, &input, &key, fields).await, first, "{name}, again");
    assert_eq!(done(instance).await, after, "{name} did something again");
    let other = ask(client, "createCompany", &json!({ "name": "Another" }), &key, "company { id }").await;
    assert_eq!(other["refusal"]["code"], "IDEMPOTENCY_CONFLICT", "{name}: {other:#}");
    assert_eq!(other["refusal"]["field"], "idempotencyKey");
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_asks_under_one_key_is_done_once() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (provider, admin) = (&stage.pair.provider, &stage.provider);
        let (contact, registration) = (&stage.ready.contact, &stage.registration);
        let input = json!({ "name": "acme-exchange", "description": "Ours, still" });
        once(provider, admin, "saveProviderRecord", input, "providerRecord { revision }").await;
        once(provider, admin, "createCompany", json!({ "name": "Third Ltd" }), "company { id }").await;
        let input = json!({ "companyId": stage.ready.company, "email": "third@consumer.example.com", "name": "Third" });
        once(provider, admin, "createContact", input, "contact { id }").await;
        let input = json!({ "userId": contact, "name": "Renamed" });
        once(provider, admin, "updateContact", input, "contact { revision name }").await;
        let input = json!({
            "email": "new@provider.example.com", "name": "New", "password": PASSWORD, "roles": ["VIEWER"],
        });
        let user = once(provider, admin, "createUser", input, "user { id }").await["user"]["id"].clone();
        let role = json!({ "userId": user, "role": "OPERATOR" });
        once(provider, admin, "grantRole", role.clone(), "user { revision }").await;
        once(provider, admin, "revokeRole", role, "user { revision }").await;
        let input = json!({ "name": "program", "days": 2 });
        let token = once(provider, admin, "createAccessToken", input, "accessToken { id } secret").await;
        assert_eq!(provider.rows("access_token").await, 1);
        let id = json!({ "id": token["accessToken"]["id"] });
        once(provider, admin, "revokeAccessToken", id, "revokedId").await;

        let manager = provider.person("manager", &[Role::KeyManager]).await;
        let fields = "keyModule { versions { version state } }";
        let rotated = once(provider, &manager, "rotateKeyModule", json!({ "module": "data" }), fields).await;
        let versions = json!([{ "version": 2, "state": "ACTIVE" }, { "version": 1, "state": "DEACTIVATED" }]);
        assert_eq!(rotated["keyModule"]["versions"], versions, "what the answer says was done");

        let id = json!({ "registrationId": registration });
        let fields = "link registration { revision }";
        let link = once(provider, admin, "reissueRegistrationLink", id.clone(), fields).await;
        stage.pair.settle().await;
        assert_eq!(provider.rows("audit where operation = 'registration.link'").await, 2);
        let input = json!({ "link": link["link"] });
        let consumer = stage.pair.consumer_admin().await;
        let opened = consumer.mutate("openRegistrationLink", input, "connection { state }").await;
        assert_eq!(opened["connection"]["state"], "PENDING", "the link that was shown again is the one");
        once(provider, admin, "cancelRegistration", id, "registration { state }").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_consumer_asks_under_one_key_is_done_once() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let consumer = stage.pair.consumer_admin().await;
        let instance = &stage.pair.consumer;
        let input = json!({ "link": stage.link });
        let opened = once(instance, &consumer, "openRegistrationLink", input, "connection { id }").await;
        let connection = &opened["connection"]["id"];
        let company =
            consumer.mutate("createCompany", json!({ "name": "Provider Inc" }), "company { id }").await;
        let input = json!({ "connectionId": connection, "companyId": company["company"]["id"] });
        once(instance, &consumer, "chooseProviderCompany", input, "connection { id }").await;
        let id = json!({ "connectionId": connection });
        once(instance, &consumer, "runPreOnboardingChecks", id.clone(), "connection { id }").await;
        stage.pair.settle().await;
        assert_eq!(instance.rows("scan").await, 1);
        for verb in ["startOnboarding", "startOver", "cancelOnboarding"] {
            once(instance, &consumer, verb, id.clone(), "connection { id }").await;
            stage.pair.settle().await;
        }
        assert_eq!(instance.rows("connection where attempts = 2").await, 1, "started, and started over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_its_callers_own_and_a_refusal_is_not_kept_under_it() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (provider, admin) = (&stage.pair.provider, &stage.provider);
        provider.user("second@provider.example.com", PASSWORD, &[Role::Operator]).await;
        let second = provider.client();
        second.sign_in("second@provider.example.com", PASSWORD).await;
        let create = |name: &'static str| json!({ "name": name });
        let ours = ask(admin, "createCompany", &create("Ours"), "key", "company { id }").await;
        let theirs = ask(&second, "createCompany", &create("Theirs"), "key", "company { id }").await;
        assert!(theirs["company"]["id"].is_string() && theirs["company"] != ours["company"], "{theirs:#}");

        let id = json!({ "registrationId": stage.registration });
        let fields = "registration { state }";
        let refused = ask(admin, "retryRegistration", &id, "retry", fields).await;
        assert_eq!(refused["refusal"]["code"], "WRONG_STATE");
        let other = ask(admin, "createCompany", &create("Other"), "retry", "company { id }").await;
        assert!(other["refusal"].is_null(), "the key of a refusal is free: {other:#}");
        for key in ["", &"k".repeat(256)] {
            let refused = ask(admin, "createCompany", &create("Never"), key, "company { id }").await;
            assert_eq!(refused["refusal"]["field"], "idempotencyKey", "{refused:#}");
        }
        stage.pair.advance(8 * 24 * 3_600).await;
        assert_eq!(provider.rows("idempotency").await, 0, "kept for seven days");
    }
}

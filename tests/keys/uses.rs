//! What people and their programs do with the keys of modules.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};
use crate::key_policies::{allow_entries, create, delete, explain, stop_entries, terms};

const SEALED: &str = "sealed { ciphertext version }";
const OPENED: &str = "opened { plaintext version }";
const VERIFIED: &str = "verification { valid version }";

/// A published module with a key in use, and with a policy that lets everybody of the organisation use it.
pub(crate) async fn module(manager: &Client, name: &str, purpose: &str, algorithm: &str, rights: &[&str]) {
    let draft = json!({ "name": name, "purpose": purpose, "algorithm": algorithm });
    manager.mutate("createKeyModule", draft, "keyModule { name }").await;
    for verb in ["publishKeyModule", "rotateKeyModule"] {
        manager.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
    }
    if !rights.is_empty() {
        allow(manager, name, rights, Value::Null).await;
    }
}

async fn allow(manager: &Client, module: &str, rights: &[&str], condition: Value) -> Value {
    let terms = json!({ "effect": "TRACK", "principal": { "kind": "EVERY_PERSON" }, "operations": rights,
        "condition": condition });
    let input = json!({ "module": module, "terms": terms });
    manager.mutate("createAccessPolicy", input, "accessPolicy { id }").await["accessPolicy"].clone()
}

fn about(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

pub(crate) async fn seal(client: &Client, module: &str, text: &str, data: &[(&str, &str)]) -> Value {
    let plaintext = BASE64.encode(text.as_bytes());
    let input = json!({ "module": module, "plaintext": plaintext, "associatedData": about(data) });
    client.try_mutate("sealData", input, SEALED).await
}

pub(crate) async fn open(client: &Client, module: &str, sealed: &Value, data: &[(&str, &str)]) -> Value {
    let ciphertext = &sealed["sealed"]["ciphertext"];
    let input = json!({ "module": module, "ciphertext": ciphertext, "associatedData": about(data) });
    client.try_mutate("openData", input, OPENED).await
}

fn text(opened: &Value) -> String {
    let bytes = BASE64.decode(opened["opened"]["plaintext"].as_str().unwrap().as_bytes()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_opens_after_a_rotation_with_the_same_associated_data_and_no_other() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
        let data = [("link_id", "one"), ("field", "note")];
        let sealed = seal(&user, "papers", "Once upon a time", &data).await;
        assert_eq!(sealed["sealed"]["version"], 1, "{sealed:#}");
        manager.mutate("rotateKeyModule", json!({ "module": "papers" }), "keyModule { name }").await;
        let newer = seal(&user, "papers", "and they lived", &[]).await;
        assert_eq!(newer["sealed"]["version"], 2, "the newest seals: {newer:#}");

        // In whatever order.
        let opened = open(&user, "papers", &sealed, &[("field", "note"), ("link_id", "one")]).await;
        assert_eq!(text(&opened), "Once upon a time");
        assert_eq!(opened["opened"]["version"], 1, "the version travels with the ciphertext");
        for other in [&[][..], &[("link_id", "one")], &[("link_id", "two"), ("field", "note")]] {
            let refused = open(&user, "papers", &sealed, other).await;
            assert_eq!(refused["refusal"]["reason"], "TAMPERED", "{other:?}: {refused:#}");
            assert_eq!(refused["refusal"]["code"], "INVALID_INPUT", "{refused:#}");
        }
        let noted = "audit where operation = 'key.use' and result = 'OK' and actor like 'user:%'";
        assert_eq!(pair.provider.rows(noted).await, 3, "each use that gave something");
        let tried = "audit where operation = 'key.use' and result = 'TAMPERED' and actor like 'user:%'";
        assert_eq!(pair.provider.rows(tried).await, 3, "and each that opened nothing");

        let key = json!({ "module": "papers", "version": 2, "reason": "A laptop was lost." });
        manager.mutate("suspendKey", key, "key { state }").await;
        let sealing = seal(&user, "papers", "never", &[]).await;
        let opening = open(&user, "papers", &newer, &[]).await;
        for refused in [sealing, opening] {
            assert_eq!(refused["refusal"]["code"], "WRONG_STATE", "{refused:#}");
        }
        assert_eq!(text(&open(&user, "papers", &sealed, &data).await), "Once upon a time", "another version");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_that_allows_it_nobody_uses_a_key_and_the_decision_says_why() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &[]).await;
        // Not even whoever manages the module.
        for client in [&user, &manager] {
            let denied = seal(client, "papers", "secret", &[("link_id", "one")]).await;
            assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
            let why = explain(&auditor, &denied["refusal"]["reason"]).await;
            assert_eq!((&why["module"], &why["operation"]), (&json!("papers"), &json!("SEAL")), "{why:#}");
            assert_eq!(why["data"], json!([{ "name": "link_id", "value": "one" }]), "{why:#}");
        }
        // Sealing does not let anybody open, and a condition binds to the associated data.
        allow(&manager, "papers", &["SEAL"], json!({ "name": "link_id", "value": "one" })).await;
        let sealed = seal(&user, "papers", "secret", &[("link_id", "one")]).await;
        assert!(sealed["refusal"].is_null(), "{sealed:#}");
        for other in [&[][..], &[("link_id", "two")]] {
            let denied = seal(&user, "papers", "secret", other).await;
            assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{other:?}: {denied:#}");
        }
        let denied = open(&user, "papers", &sealed, &[("link_id", "one")]).await;
        assert_eq!(denied["refusal"]["code"], "POLICY_DENIED", "{denied:#}");
        let noted = "audit where operation = 'key.denied' and result = 'POLICY_DENIED'";
        assert_eq!(pair.provider.rows(noted).await, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_and_an_authentication_code_are_right_for_what_they_were_made_of_alone() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "deeds", "SIGNING", "Ed25519", &["SIGN", "VERIFY"]).await;
        module(&manager, "tags", "AUTHENTICATION", "HMAC-SHA384", &["MAC", "VERIFY_MAC"]).await;
        let message = BASE64.encode(b"I sell the house");
        let other = BASE64.encode(b"I sell the boat");
        let make = json!({ "message": message, "associatedData": about(&[("to", "Ada")]) });
        for (module, making, noun, checking) in
            [("deeds", "signData", "signature", "verifySignature"), ("tags", "createMac", "mac", "verifyMac")]
        {
            let mut input = make.clone();
            input["module"] = json!(module);
            let made = user.mutate(making, input.clone(), &format!("{noun} {{ {noun} version }}")).await;
            input[noun] = made[noun][noun].clone();
            input["version"] = made[noun]["version"].clone();
            manager.mutate("rotateKeyModule", json!({ "module": module }), "keyModule { name }").await;
            let right = user.mutate(checking, input.clone(), VERIFIED).await;
            assert_eq!(right["verification"], json!({ "valid": true, "version": 1 }));
            for (field, value) in
                [("message", json!(other)), ("associatedData", json!([])), ("version", json!(2))]
            {
                let mut wrong = input.clone();
                wrong[field] = value;
                let wrong = user.mutate(checking, wrong, VERIFIED).await;
                assert_eq!(wrong["verification"]["valid"], false, "{checking} with another {field}");
            }
            input["version"] = json!(9);
            let unknown = user.try_mutate(checking, input, VERIFIED).await;
            assert_eq!(unknown["refusal"]["field"], "version", "{unknown:#}");
        }
        // Anybody verifies the signature with the public key, over the encoding that the schema describes.
        let input =
            json!({ "module": "deeds", "message": message, "associatedData": about(&[("to", "Ada")]) });
        let made =
            user.mutate("signData", input, "signature { signature version }").await["signature"].clone();
        let query = "{ keyModule(name: \"deeds\") { versions { version publicKey } } }";
        let versions = manager.query(query, json!({})).await["keyModule"]["versions"].clone();
        let version = versions.as_array().unwrap().iter().find(|one| one["version"] == made["version"]);
        let public =
            BASE64URL_NOPAD.decode(version.unwrap()["publicKey"].as_str().unwrap().as_bytes()).unwrap();
        let signature = BASE64.decode(made["signature"].as_str().unwrap().as_bytes()).unwrap();
        let signed = keyservice::pae::pae(&[b"linkspan data", b"I sell the house", b"to", b"Ada"]);
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        key.verify(&signed, &signature).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_built_in_keys_are_for_the_program_alone() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let user = pair.provider.person("user", &[]).await;
    module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
    allow(&manager, "data", &["SEAL", "OPEN"], Value::Null).await;
    let refused = seal(&user, "data", "secret", &[]).await;
    assert_eq!(refused["refusal"]["reason"], "BUILT_IN", "{refused:#}");
    let unknown = seal(&user, "nothing", "secret", &[]).await;
    assert_eq!(unknown["refusal"]["code"], "NOT_FOUND", "{unknown:#}");

    let largest = "x".repeat(64 * 1024);
    let sealed = seal(&user, "papers", &largest, &[]).await;
    assert_eq!(text(&open(&user, "papers", &sealed, &[]).await), largest);
    let (long, many) = ("x".repeat(129), (0..17).map(|n| n.to_string()).collect::<Vec<_>>());
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for (module, plaintext, data, field) in [
        ("papers", "x".repeat(64 * 1024 + 1), &[][..], "plaintext"),
        ("papers", "x".to_owned(), &[("a", "1"), ("a", "2")], "associatedData"),
        ("papers", "x".to_owned(), &[("a", "")], "associatedData"),
        ("papers", "x".to_owned(), &[("a", long.as_str())], "associatedData"),
        ("papers", "x".to_owned(), &[("a", "1\n")], "associatedData"),
        ("papers", "x".to_owned(), &many, "associatedData"),
    ] {
        let refused = seal(&user, module, &plaintext, data).await;
        assert_eq!(refused["refusal"]["code"], "INVALID_INPUT", "{field}: {refused:#}");
        assert_eq!(refused["refusal"]["field"], field, "{refused:#}");
    }
    for ciphertext in ["!", "", "AAAA"] {
        let input = json!({ "module": "papers", "ciphertext": ciphertext });
        let refused = user.try_mutate("openData", input, OPENED).await;
        assert_eq!(refused["refusal"]["field"], "ciphertext", "{ciphertext:?}: {refused:#}");
    }
    let input = json!({ "module": "papers", "message": BASE64.encode(b"x") });
    let other = user.try_mutate("signData", input, "signature { signature }").await;
    assert_eq!(other["refusal"]["code"], "WRONG_STATE", "a key for sealing does not sign: {other:#}");

    let admin = pair.provider_admin().await;
    pair.make_ready(&admin).await;
    let contact = pair.provider.client();
    contact.sign_in(crate::harness::pair::CONTACT, PASSWORD).await;
    let foreign = seal(&contact, "papers", "secret", &[]).await;
    assert_eq!(foreign["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{foreign:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_of_a_use_that_the_trail_does_not_take() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
        let sealed = seal(&user, "papers", "secret", &[]).await;
        stop_entries(&pair.provider, database, "key.use").await;
        for refused in [
            seal(&user, "papers", "secret", &[]).await,
            open(&user, "papers", &sealed, &[]).await,
            open(&user, "papers", &sealed, &[("field", "another")]).await,
        ] {
            assert_eq!(refused["refusal"]["code"], "KEY_SERVICE_UNHEALTHY", "{refused:#}");
            assert_eq!(refused["refusal"]["reason"], "AUDIT_CHAIN", "{refused:#}");
            assert!(refused["sealed"].is_null() && refused["opened"].is_null(), "{refused:#}");
        }
        allow_entries(&pair.provider, database).await;
        assert_eq!(text(&open(&user, "papers", &sealed, &[]).await), "secret");
    }
}

/// Uses that are on record behind the last suspension, or the last change of a module.
const LATE: &str = "audit where operation = 'key.use' and result = 'OK' and n > (select max(n) from audit where \
    operation in ('key.suspend', 'key_module.change'))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_suspended_or_denied_while_it_is_used_gives_nothing_after_that() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let meanwhile = &pair.provider.meanwhile;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let user = pair.provider.person("user", &[]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &["SEAL", "OPEN"]).await;
        let sealed = seal(&user, "papers", "secret", &[]).await;
        let suspend = json!({ "module": "papers", "version": 1, "reason": "A laptop was lost." });
        let resume = json!({ "module": "papers", "version": 1 });
        let mut conflicts = 0;
        let mut n = 0;
        loop {
            let (given, held) = meanwhile
                .between(
                    n,
                    open(&user, "papers", &sealed, &[]),
                    manager.mutate("suspendKey", suspend.clone(), "key { state }"),
                )
                .await;
            if !held {
                assert_eq!(text(&given), "secret");
                if conflicts > 0 {
                    break;
                }
                // What the instance does by itself may have been held up instead.
                n = 0;
                continue;
            }
            assert_eq!(pair.provider.rows(LATE).await, 0, "behind statement {n} on {database:?}: {given:#}");
            conflicts += i32::from(given["refusal"]["code"] == "CONFLICT");
            manager.mutate("resumeKey", resume.clone(), "key { state }").await;
            n += 1;
        }

        let everybody = json!({ "kind": "EVERY_PERSON" });
        let strict = terms("STRICT_REJECT", everybody, &["SEAL"]);
        let mut conflicts = 0;
        let mut n = 0;
        loop {
            let mut policy = Value::Null;
            let deny = async { policy = create(&manager, "papers", &strict).await };
            let (given, held) = meanwhile.between(n, seal(&user, "papers", "secret", &[]), deny).await;
            if !held {
                assert!(given["refusal"].is_null(), "{given:#}");
                if conflicts > 0 {
                    break;
                }
                // What the instance does by itself may have been held up instead.
                n = 0;
                continue;
            }
            assert_eq!(pair.provider.rows(LATE).await, 0, "behind statement {n} on {database:?}: {given:#}");
            conflicts += i32::from(given["refusal"]["code"] == "CONFLICT");
            delete(&manager, &policy).await;
            n += 1;
        }
    }
}

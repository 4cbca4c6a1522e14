//! The key service as its users see it.

use linkspan::domain::requester::Role;
use serde_json::json;

use crate::harness::pair::{CONTACT, PASSWORD};
use crate::harness::{Database, Pair};

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

        pair.make_ready(&admin).await;
        let contact = pair.provider.client();
        contact.sign_in(CONTACT, PASSWORD).await;
        let answer = contact.raw(HEALTH, json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
}

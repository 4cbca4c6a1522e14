//! Two people where two are needed, and key roles that nobody gives to themselves.

use linkspan::domain::key_policy::KeyOperation;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

const FIELDS: &str = "keyApproval { id operation module object reason state stateLabel askedBy { name }
    answeredBy { name } answer revision actions { name allowed } }";

async fn ask(client: &Client, operation: &str, module: Option<&str>) -> Value {
    let input =
        json!({ "operation": operation, "module": module, "object": "a key", "reason": "It is time." });
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
        let mut two = 0;
        for operation in KeyOperation::ALL {
            let right: keyservice::Right = operation.as_str().parse().unwrap();
            let module = right.is_of_a_module().then_some("links");
            let asked = ask(&asks, operation.as_str(), module).await;
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
            assert_eq!(own["refusal"]["reason"], "OWN_REQUEST", "{operation}: {own:#}");
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
        let mut ids = Vec::new();
        for _ in 0..3 {
            let asked = ask(&asks, "DESTROY", Some("data")).await;
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_administers_the_application_neither_asks_nor_sees_nor_approves() {
    let pair = Pair::start(Database::available()[0]).await;
    let admin = pair.provider_admin().await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let asked = ask(&admin, "DESTROY", Some("data")).await;
    assert_eq!(asked["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{asked:#}");
    let id = ask(&manager, "DESTROY", Some("data")).await["keyApproval"]["id"].clone();
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
    let input =
        json!({ "operation": "DESTROY", "module": "data", "reason": "Old.", "idempotencyKey": "one" });
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
        let modules = "{ keyModules { name } }";
        let before = later.raw(modules, json!({})).await;
        assert_eq!(before["errors"][0]["extensions"]["code"], "FORBIDDEN", "{before}");
        granter.mutate("grantRole", grant(&later_id, "KEY_AUDITOR"), fields).await;
        assert!(later.query(modules, json!({})).await["keyModules"].is_array(), "at once");
        granter.mutate("revokeRole", grant(&later_id, "KEY_AUDITOR"), fields).await;
        let after = later.raw(modules, json!({})).await;
        assert_eq!(after["errors"][0]["extensions"]["code"], "FORBIDDEN", "at once: {after}");
        let noted = "audit where operation in ('key.role.grant', 'key.role.revoke')";
        assert_eq!(pair.provider.rows(noted).await, 3, "on the host, by the granter, and taken back");
    }
}

//! What a screen is told can be done is what the mutation then does: for each role, in whatever state it leads to, and beside
//! others.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Pair, Stage, let_pass, nodes};

const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

/// The actions of a thing as this person sees them.
async fn actions(client: &Client, noun: &str, id: &str) -> Vec<(String, bool)> {
    let query = format!("query($id: ID!) {{ {noun}(id: $id) {{ actions {{ name allowed reason }} }} }}");
    let seen = client.query(&query, json!({ "id": id })).await;
    let seen = seen[noun]["actions"].as_array().unwrap_or_else(|| panic!("{seen:#}")).clone();
    for action in &seen {
        assert_eq!(action["allowed"] == true, action["reason"].is_null(), "{action:#}");
    }
    seen.iter().map(|it| (it["name"].as_str().unwrap().to_owned(), it["allowed"] == true)).collect()
}

/// Does everything that is offered or not, one after the other, and answers how much was allowed.
async fn try_all(pair: &Pair, client: &Client, noun: &str, id: &str, extra: &Value) -> usize {
    let mut allowed = 0;
    for (name, _) in actions(client, noun, id).await {
        let now = actions(client, noun, id).await;
        let said = now.iter().find(|(other, _)| *other == name).unwrap().1;
        let mut input = json!({ format!("{noun}Id"): id });
        if let Some(more) = extra.get(&name).and_then(Value::as_object) {
            input.as_object_mut().unwrap().extend(more.clone());
        }
        let answer = client.try_mutate(&name, input, "__typename").await;
        assert_eq!(answer["refusal"].is_null(), said, "{name}: said {said}, then {answer:#}");
        allowed += usize::from(said);
        pair.settle().await;
    }
    allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_sees_allowed_is_what_they_may_do() {
    for database in Database::available() {
        for role in ROLES {
            let stage = Stage::open(database).await;
            let name = format!("some-{}", role.as_str().to_lowercase());
            let (_, connection) = stage.validated().await;
            let company = stage
                .pair
                .consumer_admin()
                .await
                .query("{ companies { edges { node { id } } } }", json!({}))
                .await;
            let company = company["companies"]["edges"][0]["node"]["id"].clone();
            let extra = json!({
                "chooseProviderCompany": { "companyId": company },
                "offboardConnection": { "confirmation": "another" },
                "updateRegistration": { "contactId": stage.ready.contact },
            });
            let there = stage.pair.consumer.person(&name, &[role]).await;
            let on_connection = try_all(&stage.pair, &there, "connection", &connection, &extra).await;
            let here = stage.pair.provider.person(&name, &[role]).await;
            let on_registration =
                try_all(&stage.pair, &here, "registration", &stage.registration, &extra).await;
            let expected = role != Role::Viewer;
            assert_eq!((on_connection > 0, on_registration > 0), (expected, expected), "{role:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_of_accounts_is_what_is_done() {
    const ACCOUNTS: &str = "query($all: Boolean!) { viewer { id }
        contacts { edges { node { id name actions { name allowed } } } }
        users @include(if: $all) { edges { node { id name actions { name allowed } } } } }";
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let auditor = stage.pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let auditors = auditor.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone();
        for role in ROLES {
            let name = format!("some-{}", role.as_str().to_lowercase());
            let client = stage.pair.provider.person(&name, &[role]).await;
            let seen = client.query(ACCOUNTS, json!({ "all": role == Role::Admin })).await;
            let own = if role == Role::Admin { nodes(&seen["users"]) } else { Vec::new() };
            for account in nodes(&seen["contacts"]).into_iter().chain(own) {
                for action in account["actions"].as_array().unwrap() {
                    let (name, id) = (action["name"].as_str().unwrap(), &account["id"]);
                    let (extra, value) = match name {
                        "setPassword" => ("password", json!("another horse battery")),
                        _ => ("name", account["name"].clone()),
                    };
                    if name == "setPassword" && *id == seen["viewer"]["id"] {
                        assert_eq!(action["allowed"], true, "{account:#}");
                        continue;
                    }
                    let input = json!({ "userId": id, extra: value });
                    let done = client.try_mutate(name, input, "__typename").await;
                    assert_eq!(done["refusal"].is_null(), action["allowed"] == true, "{action}: {done:#}");
                    if role == Role::Admin {
                        let own_affair = name == "setPassword" && *id == auditors;
                        assert_eq!(action["allowed"] == true, !own_affair, "{account:#}");
                    }
                }
            }
        }
        let admin = stage.pair.provider.person("another", &[Role::Admin]).await;
        let text = data_encoding::BASE64URL_NOPAD.decode(auditors.as_str().unwrap().as_bytes()).unwrap();
        let as_contact = String::from_utf8(text).unwrap().replacen("User:", "Contact:", 1);
        let as_contact = data_encoding::BASE64URL_NOPAD.encode(as_contact.as_bytes());
        for id in [auditors.as_str().unwrap(), &as_contact] {
            let input = json!({ "userId": id, "active": false });
            let other = admin.try_mutate("updateContact", input, "__typename").await;
            assert_eq!(other["refusal"]["field"], "userId", "{other:#}");
        }
        let input = json!({ "userId": auditors, "active": false });
        let off = admin.try_mutate("updateUser", input, "user { active }").await;
        assert_eq!(off["user"]["active"], false, "{off:#}");
        let ended = auditor.raw("{ viewer { id } }", json!({})).await;
        assert_eq!(ended["data"]["viewer"]["id"], Value::Null, "{ended:#}");
    }
}

/// PostgreSQL ends one of two transactions that wait for each other. Which it ends is whoever notices first: the other one
/// is told to wait for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_way_to_another_transaction_is_refused_as_a_conflict_and_changes_nothing() {
    use sea_orm::ConnectionTrait as _;

    if !Database::available().contains(&Database::Postgres) {
        return;
    }
    let (stage, client, connection) = Stage::onboarded(Database::Postgres).await;
    stage.pair.settle().await;
    let mut options = sea_orm::ConnectOptions::new(&stage.pair.consumer.config.database.url);
    options.max_connections(1).min_connections(1);
    let other = sea_orm::Database::connect(options).await.unwrap();
    other.execute_unprepared("set deadlock_timeout = '1min'").await.unwrap();
    other.execute_unprepared("begin; update head set audit_n = audit_n").await.unwrap();
    let suspend = async || {
        let input = json!({ "connectionId": connection });
        client.try_mutate("suspendConnection", input, "connection { state }").await
    };
    let wait_for_us = async || {
        let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while stage.pair.consumer.rows(waiting).await == 0 {
            let_pass(std::time::Duration::from_millis(10)).await;
        }
        other.execute_unprepared("update connection set revision = revision").await.unwrap();
    };
    let (refused, ()) = tokio::join!(suspend(), wait_for_us());
    assert_eq!(refused["refusal"]["code"], "CONFLICT", "{refused:#}");
    other.execute_unprepared("rollback").await.unwrap();
    let done = suspend().await;
    assert_eq!(done["connection"]["state"], "SUSPENDED", "{done:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_waits_for_the_password_says_so() {
    let stage = Stage::open(Database::Sqlite).await;
    assert_eq!(waiting(&stage).await, Vec::<String>::new(), "just signed in");
    stage.pair.clock.advance(6 * 60 * 1_000);
    assert_eq!(waiting(&stage).await, ["updateRegistration", "reissueRegistrationLink"]);
}

/// The actions that are possible once the password was given again.
async fn waiting(stage: &Stage) -> Vec<String> {
    let query = "query($id: ID!) { registration(id: $id) { actions { name allowed needsStepUp } } }";
    let seen = stage.provider.query(query, json!({ "id": stage.registration })).await;
    let seen = seen["registration"]["actions"].as_array().unwrap().clone();
    let waits = seen.iter().filter(|it| it["needsStepUp"] == true && it["allowed"] == false);
    waits.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

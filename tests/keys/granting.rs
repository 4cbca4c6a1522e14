//! Whoever grants key roles, and may do nothing else: they see to whom.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Pair, nodes};

const PEOPLE: &str = "{ users { edges { node { id email name roles actions { name allowed } } } } }";

async fn me(client: &Client) -> Value {
    client.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_grants_key_roles_sees_our_own_people_and_nobody_else() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let ready = pair.make_ready(&admin).await;
        let granter = pair.provider.person("granter", &[Role::KeyAdmin]).await;
        let later = pair.provider.person("later", &[Role::Viewer]).await;
        let later_id = me(&later).await;

        let people = nodes(&granter.query(PEOPLE, json!({})).await["users"]);
        let email = |one: &Value| one["email"].as_str().unwrap().to_owned();
        let mut emails: Vec<String> = people.iter().map(email).collect();
        emails.sort();
        let expected = ["admin", "granter", "later"].map(|name| format!("{name}@provider.example.com"));
        assert_eq!(emails, expected, "our own people, and no contact");
        let found = people.iter().find(|one| one["id"] == later_id).unwrap();
        assert_eq!(found["roles"], json!(["VIEWER"]), "{found:#}");
        let actions = found["actions"].as_array().unwrap();
        assert!(actions.iter().all(|action| action["allowed"] == false), "roles alone: {found:#}");

        let query = "query($id: ID!) { node(id: $id) { __typename } }";
        let kind = async |client: &Client, id: &Value| {
            client.query(query, json!({ "id": id })).await["node"].clone()
        };
        assert_eq!(kind(&granter, &later_id).await["__typename"], "User");
        for hidden in [&ready.company, &ready.contact] {
            assert_eq!(kind(&granter, &json!(hidden)).await, Value::Null, "{hidden}");
            assert_ne!(kind(&admin, &json!(hidden)).await, Value::Null, "{hidden} is there");
        }
        let others = "{ contacts { edges { node { id } } } companies { edges { node { id } } }
            registrations { edges { node { id } } } }";
        let others = granter.query(others, json!({})).await;
        for (list, found) in others.as_object().unwrap() {
            assert_eq!(found["edges"], json!([]), "{list}");
        }

        let changes = "subscription { changes(subjects: [ACCOUNT]) { kind subjectId } }";
        let mut told = granter.subscribe(changes, json!({})).await;
        assert_eq!(told.expect().await["kind"], "PRESENT");
        let renamed = json!({ "userId": ready.contact, "name": "Another Name" });
        admin.mutate("updateContact", renamed, "contact { id }").await;
        let grant = json!({ "userId": later_id, "role": "KEY_OPERATOR", "idempotencyKey": "once" });
        let granted = granter.mutate("grantRole", grant.clone(), "user { id roles }").await;
        assert_eq!(granted["user"]["roles"], json!(["VIEWER", "KEY_OPERATOR"]));
        let again = granter.mutate("grantRole", grant, "user { id roles }").await;
        assert_eq!(again, granted, "answered as the first time");
        assert_eq!(told.expect().await["subjectId"], later_id, "of a contact nothing is told");
        let modules = later.query("{ keyModules { edges { node { name } } } }", json!({})).await;
        assert!(!nodes(&modules["keyModules"]).is_empty(), "it works");

        for client in [&later, &pair.provider.person("auditor", &[Role::KeyAuditor]).await] {
            let refused = client.raw(PEOPLE, json!({})).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{refused:#}");
        }
    }
}

//! Who can effectively do what with a module.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::uses::module;
use crate::harness::{Client, Database, Pair};
use crate::key_policies::{create, service, terms};

/// Each right of a module that follows from its policies.
async fn effective(client: &Client, module: &str) -> Vec<Value> {
    let query =
        "query($module: String!) { effectiveRights(module: $module) { operation verdict data { value } unless { name value }
        principal { kind service role label user { id name } } } }";
    let all = client.query(query, json!({ "module": module })).await["effectiveRights"].clone();
    all.as_array().unwrap().clone()
}

/// Whether one of them may do this.
fn verdict<'a>(all: &'a [Value], is: impl Fn(&Value) -> bool, operation: &str) -> &'a str {
    let mut found = all.iter().filter(|right| is(&right["principal"]) && right["operation"] == operation);
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{operation} twice: {second:#?}");
    first.unwrap_or_else(|| panic!("no {operation}: {all:#?}"))["verdict"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_effectively_do_what_follows_from_all_policies_together() {
    let pair = Pair::start(Database::available()[0]).await;
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let right = async |service: &str| {
        let all = effective(&manager, "links").await;
        let mut all = all.into_iter();
        all.find(|right| right["principal"]["service"] == service && right["operation"] == "SEAL").unwrap()
    };
    assert_eq!(right("PEER").await["verdict"], "ALLOWED");
    assert_eq!(right("LETTERS").await["verdict"], "DENIED");
    let mut one = terms("STRICT_REJECT", service("PEER"), &["SEAL"]);
    one["condition"] = json!({ "name": "link_id", "value": "one" });
    create(&manager, "links", &one).await;
    let except = right("PEER").await;
    assert_eq!((&except["verdict"], &except["data"]), (&json!("EXCEPT"), &json!([{ "value": "one" }])));
    one["effect"] = json!("TRACK");
    one["principal"] = service("LETTERS");
    create(&manager, "links", &one).await;
    assert_eq!(right("LETTERS").await["verdict"], "ONLY");

    // Data of another name denies it all the same, and has to be named.
    let mut region = terms("STRICT_REJECT", service("LETTERS"), &["SEAL"]);
    region["condition"] = json!({ "name": "region", "value": "north" });
    create(&manager, "links", &region).await;
    let only = right("LETTERS").await;
    assert_eq!((&only["verdict"], &only["data"]), (&json!("ONLY"), &json!([{ "value": "one" }])), "{only:#}");
    assert_eq!(only["unless"], json!([{ "name": "region", "value": "north" }]), "{only:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_whom_a_policy_names_and_people_without_a_key_role_are_among_those_who_can_do_something() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let nobody = pair.provider.person("nobody", &[]).await;
        let both = pair.provider.person("both", &[Role::KeyOperator, Role::KeyIntegrator]).await;
        module(&manager, "papers", "SEALING", "A256GCM", &[]).await;
        let people = |all: &Value| all["kind"] == "EVERY_PERSON";
        let none = effective(&manager, "papers").await;
        assert!(none.iter().all(|right| !people(&right["principal"]) || right["verdict"] == "DENIED"));
        assert!(none.iter().all(|right| right["principal"]["kind"] != "PERSON"), "none is named");

        let mut ids = Vec::new();
        for (client, operation) in [(&nobody, "OPEN"), (&both, "SEAL")] {
            let id = client.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone();
            let who = json!({ "kind": "PERSON", "userId": id });
            create(&manager, "papers", &terms("TRACK", who, &[operation])).await;
            ids.push(id);
        }
        let is = |at: usize| {
            let id = ids[at].clone();
            move |who: &Value| who["user"]["id"] == id
        };
        let all = effective(&manager, "papers").await;
        let named = |operation| (verdict(&all, is(0), operation), verdict(&all, is(1), operation));
        assert_eq!(named("OPEN"), ("ALLOWED", "DENIED"));
        assert_eq!(named("SEAL"), ("DENIED", "ALLOWED"));
        // What each of two roles gives, and neither gives the other's.
        assert_eq!((named("ROTATE"), named("IMPORT")), (("DENIED", "ALLOWED"), ("DENIED", "ALLOWED")));
        assert_eq!(verdict(&all, people, "OPEN"), "DENIED", "who is not named");
        let about = all.iter().find(|right| is(0)(&right["principal"])).unwrap();
        assert_eq!(about["principal"]["user"]["name"], "A Person", "{about:#}");

        create(&manager, "papers", &terms("TRACK", json!({ "kind": "EVERY_PERSON" }), &["SEAL", "ROTATE"]))
            .await;
        let all = effective(&manager, "papers").await;
        assert_eq!((verdict(&all, people, "SEAL"), verdict(&all, is(0), "SEAL")), ("ALLOWED", "ALLOWED"));
        assert_eq!(verdict(&all, people, "ROTATE"), "DENIED", "a role is needed for it");
        let about = all.iter().find(|right| people(&right["principal"])).unwrap();
        assert_eq!(about["principal"]["label"], "People without a key role");

        let strict = terms("STRICT_REJECT", json!({ "kind": "EVERY_PERSON" }), &["OPEN"]);
        create(&manager, "papers", &strict).await;
        pair.provider.tamper("update account set active = false where email like 'both@%'").await;
        let all = effective(&manager, "papers").await;
        assert_eq!((verdict(&all, people, "OPEN"), verdict(&all, is(0), "OPEN")), ("DENIED", "DENIED"));
        let theirs = all.iter().filter(|right| is(1)(&right["principal"]));
        assert!(theirs.into_iter().all(|right| right["verdict"] == "DENIED"), "who cannot sign in");
    }
}

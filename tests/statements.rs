//! A list costs the same number of statements, however long it is.

use std::sync::atomic::Ordering;

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Instance, Pair, nodes};

/// How long the long lists are.
const MANY: usize = 40;

/// Lists of a provider with what belongs to their items.
const PROVIDER: [&str; 8] = [
    "query($n: Int!) { registrations(last: $n) { edges { node { number company { name } contact { name }
        issues { check } actions { name } connection { state outbound { status } inbound { status } } } } } }",
    "query($n: Int!) { registrations(last: $n) { edges { node { latestScan { progress { done } results { check } }
        connection { onboarding { phases { name } } settings { revision recordProducers { name active } }
        verification { state steps { state } } company { name } } } } } }",
    "query($n: Int!) { companies(last: $n) { edges { node { contacts(first: 1) { edges { node { name } } }
        registrations(first: 1) { edges { node { number contact { name } } } } } } } }",
    "query($n: Int!) { definitions(last: $n) { edges { node { name version fieldSchema } } } }",
    "query($n: Int!) { contacts(last: $n) { edges { node { name company { name } } } } }",
    "query($n: Int!) { scans(first: $n) { edges { node { results { check } subject { __typename ... on Registration { number } } } } } }",
    "query($n: Int!) { issues(last: $n, orderBy: LAST_SEEN) { edges { node { check viewerFollows assignee { name }
        followers { name } mute { reason } waiver { reason } actions { name } scan { state } subject { __typename } } } } }",
    "query($n: Int!) { changes(first: $n, subjects: [REGISTRATION]) { events { node { __typename ... on Registration { number company { name } } } } } }",
];

/// Lists of a consumer.
const CONSUMER: [&str; 4] = [
    "query($n: Int!) { connections(last: $n) { edges { node { traffic { sentLastDay lastSentAt }
        outbound { status cause { code } history(days: 2) { buckets { upMs } transitions { status } } } } } } }",
    "query($n: Int!) { connections(last: $n) { edges { node { state } } } healthOverview { score parts { value }
        states { count } statuses { count } issues { count } lastDay { wentDown }
        attention(first: $n) { id inbound { status } } connections(first: $n) { id outbound { status } issues { check } } } }",
    "query($n: Int!) { connections(last: $n) { edges { node { state company { name } outbound { status } inbound { status }
        onboarding { state phases { name } } settings { revision recordProducers { name active } }
        verification { state steps { state } } banner { text } } } } }",
    "query($n: Int!) { connections(last: $n) { edges { node { issues { check } actions { name } latestScan { state }
        peer { name } registration { number } } } } }",
];

/// How many statements a query needs, and what it answers. The instance may do something of its own meanwhile, which
/// only adds: the least of some tries counts.
async fn measure(instance: &Instance, client: &Client, query: &str, n: usize) -> (usize, Value) {
    measure_with(instance, client, query, &json!({ "n": n })).await
}

async fn measure_with(
    instance: &Instance,
    client: &Client,
    query: &str,
    variables: &Value,
) -> (usize, Value) {
    let mut least = usize::MAX;
    let mut answer = Value::Null;
    for _ in 0..6 {
        let before = instance.statements.load(Ordering::SeqCst);
        answer = client.query(query, variables.clone()).await;
        least = least.min(instance.statements.load(Ordering::SeqCst) - before);
    }
    (least, answer)
}

fn items(answer: &Value) -> usize {
    let list = answer.as_object().unwrap().values().next().unwrap();
    list["edges"].as_array().or(list["events"].as_array()).unwrap().len()
}

async fn hold(instance: &Instance, client: &Client, query: &str) {
    let (one, few) = measure(instance, client, query, 1).await;
    let (many, lots) = measure(instance, client, query, MANY).await;
    assert_eq!((items(&few), items(&lots)), (1, MANY), "{query}");
    assert!(one > 0, "nothing was counted");
    assert_eq!(one, many, "statements for 1 and for {MANY} of {query}");
}

/// Companies, contacts, and registrations whose checks found something.
async fn fill_provider(pair: &Pair, admin: &Client) {
    for n in 1..=MANY {
        let company =
            admin.mutate("createCompany", json!({ "name": format!("Company {n}") }), "company { id }").await;
        let company = company["company"]["id"].as_str().unwrap();
        let contact =
            json!({ "companyId": company, "email": format!("c{n}@example.com"), "name": "Contact" });
        let contact = admin.mutate("createContact", contact, "contact { id }").await;
        let input = json!({
            "companyId": company, "contactId": contact["contact"]["id"], "environment": "NON_PRODUCTION",
            "url": format!("https://nobody-{n}.localhost:1"),
        });
        admin.mutate("createRegistration", input, "registration { id }").await;
    }
    for n in 0..MANY {
        let schema = r#"{"type":"object"}"#;
        let input = json!({
            "kind": "RECORD_PRODUCER", "name": format!("Form {n}"), "description": "", "fieldSchema": schema,
        });
        admin.mutate("saveDefinition", input, "definition { id }").await;
    }
    pair.settle().await;
}

/// Connections from links that were opened and not followed up.
async fn fill_consumer(admin: &Client, link: &str, provider: &str) {
    for n in 1..MANY {
        let link = link.replace(provider, &format!("https://nobody-{n}.localhost:1"));
        admin.mutate("openRegistrationLink", json!({ "link": link }), "connection { id }").await;
    }
}

async fn constant(database: Database) {
    let pair = Pair::start(database).await;
    let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
    let ready = pair.make_ready(&provider).await;
    pair.register(&provider, &ready).await;
    let link = pair.link_in_letter();
    let connection = pair.open_link(&consumer, &link).await;
    pair.get_started(&consumer, &connection).await;
    let done = pair.onboard(&consumer, &connection).await;
    assert_eq!(done["state"], "ONBOARDED", "{done:#}");
    fill_provider(&pair, &provider).await;
    fill_consumer(&consumer, &link, &pair.provider.origin).await;
    pair.settle().await;
    for query in PROVIDER {
        hold(&pair.provider, &provider, query).await;
    }
    for query in CONSUMER {
        hold(&pair.consumer, &consumer, query).await;
    }
}

/// Lists of modules, of the versions of keys, and of policies.
const KEYS: [&str; 3] = [
    "query($n: Int!) { keyModules(first: $n) { edges { node { name actions { allowed }
        versions { version actions { allowed } } } } } }",
    "query($n: Int!) { keys(module: \"many\", first: $n) { edges { node { version actions { allowed } } } } }",
    "query($n: Int!) { accessPolicies(first: $n) { edges { node { id module actions { allowed } } } } }",
];

/// As [`hold`] for keys.
async fn hold_keys(pair: &Pair) {
    let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
    let make = async |name: String| {
        let draft = json!({ "name": name, "purpose": "SIGNING", "algorithm": "Ed25519" });
        manager.try_mutate("createKeyModule", draft, "keyModule { name }").await
    };
    make("many".to_owned()).await;
    manager.mutate("publishKeyModule", json!({ "module": "many" }), "keyModule { name }").await;
    for n in 0..MANY {
        make(format!("module-{n}")).await;
        let rotated = "keyModule { versions { version } }";
        let rotated = manager.mutate("rotateKeyModule", json!({ "module": "many" }), rotated).await;
        assert_eq!(rotated["keyModule"]["versions"][0]["version"], n + 1, "{rotated:#}");
    }
    for query in KEYS {
        hold(&pair.provider, &manager, query).await;
    }
    by_ids(pair, &manager).await;
    for _ in 0..12 {
        manager.mutate("rotateKeyModule", json!({ "module": "many" }), "keyModule { name }").await;
    }
    let shown = "{ keyModule(name: \"many\") { versions { version } } }";
    let shown = manager.query(shown, json!({})).await["keyModule"]["versions"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 50, "the newest of {}", MANY + 12);
    let oldest = "{ keys(module: \"many\", last: 2) { edges { node { version } }
        pageInfo { hasPreviousPage startCursor } } }";
    let oldest = manager.query(oldest, json!({})).await["keys"].clone();
    assert_eq!(nodes(&oldest), [json!({ "version": 2 }), json!({ "version": 1 })]);
    let before = "query($before: String) { keys(module: \"many\", last: 1, before: $before) {
        edges { node { version } } } }";
    let before = manager.query(before, json!({ "before": oldest["pageInfo"]["startCursor"] })).await;
    assert_eq!(nodes(&before["keys"]), [json!({ "version": 3 })]);
}

/// What `nodes` loads of modules, keys and policies.
async fn by_ids(pair: &Pair, manager: &Client) {
    let ids = "query($n: Int!) { keyModules(first: $n) { edges { node { id } } }
        keys(module: \"many\", first: $n) { edges { node { id } } }
        accessPolicies(first: $n) { edges { node { id } } } }";
    let nodes_of =
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on KeyModule { name } ... on KeyVersion { version }
        ... on AccessPolicy { note } } }";
    let mut counted = Vec::new();
    for n in [1, MANY] {
        let found = manager.query(ids, json!({ "n": n })).await;
        let of = |list: &str| nodes(&found[list]).into_iter().map(|node| node["id"].clone());
        let ids: Vec<Value> = of("keyModules").chain(of("keys")).chain(of("accessPolicies")).collect();
        let (least, answer) = measure_with(&pair.provider, manager, nodes_of, &json!({ "ids": ids })).await;
        let answered = answer["nodes"].as_array().unwrap();
        assert_eq!(answered.iter().filter(|node| node.is_object()).count(), 3 * n, "{answer:#}");
        counted.push(least);
    }
    assert_eq!(counted[0], counted[1], "statements for 1 and for {MANY} of each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_keys_take_as_many_statements_however_long_they_are() {
    for database in Database::available() {
        hold_keys(&Pair::start(database).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_forty_takes_as_many_statements_as_a_list_of_one() {
    for database in Database::available() {
        constant(database).await;
    }
}

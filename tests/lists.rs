//! Lists: in the order that was asked for, a page at a time both ways, and found by what people know of a thing.

use std::collections::BTreeSet;

use linkspan::domain::requester::Role;
use linkspan::mail::TransportKind;
use serde_json::{Value, json};

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Stage};

/// A list: its fields, and what of an item is looked at.
struct List {
    name: &'static str,
    kind: &'static str,
    fields: &'static str,
    of: fn(&Value) -> String,
}

const REGISTRATIONS: List = List {
    name: "registrations",
    kind: "Registration",
    fields: "number company { name }",
    of: |node| node["company"]["name"].as_str().unwrap().to_owned(),
};

const CONNECTIONS: List = List {
    name: "connections",
    kind: "Connection",
    fields: "peer { name }",
    of: |node| node["peer"]["name"].as_str().unwrap().to_owned(),
};

const ISSUES: List =
    List { name: "issues", kind: "Issue", fields: "id", of: |node| node["id"].as_str().unwrap().to_owned() };

impl List {
    async fn page(&self, client: &Client, arguments: Value) -> (Vec<String>, Value) {
        let (name, kind, fields) = (self.name, self.kind, self.fields);
        let query = format!(
            "query($order: {kind}Order, $filter: {kind}sFilter, $first: Int, $after: String, $last: Int, $before: String) {{
                {name}(orderBy: $order, filter: $filter, first: $first, after: $after, last: $last, before: $before) {{
                    edges {{ node {{ {fields} }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        let found = client.query(&query, arguments).await[name].clone();
        let nodes = found["edges"].as_array().unwrap().iter();
        (nodes.map(|edge| (self.of)(&edge["node"])).collect(), found["pageInfo"].clone())
    }

    /// All of it in pages of two, from the start and from the end; both must be the same.
    async fn walked(&self, client: &Client, order: &str) -> Vec<String> {
        let mut forth = Vec::new();
        let mut after = Value::Null;
        loop {
            let (items, info) =
                self.page(client, json!({ "order": order, "first": 2, "after": after })).await;
            forth.extend(items);
            after = info["endCursor"].clone();
            if info["hasNextPage"] == false {
                break;
            }
        }
        let mut back = Vec::new();
        let mut before = Value::Null;
        loop {
            let (items, info) =
                self.page(client, json!({ "order": order, "last": 2, "before": before })).await;
            back.splice(0..0, items);
            before = info["startCursor"].clone();
            if info["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(forth, back, "{} by {order}", self.name);
        forth
    }

    async fn found(&self, client: &Client, search: &str) -> Vec<String> {
        self.page(client, json!({ "filter": { "search": search } })).await.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_come_in_the_order_asked_for_and_are_found_by_number_url_and_company() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let record = json!({ "name": "acme-exchange" });
        admin.mutate("saveProviderRecord", record, "providerRecord { name }").await;
        let mut first = String::new();
        for (n, name) in ["beta Works", "Alpha Works", "Gamma 100% Works"].into_iter().enumerate() {
            let company = admin.mutate("createCompany", json!({ "name": name }), "company { id }").await;
            let company = company["company"]["id"].as_str().unwrap();
            let contact =
                pair.make_contact(&admin, company, &format!("contact-{n}@consumer.example.com")).await;
            let input = json!({
                "companyId": company, "contactId": contact, "environment": "NON_PRODUCTION",
                "url": format!("https://linkspan-{n}.consumer.example.com"),
            });
            let made = admin.mutate("createRegistration", input, "registration { id }").await;
            if n == 0 {
                made["registration"]["id"].as_str().unwrap().clone_into(&mut first);
            }
            pair.settle().await;
            pair.advance(1).await;
        }
        let input = json!({ "registrationId": first });
        admin.mutate("cancelRegistration", input, "registration { state }").await;
        let (alpha, beta, gamma) = ("Alpha Works", "beta Works", "Gamma 100% Works");
        for (order, expected) in [
            ("NEWEST", [gamma, alpha, beta]),
            ("LAST_CHANGED", [beta, gamma, alpha]),
            ("COMPANY", [alpha, beta, gamma]),
        ] {
            assert_eq!(REGISTRATIONS.walked(&admin, order).await, expected, "{order}");
        }
        for (search, expected) in [
            ("reg-000002", alpha),
            ("REG-000003", gamma),
            ("linkspan-0", beta),
            ("ALPHA", alpha),
            ("100%", gamma),
        ] {
            assert_eq!(REGISTRATIONS.found(&admin, search).await, [expected], "{search}");
        }
        assert!(REGISTRATIONS.found(&admin, "reg-000009").await.is_empty());
        assert!(REGISTRATIONS.found(&admin, "reg_0").await.is_empty(), "an underscore is only itself");
        let contacts = async |search: &str| {
            let query = "query($search: String) { contacts(search: $search) { edges { node { email } } } }";
            let found = admin.query(query, json!({ "search": search })).await;
            let edges = found["contacts"]["edges"].as_array().unwrap();
            edges.iter().map(|edge| edge["node"]["email"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(contacts("CONTACT-1@").await, ["contact-1@consumer.example.com"]);
        assert_eq!(contacts("named").await.len(), 3, "by a part of their name, too");
        assert!(contacts("contact_1").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_are_paged_in_every_order_and_whoever_follows_one_finds_it() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.mail.transport = TransportKind::Off;
        pair.provider.start(None).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        let admin = pair.provider_admin().await;
        let ready = pair.make_ready(&admin).await;
        pair.consumer.origin = "https://nobody.invalid".to_owned();
        let off = json!({ "userId": ready.contact, "active": false });
        admin.mutate("updateContact", off, "contact { active }").await;
        pair.register(&admin, &ready).await;
        for order in ["NEWEST", "LAST_SEEN", "SEVERITY"] {
            let found = ISSUES.walked(&admin, order).await;
            assert!(
                found.len() > 2 && found.iter().collect::<BTreeSet<_>>().len() == found.len(),
                "{found:?}"
            );
        }
        let all = ISSUES.walked(&admin, "NEWEST").await;
        admin.mutate("followIssue", json!({ "issueId": all[1] }), "issue { viewerFollows }").await;
        let followed = ISSUES.page(&admin, json!({ "filter": { "followed": true } })).await.0;
        assert_eq!(followed, [all[1].clone()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_come_in_the_order_asked_for_and_are_found_by_company() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let random = match database {
            Database::Sqlite => "randomblob(16)",
            Database::Postgres => "gen_random_uuid()",
        };
        for (later, name) in [(3, "Zebra"), (1, "alpha"), (2, "Mid")] {
            for statement in [
                "create table copy as select * from connection where peer_name = 'provider'".to_owned(),
                format!(
                    "update copy set id = {random}, link_id = {random}, registration_id = null, channel_id = null, peer_name = '{name}',
                        origin = 'https://{name}.example.org', company_id = null, updated_at = updated_at + {later}"
                ),
                "insert into connection select * from copy".to_owned(),
                "drop table copy".to_owned(),
            ] {
                stage.pair.consumer.tamper(&statement).await;
            }
        }
        let by_change = CONNECTIONS.walked(&consumer, "LAST_CHANGED").await;
        assert_eq!(by_change, ["Zebra", "Mid", "alpha", "provider"]);
        assert_eq!(CONNECTIONS.walked(&consumer, "NAME").await, ["alpha", "Mid", "provider", "Zebra"]);
        assert_eq!(CONNECTIONS.walked(&consumer, "NEWEST").await.len(), 4);
        let company = consumer
            .query(
                "query($id: ID!) { connection(id: $id) { company { name } } }",
                json!({ "id": connection }),
            )
            .await;
        let company = company["connection"]["company"]["name"].as_str().unwrap();
        assert_eq!(CONNECTIONS.found(&consumer, company).await, ["provider"]);
    }
}

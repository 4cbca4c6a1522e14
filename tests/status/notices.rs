//! What one side tells the other of itself, and what people hear of what changes.

use serde_json::{Value, json};

use super::stage::{Side, Watched};
use crate::harness::{Client, Database};

const SUSPENDED: &str = "query($id: ID!) { connection(id: $id) { state suspension { byPeer reason since }
    outbound { status cause { code reason detail } } inbound { status } issues { check }
    explanation { fault { dependency evidence remedy { text } } } } }";

const NEEDING: &str = "{ needing: connections(filter: { needsAttention: true }) { edges { node { id } } }
    others: connections(filter: { needsAttention: false }) { edges { node { id } } }
    healthOverview { attention { id } connections { outbound { status } inbound { status } } } }";

async fn shown(client: &Client, id: &str) -> Value {
    client.query(SUSPENDED, json!({ "id": id })).await["connection"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_shows_on_the_other_side_at_once_with_its_reason_and_so_does_its_end() {
    for database in Database::available() {
        let watched = Watched::onboarded(database).await;
        watched.calm().await;
        let input = json!({ "connectionId": watched.at_provider, "reason": "Maintenance until noon" });
        watched.provider.mutate("suspendConnection", input, "connection { state }").await;
        // No time passes: no probe is due, and the notice alone tells.
        watched.pair.settle().await;
        let ours = shown(&watched.provider, &watched.at_provider).await;
        assert_eq!(ours["state"], "SUSPENDED");
        assert_eq!(
            (&ours["suspension"]["byPeer"], &ours["suspension"]["reason"]),
            (&json!(false), &json!("Maintenance until noon"))
        );
        let paused = |look: &Value| {
            look["outbound"]["status"] == "SUSPENDED" && look["inbound"]["status"] == "SUSPENDED"
        };
        let told = watched.until(Side::Consumer, 0, paused).await;
        assert_eq!(told, Some(0), "{:#}", watched.look(Side::Consumer).await);
        let theirs = shown(&watched.consumer, &watched.at_consumer).await;
        assert_eq!(theirs["state"], "ONBOARDED", "the state is each side's own");
        assert_eq!(theirs["suspension"]["byPeer"], true, "{theirs:#}");
        assert_eq!(theirs["suspension"]["reason"], "Maintenance until noon", "{theirs:#}");
        assert_eq!(theirs["explanation"]["fault"]["dependency"], "PEER_STANDS", "{theirs:#}");
        // Whoever looks at all connections finds it on either side.
        for (client, id) in
            [(&watched.provider, &watched.at_provider), (&watched.consumer, &watched.at_consumer)]
        {
            let found = client.query(NEEDING, json!({})).await;
            let it = json!([{ "node": { "id": id } }]);
            assert_eq!(
                (&found["needing"]["edges"], &found["others"]["edges"]),
                (&it, &json!([])),
                "{database:?}: {found:#}"
            );
            let health = &found["healthOverview"];
            assert_eq!(health["attention"], json!([{ "id": id }]), "{database:?}: {found:#}");
            let card = &health["connections"][0];
            assert_eq!(
                (&card["outbound"]["status"], &card["inbound"]["status"]),
                (&json!("SUSPENDED"), &json!("SUSPENDED")),
                "{database:?}: {found:#}"
            );
        }

        // Probes go on, are answered so, and it stays paused; nothing is down.
        watched.intervals(6).await;
        let theirs = shown(&watched.consumer, &watched.at_consumer).await;
        assert_eq!(
            (&theirs["outbound"]["status"], &theirs["inbound"]["status"]),
            (&json!("SUSPENDED"), &json!("SUSPENDED"))
        );
        assert_eq!(theirs["suspension"]["reason"], "Maintenance until noon", "{theirs:#}");
        let signed = "audit where operation = 'connection.paused_by_peer' and actor like 'peer:%'";
        assert_eq!(watched.pair.consumer.rows(signed).await, 1);

        let input = json!({ "connectionId": watched.at_provider });
        watched.provider.mutate("resumeConnection", input, "connection { state }").await;
        let up = |look: &Value| look["outbound"]["status"] == "UP" && look["inbound"]["status"] == "UP";
        for side in [Side::Provider, Side::Consumer] {
            let back = watched.until(side, 5, up).await;
            assert!(back.is_some(), "{side:?}: {:#}", watched.look(side).await);
        }
        assert!(shown(&watched.consumer, &watched.at_consumer).await["suspension"].is_null());
        let found = watched.consumer.query(NEEDING, json!({})).await;
        assert_eq!(found["healthOverview"]["attention"], json!([]), "{database:?}: {found:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_about_a_registration_that_ended_is_closed_and_nothing_new_is_raised() {
    for database in Database::available() {
        let pair = crate::harness::Pair::start(database).await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let off = json!({ "userId": ready.contact, "active": false });
        provider.mutate("updateContact", off, "contact { active }").await;
        let registration = pair.register(&provider, &ready).await;
        let query = "query($state: IssueState!) { issues(filter: { state: $state }) { edges { node { check state resolvedAt
            subject { __typename } actions { name allowed } } } } }";
        let of = async |state: &str| {
            let found = provider.query(query, json!({ "state": state })).await;
            let edges = found["issues"]["edges"].as_array().unwrap().clone();
            let about = |node: &Value| node["subject"]["__typename"] == "Registration";
            edges.into_iter().map(|edge| edge["node"].clone()).filter(about).collect::<Vec<_>>()
        };
        let open = of("OPEN").await.len();
        assert!(open > 0);

        let input = json!({ "registrationId": registration });
        provider.mutate("cancelRegistration", input, "registration { state }").await;
        pair.settle().await;
        assert_eq!(of("OPEN").await, Vec::<Value>::new());
        let closed = of("CLOSED").await;
        assert_eq!(closed.len(), open);
        assert!(closed.iter().all(|issue| issue["resolvedAt"].is_string()), "{closed:#?}");
        let offered = |name: &str| {
            let actions = closed[0]["actions"].as_array().unwrap();
            actions.iter().find(|action| action["name"] == name).unwrap()["allowed"].clone()
        };
        assert_eq!(offered("validateIssue"), false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_the_guided_set_up_hears_when_it_changes() {
    for database in Database::available() {
        let pair = crate::harness::Pair::start(database).await;
        let provider = pair.provider_admin().await;
        let live = "subscription { guidedSetupChanged { cursor kind provider { completed activities { name state verified } } } }";
        let mut events = provider.subscribe(live, json!({})).await;
        let state = |event: &Value, name: &str| {
            let all = event["provider"]["activities"].as_array().unwrap();
            let found = all.iter().find(|activity| activity["name"] == name);
            found.unwrap_or_else(|| panic!("{event:#}")).clone()
        };
        let first = events.expect().await;
        assert_eq!(first["kind"], "PRESENT");
        let name = first["provider"]["activities"][0]["name"].as_str().unwrap().to_owned();
        assert_eq!(state(&first, &name)["verified"], false);
        let record = json!({ "name": "acme-exchange", "description": "Ours" });
        provider.mutate("saveProviderRecord", record, "providerRecord { name }").await;
        assert_eq!(state(&events.expect().await, &name)["verified"], true);
        let input = json!({ "side": "PROVIDER", "activity": name });
        provider.mutate("completeActivity", input, "activity { state }").await;
        let done = events.expect().await;
        assert_eq!(state(&done, &name)["state"], "COMPLETED");
        assert_eq!(done["provider"]["completed"], 1);

        let stranger = pair.provider.client();
        let refused = stranger.subscribe(live, json!({})).await.next().await.unwrap();
        assert!(refused["errors"].is_array(), "nobody is told who did not sign in: {refused:#}");
    }
}

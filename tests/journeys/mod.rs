//! The three journeys that people are promised, each followed line by line through the public API over two real
//! instances. The steps say in our own words what the person reads and does.

mod consumer_wizard;
mod manual_form;
mod provider_registration;

use serde_json::{Value, json};

use crate::harness::Client;

const CONNECTION: &str = "query($id: ID!) { connection(id: $id) {
    state stateLabel company { id name } banner { text healthUrl } onboardedAt
    peer { origin name version fingerprintText }
    outbound { status statusLabel } inbound { status statusLabel }
    actions { name label allowed reason } issues { id check message blocking remedy { kind text } }
    verification { state steps { name label state ours theirs failure { code message } } }
    onboarding { state message } settings { savedAt agreed recordProducers { name active } taskDefinitions { name active }
        autoActivateRecordProducers } } }";

/// The connection as a person sees it.
async fn connection(client: &Client, id: &str) -> Value {
    client.query(CONNECTION, json!({ "id": id })).await["connection"].clone()
}

/// Whether a screen offers this action, which is called so.
fn offers(connection: &Value, label: &str) -> bool {
    let actions = connection["actions"].as_array().unwrap();
    let action = actions.iter().find(|action| action["label"] == label);
    action.unwrap_or_else(|| panic!("no action is called {label:?}: {actions:#?}"))["allowed"] == true
}

/// The words for both directions, as the form shows them; empty for blank.
fn statuses(connection: &Value) -> (&str, &str) {
    let label = |way: &str| connection[way]["statusLabel"].as_str().unwrap_or_default();
    (label("outbound"), label("inbound"))
}

/// What the guided set-up shows of an activity.
async fn activity(client: &Client, side: &str, name: &str) -> Value {
    let query = "query($side: ConnectionRole!) { guidedSetup(side: $side) { completed activities {
        name state stateLabel verified missing lockedBecause url instructions completedAt overrideReason } } }";
    let setup = client.query(query, json!({ "side": side })).await["guidedSetup"].clone();
    let activities = setup["activities"].as_array().unwrap();
    let found = activities.iter().find(|activity| activity["name"] == name);
    found.unwrap_or_else(|| panic!("{setup:#}")).clone()
}

/// *Mark Complete*.
async fn mark_complete(client: &Client, side: &str, name: &str) -> Value {
    let input = json!({ "side": side, "activity": name });
    client.mutate("completeActivity", input, "activity { state completedAt }").await["activity"].clone()
}

/// The messages under which people see how far onboarding is, in order.
const MESSAGES: [&str; 3] =
    ["Provider onboarding started", "Syncing settings to complete onboarding", "Onboarding Complete"];

/// Follows the messages that the wizard shows, until onboarding is done: from the first to the last, in order. An event
/// tells what is true when it is sent, so that a quick phase may be passed over; afterwards each can be seen.
async fn follow_messages(events: &mut crate::harness::events::Events) {
    let mut shown = Vec::new();
    let onboarding = loop {
        let event = events.expect().await;
        let Some(message) = event["onboarding"]["message"].as_str() else { continue };
        let place = MESSAGES.iter().position(|known| *known == message);
        shown.push(place.unwrap_or_else(|| panic!("an unknown message: {message}")));
        if event["state"] == "DONE" {
            break event["onboarding"].clone();
        }
    };
    assert!(shown.is_sorted(), "never backwards: {shown:?}");
    assert_eq!((shown[0], shown[shown.len() - 1]), (0, 2));
    let mut messages: Vec<_> = onboarding["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["message"].as_str().unwrap())
        .collect();
    messages.dedup();
    assert_eq!(messages, MESSAGES);
}

const PROGRESS: &str = "subscription($id: ID!) { onboardingProgress(connectionId: $id) {
    state onboarding { message phases { label message state } } } }";

/// Verifies the connection; answers the steps with their states.
async fn verify(pair: &crate::harness::Pair, client: &Client, id: &str) -> Value {
    let begun =
        client.mutate("verifyConnection", json!({ "connectionId": id }), "verification { state }").await;
    assert_eq!(begun["verification"]["state"], "RUNNING");
    pair.settle().await;
    connection(client, id).await["verification"].clone()
}

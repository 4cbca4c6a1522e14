//! Two instances onboard each other, end to end, as people do it.

use crate::harness::{Database, Pair};

/// From saving the registration to both directions *Up* on both sides.
async fn onboard(database: Database) {
    let pair = Pair::start(database).await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    let registration = pair.register(&provider, &ready).await;
    let open = pair.registration(&provider, &registration).await;
    assert_eq!(open["state"], "OPEN", "{open:#}");
    assert_eq!(open["link"]["delivery"], "SENT_TO_CONTACT");

    let consumer = pair.consumer_admin().await;
    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    let validated = pair.get_started(&consumer, &connection).await;
    assert_eq!(validated["state"], "VALIDATED", "{validated:#}");
    let done = pair.onboard(&consumer, &connection).await;
    assert_eq!(done["state"], "ONBOARDED", "{done:#}");
    assert_eq!(done["outbound"]["status"], "UP");
    assert_eq!(done["inbound"]["status"], "UP");

    let closed = pair.registration(&provider, &registration).await;
    assert_eq!(closed["state"], "CLOSED_COMPLETE", "{closed:#}");
    assert_eq!(closed["connection"]["state"], "ONBOARDED");
    assert_eq!(closed["connection"]["outbound"]["status"], "UP");
    assert_eq!(closed["connection"]["inbound"]["status"], "UP");

    let metrics = pair.consumer.client().get("/metrics").await.body;
    for direction in ["outbound", "inbound"] {
        let up = format!("linkspan_directions{{direction=\"{direction}\",status=\"up\"}} 1\n");
        assert!(metrics.contains(&up), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_and_a_consumer_onboard_each_other() {
    for database in Database::available() {
        onboard(database).await;
    }
}

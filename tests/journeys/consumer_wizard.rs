//! The consumer's administrator follows the wizard, from the link in the letter to settings that are saved.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use super::{PROGRESS, connection, follow_messages, offers, statuses, verify};
use crate::harness::{Client, Database, Stage};

const FORM: &str = r#"{"type":"object","properties":{"summary":{"type":"string"}}}"#;

async fn publish(provider: &Client, kind: &str, name: &str) {
    let input = json!({ "kind": kind, "name": name, "description": "", "fieldSchema": FORM });
    provider.mutate("saveDefinition", input, "definition { id }").await;
}

/// A check fails at first: the wizard says what is wrong and does not offer to start. It is mended, and *Get Started*
/// is selected again.
async fn get_started(stage: &Stage, consumer: &Client, id: &str) {
    let input = json!({ "name": "The Provider" });
    let company = consumer.mutate("createCompany", input, "company { id }").await;
    let started = json!({ "connectionId": id });
    consumer.mutate("runPreOnboardingChecks", started.clone(), "connection { stateLabel }").await;
    stage.pair.settle().await;
    let failed = connection(consumer, id).await;
    assert_eq!(failed["stateLabel"], "Validation failed", "{failed:#}");
    assert!(!offers(&failed, "Start Registration"), "{failed:#}");
    assert_eq!(failed["issues"][0]["check"], "PROVIDER_COMPANY_CHOSEN", "{failed:#}");

    let chosen = json!({ "connectionId": id, "companyId": company["company"]["id"] });
    consumer.mutate("chooseProviderCompany", chosen, "connection { company { name } }").await;
    let running = consumer.mutate("runPreOnboardingChecks", started, "connection { stateLabel }").await;
    assert_eq!(running["connection"]["stateLabel"], "Awaiting validation");
    stage.pair.settle().await;
    let validated = connection(consumer, id).await;
    assert_eq!(validated["stateLabel"], "Validated", "{validated:#}");
    assert!(offers(&validated, "Start Registration"));
}

/// *Configure settings*: record producers, task definitions and auto-activation, saved by *Done*.
async fn configure(stage: &Stage, consumer: &Client, id: &str) -> Value {
    let before = connection(consumer, id).await["settings"].clone();
    assert_eq!(
        before["recordProducers"],
        json!([{ "name": "Report a fault", "active": false }]),
        "{before:#}"
    );
    assert_eq!(before["taskDefinitions"], json!([{ "name": "Repair", "active": false }]));
    assert!(before["savedAt"].is_null());
    let input = json!({
        "connectionId": id, "activeRecordProducers": ["Report a fault"], "activeTaskDefinitions": ["Repair"],
        "autoActivateRecordProducers": true,
    });
    consumer.mutate("updateSettings", input, "settings { revision }").await;
    stage.pair.settle().await;
    connection(consumer, id).await["settings"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_follows_the_wizard_from_the_link_to_saved_settings() {
    for database in Database::available() {
        // The provider registered us and shared the link by letter; we are an administrator here.
        let stage = Stage::open(database).await;
        publish(&stage.provider, "RECORD_PRODUCER", "Report a fault").await;
        publish(&stage.provider, "TASK_DEFINITION", "Repair").await;
        let consumer = stage.pair.consumer_admin().await;

        // 1. Open the link: a page opens, and nothing is used up by looking.
        let page = consumer.get(stage.link.split('#').next().unwrap()).await;
        assert_eq!(page.status, 200);
        let preview = "query($link: String!) { registrationPreview(link: $link) { providerOrigin } }";
        let preview = consumer.query(preview, json!({ "link": stage.link })).await;
        assert_eq!(preview["registrationPreview"]["providerOrigin"], stage.pair.provider.origin);
        // It takes an administrator: who only operates here reads, and neither opens the link nor starts.
        let operator = stage.pair.consumer.person("operator", &[Role::Operator]).await;
        let refused = async |verb: &str, input: Value| {
            let payload = operator.try_mutate(verb, input, "connection { id }").await;
            assert_eq!(payload["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{verb}: {payload:#}");
        };
        refused("openRegistrationLink", json!({ "link": stage.link })).await;
        let id = stage.pair.open_link(&consumer, &stage.link).await;
        refused("startOnboarding", json!({ "connectionId": id })).await;
        assert_eq!(connection(&consumer, &id).await["stateLabel"], "Pending");

        // 2. Select the provider company, and *Get Started*.
        get_started(&stage, &consumer, &id).await;

        // 3. *Start Registration*: the progress of each step is shown as it completes.
        let mut progress = consumer.subscribe(PROGRESS, json!({ "id": id })).await;
        stage.start(&consumer, &id).await;
        stage.pair.approve(&consumer, &id).await;
        follow_messages(&mut progress).await;

        // 4 and 5. *Configure settings*, saved by *Done*.
        let settings = configure(&stage, &consumer, &id).await;
        assert!(settings["savedAt"].is_string(), "{settings:#}");
        assert_eq!(settings["agreed"], true, "{settings:#}");
        assert_eq!(settings["recordProducers"][0]["active"], true);
        publish(&stage.provider, "RECORD_PRODUCER", "Ask for access").await;
        stage.pair.settle().await;
        let settings = connection(&consumer, &id).await["settings"].clone();
        let both = json!([{ "name": "Ask for access", "active": true }, { "name": "Report a fault", "active": true }]);
        assert_eq!(settings["recordProducers"], both, "auto-activation does what it says: {settings:#}");

        // The result: state, provider's details, status of both directions, and since when.
        let done = connection(&consumer, &id).await;
        assert_eq!(done["stateLabel"], "Onboarded", "{done:#}");
        assert_eq!(done["onboarding"]["message"], "Onboarding Complete");
        assert_eq!(done["company"]["name"], "The Provider");
        assert_eq!(done["peer"]["origin"], stage.pair.provider.origin);
        assert_eq!(done["peer"]["name"], "provider");
        assert_eq!(statuses(&done), ("Up", "Up"));
        assert!(done["onboardedAt"].is_string());

        // Next: look whether all is well.
        let verified = verify(&stage.pair, &consumer, &id).await;
        assert_eq!(verified["state"], "PASSED", "{verified:#}");

        // What to do next: execute a suite of checks.
        let input = json!({ "subjectId": id, "suites": ["POST_ONBOARDING"] });
        let viewer = stage.pair.consumer.person("viewer", &[Role::Viewer]).await;
        let refused = viewer.try_mutate("runScan", input.clone(), "scan { id }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");
        let scan = consumer.mutate("runScan", input, "scan { id }").await["scan"]["id"].clone();
        let progress =
            "subscription($id: ID!) { scanProgress(id: $id) { state scan { results { check answer } } } }";
        let mut events = consumer.subscribe(progress, json!({ "id": scan })).await;
        let ended = loop {
            let event = events.expect().await;
            if event["state"] == "PASSED" || event["state"] == "FAILED" {
                break event;
            }
        };
        assert_eq!(ended["state"], "PASSED", "{ended:#}");
        let results = ended["scan"]["results"].as_array().unwrap();
        assert!(results.len() == 8 && results.iter().all(|it| it["answer"] == "PASS"), "{ended:#}");
    }
}

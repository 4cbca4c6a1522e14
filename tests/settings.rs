//! Settings do something: what the provider publishes reaches every consumer, which takes it or leaves it, and
//! neither side can be set back.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::let_pass;
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Stage};

const FORM: &str =
    r#"{"type":"object","properties":{"summary":{"type":"string","maxLength":80}},"required":["summary"]}"#;
const LONGER_FORM: &str = r#"{"type":"object","properties":{"summary":{"type":"string","maxLength":200}}}"#;
const SETTINGS: &str = "revision offerRevision agreed syncedAt syncFailure { code reason }
    autoActivateRecordProducers autoActivateTaskDefinitions
    recordProducers { name description version fieldSchema active }
    taskDefinitions { name version active }";

fn draft(kind: &str, name: &str) -> Value {
    json!({ "kind": kind, "name": name, "description": "For tests", "fieldSchema": FORM })
}

async fn publish(stage: &Stage, input: Value) -> Value {
    let fields = "definition { id name version revision }";
    let saved = stage.provider.mutate("saveDefinition", input, fields).await;
    stage.pair.settle().await;
    saved["definition"].clone()
}

async fn settings(client: &Client, connection: &str) -> Value {
    let query = format!("query($id: ID!) {{ connection(id: $id) {{ settings {{ {SETTINGS} }} }} }}");
    client.query(&query, json!({ "id": connection })).await["connection"]["settings"].clone()
}

/// Name and whether it is active, in order.
fn active(settings: &Value, field: &str) -> Vec<(String, bool)> {
    let one = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["active"] == true);
    settings[field].as_array().unwrap().iter().map(one).collect()
}

fn named(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(name, active)| ((*name).to_owned(), *active)).collect()
}

async fn switch(client: &Client, verb: &str, connection: &str, name: &str) -> Value {
    let input = json!({ "connectionId": connection, "kind": "RECORD_PRODUCER", "name": name });
    client.try_mutate(verb, input, "settings { revision }").await
}

/// A person on this side has both agree again.
async fn sync(stage: &Stage, client: &Client, connection: &str) {
    let input = json!({ "connectionId": connection });
    client.mutate("syncConnectionSettings", input, "settings { revision }").await;
    stage.pair.settle().await;
}

/// What both sides show, which is the same, and agreed on.
async fn agreed(stage: &Stage, consumer: &Client, connection: &str) -> Value {
    let here = settings(consumer, connection).await;
    assert_eq!(here["agreed"], true, "{here:#}");
    assert_eq!(here, settings(&stage.provider, &stage.providers_connection().await).await);
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_reaches_the_consumer_and_the_provider_sees_what_is_active_there() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        publish(&stage, draft("RECORD_PRODUCER", "Report a fault")).await;
        publish(&stage, draft("TASK_DEFINITION", "Repair")).await;
        let (consumer, connection) = stage.onboard().await;

        let here = settings(&consumer, &connection).await;
        assert_eq!(active(&here, "recordProducers"), named(&[("Report a fault", false)]), "{here:#}");
        assert_eq!(active(&here, "taskDefinitions"), named(&[("Repair", false)]));
        assert_eq!((&here["offerRevision"], &here["agreed"]), (&json!(2), &json!(true)), "{here:#}");

        publish(&stage, draft("RECORD_PRODUCER", "Ask for access")).await;
        let here = settings(&consumer, &connection).await;
        let both = named(&[("Ask for access", false), ("Report a fault", false)]);
        assert_eq!(active(&here, "recordProducers"), both, "told without being asked: {here:#}");

        let switched = switch(&consumer, "activateDefinition", &connection, "Report a fault").await;
        assert!(switched["refusal"].is_null(), "{switched:#}");
        stage.pair.settle().await;
        let theirs = stage.providers_connection().await;
        let there = settings(&stage.provider, &theirs).await;
        let one = named(&[("Ask for access", false), ("Report a fault", true)]);
        assert_eq!(active(&there, "recordProducers"), one, "{there:#}");
        assert_eq!(there, settings(&consumer, &connection).await, "both sides show the same");
        assert_eq!(there["agreed"], true);

        let id = stage
            .provider
            .query(
                "{ definitions(kind: RECORD_PRODUCER) { edges { node { id name revision } } } }",
                json!({}),
            )
            .await;
        let edges = id["definitions"]["edges"].as_array().unwrap();
        let fault = edges.iter().find(|edge| edge["node"]["name"] == "Report a fault").unwrap();
        let change = json!({
            "definitionId": fault["node"]["id"], "kind": "RECORD_PRODUCER", "name": "Report a fault",
            "description": "For tests", "fieldSchema": LONGER_FORM, "expectedRevision": 1,
        });
        assert_eq!(publish(&stage, change).await["version"], 2, "another form is another version");
        let here = settings(&consumer, &connection).await;
        assert_eq!(here["recordProducers"][1]["version"], 2, "{here:#}");
        assert_eq!(here["recordProducers"][1]["active"], true, "a change does not switch it off");

        let input = json!({ "definitionId": fault["node"]["id"] });
        stage.provider.mutate("withdrawDefinition", input, "definition { name }").await;
        stage.pair.settle().await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(active(&here, "recordProducers"), named(&[("Ask for access", false)]));
        assert_eq!(here["agreed"], true, "{here:#}");
        let gone = switch(&consumer, "activateDefinition", &connection, "Report a fault").await;
        assert_eq!(gone["refusal"]["reason"], "NOT_OFFERED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_activation_takes_what_is_new_and_leaves_off_what_a_person_switched_off() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        publish(&stage, draft("RECORD_PRODUCER", "Earlier")).await;
        let input = json!({ "connectionId": connection, "autoActivateRecordProducers": true });
        consumer.mutate("updateSettings", input, "settings { revision }").await;
        publish(&stage, draft("RECORD_PRODUCER", "Later")).await;
        publish(&stage, draft("TASK_DEFINITION", "A task")).await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(active(&here, "recordProducers"), named(&[("Earlier", false), ("Later", true)]));
        assert_eq!(active(&here, "taskDefinitions"), named(&[("A task", false)]), "the other option is off");
        switch(&consumer, "deactivateDefinition", &connection, "Later").await;
        publish(&stage, draft("RECORD_PRODUCER", "Latest")).await;
        let here = settings(&consumer, &connection).await;
        let expected = named(&[("Earlier", false), ("Later", false), ("Latest", true)]);
        assert_eq!(active(&here, "recordProducers"), expected);
        assert_eq!(here["agreed"], true, "{here:#}");
        let there = settings(&stage.provider, &stage.providers_connection().await).await;
        assert_eq!(active(&there, "recordProducers"), expected, "the provider knows it, too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_difference_is_shown_before_saving_and_a_second_editor_gets_a_conflict() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let preview = "query($input: SaveDefinitionInput!) { definitionPreview(input: $input) {
            differences { field before after } refusal { code field message } } }";
        let mut input = draft("RECORD_PRODUCER", "Report a fault");
        let shown =
            stage.provider.query(preview, json!({ "input": input })).await["definitionPreview"].clone();
        let fields: Vec<_> = shown["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["field"].as_str().unwrap())
            .collect();
        assert_eq!(fields, ["name", "description", "version", "fieldSchema"], "{shown:#}");
        assert_eq!(stage.pair.provider.rows("definition").await, 0, "nothing was stored");

        let saved = publish(&stage, input.clone()).await;
        input["definitionId"] = saved["id"].clone();
        input["description"] = json!("Another text");
        let shown =
            stage.provider.query(preview, json!({ "input": input })).await["definitionPreview"].clone();
        let one = json!([{ "field": "description", "before": "For tests", "after": "Another text" }]);
        assert_eq!(shown["differences"], one, "{shown:#}");
        input["expectedRevision"] = json!(1);
        publish(&stage, input.clone()).await;
        let late = stage.provider.try_mutate("saveDefinition", input.clone(), "definition { id }").await;
        assert_eq!(late["refusal"]["code"], "CONFLICT");
        let shown =
            stage.provider.query(preview, json!({ "input": input })).await["definitionPreview"].clone();
        assert_eq!(shown["refusal"]["code"], "CONFLICT", "the preview says so, too: {shown:#}");
        let twice = draft("RECORD_PRODUCER", "Report a fault");
        let twice = stage.provider.try_mutate("saveDefinition", twice, "definition { id }").await;
        assert_eq!(twice["refusal"]["code"], "DUPLICATE");

        let preview = "query($input: UpdateSettingsInput!) { settingsPreview(input: $input) {
            differences { field before after } refusal { code reason } } }";
        let input = json!({
            "connectionId": connection, "autoActivateTaskDefinitions": true,
            "activeRecordProducers": ["Report a fault"], "expectedRevision": 0,
        });
        let shown = consumer.query(preview, json!({ "input": input })).await["settingsPreview"].clone();
        let expected = json!([
            { "field": "activeRecordProducers[\"Report a fault\"]", "before": "false", "after": "true" },
            { "field": "autoActivateTaskDefinitions", "before": "false", "after": "true" },
        ]);
        let mut found = shown["differences"].as_array().unwrap().clone();
        found.sort_by_key(|one| one["field"].to_string());
        assert_eq!(json!(found), expected, "{shown:#}");
        assert_eq!(settings(&consumer, &connection).await["revision"], 0, "nothing was stored");
        consumer.mutate("updateSettings", input.clone(), "settings { revision }").await;
        stage.pair.settle().await;
        let late = consumer.try_mutate("updateSettings", input, "settings { revision }").await;
        assert_eq!(late["refusal"]["code"], "CONFLICT", "{late:#}");
        let again =
            json!({ "connectionId": connection, "autoActivateRecordProducers": true, "expectedRevision": 1 });
        consumer.mutate("updateSettings", again, "settings { revision }").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_side_writes_the_other_s_part_and_who_only_looks_writes_nothing() {
    for database in Database::available() {
        let (stage, _, _) = Stage::onboarded(database).await;
        let theirs = stage.providers_connection().await;
        let input = json!({ "connectionId": theirs, "autoActivateRecordProducers": true });
        let refused = stage.provider.try_mutate("updateSettings", input, "settings { revision }").await;
        assert_eq!(refused["refusal"]["reason"], "PROVIDER");
        stage.pair.provider.user("viewer@provider.example.com", PASSWORD, &[Role::Viewer]).await;
        let viewer = stage.pair.provider.client();
        viewer.sign_in("viewer@provider.example.com", PASSWORD).await;
        let refused =
            viewer.try_mutate("saveDefinition", draft("RECORD_PRODUCER", "x"), "definition { id }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR");
        assert_eq!(stage.pair.provider.rows("definition").await, 0);
    }
}

/// A field schema of nearly 16 KiB.
fn large_form() -> String {
    let text = "x".repeat(480);
    let properties: serde_json::Map<_, _> =
        (0..30).map(|n| (format!("p{n}"), json!({ "type": "string", "description": text }))).collect();
    json!({ "type": "object", "properties": properties }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_as_large_as_it_may_be_arrives_whole_and_a_larger_one_is_not_published() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        let mut published = 0;
        let refused = loop {
            let mut input = draft("RECORD_PRODUCER", &format!("Form {published}"));
            input["fieldSchema"] = json!(large_form());
            let saved = stage.provider.try_mutate("saveDefinition", input, "definition { id }").await;
            if !saved["refusal"].is_null() {
                break saved["refusal"].clone();
            }
            published += 1;
        };
        assert_eq!(refused["reason"], "TOO_LARGE", "{refused:#}");
        assert!((15..=17).contains(&published), "{published} forms of nearly 16 KiB are nearly 256 KiB");
        stage.pair.settle().await;
        let query = "query($id: ID!) { connection(id: $id) { settings { agreed recordProducers { name } syncFailure { code message } } } }";
        let here = consumer.query(query, json!({ "id": connection })).await["connection"]["settings"].clone();
        assert_eq!(here["recordProducers"].as_array().unwrap().len(), published, "{here:#}");
        assert_eq!(here["agreed"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_was_set_back_does_not_set_the_other_back_and_a_person_decides() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        publish(&stage, draft("RECORD_PRODUCER", "Report a fault")).await;
        switch(&consumer, "activateDefinition", &connection, "Report a fault").await;
        stage.pair.settle().await;

        // The consumer's database is a copy from before that.
        stage.pair.consumer.tamper(CHOICE_OF_BEFORE).await;
        publish(&stage, draft("RECORD_PRODUCER", "Another")).await;
        let theirs = stage.providers_connection().await;
        let there = settings(&stage.provider, &theirs).await;
        assert_eq!(active(&there, "recordProducers")[1], ("Report a fault".to_owned(), true), "{there:#}");
        assert_eq!(there["agreed"], false, "drift shows: {there:#}");
        let here = settings(&consumer, &connection).await;
        assert_eq!(here["syncFailure"]["code"], "CONFLICT", "{here:#}");
        assert_eq!(here["agreed"], false);
        sync(&stage, &consumer, &connection).await;
        let here = agreed(&stage, &consumer, &connection).await;
        assert_eq!(active(&here, "recordProducers")[1], ("Report a fault".to_owned(), false));

        // The provider's is.
        stage.pair.provider.tamper("update catalogue set revision = 0").await;
        sync(&stage, &stage.provider, &theirs).await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(here["syncFailure"]["reason"], "ROLLBACK", "{here:#}");
        assert_eq!(here["offerRevision"], 2, "what was newer stays: {here:#}");
        let there = settings(&stage.provider, &theirs).await;
        assert_eq!(there["syncFailure"]["reason"], "ROLLBACK", "{there:#}");
        assert_eq!(there["agreed"], false, "{there:#}");
        // What it is to do is said there, and does it: its part is its own.
        sync(&stage, &stage.provider, &theirs).await;
        let here = agreed(&stage, &consumer, &connection).await;
        assert_eq!(here["offerRevision"], 3, "{here:#}");

        // Set back, and something else published up to the revision that the consumer holds.
        stage.pair.provider.tamper("update definition set description = 'Another word.'").await;
        let input = json!({ "connectionId": connection, "autoActivateTaskDefinitions": true });
        consumer.mutate("updateSettings", input, "settings { revision }").await;
        stage.pair.settle().await;
        let there = settings(&stage.provider, &theirs).await;
        assert_eq!(there["syncFailure"]["reason"], "DIGEST", "{there:#}");
        assert_eq!(there["agreed"], false, "{there:#}");
        sync(&stage, &stage.provider, &theirs).await;
        let here = agreed(&stage, &consumer, &connection).await;
        assert_eq!(here["offerRevision"], 4, "{here:#}");

        // The consumer may take it as it is, too, and be it nothing.
        stage.pair.provider.tamper("delete from definition").await;
        stage.pair.provider.tamper("update catalogue set revision = 0").await;
        sync(&stage, &consumer, &connection).await;
        let here = agreed(&stage, &consumer, &connection).await;
        assert_eq!(here["offerRevision"], 0, "{here:#}");
        assert_eq!(here["recordProducers"], json!([]), "{here:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_cannot_use_up_the_numbers_of_what_is_published() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        publish(&stage, draft("RECORD_PRODUCER", "Report a fault")).await;
        let theirs = stage.providers_connection().await;
        let far = match database {
            Database::Sqlite => "json_set(offer, '$.revision', 9007199254740991)",
            Database::Postgres => "jsonb_set(offer, '{revision}', '9007199254740991')",
        };
        stage.pair.consumer.tamper(&format!("update settings set offer = {far}")).await;
        let input = json!({ "connectionId": connection, "autoActivateTaskDefinitions": true });
        consumer.mutate("updateSettings", input, "settings { revision }").await;
        stage.pair.settle().await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(here["syncFailure"]["code"], "INVALID_INPUT", "{here:#}");
        let input = json!({ "connectionId": theirs });
        stage.provider.mutate("syncConnectionSettings", input, "settings { revision }").await;
        let there = settings(&stage.provider, &theirs).await;
        assert_eq!(there["offerRevision"], 1, "{there:#}");
    }
}

const CHOICE_OF_BEFORE: &str = r#"update settings set choice = '{"revision":0,"active_record_producers":[],
    "active_task_definitions":[],"auto_activate_record_producers":false,"auto_activate_task_definitions":false}'"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_sends_what_it_could_not_publish_is_refused_and_nothing_is_taken() {
    for database in Database::available() {
        let (stage, consumer, connection) = Stage::onboarded(database).await;
        publish(&stage, draft("RECORD_PRODUCER", "Report a fault")).await;
        let before = settings(&consumer, &connection).await;
        for hostile in [
            r#"fields = '{"type":"object","properties":{"a":{"type":"string","pattern":"(a+)+$"}}}'"#,
            r#"fields = '{"type":"object","$ref":"https://attacker.example/schema"}'"#,
            "version = 0",
            "description = '<script>' || replace('0000000000', '0', '0000000000000000000000000000000000000000000000000000000000000000')",
        ] {
            stage.pair.provider.tamper(&format!("update definition set {hostile}")).await;
            stage.pair.provider.tamper("update catalogue set revision = revision + 1").await;
            let input = json!({ "connectionId": stage.providers_connection().await });
            stage.provider.mutate("syncConnectionSettings", input, "__typename").await;
            stage.pair.settle().await;
            let here = settings(&consumer, &connection).await;
            assert_eq!(here["syncFailure"]["code"], "INVALID_INPUT", "{hostile}: {here:#}");
            assert_eq!(here["recordProducers"], before["recordProducers"], "{hostile}");
            assert_eq!(here["offerRevision"], before["offerRevision"]);
        }
        // A number beyond all that anybody reaches would be the end of all changes here.
        let choice = match database {
            Database::Sqlite => "json_set(choice, '$.revision', 9007199254740993)",
            Database::Postgres => "jsonb_set(choice, '{revision}', '9007199254740993')",
        };
        stage
            .pair
            .provider
            .tamper("update definition set description = '', version = 1, fields = '{}'")
            .await;
        stage.pair.provider.tamper(&format!("update settings set choice = {choice}")).await;
        let input = json!({ "connectionId": connection });
        consumer.mutate("syncConnectionSettings", input, "__typename").await;
        stage.pair.settle().await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(here["syncFailure"]["code"], "INVALID_INPUT", "{here:#}");
        let input = json!({ "connectionId": connection, "autoActivateTaskDefinitions": true });
        let saved = consumer.mutate("updateSettings", input, "settings { revision }").await;
        assert!(saved["settings"]["revision"].as_u64().unwrap() < 1_000, "{saved:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_away_hears_of_it_when_it_is_back() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.outbound.total_timeout_ms = 1_000;
        pair.run().await;
        let mut stage = Stage::open_over(pair).await;
        let (consumer, connection) = stage.onboard().await;
        let input = json!({ "connectionId": connection });
        consumer.mutate("suspendConnection", input.clone(), "connection { state }").await;
        publish(&stage, draft("TASK_DEFINITION", "Repair")).await;
        assert!(active(&settings(&consumer, &connection).await, "taskDefinitions").is_empty());
        consumer.mutate("resumeConnection", input, "connection { state }").await;
        stage.pair.settle().await;
        let here = settings(&consumer, &connection).await;
        assert_eq!(active(&here, "taskDefinitions"), named(&[("Repair", false)]), "after a pause: {here:#}");

        stage.pair.consumer.kill().await;
        publish(&stage, draft("TASK_DEFINITION", "Inspect")).await;
        stage.pair.consumer.start(None).await;
        let here = hears_of(&stage, &connection, &[("Inspect", false), ("Repair", false)]).await;
        assert!(here.is_ok(), "after an outage: {here:#?}");
    }
}

/// Lets so much time pass that a consumer knows these task definitions; what it knows, if it does not.
async fn hears_of(stage: &Stage, connection: &str, tasks: &[(&str, bool)]) -> Result<(), Value> {
    let consumer = stage.pair.consumer_admin().await;
    let mut here = Value::Null;
    for _ in 0..60 {
        stage.pair.clock.advance(1_000);
        let_pass(std::time::Duration::from_millis(200)).await;
        here = settings(&consumer, connection).await;
        if active(&here, "taskDefinitions") == named(tasks) {
            return Ok(());
        }
    }
    Err(here)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_away_for_longer_than_anybody_tries_to_tell_it_hears_of_it_too() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.outbound.total_timeout_ms = 1_000;
        pair.run().await;
        let mut stage = Stage::open_over(pair).await;
        let (_, connection) = stage.onboard().await;
        stage.pair.consumer.kill().await;
        publish(&stage, draft("TASK_DEFINITION", "Inspect")).await;
        let given_up = "job where kind = 'SYNC_SETTINGS' and state = 'DEAD'";
        for _ in 0..60 {
            if stage.pair.provider.rows(given_up).await == 1 {
                break;
            }
            stage.pair.clock.advance(300_000);
            let_pass(std::time::Duration::from_millis(200)).await;
            // A try that time runs away from is another's after a minute, and counts for nothing.
            for _ in 0..500 {
                if stage.pair.provider.busy() == 0 {
                    break;
                }
                let_pass(std::time::Duration::from_millis(20)).await;
            }
        }
        assert_eq!(stage.pair.provider.rows(given_up).await, 1);

        stage.pair.consumer.start(None).await;
        let here = hears_of(&stage, &connection, &[("Inspect", false)]).await;
        assert!(here.is_ok(), "{here:#?}");
    }
}

//! What people ask of checks: a dry run, a remedy that comes late or is not theirs, the end of a scan.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Pair, Stage, let_pass, nodes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_finds_what_it_would_collide_with_and_asks_about_nobody_who_is_not_there() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let url = &stage.pair.consumer.origin;
        let run = async |more: Value| {
            let mut input = json!({ "url": url, "environment": "NON_PRODUCTION" });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let fields = "dryRun { passed results { check answer evidence } }";
            stage.provider.try_mutate("dryRunChecks", input, fields).await
        };
        let rival = run(json!({})).await;
        let results = rival["dryRun"]["results"].as_array().unwrap();
        let found: Vec<_> = results.iter().filter(|it| it["answer"] == "FINDING").collect();
        assert_eq!(found.len(), 1, "{rival:#}");
        assert_eq!(found[0]["check"], "DUPLICATE_REGISTRATION", "{rival:#}");
        assert!(found[0]["evidence"].as_str().unwrap().contains("REG-000001"), "{rival:#}");
        assert_eq!(rival["dryRun"]["passed"], false);

        let (company, contact) = (&stage.ready.company, &stage.ready.contact);
        let nobody = |kind: &str| {
            data_encoding::BASE64URL_NOPAD.encode(format!("{kind}:{}", uuid::Uuid::nil()).as_bytes())
        };
        for (more, field) in [
            (json!({ "contactId": contact }), "companyId"),
            (json!({ "companyId": nobody("Company"), "contactId": contact }), "companyId"),
            (json!({ "companyId": company, "contactId": nobody("Contact") }), "contactId"),
        ] {
            let refused = run(more).await;
            assert_eq!(refused["refusal"]["field"], field, "{refused:#}");
        }
    }
}

/// The open issue of a check, as this person sees it.
async fn issue(client: &Client, check: &str) -> Value {
    let query = "query($check: CheckCode!) { issues(filter: { checks: [$check] }) { edges { node {
        id state actions { name allowed reason } } } } }";
    let found = client.query(query, json!({ "check": check })).await;
    nodes(&found["issues"]).pop().unwrap_or_else(|| panic!("{check}: {found:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remedy_is_offered_to_whoever_may_carry_it_out_and_undoes_nothing_that_was_mended_before() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let ready = pair.make_ready(&admin).await;
        let off = json!({ "userId": ready.contact, "active": false });
        admin.mutate("updateContact", off, "contact { active }").await;
        let registration = pair.register(&admin, &ready).await;
        pair.provider.tamper("delete from provider_record").await;
        let input = json!({ "registrationId": registration });
        admin.mutate("revalidateRegistration", input, "registration { state }").await;
        pair.settle().await;
        let operator = pair.provider.person("operator", &[Role::Operator]).await;
        for (client, may) in [(&admin, true), (&operator, false)] {
            let issue = issue(client, "PROVIDER_RECORD").await;
            let actions = issue["actions"].as_array().unwrap();
            let apply = actions.iter().find(|action| action["name"] == "applyRemedy").unwrap();
            assert_eq!(apply["allowed"], may, "{issue:#}");
        }
        let input = json!({ "issueId": issue(&operator, "PROVIDER_RECORD").await["id"] });
        let refused = operator.try_mutate("applyRemedy", input.clone(), "scan { id }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{refused:#}");

        let record = json!({ "name": "acme-exchange", "description": "Ours" });
        admin.mutate("saveProviderRecord", record.clone(), "providerRecord { name }").await;
        admin.mutate("applyRemedy", input, "scan { id }").await;
        pair.settle().await;
        let now = admin.query("{ providerRecord { name description } }", json!({})).await;
        assert_eq!(now["providerRecord"], record);
        assert_eq!(issue(&admin, "PROVIDER_RECORD").await["state"], "RESOLVED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_calls_the_checks_of_a_connection_off_is_told_to_run_them_again() {
    const NOW: &str = "query($id: ID!) { connection(id: $id) { state banner { text } latestScan { id state }
        explanation { fault { remedy { mutation } } nextAction { what } } } }";
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.run_with(Some(saboteur.clone())).await;
        let stage = Stage::open_over(pair).await;
        let (consumer, connection) = stage.validated().await;
        saboteur.hang("PEER_TLS");
        let input = json!({ "connectionId": connection });
        consumer.mutate("runPreOnboardingChecks", input, "connection { state }").await;
        let now = async || consumer.query(NOW, json!({ "id": connection })).await["connection"].clone();
        while now().await["latestScan"]["state"] != "RUNNING" {
            let_pass(std::time::Duration::from_millis(20)).await;
        }
        let input = json!({ "scanId": now().await["latestScan"]["id"] });
        consumer.mutate("cancelScan", input, "scan { state }").await;
        let seen = now().await;
        assert_eq!(seen["state"], "VALIDATION_FAILED", "{seen:#}");
        assert_eq!(seen["banner"]["text"], "The checks were called off. Run them again.", "{seen:#}");
        assert_eq!(seen["explanation"]["fault"]["remedy"]["mutation"], "runPreOnboardingChecks", "{seen:#}");
        assert_eq!(seen["explanation"]["nextAction"], Value::Null, "{seen:#}");
        saboteur.mend();
        stage.pair.settle().await;
    }
}

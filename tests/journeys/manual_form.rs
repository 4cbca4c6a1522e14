//! The named contact connects with the form, step by step, and goes back to the guided set-up.

use serde_json::json;

use super::{PROGRESS, activity, connection, follow_messages, mark_complete, offers, statuses, verify};
use crate::harness::{Database, Stage};

const SIDE: &str = "CONSUMER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_contact_connects_with_the_form_and_the_guided_setup_goes_on() {
    for database in Database::available() {
        // 1. The letter arrived; the guided set-up offers to open its link.
        let stage = Stage::open(database).await;
        let admin = stage.pair.consumer_admin().await;
        assert_eq!(activity(&admin, SIDE, "OPEN_LINK").await["state"], "AVAILABLE");
        let company =
            admin.mutate("createCompany", json!({ "name": "The Provider" }), "company { id }").await;

        // 2. Its link leads to the form of the connection to the provider.
        let id = stage.pair.open_link(&admin, &stage.link).await;
        mark_complete(&admin, SIDE, "OPEN_LINK").await;

        // 3. The form: the company is filled in and can be changed; state, URL and both statuses are to be read.
        let form = connection(&admin, &id).await;
        assert_eq!(form["company"]["name"], "The Provider", "filled in: {form:#}");
        assert_eq!(form["stateLabel"], "Pending");
        assert_eq!(form["peer"]["origin"], stage.pair.provider.origin);
        assert_eq!(statuses(&form), ("", ""), "blank: nothing is begun");
        assert!(!offers(&form, "Start Registration"), "there is nothing to connect yet");

        // 4 to 6. Save, *Connect*, save to continue: the checks run, and then connecting is possible.
        let input = json!({ "connectionId": id, "companyId": company["company"]["id"] });
        admin.mutate("chooseProviderCompany", input, "connection { state }").await;
        let input = json!({ "connectionId": id });
        let saved = admin.mutate("runPreOnboardingChecks", input.clone(), "connection { stateLabel }").await;
        assert_eq!(saved["connection"]["stateLabel"], "Awaiting validation");
        stage.pair.settle().await;
        let form = connection(&admin, &id).await;
        assert_eq!(form["stateLabel"], "Validated", "{form:#}");
        assert!(offers(&form, "Start Registration"));
        assert_eq!(activity(&admin, SIDE, "CONNECT").await["state"], "IN_PROGRESS");

        // 7. *Connect to the provider*: messages tell how far it is.
        let mut progress = admin.subscribe(PROGRESS, json!({ "id": id })).await;
        stage.start(&admin, &id).await;
        assert_eq!(statuses(&connection(&admin, &id).await), ("Not onboarded", "Not onboarded"));
        stage.pair.approve(&admin, &id).await;
        follow_messages(&mut progress).await;

        // 8. Both statuses are *Up*.
        let form = connection(&admin, &id).await;
        assert_eq!(statuses(&form), ("Up", "Up"), "{form:#}");
        let letters = stage.pair.consumer.letters();
        let told = letters.iter().filter(|letter| letter.contains("Subject: Connected to")).count();
        assert_eq!(told, 1, "whoever connected it is told: {letters:#?}");

        // 9. Back in the guided set-up: *Mark Complete* makes *Verify the connection* available.
        let verify_it = activity(&admin, SIDE, "VERIFY_CONNECTION").await;
        assert_eq!(verify_it["state"], "LOCKED", "being done is not being marked: {verify_it:#}");
        assert_eq!(verify_it["lockedBecause"], "Complete “Connect” first.");
        assert_eq!(mark_complete(&admin, SIDE, "CONNECT").await["state"], "COMPLETED");
        let verify_it = activity(&admin, SIDE, "VERIFY_CONNECTION").await;
        assert_eq!(verify_it["state"], "AVAILABLE", "{verify_it:#}");
        assert!(verify_it["url"].as_str().unwrap().ends_with(&format!("/connections/{id}")), "{verify_it:#}");

        // Next: verify the connection.
        let early = json!({ "side": SIDE, "activity": "VERIFY_CONNECTION" });
        let early = admin.try_mutate("completeActivity", early, "activity { state }").await;
        assert_eq!(early["refusal"]["code"], "NOT_VALIDATED", "{early:#}");
        let verified = verify(&stage.pair, &admin, &id).await;
        assert_eq!(verified["state"], "PASSED", "{verified:#}");
        for step in verified["steps"].as_array().unwrap() {
            assert_eq!(step["state"], "PASSED", "{step:#}");
            let compared = !matches!(step["name"].as_str().unwrap(), "SEND" | "RECEIVE");
            assert_eq!(step["ours"].is_string() && step["theirs"].is_string(), compared, "{step:#}");
        }
        assert_eq!(mark_complete(&admin, SIDE, "VERIFY_CONNECTION").await["state"], "COMPLETED");

        // With more connections, each activity leads to the newest that lacks what it asks.
        let uuid = match database {
            Database::Sqlite => {
                ["x'00000000000000000000000000000001'", "x'ff000000000000000000000000000000'"]
            }
            Database::Postgres => {
                ["'00000000-0000-0000-0000-000000000001'", "'ff000000-0000-0000-0000-000000000000'"]
            }
        };
        for (uuid, state) in uuid.iter().zip(["ONBOARDED", "PENDING"]) {
            let another = format!(
                "insert into connection (id, part, link_id, origin, fingerprint, state, attempts, message_seq, created_at,
                    updated_at, revision)
                select {uuid}, part, link_id, 'https://' || lower('{state}') || '.example.org', fingerprint, '{state}', 0, 0,
                    0, 0, 1 from connection where state = 'ONBOARDED' limit 1"
            );
            stage.pair.consumer.tamper(&another).await;
        }
        let page = async |name: &str| activity(&admin, SIDE, name).await["url"].as_str().unwrap().to_owned();
        let global =
            |uuid: &str| data_encoding::BASE64URL_NOPAD.encode(format!("ConnectionRecord:{uuid}").as_bytes());
        let (standing, pending) =
            (global("00000000-0000-0000-0000-000000000001"), global("ff000000-0000-0000-0000-000000000000"));
        assert!(page("VERIFY_CONNECTION").await.ends_with(&format!("/connections/{standing}")));
        assert!(page("CONFIGURE_SETTINGS").await.ends_with(&format!("/connections/{id}/settings")));
        assert!(page("CONNECT").await.ends_with(&format!("/connections/{pending}")));
    }
}

/// The note on *Validation failed*: a banner leads to the health dashboard, where what failed says how it is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_checks_fail_a_banner_leads_to_the_health_dashboard() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let admin = stage.pair.consumer_admin().await;
        let id = stage.pair.open_link(&admin, &stage.link).await;
        assert!(connection(&admin, &id).await["banner"].is_null());
        admin.mutate("runPreOnboardingChecks", json!({ "connectionId": id }), "connection { state }").await;
        stage.pair.settle().await;
        let form = connection(&admin, &id).await;
        assert_eq!(form["stateLabel"], "Validation failed", "{form:#}");
        assert!(form["banner"]["text"].as_str().unwrap().contains("health dashboard"), "{form:#}");
        let url = format!("{}/health?connection={id}", stage.pair.consumer.origin);
        assert_eq!(form["banner"]["healthUrl"], url.as_str());
        assert_eq!(admin.get(&url).await.status, 200);
        let issue = &form["issues"][0];
        assert_eq!(issue["check"], "PROVIDER_COMPANY_CHOSEN");
        assert!(issue["remedy"]["kind"].is_string());

        let company =
            admin.mutate("createCompany", json!({ "name": "The Provider" }), "company { id }").await;
        let input = json!({ "connectionId": id, "companyId": company["company"]["id"] });
        admin.mutate("chooseProviderCompany", input, "connection { state }").await;
        admin.mutate("runPreOnboardingChecks", json!({ "connectionId": id }), "connection { state }").await;
        stage.pair.settle().await;
        let form = connection(&admin, &id).await;
        assert_eq!(form["stateLabel"], "Validated", "{form:#}");
        assert!(form["banner"].is_null());
    }
}

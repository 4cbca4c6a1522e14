//! The key service, part by part.

use linkspan::domain::check::CheckCode;
use serde_json::json;

use super::{Fixture, RESULTS, assert_found, assert_mended, checks_of, found};
use crate::harness::pair::PASSWORD;
use crate::harness::saboteur::{Saboteur, Well};
use crate::harness::{Database, Pair};
use linkspan::domain::requester::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ails_the_key_service_is_found_by_the_check_of_that_part() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let (saboteur, well) = (Saboteur::new(), Well::new());
        pair.provider.draw_from(well.clone());
        pair.provider.start(Some(saboteur.clone())).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        let admin = pair.provider_admin().await;
        let run = async || {
            let scan = admin.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
            pair.settle().await;
            // By its id: the clock may have run backwards since the one before.
            let query = format!("query($id: ID!) {{ scan(id: $id) {{ {RESULTS} }} }}");
            admin.query(&query, json!({ "id": scan["scan"]["id"] })).await["scan"].clone()
        };
        let sound = run().await;
        assert!(found(&sound).is_empty(), "{sound:#}");
        for code in checks_of(Fixture::Keys) {
            match code {
                CheckCode::Entropy => well.dry(true),
                CheckCode::Clock => pair.clock.advance(-600_000),
                _ => saboteur.break_part(code.as_str()),
            }
            let scan = run().await;
            let finding = assert_found(&admin, &scan, code).await;
            match code {
                CheckCode::Entropy => well.dry(false),
                CheckCode::Clock => pair.clock.advance(600_000),
                _ => saboteur.mend(),
            }
            // What this key service does not measure by itself is not found sound by it either.
            let measured = sound["results"].as_array().unwrap().iter();
            if measured
                .filter(|result| result["check"] == code.as_str())
                .any(|result| result["answer"] == "PASS")
            {
                assert_mended(&pair, &admin, code, &finding, json!([])).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_service_is_looked_at_by_itself_and_an_issue_closes_itself() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.provider.start(Some(saboteur.clone())).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        pair.advance(16).await;
        assert_eq!(pair.provider.rows("scan").await, 0);
        saboteur.break_part("ROOT_KEY");
        pair.advance(16).await;
        pair.advance(16).await;
        assert_eq!(pair.provider.rows("issue where state = 'OPEN' and check_code = 'ROOT_KEY'").await, 1);
        assert_eq!(pair.provider.rows("scan").await, 1);
        assert_eq!(pair.provider.letters().len(), 1, "the administrator is told, once");
        saboteur.mend();
        pair.advance(16).await;
        assert_eq!(pair.provider.rows("issue where state = 'OPEN'").await, 0);
    }
}

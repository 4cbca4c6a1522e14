//! Checks whose own code throws or hangs: an error within its limit, which blocks where it should.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::latest;
use crate::harness::saboteur::Saboteur;
use crate::harness::{Database, Pair};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_throws_or_hangs_is_an_error_within_its_limit_and_nothing_passes() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.run().await;
        pair.provider.kill().await;
        pair.provider.start(Some(saboteur.clone())).await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        saboteur.throw("CONTACT_ROLE");
        saboteur.hang("MAIL_SERVICE");
        let begun = Instant::now();
        let registration = pair.register(&provider, &ready).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "it took {:?}", begun.elapsed());
        let scan = latest(&provider, Some(&registration)).await;
        assert_eq!(scan["state"], "FAILED", "{scan:#}");
        for result in scan["results"].as_array().unwrap() {
            let broken = matches!(result["check"].as_str(), Some("CONTACT_ROLE" | "MAIL_SERVICE"));
            assert_eq!(result["answer"], if broken { "ERROR" } else { "PASS" }, "{result:#}");
            assert_eq!(
                result["blocking"], broken,
                "a check that only warns blocks when it breaks: {result:#}"
            );
        }
        let failed = pair.registration(&provider, &registration).await;
        assert_eq!(failed["state"], "VALIDATION_FAILED");
        saboteur.mend();
        for issue in failed["issues"].as_array().unwrap() {
            provider.mutate("validateIssue", json!({ "issueId": issue["id"] }), "scan { id }").await;
        }
        pair.settle().await;
        let open = pair.registration(&provider, &registration).await;
        assert_eq!(open["state"], "OPEN", "{open:#}");
    }
}

//! Administrators hear of an issue whatever becomes of the scan that found it, and once.

use std::time::Duration;

use linkspan::world::Interruption;
use serde_json::{Value, json};

use crate::harness::faults::{Commit, Commits, rest};
use crate::harness::pair::{Ready, unfold};
use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Pair, let_pass};

/// A provider whose contact is switched off, which the checks of a registration will find.
struct Scene {
    pair: Pair,
    provider: Client,
    ready: Ready,
}

impl Scene {
    async fn set(database: Database, interruption: std::sync::Arc<dyn Interruption>) -> Self {
        let pair = Pair::start(database).await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let off = json!({ "userId": ready.contact, "active": false });
        provider.mutate("updateContact", off, "contact { active }").await;
        let mut scene = Self { pair, provider, ready };
        scene.pair.provider.kill().await;
        scene.pair.provider.start(Some(interruption)).await;
        scene
    }

    /// Its checks begin; nobody waits for them.
    async fn register(&self) -> Value {
        let input = json!({
            "companyId": self.ready.company, "contactId": self.ready.contact,
            "url": self.pair.consumer.origin, "environment": "NON_PRODUCTION",
        });
        let made = self.provider.mutate("createRegistration", input, "registration { id }").await;
        made["registration"]["id"].clone()
    }

    fn letters(&self) -> usize {
        let letters = self.pair.provider.letters();
        letters.iter().filter(|letter| unfold(letter).contains("See and resolve them here")).count()
    }

    async fn found(&self) -> Value {
        let query = "{ issues(filter: { state: OPEN, checks: [CONTACT_ACTIVE] }) { edges { node { id scan { id } } } } }";
        for _ in 0..600 {
            let issues = self.provider.query(query, json!({})).await;
            if let Some(found) = issues["issues"]["edges"].get(0) {
                return found["node"].clone();
            }
            let_pass(Duration::from_millis(20)).await;
        }
        panic!("it is not found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_a_scan_found_that_does_not_end_administrators_hear_once() {
    for database in Database::available() {
        let saboteur = Saboteur::new();
        for verb in ["cancelScan", "validateIssue"] {
            let scene = Scene::set(database, saboteur.clone()).await;
            saboteur.hang("PEER_TLS");
            let registration = scene.register().await;
            let issue = scene.found().await;
            // Only what was asked already goes on hanging.
            saboteur.mend();
            assert_eq!(scene.letters(), 0, "the scan goes on");
            let cancel = json!({ "scanId": issue["scan"]["id"] });
            let input = if verb == "cancelScan" { cancel.clone() } else { json!({ "issueId": issue["id"] }) };
            scene.provider.mutate(verb, input, "scan { id }").await;
            for _ in 0..250 {
                if scene.letters() > 0 {
                    break;
                }
                let_pass(Duration::from_millis(20)).await;
            }
            assert_eq!(scene.letters(), 1, "{database:?}, {verb}");
            if verb != "cancelScan" {
                scene.provider.mutate("cancelScan", cancel, "scan { id }").await;
            }
            let revalidate = json!({ "registrationId": registration });
            scene.provider.mutate("revalidateRegistration", revalidate, "registration { id }").await;
            scene.pair.settle().await;
            assert_eq!(scene.letters(), 1, "{database:?}, {verb}: once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_found_before_an_instance_died_administrators_hear_once() {
    for database in Database::available() {
        let end = Commit { label: "scan.end", nth: 0, committed: false };
        let commits = Commits::dying_at(Some(end));
        let mut scene = Scene::set(database, commits.clone()).await;
        scene.register().await;
        rest(&scene.pair, || commits.dead()).await;
        assert!(commits.dead());
        assert_eq!(scene.pair.provider.rows("issue where state = 'OPEN'").await, 1);
        scene.pair.provider.kill().await;
        // Its work is another's after a minute.
        scene.pair.clock.advance(61_000);
        scene.pair.provider.start(None).await;
        scene.pair.settle().await;
        assert_eq!(scene.pair.provider.rows("scan where state = 'FAILED'").await, 1);
        assert_eq!(scene.letters(), 1, "{database:?}");
    }
}

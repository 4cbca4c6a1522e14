//! Issues and scans: who looks after them, what silences and what waives them, how they end, and who hears of it.

mod told;

use std::time::Duration;

use futures_util::future::join_all;
use linkspan::domain::check::CheckCode;
use linkspan::domain::requester::Role;
use linkspan::world::Clock as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::pair::{PASSWORD, Ready, unfold};
use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Pair, let_pass};

/// A registration that fails on its contact, who is switched off and has no role, and a provider that can be broken.
struct Scene {
    pair: Pair,
    provider: Client,
    ready: Ready,
    registration: String,
    saboteur: std::sync::Arc<Saboteur>,
}

impl Scene {
    async fn set(database: Database) -> Self {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.run().await;
        pair.provider.kill().await;
        pair.provider.start(Some(saboteur.clone())).await;
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let off = json!({ "userId": ready.contact, "active": false });
        provider.mutate("updateContact", off, "contact { active }").await;
        let registration = pair.register(&provider, &ready).await;
        let role = json!({ "userId": ready.contact, "role": "CONSUMER_CONTACT" });
        provider.mutate("revokeRole", role, "__typename").await;
        let scene = Self { pair, provider, ready, registration, saboteur };
        scene.revalidate().await;
        scene
    }

    async fn revalidate(&self) {
        let input = json!({ "registrationId": self.registration });
        self.provider.mutate("revalidateRegistration", input, "registration { state }").await;
        self.pair.settle().await;
    }

    async fn state(&self) -> Value {
        self.pair.registration(&self.provider, &self.registration).await["state"].clone()
    }

    async fn issues(&self, filter: Value) -> Vec<Value> {
        let query = "query($filter: IssuesFilter) { issues(filter: $filter, orderBy: SEVERITY) { edges { node {
            id check state blocking count severity revision viewerFollows assignee { id } followers { id }
            mute { reason until by { id } } waiver { reason until by { id } } actions { name allowed reason } } } } }";
        let all = self.provider.query(query, json!({ "filter": filter })).await;
        all["issues"]["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect()
    }

    /// The open issue of a check.
    async fn issue(&self, check: &str) -> Value {
        let found = self.issues(json!({ "checks": [check], "state": "OPEN" })).await;
        assert_eq!(found.len(), 1, "{check}: {found:#?}");
        found[0].clone()
    }

    fn days_on(&self, days: i64) -> String {
        let at = self.pair.clock.now_ms() + days * 86_400_000;
        chrono::DateTime::from_timestamp_millis(at).unwrap().to_rfc3339()
    }

    fn invitations(&self) -> usize {
        self.pair.provider.letters().iter().filter(|letter| letter.contains("/connect#")).count()
    }
}

fn allowed(issue: &Value, action: &str) -> bool {
    let actions = issue["actions"].as_array().unwrap();
    actions.iter().find(|it| it["name"] == action).unwrap_or_else(|| panic!("{issue:#}"))["allowed"] == true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_seen_again_is_counted_and_not_raised_again() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        assert_eq!(scene.issue("CONTACT_ACTIVE").await["count"], 2);
        scene.revalidate().await;
        assert_eq!(scene.issue("CONTACT_ACTIVE").await["count"], 3);
        assert_eq!(scene.pair.provider.rows("issue").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_issue_still_blocks_and_a_waived_one_does_not() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let (role, active) = (scene.issue("CONTACT_ROLE").await, scene.issue("CONTACT_ACTIVE").await);
        for (reason, until, field) in [
            ("", scene.days_on(1), "reason"),
            ("Known", scene.days_on(-1), "until"),
            ("Known", scene.days_on(91), "until"),
        ] {
            let input = json!({ "issueId": role["id"], "reason": reason, "until": until });
            let refused = scene.provider.try_mutate("muteIssue", input, "issue { id }").await;
            assert_eq!(refused["refusal"]["field"], field, "{refused:#}");
        }
        let until = scene.days_on(1);
        let input = |issue: &Value| json!({ "issueId": issue["id"], "reason": "On holiday", "until": until });
        scene.provider.mutate("muteIssue", input(&role), "issue { id }").await;
        let muted = scene.issue("CONTACT_ROLE").await;
        assert_eq!(muted["mute"]["reason"], "On holiday");
        assert!(muted["mute"]["by"]["id"].is_string() && allowed(&muted, "unmuteIssue"), "{muted:#}");
        assert_eq!(scene.issues(json!({ "muted": true })).await.len(), 1);

        scene.pair.provider.user("operator@provider.example.com", PASSWORD, &[Role::Operator]).await;
        let operator = scene.pair.provider.client();
        operator.sign_in("operator@provider.example.com", PASSWORD).await;
        let refused = operator.try_mutate("waiveIssue", input(&active), "issue { id }").await;
        assert_eq!(refused["refusal"]["code"], "NOT_AN_ADMINISTRATOR");

        scene.provider.mutate("waiveIssue", input(&active), "issue { id }").await;
        scene.pair.settle().await;
        assert_eq!(scene.state().await, "VALIDATION_FAILED", "the muted one still blocks");
        scene.provider.mutate("waiveIssue", input(&role), "issue { waiver { reason } }").await;
        scene.pair.settle().await;
        assert_eq!(scene.state().await, "OPEN", "it goes on by itself");
        assert_eq!(scene.invitations(), 1);
        assert_eq!(
            scene.issues(json!({ "state": "OPEN", "blocking": true })).await.len(),
            2,
            "they stay open"
        );
        assert_eq!(scene.pair.provider.rows("audit where operation = 'issue.waive'").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_holds_until_its_end_and_a_scan_passes_in_spite_of_what_is_waived() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let input = |issue: &Value| json!({ "issueId": issue["id"], "reason": "On holiday", "until": scene.days_on(1) });
        let (role, active) = (scene.issue("CONTACT_ROLE").await, scene.issue("CONTACT_ACTIVE").await);
        scene.provider.mutate("waiveIssue", input(&role), "issue { id }").await;
        let given = json!({ "issueId": role["id"] });
        scene.provider.mutate("withdrawWaiver", given, "issue { waiver { reason } }").await;
        assert!(allowed(&scene.issue("CONTACT_ROLE").await, "waiveIssue"));
        scene.provider.mutate("waiveIssue", input(&role), "issue { id }").await;
        // It covers what was found, and not that the check breaks later; nor what it finds once it works again.
        for breaks in [true, false] {
            if breaks {
                scene.saboteur.throw("CONTACT_ROLE");
            } else {
                scene.saboteur.mend();
                let role = scene.issue("CONTACT_ROLE").await;
                scene.provider.mutate("waiveIssue", input(&role), "issue { id }").await;
            }
            scene.revalidate().await;
            let role = scene.issue("CONTACT_ROLE").await;
            assert_eq!((&role["waiver"], &role["blocking"]), (&Value::Null, &json!(true)), "{role:#}");
            let letters = scene.pair.provider.letters();
            let told = letters
                .iter()
                .filter(|letter| unfold(letter).contains("This did not block before, and does now"));
            assert_eq!(told.count(), if breaks { 1 } else { 2 });
        }
        let ended = "audit where operation = 'issue.waiver_ended'";
        assert_eq!(scene.pair.provider.rows(ended).await, 2);
        let role = scene.issue("CONTACT_ROLE").await;
        scene.provider.mutate("waiveIssue", input(&role), "issue { id }").await;
        scene.provider.mutate("applyRemedy", json!({ "issueId": active["id"] }), "scan { id }").await;
        scene.pair.settle().await;
        assert_eq!(scene.state().await, "OPEN");
        let later = json!({ "registrationId": scene.registration, "url": "https://other.invalid" });
        scene.provider.mutate("updateRegistration", later, "registration { state }").await;
        scene.pair.settle().await;
        let query = "query($id: ID!) { registration(id: $id) { banner { text } } }";
        let banner = scene.provider.query(query, json!({ "id": scene.registration })).await;
        let banner = banner["registration"]["banner"]["text"].as_str().unwrap().to_owned();
        let named = banner.contains("The other instance's name resolves");
        assert!(named && !banner.contains("Contact's role"), "{banner}");
        scene.pair.clock.advance(2 * 86_400_000);
        let provider = scene.pair.provider_admin().await;
        let input = json!({ "registrationId": scene.registration });
        provider.mutate("revalidateRegistration", input, "registration { state }").await;
        scene.pair.settle().await;
        let banner = provider.query(query, json!({ "id": scene.registration })).await;
        let banner = banner["registration"]["banner"]["text"].as_str().unwrap().to_owned();
        assert!(banner.contains("Contact's role"), "the waiver has ended: {banner}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_issue_opens_it_once_however_it_goes_and_whoever_is_at_it() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let (role, active) = (scene.issue("CONTACT_ROLE").await, scene.issue("CONTACT_ACTIVE").await);
        let waiver = json!({ "issueId": role["id"], "reason": "Known", "until": scene.days_on(1) });
        let remedy = json!({ "issueId": active["id"] });
        let at_once = (0..4).map(|n| {
            let (waiver, remedy, provider) = (waiver.clone(), remedy.clone(), &scene.provider);
            async move {
                if n % 2 == 0 {
                    provider.try_mutate("waiveIssue", waiver, "issue { id }").await
                } else {
                    provider.try_mutate("applyRemedy", remedy, "scan { id }").await
                }
            }
        });
        join_all(at_once).await;
        scene.pair.settle().await;
        assert_eq!(scene.state().await, "OPEN");
        assert_eq!(scene.invitations(), 1, "exactly one letter with a link");
        assert_eq!(scene.pair.provider.rows("audit where operation = 'registration.link'").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_and_followers_hear_of_issues_as_each_of_them_likes() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let news = |to: &str| {
            let letters = scene.pair.provider.letters();
            let letters = letters.iter().map(|letter| unfold(letter)).filter(|letter| letter.contains(to));
            letters.filter(|letter| letter.contains("See and resolve them here")).collect::<Vec<_>>()
        };
        let first = news("admin@provider.example.com");
        assert_eq!(first.len(), 2, "one letter for each scan that found something new: {first:#?}");
        assert!(first.iter().any(|letter| letter.contains("switched off")), "{first:#?}");

        scene.pair.provider.user("follower@provider.example.com", PASSWORD, &[Role::Operator]).await;
        let follower = scene.pair.provider.client();
        follower.sign_in("follower@provider.example.com", PASSWORD).await;
        let issue = scene.issue("CONTACT_ACTIVE").await;
        follower.mutate("followIssue", json!({ "issueId": issue["id"] }), "issue { viewerFollows }").await;
        let me = follower.query("{ viewer { id issueMail } }", json!({})).await["viewer"].clone();
        assert_eq!(me["issueMail"], "IMMEDIATE");
        let assign = json!({ "issueId": issue["id"], "userId": me["id"] });
        scene.provider.mutate("assignIssue", assign, "issue { assignee { id } }").await;
        assert_eq!(scene.issues(json!({ "assigneeId": me["id"] })).await.len(), 1);
        let former = scene.pair.provider.person("former", &[Role::Operator]).await;
        former.mutate("followIssue", json!({ "issueId": issue["id"] }), "issue { viewerFollows }").await;
        let who = former.query("{ viewer { id } }", json!({})).await["viewer"]["id"].clone();
        let role = json!({ "userId": who, "role": "OPERATOR" });
        scene.provider.mutate("revokeRole", role, "__typename").await;
        scene.provider.mutate("applyRemedy", json!({ "issueId": issue["id"] }), "scan { id }").await;
        scene.pair.settle().await;
        // Letters of one moment have no order.
        let told = |of: &str| {
            let letters = news("follower@provider.example.com");
            (letters.len(), letters.iter().filter(|letter| letter.contains(of)).count())
        };
        assert_eq!(told("You were asked to look after this"), (2, 1));
        assert_eq!(told("This is mended"), (2, 1), "whoever follows hears that it is mended");

        // It returns.
        let off = json!({ "userId": scene.ready.contact, "active": false });
        scene.provider.mutate("updateContact", off, "contact { active }").await;
        scene.revalidate().await;
        assert_eq!(told("The checks found something"), (3, 1), "whoever followed it before hears of it");
        // It is as if it had only warned until now.
        scene.pair.provider.tamper("update issue set blocking = false where state = 'OPEN'").await;
        scene.revalidate().await;
        assert_eq!(told("This did not block before, and does now"), (4, 1), "and that it got worse");
        muted_it_is_silent_though_it_comes_and_goes(&scene, &follower, &told).await;
        assert!(news("former@provider.example.com").is_empty(), "they may not see issues any more");

        let before = news("admin@provider.example.com").len();
        scene.provider.mutate("setIssueMail", json!({ "mode": "DIGEST" }), "issueMail").await;
        scene.saboteur.break_part("ROOT_KEY");
        scene.provider.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
        scene.pair.settle().await;
        assert_eq!(
            news("admin@provider.example.com").len(),
            before,
            "whoever wants one letter a day gets none at once"
        );
        scene.pair.advance(86_400).await;
        let all = news("admin@provider.example.com");
        assert_eq!(all.len(), before + 1, "{all:#?}");
        let digest = all.iter().find(|letter| letter.contains("the last day")).unwrap();
        assert!(digest.contains("- REG-000001 ("), "each line says what it is about: {digest}");
    }
}

/// Nobody hears that it gets worse, is mended or returns; what returns is muted until the end that was given.
async fn muted_it_is_silent_though_it_comes_and_goes(
    scene: &Scene,
    follower: &Client,
    told: &impl Fn(&str) -> (usize, usize),
) {
    let issue = scene.issue("CONTACT_ACTIVE").await;
    let input = json!({ "issueId": issue["id"], "reason": "Being moved", "until": scene.days_on(2) });
    scene.provider.mutate("muteIssue", input, "issue { id }").await;
    scene.pair.provider.tamper("update issue set blocking = false where check_code = 'CONTACT_ACTIVE'").await;
    scene.revalidate().await;
    let switch = async |on: bool| {
        let input = json!({ "userId": scene.ready.contact, "active": on });
        scene.provider.mutate("updateContact", input, "contact { active }").await;
        scene.revalidate().await;
    };
    switch(true).await;
    assert!(scene.issues(json!({ "checks": ["CONTACT_ACTIVE"], "state": "OPEN" })).await.is_empty());
    switch(false).await;
    let again = scene.issue("CONTACT_ACTIVE").await;
    assert_ne!(again["id"], issue["id"]);
    assert_eq!(again["mute"]["reason"], "Being moved", "{again:#}");
    assert_eq!(told("").0, 4, "not a letter more");
    // Whoever does not follow it any more hears nothing of it either, when others do again.
    let input = json!({ "issueId": again["id"] });
    follower.mutate("unfollowIssue", input.clone(), "issue { viewerFollows }").await;
    scene.provider.mutate("unmuteIssue", input, "issue { mute { reason } }").await;
    let letters = scene.pair.provider.letters().len();
    scene.pair.provider.tamper("update issue set blocking = false where check_code = 'CONTACT_ACTIVE'").await;
    scene.revalidate().await;
    assert_eq!(scene.pair.provider.letters().len(), letters + 1, "an administrator");
    assert_eq!(told("").0, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_much_is_found_at_once_one_letter_tells_of_it() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let uuid = match database {
            Database::Sqlite => "randomblob(16)",
            Database::Postgres => "gen_random_uuid()",
        };
        // As many as other scans would have raised.
        let raised = format!(
            "insert into issue (id, check_code, subject_kind, subject_id, scan_id, state, blocking, message, evidence,
                remedy, seen_count, first_seen_at, last_seen_at, revision, severity_rank)
            select {uuid}, check_code, 'CONNECTION', {uuid}, {uuid}, state, blocking, message, evidence, remedy, 1,
                first_seen_at, last_seen_at, 1, severity_rank
            from issue where check_code = 'CONTACT_ACTIVE' limit 1"
        );
        for _ in 0..24 {
            scene.pair.provider.tamper(&raised).await;
        }
        let letters = || {
            let letters = scene.pair.provider.letters();
            let letters = letters.iter().map(|letter| unfold(letter));
            letters.filter(|letter| letter.contains("See and resolve them here")).collect::<Vec<_>>()
        };
        let before = letters().len();
        scene.saboteur.break_part("ROOT_KEY");
        for suite in 0..2 {
            scene.pair.clock.advance(1_000 * suite);
            scene.provider.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
            scene.pair.settle().await;
        }
        assert_eq!(letters().len(), before, "{database:?}: it waits for the rest");
        scene.pair.advance(600).await;
        let all = letters();
        assert_eq!(all.len(), before + 1, "{database:?}: {all:#?}");
        let summary =
            all.iter().find(|letter| letter.contains("Much was found within a short time")).unwrap();
        let named = summary.matches("What to do: ").count();
        assert_eq!(named, 40, "twenty in the text and twenty in the other part: {summary}");
        assert!(summary.contains("more."), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_can_be_called_off_and_what_waited_for_it_has_not_passed() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let on = json!({ "userId": scene.ready.contact, "active": true });
        scene.provider.mutate("updateContact", on, "contact { active }").await;
        let role = json!({ "userId": scene.ready.contact, "role": "CONSUMER_CONTACT" });
        scene.provider.mutate("grantRole", role, "__typename").await;
        scene.saboteur.hang("PEER_TLS");
        let input = json!({ "subjectId": scene.registration });
        let scan = scene.provider.mutate("runScan", input, "scan { id actions { name allowed } }").await;
        let scan = scan["scan"].clone();
        assert_eq!(scan["actions"], json!([{ "name": "cancelScan", "allowed": true }]));
        let all_but_one = "query($id: ID!) { node(id: $id) { ... on Scan { progress { done total } } } }";
        let far = async || {
            let scan = scene.provider.query(all_but_one, json!({ "id": scan["id"] })).await;
            let progress = &scan["node"]["progress"];
            progress["total"].as_i64().unwrap() - progress["done"].as_i64().unwrap() == 1
        };
        while !far().await {
            let_pass(Duration::from_millis(100)).await;
        }
        let input = json!({ "scanId": scan["id"] });
        let off = scene.provider.mutate("cancelScan", input.clone(), "scan { state }").await;
        assert_eq!(off["scan"]["state"], "CANCELLED");
        let again = scene.provider.try_mutate("cancelScan", input, "scan { state }").await;
        assert_eq!(again["refusal"]["code"], "WRONG_STATE", "{again:#}");
        let called_off = Instant::now();
        scene.pair.settle().await;
        let limit = CheckCode::PeerTls.spec().time_limit.to_std().unwrap();
        assert!(called_off.elapsed() < limit, "checks that nobody waits for went on");
        assert_eq!(scene.state().await, "VALIDATION_FAILED");
        scene.saboteur.mend();
        for check in ["CONTACT_ACTIVE", "CONTACT_ROLE"] {
            let open = scene.issues(json!({ "checks": [check], "state": "OPEN" })).await;
            for issue in open {
                scene
                    .provider
                    .mutate("validateIssue", json!({ "issueId": issue["id"] }), "scan { id }")
                    .await;
            }
            scene.pair.settle().await;
        }
        if scene.state().await != "OPEN" {
            scene.revalidate().await;
        }
        assert_eq!(scene.state().await, "OPEN");
        assert_eq!(scene.invitations(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_a_scan_that_another_overtakes_hears_that_it_ended() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        scene.saboteur.hang("CONTACT_ACTIVE");
        let issues = scene.issues(json!({ "checks": ["CONTACT_ACTIVE"], "state": "OPEN" })).await;
        let validate = async || {
            let input = json!({ "issueId": issues[0]["id"] });
            scene.provider.mutate("validateIssue", input, "scan { id }").await["scan"]["id"].clone()
        };
        let scan = validate().await;
        let progress = "subscription($id: ID!) { scanProgress(id: $id) { state } }";
        let mut events = scene.provider.subscribe(progress, json!({ "id": scan })).await;
        while events.expect().await["state"] != "RUNNING" {}
        assert_ne!(validate().await, scan);
        while events.expect().await["state"] != "CANCELLED" {}
        scene.saboteur.mend();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_answers_and_keeps_nothing() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.run().await;
        pair.provider.kill().await;
        pair.provider.start(Some(saboteur.clone())).await;
        let provider = pair.provider_admin().await;
        pair.make_ready(&provider).await;
        let tables = ["scan", "scan_result", "issue", "registration", "audit", "change"];
        let count = async || {
            let mut rows = Vec::new();
            for table in tables {
                rows.push(pair.provider.rows(table).await);
            }
            rows
        };
        let before = count().await;
        let fields = "dryRun { passed results { check answer message } }";
        let run = async |url: &str| {
            provider
                .try_mutate("dryRunChecks", json!({ "url": url, "environment": "NON_PRODUCTION" }), fields)
                .await
        };
        let good = run(&pair.consumer.origin).await;
        assert_eq!(good["dryRun"]["passed"], true, "{good:#}");
        if database == Database::Sqlite {
            // Somebody waits for it, so it is over sooner than a scan would be, and says so.
            saboteur.hang("PEER_TLS");
            let late = run(&pair.consumer.origin).await;
            saboteur.mend();
            let broken: Vec<_> = late["dryRun"]["results"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|it| it["answer"] != "PASS" && it["answer"] != "SKIPPED")
                .map(|it| (it["check"].clone(), it["message"].clone()))
                .collect();
            let message = "No answer within the 4 s of a dry run; a scan waits 15 s for it.";
            assert_eq!(broken, [(json!("PEER_TLS"), json!(message))], "{late:#}");
            assert_eq!(late["dryRun"]["passed"], false, "{late:#}");
        }
        let bad = run("https://nowhere.invalid").await;
        assert_eq!(bad["dryRun"]["passed"], false, "{bad:#}");
        let results = bad["dryRun"]["results"].as_array().unwrap();
        assert_eq!(results.len(), 19);
        let found: Vec<_> =
            results.iter().filter(|it| it["answer"] == "FINDING").map(|it| it["check"].clone()).collect();
        assert_eq!(found, ["PEER_DNS"], "{bad:#}");
        let refused = run("ftp://nowhere.invalid").await;
        assert_eq!(refused["refusal"]["field"], "url", "{refused:#}");
        for _ in 0..12 {
            run(&pair.consumer.origin).await;
        }
        let limited = run(&pair.consumer.origin).await;
        assert_eq!(limited["refusal"]["code"], "RATE_LIMITED", "{limited:#}");
        assert_eq!(count().await, before, "{tables:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_scan_asked_for_again_before_it_began_is_the_same_scan() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.provider.start(Some(saboteur.clone())).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        let admin = pair.provider_admin().await;
        let run = || admin.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }");
        let all = join_all((0..24).map(|_| run())).await;
        pair.settle().await;
        let ids: std::collections::BTreeSet<_> = all.iter().map(|it| it["scan"]["id"].to_string()).collect();
        assert_eq!(ids.len() as i64, pair.provider.rows("scan").await);
        assert!(ids.len() < 24, "each request made a scan of its own");
        let wrong = json!({ "suites": ["POST_ONBOARDING"] });
        let refused = admin.try_mutate("runScan", wrong, "scan { id }").await;
        assert_eq!(refused["refusal"]["field"], "suites", "{refused:#}");
    }
}

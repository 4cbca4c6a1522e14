//! After onboarding: a connection that stands.

use linkspan::domain::check::CheckCode;
use linkspan::world::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::{Fixture, assert_found, assert_mended, checks_of, found, latest};
use crate::harness::faults::Wire;
use crate::harness::{Client, Database, Pair, START_MS, Stage, let_pass};

/// Two instances that are connected, seen from the consumer.
struct Scene {
    pair: Pair,
    provider: Client,
    consumer: Client,
    connection: String,
    theirs: String,
    wire: std::sync::Arc<Wire>,
    database: Database,
}

impl Scene {
    /// At this time, because certificates are judged by the machine's clock as well.
    async fn set(database: Database, at_ms: i64) -> Self {
        let mut pair = Pair::prepare(database).await;
        pair.clock.advance(at_ms - START_MS);
        let wire = Wire::breaking(&pair.clock, None);
        pair.consumer.wire = Some(wire.clone());
        pair.consumer.config.outbound.connect_timeout_ms = 400;
        for instance in [&mut pair.provider, &mut pair.consumer] {
            // A clock that jumps is no silence of the other side.
            instance.config.probe_interval_seconds = 3_600;
        }
        pair.run().await;
        let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
        let ready = pair.make_ready(&provider).await;
        let registration = pair.register(&provider, &ready).await;
        let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
        pair.get_started(&consumer, &connection).await;
        let done = pair.onboard(&consumer, &connection).await;
        assert_eq!(done["state"], "ONBOARDED", "{done:#}");
        let theirs = pair.registration(&provider, &registration).await["connection"]["id"].clone();
        let theirs = theirs.as_str().unwrap().to_owned();
        Self { pair, provider, consumer, connection, theirs, wire, database }
    }

    async fn run(&self, suite: &str) -> Value {
        self.run_for(&self.consumer, &self.connection, suite).await
    }

    /// The same on the side of this client, which knows the connection by this id.
    async fn run_for(&self, client: &Client, connection: &str, suite: &str) -> Value {
        // Ids sort by time.
        self.pair.clock.advance(10);
        let input = json!({ "subjectId": connection, "suites": [suite] });
        client.mutate("runScan", input, "scan { id state suites }").await;
        self.pair.settle().await;
        latest(client, Some(connection)).await
    }

    /// Waits until both sides have proofs of both directions from after then. A probe that was on its way when the clock
    /// jumped was a miss: the next one, an interval later, makes it good.
    async fn until_up_since(&self, then_ms: i64) {
        let proven = format!("direction where shown = 'UP' and last_proof_at >= {then_ms}");
        for round in 1..=600 {
            let proven = [self.pair.provider.rows(&proven).await, self.pair.consumer.rows(&proven).await];
            if proven == [2, 2] {
                return self.pair.settle().await;
            }
            let_pass(std::time::Duration::from_millis(50)).await;
            self.pair.clock.advance(if round % 60 == 0 { 3_605_000 } else { 1_000 });
        }
        panic!("the directions are not proven again");
    }

    async fn break_it(&mut self, code: CheckCode) {
        use CheckCode as C;
        let (hour, day) = (3_600_000_i64, 86_400_000_i64);
        let now = self.pair.clock.now_ms();
        let consumer = &self.pair.consumer;
        match code {
            C::EchoOutbound => self.pair.provider.kill().await,
            C::EchoInbound => {
                self.wire.answer("/link/v1/message", 503, String::new());
                self.pair.clock.advance(1_000);
            }
            C::KeysAgree => {
                self.pair.provider.tamper("delete from key_version where module like 'links/%'").await;
            }
            C::SettingsAgree => {
                let input = json!({
                    "kind": "TASK_DEFINITION", "name": format!("incident {now}"), "description": "", "fieldSchema": r#"{"type":"object"}"#,
                });
                self.pair.consumer.kill().await;
                self.provider.mutate("saveDefinition", input, "definition { name }").await;
                self.pair.settle().await;
                self.pair.consumer.start(None).await;
            }
            C::VersionsKnown => consumer.tamper("update connection set peer_version = null").await,
            C::CredentialRenews => {
                let sql = format!("update service_account set expires_at = {}", now + 5 * day);
                consumer.tamper(&sql).await;
            }
            C::ServiceAccountLeastPrivilege => {
                consumer.tamper("update service_account set scopes = scopes || ' keys.export'").await;
            }
            C::NoLeftovers => {
                let bytes = self.database.bytes("00");
                consumer.tamper(&format!("update connection set link_secret = {bytes}")).await;
            }
            C::DirectionsUp => {
                let input = json!({ "connectionId": self.connection });
                self.consumer.mutate("suspendConnection", input, "connection { state }").await;
            }
            C::ViewsAgree => {
                // They have said so for longer than it takes to notice.
                let long = now - 20_000_000;
                let sql = format!(
                    "update direction set peer_view = 'DOWN', peer_view_at = {now}, peer_view_since = {long}, own = 'UP',
                     own_at = {long}, seen_at = {now} + 1000 where way = 'OUTBOUND'"
                );
                consumer.tamper(&sql).await;
            }
            C::KeyAge => {
                let until = now + 400 * day;
                for instance in [&self.pair.provider, consumer] {
                    instance.tamper(&format!("update service_account set expires_at = {until}")).await;
                }
                // Each side knows the accounts from its start on.
                for instance in [&mut self.pair.provider, &mut self.pair.consumer] {
                    instance.kill().await;
                    instance.start(None).await;
                }
                self.pair.advance(2).await;
                self.pair.clock.advance(91 * day + hour);
                self.until_up_since(self.pair.clock.now_ms()).await;
                self.consumer = self.pair.consumer_admin().await;
            }
            C::CertificateAge => {
                let soon = now / 1_000 + 10 * 86_400;
                let (certificate, key) = self.pair.issue_until("provider.localhost", soon);
                self.pair.provider.kill().await;
                self.pair.provider.config.server.tls_certificate_file = Some(certificate);
                self.pair.provider.config.server.tls_key_file = Some(key);
                self.pair.provider.start(None).await;
            }
            C::QueueMoving => {
                let sql =
                    "update job set state = 'DEAD', last_error = 'given up' where kind = 'CONNECTION_HEALTH'";
                consumer.tamper(sql).await;
            }
            _ => panic!("{code} is not asked of a connection that stands"),
        }
    }

    /// Mends it by hand, where the remedy is no call.
    async fn mend_it(&mut self, code: CheckCode) {
        use CheckCode as C;
        match code {
            C::EchoOutbound => self.pair.provider.start(None).await,
            C::EchoInbound => self.wire.mend(),
            C::ViewsAgree => {
                self.pair
                    .consumer
                    .tamper("update direction set peer_view = 'UP', seen_at = seen_at + 1")
                    .await;
            }
            C::CertificateAge => {
                let (certificate, key) = self.pair.issue("provider.localhost");
                self.pair.provider.kill().await;
                self.pair.provider.config.server.tls_certificate_file = Some(certificate);
                self.pair.provider.config.server.tls_key_file = Some(key);
                self.pair.provider.start(None).await;
            }
            _ => {}
        }
    }
}

/// Whether only a new exchange of keys mends it.
const fn needs_other_keys(code: CheckCode) -> bool {
    matches!(code, CheckCode::KeysAgree | CheckCode::KeyAge)
}

async fn standing_connection_is_found_out(wanted: impl Fn(usize) -> bool) {
    for database in Database::available() {
        let wanted = checks_of(Fixture::Standing).enumerate().filter(|(n, _)| wanted(*n));
        for (_, code) in wanted {
            let start = if code == CheckCode::CertificateAge { SystemClock.now_ms() } else { START_MS };
            let mut scene = Scene::set(database, start).await;
            let suite = code.suites().find(|suite| !suite.decides()).unwrap().as_str();
            let sound = scene.run(suite).await;
            assert_eq!(sound["state"], "PASSED", "{code}: {sound:#}");
            assert!(found(&sound).is_empty(), "{sound:#}");
            scene.break_it(code).await;
            let scan = scene.run(suite).await;
            let finding = assert_found(&scene.consumer, &scan, code).await;
            if needs_other_keys(code) {
                assert_eq!(finding["remedy"]["kind"], "HUMAN");
                continue;
            }
            if finding["remedy"]["kind"] != "CALL" {
                scene.mend_it(code).await;
            }
            assert_mended(&scene.pair, &scene.consumer, code, &finding, json!([])).await;
            let both = matches!(code, CheckCode::SettingsAgree | CheckCode::CredentialRenews);
            if both && database == Database::Sqlite {
                the_provider_finds_it_too(&mut scene, code, suite).await;
            }
        }
    }
}

/// Each side has a part of the settings and a service account of its own.
async fn the_provider_finds_it_too(scene: &mut Scene, code: CheckCode, suite: &str) {
    if code == CheckCode::CredentialRenews {
        let soon = scene.pair.clock.now_ms() + 5 * 86_400_000;
        scene.pair.provider.tamper(&format!("update service_account set expires_at = {soon}")).await;
    } else {
        scene.break_it(code).await;
    }
    let scan = scene.run_for(&scene.provider, &scene.theirs, suite).await;
    let finding = assert_found(&scene.provider, &scan, code).await;
    assert_mended(&scene.pair, &scene.provider, code, &finding, json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_two_sides_do_not_share_is_found_by_the_one_check_that_asks_for_it() {
    standing_connection_is_found_out(|n| n < 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_onboarding_left_is_found_by_the_one_check_that_asks_for_it() {
    standing_connection_is_found_out(|n| (5..8).contains(&n)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ails_a_connection_is_found_by_the_one_check_that_asks_for_it() {
    standing_connection_is_found_out(|n| n >= 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_side_takes_nothing_is_one_finding_and_not_one_of_each_check() {
    let scene = Scene::set(Database::available()[0], START_MS).await;
    let sides = [(&scene.provider, &scene.theirs, true), (&scene.consumer, &scene.connection, false)];
    for (client, connection, other) in sides {
        let input = json!({ "connectionId": connection });
        client.mutate("suspendConnection", input.clone(), "connection { state }").await;
        scene.pair.advance(6).await;
        let scan = scene.run("POST_ONBOARDING").await;
        let found = found(&scan);
        assert!(found.iter().all(|code| code == "ECHO_OUTBOUND"), "{scan:#}");
        // What we suspended ourselves, the other side may still take.
        assert!(!other || found.len() == 1, "{scan:#}");
        client.mutate("resumeConnection", input, "connection { state }").await;
        for _ in 0..4 {
            scene.pair.advance(6).await;
        }
    }
    assert_eq!(scene.run("POST_ONBOARDING").await["state"], "PASSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_onboarding_its_suite_runs_by_itself_on_both_sides() {
    for database in Database::available() {
        let scene = Scene::set(database, START_MS).await;
        for (client, connection) in [(&scene.provider, &scene.theirs), (&scene.consumer, &scene.connection)] {
            let scan = latest(client, Some(connection)).await;
            assert_eq!(scan["state"], "PASSED", "{scan:#}");
            let answers: Vec<_> =
                scan["results"].as_array().unwrap().iter().map(|it| it["answer"].clone()).collect();
            assert_eq!(answers, vec![json!("PASS"); 8], "{scan:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_schedule_finds_is_an_issue_once_and_is_resolved_once_it_is_mended() {
    for database in Database::available() {
        let scene = Scene::set(database, START_MS).await;
        let (consumer, pair) = (&scene.consumer, &scene.pair);
        let edit = json!({ "suite": "CONNECTION_HEALTH", "intervalSeconds": 5 });
        let refused = consumer.try_mutate("updateCheckSchedule", edit, "checkSchedule { revision }").await;
        assert_eq!(refused["refusal"]["field"], "intervalSeconds", "{refused:#}");
        let edit = json!({ "suite": "CONNECTION_HEALTH", "intervalSeconds": 60, "expectedRevision": 1 });
        let fields = "checkSchedule { intervalSeconds revision }";
        let edited = consumer.mutate("updateCheckSchedule", edit, fields).await;
        assert_eq!(edited["checkSchedule"], json!({ "intervalSeconds": 60, "revision": 2 }));
        let scans = pair.consumer.rows("scan").await;
        // What waited for the hour to be over is due within the minute.
        let soon = pair.clock.now_ms() + 60_000;
        let moved = format!("job where kind = 'CONNECTION_HEALTH' and run_at <= {soon}");
        assert_eq!(pair.consumer.rows(&moved).await, 1);
        pair.advance(60).await;
        assert_eq!(
            pair.consumer.rows("scan").await,
            scans,
            "a look that finds nothing leaves nothing behind"
        );
        let lost = "insert into job (id, kind, subject_id, trace, state, run_at, tries, woken, fence, last_error, created_at)
            select id, 'SYNC_SETTINGS', id, '1', 'DEAD', 0, 12, false, 0, 'given up', 0 from connection";
        pair.consumer.tamper(lost).await;
        // Switched off, nobody looks, however long it is.
        let switch = async |on: bool| {
            let input = json!({ "suite": "CONNECTION_HEALTH", "enabled": on });
            consumer.mutate("updateCheckSchedule", input, "checkSchedule { enabled }").await;
        };
        switch(false).await;
        for _ in 0..2 {
            pair.advance(400).await;
        }
        assert_eq!(pair.consumer.rows("issue where state = 'OPEN'").await, 0);
        switch(true).await;
        for _ in 0..3 {
            pair.advance(60).await;
        }
        assert_eq!(pair.consumer.rows("issue where state = 'OPEN'").await, 1);
        assert!(pair.consumer.rows("issue where seen_count > 1").await == 1, "it is counted");
        assert_eq!(pair.consumer.rows("scan").await, scans + 1, "only what is new is a scan");
        // What it sees is shown as it is now, though it is the same matter.
        pair.consumer
            .tamper("update job set last_error = 'given up for another reason' where state = 'DEAD'")
            .await;
        pair.advance(60).await;
        let now = "issue where state = 'OPEN' and evidence like '%another reason%'";
        assert_eq!(pair.consumer.rows(now).await, 1);
        assert_eq!(pair.consumer.rows("scan").await, scans + 1);
        pair.consumer.tamper("delete from job where state = 'DEAD'").await;
        pair.advance(60).await;
        assert_eq!(pair.consumer.rows("issue where state = 'OPEN'").await, 0, "a later look resolves it");
        what_is_long_past_is_forgotten(&scene).await;
    }
}

/// Issues that were resolved 90 days ago go, and work that was given up 30 days ago, and so does the history from before,
/// but for the status in force then.
async fn what_is_long_past_is_forgotten(scene: &Scene) {
    let (consumer, now) = (&scene.pair.consumer, scene.pair.clock.now_ms());
    let back = |days: i64| now - days * 86_400_000;
    for (days, status) in [(100, "DOWN"), (95, "UP"), (10, "DOWN")] {
        let told = format!(
            "insert into direction_history (connection_id, way, at, status)
             select id, 'OUTBOUND', {}, '{status}' from connection",
            back(days)
        );
        consumer.tamper(&told).await;
    }
    for (days, table) in [(31, "connection"), (29, "issue")] {
        let dead = format!(
            "insert into job (id, kind, trace, state, run_at, tries, woken, fence, created_at)
             select id, 'LETTER', '1', 'DEAD', {0}, 1, false, 1, {0} from {table}",
            back(days)
        );
        consumer.tamper(&dead).await;
    }
    let sweep = async || {
        consumer.tamper("update job set run_at = 0 where kind = 'SWEEP'").await;
        scene.pair.advance(1).await;
    };
    let known = |days: i64| format!("direction_history where at = {}", back(days));
    sweep().await;
    let kept = [known(100), known(95), known(10), "issue".to_owned(), "job where state = 'DEAD'".to_owned()];
    for (rows, wanted) in kept.iter().zip([0, 1, 1, 1, 1]) {
        assert_eq!(consumer.rows(rows).await, wanted, "{rows}");
    }
    let history = "query($id: ID!) { connection(id: $id) { outbound { history(days: 90) {
        buckets { upMs downMs unknownMs } } } } }";
    let found = scene.consumer.query(history, json!({ "id": scene.connection })).await;
    let buckets = found["connection"]["outbound"]["history"]["buckets"].clone();
    let first = &buckets[0];
    assert!(first["upMs"].as_i64().unwrap() > 0, "it was up when the 90 days began: {first}");
    assert_eq!((&first["downMs"], &first["unknownMs"]), (&json!(0), &json!(0)));
    assert!(buckets[85]["downMs"].as_i64().unwrap() > 0, "{buckets:#}");
    consumer.tamper(&format!("update issue set resolved_at = {} where state = 'RESOLVED'", back(91))).await;
    sweep().await;
    assert_eq!(consumer.rows("issue").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_checks_before_onboarding_ask_is_over_once_the_connection_stands() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        // Certificates are judged by the machine's clock as well.
        pair.set_to_now();
        let soon = pair.clock.now_ms() / 1_000 + 20 * 86_400;
        let (certificate, key) = pair.issue_until("provider.localhost", soon);
        pair.provider.config.server.tls_certificate_file = Some(certificate);
        pair.provider.config.server.tls_key_file = Some(key);
        pair.run().await;
        let mut stage = Stage::open_over(pair).await;
        let (consumer, connection) = stage.validated().await;
        let open = "issue where state = 'OPEN'";
        assert_eq!(stage.pair.consumer.rows(&format!("{open} and check_code = 'PEER_TLS'")).await, 1);
        stage.start(&consumer, &connection).await;
        stage.finishes(&consumer, &connection).await;
        assert_eq!(stage.pair.consumer.rows(open).await, 0, "{database:?}: nothing would resolve it");
        let health = consumer.query("{ healthOverview { score parts { counted } } }", json!({})).await;
        assert_eq!(health["healthOverview"]["score"], 100, "{health:#}");

        // As it was left by an instance that did not know better.
        let reopen = "update issue set state = 'OPEN', resolved_at = null where check_code = 'PEER_TLS'";
        stage.pair.consumer.tamper(reopen).await;
        let query = "query($id: ID!) { connection(id: $id) { issues { actions { name allowed reason } } } }";
        let shown = consumer.query(query, json!({ "id": connection })).await;
        let actions = shown["connection"]["issues"][0]["actions"].as_array().unwrap();
        let validate = actions.iter().find(|action| action["name"] == "validateIssue").unwrap();
        assert_eq!(validate["allowed"], false, "{shown:#}");
        let older = [
            "delete from seaql_migrations where version >= 'm0057'",
            "alter table issue drop column told_at",
        ];
        stage.pair.consumer.kill().await;
        for sql in older {
            stage.pair.consumer.tamper(sql).await;
        }
        stage.pair.consumer.start(None).await;
        assert_eq!(stage.pair.consumer.rows(open).await, 0, "{database:?}: after an update");
        assert_eq!(stage.pair.consumer.rows("issue where told_at is null").await, 0, "{database:?}");
    }
}

//! The key service, part by part.

use std::os::unix::fs::PermissionsExt as _;

use linkspan::domain::Timestamp;
use linkspan::domain::check::CheckCode;
use linkspan::domain::requester::Role;
use linkspan::vault::Form;
use linkspan::world::Clock as _;
use serde_json::{Value, json};

use super::{Fixture, RESULTS, assert_found, assert_mended, checks_of, found};
use crate::harness::pair::PASSWORD;
use crate::harness::saboteur::{Saboteur, Well};
use crate::harness::{Client, Database, Pair, let_pass};
use crate::vault::signal;

/// A module of our own, which is broken where those of the instance are needed for finding it.
const MODULE: &str = "signatures";
/// Another one, whose keys are rotated by a schedule.
const SCHEDULED: &str = "scheduled";

/// An instance whose key service is within the test's reach, and its key manager.
struct Scene {
    pair: Pair,
    admin: Client,
    manager: Client,
    saboteur: std::sync::Arc<Saboteur>,
    well: std::sync::Arc<Well>,
}

impl Scene {
    async fn set(database: Database) -> Self {
        let mut pair = Pair::prepare(database).await;
        let (saboteur, well) = (Saboteur::new(), Well::new());
        pair.provider.draw_from(well.clone());
        pair.provider.start(Some(saboteur.clone())).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        // By token: hours will pass.
        let input = json!({ "name": "test", "days": 30 });
        let token = pair.provider_admin().await.mutate("createAccessToken", input, "secret").await;
        let admin = pair.provider.client().with_token(token["secret"].as_str().unwrap());
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        for (name, period) in [(MODULE, None), (SCHEDULED, Some(7_200))] {
            let draft = json!({
                "name": name, "purpose": "SIGNING", "algorithm": "Ed25519", "rotationPeriod": period,
            });
            manager.mutate("createKeyModule", draft, "keyModule { name }").await;
            for verb in ["publishKeyModule", "rotateKeyModule", "rotateKeyModule"] {
                manager.mutate(verb, json!({ "module": name }), "keyModule { name }").await;
            }
        }
        Self { pair, admin, manager, saboteur, well }
    }

    async fn run(&self) -> Value {
        run(&self.pair, &self.admin).await
    }

    async fn tamper(&self, statements: &[&str]) {
        for sql in statements {
            self.pair.provider.tamper(sql).await;
        }
    }

    /// What was compared or verified lately is not read again until an hour has passed, or somebody asks for it.
    async fn look_again(&self) {
        self.manager.mutate("recheckKeyHealth", json!({}), "keyHealth { status }").await;
    }

    /// Has the key that is in use end at this time.
    async fn renew(&self, until: Option<Timestamp>) {
        let input = json!({ "module": MODULE, "version": 2, "expiresAt": until });
        self.manager.mutate("renewKey", input, "key { version }").await;
    }

    fn root_key_mode(&self, mode: u32) {
        let path = self.pair.provider.config.root_key_file();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Breaks the part itself; what only the program's own memory holds, by saying behind the measurement that it is
    /// broken: that the measurement finds it is for the key service's own tests.
    async fn break_it(&self, code: CheckCode) {
        use CheckCode as C;
        match code {
            C::IntegrityKey => {
                // A version that is out of use: one that is used would not do what it is for, either.
                self.tamper(&[
                    "create table kept as select * from key_version where module = 'signatures' and version = 1",
                    "update key_version set reason = 'another' where id = (select id from kept)",
                ])
                .await;
                self.look_again().await;
            }
            C::IdentitySigningKey => {
                self.tamper(&[
                    "create table gone as select * from key_version where module = 'identity'",
                    "delete from key_version where module = 'identity'",
                ])
                .await;
            }
            C::Entropy => self.well.dry(true),
            C::Clock => self.pair.clock.advance(-600_000),
            C::AuditChain => {
                self.tamper(&[
                    "create table spare as select * from audit where n = (select max(n) from audit)",
                    "update audit set actor = 'somebody' where n = (select n from spare)",
                ])
                .await;
                self.look_again().await;
            }
            C::RotationSchedule => {
                // The work that rotates what is due is lost.
                self.tamper(&["delete from job where kind = 'SWEEP'"]).await;
                self.pair.advance(3 * 3_600 + 60).await;
                self.manager.sign_in("manager@provider.example.com", PASSWORD).await;
            }
            C::ModuleSelfTest => {
                // Soon, for a key that is hours old by now.
                let soon = Timestamp::from_timestamp_millis(self.pair.clock.now_ms() + 1_200_000);
                self.renew(soon).await;
            }
            C::RootKey => self.root_key_mode(0o644),
            C::KeyEncryptionKey | C::KnownAnswers | C::PolicyEngine => {
                self.saboteur.break_part(code.as_str());
            }
            _ => panic!("{code} is broken elsewhere"),
        }
    }

    async fn mend_it(&self, code: CheckCode) {
        use CheckCode as C;
        match code {
            C::IntegrityKey => {
                self.tamper(&[
                    "update key_version set reason = (select reason from kept) where id = (select id from kept)",
                ])
                .await;
            }
            C::RootKey => self.root_key_mode(0o400),
            C::IdentitySigningKey => self.tamper(&["insert into key_version select * from gone"]).await,
            C::Entropy => self.well.dry(false),
            C::Clock => self.pair.clock.advance(600_000),
            C::AuditChain => {
                self.tamper(&[
                    "update audit set actor = (select actor from spare) where n = (select n from spare)",
                ])
                .await;
            }
            C::RotationSchedule => {
                let input = json!({ "module": SCHEDULED });
                self.manager.mutate("rotateKeyModule", input, "keyModule { name }").await;
            }
            C::ModuleSelfTest => self.renew(None).await,
            _ => self.saboteur.mend(),
        }
    }
}

/// Runs the suite of the key service.
async fn run(pair: &Pair, admin: &Client) -> Value {
    let scan = admin.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
    pair.settle().await;
    // By its id: the clock may have run backwards since the one before.
    let query = format!("query($id: ID!) {{ scan(id: $id) {{ {RESULTS} }} }}");
    admin.query(&query, json!({ "id": scan["scan"]["id"] })).await["scan"].clone()
}

fn answered(scan: &Value, wanted: &str) -> Vec<String> {
    let results = scan["results"].as_array().unwrap().iter();
    let these = results.filter(|result| result["answer"] == wanted);
    these.map(|result| result["check"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ails_the_key_service_is_found_by_the_check_of_that_part() {
    for database in Database::available() {
        let scene = Scene::set(database).await;
        let sound = scene.run().await;
        assert!(found(&sound).is_empty(), "{sound:#}");
        assert_eq!(answered(&sound, "SKIPPED"), ["PROCESS"], "it has no process of its own here");
        for code in checks_of(Fixture::Keys).filter(|code| *code != CheckCode::Process) {
            scene.break_it(code).await;
            let scan = scene.run().await;
            let finding = assert_found(&scene.admin, &scan, code).await;
            scene.mend_it(code).await;
            assert_mended(&scene.pair, &scene.admin, code, &finding, json!([])).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_key_service_that_does_not_answer_is_found_by_its_check() {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.provider.config.keyservice.form = Form::Process;
    pair.provider.config.keyservice.deadline_ms = 1_000;
    pair.provider.config.keyservice.hang_ms = 120_000;
    pair.run().await;
    let admin = pair.provider_admin().await;
    assert_eq!(found(&run(&pair, &admin).await), [""; 0]);
    let process = pair.provider.app().actions().keys().process().unwrap();
    signal("-STOP", process);
    let scan = run(&pair, &admin).await;
    let finding = assert_found(&admin, &scan, CheckCode::Process).await;
    let health = admin.query("{ keyHealth { reason } }", json!({})).await["keyHealth"].clone();
    assert_eq!(health["reason"], finding["message"], "the same as the health says");
    signal("-CONT", process);
    assert_mended(&pair, &admin, CheckCode::Process, &finding, json!([])).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_by_schedule_leaves_the_scan_alone_that_a_person_waits_for() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.provider.start(Some(saboteur.clone())).await;
        pair.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        let admin = pair.provider_admin().await;
        saboteur.hang("CLOCK");
        let scan = admin.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
        let query = "query($id: ID!) { scan(id: $id) { state progress { done total } } }";
        let look = async || admin.query(query, json!({ "id": scan["scan"]["id"] })).await["scan"].clone();
        let until_found = async |rows: &str| {
            while pair.provider.rows(rows).await == 0 {
                let_pass(std::time::Duration::from_millis(20)).await;
            }
        };
        // All but the one that hangs have answered.
        until_found("scan_result where check_code = 'MODULE_SELF_TEST'").await;
        saboteur.mend();
        saboteur.break_part("ROOT_KEY");
        pair.provider.tamper("update job set run_at = 0 where kind = 'KEY_SERVICE_HEALTH'").await;
        until_found("issue where check_code = 'ROOT_KEY'").await;
        let now = look().await;
        assert_eq!(now["state"], "RUNNING", "{database:?}: {now:#}");
        pair.settle().await;
        let ended = look().await;
        assert_eq!(ended["state"], "FAILED", "{database:?}: {ended:#}");
        assert_eq!(ended["progress"]["done"], ended["progress"]["total"], "{ended:#}");
        assert_eq!(pair.provider.rows("scan").await, 2);
    }
}

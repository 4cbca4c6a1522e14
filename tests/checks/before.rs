//! Before onboarding: a registration on the provider, a connection on the consumer.

use std::path::PathBuf;

use linkspan::domain::check::CheckCode;
use linkspan::domain::requester::Role;
use linkspan::mail::TransportKind;
use linkspan::world::Clock as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rogue::{Claim, identity};
use super::{Fixture, assert_found, assert_found_with, assert_mended, checks_of, found, latest, word};
use crate::harness::faults::Wire;
use crate::harness::pair::Ready;
use crate::harness::proxy::Line;
use crate::harness::saboteur::Well;
use crate::harness::{Client, Database, Pair, START_MS};

/// A provider whose registration is sound, and waits for its checks to be run again.
struct Scene {
    pair: Pair,
    provider: Client,
    ready: Ready,
    registration: String,
    wire: std::sync::Arc<Wire>,
    well: std::sync::Arc<Well>,
    manager: Client,
    /// The access policy that keeps a service from what it needs.
    denying: Value,
    database: Database,
}

impl Scene {
    async fn set(database: Database) -> Self {
        Self::set_over(Pair::prepare(database).await, database).await
    }

    /// The same over instances that do not run yet.
    async fn set_over(mut pair: Pair, database: Database) -> Self {
        pair.provider.config.outbound.connect_timeout_ms = 400;
        let (wire, well) = (Wire::breaking(&pair.clock, None), Well::new());
        pair.consumer.wire = Some(wire.clone());
        pair.provider.draw_from(well.clone());
        pair.run().await;
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        // By token, because the instance may not know its own origin later, and a session is of one origin.
        let input = json!({ "name": "test", "days": 30 });
        let token = pair.provider_admin().await.mutate("createAccessToken", input, "secret").await;
        let provider = pair.provider.client().with_token(token["secret"].as_str().unwrap());
        let ready = pair.make_ready(&provider).await;
        let off = json!({ "userId": ready.contact, "active": false });
        provider.mutate("updateContact", off, "contact { active }").await;
        let registration = pair.register(&provider, &ready).await;
        let on = json!({ "userId": ready.contact, "active": true });
        provider.mutate("updateContact", on, "contact { active }").await;
        Self { pair, provider, ready, registration, wire, well, manager, denying: Value::Null, database }
    }

    async fn revalidate(&self) -> Value {
        // Ids sort by time.
        self.pair.clock.advance(10);
        let input = json!({ "registrationId": self.registration });
        self.provider.mutate("revalidateRegistration", input, "registration { state }").await;
        self.pair.settle().await;
        latest(&self.provider, Some(&self.registration)).await
    }

    /// Starts the provider anew, with its configuration changed.
    async fn restart(&mut self) {
        self.pair.provider.kill().await;
        self.pair.provider.start(None).await;
    }

    /// Starts the consumer anew, with this certificate and key.
    async fn serve_with(&mut self, (certificate, key): (PathBuf, PathBuf)) {
        let consumer = &mut self.pair.consumer;
        consumer.kill().await;
        consumer.config.server.tls_certificate_file = Some(certificate);
        consumer.config.server.tls_key_file = Some(key);
        consumer.start(None).await;
    }

    /// Keeps whoever speaks with the peer from the keys of connections.
    async fn deny(&mut self) {
        let terms = json!({
            "effect": "STRICT_REJECT", "principal": { "kind": "SERVICE", "service": "PEER" },
            "operations": ["SEAL"], "note": "By mistake.",
        });
        let input = json!({ "module": "links", "terms": terms });
        let made = self.manager.mutate("createAccessPolicy", input, "accessPolicy { id }").await;
        self.denying = made["accessPolicy"]["id"].clone();
    }

    fn answer_identity(&self, claim: &Claim<'_>) {
        self.wire.answer("/.well-known/linkspan", 200, identity(claim));
    }

    async fn instance(&self) -> Uuid {
        let id = self.provider.query("{ instance { id } }", json!({})).await["instance"]["id"].clone();
        Uuid::try_parse(id.as_str().unwrap()).unwrap()
    }

    /// Breaks what the check looks at.
    async fn break_it(&mut self, code: CheckCode) {
        use CheckCode as C;
        let origin = self.pair.consumer.origin.clone();
        let claim = Claim { origin: &origin, instance: Uuid::max(), versions: vec![1], signed_at: START_MS };
        match code {
            C::ProviderRecord => self.pair.provider.tamper("delete from provider_record").await,
            C::BaseUrlSet => {
                self.pair.provider.config.base_url = None;
                self.restart().await;
            }
            C::ContactActive => {
                let off = json!({ "userId": self.ready.contact, "active": false });
                self.provider.mutate("updateContact", off, "contact { active }").await;
            }
            C::ContactRole => {
                let role = json!({ "userId": self.ready.contact, "role": "CONSUMER_CONTACT" });
                self.provider.mutate("revokeRole", role, "__typename").await;
            }
            C::ContactInCompany => {
                self.provider.mutate("createCompany", json!({ "name": "Other Ltd" }), "company { id }").await;
                let other = "(select id from company where name = 'Other Ltd')";
                let sql = format!("update account set company_id = {other} where company_id is not null");
                self.pair.provider.tamper(&sql).await;
            }
            C::ContactEmail => {
                self.pair
                    .provider
                    .tamper("update account set email = 'nowhere' where company_id is not null")
                    .await;
            }
            C::MailService => {
                self.pair.provider.config.mail.transport = TransportKind::Off;
                self.restart().await;
            }
            C::DuplicateRegistration => self.rival().await,
            C::DuplicateConnection => self.connected("null").await,
            C::StaleAttempts => self.connected("(select id from registration)").await,
            C::KeyServiceHealth => self.well.dry(true),
            C::KeyAccessPolicy => self.deny().await,
            C::PeerUrlSafe => {
                self.pair.provider.config.outbound.allow_networks.clear();
                self.restart().await;
            }
            C::PeerDns => {
                let sql = "update registration set origin = 'https://nowhere.invalid'";
                self.pair.provider.tamper(sql).await;
            }
            C::PeerTls => self.serve_with(self.pair.issue("other.localhost")).await,
            C::PeerIsLinkspan => self.wire.answer("/.well-known/linkspan", 200, "{}".to_owned()),
            C::PeerVersion => self.answer_identity(&Claim { versions: vec![99], ..claim }),
            C::PeerIsNotUs => {
                let instance = self.instance().await;
                self.answer_identity(&Claim { instance, ..claim });
            }
            C::ClockSkew => self.answer_identity(&Claim { signed_at: START_MS + 607_000, ..claim }),
            _ => panic!("{code} is not asked of a registration"),
        }
    }

    /// Mends it by hand, where the remedy is no call.
    async fn mend_it(&mut self, code: CheckCode) {
        use CheckCode as C;
        let provider = &self.pair.provider;
        match code {
            C::BaseUrlSet => {
                self.pair.provider.config.base_url = Some(self.pair.provider.origin.clone());
                self.restart().await;
            }
            C::ContactInCompany => {
                let theirs = "(select company_id from registration)";
                let sql = format!("update account set company_id = {theirs} where company_id is not null");
                provider.tamper(&sql).await;
            }
            C::ContactEmail => {
                let sql =
                    "update account set email = 'contact@consumer.example.com' where company_id is not null";
                provider.tamper(sql).await;
            }
            C::MailService => {
                self.pair.provider.config.mail.transport = TransportKind::File;
                self.restart().await;
            }
            C::DuplicateConnection => provider.tamper("delete from connection").await,
            C::KeyServiceHealth => self.well.dry(false),
            C::KeyAccessPolicy => {
                let input = json!({ "accessPolicyId": self.denying });
                self.manager.mutate("deleteAccessPolicy", input, "deletedId").await;
            }
            C::PeerUrlSafe => {
                self.pair.provider.config.outbound.allow_networks =
                    self.pair.consumer.config.outbound.allow_networks.clone();
                self.restart().await;
            }
            C::PeerDns => {
                let sql = format!("update registration set origin = '{}'", self.pair.consumer.origin);
                provider.tamper(&sql).await;
            }
            C::PeerTls => self.serve_with(self.pair.issue("consumer.localhost")).await,
            C::PeerIsLinkspan | C::PeerVersion | C::PeerIsNotUs | C::ClockSkew => self.wire.mend(),
            _ => {}
        }
    }

    /// Another unfinished registration for the same company: the rule of the database is what keeps it out.
    async fn rival(&self) {
        let provider = &self.pair.provider;
        let company =
            self.provider.mutate("createCompany", json!({ "name": "Rival Ltd" }), "company { id }").await;
        let company = company["company"]["id"].as_str().unwrap().to_owned();
        let contact = self.pair.make_contact(&self.provider, &company, "contact@rival.example.com").await;
        let input = json!({
            "companyId": company, "contactId": contact, "url": "https://rival.invalid", "environment": "NON_PRODUCTION",
        });
        self.provider.mutate("createRegistration", input, "registration { id }").await;
        self.pair.settle().await;
        provider.tamper("drop index registration_company_live").await;
        let sql =
            "update registration set company_id = (select company_id from registration where number = 1)
            where number = 2";
        provider.tamper(sql).await;
    }

    /// A connection to the consumer that came of this registration, or of nothing.
    async fn connected(&self, registration: &str) {
        let bytes = self.database.bytes(&"22".repeat(32));
        let uuid = match self.database {
            Database::Sqlite => self.database.bytes(&"11".repeat(16)),
            Database::Postgres => format!("'{}'::uuid", Uuid::from_bytes([0x11; 16])),
        };
        let sql = format!(
            "insert into connection (id, part, registration_id, link_id, origin, fingerprint, state, attempt_id,
                attempts, message_seq, created_at, updated_at, revision)
             values ({uuid}, 'PROVIDER', {registration}, {uuid}, '{}', {bytes}, 'ONBOARDING', {uuid}, 1, 0, 0, 0, 1)",
            self.pair.consumer.origin
        );
        self.pair.provider.tamper(&sql).await;
    }
}

async fn registration_is_found_out(wanted: impl Fn(usize) -> bool) {
    for database in Database::available() {
        let wanted = checks_of(Fixture::Registration).enumerate().filter(|(n, _)| wanted(*n));
        for (_, code) in wanted {
            let mut scene = Scene::set(database).await;
            scene.break_it(code).await;
            let scan = scene.revalidate().await;
            let finding = assert_found(&scene.provider, &scan, code).await;
            if finding["remedy"]["kind"] != "CALL" {
                scene.mend_it(code).await;
            }
            assert_mended(&scene.pair, &scene.provider, code, &finding, json!([])).await;
            let now = scene.pair.registration(&scene.provider, &scene.registration).await;
            assert_eq!(now["state"], "OPEN", "{code}: {now:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_registration_is_found_by_the_one_check_that_asks_for_it() {
    registration_is_found_out(|n| n < 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_of_a_registration_is_found_by_the_one_check_that_asks_for_it() {
    registration_is_found_out(|n| (7..13).contains(&n)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_other_instance_is_found_by_the_one_check_that_asks_for_it() {
    registration_is_found_out(|n| n >= 13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_found_wanting_for_what_is_wrong_with_it_and_none_is_blamed_where_nothing_answers() {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.consumer.fragile().await;
    // Certificates are judged by the machine's clock as well.
    pair.set_to_now();
    let mut scene = Scene::set_over(pair, Database::Sqlite).await;
    let until = scene.pair.clock.now_ms() / 1_000 + 10 * 86_400;
    let here = "consumer.localhost";
    for (message, evidence) in [
        ("Nothing answers", "Nothing takes a connection"),
        ("Nothing answers", "was silent then"),
        ("No trusted", "for another name"),
        ("No trusted", "has expired"),
        ("No trusted", "is not valid yet"),
        ("No trusted", "an authority that is not trusted here"),
        ("expires soon", "expires 20"),
    ] {
        let (is_end, pair) = (message.contains("soon"), &scene.pair);
        let files = match evidence {
            "for another name" => pair.issue("other.localhost"),
            "has expired" => pair.issue_for(here, Some((2019, 2020)), false),
            "is not valid yet" => pair.issue_for(here, Some((2090, 2091)), false),
            "an authority that is not trusted here" => pair.issue_for(here, None, true),
            _ => pair.issue_until(here, until),
        };
        let line = &scene.pair.consumer.outage().line;
        line.set(if evidence == "Nothing takes a connection" { Line::Closed } else { Line::Open });
        match evidence {
            "was silent then" => scene.pair.consumer.kill().await,
            _ => scene.serve_with(files).await,
        }
        // An instance is looked at six times a minute.
        scene.pair.clock.advance(20_000);
        let scan = scene.revalidate().await;
        assert_eq!(found(&scan), ["PEER_TLS"], "{scan:#}");
        let results = scan["results"].as_array().unwrap();
        let finding = results.iter().find(|result| result["check"] == "PEER_TLS").unwrap();
        assert!(finding["message"].as_str().unwrap().contains(message), "{finding:#}");
        assert!(finding["evidence"].as_str().unwrap().contains(evidence), "{finding:#}");
        assert_eq!(finding["blocking"], !is_end, "{finding:#}");
        let blamed = finding["remedy"]["text"].as_str().unwrap().contains("certificate");
        assert_eq!(blamed, !message.contains("Nothing"), "{finding:#}");
    }
    let now = scene.pair.registration(&scene.provider, &scene.registration).await;
    assert_eq!(now["state"], "OPEN", "one that ends soon is a warning: {now:#}");
}

/// Checks of either side that are broken for a consumer as well, where something else is behind them, and a word of what
/// they saw there.
const ALSO_OF_CONNECTIONS: &[(CheckCode, &str)] = &[
    (CheckCode::DuplicateConnection, "https://provider.localhost"),
    (CheckCode::StaleAttempts, "unfinished attempt 9"),
    (CheckCode::PeerIsLinkspan, "fingerprint differs"),
];

/// Two instances, with the provider's company chosen on the consumer, which has not got started.
struct ToBe {
    pair: Pair,
    /// Of the messages to each side.
    wires: [std::sync::Arc<Wire>; 2],
    provider: Client,
    consumer: Client,
    registration: String,
    connection: String,
    company: Value,
    database: Database,
}

impl ToBe {
    async fn set(database: Database) -> Self {
        let mut pair = Pair::prepare(database).await;
        let wires = [Wire::breaking(&pair.clock, None), Wire::breaking(&pair.clock, None)];
        pair.provider.wire = Some(wires[0].clone());
        pair.consumer.wire = Some(wires[1].clone());
        pair.run().await;
        let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
        let ready = pair.make_ready(&provider).await;
        let registration = pair.register(&provider, &ready).await;
        let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
        let company = consumer.mutate("createCompany", json!({ "name": "Provider Inc" }), "company { id }");
        let company = company.await["company"]["id"].clone();
        let input = json!({ "connectionId": connection, "companyId": company });
        consumer.mutate("chooseProviderCompany", input, "connection { state }").await;
        Self { pair, wires, provider, consumer, registration, connection, company, database }
    }

    async fn break_it(&self, code: CheckCode) {
        let tamper = |sql: String| async move { self.pair.consumer.tamper(&sql).await };
        let uuid = match self.database {
            Database::Sqlite => "randomblob(16)",
            Database::Postgres => "gen_random_uuid()",
        };
        match code {
            CheckCode::ProviderCompanyChosen => {
                tamper("update connection set company_id = null".to_owned()).await;
            }
            CheckCode::RegistrationMatches => {
                let input = json!({ "registrationId": self.registration });
                self.provider.mutate("cancelRegistration", input, "__typename").await;
            }
            CheckCode::CallBack => self.wires[1].answer("/link/v1/prove", 503, String::new()),
            CheckCode::DuplicateConnection => {
                tamper("drop index connection_origin_live".to_owned()).await;
                tamper(format!(
                    "insert into connection (id, part, link_id, origin, fingerprint, state, attempts, message_seq,
                        created_at, updated_at, revision)
                     select {uuid}, part, {uuid}, origin, fingerprint, 'PENDING', 0, 0, 0, 0, 1 from connection"
                ))
                .await;
            }
            CheckCode::StaleAttempts => {
                tamper(format!(
                    "insert into attempt (id, connection_id, number, started_at, state, phases, work, revision)
                     values ({uuid}, (select id from connection), 9, 0, 'FAILED', '[]', '{{}}', 1)"
                ))
                .await;
            }
            CheckCode::PeerIsLinkspan => {
                let origin = &self.pair.provider.origin;
                let claim = Claim {
                    origin,
                    instance: Uuid::max(),
                    versions: vec![1],
                    signed_at: self.pair.clock.now_ms(),
                };
                self.wires[0].answer("/.well-known/linkspan", 200, identity(&claim));
            }
            _ => {}
        }
    }

    /// Mends it by hand, where the remedy is no call.
    async fn mend_it(&self, code: CheckCode) {
        self.wires.iter().for_each(|wire| wire.mend());
        if code == CheckCode::DuplicateConnection {
            self.pair.consumer.tamper("delete from connection where company_id is null").await;
        }
    }

    /// Nothing blocks any more: what was never asked is asked, and the connection is validated.
    async fn goes_on(&self, code: CheckCode) {
        let query = "query($id: ID!) { connection(id: $id) { state } }";
        for _ in 0..30 {
            let connection = self.consumer.query(query, json!({ "id": self.connection })).await;
            match connection["connection"]["state"].as_str() {
                Some("VALIDATED") => return,
                Some("AWAITING_VALIDATION") => self.pair.advance(2).await,
                state => panic!("{code}: {state:?}"),
            }
        }
        panic!("{code}: it does not go on");
    }

    /// Whoever is an administrator gets started, or for one of the checks somebody who is none.
    async fn get_started(&self, code: CheckCode) -> Value {
        self.pair.clock.advance(10);
        let run = json!({ "connectionId": self.connection });
        let operator = match code {
            CheckCode::RunningUserIsAdmin => {
                Some(self.pair.consumer.person("operator", &[Role::Operator]).await)
            }
            _ => None,
        };
        let client = operator.as_ref().unwrap_or(&self.consumer);
        client.mutate("runPreOnboardingChecks", run, "connection { state }").await;
        self.pair.settle().await;
        latest(&self.consumer, Some(&self.connection)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_connection_to_be_is_found_by_the_one_check_that_asks_for_it() {
    for database in Database::available() {
        let own = checks_of(Fixture::Connection).map(|code| (code, word(code)));
        for (code, word) in own.chain(ALSO_OF_CONNECTIONS.iter().copied()) {
            let scene = ToBe::set(database).await;
            scene.break_it(code).await;
            let scan = scene.get_started(code).await;
            let finding = assert_found_with(&scene.consumer, &scan, code, word).await;
            scene.mend_it(code).await;
            if code != CheckCode::RegistrationMatches {
                // What failed a moment ago is answered from memory for two seconds.
                scene.pair.advance(3).await;
                let given = json!([{ "name": "companyId", "value": scene.company }]);
                assert_mended(&scene.pair, &scene.consumer, code, &finding, given).await;
                scene.goes_on(code).await;
            }
        }
    }
}

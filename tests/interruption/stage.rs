//! Two instances with a registration whose link is out, put back to that state before each journey.

use std::path::PathBuf;
use std::sync::Arc;

use linkspan::world::{Clock as _, Interruption};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};

use crate::harness::browser::{Consent, authorize, decide};
use crate::harness::faults::{Commit, Commits, Fault, Message, Wire, perhaps, rest};
use crate::harness::pair::{CONTACT, PASSWORD, Ready, unfold};
use crate::harness::{Client, Database, Instance, Pair};

/// How many times people look, and do what is to be done.
const LOOKS: usize = 40;

/// One of the two instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Provider,
    Consumer,
}

/// What people do on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// The link is out; they onboard.
    Onboard,
    /// The registration is still to be made; then they onboard.
    Register,
    /// The consumer begins anew when the contact was to approve.
    StartOver,
    /// The consumer cancels when the contact was to approve, and starts once more.
    Cancel,
    /// The provider cancels the registration when the contact was to approve.
    Withdraw,
    /// They onboard, and the provider takes the connection down.
    Offboard,
}

/// What an undisturbed journey did.
pub(super) struct Recorded {
    commits: [Vec<Commit>; 2],
    messages: [Vec<Message>; 2],
}

impl Recorded {
    pub(super) fn commits(&self, side: Side) -> Vec<Commit> {
        self.commits[side as usize].clone()
    }

    pub(super) fn messages(&self, side: Side) -> Vec<Message> {
        self.messages[side as usize].clone()
    }
}

/// How a journey went.
pub(super) struct Run {
    /// Whether what was to be broken came to pass.
    pub(super) broke: bool,
    /// What is wrong in the end.
    pub(super) problems: Vec<String>,
}

/// The instances, and the people at their browsers.
pub(super) struct Stage {
    database: Database,
    plot: Plot,
    pair: Pair,
    people: People,
    /// The databases of both as they were when the link was out.
    kept: Vec<PathBuf>,
    began_ms: i64,
    journeys: usize,
    broken: usize,
    /// Whether the instance that died on this journey was started again.
    revived: bool,
    commits: [Arc<Commits>; 2],
    wires: [Arc<Wire>; 2],
}

struct People {
    provider: Client,
    consumer: Client,
    contact: Client,
    company: String,
    ready: Ready,
    /// The link and the registration, as far as they exist.
    link: Option<String>,
    registration: Option<String>,
}

impl Stage {
    pub(super) async fn set(database: Database, plot: Plot) -> Self {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.probe_interval_seconds = 3_600;
        pair.consumer.config.probe_interval_seconds = 3_600;
        let wires = [Wire::breaking(&pair.clock, None), Wire::breaking(&pair.clock, None)];
        pair.run().await;
        let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
        let ready = pair.make_ready(&provider).await;
        let (mut registration, mut link) = (None, None);
        if plot != Plot::Register {
            registration = Some(pair.register(&provider, &ready).await);
            link = Some(pair.link_in_letter());
        }
        let contact = pair.provider.client();
        contact.sign_in(CONTACT, PASSWORD).await;
        let company =
            consumer.mutate("createCompany", json!({ "name": "Provider Inc" }), "company { id }").await;
        let company = company["company"]["id"].as_str().unwrap().to_owned();
        let people = People { provider, consumer, contact, company, ready, link, registration };
        let began_ms = pair.clock.now_ms();
        let commits = [Commits::dying_at(None), Commits::dying_at(None)];
        let (kept, journeys, broken, revived) = (Vec::new(), 0, 0, false);
        let mut stage =
            Self { database, plot, pair, people, kept, began_ms, journeys, broken, revived, commits, wires };
        if database == Database::Sqlite {
            stage.kept = vec![keep(&stage.pair.provider).await, keep(&stage.pair.consumer).await];
        }
        stage
    }

    /// How many journeys were broken as they were to be.
    pub(super) const fn broken(&self) -> usize {
        self.broken
    }

    /// An undisturbed journey, and everything at which it could have been disturbed.
    pub(super) async fn record(&mut self) -> Recorded {
        let run = self.journey([None, None], [None, None]).await;
        assert!(run.problems.is_empty(), "{:#?}", run.problems);
        self.broken = 0;
        // What is written while an instance starts is no part of the journey: one that dies there is started again.
        let seen = |commits: &Commits| {
            let mut seen = commits.seen();
            seen.retain(|commit| commit.label != "identity.renumber");
            seen
        };
        let [provider, consumer] = &self.commits;
        let [to_provider, to_consumer] = &self.wires;
        Recorded {
            commits: [seen(provider), seen(consumer)],
            messages: [to_provider.seen(), to_consumer.seen()],
        }
    }

    pub(super) async fn journey_dying(&mut self, side: Side, point: &Commit) -> Run {
        let mut deaths = [None, None];
        deaths[side as usize] = Some(point.clone());
        self.journey(deaths, [None, None]).await
    }

    pub(super) async fn journey_breaking(&mut self, side: Side, message: &Message, fault: Fault) -> Run {
        let mut faults = [None, None];
        faults[side as usize] = Some((message.clone(), fault));
        self.journey([None, None], faults).await
    }

    /// From the link in the contact's hands to the end.
    async fn journey(&mut self, deaths: [Option<Commit>; 2], faults: [Option<(Message, Fault)>; 2]) -> Run {
        self.put_back().await;
        self.commits = deaths.map(Commits::dying_at);
        self.wires = faults.map(|fault| Wire::breaking(&self.pair.clock, fault));
        self.revived = false;
        let both = [&mut self.pair.provider, &mut self.pair.consumer].into_iter();
        for ((instance, commits), wire) in both.zip(&self.commits).zip(&self.wires) {
            instance.wire = Some(wire.clone());
            instance.start(Some(commits.clone() as Arc<dyn Interruption>)).await;
        }
        let mut seen = Vec::new();
        for _ in 0..LOOKS {
            self.revive().await;
            if self.look(&mut seen).await && !self.dead() {
                break;
            }
        }
        for wire in &self.wires {
            wire.deliver_again().await;
        }
        rest(&self.pair, || false).await;
        let broke = self.revived || self.wires.iter().any(|wire| wire.broke());
        self.broken += usize::from(broke);
        let mut problems = self.problems().await;
        if !problems.is_empty() {
            problems.push(format!("what was seen on the way: {}", seen.join("; ")));
        }
        Run { broke, problems }
    }

    /// Both instances as they were when the link was out; nothing runs.
    async fn put_back(&mut self) {
        self.journeys += 1;
        if self.database == Database::Postgres {
            let fresh = Box::pin(Self::set(self.database, self.plot)).await;
            (self.pair, self.people, self.began_ms) = (fresh.pair, fresh.people, fresh.began_ms);
        }
        self.pair.provider.kill().await;
        self.pair.consumer.kill().await;
        for (instance, kept) in [&mut self.pair.provider, &mut self.pair.consumer].into_iter().zip(&self.kept)
        {
            let fresh = kept.with_extension(format!("{}.db", self.journeys));
            std::fs::copy(kept, &fresh).unwrap();
            instance.config.database.url = format!("sqlite:{}", fresh.display());
        }
        self.pair.clock.advance(self.began_ms - self.pair.clock.now_ms());
        if self.plot == Plot::Register {
            (self.people.registration, self.people.link) = (None, None);
            let _ = std::fs::remove_dir_all(&self.pair.provider.config.mail.directory);
        }
    }

    /// Whether an instance lies dead.
    fn dead(&self) -> bool {
        !self.revived && self.commits.iter().any(|commits| commits.dead())
    }

    /// Starts whoever died again, a good minute later.
    async fn revive(&mut self) {
        let dead: Vec<bool> = self.commits.iter().map(|commits| !self.revived && commits.dead()).collect();
        for (instance, dead) in [&mut self.pair.provider, &mut self.pair.consumer].into_iter().zip(dead) {
            if dead {
                instance.kill().await;
                self.pair.clock.advance(61_000);
                instance.start(None).await;
                self.revived = true;
            }
        }
    }

    /// People look at where things stand and do what is to be done. Answers whether they are through.
    async fn look(&mut self, seen: &mut Vec<String>) -> bool {
        rest(&self.pair, || self.dead()).await;
        if self.people.link.is_none() {
            let registered = perhaps(self.people.registered(&self.pair)).await;
            seen.push(format!("{registered:?}"));
            let Some((registration, link)) = registered else { return false };
            (self.people.registration, self.people.link) = (Some(registration), link);
            return false;
        }
        let Some((state, connection)) = perhaps(self.people.opened()).await else {
            seen.push("no answer".to_owned());
            return false;
        };
        let Some(now) = perhaps(self.pair.connection(&self.people.consumer, &connection)).await else {
            return false;
        };
        let summary = match state.as_str() {
            "ONBOARDING" => {
                let onboarding = &now["onboarding"];
                let phase =
                    onboarding["phases"].as_array().unwrap().iter().find(|phase| phase["state"] != "DONE");
                let phase = phase.cloned().unwrap_or(Value::Null);
                format!("{} {} {}", phase["name"], phase["state"], phase["failure"])
            }
            state => state.to_owned(),
        };
        let again = seen.iter().filter(|before| **before == summary).count();
        let called_off = summary.contains("PEER_REFUSED") && summary.contains("CANCELLED");
        seen.push(summary);
        let offboards = self.plot == Plot::Offboard;
        if state == "ONBOARDED"
            || offboards && state == "OFFBOARDED"
            || self.plot == Plot::Withdraw && called_off
        {
            let registration = self.people.registration.clone().unwrap_or_default();
            let registration = perhaps(self.pair.registration(&self.people.provider, &registration)).await;
            let reached = |it: &Value| it["state"] == self.plot.ending();
            let Some(registration) = registration.filter(reached) else { return false };
            let here = &registration["connection"];
            if offboards && here["state"] == "ONBOARDED" {
                perhaps(self.people.offboard(here["id"].as_str().unwrap(), &self.pair.consumer.origin)).await;
            } else if offboards && again > 0 {
                self.pair.clock.advance(61_000);
            }
            return !offboards || state == "OFFBOARDED" && here["state"] == "OFFBOARDED";
        }
        if state == "VALIDATION_FAILED" {
            // Reading what is wrong takes a while.
            self.pair.clock.advance(5_000);
        }
        let acted = perhaps(self.people.act(self.plot, &state, &connection, &now)).await.unwrap_or(true);
        if again > 0 && !acted {
            self.pair.clock.advance(61_000);
        }
        false
    }

    /// Everything that is not as it should be when all is over.
    async fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut common = Vec::new();
        for instance in [&self.pair.provider, &self.pair.consumer] {
            let memory = Memory::of(instance).await;
            for (sql, expected) in self.plot.facts(instance.name) {
                let found = memory.text(sql).await;
                if found != *expected {
                    problems.push(format!("{}: {sql}: {found:?} instead of {expected:?}", instance.name));
                }
            }
            common.push([
                memory.text("select module || ' ' || cast(version as text) from key_version where module like 'links/%'").await,
                memory.text(&format!("select {} from settings", memory.hex("agreed_digest"))).await,
            ]);
            if instance.name == "provider" {
                let registration = memory.text("select state from registration").await;
                if registration != self.plot.ending() {
                    problems.push(format!("the registration is {registration}"));
                }
                let letters = instance.letters().iter().filter(|it| unfold(it).contains("/connect#")).count();
                if letters != 1 {
                    problems.push(format!("{letters} letters with a link"));
                }
            }
            let _ = memory.0.close().await;
        }
        let settled = self.plot == Plot::Offboard || !common[0][1].is_empty();
        if self.plot != Plot::Withdraw && (common[0] != common[1] || !settled) {
            problems.push(format!("the two sides do not hold the same keys and settings: {common:?}"));
        }
        problems
    }
}

impl Plot {
    /// The state of the registration in the end.
    const fn ending(self) -> &'static str {
        match self {
            Self::Onboard | Self::Register | Self::StartOver | Self::Cancel | Self::Offboard => {
                "CLOSED_COMPLETE"
            }
            Self::Withdraw => "CANCELLED",
        }
    }

    /// What a database holds in the end, whatever happened on the way.
    fn facts(self, side: &str) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let facts = match (self, side) {
            (Self::Withdraw, "provider") => NOTHING,
            (Self::Withdraw, _) => CALLED_OFF,
            (Self::Offboard, _) => ENDED,
            _ => ONBOARDED,
        };
        facts.iter().chain(QUIET)
    }
}

/// What a provider holds of an attempt that it called off.
const NOTHING: &[(&str, &str)] = &[
    ("select state from connection", ""),
    ("select state from attempt", ""),
    ("select state from key_version where module like 'links/%'", ""),
    ("select state from claim where not rehearsal", ""),
    ("select cast(count(*) as text) from service_account", "0"),
];

/// What a consumer holds of an attempt that the provider called off: why, and nothing that works.
const CALLED_OFF: &[(&str, &str)] = &[
    ("select state from connection", "ONBOARDING"),
    ("select state from attempt", "FAILED"),
    ("select state from key_version where module like 'links/%' and state = 'ACTIVE'", ""),
];

/// What both databases hold of a connection that was taken down: that it was.
const ENDED: &[(&str, &str)] = &[
    ("select state from connection where peer_told", "OFFBOARDED"),
    ("select state from key_version where module like 'links/%'", "DESTROYED"),
    ("select cast(count(*) as text) from service_account", "0"),
    ("select cast(count(*) as text) from settings", "0"),
    ("select kind from job where kind in ('CONNECTION_HEALTH', 'SCAN', 'PING')", ""),
];

/// What both databases hold after onboarding. The scan that follows it, and the calls back that it asks for, may
/// still be under way.
const ONBOARDED: &[(&str, &str)] = &[
    ("select state from connection", "ONBOARDED"),
    ("select state from attempt", "DONE"),
    ("select state from key_version where module like 'links/%'", "ACTIVE"),
    ("select cast(count(*) as text) from service_account where peer_account_id is not null", "1"),
    ("select cast(count(*) as text) from connection where link_secret is not null", "0"),
    // A claim whose proof failed is kept as what it is: refused.
    ("select state from claim where state not in ('BOUND', 'REFUSED') and not rehearsal", ""),
];

/// That nothing is under way, or given up.
const QUIET: &[(&str, &str)] = &[
    ("select state from claim where state = 'PROVING'", ""),
    ("select kind from job where state = 'DEAD' and kind <> 'LETTER'", ""),
    (
        "select kind from job where state = 'PENDING' and kind not in
            ('PROBE', 'SWEEP', 'EXPIRE_REGISTRATION', 'EXPIRE_ATTEMPT', 'SCAN', 'PING', 'LETTER', 'CONNECTION_HEALTH',
             'KEY_SERVICE_HEALTH', 'ISSUE_DIGEST', 'CHECKPOINT')",
        "",
    ),
];

impl People {
    /// The administrator opens the link, again if need be; answers where the connection stands.
    async fn opened(&self) -> (String, String) {
        let input = json!({ "link": self.link });
        let opened = self.consumer.mutate("openRegistrationLink", input, "connection { id state }").await;
        let text = |name: &str| opened["connection"][name].as_str().unwrap().to_owned();
        (text("state"), text("id"))
    }

    /// The provider's administrator registers the consumer, under one key however often; answers the registration,
    /// and the link once it is in the contact's hands.
    async fn registered(&self, pair: &Pair) -> (String, Option<String>) {
        let input = json!({
            "companyId": self.ready.company, "contactId": self.ready.contact, "url": pair.consumer.origin,
            "environment": "NON_PRODUCTION", "idempotencyKey": "the only one",
        });
        let made = self.provider.mutate("createRegistration", input, "registration { id state }").await;
        let id = made["registration"]["id"].as_str().unwrap().to_owned();
        if made["registration"]["state"] == "VALIDATION_FAILED" {
            // The consumer did not answer when it was looked at.
            let input = json!({ "registrationId": id });
            self.provider.mutate("revalidateRegistration", input, "registration { state }").await;
        }
        let open = made["registration"]["state"] == "OPEN"
            && pair.provider.letters().iter().any(|letter| unfold(letter).contains("/connect#"));
        (id, open.then(|| pair.link_in_letter()))
    }

    /// Does what is to be done, if anything. Only an approval may ever have to be asked for again: whatever else
    /// is broken off goes on by itself.
    async fn act(&self, plot: Plot, state: &str, connection: &str, now: &Value) -> bool {
        let id = json!({ "connectionId": connection });
        let admin = &self.consumer;
        match state {
            "PENDING" | "VALIDATION_FAILED" => {
                let input = json!({ "connectionId": connection, "companyId": self.company });
                admin.mutate("chooseProviderCompany", input, "connection { state }").await;
                admin.mutate("runPreOnboardingChecks", id, "connection { state }").await;
            }
            "VALIDATED" => {
                admin.mutate("startOnboarding", id, "connection { state }").await;
            }
            "ONBOARDING" => {
                let onboarding = &now["onboarding"];
                let phase =
                    onboarding["phases"].as_array().unwrap().iter().find(|phase| phase["state"] != "DONE");
                let Some(phase) = phase else { return false };
                let failed = phase["state"] == "FAILED";
                let contact = phase["name"] == "AUTHORIZE_CONTACT";
                let first = onboarding["number"] == 1 && contact && !failed;
                match onboarding["authorizationUrl"].as_str() {
                    Some(_) if first && plot == Plot::StartOver => {
                        admin.mutate("startOver", id, "connection { state }").await;
                    }
                    Some(_) if first && plot == Plot::Cancel => {
                        admin.mutate("cancelOnboarding", id, "connection { state }").await;
                    }
                    Some(_) if first && plot == Plot::Withdraw => {
                        let input = json!({ "registrationId": self.registration });
                        let cancelled = "registration { state } refusal { code }";
                        self.provider.mutate("cancelRegistration", input, cancelled).await;
                    }
                    Some(url) if contact && !failed => self.approve(url, connection).await,
                    _ if contact && failed => {
                        admin.mutate("continueAuthorization", id, "connection { state }").await;
                    }
                    _ => return false,
                }
            }
            _ => return false,
        }
        true
    }

    /// The provider's administrator takes the connection down.
    async fn offboard(&self, connection: &str, peer: &str) {
        let input = json!({ "connectionId": connection, "confirmation": peer });
        self.provider.mutate("offboardConnection", input, "connection { state }").await;
    }

    /// The contact approves; where the request is not good any more, the administrator asks again.
    async fn approve(&self, url: &str, connection: &str) {
        if let Consent::Asked(page) = authorize(&self.contact, url, CONTACT, PASSWORD).await {
            let back = decide(&self.contact, &page, "allow").await;
            let page = self.consumer.get(&back).await;
            assert_eq!(page.status, 303, "{}", page.body);
        } else {
            let id = json!({ "connectionId": connection });
            self.consumer.mutate("continueAuthorization", id, "connection { state }").await;
        }
    }
}

/// An instance's database, read from outside.
struct Memory(DatabaseConnection);

impl Memory {
    async fn of(instance: &Instance) -> Self {
        Self(sea_orm::Database::connect(&instance.config.database.url).await.unwrap())
    }

    /// The one text column of all rows, joined.
    async fn text(&self, sql: &str) -> String {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let rows = self.0.query_all_raw(statement).await.unwrap();
        let texts: Vec<Option<String>> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        texts.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(", ")
    }

    fn hex(&self, column: &str) -> String {
        match self.0.get_database_backend() {
            sea_orm::DbBackend::Postgres => format!("encode({column}, 'hex')"),
            _ => format!("lower(hex({column}))"),
        }
    }
}

/// A copy of an SQLite database as it is now.
async fn keep(instance: &Instance) -> PathBuf {
    let path = instance.config.data_dir.join("kept");
    let memory = Memory::of(instance).await;
    memory.0.execute_unprepared(&format!("vacuum into '{}'", path.display())).await.unwrap();
    memory.0.close().await.unwrap();
    path
}

//! A copy of an instance that goes on beside it, and a backup that is older than what the peer saw, are noticed within two
//! heartbeats and held; people on both sides resolve it.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Side, Watched};
use crate::harness::proxy::Line;
use crate::harness::{Client, Database, Instance, let_pass};

/// How many seconds two heartbeats may take, and the quarter by which probes are spread.
const TWO_HEARTBEATS: i64 = 12;

const ACTIONS: &str = "query($id: ID!) { connection(id: $id) { state suspension { byPeer reason }
    actions { name allowed reason } issues { check message remedy { kind mutation text } }
    explanation { fault { dependency code reason evidence remedy { kind mutation text } } } } }";

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Consumer => Self::Provider,
            Self::Provider => Self::Consumer,
        }
    }
}

impl Watched {
    fn instance(&mut self, side: Side) -> &mut Instance {
        match side {
            Side::Consumer => &mut self.pair.consumer,
            Side::Provider => &mut self.pair.provider,
        }
    }

    fn person(&self, side: Side) -> (&Client, &str) {
        match side {
            Side::Consumer => (&self.consumer, &self.at_consumer),
            Side::Provider => (&self.provider, &self.at_provider),
        }
    }

    async fn actions(&self, side: Side) -> Value {
        let (client, id) = self.person(side);
        client.query(ACTIONS, json!({ "id": id })).await["connection"].clone()
    }

    /// What comes of a verb; the refusal where there is one.
    async fn press(&self, side: Side, verb: &str) -> Value {
        let (client, id) = self.person(side);
        let input = json!({ "connectionId": id });
        let query = format!(
            "mutation($input: {}Input!) {{ done: {verb}(input: $input) {{ connection {{ state }} \
             refusal {{ code reason message }} }} }}",
            verb[..1].to_uppercase() + &verb[1..]
        );
        client.query(&query, json!({ "input": input })).await["done"].clone()
    }

    /// What does not run goes on twice: as itself, and as its copy.
    async fn two_go_on(&mut self, side: Side) {
        let database = self.database;
        let mut copy = self.instance(side).copy(database).await;
        self.instance(side).start(None).await;
        copy.start(None).await;
        self.copies.push((side, copy));
        self.begun(side).await;
    }

    /// Time stands still until this side, and its copies, have begun to probe: that takes a while on a busy machine.
    async fn begun(&mut self, side: Side) {
        // On a shared database a node that was killed holds its lease for a while, and another asks for it now and then.
        let mut late = if self.database == Database::Postgres { super::LEASE + 3 } else { 0 };
        let id = self.person(side).1.to_owned();
        for _ in 0..1_000 {
            let mut copies = self.copies.iter().filter(|(whose, _)| *whose == side);
            if copies.all(|(_, copy)| copy.probes(&id)) && self.instance(side).probes(&id) {
                return;
            }
            if late > 0 {
                self.seconds(1).await;
                late -= 1;
            }
            let_pass(Duration::from_millis(10)).await;
        }
        panic!("{side:?}: it does not begin to probe");
    }

    /// What both lines do.
    fn lines(&self, line: Line) {
        self.pair.provider.outage().line.set(line);
        self.pair.consumer.outage().line.set(line);
    }

    /// The copies end.
    async fn one_goes_on(&mut self) {
        for (_, copy) in &mut self.copies {
            copy.kill().await;
        }
        self.copies.clear();
    }

    /// The peer of what is two notices it within two heartbeats, and both sides say so.
    async fn notices(&self, two: Side) {
        let held = |look: &Value| look["state"] == "SUSPENDED";
        let noticed = self.until(two.other(), TWO_HEARTBEATS, held).await;
        assert!(noticed.is_some(), "{two:?}: {:#}", self.look(two.other()).await);
        let told = |look: &Value| {
            look["outbound"]["status"] == "SUSPENDED"
                && look["outbound"]["cause"]["reason"] == "CLONE_SUSPECTED"
        };
        assert!(self.until(two, 10, told).await.is_some(), "{two:?}: {:#}", self.look(two).await);
        for side in [two, two.other()] {
            let seen = self.actions(side).await;
            let fault = &seen["explanation"]["fault"];
            assert_eq!(fault["reason"], "CLONE_SUSPECTED", "{side:?}: {seen:#}");
            assert_eq!(seen["suspension"]["byPeer"], side == two, "{seen:#}");
        }
    }

    /// Nothing goes on until the side that is two says which, and the other agrees.
    async fn is_resolved(&self, two: Side) {
        let early = self.press(two.other(), "resumeConnection").await;
        assert_eq!(early["refusal"]["reason"], "CLONE_SUSPECTED", "{early:#}");
        let confirmed = self.press(two, "confirmSurvivor").await;
        assert!(confirmed["refusal"].is_null(), "{confirmed:#}");
        let may_resume = |seen: &Value| {
            let actions = seen["actions"].as_array().unwrap();
            actions.iter().any(|action| action["name"] == "resumeConnection" && action["allowed"] == true)
        };
        let mut seen = Value::Null;
        for _ in 0..20 {
            self.seconds(1).await;
            seen = self.actions(two.other()).await;
            if may_resume(&seen) {
                break;
            }
        }
        assert_eq!(seen["explanation"]["fault"]["remedy"]["mutation"], "resumeConnection", "{seen:#}");
        assert_eq!(seen["state"], "SUSPENDED", "the other side's word alone resumes nothing");
        let resumed = self.press(two.other(), "resumeConnection").await;
        assert_eq!(resumed["connection"]["state"], "ONBOARDED", "{resumed:#}");
        self.stays_up(4).await;
        let again = self.press(two, "confirmSurvivor").await;
        assert_eq!(again["refusal"]["code"], "WRONG_STATE", "{again:#}");
    }

    /// Both sides see both directions up, and after so many intervals still do.
    async fn stays_up(&self, intervals: i64) {
        let up = |look: &Value| {
            look["state"] == "ONBOARDED"
                && look["outbound"]["status"] == "UP"
                && look["inbound"]["status"] == "UP"
        };
        for side in [Side::Consumer, Side::Provider] {
            assert!(self.until(side, 20, up).await.is_some(), "{side:?}: {:#}", self.look(side).await);
        }
        self.intervals(intervals).await;
        for side in [Side::Consumer, Side::Provider] {
            let look = self.look(side).await;
            assert!(up(&look), "{side:?}: {look:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_and_a_restored_backup_are_noticed_held_and_resolved_on_purpose() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;

        // An older backup of the provider is put back.
        watched.instance(Side::Provider).kill().await;
        let backup = watched.instance(Side::Provider).copy(database).await;
        watched.instance(Side::Provider).start(None).await;
        // The peer hears what is not in the backup.
        watched.begun(Side::Provider).await;
        watched.stays_up(3).await;
        watched.instance(Side::Provider).kill().await;
        watched.instance(Side::Provider).config.database.url = backup.config.database.url.clone();
        watched.instance(Side::Provider).start(None).await;
        watched.begun(Side::Provider).await;
        watched.notices(Side::Provider).await;
        // Whoever looks after it is told within two minutes.
        watched.intervals(24).await;
        watched.pair.settle().await;
        for side in [Side::Provider, Side::Consumer] {
            let seen = watched.actions(side).await;
            let issues = seen["issues"].as_array().unwrap();
            let issue = issues.iter().find(|issue| issue["check"] == "DIRECTIONS_UP");
            let message = issue.unwrap_or_else(|| panic!("{side:?}: {seen:#}"))["message"].as_str().unwrap();
            assert!(message.to_lowercase().contains("a copy of"), "{side:?}: {message}");
            let letters = watched.instance(side).letters().join("\n");
            assert!(letters.contains("suspect"), "{side:?}: no letter says so");
        }
        watched.is_resolved(Side::Provider).await;

        // A copy goes on beside the original, of the provider and then of the consumer.
        for two in [Side::Provider, Side::Consumer] {
            watched.instance(two).kill().await;
            watched.two_go_on(two).await;
            watched.notices(two).await;
            watched.one_goes_on().await;
            watched.is_resolved(two).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sides_that_suspect_each_other_are_resolved_by_both() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    watched.calm().await;
    // Whoever suspects the other probes no more: each knows where the other's chain is before there are two of it.
    let mut copies = Vec::new();
    for side in [Side::Provider, Side::Consumer] {
        watched.instance(side).kill().await;
        copies.push((side, watched.instance(side).copy(Database::Sqlite).await));
        watched.instance(side).start(None).await;
        watched.begun(side).await;
        watched.stays_up(3).await;
    }
    for (side, mut copy) in copies {
        copy.start(None).await;
        watched.copies.push((side, copy));
        watched.begun(side).await;
    }
    let held = |look: &Value| look["state"] == "SUSPENDED";
    for side in [Side::Provider, Side::Consumer] {
        assert!(watched.until(side, 30, held).await.is_some(), "{side:?}: {:#}", watched.look(side).await);
    }
    watched.one_goes_on().await;
    // Neither forgets over an outage what the other suspects.
    for line in [Line::Closed, Line::Open] {
        watched.lines(line);
        watched.intervals(3).await;
    }
    let mut left = [(); 2].map(|()| vec!["confirmSurvivor", "resumeConnection"]);
    for _ in 0..40 {
        for (side, verbs) in [Side::Provider, Side::Consumer].into_iter().zip(&mut left) {
            for verb in verbs.clone() {
                if watched.press(side, verb).await["refusal"].is_null() {
                    verbs.retain(|one| *one != verb);
                }
            }
        }
        watched.seconds(1).await;
    }
    assert!(left.iter().all(Vec::is_empty), "{left:?}");
    watched.stays_up(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_at_home_on_its_host_does_nothing_until_its_operator_says_that_it_goes_on() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        let provider = watched.instance(Side::Provider);
        provider.kill().await;
        let file = provider.config.install_file();
        let at_home = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{}\n", uuid::Uuid::max())).unwrap();
        provider.start(None).await;
        let ready = watched.pair.provider.client().get("/readyz").await;
        assert_eq!(ready.status, 200);
        assert!(ready.body.contains("linkspan survivor"), "{}", ready.body);
        let copied = async |watched: &Watched| {
            watched.provider.query("{ instance { copied } }", json!({})).await["instance"]["copied"].clone()
        };
        assert_eq!(copied(&watched).await, true);
        let refused = |look: &Value| {
            look["outbound"]["status"] == "DOWN"
                && look["outbound"]["cause"]["reason"] == "CLONE_SUSPECTED"
                && look["inbound"]["status"] == "DOWN"
        };
        let noticed = watched.until(Side::Consumer, 20, refused).await;
        assert!(noticed.is_some(), "{:#}", watched.look(Side::Consumer).await);

        let provider = watched.instance(Side::Provider);
        provider.kill().await;
        provider.goes_on_here().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), at_home);
        provider.start(None).await;
        assert_eq!(copied(&watched).await, false);
        watched.stays_up(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_either_side_and_silences_between_them_are_no_copies() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        for side in [Side::Provider, Side::Consumer] {
            for seconds in [0, 1, 7] {
                watched.instance(side).kill().await;
                watched.pair.clock.advance(seconds * 1_000);
                watched.instance(side).start(None).await;
                watched.seconds(2).await;
            }
        }
        for name in ["ANSWERS_LOST", "LINE_BACK_CLOSED"] {
            let outage = super::outages::named(name);
            outage.begin(&mut watched).await;
            watched.intervals(4).await;
            watched.instance(Side::Consumer).kill().await;
            watched.instance(Side::Consumer).start(None).await;
            watched.intervals(2).await;
            outage.end(&mut watched).await;
        }
        watched.stays_up(4).await;
        for side in [Side::Provider, Side::Consumer] {
            let suspicions =
                watched.instance(side).rows("audit where operation = 'connection.clone_suspected'").await;
            assert_eq!(suspicions, 0, "{database:?}, {side:?}");
        }
    }
}

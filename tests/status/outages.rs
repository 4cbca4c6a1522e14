//! Single outages, from the consumer's place: what breaks, and the first cause that it must name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::stage::Watched;
use crate::harness::let_pass;
use crate::harness::outage::Answer;
use crate::harness::proxy::Line;
use crate::vault::signal;

/// What breaks.
#[derive(Clone, Copy)]
enum What {
    LineToProvider(Line),
    LineToConsumer(Line),
    BothLines(Line),
    Answers(Answer),
    Certificate { host: Option<&'static str>, years: Option<(i32, i32)>, unknown: bool },
    ProviderSql { begin: &'static str, end: &'static str },
    ConsumerSql { begin: &'static str, end: &'static str },
    ClockOfProvider(i64),
    DatabaseOfProvider,
    KeysOfProvider,
    KeysOfConsumer,
    Stranger,
    ProviderGone,
    SuspendedThere,
    SuspendedHere,
}

/// An outage.
pub(super) struct Outage {
    pub(super) name: &'static str,
    what: What,
    pub(super) first_cause: &'static str,
    /// Whether the two sides have to have differed for a while.
    pub(super) takes_dispute: bool,
}

const fn outage(name: &'static str, what: What, first_cause: &'static str) -> Outage {
    Outage { name, what, first_cause, takes_dispute: false }
}

const fn certificate(host: Option<&'static str>, years: Option<(i32, i32)>, unknown: bool) -> What {
    What::Certificate { host, years, unknown }
}

const HIDE_ORIGIN: &str = "update connection set origin = 'https://nobody.invalid'";
const PRIVATE_ORIGIN: &str = "update connection set origin = 'https://10.1.2.3'";
const SHOW_ORIGIN: &str = "update connection set origin = '{provider}'";

pub(super) const ALL: &[Outage] = &[
    outage("LINE_CLOSED", What::LineToProvider(Line::Closed), "PEER_ADDRESS"),
    outage("LINE_HELD", What::LineToProvider(Line::Held), "PEER_ADDRESS"),
    outage("LINE_DROPPED", What::LineToProvider(Line::Dropped), "PEER_CERTIFICATE"),
    outage("LINE_GARBAGE", What::LineToProvider(Line::Garbage), "PEER_CERTIFICATE"),
    outage("LINE_LATE", What::LineToProvider(Line::Late(Duration::from_millis(250))), "ROUND_TRIP"),
    outage("BOTH_LINES_HELD", What::BothLines(Line::Held), "PEER_ADDRESS"),
    outage("BOTH_LINES_CLOSED", What::BothLines(Line::Closed), "PEER_ADDRESS"),
    outage("LINE_BACK_CLOSED", What::LineToConsumer(Line::Closed), "PEER_REACHES_US"),
    outage("LINE_BACK_HELD", What::LineToConsumer(Line::Held), "PEER_REACHES_US"),
    outage("LINE_BACK_GARBAGE", What::LineToConsumer(Line::Garbage), "PEER_REACHES_US"),
    Outage { takes_dispute: true, ..outage("ANSWERS_LOST", What::Answers(Answer::Lost), "ANSWERS_ARRIVE") },
    outage("ANSWER_BROKEN", What::Answers(Answer::Broken), "PEER_HTTP"),
    outage("ANSWER_500", What::Answers(Answer::Status500), "PEER_HTTP"),
    outage("ANSWER_404", What::Answers(Answer::Status404), "PEER_HTTP"),
    outage("ANSWER_PAGE", What::Answers(Answer::Page), "PEER_HTTP"),
    outage("ANSWER_OTHER_JSON", What::Answers(Answer::OtherJson), "PEER_HTTP"),
    outage("ANSWER_TOO_LONG", What::Answers(Answer::TooLong), "PEER_HTTP"),
    outage("ANSWER_RATE_LIMITED", What::Answers(Answer::RateLimited), "PEER_HTTP"),
    outage("CERTIFICATE_EXPIRED", certificate(None, Some((2019, 2020)), false), "PEER_CERTIFICATE"),
    outage("CERTIFICATE_NOT_YET", certificate(None, Some((2090, 2091)), false), "PEER_CERTIFICATE"),
    outage("CERTIFICATE_OTHER_NAME", certificate(Some("other.localhost"), None, false), "PEER_CERTIFICATE"),
    outage("CERTIFICATE_UNKNOWN", certificate(None, None, true), "PEER_CERTIFICATE"),
    outage("NAME_GONE", What::ConsumerSql { begin: HIDE_ORIGIN, end: SHOW_ORIGIN }, "PEER_NAME"),
    outage("ADDRESS_REFUSED", What::ConsumerSql { begin: PRIVATE_ORIGIN, end: SHOW_ORIGIN }, "PEER_ADDRESS"),
    outage("PEER_CLOCK_AHEAD", What::ClockOfProvider(600_000), "CLOCKS_AGREE"),
    outage("PEER_CLOCK_BEHIND", What::ClockOfProvider(-600_000), "CLOCKS_AGREE"),
    outage("PEER_DATABASE_STOPPED", What::DatabaseOfProvider, "PEER_DATABASE"),
    outage("PEER_KEYS_STOPPED", What::KeysOfProvider, "PEER_KEY_SERVICE"),
    outage("OUR_KEYS_STOPPED", What::KeysOfConsumer, "OUR_KEY_SERVICE"),
    outage("STRANGER_ANSWERS", What::Stranger, "PEER_IDENTITY"),
    outage("PEER_GONE", What::ProviderGone, "PEER_ADDRESS"),
    outage("SUSPENDED_THERE", What::SuspendedThere, "PEER_STANDS"),
    outage("SUSPENDED_HERE", What::SuspendedHere, "STANDS"),
    outage(
        "RIGHTS_TAKEN",
        What::ProviderSql {
            begin: "update service_account set scopes = replace(scopes, 'probe', 'nothing')",
            end: "update service_account set scopes = replace(scopes, 'nothing', 'probe')",
        },
        "PEER_ALLOWS",
    ),
    outage(
        "RIGHTS_EXPIRED",
        What::ProviderSql {
            begin: "update service_account set expires_at = expires_at - 31536000000",
            end: "update service_account set expires_at = expires_at + 31536000000",
        },
        "PEER_ALLOWS",
    ),
    outage(
        "PEER_LOST_KEYS",
        What::ProviderSql {
            begin: "update key_version set module = 'x' || module where purpose = 'LINK_TRAFFIC'",
            end: "update key_version set module = substr(module, 2) where purpose = 'LINK_TRAFFIC'",
        },
        "KEYS_AGREE",
    ),
];

pub(super) fn named(name: &str) -> &'static Outage {
    ALL.iter().find(|outage| outage.name == name).unwrap()
}

impl Outage {
    pub(super) async fn begin(&self, watched: &mut Watched) {
        self.turn(watched, true).await;
    }

    pub(super) async fn end(&self, watched: &mut Watched) {
        self.turn(watched, false).await;
    }

    /// Whether the provider is started again at its end.
    pub(super) const fn restarts(&self) -> bool {
        matches!(
            self.what,
            What::Certificate { .. } | What::DatabaseOfProvider | What::Stranger | What::ProviderGone
        )
    }

    async fn turn(&self, watched: &mut Watched, begins: bool) {
        let line = |line| if begins { line } else { Line::Open };
        match self.what {
            What::LineToProvider(broken) => watched.pair.provider.outage().line.set(line(broken)),
            What::LineToConsumer(broken) => watched.pair.consumer.outage().line.set(line(broken)),
            What::BothLines(broken) => {
                watched.pair.provider.outage().line.set(line(broken));
                watched.pair.consumer.outage().line.set(line(broken));
            }
            What::Answers(wrong) => {
                watched.pair.provider.outage().answers(if begins { wrong } else { Answer::Right });
            }
            What::Certificate { host, years, unknown } => {
                let host = host.filter(|_| begins).unwrap_or("provider.localhost");
                let years = years.filter(|_| begins);
                let files = watched.pair.issue_for(host, years, unknown && begins);
                let provider = &mut watched.pair.provider;
                provider.kill().await;
                provider.config.server.tls_certificate_file = Some(files.0);
                provider.config.server.tls_key_file = Some(files.1);
                provider.start(None).await;
            }
            What::ProviderSql { begin, end } => {
                watched.pair.provider.tamper(if begins { begin } else { end }).await;
                reread(watched).await;
            }
            What::ConsumerSql { begin, end } => {
                let end = end.replace("{provider}", &watched.pair.provider.origin);
                watched.pair.consumer.tamper(if begins { begin } else { &end }).await;
                reread(watched).await;
            }
            What::ClockOfProvider(ahead) => {
                let skew = &watched.pair.provider.outage().skew_ms;
                skew.store(if begins { ahead } else { 0 }, Ordering::SeqCst);
            }
            What::DatabaseOfProvider if begins => watched.pair.provider.outage().stop_database().await,
            What::DatabaseOfProvider => {
                watched.pair.provider.kill().await;
                watched.pair.provider.start(None).await;
            }
            What::KeysOfProvider if begins => {
                let process = watched.pair.provider.app().actions().keys().process().unwrap();
                signal("-STOP", process);
                watched.stopped = Some(process);
            }
            What::KeysOfProvider => {
                signal("-CONT", watched.stopped.take().unwrap());
                let keys = watched.pair.provider.app().actions().keys();
                while keys.process().is_none() {
                    let_pass(Duration::from_millis(20)).await;
                }
            }
            What::KeysOfConsumer => {
                watched.pair.consumer.outage().keys_stopped.store(begins, Ordering::SeqCst);
            }
            What::Stranger if begins => {
                watched.pair.provider.kill().await;
                let mut stranger = watched.pair.provider.stranger(watched.database).await;
                stranger.start(None).await;
                watched.stranger = Some(stranger);
            }
            What::Stranger => {
                if let Some(mut stranger) = watched.stranger.take() {
                    stranger.kill().await;
                }
                watched.pair.provider.start(None).await;
            }
            What::ProviderGone if begins => watched.pair.provider.kill().await,
            What::ProviderGone => watched.pair.provider.start(None).await,
            What::SuspendedThere => suspend(&watched.provider, &watched.at_provider, begins).await,
            What::SuspendedHere => suspend(&watched.consumer, &watched.at_consumer, begins).await,
        }
    }
}

/// What changed behind the instances' back counts when they read everything again.
async fn reread(watched: &Watched) {
    watched.intervals(7).await;
}

async fn suspend(client: &crate::harness::Client, id: &str, begins: bool) {
    let verb = if begins { "suspendConnection" } else { "resumeConnection" };
    client.mutate(verb, json!({ "connectionId": id }), "connection { state }").await;
}

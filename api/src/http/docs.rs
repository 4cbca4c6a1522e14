//! What checks and refusals mean: one page for each code, written from the words of the domain.

use axum::Router;
use axum::extract::{Path, State as With};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::State;
use super::pages::{Docs, DocsLink, Message, OutageSection, OutageSide, Outages, page};
use crate::domain::check::{CheckCode, Severity, Side, Suite};
use crate::domain::outage::{FarSide, OUTAGES, RECOVERED_WITHIN, Seen, Shown};
use crate::domain::refusal::RefusalCode;

/// The way back from each page.
const ALL_PAGES: (&str, &str) = ("All pages", "/docs");

/// The routes of the documentation pages.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/docs", get(index))
        .route("/docs/", get(index))
        .route("/docs/checks", get(index))
        .route("/docs/refusals", get(index))
        .route("/docs/checks/{slug}", get(check))
        .route("/docs/refusals/{slug}", get(refusal))
        .route("/docs/outages", get(outages))
        .with_state(state)
}

/// Where a refusal is documented.
#[must_use]
pub fn refusal_path(code: RefusalCode) -> String {
    format!("/docs/refusals/{}", slug(code.as_str()))
}

/// The pages that there are.
async fn index(With(state): With<State>) -> Response {
    let checks = CheckCode::ALL.iter().map(|code| DocsLink {
        address: format!("/docs/checks/{}", slug(code.as_str())),
        code: code.as_str(),
        label: code.label(),
    });
    let refusals = RefusalCode::ALL.iter().map(|code| DocsLink {
        address: refusal_path(*code),
        code: code.as_str(),
        label: code.label(),
    });
    let (checks, refusals): (Vec<_>, Vec<_>) = (checks.collect(), refusals.collect());
    page(StatusCode::OK, &Docs { instance: state.instance(), checks: &checks, refusals: &refusals })
}

/// A check, under its code or its code in lower case with dashes.
async fn check(With(state): With<State>, Path(asked): Path<String>) -> Response {
    let asked = slug(&asked);
    let Some(code) = CheckCode::ALL.iter().copied().find(|code| slug(code.as_str()) == asked) else {
        return missing(&state);
    };
    let spec = code.spec();
    let weight = match spec.severity {
        Severity::Critical => "Without it nothing works.",
        Severity::High => "Something that matters would not work.",
        Severity::Moderate => "It would work, but not as it should.",
        Severity::Low => "Worth knowing.",
    };
    let blocks = match code {
        CheckCode::ClockSkew | CheckCode::PeerTls => {
            "A finding stops what comes next, unless it is the one that is named as a warning below."
        }
        _ if spec.blocking => "A finding stops what comes next.",
        _ => "A finding is a warning only.",
    };
    let side = match spec.side {
        Side::Provider => "It is asked on the provider.",
        Side::Consumer => "It is asked on the consumer.",
        Side::Both => "It is asked on either side.",
    };
    let suites: Vec<_> = code.suites().map(Suite::label).collect();
    let title = format!("Check: {}", code.label());
    let why = format!(
        "{weight} {blocks} {side} It is part of: {}. It takes at most {} seconds; longer is an error, and an error \
         never passes.",
        suites.join(", "),
        spec.time_limit.num_seconds()
    );
    let last = "Then validate its issue: what waited for it goes on by itself.";
    let steps: Vec<&str> = spec.mend.iter().copied().chain([last]).collect();
    let view = Message {
        instance: state.instance(),
        title: &title,
        happened: spec.asks,
        why: Some(&why),
        what_to_do: &steps,
        go_on: Some(ALL_PAGES),
        reference: Some(code.as_str()),
    };
    page(StatusCode::OK, &view)
}

async fn refusal(With(state): With<State>, Path(asked): Path<String>) -> Response {
    let Some(code) = RefusalCode::ALL.iter().copied().find(|code| slug(code.as_str()) == asked) else {
        return missing(&state);
    };
    // The code formatting of the source's documentation is not for people.
    let meaning = code.doc().replace('`', "");
    let view = Message {
        instance: state.instance(),
        title: code.label(),
        happened: &meaning,
        why: None,
        what_to_do: code.what_to_do(),
        go_on: Some(ALL_PAGES),
        reference: Some(code.as_str()),
    };
    page(StatusCode::OK, &view)
}

/// What both sides show when something breaks.
async fn outages(With(state): With<State>) -> Response {
    let lines = |shown: &Shown| {
        let within = format!("It shows within {} seconds.", shown.within_seconds);
        vec![direction("Outbound", &shown.outbound), direction("Inbound", &shown.inbound), within]
    };
    let section = |outage: &crate::domain::outage::Outage| {
        let first = format!("Its explanation: {}", outage.first.fails());
        let near: Vec<_> = lines(&outage.near).into_iter().chain([first]).collect();
        let far = match &outage.far {
            FarSide::Shows(shown) => lines(shown),
            FarSide::Unavailable => vec![
                "Its API answers UNAVAILABLE, and /readyz with status 503: nobody can be let in.".to_owned(),
            ],
            FarSide::Absent => {
                vec!["It shows nothing. What answers in its place knows no such connection.".to_owned()]
            }
        };
        let sides = [("The side without the fault", near), ("The other side", far)];
        let sides = sides.into_iter().map(|(whose, lines)| OutageSide { whose, lines }).collect();
        OutageSection { name: outage.name, happens: outage.happens, sides }
    };
    let outages: Vec<_> = OUTAGES.iter().map(section).collect();
    let recovered = RECOVERED_WITHIN.num_seconds();
    page(StatusCode::OK, &Outages { instance: state.instance(), recovered, outages: &outages })
}

fn direction(way: &str, seen: &Seen) -> String {
    let cause = seen.cause.map(|(code, reason)| format!(" because of {} ({reason})", code.as_str()));
    let theirs = seen.theirs.map_or_else(
        || "the other does not say".to_owned(),
        |theirs| format!("the other says {}", theirs.label()),
    );
    let (status, ours) = (seen.status.label(), seen.ours.label());
    format!("{way}: {status}{}. This side sees {ours}; {theirs}.", cause.unwrap_or_default())
}

fn missing(state: &State) -> Response {
    let view = Message {
        instance: state.instance(),
        title: "No such page",
        happened: "There is no documentation under this address.",
        why: None,
        what_to_do: &[],
        go_on: Some(ALL_PAGES),
        reference: None,
    };
    page(StatusCode::NOT_FOUND, &view)
}

fn slug(code: &str) -> String {
    code.to_ascii_lowercase().replace('_', "-")
}

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
    let blocks =
        if spec.blocking { "A finding stops what comes next." } else { "A finding is a warning only." };
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
        go_on: None,
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
        what_to_do: what_to_do(code),
        go_on: None,
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
        go_on: Some(("All pages", "/docs")),
        reference: None,
    };
    page(StatusCode::NOT_FOUND, &view)
}

fn slug(code: &str) -> String {
    code.to_ascii_lowercase().replace('_', "-")
}

const fn what_to_do(code: RefusalCode) -> &'static [&'static str] {
    use RefusalCode as C;
    match code {
        C::NoMatchingRegistration => &["Look at the reason.", "Ask the provider for a new link."],
        C::LinkInvalid => &["Copy the whole link again from the letter, up to its last character."],
        C::LinkContested => &[
            "The provider must find out who else holds the link.",
            "Then the provider makes a new link; the one before stays void.",
        ],
        C::ContactMismatch => &[
            "Sign in as the contact named in the registration.",
            "Or ask the provider to name another contact.",
        ],
        C::ContactInactive => {
            &["Ask the provider to switch the contact's account on, or to name another contact."]
        }
        C::ContactNotInCompany => &["Choose a contact of the registration's company."],
        C::NotAnAdministrator => {
            &["Ask an administrator of this instance to do it, or to grant you the role."]
        }
        C::SecondPersonRequired => &["Ask another person with the role to answer it."],
        C::PersonRequired => &["Sign in with the browser, and do it there yourself."],
        C::DuplicateConnection => &["Use the connection that exists, or end it first."],
        C::DuplicateRegistration => &["Finish or cancel the other registration first."],
        C::Duplicate => &["Choose another name, or use what exists."],
        C::ProviderRecordMissing => &["An administrator saves the provider record; then repeat."],
        C::NotValidated => &["Run the checks, and mend what they find."],
        C::ValidationStale => &["Wait: the checks run again by themselves.", "Then repeat."],
        C::WrongState => &["Look at its present state, and at the actions that are possible in it."],
        C::VersionUnsupported => &["Update the older of the two instances."],
        C::PeerUnreachable => {
            &["Look at the reason: it names the step that failed.", "Ask the other side's operator."]
        }
        C::PeerRefused => &["The reason is the other side's code: look it up here."],
        C::PeerUnavailable => &[
            "Wait: it comes back by itself.",
            "Otherwise ask the other side's operator to look at what the reason names.",
        ],
        C::PeerIdentityMismatch => &[
            "Go no further: whoever answers is not who the link names.",
            "Compare the fingerprints with the other side by telephone.",
        ],
        C::ClockSkew => &["Synchronise both clocks (NTP), then repeat."],
        C::KeyConfirmationFailed => {
            &["Start over. If it fails again, tell both operators: somebody may be between."]
        }
        C::PolicyDenied => &["Ask whoever manages the key access policies."],
        C::KeyServiceUnhealthy => &["Ask the operator to look at the component that the reason names."],
        C::Conflict => &["Load it again, then repeat your change."],
        C::IdempotencyConflict => &["Use a fresh key for another request."],
        C::RateLimited => &["Wait as long as the answer says, then repeat."],
        C::InvalidInput => &["Correct the field that the refusal names."],
        C::NotFound => &["Check the address or id.", "Ask whether you may see it."],
        C::CredentialsInvalid => &["Sign in again, or ask for fresh credentials."],
        C::StepUpRequired => {
            &["Give your password with `stepUp`, or the code of `requestStepUpCode`, then repeat it."]
        }
        C::AuthorizationDenied => &["Speak with the contact, then start over."],
        C::DeadlineExceeded => &["Start over."],
        C::MailFailed => {
            &["Do what the entry of the error log says; letters that can still leave are sent by themselves."]
        }
        C::MailOff => &["Use another way, or ask the operator to switch mail on."],
    }
}

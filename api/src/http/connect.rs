//! The consumer's side of a registration link: opening it, and coming back from the provider's approval.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, OriginalUri, Query, State as With};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::State;
use super::browser::{FORM_LIMIT, see_other, sign_in_url, status};
use super::pages::{Connect, Message, NotAnAdministrator, page};
use super::visitor::{Posted, Visitor};
use crate::actions::authorization::CALLBACK_PATH;
use crate::actions::{Actions, Call, Failure};
use crate::domain::link::OpenLink;
use crate::domain::refusal::{Refusal, RefusalCode};

/// The routes of opening a link and coming back.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/connect", get(form).post(open))
        .route(CALLBACK_PATH, get(callback))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(state)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kept {
    kept: String,
}

/// The page has no effect: mail scanners open links too.
async fn form(
    With(state): With<State>,
    Visitor(call): Visitor,
    kept: Result<Query<Kept>, QueryRejection>,
) -> Response {
    let kept = kept.ok().map(|Query(kept)| kept.kept).filter(|kept| !kept.is_empty());
    let Some(kept) = kept else { return connect_page(&state, &call, StatusCode::OK, None).await };
    match state.actions.kept_link(&kept).await {
        Ok(link) => kept_page(&state, &call, &kept, &link).await,
        Err(failure) => refused(&state, &call, &failure).await,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    link: String,
    kept: String,
    csrf: String,
}

async fn open(
    With(state): With<State>,
    Visitor(call): Visitor,
    headers: HeaderMap,
    Posted(posted): Posted<Fields>,
) -> Result<Response, Response> {
    let link = if posted.kept.is_empty() {
        Ok(SecretString::from(posted.link))
    } else {
        state.actions.kept_link(&posted.kept).await
    };
    let link = match link {
        Ok(link) => link,
        Err(failure) => return Err(refused(&state, &call, &failure).await),
    };
    if call.requester.person().is_none() {
        if !state.is_own_form(&headers) {
            return Err(state.foreign());
        }
        return match state.actions.keep_link(&link).await {
            Ok(kept) => Ok(see_other(&sign_in_url(&format!("/connect?kept={kept}")))),
            Err(failure) => Err(refused(&state, &call, &failure).await),
        };
    }
    state.require_session_form(&headers, &call, &posted.csrf).await?;
    match state.actions.open_registration_link(&call, link.clone()).await {
        Ok(connection) => Ok(see_other(&state.console.wizard_path(connection.id))),
        Err(Failure::Refused(refusal)) if refusal.code == RefusalCode::NotAnAdministrator => {
            Err(not_an_administrator(&state, &call, &link, &refusal).await)
        }
        Err(failure) => Err(refused(&state, &call, &failure).await),
    }
}

/// The link stays at hand while its holder switches to another account.
async fn not_an_administrator(
    state: &State,
    call: &Call,
    link: &SecretString,
    refusal: &Refusal,
) -> Response {
    let Some(person) = call.requester.person() else {
        return state.refusal(call, refusal);
    };
    let kept = state.actions.keep_link(link).await;
    match (kept, state.actions.form_token(call).await) {
        (Ok(kept), Ok(csrf)) => {
            let view = NotAnAdministrator {
                instance: state.instance(),
                signed_in_name: &person.name,
                signed_in_email: &person.email,
                reference: &call.trace.to_string(),
                return_to: &format!("/connect?kept={kept}"),
                csrf: &csrf,
            };
            page(status(refusal.code), &view)
        }
        (Err(failure), _) | (_, Err(failure)) => state.failure(call, &failure),
    }
}

async fn connect_page(state: &State, call: &Call, code: StatusCode, error: Option<&str>) -> Response {
    match state.actions.form_token(call).await {
        Ok(csrf) => {
            let instance = state.instance();
            let view = Connect { instance, error, kept: None, provider: "", signed_in: None, csrf: &csrf };
            page(code, &view)
        }
        Err(failure) => state.failure(call, &failure),
    }
}

/// After signing in: the link is at hand, and one press goes on.
async fn kept_page(state: &State, call: &Call, kept: &str, link: &SecretString) -> Response {
    let parsed = OpenLink::parse(link.expose_secret(), &state.actions.profile().policy);
    let provider = match parsed {
        Ok(link) => link.provider,
        Err(refusal) => {
            return connect_page(state, call, status(refusal.code), Some(&refusal.message)).await;
        }
    };
    match state.actions.form_token(call).await {
        Ok(csrf) => {
            let instance = state.instance();
            let (kept, provider) = (Some(kept), provider.as_str());
            let signed_in = call.requester.person().map(|person| person.email.as_str());
            let view = Connect { instance, error: None, kept, provider, signed_in, csrf: &csrf };
            page(StatusCode::OK, &view)
        }
        Err(failure) => state.failure(call, &failure),
    }
}

/// A refusal about the link is shown where the link is entered; any other on a page of its own.
async fn refused(state: &State, call: &Call, failure: &Failure) -> Response {
    match failure {
        Failure::Refused(refusal) if refusal.code == RefusalCode::LinkInvalid => {
            connect_page(state, call, status(refusal.code), Some(&refusal.message)).await
        }
        failure => state.failure(call, failure),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Returned {
    code: Option<String>,
    error: Option<String>,
    state: String,
    iss: String,
}

/// The browser comes back from the provider (RFC 6749, 4.1.2; RFC 9207).
async fn callback(
    With(state): With<State>,
    Visitor(call): Visitor,
    OriginalUri(uri): OriginalUri,
    returned: Result<Query<Returned>, QueryRejection>,
) -> Response {
    let bad = StatusCode::BAD_REQUEST;
    let Ok(Query(returned)) = returned else { return not_taken(&state, &call, bad, UNREADABLE, "") };
    if call.requester.person().is_none() {
        let here = uri.path_and_query().map_or(CALLBACK_PATH, |uri| uri.as_str());
        return see_other(&sign_in_url(here));
    }
    let outcome = match (returned.code, returned.error) {
        (Some(code), None) => Ok(SecretString::from(code)),
        (None, Some(error)) => Err(error),
        (Some(_), Some(_)) | (None, None) => {
            return not_taken(&state, &call, bad, UNREADABLE, &returned.state);
        }
    };
    match state.actions.authorization_returned(&call, &returned.state, outcome, &returned.iss).await {
        // Approved or not, the wizard says so, and what comes next.
        Ok(connection) => see_other(&state.console.wizard_path(connection)),
        Err(Failure::Refused(refusal)) => {
            not_taken(&state, &call, status(refusal.code), &refusal.message, &returned.state)
        }
        Err(failure) => state.failure(&call, &failure),
    }
}

/// What is said of an answer that is none (RFC 6749, 4.1.2).
const UNREADABLE: &str = "What came back holds neither an approval nor a reason why there is none.";

/// An answer of the provider that is not taken: the way leads back to the registration that its `state` names.
fn not_taken(state: &State, call: &Call, code: StatusCode, happened: &str, named: &str) -> Response {
    let wizard = Actions::connection_of_answer(named).map(|id| state.console.wizard_path(id));
    let reference = call.trace.to_string();
    let view = Message {
        instance: state.instance(),
        title: "The provider's answer was not taken",
        happened,
        why: None,
        what_to_do: &[
            if wizard.is_some() {
                "Go on with the registration: it shows how far it is."
            } else {
                "Find the registration among your connections: it shows how far it is."
            },
            "If it still waits for the contact, sign in with the account that began it, or choose “Ask with my account” \
             there, and approve once more. Nothing else is lost.",
        ],
        go_on: Some(match &wizard {
            Some(path) => ("Go on with the registration", path),
            None => ("Your connections", "/connections"),
        }),
        reference: Some(&reference),
    };
    page(code, &view)
}

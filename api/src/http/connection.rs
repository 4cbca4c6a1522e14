//! The start page, and a page for each connection: what stands, and what can be done next. Without a script, so
//! that the wizard works in every browser; the page is loaded again to see more.

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, OriginalUri, Path, State as With};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use uuid::Uuid;

use super::State;
use super::browser::{FORM_LIMIT, see_other, sign_in_url};
use super::pages::{self, page};
use crate::actions::overview::ConnectionOverview;
use crate::actions::{Call, Done, Failure};
use crate::domain::connection::{ConnectionState, ConnectionVerb};
use crate::domain::id::{CompanyId, ConnectionId};
use crate::domain::refusal::Refusal;

/// The routes of the start page and the connections' pages.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(start))
        .route("/connections/{id}", get(show))
        .route("/connections/{id}/{verb}", post(act))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(state)
}

async fn start(With(state): With<State>, headers: HeaderMap) -> Response {
    let call = match state.auth.browser(&headers).await {
        Ok(call) => call,
        Err(failure) => return broken(&state, &failure),
    };
    let Some(person) = call.requester.person() else { return see_other("/sign-in") };
    let csrf = match state.actions.form_token(&call).await {
        Ok(csrf) => csrf,
        Err(failure) => return state.failure(&call, &failure),
    };
    match state.actions.overview(&call).await {
        Ok(all) => {
            let view = pages::Start {
                instance: state.instance(),
                signed_in_name: &person.name,
                connections: &all.connections,
                registrations: &all.registrations,
                csrf: &csrf,
            };
            page(StatusCode::OK, &view)
        }
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn show(
    With(state): With<State>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
) -> Response {
    let call = match state.auth.browser(&headers).await {
        Ok(call) => call,
        Err(failure) => return broken(&state, &failure),
    };
    if call.requester.person().is_none() {
        return see_other(&sign_in_url(uri.path()));
    }
    match shown(&state, &call, &id).await {
        Ok(response) => response,
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn shown(state: &State, call: &Call, id: &str) -> Done<Response> {
    let all = state.actions.connection_overview(call, connection(id)?).await?;
    let csrf = state.actions.form_token(call).await?;
    let moving = is_moving(&all);
    let view = pages::ConnectionPage { instance: state.instance(), all: &all, moving, csrf: &csrf };
    let mut response = page(StatusCode::OK, &view);
    if moving {
        // While something goes on by itself, the page shows it without a script.
        response.headers_mut().insert(header::REFRESH, HeaderValue::from_static("2"));
    }
    Ok(response)
}

fn is_moving(all: &ConnectionOverview) -> bool {
    match all.connection.state.name() {
        ConnectionState::AwaitingValidation => true,
        ConnectionState::Onboarding => all.authorization_url.is_none(),
        ConnectionState::Pending
        | ConnectionState::Validated
        | ConnectionState::ValidationFailed
        | ConnectionState::Onboarded
        | ConnectionState::Suspended
        | ConnectionState::Offboarding
        | ConnectionState::Offboarded => false,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Act {
    company: String,
    csrf: String,
}

async fn act(
    With(state): With<State>,
    headers: HeaderMap,
    Path((id, verb)): Path<(String, String)>,
    form: Result<Form<Act>, FormRejection>,
) -> Response {
    let call = match state.auth.browser(&headers).await {
        Ok(call) => call,
        Err(failure) => return broken(&state, &failure),
    };
    let Ok(Form(form)) = form else { return state.foreign() };
    match state.is_session_form(&headers, &call, &form.csrf).await {
        Ok(true) => {}
        Ok(false) => return state.foreign(),
        Err(failure) => return state.failure(&call, &failure),
    }
    match done(&state, &call, &id, &verb, &form.company).await {
        Ok(id) => see_other(&format!("/connections/{id}")),
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn done(state: &State, call: &Call, id: &str, verb: &str, company: &str) -> Done<ConnectionId> {
    let (id, actions) = (connection(id)?, &state.actions);
    let verb = ConnectionVerb::parse(verb).ok_or_else(|| Refusal::not_found("action"))?;
    match verb {
        ConnectionVerb::ChooseCompany => {
            let company =
                Uuid::try_parse(company).map_err(|_| Refusal::invalid("companyId", "Choose a company."))?;
            actions.choose_provider_company(call, id, CompanyId(company)).await?;
        }
        ConnectionVerb::RunChecks => drop(actions.run_pre_onboarding_checks(call, id).await?),
        ConnectionVerb::Start => drop(actions.start_onboarding(call, id).await?),
        ConnectionVerb::RetryPhase => drop(actions.retry_phase(call, id).await?),
        ConnectionVerb::StartOver => drop(actions.start_over(call, id).await?),
        ConnectionVerb::Cancel => drop(actions.cancel_onboarding(call, id).await?),
        ConnectionVerb::Suspend => drop(actions.suspend_connection(call, id).await?),
        ConnectionVerb::Resume => drop(actions.resume_connection(call, id).await?),
    }
    Ok(id)
}

fn connection(id: &str) -> Result<ConnectionId, Refusal> {
    Uuid::try_parse(id).map(ConnectionId).map_err(|_| Refusal::not_found("connection"))
}

fn broken(state: &State, failure: &Failure) -> Response {
    tracing::error!(error = ?failure, "a page failed");
    state.broken(None)
}

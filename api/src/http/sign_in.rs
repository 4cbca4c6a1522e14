//! Signing in with a password or a code from a letter, and signing out.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State as With};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::State;
use super::browser::{FORM_LIMIT, came_from, local_path, retry_after, see_other, sign_in_url, status};
use super::pages::{Code, SignIn, SignedOut, page};
use super::visitor::{OwnForm, Posted, Visitor};
use crate::actions::Failure;
use crate::actions::session::CODE_MINUTES;
use crate::domain::refusal::Refusal;

/// The routes of signing in and out.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/sign-in", get(form).post(with_password))
        .route("/sign-in/code", get(begin).post(request_code))
        .route("/sign-in/code/verify", get(begin).post(verify_code))
        .route("/sign-out", get(begin).post(sign_out))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(state)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    return_to: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    email: String,
    password: String,
    code: String,
    return_to: String,
    csrf: String,
}

impl Fields {
    fn return_to(&self) -> &str {
        local_path(&self.return_to).unwrap_or("/")
    }
}

/// Whoever comes to the address of a form by going back, or by a bookmark, begins where one begins.
async fn begin() -> Response {
    see_other("/sign-in")
}

async fn form(With(state): With<State>, wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    let return_to = wanted.map(|Query(wanted)| wanted.return_to).unwrap_or_default();
    sign_in_page(&state, StatusCode::OK, None, "", local_path(&return_to).unwrap_or("/"))
}

async fn with_password(
    With(state): With<State>,
    Visitor(call): Visitor,
    extensions: Extensions,
    OwnForm(posted): OwnForm<Fields>,
) -> Response {
    let password = SecretString::from(posted.password.clone());
    let from = came_from(&extensions);
    match state.actions.sign_in_with_password(&call, &posted.email, password, from).await {
        Ok((cookie, _)) => signed_in(&state, &cookie, posted.return_to()),
        Err(Failure::Refused(refusal)) => {
            let message = Some(refusal.message.as_str());
            let page = sign_in_page(&state, status(refusal.code), message, &posted.email, posted.return_to());
            waiting(page, &refusal)
        }
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn request_code(
    With(state): With<State>,
    Visitor(call): Visitor,
    headers: HeaderMap,
    extensions: Extensions,
    OwnForm(posted): OwnForm<Fields>,
) -> Response {
    let secret = match state.auth.browser_secret(&headers).map_or_else(|| state.actions.browser_secret(), Ok)
    {
        Ok(secret) => secret,
        Err(failure) => return state.failure(&call, &failure),
    };
    let from = came_from(&extensions);
    match state.actions.request_code(&call, &posted.email, secret.expose_secret(), from).await {
        Ok(()) => {
            let page = code_page(&state, StatusCode::OK, None, &posted.email, posted.return_to());
            with_cookie(page, state.auth.browser_cookie(&secret))
        }
        Err(Failure::Refused(refusal)) => {
            let message = Some(refusal.message.as_str());
            let page = sign_in_page(&state, status(refusal.code), message, &posted.email, posted.return_to());
            waiting(page, &refusal)
        }
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn verify_code(
    With(state): With<State>,
    Visitor(call): Visitor,
    headers: HeaderMap,
    extensions: Extensions,
    OwnForm(posted): OwnForm<Fields>,
) -> Response {
    let secret = state.auth.browser_secret(&headers).unwrap_or_default();
    let from = came_from(&extensions);
    match state.actions.verify_code(&call, &posted.email, &posted.code, secret.expose_secret(), from).await {
        Ok((cookie, _)) => signed_in(&state, &cookie, posted.return_to()),
        Err(Failure::Refused(refusal)) => {
            let message = Some(refusal.message.as_str());
            let page = code_page(&state, status(refusal.code), message, &posted.email, posted.return_to());
            waiting(page, &refusal)
        }
        Err(failure) => state.failure(&call, &failure),
    }
}

async fn sign_out(
    With(state): With<State>,
    Visitor(call): Visitor,
    headers: HeaderMap,
    Posted(posted): Posted<Fields>,
) -> Result<Response, Response> {
    if call.requester.person().is_some() {
        state.require_session_form(&headers, &call, &posted.csrf).await?;
        state.actions.sign_out(&call).await.map_err(|failure| state.failure(&call, &failure))?;
    }
    let answer = match local_path(&posted.return_to) {
        Some(return_to) => see_other(&sign_in_url(return_to)),
        None => page(StatusCode::OK, &SignedOut { instance: state.instance(), sign_in_url: "/sign-in" }),
    };
    Ok(with_cookie(answer, state.auth.end_cookie()))
}

fn sign_in_page(
    state: &State,
    code: StatusCode,
    error: Option<&str>,
    email: &str,
    return_to: &str,
) -> Response {
    let reason = if return_to.starts_with("/oauth/authorize?") {
        Some("To approve a connection, as the contact named in its registration.")
    } else if return_to.starts_with("/connect?") {
        Some("To connect this instance, as one of its administrators.")
    } else {
        None
    };
    let code_by_mail = state.actions.profile().mail_on;
    let view = SignIn { instance: state.instance(), reason, error, email, code_by_mail, return_to, csrf: "" };
    page(code, &view)
}

fn code_page(state: &State, code: StatusCode, error: Option<&str>, email: &str, return_to: &str) -> Response {
    let password_url = sign_in_url(return_to);
    let instance = state.instance();
    let view = Code {
        instance,
        email,
        minutes: CODE_MINUTES,
        error,
        password_url: &password_url,
        return_to,
        csrf: "",
    };
    page(code, &view)
}

fn signed_in(state: &State, cookie: &SecretString, return_to: &str) -> Response {
    with_cookie(see_other(return_to), state.auth.start_cookie(cookie))
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn waiting(mut response: Response, refusal: &Refusal) -> Response {
    retry_after(&mut response, refusal);
    response
}

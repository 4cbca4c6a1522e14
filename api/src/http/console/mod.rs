//! The web console: the page that it runs in, and its files.
//!
//! It is a client of the public API like any other. This side knows who is signed in, sends whoever is not to the
//! sign-in page, and hands out files; what is on the screens is decided by the modules in `api/console`.

mod files;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{OriginalUri, Path, Query, State as With};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use uuid::Uuid;

use super::State;
use super::browser::{see_other, sign_in_url};
use super::pages::{Shell, page};
use super::visitor::Visitor;
use crate::actions::Call;
use crate::domain::id::{ConnectionId, RegistrationId};
use crate::domain::scan::Subject;
use files::Files;

/// Where the console has pages. Whatever else is asked for is not there.
const PAGES: [&str; 22] = [
    "/",
    "/setup",
    "/setup/{side}",
    "/checks",
    "/errors",
    "/people",
    "/account",
    "/audit",
    "/connections",
    "/provider",
    "/registrations/new",
    "/registrations/{id}",
    "/companies",
    "/companies/{id}",
    "/issues/{id}",
    "/scans/{id}",
    "/keys",
    "/keys/{part}",
    "/keys/{part}/{id}",
    "/playground",
    "/design",
    "/connections/{id}/{part}",
];

/// What the console needs of its house.
#[derive(Clone, Debug)]
pub struct Console {
    files: Files,
    id: fn(ConnectionId) -> String,
    health: fn(Subject) -> String,
}

impl Console {
    /// With the files of the binary, or of `folder`. `id` writes a connection's global id as the public API does,
    /// `health` where the issues of something are shown.
    #[must_use]
    pub fn new(
        folder: Option<PathBuf>,
        id: fn(ConnectionId) -> String,
        health: fn(Subject) -> String,
    ) -> Arc<Self> {
        Arc::new(Self { files: Files::new(folder), id, health })
    }

    /// Where a connection is shown.
    #[must_use]
    pub fn connection_path(&self, id: ConnectionId) -> String {
        format!("/connections/{}", (self.id)(id))
    }

    /// Where a connection is created, step by step.
    #[must_use]
    pub fn wizard_path(&self, id: ConnectionId) -> String {
        format!("{}/wizard", self.connection_path(id))
    }
}

/// The routes of the console.
pub fn router(state: State) -> Router {
    let router = Router::new().route("/console/{version}/{*path}", get(file));
    let router = router.route("/connections/{id}", get(connection)).route("/health", get(health));
    PAGES.iter().fold(router, |router, path| router.route(path, get(shell))).with_state(state)
}

async fn file(
    With(state): With<State>,
    Path((version, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    state.console.files.response(&version, &path, &headers).await
}

async fn shell(With(state): With<State>, Visitor(call): Visitor, OriginalUri(uri): OriginalUri) -> Response {
    show(&state, &call, &uri).await
}

/// Letters name connections by their plain ids; screens know them by global ids.
async fn connection(
    With(state): With<State>,
    Visitor(call): Visitor,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
) -> Response {
    match Uuid::try_parse(&id) {
        Ok(id) => see_other(&state.console.connection_path(ConnectionId(id))),
        Err(_) => show(&state, &call, &uri).await,
    }
}

/// Whose health, where a letter says so.
#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    registration: Option<Uuid>,
    connection: Option<Uuid>,
}

/// As [`connection`]: a global id is no plain one, and goes to the page as it stands.
async fn health(
    With(state): With<State>,
    Visitor(call): Visitor,
    OriginalUri(uri): OriginalUri,
    about: Result<Query<About>, QueryRejection>,
) -> Response {
    let subject = about.ok().and_then(|Query(about)| {
        let registration = about.registration.map(|id| Subject::Registration(RegistrationId(id)));
        registration.or_else(|| about.connection.map(|id| Subject::Connection(ConnectionId(id))))
    });
    match subject {
        Some(subject) => see_other(&(state.console.health)(subject)),
        None => show(&state, &call, &uri).await,
    }
}

async fn show(state: &State, call: &Call, uri: &Uri) -> Response {
    let Some(person) = call.requester.person() else {
        return see_other(&sign_in_url(uri.path_and_query().map_or("/", |uri| uri.as_str())));
    };
    match state.actions.form_token(call).await {
        Ok(csrf) => {
            let base = state.console.files.base();
            let view = Shell {
                instance: state.instance(),
                environment: state.actions.profile().environment.label(),
                signed_in_name: &person.name,
                base: &base,
                csrf: &csrf,
            };
            page(StatusCode::OK, &view)
        }
        Err(failure) => state.failure(call, &failure),
    }
}

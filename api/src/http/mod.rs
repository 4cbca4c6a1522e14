//! The door that speaks HTTP: to browsers, front ends and peers.

mod browser;
pub mod connect;
pub mod console;
pub mod docs;
pub mod graphql;
pub mod headers;
pub mod health;
pub mod oauth;
pub mod pages;
pub mod peer;
pub mod server;
#[cfg(test)]
mod server_tests;
pub mod sign_in;
mod visitor;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use std::sync::Arc;

use crate::actions::Actions;
use crate::auth::Auth;
use console::Console;

/// What every handler works with.
#[derive(Clone, Debug)]
pub struct State {
    /// The verbs.
    pub actions: Actions,
    /// Who asks.
    pub auth: Auth,
    /// What browsers get besides plain pages.
    pub console: Arc<Console>,
}

impl State {
    /// The handlers' share of one instance.
    #[must_use]
    pub fn new(actions: Actions, console: Arc<Console>) -> Self {
        Self { auth: Auth::new(actions.clone()), actions, console }
    }
}

/// Nothing is here: a page for whoever reads pages, nothing but the status for programs.
fn missing(state: &State, headers: &HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepted.flat_map(|types| types.split(',')).any(|kind| kind.trim().starts_with("text/html")) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let message = pages::Message {
        instance: state.instance(),
        title: "No such page",
        happened: "There is nothing under this address on this instance.",
        why: None,
        what_to_do: &[
            "Look whether the address is complete: letters sometimes break long ones.",
            "Look whether this is the instance that you meant: its address is at the foot of this page.",
        ],
        go_on: Some(("Go to the start", "/")),
        reference: None,
    };
    pages::page(StatusCode::NOT_FOUND, &message)
}

/// Everything that is for browsers, and the authorization server.
pub fn pages_router(state: State) -> Router {
    let assets = pages::ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { asset.response(&headers) }))
    });
    assets
        .merge(sign_in::router(state.clone()))
        .merge(oauth::router(state.clone()))
        .merge(connect::router(state.clone()))
        .merge(console::router(state.clone()))
        .merge(docs::router(state.clone()))
        .fallback(async move |headers: HeaderMap| missing(&state, &headers))
}

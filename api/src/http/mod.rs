//! The door that speaks HTTP: to browsers, front ends and peers.

mod browser;
pub mod connect;
pub mod docs;
pub mod graphql;
pub mod headers;
pub mod oauth;
pub mod pages;
pub mod server;
#[cfg(test)]
mod server_tests;
pub mod sign_in;

use crate::actions::Actions;
use crate::auth::Auth;

/// What every handler works with.
#[derive(Clone, Debug)]
pub struct State {
    /// The verbs.
    pub actions: Actions,
    /// Who asks.
    pub auth: Auth,
}

impl State {
    /// The handlers' share of one instance.
    #[must_use]
    pub fn new(actions: Actions) -> Self {
        Self { auth: Auth::new(actions.clone()), actions }
    }
}

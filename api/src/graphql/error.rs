//! Errors that are no refusals: each with one of the codes that the transport lets out.

use async_graphql::{Error, ErrorExtensions as _};

use crate::actions::Failure;
use crate::domain::causes::causes;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::StoreError;

/// An error with a public code.
fn coded(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// Nobody signed in.
pub(super) fn unauthenticated() -> Error {
    coded("UNAUTHENTICATED", "Sign in first.")
}

/// The requester is known and may not, or there is no such thing: one answer for both where it would tell.
pub(super) fn forbidden(message: impl Into<String>) -> Error {
    coded("FORBIDDEN", message)
}

/// There is no such thing, or it may not be seen.
pub(super) fn absent(what: &str) -> Error {
    forbidden(Refusal::not_found(what).message)
}

/// The request is at fault.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    coded("INVALID_INPUT", message)
}

/// The cursor is older than the oldest change that is kept; `oldest` is the cursor from which one can go on.
pub(super) fn cursor_expired(oldest: String) -> Error {
    invalid("The cursor is too old: changes after it are no longer kept. Load the present state, then go on from `oldest`.")
        .extend_with(|_, extensions| {
            extensions.set("reason", "CURSOR_EXPIRED");
            extensions.set("oldest", oldest);
        })
}

/// We are at fault. The message is for the log: the transport replaces it.
pub(super) fn internal(error: &dyn std::error::Error) -> Error {
    coded("INTERNAL", causes(error))
}

/// What goes wrong with memory is our fault.
pub(super) fn store(error: &StoreError) -> Error {
    internal(error)
}

/// What a query answers when an action failed.
pub(super) fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Refused(refusal) if refusal.code == RefusalCode::NotAnAdministrator => {
            forbidden(refusal.message)
        }
        Failure::Refused(refusal) if refusal.code == RefusalCode::NotFound => forbidden(refusal.message),
        Failure::Refused(refusal) => invalid(refusal.message),
        failure => internal(&failure),
    }
}

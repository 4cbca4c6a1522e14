//! What the handlers for browsers are given: who asks, and forms that came from pages of ours.

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::State;
use crate::actions::Call;

/// Who asks with a browser: somebody, or nobody who is signed in.
pub(super) struct Visitor(pub(super) Call);

impl FromRequestParts<State> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        state.auth.browser(&parts.headers).await.map(Self).map_err(|failure| {
            tracing::error!(error = ?failure, "a page failed");
            state.broken(None)
        })
    }
}

/// A form as it was posted, from wherever.
pub(super) struct Posted<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &State) -> Result<Self, Response> {
        let form = Form::from_request(request, state).await;
        form.map(|Form(form)| Self(form)).map_err(|rejection| match rejection.status() {
            status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => {
                state.unreadable(status)
            }
            _ => state.foreign(),
        })
    }
}

/// A form that a page of this instance sent, before anybody signed in.
pub(super) struct OwnForm<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for OwnForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &State) -> Result<Self, Response> {
        if !state.is_own_form(request.headers()) {
            return Err(state.foreign());
        }
        Posted::from_request(request, state).await.map(|Posted(form)| Self(form))
    }
}

impl State {
    /// Refuses what a page of the caller's session did not send; `token` is the form's.
    pub(super) async fn require_session_form(
        &self,
        headers: &HeaderMap,
        call: &Call,
        token: &str,
    ) -> Result<(), Response> {
        if !self.is_own_form(headers) {
            return Err(self.foreign());
        }
        match self.actions.is_form_token(call, token).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.foreign()),
            Err(failure) => Err(self.failure(call, &failure)),
        }
    }
}

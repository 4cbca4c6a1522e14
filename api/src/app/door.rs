//! What the GraphQL transports need of this instance.

use async_graphql::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use crate::actions::{Actions, Call};
use crate::auth::{self, Auth};
use crate::domain::causes::causes;
use crate::domain::id::TraceId;
use crate::domain::requester::{Means, Requester};
use crate::graphql;
use crate::http::graphql::{AuthError, Backend, Operation};

/// The door's view of the house.
#[derive(Clone, Debug)]
pub(super) struct Door {
    actions: Actions,
    auth: Auth,
}

impl Door {
    pub(super) const fn new(actions: Actions, auth: Auth) -> Self {
        Self { actions, auth }
    }

    async fn by_headers(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let call = self.auth.call(headers).await.map_err(|error| match error {
            auth::AuthError::Credentials => AuthError::Rejected,
            auth::AuthError::Failure(error) => {
                tracing::error!(error = causes(&error), "who asks is not known");
                AuthError::Unavailable
            }
        })?;
        Ok(Caller { call, from: String::new() })
    }
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    call: Call,
    from: String,
}

impl Backend for Door {
    type Caller = Caller;

    async fn caller(&self, request: &Parts) -> Result<Caller, AuthError> {
        let from = request.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
        let from = from.map_or_else(String::new, |info| info.0.ip().to_string());
        Ok(Caller { from, ..self.by_headers(&request.headers).await? })
    }

    /// A token in `connection_init` counts before what the upgrade brought: browsers cannot set headers there.
    async fn caller_from_init(
        &self,
        upgrade: &Caller,
        payload: Option<&Map<String, Value>>,
    ) -> Result<Caller, AuthError> {
        let given = payload
            .and_then(|payload| payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")));
        let Some((_, token)) = given else { return Ok(upgrade.clone()) };
        let value = token.as_str().and_then(|token| token.parse().ok()).ok_or(AuthError::Rejected)?;
        let mut headers = HeaderMap::new();
        headers.insert(axum::http::header::AUTHORIZATION, value);
        Ok(Caller { from: upgrade.from.clone(), ..self.by_headers(&headers).await? })
    }

    async fn still_valid(&self, caller: &Caller) -> bool {
        self.auth.still_valid(&caller.call).await
    }

    fn counted_as(&self, caller: &Caller) -> String {
        match &caller.call.requester {
            Requester::Person(person) => match person.means {
                Means::Session { id, .. } => format!("session:{id}"),
                Means::AccessToken(id) => format!("token:{id}"),
                Means::Host { .. } => "host".to_owned(),
            },
            Requester::Anonymous | Requester::Peer(_) | Requester::System => {
                format!("address:{}", caller.from)
            }
        }
    }

    fn introspection_allowed(&self, caller: &Caller) -> bool {
        caller.call.requester.person().is_some()
    }

    fn trace_id(&self, headers: &HeaderMap) -> String {
        let given = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .and_then(TraceId::from_traceparent);
        given.unwrap_or_else(|| self.actions.fresh_trace()).to_string()
    }

    fn prepare(&self, request: Request, operation: &Operation<'_, Caller>) -> Request {
        let mut call = operation.caller.call.clone();
        if let Some(trace) = TraceId::parse(operation.trace_id) {
            call.trace = trace;
        }
        graphql::prepare(request, &self.actions, call)
    }
}

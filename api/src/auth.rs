//! From a header or cookie to who asks.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use crate::actions::session::SESSION_LIFETIME;
use crate::actions::{Actions, Call, Failure};
use crate::domain::causes::causes;
use crate::domain::id::TraceId;
use crate::domain::origin::Scheme;
use crate::domain::requester::Requester;

/// Why nobody can be said to ask.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The `Authorization` header holds no bearer token that is good. A cookie that is no longer good is nobody's.
    #[error("the access token is wrong, expired or revoked")]
    Credentials,
    /// Ours.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Tells who asks.
#[derive(Clone, Debug)]
pub struct Auth {
    actions: Actions,
}

impl Auth {
    /// Asks these verbs.
    #[must_use]
    pub const fn new(actions: Actions) -> Self {
        Self { actions }
    }

    /// Who sent these headers: a personal access token counts before a session's cookie; nobody without either.
    ///
    /// # Errors
    /// [`AuthError::Credentials`] for an `Authorization` header that is not good.
    pub async fn call(&self, headers: &HeaderMap) -> Result<Call, AuthError> {
        let trace = self.trace(headers)?;
        let requester = if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(bearer).ok_or(AuthError::Credentials)?;
            let person = self.actions.person_by_access_token(token).await?;
            Requester::Person(person.ok_or(AuthError::Credentials)?)
        } else {
            self.by_cookie(headers).await?
        };
        Ok(Call::by(requester, trace))
    }

    /// Who sent these headers with a browser: cookies only.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn browser(&self, headers: &HeaderMap) -> Result<Call, Failure> {
        Ok(Call::by(self.by_cookie(headers).await?, self.trace(headers)?))
    }

    /// A call by nobody, for endpoints that have credentials of their own.
    ///
    /// # Errors
    /// When the machine has no entropy.
    pub fn anonymous(&self, headers: &HeaderMap) -> Result<Call, Failure> {
        Ok(Call::by(Requester::Anonymous, self.trace(headers)?))
    }

    /// Whether the caller, whose socket is still open, may be served on. Nobody stays nobody.
    pub async fn still_valid(&self, call: &Call) -> bool {
        match call.requester.person() {
            None => true,
            Some(person) => match self.actions.still_signed_in(person).await {
                Ok(valid) => valid,
                Err(error) => {
                    tracing::error!(error = causes(&error), trace = %call.trace, "whether a caller is still valid is not known");
                    false
                }
            },
        }
    }

    /// The header that gives a browser its session.
    #[must_use]
    pub fn start_cookie(&self, value: &SecretString) -> Option<HeaderValue> {
        self.cookie(
            self.name("linkspan", "__Host-linkspan"),
            value.expose_secret(),
            SESSION_LIFETIME.num_seconds(),
        )
    }

    /// The header that takes a browser's session away.
    #[must_use]
    pub fn end_cookie(&self) -> Option<HeaderValue> {
        self.cookie(self.name("linkspan", "__Host-linkspan"), "", 0)
    }

    /// The header that tells this browser from others until somebody signed in.
    #[must_use]
    pub fn browser_cookie(&self, value: &SecretString) -> Option<HeaderValue> {
        self.cookie(self.browser_name(), value.expose_secret(), 3_600)
    }

    /// What tells this browser from others.
    #[must_use]
    pub fn browser_secret(&self, headers: &HeaderMap) -> Option<SecretString> {
        cookie(headers, self.browser_name()).filter(|value| !value.is_empty()).map(Into::into)
    }

    async fn by_cookie(&self, headers: &HeaderMap) -> Result<Requester, Failure> {
        let Some(value) = cookie(headers, self.name("linkspan", "__Host-linkspan")) else {
            return Ok(Requester::Anonymous);
        };
        let person = self.actions.person_by_cookie(value).await?;
        Ok(person.map_or(Requester::Anonymous, Requester::Person))
    }

    fn trace(&self, headers: &HeaderMap) -> Result<TraceId, Failure> {
        let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
        match given.and_then(TraceId::from_traceparent) {
            Some(trace) => Ok(trace),
            None => Ok(self.actions.world.trace()?),
        }
    }

    fn browser_name(&self) -> &'static str {
        self.name("linkspan-browser", "__Host-linkspan-browser")
    }

    /// The prefix binds a cookie to this host over TLS, so browsers refuse it on a plain origin.
    fn name(&self, plain: &'static str, secure: &'static str) -> &'static str {
        match self.actions.profile().origin.scheme() {
            Scheme::Https => secure,
            Scheme::Http => plain,
        }
    }

    fn cookie(&self, name: &str, value: &str, seconds: i64) -> Option<HeaderValue> {
        let secure = match self.actions.profile().origin.scheme() {
            Scheme::Https => "; Secure",
            Scheme::Http => "",
        };
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, 2.1).
#[must_use]
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of a cookie (RFC 6265, 5.4).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers
            .append(header::COOKIE, HeaderValue::from_static("linkspan-browser=a; xlinkspan=b;linkspan=c=d"));
        headers.append(header::COOKIE, HeaderValue::from_static("other=e"));
        assert_eq!(cookie(&headers, "linkspan"), Some("c=d"));
        assert_eq!(cookie(&headers, "other"), Some("e"));
        assert_eq!(cookie(&headers, "span"), None);
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(bearer("Bearer a"), Some("a"));
        assert_eq!(bearer("bearer  a"), Some("a"));
        for value in ["Basic a", "Bearer", "Bearer ", "a"] {
            assert_eq!(bearer(value), None, "{value}");
        }
    }
}

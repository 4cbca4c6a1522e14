use askama::Template;

use super::Instance;
use crate::actions::overview::ConnectionOverview;
use crate::domain::connection::{Connection, ConnectionVerb};
use crate::domain::id::CompanyId;
use crate::domain::registration::Registration;

/// What there is, for whoever signed in.
#[derive(Template)]
#[template(path = "start.html")]
pub struct Start<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// The name of the person who is signed in.
    pub signed_in_name: &'a str,
    /// The newest connections.
    pub connections: &'a [Connection],
    /// The newest registrations.
    pub registrations: &'a [Registration],
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// One connection: what stands and what can be done. Posts `csrf` (and `company`) to `/connections/<id>/<verb>`.
#[derive(Template)]
#[template(path = "connection.html")]
pub struct ConnectionPage<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// All that is shown.
    pub all: &'a ConnectionOverview,
    /// Whether something goes on by itself.
    pub moving: bool,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

impl ConnectionPage<'_> {
    fn peer(&self) -> &str {
        let peer = &self.all.connection.peer;
        peer.name.as_deref().unwrap_or_else(|| peer.origin.as_str())
    }

    fn is_chosen(&self, company: &CompanyId) -> bool {
        self.all.connection.company.as_ref() == Some(company)
    }

    fn action(&self, verb: &ConnectionVerb) -> String {
        format!("/connections/{}/{}", self.all.connection.id, verb.as_str())
    }

    /// Whatever leads on stands out; what stops or undoes does not.
    fn is_secondary(&self, verb: &ConnectionVerb) -> bool {
        matches!(verb, ConnectionVerb::StartOver | ConnectionVerb::Cancel | ConnectionVerb::Suspend)
    }
}

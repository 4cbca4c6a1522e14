//! What the plain pages show: the same as the public schema, read in one go.

use super::{Actions, Call, Done};
use crate::domain::attempt::Attempt;
use crate::domain::check::Answer;
use crate::domain::connection::{Connection, ConnectionVerb, Part, State};
use crate::domain::direction::{DirectionStatus, Way};
use crate::domain::id::ConnectionId;
use crate::domain::refusal::Refusal;
use crate::domain::registration::Registration;
use crate::store::{Company, ConnectionFilter, Page, RegistrationFilter};

/// The most lines of a list on a page.
const LINES: u64 = 50;

/// What the start page lists.
pub struct Overview {
    /// The newest connections.
    pub connections: Vec<Connection>,
    /// The newest registrations.
    pub registrations: Vec<Registration>,
}

/// What a connection's page shows.
pub struct ConnectionOverview {
    /// The connection.
    pub connection: Connection,
    /// The other organisation.
    pub company: Option<Company>,
    /// The companies to choose from, where one may be chosen.
    pub companies: Vec<Company>,
    /// Both directions, where something is begun.
    pub directions: Vec<(Way, DirectionStatus)>,
    /// The latest attempt.
    pub attempt: Option<Attempt>,
    /// Where the contact approves, while that is waited for.
    pub authorization_url: Option<String>,
    /// What the checks found, and what to do about it.
    pub findings: Vec<(&'static str, String)>,
    /// What the caller can do now.
    pub verbs: Vec<ConnectionVerb>,
}

impl Actions {
    /// What the caller may see, the newest first.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn overview(&self, call: &Call) -> Done<Overview> {
        let reader = self.reader(call);
        let connections = reader.connections(&ConnectionFilter::default(), first()).await?.items;
        let registrations = reader.registrations(&RegistrationFilter::default(), first()).await?.items;
        Ok(Overview { connections, registrations })
    }

    /// A connection with all that its page shows.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none, or it is not the caller's to see.
    pub async fn connection_overview(&self, call: &Call, id: ConnectionId) -> Done<ConnectionOverview> {
        let reader = self.reader(call);
        let found = reader.connections_by_id(&[id]).await?.pop();
        let connection = found.ok_or_else(|| Refusal::not_found("connection"))?;
        let company = match connection.company {
            Some(company) => reader.companies_by_id(&[company]).await?.pop(),
            None => None,
        };
        let may =
            |verb: &ConnectionVerb| call.requester.operator().is_ok() && connection.allows(*verb).is_ok();
        let verbs: Vec<_> = ConnectionVerb::ALL.iter().copied().filter(may).collect();
        let companies = if verbs.contains(&ConnectionVerb::ChooseCompany) {
            reader.companies(None, first()).await?.items
        } else {
            Vec::new()
        };
        let (name, now) = (connection.state.name(), self.world.now());
        let directions = reader.directions(&[id]).await?.into_iter();
        let directions = directions
            .filter_map(|(_, way, evidence)| Some((way, evidence.status(name, self.profile.measure, now)?)))
            .collect();
        let (attempt, work) = reader.attempts(&[id]).await?.pop().unzip();
        let waits = matches!(connection.state, State::Onboarding { .. }) && connection.part == Part::Consumer;
        let authorization_url = work.and_then(|work| work.authorization_url).filter(|_| waits);
        let findings = match connection.state {
            State::ValidationFailed { scan } => reader.results(&[scan]).await?,
            _ => Vec::new(),
        };
        let findings = findings.into_iter().filter_map(|result| match result.answer {
            Answer::Finding(finding) => Some((result.code.label(), finding.message)),
            Answer::Error(error) => Some((result.code.label(), error)),
            Answer::Pass | Answer::Skipped(_) => None,
        });
        let findings = findings.collect();
        Ok(ConnectionOverview {
            connection,
            company,
            companies,
            directions,
            attempt,
            authorization_url,
            findings,
            verbs,
        })
    }
}

const fn first() -> Page {
    Page { beyond: None, limit: LINES, backward: false }
}

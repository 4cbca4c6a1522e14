//! A dry run: the checks of a registration that does not exist yet. Nothing is stored, and nobody but the other
//! instance hears of it.

use std::pin::Pin;
use std::time::Duration;

use crate::actions::limits::Limit;
use crate::actions::scan::ScanPlan;
use crate::actions::scan::facts::{in_words, numbered};
use crate::actions::{Actions, Call, Done};
use crate::domain::check::{Answer, CheckCode, Suite};
use crate::domain::connection::Part;
use crate::domain::id::{CompanyId, ScanId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::registration::Environment;
use crate::domain::scan::{LocalFacts, Scan, ScanState, Subject};

/// How long a dry run may take: whoever asks waits for it. What is not answered by then is an error.
const DRY_RUN_LIMIT: Duration = Duration::from_millis(4_000);

/// What a registration would be about.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The consumer's instance, as it was typed.
    pub url: String,
    /// The organisation to connect, to ask more.
    pub company: Option<CompanyId>,
    /// The person there, to ask more.
    pub contact: Option<UserId>,
    /// What that instance is for.
    pub environment: Environment,
}

/// Answers of checks, on their way.
pub type Answers<'a> = Pin<Box<dyn Future<Output = Vec<(CheckCode, Answer)>> + Send + 'a>>;

/// Asks the checks of a plan and keeps nothing: the worker's hands, lent for a moment.
pub trait Examine: Send + Sync {
    /// The answers, within the limit.
    fn examine<'a>(&'a self, call: &'a Call, plan: &'a ScanPlan, limit: Duration) -> Answers<'a>;
}

impl Actions {
    /// Asks the pre-onboarding checks about a URL; about a contact only if one is named.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a URL that cannot be one and for a contact without a company, `NOT_FOUND` for whoever is named and
    /// does not exist, `NOT_AN_ADMINISTRATOR`, `RATE_LIMITED`.
    pub async fn dry_run(
        &self,
        call: &Call,
        hands: &dyn Examine,
        about: DryRun,
    ) -> Done<Vec<(CheckCode, Answer)>> {
        call.requester.operator()?;
        let origin = self.origin(&about.url)?;
        let now = self.world.now();
        self.limits.take(Limit::Look, origin.as_str(), now)?;
        self.limits.take(Limit::LookDay, origin.as_str(), now)?;
        let tx = self.begin("scan.dry_run", call).await?;
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suites: vec![Suite::PreOnboardingProvider],
            only: None,
            subject: Subject::Instance(self.profile.instance),
            requested_by: call.requester.person().map(|person| person.user),
            requested_by_admin: call.requester.administrator().is_ok(),
            requested_at: now,
            started_at: Some(now),
            finished_at: None,
            state: ScanState::Running,
        };
        if let Some(company) = about.company
            && tx.company(company).await?.is_none()
        {
            return Err(Refusal::not_found("company").field("companyId").into());
        }
        let contact = match (about.contact, about.company) {
            (Some(contact), Some(company)) => {
                let known = self.contact_facts(&tx, contact, company).await?;
                Some(known.ok_or_else(|| Refusal::not_found("contact").field("contactId"))?)
            }
            (Some(_), None) => {
                let message = "Name the company of the contact, too: whether they belong to it is asked.";
                return Err(Refusal::invalid("companyId", message).into());
            }
            (None, _) => None,
        };
        let rivals = tx.rival_registrations(about.company, about.environment, &origin, None).await?;
        let local = LocalFacts {
            environment: about.environment,
            other_registrations: numbered(&rivals),
            other_connections: tx
                .rival_connections(&origin, Part::Provider, None)
                .await?
                .iter()
                .map(in_words)
                .collect(),
            contact,
            ..self.own_facts(&tx, &scan).await?
        };
        // The database is free again while we wait for the other instance.
        drop(tx);
        let named = local.contact.is_some();
        let plan = ScanPlan {
            scan,
            local: Some(local),
            standing: None,
            target: Some(origin),
            pin: None,
            spared: None,
        };
        let mut answers = hands.examine(call, &plan, DRY_RUN_LIMIT).await;
        for (code, answer) in &mut answers {
            let about_contact = matches!(
                code,
                CheckCode::ContactActive
                    | CheckCode::ContactRole
                    | CheckCode::ContactInCompany
                    | CheckCode::ContactEmail
            );
            if about_contact && !named {
                *answer = Answer::Skipped("no contact was named".to_owned());
            }
        }
        Ok(answers)
    }
}

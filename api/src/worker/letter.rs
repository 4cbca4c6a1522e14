//! Letters: what a job says, put into the words of the mail room.

use crate::actions::letters::LetterBody;
use crate::actions::{Call, Failure};
use crate::domain::Timestamp;
use crate::domain::person::{EmailAddress, PersonName};
use crate::mail::{
    IssueNews, Letter, Line, Link, OnboardingComplete, Recipient, RegistrationLink, SignInCode,
};

use super::{Trouble, Worker};
use crate::store::Job;

impl Worker {
    pub(super) async fn letter(&self, call: &Call, job: &Job) -> Result<(), Trouble> {
        let body = self.actions.open_letter(job).await?;
        let link = body.link();
        let letter = compose(body, self.actions.now())?;
        let sent = self.mailer.send(&letter, &job.id.to_string()).await;
        // Whatever becomes of that, what went out is not sent again.
        if let Some(link) = link
            && let Err(failure) = self.actions.link_sent(call, job, link, sent.is_ok()).await
        {
            tracing::warn!(%failure, "a registration does not say what became of its letter");
        }
        Ok(sent?)
    }
}

fn compose(body: LetterBody, now: Timestamp) -> Result<Letter, Trouble> {
    Ok(match body {
        LetterBody::RegistrationLink {
            to_name,
            to_address,
            provider_name,
            provider_origin,
            company_name,
            consumer_origin,
            link,
            expires_at_ms,
            registration_number,
            fingerprint,
        } => RegistrationLink {
            provider_name: Line::from(provider_name.as_str()),
            provider_origin: Line::from(provider_origin.as_str()),
            company_name: Line::from(company_name.as_str()),
            consumer_origin: Line::from(consumer_origin.as_str()),
            link: url(link)?,
            expires_at: time(expires_at_ms),
            registration_number: Line::from(registration_number.as_str()),
            fingerprint: Line::from(fingerprint.as_str()),
        }
        .letter(to(&to_name, &to_address)?, now)?,
        LetterBody::SignInCode {
            to_name,
            to_address,
            instance_name,
            instance_origin,
            code,
            minutes,
            confirms,
        } => SignInCode {
            instance_name: Line::from(instance_name.as_str()),
            instance_origin: Line::from(instance_origin.as_str()),
            code: code.into(),
            minutes,
            confirms,
        }
        .letter(to(&to_name, &to_address)?, now)?,
        LetterBody::Issues {
            to_name,
            to_address,
            instance_name,
            about,
            intro,
            issues,
            more,
            url: all,
            account_url,
        } => {
            let line = |text: &str| Line::from(text);
            IssueNews {
                instance_name: line(&instance_name),
                about: line(&about),
                intro: line(&intro),
                issues: issues.iter().map(|(what, how)| (line(what), line(how))).collect(),
                more,
                url: url(all)?,
                account_url: account_url.map(url).transpose()?,
            }
            .letter(to(&to_name, &to_address)?, now)?
        }
        LetterBody::OnboardingComplete {
            to_name,
            to_address,
            instance_name,
            peer_name,
            peer_origin,
            fingerprint,
            established_at_ms,
            connection_url,
        } => OnboardingComplete {
            instance_name: Line::from(instance_name.as_str()),
            peer_name: Line::from(peer_name.as_str()),
            peer_origin: Line::from(peer_origin.as_str()),
            fingerprint: Line::from(fingerprint.as_str()),
            established_at: time(established_at_ms),
            connection_url: url(connection_url)?,
        }
        .letter(to(&to_name, &to_address)?, now)?,
    })
}

/// Names and addresses were checked when they were entered; one that does not hold now is never sent to.
fn to(name: &str, address: &str) -> Result<Recipient, Trouble> {
    let name = PersonName::parse(name).map_err(|_| Failure::Bug("a letter to a name that is none"))?;
    let address =
        EmailAddress::parse(address).map_err(|_| Failure::Bug("a letter to an address that is none"))?;
    Ok(Recipient { name, address })
}

fn url(text: String) -> Result<Link, Trouble> {
    Ok(Link::parse(text.into()).map_err(|_| Failure::Bug("a letter with a link that is none"))?)
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap_or_default()
}

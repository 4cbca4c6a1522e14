//! What our own database and configuration decide before onboarding.

use crate::domain::check::{Answer, CheckCode, Remedy};
use crate::domain::registration::Environment;
use crate::domain::requester::Role;
use crate::domain::scan::{ContactFacts, LocalFacts};

/// Judges a check of our own side before onboarding.
#[must_use]
pub fn judge_local(code: CheckCode, local: &LocalFacts) -> Answer {
    use CheckCode as C;
    let when = |good: bool, message: &str, evidence: String, remedy: Remedy| {
        if good { Answer::Pass } else { Answer::found(code, message, &evidence, remedy) }
    };
    match code {
        C::ProviderRecord => when(
            local.provider_record,
            "This instance has no provider record, so nobody knows what they would connect to.",
            "no record is saved".to_owned(),
            Remedy::call("saveProviderRecord", &[("name", "your-service".to_owned())]),
        ),
        C::BaseUrlSet => when(
            local.base_url,
            "This instance does not know the URL under which others reach it.",
            "base_url is empty".to_owned(),
            Remedy::Config {
                setting: "base_url".to_owned(),
                value: "https://your-instance.example.com".to_owned(),
            },
        ),
        C::ContactActive | C::ContactRole | C::ContactInCompany | C::ContactEmail => {
            judge_contact(code, local)
        }
        C::MailService => when(
            local.mail_on,
            "Mail is switched off: you will have to pass the link on yourself.",
            "mail.transport is off".to_owned(),
            Remedy::Config { setting: "mail.transport".to_owned(), value: "smtp".to_owned() },
        ),
        C::DuplicateRegistration => match local.other_registrations.first() {
            None => Answer::Pass,
            Some((other, _)) => {
                let numbers: Vec<_> =
                    local.other_registrations.iter().map(|(_, number)| number.as_str()).collect();
                let numbers = numbers.join(", ");
                Answer::found(
                    code,
                    &format!(
                        "{numbers} is not finished, for the same company and environment or the same URL."
                    ),
                    &numbers,
                    Remedy::call("cancelRegistration", &[("registrationId", other.to_string())]),
                )
            }
        },
        C::DuplicateConnection => when(
            local.other_connections.is_empty(),
            "A connection to this instance exists already.",
            local.other_connections.join(", "),
            Remedy::human("Use the existing connection, or off-board it first."),
        ),
        C::StaleAttempts => when(
            local.stale_attempts.is_empty(),
            "Something is left of an earlier attempt.",
            local.stale_attempts.join(", "),
            Remedy::call("discardStaleAttempts", &[("subjectId", local.subject.id().to_string())]),
        ),
        C::RunningUserIsAdmin => when(
            local.run_by_admin,
            "Whoever runs the checks is not an administrator of this instance.",
            local.run_by.map_or_else(
                || "nobody asked".to_owned(),
                |user| format!("user {user} does not hold the role {}", Role::Admin.as_str()),
            ),
            Remedy::human("Sign in as an administrator, or ask one to connect."),
        ),
        C::ProviderCompanyChosen => when(
            local.company_chosen,
            "The provider company was not chosen.",
            "no company is chosen".to_owned(),
            Remedy::call("chooseProviderCompany", &[("connectionId", local.subject.id().to_string())]),
        ),
        _ => Answer::Error("not a check of our own side before onboarding".to_owned()),
    }
}

fn judge_contact(code: CheckCode, local: &LocalFacts) -> Answer {
    use CheckCode as C;
    let contact = |test: fn(&ContactFacts) -> bool,
                   message: &str,
                   remedy: &dyn Fn(&ContactFacts) -> Remedy| match &local.contact {
        None => Answer::Error("the registration's contact could not be read".to_owned()),
        Some(contact) if test(contact) => Answer::Pass,
        Some(contact) => Answer::found(code, message, &contact.email, remedy(contact)),
    };
    match code {
        C::ContactActive => contact(|c| c.active, "The contact's account is switched off.", &|c| {
            Remedy::call("updateContact", &[("userId", c.user.to_string()), ("active", "true".to_owned())])
        }),
        C::ContactRole => {
            contact(|c| c.has_role, "The contact does not hold the role consumer contact.", &|c| {
                let role = ("role", "CONSUMER_CONTACT".to_owned());
                Remedy::call("grantRole", &[("userId", c.user.to_string()), role])
            })
        }
        C::ContactInCompany => contact(|c| c.in_company, "The contact belongs to another company.", &|_| {
            Remedy::human("Choose a contact of the registration's company.")
        }),
        C::ContactEmail => {
            let answer = contact(
                |c| c.email_valid,
                "The contact's email address is not one that letters can be sent to.",
                &|_| Remedy::human("Make a contact with a valid address, and name it in the registration."),
            );
            // Only in production must the letter arrive; elsewhere the link can be shared by hand.
            if local.environment == Environment::Production { answer } else { answer.warning() }
        }
        _ => Answer::Error("not a check of the contact".to_owned()),
    }
}

//! What is true of a connection that stands.

use chrono::TimeDelta;

use super::measured;
use crate::domain::Timestamp;
use crate::domain::check::{Answer, CheckCode, Remedy};
use crate::domain::connection::Pause;
use crate::domain::direction::DirectionStatus;
use crate::domain::explain::suspicion;
use crate::domain::scan::{Comparison, DirectionFacts, Measured, StandingFacts};

/// A service account that ends sooner than this was not renewed in time.
pub const CREDENTIAL_NOTICE: TimeDelta = TimeDelta::days(14);
/// A connection's key is to be rotated when it is older than this.
pub const KEY_LASTS: TimeDelta = TimeDelta::days(90);

/// What to do where the two sides do not hold the same keys.
pub const RESTORE: &str = "Find out which side lost or replaced its keys, and have it restore the backup that holds them. If \
                       there is none, off-board the connection and register the consumer again.";

/// Judges what our own database says of a connection that stands.
#[must_use]
pub fn judge_standing(code: CheckCode, facts: &StandingFacts, now: Timestamp) -> Answer {
    use CheckCode as C;
    let connection = || ("connectionId", facts.connection.to_string());
    match code {
        C::CredentialRenews => credential(facts, now),
        C::ServiceAccountLeastPrivilege => privilege(facts),
        C::NoLeftovers if facts.leftovers.is_empty() => Answer::Pass,
        C::NoLeftovers => Answer::found(
            code,
            "Onboarding left something that is not needed any more.",
            &facts.leftovers.join(", "),
            Remedy::call("discardStaleAttempts", &[("subjectId", facts.connection.to_string())]),
        ),
        C::DirectionsUp => directions(facts),
        C::ViewsAgree => views(facts),
        C::KeyAge => match facts.key_made_at {
            None => Answer::found(code, "The connection has no active key.", "none", Remedy::human(RESTORE)),
            Some(made) if now - made <= KEY_LASTS => Answer::Pass,
            Some(made) => Answer::found(
                code,
                "The connection's key is old.",
                &format!("made {}, {} days ago", made.to_rfc3339(), (now - made).num_days()),
                Remedy::human(
                    "The keys go on working. New ones come with a new connection: agree with the other side on a time, off-board this one, and register the consumer again.",
                ),
            ),
        },
        C::QueueMoving if facts.stuck.is_empty() => Answer::Pass,
        C::QueueMoving => Answer::found(
            code,
            "Work about this connection was given up.",
            &facts.stuck.join("; "),
            Remedy::call("retryConnectionWork", &[connection()]),
        ),
        _ => Answer::Error("not a check of a connection that stands".to_owned()),
    }
}

fn credential(facts: &StandingFacts, now: Timestamp) -> Answer {
    let renew =
        || Remedy::call("renewConnectionCredentials", &[("connectionId", facts.connection.to_string())]);
    let found = |message: &str, evidence: &str| {
        Answer::found(CheckCode::CredentialRenews, message, evidence, renew())
    };
    match &facts.account {
        None => found("The other side has no service account here.", "none"),
        Some(account) if !account.has_peer => {
            found("The other side made no service account for us.", "none there")
        }
        Some(account) if account.expires_at - now > CREDENTIAL_NOTICE => Answer::Pass,
        Some(account) => found(
            "The service account ends soon and was not renewed.",
            &format!("ends {}", account.expires_at.to_rfc3339()),
        ),
    }
}

fn privilege(facts: &StandingFacts) -> Answer {
    let Some(account) = &facts.account else {
        return Answer::Skipped(format!("“{}” comes first", CheckCode::CredentialRenews.label()));
    };
    let beyond = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|scope| !those.contains(scope)).cloned().collect()
    };
    let too_many = beyond(&account.scopes, &facts.needed_scopes);
    let missing = beyond(&facts.needed_scopes, &account.scopes);
    if too_many.is_empty() && missing.is_empty() {
        return Answer::Pass;
    }
    Answer::found(
        CheckCode::ServiceAccountLeastPrivilege,
        "The other side's service account may not do exactly what it needs.",
        &format!("too much: {}; missing: {}", list(&too_many), list(&missing)),
        Remedy::call("renewConnectionCredentials", &[("connectionId", facts.connection.to_string())]),
    )
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn directions(facts: &StandingFacts) -> Answer {
    let works = |direction: &DirectionFacts| direction.ours.and_then(DirectionStatus::works) == Some(true);
    let down: Vec<_> = facts.directions.iter().filter(|direction| !works(direction)).collect();
    if down.is_empty() {
        return Answer::Pass;
    }
    let say = |direction: &&DirectionFacts| {
        let status = direction.ours.map_or("nothing begun", DirectionStatus::label);
        let failure = direction.failure.as_ref().map(|(code, reason)| {
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
            format!(" ({}{reason})", code.label())
        });
        format!("{}: {status}{}", direction.way.label(), failure.unwrap_or_default())
    };
    let evidence: Vec<_> = down.iter().map(say).collect();
    let of_us = facts.directions.iter().filter_map(|direction| direction.failure.as_ref());
    if of_us.clone().any(|(_, reason)| reason.as_deref() == Some(Pause::SUSPECTS)) {
        let message = "The other side suspects a copy of this instance, and suspended the connection.";
        let connection = [("connectionId", facts.connection.to_string())];
        let remedy = Remedy::call("confirmSurvivor", &connection);
        return Answer::found(CheckCode::DirectionsUp, message, &evidence.join(", "), remedy);
    }
    if let Some(confirmed) = facts.suspects {
        let (seen, remedy) = suspicion(confirmed, facts.connection);
        return Answer::found(
            CheckCode::DirectionsUp,
            "A copy of the other instance is suspected.",
            &seen,
            remedy,
        );
    }
    let remedy = if facts.suspended {
        Remedy::call("resumeConnection", &[("connectionId", facts.connection.to_string())])
    } else if facts.directions.iter().any(|direction| direction.ours == Some(DirectionStatus::Suspended)) {
        Remedy::human("The other side suspended the connection: ask it to resume.")
    } else {
        Remedy::human("Ask for the explanation of the connection: it names the first thing that fails.")
    };
    let message = "Not both directions of the connection work.";
    Answer::found(CheckCode::DirectionsUp, message, &evidence.join(", "), remedy)
}

fn views(facts: &StandingFacts) -> Answer {
    let say = |direction: &DirectionFacts| {
        let word = |status: Option<DirectionStatus>| status.map_or("nothing", DirectionStatus::label);
        format!("{}: we {}, they {}", direction.way.label(), word(direction.ours), word(direction.theirs))
    };
    let disputed: Vec<_> = facts.directions.iter().filter(|direction| direction.disputed).map(say).collect();
    if disputed.is_empty() {
        return Answer::Pass;
    }
    Answer::found(
        CheckCode::ViewsAgree,
        "The two sides see the same direction differently.",
        &disputed.join(", "),
        Remedy::human(
            "Look at proxies and firewalls between the two: one side hears what the other does not.",
        ),
    )
}

/// Judges whether both sides hold the same.
#[must_use]
pub fn judge_agreement(code: CheckCode, facts: &StandingFacts, theirs: &Measured<Comparison>) -> Answer {
    let again = Remedy::human(RESTORE);
    let connection = || ("connectionId", facts.connection.to_string());
    let ours = &facts.ours;
    measured(theirs, code, RESTORE, |theirs| {
        let (agree, message, we, they, remedy) = match code {
            CheckCode::KeysAgree => (
                ours.keys == theirs.keys,
                "The two sides do not hold the same keys.",
                list(&ours.keys),
                list(&theirs.keys),
                again,
            ),
            CheckCode::SettingsAgree => (
                ours.settings == theirs.settings,
                "The two sides do not hold the same settings.",
                ours.settings.clone(),
                theirs.settings.clone(),
                Remedy::call("syncConnectionSettings", &[connection()]),
            ),
            CheckCode::VersionsKnown => (
                ours.peer_software.as_ref() == Some(&theirs.software)
                    && theirs.peer_software.as_ref() == Some(&ours.software),
                "A side does not know which version the other runs.",
                format!("{} and take them for {:?}", ours.software, ours.peer_software),
                format!("{} and take us for {:?}", theirs.software, theirs.peer_software),
                Remedy::call("refreshConnectionPeer", &[connection()]),
            ),
            _ => return Answer::Error("not a check of both sides".to_owned()),
        };
        if agree {
            return Answer::Pass;
        }
        Answer::found(code, message, &format!("we hold {we}; they hold {they}"), remedy)
    })
}

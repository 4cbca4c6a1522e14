//! What was measured at the other instance.

use chrono::TimeDelta;

use super::measured;
use crate::domain::Timestamp;
use crate::domain::check::{Answer, CheckCode, Remedy};
use crate::domain::scan::{IdentityFacts, Measured};

/// Warn when the clocks differ by more than this.
pub const SKEW_WARNS: TimeDelta = TimeDelta::seconds(30);
/// Block when the clocks differ by more than this.
pub const SKEW_BLOCKS: TimeDelta = TimeDelta::seconds(120);
/// Warn when a certificate expires within this time.
pub const CERTIFICATE_WARNS: TimeDelta = TimeDelta::days(30);

/// Judges a check for which it is enough that something could be done.
#[must_use]
pub fn judge_measured<T>(code: CheckCode, measure: &Measured<T>) -> Answer {
    let remedy = match code {
        CheckCode::PeerUrlSafe => "Register a public https URL, or let an operator allow this network.",
        CheckCode::PeerDns => "Correct the URL, or publish the name in DNS.",
        CheckCode::RegistrationMatches => "Ask the provider for a new link.",
        CheckCode::CallBack | CheckCode::EchoInbound => {
            "Make this instance reachable for the other side at its base URL."
        }
        _ => "Ask the other side's operator whether the instance runs.",
    };
    measured(measure, code, remedy, |_| Answer::Pass)
}

/// Judges the certificate: before onboarding it warns, later its age is a check of its own.
#[must_use]
pub fn judge_certificate(code: CheckCode, tls: &Measured<Option<Timestamp>>, now: Timestamp) -> Answer {
    let remedy = "Install a valid certificate for the name on the other instance.";
    measured(tls, code, remedy, |expiry| match expiry {
        None => Answer::Skipped("the instance is reached without TLS, which is allowed here".to_owned()),
        Some(expiry) if *expiry - now > CERTIFICATE_WARNS => Answer::Pass,
        Some(expiry) => Answer::found(
            code,
            "The other instance's certificate expires soon.",
            &format!("expires {}", expiry.to_rfc3339()),
            Remedy::human("Ask the other organisation to renew its certificate."),
        )
        .warning(),
    })
}

/// Judges who answers at the URL.
#[must_use]
pub fn judge_identity(code: CheckCode, identity: &Measured<IdentityFacts>) -> Answer {
    let remedy = "Start Linkspan at the URL, or correct the URL.";
    if code == CheckCode::PeerIsNotUs {
        return follows(identity, code, |identity| {
            if !identity.is_us {
                return Answer::Pass;
            }
            Answer::found(
                code,
                "The URL leads back to this very instance.",
                "same instance id",
                Remedy::human("Enter the URL of the other organisation's instance."),
            )
        });
    }
    measured(identity, code, remedy, |identity| {
        if identity.fingerprint_matches {
            return Answer::Pass;
        }
        Answer::found(
            code,
            "The other instance's key is not the one that the link names.",
            "fingerprint differs",
            Remedy::human("Do not go on. Ask the provider for a new link over a channel you trust."),
        )
    })
}

/// Judges whether the two speak a common protocol version.
#[must_use]
pub fn judge_versions(identity: &Measured<IdentityFacts>, ours: &[u16]) -> Answer {
    follows(identity, CheckCode::PeerVersion, |identity| {
        if identity.versions.iter().any(|version| ours.contains(version)) {
            return Answer::Pass;
        }
        Answer::found(
            CheckCode::PeerVersion,
            "The two instances have no protocol version in common.",
            &format!("we speak {ours:?}, they speak {:?} ({})", identity.versions, identity.software),
            Remedy::human("Bring the older of the two instances up to date."),
        )
    })
}

/// Judges whether the two clocks agree.
#[must_use]
pub fn judge_skew(identity: &Measured<IdentityFacts>) -> Answer {
    follows(identity, CheckCode::ClockSkew, |identity| {
        let seconds = identity.clock_offset.abs();
        if seconds <= SKEW_WARNS {
            return Answer::Pass;
        }
        let answer = Answer::found(
            CheckCode::ClockSkew,
            "The two clocks differ too much.",
            &format!("{} s", identity.clock_offset.num_seconds()),
            Remedy::human("Synchronise both machines' clocks (NTP)."),
        );
        if seconds <= SKEW_BLOCKS { answer.warning() } else { answer }
    })
}

/// Judges what an identity document says. That there is none is the finding of one check, not of each.
fn follows(
    identity: &Measured<IdentityFacts>,
    code: CheckCode,
    judge: impl FnOnce(&IdentityFacts) -> Answer,
) -> Answer {
    use crate::domain::scan::Unmeasured;
    match identity {
        Err(Unmeasured::Failed { .. }) => {
            let by = Unmeasured::Blocked { by: CheckCode::PeerIsLinkspan };
            measured(&Err(by), code, "", judge)
        }
        measure => measured(measure, code, "", judge),
    }
}

//! The judging of checks: facts in, an answer out. Pure, so that the same facts always give the same answer.

mod keys;
mod local;
mod peer;
mod standing;
#[cfg(test)]
mod tests;

pub use keys::{judge_key_access, judge_key_part, judge_key_service};
pub use local::judge_local;
pub use peer::{
    CERTIFICATE_WARNS, SKEW_BLOCKS, SKEW_WARNS, judge_certificate, judge_identity, judge_measured,
    judge_skew, judge_versions,
};
pub use standing::{CREDENTIAL_NOTICE, KEY_LASTS, RESTORE, judge_agreement, judge_standing};

use super::check::{Answer, CheckCode, Remedy};
use super::explain::sentence;
use super::scan::{Measured, Unmeasured};

/// What is wrong where nothing answers: no certificate is at fault, nor anything else that was to be seen there.
const UNANSWERED: &str = "Nothing answers as it should at the other instance's address.";
/// What to do then.
const LOOK_THERE: &str = "Ask the other side's operator whether the instance runs, and your network's whether its \
                          address and port can be reached from here.";

/// Judges what was measured; where nothing was, says why.
fn measured<T>(
    measure: &Measured<T>,
    code: CheckCode,
    remedy: &str,
    judge: impl FnOnce(&T) -> Answer,
) -> Answer {
    match measure {
        Ok(value) => judge(value),
        Err(Unmeasured::Failed { reason }) => {
            Answer::found(code, unmet(code), &sentence(reason), Remedy::human(remedy))
        }
        Err(Unmeasured::Unanswered { reason }) => {
            Answer::found(code, UNANSWERED, &sentence(reason), Remedy::human(LOOK_THERE))
        }
        Err(Unmeasured::Blocked { by }) => Answer::Skipped(format!("“{}” comes first", by.label())),
        Err(Unmeasured::Broken { why }) => Answer::Error(why.clone()),
    }
}

/// What is wrong where a measure failed. Every other finding says it itself.
const fn unmet(code: CheckCode) -> &'static str {
    use CheckCode as C;
    match code {
        C::PeerUrlSafe => "The other instance's URL is not one that may be called.",
        C::PeerDns => "The other instance's name does not resolve.",
        C::PeerTls | C::CertificateAge => {
            "No trusted, encrypted connection to the other instance can be made."
        }
        C::PeerIsLinkspan => "No Linkspan with a valid identity answers at the URL.",
        C::PeerVersion => "The other instance does not say which protocol versions it speaks.",
        C::PeerIsNotUs => "The other instance does not say who it is.",
        C::ClockSkew => "The other instance does not say what time it is there.",
        C::RegistrationMatches => "The provider would not accept this link from this instance.",
        C::CallBack => "The provider does not reach this instance at its base URL.",
        C::EchoOutbound => "What is sent to the other side does not come back as it was sent.",
        C::EchoInbound => "What the other side sends does not reach this instance.",
        C::KeysAgree => "The two sides do not hold the same keys.",
        C::SettingsAgree => "The other side does not say which settings it holds.",
        C::VersionsKnown => "The other side does not say which versions it knows of.",
        C::KeyAccessPolicy => "A service that onboarding needs may not use a key module that it needs.",
        C::KeyServiceHealth
        | C::Process
        | C::RootKey
        | C::KeyEncryptionKey
        | C::IntegrityKey
        | C::IdentitySigningKey
        | C::Entropy
        | C::KnownAnswers
        | C::Clock
        | C::PolicyEngine
        | C::AuditChain
        | C::RotationSchedule
        | C::ModuleSelfTest => "The key service does not say how it is.",
        C::ProviderRecord
        | C::BaseUrlSet
        | C::ContactActive
        | C::ContactRole
        | C::ContactInCompany
        | C::ContactEmail
        | C::MailService
        | C::DuplicateRegistration
        | C::DuplicateConnection
        | C::StaleAttempts
        | C::RunningUserIsAdmin
        | C::ProviderCompanyChosen
        | C::CredentialRenews
        | C::ServiceAccountLeastPrivilege
        | C::NoLeftovers
        | C::DirectionsUp
        | C::ViewsAgree
        | C::KeyAge
        | C::QueueMoving => "What the check asks about could not be seen.",
    }
}

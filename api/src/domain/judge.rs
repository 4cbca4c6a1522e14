//! The judging of checks: facts in, an answer out. Pure, so that the same facts always give the same answer.

mod keys;
mod local;
mod peer;
mod standing;

pub use keys::{judge_key_access, judge_key_part, judge_key_service};
pub use local::judge_local;
pub use peer::{
    CERTIFICATE_WARNS, SKEW_BLOCKS, SKEW_WARNS, judge_certificate, judge_identity, judge_measured,
    judge_skew, judge_versions,
};
pub use standing::{CREDENTIAL_NOTICE, KEY_LASTS, judge_agreement, judge_standing};

use super::check::{Answer, CheckCode, Remedy};
use super::scan::{Measured, Unmeasured};

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
            Answer::found(code, &format!("No: {}", code.spec().asks), reason, Remedy::human(remedy))
        }
        Err(Unmeasured::Blocked { by }) => Answer::Skipped(format!("“{}” comes first", by.label())),
        Err(Unmeasured::Broken { why }) => Answer::Error(why.clone()),
    }
}

//! Scans: measure, judge, record.

use chrono::TimeDelta;

use super::{Trouble, Worker};
use crate::actions::{Call, PROTOCOL_VERSIONS, ScanPlan};
use crate::domain::check::{Answer, CheckCode};
use crate::domain::id::ScanId;
use crate::domain::scan::{Facts, IdentityFacts, Measured, PeerFacts, Subject, Unmeasured, judge};
use crate::peer::{PeerError, wire};

/// How often a rehearsed claim is asked about before the provider's proof counts as overdue.
const REHEARSAL_LOOKS: usize = 100;

impl Worker {
    pub(super) async fn scan(&self, call: &Call, id: ScanId) -> Result<(), Trouble> {
        let Some(plan) = self.actions.begin_scan(call, id).await? else { return Ok(()) };
        let checks = plan.scan.checks();
        let (remote, local): (Vec<CheckCode>, Vec<CheckCode>) =
            checks.into_iter().partition(|code| is_remote(*code));
        let mut answers = Vec::new();
        // Our own facts answer at once; what needs the other instance follows, each when it is measured.
        let unmeasured = unmeasured(&Unmeasured::Broken { why: "not measured yet".to_owned() });
        for (code, peer) in local.iter().map(|code| (*code, &unmeasured)) {
            answers.push((code, self.judge(&plan, code, peer)));
        }
        if !self.actions.record_answers(call, &plan.scan, &answers).await? {
            return Ok(());
        }
        if !remote.is_empty() {
            let peer = self.measure(call, &plan, &remote).await?;
            let judged: Vec<_> = remote.iter().map(|code| (*code, self.judge(&plan, *code, &peer))).collect();
            if !self.actions.record_answers(call, &plan.scan, &judged).await? {
                return Ok(());
            }
            answers.extend(judged);
        }
        Ok(self.actions.end_scan(call, &plan.scan, &answers).await?)
    }

    fn judge(&self, plan: &ScanPlan, code: CheckCode, peer: &PeerFacts) -> Answer {
        let facts = Facts { local: &plan.local, peer, now: self.actions.now(), versions: PROTOCOL_VERSIONS };
        judge(code, &facts)
    }

    /// Measures what the checks need, the first thing first: where one step fails, what hangs on it is skipped.
    async fn measure(
        &self,
        call: &Call,
        plan: &ScanPlan,
        checks: &[CheckCode],
    ) -> Result<PeerFacts, Trouble> {
        let (url_safe, dns) = self.probe.addresses(&plan.target).await;
        let mut facts = unmeasured(&Unmeasured::Blocked { by: CheckCode::PeerDns });
        facts.url_safe = url_safe;
        facts.dns = dns;
        if facts.url_safe.is_err() {
            return Ok(PeerFacts {
                url_safe: facts.url_safe,
                ..unmeasured(&Unmeasured::Blocked { by: CheckCode::PeerUrlSafe })
            });
        }
        if facts.dns.is_err() {
            return Ok(facts);
        }
        facts.tls = self.probe.certificate(&plan.target).await;
        if facts.tls.is_err() {
            for measure in [&mut facts.registration, &mut facts.call_back] {
                *measure = Err(Unmeasured::Blocked { by: CheckCode::PeerTls });
            }
            facts.identity = Err(Unmeasured::Blocked { by: CheckCode::PeerTls });
            return Ok(facts);
        }
        facts.identity = self.identity(call, plan).await;
        let rehearse =
            checks.iter().any(|code| matches!(code, CheckCode::RegistrationMatches | CheckCode::CallBack));
        if rehearse {
            let trusted =
                facts.identity.as_ref().is_ok_and(|identity| identity.fingerprint_matches && !identity.is_us);
            (facts.registration, facts.call_back) = if trusted {
                self.rehearse(call, plan).await?
            } else {
                // The link's secret goes to nobody but the instance that the link names.
                let blocked = || Err(Unmeasured::Blocked { by: CheckCode::PeerIsLinkspan });
                (blocked(), blocked())
            };
        }
        Ok(facts)
    }

    async fn identity(&self, call: &Call, plan: &ScanPlan) -> Measured<IdentityFacts> {
        let before = self.actions.now();
        let answer = match self.peer.identity(&plan.target, call.trace).await {
            Ok(answer) => answer,
            Err(error) => return Err(Unmeasured::Failed { reason: error.refusal().message }),
        };
        let half = TimeDelta::from_std(answer.took / 2).unwrap_or_default();
        let verified = self.actions.verify_identity(&answer.body, plan.target.as_str());
        let verified = verified.map_err(|refusal| Unmeasured::Failed {
            reason: format!("{} ({})", refusal.message, refusal.reason.unwrap_or_default()),
        })?;
        let theirs = crate::domain::Timestamp::from_timestamp_millis(verified.identity.signed_at)
            .ok_or_else(|| Unmeasured::Failed { reason: "its clock shows no date".to_owned() })?;
        Ok(IdentityFacts {
            is_us: verified.identity.instance_id == self.actions.profile().instance.0,
            versions: verified.identity.versions,
            software: verified.identity.software,
            clock_offset: theirs - (before + half),
            fingerprint_matches: plan.pin.is_none_or(|pin| pin == verified.fingerprint),
        })
    }

    /// Makes the claim that onboarding will make, but only to hear what would happen: whether the provider accepts
    /// the link from here, and reaches us at our base URL.
    async fn rehearse(&self, call: &Call, plan: &ScanPlan) -> Result<(Measured<()>, Measured<()>), Trouble> {
        let Subject::Connection(id) = plan.scan.subject else {
            let broken =
                || Err(Unmeasured::Broken { why: "only a consumer has a link to rehearse".to_owned() });
            return Ok((broken(), broken()));
        };
        let claim = self.actions.make_claim(call, id, true).await?;
        for _ in 0..REHEARSAL_LOOKS {
            match self
                .peer
                .post::<wire::ClaimAnswer>(&plan.target, wire::CLAIM, None, &claim, call.trace)
                .await
            {
                Ok(answer) => match answer.body {
                    wire::ClaimAnswer::Accepted { .. } => return Ok((Ok(()), Ok(()))),
                    wire::ClaimAnswer::NotProven { reason } => {
                        let reason = format!("the provider could not reach this instance ({reason})");
                        return Ok((Ok(()), Err(Unmeasured::Failed { reason })));
                    }
                    wire::ClaimAnswer::Proving { retry_after_ms } => {
                        let pause = std::time::Duration::from_millis(retry_after_ms.clamp(20, 1_000));
                        tokio::time::sleep(pause).await;
                    }
                },
                // "Not now" says nothing of the link: that is no answer.
                Err(error @ PeerError::Refused(_)) if error.is_passing() => {
                    let why = error.refusal().message;
                    let blocked = Err(Unmeasured::Blocked { by: CheckCode::RegistrationMatches });
                    return Ok((Err(Unmeasured::Broken { why }), blocked));
                }
                Err(PeerError::Refused(refused)) => {
                    let reason = format!("{} ({})", refused.message, refused.reason.unwrap_or(refused.code));
                    let blocked = Err(Unmeasured::Blocked { by: CheckCode::RegistrationMatches });
                    return Ok((Err(Unmeasured::Failed { reason }), blocked));
                }
                Err(error) => {
                    let why = error.refusal().message;
                    let blocked = Err(Unmeasured::Blocked { by: CheckCode::RegistrationMatches });
                    return Ok((Err(Unmeasured::Broken { why }), blocked));
                }
            }
        }
        let reason = "the provider did not reach this instance in time".to_owned();
        Ok((Ok(()), Err(Unmeasured::Failed { reason })))
    }
}

/// Whether a check needs the other instance.
fn is_remote(code: CheckCode) -> bool {
    use CheckCode as C;
    matches!(
        code,
        C::PeerUrlSafe
            | C::PeerDns
            | C::PeerTls
            | C::PeerIsLinkspan
            | C::PeerVersion
            | C::PeerIsNotUs
            | C::ClockSkew
            | C::RegistrationMatches
            | C::CallBack
    )
}

fn unmeasured(why: &Unmeasured) -> PeerFacts {
    PeerFacts {
        url_safe: Err(why.clone()),
        dns: Err(why.clone()),
        tls: Err(why.clone()),
        identity: Err(why.clone()),
        registration: Err(why.clone()),
        call_back: Err(why.clone()),
    }
}

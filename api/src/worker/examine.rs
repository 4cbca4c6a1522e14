//! Asking the checks of one scan. What several checks need is measured once, by whichever needs it first; where one
//! step fails, what hangs on it is skipped. A check that panics or takes too long is an error, and never a pass.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{Trouble, Worker};
use crate::actions::{Call, Failure, PROTOCOL_VERSIONS, ScanPlan, is_remote};
use crate::domain::Timestamp;
use crate::domain::check::{Answer, CheckCode};
use crate::domain::id::ConnectionId;
use crate::domain::judge::{
    judge_agreement, judge_certificate, judge_identity, judge_key_access, judge_key_part, judge_key_service,
    judge_local, judge_measured, judge_skew, judge_standing, judge_versions,
};
use crate::domain::key_health::KeyHealth;
use crate::domain::origin::Origin;
use crate::domain::scan::{Comparison, IdentityFacts, Measured, Subject, Unmeasured};
use crate::peer::{PeerError, wire};

/// How often a rehearsed claim is asked about before the provider's proof counts as overdue.
const REHEARSAL_LOOKS: usize = 100;

/// The asking of one scan's checks.
pub(super) struct Examination<'a> {
    worker: &'a Worker,
    call: &'a Call,
    plan: &'a ScanPlan,
    addresses: OnceCell<(Measured<()>, Measured<usize>)>,
    certificate: OnceCell<Measured<Option<Timestamp>>>,
    identity: OnceCell<Measured<IdentityFacts>>,
    rehearsal: OnceCell<(Measured<()>, Measured<()>)>,
    keys: OnceCell<Measured<KeyHealth>>,
    comparison: OnceCell<Measured<Comparison>>,
}

impl<'a> Examination<'a> {
    pub(super) fn new(worker: &'a Worker, call: &'a Call, plan: &'a ScanPlan) -> Self {
        Self {
            worker,
            call,
            plan,
            addresses: OnceCell::new(),
            certificate: OnceCell::new(),
            identity: OnceCell::new(),
            rehearsal: OnceCell::new(),
            keys: OnceCell::new(),
            comparison: OnceCell::new(),
        }
    }

    /// What a check answers, within its limit.
    pub(super) async fn answer(&self, code: CheckCode) -> Answer {
        let limit = code.spec().time_limit;
        let asked = AssertUnwindSafe(self.ask(code)).catch_unwind();
        match timeout(limit.to_std().unwrap_or_default(), asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::Error("the check broke off: this instance's log says where".to_owned()),
            Err(_) => Answer::Error(format!("no answer within {} s", limit.num_seconds())),
        }
    }

    async fn ask(&self, code: CheckCode) -> Answer {
        use CheckCode as C;
        if self.worker.actions.hangs(code.as_str()) {
            std::future::pending::<()>().await;
        }
        let now = self.worker.actions.now();
        if let Some(by) = self.plan.spared.filter(|_| is_remote(code)) {
            return judge_measured(code, &Err::<(), _>(Unmeasured::Blocked { by }));
        }
        match code {
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
            | C::ProviderCompanyChosen => match &self.plan.local {
                Some(local) => judge_local(code, local),
                None => Answer::Skipped("nothing is to be onboarded".to_owned()),
            },
            C::KeyServiceHealth => judge_key_service(self.keys().await),
            C::KeyAccessPolicy => judge_key_access(&self.worker.actions.key_access().await),
            C::Process
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
            | C::ModuleSelfTest => judge_key_part(code, self.keys().await),
            C::PeerUrlSafe => judge_measured(code, &self.addresses().await.0),
            C::PeerDns => judge_measured(code, &self.addresses().await.1),
            C::PeerTls => judge_certificate(code, self.certificate().await, now),
            C::CertificateAge => self.certificate_age(now).await,
            C::PeerIsLinkspan | C::PeerIsNotUs => judge_identity(code, self.identity().await),
            C::PeerVersion => judge_versions(self.identity().await, PROTOCOL_VERSIONS),
            C::ClockSkew => judge_skew(self.identity().await),
            C::RegistrationMatches => judge_measured(code, &self.rehearsal().await.0),
            C::CallBack => judge_measured(code, &self.rehearsal().await.1),
            C::EchoOutbound => judge_measured(code, &self.echo_outbound().await),
            C::EchoInbound => judge_measured(code, &self.echo_inbound().await),
            C::KeysAgree | C::SettingsAgree | C::VersionsKnown => {
                let theirs = self.compared(code).await;
                self.standing(|facts| judge_agreement(code, facts, &theirs))
            }
            C::CredentialRenews
            | C::ServiceAccountLeastPrivilege
            | C::NoLeftovers
            | C::DirectionsUp
            | C::ViewsAgree
            | C::KeyAge
            | C::QueueMoving => self.standing(|facts| judge_standing(code, facts, now)),
        }
    }

    fn standing(&self, judge: impl FnOnce(&crate::domain::scan::StandingFacts) -> Answer) -> Answer {
        match &self.plan.standing {
            Some(facts) => judge(facts),
            None => Answer::Skipped("the connection does not stand".to_owned()),
        }
    }

    async fn keys(&self) -> &Measured<KeyHealth> {
        self.keys.get_or_init(|| self.worker.actions.key_facts()).await
    }

    fn target(&self) -> Result<&Origin, Unmeasured> {
        let nobody = || Unmeasured::Broken { why: "there is no other instance to look at".to_owned() };
        self.plan.target.as_ref().ok_or_else(nobody)
    }

    async fn addresses(&self) -> &(Measured<()>, Measured<usize>) {
        self.addresses.get_or_init(|| self.measure_addresses()).await
    }

    async fn measure_addresses(&self) -> (Measured<()>, Measured<usize>) {
        match self.target() {
            Ok(target) => self.worker.probe.addresses(target).await,
            Err(why) => (Err(why.clone()), Err(why)),
        }
    }

    async fn certificate(&self) -> &Measured<Option<Timestamp>> {
        self.certificate.get_or_init(|| self.measure_certificate()).await
    }

    async fn measure_certificate(&self) -> Measured<Option<Timestamp>> {
        let (safe, dns) = self.addresses().await;
        if safe.is_err() {
            return Err(Unmeasured::Blocked { by: CheckCode::PeerUrlSafe });
        }
        if dns.is_err() {
            return Err(Unmeasured::Blocked { by: CheckCode::PeerDns });
        }
        self.worker.probe.certificate(self.target()?).await
    }

    /// The age of the certificate, once a connection stands: that nobody answers is another check's finding.
    async fn certificate_age(&self, now: Timestamp) -> Answer {
        match self.certificate().await {
            Err(Unmeasured::Failed { .. } | Unmeasured::Unanswered { .. } | Unmeasured::Blocked { .. }) => {
                let by = Err(Unmeasured::Blocked { by: CheckCode::DirectionsUp });
                judge_certificate(CheckCode::CertificateAge, &by, now)
            }
            certificate => judge_certificate(CheckCode::CertificateAge, certificate, now),
        }
    }

    async fn identity(&self) -> &Measured<IdentityFacts> {
        self.identity.get_or_init(|| self.measure_identity()).await
    }

    async fn measure_identity(&self) -> Measured<IdentityFacts> {
        let target = self.target()?;
        match self.certificate().await {
            Err(Unmeasured::Failed { .. } | Unmeasured::Unanswered { .. }) => {
                return Err(Unmeasured::Blocked { by: CheckCode::PeerTls });
            }
            Err(why) => return Err(why.clone()),
            Ok(_) => {}
        }
        let (worker, before) = (self.worker, self.worker.actions.now());
        let answer = match worker.peer.identity(target, self.call.trace).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(error.refusal().message)),
        };
        let half = TimeDelta::from_std(answer.took / 2).unwrap_or_default();
        let verified = worker.actions.verify_identity(&answer.body, target.as_str());
        let verified = verified.map_err(|refusal| {
            failed(format!("{} ({})", refusal.message, refusal.reason.unwrap_or_default()))
        })?;
        let theirs = Timestamp::from_timestamp_millis(verified.identity.signed_at)
            .ok_or_else(|| failed("its clock shows no date".to_owned()))?;
        Ok(IdentityFacts {
            is_us: verified.identity.instance_id == worker.actions.profile().instance.0,
            versions: verified.identity.versions,
            software: verified.identity.software,
            clock_offset: theirs - (before + half),
            fingerprint_matches: self.plan.pin.is_none_or(|pin| pin == verified.fingerprint),
        })
    }

    async fn rehearsal(&self) -> &(Measured<()>, Measured<()>) {
        self.rehearsal.get_or_init(|| self.measure_rehearsal()).await
    }

    async fn measure_rehearsal(&self) -> (Measured<()>, Measured<()>) {
        let both = |why: Unmeasured| (Err(why.clone()), Err(why));
        let trusted = match self.identity().await {
            Ok(identity) => identity.fingerprint_matches && !identity.is_us,
            Err(Unmeasured::Failed { .. }) => false,
            Err(why) => return both(why.clone()),
        };
        if !trusted {
            // The link's secret goes to nobody but the instance that the link names.
            return both(Unmeasured::Blocked { by: CheckCode::PeerIsLinkspan });
        }
        match self.rehearse().await {
            Ok(measured) => measured,
            Err(trouble) => both(Unmeasured::Broken { why: trouble.to_string() }),
        }
    }

    /// Makes the claim that onboarding will make, but only to hear what would happen: whether the provider accepts
    /// the link from here, and reaches us at our base URL.
    async fn rehearse(&self) -> Result<(Measured<()>, Measured<()>), Trouble> {
        let (Ok(target), Subject::Connection(id)) = (self.target(), self.plan.scan.subject) else {
            let broken =
                || Err(Unmeasured::Broken { why: "only a consumer has a link to rehearse".to_owned() });
            return Ok((broken(), broken()));
        };
        let claim = self.worker.actions.make_claim(self.call, id, true).await?;
        let blocked = || Err(Unmeasured::Blocked { by: CheckCode::RegistrationMatches });
        for _ in 0..REHEARSAL_LOOKS {
            let asked = self.worker.peer.post::<wire::ClaimAnswer>(
                target,
                wire::CLAIM,
                None,
                &claim,
                self.call.trace,
            );
            match asked.await {
                Ok(answer) => match answer.body {
                    wire::ClaimAnswer::Accepted { .. } => return Ok((Ok(()), Ok(()))),
                    wire::ClaimAnswer::NotProven { reason } => {
                        let reason = format!("the provider could not reach this instance ({reason})");
                        return Ok((Ok(()), Err(failed(reason))));
                    }
                    wire::ClaimAnswer::Proving { retry_after_ms } => {
                        let pause = Duration::from_millis(retry_after_ms.clamp(20, 1_000));
                        tokio::time::sleep(pause).await;
                    }
                },
                // "Not now" says nothing of the link: that is no answer.
                Err(PeerError::Refused(refused)) if !PeerError::Refused(refused.clone()).is_passing() => {
                    let reason = format!("{} ({})", refused.message, refused.reason.unwrap_or(refused.code));
                    return Ok((Err(failed(reason)), blocked()));
                }
                Err(error) => {
                    let why = error.refusal().message;
                    return Ok((Err(Unmeasured::Broken { why }), blocked()));
                }
            }
        }
        Ok((Ok(()), Err(failed("the provider did not reach this instance in time".to_owned()))))
    }

    fn connection(&self) -> Result<ConnectionId, Unmeasured> {
        match (&self.plan.standing, self.plan.scan.subject) {
            (Some(_), Subject::Connection(id)) => Ok(id),
            _ => Err(Unmeasured::Broken { why: "there is no connection that stands".to_owned() }),
        }
    }

    /// Says something over the sealed channel.
    async fn say(&self, code: CheckCode, kind: &str, body: &Value) -> Measured<Value> {
        let said = self.worker.say(self.call, self.connection()?, kind, body).await;
        self.heard(code, said.map(|(answer, _)| answer))
    }

    /// What became of something that was said. That nobody answers, or that the other side takes nothing, is the finding of
    /// `first`; that keys differ is that of [`CheckCode::KeysAgree`].
    fn heard<T>(&self, code: CheckCode, said: Result<T, Trouble>) -> Measured<T> {
        let first = if self.asks(CheckCode::EchoOutbound) {
            CheckCode::EchoOutbound
        } else {
            CheckCode::DirectionsUp
        };
        let unanswered = |by: CheckCode, reason: String| {
            if code == by { failed(reason) } else { Unmeasured::Blocked { by } }
        };
        let keys = if self.asks(CheckCode::KeysAgree) { CheckCode::KeysAgree } else { first };
        match said {
            Ok(heard) => Ok(heard),
            Err(Trouble::Peer(error @ (PeerError::Unreachable(_) | PeerError::Nonsense(_)))) => {
                Err(unanswered(first, error.refusal().message))
            }
            Err(Trouble::Peer(PeerError::Refused(refused))) => {
                let why = refused.reason.clone().unwrap_or(refused.code);
                let reason = format!("{} ({why})", refused.message);
                Err(match why.as_str() {
                    "MESSAGE" => unanswered(keys, reason),
                    // Not this kind of message; others may well be taken.
                    "SCOPE" if code != first => Unmeasured::Broken { why: reason },
                    _ => unanswered(first, reason),
                })
            }
            Err(Trouble::Ours(Failure::Refused(refusal)))
                if matches!(refusal.reason.as_deref(), Some("MESSAGE" | "LINK_KEY")) =>
            {
                Err(unanswered(keys, refusal.message))
            }
            Err(Trouble::Ours(Failure::Keys(error))) => Err(unanswered(keys, error.to_string())),
            Err(trouble) => Err(Unmeasured::Broken { why: trouble.to_string() }),
        }
    }

    fn asks(&self, code: CheckCode) -> bool {
        self.plan.scan.only == Some(code)
            || (self.plan.scan.only.is_none()
                && self.plan.scan.suites.iter().any(|suite| suite.checks().contains(&code)))
    }

    async fn echo_outbound(&self) -> Measured<()> {
        let broken = |why: Failure| Unmeasured::Broken { why: why.to_string() };
        let payload = self.worker.actions.random_text::<64>().map_err(broken)?;
        let answer = self.say(CheckCode::EchoOutbound, "echo", &json!({ "echo": payload })).await?;
        if answer.get("echo").and_then(Value::as_str) == Some(payload.as_str()) {
            return Ok(());
        }
        Err(failed("the other instance sent another payload back than it was sent".to_owned()))
    }

    async fn echo_inbound(&self) -> Measured<()> {
        if self.plan.standing.as_ref().is_some_and(|facts| facts.suspended) {
            return Err(Unmeasured::Blocked { by: CheckCode::DirectionsUp });
        }
        let asked = self.worker.call_back(self.call, self.connection()?).await;
        if self.heard(CheckCode::EchoInbound, asked)? {
            return Ok(());
        }
        Err(failed("the other side was asked to call back, and nothing came within 10 s".to_owned()))
    }

    /// What the other side holds, and where it could not be asked, why: seen from one check.
    async fn compared(&self, code: CheckCode) -> Measured<Comparison> {
        match self.comparison.get_or_init(|| self.measure_comparison()).await {
            Err(Unmeasured::Failed { .. }) if code != CheckCode::KeysAgree => {
                let by = if self.asks(CheckCode::KeysAgree) {
                    CheckCode::KeysAgree
                } else {
                    CheckCode::DirectionsUp
                };
                Err(Unmeasured::Blocked { by })
            }
            known => known.clone(),
        }
    }

    async fn measure_comparison(&self) -> Measured<Comparison> {
        let answer = self.say(CheckCode::KeysAgree, "compare", &json!({})).await?;
        let broken = |why: Failure| Unmeasured::Broken { why: why.to_string() };
        self.worker.actions.read_comparison(answer).map_err(broken)
    }
}

fn failed(reason: String) -> Unmeasured {
    Unmeasured::Failed { reason }
}

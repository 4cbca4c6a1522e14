//! Verifying a connection that stands: real sealed messages both ways, and what both sides hold, compared.

use super::Timestamp;
use super::check::Remedy;
use super::id::{ConnectionId, UserId};
use super::judge::RESTORE;
use super::refusal::{Refusal, RefusalCode};
use super::scan::Comparison;

words! {
    /// A question of a verification, in the order in which they are asked.
    VerificationStepName {
        /// Does a sealed message from us come back unchanged?
        Send = "SEND", "A message from here is answered there";
        /// Does a sealed message from them arrive when we ask for one?
        Receive = "RECEIVE", "A message from there arrives here";
        /// Do both sides hold the same keys?
        Keys = "KEYS", "Both sides hold the same keys";
        /// Do both sides hold the same settings?
        Settings = "SETTINGS", "Both sides hold the same settings";
        /// Does each side know which version the other runs?
        Versions = "VERSIONS", "Each side knows the other's version";
    }
}

words! {
    /// Where a step of a verification stands.
    VerificationStepState {
        /// Its turn has not come.
        Pending = "PENDING", "Pending";
        /// It is being asked.
        Running = "RUNNING", "Running";
        /// As it should be.
        Passed = "PASSED", "Passed";
        /// Not as it should be.
        Failed = "FAILED", "Failed";
        /// Not asked, because nothing comes through.
        Skipped = "SKIPPED", "Skipped";
    }
}

words! {
    /// Where a verification stands.
    VerificationState {
        /// Its steps are being asked.
        Running = "RUNNING", "Running";
        /// Every step passed.
        Passed = "PASSED", "Passed";
        /// A step did not pass.
        Failed = "FAILED", "Failed";
    }
}

/// What a step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What we hold, or sent.
    pub ours: Option<String>,
    /// What they hold, or answered.
    pub theirs: Option<String>,
    /// How long the answer took.
    pub round_trip_ms: Option<i64>,
    /// Why it is not as it should be; none when it is.
    pub failure: Option<Refusal>,
}

impl Found {
    /// What is found when one kind of thing that both sides of this connection hold is compared.
    #[must_use]
    pub fn compared(
        step: VerificationStepName,
        connection: ConnectionId,
        ours: &Comparison,
        theirs: &Comparison,
    ) -> Self {
        use VerificationStepName as S;
        let runs = |side: &Comparison| {
            let other = side.peer_software.as_deref().unwrap_or("unknown");
            format!("Linkspan {}, the other one {other}", side.software)
        };
        let knows =
            |one: &Comparison, other: &Comparison| one.peer_software.as_ref() == Some(&other.software);
        let call = |mutation| Remedy::call(mutation, &[("connectionId", connection.to_string())]);
        let (agree, texts, code, message, mend) = match step {
            S::Keys => (
                ours.keys == theirs.keys,
                [ours.keys.join(", "), theirs.keys.join(", ")],
                RefusalCode::KeyConfirmationFailed,
                "The two sides hold different keys: one of them lost or replaced its own, for example with a backup.",
                Remedy::human(RESTORE),
            ),
            S::Settings => (
                ours.settings == theirs.settings,
                [ours.settings.clone(), theirs.settings.clone()],
                RefusalCode::Conflict,
                "The two sides hold different settings. Look through them, then sync them again.",
                call("syncConnectionSettings"),
            ),
            S::Send | S::Receive | S::Versions => (
                knows(ours, theirs) && knows(theirs, ours),
                [runs(ours), runs(theirs)],
                RefusalCode::Conflict,
                "A side does not know which version the other runs. Ask the other instance again who it is; where it is \
                 the other side that does not know, its administrator does so there.",
                call("refreshConnectionPeer"),
            ),
        };
        let [ours, theirs] = texts.map(Some);
        let failure = (!agree).then(|| Refusal::new(code, message).reason(step.as_str()).remedy(mend));
        Self { ours, theirs, round_trip_ms: None, failure }
    }
}

/// A step of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationStep {
    /// Which one.
    pub name: VerificationStepName,
    /// Where it stands.
    pub state: VerificationStepState,
    /// What it found; empty before.
    pub found: Found,
    /// When it was answered.
    pub finished_at: Option<Timestamp>,
}

/// One verification of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Who asked for it.
    pub requested_by: UserId,
    /// When it began.
    pub started_at: Timestamp,
    /// When its last step was answered.
    pub finished_at: Option<Timestamp>,
    /// Its steps, in order.
    pub steps: Vec<VerificationStep>,
}

impl Verification {
    /// Nothing is asked yet.
    #[must_use]
    pub fn begin(connection: ConnectionId, requested_by: UserId, now: Timestamp) -> Self {
        let step = |name: &VerificationStepName| VerificationStep {
            name: *name,
            state: VerificationStepState::Pending,
            found: Found::default(),
            finished_at: None,
        };
        let steps = VerificationStepName::ALL.iter().map(step).collect();
        Self { connection, requested_by, started_at: now, finished_at: None, steps }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> VerificationState {
        let passed = |step: &VerificationStep| step.state == VerificationStepState::Passed;
        match self.finished_at {
            None => VerificationState::Running,
            Some(_) if self.steps.iter().all(passed) => VerificationState::Passed,
            Some(_) => VerificationState::Failed,
        }
    }

    /// The step to ask now: one that was begun and not answered, or the next; none when it is over.
    pub fn begin_next(&mut self) -> Option<VerificationStepName> {
        use VerificationStepState as S;
        let open = |step: &&mut VerificationStep| matches!(step.state, S::Pending | S::Running);
        let step = self.steps.iter_mut().find(open)?;
        step.state = S::Running;
        Some(step.name)
    }

    /// A step was answered. Where our messages do not come through, nothing else is asked.
    pub fn answered(&mut self, name: VerificationStepName, found: Found, now: Timestamp) {
        use VerificationStepState as S;
        let Some(step) = self.steps.iter_mut().find(|step| step.name == name && step.state == S::Running)
        else {
            return;
        };
        step.state = if found.failure.is_none() { S::Passed } else { S::Failed };
        let silent = name == VerificationStepName::Send && step.state == S::Failed;
        step.found = found;
        step.finished_at = Some(now);
        for step in self.steps.iter_mut().filter(|step| silent && step.state == S::Pending) {
            step.state = S::Skipped;
        }
        if self.steps.iter().all(|step| !matches!(step.state, S::Pending | S::Running)) {
            self.finished_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Verification {
        let id = uuid::Uuid::nil();
        Verification::begin(ConnectionId(id), UserId(id), Timestamp::default())
    }

    fn failed() -> Found {
        Found { failure: Some(Refusal::new(RefusalCode::PeerUnreachable, "no")), ..Found::default() }
    }

    #[test]
    fn it_passes_when_every_step_passed_and_fails_when_one_did_not() {
        for broken in VerificationStepName::ALL.iter().skip(1).map(Some).chain([None]) {
            let mut verification = begun();
            while let Some(step) = verification.begin_next() {
                assert_eq!(verification.state(), VerificationState::Running);
                let found = if broken == Some(&step) { failed() } else { Found::default() };
                verification.answered(step, found, Timestamp::default());
            }
            let expected =
                if broken.is_some() { VerificationState::Failed } else { VerificationState::Passed };
            assert_eq!(verification.state(), expected, "{broken:?}");
            assert!(verification.steps.iter().all(|step| step.finished_at.is_some()));
        }
    }

    #[test]
    fn what_differs_fails_its_step_alone_and_is_mended_by_a_call_where_one_mends_it() {
        use VerificationStepName as S;
        let held = |keys: &str, settings: &str, knows: Option<&str>| Comparison {
            keys: vec![keys.to_owned()],
            settings: settings.to_owned(),
            software: "1.0.0".to_owned(),
            peer_software: knows.map(str::to_owned),
        };
        let ours = held("ab/1 ACTIVE", "00", Some("1.0.0"));
        for (step, theirs, code, call) in [
            // By people, without a call.
            (S::Keys, held("ab/2 ACTIVE", "00", Some("1.0.0")), RefusalCode::KeyConfirmationFailed, Some("")),
            (
                S::Settings,
                held("ab/1 ACTIVE", "ff", Some("1.0.0")),
                RefusalCode::Conflict,
                Some("syncConnectionSettings"),
            ),
            (
                S::Versions,
                held("ab/1 ACTIVE", "00", None),
                RefusalCode::Conflict,
                Some("refreshConnectionPeer"),
            ),
        ] {
            for asked in [S::Keys, S::Settings, S::Versions] {
                for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
                    let found = Found::compared(asked, ConnectionId(uuid::Uuid::nil()), one, other);
                    let Some(failure) = found.failure else {
                        assert_ne!(asked, step);
                        continue;
                    };
                    assert_eq!(
                        (asked, failure.code, failure.reason.as_deref()),
                        (step, code, Some(step.as_str()))
                    );
                    let mutation = failure.remedy.as_deref().map(|remedy| match remedy {
                        Remedy::Call { mutation, .. } => mutation.as_str(),
                        Remedy::Config { .. } | Remedy::Human(_) => "",
                    });
                    assert_eq!(mutation, call);
                    assert_ne!(found.ours, found.theirs);
                }
            }
        }
    }

    #[test]
    fn where_nothing_comes_through_nothing_else_is_asked() {
        let mut verification = begun();
        let step = verification.begin_next().unwrap();
        verification.answered(step, failed(), Timestamp::default());
        assert_eq!(verification.begin_next(), None);
        assert_eq!(verification.state(), VerificationState::Failed);
        assert_eq!(verification.steps[4].state, VerificationStepState::Skipped);
    }
}

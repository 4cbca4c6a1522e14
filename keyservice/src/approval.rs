//! Requests for approval: what one person asks for and another agrees to, as a state machine.
//!
//! `PENDING` → `APPROVED`, `REFUSED`, `WITHDRAWN` or `EXPIRED`; `APPROVED` → `USED` once, `REFUSED` after all,
//! `WITHDRAWN` or `EXPIRED`.

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::pae::pae;
use crate::ports::Millis;
use crate::right::{Right, Rights};
use crate::wire::{Reader, Wire, Writer};

/// How long a request waits for an answer, in milliseconds: three days.
pub const ANSWER_WITHIN: Millis = 3 * 24 * 60 * 60 * 1000;
/// How long an approval can be used after the waiting period, in milliseconds: one day.
pub const USE_WITHIN: Millis = 24 * 60 * 60 * 1000;
/// How long after its request a key is destroyed at the earliest, in milliseconds: seven days.
pub const WAIT_BEFORE_DESTRUCTION: Millis = 7 * 24 * 60 * 60 * 1000;
/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// The latest time that a stored request may name, in milliseconds: the end of the year 9999 (RFC 3339).
const LATEST: Millis = 253_402_300_799_999;

/// What needs two people: all that cannot be taken back, lets material out or in, or changes what protects the rest.
pub const NEEDS_TWO: Rights =
    Rights::of(&[Right::Destroy, Right::Export, Right::Import, Right::OpenCompromised, Right::RotateRoot]);

impl Right {
    /// Whether it needs the approval of a second person.
    pub const fn needs_two(self) -> bool {
        NEEDS_TWO.has(self)
    }

    /// How long after the request it can be done at the earliest, in milliseconds.
    pub const fn waiting_period(self) -> Millis {
        match self {
            Self::Destroy => WAIT_BEFORE_DESTRUCTION,
            _ => 0,
        }
    }
}

names! {
    /// Where a request is.
    ApprovalState, "approval state" {
        /// Waits for an answer.
        Pending = "PENDING";
        /// Somebody else agreed.
        Approved = "APPROVED";
        /// Somebody else did not agree.
        Refused = "REFUSED";
        /// Whoever asked does not want it any more.
        Withdrawn = "WITHDRAWN";
        /// Nobody answered in time, or it was not used in time.
        Expired = "EXPIRED";
        /// What was asked for was done.
        Used = "USED";
    }
}

impl ApprovalState {
    /// Whether nothing leads on from here.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Approved => false,
            Self::Refused | Self::Withdrawn | Self::Expired | Self::Used => true,
        }
    }
}

/// Why something cannot be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// It is not something that two people decide.
    #[error("{0} needs no second person")]
    NeedsNobody(Right),
    /// No reason, or one that is too long or not printable.
    #[error("a reason has 1 to {MAX_REASON} printable characters")]
    Reason,
    /// They asked for it themselves.
    #[error("nobody answers their own request")]
    OwnRequest,
    /// Only whoever asked withdraws or uses it.
    #[error("this is the request of somebody else")]
    OthersRequest,
    /// The state does not allow it.
    #[error("the request is {0}")]
    WrongState(ApprovalState),
    /// The waiting period is not over.
    #[error("the waiting period ends at {0}")]
    TooEarly(Millis),
    /// It was approved for something else.
    #[error("the approval is for something else")]
    SomethingElse,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// What is to be done.
    pub right: Right,
    /// With which module; empty for the key service as a whole.
    pub module: String,
    /// To what: the id of a key, or whatever else is to be done to; empty if there is nothing yet.
    pub object: String,
}

/// A request, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// What it is about.
    pub subject: Subject,
    /// Why, in the words of whoever asks.
    pub reason: String,
    /// Who asks: the id of an account.
    pub asked_by: [u8; 16],
    /// When.
    pub asked_at: Millis,
    /// Where it is. See [`Self::state_at`]: time alone can end it.
    pub state: ApprovalState,
    /// Who answered.
    pub answered_by: Option<[u8; 16]>,
    /// When.
    pub answered_at: Option<Millis>,
    /// What they said.
    pub answer: Option<String>,
    /// When it was used, withdrawn, or found expired.
    pub ended_at: Option<Millis>,
}

/// Proof that a second person agreed to exactly this, spent in making it.
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed {
    subject: Subject,
    approval: [u8; 16],
}

impl Agreed {
    /// What was agreed to.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The request.
    pub fn approval(&self) -> [u8; 16] {
        self.approval
    }
}

/// The gateway spends the approval, and tells the process of the service so.
impl Wire for Agreed {
    fn write(&self, out: Writer) -> Writer {
        self.approval.write(self.subject.write(out))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self { subject: Wire::read(from)?, approval: Wire::read(from)? })
    }
}

impl Approval {
    /// Asks.
    ///
    /// # Errors
    /// [`ApprovalRefusal::NeedsNobody`], [`ApprovalRefusal::Reason`].
    pub fn ask(
        id: [u8; 16],
        subject: Subject,
        reason: &str,
        asked_by: [u8; 16],
        now: Millis,
    ) -> Result<Self, ApprovalRefusal> {
        if !subject.right.needs_two() {
            return Err(ApprovalRefusal::NeedsNobody(subject.right));
        }
        let reason = require_reason(reason)?;
        Ok(Self {
            id,
            subject,
            reason,
            asked_by,
            asked_at: now,
            state: ApprovalState::Pending,
            answered_by: None,
            answered_at: None,
            answer: None,
            ended_at: None,
        })
    }

    /// When the thing can be done at the earliest.
    pub fn usable_from(&self) -> Millis {
        self.asked_at.saturating_add(self.subject.right.waiting_period())
    }

    /// When it expires by itself.
    pub fn expires_at(&self) -> Millis {
        match self.answered_at {
            Some(answered) => answered.max(self.usable_from()).saturating_add(USE_WITHIN),
            None => self.asked_at.saturating_add(ANSWER_WITHIN),
        }
    }

    /// Where it is at this moment.
    pub fn state_at(&self, now: Millis) -> ApprovalState {
        if !self.state.is_final() && now >= self.expires_at() { ApprovalState::Expired } else { self.state }
    }

    /// Another person agrees.
    ///
    /// # Errors
    /// [`ApprovalRefusal::OwnRequest`], [`ApprovalRefusal::WrongState`].
    pub fn approve(self, by: [u8; 16], now: Millis) -> Result<Self, ApprovalRefusal> {
        let answered = self.answered(by, &[ApprovalState::Pending], now)?;
        Ok(Self { state: ApprovalState::Approved, ..answered })
    }

    /// Another person does not agree, and says why; also after they, or somebody else, agreed.
    ///
    /// # Errors
    /// As [`Self::approve`], and [`ApprovalRefusal::Reason`].
    pub fn refuse(self, by: [u8; 16], why: &str, now: Millis) -> Result<Self, ApprovalRefusal> {
        let why = require_reason(why)?;
        let answered = self.answered(by, &[ApprovalState::Pending, ApprovalState::Approved], now)?;
        Ok(Self { state: ApprovalState::Refused, answer: Some(why), ended_at: Some(now), ..answered })
    }

    /// Whoever asked does not want it any more; also after it was approved.
    ///
    /// # Errors
    /// [`ApprovalRefusal::OthersRequest`], [`ApprovalRefusal::WrongState`].
    pub fn withdraw(self, by: [u8; 16], now: Millis) -> Result<Self, ApprovalRefusal> {
        if by != self.asked_by {
            return Err(ApprovalRefusal::OthersRequest);
        }
        let state = self.state_at(now);
        if state.is_final() {
            return Err(ApprovalRefusal::WrongState(state));
        }
        Ok(Self { state: ApprovalState::Withdrawn, ended_at: Some(now), ..self })
    }

    /// Uses the approval, once, for exactly what was asked, by whoever asked.
    ///
    /// # Errors
    /// [`ApprovalRefusal::OthersRequest`], [`ApprovalRefusal::SomethingElse`], [`ApprovalRefusal::WrongState`],
    /// [`ApprovalRefusal::TooEarly`].
    pub fn spend(
        self,
        subject: &Subject,
        by: [u8; 16],
        now: Millis,
    ) -> Result<(Self, Agreed), ApprovalRefusal> {
        if by != self.asked_by {
            return Err(ApprovalRefusal::OthersRequest);
        }
        if *subject != self.subject {
            return Err(ApprovalRefusal::SomethingElse);
        }
        let state = self.state_at(now);
        if state != ApprovalState::Approved {
            return Err(ApprovalRefusal::WrongState(state));
        }
        if now < self.usable_from() {
            return Err(ApprovalRefusal::TooEarly(self.usable_from()));
        }
        let agreed = Agreed { subject: self.subject.clone(), approval: self.id };
        Ok((Self { state: ApprovalState::Used, ended_at: Some(now), ..self }, agreed))
    }

    /// Writes down that time ended it; none if it did not.
    #[must_use]
    pub fn lapse(self, now: Millis) -> Option<Self> {
        let lapsed = !self.state.is_final() && self.state_at(now) == ApprovalState::Expired;
        lapsed.then_some(Self { state: ApprovalState::Expired, ended_at: Some(now), ..self })
    }

    /// That a stored request can be: its fields agree with its state, and nobody answered themselves.
    ///
    /// # Errors
    /// [`Error::Tampered`].
    pub fn check(&self) -> Result<(), Error> {
        let answered = self.answered_by.is_some() && self.answered_at.is_some();
        let possible = match self.state {
            ApprovalState::Pending => !answered,
            ApprovalState::Approved | ApprovalState::Refused | ApprovalState::Used => answered,
            ApprovalState::Withdrawn | ApprovalState::Expired => true,
        };
        let by_another = self.answered_by != Some(self.asked_by);
        let times = [Some(self.asked_at), self.answered_at, self.ended_at];
        if possible
            && by_another
            && times.into_iter().flatten().all(|time| (0..=LATEST).contains(&time))
            && self.ended_at.is_some() == self.state.is_final()
            && self.subject.right.needs_two()
        {
            Ok(())
        } else {
            Err(Error::Tampered { what: "request for approval" })
        }
    }

    /// What the seal of a stored request covers: all of it, and how often it changed. It is a MAC with
    /// [`MacPurpose::KeyApproval`](crate::MacPurpose).
    pub fn seal_context(&self, revision: i64) -> Vec<u8> {
        let optional = |at: Option<Millis>| at.map(|at| at.to_le_bytes().to_vec()).unwrap_or_default();
        pae(&[
            &self.id,
            self.subject.right.as_str().as_bytes(),
            self.subject.module.as_bytes(),
            self.subject.object.as_bytes(),
            self.reason.as_bytes(),
            &self.asked_by,
            &self.asked_at.to_le_bytes(),
            self.state.as_str().as_bytes(),
            self.answered_by.as_ref().map(<[u8; 16]>::as_slice).unwrap_or_default(),
            &optional(self.answered_at),
            self.answer.as_deref().unwrap_or_default().as_bytes(),
            &optional(self.ended_at),
            &revision.to_le_bytes(),
        ])
    }

    /// Somebody else said something to it, in one of these states.
    fn answered(self, by: [u8; 16], open: &[ApprovalState], now: Millis) -> Result<Self, ApprovalRefusal> {
        if by == self.asked_by {
            return Err(ApprovalRefusal::OwnRequest);
        }
        let state = self.state_at(now);
        if !open.contains(&state) {
            return Err(ApprovalRefusal::WrongState(state));
        }
        Ok(Self { answered_by: Some(by), answered_at: Some(now), ..self })
    }
}

fn require_reason(reason: &str) -> Result<String, ApprovalRefusal> {
    let reason = reason.trim();
    // Whoever answers reads it in a terminal, too.
    let printable = reason.chars().all(|character| character == '\n' || !character.is_control());
    let fits = !reason.is_empty() && reason.chars().count() <= MAX_REASON && printable;
    if fits { Ok(reason.to_owned()) } else { Err(ApprovalRefusal::Reason) }
}

//! Issues: the open, de-duplicated matters that findings raise, with someone to solve them.

use chrono::TimeDelta;

use super::Timestamp;
use super::check::{CheckCode, Remedy, Severity};
use super::id::{IssueId, ScanId, UserId};
use super::refusal::Refusal;
use super::scan::Subject;

/// The longest time for which an issue can be muted or waived.
pub const EXCEPTION_LASTS: TimeDelta = TimeDelta::days(90);
/// The most characters of a reason.
pub const REASON_MAX: usize = 500;

words! {
    /// Where an issue stands.
    IssueState {
        /// Somebody has to do something.
        Open = "OPEN", "Open";
        /// A later look found it mended.
        Resolved = "RESOLVED", "Resolved";
        /// What it was about ended, so that nobody has to do anything any more.
        Closed = "CLOSED", "Closed";
    }
}

words! {
    /// What can be done with an issue.
    IssueVerb {
        /// Ask the check again.
        Validate = "validateIssue", "Validate and resolve";
        /// Run the remedy, then ask the check again.
        ApplyRemedy = "applyRemedy", "Apply the remedy";
        /// Say who looks after it.
        Assign = "assignIssue", "Assign";
        /// Hear of what becomes of it.
        Follow = "followIssue", "Follow";
        /// Hear of it no more.
        Unfollow = "unfollowIssue", "Stop following";
        /// Be silent about it for a while.
        Mute = "muteIssue", "Mute";
        /// Be silent no more.
        Unmute = "unmuteIssue", "Unmute";
        /// Go on in spite of it for a while.
        Waive = "waiveIssue", "Waive";
        /// Go on in spite of it no more.
        WithdrawWaiver = "withdrawWaiver", "Withdraw the waiver";
    }
}

words! {
    /// How somebody hears of issues.
    IssueMail {
        /// A letter at once.
        Immediate = "IMMEDIATE", "At once";
        /// One letter a day.
        Digest = "DIGEST", "Once a day";
        /// No letters.
        None = "NONE", "Never";
    }
}

/// An exception somebody made on purpose: for a reason, and until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Who made it.
    pub by: UserId,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Exception {
    /// An exception from now on.
    ///
    /// # Errors
    /// `INVALID_INPUT` without a reason of at most [`REASON_MAX`] characters, or for an end that is past or further
    /// away than [`EXCEPTION_LASTS`].
    pub fn new(by: UserId, reason: &str, until: Timestamp, now: Timestamp) -> Result<Self, Refusal> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_MAX {
            return Err(Refusal::invalid("reason", "Say why, in 1 to 500 characters."));
        }
        if until <= now || until - now > EXCEPTION_LASTS {
            return Err(Refusal::invalid("until", "The end is in the future, and at most 90 days away."));
        }
        Ok(Self { by, reason: reason.to_owned(), until })
    }

    /// Whether it holds at this time.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// An open matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Which one.
    pub id: IssueId,
    /// The check that found it.
    pub code: CheckCode,
    /// What it is about.
    pub subject: Subject,
    /// The scan that saw it last.
    pub scan: ScanId,
    /// Where it stands.
    pub state: IssueState,
    /// Whether it keeps its subject from going on.
    pub blocking: bool,
    /// What is wrong.
    pub message: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub remedy: Remedy,
    /// How often it was seen.
    pub count: i64,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
    /// When it was seen last.
    pub last_seen_at: Timestamp,
    /// When it was found mended, or closed.
    pub resolved_at: Option<Timestamp>,
    /// Who looks after it.
    pub assignee: Option<UserId>,
    /// Nobody is told of it; it blocks all the same.
    pub mute: Option<Exception>,
    /// It does not block.
    pub waiver: Option<Exception>,
    /// Grows by one with every change.
    pub revision: i64,
}

impl Issue {
    /// What can be done now, and why not.
    ///
    /// # Errors
    /// `WRONG_STATE`.
    pub fn allows(&self, verb: IssueVerb, now: Timestamp) -> Result<(), Refusal> {
        use IssueVerb as V;
        let open = match verb {
            V::Follow | V::Unfollow => return Ok(()),
            V::Validate | V::ApplyRemedy | V::Assign | V::Mute | V::Unmute | V::Waive | V::WithdrawWaiver => {
                self.state == IssueState::Open
            }
        };
        if !open {
            return Err(Refusal::wrong_state("issue", self.state.label(), &[IssueState::Open.label()]));
        }
        let no = |state: &str, allowed: &str| Err(Refusal::wrong_state("issue", state, &[allowed]));
        let holds = |exception: &Option<Exception>| exception.as_ref().is_some_and(|it| it.holds(now));
        match verb {
            V::ApplyRemedy if !matches!(self.remedy, Remedy::Call { .. }) => {
                no("for a person or an operator to mend", "mended by a call")
            }
            V::Unmute if !holds(&self.mute) => no("not muted", "muted"),
            V::Waive if !self.blocking => no("not blocking", "blocking"),
            V::WithdrawWaiver if !holds(&self.waiver) => no("not waived", "waived"),
            _ => Ok(()),
        }
    }

    /// Whether it keeps its subject from going on now: it blocks, and nobody waived it.
    #[must_use]
    pub fn holds_up(&self, now: Timestamp) -> bool {
        self.blocking && !self.waiver.as_ref().is_some_and(|waiver| waiver.holds(now))
    }
}

impl Severity {
    /// The higher, the worse; for ordering.
    #[must_use]
    pub const fn rank(self) -> i64 {
        match self {
            Self::Critical => 4,
            Self::High => 3,
            Self::Moderate => 2,
            Self::Low => 1,
        }
    }
}

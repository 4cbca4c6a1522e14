//! The chain of heartbeats: how a copy of an instance, or one that was restored from an older backup, is noticed.
//!
//! An instance has one chain for all its connections. Whichever node probes takes a *step* once an interval, together with
//! its lease: a number that grows, and a random *token*, both in the database before any probe says them. A node that
//! begins to probe begins a *line* with its first step. A probe says the step, its token and its line; its answer says how
//! far the peer has seen the chain. Whoever begins a line is asked so for the one that it goes on from.
//!
//! Of one instance, steps and lines fit together: two lines do not overlap, a step has one token, and nobody hears of a
//! step that he did not take. Where they do not fit, two go on that were one: a copy beside the original, with its database
//! or with its memory, or a backup that is older than what the peer saw.
//!
//! | what | why it does not trip it |
//! |---|---|
//! | a lost probe or answer | nothing hangs on each of them: the peer need not see each step |
//! | a probe that comes late, twice or in another order | it fits where it was made: earlier on the same line, or on one that ended before the one that is known began |
//! | a crash before the database took a step | nobody heard of it |
//! | a crash after it, or a commit whose answer was lost | the next step is higher |
//! | a crash of the peer, which wrote down what it saw a minute ago | it knows less, and what it knows fits |
//! | probes both ways at once | each side's chain is its own |
//!
//! A key chain, in which each heartbeat makes the next key, gives no more: the messages are sealed, so nobody but a holder of
//! the keys makes a mark, and such a one could copy a key as well. But it would have to be written for each connection
//! before each probe, and could forgive only one lost answer. This is one statement an interval for an instance, which
//! its lease takes anyway. A backup from within the same interval is not noticed: no peer saw anything that is gone.

use uuid::Uuid;

/// A run of steps that one node took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The token of its first step, by which it is known.
    pub id: Uuid,
    /// Its first step.
    pub since: i64,
}

impl Line {
    /// Its first step.
    #[must_use]
    pub const fn begin(self) -> Mark {
        Mark { step: self.since, token: self.id, line: self }
    }
}

/// Where a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many steps were taken.
    pub step: i64,
    /// The chance of the last one.
    pub token: Uuid,
    /// On which line.
    pub line: Line,
}

/// How far the reader knows the chain, as it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The last step that it knows.
    pub step: i64,
    /// Whether this was heard before that step was taken: by one that did not take it.
    pub ahead: bool,
}

/// How far a peer said that it knows our chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The last step that it knows.
    pub step: i64,
    /// Our step when it said so.
    pub at: i64,
}

/// What a probe says of the chain of whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it is.
    pub mark: Mark,
    /// How far the reader knows it, by what it heard last.
    pub heard: Option<Heard>,
    /// On which line that step was.
    pub then: Option<Uuid>,
    /// Whether administrators confirmed that this line is the one that goes on.
    pub survivor: bool,
}

words! {
    /// What does not fit.
    Fork {
        /// Two lines, or two tokens, for the same steps.
        Overlap = "OVERLAP", "Two go on at once";
        /// It has not come as far as it was seen already.
        Behind = "BEHIND", "It is behind what was seen of it";
        /// It does not go on from where it was seen.
        Elsewhere = "ELSEWHERE", "It goes on from somewhere else";
    }
}

/// What a mark shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on from what is known: it is known from now on.
    GoesOn,
    /// It may be late, or its sender has yet to hear what is known: it says nothing.
    Open,
    /// It does not fit to what is known.
    Forked(Fork),
}

impl Said {
    /// Judges it by what is known.
    #[must_use]
    pub fn judge(&self, known: Option<&Mark>) -> Verdict {
        let Some(known) = known else { return Verdict::GoesOn };
        let Mark { step, token, line } = self.mark;
        if self.heard.is_some_and(|heard| heard.ahead) {
            return Verdict::Forked(Fork::Behind);
        }
        if line == known.line {
            return match step.cmp(&known.step) {
                std::cmp::Ordering::Greater => Verdict::GoesOn,
                std::cmp::Ordering::Less => Verdict::Open,
                std::cmp::Ordering::Equal if token == known.token => Verdict::GoesOn,
                std::cmp::Ordering::Equal => Verdict::Forked(Fork::Overlap),
            };
        }
        if line.since <= known.step {
            let ended_before = step < known.line.since;
            return if ended_before { Verdict::Open } else { Verdict::Forked(Fork::Overlap) };
        }
        if self.heard.is_none_or(|heard| heard.step != known.step) {
            return Verdict::Open;
        }
        match self.then {
            // So long ago that it is forgotten.
            None => Verdict::Open,
            Some(line) if line == known.line.id => Verdict::GoesOn,
            Some(_) => Verdict::Forked(Fork::Elsewhere),
        }
    }
}

/// The chain of this instance, as the node knows it that probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where it is.
    pub mark: Mark,
    /// Its lines, the oldest first; the present one is the last.
    pub lines: Vec<Line>,
    /// Whether administrators confirmed that the present line goes on.
    pub survivor: bool,
}

impl Chain {
    /// Goes on with a step that the database took. None where that is not the next one: another node took some meanwhile,
    /// or the answer to one was lost, and a new line is to begin.
    #[must_use]
    pub fn go_on(self, step: i64, token: Uuid) -> Option<Self> {
        let mark = Mark { step, token, ..self.mark };
        (step == self.mark.step + 1).then_some(Self { mark, ..self })
    }

    /// The reader said which is the last step that it knows.
    #[must_use]
    pub const fn hear(&self, step: i64) -> Told {
        Told { step, at: self.mark.step }
    }

    /// What the next probe says to a peer that said this last. That it was ahead of us counts once the database let us take
    /// another step: a node that was relieved and does not know it yet takes none.
    #[must_use]
    pub fn say(&self, told: Option<Told>) -> Said {
        let heard = told.map(|Told { step, at }| Heard { step, ahead: step > at && self.mark.step > at });
        let at = |heard: Heard| {
            let begun = self.lines.partition_point(|line| line.since <= heard.step);
            self.lines.get(begun.checked_sub(1)?).map(|line| line.id)
        };
        Said { mark: self.mark, heard, then: heard.and_then(at), survivor: self.survivor }
    }
}

#[cfg(test)]
mod tests;

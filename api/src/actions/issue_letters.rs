//! Who is told of issues: administrators and followers, at once or once a day, as each of them likes.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::letters::{LetterBody, enqueue_letter};
use super::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::check::Remedy;
use crate::domain::effect::Work;
use crate::domain::explain::capital;
use crate::domain::id::UserId;
use crate::domain::issue::{Issue, IssueMail};
use crate::domain::requester::{Role, sees_everything};
use crate::domain::scan::Subject;
use crate::store::{Account, NewJob, Tx};

/// The most issues of one letter; the page behind its link shows all.
const MOST: u64 = 20;
/// After so many letters about what was raised within [`CALM`], the rest comes in one.
const LETTERS: u64 = 5;
/// See [`LETTERS`].
const CALM: TimeDelta = TimeDelta::minutes(10);

/// What a letter about issues says.
struct News {
    /// What it leads to.
    about: Subject,
    /// What it is about, in words.
    subject: String,
    intro: String,
    /// What is wrong and how to mend it.
    issues: Vec<(String, String)>,
    /// How many there are that it does not name.
    more: u64,
}

impl Actions {
    /// A scan ended: administrators, and those who followed the same before, are told of the issues about its subject that
    /// matter and that nobody was told of yet, whichever scan raised them, in one letter. Where many scans raise some within
    /// a short time, one letter tells of all that come later.
    pub(super) async fn tell_raised(&self, tx: &mut Tx, about: Subject) -> Done<()> {
        if !self.profile.mail_on || !tx.is_untold(about).await? {
            return Ok(());
        }
        let now = tx.now();
        if tx.scans_that_raised(now - CALM).await? > LETTERS {
            // All scans of these ten minutes name the same moment.
            let begun = TimeDelta::milliseconds(now.timestamp_millis() % CALM.num_milliseconds());
            let run_at = now - begun + CALM;
            tx.enqueue(NewJob { work: Work::IssueSummary, run_at, sealed: None }).await?;
            return Ok(());
        }
        let issues = tx.take_untold(Some(about)).await?;
        if issues.is_empty() {
            // Another scan told of them meanwhile.
            return Ok(());
        }
        let ids: Vec<_> = issues.iter().map(|issue| issue.id).collect();
        let followers = tx.followers(&ids).await?;
        let subject = self.say(tx, about).await?;
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let news = News {
            about,
            intro: format!("The checks found something about {subject}:"),
            subject,
            issues: issues.iter().take(most).map(line).collect(),
            more: issues.len().saturating_sub(most) as u64,
        };
        let readers = self.readers(tx, &followers, IssueMail::Immediate).await?;
        self.send_news(tx, &readers, &news).await
    }

    /// What only warned, or was waived, blocks from now on: administrators and followers are told.
    pub(super) async fn tell_worse(&self, tx: &mut Tx, issue: &Issue) -> Done<()> {
        if muted(issue, tx.now()) || !self.profile.mail_on {
            return Ok(());
        }
        tx.count_as_told(issue.id).await?;
        let followers = tx.followers(&[issue.id]).await?;
        let readers = self.readers(tx, &followers, IssueMail::Immediate).await?;
        self.tell(tx, &readers, issue, "This did not block before, and does now", line(issue)).await
    }

    /// An issue was found mended: its followers are told, unless it is muted.
    pub(super) async fn tell_resolved(&self, tx: &mut Tx, issue: &Issue) -> Done<()> {
        if muted(issue, tx.now()) {
            return Ok(());
        }
        let followers = tx.followers(&[issue.id]).await?;
        let accounts = self.accounts(tx, &followers).await?;
        let readers = self.wanting(tx, accounts, IssueMail::Immediate).await?;
        let mended = (issue.message.clone(), "Nothing: a later look found it mended.".to_owned());
        self.tell(tx, &readers, issue, "This is mended", mended).await
    }

    /// Somebody is to look after an issue: they are told, if it was not they who said so.
    pub(super) async fn tell_assigned(&self, tx: &mut Tx, call: &Call, issue: &Issue) -> Done<()> {
        let by = call.requester.person().map(|person| person.user);
        let Some(to) = issue.assignee.filter(|to| Some(*to) != by) else { return Ok(()) };
        let accounts = self.accounts(tx, &[to]).await?;
        let readers = self.wanting(tx, accounts, IssueMail::Immediate).await?;
        self.tell(tx, &readers, issue, "You were asked to look after this", line(issue)).await
    }

    /// The daily letters: what is open now and was seen since yesterday, to everybody who wants to hear once a day.
    pub(crate) async fn send_digests(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin("issue.digest", call).await?;
        let run_at = tx.now() + TimeDelta::days(1);
        tx.enqueue(NewJob { work: Work::IssueDigest, run_at, sealed: None }).await?;
        let open = tx.issues_since(tx.now() - TimeDelta::days(1), MOST).await?;
        self.sum_up(&mut tx, IssueMail::Digest, ("the last day", "These issues are open:"), open).await?;
        tx.commit().await?;
        Ok(())
    }

    /// One letter about the many issues that nobody was told of yet, to everybody who wants to hear at once.
    pub(crate) async fn send_summary(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin("issue.summary", call).await?;
        let mut worst = tx.take_untold(None).await?;
        let total = worst.len() as u64;
        worst.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
        let intro = "Much was found within a short time, so it comes in one letter. These issues are open:";
        self.sum_up(&mut tx, IssueMail::Immediate, ("much at once", intro), (worst, total)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// One letter about these issues, whatever each is about, and how many there are in all.
    async fn sum_up(
        &self,
        tx: &mut Tx,
        mode: IssueMail,
        (subject, intro): (&str, &str),
        (open, total): (Vec<Issue>, u64),
    ) -> Done<()> {
        if open.is_empty() || !self.profile.mail_on {
            return Ok(());
        }
        let ids: Vec<_> = open.iter().map(|issue| issue.id).collect();
        let followers = tx.followers(&ids).await?;
        let readers = self.readers(tx, &followers, mode).await?;
        if readers.is_empty() {
            return Ok(());
        }
        let mut issues = Vec::new();
        for issue in &open {
            let (problem, remedy) = line(issue);
            issues.push((format!("{}: {problem}", capital(&self.say(tx, issue.subject).await?)), remedy));
        }
        let news = News {
            about: Subject::Instance(self.profile.instance),
            subject: subject.to_owned(),
            intro: intro.to_owned(),
            more: total.saturating_sub(open.len() as u64),
            issues,
        };
        self.send_news(tx, &readers, &news).await
    }

    /// Administrators and these people, as far as they want to hear in this way.
    async fn readers(&self, tx: &Tx, also: &[UserId], mode: IssueMail) -> Done<Vec<Account>> {
        let mut accounts = tx.accounts_with(Role::Admin).await?;
        accounts.extend(self.accounts(tx, also).await?);
        self.wanting(tx, accounts, mode).await
    }

    async fn accounts(&self, tx: &Tx, ids: &[UserId]) -> Done<Vec<Account>> {
        let mut accounts = Vec::new();
        for id in ids {
            accounts.extend(tx.account(*id).await?);
        }
        Ok(accounts)
    }

    /// Each of them once, if they may still see all issues, and if they want to hear in this way. Whoever did not say
    /// hears at once.
    async fn wanting(&self, tx: &Tx, accounts: Vec<Account>, mode: IssueMail) -> Done<Vec<Account>> {
        let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let modes: BTreeMap<_, _> = tx.issue_mail(&ids).await?.into_iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        let wants = |account: &Account| {
            account.active
                && sees_everything(&account.roles)
                && modes.get(&account.id).copied().unwrap_or(IssueMail::Immediate) == mode
        };
        Ok(accounts.into_iter().filter(|account| wants(account) && seen.insert(account.id)).collect())
    }

    /// Tells of one issue.
    async fn tell(
        &self,
        tx: &mut Tx,
        readers: &[Account],
        issue: &Issue,
        what: &str,
        line: (String, String),
    ) -> Done<()> {
        if readers.is_empty() {
            return Ok(());
        }
        let subject = self.say(tx, issue.subject).await?;
        let intro = format!("{what}, about {subject}:");
        let news = News { about: issue.subject, subject, intro, issues: vec![line], more: 0 };
        self.send_news(tx, readers, &news).await
    }

    async fn send_news(&self, tx: &mut Tx, readers: &[Account], news: &News) -> Done<()> {
        if !self.profile.mail_on {
            return Ok(());
        }
        for reader in readers {
            let body = LetterBody::Issues {
                to_name: reader.name.clone(),
                to_address: reader.email.clone(),
                instance_name: self.profile.name.clone(),
                about: news.subject.clone(),
                intro: news.intro.clone(),
                issues: news.issues.clone(),
                more: news.more,
                url: self.profile.origin.join(&health_path(news.about)).to_string(),
                account_url: Some(self.profile.origin.join("/account").to_string()),
            };
            enqueue_letter(tx, &self.keys, news.about, &body).await?;
        }
        Ok(())
    }

    /// A subject in words.
    async fn say(&self, tx: &Tx, subject: Subject) -> Done<String> {
        let none = || "something that is gone".to_owned();
        Ok(match subject {
            Subject::Registration(id) => match tx.registration(id).await? {
                Some(it) => format!("{} ({})", it.label(), it.origin),
                None => none(),
            },
            Subject::Connection(id) => match tx.connection(id).await? {
                Some(it) => format!("the connection to {}", it.peer.origin),
                None => none(),
            },
            Subject::Instance(_) => "this instance".to_owned(),
        })
    }
}

/// Where the issues of this are shown. Letters name things by their plain ids.
fn health_path(about: Subject) -> String {
    match about {
        Subject::Registration(id) => format!("/health?registration={id}"),
        Subject::Connection(id) => format!("/health?connection={id}"),
        Subject::Instance(_) => "/health".to_owned(),
    }
}

/// What is wrong and how to mend it.
fn line(issue: &Issue) -> (String, String) {
    let remedy = match &issue.remedy {
        Remedy::Human(text) => text.clone(),
        Remedy::Config { setting, value } => format!("Set {setting}, for example to {value}."),
        Remedy::Call { .. } => issue.code.spec().mend.join(" "),
    };
    (issue.message.clone(), remedy)
}

fn muted(issue: &Issue, now: Timestamp) -> bool {
    issue.mute.as_ref().is_some_and(|mute| mute.holds(now))
}

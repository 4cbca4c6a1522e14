//! Who is told of issues: administrators and followers, at once or once a day, as each of them likes.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::letters::{LetterBody, enqueue_letter};
use super::{Actions, Call, Done};
use crate::domain::check::Remedy;
use crate::domain::effect::Work;
use crate::domain::id::UserId;
use crate::domain::issue::{Issue, IssueMail};
use crate::domain::requester::Role;
use crate::domain::scan::Subject;
use crate::store::{Account, NewJob, Tx};

/// The most issues of one letter; the page behind its link shows all.
const MOST: usize = 20;

impl Actions {
    /// A scan raised these issues: administrators and followers are told of those that matter, in one letter.
    pub(super) async fn tell_raised(&self, tx: &mut Tx, about: Subject, raised: &[Issue]) -> Done<()> {
        let now = tx.now();
        let muted = |issue: &Issue| issue.mute.as_ref().is_some_and(|mute| mute.holds(now));
        let issues: Vec<_> = raised.iter().filter(|issue| issue.matters() && !muted(issue)).collect();
        if issues.is_empty() || !self.profile.mail_on {
            return Ok(());
        }
        let subject = self.say(tx, about).await?;
        let intro = format!("The checks found something about {subject}:");
        for reader in self.readers(tx, &[], IssueMail::Immediate).await? {
            let issues = issues.iter().map(|issue| line(issue));
            self.write(tx, &reader, (about, &subject), &intro, issues).await?;
        }
        Ok(())
    }

    /// An issue was found mended: its followers are told.
    pub(super) async fn tell_resolved(&self, tx: &mut Tx, issue: &Issue) -> Done<()> {
        let followers = tx.followers(&[issue.id]).await?;
        if followers.is_empty() || !self.profile.mail_on {
            return Ok(());
        }
        let subject = self.say(tx, issue.subject).await?;
        let intro = format!("This is mended about {subject}:");
        let accounts = self.accounts(tx, &followers).await?;
        for reader in self.wanting(tx, accounts, IssueMail::Immediate).await? {
            let mended = (issue.message.clone(), "Nothing: a later look found it mended.".to_owned());
            self.write(tx, &reader, (issue.subject, &subject), &intro, std::iter::once(mended)).await?;
        }
        Ok(())
    }

    /// The daily letters: what is open now and was seen since yesterday, to everybody who wants to hear once a day.
    pub(crate) async fn send_digests(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin("issue.digest", call).await?;
        let run_at = tx.now() + TimeDelta::days(1);
        tx.enqueue(NewJob { work: Work::IssueDigest, run_at, sealed: None }).await?;
        let since = tx.now() - TimeDelta::days(1);
        let issues = tx.issues_since(since, 250).await?;
        let now = tx.now();
        let open: Vec<_> =
            issues.into_iter().filter(|it| !it.mute.as_ref().is_some_and(|mute| mute.holds(now))).collect();
        if !open.is_empty() && self.profile.mail_on {
            let ids: Vec<_> = open.iter().map(|issue| issue.id).collect();
            let followers = tx.followers(&ids).await?;
            let about = (Subject::Instance(self.profile.instance), "the last day");
            for reader in self.readers(&tx, &followers, IssueMail::Digest).await? {
                let intro = "These issues are open:";
                self.write(&mut tx, &reader, about, intro, open.iter().map(line)).await?;
            }
        }
        tx.commit().await?;
        Ok(())
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

    /// Each of them once, if active, and if they want to hear in this way. Whoever did not say hears at once.
    async fn wanting(&self, tx: &Tx, accounts: Vec<Account>, mode: IssueMail) -> Done<Vec<Account>> {
        let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let modes: BTreeMap<_, _> = tx.issue_mail(&ids).await?.into_iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        let wants = |account: &Account| {
            account.active && modes.get(&account.id).copied().unwrap_or(IssueMail::Immediate) == mode
        };
        Ok(accounts.into_iter().filter(|account| wants(account) && seen.insert(account.id)).collect())
    }

    async fn write(
        &self,
        tx: &mut Tx,
        reader: &Account,
        (about, subject): (Subject, &str),
        intro: &str,
        issues: impl Iterator<Item = (String, String)>,
    ) -> Done<()> {
        let body = LetterBody::Issues {
            to_name: reader.name.clone(),
            to_address: reader.email.clone(),
            instance_name: self.profile.name.clone(),
            about: subject.to_owned(),
            intro: intro.to_owned(),
            issues: issues.take(MOST).collect(),
            url: self.profile.origin.join(&health_path(about)).to_string(),
            account_url: Some(self.profile.origin.join("/account").to_string()),
        };
        enqueue_letter(tx, &self.keys, about, &body).await
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

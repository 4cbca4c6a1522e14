//! Mutations of issues, and of the connections that their remedies mend.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::ask::{Ask, account, named};
use super::connection::ConnectionRecord;
use super::connection_mutation::ConnectionPayload;
use super::id::{Kind, decode};
use super::issue::Issue;
use super::scan::Scan;
use super::scan_mutation::ScanPayload;
use super::words::IssueMail;
use crate::actions::{Call, Done, Mending};
use crate::domain::Timestamp;
use crate::domain::connection::Connection;

inputs_of! {
    /// The issue.
    issue_id;

    /// The issue to look at again.
    ValidateIssueInput;
    /// The issue to hear of.
    FollowIssueInput;
    /// The issue to hear of no more.
    UnfollowIssueInput;
    /// The issue to be silent about no more.
    UnmuteIssueInput;
    /// The issue to go on in spite of no more.
    WithdrawWaiverInput;
}

inputs_of! {
    /// The connection.
    connection_id;

    /// The connection whose credentials to renew.
    RenewConnectionCredentialsInput;
    /// The connection whose other side to ask again who it is.
    RefreshConnectionPeerInput;
    /// The connection whose work to try again.
    RetryConnectionWorkInput;
}

/// A field of the input of a remedy's mutation.
#[derive(InputObject)]
pub(super) struct RemedyVariableInput {
    /// The field's name.
    name: String,
    /// Its value as text; ids are global ids.
    value: String,
}

input! {
    /// The issue whose remedy to run.
    ApplyRemedyInput {
        /// The issue. Its remedy is of the kind `CALL`.
        issue_id: ID,
        /// What the remedy leaves open, or is to be given otherwise than it proposes.
        variables: Option<Vec<RemedyVariableInput>>,
    }
}

input! {
    /// Who is to look after an issue.
    AssignIssueInput {
        /// The issue.
        issue_id: ID,
        /// One of our own administrators or operators; nobody when left out.
        user_id: Option<ID>,
    }
}

input! {
    /// How long to be silent about an issue, and why.
    MuteIssueInput {
        /// The issue.
        issue_id: ID,
        /// Why, in 1 to 500 characters.
        reason: String,
        /// Until when, at most 90 days from now.
        until: Timestamp,
    }
}

input! {
    /// How long to go on in spite of an issue, and why.
    WaiveIssueInput {
        /// The issue.
        issue_id: ID,
        /// Why, in 1 to 500 characters.
        reason: String,
        /// Until when, at most 90 days from now.
        until: Timestamp,
    }
}

input! {
    /// How to hear of issues.
    SetIssueMailInput {
        /// How.
        mode: IssueMail,
    }
}

payload! {
    /// What became of a mutation of an issue.
    IssuePayload {
        /// The issue afterwards; null when it was refused.
        issue: Issue
    }
}

payload! {
    /// What became of choosing how to hear of issues.
    SetIssueMailPayload {
        /// How whoever asked hears of issues from now on; null when it was refused.
        issue_mail: IssueMail
    }
}

/// Mutations of issues.
#[derive(Default)]
pub(super) struct IssueMutation;

#[Object]
impl IssueMutation {
    /// Asks only the check that raised an issue (*Validate and resolve*): a pass resolves the issue.
    async fn validate_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ValidateIssueInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.validate_issue(&call, id).await
        });
        Ok(ScanPayload::new(done.await?, Scan))
    }

    /// Runs the remedy of an issue, with the rights of whoever asks, then asks the check again.
    async fn apply_remedy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which issue.")] input: ApplyRemedyInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            let local = |given: RemedyVariableInput| {
                let id = decode(&given.value).map(|(_, id)| id.to_string());
                (given.name, id.unwrap_or(given.value))
            };
            let given = input.variables.unwrap_or_default().into_iter().map(local).collect();
            ask.actions.apply_remedy(&call, id, given).await
        });
        Ok(ScanPayload::new(done.await?, Scan))
    }

    /// Says who looks after an issue. Whoever it is follows it from then on.
    async fn assign_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and who.")] input: AssignIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            let user = match &input.user_id {
                Some(user) => Some(account("userId", user)?),
                None => None,
            };
            ask.actions.assign_issue(&call, id, user).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Wants to hear of what becomes of an issue.
    async fn follow_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: FollowIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.follow_issue(&call, id, true).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Wants to hear of an issue no more.
    async fn unfollow_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: UnfollowIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.follow_issue(&call, id, false).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Is silent about an issue until a time. It blocks all the same.
    async fn mute_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, why, until when.")] input: MuteIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.mute_issue(&call, id, &input.reason, input.until).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Is silent about an issue no more.
    async fn unmute_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: UnmuteIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.unmute_issue(&call, id).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Goes on in spite of an issue until a time, or until its check breaks: an error is not what was waived. If it was
    /// the last that blocked, what waited goes on by itself. For administrators; audited.
    async fn waive_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, why, until when.")] input: WaiveIssueInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.waive_issue(&call, id, &input.reason, input.until).await
        });
        let (issue, refusal) = done.await?;
        let gone_on = match &issue {
            Some(issue) => ask.actions.go_on(ask.call, issue.subject).await,
            None => Ok(()),
        };
        let (_, late) = ask.settle(gone_on)?;
        Ok(IssuePayload::new((issue, refusal.or(late)), Issue))
    }

    /// Goes on in spite of an issue no more. What went on already stays as it is.
    async fn withdraw_waiver(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which issue.")] input: WithdrawWaiverInput,
    ) -> Result<IssuePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.withdraw_waiver(&call, id).await
        });
        Ok(IssuePayload::new(done.await?, Issue))
    }

    /// Says how whoever asks wants to hear of issues.
    async fn set_issue_mail(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How.")] input: SetIssueMailInput,
    ) -> Result<SetIssueMailPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.set_issue_mail(&call, input.mode.into()).await
        });
        Ok(SetIssueMailPayload::new(done.await?, Into::into))
    }

    /// Renews the service accounts of both sides, in the background. This also happens by itself in time.
    async fn renew_connection_credentials(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which connection.")] input: RenewConnectionCredentialsInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            mend(&ask, &call, &input.connection_id, Mending::RenewCredentials).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Asks the other side again who it is and which version it runs, in the background.
    async fn refresh_connection_peer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which connection.")] input: RefreshConnectionPeerInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            mend(&ask, &call, &input.connection_id, Mending::RefreshPeer).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Has work about a connection tried again that was given up.
    async fn retry_connection_work(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which connection.")] input: RetryConnectionWorkInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            mend(&ask, &call, &input.connection_id, Mending::RetryWork).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }
}

async fn mend(ask: &Ask<'_>, call: &Call, id: &str, how: Mending) -> Done<Connection> {
    let id = named(Kind::Connection, "connectionId", id)?;
    ask.actions.mend_connection(call, id, how).await
}

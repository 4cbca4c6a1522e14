//! What people and programs are signed in with: sessions, access tokens, passwords, and confirming who one is.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use secrecy::SecretString;

use super::ask::{Ask, account, check, named};
use super::error;
use super::id::Kind;
use super::page::{List, Window, cost, list};
use super::people::AccessToken;
use super::refusal::Refusal;
use crate::actions::Done;
use crate::actions::session::Proof;
use crate::domain::id::{SessionId, UserId};
use crate::domain::{self, Timestamp};
use crate::store::Session as SignedIn;

/// A browser in which somebody is signed in.
pub(super) struct Session(pub(super) SignedIn);

/// A browser in which somebody is signed in.
#[Object]
impl Session {
    /// Global id, by which it is revoked.
    pub(super) async fn id(&self) -> ID {
        Kind::Session.id(self.0.id.0)
    }

    /// When the person signed in.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// When it was last used, to the minute.
    async fn seen_at(&self) -> Timestamp {
        self.0.seen_at
    }

    /// When credentials were last given to it.
    async fn fresh_at(&self) -> Timestamp {
        self.0.fresh_at
    }

    /// When it ends at the latest; it ends earlier when it is not used for 30 minutes.
    async fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Whether it is the one in which this request is made.
    async fn current(&self, ctx: &Context<'_>) -> Result<bool> {
        let ask = Ask::anyone(ctx)?;
        Ok(ask.actions.is_own_session(ask.call, self.0.id))
    }
}

/// Queries about sessions and access tokens.
#[derive(Default)]
pub(super) struct CredentialQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl CredentialQuery {
    /// The browsers in which you are signed in, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For administrators: those of this user or contact.")] user_id: Option<ID>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Session>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let user = holder(user_id.as_ref())?;
        let found = ask.actions.sessions(ask.call, user, page).await.map_err(error::failed)?;
        Ok(list(found, |session| session.id.0, Session))
    }

    /// Your access tokens, the newest first; without their secrets.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn access_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For administrators: those of this user or contact.")] user_id: Option<ID>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<AccessToken>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let user = holder(user_id.as_ref())?;
        let found = ask.actions.access_tokens(ask.call, user, page).await.map_err(error::failed)?;
        Ok(list(found, |token| token.id.0, AccessToken))
    }
}

fn holder(id: Option<&ID>) -> Result<Option<UserId>> {
    id.map(|id| account("userId", id)).transpose().map_err(error::failed)
}

input! {
    /// The session to end.
    RevokeSessionInput {
        /// The session: one of your own, or anybody's for administrators.
        id: ID,
    }
}

input! {
    /// The password to set.
    SetPasswordInput {
        /// Whose; yours when left out. Another's for administrators only.
        user_id: Option<ID>,
        /// The new password, 12 to 256 characters.
        #[graphql(secret)]
        password: String,
    }
}

input! {
    /// What shows that it is you: your password, or the code.
    StepUpInput {
        /// Your password.
        #[graphql(secret)]
        password: Option<String>,
        /// The one-time code of `requestStepUpCode`, 8 digits.
        #[graphql(secret)]
        code: Option<String>,
    }
}

input! {
    /// Nothing needs to be said: the code goes to you.
    RequestStepUpCodeInput {}
}

/// What became of asking for a code.
#[derive(SimpleObject)]
pub(super) struct RequestStepUpCodePayload {
    /// Whether a letter with a code is on its way.
    done: bool,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// What became of ending a session.
#[derive(SimpleObject)]
pub(super) struct RevokeSessionPayload {
    /// The id of the session that works no more; null when it was refused.
    revoked_id: Option<ID>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// What became of setting a password.
#[derive(SimpleObject)]
pub(super) struct SetPasswordPayload {
    /// Whether it was set: all sessions and access tokens of the account have ended.
    done: bool,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// What became of confirming who one is.
#[derive(SimpleObject)]
pub(super) struct StepUpPayload {
    /// Until when this session may do what needs it; null when it was refused.
    fresh_until: Option<Timestamp>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// Mutations of sessions and passwords.
#[derive(Default)]
pub(super) struct CredentialMutation;

#[Object]
impl CredentialMutation {
    /// Ends a session; its browser is signed out at once.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeSessionInput,
    ) -> Result<RevokeSessionPayload> {
        let (ask, id) = (Ask::new(ctx)?, input.id.clone());
        let done = ask.once(input, |call, input| async move {
            let session: SessionId = named(Kind::Session, "id", &input.id)?;
            ask.actions.revoke_session(&call, session).await
        });
        let (done, refusal) = done.await?;
        Ok(RevokeSessionPayload { revoked_id: done.map(|()| id), refusal })
    }

    /// Sets a password, which ends all sessions and access tokens of the account. Needs `stepUp` within five minutes.
    async fn set_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and which.")] input: SetPasswordInput,
    ) -> Result<SetPasswordPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let own = call.requester.person().map(|person| person.user);
            let user = match &input.user_id {
                Some(id) => account("userId", id)?,
                None => own.ok_or_else(|| domain::refusal::Refusal::not_found("account"))?,
            };
            ask.actions.set_password(&call, user, SecretString::from(input.password)).await.map(drop)
        });
        let (done, refusal) = done.await?;
        Ok(SetPasswordPayload { done: done.is_some(), refusal })
    }

    /// Confirms that it is you who sits at this session: for five minutes it may do what is refused with
    /// `STEP_UP_REQUIRED`. Whoever has no password asks for a code with `requestStepUpCode`.
    async fn step_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What shows it.")] input: StepUpInput,
    ) -> Result<StepUpPayload> {
        let ask = Ask::new(ctx)?;
        // Not kept under its key: an answer of last week must not look like five minutes from now.
        let done = async {
            check(&input)?;
            ask.actions.step_up(ask.call, proof(input.password, input.code)?).await
        };
        let (fresh_until, refusal) = ask.settle(done.await)?;
        Ok(StepUpPayload { fresh_until, refusal })
    }

    /// Sends you a letter with a one-time code for `stepUp`. It works within ten minutes, in this session alone; the code
    /// before it works no more. Four letters with a code can be asked for at once, and one a minute after that.
    async fn request_step_up_code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key of the request, if any.")] input: RequestStepUpCodeInput,
    ) -> Result<RequestStepUpCodePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, _| async move { ask.actions.request_step_up_code(&call).await });
        let (done, refusal) = done.await?;
        Ok(RequestStepUpCodePayload { done: done.is_some(), refusal })
    }
}

/// The one thing that shows it.
fn proof(password: Option<String>, code: Option<String>) -> Done<Proof> {
    match (password, code) {
        (Some(password), None) => Ok(Proof::Password(SecretString::from(password))),
        (None, Some(code)) => Ok(Proof::Code(SecretString::from(code))),
        (None, None) | (Some(_), Some(_)) => {
            let message = "Give your password, or the code that you asked for: one of the two.";
            Err(domain::refusal::Refusal::invalid("password", message).into())
        }
    }
}

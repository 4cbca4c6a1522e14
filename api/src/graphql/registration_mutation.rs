//! Mutations of registrations.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use secrecy::ExposeSecret as _;

use super::ask::{Ask, account, named};
use super::id::Kind;
use super::refusal::Refusal;
use super::registration::Registration;
use super::scan::CheckSubject;
use super::words::Environment;
use crate::actions::NewRegistration;
use crate::domain::id::{CompanyId, RegistrationId};
use crate::domain::refusal as domain;

input! {
    /// The registration to save.
    CreateRegistrationInput {
        /// The organisation to connect.
        company_id: ID,
        /// The person there who approves.
        contact_id: ID,
        /// The consumer's instance, as `https://host[:port]`.
        url: String,
        /// What the consumer's instance is for.
        environment: Environment,
    }
}

input! {
    /// What to change of a registration; what is left out stays.
    UpdateRegistrationInput {
        /// The registration.
        registration_id: ID,
        /// Another person of the company; the link before is void.
        contact_id: Option<ID>,
        /// Another URL; the checks run again.
        url: Option<String>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

inputs_of! {
    /// The registration.
    registration_id;

    /// The registration whose checks are to run again.
    RevalidateRegistrationInput;
    /// The registration to try again.
    RetryRegistrationInput;
    /// The registration to call off.
    CancelRegistrationInput;
    /// The registration that needs a new link.
    ReissueRegistrationLinkInput;
}

input! {
    /// Where something is left of an earlier attempt.
    DiscardStaleAttemptsInput {
        /// The registration or connection.
        subject_id: ID,
    }
}

payload! {
    /// What became of a mutation of a registration.
    RegistrationPayload {
        /// The registration afterwards; null when it was refused.
        registration: Registration
    }
}

/// What became of asking for a new link.
#[derive(SimpleObject)]
pub(super) struct ReissueRegistrationLinkPayload {
    /// The registration afterwards; null when it was refused.
    registration: Option<Registration>,
    /// The whole link for the contact: a secret, shown this once. Null when the registration is checked again first,
    /// or when it was refused.
    link: Option<String>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// What became of removing what earlier attempts left.
#[derive(SimpleObject)]
pub(super) struct DiscardStaleAttemptsPayload {
    /// The id of the registration or connection of which nothing is left; null when it was refused.
    subject_id: Option<ID>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// Mutations of registrations.
#[derive(Default)]
pub(super) struct RegistrationMutation;

#[Object]
impl RegistrationMutation {
    /// Saves a registration and starts its checks; when they pass, the link is made by itself.
    async fn create_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The registration to save.")] input: CreateRegistrationInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let company: CompanyId = named(Kind::Company, "companyId", &input.company_id)?;
            let contact = account("contactId", &input.contact_id)?;
            let new =
                NewRegistration { company, contact, url: input.url, environment: input.environment.into() };
            ask.actions.create_registration(&call, new).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Changes the contact (a new link is made) or the URL (the checks run again).
    async fn update_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateRegistrationInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id: RegistrationId = named(Kind::Registration, "registrationId", &input.registration_id)?;
            let contact = input.contact_id.map(|id| account("contactId", &id)).transpose()?;
            ask.actions.update_registration(&call, id, contact, input.url, input.expected_revision).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Runs the checks of a registration again.
    async fn revalidate_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevalidateRegistrationInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Registration, "registrationId", &input.registration_id)?;
            ask.actions.revalidate_registration(&call, id).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Tries again after a registration was closed incomplete; what the old attempt left is undone first.
    async fn retry_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RetryRegistrationInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Registration, "registrationId", &input.registration_id)?;
            ask.actions.retry_registration(&call, id).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Calls a registration off; its link is void at once.
    async fn cancel_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CancelRegistrationInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Registration, "registrationId", &input.registration_id)?;
            ask.actions.cancel_registration(&call, id).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Makes a new link and shows it once; the one before is void. An expired registration is checked again first.
    async fn reissue_registration_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ReissueRegistrationLinkInput,
    ) -> Result<ReissueRegistrationLinkPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Registration, "registrationId", &input.registration_id)?;
            ask.actions.reissue_registration_link(&call, id).await
        });
        let (done, refusal) = done.await?;
        let (registration, link) =
            done.map_or((None, None), |(registration, link)| (Some(registration), link));
        Ok(ReissueRegistrationLinkPayload {
            registration: registration.map(Registration),
            link: link.map(|link| link.expose_secret().to_owned()),
            refusal,
        })
    }

    /// Removes what an earlier attempt left of a registration or connection.
    async fn discard_stale_attempts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of what.")] input: DiscardStaleAttemptsInput,
    ) -> Result<DiscardStaleAttemptsPayload> {
        let (ask, subject_id) = (Ask::new(ctx)?, input.subject_id.clone());
        let done = ask.once(input, |call, input| async move {
            let absent = || domain::Refusal::not_found("registration or connection").field("subjectId");
            let subject = CheckSubject::read(&input.subject_id).ok_or_else(absent)?;
            ask.actions.discard_stale_attempts(&call, subject).await
        });
        let (done, refusal) = done.await?;
        Ok(DiscardStaleAttemptsPayload { subject_id: done.map(|()| subject_id), refusal })
    }
}

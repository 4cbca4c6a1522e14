//! Mutations of connections and of their onboarding.

use async_graphql::{Context, ID, Object, Result};
use secrecy::SecretString;

use super::ask::{Ask, named};
use super::connection::ConnectionRecord;
use super::id::Kind;
use super::registration::Registration;
use super::registration_mutation::RegistrationPayload;
use crate::domain::id::{CompanyId, ConnectionId};

input! {
    /// The link to open.
    OpenRegistrationLinkInput {
        /// The whole link, or its part after `#`. It is a secret: send it in a variable.
        #[graphql(secret)]
        link: String,
    }
}

input! {
    /// Which company the provider is.
    ChooseProviderCompanyInput {
        /// The connection.
        connection_id: ID,
        /// The company.
        company_id: ID,
    }
}

inputs_of! {
    /// The connection.
    connection_id;

    /// The connection whose checks are to run.
    RunPreOnboardingChecksInput;
    /// The connection to onboard.
    StartOnboardingInput;
    /// The connection whose failed phase is to run again.
    RetryPhaseInput;
    /// The connection to begin anew.
    StartOverInput;
    /// The connection whose onboarding is to be undone.
    CancelOnboardingInput;
    /// The connection whose contact has approved.
    ContinueAuthorizationInput;
    /// The connection to go on with.
    ResumeConnectionInput;
    /// The connection that was taken down, and whose consumer is to be registered again.
    ReRegisterInput;
    /// A connection whose other side suspects a copy of this instance.
    ConfirmSurvivorInput;
}

input! {
    /// The connection to pause.
    SuspendConnectionInput {
        /// The connection.
        connection_id: ID,
        /// Why, in one line of at most 500 characters. The other side's people read it, too.
        reason: Option<String>,
    }
}

input! {
    /// The connection to take down for good.
    OffboardConnectionInput {
        /// The connection.
        connection_id: ID,
        /// The other instance's name or URL, exactly as `peer` has it: that nobody takes down another connection than
        /// they mean.
        confirmation: String,
        /// Why, in one line of at most 500 characters. The other side's people read it, too.
        reason: Option<String>,
    }
}

payload! {
    /// What became of a mutation of a connection.
    ConnectionPayload {
        /// The connection afterwards; null when it was refused.
        connection: ConnectionRecord
    }
}

/// Mutations of connections.
#[derive(Default)]
pub(super) struct ConnectionMutation;

#[Object]
impl ConnectionMutation {
    /// Opens a registration link on the consumer's instance: a pending connection comes into being. Opened again, it
    /// is the same connection.
    async fn open_registration_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The link to open.")] input: OpenRegistrationLinkInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.open_registration_link(&call, SecretString::from(input.link)).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Says which company the provider is.
    async fn choose_provider_company(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The connection and the company.")] input: ChooseProviderCompanyInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id: ConnectionId = named(Kind::Connection, "connectionId", &input.connection_id)?;
            let company: CompanyId = named(Kind::Company, "companyId", &input.company_id)?;
            ask.actions.choose_provider_company(&call, id, company).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Runs the consumer's checks (*Get Started*).
    async fn run_pre_onboarding_checks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RunPreOnboardingChecksInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.run_pre_onboarding_checks(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Starts the phases of onboarding. When the checks passed more than 15 minutes ago they run again first.
    async fn start_onboarding(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: StartOnboardingInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.start_onboarding(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Runs the failed phase again.
    async fn retry_phase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RetryPhaseInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.retry_phase(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Undoes the attempt under way and begins a new one.
    async fn start_over(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: StartOverInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.start_over(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Undoes the attempt under way; the opened link stays and can be started again.
    async fn cancel_onboarding(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CancelOnboardingInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.cancel_onboarding(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Asks for the contact's approval again, at a fresh address for whoever calls: where another account began it, or the
    /// address was used up. The address before is void.
    async fn continue_authorization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ContinueAuthorizationInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.continue_authorization(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Pauses a connection, without the peer's consent. It is told at once, with the reason, and shows *Suspended*.
    async fn suspend_connection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: SuspendConnectionInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.suspend_connection(&call, id, input.reason.as_deref()).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Takes a connection down for good, without the peer's consent. At once nothing is exchanged any more, its keys are
    /// destroyed on this side, and what was agreed is forgotten; there is no way back but to register again. The other
    /// side is told, with the reason, and follows (`OFFBOARDED`); if it does not answer for about twenty minutes, this side
    /// ends alone. Administrators only, with credentials that were given within five minutes.
    async fn offboard_connection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and its peer's name.")] input: OffboardConnectionInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            let (confirmation, reason) = (&input.confirmation, input.reason.as_deref());
            ask.actions.offboard_connection(&call, id, confirmation, reason).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Registers the consumer of an off-boarded connection again: the same company, contact, URL and environment. Its
    /// checks start, and the contact gets a new link, as with `createRegistration`. On the provider only.
    async fn re_register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ReRegisterInput,
    ) -> Result<RegistrationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.re_register(&call, id).await
        });
        Ok(RegistrationPayload::new(done.await?, Registration))
    }

    /// Says that of the copies of this instance this one goes on, where the other side saw two, or an older backup that was
    /// restored. Stop the others first. It is said to all peers with the next probes; each of them then resumes its
    /// connection.
    async fn confirm_survivor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ConfirmSurvivorInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.confirm_survivor(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }

    /// Goes on with a connection after a pause. One that was paused because a copy of the other instance is suspected
    /// goes on with the one that the other side confirmed (`confirmSurvivor` there), and not before.
    async fn resume_connection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ResumeConnectionInput,
    ) -> Result<ConnectionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.resume_connection(&call, id).await
        });
        Ok(ConnectionPayload::new(done.await?, ConnectionRecord))
    }
}

//! Who asks, what this instance is, and what it offers.

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, ours};
use super::people::{Company, account_kind};
use super::words::{Environment, IssueMail, Role};
use crate::actions::{Actions, PROTOCOL_VERSIONS, SOFTWARE};
use crate::domain::Timestamp;
use crate::domain::link::hex;
use crate::domain::requester::Scope;
use crate::store::ProviderRecord as Record;

/// Whoever asks.
pub(super) struct Viewer;

/// Whoever asks.
#[Object]
impl Viewer {
    /// The account; null when nobody signed in.
    async fn id(&self, ctx: &Context<'_>) -> Result<Option<ID>> {
        let person = Ask::anyone(ctx)?.person();
        Ok(person.map(|person| account_kind(person.company).id(person.user.0)))
    }

    /// Mail address, which is also the sign-in name; null when nobody signed in.
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(Ask::anyone(ctx)?.person().map(|person| person.email.clone()))
    }

    /// Name for people; null when nobody signed in.
    async fn name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(Ask::anyone(ctx)?.person().map(|person| person.name.clone()))
    }

    /// Whether somebody signed in.
    async fn signed_in(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Ask::anyone(ctx)?.person().is_some())
    }

    /// Granted roles.
    async fn roles(&self, ctx: &Context<'_>) -> Result<Vec<Role>> {
        let person = Ask::anyone(ctx)?.person();
        Ok(person.map(|person| person.roles.iter().map(|role| (*role).into()).collect()).unwrap_or_default())
    }

    /// The other organisation that the requester belongs to; null for our own people.
    async fn company(&self, ctx: &Context<'_>) -> Result<Option<Company>> {
        let ask = Ask::anyone(ctx)?;
        Ok(ask.load.maybe(ask.person().and_then(|person| person.company)).await?.map(Company))
    }

    /// How the requester hears of issues; null for those who may not see everything of this instance.
    async fn issue_mail(&self, ctx: &Context<'_>) -> Result<Option<IssueMail>> {
        let ask = Ask::anyone(ctx)?;
        let sees_all = ask.call.requester.viewer().scope() == Scope::Everything;
        let Some(person) = ask.person().filter(|_| sees_all) else { return Ok(None) };
        let mode = ask.reader().issue_mail(person.user).await.map_err(ours)?;
        Ok(Some(mode.unwrap_or(crate::domain::issue::IssueMail::Immediate).into()))
    }

    /// Whether the requester may do everything in the application.
    async fn can_administer(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Ask::anyone(ctx)?.call.requester.administrator().is_ok())
    }

    /// Whether the requester may register, onboard and resolve.
    async fn can_operate(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Ask::anyone(ctx)?.call.requester.operator().is_ok())
    }
}

/// This running Linkspan.
#[derive(SimpleObject)]
pub(super) struct Instance {
    /// How peers know it: a UUID, the same for ever.
    id: ID,
    /// Name for people.
    name: String,
    /// Where others reach it, as `https://host[:port]`.
    origin: String,
    /// What it is for.
    environment: Environment,
    /// The environment in words.
    environment_label: &'static str,
    /// Software version.
    version: &'static str,
    /// Protocol versions it speaks, the newest first.
    protocol_versions: &'static [u16],
    /// SHA-256 fingerprint of its identity key, 64 hexadecimal digits.
    fingerprint: String,
    /// The fingerprint in groups, as people compare it.
    fingerprint_text: String,
    /// Whether letters can be sent; if not, links are passed on by hand.
    mail_on: bool,
    /// Whether another installation is at home on its host: it may be a copy, and exchanges nothing until its operator runs
    /// `linkspan survivor` there.
    copied: bool,
}

impl Instance {
    /// The instance whose verbs these are.
    pub(super) fn of(actions: &Actions) -> Self {
        let profile = actions.profile();
        Self {
            id: ID(profile.instance.to_string()),
            name: profile.name.clone(),
            origin: profile.origin.to_string(),
            environment: profile.environment.into(),
            environment_label: profile.environment.label(),
            version: SOFTWARE,
            protocol_versions: PROTOCOL_VERSIONS,
            fingerprint: hex(&actions.keys().fingerprint()),
            fingerprint_text: actions.keys().fingerprint_text(),
            mail_on: profile.mail_on,
            copied: profile.copied,
        }
    }
}

/// Says that this instance offers a service. Needed before any registration.
pub(super) struct ProviderRecord(pub(super) Record);

/// Says that this instance offers a service. Needed before any registration.
#[Object]
impl ProviderRecord {
    /// The service's name: letters, digits and dashes.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is, for people.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// When it was made.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> Timestamp {
        self.0.updated_at
    }

    /// Grows by one with every change; give it as `expectedRevision` when you edit.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// Whether whoever asks may change it.
    async fn viewer_can_edit(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Ask::anyone(ctx)?.call.requester.administrator().is_ok())
    }
}

/// Queries about the instance.
#[derive(Default)]
pub(super) struct InstanceQuery;

#[Object]
impl InstanceQuery {
    /// Whoever asks, signed in or not.
    async fn viewer(&self) -> Viewer {
        Viewer
    }

    /// This running Linkspan; for everybody, as its identity document is.
    async fn instance(&self, ctx: &Context<'_>) -> Result<Instance> {
        Ok(Instance::of(Ask::anyone(ctx)?.actions))
    }

    /// What this instance offers; null while there is no provider record.
    async fn provider_record(&self, ctx: &Context<'_>) -> Result<Option<ProviderRecord>> {
        Ok(Ask::new(ctx)?.reader().provider_record().await.map_err(ours)?.map(ProviderRecord))
    }
}

input! {
    /// What the provider record is to say.
    SaveProviderRecordInput {
        /// The service's name: letters, digits and dashes.
        name: String,
        /// What it is, for people; when left out it stays.
        description: Option<String>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

payload! {
    /// What became of a mutation of the provider record.
    ProviderRecordPayload {
        /// The provider record afterwards; null when it was refused.
        provider_record: ProviderRecord
    }
}

/// Mutations of the instance.
#[derive(Default)]
pub(super) struct InstanceMutation;

#[Object]
impl InstanceMutation {
    /// Makes or changes the provider record, which says that this instance offers a service.
    async fn save_provider_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the record is to say.")] input: SaveProviderRecordInput,
    ) -> Result<ProviderRecordPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let description = match input.description {
                Some(description) => description,
                None => {
                    ask.reader().provider_record().await?.map(|record| record.description).unwrap_or_default()
                }
            };
            ask.actions.save_provider_record(&call, &input.name, &description, input.expected_revision).await
        });
        Ok(ProviderRecordPayload::new(done.await?, ProviderRecord))
    }
}

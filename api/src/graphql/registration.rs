//! Registrations: what is registered, where it stands, and what can be done.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::ask::{Ask, ours};
use super::checked::Checked;
use super::connection::ConnectionRecord;
use super::error;
use super::id::Kind;
use super::page::{List, Window, cost, list};
use super::people::{Company, Contact, empty};
use super::refusal::Action;
use super::words::{Environment, LinkDelivery, RegistrationOrder, RegistrationState};
use crate::actions::Failure;
use crate::domain::Timestamp;
use crate::domain::id::{CompanyId, RegistrationId};
use crate::domain::link::{Delivery, Link, OpenLink, hex};
use crate::domain::origin::OriginPolicy;
use crate::domain::registration::{self as domain, RegistrationVerb, State};
use crate::domain::scan::Subject;
use crate::store::RegistrationFilter;

/// What is said of a registration whose letter does not leave.
const UNSENT: &str = "The letter with the link did not go out: the error log says why. It is tried again for a while. To go on \
                      without it, make a new link and pass it on yourself.";

/// The provider's wish to connect one consumer instance.
pub(super) struct Registration(pub(super) domain::Registration);

/// The provider's wish to connect one consumer instance.
#[Object]
impl Registration {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Registration.id(self.0.id.0)
    }

    /// The number that people use, for example `REG-000001`.
    async fn number(&self) -> String {
        self.0.label()
    }

    /// The organisation to connect.
    async fn company(&self, ctx: &Context<'_>) -> Result<Option<Company>> {
        Ok(Ask::anyone(ctx)?.load.one(self.0.company).await?.map(Company))
    }

    /// The person there who approves.
    async fn contact(&self, ctx: &Context<'_>) -> Result<Option<Contact>> {
        Ok(Ask::anyone(ctx)?.load.one(self.0.contact).await?.map(Contact))
    }

    /// The consumer's instance, as `https://host[:port]`.
    async fn url(&self) -> String {
        self.0.origin.to_string()
    }

    /// What the consumer's instance is for.
    async fn environment(&self) -> Environment {
        self.0.environment.into()
    }

    /// The environment in words.
    async fn environment_label(&self) -> &'static str {
        self.0.environment.label()
    }

    /// Where it stands.
    async fn state(&self) -> RegistrationState {
        self.0.state.name().into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.0.state.name().label()
    }

    /// Why it does not go on, for people; null when nothing is wrong.
    async fn banner(&self, ctx: &Context<'_>) -> Result<Option<Banner>> {
        let text = match &self.0.state {
            State::ValidationFailed { banner, .. } => banner.clone(),
            State::ClosedIncomplete { reason } => reason.clone(),
            State::Open { link } if link.delivery == Delivery::Failed => UNSENT.to_owned(),
            _ => return Ok(None),
        };
        Ok(Some(Banner::new(&Ask::anyone(ctx)?, text, self.subject())))
    }

    /// The link that the contact opens, without its secret; null while there is none.
    async fn link(&self) -> Option<RegistrationLink> {
        self.0.state.link().map(RegistrationLink::new)
    }

    /// The connection that came of it; null before it was claimed.
    async fn connection(&self, ctx: &Context<'_>) -> Result<Option<ConnectionRecord>> {
        let id = match &self.0.state {
            State::WorkInProgress { connection, .. } | State::ClosedComplete { connection, .. } => {
                *connection
            }
            _ => return Ok(None),
        };
        Ok(Ask::anyone(ctx)?.load.one(id).await?.map(ConnectionRecord))
    }

    #[graphql(flatten)]
    async fn checked(&self) -> Checked {
        Checked(self.subject())
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let action = |verb: &RegistrationVerb| {
            let may = ask.actions.may_register(ask.call, &self.0, *verb);
            Action::new(verb.as_str(), verb.label(), may)
        };
        Ok(RegistrationVerb::ALL.iter().map(action).collect())
    }

    /// When it was saved.
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
}

impl Registration {
    const fn subject(&self) -> Subject {
        Subject::Registration(self.0.id)
    }
}

/// What is wrong, for people.
#[derive(SimpleObject)]
pub(super) struct Banner {
    /// One or two sentences.
    text: String,
    /// Where the checks and issues behind it are shown.
    health_url: String,
}

impl Banner {
    /// What is wrong with this, and where the console shows its health.
    pub(super) fn new(ask: &Ask<'_>, text: String, subject: Subject) -> Self {
        Self { text, health_url: super::refusal::docs_url(ask, &super::health_path(subject)) }
    }
}

/// A registration link, without its secret.
#[derive(SimpleObject)]
pub(super) struct RegistrationLink {
    /// The part that names the registration without giving anything away, a UUID.
    public_id: String,
    /// When it was made.
    issued_at: Timestamp,
    /// When it stops working.
    expires_at: Timestamp,
    /// How it gets to the contact.
    delivery: LinkDelivery,
    /// The delivery in words.
    delivery_label: &'static str,
    /// When a second instance proved a claim to it, which stops everybody; null when none did.
    contested_at: Option<Timestamp>,
}

impl RegistrationLink {
    fn new(link: &Link) -> Self {
        Self {
            public_id: link.id.to_string(),
            issued_at: link.issued_at,
            expires_at: link.expires_at,
            delivery: link.delivery.into(),
            delivery_label: link.delivery.label(),
            contested_at: link.contested_at,
        }
    }
}

/// What a registration link says of itself. Nothing was asked of anybody: compare the fingerprint before you open it.
#[derive(SimpleObject)]
pub(super) struct RegistrationPreview {
    /// The provider that the link leads to, as `https://host[:port]`.
    provider_origin: String,
    /// SHA-256 fingerprint of the provider's identity key, 64 hexadecimal digits.
    provider_fingerprint: String,
    /// The fingerprint in groups, as people compare it.
    provider_fingerprint_text: String,
    /// The part that names the registration, a UUID.
    public_id: String,
}

/// Which registrations.
#[derive(Default, InputObject)]
pub(super) struct RegistrationsFilter {
    /// In one of these states.
    states: Option<Vec<RegistrationState>>,
    /// Of this company.
    company_id: Option<ID>,
    /// Whose number, URL or company holds this text, in any case.
    search: Option<String>,
}

/// Queries about registrations.
#[derive(Default)]
pub(super) struct RegistrationQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl RegistrationQuery {
    /// A registration; null when there is none with this id, or it is not yours to see.
    async fn registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<Registration>> {
        let id = Kind::Registration.read(&id).map(RegistrationId);
        Ok(Ask::new(ctx)?.load.maybe(id).await?.map(Registration))
    }

    /// Registrations, the newest first unless another order is named.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn registrations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all when left out.")] filter: Option<RegistrationsFilter>,
        #[graphql(desc = "In which order.")] order_by: Option<RegistrationOrder>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Registration>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let filter = filter.unwrap_or_default();
        let company = match filter.company_id.map(|id| Kind::Company.read(&id)) {
            None => None,
            Some(Some(id)) => Some(CompanyId(id)),
            Some(None) => return Ok(list(empty(), |thing: &domain::Registration| thing.id.0, Registration)),
        };
        let states = filter.states.unwrap_or_default().into_iter().map(Into::into).collect();
        let filter = RegistrationFilter { states, company, search: filter.search };
        let order = order_by.unwrap_or_default().into();
        let slice = ask.reader().registrations(&filter, order, page).await.map_err(ours)?;
        Ok(list(slice, |registration| registration.id.0, Registration))
    }

    /// What a registration link says of itself, without asking anybody. The link is a secret: send it in a variable.
    async fn registration_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The whole link, or its part after `#`.", secret)] link: String,
    ) -> Result<Option<RegistrationPreview>> {
        let ask = Ask::new(ctx)?;
        let policy: &OriginPolicy = &ask.actions.profile().policy;
        let link = OpenLink::parse(&link, policy).map_err(|refusal| error::failed(Failure::from(refusal)))?;
        Ok(Some(RegistrationPreview {
            provider_origin: link.provider.to_string(),
            provider_fingerprint: hex(&link.fingerprint),
            provider_fingerprint_text: fingerprint_text(&link.fingerprint),
            public_id: link.id.to_string(),
        }))
    }
}

/// A fingerprint as people compare it, the same as the identity key's own text.
pub(super) fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    use std::fmt::Write as _;

    // As `PublicKey::fingerprint_groups`: the first 20 bytes are the key's short name.
    let text = data_encoding::BASE32_NOPAD.encode(&fingerprint[..20]);
    let mut groups = String::with_capacity(39);
    for (place, character) in text.chars().enumerate() {
        let space = if place > 0 && place % 4 == 0 { " " } else { "" };
        let _ = write!(groups, "{space}{character}");
    }
    groups
}

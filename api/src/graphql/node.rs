//! Relay's object identification: everything with a global id, loaded through the same scoping as anywhere else.

use async_graphql::{Context, ID, Interface, Object, Result};

use super::ask::Ask;
use super::audit::{AuditEntry, number_of};
use super::connection::ConnectionRecord;
use super::credential::Session;
use super::definition::PublishedDefinition;
use super::error;
use super::failure::ErrorLogEntry;
use super::id::{Kind, decode};
use super::issue::Issue;
use super::key_approval::KeyApproval;
use super::key_module::{KeyModule, KeyVersion};
use super::key_policy::AccessPolicy;
use super::load::{KeyModuleId, KeyVersionId};
use super::page::items_cost;
use super::people::{AccessToken, Company, Contact, User};
use super::registration::Registration;
use super::scan::Scan;
use crate::domain::id::{
    AccessTokenId, CompanyId, ConnectionId, DefinitionId, FailureId, IssueId, KeyApprovalId, KeyPolicyId,
    RegistrationId, ScanId, SessionId, UserId,
};
use crate::store::Account;

/// The most ids that `nodes` takes.
const NODES_MAX: usize = 250;

/// Something with a global id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Global id: opaque, the same for ever."))]
pub(super) enum Node {
    Registration(Registration),
    Connection(ConnectionRecord),
    Scan(Scan),
    Issue(Issue),
    Company(Company),
    Contact(Contact),
    User(User),
    Definition(PublishedDefinition),
    KeyModule(KeyModule),
    KeyVersion(KeyVersion),
    KeyApproval(KeyApproval),
    AccessPolicy(AccessPolicy),
    AccessToken(AccessToken),
    Session(Session),
    ErrorLogEntry(ErrorLogEntry),
    AuditEntry(AuditEntry),
}

impl Node {
    /// The one with this id, as far as it may be seen.
    pub(super) async fn load(ask: &Ask<'_>, kind: Kind, id: uuid::Uuid) -> Result<Option<Self>> {
        let load = ask.load;
        Ok(match kind {
            Kind::Registration => {
                load.one(RegistrationId(id)).await?.map(|it| Self::Registration(Registration(it)))
            }
            Kind::Connection => {
                load.one(ConnectionId(id)).await?.map(|it| Self::Connection(ConnectionRecord(it)))
            }
            Kind::Scan => load.one(ScanId(id)).await?.map(|it| Self::Scan(Scan(it))),
            Kind::Issue => load.one(IssueId(id)).await?.map(|it| Self::Issue(Issue(it))),
            Kind::Company => load.one(CompanyId(id)).await?.map(|it| Self::Company(Company(it))),
            Kind::Contact => Self::account(ask, id).await?.filter(|node| matches!(node, Self::Contact(_))),
            Kind::User => Self::account(ask, id).await?.filter(|node| matches!(node, Self::User(_))),
            Kind::Definition => {
                load.one(DefinitionId(id)).await?.map(|it| Self::Definition(PublishedDefinition(it)))
            }
            Kind::KeyModule => load.one(KeyModuleId(id)).await?.map(|it| Self::KeyModule(it.into())),
            Kind::KeyVersion => load.one(KeyVersionId(id)).await?.map(|it| Self::KeyVersion(it.into())),
            Kind::AccessPolicy => {
                load.one(KeyPolicyId(id)).await?.map(|it| Self::AccessPolicy(AccessPolicy(it)))
            }
            Kind::AccessToken => {
                load.one(AccessTokenId(id)).await?.map(|it| Self::AccessToken(AccessToken(it)))
            }
            Kind::Session => load.one(SessionId(id)).await?.map(|it| Self::Session(Session(it))),
            Kind::KeyApproval => KeyApproval::load(ask, KeyApprovalId(id)).await?.map(Self::KeyApproval),
            Kind::ErrorLogEntry => {
                load.one(FailureId(id)).await?.map(|it| Self::ErrorLogEntry(ErrorLogEntry::new(ask, it)))
            }
            Kind::AuditEntry => load.maybe(number_of(id)).await?.map(|it| Self::AuditEntry(AuditEntry(it))),
        })
    }

    /// The account with this id, as the type that it has.
    pub(super) async fn account(ask: &Ask<'_>, id: uuid::Uuid) -> Result<Option<Self>> {
        let account: Option<Account> = ask.load.one(UserId(id)).await?;
        Ok(account.and_then(|account| {
            if account.company.is_some() {
                Some(Self::Contact(Contact(account)))
            } else {
                ask.sees_user(account.id).then_some(Self::User(User(account)))
            }
        }))
    }
}

/// Queries by global id.
#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// What has this global id; null when there is no such thing, or it is not yours to see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<Node>> {
        let ask = Ask::new(ctx)?;
        match decode(&id) {
            Some((kind, id)) => Node::load(&ask, kind, id).await,
            None => Ok(None),
        }
    }

    /// What has these global ids, in their order; null for each that does not exist or is not yours to see.
    #[graphql(complexity = "items_cost(i32::try_from(ids.len()).unwrap_or(i32::MAX), child_complexity)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids, 250 at most.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        let ask = Ask::new(ctx)?;
        if ids.len() > NODES_MAX {
            return Err(error::invalid("`ids` are 250 at most."));
        }
        let load = async |id: &ID| match decode(id) {
            Some((kind, id)) => Node::load(&ask, kind, id).await,
            None => Ok(None),
        };
        futures_util::future::try_join_all(ids.iter().map(load)).await
    }
}

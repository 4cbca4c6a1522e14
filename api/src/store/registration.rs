//! The provider record, registrations, and claims to their links.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, Set, Statement,
};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{Store, StoreError, at, entity, inconsistent, ms, unique};
use crate::domain::Timestamp;
use crate::domain::id::{
    ClaimId, CompanyId, ConnectionId, InstanceId, LinkId, RegistrationId, ScanId, UserId,
};
use crate::domain::link::{Delivery, Link};
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::registration::{Environment, Registration, RegistrationState, State};
use entity::{claim, provider_record, registration, spent_link};

/// Says that this instance offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRecord {
    /// Letters, digits and dashes.
    pub name: String,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
}

words! {
    /// Where a claim stands.
    ClaimState {
        /// The registered origin is being asked.
        Proving = "PROVING", "Proving";
        /// It proved; a rehearsal ends here.
        Proven = "PROVEN", "Proven";
        /// The link is bound to its key.
        Bound = "BOUND", "Bound";
        /// It failed, which spoils nothing.
        Refused = "REFUSED", "Refused";
        /// It proved a link that was bound to another key.
        Contested = "CONTESTED", "Contested";
    }
}

/// One instance's request to redeem a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which one.
    pub id: ClaimId,
    /// What it is a claim to.
    pub registration: RegistrationId,
    /// The link's public part.
    pub link: LinkId,
    /// Who claims.
    pub instance: InstanceId,
    /// From where.
    pub origin: Origin,
    /// With which Ed25519 key.
    pub public_key: [u8; 32],
    /// The claiming instance's name for people.
    pub instance_name: String,
    /// Its software version.
    pub software: String,
    /// Whether it only asks what would happen.
    pub rehearsal: bool,
    /// Where it stands.
    pub state: ClaimState,
    /// Why it was refused.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

pub(super) fn provider_from(row: provider_record::Model) -> ProviderRecord {
    ProviderRecord {
        name: row.name,
        description: row.description,
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        revision: row.revision,
    }
}

pub(super) fn from_row(row: registration::Model) -> Result<Registration, StoreError> {
    let wrong = |column| inconsistent("registration", row.id, column);
    let link = || -> Result<Link, StoreError> {
        Ok(Link {
            id: LinkId(row.link_id.ok_or_else(|| wrong("link_id"))?),
            digest: bytes(row.link_digest.as_deref()).ok_or_else(|| wrong("link_digest"))?,
            issued_at: at(row.link_issued_at.ok_or_else(|| wrong("link_issued_at"))?),
            expires_at: at(row.link_expires_at.ok_or_else(|| wrong("link_expires_at"))?),
            delivery: row
                .link_delivery
                .as_deref()
                .and_then(Delivery::parse)
                .ok_or_else(|| wrong("link_delivery"))?,
            contested_at: row.link_contested_at.map(at),
        })
    };
    let connection = || row.connection_id.map(ConnectionId).ok_or_else(|| wrong("connection_id"));
    let ended = || row.ended_at.map(at).ok_or_else(|| wrong("ended_at"));
    let state = match RegistrationState::parse(&row.state).ok_or_else(|| wrong("state"))? {
        RegistrationState::AwaitingValidation => State::AwaitingValidation { scan: row.scan_id.map(ScanId) },
        RegistrationState::ValidationFailed => State::ValidationFailed {
            scan: row.scan_id.map(ScanId).ok_or_else(|| wrong("scan_id"))?,
            banner: row.banner.clone().ok_or_else(|| wrong("banner"))?,
        },
        RegistrationState::Open => State::Open { link: link()? },
        RegistrationState::WorkInProgress => {
            State::WorkInProgress { link: link()?, connection: connection()? }
        }
        RegistrationState::ClosedComplete => {
            State::ClosedComplete { connection: connection()?, at: ended()? }
        }
        RegistrationState::ClosedIncomplete => {
            State::ClosedIncomplete { reason: row.reason.clone().ok_or_else(|| wrong("reason"))? }
        }
        RegistrationState::Expired => State::Expired { at: ended()? },
        RegistrationState::Cancelled => State::Cancelled { at: ended()? },
    };
    Ok(Registration {
        id: RegistrationId(row.id),
        number: row.number,
        company: CompanyId(row.company_id),
        contact: UserId(row.contact_id),
        origin: Origin::parse(&row.origin, &OriginPolicy::ANY).map_err(|_| wrong("origin"))?,
        environment: Environment::parse(&row.environment).ok_or_else(|| wrong("environment"))?,
        created_by: UserId(row.created_by),
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        revision: row.revision,
        last_attempt: row.last_attempt,
        state,
    })
}

/// The row of a registration; columns that do not belong to its state are empty.
fn to_row(registration: &Registration, now: i64, revision: i64) -> registration::ActiveModel {
    let state = &registration.state;
    let link = state.link();
    let (scan, banner) = match state {
        State::AwaitingValidation { scan } => (*scan, None),
        State::ValidationFailed { scan, banner } => (Some(*scan), Some(banner.clone())),
        _ => (None, None),
    };
    let (connection, ended, reason) = match state {
        State::WorkInProgress { connection, .. } => (Some(*connection), None, None),
        State::ClosedComplete { connection, at } => (Some(*connection), Some(*at), None),
        State::ClosedIncomplete { reason } => (None, None, Some(reason.clone())),
        State::Expired { at } | State::Cancelled { at } => (None, Some(*at), None),
        State::AwaitingValidation { .. } | State::ValidationFailed { .. } | State::Open { .. } => {
            (None, None, None)
        }
    };
    registration::ActiveModel {
        id: Set(registration.id.0),
        number: Set(registration.number),
        company_id: Set(registration.company.0),
        contact_id: Set(registration.contact.0),
        origin: Set(registration.origin.to_string()),
        environment: Set(registration.environment.as_str().to_owned()),
        state: Set(state.name().as_str().to_owned()),
        scan_id: Set(scan.map(|id| id.0)),
        banner: Set(banner),
        link_id: Set(link.map(|link| link.id.0)),
        link_digest: Set(link.map(|link| link.digest.to_vec())),
        link_issued_at: Set(link.map(|link| ms(link.issued_at))),
        link_expires_at: Set(link.map(|link| ms(link.expires_at))),
        link_delivery: Set(link.map(|link| link.delivery.as_str().to_owned())),
        link_contested_at: Set(link.and_then(|link| link.contested_at).map(ms)),
        connection_id: Set(connection.map(|id| id.0)),
        ended_at: Set(ended.map(ms)),
        reason: Set(reason),
        last_attempt: Set(registration.last_attempt),
        created_by: Set(registration.created_by.0),
        created_at: Set(ms(registration.created_at)),
        updated_at: Set(now),
        revision: Set(revision),
    }
}

pub(super) fn bytes<const N: usize>(bytes: Option<&[u8]>) -> Option<[u8; N]> {
    bytes?.try_into().ok()
}

fn claim_from(row: claim::Model) -> Result<Claim, StoreError> {
    let wrong = |column| inconsistent("claim", row.id, column);
    Ok(Claim {
        id: ClaimId(row.id),
        registration: RegistrationId(row.registration_id),
        link: LinkId(row.link_id),
        instance: InstanceId(row.instance_id),
        origin: Origin::parse(&row.origin, &OriginPolicy::ANY).map_err(|_| wrong("origin"))?,
        public_key: bytes(Some(&row.public_key)).ok_or_else(|| wrong("public_key"))?,
        instance_name: row.instance_name.clone(),
        software: row.software.clone(),
        rehearsal: row.rehearsal,
        state: ClaimState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        reason: row.reason.clone(),
        created_at: at(row.created_at),
    })
}

/// A link that works no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentLink {
    /// The registration that it was for.
    pub registration: RegistrationId,
    /// The digest of its secret.
    pub digest: [u8; 32],
    /// Why it stopped working.
    pub reason: String,
}

impl Store {
    /// With which key the claim signs, if there is one with this id. For requests that anybody can send: it is read
    /// without taking the turn of somebody who writes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_key(&self, id: ClaimId) -> Result<Option<[u8; 32]>, StoreError> {
        let row = claim::Entity::find_by_id(id.0).one(&self.read).await?;
        Ok(row.map(claim_from).transpose()?.map(|claim| claim.public_key))
    }
}

impl Tx {
    /// The provider record.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn provider_record(&self) -> Result<Option<ProviderRecord>, StoreError> {
        Ok(provider_record::Entity::find_by_id(1).one(&self.txn).await?.map(provider_from))
    }

    /// Makes or changes the provider record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it changed since `expected` was read.
    pub async fn save_provider_record(
        &mut self,
        name: &str,
        description: &str,
        expected: Option<i64>,
    ) -> Result<ProviderRecord, StoreError> {
        let now = self.now_ms();
        let old = self.provider_record().await?;
        if expected.is_some_and(|expected| old.as_ref().map(|record| record.revision) != Some(expected)) {
            return Err(StoreError::Conflict("provider record"));
        }
        let row = provider_record::ActiveModel {
            id: Set(1),
            name: Set(name.to_owned()),
            description: Set(description.to_owned()),
            created_at: Set(old.as_ref().map_or(now, |record| ms(record.created_at))),
            updated_at: Set(now),
            revision: Set(old.as_ref().map_or(1, |record| record.revision + 1)),
        };
        let row = if let Some(old) = &old {
            let filter = provider_record::Column::Revision.eq(old.revision);
            let saved =
                provider_record::Entity::update_many().set(row).filter(filter).exec_with_returning(&self.txn);
            saved.await?.pop().ok_or(StoreError::Conflict("provider record"))?
        } else {
            let saved = provider_record::Entity::insert(row).exec_with_returning(&self.txn).await;
            saved.map_err(|error| unique(error, "provider record"))?
        };
        self.setup_changed(json!({ "providerRecord": row.name }));
        Ok(provider_from(row))
    }

    /// The number of the next registration.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn next_registration_number(&mut self) -> Result<i64, StoreError> {
        let sql = "update head set registration_number = registration_number + 1 where id = 1
                   returning registration_number";
        let row =
            self.txn.query_one_raw(Statement::from_string(self.txn.get_database_backend(), sql)).await?;
        Ok(row.ok_or(StoreError::Missing("head"))?.try_get("", "registration_number")?)
    }

    /// The registration with this id.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn registration(&self, id: RegistrationId) -> Result<Option<Registration>, StoreError> {
        registration::Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// The registration whose present link has this public part.
    ///
    /// # Errors
    /// As [`Tx::registration`].
    pub async fn registration_by_link(&self, link: LinkId) -> Result<Option<Registration>, StoreError> {
        let filter = registration::Column::LinkId.eq(link.0);
        registration::Entity::find().filter(filter).one(&self.txn).await?.map(from_row).transpose()
    }

    /// The other registrations that are not final for the company, if there is one, and environment, or the origin, the
    /// oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rival_registrations(
        &self,
        company: Option<CompanyId>,
        environment: Environment,
        origin: &Origin,
        except: Option<RegistrationId>,
    ) -> Result<Vec<Registration>, StoreError> {
        use registration::Column;
        let of_company = |company: CompanyId| {
            Condition::all()
                .add(Column::CompanyId.eq(company.0))
                .add(Column::Environment.eq(environment.as_str()))
        };
        let rival =
            Condition::any().add(Column::Origin.eq(origin.to_string())).add_option(company.map(of_company));
        let mut query = registration::Entity::find().filter(rival).filter(Column::State.is_not_in(
            RegistrationState::ALL.iter().filter(|state| state.is_final()).map(|state| state.as_str()),
        ));
        if let Some(id) = except {
            query = query.filter(Column::Id.ne(id.0));
        }
        query.order_by_asc(Column::Id).all(&self.txn).await?.into_iter().map(from_row).collect()
    }

    /// Adds a registration.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when one that is not final exists for its company or origin.
    pub async fn insert_registration(&mut self, registration: &Registration) -> Result<(), StoreError> {
        let row = to_row(registration, self.now_ms(), registration.revision);
        registration::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "registration"))?;
        self.registration_changed(registration, ChangeKind::Created, registration.revision);
        Ok(())
    }

    /// Saves a registration, if nobody changed it since it was read; answers it with its new revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_registration(
        &mut self,
        mut registration: Registration,
    ) -> Result<Registration, StoreError> {
        let revision = registration.revision + 1;
        let saved = registration::Entity::update_many()
            .set(to_row(&registration, self.now_ms(), revision))
            .filter(registration::Column::Id.eq(registration.id.0))
            .filter(registration::Column::Revision.eq(registration.revision))
            .exec(&self.txn)
            .await
            .map_err(|error| unique(error, "registration"))?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("registration"));
        }
        registration.revision = revision;
        registration.updated_at = self.now();
        self.registration_changed(&registration, ChangeKind::Updated, revision);
        Ok(registration)
    }

    fn registration_changed(&mut self, registration: &Registration, kind: ChangeKind, revision: i64) {
        let body = json!({ "state": registration.state.name().as_str() });
        let company = Some(registration.company.0);
        self.changed(SubjectKind::Registration, registration.id.0, kind, revision, company, body);
    }

    /// The claim with this digest or id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim(&self, id: ClaimId) -> Result<Option<Claim>, StoreError> {
        claim::Entity::find_by_id(id.0).one(&self.txn).await?.map(claim_from).transpose()
    }

    /// The latest claim with this key, in earnest or as a rehearsal.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest_claim(
        &self,
        registration: RegistrationId,
        public_key: &[u8; 32],
        rehearsal: bool,
    ) -> Result<Option<Claim>, StoreError> {
        claim::Entity::find()
            .filter(claim::Column::RegistrationId.eq(registration.0))
            .filter(claim::Column::PublicKey.eq(public_key.to_vec()))
            .filter(claim::Column::Rehearsal.eq(rehearsal))
            .order_by_desc(claim::Column::Id)
            .one(&self.txn)
            .await?
            .map(claim_from)
            .transpose()
    }

    /// A link stopped working, and why.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn spend_link(
        &mut self,
        registration: RegistrationId,
        link: &Link,
        reason: &str,
    ) -> Result<(), StoreError> {
        let row = spent_link::ActiveModel {
            link_id: Set(link.id.0),
            digest: Set(link.digest.to_vec()),
            registration_id: Set(registration.0),
            reason: Set(reason.to_owned()),
            at: Set(self.now_ms()),
        };
        let known = OnConflict::column(spent_link::Column::LinkId).do_nothing().to_owned();
        spent_link::Entity::insert(row).on_conflict(known).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// A link that stopped working.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn spent_link(&self, link: LinkId) -> Result<Option<SpentLink>, StoreError> {
        let row = spent_link::Entity::find_by_id(link.0).one(&self.txn).await?;
        Ok(row.and_then(|row| {
            Some(SpentLink {
                registration: RegistrationId(row.registration_id),
                digest: bytes(Some(&row.digest))?,
                reason: row.reason,
            })
        }))
    }

    /// The claim a registration's link is bound to.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bound_claim(&self, registration: RegistrationId) -> Result<Option<Claim>, StoreError> {
        claim::Entity::find()
            .filter(claim::Column::RegistrationId.eq(registration.0))
            .filter(claim::Column::State.eq(ClaimState::Bound.as_str()))
            .one(&self.txn)
            .await?
            .map(claim_from)
            .transpose()
    }

    /// How many claims a registration saw since then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claims_since(
        &self,
        registration: RegistrationId,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(claim::Entity::find()
            .filter(claim::Column::RegistrationId.eq(registration.0))
            .filter(claim::Column::CreatedAt.gt(ms(since)))
            .count(&self.txn)
            .await?)
    }

    /// Adds a claim; the same one again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the same claim is there already.
    pub async fn insert_claim(&mut self, claim: &Claim) -> Result<(), StoreError> {
        let row = claim::ActiveModel {
            id: Set(claim.id.0),
            registration_id: Set(claim.registration.0),
            link_id: Set(claim.link.0),
            instance_id: Set(claim.instance.0),
            origin: Set(claim.origin.to_string()),
            public_key: Set(claim.public_key.to_vec()),
            instance_name: Set(claim.instance_name.clone()),
            software: Set(claim.software.clone()),
            rehearsal: Set(claim.rehearsal),
            state: Set(claim.state.as_str().to_owned()),
            reason: Set(claim.reason.clone()),
            created_at: Set(self.now_ms()),
        };
        claim::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "claim"))?;
        Ok(())
    }

    /// Moves a claim on from `PROVING`; answers whether this was the one that did.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn settle_claim(
        &mut self,
        id: ClaimId,
        state: ClaimState,
        reason: Option<String>,
    ) -> Result<bool, StoreError> {
        let settled = claim::Entity::update_many()
            .col_expr(claim::Column::State, Expr::value(state.as_str()))
            .col_expr(claim::Column::Reason, Expr::value(reason))
            .filter(claim::Column::Id.eq(id.0))
            .filter(claim::Column::State.eq(ClaimState::Proving.as_str()))
            .exec(&self.txn)
            .await?;
        Ok(settled.rows_affected == 1)
    }

    /// Forgets all claims to a registration, with the approvals that hang on them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delete_claims(&mut self, registration: RegistrationId) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = claim::Entity::find()
            .filter(claim::Column::RegistrationId.eq(registration.0))
            .all(&self.txn)
            .await?
            .into_iter()
            .map(|row| row.id)
            .collect();
        for id in &ids {
            self.forget_work(*id).await?;
        }
        claim::Entity::delete_many().filter(claim::Column::Id.is_in(ids)).exec(&self.txn).await?;
        Ok(())
    }
}

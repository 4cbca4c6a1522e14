//! Connections, their attempts, directions, settings and service accounts.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, Set,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::registration::bytes;
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored, ms, unique};
use crate::domain::Timestamp;
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::connection::{Connection, ConnectionState, Part, Peer, State};
use crate::domain::direction::{DirectionStatus, Evidence, Way};
use crate::domain::id::{
    AttemptId, ChannelId, CompanyId, ConnectionId, InstanceId, LinkId, RegistrationId, ScanId, UserId,
};
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::settings::Settings;
use entity::{attempt, connection, direction, service_account, settings};

/// What an attempt has worked out so far; nothing in it is secret. Absent parts are not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttemptWork {
    /// The claim, as the provider named it.
    pub claim: Option<Uuid>,
    /// The nonce of the claim, so that the same claim is sent again.
    pub claim_nonce: Option<String>,
    /// Where the contact approves.
    pub authorization_url: Option<String>,
    /// When that address stops working, in milliseconds since the Unix epoch.
    pub authorization_expires_at: Option<i64>,
    /// SHA-256 of the `state` that comes back from there.
    pub state_digest: Option<String>,
    /// Why the contact's approval did not come.
    pub authorization_error: Option<String>,
    /// The provider's id of the company, the contact and the approval.
    pub company: Option<Uuid>,
    /// See `company`.
    pub contact: Option<Uuid>,
    /// See `company`.
    pub auth_event: Option<Uuid>,
    /// The number of the handshake under way.
    pub handshake: Option<i64>,
    /// The third message of the handshake, which is sent until it is answered.
    pub m3: Option<serde_json::Value>,
    /// What is needed to check the fourth, sealed by the key service.
    pub pending: Option<String>,
    /// The key that waits for the fourth.
    pub link_key: Option<Uuid>,
}

/// A connection's settings as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsRecord {
    /// Both parts.
    pub settings: Settings,
    /// The digest that both sides last agreed on.
    pub agreed_digest: Option<[u8; 32]>,
    /// When they did.
    pub synced_at: Option<Timestamp>,
    /// Grows by one with every change; 0 when nothing is stored yet.
    pub revision: i64,
}

/// What the peer may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Which one.
    pub id: Uuid,
    /// The account the peer made for us.
    pub peer: Option<Uuid>,
    /// Kinds of messages it may send.
    pub scopes: Vec<String>,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
}

pub(super) fn from_row(row: connection::Model) -> Result<Connection, StoreError> {
    let wrong = |column| inconsistent("connection", row.id, column);
    let scan = || row.scan_id.map(ScanId).ok_or_else(|| wrong("scan_id"));
    let time = |value: Option<i64>, column| value.map(at).ok_or_else(|| wrong(column));
    let state = match ConnectionState::parse(&row.state).ok_or_else(|| wrong("state"))? {
        ConnectionState::Pending => State::Pending,
        ConnectionState::AwaitingValidation => {
            State::AwaitingValidation { scan: scan()?, then_start: row.then_start.map(UserId) }
        }
        ConnectionState::Validated => {
            State::Validated { scan: scan()?, at: time(row.validated_at, "validated_at")? }
        }
        ConnectionState::ValidationFailed => State::ValidationFailed { scan: scan()? },
        ConnectionState::Onboarding => {
            State::Onboarding { attempt: row.attempt_id.map(AttemptId).ok_or_else(|| wrong("attempt_id"))? }
        }
        ConnectionState::Onboarded => State::Onboarded { at: time(row.onboarded_at, "onboarded_at")? },
        ConnectionState::Suspended => State::Suspended {
            onboarded_at: time(row.onboarded_at, "onboarded_at")?,
            at: time(row.suspended_at, "suspended_at")?,
        },
        ConnectionState::Offboarding => State::Offboarding { at: time(row.ended_at, "ended_at")? },
        ConnectionState::Offboarded => State::Offboarded { at: time(row.ended_at, "ended_at")? },
    };
    Ok(Connection {
        id: ConnectionId(row.id),
        part: Part::parse(&row.part).ok_or_else(|| wrong("part"))?,
        company: row.company_id.map(CompanyId),
        registration: row.registration_id.map(RegistrationId),
        link: LinkId(row.link_id),
        peer: Peer {
            origin: Origin::parse(&row.origin, &OriginPolicy::ANY).map_err(|_| wrong("origin"))?,
            fingerprint: bytes(Some(&row.fingerprint)).ok_or_else(|| wrong("fingerprint"))?,
            instance: row.instance_id.map(InstanceId),
            public_key: row
                .public_key
                .as_deref()
                .map(|key| bytes(Some(key)).ok_or_else(|| wrong("public_key")))
                .transpose()?,
            name: row.peer_name.clone(),
            version: row.peer_version.clone(),
        },
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        revision: row.revision,
        attempts: row.attempts,
        channel: row.channel_id.map(ChannelId),
        state,
    })
}

/// The row of a connection, without what is saved apart (the link's secret, the message number).
fn to_row(connection: &Connection, now: i64, revision: i64) -> connection::ActiveModel {
    let state = &connection.state;
    let (scan, then_start) = match state {
        State::AwaitingValidation { scan, then_start } => (Some(*scan), *then_start),
        State::Validated { scan, .. } | State::ValidationFailed { scan } => (Some(*scan), None),
        _ => (None, None),
    };
    let attempt = if let State::Onboarding { attempt } = state { Some(attempt.0) } else { None };
    let validated = if let State::Validated { at, .. } = state { Some(*at) } else { None };
    let onboarded = match state {
        State::Onboarded { at } | State::Suspended { onboarded_at: at, .. } => Some(*at),
        _ => None,
    };
    let suspended = if let State::Suspended { at, .. } = state { Some(*at) } else { None };
    let ended = match state {
        State::Offboarding { at } | State::Offboarded { at } => Some(*at),
        _ => None,
    };
    let peer = &connection.peer;
    connection::ActiveModel {
        id: Set(connection.id.0),
        part: Set(connection.part.as_str().to_owned()),
        company_id: Set(connection.company.map(|id| id.0)),
        registration_id: Set(connection.registration.map(|id| id.0)),
        link_id: Set(connection.link.0),
        origin: Set(peer.origin.to_string()),
        fingerprint: Set(peer.fingerprint.to_vec()),
        instance_id: Set(peer.instance.map(|id| id.0)),
        public_key: Set(peer.public_key.map(|key| key.to_vec())),
        peer_name: Set(peer.name.clone()),
        peer_version: Set(peer.version.clone()),
        state: Set(state.name().as_str().to_owned()),
        scan_id: Set(scan.map(|id| id.0)),
        then_start: Set(then_start.map(|id| id.0)),
        attempt_id: Set(attempt),
        validated_at: Set(validated.map(ms)),
        onboarded_at: Set(onboarded.map(ms)),
        suspended_at: Set(suspended.map(ms)),
        ended_at: Set(ended.map(ms)),
        attempts: Set(connection.attempts),
        channel_id: Set(connection.channel.map(|id| id.0)),
        link_secret: sea_orm::NotSet,
        message_seq: sea_orm::NotSet,
        created_at: Set(ms(connection.created_at)),
        updated_at: Set(now),
        revision: Set(revision),
    }
}

pub(super) fn attempt_from(row: attempt::Model) -> Result<(Attempt, AttemptWork), StoreError> {
    let wrong = |column| inconsistent("attempt", row.id, column);
    let attempt = Attempt {
        id: AttemptId(row.id),
        connection: ConnectionId(row.connection_id),
        number: row.number,
        started_by: row.started_by.map(UserId),
        started_at: at(row.started_at),
        state: AttemptState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        phases: stored::phases_from(&row.phases).ok_or_else(|| wrong("phases"))?,
    };
    Ok((attempt, serde_json::from_value(row.work).map_err(|_| inconsistent("attempt", row.id, "work"))?))
}

pub(super) fn evidence_from(row: direction::Model) -> Result<(Way, Evidence), StoreError> {
    let wrong = |column| inconsistent("direction", row.connection_id, column);
    let evidence = Evidence {
        activated_at: row.activated_at.map(at),
        last_proof_at: row.last_proof_at.map(at),
        round_trip_ms: row.round_trip_ms,
        misses: row.misses,
        answers: row.answers,
        was_down: row.was_down,
        peer_view: row
            .peer_view
            .as_deref()
            .map(|view| DirectionStatus::parse(view).ok_or_else(|| wrong("peer_view")))
            .transpose()?,
        last_failure: row.last_failure.clone(),
    };
    Ok((Way::parse(&row.way).ok_or_else(|| wrong("way"))?, evidence))
}

pub(super) fn settings_from(row: settings::Model) -> Result<SettingsRecord, StoreError> {
    let wrong = |column| inconsistent("settings", row.connection_id, column);
    Ok(SettingsRecord {
        settings: Settings {
            offer: stored::offer_from(row.offer).ok_or_else(|| wrong("offer"))?,
            choice: stored::choice_from(row.choice).ok_or_else(|| wrong("choice"))?,
        },
        agreed_digest: row
            .agreed_digest
            .as_deref()
            .map(|d| bytes(Some(d)).ok_or_else(|| wrong("agreed_digest")))
            .transpose()?,
        synced_at: row.synced_at.map(at),
        revision: row.revision,
    })
}

impl Tx {
    /// The connection with this id.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
        connection::Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// Our connection to this origin in this part, if one stands or is being made.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn connection_to(&self, origin: &Origin, part: Part) -> Result<Option<Connection>, StoreError> {
        connection::Entity::find()
            .filter(connection::Column::Origin.eq(origin.to_string()))
            .filter(connection::Column::Part.eq(part.as_str()))
            .filter(connection::Column::State.ne(ConnectionState::Offboarded.as_str()))
            .one(&self.txn)
            .await?
            .map(from_row)
            .transpose()
    }

    /// The connection that came of a registration, if one stands or is being made.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn connection_of(
        &self,
        registration: RegistrationId,
    ) -> Result<Option<Connection>, StoreError> {
        connection::Entity::find()
            .filter(connection::Column::RegistrationId.eq(registration.0))
            .one(&self.txn)
            .await?
            .map(from_row)
            .transpose()
    }

    /// The connection whose sealed messages name this channel.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn connection_by_channel(&self, channel: ChannelId) -> Result<Option<Connection>, StoreError> {
        let filter = connection::Column::ChannelId.eq(channel.0);
        connection::Entity::find().filter(filter).one(&self.txn).await?.map(from_row).transpose()
    }

    /// The consumer's connection that came from this link.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn connection_by_link(&self, link: LinkId) -> Result<Option<Connection>, StoreError> {
        let ours = connection::Column::Part.eq(Part::Consumer.as_str());
        let filter = connection::Column::LinkId.eq(link.0);
        connection::Entity::find().filter(filter).filter(ours).one(&self.txn).await?.map(from_row).transpose()
    }

    /// How many other connections to this origin stand or are being made.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rival_connections(
        &self,
        origin: &Origin,
        part: Part,
        except: Option<ConnectionId>,
    ) -> Result<u64, StoreError> {
        let mut query = connection::Entity::find()
            .filter(connection::Column::Origin.eq(origin.to_string()))
            .filter(connection::Column::Part.eq(part.as_str()))
            .filter(connection::Column::State.ne(ConnectionState::Offboarded.as_str()));
        if let Some(id) = except {
            query = query.filter(connection::Column::Id.ne(id.0));
        }
        Ok(query.count(&self.txn).await?)
    }

    /// Adds a connection, with the link's secret (sealed) on the consumer.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when one to the same origin exists.
    pub async fn insert_connection(
        &mut self,
        connection: &Connection,
        link_secret: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut row = to_row(connection, self.now_ms(), connection.revision);
        row.link_secret = Set(link_secret);
        row.message_seq = Set(0);
        connection::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|e| unique(e, "connection"))?;
        for way in Way::ALL {
            self.save_evidence(connection.id, *way, &Evidence::default(), None, true).await?;
        }
        self.connection_changed(connection, ChangeKind::Created, connection.revision);
        Ok(())
    }

    /// Saves a connection, if nobody changed it since it was read; answers it with its new revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_connection(&mut self, mut connection: Connection) -> Result<Connection, StoreError> {
        let revision = connection.revision + 1;
        let saved = connection::Entity::update_many()
            .set(to_row(&connection, self.now_ms(), revision))
            .filter(connection::Column::Id.eq(connection.id.0))
            .filter(connection::Column::Revision.eq(connection.revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("connection"));
        }
        connection.revision = revision;
        connection.updated_at = self.now();
        self.connection_changed(&connection, ChangeKind::Updated, revision);
        Ok(connection)
    }

    /// Removes a connection and everything that hangs on it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delete_connection(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.forget_work(connection.id.0).await?;
        let attempts = attempt::Entity::find().filter(attempt::Column::ConnectionId.eq(connection.id.0));
        for attempt in attempts.all(&self.txn).await? {
            self.forget_work(attempt.id).await?;
        }
        connection::Entity::delete_by_id(connection.id.0).exec(&self.txn).await?;
        self.connection_changed(connection, ChangeKind::Deleted, connection.revision + 1);
        Ok(())
    }

    /// Announces a connection whose directions changed.
    pub fn connection_changed(&mut self, connection: &Connection, kind: ChangeKind, revision: i64) {
        let body = json!({ "state": connection.state.name().as_str() });
        let company = connection.company.map(|id| id.0);
        self.changed(SubjectKind::Connection, connection.id.0, kind, revision, company, body);
    }

    /// The sealed secret of the link a consumer's connection came from.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn link_secret(&self, id: ConnectionId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(connection::Entity::find_by_id(id.0).one(&self.txn).await?.and_then(|row| row.link_secret))
    }

    /// Replaces or forgets the sealed secret of the link.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_link_secret(
        &mut self,
        id: ConnectionId,
        sealed: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        connection::Entity::update_many()
            .col_expr(connection::Column::LinkSecret, Expr::value(sealed))
            .filter(connection::Column::Id.eq(id.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// The number of the next sealed message to the peer.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn next_message_seq(&mut self, id: ConnectionId) -> Result<i64, StoreError> {
        let rows = connection::Entity::update_many()
            .col_expr(connection::Column::MessageSeq, Expr::col(connection::Column::MessageSeq).add(1))
            .filter(connection::Column::Id.eq(id.0))
            .exec_with_returning(&self.txn)
            .await?;
        rows.first().map(|row| row.message_seq).ok_or(StoreError::Missing("connection"))
    }

    /// The attempt with this id, and what it has worked out.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn attempt(
        &self,
        id: AttemptId,
    ) -> Result<Option<(Attempt, AttemptWork, Option<Vec<u8>>, i64)>, StoreError> {
        let Some(row) = attempt::Entity::find_by_id(id.0).one(&self.txn).await? else { return Ok(None) };
        let (sealed, revision) = (row.sealed.clone(), row.revision);
        let (attempt, work) = attempt_from(row)?;
        Ok(Some((attempt, work, sealed, revision)))
    }

    /// Adds an attempt; all earlier ones of the connection are removed, as nothing of them is left.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_attempt(
        &mut self,
        attempt: &Attempt,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        self.discard_attempts(attempt.connection).await?;
        let row = attempt::ActiveModel {
            id: Set(attempt.id.0),
            connection_id: Set(attempt.connection.0),
            number: Set(attempt.number),
            started_by: Set(attempt.started_by.map(|id| id.0)),
            started_at: Set(ms(attempt.started_at)),
            state: Set(attempt.state.as_str().to_owned()),
            phases: Set(stored::phases_to(&attempt.phases)),
            work: Set(json!({})),
            sealed: Set(None),
            revision: Set(1),
        };
        attempt::Entity::insert(row).exec_without_returning(&self.txn).await?;
        self.attempt_changed(attempt, ChangeKind::Created, 1, company);
        Ok(())
    }

    /// Removes all attempts of a connection and their work.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn discard_attempts(&mut self, connection: ConnectionId) -> Result<(), StoreError> {
        let filter = attempt::Column::ConnectionId.eq(connection.0);
        for row in attempt::Entity::find().filter(filter.clone()).all(&self.txn).await? {
            self.forget_work(row.id).await?;
        }
        attempt::Entity::delete_many().filter(filter).exec(&self.txn).await?;
        Ok(())
    }

    /// Saves an attempt with what it worked out, if nobody changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_attempt(
        &mut self,
        attempt: &Attempt,
        work: &AttemptWork,
        sealed: Option<Vec<u8>>,
        revision: i64,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let work = serde_json::to_value(work).map_err(|_| inconsistent("attempt", attempt.id, "work"))?;
        let saved = attempt::Entity::update_many()
            .col_expr(attempt::Column::State, Expr::value(attempt.state.as_str()))
            .col_expr(attempt::Column::Phases, Expr::value(stored::phases_to(&attempt.phases)))
            .col_expr(attempt::Column::Work, Expr::value(work))
            .col_expr(attempt::Column::Sealed, Expr::value(sealed))
            .col_expr(attempt::Column::Revision, Expr::value(revision + 1))
            .filter(attempt::Column::Id.eq(attempt.id.0))
            .filter(attempt::Column::Revision.eq(revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("attempt"));
        }
        self.attempt_changed(attempt, ChangeKind::Updated, revision + 1, company);
        Ok(())
    }

    fn attempt_changed(
        &mut self,
        attempt: &Attempt,
        kind: ChangeKind,
        revision: i64,
        company: Option<CompanyId>,
    ) {
        let current = attempt.current();
        let body = json!({
            "state": attempt.state.as_str(),
            "attempt": attempt.number,
            "phase": current.map(|phase| phase.name.as_str()),
            "phaseState": current.map(|phase| phase.state.as_str()),
        });
        self.changed(
            SubjectKind::Onboarding,
            attempt.connection.0,
            kind,
            revision,
            company.map(|id| id.0),
            body,
        );
    }

    /// A direction's evidence, and the status that was last announced for it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn evidence(
        &self,
        id: ConnectionId,
        way: Way,
    ) -> Result<(Evidence, Option<DirectionStatus>), StoreError> {
        let key = (id.0, way.as_str().to_owned());
        let row = direction::Entity::find_by_id(key)
            .one(&self.txn)
            .await?
            .ok_or(StoreError::Missing("direction"))?;
        let shown = row.shown.as_deref().and_then(DirectionStatus::parse);
        Ok((evidence_from(row)?.1, shown))
    }

    /// Saves a direction's evidence and the status that is announced for it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_evidence(
        &mut self,
        id: ConnectionId,
        way: Way,
        evidence: &Evidence,
        shown: Option<DirectionStatus>,
        first: bool,
    ) -> Result<(), StoreError> {
        let row = direction::ActiveModel {
            connection_id: Set(id.0),
            way: Set(way.as_str().to_owned()),
            activated_at: Set(evidence.activated_at.map(ms)),
            last_proof_at: Set(evidence.last_proof_at.map(ms)),
            round_trip_ms: Set(evidence.round_trip_ms),
            misses: Set(evidence.misses),
            answers: Set(evidence.answers),
            was_down: Set(evidence.was_down),
            peer_view: Set(evidence.peer_view.map(|view| view.as_str().to_owned())),
            last_failure: Set(evidence.last_failure.clone()),
            shown: Set(shown.map(|status| status.as_str().to_owned())),
        };
        if first {
            direction::Entity::insert(row).exec_without_returning(&self.txn).await?;
        } else {
            direction::Entity::update(row).exec(&self.txn).await?;
        }
        Ok(())
    }

    /// Forgets the evidence of a connection's directions: nothing is begun.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn reset_directions(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        for way in Way::ALL {
            self.save_evidence(id, *way, &Evidence::default(), None, false).await?;
        }
        Ok(())
    }

    /// A connection's settings.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settings(&self, id: ConnectionId) -> Result<SettingsRecord, StoreError> {
        let row = settings::Entity::find_by_id(id.0).one(&self.txn).await?;
        Ok(row.map(settings_from).transpose()?.unwrap_or_default())
    }

    /// Saves a connection's settings, if nobody changed them since they were read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_settings(
        &mut self,
        id: ConnectionId,
        record: &SettingsRecord,
    ) -> Result<(), StoreError> {
        let row = settings::ActiveModel {
            connection_id: Set(id.0),
            offer: Set(stored::offer_to(&record.settings.offer)),
            choice: Set(stored::choice_to(&record.settings.choice)),
            agreed_digest: Set(record.agreed_digest.map(|digest| digest.to_vec())),
            synced_at: Set(record.synced_at.map(ms)),
            revision: Set(record.revision + 1),
        };
        if record.revision == 0 {
            settings::Entity::insert(row)
                .exec_without_returning(&self.txn)
                .await
                .map_err(|e| unique(e, "settings"))?;
            return Ok(());
        }
        let filter = settings::Column::Revision.eq(record.revision);
        let saved = settings::Entity::update_many()
            .set(row)
            .filter(settings::Column::ConnectionId.eq(id.0))
            .filter(filter);
        if saved.exec(&self.txn).await?.rows_affected == 0 {
            return Err(StoreError::Conflict("settings"));
        }
        Ok(())
    }

    /// What the peer may do here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn service_account(&self, id: ConnectionId) -> Result<Option<ServiceAccount>, StoreError> {
        let filter = service_account::Column::ConnectionId.eq(id.0);
        Ok(service_account::Entity::find().filter(filter).one(&self.txn).await?.map(|row| ServiceAccount {
            id: row.id,
            peer: row.peer_account_id,
            scopes: row.scopes.split(' ').map(str::to_owned).collect(),
            expires_at: at(row.expires_at),
        }))
    }

    /// Makes or renews what the peer may do here.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_service_account(
        &mut self,
        id: ConnectionId,
        account: &ServiceAccount,
    ) -> Result<(), StoreError> {
        let filter = service_account::Column::ConnectionId.eq(id.0);
        service_account::Entity::delete_many().filter(filter).exec(&self.txn).await?;
        let row = service_account::ActiveModel {
            id: Set(account.id),
            connection_id: Set(id.0),
            peer_account_id: Set(account.peer),
            scopes: Set(account.scopes.join(" ")),
            created_at: Set(self.now_ms()),
            expires_at: Set(ms(account.expires_at)),
        };
        service_account::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// How many attempts exist whose connection is not being onboarded.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stale_attempts(&self, connection: Option<ConnectionId>) -> Result<u64, StoreError> {
        let Some(connection) = connection else { return Ok(0) };
        Ok(attempt::Entity::find()
            .filter(attempt::Column::ConnectionId.eq(connection.0))
            .filter(
                attempt::Column::State.is_in([AttemptState::Running.as_str(), AttemptState::Failed.as_str()]),
            )
            .order_by_asc(attempt::Column::Number)
            .count(&self.txn)
            .await?)
    }
}

/// The directions of these connections.
pub(super) async fn directions(
    conn: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(ConnectionId, Way, Evidence)>, StoreError> {
    let rows = direction::Entity::find().filter(direction::Column::ConnectionId.is_in(ids.iter().copied()));
    let mut found = Vec::new();
    for row in rows.all(conn).await? {
        let id = ConnectionId(row.connection_id);
        let (way, evidence) = evidence_from(row)?;
        found.push((id, way, evidence));
    }
    Ok(found)
}

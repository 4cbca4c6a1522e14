//! Connections, their attempts, directions, settings and service accounts.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use serde_json::json;

use super::change::{ChangeKind, SubjectKind};
use super::registration::bytes;
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, ms, unique};
use crate::domain::connection::{Connection, ConnectionState, Ending, Part, Peer, State};
use crate::domain::direction::{Evidence, Way};
use crate::domain::heartbeat::Line;
use crate::domain::id::{
    AttemptId, ChannelId, CompanyId, ConnectionId, InstanceId, LinkId, RegistrationId, ScanId, UserId,
};
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::scan::Subject;
use entity::{attempt, connection};

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
            reason: row.suspend_reason.clone(),
            suspects: row.clone_suspected,
        },
        ConnectionState::Offboarding => State::Offboarding { ending: ending_of(&row)? },
        ConnectionState::Offboarded => State::Offboarded {
            ending: ending_of(&row)?,
            at: time(row.ended_at, "ended_at")?,
            peer_told: row.peer_told.ok_or_else(|| wrong("peer_told"))?,
        },
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
            identity_seq: row.identity_seq,
        },
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        revision: row.revision,
        attempts: row.attempts,
        channel: row.channel_id.map(ChannelId),
        agreements: row.agreements,
        survivor: row.survivor_line.zip(row.survivor_since).map(|(id, since)| Line { id, since }),
        state,
    })
}

fn ending_of(row: &connection::Model) -> Result<Ending, StoreError> {
    let wrong = |column| inconsistent("connection", row.id, column);
    Ok(Ending {
        at: row.offboard_at.map(at).ok_or_else(|| wrong("offboard_at"))?,
        by_peer: row.offboard_by_peer.ok_or_else(|| wrong("offboard_by_peer"))?,
        reason: row.offboard_reason.clone(),
        onboarded_at: row.onboarded_at.map(at),
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
        _ => connection.ending().and_then(|ending| ending.onboarded_at),
    };
    let (pause, ending) = (connection.pause(), connection.ending());
    let (ended, told) = match state {
        State::Offboarded { at, peer_told, .. } => (Some(*at), Some(*peer_told)),
        _ => (None, None),
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
        identity_seq: Set(peer.identity_seq),
        state: Set(state.name().as_str().to_owned()),
        scan_id: Set(scan.map(|id| id.0)),
        then_start: Set(then_start.map(|id| id.0)),
        attempt_id: Set(attempt),
        validated_at: Set(validated.map(ms)),
        onboarded_at: Set(onboarded.map(ms)),
        suspended_at: Set(pause.as_ref().map(|pause| ms(pause.at))),
        clone_suspected: Set(pause.as_ref().is_some_and(|pause| pause.suspects)),
        suspend_reason: Set(pause.and_then(|pause| pause.reason)),
        offboard_at: Set(ending.map(|ending| ms(ending.at))),
        offboard_reason: Set(ending.and_then(|ending| ending.reason.clone())),
        offboard_by_peer: Set(ending.map(|ending| ending.by_peer)),
        peer_told: Set(told),
        survivor_line: Set(connection.survivor.map(|line| line.id)),
        survivor_since: Set(connection.survivor.map(|line| line.since)),
        agreements: Set(connection.agreements),
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

    /// The other connections to this origin that stand or are being made.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn rival_connections(
        &self,
        origin: &Origin,
        part: Part,
        except: Option<ConnectionId>,
    ) -> Result<Vec<Connection>, StoreError> {
        let mut query = connection::Entity::find()
            .filter(connection::Column::Origin.eq(origin.to_string()))
            .filter(connection::Column::Part.eq(part.as_str()))
            .filter(connection::Column::State.ne(ConnectionState::Offboarded.as_str()));
        if let Some(id) = except {
            query = query.filter(connection::Column::Id.ne(id.0));
        }
        query.all(&self.txn).await?.into_iter().map(from_row).collect()
    }

    /// The connections that attempts on a registration began and did not bring to an end.
    ///
    /// # Errors
    /// As [`Tx::connection`].
    pub async fn unfinished_connections(
        &self,
        registration: RegistrationId,
    ) -> Result<Vec<Connection>, StoreError> {
        let query = connection::Entity::find()
            .filter(connection::Column::RegistrationId.eq(registration.0))
            .filter(connection::Column::State.eq(ConnectionState::Onboarding.as_str()));
        query.all(&self.txn).await?.into_iter().map(from_row).collect()
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
        let blank: Vec<_> = Way::ALL.iter().map(|way| (connection.id, *way, Evidence::default())).collect();
        self.save_evidence(&blank).await?;
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

    /// Forgets what a connection that was taken down held: what was agreed, what its peer may do here, what was said last,
    /// and all work about it. What it was, and what was seen of it, stays.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn empty_connection(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let id = connection.id.0;
        // In the order in which the watch writes what it saw, or the two would wait for each other.
        self.reset_directions(connection.id).await?;
        self.forget_work(id).await?;
        self.discard_unfinished_attempts(connection.id).await?;
        self.forget_settings(connection.id).await?;
        self.set_link_secret(connection.id, None).await?;
        let accounts = entity::service_account::Column::ConnectionId.eq(id);
        entity::service_account::Entity::delete_many().filter(accounts).exec(&self.txn).await?;
        entity::verification::Entity::delete_by_id(id).exec(&self.txn).await?;
        entity::handshake::Entity::delete_by_id(id).exec(&self.txn).await?;
        let messages = entity::message::Column::ConnectionId.eq(id);
        entity::message::Entity::delete_many().filter(messages).exec(&self.txn).await?;
        self.cancel_scans(Subject::Connection(connection.id), connection.company).await?;
        self.close_issues(Subject::Connection(connection.id), connection.company, &[]).await
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
        self.close_issues(Subject::Connection(connection.id), connection.company, &[]).await?;
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
}

//! What one side of a connection holds, told to the other over the sealed channel, so that both can be compared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::settings_digest;
use super::{Actions, Call, Done, Failure, SOFTWARE};
use crate::domain::check::CheckCode;
use crate::domain::connection::{Connection, Part};
use crate::domain::effect::Work;
use crate::domain::id::{ConnectionId, ScanId};
use crate::domain::link::hex;
use crate::domain::refusal::Refusal;
use crate::domain::scan::{Comparison, Subject};
use crate::store::Tx;

/// The longest text of an answer that is looked at, in characters.
const TEXT_MAX: usize = 200;
/// The most keys of an answer that are looked at.
const KEYS_MAX: usize = 50;

/// A [`Comparison`] on the wire. Fields may be added; a reader ignores those it does not know.
#[derive(Serialize, Deserialize)]
struct Held {
    keys: Vec<String>,
    settings: String,
    software: String,
    peer_software: Option<String>,
    /// Whether this side is about to sync the settings.
    #[serde(default)]
    syncing: bool,
}

impl Actions {
    /// What this side holds of a connection.
    pub(super) async fn held(&self, tx: &Tx, connection: &Connection) -> Done<Comparison> {
        let keys = match connection.channel {
            None => Vec::new(),
            Some(channel) => {
                let mut keys = tx.keys(&Self::channel_module(channel)).await?;
                keys.sort_by_key(|key| key.version);
                let channel = hex(&channel.bytes());
                keys.iter().map(|key| format!("{channel}/{} {}", key.version, key.state)).collect()
            }
        };
        let mut settings = tx.settings(connection.id).await?.settings;
        if connection.part == Part::Provider {
            // What we publish is the same for all; what the consumer took of it is its own copy.
            settings.offer = tx.offer().await?;
        }
        Ok(Comparison {
            keys,
            settings: hex(&settings_digest(&settings)),
            software: SOFTWARE.to_owned(),
            peer_software: connection.peer.version.clone(),
        })
    }

    /// Answers the other side's question what we hold.
    pub(super) async fn answer_comparison(&self, tx: &Tx, connection: &Connection) -> Done<Value> {
        let Comparison { keys, settings, software, peer_software } = self.held(tx, connection).await?;
        let syncing = tx.has_due_work(&[Work::SyncSettings(connection.id)]).await?;
        let held = Held { keys, settings, software, peer_software, syncing };
        serde_json::to_value(held).map_err(|_| Failure::Bug("comparison"))
    }

    /// Reads the other side's answer.
    pub(crate) fn read_comparison(&self, answer: Value) -> Done<Comparison> {
        let malformed =
            || Refusal::invalid("compare", "The other side's answer is not of the form agreed on.");
        let held: Held = serde_json::from_value(answer).map_err(|_| malformed())?;
        let line =
            |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect() };
        Ok(Comparison {
            keys: held.keys.iter().take(KEYS_MAX).map(|key| line(key)).collect(),
            settings: line(&held.settings),
            software: line(&held.software),
            peer_software: held.peer_software.as_deref().map(line),
        })
    }

    /// The connection that this scan asks about its settings and nothing else, where the other side is the one that
    /// syncs them.
    pub(crate) async fn settings_of_peer(&self, call: &Call, id: ScanId) -> Done<Option<ConnectionId>> {
        let tx = self.begin_reading("scan.read", call).await?;
        let Some(scan) = tx.scan(id).await? else { return Ok(None) };
        let (Some(CheckCode::SettingsAgree), Subject::Connection(id)) = (scan.only, scan.subject) else {
            return Ok(None);
        };
        let connection = tx.connection(id).await?;
        Ok(connection.filter(|connection| connection.part == Part::Provider).map(|_| id))
    }

    /// Whether the other side answers that it is about to sync the settings.
    pub(crate) fn is_syncing(&self, answer: Value) -> bool {
        serde_json::from_value::<Held>(answer).is_ok_and(|held| held.syncing)
    }

    /// Where to ask a connection's other side again who it is.
    pub(crate) async fn peer_origin(
        &self,
        call: &Call,
        id: ConnectionId,
    ) -> Done<Option<crate::domain::origin::Origin>> {
        let tx = self.begin("connection.read", call).await?;
        Ok(tx.connection(id).await?.map(|connection| connection.peer.origin))
    }
}

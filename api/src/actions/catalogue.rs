//! What this instance publishes as a provider: definitions of record producers and tasks, for all its consumers.

use serde_json::json;

use super::{Actions, Call, Done, Failure, field_schema};
use crate::domain::effect::Work;
use crate::domain::id::{ConnectionId, DefinitionId};
use crate::domain::refusal::Refusal;
use crate::domain::settings::{Definition, DefinitionKind, Difference};
use crate::store::{NewJob, PublishedDefinition, Tx};

/// To how many consumers the work of telling them is written in one transaction.
const TELL_AT_ONCE: u64 = 500;

/// What somebody wants to publish.
#[derive(Clone, Debug)]
pub struct DefinitionDraft {
    /// The definition to change; none for another one.
    pub id: Option<DefinitionId>,
    /// What it defines; does not change afterwards.
    pub kind: DefinitionKind,
    /// Unique among its kind.
    pub name: String,
    /// For people.
    pub description: String,
    /// The fields, as JSON Schema.
    pub fields: String,
}

impl Actions {
    /// Publishes a definition, or a change of it, and tells all consumers.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `DUPLICATE` for a name that is taken, `CONFLICT`, `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`.
    pub async fn save_definition(
        &self,
        call: &Call,
        draft: DefinitionDraft,
        expected: Option<i64>,
    ) -> Done<PublishedDefinition> {
        call.requester.operator()?;
        let mut tx = self.begin("definition.save", call).await?;
        // First, so that two who publish at once are in an order, and each sees what the other published.
        tx.next_offer().await?;
        let (before, after) = drafted(&tx, draft).await?;
        conflict(before.as_ref(), expected)?;
        if before.as_ref().is_some_and(|before| before.definition == after.definition) {
            return Ok(after);
        }
        let saved = tx.save_definition(after).await?;
        tx.offer().await?.check()?;
        let details = json!({
            "kind": saved.kind.as_str(), "name": saved.definition.name, "version": saved.definition.version,
        });
        tx.audit("definition.save", "DEFINITION", saved.id, "OK", details);
        tx.enqueue(NewJob { work: Work::Publish, run_at: tx.now(), sealed: None }).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// What [`Actions::save_definition`] would change; nothing is stored.
    ///
    /// # Errors
    /// As [`Actions::save_definition`].
    pub async fn preview_definition(
        &self,
        call: &Call,
        draft: DefinitionDraft,
        expected: Option<i64>,
    ) -> Done<Vec<Difference>> {
        call.requester.operator()?;
        let tx = self.begin("definition.preview", call).await?;
        let (before, after) = drafted(&tx, draft).await?;
        conflict(before.as_ref(), expected)?;
        Ok(Difference::between(before.as_ref().map(|before| &before.definition), Some(&after.definition)))
    }

    /// Withdraws a definition; at consumers it is no longer active. Answers what it was.
    ///
    /// # Errors
    /// `CONFLICT`, `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`.
    pub async fn withdraw_definition(
        &self,
        call: &Call,
        id: DefinitionId,
        expected: Option<i64>,
    ) -> Done<PublishedDefinition> {
        call.requester.operator()?;
        let mut tx = self.begin("definition.withdraw", call).await?;
        tx.next_offer().await?;
        let published = published(&tx, id).await?;
        conflict(Some(&published), expected)?;
        tx.delete_definition(&published).await?;
        let details = json!({ "kind": published.kind.as_str(), "name": published.definition.name });
        tx.audit("definition.withdraw", "DEFINITION", id, "OK", details);
        tx.enqueue(NewJob { work: Work::Publish, run_at: tx.now(), sealed: None }).await?;
        tx.commit().await?;
        Ok(published)
    }

    /// Writes the work of telling every consumer that what we publish changed. Those that have no keys yet hear of it
    /// when their settings are synced for the first time.
    pub(crate) async fn publish(&self, call: &Call) -> Done<()> {
        let mut beyond: Option<ConnectionId> = None;
        loop {
            let mut tx = self.begin("definition.publish", call).await?;
            let consumers = tx.consumers_to_tell(beyond, TELL_AT_ONCE).await?;
            let Some(last) = consumers.last().copied() else { return Ok(()) };
            for id in consumers {
                let work = Work::SyncSettings(id);
                tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
            }
            tx.commit().await?;
            beyond = Some(last);
        }
    }
}

async fn published(tx: &Tx, id: DefinitionId) -> Done<PublishedDefinition> {
    Ok(tx.definition(id).await?.ok_or_else(|| Refusal::not_found("definition").field("definitionId"))?)
}

fn conflict(before: Option<&PublishedDefinition>, expected: Option<i64>) -> Result<(), Refusal> {
    match (before, expected) {
        (Some(before), Some(expected)) if before.revision != expected => Err(Refusal::conflict("definition")),
        (Some(_) | None, _) => Ok(()),
    }
}

/// What a draft makes of what is published: the definition before, if there is one, and afterwards.
async fn drafted(
    tx: &Tx,
    draft: DefinitionDraft,
) -> Done<(Option<PublishedDefinition>, PublishedDefinition)> {
    let fields = field_schema::read(&draft.fields)?;
    let (name, description) = (draft.name.trim().to_owned(), draft.description.trim().to_owned());
    let Some(id) = draft.id else {
        let after = PublishedDefinition {
            id: DefinitionId(tx.uuid()?),
            kind: draft.kind,
            definition: Definition { name, description, version: 1, fields },
            created_at: tx.now(),
            updated_at: tx.now(),
            revision: 0,
        };
        after.definition.check()?;
        return Ok((None, after));
    };
    let before = published(tx, id).await?;
    if before.kind != draft.kind {
        let message = "A definition stays what it is. Withdraw it, and publish another one.";
        return Err(Refusal::invalid("kind", message).into());
    }
    let version = if before.definition.fields == fields {
        before.definition.version
    } else {
        before.definition.version.checked_add(1).ok_or(Failure::Bug("version"))?
    };
    let definition = Definition { name, description, version, fields };
    definition.check()?;
    Ok((Some(before.clone()), PublishedDefinition { definition, ..before }))
}

//! Definitions that this instance publishes as a provider, for all its consumers.

use async_graphql::{Context, ID, Object, Result};

use super::ask::{Ask, named, ours};
use super::id::Kind;
use super::page::{List, Window, cost, list};
use super::settings::DifferencePreview;
use super::words::DefinitionKind;
use crate::actions::{DefinitionDraft, Done};
use crate::domain::Timestamp;
use crate::domain::id::DefinitionId;
use crate::store::PublishedDefinition as Record;

/// A definition that this instance publishes as a provider, for all its consumers.
pub(super) struct PublishedDefinition(pub(super) Record);

/// A definition that this instance publishes as a provider, for all its consumers.
#[Object]
impl PublishedDefinition {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Definition.id(self.0.id.0)
    }

    /// What it defines.
    async fn kind(&self) -> DefinitionKind {
        self.0.kind.into()
    }

    /// The kind in words.
    async fn kind_label(&self) -> &'static str {
        self.0.kind.label()
    }

    /// Unique among its kind.
    async fn name(&self) -> &str {
        &self.0.definition.name
    }

    /// What it is, for people.
    async fn description(&self) -> &str {
        &self.0.definition.description
    }

    /// Grows by one with every change of its fields.
    async fn version(&self) -> u32 {
        self.0.definition.version
    }

    /// Its fields: JSON Schema (draft 2020-12) as JSON text.
    async fn field_schema(&self) -> &str {
        self.0.definition.fields.as_str()
    }

    /// When it was first published.
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

input! {
    /// The definition to publish, or its change.
    SaveDefinitionInput {
        /// The definition to change; a further one is published when this is left out.
        definition_id: Option<ID>,
        /// What it defines; cannot be changed later.
        kind: DefinitionKind,
        /// Unique among its kind, 1 to 100 printable characters.
        name: String,
        /// What it is, for people: at most 500 printable characters.
        description: String,
        /// Its fields: JSON Schema (draft 2020-12) as JSON text, at most 16 KiB. Taken are `type` (object, array,
        /// string, integer, number, boolean), `title`, `description`, `properties`, `required`,
        /// `additionalProperties: false`, `items`, `minItems`, `maxItems`, `minLength`, `maxLength`, `enum` and `format`
        /// of texts, `minimum` and `maximum` in whole numbers; at most 4 schemas deep and 200 in all. Another keyword is
        /// refused.
        field_schema: String,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

impl SaveDefinitionInput {
    fn draft(&self) -> Done<DefinitionDraft> {
        let id = self.definition_id.as_ref();
        Ok(DefinitionDraft {
            id: id.map(|id| named::<DefinitionId>(Kind::Definition, "definitionId", id)).transpose()?,
            kind: self.kind.into(),
            name: self.name.clone(),
            description: self.description.clone(),
            fields: self.field_schema.clone(),
        })
    }
}

input! {
    /// The definition to withdraw.
    WithdrawDefinitionInput {
        /// The definition.
        definition_id: ID,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

payload! {
    /// What became of publishing or withdrawing a definition.
    DefinitionPayload {
        /// The definition afterwards, or as it was before it was withdrawn; null when it was refused.
        definition: PublishedDefinition
    }
}

/// Queries of what is published.
#[derive(Default)]
pub(super) struct DefinitionQuery;

#[Object]
impl DefinitionQuery {
    /// Definitions that this instance publishes as a provider, the newest first; empty for those who may not see
    /// everything of this instance.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn definitions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this kind.")] kind: Option<DefinitionKind>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<PublishedDefinition>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let slice = ask.reader().definitions(kind.map(Into::into), page).await.map_err(ours)?;
        Ok(list(slice, |definition| definition.id.0, PublishedDefinition))
    }

    /// What `saveDefinition` would change with this input; nothing is stored.
    #[graphql(complexity = "20 + child_complexity")]
    async fn definition_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be published.")] input: SaveDefinitionInput,
    ) -> Result<DifferencePreview> {
        let ask = Ask::new(ctx)?;
        let done =
            async { ask.actions.preview_definition(ask.call, input.draft()?, input.expected_revision).await };
        Ok(DifferencePreview::new(ask.settle(done.await)?))
    }
}

/// Mutations of what is published.
#[derive(Default)]
pub(super) struct DefinitionMutation;

#[Object]
impl DefinitionMutation {
    /// Publishes a definition, or a change of it, to all consumers.
    async fn save_definition(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The definition.")] input: SaveDefinitionInput,
    ) -> Result<DefinitionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.save_definition(&call, input.draft()?, input.expected_revision).await
        });
        Ok(DefinitionPayload::new(done.await?, PublishedDefinition))
    }

    /// Withdraws a definition: consumers can take it no more, and where it was active it is not any more.
    async fn withdraw_definition(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: WithdrawDefinitionInput,
    ) -> Result<DefinitionPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Definition, "definitionId", &input.definition_id)?;
            ask.actions.withdraw_definition(&call, id, input.expected_revision).await
        });
        Ok(DefinitionPayload::new(done.await?, PublishedDefinition))
    }
}

//! Writes fields that are selected several times as one.
//!
//! The executor runs every selection it meets, the same field twice if two fragments ask for it, a mutation too; what
//! has one name is one field and runs once (GraphQL, 6.3.2 and 6.3.3). This is done once for a document, before it is
//! remembered. Selections under a condition (a directive, or a type that may be another one) are left as they are.

use std::collections::HashMap;

use apollo_compiler::Schema;
use apollo_compiler::ast::OperationType;
use async_graphql::parser::types::{
    self, ExecutableDocument, FragmentDefinition, Selection, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Positioned};

/// Merges what is the same field in each operation and fragment of a document. The document has to be valid, and of
/// known size: fragments are written out.
pub(super) fn merge(document: &mut ExecutableDocument, schema: &Schema) {
    let fragments = document.fragments.clone();
    let merge = Merge { schema, fragments: &fragments };
    for operation in operations(document) {
        let kind = match operation.node.ty {
            types::OperationType::Query => OperationType::Query,
            types::OperationType::Mutation => OperationType::Mutation,
            types::OperationType::Subscription => OperationType::Subscription,
        };
        if let Some(root) = schema.root_operation(kind) {
            merge.set(&mut operation.node.selection_set.node, root.as_str());
        }
    }
    for fragment in document.fragments.values_mut() {
        let on = fragment.node.type_condition.node.on.node.clone();
        merge.set(&mut fragment.node.selection_set.node, &on);
    }
}

fn operations(document: &mut ExecutableDocument) -> Vec<&mut Positioned<types::OperationDefinition>> {
    match &mut document.operations {
        types::DocumentOperations::Single(operation) => vec![operation],
        types::DocumentOperations::Multiple(operations) => operations.values_mut().collect(),
    }
}

struct Merge<'a> {
    schema: &'a Schema,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
}

impl Merge<'_> {
    fn set(&self, set: &mut SelectionSet, parent: &str) {
        let mut merged = Merged::default();
        self.collect(std::mem::take(&mut set.items), parent, &mut merged);
        for selection in &mut merged.items {
            match &mut selection.node {
                Selection::Field(field) => {
                    // What the schema does not know was not let through; nothing is lost by leaving it alone.
                    if let Ok(known) = self.schema.type_field(parent, field.node.name.node.as_str()) {
                        self.set(&mut field.node.selection_set.node, known.ty.inner_named_type());
                    }
                }
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(name_of).cloned();
                    self.set(&mut inline.node.selection_set.node, on.as_deref().unwrap_or(parent));
                }
                Selection::FragmentSpread(_) => {}
            }
        }
        set.items = merged.items;
    }

    fn collect(&self, selections: Vec<Positioned<Selection>>, parent: &str, merged: &mut Merged) {
        for selection in selections {
            match selection.node {
                Selection::InlineFragment(inline)
                    if inline.node.directives.is_empty()
                        && inline.node.type_condition.as_ref().is_none_or(|on| *name_of(on) == parent) =>
                {
                    self.collect(inline.node.selection_set.node.items, parent, merged);
                }
                Selection::FragmentSpread(ref spread) if spread.node.directives.is_empty() => {
                    match self.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) if *name_of(&fragment.node.type_condition) == parent => {
                            self.collect(fragment.node.selection_set.node.items.clone(), parent, merged);
                        }
                        Some(_) | None => merged.items.push(selection),
                    }
                }
                Selection::Field(_) | Selection::InlineFragment(_) | Selection::FragmentSpread(_) => {
                    merged.add(selection);
                }
            }
        }
    }
}

fn name_of(condition: &Positioned<TypeCondition>) -> &Name {
    &condition.node.on.node
}

#[derive(Default)]
struct Merged {
    items: Vec<Positioned<Selection>>,
    /// Where the unconditional fields are, by their names in the answer.
    places: HashMap<Name, usize>,
}

impl Merged {
    fn add(&mut self, selection: Positioned<Selection>) {
        if let Selection::Field(field) = &selection.node
            && field.node.directives.is_empty()
        {
            let name = field.node.response_key().node.clone();
            if let Some(Selection::Field(first)) =
                self.places.get(&name).and_then(|&place| self.items.get_mut(place)).map(|item| &mut item.node)
            {
                // Validation made sure that field and arguments are the same.
                first
                    .node
                    .selection_set
                    .node
                    .items
                    .extend(field.node.selection_set.node.items.iter().cloned());
                return;
            }
            self.places.insert(name, self.items.len());
        }
        self.items.push(selection);
    }
}

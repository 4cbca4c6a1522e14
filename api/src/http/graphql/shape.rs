//! Gives a result the shape that its operation promises.
//!
//! The executor leaves a field out when it fails, puts fields in the order in which they became ready, and answers null
//! for an object without fields. Clients are told otherwise (GraphQL, 6.4.4 and 7.1): a field that failed is null, and
//! so is its parent if it must not be null; the order is that of the document.

use std::collections::HashMap;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::Type;
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, PathSegment, ServerError, Value};

/// The fields of an object, by the names they have in the answer.
#[derive(Default)]
pub(super) struct Shape {
    fields: HashMap<Name, Field>,
}

struct Field {
    place: usize,
    kind: Type,
    shape: Shape,
}

impl Shape {
    /// The shape of an operation's answer.
    pub(super) fn of(operation: &Operation, document: &ExecutableDocument) -> Self {
        Self::merge(&[&operation.selection_set], document)
    }

    /// What is selected under one name is one field (GraphQL, 6.3.2). Type conditions need not be looked at: two
    /// fields that could both be there agree in name, and validation made sure that they agree in nullability.
    fn merge(sets: &[&SelectionSet], document: &ExecutableDocument) -> Self {
        let mut places = Vec::new();
        let mut parts: HashMap<&str, (&Type, Vec<&SelectionSet>)> = HashMap::new();
        let mut waiting: Vec<&Selection> =
            sets.iter().rev().flat_map(|set| set.selections.iter().rev()).collect();
        while let Some(selection) = waiting.pop() {
            match selection {
                Selection::Field(field) => {
                    let name = field.response_key().as_str();
                    let part = parts.entry(name).or_insert_with(|| {
                        places.push(name);
                        (field.ty(), Vec::new())
                    });
                    part.1.push(&field.selection_set);
                }
                Selection::InlineFragment(inline) => {
                    waiting.extend(inline.selection_set.selections.iter().rev());
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = spread.fragment_def(document) {
                        waiting.extend(fragment.selection_set.selections.iter().rev());
                    }
                }
            }
        }
        let field = |(place, name): (usize, &str)| {
            let (kind, sets) = &parts[name];
            (Name::new(name), Field { place, kind: (*kind).clone(), shape: Self::merge(sets, document) })
        };
        Self { fields: places.into_iter().enumerate().map(field).collect() }
    }

    /// Brings the `data` of an answer into shape.
    pub(super) fn complete(&self, data: &mut Value, errors: &[ServerError]) {
        if *data == Value::Null {
            *data = Value::Object(IndexMap::new());
        }
        let paths: Vec<&[PathSegment]> =
            errors.iter().map(|error| error.path.as_slice()).filter(|path| !path.is_empty()).collect();
        if let Value::Object(fields) = data
            && !self.object(fields, &paths)
        {
            *data = Value::Null;
        }
    }

    /// False when the object has to be null.
    fn object(&self, values: &mut IndexMap<Name, Value>, paths: &[&[PathSegment]]) -> bool {
        for path in paths {
            if let [PathSegment::Field(name), ..] = path
                && self.fields.contains_key(name.as_str())
            {
                values.entry(Name::new(name)).or_insert(Value::Null);
            }
        }
        for (name, value) in values.iter_mut() {
            let Some(field) = self.fields.get(name) else { continue };
            let inner =
                below(paths, |segment| matches!(segment, PathSegment::Field(at) if at == name.as_str()));
            if !field.shape.value(value, &field.kind, &inner) {
                return false;
            }
        }
        let place = |name: &Name| self.fields.get(name).map_or(usize::MAX, |field| field.place);
        if !values.keys().map(place).is_sorted() {
            values.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
        }
        true
    }

    /// False when the value is null where it must not be.
    fn value(&self, value: &mut Value, kind: &Type, paths: &[&[PathSegment]]) -> bool {
        let whole = match value {
            Value::Object(fields) => self.fields.is_empty() || self.object(fields, paths),
            Value::List(items) => items.iter_mut().enumerate().all(|(index, item)| {
                let inner = below(paths, |segment| matches!(segment, PathSegment::Index(at) if *at == index));
                self.value(item, kind.item_type(), &inner)
            }),
            // Nothing failed here, so this is an object of which every field was skipped.
            Value::Null
                if paths.is_empty() && kind.is_non_null() && !kind.is_list() && !self.fields.is_empty() =>
            {
                *value = Value::Object(IndexMap::new());
                true
            }
            _ => true,
        };
        if !whole {
            *value = Value::Null;
        }
        *value != Value::Null || !kind.is_non_null() || (paths.is_empty() && whole)
    }
}

/// The rest of the paths that go on through `here`. One that ends here stays, empty: something failed at this place.
fn below<'a>(paths: &[&'a [PathSegment]], here: impl Fn(&PathSegment) -> bool) -> Vec<&'a [PathSegment]> {
    paths.iter().filter(|path| path.first().is_some_and(&here)).map(|path| &path[1..]).collect()
}

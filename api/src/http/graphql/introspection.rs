//! Weighs what a document asks about the schema, before it is answered.
//!
//! The standard introspection query is the costliest question that has a use. The same question under twenty aliases, or
//! types of fields of types of fields, fits into a few hundred bytes and is computed in one stretch, which no time-out
//! interrupts. So the answer is counted out beforehand, value by value, as far as the limit.

use std::collections::HashMap;

use apollo_compiler::ast::{
    DirectiveDefinition, EnumValueDefinition, FieldDefinition, InputValueDefinition, OperationType, Type,
    Value,
};
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use apollo_compiler::schema::{ExtendedType, Implementers};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Name, Schema};

use super::document::SchemaError;
use super::error::RequestError;

/// The introspection query of graphql-js with every option, from which code generators and GraphiQL work.
pub(super) const STANDARD: &str = "query IntrospectionQuery { __schema { description queryType { name kind } \
    mutationType { name kind } subscriptionType { name kind } types { ...FullType } directives { name description \
    isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } } fragment FullType on __Type { kind name \
    description specifiedByURL isOneOf fields(includeDeprecated: true) { name description args(includeDeprecated: true) \
    { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields(includeDeprecated: true) \
    { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated \
    deprecationReason } possibleTypes { ...TypeRef } } fragment InputValue on __InputValue { name description type \
    { ...TypeRef } defaultValue isDeprecated deprecationReason } fragment TypeRef on __Type { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name } } } } } } } } } }";
/// How much of a description weighs as much as one other value, in bytes.
const TEXT: usize = 32;

/// Knows how much may be asked about one schema.
pub(super) struct Limit {
    implementers: HashMap<Name, Implementers>,
    most: usize,
}

impl Limit {
    /// The standard introspection query, and half as much again: some clients add `__typename` everywhere.
    ///
    /// # Errors
    /// When the schema has no introspection.
    pub(super) fn of(schema: &Valid<Schema>) -> Result<Self, SchemaError> {
        let standard = ExecutableDocument::parse_and_validate(schema, STANDARD, "introspection.graphql")
            .map_err(|problem| SchemaError(problem.errors.to_string()))?;
        let implementers = schema.implementers_map().into_iter().collect();
        let mut scale = Scale { schema, document: &standard, implementers: &implementers, left: usize::MAX };
        scale.document();
        let weight = usize::MAX - scale.left;
        Ok(Self { most: weight.saturating_add(weight / 2), implementers })
    }

    /// Refuses a document, all of its operations together, that asks for more.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub(super) fn check(&self, schema: &Schema, document: &ExecutableDocument) -> Result<(), RequestError> {
        let mut scale = Scale { schema, document, implementers: &self.implementers, left: self.most };
        scale.document().ok_or_else(|| {
            let message =
                "The document asks for more of the schema at once than the standard introspection query.";
            RequestError::limit(message.to_owned())
        })
    }
}

/// Something of the schema that has fields.
#[derive(Clone)]
enum Place<'a> {
    Schema,
    Type(&'a ExtendedType),
    /// A list or non-null type of this one.
    Wrapper(Type),
    Field(&'a FieldDefinition),
    Input(&'a InputValueDefinition),
    Value(&'a EnumValueDefinition),
    Directive(&'a DirectiveDefinition),
}

struct Scale<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    implementers: &'a HashMap<Name, Implementers>,
    /// How much more may be asked for. Each step takes at least one, which bounds the steps.
    left: usize,
}

impl<'a> Scale<'a> {
    /// `None` when it is too much; so below.
    fn document(&mut self) -> Option<()> {
        for operation in self.document.operations.iter() {
            for field in operation.root_fields(self.document) {
                let places = match field.name.as_str() {
                    "__schema" => vec![Place::Schema],
                    "__type" => self.named(field),
                    _ => continue,
                };
                self.values(&places, &field.selection_set)?;
            }
        }
        Some(())
    }

    /// The type that a `__type` means; all of them where a variable will say.
    fn named(&self, field: &Field) -> Vec<Place<'a>> {
        match field.specified_argument_by_name("name").map(|value| &**value) {
            Some(Value::String(name)) => self.type_named(name).into_iter().collect(),
            _ => self.schema.types.values().map(Place::Type).collect(),
        }
    }

    fn values(&mut self, places: &[Place<'a>], selections: &'a SelectionSet) -> Option<()> {
        for place in places {
            self.left = self.left.checked_sub(1)?;
            self.value(place, selections)?;
        }
        Some(())
    }

    fn value(&mut self, place: &Place<'a>, selections: &'a SelectionSet) -> Option<()> {
        for selection in &selections.selections {
            match selection {
                Selection::Field(field) => {
                    let text = if field.name == "description" { self.description(place) } else { 0 };
                    self.left = self.left.checked_sub(1 + text / TEXT)?;
                    let below = self.below(place, &field.name);
                    self.values(&below, &field.selection_set)?;
                }
                Selection::InlineFragment(inline) => self.value(place, &inline.selection_set)?,
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = spread.fragment_def(self.document) {
                        self.value(place, &fragment.selection_set)?;
                    }
                }
            }
        }
        Some(())
    }

    /// What a field with fields of its own leads to.
    fn below(&self, place: &Place<'a>, field: &str) -> Vec<Place<'a>> {
        let root = |kind| self.schema.root_operation(kind).and_then(|name| self.type_named(name));
        match (place, field) {
            (Place::Schema, "types") => self.schema.types.values().map(Place::Type).collect(),
            (Place::Schema, "directives") => {
                self.schema.directive_definitions.values().map(|it| Place::Directive(it)).collect()
            }
            (Place::Schema, "queryType") => root(OperationType::Query).into_iter().collect(),
            (Place::Schema, "mutationType") => root(OperationType::Mutation).into_iter().collect(),
            (Place::Schema, "subscriptionType") => root(OperationType::Subscription).into_iter().collect(),
            (Place::Type(of), _) => self.below_type(of, field),
            (Place::Wrapper(of), "ofType") => self.type_of(of).into_iter().collect(),
            (Place::Field(of), "args") => of.arguments.iter().map(|it| Place::Input(it)).collect(),
            (Place::Field(of), "type") => self.type_of(&of.ty).into_iter().collect(),
            (Place::Input(of), "type") => self.type_of(&of.ty).into_iter().collect(),
            (Place::Directive(of), "args") => of.arguments.iter().map(|it| Place::Input(it)).collect(),
            _ => Vec::new(),
        }
    }

    fn below_type(&self, of: &'a ExtendedType, field: &str) -> Vec<Place<'a>> {
        let named = |names: &mut dyn Iterator<Item = &'a Name>| {
            names.filter_map(|name| self.type_named(name)).collect()
        };
        match (of, field) {
            (ExtendedType::Object(it), "fields") => it.fields.values().map(|it| Place::Field(it)).collect(),
            (ExtendedType::Interface(it), "fields") => {
                it.fields.values().map(|it| Place::Field(it)).collect()
            }
            (ExtendedType::Object(it), "interfaces") => {
                named(&mut it.implements_interfaces.iter().map(|it| &it.name))
            }
            (ExtendedType::Interface(it), "interfaces") => {
                named(&mut it.implements_interfaces.iter().map(|it| &it.name))
            }
            (ExtendedType::Interface(it), "possibleTypes") => match self.implementers.get(&it.name) {
                Some(them) => named(&mut them.objects.iter()),
                None => Vec::new(),
            },
            (ExtendedType::Union(it), "possibleTypes") => named(&mut it.members.iter().map(|it| &it.name)),
            (ExtendedType::Enum(it), "enumValues") => it.values.values().map(|it| Place::Value(it)).collect(),
            (ExtendedType::InputObject(it), "inputFields") => {
                it.fields.values().map(|it| Place::Input(it)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn type_named(&self, name: &str) -> Option<Place<'a>> {
        self.schema.types.get(name).map(Place::Type)
    }

    fn type_of(&self, of: &Type) -> Option<Place<'a>> {
        match of {
            Type::Named(name) => self.type_named(name),
            Type::NonNullNamed(name) => Some(Place::Wrapper(Type::Named(name.clone()))),
            Type::List(item) => Some(Place::Wrapper((**item).clone())),
            Type::NonNullList(item) => Some(Place::Wrapper(Type::List(item.clone()))),
        }
    }

    /// How long the description of a place is, in bytes.
    fn description(&self, place: &Place<'_>) -> usize {
        let text = match place {
            Place::Schema => self.schema.schema_definition.description.as_ref(),
            Place::Type(of) => of.description(),
            Place::Field(of) => of.description.as_ref(),
            Place::Input(of) => of.description.as_ref(),
            Place::Value(of) => of.description.as_ref(),
            Place::Directive(of) => of.description.as_ref(),
            Place::Wrapper(_) => None,
        };
        text.map_or(0, |text| text.len())
    }
}

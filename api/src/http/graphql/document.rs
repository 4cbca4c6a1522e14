//! From the text of a document to one that is safe to execute, and the memory of those that were.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::ast::{DirectiveList, FieldDefinition, Type};
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::{Parser, SourceMap};
use apollo_compiler::response::{GraphQLError, JsonMap, JsonValue};
use apollo_compiler::schema::{Component, ExtendedType};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Node, Schema, name};
use async_graphql::parser::{parse_query, types};
use async_graphql::{Pos, ServerError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::config::GraphqlConfig;
use super::error::{Code, RequestError, error};
use super::shape::Shape;
use super::{guard, introspection, merge, size};

/// Most problems of one document that are told.
const MOST_ERRORS: usize = 10;
/// Longest message that is told, in characters. A message may hold a name from the document.
const LONGEST_MESSAGE: usize = 300;
/// Text that one entry of the cache stands for, in bytes.
const ENTRY_WEIGHT: u64 = 2048;

/// The schema's description is not one that documents can be checked against.
#[derive(Debug, thiserror::Error)]
#[error("the schema is not valid: {0}")]
pub struct SchemaError(pub(super) String);

/// Checks documents against the schema and remembers the good ones.
pub(super) struct Documents {
    schema: Valid<Schema>,
    introspection: introspection::Limit,
    cache: Cache<[u8; SHA256_OUTPUT_LEN], Arc<Document>, ByLength>,
}

/// A document that passed everything that does not depend on variables.
pub(super) struct Document {
    length: usize,
    executable: Valid<ExecutableDocument>,
    parsed: types::ExecutableDocument,
    /// Of each operation, by its name.
    shapes: HashMap<Option<apollo_compiler::Name>, Arc<Shape>>,
}

impl Documents {
    pub(super) fn new(sdl: &str, entries: usize) -> Result<Self, SchemaError> {
        let schema = Schema::parse_and_validate(sdl, "schema.graphql")
            .map_err(|problem| SchemaError(problem.errors.to_string()))?;
        let schema = with_one_of(schema.into_inner());
        let introspection = introspection::Limit::of(&schema)?;
        let cache = Cache::with_weighter(entries, ENTRY_WEIGHT.saturating_mul(entries as u64), ByLength);
        Ok(Self { schema, introspection, cache })
    }

    /// The checked document for a text. The order matters: nothing walks the document before its size is known.
    pub(super) fn check(&self, text: &str, config: &GraphqlConfig) -> Result<Arc<Document>, RequestError> {
        let key = key(text);
        if let Some(document) = self.cache.get(&key) {
            return Ok(document);
        }
        guard::check(text, config.max_nesting, config.max_tokens)?;
        let tree = Parser::new()
            // The parser counts each level of a selection set or value more than once.
            .recursion_limit(config.max_nesting.saturating_mul(8))
            .token_limit(config.max_tokens.saturating_mul(4))
            .parse_ast(text, "document")
            .map_err(|problem| syntax_error(&problem.errors))?;
        size::check(&tree, config)?;
        let executable = tree
            .to_executable_validate(&self.schema)
            .map_err(|problem| validation_errors(&problem.errors))?;
        self.introspection.check(&self.schema, &executable)?;
        let mut parsed = parse_query(text).map_err(|problem| syntax_error_at(problem.positions().next()))?;
        merge::merge(&mut parsed, &self.schema);
        let shapes = executable
            .operations
            .iter()
            .map(|operation| (operation.name.clone(), Arc::new(Shape::of(operation, &executable))));
        let shapes = shapes.collect();
        let document = Arc::new(Document { length: text.len(), executable, parsed, shapes });
        self.cache.insert(key, Arc::clone(&document));
        Ok(document)
    }

    /// Checks the values of variables against their types, defaults and all (GraphQL, 6.1.2).
    pub(super) fn check_variables(
        &self,
        document: &Document,
        operation: &Operation,
        variables: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), RequestError> {
        let JsonValue::Object(values) = JsonValue::from(serde_json::Value::Object(variables.clone())) else {
            return Ok(());
        };
        coerce(&self.schema, operation, &values, &document.executable.sources)
    }
}

/// The validator's introspection types are those of October 2021; the executor and today's tools know one field more.
fn with_one_of(mut schema: Schema) -> Valid<Schema> {
    if let Some(ExtendedType::Object(meta)) = schema.types.get_mut("__Type") {
        let field = FieldDefinition {
            description: None,
            name: name!("isOneOf"),
            arguments: Vec::new(),
            ty: Type::Named(name!("Boolean")),
            directives: DirectiveList::default(),
        };
        meta.make_mut().fields.entry(name!("isOneOf")).or_insert_with(|| Component::new(field));
    }
    Valid::assume_valid(schema)
}

fn coerce(
    schema: &Valid<Schema>,
    operation: &Operation,
    values: &JsonMap,
    sources: &SourceMap,
) -> Result<(), RequestError> {
    apollo_compiler::request::coerce_variable_values(schema, operation, values).map(drop).map_err(|problem| {
        let mut problem = problem.to_graphql_error(sources);
        problem.message = without_value(problem.message);
        RequestError::document(vec![public(&problem)])
    })
}

/// Takes the value out of "could not coerce (place): (value) to type (type)": it may be somebody's password.
fn without_value(message: String) -> String {
    let parts = message.strip_prefix("could not coerce ").and_then(|rest| {
        let (place, rest) = rest.split_once(": ")?;
        let (_value, kind) = rest.rsplit_once(" to type ")?;
        Some(format!("the value of {place} is not of type {kind}"))
    });
    parts.unwrap_or(message)
}

impl Document {
    /// The operation that a request means (GraphQL, 6.1 *GetOperation*).
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&Node<Operation>, RequestError> {
        self.executable.operations.get(name).map_err(|_| {
            RequestError::invalid(match name {
                Some(_) => "The document has no operation of that name.",
                None if self.executable.operations.is_empty() => "The document has no operation.",
                None => "The document has several operations: `operationName` must say which.",
            })
        })
    }

    /// Whether an operation asks for the schema.
    pub(super) fn introspects(&self, operation: &Operation) -> bool {
        operation
            .root_fields(&self.executable)
            .any(|field| field.name == "__schema" || field.name == "__type")
    }

    /// What the answer to an operation of this document looks like.
    pub(super) fn shape(&self, operation: &Operation) -> Arc<Shape> {
        self.shapes.get(&operation.name).map_or_else(Arc::default, Arc::clone)
    }

    /// The form that is executed.
    pub(super) fn parsed(&self) -> types::ExecutableDocument {
        self.parsed.clone()
    }
}

#[derive(Clone)]
struct ByLength;

impl Weighter<[u8; SHA256_OUTPUT_LEN], Arc<Document>> for ByLength {
    fn weight(&self, _key: &[u8; SHA256_OUTPUT_LEN], document: &Arc<Document>) -> u64 {
        document.length as u64
    }
}

fn key(text: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut key = [0; SHA256_OUTPUT_LEN];
    key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    key
}

/// One error with a place and nothing of the document in it.
fn syntax_error(problems: &DiagnosticList) -> RequestError {
    let place = problems.iter().find_map(|problem| problem.line_column_range()).map(|range| range.start);
    syntax_error_at(place.map(|place| Pos { line: place.line, column: place.column }))
}

fn syntax_error_at(place: Option<Pos>) -> RequestError {
    RequestError::document(vec![error(
        Code::InvalidInput,
        "The document is not GraphQL: syntax error.".into(),
        place,
    )])
}

fn validation_errors(problems: &DiagnosticList) -> RequestError {
    RequestError::document(
        problems.iter().take(MOST_ERRORS).map(|problem| public(&problem.to_json())).collect(),
    )
}

fn public(problem: &GraphQLError) -> ServerError {
    let message: String = problem.message.chars().take(LONGEST_MESSAGE).collect();
    let place = problem.locations.first().map(|place| Pos { line: place.line, column: place.column });
    error(Code::InvalidInput, message.into(), place)
}

//! Measures a document as if every fragment spread were written out, without writing it out.
//!
//! Two spreads of a fragment that has two spreads of the next double the work of whatever walks the document; thirty
//! such fragments fit into 2 KB. Each fragment is measured once and remembered.

use std::collections::HashMap;

use apollo_compiler::Node;
use apollo_compiler::ast::{Definition, DirectiveList, Document, FragmentDefinition, Selection};

use super::config::GraphqlConfig;
use super::error::RequestError;

/// Refuses a document that is too large when written out, or whose fragments form a cycle.
///
/// # Errors
/// `LIMIT_EXCEEDED` naming the limit; `INVALID_INPUT` for a cycle.
pub(super) fn check(document: &Document, config: &GraphqlConfig) -> Result<(), RequestError> {
    let mut walk = Walk { fragments: HashMap::new(), measured: HashMap::new(), config };
    for definition in &document.definitions {
        if let Definition::FragmentDefinition(fragment) = definition {
            walk.fragments.entry(fragment.name.as_str()).or_insert(fragment);
        }
    }
    let mut total = Size::default();
    for definition in &document.definitions {
        let Definition::OperationDefinition(operation) = definition else { continue };
        walk.directives(&operation.directives)?;
        for variable in &operation.variables {
            walk.directives(&variable.directives)?;
        }
        let size = walk.selections(&operation.selection_set)?;
        total.beside(size);
        walk.limits(total)?;
    }
    // A cycle among fragments that no operation uses would still be walked by a validator.
    let names: Vec<&str> = walk.fragments.keys().copied().collect();
    for name in names {
        walk.fragment(name)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    aliases: usize,
    /// Levels of fields.
    depth: usize,
    /// Levels of anything, fragments too.
    levels: usize,
}

impl Size {
    fn beside(&mut self, other: Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels.saturating_add(1));
    }
}

enum Measured {
    /// On the way down through it: meeting it again is a cycle.
    Open,
    Done(Size),
}

struct Walk<'a> {
    fragments: HashMap<&'a str, &'a Node<FragmentDefinition>>,
    measured: HashMap<&'a str, Measured>,
    config: &'a GraphqlConfig,
}

impl<'a> Walk<'a> {
    /// Recursion is bounded: by the nesting that the byte guard allows within a definition, and across fragments by
    /// the number of fragments, which the token limit bounds to a few hundred shallow frames.
    fn selections(&mut self, selections: &'a [Selection]) -> Result<Size, RequestError> {
        let mut size = Size::default();
        for selection in selections {
            size.nodes = size.nodes.saturating_add(1);
            match selection {
                Selection::Field(field) => {
                    self.directives(&field.directives)?;
                    let mut inner = self.selections(&field.selection_set)?;
                    inner.depth += 1;
                    inner.aliases = inner.aliases.saturating_add(usize::from(field.alias.is_some()));
                    size.beside(inner);
                }
                Selection::InlineFragment(inline) => {
                    self.directives(&inline.directives)?;
                    let inner = self.selections(&inline.selection_set)?;
                    size.beside(inner);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.directives)?;
                    let inner = self.fragment(spread.fragment_name.as_str())?;
                    size.beside(inner);
                }
            }
            self.limits(size)?;
        }
        Ok(size)
    }

    fn fragment(&mut self, name: &str) -> Result<Size, RequestError> {
        // A fragment that does not exist is the validator's to name.
        let Some((&name, &fragment)) = self.fragments.get_key_value(name) else { return Ok(Size::default()) };
        match self.measured.get(name) {
            Some(Measured::Done(size)) => return Ok(*size),
            Some(Measured::Open) => {
                return Err(RequestError::invalid(format!("The fragment `{name}` contains itself.")));
            }
            None => {}
        }
        self.measured.insert(name, Measured::Open);
        self.directives(&fragment.directives)?;
        let size = self.selections(&fragment.selection_set)?;
        self.measured.insert(name, Measured::Done(size));
        Ok(size)
    }

    fn directives(&self, directives: &DirectiveList) -> Result<(), RequestError> {
        let most = self.config.directives;
        if directives.len() > most {
            return Err(RequestError::limit(format!("There are more than {most} directives in one place.")));
        }
        Ok(())
    }

    fn limits(&self, size: Size) -> Result<(), RequestError> {
        let GraphqlConfig { max_nodes, max_nesting, aliases, depth, .. } = *self.config;
        if size.nodes > max_nodes {
            return Err(RequestError::limit(format!(
                "The document has more than {max_nodes} selections with its fragments written out."
            )));
        }
        if size.aliases > aliases {
            return Err(RequestError::limit(format!(
                "The document has more than {aliases} aliases with its fragments written out."
            )));
        }
        if size.depth > depth {
            return Err(RequestError::limit(format!("The fields are nested more than {depth} levels deep.")));
        }
        if size.levels > max_nesting {
            return Err(RequestError::limit(format!(
                "The fragments are nested more than {max_nesting} levels deep."
            )));
        }
        Ok(())
    }
}

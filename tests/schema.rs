//! The public schema is a file that people read: it is what the code serves, and every part of it says what it means.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use linkspan::domain::refusal::RefusalCode;

const BUILT_IN: [&str; 5] = ["Boolean", "Float", "ID", "Int", "String"];

fn types() -> BTreeMap<String, TypeDefinition> {
    let document = parse_schema(linkspan::graphql::sdl()).unwrap();
    let types = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => {
            Some((definition.node.name.node.to_string(), definition.node))
        }
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    types.collect()
}

fn fields(definition: &TypeDefinition) -> Vec<&FieldDefinition> {
    match &definition.kind {
        TypeKind::Object(object) => object.fields.iter().map(|field| &field.node).collect(),
        TypeKind::Interface(interface) => interface.fields.iter().map(|field| &field.node).collect(),
        TypeKind::Scalar | TypeKind::Union(_) | TypeKind::Enum(_) | TypeKind::InputObject(_) => Vec::new(),
    }
}

fn inputs(definition: &TypeDefinition) -> Vec<&InputValueDefinition> {
    match &definition.kind {
        TypeKind::InputObject(input) => input.fields.iter().map(|field| &field.node).collect(),
        _ => Vec::new(),
    }
}

fn base(of: &Type) -> String {
    match &of.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(item) => base(item),
    }
}

#[test]
fn the_schema_file_is_what_the_code_serves() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema.graphql");
    let text = std::fs::read_to_string(file).unwrap();
    let same = text == linkspan::graphql::sdl();
    assert!(
        same,
        "schema.graphql is not what the code serves: write it anew with `linkspan schema > schema.graphql`"
    );
}

/// Every type, field, argument, input field and enum value, with its description.
fn described() -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for (name, definition) in types() {
        let text =
            |text: &Option<async_graphql::Positioned<String>>| text.as_ref().map(|text| text.node.clone());
        all.push((name.clone(), text(&definition.description)));
        for field in fields(&definition) {
            all.push((format!("{name}.{}", field.name), text(&field.description)));
            for argument in &field.arguments {
                let argument = &argument.node;
                all.push((format!("{name}.{}({})", field.name, argument.name), text(&argument.description)));
            }
        }
        for field in inputs(&definition) {
            all.push((format!("{name}.{}", field.name), text(&field.description)));
        }
        if let TypeKind::Enum(values) = &definition.kind {
            for value in values.values.iter().map(|value| &value.node) {
                all.push((format!("{name}.{}", value.value), text(&value.description)));
            }
        }
    }
    all
}

#[test]
fn every_part_of_the_schema_says_what_it_means() {
    let all = described();
    assert!(all.len() > 500, "only {} parts were found", all.len());
    let silent = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
    let wanting: Vec<_> = all.into_iter().filter(|(_, text)| silent(text)).map(|(name, _)| name).collect();
    assert!(wanting.is_empty(), "no description: {wanting:#?}");
}

#[test]
fn every_type_can_be_reached() {
    let types = types();
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> = ["Query", "Mutation", "Subscription"].map(str::to_owned).to_vec();
    while let Some(name) = next.pop() {
        if BUILT_IN.contains(&name.as_str()) || !reached.insert(name.clone()) {
            continue;
        }
        let definition = types.get(&name).unwrap_or_else(|| panic!("{name} is used and not defined"));
        for field in fields(definition) {
            next.push(base(&field.ty.node));
            next.extend(field.arguments.iter().map(|argument| base(&argument.node.ty.node)));
        }
        next.extend(inputs(definition).iter().map(|field| base(&field.ty.node)));
        match &definition.kind {
            TypeKind::Union(union) => next.extend(union.members.iter().map(|member| member.node.to_string())),
            TypeKind::Interface(_) => {
                let implements = |definition: &TypeDefinition| match &definition.kind {
                    TypeKind::Object(object) => object.implements.iter().any(|of| of.node.as_str() == name),
                    _ => false,
                };
                next.extend(
                    types
                        .iter()
                        .filter(|(_, definition)| implements(definition))
                        .map(|(name, _)| name.clone()),
                );
            }
            TypeKind::Scalar | TypeKind::Object(_) | TypeKind::Enum(_) | TypeKind::InputObject(_) => {}
        }
    }
    let unused: Vec<_> = types.keys().filter(|name| !reached.contains(*name)).collect();
    assert!(unused.is_empty(), "nothing leads to {unused:?}");
}

#[test]
fn every_refusal_code_is_in_the_schema() {
    let types = types();
    let TypeKind::Enum(codes) = &types["RefusalCode"].kind else { panic!("RefusalCode is no enum") };
    let codes: BTreeSet<_> = codes.values.iter().map(|value| value.node.value.node.to_string()).collect();
    let known: BTreeSet<_> = RefusalCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(codes, known);
}

#[test]
fn every_mutation_takes_one_input_with_an_idempotency_key_and_may_answer_a_refusal() {
    let types = types();
    for field in fields(&types["Mutation"]) {
        let name = &field.name.node;
        let arguments: Vec<_> = field.arguments.iter().map(|argument| &argument.node).collect();
        let [input] = arguments.as_slice() else { panic!("{name} takes {} arguments", arguments.len()) };
        assert_eq!(input.name.node, "input", "{name}");
        let keyed =
            inputs(&types[&base(&input.ty.node)]).iter().any(|field| field.name.node == "idempotencyKey");
        assert!(keyed, "{name} takes no idempotencyKey");
        let refusal = fields(&types[&base(&field.ty.node)]).iter().any(|field| field.name.node == "refusal");
        assert!(refusal, "{name} answers no refusal");
    }
}

#[test]
fn everything_that_a_list_returns_has_a_global_id() {
    let types = types();
    let nodes: BTreeSet<_> = types
        .values()
        .filter(|definition| match &definition.kind {
            TypeKind::Object(object) => object.implements.iter().any(|name| name.node == "Node"),
            _ => false,
        })
        .map(|definition| definition.name.node.to_string())
        .collect();
    let edges = types.iter().filter(|(name, _)| name.ends_with("Edge"));
    let listed: Vec<_> = edges
        .map(|(_, edge)| fields(edge).into_iter().find(|field| field.name.node == "node").unwrap())
        .map(|node| base(&node.ty.node))
        .collect();
    assert!(listed.len() > 8, "{listed:?}");
    let wanting: Vec<_> = listed.iter().filter(|name| !nodes.contains(*name)).collect();
    assert!(wanting.is_empty(), "in lists, and no Node: {wanting:?}");
}

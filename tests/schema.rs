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

fn nodes(types: &BTreeMap<String, TypeDefinition>) -> BTreeSet<&str> {
    let is_node = |definition: &&TypeDefinition| match &definition.kind {
        TypeKind::Object(object) => object.implements.iter().any(|name| name.node == "Node"),
        _ => false,
    };
    types.values().filter(is_node).map(|definition| definition.name.node.as_str()).collect()
}

#[test]
fn everything_that_a_list_returns_has_a_global_id() {
    let types = types();
    let nodes = nodes(&types);
    let edges = types.iter().filter(|(name, _)| name.ends_with("Edge"));
    let listed: Vec<_> = edges
        .map(|(_, edge)| fields(edge).into_iter().find(|field| field.name.node == "node").unwrap())
        .map(|node| base(&node.ty.node))
        .collect();
    assert!(listed.len() > 8, "{listed:?}");
    let wanting: Vec<_> = listed.iter().filter(|name| !nodes.contains(name.as_str())).collect();
    assert!(wanting.is_empty(), "in lists, and no Node: {wanting:?}");
}

/// Types with an `id` that `node` does not take, and why.
const IDS_OF_THEIR_OWN: [(&str, &str); 4] = [
    ("AccessDecision", "a UUID that refusals name, kept for 30 days"),
    ("Instance", "there is one, and the id is what peers know it by"),
    ("KeyPerson", "the id is the user's: what key roles see of them"),
    ("Viewer", "the id is the user's or contact's who asks"),
];

#[test]
fn whatever_has_a_global_id_is_a_node() {
    let types = types();
    let nodes = nodes(&types);
    let with_id = types.iter().filter(|(_, definition)| {
        let is_object = matches!(definition.kind, TypeKind::Object(_));
        is_object
            && fields(definition).iter().any(|field| field.name.node == "id" && base(&field.ty.node) == "ID")
    });
    let (known, wanting): (Vec<&str>, Vec<&str>) = with_id
        .map(|(name, _)| name.as_str())
        .filter(|name| !nodes.contains(name))
        .partition(|name| IDS_OF_THEIR_OWN.iter().any(|(known, _)| known == name));
    assert!(wanting.is_empty(), "an id, and no Node: {wanting:?}");
    assert_eq!(
        known.len(),
        IDS_OF_THEIR_OWN.len(),
        "not needed any more: {IDS_OF_THEIR_OWN:?} but {known:?}"
    );
}

/// Lists that are no connections, and why each does not grow without an end.
const PLAIN_LISTS: [(&str, &str); 13] = [
    ("ConnectionRecord.issues", "the open ones, one for each check at most"),
    ("ConnectionRecord.scans", "the newest, as many as asked for; `scans` has all"),
    ("HealthOverview.attention", "a dashboard: as many as asked for; `connections` has all"),
    ("HealthOverview.connections", "a dashboard: as many as asked for; `connections` has all"),
    ("Issue.followers", "our own people who follow one issue"),
    ("KeyModule.versions", "the newest, and those in use or out of it for a while; `keys` has all"),
    ("Query.checkSchedules", "one for each suite"),
    ("Query.checks", "what the program knows"),
    (
        "Query.effectiveRights",
        "one for each operation and principal that the program knows or a policy names",
    ),
    ("Query.nodes", "those whose ids are given"),
    ("Query.suites", "what the program knows"),
    ("Registration.issues", "the open ones, one for each check at most"),
    ("Registration.scans", "the newest, as many as asked for; `scans` has all"),
];

#[test]
fn every_list_of_things_is_a_connection_but_for_views_of_a_bounded_length() {
    let types = types();
    let nodes = nodes(&types);
    let is_object = |name: &str| {
        types.get(name).is_some_and(|it| !matches!(it.kind, TypeKind::Enum(_) | TypeKind::Scalar))
    };
    let mut plain = BTreeSet::new();
    for (name, definition) in &types {
        for field in fields(definition) {
            let item = base(&field.ty.node);
            let is_list = matches!(field.ty.node.base, BaseType::List(_));
            if is_list
                && (nodes.contains(item.as_str()) || name == "Query" && is_object(&item) || item == "Node")
            {
                plain.insert(format!("{name}.{}", field.name.node));
            }
        }
    }
    let known: BTreeSet<_> = PLAIN_LISTS.iter().map(|(field, _)| (*field).to_owned()).collect();
    assert_eq!(plain, known, "make it a connection of Nodes, or say why it never grows long");
}

//! The schema as a whole.

use super::{Schema, builder, sdl};
use crate::http::graphql::GraphqlConfig;

/// The schema with the limits that an operator starts from.
fn limited() -> Schema {
    GraphqlConfig::default().apply(builder()).finish()
}

#[test]
fn the_schema_text_is_the_same_each_time_and_ends_with_one_newline() {
    let text = sdl();
    assert_eq!(text, sdl());
    assert!(
        text.ends_with("}\n") || text.ends_with("\"\n") || text.ends_with(")\n"),
        "{:?}",
        text.chars().last()
    );
    assert!(!text.ends_with("\n\n"));
}

/// The query of graphql-js `getIntrospectionQuery`, with `ofType` nine deep.
fn introspection() -> String {
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name kind }} mutationType {{ name kind }}
           subscriptionType {{ name kind }} types {{ ...FullType }}
           directives {{ name description locations args {{ ...InputValue }} }} }} }}
         fragment FullType on __Type {{ kind name description
           fields(includeDeprecated: true) {{ name description args {{ ...InputValue }} type {{ ...TypeRef }}
             isDeprecated deprecationReason }}
           inputFields {{ ...InputValue }} interfaces {{ ...TypeRef }}
           enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
           possibleTypes {{ ...TypeRef }} }}
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue }}
         fragment TypeRef on __Type {{ kind name {of_type} }}"
    )
}

#[tokio::test]
async fn the_standard_introspection_query_passes_the_limits() {
    let answer = limited().execute(introspection()).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
}

#[tokio::test]
async fn a_list_of_lists_is_too_complex() {
    let schema = limited();
    let query = "{ companies(first: 250) { edges { node { registrations(first: 250) { edges { node { id } } } } } } }";
    let answer = schema.execute(query).await;
    assert_eq!(answer.errors.first().map(|error| error.message.as_str()), Some("Query is too complex."));
}

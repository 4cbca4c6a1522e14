//! Reads the field schema of a definition: a bounded, strict subset of JSON Schema (draft 2020-12), own code because
//! what we take from another organisation must not be able to cost much. There are no references, so that nothing is
//! fetched; no regular expressions, so that nothing can be made slow; and no keyword that is ignored in silence.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::refusal::Refusal;
use crate::domain::settings::{FIELD_SCHEMA_LIMIT, FieldSchema};

/// The one dialect that `$schema` may name.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// How deep schemas may lie in each other; the outermost counts.
const MAX_DEPTH: usize = 4;
/// The most schemas within one.
const MAX_SCHEMAS: usize = 200;
/// The most properties of an object.
const MAX_PROPERTIES: usize = 100;
/// The most characters of a property's name.
const NAME_LIMIT: usize = 64;
/// The most characters of a title, a description or a choice.
const TEXT_LIMIT: usize = 500;
/// The most choices of an `enum`.
const MAX_CHOICES: usize = 100;
/// The largest length of a text, and the largest number of items of a list, that a schema can ask for.
const MAX_LENGTH: i64 = 65_536;
/// The formats of texts.
const FORMATS: &[&str] = &["date", "date-time", "email", "uri", "uuid"];

/// Reads a field schema from JSON text.
///
/// # Errors
/// `INVALID_INPUT` with the place of the fault.
pub(super) fn read(text: &str) -> Result<FieldSchema, Refusal> {
    if text.len() > FIELD_SCHEMA_LIMIT {
        return Err(too_large());
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Refusal::invalid("fieldSchema", format!("The field schema is no JSON at {place}."))
    })?;
    check(&value)
}

/// Looks at a field schema, and spells it in the one way in which both sides do.
///
/// # Errors
/// As [`read`].
pub(super) fn check(value: &Value) -> Result<FieldSchema, Refusal> {
    let mut reader = Reader { schemas: 0 };
    let schema = reader.schema(value, "", 1).map_err(|fault| {
        let place =
            if fault.place.is_empty() { "its top".to_owned() } else { format!("“{}”", fault.place) };
        Refusal::invalid("fieldSchema", format!("The field schema at {place}: {}", fault.message))
    })?;
    let text = schema.to_string();
    if text.len() > FIELD_SCHEMA_LIMIT {
        return Err(too_large());
    }
    Ok(FieldSchema::checked(text))
}

fn too_large() -> Refusal {
    let message = format!("A field schema has at most {} KiB.", FIELD_SCHEMA_LIMIT / 1024);
    Refusal::invalid("fieldSchema", message).reason("TOO_LARGE")
}

struct Fault {
    place: String,
    message: String,
}

type Checked<T> = Result<T, Fault>;

fn fault<T>(place: &str, message: impl Into<String>) -> Checked<T> {
    Err(Fault { place: place.to_owned(), message: message.into() })
}

fn under(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

struct Reader {
    schemas: usize,
}

impl Reader {
    fn schema(&mut self, value: &Value, place: &str, depth: usize) -> Checked<Value> {
        self.schemas += 1;
        if self.schemas > MAX_SCHEMAS {
            return fault(place, format!("at most {MAX_SCHEMAS} schemas in one."));
        }
        if depth > MAX_DEPTH {
            return fault(place, format!("schemas lie in each other at most {MAX_DEPTH} deep."));
        }
        let Some(object) = value.as_object() else { return fault(place, "a schema is an object.") };
        let Some(kind) = object.get("type").and_then(Value::as_str) else {
            return fault(&under(place, "type"), "one type is needed.");
        };
        if depth == 1 && kind != "object" {
            return fault(
                &under(place, "type"),
                "the whole has to be an object: write \"type\": \"object\".",
            );
        }
        let mut kept = BTreeMap::new();
        for (key, value) in object {
            let at = under(place, key);
            let value = match (key.as_str(), kind) {
                ("type", "object" | "array" | "string" | "integer" | "number" | "boolean") => value.clone(),
                ("type", _) => {
                    return fault(&at, "one of object, array, string, integer, number, boolean.");
                }
                ("$schema", _) if depth == 1 && value == DIALECT => continue,
                ("title" | "description", _) => text(value, &at)?,
                ("properties", "object") => self.properties(value, &at, depth)?,
                ("required", "object") => required(value, object.get("properties"), &at)?,
                ("additionalProperties", "object") if value == &Value::Bool(false) => continue,
                ("additionalProperties", "object") => {
                    return fault(&at, "only the listed properties are sent, so this can only be false.");
                }
                ("items", "array") => self.schema(value, &at, depth + 1)?,
                ("minItems" | "maxItems", "array") | ("minLength" | "maxLength", "string") => {
                    whole(value, 0..=MAX_LENGTH, &at)?
                }
                ("minimum" | "maximum", "integer" | "number") => whole(value, i64::MIN..=i64::MAX, &at)?,
                ("enum", "string") => choices(value, &at)?,
                ("format", "string") if value.as_str().is_some_and(|name| FORMATS.contains(&name)) => {
                    value.clone()
                }
                ("format", "string") => return fault(&at, format!("one of {}.", FORMATS.join(", "))),
                _ => return fault(&at, format!("this keyword is not known here for the type “{kind}”.")),
            };
            kept.insert(key.clone(), value);
        }
        match kind {
            "object" => {
                kept.insert("additionalProperties".to_owned(), Value::Bool(false));
                kept.entry("properties".to_owned()).or_insert_with(|| Value::Object(Default::default()));
            }
            "array" if !kept.contains_key("items") => return fault(&under(place, "items"), "needed."),
            _ => {}
        }
        for (low, high) in [("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum")] {
            let number = |key: &str| kept.get(key).and_then(Value::as_i64);
            if let (Some(least), Some(most)) = (number(low), number(high))
                && least > most
            {
                return fault(&under(place, low), format!("larger than “{high}”."));
            }
        }
        // Put in in the order of the keys: the text is the same however the library keeps its maps.
        Ok(Value::Object(kept.into_iter().collect()))
    }

    fn properties(&mut self, value: &Value, place: &str, depth: usize) -> Checked<Value> {
        let Some(object) = value.as_object() else { return fault(place, "an object of schemas.") };
        if object.len() > MAX_PROPERTIES {
            return fault(place, format!("at most {MAX_PROPERTIES} properties."));
        }
        let mut kept = BTreeMap::new();
        for (name, value) in object {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
                let message = format!(
                    "a property's name has 1 to {NAME_LIMIT} letters, digits, dashes and underscores."
                );
                return fault(place, message);
            }
            kept.insert(name.clone(), self.schema(value, &under(place, name), depth + 1)?);
        }
        Ok(Value::Object(kept.into_iter().collect()))
    }
}

fn text(value: &Value, place: &str) -> Checked<Value> {
    let good = |text: &str| {
        text.chars().count() <= TEXT_LIMIT && !text.chars().any(crate::domain::person::is_unprintable)
    };
    match value.as_str() {
        Some(text) if good(text) => Ok(value.clone()),
        _ => fault(place, format!("a printable text of at most {TEXT_LIMIT} characters.")),
    }
}

fn whole(value: &Value, range: std::ops::RangeInclusive<i64>, place: &str) -> Checked<Value> {
    match value.as_i64() {
        Some(number) if range.contains(&number) => Ok(Value::from(number)),
        _ => fault(place, "a whole number within bounds."),
    }
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    let found: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
    found.filter(|found| found.iter().collect::<BTreeSet<_>>().len() == found.len())
}

fn choices(value: &Value, place: &str) -> Checked<Value> {
    match strings(value) {
        Some(found) if (1..=MAX_CHOICES).contains(&found.len()) => {
            let kept: Checked<Vec<Value>> = found.into_iter().map(|one| text(&one.into(), place)).collect();
            Ok(Value::Array(kept?))
        }
        _ => fault(place, format!("1 to {MAX_CHOICES} different texts.")),
    }
}

/// The names of properties that must be there, in the order of the names.
fn required(value: &Value, properties: Option<&Value>, place: &str) -> Checked<Value> {
    let known = |name: &&str| properties.is_some_and(|properties| properties.get(*name).is_some());
    match strings(value) {
        Some(mut found) if found.iter().all(known) => {
            found.sort_unstable();
            Ok(found.into_iter().map(Value::from).collect())
        }
        _ => fault(place, "different names of properties that are listed."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        check(schema).expect_err(&schema.to_string()).message
    }

    #[test]
    fn a_form_of_every_type_is_taken_and_spelled_in_one_way() {
        let schema = json!({
            "type": "object", "title": "Report", "$schema": DIALECT,
            "required": ["summary", "count"],
            "properties": {
                "summary": { "type": "string", "minLength": 1, "maxLength": 80 },
                "count": { "type": "integer", "minimum": 0 },
                "when": { "format": "date-time", "type": "string" },
                "urgent": { "type": "boolean", "description": "Whether it cannot wait." },
                "tags": { "type": "array", "maxItems": 5, "items": { "type": "string", "enum": ["b", "a"] } },
            },
        });
        let text = check(&schema).unwrap();
        assert_eq!(
            text.as_str(),
            "{\"additionalProperties\":false,\"properties\":{\"count\":{\"minimum\":0,\"type\":\"integer\"},\
             \"summary\":{\"maxLength\":80,\"minLength\":1,\"type\":\"string\"},\
             \"tags\":{\"items\":{\"enum\":[\"b\",\"a\"],\"type\":\"string\"},\"maxItems\":5,\"type\":\"array\"},\
             \"urgent\":{\"description\":\"Whether it cannot wait.\",\"type\":\"boolean\"},\
             \"when\":{\"format\":\"date-time\",\"type\":\"string\"}},\
             \"required\":[\"count\",\"summary\"],\"title\":\"Report\",\"type\":\"object\"}"
        );
        assert_eq!(read(text.as_str()).unwrap(), text, "what was spelled stays as it is");
    }

    #[test]
    fn what_could_fetch_run_long_or_be_ignored_is_refused_with_its_place() {
        let with = |property: Value| json!({ "type": "object", "properties": { "a": property } });
        for (schema, place) in [
            (json!({ "$ref": "https://example.com/schema" }), "“type”"),
            (with(json!({ "type": "string", "$ref": "#/a" })), "“properties.a.$ref”"),
            (with(json!({ "type": "string", "pattern": "(a+)+$" })), "“properties.a.pattern”"),
            (with(json!({ "type": "string", "minimum": 1 })), "“properties.a.minimum”"),
            (with(json!({ "type": ["string", "null"] })), "“properties.a.type”"),
            (with(json!({ "type": "string", "format": "regex" })), "“properties.a.format”"),
            (with(json!({ "type": "number", "minimum": 0.5 })), "“properties.a.minimum”"),
            (with(json!({ "type": "integer", "minimum": 2, "maximum": 1 })), "“properties.a.minimum”"),
            (with(json!({ "type": "array" })), "“properties.a.items”"),
            (json!({ "type": "object", "additionalProperties": true }), "“additionalProperties”"),
            (json!({ "type": "object", "required": ["a"] }), "“required”"),
            (json!({ "type": "object", "properties": { "a b": { "type": "string" } } }), "“properties”"),
            (json!({ "type": "string" }), "“type”"),
            (json!([]), "its top"),
        ] {
            let message = refused(&schema);
            assert!(message.contains(place), "{schema}: {message}");
        }
    }

    #[test]
    fn depth_number_and_size_are_bounded() {
        let mut schema = json!({ "type": "boolean" });
        for _ in 1..MAX_DEPTH {
            schema = json!({ "type": "object", "properties": { "a": schema } });
        }
        assert!(check(&schema).is_ok());
        refused(&json!({ "type": "object", "properties": { "a": schema } }));

        let many = |count: usize| {
            let properties: serde_json::Map<_, _> =
                (0..count).map(|n| (format!("p{n}"), json!({ "type": "boolean" }))).collect();
            json!({ "type": "object", "properties": properties })
        };
        assert!(check(&many(MAX_PROPERTIES)).is_ok());
        refused(&many(MAX_PROPERTIES + 1));
        let two = |count| json!({ "type": "object", "properties": { "a": many(count), "b": many(count) } });
        assert!(check(&two(MAX_PROPERTIES - 2)).is_ok());
        refused(&two(MAX_PROPERTIES));

        let long = json!({ "type": "string", "description": "x".repeat(TEXT_LIMIT) });
        let properties: serde_json::Map<_, _> = (0..40).map(|n| (format!("p{n}"), long.clone())).collect();
        let large = json!({ "type": "object", "properties": properties });
        assert!(refused(&large).contains("16 KiB"));
        assert!(read(&large.to_string()).is_err());
        assert!(read("{").unwrap_err().message.contains("line 1"));
    }
}

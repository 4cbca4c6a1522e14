//! The parameters of a GraphQL request, from a JSON body, a query string or a `subscribe` message.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error::RequestError;

/// A well-formed request (GraphQL over HTTP, 4.1). What is null and what is not there are the same.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Map<String, Value>,
    pub(super) extensions: Map<String, Value>,
}

/// Which parameters there are, each once.
#[derive(Deserialize)]
struct Given {
    #[serde(rename = "query")]
    _query: Option<IgnoredAny>,
    #[serde(rename = "operationName")]
    _operation_name: Option<IgnoredAny>,
    #[serde(rename = "variables")]
    _variables: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

impl Params {
    /// Reads the body of a POST.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, RequestError> {
        let value: Value =
            serde_json::from_slice(body).map_err(|_| RequestError::bad_request("The body is not JSON."))?;
        // Of two, a `Value` keeps the last; whoever looked at the request on the way may have read the first.
        if value.is_object() && serde_json::from_slice::<Given>(body).is_err() {
            return Err(RequestError::bad_request("A parameter is given twice."));
        }
        Self::from_json(value)
    }

    /// Reads the object with the parameters.
    pub(super) fn from_json(value: Value) -> Result<Self, RequestError> {
        let mut entries = match value {
            Value::Object(entries) => entries,
            Value::Array(_) => {
                return Err(RequestError::bad_request(
                    "Batches are not supported: send one request at a time.",
                ));
            }
            _ => return Err(RequestError::bad_request("The body must be a JSON object.")),
        };
        let Some(Value::String(query)) = entries.remove("query") else {
            return Err(RequestError::bad_request("`query` must be a string."));
        };
        let operation_name = match entries.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
            Some(_) => return Err(RequestError::bad_request("`operationName` must be a string or null.")),
        };
        let variables = object(entries.remove("variables"), "`variables` must be an object or null.")?;
        let extensions = object(entries.remove("extensions"), "`extensions` must be an object or null.")?;
        Ok(Self { query, operation_name, variables, extensions })
    }

    /// Reads the query string of a GET; `variables` and `extensions` are JSON in it.
    pub(super) fn from_query(query: &str) -> Result<Self, RequestError> {
        let mut entries = Map::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = match &*key {
                "query" | "operationName" => Value::String(value.into_owned()),
                "variables" | "extensions" if value.is_empty() => Value::Null,
                "variables" | "extensions" => serde_json::from_str(&value)
                    .map_err(|_| RequestError::bad_request("`variables` and `extensions` must be JSON."))?,
                _ => continue,
            };
            if entries.insert(key.into_owned(), value).is_some() {
                return Err(RequestError::bad_request("A parameter is given twice."));
            }
        }
        Self::from_json(Value::Object(entries))
    }
}

fn object(value: Option<Value>, message: &'static str) -> Result<Map<String, Value>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(entries)) => Ok(entries),
        Some(_) => Err(RequestError::bad_request(message)),
    }
}

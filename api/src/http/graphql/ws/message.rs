//! The messages of the protocol, both ways.

use async_graphql::ServerError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::error::Body;
use super::super::params::Params;
use super::Close;

/// What a client can say.
#[derive(Debug)]
pub(super) enum Incoming {
    Init(Option<Map<String, Value>>),
    Ping(Option<Map<String, Value>>),
    Pong,
    Subscribe { id: String, params: Params },
    Complete { id: String },
}

/// What we say.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Value>>,
    },
    Next {
        id: &'a str,
        payload: Body,
    },
    Error {
        id: &'a str,
        payload: Vec<ServerError>,
    },
    Complete {
        id: &'a str,
    },
}

/// Longest id of an operation, in bytes. Clients send UUIDs or counters.
const LONGEST_ID: usize = 256;

impl Incoming {
    /// Reads a message.
    ///
    /// # Errors
    /// Close 4400 for what is not a message that a client may send.
    pub(super) fn parse(text: &str) -> Result<Self, Close> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Err(invalid("a message is a JSON object"));
        };
        let Some(Value::String(kind)) = message.remove("type") else {
            return Err(invalid("`type` must be a string"));
        };
        match kind.as_str() {
            "connection_init" => Ok(Self::Init(payload(&mut message)?)),
            "ping" => Ok(Self::Ping(payload(&mut message)?)),
            "pong" => payload(&mut message).map(|_| Self::Pong),
            "complete" => Ok(Self::Complete { id: id(&mut message)? }),
            "subscribe" => {
                let id = id(&mut message)?;
                let Some(parameters @ Value::Object(_)) = message.remove("payload") else {
                    return Err(invalid("`payload` must be an object"));
                };
                let params = Params::from_json(parameters)
                    .map_err(|_| invalid("`payload` is not a GraphQL request"))?;
                Ok(Self::Subscribe { id, params })
            }
            _ => Err(invalid("a client does not send this type")),
        }
    }
}

fn payload(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, Close> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err(invalid("`payload` must be an object")),
    }
}

fn id(message: &mut Map<String, Value>) -> Result<String, Close> {
    match message.remove("id") {
        Some(Value::String(id)) if id.is_empty() => Err(invalid("`id` must not be empty")),
        Some(Value::String(id)) if id.len() > LONGEST_ID => Err(invalid("`id` is too long")),
        Some(Value::String(id)) => Ok(id),
        _ => Err(invalid("`id` must be a string")),
    }
}

/// The reason never repeats what the client sent: a close frame has 123 bytes for it.
pub(super) fn invalid(what: &str) -> Close {
    Close::new(4400, format!("Invalid message: {what}"))
}

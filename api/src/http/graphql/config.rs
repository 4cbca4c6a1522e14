//! What an operator can set about the GraphQL door.

use std::time::Duration;

use async_graphql::{ObjectType, SchemaBuilder, SubscriptionType, ValidationMode};
use serde::{Deserialize, Serialize};

/// Limits and switches of the GraphQL endpoint. Every field has a default that fits a small instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphqlConfig {
    /// Largest request body, and largest query string of a GET, in bytes; more is refused with 413.
    pub body_limit: usize,
    /// Deepest nesting of brackets of any kind in a document, and of fields and fragments once they are written out.
    /// The brackets are counted on the bytes, before any parser runs.
    pub max_nesting: usize,
    /// Most lexical tokens in a document. Checked on the bytes, before any parser runs.
    pub max_tokens: usize,
    /// Most selections in a document once every fragment spread is written out.
    pub max_nodes: usize,
    /// Deepest nesting of fields. The standard introspection query needs 15.
    pub depth: usize,
    /// Highest complexity, as the schema computes it (lists count for the items asked for).
    pub complexity: usize,
    /// Most directives at one place of a document.
    pub directives: usize,
    /// Most aliases in a document once every fragment spread is written out.
    pub aliases: usize,
    /// How long a query or mutation may take, waiting for its turn included, in milliseconds.
    pub operation_timeout_ms: u64,
    /// How long a client may take to send the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// How many parsed and validated documents are kept (weighed by length: one entry is 2 KiB of text).
    pub document_cache_entries: usize,
    /// Origins beside our own that a browser may call from, as `https://host[:port]`. They get no CORS headers:
    /// the list is for pages that a proxy serves under another name.
    pub allowed_origins: Vec<String>,
    /// Who may ask for the schema.
    pub introspection: Introspection,
    /// Most operations that run at one time, over all callers.
    pub max_operations: usize,
    /// Most operations of one caller that run at one time; more wait for their turn.
    pub max_operations_per_caller: usize,
    /// Most open sockets and event streams, over all callers.
    pub max_connections: usize,
    /// Most open sockets and event streams of one caller.
    pub max_connections_per_caller: usize,
    /// How often an open socket or event stream checks that its caller may still be served, in milliseconds.
    pub reauthorise_ms: u64,
    /// Pause between the comment lines that keep an event stream alive, in milliseconds.
    pub sse_keepalive_ms: u64,
    /// The WebSocket transport.
    pub websocket: WebsocketConfig,
}

/// Limits of one `graphql-transport-ws` socket.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebsocketConfig {
    /// How long a client may take to send `connection_init`, in milliseconds; then close 4408.
    pub init_timeout_ms: u64,
    /// Most operations on one socket; one more is answered with `error`.
    pub max_subscriptions: usize,
    /// Largest frame and largest message from a client, in bytes; more closes with 1009.
    pub max_frame: usize,
    /// Messages a second that a client may send for as long as it likes; more closes with 4429.
    pub messages_per_second: u32,
    /// Messages that a client may send at once after a quiet time.
    pub message_burst: u32,
    /// Pause between our WebSocket pings, in milliseconds. A client that is silent for three of them is gone.
    pub keepalive_ms: u64,
    /// How long one message may take to leave, in milliseconds; a slower reader is dropped.
    pub send_timeout_ms: u64,
}

/// Who may ask for the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Introspection {
    /// Everybody.
    On,
    /// Callers that the application lets.
    SignedIn,
    /// Nobody.
    Off,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self {
            body_limit: 128 * 1024,
            max_nesting: 32,
            max_tokens: 2000,
            max_nodes: 2000,
            depth: 15,
            complexity: 1000,
            directives: 4,
            aliases: 200,
            operation_timeout_ms: 5000,
            body_timeout_ms: 10_000,
            document_cache_entries: 512,
            allowed_origins: Vec::new(),
            introspection: Introspection::On,
            max_operations: 256,
            max_operations_per_caller: 32,
            max_connections: 20_000,
            max_connections_per_caller: 64,
            reauthorise_ms: 60_000,
            sse_keepalive_ms: 12_000,
            websocket: WebsocketConfig::default(),
        }
    }
}

impl Default for WebsocketConfig {
    fn default() -> Self {
        Self {
            init_timeout_ms: 3000,
            max_subscriptions: 16,
            max_frame: 16 * 1024,
            messages_per_second: 20,
            message_burst: 60,
            keepalive_ms: 20_000,
            send_timeout_ms: 10_000,
        }
    }
}

impl GraphqlConfig {
    /// Sets a schema up the way the endpoint expects it: validation is done in front of it, its own limits stay on.
    pub fn apply<Q, M, S>(&self, schema: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        schema
            .validation_mode(ValidationMode::Fast)
            .disable_suggestions()
            .limit_depth(self.depth)
            .limit_complexity(self.complexity)
            .limit_directives(self.directives)
            // Counts fragments as levels too, so it has to be above what the standard introspection query needs.
            .limit_recursive_depth(self.max_nesting)
    }

    pub(super) fn operation_timeout(&self) -> Duration {
        Duration::from_millis(self.operation_timeout_ms)
    }
}

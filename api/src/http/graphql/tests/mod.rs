//! The transports, from the outside: a real port, bare bytes.

mod client;
mod documents;
mod fixture;
mod http;
mod sse;
mod ws;

use super::GraphqlConfig;
use fixture::{Server, serve};

async fn server() -> Server {
    serve(GraphqlConfig::default(), 0).await
}

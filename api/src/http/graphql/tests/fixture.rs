//! A small schema and application, served on a port of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_graphql::{ID, Object, Request, Schema, SimpleObject, Subscription};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::http::graphql::{AuthError, Backend, Endpoint, GraphqlConfig, Operation};

/// The application's state, shared with the test.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) bumps: Arc<AtomicU32>,
    pub(crate) valid: Arc<AtomicBool>,
    /// Queries of `slow` that have begun and not ended.
    pub(crate) slow: Arc<AtomicU32>,
    bumped: broadcast::Sender<u32>,
}

impl World {
    /// Waits until so many queries of `slow` run; false if that does not come about.
    pub(crate) async fn reaches(&self, running: u32) -> bool {
        for _ in 0..600 {
            if self.slow.load(Ordering::SeqCst) == running {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

#[derive(Clone)]
pub(crate) struct Caller(Option<String>);

impl Backend for World {
    type Caller = Caller;

    async fn caller(&self, request: &Parts) -> Result<Caller, AuthError> {
        let Some(value) = request.headers.get("authorization") else { return Ok(Caller(None)) };
        named(value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")))
    }

    async fn caller_from_init(
        &self,
        upgrade: &Caller,
        payload: Option<&Map<String, Value>>,
    ) -> Result<Caller, AuthError> {
        match payload.and_then(|payload| payload.get("token")) {
            Some(token) => named(token.as_str()),
            None => Ok(upgrade.clone()),
        }
    }

    async fn still_valid(&self, _caller: &Caller) -> bool {
        self.valid.load(Ordering::SeqCst)
    }

    fn counted_as(&self, caller: &Caller) -> String {
        caller.0.clone().unwrap_or_default()
    }

    fn introspection_allowed(&self, caller: &Caller) -> bool {
        caller.0.is_some()
    }

    fn trace_id(&self, _headers: &HeaderMap) -> String {
        "trace-1".to_owned()
    }

    fn prepare(&self, request: Request, operation: &Operation<'_, Caller>) -> Request {
        request.data(operation.caller.clone())
    }
}

fn named(token: Option<&str>) -> Result<Caller, AuthError> {
    match token {
        Some("good") => Ok(Caller(Some("anna".to_owned()))),
        _ => Err(AuthError::Rejected),
    }
}

#[derive(SimpleObject)]
struct Item {
    id: ID,
    name: String,
}

pub(crate) struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &str {
        "world"
    }
    async fn viewer(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<Option<String>> {
        Ok(ctx.data::<Caller>()?.0.clone())
    }
    async fn echo(&self, value: i32) -> i32 {
        value
    }
    async fn items(&self, ids: Vec<ID>) -> Vec<Item> {
        ids.into_iter().map(|id| Item { name: format!("item {}", *id), id }).collect()
    }
    /// Nests as deep as a query likes.
    #[graphql(name = "self")]
    async fn itself(&self) -> Query {
        Query
    }
    async fn broken(&self) -> Result<Option<i32>, io::Error> {
        Err(io::Error::other("database or disk is full"))
    }
    /// Fails where null is not allowed.
    async fn needed(&self) -> Result<i32, io::Error> {
        Err(io::Error::other("database or disk is full"))
    }
    /// May be absent.
    async fn maybe(&self) -> Option<Query> {
        Some(Query)
    }
    /// Becomes ready later than its neighbours.
    async fn late(&self) -> &str {
        tokio::time::sleep(Duration::from_millis(5)).await;
        "at last"
    }
    async fn panics(&self) -> Option<i32> {
        let nothing = None;
        assert_ne!(nothing, None, "a resolver panics");
        nothing
    }
    async fn slow(&self, ctx: &async_graphql::Context<'_>, ms: u64) -> async_graphql::Result<u64> {
        struct Running(Arc<AtomicU32>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let world = ctx.data::<World>()?;
        world.slow.fetch_add(1, Ordering::SeqCst);
        let _running = Running(Arc::clone(&world.slow));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<u32> {
        let world = ctx.data::<World>()?;
        let bumps = world.bumps.fetch_add(1, Ordering::SeqCst) + 1;
        // Nobody may be listening.
        let _ = world.bumped.send(bumps);
        Ok(bumps)
    }
}

pub(crate) struct Events;

#[Subscription]
impl Events {
    async fn ticks(&self, interval_ms: Option<u64>, count: Option<u32>) -> impl Stream<Item = u32> + use<> {
        let pause = Duration::from_millis(interval_ms.unwrap_or(20));
        stream::iter(0..count.unwrap_or(u32::MAX)).then(move |tick| async move {
            tokio::time::sleep(pause).await;
            tick
        })
    }
    async fn bumped(
        &self,
        ctx: &async_graphql::Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
        let receiver = ctx.data::<World>()?.bumped.subscribe();
        Ok(stream::unfold(
            receiver,
            |mut receiver| async move { Some((receiver.recv().await.ok()?, receiver)) },
        ))
    }
    async fn refused(&self) -> Result<stream::Empty<u32>, io::Error> {
        Err(io::Error::other("database or disk is full"))
    }
}

/// A running endpoint.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) world: World,
    pub(crate) shutdown: watch::Sender<bool>,
}

/// Serves the schema on a free port.
pub(crate) async fn serve(config: GraphqlConfig, port: u16) -> Server {
    let world = World {
        bumps: Arc::default(),
        valid: Arc::new(AtomicBool::new(true)),
        slow: Arc::default(),
        bumped: broadcast::channel(16).0,
    };
    let schema = config.apply(Schema::build(Query, Mutation, Events)).data(world.clone()).finish();
    let (shutdown, stopping) = watch::channel(false);
    let sdl = schema.sdl();
    let endpoint = Endpoint::new(schema, &sdl, world.clone(), config, stopping).expect("the schema is valid");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, endpoint.router()).await });
    Server { address, world, shutdown }
}

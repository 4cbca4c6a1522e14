//! Puts the house together: the only file that knows everyone.

mod door;
mod install;
mod modules;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use keyservice::{Algorithm, KeySpec, KeyState, Purpose, RootSource, SealedKey};
use tokio::sync::watch;
use uuid::Uuid;

use crate::actions::{Actions, Call, Examine, Failure, Keys, Profile};
use crate::config::{Config, ConfigError};
use crate::domain::id::InstanceId;
use crate::domain::requester::Requester;
use crate::graphql::{self, Schema};
use crate::http::console::Console;
use crate::http::graphql::{Endpoint, SchemaError};
use crate::http::server::Server;
use crate::http::{self, headers};
use crate::mail::{MailConfigError, Mailer};
use crate::outbound::{Outbound, OutboundConfigError};
use crate::store::{Cause, InstanceRecord, Store, StoreError};
use crate::vault::{Opening, Vault, VaultError};
use crate::worker::Worker;
use crate::world::World;

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// The keys cannot be used.
    #[error("key service: {0}")]
    Keys(#[from] VaultError),
    /// The machine has no entropy to give.
    #[error(transparent)]
    Entropy(#[from] keyservice::Error),
    /// The root key of this database is not there.
    #[error(
        "{0} is not there, but the database was sealed under it: put the copy back, or correct root_key_file; \
         without it the keys in the database are lost"
    )]
    RootKeyMissing(PathBuf),
    /// Which installation is at home here cannot be read, or not be written.
    #[error("{}: {problem}", path.display())]
    Install { path: PathBuf, problem: String },
    /// A key of this instance's own is missing or not active.
    #[error("the key module “{0}” has no active key")]
    KeyMissing(&'static str),
    /// Mail is configured wrongly.
    #[error("mail: {0}")]
    Mail(#[from] MailConfigError),
    /// Requests to others are configured wrongly.
    #[error("outbound: {0}")]
    Outbound(#[from] OutboundConfigError),
    /// The public schema does not hold.
    #[error("schema: {0}")]
    Schema(#[from] SchemaError),
    /// An action failed.
    #[error(transparent)]
    Action(#[from] Failure),
    /// What carries out the work broke off.
    #[error("the worker broke off, and the instance stops: the log says where")]
    Worker,
}

/// A whole instance, ready to serve.
#[derive(Clone)]
pub struct App {
    actions: Actions,
    worker: Worker,
    schema: Schema,
    config: Arc<Config>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("actions", &self.actions).finish_non_exhaustive()
    }
}

/// Applies pending migrations; answers how many there were.
///
/// # Errors
/// [`StartError::Store`].
pub async fn migrate(config: &Config, world: World) -> Result<usize, StartError> {
    Ok(Store::open_or_make(&config.database, world).await?.migrate().await?)
}

impl App {
    /// Opens the database and the keys; on first start, makes both the root key and the instance.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub async fn open(config: &Config, world: World) -> Result<Self, StartError> {
        Self::over(config, Store::open(&config.database, world.clone()).await?, world).await
    }

    /// The house over a memory that is open already.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn over(config: &Config, store: Store, world: World) -> Result<Self, StartError> {
        store.require_migrated().await?;
        let is_new = store.instance().await?.is_none();
        let (instance, keys) = open_keys(config, &store, &world).await?;
        let install = store.instance().await?.ok_or(StoreError::Missing("instance"))?.install;
        let copied = !install::is_at_home(config, install, is_new)?;
        if copied {
            tracing::error!("{}", http::health::COPIED);
        }
        let mailer = Mailer::new(&config.mail)?;
        let profile = Profile {
            instance,
            origin: config.origin()?,
            origin_is_set: config.origin_is_set(),
            name: config.name.clone(),
            environment: config.environment,
            policy: config.origin_policy(),
            mail_on: mailer.is_on(),
            link_lifetime: config.link_lifetime(),
            measure: config.measure(),
            probe_limit: config.probe_limit(),
            copied,
        };
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let actions = Actions::new(store, keys, world, profile, cores);
        let worker = Worker::new(actions.clone(), Outbound::new(config.outbound.clone())?, mailer);
        actions.renumber_identity(&Call::system(actions.fresh_trace())).await?;
        actions.schedule_sweep(&Call::system(actions.fresh_trace())).await?;
        actions.schedule_checks(&Call::system(actions.fresh_trace())).await?;
        actions.schedule_checkpoints(&Call::system(actions.fresh_trace())).await?;
        actions.schedule_rotation(&Call::system(actions.fresh_trace())).await?;
        let hands: Arc<dyn Examine> = Arc::new(worker.clone());
        let schema = config.graphql.apply(graphql::builder()).data(actions.clone()).data(hands).finish();
        Ok(Self { actions, worker, schema, config: Arc::new(config.clone()) })
    }

    /// The verbs.
    #[must_use]
    pub const fn actions(&self) -> &Actions {
        &self.actions
    }

    /// Whoever carries work out.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// Asks the public schema as a door does, for the command line: the answer with its `data` and `errors`.
    pub async fn ask(&self, call: Call, document: &str, variables: serde_json::Value) -> serde_json::Value {
        let request =
            async_graphql::Request::new(document).variables(async_graphql::Variables::from_json(variables));
        let answer = self.schema.execute(graphql::prepare(request, &self.actions, call)).await;
        serde_json::to_value(answer).unwrap_or_default()
    }

    /// All doors.
    ///
    /// # Errors
    /// When the schema does not hold.
    pub fn router(&self, shutdown: watch::Receiver<bool>) -> Result<Router, StartError> {
        let state = http::State::new(self.actions.clone(), self.console());
        let backend = door::Door::new(self.actions.clone(), state.auth.clone());
        let graphql = Endpoint::new(
            self.schema.clone(),
            &graphql::sdl(),
            backend,
            self.config.graphql.clone(),
            shutdown,
        )?;
        // Peers are told who we are whatever they call us: the checks compare it. Probes know our address only.
        let router =
            headers::only_as(graphql.router().merge(http::pages_router(state)), self.config.hosts()?)
                .merge(http::peer::router(self.actions.clone()))
                .merge(http::health::router(self.actions.clone()));
        Ok(headers::secured(router, self.actions.profile().origin.scheme()))
    }

    fn console(&self) -> Arc<Console> {
        Console::new(self.config.console_folder.clone(), graphql::connection_id, graphql::health_path)
    }

    /// Serves and works until told to stop.
    ///
    /// # Errors
    /// When the schema does not hold, or the worker broke off.
    pub async fn serve(&self, server: Server, shutdown: watch::Receiver<bool>) -> Result<(), StartError> {
        let router = self.router(shutdown.clone())?;
        let worker = self.worker();
        let stop = shutdown.clone();
        let actions = self.actions.clone();
        let listening = tokio::spawn(async move { actions.listen().await });
        let mut working = tokio::spawn(async move { worker.run(stop).await });
        let mut serving = std::pin::pin!(server.serve(router, shutdown));
        let worked = tokio::select! {
            () = &mut serving => working.await,
            // Doors behind which nobody works would be a lie.
            worked = &mut working => {
                if worked.is_ok() {
                    serving.await;
                }
                worked
            }
        };
        listening.abort();
        self.finish().await;
        worked.map_err(|_| StartError::Worker)
    }

    /// Puts on record what is not yet, before the program stops.
    pub async fn finish(&self) {
        if let Err(error) = self.actions.finish().await {
            tracing::error!(%error, "the last uses of keys are not on record");
        }
    }
}

/// Says that the instance in this database is at home on this host, and goes on: for the one that started as a copy.
///
/// # Errors
/// [`StartError`].
pub async fn settle_in(config: &Config, world: World) -> Result<(), StartError> {
    let app = App::open(config, world).await?;
    let actions = app.actions();
    let install = actions.go_on_here(&Call::system(actions.fresh_trace())).await?;
    install::settle_in(config, install)
}

/// Opens the keys of the instance that is on record, makes nothing, and answers the identity's fingerprint.
///
/// # Errors
/// [`StartError::Keys`], [`StartError::RootKeyMissing`], [`StartError::KeyMissing`], [`StartError::Store`].
pub async fn try_keys(config: &Config, store: &Store, world: &World) -> Result<String, StartError> {
    let record = store.instance().await?.ok_or(StoreError::Missing("instance"))?;
    open_vault(config, world, store, &record).await?;
    Ok(active(store, Keys::IDENTITY).await?.public_key()?.fingerprint_groups())
}

/// The instance's own keys; made on first start.
async fn open_keys(config: &Config, store: &Store, world: &World) -> Result<(InstanceId, Keys), StartError> {
    let (record, vault) = match store.instance().await? {
        Some(record) => {
            let vault = open_vault(config, world, store, &record).await?;
            (record, vault)
        }
        None => initialise(config, store, world).await?,
    };
    modules::ensure(&vault, store, world).await?;
    ensure_audit_key(&vault, store, world).await?;
    let identity = active(store, Keys::IDENTITY).await?;
    active(store, Keys::DATA).await?;
    let data = store.keys(Keys::DATA).await?;
    Ok((record.id, Keys::new(vault, identity, data, (store.clone(), world.clone()))?))
}

/// The key service with the hierarchy that is on record.
async fn open_vault(
    config: &Config,
    world: &World,
    store: &Store,
    record: &InstanceRecord,
) -> Result<Vault, StartError> {
    let root = config.root_source();
    if let RootSource::File(path) = &root
        && !path.exists()
    {
        return Err(StartError::RootKeyMissing(path.clone()));
    }
    let opening = Opening {
        instance: record.id.bytes(),
        root,
        hierarchy: Some(store.hierarchy().await?),
        make_next: false,
        now: world.now().timestamp_millis(),
    };
    let opened = Vault::open(&config.keyservice, &world.launcher, world.entropy.clone(), opening).await;
    Ok(opened?.0)
}

/// Instances that were made before checkpoints were signed get the key for it.
async fn ensure_audit_key(vault: &Vault, store: &Store, world: &World) -> Result<(), StartError> {
    if !store.keys(Keys::AUDIT).await?.is_empty() {
        return Ok(());
    }
    let now = world.now();
    let cause = Cause { requester: Requester::System, trace: world.trace()?, now, once: None };
    let spec = own_key(world, (Keys::AUDIT, Purpose::AuditSigning, Algorithm::Ed25519))?;
    let key = vault.generate(&spec, now.timestamp_millis()).await?;
    let mut tx = store.begin("key.generate", &cause).await?;
    match tx.insert_key(&key).await {
        // Another process was first.
        Err(StoreError::Conflict(_)) => return Ok(()),
        done => done?,
    }
    let id = Uuid::from_bytes(spec.id);
    tx.audit("key.generate", "KEY", id, "OK", serde_json::json!({ "module": Keys::AUDIT }));
    Ok(tx.commit().await?)
}

fn own_key(
    world: &World,
    (module, purpose, algorithm): (&str, Purpose, Algorithm),
) -> Result<KeySpec, StartError> {
    Ok(KeySpec {
        id: world.uuid()?.into_bytes(),
        module: module.to_owned(),
        purpose,
        algorithm,
        version: 1,
        expires_at: None,
        activate: true,
        exportable: false,
    })
}

async fn active(store: &Store, module: &'static str) -> Result<SealedKey, StartError> {
    let keys = store.keys(module).await?;
    keys.into_iter().find(|key| key.state == KeyState::Active).ok_or(StartError::KeyMissing(module))
}

async fn initialise(
    config: &Config,
    store: &Store,
    world: &World,
) -> Result<(InstanceRecord, Vault), StartError> {
    let id = InstanceId(Uuid::from_bytes(world.bytes()?));
    let now = world.now();
    let opening = Opening {
        instance: id.bytes(),
        root: config.root_source(),
        hierarchy: None,
        make_next: false,
        now: now.timestamp_millis(),
    };
    let opened = Vault::open(&config.keyservice, &world.launcher, world.entropy.clone(), opening).await;
    let (vault, hierarchy) = opened?;
    let record = InstanceRecord {
        id,
        install: Uuid::from_bytes(world.bytes()?),
        hierarchy: hierarchy.bytes.clone(),
        identity_seq: 1,
        wraps_from: 0,
    };
    let cause = Cause { requester: Requester::System, trace: world.trace()?, now, once: None };
    let mut tx = store.begin("instance.initialise", &cause).await?;
    match tx.initialise(&record).await {
        Ok(()) => {}
        // Another process was first: its keys count.
        Err(StoreError::Duplicate(_)) => {
            drop((tx, vault));
            let record = store.instance().await?.ok_or(StoreError::Missing("instance"))?;
            let vault = open_vault(config, world, store, &record).await?;
            return Ok((record, vault));
        }
        Err(error) => return Err(error.into()),
    }
    let own = [
        (Keys::IDENTITY, Purpose::IdentitySigning, Algorithm::Ed25519),
        (Keys::DATA, Purpose::DataEncryption, Algorithm::Aes256Gcm),
    ];
    for module in own {
        let spec = own_key(world, module)?;
        tx.insert_key(&vault.generate(&spec, now.timestamp_millis()).await?).await?;
    }
    let details = serde_json::json!({ "generation": hierarchy.generation() });
    tx.audit("instance.initialise", "INSTANCE", id, "OK", details);
    tx.commit().await?;
    Ok((record, vault))
}

//! One whole instance on a port of its own, over TLS, with its own database.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyservice::{Entropy, SystemEntropy};
use linkspan::actions::Call;
use linkspan::app::{self, App};
use linkspan::config::Config;
use linkspan::domain::id::ConnectionId;
use linkspan::domain::requester::Role;
use linkspan::http::server::Server;
use linkspan::mail::TransportKind;
use linkspan::outbound::AllowedPorts;
use linkspan::store::Store;
use linkspan::vault::{Form, Launcher};
use linkspan::worker::Worker;
use linkspan::world::{Clock, Ids, Interruption, ManualClock, World};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::faults::Wire;
use super::meanwhile::Meanwhile;
use super::outage::{Dry, Outage, Skewed};
use super::pair::PASSWORD;
use super::proxy::Proxy;
use super::{Authority, Client, Scratch};
use crate::environment;

/// Which database an instance keeps its memory in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// The databases that this run can use.
    pub(crate) fn available() -> Vec<Self> {
        if environment::postgres().is_some() {
            vec![Self::Sqlite, Self::Postgres]
        } else {
            vec![Self::Sqlite]
        }
    }

    /// Bytes, given in hexadecimal, as they are written in a statement.
    pub(crate) fn bytes(self, hex: &str) -> String {
        match self {
            Self::Sqlite => format!("x'{hex}'"),
            Self::Postgres => format!("'\\x{hex}'::bytea"),
        }
    }
}

/// A whole instance.
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    pub(crate) origin: String,
    /// Where the test itself reaches it, whatever happens to the line that others use.
    direct: String,
    pub(crate) config: Config,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ca: String,
    /// What the messages of other instances pass through, if anything.
    pub(crate) wire: Option<Arc<Wire>>,
    /// What can be switched off about it, if anything.
    pub(crate) outage: Option<Arc<Outage>>,
    /// Whether it goes by the machine's clock, for measurements.
    pub(crate) real_time: bool,
    /// Where its chance comes from.
    entropy: Arc<dyn Entropy>,
    /// How the process of its key service is started.
    pub(crate) launcher: Launcher,
    /// How many statements it sent to its database.
    pub(crate) statements: Arc<AtomicUsize>,
    /// Lets something else happen behind what it reads.
    pub(crate) meanwhile: Arc<Meanwhile>,
    listener: TcpListener,
    running: Option<Running>,
}

struct Running {
    app: App,
    worker: Worker,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Instance {
    /// Takes a port and writes the configuration; nothing runs yet.
    pub(crate) async fn prepare(
        name: &'static str,
        database: Database,
        scratch: &Scratch,
        authority: &Authority,
        clock: &Arc<ManualClock>,
    ) -> Self {
        let host = format!("{name}.localhost");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let origin = format!("https://{host}:{}", listener.local_addr().unwrap().port());
        let directory = scratch.0.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let (certificate, key) = authority.issue(scratch, &host);
        let mut config =
            Config { name: name.to_owned(), base_url: Some(origin.clone()), ..Config::default() };
        config.data_dir = directory.clone();
        config.root_key_file = Some(directory.join("root.key"));
        config.database.url = database_url(database, name, &directory).await;
        config.database.max_connections = 8;
        config.server.tls_certificate_file = Some(certificate);
        config.server.tls_key_file = Some(key);
        config.server.shutdown_grace_ms = 200;
        config.outbound.allow_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        config.outbound.allowed_ports = AllowedPorts::Every(linkspan::outbound::EveryPort::Any);
        config.outbound.extra_ca_files = vec![authority.file.clone()];
        config.outbound.trust_system_authorities = false;
        config.outbound.per_target_concurrency = 8;
        // For whoever works on the console: its scripts are read from this folder, so nothing is built again.
        config.console_folder =
            std::env::var_os("LINKSPAN_TEST_CONSOLE").filter(|folder| !folder.is_empty()).map(Into::into);
        config.mail.transport = TransportKind::File;
        config.mail.directory = directory.join("mail");
        config.keyservice.form = environment::key_service();
        // A busy machine is no fault of the key service's.
        config.keyservice.deadline_ms = 20_000;
        Self {
            name,
            direct: origin.clone(),
            origin,
            config,
            clock: clock.clone(),
            ca: authority.pem.clone(),
            wire: None,
            outage: None,
            real_time: false,
            entropy: Arc::new(SystemEntropy),
            launcher: crate::vault::launcher(),
            statements: Arc::default(),
            meanwhile: Arc::default(),
            listener,
            running: None,
        }
    }

    /// Has it take its chance from here. That is inside this program, so its key service is as well.
    pub(crate) fn draw_from(&mut self, entropy: Arc<dyn Entropy>) {
        self.entropy = entropy;
        self.config.keyservice.form = Form::InProcess;
    }

    /// Puts it behind a line of the test's, at another port; before it starts.
    pub(crate) async fn fragile(&mut self) {
        let port = self.listener.local_addr().unwrap().port();
        let line = Proxy::to(port).await;
        self.origin = self.origin.replace(&format!(":{port}"), &format!(":{}", line.port));
        self.config.base_url = Some(self.origin.clone());
        self.outage = Some(Outage::over(line));
        // Its key service is stopped from within this program.
        self.config.keyservice.form = Form::InProcess;
    }

    pub(crate) fn outage(&self) -> &Outage {
        self.outage.as_ref().unwrap()
    }

    /// Starts it, and its worker.
    pub(crate) async fn start(&mut self, interruption: Option<Arc<dyn Interruption>>) {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = match &self.outage {
            Some(outage) => {
                (Arc::new(Skewed(self.clock.clone(), outage.clone())), Arc::new(Dry(outage.clone())))
            }
            None => (self.clock.clone(), self.entropy.clone()),
        };
        let clock = if self.real_time { World::real().clock } else { clock };
        let ids = Ids::default();
        let world = World { clock, entropy, ids, interruption, launcher: self.launcher.clone() };
        app::migrate(&self.config, world.clone()).await.unwrap();
        let mut store = Store::open(&self.config.database, world.clone()).await.unwrap();
        let (statements, reading, meanwhile) =
            (self.statements.clone(), self.statements.clone(), self.meanwhile.clone());
        let read = move || {
            reading.fetch_add(1, Ordering::SeqCst);
            meanwhile.was_read();
        };
        store.on_statement(read, move || {
            statements.fetch_add(1, Ordering::SeqCst);
        });
        if let Some(outage) = &self.outage {
            outage.watches(store.clone());
        }
        let app = App::over(&self.config, store, world).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let server = Server::on(listener, self.config.server.clone()).unwrap();
        let router = app.router(stopped.clone()).unwrap();
        let router = match &self.outage {
            Some(outage) => outage.round(router),
            None => router,
        };
        let router = match &self.wire {
            Some(wire) => wire.round(router),
            None => router,
        };
        let (worker, working) = (app.worker(), stopped.clone());
        let counted = worker.clone();
        let tasks = vec![
            tokio::spawn(async move { server.serve(router, stopped).await }),
            tokio::spawn(async move { worker.run(working).await }),
        ];
        self.running = Some(Running { app, worker: counted, stop, tasks });
    }

    /// Why it does not start, once it was killed.
    pub(crate) async fn refuses_to_start(&self) -> String {
        let world = World {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            ids: Ids::default(),
            interruption: None,
            launcher: self.launcher.clone(),
        };
        let Err(refused) = App::open(&self.config, world).await else { panic!("it started") };
        refused.to_string()
    }

    /// Says on its host that it goes on here, as the command does.
    pub(crate) async fn goes_on_here(&self) {
        let world = World {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            ids: Ids::default(),
            interruption: None,
            launcher: self.launcher.clone(),
        };
        app::settle_in(&self.config, world).await.unwrap();
    }

    /// Kills it where it stands: nothing is finished, nothing is said.
    pub(crate) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            for task in &running.tasks {
                task.abort();
            }
            drop(running.stop);
            for task in running.tasks {
                let _ = task.await;
            }
            drop(running.app);
        }
    }

    /// Kills the process of its key service, if it has one, and waits for the next.
    pub(crate) async fn restart_key_service(&self) {
        let process = || self.app().actions().keys().process();
        let Some(before) = process() else { return };
        crate::vault::signal("-KILL", before);
        for _ in 0..400 {
            if process().is_some_and(|pid| pid != before) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the key service does not come back");
    }

    /// Another instance at the same address, with a memory and keys of its own; nothing of it runs yet.
    pub(crate) async fn stranger(&self, database: Database) -> Self {
        let directory = self.config.data_dir.with_file_name(format!("{}-stranger", self.name));
        std::fs::create_dir_all(&directory).unwrap();
        let mut config = self.config.clone();
        config.data_dir = directory.clone();
        config.root_key_file = Some(directory.join("root.key"));
        config.database.url = database_url(database, self.name, &directory).await;
        config.mail.directory = directory.join("mail");
        self.beside(config, self.listener.try_clone().unwrap())
    }

    /// Another one that listens there, undisturbed; nothing of it runs yet.
    fn beside(&self, config: Config, listener: TcpListener) -> Self {
        Self {
            name: self.name,
            origin: self.origin.clone(),
            direct: self.direct.clone(),
            config,
            clock: self.clock.clone(),
            ca: self.ca.clone(),
            wire: None,
            outage: None,
            real_time: false,
            entropy: Arc::new(SystemEntropy),
            launcher: crate::vault::launcher(),
            statements: Arc::default(),
            meanwhile: Arc::default(),
            listener,
            running: None,
        }
    }

    /// How many rows of its database a condition holds for.
    pub(crate) async fn rows(&self, table_where: &str) -> i64 {
        let rows = self.select(&format!("select count(*) from {table_where}")).await;
        rows[0].try_get_by_index(0).unwrap()
    }

    /// The columns of a table of its database, as the database itself lists them.
    pub(crate) async fn columns(&self, database: Database, table: &str) -> Vec<String> {
        let sql = match database {
            Database::Sqlite => format!("select name from pragma_table_info('{table}') order by cid"),
            Database::Postgres => format!(
                "select column_name::text from information_schema.columns where table_name = '{table}' \
                 and table_schema = 'public' order by ordinal_position"
            ),
        };
        let columns: Vec<String> =
            self.select(&sql).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        assert!(!columns.is_empty(), "there is no table {table}");
        columns
    }

    async fn select(&self, sql: &str) -> Vec<sea_orm::QueryResult> {
        use sea_orm::{ConnectionTrait as _, Statement};
        let database = sea_orm::Database::connect(&self.config.database.url).await.unwrap();
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.unwrap();
        database.close().await.unwrap();
        rows
    }

    /// Holds its database, so that whatever is written there waits; on PostgreSQL also what is read of what is watched.
    pub(crate) async fn hold_database(&self, database: Database) -> Held {
        use sea_orm::ConnectionTrait as _;
        let mut options = sea_orm::ConnectOptions::new(&self.config.database.url);
        options.max_connections(1).min_connections(1);
        let connection = sea_orm::Database::connect(options).await.unwrap();
        let sql = match database {
            Database::Sqlite => "begin immediate",
            Database::Postgres => {
                "begin; lock table watch_lease, direction, direction_history, connection, change"
            }
        };
        connection.execute_unprepared(sql).await.unwrap();
        Held(connection)
    }

    /// Another node over the same database, on a port of its own; nothing of it runs yet.
    pub(crate) fn second_node(&self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let direct = format!("https://{}.localhost:{}", self.name, listener.local_addr().unwrap().port());
        let mut node = self.beside(self.config.clone(), listener);
        node.direct = direct;
        node
    }

    /// A copy of it as it stands: database and root key. Of the original nothing runs meanwhile, and nothing of the copy
    /// yet. It says that it is at the same address, and listens elsewhere.
    pub(crate) async fn copy(&self, database: Database) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let directory = self.config.data_dir.with_file_name(format!("{}-copy-{number}", self.name));
        std::fs::create_dir_all(&directory).unwrap();
        let mut copy = self.second_node();
        copy.config.data_dir = directory.clone();
        copy.config.mail.directory = directory.join("mail");
        copy.config.root_key_file = Some(directory.join("root.key"));
        for entry in std::fs::read_dir(&self.config.data_dir).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                std::fs::copy(&file, directory.join(file.file_name().unwrap())).unwrap();
            }
        }
        copy.config.database.url = match database {
            Database::Sqlite => format!("sqlite:{}", directory.join("linkspan.db").display()),
            Database::Postgres => {
                let original = url::Url::parse(&self.config.database.url).unwrap();
                let template = original.path().trim_start_matches('/');
                create_database(&format!("copy_{number}"), Some(template)).await
            }
        };
        copy
    }

    /// The ids of rows of its database.
    pub(crate) async fn ids(&self, table_where: &str) -> Vec<ConnectionId> {
        let rows = self.select(&format!("select id from {table_where}")).await;
        rows.iter().map(|row| ConnectionId(row.try_get_by_index(0).unwrap())).collect()
    }

    /// Breaks or mends its database behind its back.
    pub(crate) async fn tamper(&self, sql: &str) {
        use sea_orm::ConnectionTrait as _;
        let database = sea_orm::Database::connect(&self.config.database.url).await.unwrap();
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }

    pub(crate) fn app(&self) -> &App {
        &self.running.as_ref().unwrap().app
    }

    /// Whether nothing is due now.
    pub(crate) async fn next_due_ms(&self) -> Option<i64> {
        let running = self.running.as_ref()?;
        running.app.actions().next_job_at().await.ok().flatten().map(|at| at.timestamp_millis())
    }

    /// How many pieces of work are being carried out.
    pub(crate) fn busy(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.worker.busy())
    }

    /// Whether it probes the connection with this global id.
    pub(crate) fn probes(&self, connection: &str) -> bool {
        self.app().actions().next_probe_at(connection_id(connection)).is_some()
    }

    /// Whether no probe of the connection with this global id is due, and no renewal of the lease under which they are sent.
    pub(crate) fn has_probed(&self, connection: &str) -> bool {
        let Some(running) = &self.running else { return true };
        let actions = running.app.actions();
        let probed = actions.next_probe_at(connection_id(connection)).is_none_or(|at| at > actions.now());
        probed && actions.keeps_up()
    }

    /// Makes an account on the host, as the command line does.
    pub(crate) async fn user(&self, email: &str, password: &str, roles: &[Role]) {
        let actions = self.app().actions();
        let call = Call::system(actions.fresh_trace());
        actions.create_user(&call, email, "A Person", Some(password.to_owned().into()), roles).await.unwrap();
    }

    /// Somebody with these roles, signed in.
    pub(crate) async fn person(&self, name: &str, roles: &[Role]) -> Client {
        let email = format!("{name}@provider.example.com");
        self.user(&email, PASSWORD, roles).await;
        let client = self.client();
        client.sign_in(&email, PASSWORD).await;
        client
    }

    /// A client that talks to it as nobody.
    pub(crate) fn client(&self) -> Client {
        Client::reaching(&self.origin, &self.direct, &self.ca)
    }

    /// The letters that went out, the oldest first, as they are in the mail directory.
    pub(crate) fn letters(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.config.mail.directory) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }
}

/// A database that is held.
pub(crate) struct Held(sea_orm::DatabaseConnection);

impl Held {
    pub(crate) async fn let_go(self) {
        use sea_orm::ConnectionTrait as _;
        self.0.execute_unprepared("rollback").await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// The connection with this global id.
pub(crate) fn connection_id(id: &str) -> ConnectionId {
    let text = data_encoding::BASE64URL_NOPAD.decode(id.as_bytes()).unwrap();
    let text = String::from_utf8(text).unwrap();
    ConnectionId(uuid::Uuid::parse_str(text.rsplit(':').next().unwrap()).unwrap())
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            for task in running.tasks {
                task.abort();
            }
        }
    }
}

async fn database_url(database: Database, name: &str, directory: &std::path::Path) -> String {
    match database {
        Database::Sqlite => format!("sqlite:{}", directory.join("linkspan.db").display()),
        Database::Postgres => create_database(name, None).await,
    }
}

async fn create_database(name: &str, template: Option<&str>) -> String {
    use sea_orm::ConnectionTrait as _;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let server = environment::postgres().unwrap();
    let database = format!("t{}_{}_{name}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let connection = sea_orm::Database::connect(&server).await.unwrap();
    // Numbers of processes come round again.
    let left = format!("drop database if exists {database} with (force)");
    connection.execute_unprepared(&left).await.unwrap();
    if let Some(template) = template {
        // Whatever is still connected there keeps it from being copied.
        let others =
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{template}'");
        connection.execute_unprepared(&others).await.unwrap();
    }
    let template = template.map_or_else(String::new, |template| format!(" template {template}"));
    connection.execute_unprepared(&format!("create database {database}{template}")).await.unwrap();
    connection.close().await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&database);
    url.to_string()
}

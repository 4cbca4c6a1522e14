//! One of the two instances, configured as an operator would configure it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::app::{self, App};
use crate::cli::{Failed, bind};
use crate::config::{Config, Sources};
use crate::domain::origin::Origin;
use crate::world::World;

/// How often a port that is taken is tried again, and after how long.
const PORT_TRIES: u32 = 10;
const PORT_PAUSE: Duration = Duration::from_millis(100);

/// A running instance.
pub(super) struct House {
    pub(super) app: App,
    pub(super) config: Config,
    pub(super) origin: Origin,
    shutdown: watch::Sender<bool>,
    running: watch::Receiver<bool>,
}

impl House {
    pub(super) async fn start(
        role: &str,
        directory: &Path,
        port: u16,
        world: &World,
    ) -> Result<Self, Failed> {
        let config = configured(role, directory, port)?;
        config.make_data_dir().map_err(Failed::because)?;
        app::migrate(&config, world.clone()).await.map_err(Failed::because)?;
        let app = App::open(&config, world.clone()).await.map_err(Failed::because)?;
        let server = bind(&config).await?;
        let origin = config.origin().map_err(Failed::because)?;
        let (shutdown, watched) = watch::channel(false);
        let (alive, running) = watch::channel(true);
        let served = app.clone();
        tokio::spawn(async move {
            if let Err(error) = served.serve(server, watched).await {
                tracing::error!(%error, "the instance stopped");
            }
            alive.send_replace(false);
        });
        Ok(Self { app, config, origin, shutdown, running })
    }

    /// Where its letters are.
    pub(super) fn letters(&self) -> PathBuf {
        self.config.mail.directory.clone()
    }

    /// Waits until it stopped.
    pub(super) async fn ended(&self) {
        // An error means that its task is gone: it has ended, too.
        let _ = self.running.clone().wait_for(|running| !running).await;
    }

    /// Lets it finish what is under way.
    pub(super) async fn stop(&self) {
        self.shutdown.send_replace(true);
        self.ended().await;
    }
}

/// The settings of `linkspan serve` for an instance that is reached on this machine only.
fn configured(role: &str, directory: &Path, port: u16) -> Result<Config, Failed> {
    let name = if role == "provider" { "Example Provider" } else { "Example Consumer" };
    let variables: [(&str, String); 10] = [
        ("NAME", name.to_owned()),
        ("BASE_URL", format!("http://{role}.localhost:{port}")),
        ("DATA_DIR", directory.join(role).display().to_string()),
        ("SERVER__LISTEN", format!("127.0.0.1:{port}")),
        ("SERVER__SHUTDOWN_GRACE_MS", "2000".to_owned()),
        ("PROBE_INTERVAL_SECONDS", "2".to_owned()),
        ("PROBE_TIMEOUT_MS", "1500".to_owned()),
        ("OUTBOUND__ALLOW_NETWORKS", "[\"127.0.0.0/8\", \"::1/128\"]".to_owned()),
        ("OUTBOUND__ALLOW_HTTP", "true".to_owned()),
        ("OUTBOUND__ALLOWED_PORTS", "any".to_owned()),
    ];
    let variables: BTreeMap<String, String> =
        variables.into_iter().map(|(name, value)| (format!("LINKSPAN_{name}"), value)).collect();
    Config::read(&Sources { file: None, variables }).map_err(Failed::because)
}

/// The port to use: the one asked for, the one remembered, or a usual one if it is free, otherwise any.
pub(super) async fn port(asked: Option<u16>, remembered: Option<u16>, usual: u16) -> Result<u16, Failed> {
    let take =
        |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|taken| taken.local_addr());
    let Some(port) = asked.or(remembered) else {
        let free = take(usual).or_else(|_| take(0)).map_err(Failed::because)?;
        return Ok(free.port());
    };
    // A demonstration that was just stopped may not be quite gone.
    for _ in 0..PORT_TRIES {
        if take(port).is_ok() {
            return Ok(port);
        }
        tokio::time::sleep(PORT_PAUSE).await;
    }
    let taken = |error| {
        format!(
            "port {port} cannot be used ({error}): if another demonstration runs, stop it, or use another --dir"
        )
    };
    take(port).map(|_| port).map_err(|error| Failed(taken(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instances_of_the_demonstration_are_configured_well() {
        let config = configured("provider", Path::new("some where"), 8480).unwrap();
        assert_eq!(config.origin().unwrap().as_str(), "http://provider.localhost:8480");
        assert_eq!(config.database.url, "sqlite:some where/provider/linkspan.db");
        assert!(Origin::parse("http://consumer.localhost:8481", &config.origin_policy()).is_ok());
    }

    #[tokio::test]
    async fn a_taken_port_is_replaced_only_where_nobody_asked_for_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = taken.local_addr().unwrap().port();
        assert_ne!(port(None, None, number).await.unwrap(), number);
        assert!(
            port(Some(number), None, 1).await.is_err_and(|Failed(said)| said.contains(&number.to_string()))
        );
        assert!(port(None, Some(number), 1).await.is_err());
    }
}

//! Running the instance, and the signals that it listens to.

use std::future::Future;

use tokio::sync::watch;

use super::{Failed, open_files, out};
use crate::app::{self, App};
use crate::config::Config;
use crate::http::server::Server;
use crate::world::World;

/// Serves until a signal says stop.
pub(super) async fn run(config: &Config, migrate: bool) -> Result<(), Failed> {
    let world = World::real();
    if migrate {
        config.make_data_dir().map_err(Failed::because)?;
        let applied = app::migrate(config, world.clone()).await.map_err(Failed::because)?;
        tracing::info!(applied, "the database is up to date");
    }
    open_files::raise();
    if let Some((most, needed)) = open_files::too_few(config) {
        tracing::warn!(most, needed, "fewer files may be open than server.max_connections asks for");
    }
    let app = App::open(config, world).await.map_err(Failed::because)?;
    let server = bind(config).await?;
    let address = server.local_addr().map_err(Failed::because)?;
    let (shutdown, watched) = watch::channel(false);
    reload_on_hangup(&server)?;
    let stop = stop_signal()?;
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping; what is under way may finish");
        shutdown.send_replace(true);
        // The sender lives on, so that only the second signal cuts things short.
        if let Ok(again) = stop_signal() {
            again.await;
            tracing::warn!("stopping at once");
            std::process::exit(130);
        }
    });
    let origin = config.origin().map_err(Failed::because)?;
    tracing::info!(%address, origin = origin.as_str(), name = config.name, "ready");
    if !config.origin_is_set() {
        tracing::warn!(
            "base_url is not set: other instances cannot find this one, and no registration passes its checks"
        );
    }
    app.serve(server, watched).await.map_err(Failed::because)?;
    tracing::info!("stopped");
    out("Stopped.");
    Ok(())
}

/// Takes the configured address.
///
/// # Errors
/// When it is taken, or the certificate cannot be used.
pub async fn bind(config: &Config) -> Result<Server, Failed> {
    Server::bind(config.server.clone()).await.map_err(Failed::because)
}

/// Reads certificate and key again when told so; a pair that does not work leaves the previous one in use.
#[cfg(unix)]
fn reload_on_hangup(server: &Server) -> Result<(), Failed> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = signal(SignalKind::hangup()).map_err(Failed::because)?;
    let certificate = server.certificate();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match certificate.as_ref().map(|certificate| certificate.reload()) {
                None => tracing::info!("no certificate to read again"),
                Some(Ok(())) => tracing::info!("certificate read again"),
                Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn reload_on_hangup(_: &Server) -> Result<(), Failed> {
    Ok(())
}

/// Ends when the process is asked to stop. Listening begins at once, not at the first poll.
///
/// # Errors
/// When the system does not let us listen for signals.
#[cfg(unix)]
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send, Failed> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failed::because)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failed::because)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends when the process is asked to stop.
///
/// # Errors
/// Never; the signature is that of other systems.
#[cfg(not(unix))]
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send, Failed> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

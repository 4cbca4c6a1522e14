//! Two instances on this machine that onboard each other: the whole journey, through the doors only.

mod calls;
mod ending;
mod house;
mod journey;
mod letters;
mod memory;
mod progress;
mod web;

use std::process::ExitCode;

use house::{House, port};
use journey::Journey;
use memory::Memory;
use progress::Progress;

use crate::cli::{DemoOptions, Failed, failed, out, stop_signal};
use crate::world::World;

/// Runs the demonstration: onboards, or carries on where the directory's last run stopped, and keeps both instances
/// running. Ends with code 1 and the reason when a step fails.
pub async fn run(options: DemoOptions, world: World) -> ExitCode {
    let progress = Progress::new(&world);
    let done = demonstrate(&options, &world, &progress).await;
    progress.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(reason)) => {
            let dir = options.dir.display();
            failed(&format!(
                "{reason}\nRun the same command again to carry on, or remove {dir} to begin anew."
            ))
        }
    }
}

async fn demonstrate(options: &DemoOptions, world: &World, progress: &Progress) -> Result<(), Failed> {
    let stop = stop_signal()?;
    let mut memory = Memory::open(&options.dir, world)?;
    let known = memory.provider_port.zip(memory.consumer_port);
    let provider_port = port(options.provider_port, memory.provider_port, 8480).await?;
    let consumer_port = port(options.consumer_port, memory.consumer_port, 8481).await?;
    if known.is_some_and(|known| known != (provider_port, consumer_port)) {
        let reason =
            "the two instances of this directory know each other by other ports: leave the ports out";
        return Err(Failed(reason.to_owned()));
    }
    (memory.provider_port, memory.consumer_port) = (Some(provider_port), Some(consumer_port));
    memory.save()?;
    out(&format!("Everything is kept in {}.", options.dir.display()));

    let dir = options.dir.as_path();
    let provider =
        progress.step("Start the provider", House::start("provider", dir, provider_port, world)).await?;
    let consumer =
        progress.step("Start the consumer", House::start("consumer", dir, consumer_port, world)).await?;
    let mut stop = std::pin::pin!(stop);
    let journey = Journey::new(&provider, &consumer, &mut memory, progress, world)?;
    let done = tokio::select! {
        done = journey.run() => done,
        () = &mut stop => Err(Failed("stopped before the end".to_owned())),
    };
    if let Ok(arrival) = &done {
        progress.finish();
        ending::print(&provider, &consumer, &memory, arrival, options);
        if !options.exit {
            tokio::select! {
                () = stop => {}
                () = provider.ended() => return Err(Failed("the provider has stopped".to_owned())),
                () = consumer.ended() => return Err(Failed("the consumer has stopped".to_owned())),
            }
        }
    }
    tokio::join!(provider.stop(), consumer.stop());
    done.map(|_| ())
}

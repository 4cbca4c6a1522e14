//! Two instances that onboard each other.
use crate::cli::DemoOptions;
use crate::world::World;
use std::process::ExitCode;

/// Runs the demonstration.
pub async fn run(_: DemoOptions, _: World) -> ExitCode {
    ExitCode::FAILURE
}

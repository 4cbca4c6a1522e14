//! The command line: what it takes, and which command does it.

mod audit;
mod check;
mod key;
pub mod logging;
mod open_files;
mod people;
mod print;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

pub use logging::start as start_logging;
pub use people::{ensure_administrator, generated_password};
pub use print::{failed, out};
pub use serve::{bind, stop_signal};

use crate::config::{self, Config, LogConfig};
use crate::domain::causes::causes;
use crate::domain::requester::Role;
use crate::world::World;
use crate::{app, demo, graphql, vault};

/// Joins two organisations' instances: a provider registers a consumer, both are checked, the named contact approves,
/// keys are exchanged, and both directions are watched.
#[derive(Debug, Parser)]
#[command(
    name = "linkspan",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  linkspan demo                                two instances on this machine that onboard each other
  linkspan config --defaults > linkspan.toml   a configuration to start from
  linkspan serve --migrate                     run, with the database brought up to date first
  linkspan user create --email admin@example.com --name 'An Administrator' --admin
  linkspan check                               what is wrong here, and what to do about it"
)]
struct Cli {
    /// The configuration file; without it, linkspan.toml in this directory if there is one.
    #[arg(long, short, global = true, env = "LINKSPAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the instance until it is told to stop.
    #[command(after_help = "\
Signals:
  TERM, INT   finish what is under way, then stop (again: stop at once)
  HUP         read the TLS certificate and key again")]
    Serve {
        /// Bring the database up to date first.
        #[arg(long)]
        migrate: bool,
    },
    /// Runs two instances on this machine and takes them through the whole journey, as a person would.
    #[command(after_help = "\
Examples:
  linkspan demo                      onboard, then keep both running until Ctrl-C
  linkspan demo --exit               stop with code 0 once both directions are Up on both sides
  linkspan demo --dir /tmp/trial     keep databases, letters and sign-ins there; again: carry on")]
    Demo(DemoOptions),
    /// Brings the database up to date.
    Migrate,
    /// Says that this instance goes on here, where it started as a copy: start it again afterwards.
    #[command(after_help = "\
Stop the original first, if it still runs. A copy that is to be an instance of its own starts with an empty data directory.")]
    Survivor,
    /// Prints the GraphQL schema.
    Schema {
        /// Compare with this file instead; code 1 if it differs.
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Looks at configuration, database, keys, mail, certificate and clock, with a remedy for each thing that is wrong.
    #[command(after_help = "Ends with code 1 if anything is wrong. A note (!) is not wrong.")]
    Check {
        /// A JSON object a line, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Prints the configuration in effect, without its secrets.
    #[command(after_help = "\
Every setting can be given in the environment, too, and wins there:
  LINKSPAN_BASE_URL=https://linkspan.example.org LINKSPAN_SERVER__LISTEN=0.0.0.0:8080 linkspan serve")]
    Config {
        /// Print a file with every setting, its explanation and its default instead.
        #[arg(long)]
        defaults: bool,
    },
    /// Makes and lists accounts on the host; this is how the first administrator comes to be.
    #[command(subcommand)]
    User(people::User),
    /// Exports and verifies the audit trail.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Looks after keys: modules, the life of keys, policies, approvals, health.
    Key(key::Key),
    /// The process of the key service. Linkspan starts it by itself.
    #[command(hide = true)]
    Keyservice,
    /// Grants and revokes roles on the host; this is how the first key administrator comes to be.
    #[command(subcommand)]
    Role(RoleCommand),
}

/// What can be said about the demonstration.
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// Where databases, letters and sign-ins are kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "linkspan-demo")]
    pub dir: PathBuf,
    /// Stop with code 0 after success, instead of keeping both instances running.
    #[arg(long)]
    pub exit: bool,
    /// The provider's port; 8480 if it is free, otherwise any. The directory remembers it.
    #[arg(long, value_name = "PORT")]
    pub provider_port: Option<u16>,
    /// The consumer's port; 8481 if it is free, otherwise any. The directory remembers it.
    #[arg(long, value_name = "PORT")]
    pub consumer_port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum RoleCommand {
    /// Gives an account a role.
    Grant(RoleChange),
    /// Takes a role from an account.
    Revoke(RoleChange),
}

#[derive(Debug, Args)]
struct RoleChange {
    /// The account's address.
    #[arg(long)]
    email: String,
    /// The role: admin, operator, viewer, key_admin, key_manager, key_operator, key_auditor, key_integrator.
    #[arg(long, value_parser = role)]
    role: Role,
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(&text.to_ascii_uppercase().replace('-', "_")).ok_or_else(|| {
        let known: Vec<String> = Role::ALL.iter().map(|role| role.as_str().to_ascii_lowercase()).collect();
        format!("the roles are {}", known.join(", "))
    })
}

/// The stack of each thread that serves requests, in bytes.
const WORKER_STACK: usize = 4 * 1024 * 1024;

/// Why a command did not succeed, as text for a person; what to do is part of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

impl Failed {
    /// With the error's words and those of everything that led to it.
    #[must_use]
    pub fn because(error: impl std::error::Error) -> Self {
        Self(causes(&error))
    }
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Neither configuration nor runtime: what that process does not have, it cannot lose.
    if matches!(cli.command, Command::Keyservice) {
        return vault::serve(Arc::new(keyservice::SystemEntropy));
    }
    // Only what we build ourselves names its provider; whatever a library builds takes this one. It fails when it was
    // done before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Deep recursion is refused where it can come from; this is the second line.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(WORKER_STACK).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(Failed(reason)) => failed(&reason),
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failed> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Schema { check } => return schema(check),
        Command::Config { defaults: true } => {
            out(config::commented().trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Audit(audit::Audit::Verify { file, keys, witnesses, unsigned }) => {
            audit::verify(&file, audit::Against { keys, witnesses, unsigned })?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Check { json } => return Ok(check::run(file, json).await),
        Command::Demo(options) => {
            start_logging(&LogConfig { filter: "warn".to_owned(), ..LogConfig::default() });
            return Ok(demo::run(options, World::real()).await);
        }
        _ => {}
    }
    let config = Config::load(file).map_err(Failed::because)?;
    match cli.command {
        Command::Serve { migrate } => {
            start_logging(&config.log);
            serve::run(&config, migrate).await?;
        }
        Command::Migrate => {
            config.make_data_dir().map_err(Failed::because)?;
            let applied = app::migrate(&config, World::real()).await.map_err(Failed::because)?;
            out(&match applied {
                0 => "The database is up to date.".to_owned(),
                1 => "Applied 1 migration.".to_owned(),
                n => format!("Applied {n} migrations."),
            });
        }
        Command::Survivor => {
            app::settle_in(&config, World::real()).await.map_err(Failed::because)?;
            out("This instance goes on here. Start it again if it runs.");
        }
        Command::Audit(command) => audit::run(&config, command).await?,
        Command::Key(command) => return key::run(&config, command).await,
        Command::User(command) => people::user(&config, command).await?,
        Command::Role(RoleCommand::Grant(change)) => {
            people::grant(&config, &change.email, change.role).await?;
        }
        Command::Role(RoleCommand::Revoke(change)) => {
            people::revoke(&config, &change.email, change.role).await?;
        }
        Command::Config { .. } => out(config::effective(&config).trim_end()),
        Command::Schema { .. } | Command::Check { .. } | Command::Demo(_) | Command::Keyservice => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn schema(check: Option<PathBuf>) -> Result<ExitCode, Failed> {
    let sdl = graphql::sdl();
    let Some(file) = check else {
        // The text ends with its line break already, so that a redirection makes exactly the committed file.
        print::raw(&sdl);
        return Ok(ExitCode::SUCCESS);
    };
    let committed =
        std::fs::read_to_string(&file).map_err(|error| Failed(format!("{}: {error}", file.display())))?;
    if committed == sdl {
        out(&format!("{} is the schema of this program.", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let at = committed.lines().zip(sdl.lines()).take_while(|(theirs, ours)| theirs == ours).count() + 1;
    let path = file.display();
    Err(Failed(format!(
        "{path} differs from the schema in line {at}; write it anew: linkspan schema > {path}"
    )))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// One in 64 of what is in base64url begins like an option.
    #[test]
    fn what_is_in_base64url_may_begin_with_a_dash() {
        fn all(command: &clap::Command, found: &mut usize) {
            for argument in command.get_arguments() {
                if argument
                    .get_value_names()
                    .is_some_and(|names| names.iter().any(|name| name == "BASE64URL"))
                {
                    assert!(argument.is_allow_hyphen_values_set(), "{}: {argument}", command.get_name());
                    *found += 1;
                }
            }
            command.get_subcommands().for_each(|command| all(command, found));
        }
        let mut found = 0;
        all(&Cli::command(), &mut found);
        assert!(found >= 4, "{found}");
    }

    #[test]
    fn roles_are_named_as_people_type_them() {
        assert_eq!(role("admin"), Ok(Role::Admin));
        assert_eq!(role("key-admin"), Ok(Role::KeyAdmin));
        assert!(role("root").is_err_and(|said| said.contains("operator")));
    }
}

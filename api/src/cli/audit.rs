//! The audit trail on the host: exports, the keys to verify them with, and the verification, which needs no instance.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use keyservice::checkpoint::{Note, VerifyingKey};

use super::{Failed, out};
use crate::actions::Call;
use crate::actions::audit::export;
use crate::app::App;
use crate::config::Config;
use crate::world::World;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Writes the whole audit trail with its checkpoints, a JSON object a line.
    Export {
        /// The file to write; the standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prints the public keys of this instance's checkpoints and countersignatures: give them to whoever verifies.
    Keys,
    /// Prints the checkpoints of other instances that this one keeps, for their --witness.
    Witnessed,
    /// Verifies an export offline and names the first bad entry.
    #[command(after_help = "\
Needs no configuration, no database and no secret. Take the keys from where the owner of the trail cannot change them.

  linkspan audit verify audit.jsonl --key \"$(cat provider.key)\"
  linkspan audit verify audit.jsonl --key \"$(cat provider.key)\" --key \"$(cat consumer.key)\" --witness kept.jsonl

An edit, a removal and a change of order show by themselves; a truncation and a rewriting show against checkpoints, and
against the owner of the keys only with checkpoints that another instance kept (linkspan audit witnessed, there).
Ends with code 1 if anything is wrong.")]
    Verify {
        /// The export.
        file: PathBuf,
        /// A public key of the trail or of a witness, as `linkspan audit keys` prints it.
        #[arg(long = "key", value_name = "KEY", required = true)]
        keys: Vec<VerifyingKey>,
        /// Checkpoints that another instance kept, as `linkspan audit witnessed` prints them there.
        #[arg(long = "witness", value_name = "FILE")]
        witnesses: Vec<PathBuf>,
    },
}

/// Verifies without anything else.
pub(super) fn verify(file: &Path, keys: &[VerifyingKey], witnesses: &[PathBuf]) -> Result<(), Failed> {
    let mut elsewhere: Vec<Note> = Vec::new();
    for path in witnesses {
        elsewhere.extend(export::read_checkpoints(open(path)?).map_err(|error| named(path, &error))?);
    }
    let verified = export::verify(open(file)?, keys, &elsewhere).map_err(|error| named(file, &error))?;
    let upto = |n: u64| if n == 0 { "none of them".to_owned() } else { format!("up to entry {n}") };
    out(&format!("{} entries, each in its place and as it was written.", verified.entries));
    out(&format!("Signed by the instance: {}.", upto(verified.signed)));
    out(&format!("Kept by another instance: {}.", upto(verified.witnessed)));
    Ok(())
}

pub(super) async fn run(config: &Config, command: Audit) -> Result<(), Failed> {
    let world = World::real();
    let app = App::open(config, world.clone()).await.map_err(Failed::because)?;
    let actions = app.actions();
    match command {
        Audit::Export { out: file } => {
            // So that the export is signed up to its end.
            let call = Call::system(world.trace().map_err(Failed::because)?);
            actions.checkpoint(&call).await.map_err(Failed::because)?;
            match file {
                None => {
                    actions.export_audit(&mut io::stdout()).await.map_err(Failed::because)?;
                }
                Some(path) => {
                    let file = File::create(&path).map_err(|error| named(&path, &error))?;
                    let mut file = BufWriter::new(file);
                    let entries = actions.export_audit(&mut file).await.map_err(Failed::because)?;
                    file.flush().map_err(|error| named(&path, &error))?;
                    out(&format!("Wrote {entries} entries to {}.", path.display()));
                }
            }
        }
        Audit::Keys => {
            for key in actions.audit_keys().await.map_err(Failed::because)? {
                out(&key.to_string());
            }
        }
        Audit::Witnessed => {
            for note in actions.kept_checkpoints().await.map_err(Failed::because)? {
                out(&export::checkpoint_line(&note));
            }
        }
        Audit::Verify { file, keys, witnesses } => verify(&file, &keys, &witnesses)?,
    }
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<File>, Failed> {
    File::open(path).map(BufReader::new).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed(format!("{}: {error}", path.display()))
}

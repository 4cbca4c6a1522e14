//! The audit trail on the host: exports, the keys to verify them with, and the verification, which needs no instance.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use keyservice::checkpoint::{Note, VerifyingKey};

use super::print::warned;
use super::{Failed, out};
use crate::actions::Call;
use crate::actions::audit::export::{self, ExportError};
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
    /// Prints the entries that keep an email address as its keyed hash, as lines of an export: sign-ins with it that failed,
    /// and one-time codes that were asked for with it where nobody here has it.
    Find {
        /// The address.
        #[arg(long)]
        email: String,
    },
    /// Prints the public keys of this instance's checkpoints and countersignatures: give them to whoever verifies.
    Keys,
    /// Prints the checkpoints of other instances that this one keeps, for their --witness.
    Witnessed,
    /// Verifies an export offline and names the first bad entry.
    #[command(after_help = "\
Needs no configuration, no database and no secret. Take the keys from where the owner of the trail cannot change them.

  linkspan audit verify audit.jsonl --key provider.key
  linkspan audit verify audit.jsonl --key provider.key --key consumer.key --witness kept.jsonl

An edit, a removal and a change of order show by themselves; a truncation and a rewriting show against checkpoints, and
against the owner of the keys only with checkpoints that another instance kept (linkspan audit witnessed, there).
Ends with code 1 if anything is wrong, if the export is not signed up to its last minutes with the keys given, and if
a --witness vouches for none of it.")]
    Verify {
        /// The export.
        file: PathBuf,
        /// Public keys of the trail or of a witness: what `linkspan audit keys` prints, or a file with it.
        #[arg(long = "key", value_name = "KEYS", required_unless_present = "unsigned", value_parser = keys)]
        keys: Vec<Keys>,
        /// Look at the chain even where it is not signed: it says nothing about who wrote it.
        #[arg(long)]
        unsigned: bool,
        /// Checkpoints that another instance kept, as `linkspan audit witnessed` prints them there.
        #[arg(long = "witness", value_name = "FILE")]
        witnesses: Vec<PathBuf>,
    },
}

/// What one `--key` gives.
#[derive(Clone, Debug)]
pub(super) struct Keys(Vec<VerifyingKey>);

/// Keys as they are printed, divided by white space; or the name of a file with such.
fn keys(text: &str) -> Result<Keys, String> {
    let parse =
        |text: &str| text.split_whitespace().map(str::parse).collect::<Result<Vec<VerifyingKey>, _>>();
    let found = match (parse(text), std::fs::read_to_string(text)) {
        (Ok(keys), _) => Ok(keys),
        (Err(_), Ok(file)) => {
            parse(&file).map_err(|_| "there is more in this file than public keys".to_owned())
        }
        (Err(_), Err(_)) => {
            Err("this is neither what `linkspan audit keys` prints nor a file that can be read".to_owned())
        }
    }?;
    if found.is_empty() { Err("there is no public key in it".to_owned()) } else { Ok(Keys(found)) }
}

/// What an export is verified against.
pub(super) struct Against {
    pub(super) keys: Vec<Keys>,
    pub(super) witnesses: Vec<PathBuf>,
    pub(super) unsigned: bool,
}

/// Verifies without anything else.
pub(super) fn verify(file: &Path, against: Against) -> Result<(), Failed> {
    let mut kept: Vec<(&Path, Vec<Note>)> = Vec::new();
    for path in &against.witnesses {
        kept.push((path, export::read_checkpoints(open(path)?).map_err(|error| named(path, &error))?));
    }
    let elsewhere: Vec<Note> = kept.iter().flat_map(|(_, notes)| notes).cloned().collect();
    let keys: Vec<VerifyingKey> = against.keys.into_iter().flat_map(|Keys(keys)| keys).collect();
    let chained = export::verify(open(file)?, &keys, &elsewhere).map_err(|error| named(file, &error))?;
    for (path, notes) in &kept {
        chained.require_kept(notes, &keys).map_err(|error| named(path, &error))?;
    }
    if !against.unsigned {
        chained.require_signed().map_err(|error| named(file, &error))?;
    }
    let verified = chained.verified;
    let upto = |n: u64| if n == 0 { "none of them".to_owned() } else { format!("up to entry {n}") };
    out(&format!("{} entries, each following from the one before.", verified.entries));
    out(&format!("Signed by the instance, so as it was written: {}.", upto(verified.signed)));
    out(&format!("Kept by another instance: {}.", upto(verified.witnessed)));
    Ok(())
}

pub(super) async fn run(config: &Config, command: Audit) -> Result<(), Failed> {
    let world = World::real();
    let app = App::open(config, world.clone()).await.map_err(Failed::because)?;
    let actions = app.actions();
    match command {
        Audit::Export { out: file } => {
            // So that the export is signed up to its end. Where that cannot be done, it is needed all the more.
            let call = Call::system(world.trace().map_err(Failed::because)?);
            if let Err(failure) = actions.checkpoint(&call).await {
                warned(&format!("the end of the trail is not signed: {failure}"));
            }
            match file {
                None => match actions.export_audit(&mut io::stdout()).await {
                    // Whoever read it has enough (`| head`).
                    Err(ExportError::File(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    done => {
                        done.map_err(Failed::because)?;
                    }
                },
                Some(path) => {
                    let file = File::create(&path).map_err(|error| named(&path, &error))?;
                    let mut file = BufWriter::new(file);
                    let entries = actions.export_audit(&mut file).await.map_err(Failed::because)?;
                    file.flush().map_err(|error| named(&path, &error))?;
                    out(&format!("Wrote {entries} entries to {}.", path.display()));
                }
            }
        }
        Audit::Find { email } => {
            let call = Call::system(world.trace().map_err(Failed::because)?);
            match actions.find_address(&call, &email, &mut io::stdout()).await {
                // As above.
                Err(ExportError::File(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                done => {
                    done.map_err(Failed::because)?;
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
        Audit::Verify { file, keys, witnesses, unsigned } => {
            verify(&file, Against { keys, witnesses, unsigned })?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<File>, Failed> {
    File::open(path).map(BufReader::new).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed(format!("{}: {error}", path.display()))
}

//! Keys that come from another system, and keys that leave for one.

use std::io::{self, Read as _};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{Question, VERSION, mutation, query};
use super::show::text;
use super::{Answer, Version, asked};
use crate::actions::Call;
use crate::app::App;
use crate::cli::{Failed, out};

/// The most characters of a package: base64url of the 512 bytes that one may have, with room for a line break.
const PACKAGE_MAX: u64 = 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum Transfer {
    /// Takes a key in from another system, as a second person agreed: hands out an offer, waits up to ten minutes for the
    /// package that the other side wraps for it (its first line on the standard input), and keeps the key as the next
    /// version, not yet in use.
    Import {
        /// The module that it comes into.
        module: String,
        /// The approval, of IMPORT.
        #[arg(long, value_name = "ID")]
        approval: String,
    },
    /// Wraps a key for another system, as a second person agreed to exactly this, and prints the package.
    Export {
        #[command(flatten)]
        key: Version,
        #[command(flatten)]
        receiver: Receiver,
        /// The approval, of EXPORT, for this version and this receiver.
        #[arg(long, value_name = "ID")]
        approval: String,
    },
}

/// Who is to receive a key.
#[derive(Debug, Args)]
pub(super) struct Receiver {
    /// The receiver's X25519 public key, 32 bytes as base64url: their offer says it.
    #[arg(long, value_name = "BASE64URL", allow_hyphen_values = true)]
    public_key: String,
    /// The associated data that the receiver opens with, base64url: their offer says it.
    #[arg(long, value_name = "BASE64URL", allow_hyphen_values = true)]
    associated_data: Option<String>,
}

/// What a request for approval to wrap a version for this receiver is about.
pub(super) fn export_object(module: &str, version: u64, key: &str, aad: Option<&str>) -> Question {
    let document = "query($module: String!, $version: Int!, $key: String!, $aad: String) {
        key(module: $module, version: $version) { exportObject(publicKey: $key, associatedData: $aad) } }";
    let variables = json!({ "module": module, "version": version, "key": key, "aad": aad });
    query("key", document.to_owned(), variables)
}

impl Transfer {
    /// What it asks: of an import, first the offer.
    pub(super) fn question(&self) -> Question {
        match self {
            Self::Import { module, .. } => {
                let fields = "offerId module algorithm publicKey associatedData expiresAt";
                mutation("offerKeyImport", ("keyImportOffer", fields), json!({ "module": module }))
            }
            Self::Export { key, receiver, approval } => {
                let input = json!({ "module": key.module, "version": key.version, "approvalId": approval,
                    "publicKey": receiver.public_key, "associatedData": receiver.associated_data });
                let fields = "keyId module version package associatedData";
                mutation("exportKey", ("keyPackage", fields), input)
            }
        }
    }

    /// Goes on with what was given: an offer is shown, and the package that comes for it is taken in.
    pub(super) async fn go_on(
        &self,
        app: &App,
        call: &Call,
        given: Value,
        as_json: bool,
    ) -> Result<Answer, Failed> {
        let Self::Import { module, approval } = self else { return Ok(Answer::Given(given)) };
        if as_json {
            out(&given.to_string());
        } else {
            out(&format!(
                "For a key of {} until {}. On the other side:\n  linkspan key export … --public-key {} --associated-data {}\n\
                 Then enter the package here.",
                text(&given["algorithm"]),
                text(&given["expiresAt"]),
                text(&given["publicKey"]),
                text(&given["associatedData"]),
            ));
        }
        let package = first_line().await?;
        let input = json!({ "module": module, "offerId": given["offerId"], "package": package,
            "approvalId": approval });
        asked(app, call, mutation("importKey", ("key", VERSION), input)).await
    }

    /// Shows what was given to a person.
    pub(super) fn show(&self, given: &Value) {
        match self {
            Self::Import { .. } => super::show::key(given),
            Self::Export { .. } => out(&text(&given["package"])),
        }
    }
}

/// The first line of the standard input.
async fn first_line() -> Result<String, Failed> {
    let read = || {
        let mut line = String::new();
        let mut input = io::BufReader::new(io::stdin().take(PACKAGE_MAX));
        io::BufRead::read_line(&mut input, &mut line).map(|_| line.trim().to_owned())
    };
    let line = tokio::task::spawn_blocking(read).await.map_err(Failed::because)?.map_err(Failed::because)?;
    if line.is_empty() { Err(Failed("there is no package in the first line".to_owned())) } else { Ok(line) }
}

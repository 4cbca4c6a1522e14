//! The use of a module's keys: seal and open, sign and verify, authenticate. What is worked on comes from the standard
//! input as it is.

use std::io::{self, Read as _, Write as _};

use clap::{Args, Subcommand};
use data_encoding::BASE64;
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use super::ask::{Question, mutation};
use super::show::text;
use crate::actions::key_use::{CIPHERTEXT_MAX, DATA_MAX};
use crate::cli::{Failed, out};

#[derive(Debug, Subcommand)]
pub(super) enum Data {
    /// Seals the standard input, 64 KiB at most; prints the ciphertext, in base64.
    Seal(Subject),
    /// Opens a ciphertext of `seal` from the standard input; prints the plaintext as it was.
    Open {
        #[command(flatten)]
        subject: Subject,
        /// Why it must be opened although its key is marked as compromised.
        #[arg(long, requires = "approval")]
        reason: Option<String>,
        /// With --reason: the approval, of OPEN_COMPROMISED.
        #[arg(long, value_name = "ID", requires = "reason")]
        approval: Option<String>,
    },
    /// Signs the standard input; prints the version of the key and the signature, in base64.
    Sign(Subject),
    /// Verifies a signature of the standard input; code 3 when it is not right.
    Verify(Proof),
    /// Makes an authentication code of the standard input; prints the version of the key and the code, in base64.
    Mac(Subject),
    /// Verifies an authentication code of the standard input; code 3 when it is not right.
    VerifyMac(Proof),
}

/// With which module, and what it is about.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The module's name.
    module: String,
    /// What it is about, such as link_id=ID, at most 16 times. The same is given to open or to verify.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::data)]
    about: Vec<Value>,
}

/// What is to be verified.
#[derive(Debug, Args)]
pub(super) struct Proof {
    #[command(flatten)]
    subject: Subject,
    /// The version of the key that made it.
    #[arg(long)]
    version: u64,
    /// The signature or the code, in base64.
    #[arg(long, value_name = "BASE64")]
    proof: String,
}

impl Data {
    /// What it asks, with what it reads from the standard input.
    pub(super) fn question(&self) -> Result<Question, Failed> {
        let message = || Ok::<_, Failed>(BASE64.encode(&input(DATA_MAX)?));
        let (field, noun, subject, name, value) = match self {
            Self::Seal(subject) => {
                ("sealData", ("sealed", "ciphertext version"), subject, "plaintext", message()?)
            }
            Self::Open { subject, .. } => {
                // In base64, with line breaks of whoever keeps it.
                let ciphertext = input(CIPHERTEXT_MAX * 2)?;
                let ciphertext = String::from_utf8_lossy(&ciphertext).split_whitespace().collect();
                ("openData", ("opened", "plaintext version"), subject, "ciphertext", ciphertext)
            }
            Self::Sign(subject) => {
                ("signData", ("signature", "signature version"), subject, "message", message()?)
            }
            Self::Mac(subject) => ("createMac", ("mac", "mac version"), subject, "message", message()?),
            Self::Verify(proof) => {
                let noun = ("verification", "valid version");
                ("verifySignature", noun, &proof.subject, "message", message()?)
            }
            Self::VerifyMac(proof) => {
                ("verifyMac", ("verification", "valid version"), &proof.subject, "message", message()?)
            }
        };
        let mut question =
            mutation(field, noun, json!({ "module": subject.module, "associatedData": subject.about }));
        let input = &mut question.variables["input"];
        input[name] = value.into();
        match self {
            Self::Verify(proof) | Self::VerifyMac(proof) => {
                let name = if matches!(self, Self::Verify(_)) { "signature" } else { "mac" };
                input[name] = json!(proof.proof);
                input["version"] = json!(proof.version);
            }
            Self::Open { reason, approval, .. } => {
                input["reason"] = json!(reason);
                input["approvalId"] = json!(approval);
            }
            Self::Seal(_) | Self::Sign(_) | Self::Mac(_) => {}
        }
        Ok(question)
    }

    /// Shows what was given.
    pub(super) fn show(&self, given: &Value) {
        let version = text(&given["version"]);
        match self {
            Self::Seal(_) => out(&text(&given["ciphertext"])),
            Self::Open { .. } => {
                let plaintext = given["plaintext"].as_str().unwrap_or_default();
                let plaintext = Zeroizing::new(BASE64.decode(plaintext.as_bytes()).unwrap_or_default());
                let mut stdout = io::stdout().lock();
                if stdout.write_all(&plaintext).and_then(|()| stdout.flush()).is_err() {
                    tracing::debug!("nobody reads our output");
                }
            }
            Self::Sign(_) => out(&format!("{version} {}", text(&given["signature"]))),
            Self::Mac(_) => out(&format!("{version} {}", text(&given["mac"]))),
            Self::Verify(_) | Self::VerifyMac(_) => {
                out(if given["valid"] == true { "It is right." } else { "It is not right." });
            }
        }
    }
}

/// The standard input, whole.
fn input(most: usize) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin().take(limit).read_to_end(&mut bytes).map_err(Failed::because)?;
    if bytes.len() > most {
        return Err(Failed(format!("the standard input is longer than {most} bytes")));
    }
    Ok(bytes)
}

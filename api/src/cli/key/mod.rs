//! Keys from the host: what the API does with them, asked of it in this process, by a named person.
//!
//! Every verb is a document of the public schema under the call of the person whom `--as` names, so roles, policies,
//! approvals and the audit trail are the API's own; the trail says `"origin": "host"`. A server that runs meanwhile goes
//! on: this command reads the same root key and works on the same database, with a key service of its own.

mod ask;
mod data;
mod policy;
mod show;
mod transfer;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::people::password_from_stdin;
use super::{Failed, out};
use crate::actions::Call;
use crate::app::App;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::domain::key_approval::KeyApprovalState;
use crate::domain::key_policy::KeyOperation;
use crate::world::World;

/// The code when it was refused.
const REFUSED: u8 = 3;
/// The code when the key service works, but not as it should.
const DEGRADED: u8 = 4;
/// The code when the key service does not work.
const MALFUNCTION: u8 = 5;

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever acts needs the key roles for it, as in the API:
  linkspan role grant --email manager@example.com --role key-manager

Examples, all as the same person; `--as` names one for a single command:
  export LINKSPAN_AS=manager@example.com
  linkspan key list
  linkspan key rotate tokens
  linkspan key suspend papers 2 --reason 'A laptop was lost'

What cannot be taken back, and what lets key material in or out, needs two people; the second one
approves with their password, here or in the console:
  linkspan key request destroy papers --version 1 --reason 'Nobody needs it'
  pass show linkspan | linkspan key approve ID --password-stdin --as another@example.com
  linkspan key destroy papers 1 --approval ID     (seven days after the request)

A key from another instance: the receiver's `import` prints what the sender's request and `export`
name as public key (PK) and associated data (DATA), and waits:
  linkspan key import papers --approval ID
  linkspan key request export papers --version 1 --public-key PK --associated-data DATA --reason …
  linkspan key export papers 1 --public-key PK --associated-data DATA --approval ID

Keys of modules that you make are used here as well, by whomever their access policies allow it:
  linkspan key add-policy papers --effect track --who every-person --operations seal,open
  linkspan key seal papers --about field=note --as user@example.com < note.txt > note.sealed

Codes: 0 done, 1 it could not be tried, 2 not understood, 3 refused; of `health` also 4 degraded, 5 malfunction.")]
pub(super) struct Key {
    /// Who acts: the address of their account. Their key roles decide.
    #[arg(long = "as", value_name = "EMAIL", env = "LINKSPAN_AS", global = true)]
    acting: Option<String>,
    /// What the API answers, as JSON on the standard output, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// One version of a key.
#[derive(Debug, Args)]
struct Version {
    /// The module's name, or `links/` and the id of a connection's channel.
    module: String,
    /// The version.
    version: u64,
}

/// One version of a key, and why.
#[derive(Debug, Args)]
struct VersionWithReason {
    #[command(flatten)]
    key: Version,
    /// Why, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
    #[arg(long)]
    reason: String,
}

/// What holds for the keys of a module.
#[derive(Debug, Args)]
struct Specification {
    /// Its keys may leave, wrapped, when a second person agrees.
    #[arg(long)]
    exportable: bool,
    /// How long after its activation a key rotates by itself, such as 90d or 12h.
    #[arg(long, value_name = "PERIOD", value_parser = seconds)]
    rotate_every: Option<i64>,
    /// How long after it was made a key stops sealing and signing, such as 365d.
    #[arg(long, value_name = "PERIOD", value_parser = seconds)]
    lifetime: Option<i64>,
}

/// As which revision it was read.
#[derive(Debug, Args)]
struct Revision {
    /// The revision that you read: refused with CONFLICT if somebody changed it since.
    #[arg(long = "expected-revision", value_name = "REVISION")]
    expected: Option<i64>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the key modules.
    Modules,
    /// Lists keys with their versions: of all modules, or of one.
    List {
        /// The module's name, or `links/` and the id of a connection's channel.
        module: Option<String>,
    },
    /// Measures the key service, each part of it, in a process of this command's own.
    Health {
        /// From scratch: every key is compared with the audit trail, and the trail verified from its beginning.
        #[arg(long)]
        recheck: bool,
    },
    /// Makes a draft of a module.
    CreateModule {
        /// Its name: 1 to 64 of a to z, 0 to 9 and -, beginning with a letter.
        module: String,
        /// SEALING, SIGNING or AUTHENTICATION.
        #[arg(long)]
        purpose: String,
        /// A256GCM; Ed25519 or ECDSA-P256-SHA256; HMAC-SHA256, HMAC-SHA384 or HMAC-SHA512.
        #[arg(long)]
        algorithm: String,
        #[command(flatten)]
        specification: Specification,
    },
    /// Gives a draft another specification: what is left out is as if the draft were made anew.
    Specify {
        /// The module's name.
        module: String,
        #[command(flatten)]
        specification: Specification,
        #[command(flatten)]
        revision: Revision,
    },
    /// Publishes a draft: its keys can be made and used, and its specification is fixed.
    Publish {
        /// The module's name.
        module: String,
        #[command(flatten)]
        revision: Revision,
    },
    /// Sets when the keys of a module rotate by themselves.
    Schedule {
        /// The module's name.
        module: String,
        /// How long after its activation, such as 90d; left to people without it.
        #[arg(long, value_name = "PERIOD", value_parser = seconds)]
        rotate_every: Option<i64>,
        #[command(flatten)]
        revision: Revision,
    },
    /// Makes the next version of a module's key; the one before still opens and verifies what it made.
    Rotate {
        /// The module's name.
        module: String,
    },
    /// Makes the next version of a module's key ahead: it is not in use until it is activated.
    Generate {
        /// The module's name.
        module: String,
    },
    /// Puts a version that waits into use; the one before still opens and verifies what it made.
    Activate(Version),
    /// Takes a key out of use for a while.
    Suspend(VersionWithReason),
    /// Puts a suspended key back into use.
    Resume(Version),
    /// Gives a key another expiry.
    Renew {
        #[command(flatten)]
        key: Version,
        /// When it stops sealing and signing, such as 2027-01-01T00:00:00Z; never without it.
        #[arg(long, value_name = "TIME", value_parser = time)]
        until: Option<Timestamp>,
    },
    /// Retires a key in use, or one that is suspended, without a successor; it still opens and verifies what it made.
    Deactivate(Version),
    /// Withdraws a key: it makes nothing any more; what it made can still be read. That of a connection ends the
    /// connection: suspend it to stop for a while.
    Revoke(VersionWithReason),
    /// Marks a key as known to others: what it made is only read as a second person agrees. That of a connection ends the
    /// connection.
    Compromised(VersionWithReason),
    /// Erases the material of a key for good, as a second person agreed.
    Destroy {
        #[command(flatten)]
        key: Version,
        /// The approval, of DESTROY; it can be used seven days after it was asked for.
        #[arg(long, value_name = "ID")]
        approval: String,
    },
    #[command(flatten)]
    Transfer(transfer::Transfer),
    #[command(flatten)]
    Policy(policy::Policy),
    #[command(flatten)]
    Data(data::Data),
    /// Explains how access to a key was decided.
    Explain {
        /// The id of the decision, as the refusal names it.
        decision: String,
    },
    /// Lists requests for a second person's approval, the newest first.
    Approvals {
        /// In this state: pending, approved, refused, withdrawn, expired or used.
        #[arg(long, value_parser = state)]
        state: Option<KeyApprovalState>,
    },
    /// Asks for a second person's approval of something that you may do, but not alone.
    Request {
        /// What is to be done: destroy, export, import, open-compromised or rotate-root.
        #[arg(value_parser = operation)]
        operation: KeyOperation,
        /// With which module; left out for rotate-root.
        module: Option<String>,
        /// To which version of its key.
        #[arg(long, requires = "module")]
        version: Option<u64>,
        /// Of export, with --version: the receiver's X25519 public key, as their offer says it.
        #[arg(long, value_name = "BASE64URL", allow_hyphen_values = true, requires = "version")]
        public_key: Option<String>,
        /// Of export: the associated data that the receiver opens with, as their offer says it.
        #[arg(long, value_name = "BASE64URL", allow_hyphen_values = true, requires = "public_key")]
        associated_data: Option<String>,
        /// To what else, if not to a version.
        #[arg(long, conflicts_with = "version")]
        object: Option<String>,
        /// Why, 1 to 500 characters.
        #[arg(long)]
        reason: String,
    },
    /// Approves what another person asked for; with the password of whoever approves.
    Approve {
        /// The request.
        approval: String,
        /// Read the password from the standard input (its first line).
        #[arg(long)]
        password_stdin: bool,
    },
    /// Refuses what another person asked for.
    Refuse {
        /// The request.
        approval: String,
        /// Why, 1 to 500 characters.
        #[arg(long)]
        reason: String,
    },
    /// Withdraws one's own request, also after it was approved.
    Withdraw {
        /// The request.
        approval: String,
    },
    /// Puts another key encryption key in use; the server wraps every key under it again. Shows how far that is with
    /// --status.
    RotateKeyEncryptionKey {
        /// Only say how far the last rotation is.
        #[arg(long)]
        status: bool,
    },
    /// Puts another root key in the place of the one in use, as a second person agreed. Keep a copy of the new one.
    RotateRoot {
        /// The approval, of ROTATE_ROOT.
        #[arg(long, value_name = "ID")]
        approval: String,
    },
}

fn seconds(text: &str) -> Result<i64, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let each = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a period is a number with s, m, h or d behind it, such as 90d".to_owned()),
    };
    let number = text[..text.len() - unit.len()].parse::<i64>().ok();
    number.and_then(|number| number.checked_mul(each)).ok_or_else(|| "this is not a number".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time is like 2027-01-01T00:00:00Z".to_owned())
}

fn word(text: &str) -> String {
    text.to_ascii_uppercase().replace('-', "_")
}

fn state(text: &str) -> Result<KeyApprovalState, String> {
    KeyApprovalState::parse(&word(text)).ok_or_else(|| "there is no such state".to_owned())
}

fn operation(text: &str) -> Result<KeyOperation, String> {
    KeyOperation::parse(&word(text)).ok_or_else(|| "there is no such operation".to_owned())
}

/// A piece of associated data.
fn data(text: &str) -> Result<Value, String> {
    match text.split_once('=') {
        Some((name, value)) => Ok(json!({ "name": name, "value": value })),
        None => Err("a name, = and a value, such as link_id=ID".to_owned()),
    }
}

/// What came of asking the API.
enum Answer {
    /// The noun.
    Given(Value),
    /// The expected "no".
    Refused(Value),
}

pub(super) async fn run(config: &Config, key: Key) -> Result<ExitCode, Failed> {
    let acting = key.acting.ok_or_else(|| {
        Failed("say who acts: --as EMAIL, the address of an account with a key role".to_owned())
    })?;
    let password = match key.verb {
        Verb::Approve { password_stdin: true, .. } => Some(password_from_stdin()?),
        _ => None,
    };
    let world = World::real();
    let app = App::open(config, world).await.map_err(Failed::because)?;
    let call = app.actions().person_on_host(&acting, password).await.map_err(Failed::because)?;
    let answer = match object(&app, &call, &key.verb).await? {
        Ok(object) => asked(&app, &call, key.verb.question(object)?).await?,
        Err(refused) => Answer::Refused(refused),
    };
    let answer = match (answer, &key.verb) {
        (Answer::Given(given), Verb::Transfer(verb)) => verb.go_on(&app, &call, given, key.json).await?,
        (answer, _) => answer,
    };
    app.finish().await;
    match answer {
        Answer::Given(given) => {
            if key.json {
                out(&format!("{given:#}"));
            } else {
                key.verb.show(&given);
            }
            Ok(key.verb.code(&given))
        }
        Answer::Refused(refusal) => {
            if key.json {
                out(&format!("{:#}", json!({ "refusal": refusal })));
            }
            show::refusal(&refusal);
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// What a request is about, if it names a version.
async fn object(app: &App, call: &Call, verb: &Verb) -> Result<Result<Option<String>, Value>, Failed> {
    let Verb::Request {
        operation,
        module: Some(module),
        version: Some(version),
        public_key,
        associated_data,
        ..
    } = verb
    else {
        return Ok(Ok(None));
    };
    let (question, field) = match (operation, public_key) {
        (KeyOperation::Export, None) => {
            return Err(Failed(
                "say for whom it is to be wrapped: --public-key, as their offer says it".to_owned(),
            ));
        }
        (_, None) => (ask::one_key(module, *version), "keyId"),
        (_, Some(key)) => {
            (transfer::export_object(module, *version, key, associated_data.as_deref()), "exportObject")
        }
    };
    match asked(app, call, question).await? {
        Answer::Refused(refusal) if refusal["code"] == "NOT_FOUND" => {
            let message = format!("The module {module} has no key of version {version}.");
            Ok(Err(json!({ "code": "NOT_FOUND", "message": message })))
        }
        Answer::Refused(refusal) => Ok(Err(refusal)),
        Answer::Given(key) => Ok(Ok(key[field].as_str().map(str::to_owned))),
    }
}

/// Asks the API, and tells what it gives from what it refuses; of a list, page after page, all its items.
async fn asked(app: &App, call: &Call, mut question: ask::Question) -> Result<Answer, Failed> {
    let mut items = Vec::new();
    loop {
        let page = match asked_once(app, call, &question).await? {
            Answer::Given(page) => page,
            refused @ Answer::Refused(_) => return Ok(refused),
        };
        let Some(edges) = page["edges"].as_array() else { return Ok(Answer::Given(page)) };
        items.extend(edges.iter().map(|edge| edge["node"].clone()));
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(Answer::Given(items.into()));
        }
        question.variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

async fn asked_once(app: &App, call: &Call, question: &ask::Question) -> Result<Answer, Failed> {
    let answer = app.ask(call.clone(), &question.document, question.variables.clone()).await;
    if let Some(error) = answer["errors"].get(0) {
        let (message, code) = (error["message"].as_str().unwrap_or_default(), &error["extensions"]["code"]);
        return match code.as_str() {
            Some("FORBIDDEN" | "INVALID_INPUT") => {
                Ok(Answer::Refused(json!({ "code": code, "message": message })))
            }
            _ => Err(Failed(message.to_owned())),
        };
    }
    let field = &answer["data"][question.field];
    if !field["refusal"].is_null() {
        return Ok(Answer::Refused(field["refusal"].clone()));
    }
    let given = if question.noun.is_empty() { field } else { &field[question.noun] };
    if given.is_null() {
        return Ok(Answer::Refused(json!({ "code": "NOT_FOUND", "message": "There is no such thing." })));
    }
    Ok(Answer::Given(given.clone()))
}

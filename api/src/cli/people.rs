//! Accounts and roles from the host: whoever may run this holds the database and the root key anyway.

use std::io::{self, Read as _};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Failed, out};
use crate::actions::{Actions, Call};
use crate::app::App;
use crate::config::Config;
use crate::domain::person::EmailAddress;
use crate::domain::requester::Role;
use crate::store::{Account, Page};
use crate::world::World;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Makes an account; prints a password for it if none is given.
    #[command(after_help = "\
Examples:
  linkspan user create --email admin@example.com --name 'An Administrator' --admin
  pass show linkspan | linkspan user create --email admin@example.com --name 'An Administrator' --password-stdin")]
    Create(Create),
    /// Lists the accounts, with their roles.
    List,
    /// Gives an account another password and ends its sessions; prints one if none is given.
    Password(NewPassword),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The address, which is also the sign-in name.
    #[arg(long)]
    email: String,
    /// The name, as people read it.
    #[arg(long)]
    name: String,
    /// Make it an administrator.
    #[arg(long)]
    admin: bool,
    /// Read the password from the standard input (its first line).
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct NewPassword {
    /// The account's address.
    #[arg(long)]
    email: String,
    /// Read the password from the standard input (its first line).
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn user(config: &Config, command: User) -> Result<(), Failed> {
    let world = World::real();
    let app = App::open(config, world.clone()).await.map_err(Failed::because)?;
    let (actions, call) = (app.actions(), call(&world)?);
    match command {
        User::Create(create) => {
            let given = password(create.password_stdin, &world)?;
            let roles: &[Role] = if create.admin { &[Role::Admin] } else { &[] };
            let secret = Some(given.secret.clone());
            let made = actions.create_user(&call, &create.email, &create.name, secret, roles).await;
            let account = made.map_err(Failed::because)?;
            out(&format!("Made {} <{}>, {}.", account.name, account.email, roles_text(&account)));
            given.tell();
        }
        User::List => list(actions, &call).await?,
        User::Password(change) => {
            let account = find(actions, &change.email).await?;
            let given = password(change.password_stdin, &world)?;
            let done = actions.set_password(&call, account.id, given.secret.clone()).await;
            done.map_err(Failed::because)?;
            out(&format!(
                "{} has another password; its sessions have ended, and its access tokens with them.",
                account.email
            ));
            given.tell();
        }
    }
    Ok(())
}

pub(super) async fn grant(config: &Config, email: &str, role: Role) -> Result<(), Failed> {
    let world = World::real();
    let app = App::open(config, world.clone()).await.map_err(Failed::because)?;
    let account = find(app.actions(), email).await?;
    let account =
        app.actions().grant_role(&call(&world)?, account.id, role).await.map_err(Failed::because)?;
    out(&format!("{} is now {}.", account.email, roles_text(&account)));
    Ok(())
}

pub(super) async fn revoke(config: &Config, email: &str, role: Role) -> Result<(), Failed> {
    let world = World::real();
    let app = App::open(config, world.clone()).await.map_err(Failed::because)?;
    let account = find(app.actions(), email).await?;
    let account =
        app.actions().revoke_role(&call(&world)?, account.id, role).await.map_err(Failed::because)?;
    out(&format!("{} is now {}.", account.email, roles_text(&account)));
    Ok(())
}

/// Makes an administrator with this password, unless the address has an account.
///
/// # Errors
/// When the account is refused, or the database does not answer.
pub async fn ensure_administrator(
    app: &App,
    world: &World,
    email: &str,
    name: &str,
    password: &SecretString,
) -> Result<(), Failed> {
    if find(app.actions(), email).await.is_ok() {
        return Ok(());
    }
    let call = call(world)?;
    let made = app.actions().create_user(&call, email, name, Some(password.clone()), &[Role::Admin]);
    made.await.map(|_| ()).map_err(Failed::because)
}

fn call(world: &World) -> Result<Call, Failed> {
    Ok(Call::system(world.trace().map_err(Failed::because)?))
}

async fn find(actions: &Actions, email: &str) -> Result<Account, Failed> {
    let email = EmailAddress::parse(email).map_err(|error| Failed(format!("--email: {error}")))?;
    let account = actions.store.account_by_email(email.as_str()).await.map_err(Failed::because)?;
    account.ok_or_else(|| Failed(format!("{email} has no account here; see: linkspan user list")))
}

async fn list(actions: &Actions, call: &Call) -> Result<(), Failed> {
    let reader = actions.store.reader(&call.requester.viewer());
    let mut lines = Vec::new();
    for contacts in [false, true] {
        let mut beyond = None;
        loop {
            let page = Page { beyond, limit: 250, backward: false };
            let slice = reader.accounts(contacts, None, None, page).await.map_err(Failed::because)?;
            beyond = slice.items.last().map(|account| account.id.0);
            lines.extend(slice.items.iter().map(|account| {
                let off = if account.active { "" } else { " (off)" };
                format!("{:<36} {:<28} {}{off}", account.email, account.name, roles_text(account))
            }));
            if !slice.has_next || beyond.is_none() {
                break;
            }
        }
    }
    if lines.is_empty() {
        lines.push("There are no accounts yet; see: linkspan user create --help".to_owned());
    }
    lines.iter().for_each(|line| out(line));
    Ok(())
}

fn roles_text(account: &Account) -> String {
    let roles: Vec<String> = account.roles.iter().map(|role| role.as_str().to_ascii_lowercase()).collect();
    if roles.is_empty() { "without roles".to_owned() } else { roles.join(", ") }
}

/// A password, and whether it was made here, so that it has to be told.
struct Given {
    secret: SecretString,
    made_here: bool,
}

impl Given {
    fn tell(&self) {
        if self.made_here {
            out(&format!("Password (shown this once): {}", self.secret.expose_secret()));
        }
    }
}

fn password(from_stdin: bool, world: &World) -> Result<Given, Failed> {
    if !from_stdin {
        return Ok(Given { secret: generated_password(world)?, made_here: true });
    }
    Ok(Given { secret: password_from_stdin()?, made_here: false })
}

/// The first line of the standard input.
pub(super) fn password_from_stdin() -> Result<SecretString, Failed> {
    let mut text = Zeroizing::new(String::with_capacity(1_024));
    io::stdin().take(1_024).read_to_string(&mut text).map_err(Failed::because)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line)),
        _ => Err(Failed("--password-stdin: there is no password in the first line".to_owned())),
    }
}

/// 100 bits in groups that can be typed.
///
/// # Errors
/// When the machine has no entropy to give.
pub fn generated_password(world: &World) -> Result<SecretString, Failed> {
    let bytes: [u8; 13] = world.bytes().map_err(Failed::because)?;
    let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|n| text.get(n * 5..n * 5 + 5)).collect();
    Ok(SecretString::from(groups.join("-")))
}

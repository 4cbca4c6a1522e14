use askama::Template;

use crate::domain::person::{EmailAddress, MaskedEmail};

/// The instance that a page belongs to: shown on each, because people have two of them open.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its origin, to be compared with the address bar.
    pub origin: &'a str,
}

/// Sign in with a password, or ask for a one-time code: posts `email`, `password`, `return_to`, `csrf` to
/// `/sign-in`, or the same to `/sign-in/code`.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignIn<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// Why signing in is needed, such as "to approve the connection of …".
    pub reason: Option<&'a str>,
    /// Why the last try failed: the same words whether the account exists or not.
    pub error: Option<&'a str>,
    /// What was typed as the address last time, or nothing.
    pub email: &'a str,
    /// Whether a code can be sent by mail.
    pub code_by_mail: bool,
    /// Where to go afterwards: a path of this instance, checked by the handler again.
    pub return_to: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// Enter the code from the letter: posts `code`, `email`, `return_to`, `csrf` to `/sign-in/code/verify`.
#[derive(Template)]
#[template(path = "code.html")]
pub struct Code<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// The address that was typed; shown whether it has an account or not.
    pub email: &'a str,
    /// How long the code is good for.
    pub minutes: u32,
    /// Why the last try failed.
    pub error: Option<&'a str>,
    /// The sign-in page's path and query, with `return_to`.
    pub password_url: &'a str,
    /// Where to go afterwards.
    pub return_to: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// Allow or deny the connection: posts `decision` (`allow`, `deny`), `request`, `csrf` to `action`.
///
/// For the named contact only: anyone else gets [`Mismatch`], so this page has nobody else to name as expected.
///
/// Send it with [`super::page_with_form_target`]: the answer to the post redirects to the consumer, and browsers
/// hold `form-action` against redirects too.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct Consent<'a> {
    /// The provider's instance.
    pub instance: Instance<'a>,
    /// Where the decision goes: a path of this instance.
    pub action: &'a str,
    /// The name of the person who is signed in.
    pub signed_in_name: &'a str,
    /// The address of the person who is signed in.
    pub signed_in_email: &'a EmailAddress,
    /// The company to be connected.
    pub company_name: &'a str,
    /// The origin of its instance.
    pub consumer_origin: &'a str,
    /// The provider's name.
    pub provider_name: &'a str,
    /// The registration's human number.
    pub registration_number: &'a str,
    /// The provider's fingerprint as the consumer's wizard shows it; groups are divided by spaces.
    pub fingerprint: &'a str,
    /// What is allowed, a sentence each.
    pub scopes: &'a [&'a str],
    /// When the page's request ends, for people.
    pub expires_at: &'a str,
    /// The authorization request that is decided.
    pub request: &'a str,
    /// This page's own path and query: where "Use another account" comes back to after signing in.
    pub return_to: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// The signed-in person is not the named contact: refused before anything is spent. Status 403.
#[derive(Template)]
#[template(path = "mismatch.html")]
pub struct Mismatch<'a> {
    /// The provider's instance.
    pub instance: Instance<'a>,
    /// The named contact, as far as a stranger may know.
    pub expected: MaskedEmail<'a>,
    /// The name of the person who is signed in.
    pub signed_in_name: &'a str,
    /// The address of the person who is signed in.
    pub signed_in_email: &'a EmailAddress,
    /// The company to be connected.
    pub company_name: &'a str,
    /// The provider's name.
    pub provider_name: &'a str,
    /// The registration's human number.
    pub registration_number: &'a str,
    /// The trace id.
    pub reference: &'a str,
    /// The consent page's path and query.
    pub return_to: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// Who opened a registration link is no administrator here. Status 403.
#[derive(Template)]
#[template(path = "not_an_administrator.html")]
pub struct NotAnAdministrator<'a> {
    /// The consumer's instance.
    pub instance: Instance<'a>,
    /// The name of the person who is signed in.
    pub signed_in_name: &'a str,
    /// The address of the person who is signed in.
    pub signed_in_email: &'a str,
    /// The trace id.
    pub reference: &'a str,
    /// Where the link is at hand after signing in again.
    pub return_to: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// Any refusal or failure that a person gets to see: what happened, why, what to do.
#[derive(Template)]
#[template(path = "message.html")]
pub struct Message<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// What it is, in a few words.
    pub title: &'a str,
    /// What happened, and what did not.
    pub happened: &'a str,
    /// Why, if it may be told.
    pub why: Option<&'a str>,
    /// What the reader can do, in order.
    pub what_to_do: &'a [&'a str],
    /// A way on: its text and its address.
    pub go_on: Option<(&'a str, &'a str)>,
    /// The trace id, for whoever is asked for help.
    pub reference: Option<&'a str>,
}

/// What is documented: a list of links.
#[derive(Clone, Debug, Template)]
#[template(path = "docs.html")]
pub struct Docs<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// One for each check.
    pub checks: &'a [DocsLink],
    /// One for each refusal.
    pub refusals: &'a [DocsLink],
}

/// A link of [`Docs`].
#[derive(Clone, Debug)]
pub struct DocsLink {
    /// Where it leads.
    pub address: String,
    /// The stable code.
    pub code: &'static str,
    /// Its words.
    pub label: &'static str,
}

/// What both sides show when something breaks.
#[derive(Template)]
#[template(path = "outages.html")]
pub struct Outages<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// The most seconds until the end of an outage shows.
    pub recovered: i64,
    /// One for each.
    pub outages: &'a [OutageSection],
}

/// A part of [`Outages`].
#[derive(Clone, Debug)]
pub struct OutageSection {
    /// Its stable name, for links.
    pub name: &'static str,
    /// What happens.
    pub happens: &'static str,
    /// What each side shows.
    pub sides: Vec<OutageSide>,
}

/// A part of [`OutageSection`].
#[derive(Clone, Debug)]
pub struct OutageSide {
    /// Whose it is.
    pub whose: &'static str,
    /// A sentence each.
    pub lines: Vec<String>,
}

/// Where a registration link leads on the consumer's instance: posts `link`, `csrf` to `/connect`.
///
/// The link's secret is in the fragment, so the script fills the field in; without a script it is pasted.
#[derive(Template)]
#[template(path = "connect.html")]
pub struct Connect<'a> {
    /// The consumer's instance.
    pub instance: Instance<'a>,
    /// Why the posted link cannot be used.
    pub error: Option<&'a str>,
    /// A link that was posted before signing in, sealed; posted as `kept` instead of `link`.
    pub kept: Option<&'a str>,
    /// The provider that the kept link names.
    pub provider: &'a str,
    /// Who opens the kept link: the mail address of whoever has signed in meanwhile.
    pub signed_in: Option<&'a str>,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

/// Signed out.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// The sign-in page's path.
    pub sign_in_url: &'a str,
}

/// The page that the console runs in, for whoever is signed in.
#[derive(Template)]
#[template(path = "console.html")]
pub struct Shell<'a> {
    /// The instance.
    pub instance: Instance<'a>,
    /// What the instance is for.
    pub environment: &'a str,
    /// The name of the person who is signed in.
    pub signed_in_name: &'a str,
    /// Where the console's files are.
    pub base: &'a str,
    /// The token against cross-site posts.
    pub csrf: &'a str,
}

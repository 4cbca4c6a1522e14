use askama::Template;
use chrono::{DateTime, Utc};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::error::MailError;
use super::letter::{Letter, Line, Link, Recipient};

/// The most characters of a line of text (RFC 5322, 2.1.1); only an address may be longer.
const WIDTH: usize = 78;
/// The most columns that text is indented by, whatever a line begins with.
const DEEPEST: usize = 8;

/// Invites the contact to connect their instance: the letter that carries the registration link.
#[derive(Clone, Debug)]
pub struct RegistrationLink {
    /// The provider's name, and the origin of its instance: who asks.
    pub provider_name: Line,
    /// See `provider_name`.
    pub provider_origin: Line,
    /// The contact's company.
    pub company_name: Line,
    /// The origin of the contact's own instance, where the link leads.
    pub consumer_origin: Line,
    /// The link, with its secret.
    pub link: Link,
    /// When the link stops working.
    pub expires_at: DateTime<Utc>,
    /// The registration's human number, such as `REG-000001`.
    pub registration_number: Line,
    /// The fingerprint of the provider's identity key as screens show it.
    pub fingerprint: Line,
}

#[derive(Template)]
#[template(path = "registration_link.txt")]
struct RegistrationLinkText<'a> {
    to: &'a Recipient,
    it: &'a RegistrationLink,
}

#[derive(Template)]
#[template(path = "registration_link.html")]
struct RegistrationLinkHtml<'a> {
    title: &'a str,
    to: &'a Recipient,
    it: &'a RegistrationLink,
}

impl RegistrationLink {
    fn until(&self) -> String {
        day_and_time(self.expires_at)
    }

    /// Writes the letter.
    ///
    /// # Errors
    /// [`MailError::Unsendable`] when a template fails.
    pub fn letter(&self, to: Recipient, now: DateTime<Utc>) -> Result<Letter, MailError> {
        let title = format!("Connect your instance to {} ({})", self.provider_name, self.registration_number);
        let text = render_text(&RegistrationLinkText { to: &to, it: self })?;
        let html = render(&RegistrationLinkHtml { title: &title, to: &to, it: self })?;
        Ok(Letter { to, written_at: now, subject: title, text, html })
    }
}

/// The one-time code to sign in with, or to confirm oneself with, instead of a password.
#[derive(Clone)]
pub struct SignInCode {
    /// The instance that asks for the code, by name.
    pub instance_name: Line,
    /// The instance's origin: the only place to enter the code.
    pub instance_origin: Line,
    /// The code.
    pub code: SecretString,
    /// How long it is good for, in minutes.
    pub minutes: u32,
    /// Whether it confirms who sits at a session, instead of beginning one.
    pub confirms: bool,
}

#[derive(Template)]
#[template(path = "sign_in_code.txt")]
struct SignInCodeText<'a> {
    to: &'a Recipient,
    it: &'a SignInCode,
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct SignInCodeHtml<'a> {
    title: &'a str,
    to: &'a Recipient,
    it: &'a SignInCode,
}

impl SignInCode {
    fn heading(&self) -> &'static str {
        if self.confirms { "Your code to confirm that it is you" } else { "Your sign-in code" }
    }

    /// Writes the letter; the code stays out of the subject, which shows on locked screens.
    ///
    /// # Errors
    /// [`MailError::Unsendable`] when a template fails.
    pub fn letter(&self, to: Recipient, now: DateTime<Utc>) -> Result<Letter, MailError> {
        let title = format!("{} for {}", self.heading(), self.instance_name);
        let text = render_text(&SignInCodeText { to: &to, it: self })?;
        let html = render(&SignInCodeHtml { title: &title, to: &to, it: self })?;
        Ok(Letter { to, written_at: now, subject: title, text, html })
    }
}

/// Tells somebody of issues: raised, open, or mended.
#[derive(Clone, Debug)]
pub struct IssueNews {
    /// The instance that says so, by name.
    pub instance_name: Line,
    /// What they are about, in words.
    pub about: Line,
    /// What is said of them, as a sentence.
    pub intro: Line,
    /// What is wrong and how to mend it, one pair for each issue.
    pub issues: Vec<(Line, Line)>,
    /// How many there are that it does not name.
    pub more: u64,
    /// Where all of them are shown.
    pub url: Link,
    /// Where the reader chooses how to hear of issues.
    pub account_url: Option<Link>,
}

#[derive(Template)]
#[template(path = "issue_news.txt")]
struct IssueNewsText<'a> {
    to: &'a Recipient,
    it: &'a IssueNews,
}

#[derive(Template)]
#[template(path = "issue_news.html")]
struct IssueNewsHtml<'a> {
    title: &'a str,
    to: &'a Recipient,
    it: &'a IssueNews,
}

impl IssueNews {
    /// Writes the letter.
    ///
    /// # Errors
    /// [`MailError::Unsendable`] when a template fails.
    pub fn letter(&self, to: Recipient, now: DateTime<Utc>) -> Result<Letter, MailError> {
        let title = format!("{}: issues about {}", self.instance_name, self.about);
        let text = render_text(&IssueNewsText { to: &to, it: self })?;
        let html = render(&IssueNewsHtml { title: &title, to: &to, it: self })?;
        Ok(Letter { to, written_at: now, subject: title, text, html })
    }
}

/// Tells that two instances are connected.
#[derive(Clone, Debug)]
pub struct OnboardingComplete {
    /// The instance that says so, by name.
    pub instance_name: Line,
    /// The other instance, by name.
    pub peer_name: Line,
    /// The other instance's origin.
    pub peer_origin: Line,
    /// The fingerprint of the other instance's identity key as screens show it.
    pub fingerprint: Line,
    /// Since when the connection stands.
    pub established_at: DateTime<Utc>,
    /// The connection's page here.
    pub connection_url: Link,
}

#[derive(Template)]
#[template(path = "onboarding_complete.txt")]
struct OnboardingCompleteText<'a> {
    to: &'a Recipient,
    it: &'a OnboardingComplete,
}

#[derive(Template)]
#[template(path = "onboarding_complete.html")]
struct OnboardingCompleteHtml<'a> {
    title: &'a str,
    to: &'a Recipient,
    it: &'a OnboardingComplete,
}

impl OnboardingComplete {
    fn since(&self) -> String {
        day_and_time(self.established_at)
    }

    /// Writes the letter.
    ///
    /// # Errors
    /// [`MailError::Unsendable`] when a template fails.
    pub fn letter(&self, to: Recipient, now: DateTime<Utc>) -> Result<Letter, MailError> {
        let title = format!("Connected to {}", self.peer_name);
        let text = render_text(&OnboardingCompleteText { to: &to, it: self })?;
        let html = render(&OnboardingCompleteHtml { title: &title, to: &to, it: self })?;
        Ok(Letter { to, written_at: now, subject: title, text, html })
    }
}

fn render(template: &impl Template) -> Result<SecretString, MailError> {
    template.render().map(SecretString::from).map_err(|error| MailError::Unsendable(error.to_string()))
}

/// As [`render`], with lines folded at spaces.
fn render_text(template: &impl Template) -> Result<SecretString, MailError> {
    let whole = Zeroizing::new(template.render().map_err(|error| MailError::Unsendable(error.to_string()))?);
    let mut text = String::with_capacity(2 * whole.len());
    for line in whole.lines() {
        fold(line, &mut text);
    }
    Ok(SecretString::from(text))
}

/// Adds a line; what is too long for it goes on below, under the line's own text.
fn fold(line: &str, into: &mut String) {
    let indent = (line.len() - line.trim_start_matches([' ', '-']).len()).min(DEEPEST);
    let (mut rest, mut from) = (line, indent);
    while let Some((end, _)) = rest.char_indices().nth(WIDTH - (indent - from)) {
        // The last space that fits, or the first one after a word that does not.
        let fits = if rest[end..].starts_with(' ') { Some(end - from) } else { rest[from..end].rfind(' ') };
        let Some(at) = fits.or_else(|| rest[from..].find(' ')).map(|at| from + at) else { break };
        into.push_str(&rest[..at]);
        into.push('\n');
        into.extend(std::iter::repeat_n(' ', indent));
        (rest, from) = (rest[at..].trim_start(), 0);
    }
    into.push_str(rest);
    into.push('\n');
}

fn day_and_time(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}

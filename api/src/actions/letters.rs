//! Letters on their way out: what they say is sealed into the job, because it may hold a link or a code.

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use super::{Actions, Call, Done, Failure, Keys};
use crate::domain::effect::Work;
use crate::domain::id::LinkId;
use crate::domain::link::Delivery;
use crate::domain::scan::Subject;
use crate::store::{Job, NewJob, Tx};

/// What the seal is over.
const WHAT: &str = "letter";

/// What a letter says, and to whom. No `Debug`: it may hold a secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LetterBody {
    /// Invites the contact to connect their instance.
    RegistrationLink {
        /// The contact's name.
        to_name: String,
        /// The contact's address.
        to_address: String,
        /// Who asks.
        provider_name: String,
        /// The origin of the instance that asks.
        provider_origin: String,
        /// The contact's company.
        company_name: String,
        /// The origin of the contact's own instance.
        consumer_origin: String,
        /// The link, with its secret.
        link: String,
        /// When it stops working, in milliseconds since the Unix epoch.
        expires_at_ms: i64,
        /// `REG-000001`.
        registration_number: String,
        /// The provider's fingerprint as screens show it.
        fingerprint: String,
    },
    /// The one-time code to sign in with, or to confirm oneself with.
    SignInCode {
        /// The person's name.
        to_name: String,
        /// The person's address.
        to_address: String,
        /// The instance that asks for the code.
        instance_name: String,
        /// The only place to enter it.
        instance_origin: String,
        /// The code.
        code: String,
        /// How long it is good for, in minutes.
        minutes: u32,
        /// Whether it confirms who sits at a session, instead of beginning one. Letters of older versions begin one.
        #[serde(default)]
        confirms: bool,
    },
    /// Tells somebody of issues: raised, open, or mended.
    Issues {
        /// The reader's name.
        to_name: String,
        /// The reader's address.
        to_address: String,
        /// The instance that says so.
        instance_name: String,
        /// What they are about, in words.
        about: String,
        /// What is said of them, as a sentence.
        intro: String,
        /// What is wrong and how to mend it.
        issues: Vec<(String, String)>,
        /// How many there are that it does not name.
        #[serde(default)]
        more: u64,
        /// Where all of them are shown.
        url: String,
        /// Where the reader chooses how to hear of issues. Letters of older versions do not say.
        #[serde(default)]
        account_url: Option<String>,
    },
    /// Tells that two instances are connected.
    OnboardingComplete {
        /// The reader's name.
        to_name: String,
        /// The reader's address.
        to_address: String,
        /// The instance that says so.
        instance_name: String,
        /// The other instance.
        peer_name: String,
        /// The other instance's origin.
        peer_origin: String,
        /// The other instance's fingerprint as screens show it.
        fingerprint: String,
        /// Since when the connection stands, in milliseconds since the Unix epoch.
        established_at_ms: i64,
        /// The connection's page here.
        connection_url: String,
    },
}

/// A letter with what it is about, for the error log if it does not leave.
#[derive(Serialize)]
struct Posted<'a> {
    /// Its kind and id.
    concerns: (&'a str, uuid::Uuid),
    #[serde(flatten)]
    letter: &'a LetterBody,
}

/// What a letter is about. Letters of older versions do not say.
#[derive(Deserialize)]
struct Concerns {
    concerns: Option<(String, uuid::Uuid)>,
}

/// Writes a letter with the fact that it is about; the worker sends it after the commit.
pub(crate) async fn enqueue_letter(
    tx: &mut Tx,
    keys: &Keys,
    about: Subject,
    letter: &LetterBody,
) -> Done<()> {
    let posted = Posted { concerns: (about.kind(), about.id()), letter };
    let text = Zeroizing::new(serde_json::to_vec(&posted).map_err(|_| Failure::Bug("letter"))?);
    let sealed = keys.letters().seal(WHAT, b"", &text, tx.now()).await?;
    tx.enqueue(NewJob { work: Work::Letter, run_at: tx.now(), sealed: Some(sealed) }).await?;
    Ok(())
}

impl LetterBody {
    /// The registration link in it, if it has one.
    pub(crate) fn link(&self) -> Option<LinkId> {
        match self {
            Self::RegistrationLink { link, .. } => {
                let id = link.split(['#', '&']).find_map(|part| part.strip_prefix("r="))?;
                uuid::Uuid::try_parse(id).ok().map(LinkId)
            }
            Self::SignInCode { .. } | Self::Issues { .. } | Self::OnboardingComplete { .. } => None,
        }
    }
}

impl Actions {
    /// The letter with a registration's link went out, or did not: the registration says so.
    pub(crate) async fn link_sent(&self, call: &Call, job: &Job, link: LinkId, sent: bool) -> Done<()> {
        let Subject::Registration(id) = self.letter_subject(job).await? else { return Ok(()) };
        let delivery = if sent { Delivery::SentToContact } else { Delivery::Failed };
        let mut tx = self.begin("registration.link_sent", call).await?;
        let registration = tx.registration(id).await?;
        if let Some(told) = registration.and_then(|registration| registration.delivered(link, delivery)) {
            tx.save_registration(told).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// What the letter of a job says.
    ///
    /// # Errors
    /// When the job holds no letter, or the key service does not open it.
    pub async fn open_letter(&self, job: &Job) -> Done<LetterBody> {
        serde_json::from_slice(&self.letter_text(job).await?).map_err(|_| Failure::Bug("letter"))
    }

    /// What the letter of a job is about: this instance, if nothing else.
    ///
    /// # Errors
    /// As [`Actions::open_letter`].
    pub(crate) async fn letter_subject(&self, job: &Job) -> Done<Subject> {
        let said: Concerns =
            serde_json::from_slice(&self.letter_text(job).await?).map_err(|_| Failure::Bug("letter"))?;
        let subject = said.concerns.and_then(|(kind, id)| Subject::parse(&kind, id));
        Ok(subject.unwrap_or(Subject::Instance(self.profile.instance)))
    }

    async fn letter_text(&self, job: &Job) -> Done<Zeroizing<Vec<u8>>> {
        let sealed = job.sealed.as_deref().ok_or(Failure::Bug("a letter without a body"))?;
        Ok(Zeroizing::new(self.keys.letters().open(WHAT, b"", sealed, self.world.now()).await?))
    }
}

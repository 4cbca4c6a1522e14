//! The journey, step by step, as two people would take it: the provider's administrator, and the consumer's, who is
//! the named contact. Each step looks at what is there first, so that a second run carries on.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{CONNECTION, PROVIDER_RECORD, REGISTRATION, VIEWER, issues, mutate, refused, word};
use super::house::House;
use super::letters::{self, Mailbox};
use super::memory::Memory;
use super::progress::Progress;
use super::web::Browser;
use crate::cli::{Failed, ensure_administrator};
use crate::world::World;

/// The provider's administrator.
pub(super) const PROVIDER_ADMIN: (&str, &str) = ("admin@provider.example", "Provider Administrator");
/// The consumer's administrator, and the provider's named contact there.
pub(super) const CONSUMER_ADMIN: (&str, &str) = ("admin@consumer.example", "Consumer Administrator");

/// How long we look before we look again.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest time for one step, in seconds.
const PATIENCE: i64 = 60;
/// For how many days the printed access tokens work.
const TOKEN_DAYS: u32 = 30;

/// Two people with a browser each, and two instances.
pub(super) struct Journey<'a> {
    provider: &'a House,
    consumer: &'a House,
    at_provider: Browser,
    at_consumer: Browser,
    memory: &'a mut Memory,
    progress: &'a Progress,
    world: &'a World,
}

/// Where the journey ended.
pub(super) struct Arrival {
    pub(super) provider_connection: String,
    pub(super) consumer_connection: String,
    pub(super) provider_token: String,
    pub(super) consumer_token: String,
}

impl<'a> Journey<'a> {
    pub(super) fn new(
        provider: &'a House,
        consumer: &'a House,
        memory: &'a mut Memory,
        progress: &'a Progress,
        world: &'a World,
    ) -> Result<Self, Failed> {
        let at_provider = Browser::open(&provider.config.outbound)?;
        let at_consumer = Browser::open(&consumer.config.outbound)?;
        Ok(Self { provider, consumer, at_provider, at_consumer, memory, progress, world })
    }

    pub(super) async fn run(mut self) -> Result<Arrival, Failed> {
        self.progress.step("Make the first administrators, on the host", self.administrators()).await?;
        self.progress.step("Sign in on both sides", self.sign_in()).await?;
        if self.is_onboarded().await? {
            self.progress.line("✓ Onboarded already; nothing to do again");
            return self.arrive().await;
        }
        self.prepare().await?;
        self.register().await?;
        if self.memory.connection.is_none() {
            self.invite().await?;
        }
        self.connect().await?;
        self.arrive().await
    }

    async fn administrators(&self) -> Result<(), Failed> {
        let (provider, consumer) = (&self.provider.app, &self.consumer.app);
        let (for_provider, for_consumer) = (self.memory.provider_password(), self.memory.consumer_password());
        ensure_administrator(provider, self.world, PROVIDER_ADMIN.0, PROVIDER_ADMIN.1, &for_provider).await?;
        ensure_administrator(consumer, self.world, CONSUMER_ADMIN.0, CONSUMER_ADMIN.1, &for_consumer).await
    }

    async fn sign_in(&self) -> Result<(), Failed> {
        use secrecy::ExposeSecret as _;

        let (for_provider, for_consumer) = (self.memory.provider_password(), self.memory.consumer_password());
        for (browser, house, email, password) in [
            (&self.at_provider, self.provider, PROVIDER_ADMIN.0, for_provider),
            (&self.at_consumer, self.consumer, CONSUMER_ADMIN.0, for_consumer),
        ] {
            let page = browser.visit(house.origin.join("/sign-in?return_to=/").as_str()).await?;
            let said = page.says();
            let form = page.form("password").ok_or_else(|| Failed(format!("no form to sign in: {said}")))?;
            let fields = [("email", email), ("password", password.expose_secret())];
            let page = browser.submit(&page, &form, &fields).await?;
            let viewer = browser.graphql(&house.origin, VIEWER, json!({})).await?;
            if viewer["viewer"]["signedIn"] != true {
                return Err(Failed(format!("{email} cannot sign in: {}", page.says())));
            }
        }
        Ok(())
    }

    /// The provider offers a service, and knows the company and its contact.
    async fn prepare(&mut self) -> Result<(), Failed> {
        let (at_provider, origin) = (&self.at_provider, &self.provider.origin);
        let record = async {
            let data = at_provider.graphql(origin, PROVIDER_RECORD, json!({})).await?;
            if data["providerRecord"].is_null() {
                let input = json!({ "name": "Example-Provider", "description": "An example service." });
                mutate(at_provider, origin, "saveProviderRecord", input, "providerRecord { name }").await?;
            }
            Ok(())
        };
        self.progress.step("Provider: say that a service is offered", record).await?;
        if self.memory.contact.is_some() {
            return Ok(());
        }
        let people = async {
            let input = json!({ "name": "Example Consumer", "idempotencyKey": "demo-company" });
            let made = mutate(at_provider, origin, "createCompany", input, "company { id }").await?;
            let company = word(&made["company"], "id").to_owned();
            let key = "demo-contact";
            let input = json!({ "companyId": company, "email": CONSUMER_ADMIN.0, "name": CONSUMER_ADMIN.1, "idempotencyKey": key });
            let made = mutate(at_provider, origin, "createContact", input, "contact { id }").await?;
            Ok((company, word(&made["contact"], "id").to_owned()))
        };
        let (company, contact) =
            self.progress.step("Provider: enter the company and its contact", people).await?;
        (self.memory.company, self.memory.contact) = (Some(company), Some(contact));
        self.memory.save()
    }

    /// The registration is saved, and its checks pass.
    async fn register(&mut self) -> Result<(), Failed> {
        let (at_provider, origin) = (&self.at_provider, &self.provider.origin);
        if self.memory.registration.is_none() {
            let input = json!({
                "companyId": self.memory.company, "contactId": self.memory.contact,
                "url": self.consumer.origin.as_str(), "environment": "NON_PRODUCTION",
                "idempotencyKey": "demo-registration",
            });
            let made = mutate(at_provider, origin, "createRegistration", input, "registration { id number }");
            let made = self.progress.step("Provider: register the consumer", made).await?;
            self.memory.registration = Some(word(&made["registration"], "id").to_owned());
            self.memory.save()?;
        }
        let id = self.memory.registration.clone().unwrap_or_default();
        let input = json!({ "registrationId": id });
        match word(&self.registration(&id).await?, "state") {
            "EXPIRED" => {
                mutate(at_provider, origin, "reissueRegistrationLink", input, "registration { state }")
                    .await?;
            }
            "CLOSED_INCOMPLETE" => {
                mutate(at_provider, origin, "retryRegistration", input, "registration { state }").await?;
            }
            _ => {}
        }
        let open = self.until("the registration is open", async || {
            let registration = self.registration(&id).await?;
            match word(&registration, "state") {
                "OPEN" | "WORK_IN_PROGRESS" | "CLOSED_COMPLETE" => Ok(Some(())),
                "AWAITING_VALIDATION" => Ok(None),
                _ => {
                    let state = word(&registration, "stateLabel");
                    let banner = word(&registration["banner"], "text");
                    Err(Failed(format!("The registration is {state}. {banner}{}", issues(&registration))))
                }
            }
        });
        self.progress.step("Provider: check both instances", open).await
    }

    /// The contact reads the letter and opens the link on the consumer.
    async fn invite(&mut self) -> Result<(), Failed> {
        let mailbox = Mailbox::of(&self.provider.letters(), CONSUMER_ADMIN.0);
        let beginning = format!("{}/connect#", self.consumer.origin.as_str());
        let letter = self.until("the letter arrives", async || {
            Ok(mailbox.newest(&Default::default(), |text| letters::link(text, &beginning)))
        });
        let link = self.progress.step("Contact: read the letter", letter).await?;
        let (at_consumer, origin) = (&self.at_consumer, &self.consumer.origin);
        let open = async {
            // A look at the page uses nothing up; the secret is in the fragment, which is not sent.
            let page = at_consumer.visit(link.split('#').next().unwrap_or(&link)).await?;
            if page.status != 200 {
                return Err(Failed(format!("the link's page answers {}", page.says())));
            }
            mutate(at_consumer, origin, "openRegistrationLink", json!({ "link": link }), "connection { id }")
                .await
        };
        let made = self.progress.step("Contact: open the link on the consumer", open).await?;
        self.memory.connection = Some(word(&made["connection"], "id").to_owned());
        self.memory.save()
    }

    /// From the opened link to *Onboarded*, on the consumer.
    async fn connect(&mut self) -> Result<(), Failed> {
        let id = self.memory.connection.clone().unwrap_or_default();
        if self.memory.provider_company.is_none() {
            let input = json!({ "name": "Harbour Services", "idempotencyKey": "demo-provider-company" });
            let made =
                mutate(&self.at_consumer, &self.consumer.origin, "createCompany", input, "company { id }")
                    .await?;
            self.memory.provider_company = Some(word(&made["company"], "id").to_owned());
            self.memory.save()?;
        }
        if self.state(&id).await? == "PENDING" {
            let input = json!({ "connectionId": id, "companyId": self.memory.provider_company });
            let chosen = self.act("chooseProviderCompany", input);
            self.progress.step("Contact: choose the provider's company", chosen).await?;
        }
        if matches!(self.state(&id).await?.as_str(), "PENDING" | "VALIDATION_FAILED") {
            self.act("runPreOnboardingChecks", json!({ "connectionId": id })).await?;
        }
        if !self.is_under_way(&id).await? {
            let validated = self.until("the checks pass", async || self.validated(&id).await);
            self.progress.step("Contact: get started (the consumer's checks)", validated).await?;
        }
        if !self.is_under_way(&id).await? {
            let started = self.act("startOnboarding", json!({ "connectionId": id }));
            self.progress.step("Contact: start the registration", started).await?;
        }
        self.onboard(&id).await
    }

    async fn validated(&self, id: &str) -> Result<Option<()>, Failed> {
        let connection = self.connection(id).await?;
        match word(&connection, "state") {
            "VALIDATED" => Ok(Some(())),
            "PENDING" | "AWAITING_VALIDATION" => Ok(None),
            _ => {
                let state = word(&connection, "stateLabel");
                Err(Failed(format!("The connection is {state}.{}", issues(&connection))))
            }
        }
    }

    /// Whether an earlier run came to the end, on both sides.
    async fn is_onboarded(&self) -> Result<bool, Failed> {
        let (Some(registration), Some(connection)) = (&self.memory.registration, &self.memory.connection)
        else {
            return Ok(false);
        };
        let provider = self.registration(registration).await?;
        Ok(word(&provider["connection"], "state") == "ONBOARDED"
            && self.state(connection).await? == "ONBOARDED")
    }

    async fn is_under_way(&self, id: &str) -> Result<bool, Failed> {
        Ok(matches!(self.state(id).await?.as_str(), "ONBOARDING" | "ONBOARDED"))
    }

    /// Approves when it is time to, and watches the phases.
    async fn onboard(&self, id: &str) -> Result<(), Failed> {
        let asked = self.until("the provider asks for the approval", async || {
            let connection = self.connection(id).await?;
            if word(&connection, "state") == "ONBOARDED" {
                return Ok(Some(None));
            }
            self.refuse_failed(id, &connection).await?;
            let fingerprint = word(&connection["peer"], "fingerprintText").to_owned();
            let waiting = phases(&connection).any(|phase| {
                word(phase, "name") == "AUTHORIZE_CONTACT"
                    && matches!(word(phase, "state"), "PENDING" | "RUNNING")
            });
            match connection["onboarding"]["authorizationUrl"].as_str() {
                Some(url) if waiting => Ok(Some(Some((url.to_owned(), fingerprint)))),
                _ if waiting => Ok(None),
                _ => Ok(Some(None)),
            }
        });
        if let Some((url, fingerprint)) =
            self.progress.step("Consumer: claim the registration", asked).await?
        {
            let approved = self.approve(&url, &fingerprint);
            self.progress.step("Contact: sign in at the provider and allow the connection", approved).await?;
        }
        let done = self.until("onboarding is complete", async || {
            let connection = self.connection(id).await?;
            if word(&connection, "state") == "ONBOARDED" {
                return Ok(Some(()));
            }
            self.refuse_failed(id, &connection).await?;
            if let Some(phase) = phases(&connection).find(|phase| word(phase, "state") == "RUNNING") {
                self.progress.doing(format!("{} · {}", word(phase, "message"), word(phase, "label")));
            }
            Ok(None)
        });
        self.progress.step("Both: exchange keys, set up credentials, sync settings", done).await
    }

    /// A phase that failed for good ends the demonstration with its reason; one that will be tried again does not.
    async fn refuse_failed(&self, id: &str, connection: &Value) -> Result<(), Failed> {
        let given_up = |phase: &&Value| word(phase, "state") == "FAILED" && phase["nextTryAt"].is_null();
        match phases(connection).find(given_up) {
            None if word(connection, "state") == "ONBOARDING" => Ok(()),
            None => Err(Failed(format!(
                "The connection {id} is {}.{}",
                word(connection, "stateLabel"),
                issues(connection)
            ))),
            Some(phase) => Err(Failed(format!(
                "The phase {} failed. {}",
                word(phase, "name"),
                refused(&phase["failure"])
            ))),
        }
    }

    /// Signs in at the provider with a code from a letter, compares the fingerprint, and allows.
    async fn approve(&self, url: &str, fingerprint: &str) -> Result<(), Failed> {
        let at_consumer = &self.at_consumer;
        let mut page = at_consumer.visit(url).await?;
        if let Some(form) = page.form("password") {
            let mailbox = Mailbox::of(&self.provider.letters(), CONSUMER_ADMIN.0);
            let read = mailbox.names();
            let form = form.by("/sign-in/code");
            page = at_consumer.submit(&page, &form, &[("email", CONSUMER_ADMIN.0), ("password", "")]).await?;
            let said = page.says();
            let form = page.form("code").ok_or_else(|| Failed(format!("no form for the code: {said}")))?;
            let code =
                self.until("the code arrives", async || Ok(mailbox.newest(&read, letters::code))).await?;
            page = at_consumer.submit(&page, &form, &[("code", &code), ("email", CONSUMER_ADMIN.0)]).await?;
        }
        let said = page.says();
        let form = page.form("allow").ok_or_else(|| Failed(format!("nothing to approve: {said}")))?;
        if fingerprint.split_whitespace().any(|group| !page.html.contains(group)) {
            return Err(Failed(
                "the provider's page shows another fingerprint than the consumer: not allowed".to_owned(),
            ));
        }
        let page = at_consumer.submit(&page, &form, &[("decision", "allow")]).await?;
        if page.status != 200 {
            return Err(Failed(format!("{} answers {}", page.url.path(), page.says())));
        }
        Ok(())
    }

    /// *Up* both ways, seen from both sides.
    async fn arrive(&self) -> Result<Arrival, Failed> {
        let registration = self.memory.registration.clone().unwrap_or_default();
        let consumer_connection = self.memory.connection.clone().unwrap_or_default();
        let up = |connection: &Value| {
            word(connection, "state") == "ONBOARDED"
                && word(&connection["outbound"], "status") == "UP"
                && word(&connection["inbound"], "status") == "UP"
        };
        let both = self.until("both directions are up on both sides", async || {
            let theirs = self.registration(&registration).await?["connection"].clone();
            let ours = self.connection(&consumer_connection).await?;
            Ok((up(&theirs) && up(&ours)).then(|| word(&theirs, "id").to_owned()))
        });
        let provider_connection = self.progress.step("Both: every direction is up", both).await?;
        for side in ["Provider", "Consumer"] {
            self.progress.line(&format!("{side}: ONBOARDED, outbound/inbound UP/UP"));
        }
        let provider_token = self.token(&self.at_provider, self.provider).await?;
        let consumer_token = self.token(&self.at_consumer, self.consumer).await?;
        Ok(Arrival { provider_connection, consumer_connection, provider_token, consumer_token })
    }

    async fn token(&self, browser: &Browser, house: &House) -> Result<String, Failed> {
        let input = json!({ "name": "Demonstration", "days": TOKEN_DAYS });
        let made = mutate(browser, &house.origin, "createAccessToken", input, "secret").await?;
        Ok(word(&made, "secret").to_owned())
    }

    async fn act(&self, name: &str, input: Value) -> Result<Value, Failed> {
        mutate(&self.at_consumer, &self.consumer.origin, name, input, "connection { state }").await
    }

    async fn state(&self, id: &str) -> Result<String, Failed> {
        Ok(word(&self.connection(id).await?, "state").to_owned())
    }

    async fn registration(&self, id: &str) -> Result<Value, Failed> {
        let data = self.at_provider.graphql(&self.provider.origin, REGISTRATION, json!({ "id": id })).await?;
        found(data, "registration")
    }

    async fn connection(&self, id: &str) -> Result<Value, Failed> {
        let data = self.at_consumer.graphql(&self.consumer.origin, CONNECTION, json!({ "id": id })).await?;
        found(data, "connection")
    }

    /// Looks again and again until there is an answer, but not for ever.
    async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, Failed>,
    ) -> Result<T, Failed> {
        let began = self.world.now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if (self.world.now() - began).num_seconds() >= PATIENCE {
                return Err(Failed(format!("waited {PATIENCE} s until {what}; it did not happen")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn found(mut data: Value, field: &str) -> Result<Value, Failed> {
    match data[field].take() {
        Value::Null => {
            Err(Failed(format!("the {field} that this directory remembers is not there any more")))
        }
        value => Ok(value),
    }
}

fn phases(connection: &Value) -> impl Iterator<Item = &Value> {
    connection["onboarding"]["phases"].as_array().into_iter().flatten()
}

//! The provider record, companies, accounts, roles, passwords and personal access tokens.

mod credentials;
mod roles;
mod tokens;

use std::collections::BTreeSet;

use keyservice::MacPurpose;
use secrecy::SecretString;
use serde_json::json;

use super::session::hashing;
use super::{Actions, Call, Done};
use crate::domain::id::{CompanyId, UserId};
use crate::domain::person::{AccountVerb, EmailAddress, PersonName, is_unprintable};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Requester, Role};
use crate::password::{Password, Peppered};
use crate::store::{Account, Company, ProviderRecord, Tx};

/// The most characters of the provider's or a company's name.
const NAME_MAX: usize = 100;
/// The most characters of a description.
const DESCRIPTION_MAX: usize = 1_000;

impl Actions {
    /// Makes or changes the provider record.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `CONFLICT`, `NOT_AN_ADMINISTRATOR`.
    pub async fn save_provider_record(
        &self,
        call: &Call,
        name: &str,
        description: &str,
        expected: Option<i64>,
    ) -> Done<ProviderRecord> {
        administrator(call)?;
        let (name, description) = (name.trim(), description.trim());
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty()
            || name.len() > NAME_MAX
            || !name.chars().all(allowed)
            || name.chars().all(|c| c == '-')
        {
            let message = "A provider's name has letters, digits and dashes, 100 at most.";
            return Err(Refusal::invalid("name", message).into());
        }
        let odd = |c: char| c != '\n' && is_unprintable(c);
        if description.chars().count() > DESCRIPTION_MAX || description.chars().any(odd) {
            let message = "A description is printable text of at most 1,000 characters.";
            return Err(Refusal::invalid("description", message).into());
        }
        let mut tx = self.begin("provider-record.save", call).await?;
        let record = tx.save_provider_record(name, description, expected).await?;
        let details = json!({ "name": name, "revision": record.revision });
        tx.audit("provider-record.save", "PROVIDER_RECORD", 1, "OK", details);
        tx.commit().await?;
        Ok(record)
    }

    /// Makes a company.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `DUPLICATE`, `NOT_AN_ADMINISTRATOR`.
    pub async fn create_company(&self, call: &Call, name: &str) -> Done<Company> {
        operator(call)?;
        let name = company_name(name)?;
        let mut tx = self.begin("company.create", call).await?;
        let company = tx.create_company(name).await?;
        tx.audit("company.create", "COMPANY", company.id, "OK", json!({ "name": name }));
        tx.commit().await?;
        Ok(company)
    }

    /// Makes a contact of a company: an account that may see and approve what concerns the company.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND` (the company), `DUPLICATE`, `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`.
    pub async fn create_contact(
        &self,
        call: &Call,
        company: CompanyId,
        email: &str,
        name: &str,
    ) -> Done<Account> {
        operator(call)?;
        self.require_fresh(call)?;
        let (email, name) = (address(email)?, person_name(name)?);
        let mut tx = self.begin("contact.create", call).await?;
        if tx.company(company).await?.is_none() {
            return Err(Refusal::not_found("company").field("companyId").into());
        }
        require_free(&tx, &email).await?;
        let id = tx.create_account(&email.key(), name.as_str(), Some(company), None).await?;
        tx.grant_role(id, Role::ConsumerContact).await?;
        tx.audit("contact.create", "ACCOUNT", id, "OK", json!({ "company": company.to_string() }));
        let contact = account(&tx, id).await?;
        tx.commit().await?;
        Ok(contact)
    }

    /// Renames a person, or switches the account off or on; switching off ends its sessions and access tokens.
    /// Contacts by operators, our own people by administrators only; who holds key roles is switched on again by who may
    /// grant them.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `CONFLICT`, `NOT_AN_ADMINISTRATOR`; `WRONG_STATE` for the last administrator.
    pub async fn update_account(
        &self,
        call: &Call,
        verb: AccountVerb,
        user: UserId,
        name: Option<&str>,
        active: Option<bool>,
        expected: Option<i64>,
    ) -> Done<Account> {
        operator(call)?;
        self.require_fresh(call)?;
        let name = name.map(person_name).transpose()?;
        let mut tx = self.begin("account.update", call).await?;
        let mut changed = account(&tx, user).await?;
        if verb != AccountVerb::update(changed.company.is_some()) {
            return Err(Refusal::not_found("account").field("userId").into());
        }
        self.may_change_account(call, &changed, verb)?;
        if expected.is_some_and(|expected| expected != changed.revision) {
            return Err(Refusal::conflict("account").into());
        }
        if let Some(name) = name {
            name.as_str().clone_into(&mut changed.name);
        }
        if active == Some(false) && changed.active {
            roles::require_other_administrator(&tx, &changed).await?;
            tx.end_all_sessions(user).await?;
        }
        if active == Some(true) && !changed.active {
            roles::require_may_revive(&tx, call, &changed).await?;
        }
        changed.active = active.unwrap_or(changed.active);
        tx.save_account(&changed).await?;
        let operation = if holds_key_role(&changed.roles) { "key.account.update" } else { "account.update" };
        tx.audit(operation, "ACCOUNT", user, "OK", json!({ "active": changed.active }));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// Makes an account for one of our own people. Key roles are granted to it afterwards, by somebody else; the host's
    /// command line may give them at once.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `DUPLICATE`, `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `CREDENTIALS_INVALID` for a program that
    /// gives a role or a password; and what granting the roles refuses.
    pub async fn create_user(
        &self,
        call: &Call,
        email: &str,
        name: &str,
        password: Option<SecretString>,
        roles: &[Role],
    ) -> Done<Account> {
        administrator(call)?;
        if password.is_none() && roles.is_empty() {
            self.require_fresh(call)?;
        } else {
            self.require_fresh_person(call)?;
        }
        let (email, name) = (address(email)?, person_name(name)?);
        for role in roles {
            roles::require_may_grant(call, None, *role)?;
        }
        let with_password = password.is_some();
        let hash = match password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let mut tx = self.begin("user.create", call).await?;
        require_free(&tx, &email).await?;
        let id = tx.create_account(&email.key(), name.as_str(), None, hash).await?;
        for role in roles {
            tx.grant_role(id, *role).await?;
            tx.audit(roles::granted(*role), "ACCOUNT", id, "OK", json!({ "role": role.as_str() }));
        }
        tx.audit("user.create", "ACCOUNT", id, "OK", json!({ "password": with_password }));
        let user = account(&tx, id).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Gives an account a password, which ends its sessions and access tokens. Everybody may for themselves, and
    /// administrators for others who hold no key role.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `CREDENTIALS_INVALID` for a program.
    pub async fn set_password(&self, call: &Call, user: UserId, password: SecretString) -> Done<Account> {
        require_may_set_passwords(call, user)?;
        self.require_fresh_person(call)?;
        let hash = self.hash_password(password).await?;
        let mut tx = self.begin("account.password", call).await?;
        let mut changed = account(&tx, user).await?;
        roles::require_may_choose_password(call, &changed)?;
        changed.password_hash = Some(hash);
        tx.save_account(&changed).await?;
        tx.end_all_sessions(user).await?;
        let operation =
            if holds_key_role(&changed.roles) { "key.account.password" } else { "account.password" };
        tx.audit(operation, "ACCOUNT", user, "OK", json!({}));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// Whether this can be done to an account now, as far as the account and the caller tell; the answer the mutation would
    /// begin with. The last administrator, and whose key roles come back with an account, show when it is tried.
    ///
    /// # Errors
    /// Why not.
    pub fn may_change_account(
        &self,
        call: &Call,
        account: &Account,
        verb: AccountVerb,
    ) -> Result<(), Refusal> {
        match verb {
            AccountVerb::UpdateContact => operator(call)?,
            AccountVerb::UpdateUser => administrator(call)?,
            AccountVerb::SetPassword => {
                require_may_set_passwords(call, account.id)?;
                roles::require_may_choose_password(call, account)?;
                return self.require_fresh_person(call);
            }
        }
        self.require_fresh(call)
    }

    /// The account with this address, for the host's command line.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`.
    pub async fn account_by_email(&self, call: &Call, email: &str) -> Done<Account> {
        administrator(call)?;
        let key = address(email)?.key();
        Ok(self
            .store
            .account_by_email(&key)
            .await?
            .ok_or_else(|| Refusal::not_found("account").field("email"))?)
    }

    async fn hash_password(&self, password: SecretString) -> Done<String> {
        let password =
            Password::parse(password).map_err(|weak| Refusal::invalid("password", format!("{weak}.")))?;
        let pepper = self.keys.mac(MacPurpose::PasswordPepper, &[password.for_pepper()]).await?;
        let hash = self.passwords.hash(Peppered::new(pepper), self.world.bytes()?).await.map_err(hashing)?;
        Ok(hash.as_str().to_owned())
    }
}

/// The host's command line may do what an administrator may.
fn administrator(call: &Call) -> Result<(), Refusal> {
    match &call.requester {
        Requester::System => Ok(()),
        requester => requester.administrator().map(|_| ()),
    }
}

/// Everybody may set their own password, and administrators those of others.
fn require_may_set_passwords(call: &Call, user: UserId) -> Result<(), Refusal> {
    let own = call.requester.person().is_some_and(|person| person.user == user);
    if own { Ok(()) } else { administrator(call) }
}

/// The host's command line may do what an operator may.
fn operator(call: &Call) -> Result<(), Refusal> {
    match &call.requester {
        Requester::System => Ok(()),
        requester => requester.operator().map(|_| ()),
    }
}

/// What is done to the account of whoever holds a key role is for key auditors to read.
fn holds_key_role(roles: &BTreeSet<Role>) -> bool {
    roles.iter().any(|role| role.is_key_role())
}

async fn account(tx: &Tx, id: UserId) -> Done<Account> {
    Ok(tx.account(id).await?.ok_or_else(|| Refusal::not_found("account"))?)
}

async fn require_free(tx: &Tx, email: &EmailAddress) -> Done<()> {
    if tx.account_by_email(&email.key()).await?.is_none() {
        return Ok(());
    }
    let message = "An account with this address exists already.";
    Err(Refusal::new(RefusalCode::Duplicate, message).field("email").into())
}

fn address(text: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(text).map_err(|error| Refusal::invalid("email", format!("{error}.")))
}

fn person_name(text: &str) -> Result<PersonName, Refusal> {
    PersonName::parse(text).map_err(|error| Refusal::invalid("name", format!("{error}.")))
}

fn company_name(text: &str) -> Result<&str, Refusal> {
    let name = text.trim();
    let printable = !text.chars().any(is_unprintable) && name.chars().any(char::is_alphanumeric);
    if printable && name.chars().count() <= NAME_MAX {
        return Ok(name);
    }
    Err(Refusal::invalid("name", "A company's name is one line of printable text, 100 characters at most."))
}

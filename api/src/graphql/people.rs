//! Companies, their contacts, our own users, and access tokens.

use async_graphql::{Context, ID, Object, Result};

use super::ask::{Ask, ours};
use super::error;
use super::id::Kind;
use super::load::{CompanyContacts, CompanyRegistrations};
use super::page::{List, Window, cost, list};
use super::refusal::Action;
use super::registration::Registration;
use super::words::Role;
use crate::domain::Timestamp;
use crate::domain::id::CompanyId;
use crate::domain::person::AccountVerb;
use crate::store::{Account, Company as Organisation, Page, RegistrationFilter, RegistrationOrder, Slice};

/// Which type an account has in the schema.
pub(super) const fn account_kind(company: Option<CompanyId>) -> Kind {
    if company.is_some() { Kind::Contact } else { Kind::User }
}

/// The other organisation.
pub(super) struct Company(pub(super) Organisation);

/// The other organisation.
#[Object]
impl Company {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Company.id(self.0.id.0)
    }

    /// Unique name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// When it was made.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// Grows by one with every change.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// Its people who have an account here, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Contact>> {
        let (ask, page) = (Ask::anyone(ctx)?, Window { first, after, last, before }.page()?);
        let slice = if from_start(page) {
            top(page, ask.load.one(CompanyContacts(self.0.id, page.limit + 1)).await?)
        } else {
            ask.reader().accounts(true, Some(self.0.id), None, page).await.map_err(ours)?
        };
        Ok(list(slice, |account| account.id.0, Contact))
    }

    /// Its registrations, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn registrations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Registration>> {
        let (ask, page) = (Ask::anyone(ctx)?, Window { first, after, last, before }.page()?);
        let slice = if from_start(page) {
            top(page, ask.load.one(CompanyRegistrations(self.0.id, page.limit + 1)).await?)
        } else {
            let filter = RegistrationFilter { company: Some(self.0.id), ..RegistrationFilter::default() };
            ask.reader().registrations(&filter, RegistrationOrder::Newest, page).await.map_err(ours)?
        };
        Ok(list(slice, |registration| registration.id.0, Registration))
    }
}

/// Whether a page is one that many companies may ask for at once; one that goes on is of one company.
const fn from_start(page: Page) -> bool {
    page.beyond.is_none() && !page.backward
}

/// A first page, from one row more than was asked for.
fn top<T>(page: Page, rows: Option<Vec<T>>) -> Slice<T> {
    let (mut items, limit) = (rows.unwrap_or_default(), usize::try_from(page.limit).unwrap_or(usize::MAX));
    let has_next = items.len() > limit;
    items.truncate(limit);
    Slice { items, has_next, has_previous: false }
}

/// What every account has.
struct AccountFields<'a>(&'a Account);

#[Object]
impl AccountFields<'_> {
    /// Mail address, which is also the sign-in name.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// Name for people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the account may sign in.
    async fn active(&self) -> bool {
        self.0.active
    }

    /// Granted roles.
    async fn roles(&self) -> Vec<Role> {
        self.0.roles.iter().map(|role| (*role).into()).collect()
    }

    /// When the account was made.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// Grows by one with every change; give it as `expectedRevision` when you edit.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// What can be done with the account, and whether it can be done now by whoever asks. Roles are granted by whom
    /// `grantRole` says.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let verbs = [AccountVerb::update(self.0.company.is_some()), AccountVerb::SetPassword];
        let action = |verb: AccountVerb| {
            let may = ask.actions.may_change_account(ask.call, self.0, verb);
            Action::new(verb.as_str(), verb.label(), may)
        };
        Ok(verbs.map(action).to_vec())
    }
}

/// A person of another organisation, with an account here.
pub(super) struct Contact(pub(super) Account);

/// A person of another organisation, with an account here.
#[Object]
impl Contact {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Contact.id(self.0.id.0)
    }

    #[graphql(flatten)]
    async fn account(&self) -> AccountFields<'_> {
        AccountFields(&self.0)
    }

    /// The organisation the contact belongs to.
    async fn company(&self, ctx: &Context<'_>) -> Result<Option<Company>> {
        Ok(Ask::anyone(ctx)?.load.maybe(self.0.company).await?.map(Company))
    }
}

/// A person or program of our own, with an account here.
pub(super) struct User(pub(super) Account);

/// A person or program of our own, with an account here.
#[Object]
impl User {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::User.id(self.0.id.0)
    }

    #[graphql(flatten)]
    async fn account(&self) -> AccountFields<'_> {
        AccountFields(&self.0)
    }
}

/// A personal access token, for programs. Its secret is shown once, when it is made.
pub(super) struct AccessToken(pub(super) crate::store::AccessToken);

/// A personal access token, for programs. Its secret is shown once, when it is made.
#[Object]
impl AccessToken {
    /// Global id, by which it is revoked.
    pub(super) async fn id(&self) -> ID {
        Kind::AccessToken.id(self.0.id.0)
    }

    /// What it is for.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// When it was made.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// When it stops working.
    async fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }
}

/// Queries about people.
#[derive(Default)]
pub(super) struct PeopleQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl PeopleQuery {
    /// The other organisations, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn companies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose name holds this text, in any case.")] search: Option<String>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Company>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let slice = ask.reader().companies(search.as_deref(), page).await.map_err(ours)?;
        Ok(list(slice, |company| company.id.0, Company))
    }

    /// People of other organisations, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this company.")] company_id: Option<ID>,
        #[graphql(desc = "Whose name or email address holds this text, in any case.")] search: Option<String>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Contact>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let company = match company_id.map(|id| Kind::Company.read(&id)) {
            None => None,
            Some(Some(id)) => Some(CompanyId(id)),
            Some(None) => return Ok(list(empty(), |account: &Account| account.id.0, Contact)),
        };
        let slice = ask.reader().accounts(true, company, search.as_deref(), page).await.map_err(ours)?;
        Ok(list(slice, |account| account.id.0, Contact))
    }

    /// Our own people and programs, the newest first; for administrators, and for key administrators, who grant them key
    /// roles. `FORBIDDEN` for others.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<User>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        ask.call.requester.sees_people().map_err(|refusal| error::forbidden(refusal.message))?;
        let slice = ask.reader().accounts(false, None, None, page).await.map_err(ours)?;
        Ok(list(slice, |account| account.id.0, User))
    }
}

/// What a filter that names nothing finds.
pub(super) const fn empty<T>() -> Slice<T> {
    Slice { items: Vec::new(), has_next: false, has_previous: false }
}

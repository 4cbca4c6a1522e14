//! Mutations of companies, contacts, users, roles and access tokens.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use secrecy::{ExposeSecret as _, SecretString};

use super::ask::{Ask, account, named};
use super::id::Kind;
use super::people::{AccessToken, Company, Contact, User};
use super::refusal::Refusal;
use super::words::Role;
use crate::domain::id::{AccessTokenId, CompanyId};
use crate::domain::person::AccountVerb;
use crate::store::Account;

input! {
    /// The company to make.
    CreateCompanyInput {
        /// Its name, which no other company has.
        name: String,
    }
}

input! {
    /// The contact to make.
    CreateContactInput {
        /// The organisation the contact belongs to.
        company_id: ID,
        /// Mail address, which is also the sign-in name.
        email: String,
        /// Name for people, 1 to 64 characters.
        name: String,
    }
}

input! {
    /// What to change of an account; what is left out stays.
    UpdateContactInput {
        /// The contact.
        user_id: ID,
        /// The new name.
        name: Option<String>,
        /// Whether the account may sign in.
        active: Option<bool>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// What to change of an account of our own; what is left out stays.
    UpdateUserInput {
        /// The user.
        user_id: ID,
        /// The new name.
        name: Option<String>,
        /// Whether the account may sign in.
        active: Option<bool>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// The user to make.
    CreateUserInput {
        /// Mail address, which is also the sign-in name.
        email: String,
        /// Name for people, 1 to 64 characters.
        name: String,
        /// A password; without one the user signs in by mail.
        password: Option<String>,
        /// The roles to grant.
        roles: Vec<Role>,
    }
}

input! {
    /// The role to grant.
    GrantRoleInput {
        /// The user or contact.
        user_id: ID,
        /// The role.
        role: Role,
    }
}

input! {
    /// The role to take away.
    RevokeRoleInput {
        /// The user or contact.
        user_id: ID,
        /// The role.
        role: Role,
    }
}

input! {
    /// The access token to make, for whoever asks.
    CreateAccessTokenInput {
        /// What it is for.
        name: String,
        /// For how many days it works.
        days: u32,
    }
}

input! {
    /// The access token to revoke.
    RevokeAccessTokenInput {
        /// The token: one of your own, or anybody's for administrators.
        id: ID,
    }
}

payload! {
    /// What became of a mutation of a company.
    CompanyPayload {
        /// The company afterwards; null when it was refused.
        company: Company
    }
}

payload! {
    /// What became of a mutation of a contact.
    ContactPayload {
        /// The contact afterwards; null when it was refused.
        contact: Contact
    }
}

payload! {
    /// What became of a mutation of a user.
    UserPayload {
        /// The user afterwards; null when it was refused.
        user: User
    }
}

/// What became of granting or taking away a role: the account has one of two types.
#[derive(SimpleObject)]
pub(super) struct RolePayload {
    /// The contact afterwards, if it is one; null when it was refused.
    contact: Option<Contact>,
    /// The user afterwards, if it is one; null when it was refused.
    user: Option<User>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

impl RolePayload {
    fn new((account, refusal): (Option<Account>, Option<Refusal>)) -> Self {
        let (contact, user) = match account {
            Some(account) if account.company.is_some() => (Some(Contact(account)), None),
            Some(account) => (None, Some(User(account))),
            None => (None, None),
        };
        Self { contact, user, refusal }
    }
}

/// What became of making an access token.
#[derive(SimpleObject)]
pub(super) struct CreateAccessTokenPayload {
    /// The token; null when it was refused.
    access_token: Option<AccessToken>,
    /// What to send as `Authorization: Bearer …`. Shown this once, never again.
    secret: Option<String>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// What became of revoking an access token.
#[derive(SimpleObject)]
pub(super) struct RevokeAccessTokenPayload {
    /// The id of the token that works no more; null when it was refused.
    revoked_id: Option<ID>,
    /// Why it was not done; null when it was.
    refusal: Option<Refusal>,
}

/// Mutations of people.
#[derive(Default)]
pub(super) struct PeopleMutation;

#[Object]
impl PeopleMutation {
    /// Makes a company: another organisation to connect.
    async fn create_company(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The company to make.")] input: CreateCompanyInput,
    ) -> Result<CompanyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask
            .once(input, |call, input| async move { ask.actions.create_company(&call, &input.name).await });
        Ok(CompanyPayload::new(done.await?, Company))
    }

    /// Makes an account for a person of another organisation, with the role consumer contact.
    async fn create_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact to make.")] input: CreateContactInput,
    ) -> Result<ContactPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let company: CompanyId = named(Kind::Company, "companyId", &input.company_id)?;
            ask.actions.create_contact(&call, company, &input.email, &input.name).await
        });
        Ok(ContactPayload::new(done.await?, Contact))
    }

    /// Changes a contact's name, or switches the account on or off.
    async fn update_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateContactInput,
    ) -> Result<ContactPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let user = named(Kind::Contact, "userId", &input.user_id)?;
            let (name, expected) = (input.name.as_deref(), input.expected_revision);
            ask.actions
                .update_account(&call, AccountVerb::UpdateContact, user, name, input.active, expected)
                .await
        });
        Ok(ContactPayload::new(done.await?, Contact))
    }

    /// Changes the name of one of our own people or programs, or switches the account on or off.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateUserInput,
    ) -> Result<UserPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let user = named(Kind::User, "userId", &input.user_id)?;
            let (name, expected) = (input.name.as_deref(), input.expected_revision);
            ask.actions
                .update_account(&call, AccountVerb::UpdateUser, user, name, input.active, expected)
                .await
        });
        Ok(UserPayload::new(done.await?, User))
    }

    /// Makes an account for one of our own people or programs.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to make.")] input: CreateUserInput,
    ) -> Result<UserPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let password = input.password.map(SecretString::from);
            let roles: Vec<_> = input.roles.iter().map(|role| (*role).into()).collect();
            ask.actions.create_user(&call, &input.email, &input.name, password, &roles).await
        });
        Ok(UserPayload::new(done.await?, User))
    }

    /// Grants a role; granted again, it changes nothing.
    async fn grant_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role to grant.")] input: GrantRoleInput,
    ) -> Result<RolePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let user = account("userId", &input.user_id)?;
            ask.actions.grant_role(&call, user, input.role.into()).await
        });
        Ok(RolePayload::new(done.await?))
    }

    /// Takes a role away; taken away again, it changes nothing.
    async fn revoke_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role to take away.")] input: RevokeRoleInput,
    ) -> Result<RolePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let user = account("userId", &input.user_id)?;
            ask.actions.revoke_role(&call, user, input.role.into()).await
        });
        Ok(RolePayload::new(done.await?))
    }

    /// Makes a personal access token for whoever asks; its secret is in the answer to this request and nowhere else.
    async fn create_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to make.")] input: CreateAccessTokenInput,
    ) -> Result<CreateAccessTokenPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.create_access_token(&call, &input.name, input.days).await
        });
        let (made, refusal) = done.await?;
        let (token, secret) = made.map_or((None, None), |made| {
            (Some(AccessToken(made.token)), Some(made.secret.expose_secret().to_owned()))
        });
        Ok(CreateAccessTokenPayload { access_token: token, secret, refusal })
    }

    /// Revokes an access token; it stops working at once.
    async fn revoke_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to revoke.")] input: RevokeAccessTokenInput,
    ) -> Result<RevokeAccessTokenPayload> {
        let (ask, id) = (Ask::new(ctx)?, input.id.clone());
        let done = ask.once(input, |call, input| async move {
            let token: AccessTokenId = named(Kind::AccessToken, "id", &input.id)?;
            ask.actions.revoke_access_token(&call, token).await
        });
        let (done, refusal) = done.await?;
        Ok(RevokeAccessTokenPayload { revoked_id: done.map(|()| id), refusal })
    }
}

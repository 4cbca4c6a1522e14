//! Who may grant what to whom.

use keyservice::role::{GrantRefusal, Granter, KeyRole, may_grant, may_take_back};
use serde_json::json;

use super::{account, administrator};
use crate::actions::key_rights::key_person;
use crate::actions::{Actions, Call, Done};
use crate::domain::id::UserId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Requester, Role};
use crate::store::{Account, Tx};

impl Actions {
    /// Grants a role, which works at once. Roles of the application by an administrator, to our own people; key
    /// roles by a key administrator, to others; the host's command line may grant all.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `NOT_FOUND`, `INVALID_INPUT` for a role that the account cannot have.
    pub async fn grant_role(&self, call: &Call, user: UserId, role: Role) -> Done<Account> {
        require_may_grant(call, Some(user), role)?;
        self.require_fresh(call)?;
        let mut tx = self.begin("role.grant", call).await?;
        let holder = account(&tx, user).await?;
        if holder.company.is_some() != (role == Role::ConsumerContact) {
            let message =
                "The role consumer contact is for people of other companies, and the only one for them.";
            return Err(Refusal::invalid("role", message).into());
        }
        if holder.roles.contains(&role) {
            return Ok(holder);
        }
        tx.grant_role(user, role).await?;
        tx.save_account(&holder).await?;
        tx.audit(granted(role), "ACCOUNT", user, "OK", json!({ "role": role.as_str() }));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// Takes a role back, which works at once.
    ///
    /// # Errors
    /// As [`Actions::grant_role`]; `WRONG_STATE` for the last administrator.
    pub async fn revoke_role(&self, call: &Call, user: UserId, role: Role) -> Done<Account> {
        require_may_revoke(call, role)?;
        self.require_fresh(call)?;
        let mut tx = self.begin("role.revoke", call).await?;
        let holder = account(&tx, user).await?;
        if !holder.roles.contains(&role) {
            return Ok(holder);
        }
        if role == Role::Admin {
            require_other_administrator(&tx, &holder).await?;
        }
        tx.revoke_role(user, role).await?;
        tx.save_account(&holder).await?;
        let operation = if role.is_key_role() { "key.role.revoke" } else { "role.revoke" };
        tx.audit(operation, "ACCOUNT", user, "OK", json!({ "role": role.as_str() }));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }
}

/// Whether the caller may grant a role, to somebody who exists or to an account that is being made.
pub(super) fn require_may_grant(call: &Call, to: Option<UserId>, role: Role) -> Result<(), Refusal> {
    match key_role(role) {
        Some(role) => Ok(may_grant(granter(call)?, to.map(UserId::bytes), role).map_err(refused)?),
        None => administrator(call),
    }
}

fn require_may_revoke(call: &Call, role: Role) -> Result<(), Refusal> {
    match key_role(role) {
        Some(_) => Ok(may_take_back(granter(call)?).map_err(refused)?),
        None => administrator(call),
    }
}

/// The audit entry of a grant: what concerns keys is read by others than the rest.
pub(super) const fn granted(role: Role) -> &'static str {
    if role.is_key_role() { "key.role.grant" } else { "role.grant" }
}

/// The role as the key service knows it, if it is one of its own.
fn key_role(role: Role) -> Option<KeyRole> {
    role.as_str().parse().ok()
}

/// Who grants or takes back, as the key service knows them.
fn granter(call: &Call) -> Result<Granter, Refusal> {
    match call.requester {
        Requester::System => Ok(Granter::Host),
        Requester::Person(_) | Requester::Anonymous => {
            let (id, roles) = key_person(call).ok_or_else(|| refused(GrantRefusal::NotAKeyAdministrator))?;
            Ok(Granter::Person { id, roles })
        }
    }
}

fn refused(refusal: GrantRefusal) -> Refusal {
    let field = match refusal {
        GrantRefusal::ToThemselves => "userId",
        GrantRefusal::NotAKeyAdministrator | GrantRefusal::HostOnly => "role",
    };
    Refusal::new(RefusalCode::NotAnAdministrator, refusal.to_string()).field(field)
}

/// Somebody must remain who can grant roles.
pub(super) async fn require_other_administrator(tx: &Tx, leaving: &Account) -> Done<()> {
    if !leaving.active || !leaving.roles.contains(&Role::Admin) {
        return Ok(());
    }
    // Two who take the role from each other at the same time must not both see the other as the one who remains.
    tx.hold_accounts_with(Role::Admin).await?;
    let administrators = tx.accounts_with(Role::Admin).await?;
    if administrators.iter().any(|account| account.active && account.id != leaving.id) {
        return Ok(());
    }
    let message = "This is the last administrator. Make another one first.";
    Err(Refusal::new(RefusalCode::WrongState, message).reason("LAST_ADMINISTRATOR").into())
}

//! Who may grant what to whom.

use serde_json::json;

use super::{account, administrator};
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
        tx.audit("role.grant", "ACCOUNT", user, "OK", json!({ "role": role.as_str() }));
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
        tx.audit("role.revoke", "ACCOUNT", user, "OK", json!({ "role": role.as_str() }));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }
}

/// Whether the caller may grant a role, to somebody who exists or to an account that is being made.
pub(super) fn require_may_grant(call: &Call, to: Option<UserId>, role: Role) -> Result<(), Refusal> {
    if matches!(call.requester, Requester::System) {
        return Ok(());
    }
    if role == Role::KeyAdmin {
        let message = "The role key administrator is granted on the command line of the host only.";
        return Err(Refusal::new(RefusalCode::NotAnAdministrator, message).field("role"));
    }
    require_may_revoke(call, role)?;
    let themselves = call.requester.person().is_some_and(|person| Some(person.user) == to);
    if role.is_key_role() && themselves {
        let message = "Nobody grants a key role to themselves. Ask another key administrator.";
        return Err(Refusal::new(RefusalCode::NotAnAdministrator, message).field("userId"));
    }
    Ok(())
}

fn require_may_revoke(call: &Call, role: Role) -> Result<(), Refusal> {
    if !role.is_key_role() {
        return administrator(call);
    }
    let key_admin = call.requester.person().is_some_and(|person| person.has(Role::KeyAdmin));
    if key_admin || matches!(call.requester, Requester::System) {
        return Ok(());
    }
    let message =
        "Key roles are granted and taken back by a key administrator, or on the command line of the host.";
    Err(Refusal::new(RefusalCode::NotAnAdministrator, message).field("role"))
}

/// Somebody must remain who can grant roles.
pub(super) async fn require_other_administrator(tx: &Tx, leaving: &Account) -> Done<()> {
    if !leaving.active || !leaving.roles.contains(&Role::Admin) {
        return Ok(());
    }
    let administrators = tx.accounts_with(Role::Admin).await?;
    if administrators.iter().any(|account| account.active && account.id != leaving.id) {
        return Ok(());
    }
    let message = "This is the last administrator. Make another one first.";
    Err(Refusal::new(RefusalCode::WrongState, message).reason("LAST_ADMINISTRATOR").into())
}

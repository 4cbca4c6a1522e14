//! Who may grant what to whom.

use keyservice::role::{GrantRefusal, Grantee, Granter, KeyRole, may_grant, may_take_back};
use serde_json::json;

use super::{account, administrator, holds_key_role};
use crate::actions::key_rights::key_person;
use crate::actions::{Actions, Call, Done};
use crate::domain::id::UserId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Requester, Role};
use crate::store::{Account, KEY_ROLE_GRANTED, KEY_ROLE_REVOKED, Tx};

impl Actions {
    /// Grants a role, which works at once. Roles of the application by an administrator, to our own people; key
    /// roles by a key administrator, to others whose credentials are their own; the host's command line may grant all.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`, `NOT_FOUND`, `INVALID_INPUT` for a role that the account cannot have;
    /// `CREDENTIALS_INVALID` for a program, but for the role of a contact.
    pub async fn grant_role(&self, call: &Call, user: UserId, role: Role) -> Done<Account> {
        require_may_grant(call, Some(unknown(user)), role)?;
        self.require_hand_over(call, role)?;
        let mut tx = self.begin("role.grant", call).await?;
        let holder = account(&tx, user).await?;
        require_may_grant(call, Some(grantee(&tx, call, user).await?), role)?;
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
        self.require_hand_over(call, role)?;
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
        let operation = if role.is_key_role() { KEY_ROLE_REVOKED } else { "role.revoke" };
        tx.audit(operation, "ACCOUNT", user, "OK", json!({ "role": role.as_str() }));
        let saved = account(&tx, user).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// Roles change hands by people alone; only that of a contact by programs as well. It is given with the registration
    /// that names its holder, opens nothing else, and whoever automates registrations has to mend it, too.
    fn require_hand_over(&self, call: &Call, role: Role) -> Result<(), Refusal> {
        if role == Role::ConsumerContact { self.require_fresh(call) } else { self.require_fresh_person(call) }
    }
}

/// Whether the caller may grant a role, to somebody who exists or to an account that they are making.
pub(super) fn require_may_grant(call: &Call, to: Option<Grantee>, role: Role) -> Result<(), Refusal> {
    let made = Grantee { id: [0; 16], made_by_granter: true, password_of_another: false };
    match key_role(role) {
        Some(role) => Ok(may_grant(granter(call)?, to.unwrap_or(made), role).map_err(refused)?),
        None => administrator(call),
    }
}

/// Whether the caller may switch an account on again: whoever does gives it the key roles that it has.
pub(super) async fn require_may_revive(tx: &Tx, call: &Call, holder: &Account) -> Done<()> {
    let grantee = grantee(tx, call, holder.id).await?;
    for role in holder.roles.iter().filter(|role| role.is_key_role()) {
        require_may_grant(call, Some(grantee), *role)?;
    }
    Ok(())
}

/// That the password of an account may be chosen by the caller: that of whoever holds a key role is their own affair, or
/// an administrator of the application could become any of them.
pub(super) fn require_may_choose_password(call: &Call, holder: &Account) -> Result<(), Refusal> {
    let own = call.requester.person().is_some_and(|person| person.user == holder.id);
    if own || matches!(call.requester, Requester::System) || !holds_key_role(&holder.roles) {
        return Ok(());
    }
    let message = "Whoever holds a key role sets their password themselves. If they cannot, it is set on the command line \
                   of the host.";
    Err(Refusal::new(RefusalCode::NotAnAdministrator, message).field("userId").reason("KEY_ROLE"))
}

/// Somebody of whom only the id is known yet.
const fn unknown(user: UserId) -> Grantee {
    Grantee { id: user.bytes(), made_by_granter: false, password_of_another: false }
}

/// Somebody, with what the audit trail says of whose hands their credentials went through.
async fn grantee(tx: &Tx, call: &Call, user: UserId) -> Done<Grantee> {
    let (own, granter, host) = (format!("user:{user}"), call.requester.actor(), Requester::System.actor());
    let hands = tx.credential_hands(user).await?;
    let password = hands.iter().rev().find(|hand| hand.gave_password);
    Ok(Grantee {
        made_by_granter: hands.iter().any(|hand| hand.actor == granter && granter != own),
        password_of_another: password.is_some_and(|hand| hand.actor != own && hand.actor != host),
        ..unknown(user)
    })
}

fn require_may_revoke(call: &Call, role: Role) -> Result<(), Refusal> {
    match key_role(role) {
        Some(_) => Ok(may_take_back(granter(call)?).map_err(refused)?),
        None => administrator(call),
    }
}

/// The audit entry of a grant: what concerns keys is read by others than the rest.
pub(super) const fn granted(role: Role) -> &'static str {
    if role.is_key_role() { KEY_ROLE_GRANTED } else { "role.grant" }
}

/// The role as the key service knows it, if it is one of its own.
fn key_role(role: Role) -> Option<KeyRole> {
    role.as_str().parse().ok()
}

/// Who grants or takes back, as the key service knows them.
fn granter(call: &Call) -> Result<Granter, Refusal> {
    match call.requester {
        Requester::System => Ok(Granter::Host),
        Requester::Person(_) | Requester::Anonymous | Requester::Peer(_) => {
            let (id, roles) = key_person(call).ok_or_else(|| refused(GrantRefusal::NotAKeyAdministrator))?;
            Ok(Granter::Person { id, roles })
        }
    }
}

fn refused(refusal: GrantRefusal) -> Refusal {
    let field = match refusal {
        GrantRefusal::ToThemselves | GrantRefusal::OwnMaking | GrantRefusal::PasswordOfAnother => "userId",
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

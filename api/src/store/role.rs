//! Key roles count as far as the audit trail knows of them: whoever writes a row into the table, or puts one back that was
//! taken, grants nothing.

use std::collections::HashMap;

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::tx::PendingAudit;
use super::{StoreError, entity};
use crate::domain::requester::Role;
use entity::account_role::Model;
use entity::audit::{Column, Entity};

/// The entry of a grant.
pub const KEY_ROLE_GRANTED: &str = "key.role.grant";
/// The entry of a role that was taken back.
pub const KEY_ROLE_REVOKED: &str = "key.role.revoke";

/// The rows without those of key roles that the trail does not say were granted last, or that are about to be said.
pub(super) async fn on_record(
    conn: &impl ConnectionTrait,
    mut rows: Vec<Model>,
    pending: &[PendingAudit],
) -> Result<Vec<Model>, StoreError> {
    let is_key_role = |row: &Model| Role::parse(&row.role).is_some_and(Role::is_key_role);
    let holders: Vec<String> =
        rows.iter().filter(|row| is_key_role(row)).map(|row| row.account_id.to_string()).collect();
    if holders.is_empty() {
        return Ok(rows);
    }
    let entries = Entity::find()
        .filter(Column::ObjectId.is_in(holders))
        .filter(Column::Operation.is_in([KEY_ROLE_GRANTED, KEY_ROLE_REVOKED]))
        .order_by_asc(Column::N)
        .all(conn)
        .await?;
    let written = entries.iter().map(|entry| (entry.operation.as_str(), &entry.object_id, &entry.details));
    let about_to_be = pending.iter().map(|entry| (entry.operation, &entry.object_id, &entry.details));
    let mut granted = HashMap::new();
    for (operation, account, details) in written.chain(about_to_be) {
        if let (KEY_ROLE_GRANTED | KEY_ROLE_REVOKED, Some(role)) = (operation, details["role"].as_str()) {
            granted.insert((account.clone(), role.to_owned()), operation == KEY_ROLE_GRANTED);
        }
    }
    rows.retain(|row| {
        let known = !is_key_role(row)
            || granted.get(&(row.account_id.to_string(), row.role.clone())).copied().unwrap_or_default();
        if !known {
            tracing::error!(account = %row.account_id, role = row.role, "a key role that nobody granted");
        }
        known
    });
    Ok(rows)
}

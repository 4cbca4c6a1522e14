//! Linkspan's database, one idea per step. A step that landed is never edited; the next one mends it.
//!
//! The statements are the same for SQLite and PostgreSQL: SQLite keeps the value it is given whatever the
//! column's type is called, so PostgreSQL's names are used. Times are milliseconds since the Unix epoch: one
//! representation that both databases order the same way.
#![forbid(unsafe_code)]

use sea_orm_migration::prelude::{
    DbErr, MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::ConnectionTrait as _;

macro_rules! steps {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// All steps, in order.
        #[derive(Debug)]
        pub struct Migrator;

        #[async_trait::async_trait]
        impl MigratorTrait for Migrator {
            fn migrations() -> Vec<Box<dyn MigrationTrait>> {
                vec![$(Box::new(Step { name: stringify!($name), up: $name::UP }),)+]
            }
        }
    };
}

steps! {
    m0001_instance,
    m0002_log,
    m0003_people,
    m0004_registration,
    m0005_connection,
    m0006_checks,
    m0007_keys,
    m0008_authorization,
    m0009_messages,
    m0010_answers,
    m0012_key_reason,
    m0013_key_module,
    m0014_audit_checkpoint,
    m0016_key_approval,
    m0017_issues,
    m0018_schedules,
    m0019_watch,
    m0020_history,
    m0021_failure,
    m0022_definition,
    m0023_verification,
    m0024_guided_setup,
    m0027_key_decision,
    m0032_pause,
    m0033_ended,
    m0035_key_encryption_rotation,
    m0041_approval_seal,
    m0043_audit_kept,
    m0048_message_id,
    m0049_issue_age,
    m0050_job_lease,
    m0052_more_indexes,
    m0053_heartbeat_chain,
    m0054_identity_seq,
    m0056_offboarding,
    m0057_issue_told,
}

struct Step {
    name: &'static str,
    up: &'static [&'static str],
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in self.up {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

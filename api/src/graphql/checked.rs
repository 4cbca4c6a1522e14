//! What everything that is checked has: its scans and its issues.

use async_graphql::{Context, Object, Result};

use super::ask::Ask;
use super::issue::Issue;
use super::load::{LatestScans, OpenIssues};
use super::page::{self, items_cost};
use super::scan::Scan;
use crate::domain::scan::Subject;

/// The scans and issues of one subject, as fields of its type.
pub(super) struct Checked(pub(super) Subject);

#[Object]
impl Checked {
    /// Its latest scans, the newest first; empty for those who may not see everything of this instance.
    #[graphql(complexity = "items_cost(first.unwrap_or(10), child_complexity)")]
    async fn scans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many, 250 at most; 10 when nothing is given.")] first: Option<i32>,
    ) -> Result<Vec<Scan>> {
        let key = LatestScans::of(self.0, page::limit(first, 10)?);
        Ok(Ask::anyone(ctx)?.load.one(key).await?.unwrap_or_default().into_iter().map(Scan).collect())
    }

    /// Its latest scan.
    async fn latest_scan(&self, ctx: &Context<'_>) -> Result<Option<Scan>> {
        let scans = Ask::anyone(ctx)?.load.one(LatestScans::of(self.0, 1)).await?;
        Ok(scans.and_then(|scans| scans.into_iter().next()).map(Scan))
    }

    /// Its open issues, the oldest first: at most one for each check.
    #[graphql(complexity = "items_cost(10, child_complexity)")]
    async fn issues(&self, ctx: &Context<'_>) -> Result<Vec<Issue>> {
        let issues = Ask::anyone(ctx)?.load.one(OpenIssues::of(self.0)).await?;
        Ok(issues.unwrap_or_default().into_iter().map(Issue).collect())
    }
}

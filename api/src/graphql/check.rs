//! The catalogue: suites and the checks in them.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::Ask;
use super::page::items_cost;
use super::refusal::docs_url;
use super::words::{CheckCode, CheckSide, Severity, SuiteCode};
use crate::domain::check as domain;

/// What is fixed about a check: one question.
#[derive(SimpleObject)]
pub(super) struct Check {
    /// Stable code.
    code: CheckCode,
    /// The code in words.
    label: &'static str,
    /// The question.
    asks: &'static str,
    /// On which side of a connection it is asked.
    side: CheckSide,
    /// The suites that ask it.
    suites: Vec<SuiteCode>,
    /// What to do about its findings, step by step. The remedy of a finding says it for that very case.
    mend: Vec<&'static str>,
    /// How bad its findings are.
    severity: Severity,
    /// The severity in words.
    severity_label: &'static str,
    /// Whether its findings block, unless a finding says otherwise.
    blocking: bool,
    /// The most it may take, in whole seconds.
    time_limit_seconds: i64,
    /// Where it is explained.
    docs_url: String,
}

impl Check {
    pub(super) fn new(ask: &Ask<'_>, code: domain::CheckCode) -> Self {
        let spec = code.spec();
        Self {
            code: code.into(),
            label: code.label(),
            asks: spec.asks,
            side: spec.side.into(),
            suites: code.suites().map(Into::into).collect(),
            mend: spec.mend.to_vec(),
            severity: spec.severity.into(),
            severity_label: spec.severity.label(),
            blocking: spec.blocking,
            time_limit_seconds: spec.time_limit.num_seconds(),
            docs_url: docs_url(ask, &code.docs_path()),
        }
    }
}

/// A named set of checks.
#[derive(SimpleObject)]
pub(super) struct Suite {
    /// Stable code.
    code: SuiteCode,
    /// The code in words.
    label: &'static str,
    /// Its checks, in the order in which they are asked.
    checks: Vec<Check>,
}

/// What the whole catalogue costs.
fn catalogue_cost(child: usize) -> usize {
    items_cost(i32::try_from(domain::CheckCode::ALL.len()).unwrap_or(i32::MAX), child)
}

/// Queries of the catalogue.
#[derive(Default)]
pub(super) struct CheckQuery;

#[Object]
impl CheckQuery {
    /// All suites with their checks.
    #[graphql(complexity = "catalogue_cost(child_complexity)")]
    async fn suites(&self, ctx: &Context<'_>) -> Result<Vec<Suite>> {
        let ask = Ask::anyone(ctx)?;
        let suite = |suite: &domain::Suite| Suite {
            code: (*suite).into(),
            label: suite.label(),
            checks: suite.checks().iter().map(|code| Check::new(&ask, *code)).collect(),
        };
        Ok(domain::Suite::ALL.iter().map(suite).collect())
    }

    /// All checks.
    #[graphql(complexity = "catalogue_cost(child_complexity)")]
    async fn checks(&self, ctx: &Context<'_>) -> Result<Vec<Check>> {
        let ask = Ask::anyone(ctx)?;
        Ok(domain::CheckCode::ALL.iter().map(|code| Check::new(&ask, *code)).collect())
    }
}

//! The expected "no", what to do about it, and which verbs are possible.

use async_graphql::SimpleObject;

use super::ask::Ask;
use super::id::Kind;
use super::words::{RefusalCode, RemedyKind};
use crate::domain::check;
use crate::domain::refusal as domain;
use crate::domain::scan::Subject;

/// An expected "no", with everything a person or a program needs to go on.
#[derive(Clone, SimpleObject)]
pub(super) struct Refusal {
    /// Stable code, for programs.
    code: RefusalCode,
    /// The code in words, for people.
    code_label: &'static str,
    /// One or two sentences: what happened, and why.
    message: String,
    /// The input field at fault, as a path in the mutation's `input`.
    field: Option<String>,
    /// A finer, stable distinction within the code, for example `EXPIRED` or `TLS`.
    reason: Option<String>,
    /// What to do about it.
    remedy: Remedy,
    /// Where this code is explained.
    docs_url: String,
    /// Leads to the log of this instance: the trace id of the request (W3C Trace Context, 32 hexadecimal digits).
    trace_id: String,
}

impl Refusal {
    /// The refusal as it leaves.
    pub(super) fn new(ask: &Ask<'_>, refusal: domain::Refusal) -> Self {
        Self {
            code: refusal.code.into(),
            code_label: refusal.code.label(),
            docs_url: docs_url(ask, &format!("/docs/refusals/{}", kebab(refusal.code.as_str()))),
            remedy: Remedy::new(refusal.what_to_do(), None),
            message: refusal.message,
            field: refusal.field,
            reason: refusal.reason,
            trace_id: ask.call.trace.to_string(),
        }
    }
}

/// A page of this instance's documentation.
pub(super) fn docs_url(ask: &Ask<'_>, path: &str) -> String {
    ask.actions.profile().origin.join(path).to_string()
}

fn kebab(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// What to do about a finding or a refusal.
#[derive(Clone, SimpleObject)]
pub(super) struct Remedy {
    /// Which kind of remedy, and so which of the other fields are set.
    kind: RemedyKind,
    /// For `CALL`: the mutation to call.
    mutation: Option<String>,
    /// For `CALL`: fields of its `input`.
    variables: Option<Vec<RemedyVariable>>,
    /// For `CONFIG`: the setting of the instance.
    setting: Option<String>,
    /// For `CONFIG`: an example of its value.
    value: Option<String>,
    /// For `HUMAN`: what a person has to do.
    text: Option<String>,
}

/// A field of a mutation's input.
#[derive(Clone, SimpleObject)]
pub(super) struct RemedyVariable {
    /// The field's name.
    name: String,
    /// Its value as text; ids are global ids, a Boolean or number is written as in JSON.
    value: String,
}

impl Remedy {
    /// The remedy as it leaves; `subject` is what it is about.
    pub(super) fn new(remedy: check::Remedy, subject: Option<Subject>) -> Self {
        let none = Self {
            kind: RemedyKind::Human,
            mutation: None,
            variables: None,
            setting: None,
            value: None,
            text: None,
        };
        match remedy {
            check::Remedy::Call { mutation, variables } => {
                let variables = variables.into_iter().map(|(name, value)| RemedyVariable {
                    value: global(&name, &value, subject).unwrap_or(value),
                    name,
                });
                let variables = Some(variables.collect());
                Self { kind: RemedyKind::Call, mutation: Some(mutation), variables, ..none }
            }
            check::Remedy::Config { setting, value } => {
                Self { kind: RemedyKind::Config, setting: Some(setting), value: Some(value), ..none }
            }
            check::Remedy::Human(text) => Self { text: Some(text), ..none },
        }
    }
}

/// The domain names things by their own ids; whoever calls the mutation needs the global one.
fn global(name: &str, value: &str, subject: Option<Subject>) -> Option<String> {
    let id = uuid::Uuid::try_parse(value).ok()?;
    let kind = match name {
        "userId" => Kind::Contact,
        "companyId" => Kind::Company,
        "registrationId" => Kind::Registration,
        "connectionId" => Kind::Connection,
        "issueId" => Kind::Issue,
        "subjectId" => match subject? {
            Subject::Registration(_) => Kind::Registration,
            Subject::Connection(_) => Kind::Connection,
            Subject::Instance(_) => return None,
        },
        _ => return None,
    };
    Some(kind.id(id).0)
}

/// Something that can be done with a thing, and whether it can be done now by whoever asks.
#[derive(Clone, SimpleObject)]
pub(super) struct Action {
    /// The mutation that does it.
    name: &'static str,
    /// The words for people.
    label: &'static str,
    /// Whether it would be accepted now from whoever asks.
    allowed: bool,
    /// Why not; null when it is allowed.
    reason: Option<String>,
    /// Whether it would be accepted after `stepUp`: show it all the same, and ask for the password first.
    needs_step_up: bool,
}

impl Action {
    /// The action, from the same answer that the mutation would begin with.
    pub(super) fn new(name: &'static str, label: &'static str, may: Result<(), domain::Refusal>) -> Self {
        let needs_step_up = may.as_ref().is_err_and(|why| why.code == domain::RefusalCode::StepUpRequired);
        Self {
            name,
            label,
            allowed: may.is_ok(),
            reason: may.err().map(|refusal| refusal.message),
            needs_step_up,
        }
    }
}

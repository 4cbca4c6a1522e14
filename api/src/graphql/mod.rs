//! The public schema: one file per noun, with its types, queries and mutations. It reads through a
//! [`Reader`](crate::store::Reader) and writes through an action; the transport in front of it is `http`.

#[macro_use]
mod ask;
mod audit;
mod change;
mod check;
mod checked;
mod connection;
mod connection_mutation;
mod credential;
mod definition;
mod direction;
mod error;
mod explain;
mod failure;
mod guided_setup;
mod health;
mod id;
mod instance;
mod issue;
mod issue_mutation;
mod key_approval;
mod key_encryption;
mod key_health;
mod key_module;
mod key_module_mutation;
mod key_policy;
mod key_transfer;
mod key_use;
mod load;
mod node;
mod onboarding;
mod page;
mod people;
mod people_mutation;
mod refusal;
mod registration;
mod registration_mutation;
mod scan;
mod scan_mutation;
mod schedule;
mod settings;
mod subscription;
#[cfg(test)]
mod tests;
mod verification;
mod words;

use async_graphql::{MergedObject, Request, SDLExportOptions, SchemaBuilder};

use crate::actions::{Actions, Call};
use crate::domain::id::ConnectionId;
use crate::domain::scan::Subject;

pub use subscription::Subscription;

/// What can be asked. What you may not see looks exactly like what does not exist.
#[derive(Default, MergedObject)]
pub struct Query(
    node::NodeQuery,
    instance::InstanceQuery,
    people::PeopleQuery,
    credential::CredentialQuery,
    registration::RegistrationQuery,
    connection::ConnectionQuery,
    scan::ScanQuery,
    check::CheckQuery,
    key_health::KeyHealthQuery,
    key_encryption::KeyEncryptionQuery,
    key_module::KeyModuleQuery,
    key_policy::KeyPolicyQuery,
    key_approval::KeyApprovalQuery,
    audit::AuditQuery,
    issue::IssueQuery,
    schedule::ScheduleQuery,
    change::ChangeQuery,
    definition::DefinitionQuery,
    settings::SettingsQuery,
    guided_setup::GuidedSetupQuery,
    explain::ExplainQuery,
    failure::FailureQuery,
    health::HealthQuery,
);

/// What can be done. Each mutation takes one `input` and answers a payload with the thing or a `refusal`.
#[derive(Default, MergedObject)]
pub struct Mutation(
    instance::InstanceMutation,
    people_mutation::PeopleMutation,
    credential::CredentialMutation,
    registration_mutation::RegistrationMutation,
    connection_mutation::ConnectionMutation,
    scan_mutation::ScanMutation,
    issue_mutation::IssueMutation,
    key_health::KeyHealthMutation,
    key_module_mutation::KeyModuleMutation,
    key_encryption::RootKeyMutation,
    key_encryption::KeyEncryptionMutation,
    key_transfer::KeyTransferMutation,
    key_use::KeyUseMutation,
    schedule::ScheduleMutation,
    definition::DefinitionMutation,
    settings::SettingsMutation,
    verification::VerificationMutation,
    guided_setup::GuidedSetupMutation,
    key_policy::KeyPolicyMutation,
    key_approval::KeyApprovalMutation,
);

/// The public schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// How the definitions of the directives that every server has begin.
const BUILT_IN: [&str; 5] = [
    "directive @deprecated(",
    "directive @include(",
    "directive @oneOf ",
    "directive @skip(",
    "directive @specifiedBy(",
];
/// What begins and ends a description.
const QUOTES: &str = "\"\"\"";

/// The schema as text: sorted, with one newline at its end.
#[must_use]
pub fn sdl() -> String {
    let options =
        SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items().include_specified_by();
    let text = builder().finish().sdl_with_options(options);
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        // Built-in directives are omitted from a schema's text (GraphQL, 3.13), their descriptions with them.
        if !BUILT_IN.iter().any(|directive| line.starts_with(directive)) {
            lines.push(line);
        } else if lines.pop_if(|last| *last == QUOTES).is_some() {
            while lines.pop().is_some_and(|line| line != QUOTES) {}
        }
    }
    format!("{}\n", lines.join("\n").trim_end())
}

/// A connection's global id, for those who lead browsers to its page.
#[must_use]
pub fn connection_id(id: ConnectionId) -> String {
    id::Kind::Connection.id(id.0).to_string()
}

/// Where the console shows the issues of something, for those who lead browsers there.
#[must_use]
pub fn health_path(subject: Subject) -> String {
    let name = match subject {
        Subject::Registration(_) => "registration",
        Subject::Connection(_) => "connection",
        Subject::Instance(_) => return "/health".to_owned(),
    };
    id::subject_id(subject).map_or_else(|| "/health".to_owned(), |id| format!("/health?{name}={}", *id))
}

/// Puts in what the resolvers need: who asks, and what loads on their behalf.
#[must_use]
pub fn prepare(request: Request, actions: &Actions, call: Call) -> Request {
    let loaders = load::Loaders::new(actions.reader(&call), actions.clone(), call.clone());
    request.data(loaders).data(call)
}

/// The schema before it is built: the operator's limits and the verbs, as its data, are still to be put in.
#[must_use]
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription)
}

//! What each verb asks of the API.

use serde_json::{Value, json};

use super::{Specification, Verb, Version, VersionWithReason};
use crate::cli::Failed;

pub(super) const VERSION: &str =
    "keyId module version state stateLabel reason createdAt activatedAt expiresAt publicKey";
const MODULE: &str =
    "name purpose algorithm builtIn state stateLabel exportable rotationPeriod keyLifetime revision";
const APPROVAL: &str = "id operation operationLabel module object reason state stateLabel askedBy { name } \
    answeredBy { name } answer usableFrom expiresAt";
const ENCRYPTION: &str = "version rotation { state stateLabel total done startedAt finishedAt error }";
const REFUSAL: &str =
    "refusal { code message field reason traceId remedy { kind mutation setting value text } }";

/// A document with its variables, and where in its answer the thing is.
pub(super) struct Question {
    pub(super) document: String,
    pub(super) variables: Value,
    pub(super) field: &'static str,
    /// The noun in a mutation's payload; empty for a query.
    pub(super) noun: &'static str,
}

pub(super) fn query(field: &'static str, document: String, variables: Value) -> Question {
    Question { document, variables, field, noun: "" }
}

/// A list, of whose items these fields are wanted: each argument with its type, and its value.
pub(super) fn list(field: &'static str, arguments: &[(&str, &str, Value)], fields: &str) -> Question {
    let declared: String = arguments.iter().map(|(name, kind, _)| format!("${name}: {kind}, ")).collect();
    let given: String = arguments.iter().map(|(name, ..)| format!("{name}: ${name}, ")).collect();
    let document = format!(
        "query({declared}$after: String) {{ {field}({given}first: 250, after: $after) {{ edges {{ node {{ {fields} }} }} \
         pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let variables = arguments.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())).collect();
    query(field, document, Value::Object(variables))
}

/// A mutation with its one input, which answers a noun with these fields.
pub(super) fn mutation(field: &'static str, noun: (&'static str, &str), input: Value) -> Question {
    let (noun, fields) = noun;
    // The id of what is gone has no fields.
    let fields = if fields.is_empty() { String::new() } else { format!("{{ {fields} }}") };
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let document =
        format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {noun} {fields} {REFUSAL} }} }}");
    Question { document, variables: json!({ "input": input }), field, noun }
}

/// The versions of the key under one name.
fn keys(module: &str) -> Question {
    list("keys", &[("module", "String!", json!(module))], VERSION)
}

/// This version of the key under one name.
pub(super) fn one_key(module: &str, version: u64) -> Question {
    let document =
        "query($module: String!, $version: Int!) { key(module: $module, version: $version) { keyId } }";
    query("key", document.to_owned(), json!({ "module": module, "version": version }))
}

fn module(field: &'static str, input: Value) -> Question {
    let fields = format!("{MODULE} versions {{ {VERSION} }}");
    mutation(field, ("keyModule", &fields), input)
}

fn key(field: &'static str, Version { module, version }: &Version) -> Question {
    mutation(field, ("key", VERSION), json!({ "module": module, "version": version }))
}

fn key_with(field: &'static str, of: &Version, name: &str, value: Value) -> Question {
    let mut question = key(field, of);
    question.variables["input"][name] = value;
    question
}

fn key_for(field: &'static str, VersionWithReason { key, reason }: &VersionWithReason) -> Question {
    key_with(field, key, "reason", json!(reason))
}

fn approval(field: &'static str, input: Value) -> Question {
    mutation(field, ("keyApproval", APPROVAL), input)
}

impl Verb {
    /// What it asks; `object` is what a request for approval is about.
    ///
    /// # Errors
    /// When the standard input cannot be read, for what works on it.
    pub(super) fn question(&self, object: Option<String>) -> Result<Question, Failed> {
        Ok(match self {
            Self::Transfer(verb) => verb.question(),
            Self::Policy(verb) => verb.question(),
            Self::Data(verb) => verb.question()?,
            Self::Modules | Self::List { module: None } => {
                list("keyModules", &[], &format!("{MODULE} versions {{ {VERSION} }}"))
            }
            Self::List { module: Some(module) } => keys(module),
            Self::Health { recheck } => {
                let parts =
                    "name module critical status statusLabel code message remedy measuredAt tookMicros";
                let fields = format!("status statusLabel reason measuredAt components {{ {parts} }}");
                if *recheck {
                    mutation("recheckKeyHealth", ("keyHealth", &fields), json!({}))
                } else {
                    query("keyHealth", format!("{{ keyHealth {{ {fields} }} }}"), json!({}))
                }
            }
            Self::CreateModule { module: name, purpose, algorithm, specification } => {
                let Specification { exportable, rotate_every, lifetime } = specification;
                let input = json!({
                    "name": name, "purpose": purpose.to_uppercase(), "algorithm": algorithm,
                    "exportable": exportable, "rotationPeriod": rotate_every, "keyLifetime": lifetime,
                });
                module("createKeyModule", input)
            }
            Self::Specify { module: name, specification, revision } => {
                let Specification { exportable, rotate_every, lifetime } = specification;
                let input = json!({ "module": name, "exportable": exportable, "rotationPeriod": rotate_every,
                    "keyLifetime": lifetime, "expectedRevision": revision.expected });
                module("specifyKeyModule", input)
            }
            Self::Generate { module: name } => module("generateKey", json!({ "module": name })),
            Self::Activate(of) => key("activateKey", of),
            Self::Publish { module: name, revision } => {
                module("publishKeyModule", json!({ "module": name, "expectedRevision": revision.expected }))
            }
            Self::Schedule { module: name, rotate_every, revision } => {
                let input = json!({ "module": name, "rotationPeriod": rotate_every,
                    "expectedRevision": revision.expected });
                module("scheduleKeyModule", input)
            }
            Self::Rotate { module: name } => module("rotateKeyModule", json!({ "module": name })),
            Self::Suspend(of) => key_for("suspendKey", of),
            Self::Resume(of) => key("resumeKey", of),
            Self::Renew { key, until } => key_with("renewKey", key, "expiresAt", json!(until)),
            Self::Deactivate(of) => key("deactivateKey", of),
            Self::Revoke(of) => key_for("revokeKey", of),
            Self::Compromised(of) => key_for("markKeyCompromised", of),
            Self::Destroy { key, approval } => key_with("destroyKey", key, "approvalId", json!(approval)),
            Self::Explain { decision } => {
                let document = "query($id: ID!) { explainDecision(id: $id) { id decidedAt module operation \
                    allowed explanation principal { label } data { name value } \
                    trace { policyId effect outcome outcomeLabel note } } }";
                query("explainDecision", document.to_owned(), json!({ "id": decision }))
            }
            Self::Approvals { state } => {
                let states = json!(state.map(|state| [state.as_str()]));
                list("keyApprovals", &[("states", "[KeyApprovalState!]", states)], APPROVAL)
            }
            Self::Request { operation, module, object: named, reason, .. } => {
                let input = json!({
                    "operation": operation.as_str(), "module": module, "object": object.as_ref().or(named.as_ref()),
                    "reason": reason,
                });
                approval("requestKeyApproval", input)
            }
            Self::Approve { approval: id, .. } => approval("giveKeyApproval", json!({ "approvalId": id })),
            Self::Refuse { approval: id, reason } => {
                approval("refuseKeyApproval", json!({ "approvalId": id, "reason": reason }))
            }
            Self::Withdraw { approval: id } => approval("withdrawKeyApproval", json!({ "approvalId": id })),
            Self::RotateKeyEncryptionKey { status: true } => {
                query("keyEncryptionKey", format!("{{ keyEncryptionKey {{ {ENCRYPTION} }} }}"), json!({}))
            }
            Self::RotateKeyEncryptionKey { status: false } => {
                mutation("rotateKeyEncryptionKey", ("keyEncryptionKey", ENCRYPTION), json!({}))
            }
            Self::RotateRoot { approval: id } => approval("rotateRootKey", json!({ "approvalId": id })),
        })
    }
}

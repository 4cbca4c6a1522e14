//! Access policies, and what they come to.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{Question, list, mutation, query};
use super::show::{items, table, text};
use super::{Revision, operation, word};
use crate::cli::out;
use crate::domain::key_policy::{AccessEffect, KeyOperation, KeyUser};
use crate::domain::requester::Role;

const POLICY: &str =
    "id module effect principal { label user { name } } operations condition { name value } note revision";

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Lists access policies: of all modules, or of one.
    Policies {
        /// The module's name.
        module: Option<String>,
    },
    /// Lists who can effectively do what with a module, all its policies taken together: parts of the program, people by
    /// their key roles, and whom a policy names.
    Rights {
        /// The module's name.
        module: String,
    },
    /// Adds an access policy to a module.
    #[command(name = "add-policy")]
    Add {
        /// The module's name.
        module: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Gives an access policy other terms: what is left out is not kept.
    #[command(name = "change-policy")]
    Change {
        /// The policy's id, as `policies` lists it.
        policy: String,
        #[command(flatten)]
        terms: Terms,
        #[command(flatten)]
        revision: Revision,
    },
    /// Deletes an access policy; the audit trail keeps what it said.
    #[command(name = "delete-policy")]
    Delete {
        /// The policy's id, as `policies` lists it.
        policy: String,
        #[command(flatten)]
        revision: Revision,
    },
}

/// What an access policy says.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// What follows when it applies: strict-reject, track (allow and record) or reject.
    #[arg(long, value_parser = effect)]
    effect: AccessEffect,
    /// Whom it is about: anyone, every-service, every-person, service:NAME, role:ROLE, or person:ID.
    #[arg(long, value_name = "WHO", value_parser = principal)]
    who: Value,
    /// What it is about, such as seal,open.
    #[arg(long, required = true, value_delimiter = ',', value_parser = operation)]
    operations: Vec<KeyOperation>,
    /// The associated data that it is bound to, such as link_id=ID; without it, it holds for all.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::data)]
    only_for: Option<Value>,
    /// Why it exists, 500 characters at most.
    #[arg(long)]
    note: Option<String>,
}

impl Terms {
    fn input(&self) -> Value {
        let operations: Vec<&str> = self.operations.iter().map(|one| one.as_str()).collect();
        json!({ "effect": self.effect.as_str(), "principal": self.who, "operations": operations,
            "condition": self.only_for, "note": self.note })
    }
}

fn effect(text: &str) -> Result<AccessEffect, String> {
    AccessEffect::parse(&word(text)).ok_or_else(|| "strict-reject, track or reject".to_owned())
}

fn principal(text: &str) -> Result<Value, String> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    match (word(kind).as_str(), name) {
        (kind @ ("ANYONE" | "EVERY_SERVICE" | "EVERY_PERSON"), "") => Ok(json!({ "kind": kind })),
        ("SERVICE", name) => match KeyUser::parse(&word(name)) {
            Some(service) => Ok(json!({ "kind": "SERVICE", "service": service.as_str() })),
            None => {
                let all: Vec<String> = KeyUser::ALL.iter().map(|one| one.as_str().to_lowercase()).collect();
                Err(format!("the services are {}", all.join(", ")))
            }
        },
        ("ROLE", name) => match Role::parse(&word(name)).filter(|role| role.is_key_role()) {
            Some(role) => Ok(json!({ "kind": "ROLE", "role": role.as_str() })),
            None => Err("the role is one of the key roles, such as key-operator".to_owned()),
        },
        ("PERSON", id) if !id.is_empty() => Ok(json!({ "kind": "PERSON", "userId": id })),
        _ => Err("anyone, every-service, every-person, service:NAME, role:ROLE, or person:ID".to_owned()),
    }
}

impl Policy {
    /// What it asks.
    pub(super) fn question(&self) -> Question {
        let one = ("accessPolicy", POLICY);
        match self {
            Self::Policies { module } => {
                list("accessPolicies", &[("module", "String", json!(module))], POLICY)
            }
            Self::Rights { module } => {
                let document = "query($module: String!) { effectiveRights(module: $module) { \
                    principal { label user { name } } operation verdict data { name value } \
                    unless { name value } } }";
                query("effectiveRights", document.to_owned(), json!({ "module": module }))
            }
            Self::Add { module, terms } => {
                mutation("createAccessPolicy", one, json!({ "module": module, "terms": terms.input() }))
            }
            Self::Change { policy, terms, revision } => {
                let input = json!({ "accessPolicyId": policy, "terms": terms.input(),
                    "expectedRevision": revision.expected });
                mutation("updateAccessPolicy", one, input)
            }
            Self::Delete { policy, revision } => {
                let input = json!({ "accessPolicyId": policy, "expectedRevision": revision.expected });
                mutation("deleteAccessPolicy", ("deletedId", ""), input)
            }
        }
    }

    /// Shows what was given to a person.
    pub(super) fn show(&self, given: &Value) {
        match self {
            Self::Policies { .. } => policies(items(given)),
            Self::Rights { .. } => rights(given),
            Self::Add { .. } | Self::Change { .. } => policies(std::iter::once(given)),
            Self::Delete { .. } => out("The policy is deleted."),
        }
    }
}

fn data(one: &Value) -> String {
    format!("{} = {}", text(&one["name"]), text(&one["value"]))
}

/// A person by their name, everybody else in words.
fn who(principal: &Value) -> String {
    let name = &principal["user"]["name"];
    text(if name.is_null() { &principal["label"] } else { name })
}

fn policies<'a>(policies: impl Iterator<Item = &'a Value>) {
    let row = |policy: &Value| {
        let operations: Vec<String> = items(&policy["operations"]).map(text).collect();
        let condition = &policy["condition"];
        vec![
            text(&policy["module"]),
            text(&policy["effect"]),
            who(&policy["principal"]),
            operations.join(","),
            if condition.is_null() { "-".to_owned() } else { data(condition) },
            text(&policy["note"]),
            text(&policy["id"]),
            text(&policy["revision"]),
        ]
    };
    let headings = ["MODULE", "EFFECT", "WHO", "OPERATIONS", "ONLY FOR", "NOTE", "ID", "REVISION"];
    table(&headings, policies.map(row).collect(), "There are no access policies.");
}

fn rights(rights: &Value) {
    let row = |right: &Value| {
        let bound = |name: &str| items(&right[name]).map(data).collect::<Vec<String>>().join(", ");
        let verdict = text(&right["verdict"]);
        vec![who(&right["principal"]), text(&right["operation"]), verdict, bound("data"), bound("unless")]
    };
    // Whoever may not is whoever is not listed.
    let shown = items(rights).filter(|right| right["verdict"] != "DENIED");
    table(
        &["WHO", "OPERATION", "MAY", "FOR", "UNLESS"],
        shown.map(row).collect(),
        "Nobody may do anything with it.",
    );
}

//! Parts that are stored as JSON inside a row.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{at, ms};
use crate::domain::attempt::{Phase, PhaseName, PhaseState};
use crate::domain::check::Remedy;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::settings::{Choice, Definition, FieldSchema, Offer};

pub(super) fn remedy_to(remedy: &Remedy) -> Value {
    match remedy {
        Remedy::Call { mutation, variables } => json!({ "call": mutation, "variables": variables }),
        Remedy::Config { setting, value } => json!({ "config": setting, "value": value }),
        Remedy::Human(text) => json!({ "human": text }),
    }
}

pub(super) fn remedy_from(value: &Value) -> Option<Remedy> {
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    if let Some(mutation) = text("call") {
        let variables = serde_json::from_value(value.get("variables")?.clone()).ok()?;
        return Some(Remedy::Call { mutation, variables });
    }
    if let Some(setting) = text("config") {
        return Some(Remedy::Config { setting, value: text("value")? });
    }
    Some(Remedy::Human(text("human")?))
}

pub(super) fn refusal_to(refusal: &Refusal) -> Value {
    json!({
        "code": refusal.code.as_str(),
        "message": refusal.message,
        "field": refusal.field,
        "reason": refusal.reason,
        "remedy": refusal.remedy.as_deref().map(remedy_to),
    })
}

pub(super) fn refusal_from(value: &Value) -> Option<Refusal> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Refusal {
        code: RefusalCode::parse(value.get("code")?.as_str()?)?,
        message: text("message")?,
        field: text("field"),
        reason: text("reason"),
        remedy: value.get("remedy").and_then(remedy_from).map(Box::new),
    })
}

pub(super) fn phases_to(phases: &[Phase]) -> Value {
    let phase = |phase: &Phase| {
        json!({
            "name": phase.name.as_str(),
            "state": phase.state.as_str(),
            "startedAt": phase.started_at.map(ms),
            "finishedAt": phase.finished_at.map(ms),
            "deadline": phase.deadline.map(ms),
            "tries": phase.tries,
            "nextTryAt": phase.next_try_at.map(ms),
            "failure": phase.failure.as_ref().map(refusal_to),
        })
    };
    phases.iter().map(phase).collect()
}

pub(super) fn phases_from(value: &Value) -> Option<Vec<Phase>> {
    let phase = |value: &Value| {
        let time = |name: &str| value.get(name).and_then(Value::as_i64).map(at);
        Some(Phase {
            name: PhaseName::parse(value.get("name")?.as_str()?)?,
            state: PhaseState::parse(value.get("state")?.as_str()?)?,
            started_at: time("startedAt"),
            finished_at: time("finishedAt"),
            deadline: time("deadline"),
            tries: value.get("tries")?.as_i64()?,
            next_try_at: time("nextTryAt"),
            failure: match value.get("failure") {
                None | Some(Value::Null) => None,
                Some(failure) => Some(refusal_from(failure)?),
            },
        })
    };
    let phases: Option<Vec<Phase>> = value.as_array()?.iter().map(phase).collect();
    // All phases, each in its place: anything else is no attempt of ours.
    phases.filter(|phases| phases.iter().map(|phase| &phase.name).eq(PhaseName::ALL))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionJson {
    name: String,
    description: String,
    version: u32,
    fields: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferJson {
    revision: u64,
    record_producers: Vec<DefinitionJson>,
    task_definitions: Vec<DefinitionJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceJson {
    revision: u64,
    active_record_producers: Vec<String>,
    active_task_definitions: Vec<String>,
    auto_activate_record_producers: bool,
    auto_activate_task_definitions: bool,
}

pub(super) fn offer_to(offer: &Offer) -> Value {
    let all = |definitions: &[Definition]| -> Value {
        definitions
            .iter()
            .map(|d| {
                let fields = d.fields.as_str();
                json!({ "name": d.name, "description": d.description, "version": d.version, "fields": fields })
            })
            .collect()
    };
    json!({
        "revision": offer.revision,
        "record_producers": all(&offer.record_producers),
        "task_definitions": all(&offer.task_definitions),
    })
}

pub(super) fn offer_from(value: Value) -> Option<Offer> {
    let json: OfferJson = serde_json::from_value(value).ok()?;
    let all = |definitions: Vec<DefinitionJson>| {
        definitions
            .into_iter()
            .map(|d| Definition {
                name: d.name,
                description: d.description,
                version: d.version,
                fields: FieldSchema::checked(d.fields),
            })
            .collect()
    };
    Some(Offer {
        revision: json.revision,
        record_producers: all(json.record_producers),
        task_definitions: all(json.task_definitions),
    })
}

pub(super) fn choice_to(choice: &Choice) -> Value {
    json!({
        "revision": choice.revision,
        "active_record_producers": choice.active_record_producers,
        "active_task_definitions": choice.active_task_definitions,
        "auto_activate_record_producers": choice.auto_activate_record_producers,
        "auto_activate_task_definitions": choice.auto_activate_task_definitions,
    })
}

pub(super) fn choice_from(value: Value) -> Option<Choice> {
    let json: ChoiceJson = serde_json::from_value(value).ok()?;
    Some(Choice {
        revision: json.revision,
        active_record_producers: json.active_record_producers,
        active_task_definitions: json.active_task_definitions,
        auto_activate_record_producers: json.auto_activate_record_producers,
        auto_activate_task_definitions: json.auto_activate_task_definitions,
    })
}

//! A connection's settings. The provider owns what it offers, the consumer owns what it takes: neither writes
//! the other's part, so a sync never conflicts.

use std::collections::BTreeSet;

use super::person::is_unprintable;
use super::refusal::Refusal;

/// The version of the settings' schema.
pub const SCHEMA: u16 = 1;
/// The highest revision that a peer may name: what JSON numbers and databases hold exactly, and beyond what anybody reaches
/// by saving.
pub const REVISION_LIMIT: u64 = 1 << 53;
/// The most definitions of a kind.
pub const MAX_DEFINITIONS: usize = 500;
/// The most characters of a definition's name.
pub const NAME_LIMIT: usize = 100;
/// The most characters of a definition's description.
pub const DESCRIPTION_LIMIT: usize = 500;
/// The most bytes of a definition's field schema.
pub const FIELD_SCHEMA_LIMIT: usize = 16 * 1024;
/// The most bytes of all that a provider offers, as [`Offer::size`] counts them.
pub const OFFER_LIMIT: usize = 256 * 1024;

words! {
    /// What a definition defines.
    DefinitionKind {
        /// What consumers can send records with.
        RecordProducer = "RECORD_PRODUCER", "Remote record producer";
        /// What tasks can be exchanged.
        TaskDefinition = "TASK_DEFINITION", "Remote task definition";
    }
}

/// The fields of a definition: a JSON Schema in the one spelling that was checked, so that the same text means the
/// same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldSchema(String);

impl FieldSchema {
    /// A schema that was checked and spelled already.
    #[must_use]
    pub const fn checked(text: String) -> Self {
        Self(text)
    }

    /// The schema as JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something the provider offers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition {
    /// Unique among its kind.
    pub name: String,
    /// For people.
    pub description: String,
    /// Grows by one with every change of the fields.
    pub version: u32,
    /// The fields.
    pub fields: FieldSchema,
}

impl Definition {
    /// Looks at the texts; the fields were checked when they were read.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a text that is too long, empty or not printable, and for version 0.
    pub fn check(&self) -> Result<(), Refusal> {
        let length = self.name.chars().count();
        if length == 0 || length > NAME_LIMIT || self.name.chars().any(is_unprintable) {
            let message = format!("A name has 1 to {NAME_LIMIT} printable characters.");
            return Err(Refusal::invalid("name", message));
        }
        let odd = |c: char| c != '\n' && is_unprintable(c);
        if self.description.chars().count() > DESCRIPTION_LIMIT || self.description.chars().any(odd) {
            let message = format!("A description has at most {DESCRIPTION_LIMIT} printable characters.");
            return Err(Refusal::invalid("description", message));
        }
        if self.version == 0 {
            return Err(Refusal::invalid("version", "The first version is 1."));
        }
        Ok(())
    }
}

/// The provider's part: everything it publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Grows by one with every change of what is published.
    pub revision: u64,
    /// What consumers can send records with.
    pub record_producers: Vec<Definition>,
    /// What tasks can be exchanged.
    pub task_definitions: Vec<Definition>,
}

impl Offer {
    /// The definitions of a kind.
    #[must_use]
    pub fn of(&self, kind: DefinitionKind) -> &[Definition] {
        match kind {
            DefinitionKind::RecordProducer => &self.record_producers,
            DefinitionKind::TaskDefinition => &self.task_definitions,
        }
    }

    /// The most bytes that it takes as JSON: names and descriptions may need an escape for each character.
    #[must_use]
    pub fn size(&self) -> usize {
        let of =
            |one: &Definition| 2 * (one.name.len() + one.description.len()) + one.fields.as_str().len() + 64;
        DefinitionKind::ALL.iter().flat_map(|kind| self.of(*kind)).map(of).sum()
    }

    /// Looks at all of it.
    ///
    /// # Errors
    /// `INVALID_INPUT` for too many definitions or too much of them, names that are not unique, and as
    /// [`Definition::check`].
    pub fn check(&self) -> Result<(), Refusal> {
        for kind in DefinitionKind::ALL {
            let definitions = self.of(*kind);
            if definitions.len() > MAX_DEFINITIONS {
                let message = format!("At most {MAX_DEFINITIONS} definitions of a kind can be published.");
                return Err(Refusal::invalid("kind", message).reason("TOO_MANY"));
            }
            let mut seen = BTreeSet::new();
            for definition in definitions {
                definition.check()?;
                if !seen.insert(&definition.name) {
                    return Err(Refusal::invalid("name", "Names are unique among their kind."));
                }
            }
        }
        if self.size() > OFFER_LIMIT {
            let message = format!("All that is published together is at most {} KiB.", OFFER_LIMIT / 1024);
            return Err(Refusal::invalid("fieldSchema", message).reason("TOO_LARGE"));
        }
        Ok(())
    }
}

/// The consumer's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Grows by one with every change.
    pub revision: u64,
    /// Names of the record producers that are active here.
    pub active_record_producers: Vec<String>,
    /// Names of the task definitions that are active here.
    pub active_task_definitions: Vec<String>,
    /// Whether new record producers become active by themselves.
    pub auto_activate_record_producers: bool,
    /// Whether new task definitions become active by themselves.
    pub auto_activate_task_definitions: bool,
}

impl Choice {
    /// Names of the active definitions of a kind.
    #[must_use]
    pub fn active(&self, kind: DefinitionKind) -> &[String] {
        match kind {
            DefinitionKind::RecordProducer => &self.active_record_producers,
            DefinitionKind::TaskDefinition => &self.active_task_definitions,
        }
    }

    /// The same, to change.
    pub fn active_mut(&mut self, kind: DefinitionKind) -> &mut Vec<String> {
        match kind {
            DefinitionKind::RecordProducer => &mut self.active_record_producers,
            DefinitionKind::TaskDefinition => &mut self.active_task_definitions,
        }
    }

    /// Whether new definitions of a kind become active by themselves.
    #[must_use]
    pub const fn auto_activates(&self, kind: DefinitionKind) -> bool {
        match kind {
            DefinitionKind::RecordProducer => self.auto_activate_record_producers,
            DefinitionKind::TaskDefinition => self.auto_activate_task_definitions,
        }
    }

    /// Whether the peer can have meant this: names that a provider could offer, each once.
    ///
    /// # Errors
    /// `INVALID_INPUT` for too many or too long names, for a name that comes twice, and beyond [`REVISION_LIMIT`].
    pub fn check(&self) -> Result<(), Refusal> {
        if self.revision > REVISION_LIMIT {
            return Err(Refusal::invalid("revision", "No settings have this revision."));
        }
        for kind in DefinitionKind::ALL {
            let names = self.active(*kind);
            let unique: BTreeSet<_> = names.iter().collect();
            let long = names.iter().any(|name| name.chars().count() > NAME_LIMIT);
            if names.len() > MAX_DEFINITIONS || unique.len() != names.len() || long {
                return Err(Refusal::invalid("active", "Too many or too long names, or one of them twice."));
            }
        }
        Ok(())
    }

    /// Whether two choices are the same but for their revisions.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { revision: other.revision, ..self.clone() } == *other
    }
}

/// Both parts, as both sides must hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the provider offers.
    pub offer: Offer,
    /// What the consumer takes.
    pub choice: Choice,
}

impl Settings {
    /// The parts over which both sides compute the digest they compare, in a fixed order.
    #[must_use]
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![
            b"kx1 settings".to_vec(),
            SCHEMA.to_le_bytes().to_vec(),
            self.offer.revision.to_le_bytes().to_vec(),
            self.choice.revision.to_le_bytes().to_vec(),
        ];
        for kind in DefinitionKind::ALL {
            let mut definitions: Vec<_> = self.offer.of(*kind).iter().collect();
            definitions.sort();
            parts.push((definitions.len() as u64).to_le_bytes().to_vec());
            for definition in definitions {
                parts.push(definition.name.clone().into_bytes());
                parts.push(definition.description.clone().into_bytes());
                parts.push(definition.version.to_le_bytes().to_vec());
                parts.push(definition.fields.as_str().as_bytes().to_vec());
            }
        }
        for kind in DefinitionKind::ALL {
            let mut names: Vec<_> = self.choice.active(*kind).iter().collect();
            names.sort();
            parts.push((names.len() as u64).to_le_bytes().to_vec());
            parts.extend(names.into_iter().map(|name| name.clone().into_bytes()));
        }
        parts.push(
            DefinitionKind::ALL.iter().map(|kind| u8::from(self.choice.auto_activates(*kind))).collect(),
        );
        parts
    }

    /// Takes over what the provider offers now. What is offered no more is no longer active; what is new becomes
    /// active where the consumer said so. What a person switched off stays off.
    pub fn take_offer(&mut self, offer: Offer) {
        let before = self.choice.clone();
        for kind in DefinitionKind::ALL {
            let offered = |offer: &Offer, name: &str| offer.of(*kind).iter().any(|one| one.name == name);
            let auto = self.choice.auto_activates(*kind);
            let fresh = offer.of(*kind).iter().filter(|one| auto && !offered(&self.offer, &one.name));
            let fresh: Vec<String> = fresh.map(|one| one.name.clone()).collect();
            let active = self.choice.active_mut(*kind);
            active.retain(|name| offered(&offer, name));
            active.extend(fresh);
        }
        if self.choice != before {
            self.choice.revision += 1;
        }
        self.offer = offer;
    }

    /// What is different in `after`: the consumer's part.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for kind in DefinitionKind::ALL {
            let field = match kind {
                DefinitionKind::RecordProducer => "RecordProducers",
                DefinitionKind::TaskDefinition => "TaskDefinitions",
            };
            let auto = |settings: &Self| Some(settings.choice.auto_activates(*kind).to_string());
            found.extend(Difference::of(format!("autoActivate{field}"), auto(self), auto(after)));
            let mut names: BTreeSet<&String> = self.choice.active(*kind).iter().collect();
            names.extend(after.choice.active(*kind));
            for name in names {
                let is = |settings: &Self| Some(settings.choice.active(*kind).contains(name).to_string());
                found.extend(Difference::of(format!("active{field}[{name:?}]"), is(self), is(after)));
            }
        }
        found
    }
}

/// One field that saving would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, as the schema calls it.
    pub field: String,
    /// What it holds; none where there is nothing yet.
    pub before: Option<String>,
    /// What it would hold; none where nothing would be left.
    pub after: Option<String>,
}

impl Difference {
    fn of(field: String, before: Option<String>, after: Option<String>) -> Option<Self> {
        (before != after).then_some(Self { field, before, after })
    }

    /// What is different between two versions of a definition; none is one that is not published.
    #[must_use]
    pub fn between(before: Option<&Definition>, after: Option<&Definition>) -> Vec<Self> {
        type Text = fn(&Definition) -> String;
        let fields: [(&str, Text); 4] = [
            ("name", |one| one.name.clone()),
            ("description", |one| one.description.clone()),
            ("version", |one| one.version.to_string()),
            ("fieldSchema", |one| one.fields.as_str().to_owned()),
        ];
        let text =
            |(field, text): (&str, Text)| Self::of(field.to_owned(), before.map(text), after.map(text));
        fields.into_iter().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str) -> Definition {
        let fields = FieldSchema::checked("{}".to_owned());
        Definition { name: name.to_owned(), description: String::new(), version: 1, fields }
    }

    fn offer(revision: u64, names: &[&str]) -> Offer {
        let record_producers = names.iter().map(|name| definition(name)).collect();
        Offer { revision, record_producers, task_definitions: Vec::new() }
    }

    #[test]
    fn only_what_is_new_becomes_active_by_itself() {
        let mut settings = Settings::default();
        settings.choice.auto_activate_record_producers = true;
        settings.take_offer(offer(1, &["a", "b"]));
        assert_eq!(settings.choice.active_record_producers, ["a", "b"]);
        settings.choice.active_record_producers.retain(|name| name == "b");
        settings.take_offer(offer(2, &["a", "b", "c"]));
        assert_eq!(settings.choice.active_record_producers, ["b", "c"], "a was switched off by a person");
        settings.take_offer(offer(3, &["c"]));
        assert_eq!(settings.choice.active_record_producers, ["c"], "b is offered no more");
    }

    #[test]
    fn the_choice_gets_a_revision_when_an_offer_changes_it() {
        let mut settings = Settings::default();
        settings.take_offer(offer(1, &["a"]));
        assert_eq!(settings.choice.revision, 0);
        settings.choice.active_record_producers.push("a".to_owned());
        settings.take_offer(offer(2, &[]));
        assert_eq!(settings.choice.revision, 1);
    }

    #[test]
    fn every_field_of_the_settings_is_in_the_digest() {
        let mut whole = Settings::default();
        whole.take_offer(offer(1, &["a"]));
        let changes: [fn(&mut Settings); 9] = [
            |s| s.offer.revision += 1,
            |s| s.offer.record_producers[0].name.push('x'),
            |s| s.offer.record_producers[0].description.push('x'),
            |s| s.offer.record_producers[0].version += 1,
            |s| s.offer.record_producers[0].fields = FieldSchema::checked("[]".to_owned()),
            |s| s.offer.task_definitions.push(definition("t")),
            |s| s.choice.revision += 1,
            |s| s.choice.active_task_definitions.push("t".to_owned()),
            |s| s.choice.auto_activate_record_producers = true,
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let mut other = whole.clone();
            change(&mut other);
            assert_ne!(other.parts(), whole.parts(), "change {place}");
        }
    }

    #[test]
    fn an_offer_beyond_its_limits_is_refused() {
        let names: Vec<String> = (0..=MAX_DEFINITIONS).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(offer(1, &names[..MAX_DEFINITIONS]).check().is_ok());
        assert_eq!(offer(1, &names).check().unwrap_err().reason.as_deref(), Some("TOO_MANY"));
        assert!(offer(1, &["a", "a"]).check().is_err());
        let mut large = offer(1, &names[..20]);
        for one in &mut large.record_producers {
            one.fields = FieldSchema::checked("x".repeat(FIELD_SCHEMA_LIMIT));
        }
        assert_eq!(large.check().unwrap_err().reason.as_deref(), Some("TOO_LARGE"));
    }
}

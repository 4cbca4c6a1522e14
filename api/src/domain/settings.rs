//! A connection's settings. The provider owns what it offers, the consumer owns what it takes: neither writes
//! the other's part, so a sync never conflicts.

/// The version of the settings' schema.
pub const SCHEMA: u16 = 1;
/// The most definitions of a kind.
pub const MAX_DEFINITIONS: usize = 500;

/// Something the provider offers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition {
    /// Unique among its kind.
    pub name: String,
    /// For people.
    pub description: String,
    /// Grows with every change of meaning.
    pub version: u32,
}

/// The provider's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Grows by one with every change.
    pub revision: u64,
    /// What consumers can send records with.
    pub record_producers: Vec<Definition>,
    /// What tasks can be exchanged.
    pub task_definitions: Vec<Definition>,
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
        for definitions in [&self.offer.record_producers, &self.offer.task_definitions] {
            let mut definitions: Vec<_> = definitions.iter().collect();
            definitions.sort();
            parts.push((definitions.len() as u64).to_le_bytes().to_vec());
            for definition in definitions {
                parts.push(definition.name.clone().into_bytes());
                parts.push(definition.description.clone().into_bytes());
                parts.push(definition.version.to_le_bytes().to_vec());
            }
        }
        for names in [&self.choice.active_record_producers, &self.choice.active_task_definitions] {
            let mut names: Vec<_> = names.iter().collect();
            names.sort();
            parts.push((names.len() as u64).to_le_bytes().to_vec());
            parts.extend(names.into_iter().map(|name| name.clone().into_bytes()));
        }
        parts.push(vec![
            u8::from(self.choice.auto_activate_record_producers),
            u8::from(self.choice.auto_activate_task_definitions),
        ]);
        parts
    }

    /// Takes over what auto-activation says for definitions that are new.
    pub fn auto_activate(&mut self) {
        let add = |on: bool, names: &mut Vec<String>, offered: &[Definition]| {
            names.retain(|name| offered.iter().any(|definition| definition.name == *name));
            if on {
                let missing: Vec<_> =
                    offered.iter().map(|d| d.name.clone()).filter(|name| !names.contains(name)).collect();
                names.extend(missing);
            }
        };
        let choice = &mut self.choice;
        add(
            choice.auto_activate_record_producers,
            &mut choice.active_record_producers,
            &self.offer.record_producers,
        );
        add(
            choice.auto_activate_task_definitions,
            &mut choice.active_task_definitions,
            &self.offer.task_definitions,
        );
    }
}

//! Breaks checks and parts of the key service from inside, by name.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use keyservice::{Entropy, SystemEntropy};
use linkspan::domain::check::CheckCode;
use linkspan::world::Interruption;

/// What is broken just now.
#[derive(Default)]
pub(crate) struct Saboteur(Mutex<Broken>);

#[derive(Default)]
struct Broken {
    hanging: BTreeSet<String>,
    throwing: BTreeSet<String>,
    parts: BTreeSet<String>,
}

impl Saboteur {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The check does not come to an end.
    pub(crate) fn hang(&self, check: &str) {
        self.0.lock().unwrap().hanging.insert(check.to_owned());
    }

    /// The check breaks off.
    pub(crate) fn throw(&self, check: &str) {
        self.0.lock().unwrap().throwing.insert(check.to_owned());
    }

    /// No check comes to an end.
    pub(crate) fn hang_all(&self) {
        CheckCode::ALL.iter().for_each(|code| self.hang(code.as_str()));
    }

    /// Every check breaks off.
    pub(crate) fn throw_all(&self) {
        CheckCode::ALL.iter().for_each(|code| self.throw(code.as_str()));
    }

    /// The part of the key service does not work: for those that nothing outside the program can break.
    pub(crate) fn break_part(&self, part: &str) {
        self.0.lock().unwrap().parts.insert(part.to_owned());
    }

    /// Everything works again.
    pub(crate) fn mend(&self) {
        *self.0.lock().unwrap() = Broken::default();
    }
}

impl Interruption for Saboteur {
    fn dies(&self, _: &'static str, _: bool) -> bool {
        false
    }

    fn hangs(&self, check: &'static str) -> bool {
        let broken = self.0.lock().unwrap();
        let throws = broken.throwing.contains(check);
        let hangs = broken.hanging.contains(check);
        drop(broken);
        if throws {
            std::panic::resume_unwind(Box::new("broken by the test"))
        }
        hangs
    }

    fn breaks(&self, part: &'static str) -> bool {
        self.0.lock().unwrap().parts.contains(part)
    }
}

/// Chance that can run dry: keys of 32 bytes are all the same then, and everything else goes on.
#[derive(Default)]
pub(crate) struct Well(Mutex<bool>);

impl Well {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn dry(&self, dry: bool) {
        *self.0.lock().unwrap() = dry;
    }
}

impl Entropy for Well {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), keyservice::Error> {
        if *self.0.lock().unwrap() && bytes.len() == 32 {
            bytes.fill(7);
            return Ok(());
        }
        SystemEntropy.fill(bytes)
    }
}

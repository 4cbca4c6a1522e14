//! The use of keys by the parts of this program: the one place where the access policies decide about it, and where it
//! is entered into the audit trail.
//!
//! A connection alone uses its key many times a minute, each time within the deadline of a probe; an entry for each would
//! make the trail most of what the database holds, and the slowest part of every message. So the parts of this program use
//! keys in *windows* of a minute. An entry is committed first: from now on, under these revisions of the policies. Every
//! use that the policies allow is then counted in memory, by the key and its version, and is on record with the next
//! window or when the program stops. Without a committed entry no key is used; and once the database did not take an
//! entry, of whatever, no key is used until it takes the next. What a process that is killed counted in its last minute
//! is lost; that keys could be used then is on record. A use that must have an entry of its own, of a key that is
//! revoked or compromised, does not go by here at all.
//!
//! A denial has an entry of its own and is kept with its trace, once for the same use in the same window.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use keyservice::module::{BuiltIn, SealedModule};
use keyservice::policy::{self, Context, DefaultDecision, Effective, effective};
use keyservice::{Component, ComponentKind, HealthStatus, Principal, Right, Service};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Kept, Keys, needed};
use crate::actions::key_policy::kept_decision;
use crate::actions::key_rights::denied;
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::requester::Requester;
use crate::store::{Cause, DecisionRecord, Store, StoreError};
use crate::vault::VaultError;
use crate::world::World;

/// How long uses are counted under one entry.
const LASTS: TimeDelta = TimeDelta::minutes(1);
/// How much longer keys may be used while the database does not answer at all: what began in the window goes on, and peers
/// hear what it is that does not work. A database that answers that it takes no entry has no such time.
const GRACE: TimeDelta = TimeDelta::seconds(30);
/// How long one entry counts while keys do nothing but sign the trail itself: else each entry would bring about the next.
const QUIET: TimeDelta = TimeDelta::minutes(15);
/// The most keys in one entry about their use; more of them are in the entries behind it.
const KEYS_AN_ENTRY: usize = 200;
/// How soon policies count here that another node changed.
const READ_EVERY: TimeDelta = TimeDelta::seconds(10);
/// The most decisions about single connections that are remembered in a window.
const REMEMBERED_MAX: usize = 20_000;
/// The most denials that wait to be written down. More of them are denied all the same.
const DENIALS_MAX: usize = 200;

/// The name of the associated data that says which connection a use is for.
pub(in crate::actions) const LINK: &str = "link_id";

/// What a part of this program does with a module.
type Doing = (BuiltIn, Right, Service);
/// Which version of which key, in whose hands.
type Used = (String, u64, Service);
/// How often a key was used, for each operation.
type Uses = BTreeMap<Used, BTreeMap<&'static str, u64>>;

/// Decides, counts and records.
pub(super) struct Window {
    store: Store,
    world: World,
    /// Tells the windows of several nodes and of several runs apart.
    process: Uuid,
    state: Mutex<State>,
    /// Held while a window is opened, so that one is.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Since when keys may be used under a committed entry.
    opened: Option<Timestamp>,
    /// When that entry was made, and what it said of the policies.
    entered: Option<(Timestamp, Map<String, Value>)>,
    /// How many entries had been lost by then.
    lost: u64,
    /// Since when the uses are counted.
    since: Option<Timestamp>,
    /// Why the last try to open a window, or to read the policies, failed.
    failed: Option<VaultError>,
    /// When the modules were read, and how often this process had changed them by then.
    read: Option<(Timestamp, u64)>,
    modules: HashMap<BuiltIn, Module>,
    /// What was decided whatever the connection.
    decided: HashMap<Doing, Kept<()>>,
    /// What was decided about single connections.
    bound: HashMap<(Doing, String), Kept<()>>,
    uses: Uses,
    denials: Vec<DecisionRecord>,
}

/// A module, or why its row cannot be believed.
type Module = Kept<SealedModule>;

impl Window {
    pub(super) fn new(store: Store, world: World) -> Result<Self, keyservice::Error> {
        let process = world.uuid()?;
        Ok(Self { store, world, process, state: Mutex::default(), opening: tokio::sync::Mutex::default() })
    }

    /// The state; the window is over if an entry was lost since it was opened.
    fn lock(&self) -> MutexGuard<'_, State> {
        let lost = self.store.lost_entries();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.opened.is_some() && state.lost != lost {
            (state.opened, state.failed) = (None, Some(VaultError::Unrecorded));
        }
        state
    }

    /// Counts one use of a key.
    pub(super) fn count(&self, (key, version): (&str, u64), right: Right, service: Service) {
        let used = (key.to_owned(), version, service);
        *self.lock().uses.entry(used).or_default().entry(right.as_str()).or_default() += 1;
    }

    /// Decides one use. While a window is open this asks memory only, so that it can be called within a transaction.
    pub(super) async fn permit(
        &self,
        keys: &Keys,
        doing: Doing,
        link: Option<&str>,
        now: Timestamp,
    ) -> Kept<()> {
        if !self.lock().is_usable(now) {
            // Whoever has begun a transaction has tried already.
            let failed = self.lock().failed.clone();
            if let Some(failed) = failed {
                return Err(failed);
            }
            self.ready(keys).await?;
        }
        let changes = self.store.module_changes();
        if self.lock().read.is_none_or(|(_, known)| known != changes) {
            self.read(keys, now).await?;
        }
        let mut state = self.lock();
        let known = match link.filter(|_| state.has_conditions(doing.0)) {
            Some(link) => state.bound.get(&(doing, link.to_owned())),
            None => state.decided.get(&doing),
        };
        match known {
            Some(decided) => decided.clone(),
            None => state.decide(self.world.uuid()?, doing, link, now),
        }
    }

    /// Whether the next try to prepare the use of keys may mend what the last one did not.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed.is_some()
    }

    /// Puts what was counted on record before the program stops. No key is used behind it without another entry.
    pub(super) async fn finish(&self) -> Kept<()> {
        let _one = self.opening.lock().await;
        let uses = {
            let mut state = self.lock();
            state.opened = None;
            state.uses.clone()
        };
        if uses.is_empty() {
            return Ok(());
        }
        let used = self.lock().said_of(&uses);
        self.write(self.world.now(), None, used, Vec::new()).await.map_err(unrecorded)?;
        self.lock().written(&uses, 0);
        Ok(())
    }

    /// Opens the next window when it is time, reads the policies again, and writes denials down. Called where no
    /// transaction is open; most of the time it asks memory only.
    pub(super) async fn ready(&self, keys: &Keys) -> Kept<()> {
        if self.is_ready(self.world.now()) {
            return Ok(());
        }
        let done = {
            let _one = self.opening.lock().await;
            let now = self.world.now();
            if self.is_ready(now) { Ok(()) } else { self.turn(keys, now).await }
        };
        let mut state = self.lock();
        if let Err(error) = &done
            && state.failed.is_none()
        {
            tracing::error!(error = causes(&error), "the next use of keys cannot be prepared");
        }
        state.failed = done.clone().err();
        done
    }

    fn is_ready(&self, now: Timestamp) -> bool {
        let changes = self.store.module_changes();
        let state = self.lock();
        let within = |since: Timestamp, lasts| now < since + lasts && now + GRACE >= since;
        state.opened.is_some_and(|since| within(since, LASTS))
            && state.read.is_some_and(|(since, known)| within(since, READ_EVERY) && known == changes)
            && state.denials.is_empty()
            && state.failed.is_none()
    }

    /// Reads the policies. Those that were in force stay in memory until then.
    async fn read(&self, keys: &Keys, now: Timestamp) -> Kept<()> {
        let changes = self.store.module_changes();
        // Another node may have rotated what is above all keys, or one of the instance's own. Whoever uses them finds
        // out, too; so this need not succeed.
        match keys.vault.catch_up().await {
            Ok(_) => {
                let _ = keys.reload().await;
            }
            Err(error) => {
                tracing::warn!(error = causes(&error), "the key hierarchy on record is not in use here");
            }
        }
        let mut modules = HashMap::new();
        for module in self.store.modules().await.map_err(unrecorded)? {
            let Some(name) = module.built_in() else { continue };
            let believed = match keys.check_module(&module).await {
                Err(unavailable @ VaultError::Unavailable(_)) => return Err(unavailable),
                checked => checked.map(|()| module),
            };
            modules.insert(name, believed);
        }
        let mut state = self.lock();
        if modules != state.modules {
            state.forget();
        }
        state.modules = modules;
        state.read = Some((now, changes));
        Ok(())
    }

    async fn turn(&self, keys: &Keys, now: Timestamp) -> Kept<()> {
        self.read(keys, now).await?;
        // What is lost from here on shuts what is opened here.
        let lost = self.store.lost_entries();
        // Whoever asks may go away in the middle: what is written is forgotten once it is.
        let (entry, used, uses, denials) = {
            let mut state = self.lock();
            let opens = state.opened.is_none_or(|opened| now >= opened + LASTS || now + GRACE < opened);
            let revisions = state.revisions();
            let quiet = opens && state.is_quiet(&revisions, now);
            if quiet {
                state.opened = Some(now);
            }
            let opens = opens && !quiet;
            let uses = if opens { state.uses.clone() } else { Uses::new() };
            (opens.then_some(revisions), state.said_of(&uses), uses, state.denials.clone())
        };
        if entry.is_none() && denials.is_empty() {
            return Ok(());
        }
        let count = denials.len();
        self.write(now, entry.clone(), used, denials).await.map_err(unrecorded)?;
        let mut state = self.lock();
        state.written(&uses, count);
        if let Some(revisions) = entry {
            state.forget();
            (state.opened, state.since, state.lost) = (Some(now), Some(now), lost);
            state.entered = Some((now, revisions));
        }
        Ok(())
    }

    /// Writes what was used, what is denied, and under which policies keys are used from now on, as far as there is any
    /// of it.
    async fn write(
        &self,
        now: Timestamp,
        revisions: Option<Map<String, Value>>,
        used: Vec<Value>,
        denials: Vec<DecisionRecord>,
    ) -> Result<(), StoreError> {
        let cause = Cause { requester: Requester::System, trace: self.world.trace()?, now, once: None };
        let mut tx = self.store.begin("key.window", &cause).await?;
        for used in used {
            tx.audit("key.used", "PROCESS", self.process, "OK", used);
        }
        if let Some(revisions) = revisions {
            let details = json!({ "seconds": LASTS.num_seconds(), "revisions": revisions });
            tx.audit("key.window", "PROCESS", self.process, "OK", details);
        }
        for denial in &denials {
            let details = json!({ "module": denial.module, "operation": denial.operation,
                "principal": denial.principal, "context": denial.context });
            tx.audit("key.denied", "DECISION", denial.id, "POLICY_DENIED", details);
        }
        tx.keep_decisions(denials).await?;
        tx.commit().await
    }

    /// The component of the health report that says so, while the trail takes no entries.
    pub(super) fn stopped(&self, now: Timestamp) -> Option<Component> {
        let stopped = {
            let state = self.lock();
            state.failed == Some(VaultError::Unrecorded) && !state.is_usable(now)
        };
        stopped.then(|| Component {
            component: ComponentKind::AuditChain,
            module: None,
            critical: ComponentKind::AuditChain.is_critical(),
            status: HealthStatus::Malfunction,
            code: "UNRECORDED",
            message: "The audit trail takes no entries, so no keys are used.".to_owned(),
            remedy: Some("look at the database; it goes on by itself when the trail takes entries again"),
            measured_at: now.timestamp_millis(),
            took_micros: 0,
        })
    }

    /// What parts of this program need and the policies do not usually allow: the first that is found.
    pub(super) fn lacking(&self) -> Option<(BuiltIn, Right, Service)> {
        let state = self.lock();
        BuiltIn::ALL.iter().copied().find_map(|module| {
            let needs = needed(module).iter();
            let mut each = needs.flat_map(|(service, rights)| rights.iter().map(|right| (*right, *service)));
            let (right, service) = each.find(|(right, service)| !state.usually(module, *right, *service))?;
            Some((module, right, service))
        })
    }
}

/// No entry, no use.
pub(in crate::actions) fn unrecorded(error: StoreError) -> VaultError {
    tracing::warn!(error = causes(&error), "the audit trail took no entry about the use of keys");
    VaultError::Unrecorded
}

impl State {
    fn is_usable(&self, now: Timestamp) -> bool {
        self.opened.is_some_and(|opened| now < opened + LASTS + GRACE)
    }

    /// Decides everything anew.
    fn forget(&mut self) {
        self.decided.clear();
        self.bound.clear();
    }

    /// Under which policies keys are used.
    fn revisions(&self) -> Map<String, Value> {
        BuiltIn::ALL
            .iter()
            .filter_map(|name| Some((name, self.modules.get(name)?.as_ref().ok()?)))
            .map(|(name, module)| (name.to_string(), module.state_seq.into()))
            .collect()
    }

    /// Whether the last entry still says all that there is to say: nothing changed, and at most the trail was signed.
    fn is_quiet(&self, revisions: &Map<String, Value>, now: Timestamp) -> bool {
        let said = |(at, known): &(Timestamp, Map<String, Value>)| {
            known == revisions && (*at..*at + QUIET).contains(&now)
        };
        self.opened.is_some()
            && self.entered.as_ref().is_some_and(said)
            && self.uses.keys().all(|(_, _, service)| *service == Service::Audit)
    }

    /// What the entries about the use of keys say: how often each was used, by whom and for what.
    fn said_of(&self, uses: &Uses) -> Vec<Value> {
        let one = |((key, version, service), counts): (&Used, &BTreeMap<&str, u64>)| json!({ "key": format!("{key}@{version}"), "service": service.as_str(), "counts": counts });
        let all: Vec<Value> = uses.iter().map(one).collect();
        let since = self.since.map(|since| since.timestamp_millis());
        all.chunks(KEYS_AN_ENTRY).map(|uses| json!({ "since": since, "uses": uses })).collect()
    }

    /// Forgets what is on record: these uses, and as many of the denials. What came meanwhile stays.
    fn written(&mut self, uses: &Uses, denials: usize) {
        self.denials.drain(..denials.min(self.denials.len()));
        for (used, counts) in uses {
            let Some(known) = self.uses.get_mut(used) else { continue };
            for (operation, count) in counts {
                if let Some(left) = known.get_mut(operation) {
                    *left = left.saturating_sub(*count);
                }
            }
            known.retain(|_, left| *left > 0);
        }
        self.uses.retain(|_, counts| !counts.is_empty());
    }

    fn has_conditions(&self, module: BuiltIn) -> bool {
        let known = self.modules.get(&module).and_then(|known| known.as_ref().ok());
        known.is_some_and(|known| known.policies.iter().any(|policy| policy.condition.is_some()))
    }

    fn decide(&mut self, id: Uuid, doing: Doing, link: Option<&str>, now: Timestamp) -> Kept<()> {
        let (name, right, service) = doing;
        let principal = Principal::Service(service);
        let context = link.map_or_else(Context::nothing, |link| Context::nothing().with(LINK, link));
        let decision = match self.modules.get(&name) {
            Some(Err(tampered)) => return Err(tampered.clone()),
            Some(Ok(module)) => {
                let default = module.specification.default_decision;
                policy::decide(id.into_bytes(), &module.policies, default, &principal, right, &context)
            }
            None => {
                let default = DefaultDecision::Reject;
                policy::decide(id.into_bytes(), &[], default, &principal, right, &context)
            }
        };
        let decided = if decision.allowed {
            Ok(())
        } else {
            tracing::warn!(module = %name, operation = %right, %service, decision = %id, "denied by policy");
            if self.denials.len() < DENIALS_MAX {
                let denial = kept_decision(&decision, name.as_str(), &principal, right, &context, now);
                self.denials.push(denial);
            }
            Err(denied(name.as_str(), &principal, right, &decision))
        };
        match link.filter(|_| self.has_conditions(name)) {
            None => {
                self.decided.insert(doing, decided.clone());
            }
            Some(link) => {
                if self.bound.len() >= REMEMBERED_MAX {
                    self.bound.clear();
                }
                self.bound.insert((doing, link.to_owned()), decided.clone());
            }
        }
        decided
    }

    /// Whether it is allowed for connections that no policy names. Of the other modules' keys, no use says what data it is
    /// for, and what is not said escapes no rejection.
    fn usually(&self, module: BuiltIn, right: Right, service: Service) -> bool {
        let Some(Ok(known)) = self.modules.get(&module) else { return false };
        let default = known.specification.default_decision;
        if module != BuiltIn::Links {
            let (principal, nothing) = (Principal::Service(service), Context::nothing());
            return policy::decide([0; 16], &known.policies, default, &principal, right, &nothing).allowed;
        }
        match effective(&known.policies, default, &Principal::Service(service), right) {
            Effective::Allowed => true,
            Effective::Conditional { otherwise, .. } => otherwise,
            Effective::Denied => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_while_the_entry_is_written_is_for_the_next_one() {
        let count = |state: &mut State, key: &str, operation: &'static str| {
            let used = (key.to_owned(), 1, Service::Peer);
            *state.uses.entry(used).or_default().entry(operation).or_default() += 1;
        };
        let mut state = State::default();
        count(&mut state, "links/a", "SEAL");
        count(&mut state, "links/b", "OPEN");
        let written = state.uses.clone();
        count(&mut state, "links/a", "SEAL");
        count(&mut state, "links/a", "OPEN");
        state.written(&written, 0);
        let left: Vec<_> =
            state.uses.iter().map(|((key, ..), counts)| (key.as_str(), counts.clone())).collect();
        assert_eq!(left, [("links/a", BTreeMap::from([("OPEN", 1), ("SEAL", 1)]))]);
    }

    #[test]
    fn many_keys_are_in_several_entries() {
        let uses: Uses = (0..=KEYS_AN_ENTRY)
            .map(|n| ((format!("links/{n}"), 1, Service::Peer), BTreeMap::from([("SEAL", 1)])))
            .collect();
        let said = State::default().said_of(&uses);
        let keys = |entry: &Value| entry["uses"].as_array().map_or(0, Vec::len);
        assert_eq!(said.iter().map(keys).collect::<Vec<_>>(), [KEYS_AN_ENTRY, 1]);
    }
}

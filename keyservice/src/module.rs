//! Modules: a purpose with one algorithm, whose keys are versions, and the policies that say who may use them.
//!
//! A module begins as a draft. Published, its keys can be made and used; then only its policies and its rotation period
//! change, and it is never deleted. As a key is, it is stored by others under a row seal.

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::key::{PortablePurpose, Purpose, SealedKey};
use crate::pae::hash;
use crate::policy::{self, AccessPolicy, DefaultDecision, MAX_POLICIES};
use crate::ports::Millis;
use crate::service::KeyService;

/// The shortest rotation period and key lifetime, in milliseconds: one hour.
pub const SHORTEST_PERIOD: Millis = 60 * 60 * 1000;
/// The longest rotation period and key lifetime, in milliseconds: ten years of 365 days.
pub const LONGEST_PERIOD: Millis = 10 * 365 * 24 * SHORTEST_PERIOD;
/// The longest name of a module that a manager makes, in characters.
pub const MAX_NAME: usize = 64;

const MODULE: &str = "module";

names! {
    /// Where a module is in its life.
    ModuleState, "module state" {
        /// Its specification can change, it has no keys.
        Draft = "DRAFT";
        /// Its keys can be made and used; its specification is fixed.
        Published = "PUBLISHED";
    }
}

names! {
    /// The modules that every instance has.
    BuiltIn, "built-in module" {
        /// The identity of the instance.
        Identity = "identity";
        /// Tokens of its own.
        Tokens = "tokens";
        /// Checkpoints of the audit trail.
        Audit = "audit";
        /// The traffic of its connections. Each connection has its own keys, in `links/` and its id.
        Links = "links";
        /// Its secrets at rest.
        Data = "data";
    }
}

impl BuiltIn {
    /// What its keys are for.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Identity => Purpose::IdentitySigning,
            Self::Tokens => Purpose::TokenSigning,
            Self::Audit => Purpose::AuditSigning,
            Self::Links => Purpose::LinkTraffic,
            Self::Data => Purpose::DataEncryption,
        }
    }
}

/// What holds for all keys of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specification {
    /// Whether a key may leave, wrapped, when a second person agrees.
    pub exportable: bool,
    /// How long after its activation a key is due for rotation, in milliseconds; none leaves it to people.
    pub rotation_period: Option<Millis>,
    /// How long after it was made a key stops sealing and signing, in milliseconds; none never.
    pub key_lifetime: Option<Millis>,
    /// What happens when no access policy applies.
    pub default_decision: DefaultDecision,
}

impl Specification {
    /// Not exportable, no dates, rejecting.
    pub const STRICT: Self = Self {
        exportable: false,
        rotation_period: None,
        key_lifetime: None,
        default_decision: DefaultDecision::Reject,
    };

    fn check(&self) -> Result<(), Error> {
        for (what, period) in [("rotation period", self.rotation_period), ("key lifetime", self.key_lifetime)]
        {
            if period.is_some_and(|period| !(SHORTEST_PERIOD..=LONGEST_PERIOD).contains(&period)) {
                let why = "it is between one hour and ten years";
                return Err(Error::SpecificationRefused { what, why });
            }
        }
        if let (Some(rotation), Some(lifetime)) = (self.rotation_period, self.key_lifetime)
            && rotation > lifetime
        {
            let why = "a key would expire before it is rotated";
            return Err(Error::SpecificationRefused { what: "rotation period", why });
        }
        Ok(())
    }
}

/// A wish for a new module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSpec {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// Its name: 1 to [`MAX_NAME`] of `a` to `z`, `0` to `9` and `-`, beginning with a letter.
    pub name: String,
    /// What its keys are for. The purposes of the built-in modules cannot be asked for.
    pub purpose: PortablePurpose,
    /// One of the algorithms of the purpose.
    pub algorithm: Algorithm,
    /// What holds for its keys.
    pub specification: Specification,
}

/// What can be changed about a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleChange {
    /// Another specification; for drafts.
    Specify(Specification),
    /// Another rotation period; always.
    Schedule(Option<Millis>),
    /// Other access policies, all of them; always.
    Govern(Vec<AccessPolicy>),
    /// Fixes the specification and opens it for keys; for drafts.
    Publish,
}

/// A module as it is stored. Only the [`KeyService`] that made it can use or change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedModule {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// Its name, unique in the instance.
    pub name: String,
    /// What its keys are for.
    pub purpose: Purpose,
    /// The algorithm of its keys.
    pub algorithm: Algorithm,
    /// What holds for its keys.
    pub specification: Specification,
    /// Where it is in its life.
    pub state: ModuleState,
    /// Counts its changes from 0; must agree with the audit trail, which exposes a restored old row.
    pub state_seq: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When it was published.
    pub published_at: Option<Millis>,
    /// Who may do what with its keys; their order has no meaning.
    pub policies: Vec<AccessPolicy>,
    /// HMAC under the integrity key over everything above.
    pub row_seal: [u8; 32],
}

impl SealedModule {
    /// Whether the key is one of this module, by its name, purpose and algorithm.
    pub fn owns(&self, key: &SealedKey) -> bool {
        let named = match self.purpose {
            Purpose::LinkTraffic => {
                key.module.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with('/'))
            }
            _ => key.module == self.name,
        };
        named && key.purpose == self.purpose && key.algorithm == self.algorithm
    }

    /// Whether no part of it is longer than this service ever makes it, as with
    /// [`SealedKey::has_possible_size`].
    pub fn has_possible_size(&self) -> bool {
        self.name.len() <= MAX_NAME && check_policies(&self.policies).is_ok()
    }

    /// Which built-in module it is, if it is one.
    pub fn built_in(&self) -> Option<BuiltIn> {
        BuiltIn::ALL.iter().copied().find(|known| known.as_str() == self.name)
    }

    /// What the row seal authenticates: everything but itself.
    fn row_context(&self, instance: &[u8; 16]) -> [u8; 32] {
        let optional = |at: Option<Millis>| at.map(|at| at.to_le_bytes().to_vec()).unwrap_or_default();
        hash(&[
            b"ks1 module",
            instance,
            &self.id,
            self.name.as_bytes(),
            self.purpose.as_str().as_bytes(),
            self.algorithm.as_str().as_bytes(),
            &[u8::from(self.specification.exportable)],
            &optional(self.specification.rotation_period),
            &optional(self.specification.key_lifetime),
            self.specification.default_decision.as_str().as_bytes(),
            self.state.as_str().as_bytes(),
            &self.state_seq.to_le_bytes(),
            &self.created_at.to_le_bytes(),
            &optional(self.published_at),
            &policy::digest(&self.policies),
        ])
    }
}

impl KeyService {
    /// A draft of a module.
    ///
    /// # Errors
    /// [`Error::AlgorithmRefused`] when the algorithm does not do what the module is for;
    /// [`Error::SpecificationRefused`] for a name or specification that cannot hold.
    pub fn create_module(&self, spec: &ModuleSpec, now: Millis) -> Result<SealedModule, Error> {
        require_name(&spec.name)?;
        let purpose = Purpose::from(spec.purpose);
        if !purpose.algorithms().contains(&spec.algorithm) {
            return Err(Error::AlgorithmRefused {
                asked: spec.algorithm.to_string(),
                why: "it does not do what the module is for",
            });
        }
        spec.specification.check()?;
        self.seal_module(SealedModule {
            id: spec.id,
            name: spec.name.clone(),
            purpose,
            algorithm: spec.algorithm,
            specification: spec.specification,
            state: ModuleState::Draft,
            state_seq: 0,
            created_at: now,
            published_at: None,
            policies: Vec::new(),
            row_seal: [0; 32],
        })
    }

    /// A module that every instance has, published, never exportable.
    ///
    /// # Errors
    /// As [`ModuleChange::Govern`], for its first policies.
    pub fn built_in_module(
        &self,
        module: BuiltIn,
        id: [u8; 16],
        policies: Vec<AccessPolicy>,
        now: Millis,
    ) -> Result<SealedModule, Error> {
        check_policies(&policies)?;
        self.seal_module(SealedModule {
            id,
            name: module.as_str().to_owned(),
            purpose: module.purpose(),
            algorithm: module.purpose().algorithm(),
            specification: Specification::STRICT,
            state: ModuleState::Published,
            state_seq: 0,
            created_at: now,
            published_at: Some(now),
            policies,
            row_seal: [0; 32],
        })
    }

    /// The module after a change, counted.
    ///
    /// # Errors
    /// [`Error::WrongModuleState`] when a published module would get another specification or be published again;
    /// [`Error::SpecificationRefused`]; [`Error::TooLarge`] or [`Error::Malformed`] for policies;
    /// [`Error::Tampered`].
    pub fn change_module(
        &self,
        module: &SealedModule,
        change: ModuleChange,
        now: Millis,
    ) -> Result<SealedModule, Error> {
        self.check_module(module)?;
        let mut next = module.clone();
        let draft = |what| match module.state {
            ModuleState::Draft => Ok(()),
            state @ ModuleState::Published => Err(Error::WrongModuleState { state, what }),
        };
        match change {
            ModuleChange::Specify(specification) => {
                draft("change its specification")?;
                next.specification = specification;
            }
            ModuleChange::Schedule(period) => next.specification.rotation_period = period,
            ModuleChange::Govern(policies) => {
                check_policies(&policies)?;
                next.policies = policies;
            }
            ModuleChange::Publish => {
                draft("be published again")?;
                next.state = ModuleState::Published;
                next.published_at = Some(now);
            }
        }
        next.specification.check()?;
        next.state_seq += 1;
        self.seal_module(next)
    }

    /// That the row of a module is as this service wrote it.
    ///
    /// # Errors
    /// [`Error::Tampered`].
    pub fn check_module(&self, module: &SealedModule) -> Result<(), Error> {
        let context = module.row_context(self.instance());
        if self.current().keyring.mac_matches("module seal", &[&context], &module.row_seal)? {
            Ok(())
        } else {
            Err(Error::Tampered { what: MODULE })
        }
    }

    fn seal_module(&self, mut module: SealedModule) -> Result<SealedModule, Error> {
        let context = module.row_context(self.instance());
        module.row_seal = self.current().keyring.mac("module seal", &[&context])?;
        Ok(module)
    }
}

fn require_name(name: &str) -> Result<(), Error> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let why = if BuiltIn::ALL.iter().any(|known| known.as_str() == name) {
        "a built-in module has it"
    } else if !plain || name.len() > MAX_NAME || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        "it has 1 to 64 of the characters a to z, 0 to 9 and -, and begins with a letter"
    } else {
        return Ok(());
    };
    Err(Error::SpecificationRefused { what: "name", why })
}

fn check_policies(policies: &[AccessPolicy]) -> Result<(), Error> {
    if policies.len() > MAX_POLICIES {
        return Err(Error::TooLarge { what: "access policies of a module" });
    }
    policies.iter().try_for_each(AccessPolicy::check)
}

#[cfg(test)]
mod tests;

//! How many operations and connections there may be at one time: over all callers, and for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::config::GraphqlConfig;

/// Callers are forgotten when they have nothing open, but only once there are this many.
const PRUNE_AT: usize = 1024;

pub(super) struct Admission {
    operations: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    introspection: Arc<Semaphore>,
    callers: Mutex<Callers>,
    operations_per_caller: usize,
    connections_per_caller: usize,
}

struct Callers {
    shares: HashMap<String, Arc<Share>>,
    prune_at: usize,
}

/// What one caller may use at one time.
pub(super) struct Share {
    operations: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// The right to do something now; ends when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _permits: [OwnedSemaphorePermit; 2],
}

/// Whose limit is reached.
#[derive(Debug)]
pub(super) enum Full {
    Caller,
    Everybody,
}

impl Admission {
    pub(super) fn new(config: &GraphqlConfig) -> Self {
        Self {
            operations: semaphore(config.max_operations),
            connections: semaphore(config.max_connections),
            introspection: semaphore(1),
            callers: Mutex::new(Callers { shares: HashMap::new(), prune_at: PRUNE_AT }),
            operations_per_caller: config.max_operations_per_caller,
            connections_per_caller: config.max_connections_per_caller,
        }
    }

    /// The share of the caller who is counted under `key`.
    pub(super) fn share(&self, key: String) -> Arc<Share> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.shares.len() >= callers.prune_at {
            callers.shares.retain(|_, share| Arc::strong_count(share) > 1);
            callers.prune_at = PRUNE_AT.max(callers.shares.len() * 2);
        }
        let share = callers.shares.entry(key).or_insert_with(|| {
            Arc::new(Share {
                operations: semaphore(self.operations_per_caller),
                connections: semaphore(self.connections_per_caller),
            })
        });
        Arc::clone(share)
    }

    /// Waits until the caller, then anybody, may run one more operation.
    pub(super) async fn operation(&self, share: &Share) -> Result<Permit, AcquireError> {
        let own = Arc::clone(&share.operations).acquire_owned().await?;
        let any = Arc::clone(&self.operations).acquire_owned().await?;
        Ok(Permit { _permits: [own, any] })
    }

    /// Waits for the one turn to answer what asks for the schema.
    pub(super) async fn introspection(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.introspection).acquire_owned().await
    }

    /// Takes a place for one more connection, or says whose limit is reached.
    pub(super) fn connection(&self, share: &Share) -> Result<Permit, Full> {
        let own = Arc::clone(&share.connections).try_acquire_owned().map_err(|_| Full::Caller)?;
        let any = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Full::Everybody)?;
        Ok(Permit { _permits: [own, any] })
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

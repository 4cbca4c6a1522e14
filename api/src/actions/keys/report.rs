//! The health report, over records that may be more than one message of the key service holds.

use keyservice::wire::to_bytes;
use keyservice::{AuditMeasure, HealthReport, Purpose, SealedKey, SealedModule};

use super::Kept;
use crate::vault::Vault;

/// How much of what is on record one call measures, in bytes: a quarter of the longest message. A module with all the
/// policies that it may have is more, and goes alone.
const PIECE: usize = 256 * 1024;

/// What one call measures.
#[derive(Default)]
struct Piece {
    modules: Vec<SealedModule>,
    keys: Vec<SealedKey>,
}

/// Measures the service over all modules and these keys of theirs.
pub(super) async fn measure(
    vault: &Vault,
    modules: &[SealedModule],
    keys: &[SealedKey],
    (audit, now): (AuditMeasure, i64),
) -> Kept<HealthReport> {
    let (others, last) = pieces(modules, keys);
    let mut whole = vault.report(&last.modules, &last.keys, Some(audit.clone()), now).await?;
    for Piece { modules, keys } in others {
        whole = whole.with(vault.report(&modules, &keys, Some(audit.clone()), now).await?);
    }
    Ok(whole)
}

/// Modules with their keys, cut where they become too long, and the last of the pieces; the identity's keys are in each.
fn pieces(modules: &[SealedModule], keys: &[SealedKey]) -> (Vec<Piece>, Piece) {
    let (identity, mut left): (Vec<SealedKey>, Vec<SealedKey>) =
        keys.iter().cloned().partition(|key| key.purpose == Purpose::IdentitySigning);
    let begin = || Piece { modules: Vec::new(), keys: identity.clone() };
    let (mut done, mut piece, mut size) = (Vec::new(), begin(), 0);
    let mut add = |module: Option<&SealedModule>, keys: Vec<SealedKey>| {
        let more = module.map_or(0, |module| to_bytes(module).len())
            + keys.iter().map(|key| to_bytes(key).len()).sum::<usize>();
        if size > 0 && size + more > PIECE {
            done.push(std::mem::replace(&mut piece, begin()));
            size = 0;
        }
        size += more;
        piece.modules.extend(module.cloned());
        piece.keys.extend(keys);
    };
    for module in modules {
        let (own, others) = left.into_iter().partition(|key| module.owns(key));
        left = others;
        add(Some(module), own);
    }
    // Those that no module says are its own.
    for key in left {
        add(None, vec![key]);
    }
    (done, piece)
}

#[cfg(test)]
mod tests {
    use keyservice::module::Specification;
    use keyservice::policy::{Effect, MAX_NOTE, MAX_POLICIES, Matcher};
    use keyservice::{AccessPolicy, Algorithm, ModuleState, Rights};

    use super::*;
    use crate::vault::MAX_MESSAGE;

    fn module(name: String, policies: usize) -> SealedModule {
        let policy = AccessPolicy {
            id: [1; 16],
            effect: Effect::Reject,
            matcher: Matcher::AnyService,
            rights: Rights::of(keyservice::Right::ALL),
            condition: None,
            note: "€".repeat(MAX_NOTE),
        };
        SealedModule {
            id: [2; 16],
            name,
            purpose: Purpose::Sealing,
            algorithm: Algorithm::Aes256Gcm,
            specification: Specification::STRICT,
            state: ModuleState::Published,
            state_seq: 1,
            created_at: 1,
            published_at: Some(1),
            policies: vec![policy; policies],
            row_seal: [0; 32],
        }
    }

    #[test]
    fn however_many_modules_there_are_each_is_in_one_message_that_is_short_enough() {
        let few = (0..3).map(|number| module(format!("full-{number}"), MAX_POLICIES));
        let many = (0..2_000).map(|number| module(format!("small-{number}"), 1));
        let all: Vec<SealedModule> = few.chain(many).collect();
        let (mut pieces, last) = pieces(&all, &[]);
        pieces.push(last);
        assert!(pieces.len() > 3, "{} pieces", pieces.len());
        for piece in &pieces {
            let size = piece.modules.iter().map(|module| to_bytes(module).len()).sum::<usize>();
            assert!(size < MAX_MESSAGE - 64 * 1024, "{size} bytes");
        }
        let measured = pieces.iter().flat_map(|piece| &piece.modules).map(|module| module.name.as_str());
        assert!(measured.eq(all.iter().map(|module| module.name.as_str())), "each once, in their order");
    }
}

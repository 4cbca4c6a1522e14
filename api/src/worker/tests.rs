//! When work is begun again, and when it is given up.

use super::*;
use crate::domain::id::{ConnectionId, ScanId};

#[test]
fn work_that_was_cut_off_or_failed_in_passing_is_begun_again_until_its_tries_are_over() {
    let (scan, verify) =
        (Work::Scan(ScanId(uuid::Uuid::nil())), Work::Verify(ConnectionId(uuid::Uuid::nil())));
    let refused = |code| Trouble::from(Refusal::new(code, "No."));
    let away = Trouble::from(
        Refusal::new(RefusalCode::KeyServiceUnhealthy, "It does not answer.").reason(Failure::KEYS_AWAY),
    );
    for (trouble, passes) in [
        (Trouble::Late, true),
        (refused(RefusalCode::Conflict), true),
        (away, true),
        (refused(RefusalCode::WrongState), false),
        (refused(RefusalCode::KeyServiceUnhealthy), false),
        (Trouble::Ours(Failure::Bug("a fault")), false),
    ] {
        for (work, most) in [(&scan, scan::TRIES), (&verify, TRIES)] {
            assert_eq!(gives_up(work, 1, &trouble), !passes, "{trouble}");
            assert_eq!(gives_up(work, most - 1, &trouble), !passes, "{trouble}");
            assert!(gives_up(work, most, &trouble), "{trouble}");
        }
    }
}

//! Whatever breaks off during onboarding, and wherever: it ends onboarded, once, and nothing is left over.
//!
//! Where it can break is read off an undisturbed run: each commit of either instance, right before and right after
//! it, and each message between them. What people do is what the pages offer them: open the link again, retry,
//! approve again.
//!
//! Before each commit it is killed in any case. After a commit, and for the messages between them, once for each kind is
//! enough for every day; `LINKSPAN_TEST_EVERY_POINT` asks for those that come again, too.

mod stage;

use std::collections::BTreeSet;

use crate::harness::Database;
use crate::harness::faults::{Commit, Fault, Message};
use stage::{Plot, Side, Stage};

/// Kills one side at each of its commits that `wanted` names, one journey each.
async fn kill_at_each(side: Side, database: Database, wanted: impl Fn(usize, usize, &Commit) -> bool) {
    let mut stage = Stage::set(database, Plot::Onboard).await;
    let points = stage.record().await.commits(side);
    kill_at(&mut stage, side, points, wanted).await;
}

/// Kills each side at each commit, and breaks each message in each way, that a plot adds to the plain journey.
async fn break_what_it_adds(plot: Plot) {
    let plain = Stage::set(Sqlite, Plot::Onboard).await.record().await;
    let mut stage = Stage::set(Sqlite, plot).await;
    let recorded = stage.record().await;
    for side in [Provider, Consumer] {
        let known: BTreeSet<_> = plain.commits(side).iter().map(|commit| commit.label).collect();
        let points = recorded.commits(side);
        if points.iter().any(|point| !known.contains(point.label)) {
            kill_at(&mut stage, side, points, |_, _, at| !known.contains(at.label)).await;
        }
        let known: BTreeSet<_> = plain.messages(side).into_iter().map(|message| message.path).collect();
        let messages = recorded.messages(side).into_iter().filter(|message| !known.contains(&message.path));
        let messages: Vec<_> = messages.collect();
        if !messages.is_empty() {
            break_all(&mut stage, side, &messages.iter().collect::<Vec<_>>(), &Fault::ALL).await;
        }
    }
}

async fn kill_at(
    stage: &mut Stage,
    side: Side,
    points: Vec<Commit>,
    wanted: impl Fn(usize, usize, &Commit) -> bool,
) {
    let numbered = points.iter().enumerate();
    let wanted: Vec<&Commit> =
        numbered.filter(|(n, point)| wanted(*n, points.len(), point)).map(|(_, p)| p).collect();
    assert!(points.len() > 6 && !wanted.is_empty(), "{points:?}");
    let (before, mut died, mut failures) = (stage.broken(), BTreeSet::new(), Vec::new());
    for point in &wanted {
        let run = stage.journey_dying(side, point).await;
        if run.broke {
            died.insert((point.label, point.committed));
        }
        failures.extend(run.problems.into_iter().map(|problem| format!("{side:?}, {point}: {problem}")));
    }
    println!(
        "killed the {side:?} at {} of {} points, {} transitions",
        stage.broken() - before,
        wanted.len(),
        died.len()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // How often a thing is waited for differs from run to run; that it happens does not.
    let certain = wanted.iter().filter(|point| point.nth == 0);
    let all: BTreeSet<_> = certain.map(|point| (point.label, point.committed)).collect();
    assert_eq!(all.difference(&died).collect::<Vec<_>>(), Vec::<&(&str, bool)>::new(), "never died there");
}

/// Whether this is the first of its kind, or all of them are asked for.
fn every(nth: usize) -> bool {
    nth == 0 || std::env::var_os("LINKSPAN_TEST_EVERY_POINT").is_some()
}

/// Breaks each message that one side receives in these ways, one journey each.
async fn break_each(
    side: Side,
    database: Database,
    faults: &[Fault],
    wanted: impl Fn(usize, &Message) -> bool,
) {
    let mut stage = Stage::set(database, Plot::Onboard).await;
    let messages = stage.record().await.messages(side);
    let wanted: Vec<&Message> =
        messages.iter().enumerate().filter(|(n, m)| wanted(*n, m)).map(|(_, m)| m).collect();
    assert!(!wanted.is_empty(), "{messages:?}");
    break_all(&mut stage, side, &wanted, faults).await;
}

async fn break_all(stage: &mut Stage, side: Side, wanted: &[&Message], faults: &[Fault]) {
    let before = stage.broken();
    let (mut broke, mut failures) = (BTreeSet::new(), Vec::new());
    for message in wanted {
        for fault in faults {
            let run = stage.journey_breaking(side, message, *fault).await;
            if run.broke {
                broke.insert((&message.path, *fault));
            }
            let place = format!("{fault:?}, message {} to {} of the {side:?}", message.nth + 1, message.path);
            failures.extend(run.problems.into_iter().map(|problem| format!("{place}: {problem}")));
        }
    }
    let certain = wanted.iter().filter(|message| message.nth == 0);
    let paths: BTreeSet<_> = certain.map(|message| &message.path).collect();
    println!(
        "broke messages to the {side:?} {} of {} times: {} messages, {} ways",
        stage.broken() - before,
        wanted.len() * faults.len(),
        wanted.len(),
        faults.len()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    for fault in faults {
        assert!(
            paths.iter().all(|path| broke.contains(&(*path, *fault))),
            "{fault:?}: some message never came"
        );
    }
}

macro_rules! tests {
    ($($name:ident: $run:expr;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $run.await;
        }
    )* };
}

use Database::Sqlite;
use Side::{Consumer, Provider};

const LOST: &[Fault] = &[Fault::RequestLost, Fault::AnswerLost];
const REPEATED: &[Fault] = &[Fault::Twice, Fault::AgainAfterTheNext, Fault::AgainAtTheEnd];
const LATE: &[Fault] = &[Fault::Late];

tests! {
    a_provider_killed_before_any_of_its_commits_still_onboards: kill_at_each(Provider, Sqlite, |_, _, at| !at.committed);
    a_provider_killed_after_any_of_its_commits_still_onboards: kill_at_each(Provider, Sqlite, |_, _, at| at.committed && every(at.nth));
    a_consumer_killed_before_its_earlier_commits_still_onboards:
        kill_at_each(Consumer, Sqlite, |n, of, at| !at.committed && 2 * n < of);
    a_consumer_killed_before_its_later_commits_still_onboards:
        kill_at_each(Consumer, Sqlite, |n, of, at| !at.committed && 2 * n >= of);
    a_consumer_killed_after_its_earlier_commits_still_onboards:
        kill_at_each(Consumer, Sqlite, |n, of, at| at.committed && every(at.nth) && 2 * n < of);
    a_consumer_killed_after_its_later_commits_still_onboards:
        kill_at_each(Consumer, Sqlite, |n, of, at| at.committed && every(at.nth) && 2 * n >= of);
    messages_that_are_lost_on_the_way_to_the_provider_are_made_good: break_each(Provider, Sqlite, LOST, |_, m| every(m.nth));
    messages_that_reach_the_provider_again_change_nothing: break_each(Provider, Sqlite, REPEATED, |_, m| every(m.nth));
    messages_that_reach_the_provider_late_are_waited_for: break_each(Provider, Sqlite, LATE, |_, m| every(m.nth));
    a_registration_killed_while_it_is_checked_still_opens_once: break_what_it_adds(Plot::Register);
    starting_over_leaves_nothing_behind_wherever_it_breaks: break_what_it_adds(Plot::StartOver);
    cancelling_leaves_nothing_behind_wherever_it_breaks: break_what_it_adds(Plot::Cancel);
    a_consumer_hears_that_the_provider_cancelled_wherever_it_breaks: break_what_it_adds(Plot::Withdraw);
    a_connection_that_is_taken_down_ends_on_both_sides_wherever_it_breaks: break_what_it_adds(Plot::Offboard);
    messages_to_the_consumer_may_be_lost_repeated_and_late: break_each(Consumer, Sqlite, &Fault::ALL, |_, m| every(m.nth));
}

/// The same on PostgreSQL, for a sample: every twenty-fourth point, every twentieth message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_broken_messages_are_survived_on_postgresql_too() {
    if Database::available().contains(&Database::Postgres) {
        kill_at_each(Provider, Database::Postgres, |n, _, _| n % 24 == 4).await;
        kill_at_each(Consumer, Database::Postgres, |n, _, _| n % 24 == 4).await;
        break_each(Provider, Database::Postgres, &[Fault::AnswerLost, Fault::Twice], |n, _| n % 20 == 2)
            .await;
    }
}

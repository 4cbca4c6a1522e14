//! Measures how often a closure runs in a second, and prints a table of it.
//!
//! Whatever can be put into a closure can be a column: another program includes this file by its path and adds its own.

// A benchmark measures the clock.
#![allow(clippy::disallowed_methods)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many callers there are at once, in turn.
pub(crate) const CALLERS: [usize; 3] = [1, 4, 16];
/// How long each measurement takes, if the environment says nothing else (`BENCH_MILLIS`, milliseconds).
pub(crate) const DURATION: Duration = Duration::from_millis(500);

/// One operation.
pub(crate) type Operation<'a> = (&'static str, Box<dyn Fn() + Sync + 'a>);

/// One way to do the operations: a column of the table. All columns have the same operations in the same order.
pub(crate) struct Column<'a> {
    /// Its heading.
    pub(crate) name: &'static str,
    /// The operations.
    pub(crate) operations: Vec<Operation<'a>>,
}

/// Measures each operation of each column and prints operations per second; behind each but the first, the part of the
/// first that it reaches.
pub(crate) fn print(columns: &[Column<'_>]) {
    let millis = std::env::var("BENCH_MILLIS").ok().and_then(|text| text.parse().ok());
    let duration = millis.map_or(DURATION, Duration::from_millis);
    print!("{:<14}{:>8}", "operation", "callers");
    for column in columns {
        print!("{:>24}", column.name);
    }
    println!();
    for (row, (name, _)) in columns[0].operations.iter().enumerate() {
        for callers in CALLERS {
            print!("{name:<14}{callers:>8}");
            let mut first = None;
            for column in columns {
                let rate = per_second(&*column.operations[row].1, callers, duration);
                match first {
                    None => print!("{rate:>22.0}/s"),
                    Some(first) => print!("{rate:>14.0}/s {:>6.2} x", rate / first),
                }
                first = first.or(Some(rate));
            }
            println!();
        }
    }
}

/// How often the operation is done in a second by so many callers at once.
pub(crate) fn per_second(operation: &(dyn Fn() + Sync), callers: usize, duration: Duration) -> f64 {
    let (done, over, begin) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(callers + 1));
    let mut elapsed = Duration::ZERO;
    operation();
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                begin.wait();
                let mut own = 0;
                while !over.load(Ordering::Relaxed) {
                    operation();
                    own += 1;
                }
                done.fetch_add(own, Ordering::Relaxed);
            });
        }
        begin.wait();
        let begun = Instant::now();
        thread::sleep(duration);
        over.store(true, Ordering::Relaxed);
        elapsed = begun.elapsed();
    });
    done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64()
}

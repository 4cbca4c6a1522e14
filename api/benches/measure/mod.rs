//! Measures how often something is done in a second, and prints a table of it.

// A benchmark measures the clock.
#![allow(clippy::disallowed_methods)]

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// How many callers there are at once, in turn.
pub(crate) const CALLERS: [usize; 3] = [1, 4, 16];
/// How long each measurement takes, if the environment says nothing else (`BENCH_MILLIS`, milliseconds).
pub(crate) const DURATION: Duration = Duration::from_millis(500);

/// Something that is done on the caller's own thread.
type Here = Box<dyn Fn() + Send + Sync>;
/// Something that another process does; its caller is a task, as in the gateway.
type There = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What is measured.
pub(crate) enum Work {
    /// On the caller's own thread.
    Here(Here),
    /// Elsewhere, while the caller waits.
    There(There),
}

/// One operation.
pub(crate) type Operation = (&'static str, Work);

/// One way to do the operations: a column of the table. All columns have the same operations in the same order.
pub(crate) struct Column {
    /// Its heading.
    pub(crate) name: &'static str,
    /// The operations.
    pub(crate) operations: Vec<Operation>,
}

/// Something on the caller's own thread.
pub(crate) fn here(operation: impl Fn() + Send + Sync + 'static) -> Work {
    Work::Here(Box::new(operation))
}

/// Something that another process does.
pub(crate) fn there<F: Future<Output = ()> + Send + 'static>(
    operation: impl Fn() -> F + Send + Sync + 'static,
) -> Work {
    Work::There(Box::new(move || Box::pin(operation())))
}

/// Measures each operation of each column and prints operations per second; behind each but the first, the part of the
/// first that it reaches.
pub(crate) fn print(runtime: &Runtime, columns: Vec<Column>) {
    let millis = std::env::var("BENCH_MILLIS").ok().and_then(|text| text.parse().ok());
    let duration = millis.map_or(DURATION, Duration::from_millis);
    print!("{:<14}{:>8}", "operation", "callers");
    for column in &columns {
        print!("{:>24}", column.name);
    }
    println!();
    let mut columns: Vec<_> = columns.into_iter().map(|column| column.operations.into_iter()).collect();
    loop {
        let row: Vec<Operation> = columns.iter_mut().filter_map(Iterator::next).collect();
        let Some((name, _)) = row.first() else { return };
        let name = *name;
        let row: Vec<Arc<Work>> = row.into_iter().map(|(_, work)| Arc::new(work)).collect();
        for callers in CALLERS {
            print!("{name:<14}{callers:>8}");
            let mut first = None;
            for work in &row {
                let rate = per_second(runtime, work, callers, duration);
                match first {
                    None => print!("{rate:>22.0}/s"),
                    Some(first) => print!("{rate:>13.0}/s {:>6.3} x", rate / first),
                }
                first = first.or(Some(rate));
            }
            println!();
        }
    }
}

/// How often the work is done in a second by so many callers at once.
fn per_second(runtime: &Runtime, work: &Arc<Work>, callers: usize, duration: Duration) -> f64 {
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let elapsed = match &**work {
        Work::Here(operation) => {
            let begin = Barrier::new(callers + 1);
            operation();
            std::thread::scope(|scope| {
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
                std::thread::sleep(duration);
                over.store(true, Ordering::Relaxed);
                begun.elapsed()
            })
        }
        Work::There(operation) => runtime.block_on(async {
            operation().await;
            let begun = Instant::now();
            let tasks: Vec<_> = (0..callers)
                .map(|_| {
                    let (work, done, over) = (work.clone(), done.clone(), over.clone());
                    tokio::spawn(async move {
                        let Work::There(operation) = &*work else { return };
                        while !over.load(Ordering::Relaxed) {
                            operation().await;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            tokio::time::sleep(duration).await;
            over.store(true, Ordering::Relaxed);
            let elapsed = begun.elapsed();
            for task in tasks {
                task.await.expect("a caller");
            }
            elapsed
        }),
    };
    done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64()
}

//! Lets something else happen between what an instance reads and what it makes of it.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

/// How long it is held up at most: the other thing may wait for what is held, and then the two happen in the other order.
const PATIENCE: Duration = Duration::from_secs(2);

/// Holds an instance up behind a statement that reads.
#[derive(Default)]
pub(crate) struct Meanwhile(Mutex<Option<Hold>>);

struct Hold {
    /// How many statements pass before.
    left: usize,
    reached: oneshot::Sender<()>,
    /// Closed when it goes on.
    held: mpsc::Receiver<()>,
}

impl Meanwhile {
    /// Called behind each statement that reads outside of a transaction that writes.
    pub(super) fn was_read(&self) {
        let hold = {
            let mut hold = self.0.lock().unwrap();
            match &mut *hold {
                Some(Hold { left, .. }) if *left > 0 => {
                    *left -= 1;
                    None
                }
                _ => hold.take(),
            }
        };
        if let Some(Hold { reached, held, .. }) = hold {
            let _ = reached.send(());
            // What else there is to do on this thread is done on another one.
            let _ = tokio::task::block_in_place(|| held.recv_timeout(PATIENCE));
        }
    }

    /// Does one thing, and while the instance is held up behind the n-th statement that it reads, another; answers what the
    /// first gave, and whether there was such a statement.
    pub(crate) async fn between<T>(
        &self,
        n: usize,
        one: impl Future<Output = T>,
        other: impl Future,
    ) -> (T, bool) {
        let (reached, is_reached) = oneshot::channel();
        let (goes_on, held) = mpsc::channel();
        *self.0.lock().unwrap() = Some(Hold { left: n, reached, held });
        let one = async {
            let given = one.await;
            self.0.lock().unwrap().take();
            given
        };
        let other = async {
            let was_held = is_reached.await.is_ok();
            if was_held {
                other.await;
            }
            drop(goes_on);
            was_held
        };
        tokio::join!(one, other)
    }
}

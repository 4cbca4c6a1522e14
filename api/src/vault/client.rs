//! The gateway's end of the socket: many calls at a time, each with its deadline.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::protocol::{Assembler, FrameError, HEADER, Header, Message, frames};

/// The most calls at a time; more wait for their turn, within their deadline.
pub const MAX_CALLS: usize = 256;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The deadline passed.
    Late,
    /// The socket is closed.
    Closed,
    /// The message is longer than it may be.
    TooLong,
}

/// Who waits for which answer; none once the socket is closed.
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<Message>>>>;

/// A socket to a process. Dropped, it closes.
pub(super) struct Link {
    outgoing: mpsc::Sender<Message>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    turns: Semaphore,
    hands: [AbortHandle; 2],
}

impl Link {
    /// Takes the socket over. The receiver hears when it is closed, from whichever side.
    pub(super) fn over(socket: UnixStream) -> (Self, oneshot::Receiver<FrameError>) {
        let (reader, writer) = socket.into_split();
        let (outgoing, messages) = mpsc::channel(MAX_CALLS);
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let (closed, told) = oneshot::channel();
        let writing = tokio::spawn(write(writer, messages));
        let known = waiting.clone();
        let reading = tokio::spawn(async move {
            let Err(error) = read(reader, &known).await;
            known.lock().unwrap_or_else(PoisonError::into_inner).take();
            let _ = closed.send(error);
        });
        let hands = [writing.abort_handle(), reading.abort_handle()];
        let turns = Semaphore::new(MAX_CALLS);
        (Self { outgoing, waiting, next: AtomicU64::new(0), turns, hands }, told)
    }

    /// Asks, and waits for the answer. The first message has id 0.
    pub(super) async fn ask(&self, message: &[u8], within: Duration) -> Result<Message, Silence> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = frames(id, message).map_err(|_| Silence::TooLong)?;
        // Takes the place back, whether the answer came, the deadline passed or the caller went away.
        let _place = Place { link: self, id };
        let answered = timeout(within, async {
            let _turn = self.turns.acquire().await.map_err(|_| Silence::Closed)?;
            let (sender, answer) = oneshot::channel();
            match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(waiting) => waiting.insert(id, sender),
                None => return Err(Silence::Closed),
            };
            self.outgoing.send(request).await.map_err(|_| Silence::Closed)?;
            answer.await.map_err(|_| Silence::Closed)
        });
        answered.await.unwrap_or(Err(Silence::Late))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for hand in &self.hands {
            hand.abort();
        }
    }
}

struct Place<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.link.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

async fn write(mut socket: OwnedWriteHalf, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if socket.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn read(mut socket: OwnedReadHalf, waiting: &Waiting) -> Result<std::convert::Infallible, FrameError> {
    let mut assembler = Assembler::default();
    loop {
        let mut header = [0; HEADER];
        socket.read_exact(&mut header).await?;
        let header = Header::parse(&header)?;
        let mut body = Zeroizing::new(vec![0; header.body]);
        socket.read_exact(&mut body).await?;
        let Some((id, message)) = assembler.add(header, &body)? else { continue };
        let mut known = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits any more for an answer that is late.
        if let Some(caller) = known.as_mut().and_then(|known| known.remove(&id)) {
            let _ = caller.send(message);
        }
    }
}

//! The process itself: one socket, a few threads, the key service. No database, no network, no asynchrony.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use keyservice::{Entropy, Error, KeyService, RootKey, SealedHierarchy};

use super::confine;
use super::protocol::{
    FrameError, Measure, Message, OPENING, Opened, Opening, PING, frames, opened_to_message, receive,
};

/// The most threads that compute.
const MAX_THREADS: usize = 8;
/// What a thread that computes needs of a stack, in bytes.
const STACK: usize = 1024 * 1024;

/// Why the process ends before its socket does.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("this command is started by linkspan itself: its input has to be a socket of its parent's")]
    NotOurParent,
    #[error("the system refuses a protection: {0}")]
    Unprotected(io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("signals: {0}")]
    Signals(io::Error),
}

/// Serves the key service over the socket that is the standard input, until it closes.
#[must_use]
pub fn serve(entropy: Arc<dyn Entropy>) -> ExitCode {
    match run(entropy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            say(&ended);
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever reads the log of the gateway, which has the same standard error.
fn say(ended: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "linkspan: key service: {ended}");
}

fn run(entropy: Arc<dyn Entropy>) -> Result<(), Ended> {
    let input = io::stdin();
    require_parent(input.as_fd())?;
    let socket = input.as_fd().try_clone_to_owned().map_err(|_| Ended::NotOurParent)?;
    let mut socket = UnixStream::from(socket);
    let mut protection = confine::harden().map_err(Ended::Unprotected)?;
    stay_until_told().map_err(Ended::Signals)?;
    let Some((OPENING, message)) = receive(&mut socket)? else { return Ok(()) };
    let opened = Opening::parse(&message).and_then(|opening| {
        let (service, hierarchy) = open(&opening, entropy)?;
        Ok((service, hierarchy, opening.root_key_file))
    });
    let (service, hierarchy) = match opened {
        Ok((service, hierarchy, root_key_file)) => {
            protection.push(confine::fence(&root_key_file));
            (service, hierarchy)
        }
        Err(error) => {
            let refused = opened_to_message(Err(error));
            socket.write_all(&frames(OPENING, &refused)?).map_err(FrameError::from)?;
            return Ok(());
        }
    };
    Ok(attend(&service, &socket, hierarchy, protection)?)
}

/// The peer of the socket is the process that started this one, under the same user.
fn require_parent(input: BorrowedFd<'_>) -> Result<(), Ended> {
    let peer = rustix::net::sockopt::socket_peercred(input).map_err(|_| Ended::NotOurParent)?;
    let parent = rustix::process::getppid();
    if peer.uid == rustix::process::getuid() && Some(peer.pid) == parent {
        Ok(())
    } else {
        Err(Ended::NotOurParent)
    }
}

/// A signal that is sent to all of a terminal's or service's processes is for the gateway to answer: it finishes what
/// is under way, which needs keys, and then closes the socket.
fn stay_until_told() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _runtime = runtime.enter();
    // Once heard, such a signal never has its default effect again (`tokio::signal::unix`).
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Opens the hierarchy, or makes it (and the root key, if it is not there) for a new instance.
///
/// # Errors
/// Those of [`RootKey::read`], [`RootKey::create`], [`KeyService::open`] and [`KeyService::initialise`].
pub(super) fn open(
    opening: &Opening,
    entropy: Arc<dyn Entropy>,
) -> Result<(KeyService, SealedHierarchy), Error> {
    let path = &opening.root_key_file;
    match &opening.hierarchy {
        Some(hierarchy) => {
            let root = RootKey::read(path)?;
            let service = KeyService::open(&root, opening.instance, hierarchy, entropy)?;
            Ok((service, hierarchy.clone()))
        }
        None => {
            let root =
                if path.exists() { RootKey::read(path)? } else { RootKey::create(path, entropy.as_ref())? };
            KeyService::initialise(&root, opening.instance, entropy, opening.now)
        }
    }
}

/// Answers until the socket closes. Each thread takes a request, computes and answers; what waits, waits in the socket.
fn attend(
    service: &KeyService,
    socket: &UnixStream,
    hierarchy: SealedHierarchy,
    mut protection: Vec<Measure>,
) -> Result<(), FrameError> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS);
    let incoming = Mutex::new(socket.try_clone()?);
    let outgoing = Mutex::new(socket.try_clone()?);
    // Every thread runs before the filter, which leaves no way to make one, and then waits for the lock.
    let running = Barrier::new(threads + 1);
    let gate = incoming.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            let worker = || {
                running.wait();
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    work(service, &incoming, &outgoing)
                }));
                // One that cannot go on ends all: the gateway starts the process again. So does the closed socket.
                let code = i32::from(!matches!(ended, Ok(Ok(()))));
                std::process::exit(code)
            };
            if let Err(error) = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker) {
                // Those that run would wait for this one for ever.
                say(&error);
                std::process::exit(1);
            }
        }
        running.wait();
        protection.push(confine::filter());
        let opened = opened_to_message(Ok(Opened { hierarchy, protection }));
        let mut out = outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&frames(OPENING, &opened)?)?;
        drop((out, gate));
        Ok(())
    })
}

fn work(
    service: &KeyService,
    incoming: &Mutex<UnixStream>,
    outgoing: &Mutex<UnixStream>,
) -> Result<(), FrameError> {
    loop {
        let received = receive(&mut *incoming.lock().unwrap_or_else(PoisonError::into_inner))?;
        let Some((id, request)) = received else { return Ok(()) };
        let answer = if *request == PING { Message::default() } else { service.answer(&request) };
        let answer = frames(id, &answer)?;
        outgoing.lock().unwrap_or_else(PoisonError::into_inner).write_all(&answer)?;
    }
}

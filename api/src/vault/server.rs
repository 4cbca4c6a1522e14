//! The process itself: one socket, a few threads, the key service. No database, no network, no asynchrony.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use keyservice::{Entropy, Error, KeyService, RootKey, RootProvider as _, RootSource, SealedHierarchy};

use super::protocol::{
    FrameError, Message, OPENING, Opened, Opening, PING, frames, opened_to_message, receive,
};
use super::{confine, make_next};

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
        let (service, opened) = open(&opening, entropy)?;
        Ok((service, opened, opening.root))
    });
    let (service, opened) = match opened {
        Ok((service, opened, root)) => {
            protection.push(confine::fence(&root));
            (service, Opened { protection, ..opened })
        }
        Err(error) => {
            let refused = opened_to_message(Err(error));
            socket.write_all(&frames(OPENING, &refused)?).map_err(FrameError::from)?;
            return Ok(());
        }
    };
    Ok(attend(&service, &socket, opened)?)
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

/// Opens the hierarchy, or makes it (and the root key's file, if it is not there) for a new instance.
///
/// # Errors
/// Those of [`RootProvider::root_key`], [`RootKey::create`], [`KeyService::open`] and [`KeyService::initialise`].
pub(super) fn open(opening: &Opening, entropy: Arc<dyn Entropy>) -> Result<(KeyService, Opened), Error> {
    let opened = |hierarchy: &SealedHierarchy, by_next| Opened {
        hierarchy: hierarchy.clone(),
        by_next,
        protection: Vec::new(),
    };
    // The only place, with that of the next one, that it ever reads a root key from, whatever it is asked.
    let places = |service: KeyService| service.with_root_source(opening.root.clone());
    let Some(hierarchy) = &opening.hierarchy else {
        let root = match &opening.root {
            RootSource::File(path) if !path.exists() => RootKey::create(path, entropy.as_ref())?,
            source => source.root_key()?,
        };
        let (service, hierarchy) = KeyService::initialise(&root, opening.instance, entropy, opening.now)?;
        return Ok((places(service), opened(&hierarchy, false)));
    };
    let root = opening.root.root_key()?;
    if opening.make_next {
        make_next(&opening.root, entropy.as_ref())?;
    }
    // Where a rotation of the root key was interrupted, or what it uses by now was not put in place, either may be the
    // right one.
    match opening.root.next().filter(RootSource::is_there) {
        Some(next) => {
            let next = || next.root_key();
            let (service, by_next) =
                KeyService::open_with_either(&root, next, opening.instance, hierarchy, &entropy)?;
            Ok((places(service), opened(hierarchy, by_next)))
        }
        None => {
            let service = KeyService::open(&root, opening.instance, hierarchy, entropy)?;
            Ok((places(service), opened(hierarchy, false)))
        }
    }
}

/// Answers until the socket closes. Each thread takes a request, computes and answers; what waits, waits in the socket.
fn attend(service: &KeyService, socket: &UnixStream, mut opened: Opened) -> Result<(), FrameError> {
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
        opened.protection.push(confine::filter());
        let opened = opened_to_message(Ok(opened));
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

//! A line to an instance that can be cut, held, slowed or led elsewhere: TCP, beneath TLS.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Everything goes through.
    Open,
    /// Nobody listens at the address.
    Closed,
    /// Connections are taken and stay, and nothing goes through: half-open.
    Held,
    /// Connections are closed as soon as they are taken.
    Dropped,
    /// Everything comes later.
    Late(Duration),
    /// Something answers that does not speak TLS.
    Garbage,
}

/// The line.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    line: watch::Sender<Line>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A line to this port of the machine, on a port of its own.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, watched) = watch::channel(Line::Open);
        let task = tokio::spawn(serve(listener, port, SocketAddr::from(([127, 0, 0, 1], target)), watched));
        Self { port, line, task }
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, port: u16, target: SocketAddr, mut line: watch::Receiver<Line>) {
    let mut listener = Some(listener);
    loop {
        let now = *line.borrow_and_update();
        if now == Line::Closed {
            listener = None;
            if line.changed().await.is_err() {
                return;
            }
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).await.ok();
        }
        let Some(open) = &listener else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::select! {
            taken = open.accept() => {
                if let Ok((stream, _)) = taken {
                    tokio::spawn(carry(stream, target, line.clone()));
                }
            }
            changed = line.changed() => if changed.is_err() { return },
        }
    }
}

async fn carry(mut caller: TcpStream, target: SocketAddr, line: watch::Receiver<Line>) {
    let now = *line.borrow();
    match now {
        Line::Dropped | Line::Closed => return,
        Line::Garbage => {
            let _ = caller.write_all(b"220 this is something else\r\n").await;
            return;
        }
        Line::Open | Line::Held | Line::Late(_) => {}
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_caller, to_caller), (from_server, to_server)) = (caller.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_caller, to_server, line.clone()) => {}
        () = pump(from_server, to_caller, line) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let now = *line.borrow_and_update();
        match now {
            Line::Closed | Line::Dropped | Line::Garbage => return,
            Line::Held => {
                if line.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Line::Open | Line::Late(_) => {}
        }
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            changed = line.changed() => if changed.is_err() { return } else { continue },
        };
        let Some(read) = read.ok().filter(|read| *read > 0) else { return };
        if let Line::Late(by) = now {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

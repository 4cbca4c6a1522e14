//! Whom the process listens to, and what it does with what no gateway sends.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use linkspan::vault::MAX_FRAME;

use super::child::launcher;

/// The process, with our end of its socket.
fn start(prepare: impl FnOnce(&mut Command)) -> (Child, UnixStream) {
    start_as(Command::new(launcher().program), prepare)
}

/// The process as the child of a shell that we start.
fn start_between() -> (Child, UnixStream) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; exit 0", "sh"]).arg(std::env::current_exe().unwrap());
    start_as(shell, |_| {})
}

fn start_as(mut command: Command, prepare: impl FnOnce(&mut Command)) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let launcher = launcher();
    command
        .args(&launcher.arguments)
        .envs(launcher.environment)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    prepare(&mut command);
    (command.spawn().unwrap(), ours)
}

/// What it says at its end, having answered nothing.
fn refused((mut child, mut socket): (Child, UnixStream)) -> String {
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    said
}

fn frame(length: u32, id: u64, last: u8, body: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], &id.to_le_bytes(), &[last], body].concat()
}

#[test]
fn a_frame_that_no_gateway_sends_ends_the_process() {
    let largest = u32::try_from(MAX_FRAME - 13).unwrap();
    for (bytes, said) in [
        (frame(largest + 1, 0, 1, b""), "too long"),
        (frame(u32::MAX, 0, 1, b""), "too long"),
        (frame(1, 0, 2, b"x"), "malformed"),
        (frame(0, 0, 0, b""), "malformed"),
        ([frame(1, 0, 0, b"x"), frame(1, 1, 1, b"x")].concat(), "malformed"),
        (vec![1, 2, 3], "socket broke"),
        (frame(5, 0, 1, b"x"), "socket broke"),
        (frame(largest, 0, 0, &vec![0; MAX_FRAME - 13]).repeat(17), "too long"),
    ] {
        let (child, mut socket) = start(|_| {});
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let heard = refused((child, socket));
        assert!(heard.contains(said), "{heard:?}, not {said:?}");
    }
}

#[test]
fn a_first_message_that_is_none_is_refused() {
    let (mut child, mut socket) = start(|_| {});
    socket.write_all(&frame(7, 0, 1, b"garbage")).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("first message"), "{text:?}");
    child.wait().unwrap();
}

#[test]
fn an_input_that_is_not_a_socket_of_the_parent_is_refused() {
    let (child, socket) = start(|command| {
        command.stdin(Stdio::null());
    });
    assert!(refused((child, socket)).contains("started by linkspan itself"));
    // A process in between: the other end of the socket is not its parent's.
    let (child, socket) = start_between();
    assert!(refused((child, socket)).contains("started by linkspan itself"));
}

#[test]
fn a_gateway_of_another_user_is_refused() {
    // Only root may start a process as somebody else.
    if !std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t0") {
        return;
    }
    let (child, socket) = start(|command| {
        command.uid(65_534);
    });
    assert!(refused((child, socket)).contains("started by linkspan itself"));
}

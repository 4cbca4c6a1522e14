//! A process that confines itself as that of the key service does, and then tries what it must not be able to do.

use std::io::{self, BufRead as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::confine;

/// Where the test below asks for such a process.
const DIRECTORY: &str = "LINKSPAN_TEST_CONFINED";
/// Where the root key is for it.
const ROOT: &str = "LINKSPAN_TEST_CONFINED_ROOT";
/// A file that every system has, not beside the root key.
const ELSEWHERE: &str = "/etc/passwd";

/// What is tried, and by which measure it is refused; none where it goes on.
fn tries(root: &str) -> [(&'static str, Option<&'static str>); 8] {
    // The file of the next root key is still to be made there; what else a service is passed is not for this process.
    let beside = root.starts_with("credential:").then_some("landlock");
    [
        ("read the root key", None),
        ("read the next root key", None),
        ("read beside the root key", beside),
        ("read elsewhere", Some("landlock")),
        ("write beside the root key", Some("landlock")),
        ("connect over TCP", Some("seccomp")),
        ("connect over a local socket", Some("seccomp")),
        ("start a program", Some("seccomp")),
    ]
}

struct Place {
    directory: PathBuf,
    tcp: TcpListener,
    local: UnixListener,
}

impl Place {
    fn attempt(&self, what: &str) -> io::Result<()> {
        match what {
            "read the root key" => std::fs::read(self.directory.join("root.key")).map(drop),
            "read the next root key" => std::fs::read(self.directory.join("root.key.next")).map(drop),
            "read beside the root key" => std::fs::read(self.directory.join("tls.key")).map(drop),
            "read elsewhere" => std::fs::read(ELSEWHERE).map(drop),
            "write beside the root key" => std::fs::write(self.directory.join("other"), "x"),
            "connect over TCP" => TcpStream::connect(self.tcp.local_addr()?).map(drop),
            "connect over a local socket" => {
                let address = self.local.local_addr()?;
                UnixStream::connect(address.as_pathname().unwrap_or(Path::new(""))).map(drop)
            }
            _ => Command::new("/bin/true").status().map(drop),
        }
    }
}

/// No test but such a process, where the test below asks for one.
#[test]
fn a_confined_process() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let place = Place {
        tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
        local: UnixListener::bind(directory.join("socket")).unwrap(),
        directory,
    };
    let root = std::env::var(ROOT).unwrap();
    let tries = tries(&root);
    let before = tries.map(|(what, _)| place.attempt(what).is_ok());
    confine::harden().unwrap();
    let measures = [confine::fence(&root.parse().unwrap()), confine::filter()];
    let after = tries.map(|(what, _)| place.attempt(what));
    for measure in measures {
        println!("\nmeasure {} {}", measure.name, measure.in_force);
    }
    for ((what, _), (before, after)) in tries.iter().zip(before.iter().zip(after)) {
        println!("\ntried {what}: {before} {:?}", after.map_err(|error| error.kind()));
    }
    std::process::exit(0);
}

#[test]
fn what_confined_itself_reads_nothing_elsewhere_reaches_nobody_and_starts_nothing() {
    for kind in ["file", "link", "credential"] {
        let name = format!("linkspan-confined-{kind}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let root = match kind {
            "file" | "link" => format!("file:{}", directory.join("root.key").display()),
            _ => "credential:root.key".to_owned(),
        };
        std::fs::create_dir_all(&directory).unwrap();
        for file in ["root.key", "root.key.next", "tls.key"] {
            std::fs::write(directory.join(file), "no key").unwrap();
        }
        let kept = directory.with_extension("kept");
        if kind == "link" {
            std::fs::create_dir_all(&kept).unwrap();
            std::fs::rename(directory.join("root.key"), kept.join("root.key")).unwrap();
            std::os::unix::fs::symlink(kept.join("root.key"), directory.join("root.key")).unwrap();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["vault::tests::confined::a_confined_process", "--exact", "--nocapture"])
            .arg("--test-threads=1")
            .env(DIRECTORY, &directory)
            .env(ROOT, &root)
            .env("CREDENTIALS_DIRECTORY", &directory)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        if kind == "link" {
            std::fs::remove_dir_all(&kept).unwrap();
        }
        let said: Vec<String> = output.stdout.lines().map(Result::unwrap).collect();
        // Shown at the end of a run: what this kernel has not, this test proves nothing of.
        said.iter().filter(|line| line.starts_with("measure ")).for_each(|line| println!("{line}"));
        let in_force = |measure: &str| said.contains(&format!("measure {measure} true"));
        for (what, refused_by) in tries(&root) {
            let begin = format!("tried {what}: ");
            let tried = said.iter().find_map(|line| line.strip_prefix(&begin));
            let expected = match refused_by {
                Some(measure) if in_force(measure) => "true Err(PermissionDenied)",
                // The kernel of this machine has it not.
                Some(_) | None => "true Ok(())",
            };
            assert_eq!(tried, Some(expected), "{kind}, {what}: {said:#?}");
        }
    }
}

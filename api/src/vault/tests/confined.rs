//! A process that confines itself as that of the key service does, and then tries what it must not be able to do.

use std::io::{self, BufRead as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use keyservice::RootSource;

use super::super::confine;

/// Where the test below asks for such a process.
const DIRECTORY: &str = "LINKSPAN_TEST_CONFINED";
/// A file that every system has, not beside the root key.
const ELSEWHERE: &str = "/etc/passwd";

/// What is tried, and by which measure it is refused; none where it goes on.
const TRIES: [(&str, Option<&str>); 6] = [
    ("read beside the root key", None),
    ("read elsewhere", Some("landlock")),
    ("write beside the root key", Some("landlock")),
    ("connect over TCP", Some("seccomp")),
    ("connect over a local socket", Some("seccomp")),
    ("start a program", Some("seccomp")),
];

struct Place {
    directory: PathBuf,
    tcp: TcpListener,
    local: UnixListener,
}

impl Place {
    fn attempt(&self, what: &str) -> io::Result<()> {
        match what {
            "read beside the root key" => std::fs::read(self.directory.join("root.key")).map(drop),
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
    let before = TRIES.map(|(what, _)| place.attempt(what).is_ok());
    confine::harden().unwrap();
    let measures = [confine::fence(&RootSource::File(place.directory.join("root.key"))), confine::filter()];
    let after = TRIES.map(|(what, _)| place.attempt(what));
    for measure in measures {
        println!("\nmeasure {} {}", measure.name, measure.in_force);
    }
    for ((what, _), (before, after)) in TRIES.iter().zip(before.iter().zip(after)) {
        println!("\ntried {what}: {before} {:?}", after.map_err(|error| error.kind()));
    }
    std::process::exit(0);
}

#[test]
fn what_confined_itself_reads_nothing_elsewhere_reaches_nobody_and_starts_nothing() {
    let directory = std::env::temp_dir().join(format!("linkspan-confined-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("root.key"), "no key").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["vault::tests::confined::a_confined_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, &directory)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let said: Vec<String> = output.stdout.lines().map(Result::unwrap).collect();
    let in_force = |measure: &str| said.contains(&format!("measure {measure} true"));
    for (what, refused_by) in TRIES {
        let begin = format!("tried {what}: ");
        let tried = said.iter().find_map(|line| line.strip_prefix(&begin));
        let expected = match refused_by {
            Some(measure) if in_force(measure) => "true Err(PermissionDenied)",
            // The kernel of this machine has it not.
            Some(_) | None => "true Ok(())",
        };
        assert_eq!(tried, Some(expected), "{what}: {said:#?}");
    }
}

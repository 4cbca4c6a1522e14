//! The gateway's memory: after connections were made and used for a day, no byte of a key is in it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use linkspan::domain::requester::Role;
use linkspan::vault::Form;
use secrecy::SecretString;
use serde_json::json;

use super::child::arguments;
use super::unwrap::{Kept, secrets};
use crate::harness::{Database, Pair, Stage};

const ROLE: &str = "LINKSPAN_TEST_GATEWAY";
/// Parts of a day, in hours; whatever is due in one is done when it is over.
const PART: i64 = 6;

/// No test but two instances, where the test below asks for a process to look into.
#[test]
fn a_gateway() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut pair = Pair::prepare(Database::Sqlite).await;
        pair.provider.config.keyservice.form = Form::Process;
        pair.consumer.config.keyservice.form = Form::Process;
        pair.run().await;
        let stage = Stage::open_over(pair).await;
        stage.onboard().await;
        let pair = &stage.pair;
        for instance in [&pair.provider, &pair.consumer] {
            let manager = instance.person("manager", &[Role::KeyManager]).await;
            manager.mutate("rotateKeyModule", json!({ "module": "tokens" }), "keyModule { name }").await;
        }
        // Put together while it runs, so that it is in memory that is written and nowhere else.
        let (planted, whole) = (format!("planted {}", 7 * 191), pair.link_in_letter());
        for _ in 0..24 / PART {
            pair.advance(PART * 60 * 60).await;
            for actions in [&pair.provider, &pair.consumer].map(|instance| instance.app().actions()) {
                for number in 0..100 {
                    let link = SecretString::from(format!("{whole}&x={planted} {number}"));
                    let kept = actions.keep_link(&link).await.unwrap();
                    actions.kept_link(&kept).await.unwrap();
                }
                actions.identity().await.unwrap();
            }
        }
        for instance in [&pair.provider, &pair.consumer] {
            let process = instance.app().actions().keys().process().unwrap();
            println!("\ninstance {process} {}", instance.config.data_dir.display());
        }
        println!("\nready {}", planted.len());
        // Until the test has seen enough.
        let _ = std::io::stdin().lines().next();
    });
    std::process::exit(0);
}

/// What of these is in the memory that a process can write; none when the system does not let us look.
fn found(pid: u32, wanted: &[Vec<u8>]) -> Option<Vec<usize>> {
    const CHUNK: usize = 1 << 20;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = BufReader::new(File::open(format!("/proc/{pid}/maps")).ok()?);
    let mut starts = vec![false; 1 << 16];
    for bytes in wanted {
        starts[usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))] = true;
    }
    let longest = wanted.iter().map(Vec::len).max()?;
    let mut hits = std::collections::BTreeSet::new();
    for line in maps.lines() {
        let line = line.unwrap();
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut buffer = vec![0; CHUNK];
        while at < to {
            let want = CHUNK.min(usize::try_from(to - at).unwrap());
            let Ok(read) = memory.read_at(&mut buffer[..want], at) else { break };
            for (offset, pair) in buffer[..read].windows(2).enumerate() {
                if starts[usize::from(u16::from_le_bytes([pair[0], pair[1]]))] {
                    let here = &buffer[offset..read];
                    hits.extend((0..wanted.len()).filter(|one| here.starts_with(&wanted[*one])));
                }
            }
            if read < want || read <= longest {
                break;
            }
            // What lies across two chunks is whole in the second.
            let step = if at + read as u64 >= to { read } else { read - longest };
            at += step as u64;
        }
    }
    Some(hits.into_iter().collect())
}

#[test]
fn no_byte_of_a_key_is_in_the_memory_of_the_gateway() {
    let mut gateway = Command::new("/proc/self/exe")
        .args(arguments("vault::memory::a_gateway"))
        .env(ROLE, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(gateway.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut instances: Vec<(u32, PathBuf)> = Vec::new();
    for line in lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["instance", process, directory] => instances.push((process.parse().unwrap(), directory.into())),
            ["ready", _] => break,
            _ => {}
        }
    }
    assert_eq!(instances.len(), 2, "both instances run");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut roots = Vec::new();
    for (process, directory) in &instances {
        let Kept { root, all } = runtime.block_on(secrets(directory));
        let modules: Vec<&str> = all.iter().map(|(module, _)| module.split('/').next().unwrap()).collect();
        for module in ["hierarchy", "identity", "audit", "tokens", "data", "links"] {
            assert!(modules.contains(&module), "the key of {module} is among them: {modules:?}");
        }
        keys.extend(all.into_iter().map(|(_, secret)| secret));
        keys.push(root.clone());
        roots.push((*process, root));
    }

    let planted = [b"planted 1337".to_vec()];
    assert_eq!(found(gateway.id(), &planted).unwrap(), [0], "the search finds what is there");
    assert_eq!(found(gateway.id(), &keys).unwrap(), Vec::<usize>::new(), "keys in the gateway's memory");
    // Closed to us, too, unless we may look into everything.
    for (process, root) in roots {
        if let Some(held) = found(process, &[root]) {
            assert_eq!(held, [0], "the process of the key service holds the root key");
        }
    }
    drop(gateway.stdin.take());
    gateway.wait().unwrap();
}

//! The gateway's memory: after a thousand uses of keys, no byte of a key is in it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use keyservice::{Algorithm, Entropy, KeyService, KeySpec, Purpose, RootKey, SystemEntropy};
use linkspan::vault::Form;
use secrecy::SecretString;

use super::child::{Seeded, arguments, seeded_launcher};
use crate::harness::{Database, Pair, Scratch};

const DIRECTORY: &str = "LINKSPAN_TEST_GATEWAY_DIRECTORY";
const SEED: &str = "a dump of the memory";

/// No test but an instance, where the test below asks for one to look into.
#[test]
fn a_gateway() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut pair = Pair::prepare(Database::Sqlite).await;
        let instance = &mut pair.provider;
        instance.config.keyservice.form = Form::Process;
        instance.config.root_key_file = Some(Path::new(&directory).join("root.key"));
        instance.config.database.url = format!("sqlite:{}", Path::new(&directory).join("a.db").display());
        instance.launcher = seeded_launcher(SEED);
        instance.start(None).await;
        // Put together while it runs, so that it is in memory that is written and nowhere else.
        let planted = format!("planted {}", 7 * 191);
        let actions = instance.app().actions();
        for number in 0..500 {
            let link = SecretString::from(format!("{planted} {number}"));
            let kept = actions.keep_link(&link).await.unwrap();
            actions.kept_link(&kept).await.unwrap();
            if number % 5 == 0 {
                actions.identity().await.unwrap();
            }
        }
        let pid = actions.keys().process().unwrap();
        println!("\nready {pid} {}", planted.len());
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

/// The secrets that the process of that seed makes for a new instance: all its chance up to then that is not, as a salt,
/// in the database.
fn secrets(database: &[u8]) -> Vec<Vec<u8>> {
    let entropy = Arc::new(Seeded::new(SEED));
    let root = RootKey::from_bytes([1; 32]);
    let (service, _) = KeyService::initialise(&root, [1; 16], entropy.clone(), 0).unwrap();
    for (purpose, algorithm) in
        [(Purpose::IdentitySigning, Algorithm::Ed25519), (Purpose::DataEncryption, Algorithm::Aes256Gcm)]
    {
        let (id, module) = ([1; 16], "module".to_owned());
        let spec = KeySpec {
            id,
            module,
            purpose,
            algorithm,
            version: 1,
            expires_at: None,
            activate: true,
            exportable: false,
        };
        service.generate(&spec, 0).unwrap();
    }
    let all = (1..=entropy.count()).map(|number| Seeded::chunk(SEED, number).to_vec());
    all.filter(|bytes| !database.windows(32).any(|window| window == bytes)).collect()
}

#[test]
fn no_byte_of_a_key_is_in_the_memory_of_the_gateway() {
    let scratch = Scratch::new();
    let mut root = [0; 32];
    SystemEntropy.fill(&mut root).unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o400).open(scratch.0.join("root.key")).unwrap();
    file.write_all(&root).unwrap();
    let mut gateway = Command::new("/proc/self/exe")
        .args(arguments("vault::memory::a_gateway"))
        .env(DIRECTORY, &scratch.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.find(|line| line.starts_with("ready")).expect("the gateway starts");
    let service: u32 = ready.split(' ').nth(1).unwrap().parse().unwrap();

    let database: Vec<u8> = ["a.db", "a.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(scratch.0.join(name)).unwrap_or_default())
        .collect();
    let mut keys = secrets(&database);
    // The instance root key, a key encryption key, the integrity key, the identity's seed, the data key.
    assert!(keys.len() >= 5, "{} secrets", keys.len());
    keys.push(root.to_vec());

    let planted = [b"planted 1337".to_vec()];
    assert_eq!(found(gateway.id(), &planted).unwrap(), [0], "the search finds what is there");
    assert_eq!(found(gateway.id(), &keys).unwrap(), Vec::<usize>::new(), "keys in the gateway's memory");
    // Closed to us, too, unless we may look into everything.
    if let Some(held) = found(service, &keys) {
        assert!(held.contains(&(keys.len() - 1)), "the process of the key service holds the root key");
    }
    drop(gateway.stdin.take());
    gateway.wait().unwrap();
}

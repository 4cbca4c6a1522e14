//! What the process gives up before it answers anything.
//!
//! First what must hold, without which it does not start: no core dumps, no reading of its memory by others of the same
//! user, no new privileges. Then, with the root key read, what the kernel has: landlock leaves it nothing but to read
//! root keys, seccomp nothing but the system calls of a program that computes and answers.

use std::io;
use std::path::{Path, PathBuf};

use keyservice::RootSource;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use super::protocol::Measure;

/// The newest rules of landlock that are asked for; an older kernel enforces those it knows.
const LANDLOCK: ABI = ABI::V6;

/// Core dumps off, memory closed to others, no new privileges.
///
/// # Errors
/// When the system refuses one of them.
pub(super) fn harden() -> io::Result<Vec<Measure>> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(["no core dumps", "memory closed to other processes", "no new privileges"]
        .map(|name| Measure { name: name.to_owned(), in_force: true })
        .to_vec())
}

/// Landlock for this thread and those it starts: what may still be read is [`readable`], and nothing where the root key
/// is not in a file.
pub(super) fn fence(root: &RootSource) -> Measure {
    let in_force = match landlocked(root) {
        Ok(status) => status != RulesetStatus::NotEnforced,
        Err(_) => false,
    };
    Measure { name: "landlock".to_owned(), in_force }
}

fn landlocked(root: &RootSource) -> Result<RulesetStatus, RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    // What is not there can have no rule, and needs none.
    let ruleset = readable(root)
        .iter()
        .filter_map(|path| PathFd::new(path).ok())
        .try_fold(ruleset, |rules, path| rules.add_rule(PathBeneath::new(path, AccessFs::ReadFile)))?;
    Ok(ruleset.restrict_self()?.ruleset)
}

/// What stays readable: the root key, and the next one, which is read when it is rotated. Landlock goes by what is there,
/// and the file of the next one is made later: so it is the directory, and everything in it; and the file, which may be a
/// link to another directory. The credentials of a service are all there when it starts.
fn readable(root: &RootSource) -> Vec<PathBuf> {
    match root {
        RootSource::Credential(_) => [Some(root.clone()), root.next()]
            .into_iter()
            .flatten()
            .filter_map(|source| source.path())
            .collect(),
        RootSource::File(path) => {
            path.parent().into_iter().chain([path.as_path()]).map(Path::to_path_buf).collect()
        }
        RootSource::Environment(_) => Vec::new(),
    }
}

/// Seccomp for every thread of the process: whatever is not listed is refused with `EPERM`. No network, no other
/// program, no other process.
pub(super) fn filter() -> Measure {
    let in_force = TargetArch::try_from(std::env::consts::ARCH)
        .and_then(|arch| {
            let listed = allowed().into_iter().map(|call| (call, Vec::new())).collect();
            SeccompFilter::new(listed, SeccompAction::Errno(1), SeccompAction::Allow, arch)
        })
        .and_then(TryInto::<seccompiler::BpfProgram>::try_into)
        .is_ok_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok());
    Measure { name: "seccomp".to_owned(), in_force }
}

/// The system calls of a program whose threads are all there: its socket, its memory, locks, chance, reading a file.
fn allowed() -> Vec<i64> {
    let mut calls = vec![
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_ppoll,
        libc::SYS_close,
        libc::SYS_shutdown,
        libc::SYS_fcntl,
        libc::SYS_openat,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_lseek,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_membarrier,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([libc::SYS_poll, libc::SYS_stat]);
    calls
}

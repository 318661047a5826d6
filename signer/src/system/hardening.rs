//! Protection of the process's memory, before a key is in it.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// The most open descriptors: a listening socket, the connections, the log, and short-lived ones.
const OPEN_FILES: u64 = 64;

/// Makes the process undumpable: it leaves no core file, and no other process of the same user may read its
/// memory. The signer does not go on without this.
///
/// # Errors
/// The kernel refuses, or a process that attached before can read the memory all the same.
pub fn harden() -> io::Result<()> {
    prctl::set_dumpable(false)?;
    if let Some(tracer) = tracer() {
        return Err(io::Error::other(format!("the process {tracer} traces it: end that, and start again")));
    }
    // A core file would hold the keys.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    Ok(prctl::set_no_new_privs()?)
}

/// The process that traces this one (`proc_pid_status(5)`). `None` without one, and without `/proc`, which
/// alone could tell.
fn tracer() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().to_owned();
    (tracer != "0").then_some(tracer)
}

//! What the process does to itself before it touches a key.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// A socket to listen at, a connection or two, the log, and what is open for a moment.
const OPEN_FILES: u64 = 64;

/// Makes the process undumpable: no core file, and no other process of the same user may read its memory. Strict: with
/// keys in memory there is no going on without it.
pub fn harden() -> nix::Result<()> {
    prctl::set_dumpable(false)?;
    // A core would hold the keys.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    prctl::set_no_new_privs()
}

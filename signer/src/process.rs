//! What the process does to itself before it touches a key.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Makes the process undumpable: no core file, and no other process of the same user may read its memory. Strict: with
/// keys in memory there is no going on without it.
pub fn harden() -> nix::Result<()> {
    prctl::set_dumpable(false)?;
    // A core would hold the keys.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_no_new_privs()
}

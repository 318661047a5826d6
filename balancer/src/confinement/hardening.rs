//! What the process does to itself before it reads anything.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Makes the process undumpable: no core file, and no other process of the same user may read its memory, where the password
/// of tor's control port and the cookies of v2 backends are. No program that it starts gains privileges.
pub fn harden() -> nix::Result<()> {
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_no_new_privs()
}

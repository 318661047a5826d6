//! Protection of the process's memory, before it reads anything.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Makes the process undumpable: it leaves no core file, and no other process of the same user may read its
/// memory, which has the password of tor's control port and the cookies of v2 backends. Programs that it
/// starts gain no privileges.
///
/// # Errors
/// The kernel refuses.
pub fn harden() -> nix::Result<()> {
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_no_new_privs()
}

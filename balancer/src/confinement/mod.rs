//! What the balancer's process does to itself. It holds no key, but it reads what strangers send: whoever takes it over
//! finds a process that can reach tor, the signer and a few directories, and do nothing else.
//!
//! The order of start: [`hardening`] first; [`user`] drops root before the log file is made; then all sockets are opened,
//! the signer is started if it is to be a child, and [`Reach`] says what will be needed; [`confine`] gives up the rest. Until
//! then tor is asked nothing but where the cookie of its control port lies.
//!
//! The signer does the like in its own room, with narrower lists. What both have in common are single calls of `nix`,
//! `landlock` and `seccompiler`: a crate of its own for them would hold nothing that one could judge by itself.

mod bounds;
mod files;
pub mod hardening;
mod reach;
mod reading;
pub mod system_calls;
pub mod user;

use landlock::RulesetError;
use seccompiler::BackendError;
use tracing::warn;

pub use self::bounds::{Bounds, OutOfBounds};
pub use self::reach::Reach;
pub use self::reading::Confinement;

/// Why the process is not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// Landlock refuses.
    #[error("cannot confine the process (landlock): {0}")]
    Landlock(#[from] RulesetError),
    /// The filter cannot be made for this machine.
    #[error("cannot filter system calls on this machine: {0}")]
    Filter(#[from] BackendError),
    /// The kernel refuses the filter.
    #[error("cannot filter system calls (seccomp): {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Gives up everything that is not within `reach`; there is no way back. Where `reach` knows no tor's cookie, reading is
/// given up later, by [`Confinement::meet`].
pub fn confine(reach: Reach) -> Result<Confinement, ConfinementError> {
    if !files::restrict_all_but_reading(&reach)? {
        warn!(
            "the kernel has no landlock, by which the balancer gives up its files: boot it with landlock among lsm="
        );
    }
    if onionbalance_process::is_root() {
        warn!("running as root: set `user` in the configuration to drop root");
    }
    let confinement = if reach.is_complete() {
        let bounds = Bounds::of(&reach);
        files::restrict_reading(&reach)?;
        system_calls::restrict(&reach)?;
        Confinement::complete(bounds)
    } else {
        system_calls::restrict(&reach)?;
        Confinement::awaiting(reach)
    };
    Ok(confinement)
}

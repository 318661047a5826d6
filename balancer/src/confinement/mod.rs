//! The confinement of the balancer's process. It holds no key, but it reads bytes of strangers: an attacker
//! in its place can reach tor, the signer and a few directories, and nothing else.
//!
//! The order of start: [`hardening`] first; [`user`] drops root before the log file is created; then all
//! sockets are opened, and the signer is started if it is to be a child. [`Reach`] collects what the process
//! will need, and [`confine`] gives up the rest. Until then tor is asked only for the path of its control
//! port's cookie.
//!
//! The signer has the same measures in a module of its own, with narrower lists. The common part is single
//! calls of `nix`, `landlock` and `seccompiler`, too little for a crate.

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

/// The restrictions that a confined process lacks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lacking {
    /// True if the kernel has no landlock, so that it keeps every file that its user can reach.
    pub landlock: bool,
    /// True if it has no user of its own: it is root's.
    pub user: bool,
}

/// The reason for which the process is not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// The kernel refuses the rules of landlock.
    #[error("cannot confine the process (landlock): {0}")]
    Landlock(#[from] RulesetError),
    /// The filter cannot be made for this machine.
    #[error("cannot filter system calls on this machine: {0}")]
    Filter(#[from] BackendError),
    /// The kernel refuses the filter.
    #[error("cannot filter system calls (seccomp): {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Gives up everything that is not within `reach`; there is no way back. If `reach` has no tor's cookie yet,
/// [`Confinement::meet`] gives up reading later.
///
/// # Errors
/// The kernel refuses, or has no filter for this machine.
pub fn confine(reach: Reach) -> Result<Confinement, ConfinementError> {
    let has_landlock = files::restrict_all_but_reading(&reach)?;
    let lacking = Lacking { landlock: !has_landlock, user: onionbalance_process::is_root() };
    if lacking.landlock {
        warn!(
            problem = "NOT_CONFINED",
            "the kernel has no landlock, by which the balancer gives up its files: boot it with landlock among lsm="
        );
    }
    if lacking.user {
        warn!(problem = "RUNS_AS_ROOT", "running as root: set `user` in the configuration to drop root");
    }
    let confinement = if reach.is_complete() {
        let bounds = Bounds::of(&reach);
        files::restrict_reading(&reach)?;
        system_calls::restrict(&reach)?;
        Confinement::complete(bounds, lacking)
    } else {
        system_calls::restrict(&reach)?;
        Confinement::awaiting(reach, lacking)
    };
    Ok(confinement)
}

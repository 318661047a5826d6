//! SIGHUP as something that can be waited for like a request.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Requests to read the configuration anew.
pub struct ReloadRequests(SignalFd);

impl ReloadRequests {
    /// From now on SIGHUP does not end the process.
    pub fn subscribe() -> nix::Result<Self> {
        let hangup = SigSet::from_iter([Signal::SIGHUP]);
        hangup.thread_block()?;
        Ok(Self(SignalFd::with_flags(&hangup, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether there was one since this was last asked.
    pub fn take(&self) -> bool {
        let mut any = false;
        while let Ok(Some(_)) = self.0.read_signal() {
            any = true;
        }
        any
    }
}

impl AsFd for ReloadRequests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

//! Signals: SIGHUP reloads, SIGTERM, SIGINT and SIGQUIT end the process with status 0, SIGUSR1 and SIGUSR2 do
//! nothing.

#![expect(unsafe_code, reason = "what a signal does is set for the whole process")]

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask the process to end.
const END: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
/// SIGUSR1 and SIGUSR2 make tor print statistics and log more; here they are ignored. SIGXFSZ reports a log
/// file that may not grow; the failed write reports it too.
const IGNORED: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGXFSZ];

/// Sets handlers for the time before [`Signals::subscribe`]: a signal that asks the process to end ends it at
/// once.
///
/// # Errors
/// The kernel refuses a handler.
pub fn prepare() -> nix::Result<()> {
    let ends = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    let ignores = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    let actions = END.map(|signal| (signal, ends)).into_iter().chain(IGNORED.map(|signal| (signal, ignores)));
    for (signal, action) in actions {
        // SAFETY: the handler makes one system call, which is safe in a handler (signal-safety(7)).
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: it does not return, and runs nothing of this program.
    unsafe { libc::_exit(0) }
}

/// Signals as a descriptor that the loop waits for.
pub struct Signals(SignalFd);

impl Signals {
    /// From this call on SIGHUP and the signals that end the process wait until they are taken.
    ///
    /// # Errors
    /// The kernel gives no descriptor for signals.
    pub fn subscribe() -> nix::Result<Self> {
        let signals: SigSet = END.into_iter().chain([Signal::SIGHUP]).collect();
        signals.thread_block()?;
        Ok(Self(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The signal that has come since the last call; `None` without one. One that asks the process to end
    /// takes precedence over SIGHUP.
    pub fn take(&self) -> Option<Signal> {
        let mut taken = None;
        while let Ok(Some(found)) = self.0.read_signal() {
            let ends = END.into_iter().find(|signal| u32::try_from(*signal as i32) == Ok(found.ssi_signo));
            taken = ends.or(taken).or(Some(Signal::SIGHUP));
        }
        taken
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

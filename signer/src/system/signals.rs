//! Signals: SIGHUP reloads, SIGTERM, SIGINT and SIGQUIT end the process with status 0, SIGUSR1 and SIGUSR2 do nothing.

#![expect(unsafe_code, reason = "what a signal does is set for the whole process")]

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Those that ask the process to end.
const END: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
/// SIGUSR1 and SIGUSR2 have tor print statistics and more of its log. SIGXFSZ reports a log file that may not grow, which the
/// failed write reports, too.
const IGNORED: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGXFSZ];

/// For the time before [`Signals::subscribe`]: a signal that asks the process to end does so at once.
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

/// Signals as something that can be waited for like a request.
pub struct Signals(SignalFd);

impl Signals {
    /// From now on SIGHUP and the signals that end the process wait until they are taken.
    pub fn subscribe() -> nix::Result<Self> {
        let signals: SigSet = END.into_iter().chain([Signal::SIGHUP]).collect();
        signals.thread_block()?;
        Ok(Self(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The signal that has come since the last call. One that asks the process to end takes precedence over SIGHUP.
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

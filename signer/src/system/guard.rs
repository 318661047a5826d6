//! A bound for system calls that should not wait, but that a peer can make wait.
//!
//! A descriptor that a peer passes (`SCM_RIGHTS`) is closed by the kernel in our process as soon as its
//! message is read or its connection closed. The close of a TCP socket may linger for as long as its other
//! end likes (socket(7), `SO_LINGER`). Linux 6.16 lets a listener refuse descriptors (`SO_PASSRIGHTS`,
//! [`refuse_descriptors`]). Older kernels cannot, and on newer ones a connection may be older than this
//! process. A signal ends such a wait on every kernel. It does not end a wait that the kernel makes
//! uninterruptible, such as for the silent daemon of a FUSE file.

#![expect(unsafe_code, reason = "a signal handler, and a socket option that has no safe interface")]

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

/// The longest wait of one system call.
const INTERVAL: Duration = Duration::from_millis(5);

/// A timer that sends a signal again and again while it is armed.
pub struct Guard(Timer);

const SIGNAL: Signal = Signal::SIGALRM;

impl Guard {
    /// A guard that is not armed.
    ///
    /// # Errors
    /// The kernel gives this process no timer.
    pub fn new() -> nix::Result<Self> {
        // A handler, because an ignored signal ends no wait; without SA_RESTART, which would resume the wait.
        let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(SIGNAL, &action)? };
        let event = SigEvent::new(SigevNotify::SigevSignal { signal: SIGNAL, si_value: 0 });
        Timer::new(ClockId::CLOCK_MONOTONIC, event).map(Self)
    }

    /// From now on no interruptible system call waits for much longer than 5 ms.
    pub fn arm(&mut self) {
        self.set(INTERVAL);
    }

    /// Disarms the guard for the one system call that is to wait, and arms it again.
    pub fn rest<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        // The timer's zero disarms it (`timer_settime(2)`).
        self.set(Duration::ZERO);
        let outcome = wait();
        self.arm();
        outcome
    }

    fn set(&mut self, interval: Duration) {
        // The arguments are valid, so the kernel takes them.
        let _ = self.0.set(Expiration::Interval(interval.into()), TimerSetTimeFlags::empty());
    }
}

extern "C" fn interrupt(_: libc::c_int) {}

/// `SO_PASSRIGHTS` of Linux 6.16 (include/uapi/asm-generic/socket.h).
const PASS_RIGHTS: libc::c_int = 83;

/// Has the kernel refuse descriptors that are sent to this socket, and to those that are accepted from it.
/// Kernels before Linux 6.16 do not know the option; [`Guard`] alone bounds the wait there.
pub fn refuse_descriptors(socket: &impl AsFd) {
    let no: libc::c_int = 0;
    let length = size_of_val(&no).try_into().unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes at the address of `no`.
    unsafe {
        let descriptor = socket.as_fd().as_raw_fd();
        libc::setsockopt(descriptor, libc::SOL_SOCKET, PASS_RIGHTS, (&raw const no).cast(), length);
    }
}

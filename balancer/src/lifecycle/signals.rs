//! Signals that operators and service managers send.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end the process.
pub struct Endings {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Endings {
    /// From now on these signals are waited for.
    pub fn subscribe() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for one of them.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// A request to a process that goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1, at which tor logs its statistics: log the status.
    LogStatus,
    /// SIGUSR2, at which tor logs at level debug: the same, and back at the next one.
    ToggleDebug,
}

/// Signals that ask for something.
pub struct Requests {
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Requests {
    /// From now on these signals do not end the process.
    pub fn subscribe() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next request. Several of one kind that came meanwhile are one.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.hangup.recv() => Request::Reload,
            _ = self.user_1.recv() => Request::LogStatus,
            _ = self.user_2.recv() => Request::ToggleDebug,
        }
    }
}

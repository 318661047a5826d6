//! The signals of operators and service managers.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end the process.
pub struct Endings {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Endings {
    /// Receives these signals from now on.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn subscribe() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for one of these signals.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// A request after which the process goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1, which makes tor log its statistics: log the status.
    LogStatus,
    /// SIGUSR2, which makes tor log at level debug: do so too, and switch back at the next one.
    ToggleDebug,
}

/// Signals that request something.
pub struct Requests {
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Requests {
    /// Receives these signals from now on; they do not end the process.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn subscribe() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next request. Several of one kind that came in the meantime count as one.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.hangup.recv() => Request::Reload,
            _ = self.user_1.recv() => Request::LogStatus,
            _ = self.user_2.recv() => Request::ToggleDebug,
        }
    }
}

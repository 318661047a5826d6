//! Which files can be read: given up as soon as a tor has said where it keeps the cookie of its control port.
//!
//! Landlock has no way back. A process that gave up reading before any tor was there could not read the cookie of the tor
//! that is started after it. So reading waits for the first answer to PROTOCOLINFO. Until then there is no tor from which a
//! stranger's bytes could come.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bounds::{Bounds, OutOfBounds};
use super::files;
use super::reach::Reach;
use crate::tor::Endpoint;

/// The state of this process's confinement. Clones share it.
#[derive(Clone, Debug)]
pub struct Confinement(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bounds: Bounds,
    /// The files that are needed besides the first cookie. `Some` while all files can be read.
    awaiting: Option<Reach>,
}

impl Confinement {
    /// Reading is given up.
    pub(super) fn complete(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(State { bounds, awaiting: None })))
    }

    /// All files can be read until a tor is met.
    pub(super) fn awaiting(reach: Reach) -> Self {
        let bounds = Bounds::of(&reach);
        Self(Arc::new(Mutex::new(State { bounds, awaiting: Some(reach) })))
    }

    /// Whether no tor has been met. Then this thread has to be the only one: landlock restricts the thread that asks for it
    /// and those that it starts later (landlock(7)).
    pub fn awaits_tor(&self) -> bool {
        self.state().awaiting.is_some()
    }

    /// To be called before a tor is authenticated to: it keeps its cookie in `cookie`, or wants none. The first call gives up
    /// reading.
    ///
    /// # Errors
    /// [`OutOfBounds::Cookie`] if the cookie is there and the process has given up its directory;
    /// [`OutOfBounds::Landlock`] if the kernel refuses to give up reading.
    pub fn meet(&self, cookie: Option<&Path>) -> Result<(), OutOfBounds> {
        let mut state = self.state();
        if let Some(mut reach) = state.awaiting.take() {
            if let Some(cookie) = cookie {
                reach.cookie(cookie);
            }
            state.bounds = Bounds::of(&reach);
            files::restrict_reading(&reach).map_err(|error| OutOfBounds::Landlock(error.to_string()))?;
        }
        cookie.map_or(Ok(()), |cookie| state.bounds.may_read_cookie(cookie))
    }

    /// Whether a tor's cookie can be read, as far as its own mode allows it.
    pub fn may_read_cookie(&self, cookie: &Path) -> Result<(), OutOfBounds> {
        let state = self.state();
        if state.awaiting.is_some() { Ok(()) } else { state.bounds.may_read_cookie(cookie) }
    }

    /// Whether a control port can be connected to.
    pub fn may_connect(&self, endpoint: &Endpoint) -> Result<(), OutOfBounds> {
        self.state().bounds.may_connect(endpoint)
    }

    /// Whether every port can be connected to.
    pub fn may_connect_anywhere(&self) -> Result<(), OutOfBounds> {
        self.state().bounds.may_connect_anywhere()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

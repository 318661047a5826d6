//! The files that can be read. Reading is given up as soon as a tor has named the file of its control port's
//! cookie.
//!
//! Landlock has no way back. If the process gave up reading before it met a tor, it could not read the cookie
//! of a tor that is started later. So reading waits for the first answer to PROTOCOLINFO. Until then there is
//! no tor from which a stranger's bytes could come. The port of the metrics, which is closed by default,
//! takes requests of HTTP.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Lacking;
use super::bounds::{Bounds, OutOfBounds};
use super::files;
use super::reach::Reach;
use crate::endpoint::Endpoint;

/// The state of this process's confinement. Clones share it.
#[derive(Clone, Debug)]
pub struct Confinement(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bounds: Bounds,
    lacking: Lacking,
    /// The files that are needed besides the first cookie; `None` after reading was given up.
    awaiting: Option<Reach>,
}

impl Confinement {
    /// The state after reading was given up.
    pub(super) fn complete(bounds: Bounds, lacking: Lacking) -> Self {
        Self(Arc::new(Mutex::new(State { bounds, lacking, awaiting: None })))
    }

    /// The state before a tor is met: all files can be read.
    pub(super) fn awaiting(reach: Reach, lacking: Lacking) -> Self {
        let bounds = Bounds::of(&reach);
        Self(Arc::new(Mutex::new(State { bounds, lacking, awaiting: Some(reach) })))
    }

    /// The restrictions that this process lacks.
    pub fn lacking(&self) -> Lacking {
        self.state().lacking
    }

    /// True if no tor has been met. Then the process must not have another thread: landlock restricts the
    /// thread that asks for it, and those that it starts later (landlock(7)).
    pub fn awaits_tor(&self) -> bool {
        self.state().awaiting.is_some()
    }

    /// Takes the file of a tor's cookie before the balancer authenticates to that tor; `None` if tor wants no
    /// cookie. The first call gives up reading.
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

    /// Checks that a tor's cookie can be read, apart from its own mode.
    ///
    /// # Errors
    /// [`OutOfBounds::Cookie`] if its directory was given up.
    pub fn may_read_cookie(&self, cookie: &Path) -> Result<(), OutOfBounds> {
        let state = self.state();
        if state.awaiting.is_some() { Ok(()) } else { state.bounds.may_read_cookie(cookie) }
    }

    /// Checks that a control port can be connected to.
    ///
    /// # Errors
    /// [`OutOfBounds::Port`] if the port was given up.
    pub fn may_connect(&self, endpoint: &Endpoint) -> Result<(), OutOfBounds> {
        self.state().bounds.may_connect(endpoint)
    }

    /// Checks that tor's SOCKS port can be connected to: a TCP port, or any that tor may name (`None`).
    /// `purpose` is what needs it, for the message.
    ///
    /// # Errors
    /// [`OutOfBounds::Socks`] if the port was given up.
    pub fn may_connect_to_socks(&self, port: Option<u16>, purpose: &'static str) -> Result<(), OutOfBounds> {
        self.state().bounds.may_connect_to_socks(port, purpose)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

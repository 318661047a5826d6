//! The life of the process: its start, the requests of operators and service managers, and its end.
//!
//! [`Setup`] is the combination of command line, file and environment. [`Balancer::start`] makes a confined
//! process of it, for which signer and tor may still be missing; [`Balancer::serve`] waits for the signer,
//! and balances the services on which both agree. [`signals`] and [`service_manager`] connect the process to
//! operators and service managers.

mod agreement;
mod reload;
pub mod service_manager;
mod setup;
pub mod signals;
mod start;

use std::error::Error;
use std::time::Duration;

use tokio::time::Interval;

use self::agreement::Agreement;
use self::service_manager::ServiceManager;
pub use self::setup::{Setup, SetupError};
use self::signals::{Request, Requests};
pub use self::start::Sockets;
use crate::confinement::Confinement;
use crate::log::Verbosity;
use crate::runtime::{Runtimes, StatusBoard};
use crate::signer::{ChildSigner, SignerError};
use crate::status::{self, Daily};

/// The time between two lines in the log about the day of a service.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The running balancer with its configuration, and the bounds of its process.
pub struct Balancer {
    setup: Setup,
    /// The setup at the start: some of it stays in force until the process ends.
    started_as: Setup,
    verbosity: Verbosity,
    confinement: Confinement,
    child: Option<ChildSigner>,
    runtimes: Runtimes,
    agreement: Agreement,
    manager: ServiceManager,
    daily: Daily,
    /// Ticks when a day is over.
    days: Interval,
}

impl Balancer {
    /// A board that shows the status of all services.
    pub fn board(&self) -> StatusBoard {
        self.runtimes.board()
    }

    /// Balances by the newest valid configuration. Returns when something that is needed has ended for good,
    /// with the reason.
    pub async fn serve(&mut self, requests: &mut Requests) -> Box<dyn Error> {
        loop {
            tokio::select! {
                refused = self.runtimes.refused() => return refused.into(),
                ended = end(self.child.as_mut()) => return ended.into(),
                request = requests.next() => self.heed(request).await,
                _ = self.days.tick() => self.daily.log(&self.runtimes.board()).await,
                () = self.agreement.due() => {
                    if let Err(problem) = self.ask_signer().await {
                        return problem.into();
                    }
                }
            }
        }
    }

    async fn heed(&mut self, request: Request) {
        match request {
            Request::Reload => self.reload().await,
            Request::LogStatus => status::log(&self.board()).await,
            Request::ToggleDebug => self.verbosity.toggle_debug(),
        }
    }
}

/// Waits for the end of a signer that is our child; forever without one.
async fn end(child: Option<&mut ChildSigner>) -> SignerError {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

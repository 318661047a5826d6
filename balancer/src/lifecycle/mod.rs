//! The life of the process: its start, the requests of operators and service managers, and its end.
//!
//! [`Setup`] is what the command line, the file and the environment say together. [`Balancer::start`] makes a confined
//! process of it, for which signer and tor may still be missing; [`Balancer::serve`] waits for the signer, and balances
//! what the signer agrees to. [`signals`] and [`service_manager`] are how the outside speaks to the process and hears of it.

mod agreement;
mod reload;
pub mod service_manager;
mod setup;
pub mod signals;
mod start;

use std::error::Error;

use self::agreement::Agreement;
use self::service_manager::ServiceManager;
pub use self::setup::{Setup, SetupError};
use self::signals::{Request, Requests};
use crate::confinement::Confinement;
use crate::log::Verbosity;
use crate::runtime::{Runtimes, StatusBoard};
use crate::signer::{ChildSigner, SignerError};
use crate::status;

/// The running balancer with its configuration, and the bounds of its process.
pub struct Balancer {
    setup: Setup,
    /// As it was at the start: some of it stays in force until the process ends.
    started_as: Setup,
    verbosity: Verbosity,
    confinement: Confinement,
    child: Option<ChildSigner>,
    runtimes: Runtimes,
    agreement: Agreement,
    manager: ServiceManager,
}

impl Balancer {
    /// Shows how all services are.
    pub fn board(&self) -> StatusBoard {
        self.runtimes.board()
    }

    /// Balances by the newest valid configuration, until something is missing that does not come back.
    pub async fn serve(&mut self, requests: &mut Requests) -> Box<dyn Error> {
        loop {
            tokio::select! {
                refused = self.runtimes.refused() => return refused.into(),
                ended = end(self.child.as_mut()) => return ended.into(),
                request = requests.next() => self.heed(request).await,
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

/// The end of a signer that is our child, for ever if there is none.
async fn end(child: Option<&mut ChildSigner>) -> SignerError {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

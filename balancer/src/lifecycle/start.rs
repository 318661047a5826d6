//! From a setup to a confined process. [`crate::confinement`] has the order and its reasons.

use std::error::Error;

use tokio::time::{Instant, interval_at};

use super::agreement::Agreement;
use super::service_manager::ServiceManager;
use super::{Balancer, DAY, Setup};
use crate::confinement::confine;
use crate::control::ControlSocket;
use crate::log::Verbosity;
use crate::runtime::Runtimes;
use crate::signer::{ChildSigner, SignerClient};
use crate::state::Memory;
use crate::status::{Daily, MetricsPort, StatusSockets};

/// The sockets at which the process answers.
pub struct Sockets {
    /// Those that show the status.
    pub status: StatusSockets,
    /// The port of the metrics.
    pub port: MetricsPort,
    /// The socket at which it takes commands.
    pub control: ControlSocket,
}

impl Balancer {
    /// Confines the process and tells the service manager that it is ready. Nothing is balanced before
    /// [`Balancer::serve`].
    ///
    /// # Errors
    /// A signer that is to be a child does not start or ends; a status socket or a named control socket
    /// cannot be created, or the port of the metrics cannot be opened; the process cannot be confined.
    pub async fn start(
        setup: Setup,
        verbosity: Verbosity,
        memory: Memory,
        manager: ServiceManager,
    ) -> Result<(Self, Sockets), Box<dyn Error>> {
        let mut signer = SignerClient::new(setup.configuration.signer());
        if setup.has_child_signer() {
            // A confined process cannot start another one. The signer answers after a person has typed its
            // passphrases.
            signer.services().await?;
        }
        let child = signer.take_child();
        let places = setup.status_places();
        let status = StatusSockets::bind(&places, &setup.configuration.status_readers()).await?;
        let port = MetricsPort::bind(&setup.configuration).await?;
        let control = ControlSocket::bind(setup.control_place()).await?;
        let mut reach = setup.reach(&places).await;
        if let Some(pid) = child.as_ref().and_then(ChildSigner::pid) {
            reach.child(pid);
        }
        let confinement = confine(reach)?;
        let runtimes = Runtimes::new(signer, memory, confinement.clone());
        let file = setup.file();
        runtimes.board().set_configuration(std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        manager.ready();
        let balancer = Self {
            started_as: setup.clone(),
            setup,
            verbosity,
            confinement,
            child,
            runtimes,
            agreement: Agreement::default(),
            manager,
            daily: Daily::default(),
            days: interval_at(Instant::now() + DAY, DAY),
        };
        Ok((balancer, Sockets { status, port, control }))
    }
}

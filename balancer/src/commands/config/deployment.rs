//! A plan whose services have keys, and so addresses; and the machine that is to run it.

use onionbalance_proto::config::Address;

use super::kernel::Kernel;
use super::plan::{Plan, Service};

/// A deployment of which every file can be written.
pub(super) struct Deployment {
    pub(super) plan: Plan,
    /// The address of each service of the plan.
    pub(super) addresses: Vec<Address>,
    pub(super) machine: Machine,
}

/// The machine of the balancer and the signer.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) kernel: Kernel,
}

impl Machine {
    /// This machine.
    pub(super) fn read() -> Self {
        Self { kernel: Kernel::read() }
    }
}

impl Deployment {
    /// Each service with its address.
    pub(super) fn services(&self) -> impl Iterator<Item = (&Service, &Address)> {
        self.plan.services.iter().zip(&self.addresses)
    }
}

/// The name of the key file of the service with this address, as `onionbalance-key` gives it.
pub(super) fn key_file(address: &Address) -> String {
    let address = address.to_string();
    format!("{}.key", address.strip_suffix(".onion").unwrap_or(&address))
}

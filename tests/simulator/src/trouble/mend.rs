//! The ends of faults.

use std::time::Duration;

use super::super::network::id::RelayId;
use super::super::network::relay::Manner;
use super::super::onion_version::OnionVersion;
use super::super::world::{Happening, World};

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Mend {
    /// A relay is honest again.
    Relay(RelayId),
    /// A backend works again.
    Backend(usize),
    /// The signer answers again.
    Signer,
    /// The signer serves the service again.
    Poison(usize),
    /// Tor runs again.
    Tor,
    /// The balancer runs again.
    Balancer,
    /// The machine wakes up.
    Machine,
    /// The clock is right again.
    Clock,
    /// The service is configured again.
    Service(usize),
    /// The backend serves the service again.
    Listed {
        /// The number of the backend.
        backend: usize,
        /// The number of the service.
        service: usize,
    },
}

impl<V: OnionVersion> World<V> {
    /// Plans the end of a fault.
    pub(super) fn mend_after(&mut self, low: Duration, high: Duration, mend: Mend) {
        let at = self.now.after(self.dice.between(low, high));
        self.queue.plan(at.min(self.calm_from()), Happening::Mended(mend));
    }

    /// Ends a fault.
    pub fn mend(&mut self, mend: Mend) {
        self.trace(|| format!("mended: {mend:?}"));
        match mend {
            Mend::Relay(relay) => {
                self.relays.get_mut(relay).turn(Manner::Honest, self.now);
                self.touch_all();
            }
            Mend::Backend(backend) => self.revive(backend),
            Mend::Poison(service) => {
                let service = &mut self.services[service];
                service.poisoned = false;
                // The balancer has looked for its backends all the time.
                service.undisturbed = service.undisturbed.max(self.now);
                service.touched = true;
            }
            Mend::Service(service) => self.reconfigure(service, true),
            Mend::Listed { backend, service } => {
                self.services[service].backends.insert(backend);
                let configured = self.services[service].configured.is_some();
                self.reconfigure(service, configured);
            }
            Mend::Signer => {
                self.balancer.signer_away = false;
                self.disturb();
            }
            Mend::Tor => {
                self.start_tor();
                self.disturb();
                self.tor_may_end_again();
            }
            Mend::Balancer => {
                self.start_balancer();
                self.disturb();
            }
            Mend::Machine => {
                self.wake_up();
                self.disturb();
            }
            Mend::Clock => {
                self.balancer.set_clock(0);
                self.clock_has_stepped();
            }
        }
    }
}

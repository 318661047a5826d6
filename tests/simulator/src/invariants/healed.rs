//! Invariants of the end, by the engine's own status.

use onionbalance::engine::{BackendState, UploadState};

use super::super::balancer::number_of;
use super::super::network::cache::Key;
use super::super::onion_version::OnionVersion;
use super::super::world::World;
use super::Invariant;

impl<V: OnionVersion> World<V> {
    /// Checks that long after the last fault every backend is found, and every HSDir has the right
    /// descriptors.
    pub fn check_healed(&mut self) {
        let Some(engine) = self.balancer.engine() else {
            return self.fail(Invariant::Healed, "balancer", "it is down".into());
        };
        for status in engine.status(self.balancer.now(self.now)) {
            let of = status.service.0.clone();
            for backend in status.backends {
                // A tor that is behind looks at some backends too late.
                if backend.state != BackendState::Live && self.behind.is_none() {
                    let expected =
                        format!("{} is alive, and said to be {:?}", backend.backend, backend.state);
                    self.fail(Invariant::Healed, &of, expected);
                }
            }
            for descriptor in status.descriptors {
                for hsdir in &descriptor.hsdirs {
                    self.check_hsdir_healed(&of, descriptor.slot, hsdir.hsdir, hsdir.state);
                }
            }
        }
    }

    fn check_hsdir_healed(
        &mut self,
        of: &str,
        slot: onionbalance::engine::DescriptorSlot,
        hsdir: onionbalance_proto::relay::Fingerprint,
        state: UploadState,
    ) {
        let id = self.relays.find(hsdir);
        let relay = self.relays.get(id);
        let key = Key { owner: number_of(of), slot };
        let fit = relay.is_fit() && self.now.since(relay.fit_since) > self.promises.healed;
        let known = self.services[key.owner].spots.iter().find(|spot| spot.slot == slot);
        let since = known.and_then(|spot| spot.hsdirs.iter().find(|(hsdir, _)| *hsdir == id));
        let long = since.is_some_and(|(_, since)| self.now.since(*since) > self.promises.posted);
        let well = match state {
            // The first tries of a renewal in progress may have failed by chance. A try after lost answers is
            // refused.
            UploadState::Pending { failures: 3.. } | UploadState::Refused => {
                self.now.since(self.balancer.given_at(key)) < self.promises.posted
            }
            UploadState::Unknown => false,
            _ => true,
        };
        if fit && long && !well && self.now.since(self.undisturbed) > self.promises.healed {
            let expected = format!("HSDir {id} is said to be {state:?}, long after the last fault");
            self.fail(Invariant::Healed, of, expected);
        }
    }
}

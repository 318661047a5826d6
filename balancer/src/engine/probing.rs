//! Probes: they leave their line, and their results come back.

use rand_core::RngCore;

use super::Engine;
use super::event::{Action, Point, ProbeOutcome};
use super::id::{BackendId, ProbeId};

impl<P: Point, R: RngCore> Engine<P, R> {
    /// Hands out the probes that may leave.
    pub(super) fn dispatch_probes(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        while let Some(number) = self.capacity.next_probe(now) {
            let Some(backend) = self.backends.get_mut(number) else { continue };
            if !backend.is_live() {
                backend.checks.leave_line(now);
                continue;
            }
            let id = self.last_probe.next();
            if let Some(check) = backend.checks.begin(number, id, now, &self.cx.witnesses) {
                self.last_probe = id;
                self.capacity.probed(now, id);
                actions.push(Action::Probe { id, backend: backend.id().clone(), check });
            }
            self.backend_touched(number, false);
        }
    }

    /// Takes the result of a probe.
    pub(super) fn probed(&mut self, backend: &BackendId, id: ProbeId, outcome: ProbeOutcome) {
        self.capacity.probe_answered(id);
        let Some(number) = self.backends.number(backend) else { return };
        let Some(backend) = self.backends.get_mut(number) else { return };
        let changed = backend.probed(&mut self.cx, number, id, outcome);
        self.backend_touched(number, changed);
    }
}

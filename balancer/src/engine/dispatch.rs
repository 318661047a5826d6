//! From what has become due to actions: who stands in which line, who is woken when.

use std::collections::BTreeMap;

use rand_core::RngCore;

use super::descriptor::{Batch, Descriptor};
use super::event::{Action, BackendId, DescriptorSlot, Point, Post, ServiceId, Source};
use super::registry::Number;
use super::{Context, Engine};
use crate::relay::Fingerprint;

/// Whom a deadline belongs to.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Owner {
    Backend(Number<BackendId>),
    Service(Number<ServiceId>),
}

/// Who wants to ask an HSDir.
pub(super) enum Fetch {
    Backend(Number<BackendId>),
    /// Any HSDir that refused.
    ReadBack(Number<ServiceId>, DescriptorSlot),
    /// An HSDir whose word has to be proven.
    Proof(Number<ServiceId>, DescriptorSlot, Fingerprint),
}

/// Which descriptor wants to be posted.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    service: Number<ServiceId>,
    slot: DescriptorSlot,
}

impl<P: Point, R: RngCore> Engine<P, R> {
    /// Lets those act whose deadline has come.
    pub(super) fn wake(&mut self) {
        // Twice, because what a backend does may let a service decide at once. Nothing leads the other way.
        for _ in 0..2 {
            for key in self.deadlines.due(self.cx.now.elapsed) {
                match key {
                    Owner::Backend(number) => {
                        if let Some(backend) = self.backends.get_mut(number) {
                            let changed = backend.tick(&mut self.cx, self.tor_ready);
                            self.backend_touched(number, changed);
                        }
                    }
                    Owner::Service(number) => {
                        if let Some(service) = self.services.get_mut(number) {
                            service.tick(&mut self.cx, &self.backends);
                            self.service_touched(number);
                        }
                    }
                }
            }
        }
    }

    /// A backend's state changed: it may want to ask, or to be woken at another time; its services may want
    /// to think again (`changed`).
    pub(super) fn backend_touched(&mut self, number: Number<BackendId>, changed: bool) {
        let Some(backend) = self.backends.get_mut(number) else { return };
        if self.tor_ready && !backend.in_line && backend.wants_to_ask() {
            backend.in_line = true;
            self.fetches.join(Fetch::Backend(number));
        }
        self.deadlines.set(Owner::Backend(number), backend.deadline());
        if changed {
            for user in backend.users.clone() {
                if let Some(service) = self.services.get_mut(user) {
                    service.backend_changed(&self.cx, &self.backends);
                    self.service_touched(user);
                }
            }
        }
    }

    /// A service's state changed: its descriptors may want to be posted or read back, or it to be woken at
    /// another time.
    pub(super) fn service_touched(&mut self, number: Number<ServiceId>) {
        let Some(service) = self.services.get_mut(number) else { return };
        let now = self.cx.now.elapsed;
        let may_post = self.tor_ready && service.has_points();
        for (slot, descriptor) in service.descriptors() {
            if may_post && !descriptor.in_line && descriptor.is_due(now) {
                descriptor.in_line = true;
                self.posts.join(Posting { service: number, slot });
            }
            if descriptor.queue_read_back() {
                self.fetches.join(Fetch::ReadBack(number, slot));
            }
            if self.tor_ready {
                for hsdir in descriptor.queue_proofs(now) {
                    self.fetches.join(Fetch::Proof(number, slot, hsdir));
                }
            }
        }
        let deadline = service.deadline(self.tor_ready, self.cx.timing.keep_last);
        self.deadlines.set(Owner::Service(number), deadline);
    }

    /// Everything may have changed.
    pub(super) fn all_touched(&mut self) {
        for number in self.backends.numbers() {
            self.backend_touched(number, false);
        }
        for number in self.services.numbers() {
            self.service_touched(number);
        }
    }

    /// Does something to a descriptor, if there is such a one.
    pub(super) fn with_descriptor(
        &mut self,
        service: Number<ServiceId>,
        slot: DescriptorSlot,
        act: impl FnOnce(&mut Descriptor<P::Id>, &mut Context<R>),
    ) {
        let Some(found) = self.services.get_mut(service) else { return };
        let Some(descriptor) = found.descriptor(slot) else { return };
        act(descriptor, &mut self.cx);
        found.note_recovery(&mut self.cx);
        self.service_touched(service);
    }

    /// Lets those fetch whose turn it is, one HSDir at a time, so that a backend with many does not hold up
    /// the rest.
    pub(super) fn dispatch_fetches(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        let mut batches: BTreeMap<Number<BackendId>, Vec<Source>> = BTreeMap::new();
        while let Some(fetch) = self.fetches.next(now) {
            match fetch {
                Fetch::Backend(number) => {
                    let Some(backend) = self.backends.get_mut(number) else { continue };
                    backend.in_line = false;
                    if let Some(source) = backend.next_to_ask(now + self.cx.timing.fetch_timeout) {
                        self.fetches.spend(now);
                        batches.entry(number).or_default().push(source);
                    }
                    self.backend_touched(number, false);
                }
                Fetch::ReadBack(service, slot) => {
                    let mut from = None;
                    self.with_descriptor(service, slot, |descriptor, cx| {
                        from = descriptor.begin_read_back(cx);
                    });
                    actions.extend(from.and_then(|hsdir| self.read_back(service, slot, hsdir)));
                }
                Fetch::Proof(service, slot, hsdir) => {
                    let mut begun = false;
                    self.with_descriptor(service, slot, |descriptor, cx| {
                        begun = descriptor.begin_proof(cx, hsdir);
                    });
                    actions.extend(begun.then(|| self.read_back(service, slot, hsdir)).flatten());
                }
            }
        }
        let fetch = |(number, from)| {
            let backend = self.backends.get(number)?.id().clone();
            Some(Action::Fetch { backend, from })
        };
        actions.extend(batches.into_iter().filter_map(fetch));
    }

    fn read_back(
        &mut self,
        service: Number<ServiceId>,
        slot: DescriptorSlot,
        hsdir: Fingerprint,
    ) -> Option<Action<P>> {
        let service = self.services.get(service)?.id().clone();
        self.fetches.spend(self.cx.now.elapsed);
        Some(Action::ReadBack { service, slot, hsdir })
    }

    /// Lets those post whose turn it is, with what is known by now.
    pub(super) fn dispatch_posts(&mut self, actions: &mut Vec<Action<P>>) {
        while let Some(Posting { service, slot }) = self.posts.first().copied() {
            let batch = self.plan(service, slot);
            let count = batch.as_ref().map_or(0, |batch| batch.posts.len());
            let may_go = self.posts.affords(self.cx.now.elapsed, count);
            if may_go {
                self.posts.leave();
                actions.extend(self.post(service, slot, batch));
            }
            self.service_touched(service);
            if !may_go {
                break;
            }
        }
    }

    fn plan(&mut self, service: Number<ServiceId>, slot: DescriptorSlot) -> Option<Batch> {
        let service = self.services.get_mut(service)?;
        service.decide_at_once(&mut self.cx, &self.backends);
        if service.has_points() { service.descriptor(slot)?.plan(&self.cx) } else { None }
    }

    fn post(
        &mut self,
        number: Number<ServiceId>,
        slot: DescriptorSlot,
        batch: Option<Batch>,
    ) -> Option<Action<P>> {
        let service = self.services.get_mut(number)?;
        let descriptor = service.descriptor(slot)?;
        descriptor.in_line = false;
        let batch = batch?;
        let (now, id) = (self.cx.now.elapsed, self.publications.next_id());
        descriptor.begin(&mut self.cx, id, &batch);
        self.publications.issue(now, number, slot);
        let post = |(set, to)| Post { set, points: service.points(set).to_vec(), to };
        let posts: Vec<Post<P>> = batch.posts.into_iter().map(post).collect();
        for _ in &posts {
            self.posts.spend(now);
        }
        Some(Action::Publish { id, service: service.id().clone(), slot, posts, revision: batch.revision })
    }
}

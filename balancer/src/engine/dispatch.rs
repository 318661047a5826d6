//! Due work becomes actions: requests join their lines and leave them, and backends and services are woken at
//! their deadlines.

use std::collections::BTreeMap;

use rand_core::RngCore;

use super::Engine;
use super::capacity::{Posting, ReadBack, Request};
use super::context::Context;
use super::descriptor::{Descriptor, Turn};
use super::event::{Action, Point, Post};
use super::id::{BackendId, DescriptorSlot, ServiceId, Source};
use super::registry::Number;

/// The owner of a deadline.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Owner {
    Backend(Number<BackendId>),
    Service(Number<ServiceId>),
}

impl From<Owner> for usize {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Backend(number) => 2 * number.index(),
            Owner::Service(number) => 2 * number.index() + 1,
        }
    }
}

/// The most backends that are considered in one turn, as such and among those of a service that chooses
/// between them; the others wait for the next turn. A thousand services that all choose again take several
/// turns.
const WORK: usize = 1000;

impl<P: Point, R: RngCore> Engine<P, R> {
    /// Wakes the backends and services whose deadline has come, the earliest first. Those beyond [`WORK`] are
    /// left for the next turn.
    pub(super) fn wake(&mut self) {
        let mut work = 0;
        while work < WORK {
            let Some(owner) = self.deadlines.next_due(self.cx.now.elapsed) else { break };
            work += 1;
            match owner {
                Owner::Backend(number) => {
                    if let Some(backend) = self.backends.get_mut(number) {
                        let changed = backend.tick(&mut self.cx, self.tor_ready);
                        self.backend_touched(number, changed);
                    }
                }
                Owner::Service(number) => {
                    if let Some(service) = self.services.get_mut(number) {
                        work += service.backends().len();
                        service.tick(&mut self.cx, &self.backends);
                        self.service_touched(number);
                    }
                }
            }
        }
    }

    /// Handles a change of a backend: it may have to be asked for, or to be woken at another time. If
    /// `changed`, its services may have to choose again.
    pub(super) fn backend_touched(&mut self, number: Number<BackendId>, changed: bool) {
        let Some(backend) = self.backends.get_mut(number) else { return };
        if self.tor_ready && backend.wants_to_ask() {
            let now = self.cx.now.elapsed;
            let due = backend.ask_by(now, self.cx.timing.max_age);
            backend.place = Some(match backend.place {
                Some(place) => self.capacity.hasten_look(place, due),
                None => self.capacity.join_looks(now, due, number),
            });
        }
        if self.tor_ready && backend.is_live() {
            let now = self.cx.now.elapsed;
            for _ in 0..backend.checks.line_up(now) {
                self.capacity.join_probes(now, number);
            }
        }
        self.deadlines.set(Owner::Backend(number), backend.deadline(self.tor_ready));
        if changed {
            for user in backend.users.clone() {
                if let Some(service) = self.services.get_mut(user) {
                    service.backend_changed(&self.cx, &self.backends);
                    self.service_touched(user);
                }
            }
        }
    }

    /// Handles the first request for a backend: its services learn how long to wait for it before they are
    /// first published.
    fn first_asked(&mut self, number: Number<BackendId>) {
        let users = self.backends.get(number).map(|backend| backend.users.clone());
        for user in users.into_iter().flatten() {
            let Some(service) = self.services.get_mut(user) else { continue };
            if service.backend_asked(&self.cx, &self.backends) {
                self.service_touched(user);
            }
        }
    }

    /// Handles a change of a service: its descriptors may have to be posted or read back, or it may have to
    /// be woken at another time.
    pub(super) fn service_touched(&mut self, number: Number<ServiceId>) {
        self.descriptors_touched(number, None);
    }

    /// The same for one of its descriptors, or for all if `only` is `None`.
    fn descriptors_touched(&mut self, number: Number<ServiceId>, only: Option<DescriptorSlot>) {
        let Some(service) = self.services.get_mut(number) else { return };
        let now = self.cx.now.elapsed;
        let may_post = self.tor_ready && service.has_points();
        let is_first = !service.is_published();
        for (slot, descriptor) in
            service.descriptors().filter(|(slot, _)| only.is_none_or(|only| only == *slot))
        {
            if may_post && descriptor.is_due(now) {
                let due = descriptor.post_by(now, is_first, &self.cx.timing);
                // A retry may wait when the renewal of all comes to be due.
                descriptor.in_line = Some(match descriptor.in_line {
                    Some(place) => self.capacity.hasten_post(place, due),
                    None => self.capacity.join_posts(now, due, Posting { service: number, slot }),
                });
            }
            if descriptor.queue_read_back() {
                self.capacity.join_read_backs(now, ReadBack { service: number, slot, from: None });
            }
            if self.tor_ready {
                for hsdir in descriptor.queue_proofs(now) {
                    let read_back = ReadBack { service: number, slot, from: Some(hsdir) };
                    self.capacity.join_read_backs(now, read_back);
                }
            }
            descriptor.set_deadline(may_post, self.tor_ready);
        }
        let deadline = service.deadline(self.cx.timing.keep_last);
        self.deadlines.set(Owner::Service(number), deadline);
    }

    /// Handles a change of everything. Backends of the same service join the line one after the other. So all
    /// of them are found at about the same time, and the service is published once, not with each that is
    /// found.
    pub(super) fn all_touched(&mut self) {
        let backends = self.services.iter().flat_map(|(_, service)| service.backends());
        for number in backends.copied().collect::<Vec<_>>() {
            self.backend_touched(number, false);
        }
        for number in self.services.numbers() {
            self.service_touched(number);
        }
    }

    /// Calls a function with a descriptor, if that exists.
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
        self.descriptors_touched(service, Some(slot));
    }

    /// Hands out the requests that may leave: posts, then looks, then read-backs, then probes.
    pub(super) fn dispatch(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        self.capacity.expire(now);
        self.dispatch_posts(actions);
        self.dispatch_looks(actions);
        self.dispatch_read_backs(actions);
        self.dispatch_probes(actions);
        self.cx.notices.extend(self.capacity.judge(now, self.cx.timing.refresh * 2));
    }

    /// Hands out the posts that may leave, each with the sets of this moment.
    fn dispatch_posts(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        while let Some(Posting { service, slot }) = self.capacity.first_post(now) {
            let has_changed = self.decide_at_once(service);
            let circuits = self.circuits(service, slot);
            let may_go = self.capacity.next_post(now, circuits).is_some();
            if may_go {
                actions.extend(self.post(service, slot));
            }
            if may_go || has_changed {
                self.service_touched(service);
            }
            if !may_go {
                break;
            }
        }
    }

    fn decide_at_once(&mut self, service: Number<ServiceId>) -> bool {
        let service = self.services.get_mut(service);
        service.is_some_and(|service| service.decide_at_once(&mut self.cx, &self.backends))
    }

    /// The number of circuits that the post of a descriptor needs; 0 if it is not due.
    fn circuits(&mut self, service: Number<ServiceId>, slot: DescriptorSlot) -> usize {
        let service = self.services.get_mut(service).filter(|service| service.has_points());
        let descriptor = service.and_then(|service| service.descriptor(slot));
        descriptor.map_or(0, |descriptor| descriptor.circuits(&self.cx))
    }

    fn post(&mut self, number: Number<ServiceId>, slot: DescriptorSlot) -> Option<Action<P>> {
        let service = self.services.get_mut(number)?;
        let has_points = service.has_points();
        let descriptor = service.descriptor(slot)?;
        descriptor.in_line = None;
        let batch = has_points.then(|| descriptor.plan(&self.cx)).flatten()?;
        let (now, id) = (self.cx.now.elapsed, self.publications.next_id());
        let paced = if descriptor.turn() == Turn::First { 0 } else { batch.posts.len() };
        descriptor.begin(&mut self.cx, id, &batch);
        service.published();
        self.publications.issue(number, slot);
        let hsdirs = batch.posts.values().flatten();
        self.capacity.posted(now, paced, hsdirs.map(|hsdir| Request::Upload(id, *hsdir)));
        let post = |(set, to)| Post { set, points: service.points(set).to_vec(), to };
        let posts = batch.posts.into_iter().map(post).collect();
        Some(Action::Publish { id, service: service.id().clone(), slot, posts, revision: batch.revision })
    }

    /// Hands out the looks that may leave, one HSDir at a time, so that a backend with many HSDirs does not
    /// delay the others.
    fn dispatch_looks(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        let mut batches: BTreeMap<Number<BackendId>, Vec<Source>> = BTreeMap::new();
        while let Some(number) = self.capacity.next_look(now) {
            let Some(backend) = self.backends.get_mut(number) else { continue };
            backend.place = None;
            let is_first = backend.first_asked().is_none();
            if let Some(source) = backend.next_to_ask(now, self.cx.timing.fetch_timeout) {
                self.capacity.looked(now, Request::Look(number, source), is_first);
                batches.entry(number).or_default().push(source);
                if is_first {
                    self.first_asked(number);
                }
            }
            self.backend_touched(number, false);
        }
        let fetch = |(number, from)| {
            let backend = self.backends.get(number)?.id().clone();
            Some(Action::Fetch { backend, from })
        };
        actions.extend(batches.into_iter().filter_map(fetch));
    }

    /// Hands out the read-backs that may leave.
    fn dispatch_read_backs(&mut self, actions: &mut Vec<Action<P>>) {
        let now = self.cx.now.elapsed;
        while let Some(ReadBack { service, slot, from }) = self.capacity.next_read_back(now) {
            let mut asked = None;
            self.with_descriptor(service, slot, |descriptor, cx| {
                asked = match from {
                    Some(hsdir) => descriptor.begin_proof(cx, hsdir).then_some(hsdir),
                    None => descriptor.begin_read_back(cx),
                };
            });
            let Some(hsdir) = asked else { continue };
            let Some(id) = self.services.get(service).map(|service| service.id().clone()) else { continue };
            self.capacity.read_back(now, Request::ReadBack(service, slot, hsdir));
            actions.push(Action::ReadBack { service: id, slot, hsdir });
        }
    }
}

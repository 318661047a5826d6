//! What the engine hears and says of one service, for a person who looks for a fault.

use std::cell::RefCell;
use std::collections::BTreeSet;

use onionbalance::engine::{Action, BackendId, Event, Notice, PublicationId, ServiceId};

use super::generation::Generation;
use super::time::Moment;
use super::world::World;

/// Who wants to hear what of which service.
pub struct Trace {
    service: usize,
    tell: fn(&str),
    /// The service's own publications: what becomes of them is told by their numbers alone.
    own: RefCell<BTreeSet<PublicationId>>,
}

impl Trace {
    /// Tells what there is of the service with this number, a line each.
    pub fn new(service: usize, tell: fn(&str)) -> Self {
        Self { service, tell, own: RefCell::default() }
    }

    fn line(&self, now: Moment, what: &str) {
        (self.tell)(&format!("{now}  {what}"));
    }
}

impl<G: Generation> World<G> {
    /// A new life of the balancer counts its publications anew.
    pub fn trace_start(&self) {
        if let Some(trace) = &self.trace {
            trace.own.borrow_mut().clear();
        }
    }

    /// Something goes wrong, or is mended.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.line(self.now, &what());
        }
    }

    /// The engine is about to hear this.
    pub fn trace_event(&self, event: &Event<G>) {
        let Some(trace) = &self.trace else { return };
        let concerns = match event {
            Event::Tick => false,
            Event::Fetched { backend, .. } => self.is_traced_backend(trace, backend),
            Event::Posted { id, .. }
            | Event::NotPosted { id, .. }
            | Event::NotKept { id }
            | Event::Uploaded { id, .. } => trace.own.borrow().contains(id),
            Event::ReadBack { service, .. } => self.is_traced(trace, service),
            _ => true,
        };
        match event {
            Event::Network(view) => {
                let slots = view.services.get(&self.services[trace.service].id);
                trace.line(self.now, &format!("> Network {slots:?}"));
            }
            Event::Configuration(_) => trace.line(self.now, "> Configuration"),
            event if concerns => trace.line(self.now, &format!("> {event:?}")),
            _ => {}
        }
    }

    /// The engine has said this.
    pub fn trace_action(&self, action: &Action<G>) {
        let Some(trace) = &self.trace else { return };
        let concerns = match action {
            Action::Fetch { backend, .. } => self.is_traced_backend(trace, backend),
            Action::Publish { service, id, .. } => {
                let concerns = self.is_traced(trace, service);
                if concerns {
                    trace.own.borrow_mut().insert(*id);
                }
                concerns
            }
            Action::ReadBack { service, .. } => self.is_traced(trace, service),
            Action::Notice(notice) => match notice {
                Notice::BackendFound { backend, .. }
                | Notice::BackendBack { backend, .. }
                | Notice::BackendChanged { backend, .. }
                | Notice::BackendNotFound { backend }
                | Notice::BackendGone { backend, .. }
                | Notice::BackendInvalid { backend, .. }
                | Notice::BackendValid { backend, .. } => self.is_traced_backend(trace, backend),
                Notice::DescriptorComplete { service, .. }
                | Notice::HsdirRefuses { service, .. }
                | Notice::HsdirsSilent { service, .. }
                | Notice::HsdirHasNone { service, .. }
                | Notice::HsdirHasOther { service, .. }
                | Notice::NotPosted { service, .. }
                | Notice::AllStored { service, .. }
                | Notice::NothingToPublish { service }
                | Notice::KeepingLastSet { service }
                | Notice::LastSetDropped { service } => self.is_traced(trace, service),
                Notice::Behind { .. } | Notice::CaughtUp { .. } => true,
            },
        };
        if concerns {
            trace.line(self.now, &format!("< {action:?}"));
        }
    }

    fn is_traced(&self, trace: &Trace, service: &ServiceId) -> bool {
        self.services[trace.service].id == *service
    }

    fn is_traced_backend(&self, trace: &Trace, id: &BackendId) -> bool {
        self.services[trace.service].backends.iter().any(|number| self.backends[*number].id == *id)
    }
}

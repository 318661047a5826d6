//! The events and actions that concern one service, for a person who looks for a fault.

use std::cell::RefCell;
use std::collections::BTreeSet;

use onionbalance::engine::{Action, BackendId, Event, HealthNotice, Notice, PublicationId, ServiceId};

use super::onion_version::OnionVersion;
use super::time::Moment;
use super::world::World;

/// A listener for the events of one service.
pub struct Trace {
    service: usize,
    tell: fn(&str),
    /// The service's own publications: their outcomes have only their numbers.
    own: RefCell<BTreeSet<PublicationId>>,
}

impl Trace {
    /// Prints each event of the service with this number as a line.
    pub fn new(service: usize, tell: fn(&str)) -> Self {
        Self { service, tell, own: RefCell::default() }
    }

    fn line(&self, now: Moment, what: &str) {
        (self.tell)(&format!("{now}  {what}"));
    }
}

impl<V: OnionVersion> World<V> {
    /// Notes a new life of the balancer, which numbers its publications from the beginning.
    pub fn trace_start(&self) {
        if let Some(trace) = &self.trace {
            trace.own.borrow_mut().clear();
        }
    }

    /// Prints a fault, or its end.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.line(self.now, &what());
        }
    }

    /// Prints an event that the engine is about to get.
    pub fn trace_event(&self, event: &Event<V>) {
        if let Some(trace) = &self.trace {
            self.print_event(trace, event);
        }
    }

    #[cold]
    fn print_event(&self, trace: &Trace, event: &Event<V>) {
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

    /// Prints an action of the engine.
    pub fn trace_action(&self, action: &Action<V>) {
        if let Some(trace) = &self.trace {
            self.print_action(trace, action);
        }
    }

    #[cold]
    fn print_action(&self, trace: &Trace, action: &Action<V>) {
        let concerns = match action {
            Action::Fetch { backend, .. } | Action::Probe { backend, .. } => {
                self.is_traced_backend(trace, backend)
            }
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
                | Notice::Health(HealthNotice::Unwell { backend, .. } | HealthNotice::Well { backend, .. })
                | Notice::BackendValid { backend, .. } => self.is_traced_backend(trace, backend),
                Notice::DescriptorComplete { service, .. }
                | Notice::Health(
                    HealthNotice::AllUnwell { service } | HealthNotice::SomeWell { service, .. },
                )
                | Notice::HsdirRefuses { service, .. }
                | Notice::HsdirsSilent { service, .. }
                | Notice::HsdirHasNone { service, .. }
                | Notice::HsdirHasOther { service, .. }
                | Notice::OtherPublisher { service, .. }
                | Notice::NotPosted { service, .. }
                | Notice::AllStored { service, .. }
                | Notice::NothingToPublish { service }
                | Notice::KeepingLastSet { service }
                | Notice::BackendDrained { service, .. }
                | Notice::BackendEnabled { service, .. }
                | Notice::DrainEnded { service, .. }
                | Notice::DrainedServe { service }
                | Notice::DrainedRest { service, .. }
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

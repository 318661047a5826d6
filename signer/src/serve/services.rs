//! All services whose keys are held: their list, and the reply to each request.

use std::time::Instant;

use onionbalance_process::monotonic;
use onionbalance_proto::wire::{Page, Refusal, Reply, Request};
use rand_core::{OsRng, RngCore};

use super::caches::Caches;
use super::listen::Peer;
use crate::audit;
use crate::log::{self, Priority};
use crate::now;
use crate::service::Service;

/// The services, in the order of the configuration.
pub struct Services {
    held: Vec<Service>,
    caches: Caches,
    /// A number that changes with everything that [`Services::page`] shows.
    edition: u64,
}

impl Services {
    /// A list of these services, in this order.
    pub fn new(held: Vec<Service>) -> Self {
        Self { held, caches: Caches::default(), edition: OsRng.next_u64() }
    }

    /// The services, in the order of the configuration.
    pub fn held(&self) -> &[Service] {
        &self.held
    }

    /// The services, to be changed. A balancer that is reading their list page by page starts over.
    pub fn held_mut(&mut self) -> &mut [Service] {
        self.edition = OsRng.next_u64();
        &mut self.held
    }

    /// The reply to a request. Each signature is logged; each refusal is logged as a line by a peer.
    pub fn answer(&mut self, request: &Request, peer: Peer) -> Reply {
        if let Request::Services { from } = request {
            return Reply::Services(self.page(*from));
        }
        let begun = monotonic();
        let signed = self.sign(request, begun);
        let took = begun.elapsed().as_micros();
        let asked = audit::asked(request);
        match signed {
            Ok((reply, outcome)) => {
                log::line(Priority::Info, format_args!("signed {asked} {peer} us={took} {outcome}"));
                reply
            }
            Err(refusal) => {
                let outcome = audit::refused(refusal);
                let line = format_args!("refused {asked} {peer} us={took} {outcome}");
                log::line_by_peer(Priority::Warning, line);
                Reply::Refused(refusal)
            }
        }
    }

    /// Logs the news of each service's key. This is checked after each request; there is no timer.
    pub fn log_notices(&mut self) {
        let now = now();
        for (priority, what) in self.held.iter_mut().filter_map(|service| service.notice(now)) {
            log::line(priority, what);
        }
    }

    /// The services from this index on, as many as fit a reply.
    fn page(&self, from: u32) -> Page {
        let page = Page {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            edition: self.edition,
            total: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            services: Vec::new(),
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        page.fill(self.held.iter().skip(from).map(Service::public))
    }

    /// The reply with the signatures, and its part of the audit line.
    fn sign(&mut self, request: &Request, begun: Instant) -> Result<(Reply, String), Refusal> {
        let asked = self.held.iter_mut().enumerate().find(|(_, service)| service.is_asked(request));
        let (index, service) = asked.ok_or(Refusal::UnknownService)?;
        if !service.limit.take(begun) {
            return Err(Refusal::RateLimit);
        }
        let signed = service.sign(request, now(), &mut OsRng);
        if let Some(longest_ago) = self.caches.used(index).and_then(|index| self.held.get_mut(index)) {
            longest_ago.drop_cache();
        }
        signed
    }
}

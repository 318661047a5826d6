//! The services that are held: the list of them, and the reply to each request.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::{Page, Refusal, Reply, Request};
use rand_core::{OsRng, RngCore};

use super::audit::{self, FrontendRequest};
use super::listen::Peer;
use crate::limit::RateLimit;
use crate::log::{self, Priority};
use crate::service::Service;

/// The services, in the order of the configuration.
pub struct Services {
    held: Vec<Held>,
    /// Another number after each change of what [`Services::page`] shows.
    edition: u64,
}

struct Held {
    service: Service,
    /// How often its key may be used.
    limit: RateLimit,
}

impl Services {
    /// These services. No signature is allowed before [`Services::limit`] says how many.
    pub fn new(services: Vec<Service>) -> Self {
        let now = Instant::now();
        let held = services.into_iter().map(|service| Held { service, limit: RateLimit::new(0, now) });
        Self { held: held.collect(), edition: OsRng.next_u64() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.held.iter().map(|held| &held.service)
    }

    /// Each of them, to be changed. A balancer that reads their list page by page begins again.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.edition = OsRng.next_u64();
        self.held.iter_mut().map(|held| &mut held.service)
    }

    /// Allows `per_minute` signatures a minute for each of them.
    pub fn limit(&mut self, per_minute: u32) {
        let now = Instant::now();
        for held in &mut self.held {
            held.limit = RateLimit::new(per_minute, now);
        }
    }

    /// The reply to a request. Each signature is logged, and refusals are logged as lines by peers are.
    pub fn answer(&mut self, request: &Request, peer: Peer) -> Reply {
        match request {
            Request::Services { from } => Reply::Services(self.page(*from)),
            Request::FrontendV2(frontend) => self.sign(frontend, peer),
            Request::FrontendV3(frontend) => self.sign(frontend, peer),
        }
    }

    /// Logs what there is to say of each service's key. This is checked after each request; there is no timer.
    pub fn log_notices(&mut self) {
        let now = now();
        for held in &mut self.held {
            if let Some((priority, what)) = held.service.notice(now) {
                log::line(priority, what);
            }
        }
    }

    /// The held services from this index on, as many as fit a reply.
    fn page(&self, from: u32) -> Page {
        let page = Page {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            edition: self.edition,
            total: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            services: Vec::new(),
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        page.fill(self.iter().skip(from).map(Service::public))
    }

    fn sign(&mut self, request: &impl FrontendRequest, peer: Peer) -> Reply {
        let begun = Instant::now();
        match self.try_to_sign(request, begun) {
            Ok((reply, told)) => {
                log::line(Priority::Info, audit::signed(request, &told, peer, begun.elapsed()));
                reply
            }
            Err(refusal) => {
                let line = audit::refused(request, refusal, peer, begun.elapsed());
                log::line_by_peer(Priority::Warning, line);
                Reply::Refused(refusal)
            }
        }
    }

    fn try_to_sign(
        &mut self,
        request: &impl FrontendRequest,
        begun: Instant,
    ) -> Result<(Reply, String), Refusal> {
        let mut held = self.held.iter_mut();
        let found = held.find_map(|held| Some((request.service(&mut held.service)?, &mut held.limit)));
        let (service, limit) = found.ok_or(Refusal::UnknownService)?;
        if !limit.take(begun) {
            return Err(Refusal::RateLimit);
        }
        request.sign(service, now())
    }
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

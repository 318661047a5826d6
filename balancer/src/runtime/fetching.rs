//! Descriptors that are fetched: the backends', and the frontend's own where an HSDir refused a newer one.

use onionbalance_proto::v3::OnionAddress;
use tracing::warn;

use super::publishing::UPLOAD_REJECTED;
use super::{Report, Runtime, backend_id, readback, service_id, wall_clock};
use crate::engine::{DescriptorSlot, Event, FetchOutcome, ServiceId};
use crate::relay::Fingerprint;
use crate::tor::Connection;
use crate::tor::event::{HsDescContent, Service};
use crate::tor::hsdir::HsFetchError;
use crate::v3::backend::{self, BackendPoint};

impl Runtime {
    /// Asks these HSDirs; their answers are events of tor.
    pub(super) fn fetch(&self, address: OnionAddress, from: Vec<Fingerprint>) {
        let (tor, reports) = (self.tor.clone(), self.reports.clone());
        tokio::spawn(async move {
            let not_fetched = match tor {
                Some(tor) => fetch(&tor, &address, from).await,
                None => from,
            };
            if !not_fetched.is_empty() {
                // Nobody listens only when all is over.
                let _ = reports.send(Report::NotFetched(address, not_fetched));
            }
        });
    }

    /// Tor fetches a descriptor of the clients' current period only.
    pub(super) fn read_back(&mut self, service: ServiceId, slot: DescriptorSlot, hsdir: Fingerprint) {
        let fetchable =
            self.directory.as_ref().map(|directory| directory.schedule().fetched_term().period.number);
        match self.frontends.get(&service) {
            Some(frontend) if fetchable == Some(slot.period) => {
                let address = frontend.address;
                self.read_backs.expect(address, hsdir, slot);
                self.fetch(address, vec![hsdir]);
            }
            _ => self.tell_engine(Event::ReadBackFailed { service, slot }),
        }
    }

    pub(super) fn on_content(&mut self, content: &HsDescContent) {
        let Service::V3(address) = content.address else { return };
        // An empty text comes beside a failure that was told already.
        if content.text.is_empty() {
            return;
        }
        if self.read_backs.is_expected(address, content.hsdir) {
            return self.read_back_ends(address, content.hsdir, Some(&content.text));
        }
        let (backend, Some(directory)) = (backend_id(&address), &self.directory) else { return };
        if !self.backends.contains_key(&backend) {
            return;
        }
        let period = directory.schedule().fetched_term().period;
        let outcome = match backend::open(&address, period, &content.text, wall_clock()) {
            Ok(copy) => FetchOutcome::Copy(copy),
            Err(error) => FetchOutcome::Invalid(error.to_string()),
        };
        self.tell_engine(Event::Fetched { backend, hsdir: content.hsdir, outcome });
    }

    /// A fetch failed; `reason` is tor's word for it. False if nothing of the kind was being fetched.
    pub(super) fn on_fetch_failed(
        &mut self,
        address: OnionAddress,
        hsdir: Fingerprint,
        reason: &str,
    ) -> bool {
        if self.read_backs.is_expected(address, hsdir) && reason != UPLOAD_REJECTED {
            self.read_back_ends(address, hsdir, None);
            return true;
        }
        let backend = backend_id(&address);
        let is_backend = self.backends.contains_key(&backend);
        if is_backend {
            self.tell_engine(Event::Fetched { backend, hsdir, outcome: failed_fetch(reason) });
        }
        is_backend
    }

    /// Tor did not even ask these HSDirs.
    pub(super) fn on_not_fetched(&mut self, address: OnionAddress, hsdirs: Vec<Fingerprint>) {
        for hsdir in hsdirs {
            self.on_fetch_failed(address, hsdir, "");
        }
    }

    fn read_back_ends(&mut self, address: OnionAddress, hsdir: Fingerprint, text: Option<&str>) {
        let Some(slot) = self.read_backs.end(address, hsdir) else { return };
        let service = service_id(&address);
        let seen = self
            .term(slot)
            .zip(text)
            .and_then(|(term, text)| readback::revision(&address, term.period, text, wall_clock()));
        self.tell_engine(match seen {
            Some(revision) => Event::RevisionSeen { service, slot, revision },
            None => Event::ReadBackFailed { service, slot },
        });
    }
}

/// Asks the HSDirs; the result is who was not asked, since tor does not know him or is gone.
async fn fetch(tor: &Connection, address: &OnionAddress, mut from: Vec<Fingerprint>) -> Vec<Fingerprint> {
    let mut not_fetched = Vec::new();
    loop {
        match tor.hs_fetch(address, &from).await {
            Ok(()) => return not_fetched,
            Err(HsFetchError::UnknownServer(unknown)) if from.contains(&unknown) => {
                from.retain(|hsdir| *hsdir != unknown);
                not_fetched.push(unknown);
            }
            Err(error) => {
                warn!(%address, "cannot fetch: {error}");
                not_fetched.append(&mut from);
                return not_fetched;
            }
        }
    }
}

fn failed_fetch(reason: &str) -> FetchOutcome<BackendPoint> {
    match reason {
        "NOT_FOUND" => FetchOutcome::NotFound,
        "BAD_DESC" => FetchOutcome::Invalid("tor cannot parse it".into()),
        _ => FetchOutcome::Failed,
    }
}

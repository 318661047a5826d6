//! Fetched descriptors: the backends', and the frontends' own if they have to be checked.

use std::collections::HashMap;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;
use tracing::field::display;
use tracing::{info, warn};

use super::Runtime;
use crate::age::Age;
use crate::engine::{BackendId, DescriptorSlot, Event, FetchOutcome, Found, Point, ServiceId, Source};
use crate::network::{Fetched, Network, RequestId};
use crate::onion_version::{Directory, Frontend, OnionVersion};

/// The topic of fetches that tor does not take.
const TOPIC: &str = "fetch";
/// The reason for a backend's descriptor that tor does not hand out although it has a cookie.
const UNOPENED: &str = "tor cannot open it: does the backend know the cookie that `auth` has?";

/// A question of the engine's for a descriptor.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Question {
    /// For the descriptor of a backend, at this source.
    Backend(BackendId, Source),
    /// For a descriptor of a frontend, at this HSDir.
    Own(ServiceId, DescriptorSlot, Fingerprint),
}

/// The questions that the network has not answered.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: HashMap<RequestId, Question>,
    /// The last request for each question: the engine has given earlier ones up.
    latest: HashMap<Question, RequestId>,
}

impl Questions {
    fn ask(&mut self, request: RequestId, question: Question) {
        self.asked.insert(request, question.clone());
        self.latest.insert(question, request);
    }

    /// Removes the question of `request`. The flag is true if the engine still waits for the answer. `None`:
    /// the request is not outstanding.
    fn answered(&mut self, request: RequestId) -> Option<(Question, bool)> {
        let question = self.asked.remove(&request)?;
        let is_latest = self.latest.get(&question) == Some(&request);
        if is_latest {
            self.latest.remove(&question);
        }
        Some((question, is_latest))
    }

    /// Forgets all questions: they will not be answered.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.latest.clear();
    }
}

impl<V: OnionVersion, N: Network> Runtime<V, N> {
    /// Asks these sources for the backend's descriptor.
    pub(super) fn fetch(&mut self, id: &BackendId, from: Vec<Source>) {
        for source in from {
            if !self.fetch_from(id, source) {
                let (backend, outcome) = (id.clone(), FetchOutcome::Failed);
                self.tell_engine(Event::Fetched { backend, source, outcome });
            }
        }
    }

    /// Asks one source. False if the backend, the directory, the replica or the needed cookie is missing.
    fn fetch_from(&mut self, id: &BackendId, source: Source) -> bool {
        let request = self.next_request();
        let (Some(backend), Some(directory)) = (self.backends.get(id), &self.directory) else { return false };
        let now = onionbalance_process::now();
        match source {
            Source::Hsdir { hsdir, replica } => {
                let Some(lookup) = directory.lookup(backend, replica, now) else { return false };
                self.network.fetch(request, lookup, hsdir);
            }
            Source::Any => {
                let Some(lookup) = directory.client_lookup(backend, now) else { return false };
                self.network.fetch_as_client(request, lookup);
            }
        }
        self.questions.ask(request, Question::Backend(id.clone(), source));
        self.tally.fetch(id);
        true
    }

    /// Asks an HSDir for the service's own descriptor.
    pub(super) fn read_back(&mut self, service: ServiceId, slot: DescriptorSlot, hsdir: Fingerprint) {
        let lookup = self.term(slot).and_then(|term| {
            let frontend = self.frontends.get(&service)?;
            self.directory.as_ref()?.lookup_own(&frontend.address, term)
        });
        let Some(lookup) = lookup else {
            return self.tell_engine(Event::ReadBack { service, slot, hsdir, found: Found::Failed });
        };
        let request = self.next_request();
        self.network.fetch(request, lookup, hsdir);
        self.questions.ask(request, Question::Own(service, slot, hsdir));
    }

    /// Takes the end of a fetch. A backend's descriptor always counts, any other answer only while the engine
    /// waits for it.
    pub(super) fn on_fetched(&mut self, request: RequestId, fetched: Fetched) {
        match self.questions.answered(request) {
            Some((Question::Backend(backend, source), is_latest)) => {
                if is_latest || matches!(fetched, Fetched::Text(_)) {
                    self.on_backend(&backend, source, fetched);
                }
            }
            Some((Question::Own(service, slot, hsdir), true)) => {
                let found = self.found(&service, slot, fetched);
                self.tell_engine(Event::ReadBack { service, slot, hsdir, found });
            }
            Some((Question::Own(..), false)) | None => {}
        }
    }

    fn on_backend(&mut self, id: &BackendId, source: Source, fetched: Fetched) {
        if !matches!(fetched, Fetched::Failed(_)) {
            self.end_warning_of_fetch(&id.0);
        }
        let (Some(backend), Some(directory)) = (self.backends.get(id), &self.directory) else { return };
        let outcome = match fetched {
            Fetched::Text(text) => match V::open(backend, directory, &text, onionbalance_process::now()) {
                Ok(copy) => FetchOutcome::Copy(copy),
                Err(error) => FetchOutcome::Invalid(error),
            },
            Fetched::NotFound => FetchOutcome::NotFound,
            Fetched::Unreadable => {
                let reason = if source == Source::Any { UNOPENED } else { V::UNPARSED };
                FetchOutcome::Invalid(reason.to_owned())
            }
            Fetched::Failed(reason) => {
                if let Some(reason) = reason {
                    self.warn_of_fetch(id, &reason);
                }
                FetchOutcome::Failed
            }
        };
        self.tally.fetched(id, &outcome);
        self.tell_engine(Event::Fetched { backend: id.clone(), source, outcome });
        if let Some(newest) = self.engine.newest_of(id) {
            self.memory.note(id, newest);
        }
    }

    fn warn_of_fetch(&mut self, id: &BackendId, reason: &str) {
        let Some(times) = self.repeats.note(TOPIC, reason, &id.0, Instant::now()) else { return };
        let (name, address) = self.known.introduce(id);
        let address = address.map(display);
        warn!(text.backend = %name, address, "cannot fetch the descriptor of backend {name}: {reason}{times}");
    }

    /// Logs the end of the warnings of [`Runtime::warn_of_fetch`]: tor has taken the request, so an HSDir has
    /// answered.
    fn end_warning_of_fetch(&mut self, of: &str) {
        if let Some(after) = self.repeats.end(TOPIC, of, Instant::now()) {
            info!("tor fetches descriptors again after {}", Age(after));
        }
    }

    /// Judges the answer of an HSDir that was asked for a frontend's descriptor.
    fn found(
        &mut self,
        service: &ServiceId,
        slot: DescriptorSlot,
        fetched: Fetched,
    ) -> Found<<V::Point as Point>::Id> {
        if !matches!(fetched, Fetched::Failed(_)) {
            self.end_warning_of_fetch(&service.0);
        }
        let Some(frontend) = self.frontends.get(service) else { return Found::Failed };
        match fetched {
            Fetched::Text(text) => self.open_own(frontend, slot, &text).unwrap_or(Found::Failed),
            Fetched::NotFound => Found::Nothing,
            // Tor asks without a cookie, and discards a descriptor that it cannot open.
            Fetched::Unreadable if frontend.backends.iter().any(V::is_client) => Found::Sealed,
            Fetched::Unreadable => Found::Failed,
            Fetched::Failed(reason) => {
                if let Some(reason) = reason {
                    let times = self.repeats.note(TOPIC, &reason, &service.0, Instant::now());
                    let name = self.known.names().service(service);
                    if let Some(times) = times {
                        warn!(text.service = %name, "cannot fetch the descriptor of service {name}: {reason}{times}");
                    }
                }
                Found::Failed
            }
        }
    }

    fn open_own(
        &self,
        frontend: &Frontend<V>,
        slot: DescriptorSlot,
        text: &str,
    ) -> Option<Found<<V::Point as Point>::Id>> {
        V::open_own(frontend, self.term(slot)?, text, onionbalance_process::now())
    }
}

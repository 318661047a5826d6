//! Descriptors that are fetched: the backends', and the frontend's own where they have to be looked at.

use onionbalance_proto::v2::AuthType;
use tracing::warn;

use super::client_fetch::{Ended, VisitError};
use super::publishing::UPLOAD_REJECTED;
use super::{Report, Runtime, wall_clock};
use crate::engine::{BackendId, DescriptorSlot, Event, FetchOutcome, Found, Point, ServiceId, Source};
use crate::generation::{Directory, Frontend, Generation};
use crate::relay::Fingerprint;
use crate::tor::Connection;
use crate::tor::event::{DescriptorId, HsDescContent};
use crate::tor::hsdir::{HsFetchError, Lookup};

/// Tor's words for what an HSDir said.
const NOT_FOUND: &str = "NOT_FOUND";
const BAD_DESC: &str = "BAD_DESC";

/// What tor's `BAD_DESC` means where it has a cookie.
const UNOPENED: &str = "tor cannot open it: does the backend know the cookie that `auth` has?";

/// What an HSDir is asked.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// For the backend's descriptor.
    Backend(BackendId),
    /// For a descriptor of our own.
    Own(ServiceId, DescriptorSlot),
}

impl<G: Generation> Runtime<G> {
    /// Asks these for the backend's descriptor; their answers are events of tor.
    pub(super) fn fetch(&mut self, id: &BackendId, from: &[Source]) {
        let Some(backend) = self.backends.get(id) else { return };
        if from.contains(&Source::Any) {
            self.client_fetches.ask(id);
        }
        let hsdirs: Vec<Fingerprint> = from
            .iter()
            .filter_map(|source| match source {
                Source::Hsdir(hsdir) => Some(*hsdir),
                Source::Any => None,
            })
            .collect();
        let question = Question::Backend(id.clone());
        match (&self.directory, &self.tor) {
            (Some(directory), Some(tor)) => {
                let lookups = directory.lookups(backend, &hsdirs, tor.version, wall_clock());
                self.ask(&tor.connection, question, lookups);
            }
            _ => self.on_not_asked(&question, hsdirs),
        }
    }

    pub(super) fn read_back(&mut self, service: ServiceId, slot: DescriptorSlot, hsdir: Fingerprint) {
        let lookup = self.frontends.get(&service).zip(self.tor.as_ref()).and_then(|(frontend, tor)| {
            let lookup = self.directory.as_ref()?.lookup_own(&frontend.address, slot, tor.version)?;
            Some((tor.connection.clone(), lookup))
        });
        match lookup {
            Some((tor, lookup)) => {
                self.read_backs.expect(service.clone(), slot, hsdir);
                self.ask(&tor, Question::Own(service, slot), vec![(lookup, vec![hsdir])]);
            }
            None => self.tell_engine(Event::ReadBack { service, slot, hsdir, found: Found::Failed }),
        }
    }

    fn ask(&self, tor: &Connection, question: Question, lookups: Vec<(Lookup, Vec<Fingerprint>)>) {
        let (tor, reports) = (tor.clone(), self.reports.clone());
        let names = self.known.names();
        let of = match &question {
            Question::Backend(backend) => format!("backend {}", names.backend(backend)),
            Question::Own(service, _) => format!("service {}", names.service(service)),
        };
        tokio::spawn(async move {
            for (lookup, from) in lookups {
                let not_asked = ask(&tor, &lookup, from, &of).await;
                if !not_asked.is_empty() {
                    // Nobody listens only when all is over.
                    let _ = reports.send(Report::NotAsked(question.clone(), not_asked));
                }
            }
        });
    }

    pub(super) fn on_content(&mut self, content: &HsDescContent) {
        // An empty text comes beside a failure that was told already.
        if content.text.is_empty() {
            return;
        }
        if let Some((service, slot)) = self.view.own.get(&content.descriptor_id).cloned() {
            if self.read_backs.end(&service, slot, content.hsdir) {
                let found = self.open_own(&service, slot, &content.text).unwrap_or(Found::Failed);
                return self.tell_engine(Event::ReadBack { service, slot, hsdir: content.hsdir, found });
            }
        }
        let Some(id) = self.view.backends.get(&content.descriptor_id).cloned() else { return };
        let (Some(backend), Some(directory)) = (self.backends.get(&id), &self.directory) else { return };
        let outcome = match G::open(backend, directory, &content.text, wall_clock()) {
            Ok(copy) => {
                self.client_fetches.received(&id);
                FetchOutcome::Copy(copy)
            }
            Err(error) => FetchOutcome::Invalid(error),
        };
        let source = match G::credential(backend) {
            Some(_) => Source::Any,
            None => Source::Hsdir(content.hsdir),
        };
        self.tell_engine(Event::Fetched { backend: id.clone(), source, outcome });
        if let Some(newest) = self.engine.newest_of(&id) {
            self.memory.note(&id, newest);
        }
    }

    /// An HSDir did not give the descriptor of the service at `address`; `reason` is tor's word for it. False if tor was
    /// not fetching that as a client.
    pub(super) fn on_client_fetch_failed(
        &mut self,
        address: &str,
        authorization: Option<AuthType>,
        reason: &str,
    ) -> bool {
        authorization.is_some_and(|auth_type| {
            // Tor goes on to ask the next HSDir.
            self.client_fetches.refused(&BackendId::from(address), auth_type, reason);
            true
        })
    }

    /// A fetch failed; `reason` is tor's word for it. False if nothing of the kind was being fetched.
    pub(super) fn on_fetch_failed(
        &mut self,
        hsdir: Fingerprint,
        descriptor: Option<&DescriptorId>,
        reason: &str,
    ) -> bool {
        let Some(descriptor) = descriptor else { return false };
        if let Some((service, slot)) = self.view.own.get(descriptor).cloned() {
            if reason != UPLOAD_REJECTED && self.read_backs.end(&service, slot, hsdir) {
                let frontend = self.frontends.get(&service);
                let found = frontend.map_or(Found::Failed, |frontend| not_found(frontend, reason));
                self.tell_engine(Event::ReadBack { service, slot, hsdir, found });
                return true;
            }
        }
        let Some(backend) = self.view.backends.get(descriptor).cloned() else { return false };
        let outcome = match reason {
            NOT_FOUND => FetchOutcome::NotFound,
            BAD_DESC => FetchOutcome::Invalid(G::UNPARSED.into()),
            _ => FetchOutcome::Failed,
        };
        self.tell_engine(Event::Fetched { backend, source: Source::Hsdir(hsdir), outcome });
        true
    }

    /// Tor did not even ask these HSDirs.
    pub(super) fn on_not_asked(&mut self, question: &Question, hsdirs: Vec<Fingerprint>) {
        for hsdir in hsdirs {
            match question.clone() {
                Question::Backend(backend) => {
                    let (source, outcome) = (Source::Hsdir(hsdir), FetchOutcome::Failed);
                    self.tell_engine(Event::Fetched { backend, source, outcome });
                }
                Question::Own(service, slot) => {
                    if self.read_backs.end(&service, slot, hsdir) {
                        self.tell_engine(Event::ReadBack { service, slot, hsdir, found: Found::Failed });
                    }
                }
            }
        }
    }

    /// A connection to a backend that authorizes its clients has come to an end before its descriptor came.
    pub(super) fn on_visited(&mut self, backend: &BackendId, result: Result<(), VisitError>) {
        let ended = self.client_fetches.ended(backend, result);
        self.on_client_fetch_ended(backend, ended);
    }

    /// Tor has asked every HSDir of the service.
    pub(super) fn on_no_hsdir_left(&mut self, backend: &BackendId) {
        let ended = self.client_fetches.exhausted(backend);
        self.on_client_fetch_ended(backend, ended);
    }

    fn on_client_fetch_ended(&mut self, backend: &BackendId, ended: Ended) {
        let outcome = match ended {
            Ended::Continues => return,
            Ended::NotFound => FetchOutcome::NotFound,
            Ended::Invalid => FetchOutcome::Invalid(UNOPENED.into()),
            Ended::Failed(why) => {
                if let Some(why) = why {
                    let (name, address) = self.known.introduce(backend);
                    warn!(
                        address = address.map(display),
                        "cannot fetch the descriptor of backend {name}: {why}"
                    );
                }
                FetchOutcome::Failed
            }
        };
        self.tell_engine(Event::Fetched { backend: backend.clone(), source: Source::Any, outcome });
    }

    fn open_own(
        &self,
        service: &ServiceId,
        slot: DescriptorSlot,
        text: &str,
    ) -> Option<Found<<G::Point as Point>::Id>> {
        let term = self.directory.as_ref()?.term(slot)?;
        G::open_own(self.frontends.get(service)?, term, text, wall_clock())
    }
}

/// What it means that tor does not hand out the frontend's own descriptor.
fn not_found<G: Generation>(frontend: &Frontend<G>, reason: &str) -> Found<<G::Point as Point>::Id> {
    let authorizes = || frontend.backends.iter().any(|backend| G::credential(backend).is_some());
    match reason {
        NOT_FOUND => Found::Nothing,
        // Tor asks without a cookie, and throws away what it cannot open.
        BAD_DESC if authorizes() => Found::Sealed,
        _ => Found::Failed,
    }
}

/// Asks the HSDirs for the descriptor `of` somebody. The result is those that were not asked, since tor does not know them or is
/// gone.
async fn ask(tor: &Connection, lookup: &Lookup, mut from: Vec<Fingerprint>, of: &str) -> Vec<Fingerprint> {
    let mut not_asked = Vec::new();
    loop {
        match tor.hs_fetch(lookup, &from).await {
            Ok(()) => return not_asked,
            Err(HsFetchError::UnknownServer(unknown)) if from.contains(&unknown) => {
                from.retain(|hsdir| *hsdir != unknown);
                not_asked.push(unknown);
            }
            Err(error) => {
                warn!("cannot fetch the descriptor of {of}: {error}");
                not_asked.append(&mut from);
                return not_asked;
            }
        }
    }
}

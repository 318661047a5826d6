//! Descriptors that are published, and what HSDirs say to them.

use tokio::time::Instant;

use super::publication::Publication;
use super::uploads::Success;
use super::{Report, Runtime};
use crate::engine::{DescriptorSlot, Event, PublicationId, ServiceId, UploadOutcome};
use crate::generation::{Directory, Generation, Order, SignError, Signed};
use crate::relay::Fingerprint;
use crate::tor::event::DescriptorId;
use crate::tor::hsdir::{HsPostError, Posted};

/// Tor's word for the status 400: mostly the HSDir holds a revision that is not lower.
pub(super) const UPLOAD_REJECTED: &str = "UPLOAD_REJECTED";

/// Why a publication is not posted when its time is over.
const NO_SUCH_PERIOD: &str = "the consensus has no such period any more";
/// Why a publication is not posted where a later one takes its place.
const REPLACED: &str = "a later publication takes its place";

/// A signed descriptor that was handed to tor.
pub(super) struct Handed {
    id: PublicationId,
    service: ServiceId,
    revision: u64,
    to: Vec<Fingerprint>,
}

impl<G: Generation> Runtime<G> {
    /// Puts a publication into the line before the signer.
    pub(super) fn publish(
        &mut self,
        id: PublicationId,
        service: ServiceId,
        slot: DescriptorSlot,
        points: Vec<G::Point>,
        to: Vec<Fingerprint>,
        revision_floor: Option<u64>,
    ) {
        let Some(frontend) = self.frontends.get(&service).cloned() else {
            return self.not_posted(id, "the service is no longer configured");
        };
        let Some(term) = self.directory.as_ref().and_then(|directory| directory.term(slot)) else {
            return self.not_posted(id, NO_SUCH_PERIOD);
        };
        let order = Order { frontend, term, points, revision_floor: revision_floor.unwrap_or(0) };
        for replaced in self.signing.join(Publication { id, service, slot, order, to }) {
            self.not_posted(replaced, REPLACED);
        }
        self.sign_next();
    }

    fn not_posted(&mut self, id: PublicationId, problem: &str) {
        self.tell_engine(Event::NotPosted { id, problem: problem.to_owned() });
    }

    /// Has the next publication signed, in a task of its own, unless one is under way.
    fn sign_next(&mut self) {
        let Some(publication) = self.signing.begin() else { return };
        let (signer, reports) = (self.signer.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = publication.sign(&signer).await;
            // Nobody listens only when all is over.
            let _ = reports.send(Report::Signed(publication, outcome));
        });
    }

    /// The end of that task.
    pub(super) fn on_signed(&mut self, publication: &Publication<G>, signed: Result<Signed, SignError>) {
        let to = self.signing.finish();
        match signed {
            Err(problem) => self.not_posted(publication.id, &problem.to_string()),
            Ok(_) if to.is_empty() => self.not_posted(publication.id, REPLACED),
            Ok(signed) => self.post(publication, to, signed),
        }
        self.sign_next();
    }

    /// Posts a descriptor, in a task of its own.
    fn post(&mut self, publication: &Publication<G>, to: Vec<Fingerprint>, signed: Signed) {
        let Publication { id, service, slot, order, .. } = publication;
        let address = order.frontend.address;
        let directory = self.directory.as_ref();
        let Some(descriptor) = directory.and_then(|directory| directory.descriptor_id(&address, *slot))
        else {
            return self.not_posted(*id, NO_SUCH_PERIOD);
        };
        let Some(tor) = self.tor.clone() else { return self.not_posted(*id, "tor is away") };
        // Before the upload begins: its first event may be here before tor's reply has been looked at.
        self.uploads.expect(service, &descriptor, *id, &to, Instant::now());
        let handed = Handed { id: *id, service: service.clone(), revision: signed.revision, to };
        let reports = self.reports.clone();
        tokio::spawn(async move {
            // One HSPOST for all HSDirs: tor leaks the descriptor's size with each.
            let outcome = tor.connection.hs_post(G::hs_address(&address), &handed.to, &signed.text).await;
            let _ = reports.send(Report::Posted(handed, outcome));
        });
    }

    /// The end of that task.
    pub(super) fn on_posted(&mut self, handed: &Handed, outcome: Result<Posted, HsPostError>) {
        let Handed { id, service, revision, to } = handed;
        let (id, revision) = (*id, *revision);
        let stored = match outcome {
            Ok(Posted { unknown, .. }) => {
                let stored = self.uploads.withdraw(service, id, &unknown);
                self.tell_engine(Event::Posted { id, revision });
                for hsdir in unknown {
                    self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Unknown });
                }
                stored
            }
            Err(problem) => {
                self.not_posted(id, &problem.to_string());
                self.uploads.withdraw(service, id, to)
            }
        };
        for (id, hsdir) in stored {
            self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Stored });
        }
    }

    /// An HSDir took a descriptor of the service.
    pub(super) fn on_uploaded(&mut self, service: &ServiceId, hsdir: Fingerprint) {
        let (ids, outcome) = match self.uploads.uploaded(service, hsdir) {
            Success::Of(ids) => (ids, UploadOutcome::Stored),
            Success::Unclear(ids) => (ids, UploadOutcome::Unclear),
        };
        for id in ids {
            self.tell_engine(Event::Uploaded { id, hsdir, outcome: outcome.clone() });
        }
    }

    /// An upload failed; `reason` is tor's word for it.
    pub(super) fn on_upload_failed(
        &mut self,
        service: &ServiceId,
        hsdir: Fingerprint,
        descriptor: Option<&DescriptorId>,
        reason: String,
    ) {
        let Some((failed, stored)) = self.uploads.failed(service, hsdir, descriptor) else { return };
        let outcome =
            if reason == UPLOAD_REJECTED { UploadOutcome::Refused(reason) } else { UploadOutcome::Failed };
        self.tell_engine(Event::Uploaded { id: failed, hsdir, outcome });
        for id in stored {
            self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Stored });
        }
    }
}

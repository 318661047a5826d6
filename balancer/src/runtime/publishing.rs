//! Descriptors that are published, and what HSDirs say to them.

use tokio::time::Instant;

use super::publication::{Outcome, Publication};
use super::uploads::Success;
use super::{Report, Runtime, wall_clock};
use crate::engine::{DescriptorSlot, Event, PublicationId, ServiceId, UploadOutcome};
use crate::generation::{Directory, Generation, Order};
use crate::relay::Fingerprint;
use crate::tor::event::DescriptorId;

/// Tor's word for the status 400: mostly the HSDir holds a revision that is not lower.
pub(super) const UPLOAD_REJECTED: &str = "UPLOAD_REJECTED";

impl<G: Generation> Runtime<G> {
    /// Has a descriptor signed and posted, in a task of its own.
    pub(super) fn publish(
        &mut self,
        id: PublicationId,
        service: &ServiceId,
        slot: DescriptorSlot,
        points: Vec<G::Point>,
        to: Vec<Fingerprint>,
        revision_floor: Option<u64>,
    ) {
        let not_posted = |problem: &str| Event::NotPosted { id, problem: problem.to_owned() };
        let Some(frontend) = self.frontends.get(service).cloned() else {
            return self.tell_engine(not_posted("the service is no longer configured"));
        };
        let place = self.directory.as_ref().and_then(|directory| {
            Some((directory.term(slot)?, directory.descriptor_id(&frontend.address, slot)?))
        });
        let Some((term, descriptor)) = place else {
            return self.tell_engine(not_posted("the consensus has no such period any more"));
        };
        let Some(tor) = self.tor.clone() else { return self.tell_engine(not_posted("tor is away")) };
        // Before the upload begins: its first event may be here before tor's reply has been looked at.
        self.uploads.expect(service, &descriptor, id, &to, Instant::now());
        let order = Order { frontend, term, points, revision_floor: revision_floor.unwrap_or(0) };
        let publication = Publication { id, service: service.clone(), order, to };
        let (signer, reports) = (self.signer.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = publication.carry_out(&signer, &tor.connection, wall_clock()).await;
            let _ = reports.send(Report::Published(publication, outcome));
        });
    }

    /// The end of that task.
    pub(super) fn on_published(&mut self, publication: &Publication<G>, outcome: Outcome) {
        let Publication { id, service, to, .. } = publication;
        let id = *id;
        let stored = match outcome {
            Outcome::Posted { revision, unknown } => {
                let stored = self.uploads.withdraw(service, id, &unknown);
                self.tell_engine(Event::Posted { id, revision });
                for hsdir in unknown {
                    self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Unknown });
                }
                stored
            }
            Outcome::NotPosted(problem) => {
                self.tell_engine(Event::NotPosted { id, problem });
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

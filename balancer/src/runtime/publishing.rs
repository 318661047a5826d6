//! Descriptors that are published, and what HSDirs say to them.

use onionbalance_proto::v3::{BlindedKey, OnionAddress};
use tokio::time::Instant;

use super::publication::{Outcome, Publication};
use super::{Report, Runtime, wall_clock};
use crate::engine::{DescriptorSlot, Event, PublicationId, ServiceId, UploadOutcome};
use crate::relay::Fingerprint;
use crate::tor::event::DescriptorId;
use crate::v3::backend::BackendPoint;

/// Tor's word for the status 400: mostly the HSDir holds a revision that is not lower.
pub(super) const UPLOAD_REJECTED: &str = "UPLOAD_REJECTED";

impl Runtime {
    /// Has a descriptor signed and posted, in a task of its own.
    pub(super) fn publish(
        &mut self,
        id: PublicationId,
        service: &ServiceId,
        slot: DescriptorSlot,
        points: Vec<BackendPoint>,
        to: Vec<Fingerprint>,
        revision_floor: Option<u64>,
    ) {
        let not_posted = |problem: &str| Event::NotPosted { id, problem: problem.to_owned() };
        let Some(frontend) = self.frontends.get(service) else {
            return self.tell_engine(not_posted("the service is no longer configured"));
        };
        let Some(term) = self.term(slot) else {
            return self.tell_engine(not_posted("the consensus has no such period any more"));
        };
        let Some(tor) = self.tor.clone() else { return self.tell_engine(not_posted("tor is away")) };
        let blinded = BlindedKey::derive(&frontend.address, term.period);
        let publication = Publication {
            id,
            service: frontend.address,
            term,
            points,
            to,
            revision_seen: revision_floor.unwrap_or(0),
        };
        // Before the upload begins: its first event may be here before tor's reply has been looked at.
        self.uploads.expect(
            publication.service,
            &DescriptorId::from(&blinded),
            id,
            &publication.to,
            Instant::now(),
        );
        let (signer, reports) = (self.signer.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = publication.carry_out(&signer, &tor, wall_clock()).await;
            let _ = reports.send(Report::Published(publication, outcome));
        });
    }

    /// The end of that task.
    pub(super) fn on_published(&mut self, publication: &Publication, outcome: Outcome) {
        let id = publication.id;
        match outcome {
            Outcome::Posted { revision, unknown } => {
                self.uploads.withdraw(publication.service, id, &unknown);
                self.tell_engine(Event::Posted { id, revision });
                for hsdir in unknown {
                    self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Unknown });
                }
            }
            Outcome::NotPosted(problem) => {
                self.uploads.withdraw(publication.service, id, &publication.to);
                self.tell_engine(Event::NotPosted { id, problem });
            }
        }
    }

    /// An HSDir took a descriptor of the service.
    pub(super) fn on_uploaded(&mut self, service: OnionAddress, hsdir: Fingerprint) {
        for id in self.uploads.uploaded(service, hsdir) {
            self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Stored });
        }
    }

    /// An upload failed; `reason` is tor's word for it.
    pub(super) fn on_upload_failed(
        &mut self,
        service: OnionAddress,
        hsdir: Fingerprint,
        descriptor: &DescriptorId,
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

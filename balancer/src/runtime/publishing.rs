//! Descriptors that are published, and what HSDirs say to them.

use tokio::time::Instant;

use super::publication::{Outcome, Posted, Publication, Source};
use super::uploads::Success;
use super::{Report, Runtime, wall_clock};
use crate::engine::{DescriptorSlot, Event, Post, PublicationId, Revision, ServiceId, UploadOutcome};
use crate::generation::{Directory, Generation, Order};
use crate::relay::Fingerprint;
use crate::tor::event::DescriptorId;

/// Tor's word for the status 400: mostly the HSDir holds a revision that is not lower.
pub(super) const UPLOAD_REJECTED: &str = "UPLOAD_REJECTED";

impl<G: Generation> Runtime<G> {
    /// Has a descriptor posted, and signed before that if its revision is a new one, in a task of its own.
    pub(super) fn publish(
        &mut self,
        id: PublicationId,
        service: &ServiceId,
        slot: DescriptorSlot,
        posts: Vec<Post<G::Point>>,
        revision: Revision,
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
        let mut sets = Vec::with_capacity(posts.len());
        let mut to = Vec::with_capacity(posts.len());
        for post in posts {
            sets.push(post.points.into_iter().map(|chosen| chosen.point).collect());
            to.push((post.set, post.to));
        }
        let source = match revision {
            Revision::New { floor } => {
                Source::Signer(Order { frontend, term, sets, revision_floor: floor.unwrap_or(0) })
            }
            Revision::Kept(revision) => {
                let numbers = to.iter().map(|(set, _)| *set);
                let Some(texts) = self.kept.get(service, slot, revision, numbers) else {
                    return self.tell_engine(Event::NotKept { id });
                };
                Source::Kept { frontend, revision, texts }
            }
        };
        let publication = Publication { id, service: service.clone(), slot, source, posts: to };
        // Before the upload begins: its first event may be here before tor's reply has been looked at.
        self.uploads.expect(service, &descriptor, id, &publication.hsdirs(), Instant::now());
        let (signer, reports) = (self.signer.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = publication.carry_out(&signer, &tor.connection, wall_clock()).await;
            let _ = reports.send(Report::Published(publication, outcome));
        });
    }

    /// The end of that task.
    pub(super) fn on_published(&mut self, publication: &Publication<G>, outcome: Outcome) {
        let Publication { id, service, slot, source, posts } = publication;
        let id = *id;
        let stored = match outcome {
            Outcome::Posted(Posted { revision, texts, unknown, failed }) => {
                if matches!(source, Source::Signer(_)) {
                    let sets = posts.iter().map(|(set, _)| *set);
                    self.kept.keep(service, *slot, revision, sets.zip(texts));
                }
                let mut stored = self.uploads.withdraw(service, id, &unknown);
                stored.extend(self.uploads.withdraw(service, id, &failed));
                self.tell_engine(Event::Posted { id, revision });
                for hsdir in unknown {
                    self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Unknown });
                }
                for hsdir in failed {
                    self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Failed });
                }
                stored
            }
            Outcome::NotPosted(problem) => {
                self.tell_engine(Event::NotPosted { id, problem });
                self.uploads.withdraw(service, id, &publication.hsdirs())
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

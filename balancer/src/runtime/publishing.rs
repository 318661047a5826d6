//! Descriptors that are published, and what HSDirs say to them.

use super::Runtime;
use super::publication::Publication;
use crate::engine::{DescriptorSlot, Event, PublicationId, ServiceId, UploadOutcome};
use crate::generation::{Directory, Generation, Order, SignError, Signed};
use crate::network::{Network, Post, RequestId, Verdict};
use crate::relay::Fingerprint;

/// Why a publication is not posted when its time is over.
const NO_SUCH_PERIOD: &str = "the consensus has no such period any more";
/// Why a publication is not posted where a later one takes its place.
const REPLACED: &str = "a later publication takes its place";

/// A post that the network has not answered for all HSDirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    id: PublicationId,
    revision: u64,
    /// How many HSDirs' verdicts are still to come.
    awaited: usize,
}

impl<G: Generation, N: Network> Runtime<G, N> {
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
        let (signer, reports) = (self.signer.clone(), self.reports.to_us.clone());
        tokio::spawn(async move {
            let outcome = publication.sign(&signer).await;
            // Nobody listens only when all is over.
            let _ = reports.send((publication, outcome));
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

    fn post(&mut self, publication: &Publication<G>, to: Vec<Fingerprint>, signed: Signed) {
        let Publication { id, slot, order, .. } = publication;
        let directory = self.directory.as_ref();
        let Some(name) = directory.and_then(|directory| directory.name(&order.frontend.address, *slot))
        else {
            return self.not_posted(*id, NO_SUCH_PERIOD);
        };
        let request = self.next_request();
        self.posts.insert(request, Posting { id: *id, revision: signed.revision, awaited: to.len() });
        self.network.post(request, Post { name, text: signed.text, to });
    }

    /// The descriptor is being uploaded.
    pub(super) fn on_posted(&mut self, request: RequestId) {
        let Some(Posting { id, revision, .. }) = self.posts.get(&request).copied() else { return };
        self.tell_engine(Event::Posted { id, revision });
    }

    /// The descriptor is uploaded to nobody.
    pub(super) fn on_not_posted(&mut self, request: RequestId, problem: &str) {
        let Some(Posting { id, .. }) = self.posts.remove(&request) else { return };
        self.not_posted(id, problem);
    }

    /// The end of the upload to one HSDir.
    pub(super) fn on_uploaded(&mut self, request: RequestId, hsdir: Fingerprint, verdict: Verdict) {
        let Some(posting) = self.posts.get_mut(&request) else { return };
        let id = posting.id;
        posting.awaited = posting.awaited.saturating_sub(1);
        if posting.awaited == 0 {
            self.posts.remove(&request);
        }
        let outcome = match verdict {
            Verdict::Stored => UploadOutcome::Stored,
            Verdict::Unclear => UploadOutcome::Unclear,
            Verdict::Refused(reason) => UploadOutcome::Refused(reason),
            Verdict::Failed => UploadOutcome::Failed,
            Verdict::Unknown => UploadOutcome::Unknown,
        };
        self.tell_engine(Event::Uploaded { id, hsdir, outcome });
    }
}

//! Descriptors that are published, and the answers of HSDirs.

use std::sync::Arc;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;

use super::posts::Decided;
use super::signing::{Answer, Publication};
use super::{Report, Runtime};
use crate::engine::{DescriptorSlot, Event, Post, PublicationId, Revision, ServiceId, UploadOutcome};
use crate::network::{self, DescriptorName, Network, RequestId, Verdict, Version};
use crate::onion_version::{OnionVersion, Order, Signed};

/// The reason for not posting a publication whose time is over.
const NO_SUCH_PERIOD: &str = "the consensus has no such period any more";
/// The reason for not posting a publication that a later one replaces.
const REPLACED: &str = "a later publication takes its place";

impl<V: OnionVersion, N: Network> Runtime<V, N> {
    /// Posts a descriptor as it was signed before. If its revision is new, the publication joins the line
    /// before the signer.
    pub(super) fn publish(
        &mut self,
        id: PublicationId,
        service: ServiceId,
        slot: DescriptorSlot,
        posts: Vec<Post<V::Point>>,
        revision: Revision,
    ) {
        let Some(frontend) = self.frontends.get(&service).cloned() else {
            return self.not_posted(id, "the service is no longer configured");
        };
        let Some(term) = self.term(slot) else { return self.not_posted(id, NO_SUCH_PERIOD) };
        let mut sets = Vec::with_capacity(posts.len());
        let mut to = Vec::with_capacity(posts.len());
        for post in posts {
            sets.push(post.points.into_iter().map(|chosen| chosen.point).collect());
            to.push((post.set, post.to));
        }
        match revision {
            Revision::Kept(revision) => {
                let numbers = to.iter().map(|(set, _)| *set);
                let Some(texts) = self.kept.get(&service, slot, revision, numbers) else {
                    return self.tell_engine(Event::NotKept { id });
                };
                let to = to.into_iter().map(|(_, to)| to);
                let name = V::name(&frontend.address, term);
                self.post(id, &service, &name, revision, texts.into_iter().zip(to));
            }
            Revision::New { floor } => {
                let order = Order { frontend, term, sets, revision_floor: floor.unwrap_or(0) };
                if let Some(replaced) = self.signing.join(Publication { id, service, slot, order, to }) {
                    self.not_posted(replaced, REPLACED);
                }
                self.sign_next();
            }
        }
    }

    fn not_posted(&mut self, id: PublicationId, problem: &str) {
        self.tell_engine(Event::NotPosted { id, problem: problem.to_owned() });
    }

    /// Has the next publication signed, in a task of its own, unless one is being signed.
    fn sign_next(&mut self) {
        let Some(publication) = self.signing.begin() else { return };
        let (signer, reports) = (self.signer.clone(), self.reports.to_us.clone());
        tokio::spawn(async move {
            let answer = publication.sign(&signer).await;
            // The receiver is gone only at the end.
            let _ = reports.send(Report::Signed(publication, answer));
        });
    }

    /// Takes the end of that task.
    pub(super) fn on_signed(&mut self, publication: Publication<V>, answer: Answer<V>) {
        self.tally.signature(&answer);
        let is_wanted = self.signing.finish();
        let Publication { id, service, slot, order, to } = publication;
        match answer.outcome {
            Err(problem) => self.not_posted(id, &problem.to_string()),
            Ok(_) if !is_wanted => self.not_posted(id, REPLACED),
            Ok(Signed { texts, revision }) => {
                let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
                let largest = texts.iter().map(|text| text.len()).max();
                self.tally.signed(&service, slot, largest.unwrap_or(0));
                let sets = to.iter().map(|(set, _)| *set);
                self.kept.keep(&service, slot, revision, sets.zip(texts.iter().cloned()));
                // The period may have ended while the signer was at work.
                if self.term(slot).is_some() {
                    let name = V::name(&order.frontend.address, order.term);
                    let to = to.into_iter().map(|(_, to)| to);
                    self.post(id, &service, &name, revision, texts.into_iter().zip(to));
                } else {
                    self.not_posted(id, NO_SUCH_PERIOD);
                }
            }
        }
        self.sign_next();
    }

    /// Hands each text to the network, once for all its HSDirs: with each post tor leaks memory of the
    /// descriptor's size.
    fn post(
        &mut self,
        id: PublicationId,
        service: &ServiceId,
        name: &DescriptorName,
        revision: u64,
        texts: impl Iterator<Item = (Arc<str>, Vec<Fingerprint>)>,
    ) {
        self.tally.published(service);
        for (text, to) in texts {
            let request = self.next_request();
            self.posts.begin(request, id, service.clone(), revision, to.clone());
            self.tally.uploads(service, to.len());
            self.network.post(request, network::Post { name: name.clone(), text, to });
        }
    }

    /// Notes that the network took a post.
    pub(super) fn on_posted(&mut self, request: RequestId) {
        // Tor frees all memory of a version-2 descriptor that is posted (tor: `handle_control_hspost`).
        if V::VERSION == Version::V3 {
            self.post_count.taken(Instant::now());
            self.post_count.judge(self.restart_hint);
        }
        if let Some(decided) = self.posts.taken(request) {
            self.tell_decided(decided);
        }
    }

    /// Notes that the network refused a post.
    pub(super) fn on_not_posted(&mut self, request: RequestId, problem: &str) {
        if let Some(decided) = self.posts.not_taken(request, problem) {
            self.tell_decided(decided);
        }
    }

    fn tell_decided(&mut self, Decided { id, outcome, failed }: Decided) {
        match outcome {
            Some(Ok(revision)) => self.tell_engine(Event::Posted { id, revision }),
            Some(Err(problem)) => return self.not_posted(id, &problem),
            None => {}
        }
        for hsdir in failed {
            self.tell_engine(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Failed });
        }
    }

    /// Notes the end of the upload to one HSDir.
    pub(super) fn on_uploaded(&mut self, request: RequestId, hsdir: Fingerprint, verdict: Verdict) {
        let Some((id, service)) = self.posts.uploaded(request, hsdir) else { return };
        self.tally.uploaded(&service, &verdict);
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

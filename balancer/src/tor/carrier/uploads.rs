//! The assignment of events to uploads.
//!
//! Tor's `UPLOADED` names the service and the HSDir, not the descriptor, and an upload that a newer one
//! supersedes goes on nevertheless. If one HSDir is sent several descriptors of a service, the event proves
//! nothing until the outcome of all is known. That may never happen, because tor reports nothing of an upload
//! that it could not carry out. `FAILED` names the descriptor in version 3 only.

use std::collections::HashMap;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;

use super::GIVEN_UP;
use crate::network::{DescriptorName, RequestId, Verdict};
use crate::tor::event::{DescriptorId, Service};

/// The time between the beginnings of two uploads after which the first may never end. Uploads that began
/// together are slow together.
const APART: Duration = Duration::from_secs(10);

/// The uploads that an HSDir's acknowledgement may belong to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Success {
    /// All of these uploads succeeded.
    Of(Vec<RequestId>),
    /// One or more of these uploads succeeded. The others may never end, and none of them is awaited any
    /// more.
    Unclear(Vec<RequestId>),
}

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    at: HashMap<(Service, Fingerprint), AtHsdir>,
}

#[derive(Debug, Default)]
struct AtHsdir {
    /// The uploads in the order in which they began.
    awaited: Vec<Awaited>,
    /// The number of these uploads that succeeded; the events do not name them.
    uploaded: usize,
}

#[derive(Debug)]
struct Awaited {
    request: RequestId,
    descriptor: DescriptorId,
    begun: Instant,
}

impl Uploads {
    /// Notes the beginning of an upload.
    pub(super) fn expect(
        &mut self,
        request: RequestId,
        name: &DescriptorName,
        hsdirs: &[Fingerprint],
        now: Instant,
    ) {
        let (service, descriptor) = tors_names(name);
        for hsdir in hsdirs {
            let at = self.at.entry((service.clone(), *hsdir)).or_default();
            at.awaited.push(Awaited { request, descriptor: descriptor.clone(), begun: now });
        }
    }

    /// Removes an upload to this HSDir that tor did not make. Returns the other requests that are therefore
    /// known to be stored there.
    pub(super) fn withdraw(&mut self, request: RequestId, hsdir: Fingerprint) -> Vec<RequestId> {
        let mut stored = Vec::new();
        for ((_, at_hsdir), at) in &mut self.at {
            if *at_hsdir == hsdir && at.awaits(request) {
                at.awaited.retain(|awaited| awaited.request != request);
                stored.extend(at.settle());
            }
        }
        self.forget_done();
        stored
    }

    /// The HSDirs for which this request still awaits an end.
    pub(super) fn hsdirs(&self, request: RequestId) -> Vec<Fingerprint> {
        self.at.iter().filter(|(_, at)| at.awaits(request)).map(|((_, hsdir), _)| *hsdir).collect()
    }

    /// Notes that the HSDir stored one of the service's descriptors.
    pub(super) fn uploaded(&mut self, service: &Service, hsdir: Fingerprint) -> Success {
        let Some(at) = self.at.get_mut(&(service.clone(), hsdir)) else { return Success::Of(Vec::new()) };
        at.uploaded += 1;
        let stored = at.settle();
        let unclear = if stored.is_empty() { at.give_up() } else { None };
        let success = unclear.map_or(Success::Of(stored), Success::Unclear);
        self.forget_done();
        success
    }

    /// Notes that the upload of `descriptor`, or of an unnamed one, failed there. Returns its request, and
    /// those that are therefore known to be stored.
    /// If several are awaited, the newest counts as failed: a needless upload does no harm.
    pub(super) fn failed(
        &mut self,
        service: &Service,
        hsdir: Fingerprint,
        descriptor: Option<&DescriptorId>,
    ) -> Option<(RequestId, Vec<RequestId>)> {
        let at = self.at.get_mut(&(service.clone(), hsdir))?;
        let index =
            at.awaited.iter().rposition(|awaited| descriptor.is_none_or(|id| awaited.descriptor == *id))?;
        let failed = at.awaited.remove(index).request;
        let stored = at.settle();
        self.forget_done();
        Some((failed, stored))
    }

    /// Ends uploads for which no event has come for too long, and those whose outcome can never be known.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(RequestId, Fingerprint, Verdict)> {
        let mut expired = Vec::new();
        for ((_, hsdir), at) in &mut self.at {
            let is_over = |awaited: &Awaited| now.duration_since(awaited.begun) >= GIVEN_UP;
            if !at.awaited.iter().any(is_over) {
                continue;
            }
            // If some succeeded, each one may be among them.
            let verdict = if at.uploaded == 0 { Verdict::Failed } else { Verdict::Unclear };
            let ends = |awaited: &Awaited| verdict == Verdict::Unclear || is_over(awaited);
            expired.extend(
                at.awaited
                    .iter()
                    .filter(|awaited| ends(awaited))
                    .map(|awaited| (awaited.request, *hsdir, verdict.clone())),
            );
            at.awaited.retain(|awaited| !ends(awaited));
            at.uploaded = 0;
        }
        self.forget_done();
        expired
    }

    /// The time at which [`Uploads::expire`] returns something; `None` if nothing is awaited.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.at.values().filter_map(|at| at.awaited.first()).map(|awaited| awaited.begun).min();
        first.map(|begun| begun + GIVEN_UP)
    }

    /// Drops all uploads.
    pub(super) fn clear(&mut self) {
        self.at.clear();
    }

    fn forget_done(&mut self) {
        self.at.retain(|_, at| !at.awaited.is_empty());
    }
}

impl AtHsdir {
    fn awaits(&self, request: RequestId) -> bool {
        self.awaited.iter().any(|awaited| awaited.request == request)
    }

    /// Takes all awaited requests if waiting for the rest is useless; `None` otherwise.
    fn give_up(&mut self) -> Option<Vec<RequestId>> {
        let (first, last) = self.awaited.first().zip(self.awaited.last())?;
        if last.begun.duration_since(first.begun) < APART {
            return None;
        }
        self.uploaded = 0;
        Some(self.awaited.drain(..).map(|awaited| awaited.request).collect())
    }

    /// Takes the requests that are stored: all of them once as many uploads have succeeded as are awaited,
    /// otherwise none.
    fn settle(&mut self) -> Vec<RequestId> {
        if self.uploaded < self.awaited.len() {
            return Vec::new();
        }
        self.uploaded = 0;
        self.awaited.drain(..).map(|awaited| awaited.request).collect()
    }
}

/// The names of a descriptor and its service in tor's events.
fn tors_names(name: &DescriptorName) -> (Service, DescriptorId) {
    match name {
        DescriptorName::V3 { address, key } => (address.into(), key.into()),
        DescriptorName::V2 { address, id } => (address.into(), id.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HSDIR: Fingerprint = Fingerprint([1; 20]);
    const FIRST: RequestId = RequestId(1);
    const SECOND: RequestId = RequestId(2);
    const NEWER: RequestId = RequestId(3);

    const A: &str = "kkj45bfm57jmgw5ryxr6zmszjje2tdey";
    const B: &str = "lkj45bfm57jmgw5ryxr6zmszjje2tdey";
    const SERVICE: &str = "lijeinqkg3odt3fl";

    fn name(id: &str) -> DescriptorName {
        DescriptorName::V2 { address: SERVICE.parse().unwrap(), id: id.parse().unwrap() }
    }

    fn id(text: &str) -> DescriptorId {
        DescriptorId::from(text)
    }

    /// Uploads to one HSDir of one service: request, descriptor, and the second in which each began.
    fn awaiting(begun: &[(RequestId, &str, u64)]) -> (Uploads, Instant) {
        let start = Instant::now();
        let mut uploads = Uploads::default();
        for (request, descriptor, after) in begun {
            let now = start + Duration::from_secs(*after);
            uploads.expect(*request, &name(descriptor), &[HSDIR], now);
        }
        (uploads, start)
    }

    fn of(requests: &[RequestId]) -> Success {
        Success::Of(requests.to_vec())
    }

    fn service() -> Service {
        Service::from(SERVICE)
    }

    #[test]
    fn one_upload_is_told_at_once() {
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn two_descriptors_are_told_apart_when_both_are_done() {
        let both = [(FIRST, A, 0), (SECOND, B, 0)];
        let (mut uploads, _) = awaiting(&both);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST, SECOND]));
        let (mut uploads, _) = awaiting(&both);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(A))), Some((FIRST, vec![SECOND])));
        let (mut uploads, _) = awaiting(&both);
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(B))), Some((SECOND, vec![])));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn a_superseded_upload_does_not_stand_for_the_newer_one() {
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0), (NEWER, A, 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST, NEWER]));
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0), (NEWER, A, 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(A))), Some((NEWER, vec![FIRST])));
    }

    #[test]
    fn an_upload_without_an_end_is_given_up() {
        let (mut uploads, start) = awaiting(&[(FIRST, A, 0), (NEWER, A, 100)]);
        assert_eq!(uploads.deadline(), Some(start + GIVEN_UP));
        assert_eq!(uploads.expire(start + GIVEN_UP / 2), []);
        assert_eq!(uploads.expire(start + GIVEN_UP), [(FIRST, HSDIR, Verdict::Failed)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[NEWER]));
        assert_eq!(uploads.deadline(), None);
    }

    #[test]
    fn which_of_two_has_succeeded_may_never_be_known() {
        let (mut uploads, start) = awaiting(&[(FIRST, A, 0), (SECOND, B, 5)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        let unclear = [(FIRST, HSDIR, Verdict::Unclear), (SECOND, HSDIR, Verdict::Unclear)];
        assert_eq!(uploads.expire(start + GIVEN_UP), unclear);
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn nothing_is_held_back_for_an_upload_that_may_be_dead() {
        for second in [A, B] {
            let (mut uploads, _) = awaiting(&[(FIRST, A, 0), (SECOND, second, 80)]);
            assert_eq!(uploads.uploaded(&service(), HSDIR), Success::Unclear(vec![FIRST, SECOND]));
            // Later events of these uploads come too late.
            assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
            assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(second))), None);
            uploads.expect(NEWER, &name(A), &[HSDIR], Instant::now());
            assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[NEWER]));
        }
    }

    #[test]
    fn a_withdrawn_upload_leaves_the_others_known() {
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0), (NEWER, A, 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.hsdirs(NEWER), [HSDIR]);
        assert_eq!(uploads.withdraw(NEWER, HSDIR), [FIRST]);
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn a_failure_without_a_name_is_the_newest_ones() {
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0), (SECOND, B, 0)]);
        assert_eq!(uploads.failed(&service(), HSDIR, None), Some((SECOND, vec![])));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
    }

    #[test]
    fn a_withdrawn_upload_is_not_awaited() {
        let (mut uploads, _) = awaiting(&[(FIRST, A, 0)]);
        assert_eq!(uploads.withdraw(FIRST, HSDIR), []);
        assert!(uploads.at.is_empty());
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(A))), None);
    }
}

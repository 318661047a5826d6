//! The posts whose HSDirs have not all been answered for by the network. A publication has a post for each of
//! its sets; the engine gets one outcome for the whole.

use std::collections::HashMap;

use onionbalance_proto::relay::Fingerprint;

use crate::engine::{PublicationId, ServiceId};
use crate::network::RequestId;

/// The posts of all publications.
#[derive(Debug, Default)]
pub(super) struct Posts {
    posts: HashMap<RequestId, Post>,
    undecided: HashMap<PublicationId, Undecided>,
}

#[derive(Debug)]
struct Post {
    id: PublicationId,
    service: ServiceId,
    /// The HSDirs whose verdicts are missing.
    awaited: Vec<Fingerprint>,
}

/// A publication with posts that the network has neither taken nor refused.
#[derive(Debug)]
struct Undecided {
    revision: u64,
    posts: usize,
    is_posted: bool,
    /// The HSDirs of posts that were refused before one was taken.
    failed: Vec<Fingerprint>,
}

/// An outcome of a publication.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Decided {
    pub(super) id: PublicationId,
    /// Its revision when the first post is taken, or the last problem if none is. `None` if that was reported
    /// before, or is not known.
    pub(super) outcome: Option<Result<u64, String>>,
    /// The HSDirs that get nothing, while others get the descriptor.
    pub(super) failed: Vec<Fingerprint>,
}

impl Posts {
    /// Notes a post of publication `id`. All posts of a publication are noted before the network answers any.
    pub(super) fn begin(
        &mut self,
        request: RequestId,
        id: PublicationId,
        service: ServiceId,
        revision: u64,
        to: Vec<Fingerprint>,
    ) {
        let new = || Undecided { revision, posts: 0, is_posted: false, failed: Vec::new() };
        self.undecided.entry(id).or_insert_with(new).posts += 1;
        self.posts.insert(request, Post { id, service, awaited: to });
    }

    /// Notes that the network took a post.
    pub(super) fn taken(&mut self, request: RequestId) -> Option<Decided> {
        let id = self.posts.get(&request)?.id;
        let undecided = self.undecided.get_mut(&id)?;
        let is_first = !std::mem::replace(&mut undecided.is_posted, true);
        let outcome = is_first.then_some(Ok(undecided.revision));
        let failed = std::mem::take(&mut undecided.failed);
        self.decided_one(id);
        Some(Decided { id, outcome, failed })
    }

    /// Notes that the network refused a post.
    pub(super) fn not_taken(&mut self, request: RequestId, problem: &str) -> Option<Decided> {
        let Post { id, awaited, .. } = self.posts.remove(&request)?;
        let undecided = self.undecided.get_mut(&id)?;
        let decided = if undecided.is_posted {
            Some(Decided { id, outcome: None, failed: awaited })
        } else {
            undecided.failed.extend(awaited);
            let is_last = undecided.posts == 1;
            is_last.then(|| Decided { id, outcome: Some(Err(problem.to_owned())), failed: Vec::new() })
        };
        self.decided_one(id);
        decided
    }

    /// Notes an HSDir's verdict on a post. Returns the publication, and its service.
    pub(super) fn uploaded(
        &mut self,
        request: RequestId,
        hsdir: Fingerprint,
    ) -> Option<(PublicationId, ServiceId)> {
        let post = self.posts.get_mut(&request)?;
        let of = (post.id, post.service.clone());
        post.awaited.retain(|awaited| *awaited != hsdir);
        if post.awaited.is_empty() {
            self.posts.remove(&request);
        }
        Some(of)
    }

    /// Drops all posts: the network is lost.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn decided_one(&mut self, id: PublicationId) {
        if let Some(undecided) = self.undecided.get_mut(&id) {
            undecided.posts -= 1;
            if undecided.posts == 0 {
                self.undecided.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PublicationId = PublicationId(7);
    const REVISION: u64 = 40;

    fn hsdir(number: u8) -> Fingerprint {
        Fingerprint([number; 20])
    }

    fn two_posts() -> Posts {
        let mut posts = Posts::default();
        posts.begin(RequestId(1), ID, "s".into(), REVISION, vec![hsdir(1), hsdir(2)]);
        posts.begin(RequestId(2), ID, "s".into(), REVISION, vec![hsdir(3)]);
        posts
    }

    fn decided(outcome: Option<Result<u64, &str>>, failed: &[u8]) -> Decided {
        let outcome = outcome.map(|outcome| outcome.map_err(str::to_owned));
        Decided { id: ID, outcome, failed: failed.iter().copied().map(hsdir).collect() }
    }

    #[test]
    fn a_publication_is_posted_with_its_first_post() {
        let mut posts = two_posts();
        assert_eq!(posts.taken(RequestId(2)), Some(decided(Some(Ok(REVISION)), &[])));
        assert_eq!(posts.uploaded(RequestId(2), hsdir(3)), Some((ID, "s".into())));
        assert_eq!(posts.taken(RequestId(1)), Some(decided(None, &[])));
        assert_eq!(posts.uploaded(RequestId(1), hsdir(1)), Some((ID, "s".into())));
        assert_eq!(posts.uploaded(RequestId(1), hsdir(2)), Some((ID, "s".into())));
        assert!(posts.posts.is_empty() && posts.undecided.is_empty());
    }

    #[test]
    fn the_hsdirs_of_a_post_that_is_turned_down_failed_once_another_is_taken() {
        let mut posts = two_posts();
        assert_eq!(posts.not_taken(RequestId(1), "x"), None);
        assert_eq!(posts.taken(RequestId(2)), Some(decided(Some(Ok(REVISION)), &[1, 2])));
        let mut posts = two_posts();
        assert_eq!(posts.taken(RequestId(2)), Some(decided(Some(Ok(REVISION)), &[])));
        assert_eq!(posts.not_taken(RequestId(1), "x"), Some(decided(None, &[1, 2])));
        assert!(posts.undecided.is_empty());
    }

    #[test]
    fn a_publication_of_which_no_post_is_taken_is_not_posted() {
        let mut posts = two_posts();
        assert_eq!(posts.not_taken(RequestId(1), "x"), None);
        assert_eq!(posts.not_taken(RequestId(2), "y"), Some(decided(Some(Err("y")), &[])));
        assert!(posts.posts.is_empty() && posts.undecided.is_empty());
    }
}

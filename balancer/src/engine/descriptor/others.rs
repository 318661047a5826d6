//! Descriptors of the service that another publisher has put on its HSDirs.

use std::time::Duration;

/// The signs of another publisher of one descriptor.
///
/// An HSDir stores a descriptor only over one of a lower revision. So an HSDir that has held ours, and then
/// holds a higher revision than any that we posted, got it from another publisher. A publisher whose
/// revisions grow in step with ours leaves no such sign: the two replace each other.
#[derive(Default)]
pub(super) struct Others {
    /// True if a higher revision than those that tor accepted may have reached HSDirs: tor was lost while a
    /// publication was handed over.
    is_in_doubt: bool,
    /// The last time at which a descriptor of another publisher was seen; `None` if none was.
    seen: Option<Duration>,
}

impl Others {
    /// Notes that tor accepted a higher revision than all before.
    pub(super) fn posted_higher(&mut self) {
        self.is_in_doubt = false;
    }

    /// Notes that a publication was not handed over, as far as is known.
    pub(super) fn not_posted(&mut self) {
        self.is_in_doubt = true;
    }

    /// Notes that an HSDir which has held ours holds this revision; `posted` is the greatest that tor
    /// accepted, `None` before the first. True if another publisher has put it there.
    pub(super) fn found(&mut self, now: Duration, revision: u64, posted: Option<u64>) -> bool {
        let is_ours = self.is_in_doubt || posted.is_none_or(|posted| revision <= posted);
        if !is_ours {
            self.seen = Some(now);
        }
        !is_ours
    }

    /// The last time at which a descriptor of another publisher was seen; `None` if none was.
    pub(super) fn seen(&self) -> Option<Duration> {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_ours_is_not_another_publishers() {
        let now = Duration::from_secs(60);
        let mut others = Others::default();
        assert!(!others.found(now, 5, None));
        assert!(!others.found(now, 1000, Some(1000)));
        others.not_posted();
        assert!(!others.found(now, 1001, Some(1000)) && others.seen().is_none());
        others.posted_higher();
        assert!(!others.found(now, 1001, Some(2000)));
        assert!(others.found(now, 2001, Some(2000)));
        assert_eq!(others.seen(), Some(now));
    }
}

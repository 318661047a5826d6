//! All timers of backends and services, each with its purpose, its start and its length.
//!
//! An owner says in one place, its `timers`, which of them run. The time at which the engine wakes it and the
//! work that it does then both follow from that. Lengths are fields of [`super::Timing`]; those with a range
//! are random within it.
//!
//! Descriptors and their uploads belong to services. The lines before tor have a deadline of their own
//! ([`super::capacity::Capacity::deadline`]), and the looks at the wall clock are the caller's.

use std::time::Duration;

/// A backend's timers.
#[derive(Clone, Copy)]
pub(super) enum BackendTimer {
    /// To take it for dead: `max_age` after the publication of its newest descriptor.
    Age,
    /// To give up an HSDir that does not answer a fetch: `fetch_timeout` after the fetch.
    Answer,
    /// The next look at its HSDirs: `refresh` after the end of the last one. After one without result it is
    /// `look_again`, doubling up to `refresh`.
    Look,
    /// To put a probe in line, or to give one up. The next probe of a check is due up to its `interval` after the
    /// beginning of the last one, and is given up some time after its `timeout`.
    Probe,
}

/// A service's timers.
#[derive(Clone, Copy)]
pub(super) enum ServiceTimer {
    /// To choose its points, for the first time or again.
    ///
    /// The first choice comes `settle` after the first backend was found, or at once when all have a result.
    /// While a backend has none, it comes up to `first_requests` later, and `first_answer` after the last
    /// first request. A later choice comes `debounce` after the first of several changes.
    Choice,
    /// To end drains by command: at the end of the first, by the wall clock, at which it looks at least every
    /// minute.
    DrainEnd,
    /// To give up its last points: `keep_last` after the end of its last backend.
    LastSet,
}

/// The timers of one of a service's descriptors.
#[derive(Clone, Copy)]
pub(super) enum DescriptorTimer {
    /// To renew it: `republish_from` to `republish_to` after the last publication.
    Renewal,
    /// To give up the read-back of a refusing HSDir: `fetch_timeout` after it was begun.
    ReadBack,
}

/// The timers of a descriptor's upload to one HSDir.
#[derive(Clone, Copy)]
pub(super) enum UploadTimer {
    /// To try it: at once, or after a failure `retry_first`, doubling up to `retry_max`. If no HSDir was
    /// asked, it doubles up to `offer_max`.
    Upload,
    /// To give it up: `upload_timeout` after tor's acceptance of the post.
    Answer,
    /// To report the HSDir as silent: `upload_timeout` after its first upload without an answer.
    Silence,
    /// To prove an acknowledgement: at once; after a read-back that failed, as to try the upload again.
    Proof,
    /// To give up the read-back that is to prove it: `fetch_timeout` after it was begun.
    ProofAnswer,
}

/// A timer and its end; `None` if it does not run.
pub(super) type Timer<T> = (T, Option<Duration>);

/// The earliest end of these timers; `None` if none runs.
pub(super) fn earliest<T>(timers: impl IntoIterator<Item = Timer<T>>) -> Option<Duration> {
    timers.into_iter().filter_map(|(_, end)| end).min()
}

/// Those of these timers that have ended, in their order.
pub(super) fn ended<T>(timers: impl IntoIterator<Item = Timer<T>>, now: Duration) -> impl Iterator<Item = T> {
    timers.into_iter().filter(move |(_, end)| end.is_some_and(|end| end <= now)).map(|(timer, _)| timer)
}

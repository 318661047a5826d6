//! What is promised, in time.

use std::time::Duration;

use onionbalance::engine::{Proof, Timing};

use super::generation::Generation;

/// How soon what should be so is so; each counted from when nothing stands in its way any more.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// A descriptor is on an HSDir that could take it all that time: the third try after the longest wait succeeds.
    pub posted: Duration,
    /// A descriptor is back on an HSDir that has lost it, and said nothing of that.
    pub renewed: Duration,
    /// New introduction points of a backend, which all its HSDirs but two have, are listed, and those that it gave up are
    /// not: the two and two new ones may be asked first, and then what has changed has to be posted.
    pub seen: Duration,
    /// The introduction points of a dead backend are not listed any more: it may have published just before.
    pub buried: Duration,
    /// For how long at least the last introduction points stay when all backends are dead.
    pub last_set: Duration,
    /// For how long the balancer may be away without a client's noticing it: what was about to be renewed lasts so long.
    pub absence: Duration,
    /// How soon after the last fault everything is as it should be.
    pub healed: Duration,
    /// Within what time an unchanged descriptor is not published again where it is.
    pub unchanged: Duration,
    /// How many descriptors are posted in any minute at most.
    pub posts_per_minute: usize,
    /// How many posts of one descriptor there are in any hour at most.
    pub posts_of_a_descriptor: usize,
    /// How many HSDirs are asked for backends' descriptors in any minute at most.
    pub fetches_per_minute: usize,
    /// How many of the services' own are read back in any minute at most.
    pub read_backs_per_minute: usize,
    /// How many requests are outstanding at tor at a time at most; as many may come at once in excess of what a minute sees.
    pub in_flight: usize,
}

/// How long a request takes on the average, if HSDirs that do not answer are counted for as long as the engine does.
const REQUEST: Duration = Duration::from_secs(4);

/// For how long an HSDir of version 3 keeps what it has; those of version 2 keep it for longer.
const KEPT: Duration = Duration::from_hours(3);

impl Promises {
    /// What is promised to so many services and backends, if it takes so many `posts` to publish everything everywhere: each waits
    /// for the others where tor may be asked only so many times a minute, and for only so much at a time.
    pub fn new<G: Generation>(services: usize, posts: usize, backends: usize) -> Self {
        let Timing {
            refresh,
            upload_timeout,
            max_age,
            keep_last,
            republish_from,
            republish_to,
            retry_max,
            ..
        } = G::timing();
        let uploads = services * G::HSDIRS;
        let read_backs = if G::PROOF == Proof::ReadBack { uploads } else { 0 };
        // All descriptors within a quarter of an hour, and all backends' at two HSDirs within ten minutes; or as many as does
        // no harm.
        let posts_per_minute = posts.div_ceil(15).max(30);
        let fetches_per_minute = (backends * 2).div_ceil(10).max(60);
        let read_backs_per_minute = read_backs.div_ceil(15).max(60);
        let in_flight = 24;
        let pace = |requests: usize, per_minute: usize| {
            Duration::from_secs(60 * requests.div_ceil(per_minute) as u64)
        };
        // Three rounds of all descriptors; two HSDirs for each backend.
        let paces = pace(posts * 3, posts_per_minute).max(pace(read_backs * 3, read_backs_per_minute))
            + pace(backends * 2, fetches_per_minute);
        let circuits = (uploads + read_backs) * 3 + backends * 2;
        let line = paces.max(REQUEST * u32::try_from(circuits / in_flight).unwrap_or(u32::MAX));
        let posted = (retry_max.mul_f64(1.1) + upload_timeout) * 4 + line;
        let renewed = republish_to + posted;
        let seen = refresh.mul_f64(1.1) * 5 + posted;
        Self {
            posted,
            renewed,
            seen,
            buried: max_age + G::ROUNDING + posted,
            last_set: keep_last,
            absence: KEPT.saturating_sub(renewed),
            healed: renewed + seen,
            unchanged: republish_from,
            posts_per_minute,
            // A round every five minutes where all HSDirs refuse, and some more after each of four guesses, before the waits have
            // doubled up to that; each of as many sets as there are HSDirs.
            posts_of_a_descriptor: (G::HSDIRS / G::DESCRIPTORS) * (20 + 4 * 10),
            fetches_per_minute,
            read_backs_per_minute,
            in_flight,
        }
    }
}

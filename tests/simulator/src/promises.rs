//! The promises and their times.

use std::time::Duration;

use onionbalance::engine::{Proof, Timing};

use super::network::calendar::Calendar;
use super::onion_version::OnionVersion;

/// The times within which promises are kept; each counts from the moment at which nothing prevents it any
/// more.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// A descriptor is on an HSDir that could take it all that time: the third try after the longest wait
    /// succeeds.
    pub posted: Duration,
    /// A descriptor is back on an HSDir that has lost it without reporting that.
    pub renewed: Duration,
    /// New introduction points of a backend, which all its HSDirs but two have, are listed, and those that it
    /// gave up are not: the two and two new ones may be asked first, and then the change has to be posted.
    pub seen: Duration,
    /// The same in a new life of the balancer, for a backend that was found from its beginning on: looks in
    /// vain follow each other sooner than later ones.
    pub found: Duration,
    /// The introduction points of a dead backend are not listed any more: it may have published just before.
    pub buried: Duration,
    /// The least time for which the last introduction points stay when all backends are dead.
    pub last_set: Duration,
    /// The longest absence of the balancer that no client notices: descriptors that were about to be renewed
    /// last for this time.
    pub absence: Duration,
    /// The time after the last fault within which everything is well.
    pub healed: Duration,
    /// The time within which an unchanged descriptor is not published again to the same HSDirs.
    pub unchanged: Duration,
    /// The limits of requests to tor.
    pub limits: Limits,
    /// The longest wait of a post, and of the read-back that proves it, while the engine does not say that it
    /// is behind.
    line: Duration,
}

/// The longest waits of requests for their turn at tor, by the word of an engine that is behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// The wait of a post, or of a read-back.
    pub posts: Duration,
    /// The wait of any request.
    pub all: Duration,
}

/// The limits of requests to tor.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most descriptors that are posted in a minute, without those that a service begins with.
    pub posts_per_minute: usize,
    /// The most posts of one descriptor in an hour of the calendar.
    pub posts_of_a_descriptor: usize,
    /// The most HSDirs that are asked for backends' descriptors in a minute, without the first for each
    /// backend.
    pub fetches_per_minute: usize,
    /// The most descriptors of the services' own that are read back in a minute.
    pub read_backs_per_minute: usize,
    /// The most requests that are outstanding at tor at a time; a burst may exceed the number of a minute by
    /// as many.
    pub in_flight: usize,
}

/// The average time of a request, if HSDirs that do not answer count for as long as in the engine.
const REQUEST: Duration = Duration::from_secs(4);

/// The time for which an HSDir of version 3 keeps a descriptor; those of version 2 keep it for longer.
const KEPT: Duration = Duration::from_hours(3);

impl Promises {
    /// The promises to this number of services and backends, which need `posts` to publish everything
    /// everywhere. Each waits for the others, because tor gets only a limited number of requests in a minute,
    /// and at a time.
    pub fn new<V: OnionVersion>(
        calendar: Calendar,
        timing: &Timing,
        (services, posts, backends): (usize, usize, usize),
    ) -> Self {
        let uploads = services * V::HSDIRS;
        let read_backs = if V::PROOF == Proof::ReadBack { uploads } else { 0 };
        // All descriptors within a quarter of an hour, and all backends' at two HSDirs within ten minutes; or
        // as many as do no harm.
        let posts_per_minute = posts.div_ceil(15).max(30);
        let fetches_per_minute = (backends * 2).div_ceil(10).max(60);
        let read_backs_per_minute = read_backs.div_ceil(15).max(60);
        let in_flight = 24;
        // In a testing network as much may happen in a part of a minute.
        let pace = |requests: usize, per_minute: usize| {
            calendar.shrunk(Duration::from_secs(60 * requests.div_ceil(per_minute) as u64))
        };
        // A post waits for a round of all others once, and for few of them at its further tries. If it waits
        // for longer, the engine says that it is behind.
        let paces = pace(posts, posts_per_minute).max(pace(read_backs, read_backs_per_minute))
            + pace(backends * 2, fetches_per_minute);
        let circuits = uploads + read_backs + backends * 2;
        let line = paces.max(REQUEST * u32::try_from(circuits / in_flight).unwrap_or(u32::MAX));
        let grown = calendar.periods_a_day() as usize;
        let limits = Limits {
            posts_per_minute: posts_per_minute * grown,
            // A round every five minutes where all HSDirs refuse, and some more after each of four guesses,
            // before the waits have doubled up to that; each of as many sets as there are HSDirs.
            posts_of_a_descriptor: (V::HSDIRS / V::DESCRIPTORS) * (20 + 4 * 10),
            fetches_per_minute: fetches_per_minute * grown,
            read_backs_per_minute: read_backs_per_minute * grown,
            in_flight,
        };
        Self::with_line::<V>(timing, limits, line, Waits::default())
    }

    /// The promises while the engine says that it is behind, and that requests wait for up to `waits`. Each of
    /// the four tries that a post may take waits that long, and so does each of the five looks. Nothing else
    /// takes longer.
    #[must_use]
    pub fn behind<V: OnionVersion>(&self, timing: &Timing, waits: Waits) -> Self {
        Self::with_line::<V>(timing, self.limits, self.line, waits)
    }

    fn with_line<V: OnionVersion>(timing: &Timing, limits: Limits, line: Duration, waits: Waits) -> Self {
        let &Timing {
            refresh,
            look_again,
            upload_timeout,
            max_age,
            keep_last,
            republish_from,
            republish_to,
            retry_max,
            ..
        } = timing;
        let posted = (retry_max.mul_f64(1.1) + upload_timeout) * 4 + line.max(waits.posts * 4);
        let renewed = republish_to + posted;
        let looks = waits.all * 5 + posted;
        let seen = refresh.mul_f64(1.1) * 5 + looks;
        Self {
            posted,
            renewed,
            seen,
            // The wait for the next look doubles five times.
            found: seen.min((look_again * 31).mul_f64(1.1) + looks),
            buried: max_age + V::ROUNDING + posted,
            last_set: keep_last,
            absence: KEPT.saturating_sub(renewed),
            healed: renewed + seen,
            unchanged: republish_from,
            limits,
            line,
        }
    }
}

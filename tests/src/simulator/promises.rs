//! What is promised, in time.

use std::time::Duration;

use onionbalance::engine::Timing;

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
}

/// For how long an HSDir of version 3 keeps what it has; those of version 2 keep it for longer.
const KEPT: Duration = Duration::from_hours(3);

impl Promises {
    /// What is promised to so many services and backends, of which each waits for the others where tor may be asked only
    /// so many times a minute.
    pub fn new<G: Generation>(services: usize, backends: usize) -> Self {
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
        // Three rounds of both descriptors, 30 a minute; two HSDirs for each backend, 60 a minute.
        let line = Duration::from_secs((services * 2 * 3 * 2 + backends * 2) as u64);
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
        }
    }
}

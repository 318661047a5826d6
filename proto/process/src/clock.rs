//! The machine's clocks. Everything else gets the time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;

/// The time by this machine's clock (`CLOCK_REALTIME`), cut to whole seconds; 1970 if the clock shows an
/// earlier time. It can go back when the clock is set.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The time by a clock that nobody sets: `CLOCK_MONOTONIC`, which stands still while the machine sleeps.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

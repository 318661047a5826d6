//! The machine's clock. Everything else gets the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;

/// The time by this machine's clock; 1970 if the clock shows an earlier time.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

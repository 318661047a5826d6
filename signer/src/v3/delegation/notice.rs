//! What is said of a delegation's end, and how loudly.

use onionbalance_key_file::delegation::offset;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::TimePeriod;

use super::Delegation;
use crate::log::Priority;

/// So many seconds before the end it is time to make another; earlier for nothing that lasts less than four times as long.
const GOOD_TIME: u64 = 7 * 86_400;
const REMEDY: &str =
    "make another where the identity key is (onionbalance-key delegate), and restart the signer with it";

impl Delegation {
    /// The number of the period that holds `now`, of the delegation's length.
    pub fn present(&self, now: UnixTime) -> u64 {
        let length = self.span.first.length;
        TimePeriod::at(now, length, offset(length)).number
    }

    /// What to log at `now`.
    pub fn notice(&self, now: UnixTime) -> (Priority, String) {
        let (address, ends) = (self.address, self.span.ends());
        if now >= ends {
            let what = format!("the delegation for {address} ended at {ends} UTC: {REMEDY}");
            return (Priority::Warning, what);
        }
        let more = self.span.last().number.saturating_sub(self.present(now));
        let what = format!("the delegation for {address} ends at {ends} UTC, {more} periods after this one");
        if ends.since(now) > self.good_time() {
            (Priority::Info, what)
        } else {
            (Priority::Warning, format!("{what}: {REMEDY}"))
        }
    }

    /// How long before its end, in seconds: a quarter of it, but no more than a week, and its last period in any case.
    fn good_time(&self) -> u64 {
        let quarter = self.span.ends().since(self.span.begins()) / 4;
        quarter.min(GOOD_TIME).max(self.span.first.length.seconds())
    }
}

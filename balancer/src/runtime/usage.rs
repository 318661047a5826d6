//! The use of the machine by this process, for the status.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The processor time and memory that this process has used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// The processor time of all its threads, in the program and in the kernel.
    pub processor: Duration,
    /// The most memory that it has had at a time, in bytes.
    pub most_memory: u64,
}

impl Usage {
    /// The use until now. The confined process has no `/proc`, which alone has the present memory.
    pub(super) fn now() -> Self {
        // The call fails only for another argument.
        getrusage(UsageWho::RUSAGE_SELF).map_or_else(
            |_| Self::default(),
            |usage| Self {
                processor: duration(usage.user_time()) + duration(usage.system_time()),
                // In kilobytes (getrusage(2)).
                most_memory: u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1024),
            },
        )
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows() {
        let before = Usage::now();
        // More than the rest of the tests has used.
        let block = vec![1_u8; usize::try_from(before.most_memory).unwrap()];
        let after = Usage::now();
        assert!(before.most_memory > 1 << 20 && after.most_memory > before.most_memory, "{after:?}");
        assert!(after.processor > before.processor && block.iter().all(|byte| *byte == 1), "{after:?}");
    }
}

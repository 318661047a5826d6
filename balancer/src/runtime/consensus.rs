//! The age of tor's consensus. It determines the HSDirs: with an old one, descriptors are published where
//! clients do not look.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::age::Age;
use crate::tor::documents::consensus::Lifetime;

/// The age of a consensus, compared with its lifetime.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ConsensusAge {
    /// It is in use; or none has been read yet.
    #[default]
    Current,
    /// It has been out of use for this time.
    Old(Duration),
    /// It comes into use after this time: this machine's clock is behind.
    Early(Duration),
}

/// Warns when tor's consensus goes out of use, and reports when tor has a current one again.
#[derive(Debug, Default)]
pub(super) struct ConsensusWatch {
    age: ConsensusAge,
    /// The time of the last warning; `None` after its end was reported.
    warned: Option<Instant>,
}

impl ConsensusAge {
    fn of(lifetime: &Lifetime, now: UnixTime) -> Self {
        let (early, old) = (lifetime.valid_after().since(now), now.since(lifetime.valid_until()));
        match (lifetime.is_current(now), early) {
            (true, _) => Self::Current,
            (false, 0) => Self::Old(Duration::from_secs(old)),
            (false, early) => Self::Early(Duration::from_secs(early)),
        }
    }
}

impl ConsensusWatch {
    /// The age at the last judgement.
    pub(super) fn age(&self) -> ConsensusAge {
        self.age
    }

    /// Judges the consensus that was read last.
    pub(super) fn judge(&mut self, lifetime: Option<&Lifetime>, now: UnixTime) {
        let Some(lifetime) = lifetime else { return };
        self.age = ConsensusAge::of(lifetime, now);
        match (self.age, self.warned) {
            (ConsensusAge::Current, Some(since)) => {
                info!("tor has a current consensus again after {}", Age(since.elapsed()));
                self.warned = None;
            }
            (ConsensusAge::Old(age), None) => {
                warn!(
                    problem = "TOR_CONSENSUS_OLD",
                    valid_until = %lifetime.valid_until(),
                    "tor has had no current consensus for {}: clients may not find the services. Check tor's connection to the \
                     network, and this machine's clock",
                    Age(age)
                );
                self.warned = Some(Instant::now());
            }
            (ConsensusAge::Early(by), None) => {
                warn!(
                    problem = "CLOCK_SKEW",
                    valid_after = %lifetime.valid_after(),
                    "this machine's clock is {} behind tor's consensus: clients may not find the services. Set the clock",
                    Age(by)
                );
                self.warned = Some(Instant::now());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const BEGIN: UnixTime = UnixTime(1_795_334_400);

    fn hours(count: u64) -> Duration {
        Duration::from_secs(count * HOUR)
    }

    /// A lifetime as on the public network.
    fn lifetime(begin: UnixTime) -> Lifetime {
        Lifetime::new(begin, begin.plus(HOUR), begin.plus(3 * HOUR)).unwrap()
    }

    #[test]
    fn a_consensus_gets_old_without_an_event() {
        let mut watch = ConsensusWatch::default();
        watch.judge(None, BEGIN);
        assert_eq!(watch.age(), ConsensusAge::Current);
        for (after, age, warned) in [
            (0, ConsensusAge::Current, false),
            (4, ConsensusAge::Current, false),
            (5, ConsensusAge::Old(hours(2)), true),
            (30, ConsensusAge::Old(hours(27)), true),
        ] {
            watch.judge(Some(&lifetime(BEGIN)), BEGIN.plus(after * HOUR));
            assert_eq!((watch.age(), watch.warned.is_some()), (age, warned), "after {after} h");
        }
        watch.judge(Some(&lifetime(BEGIN.plus(30 * HOUR))), BEGIN.plus(30 * HOUR));
        assert_eq!((watch.age(), watch.warned), (ConsensusAge::Current, None));
    }

    #[test]
    fn a_clock_that_is_behind_is_told_apart() {
        let mut watch = ConsensusWatch::default();
        watch.judge(Some(&lifetime(BEGIN)), BEGIN.minus(2 * HOUR));
        assert_eq!(watch.age(), ConsensusAge::Early(hours(2)));
        assert!(watch.warned.is_some());
    }
}

//! The two descriptors that a service publishes, by one consensus.
//!
//! The blinded key changes with every time period, the places of the HSDirs with every shared random value,
//! and the two take turns half a period apart:
//!
//! ```text
//!  run        1                       2                       3
//!  |----------------------|----------------------|----------------------|
//!             period 1               period 2               period 3
//!  ----------|----------------------|----------------------|-------------
//!             second: 1, run 1       second: 2, run 2
//!             first:  0, run 0       first:  1, run 1
//! ```
//!
//! A period's descriptor is first published as the *second* one, at the start of the run before the period.
//! It becomes the *first* one with the next run, when half of the period is over. Clients look for it during
//! the whole period. Everything is computed from the consensus, never from the clock, so a client with
//! another consensus of the same lifetime finds one of the two.

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{PeriodLength, TimePeriod};
use sha3::{Digest, Sha3_256};

use crate::engine::DescriptorSlot;
use crate::tor::documents::consensus::{Consensus, SharedRandomValue};

/// The number of voting intervals from a shared-random run's start to that of a time period, and back again.
const ROUNDS_PER_PHASE: u64 = 12;
/// The number of voting intervals in a shared-random run: a commit and a reveal phase.
const ROUNDS_PER_RUN: u64 = 2 * ROUNDS_PER_PHASE;

/// The two descriptors of every service, and the one that clients look for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Schedule {
    /// C tor's first (current) descriptor, by the previous shared random value.
    pub first: DescriptorTerm,
    /// C tor's second (next) descriptor, by the current shared random value.
    pub second: DescriptorTerm,
    /// The descriptor that clients with this consensus look for.
    pub fetched: Which,
    /// The time after a multiple of its length at which a time period begins, in minutes; an argument of
    /// [`TimePeriod::start`].
    pub offset_minutes: u64,
}

/// The period and the ring of one descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorTerm {
    /// The time period of its blinded key.
    pub period: TimePeriod,
    /// The value that determines the HSDirs' places on the ring.
    pub shared_random: SharedRandomValue,
    /// The start of the shared-random run in which the period begins.
    pub run_start: UnixTime,
}

impl DescriptorTerm {
    /// The slot by which the engine names the descriptor; both replicas are one document.
    pub fn slot(&self) -> DescriptorSlot {
        DescriptorSlot { period: self.period.number, replica: 0 }
    }
}

/// One of a service's two descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    /// The descriptor by the previous shared random value.
    First,
    /// The descriptor by the current shared random value.
    Second,
}

/// The length of time periods that follows from the consensus's times is out of bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a voting interval of {interval} s makes time periods of {minutes} minutes, and tor knows 5 to 14400: \
     set V3AuthVotingInterval of the testing network to 13 s or more"
)]
pub struct ScheduleError {
    interval: u64,
    minutes: u64,
}

impl Schedule {
    /// The schedule of `consensus`. `testing` is true if tor runs with `TestingTorNetwork`, where a time
    /// period is as long as a shared-random run and `hsdir_interval` is ignored (tor:
    /// `get_time_period_length`).
    ///
    /// # Errors
    /// The voting interval makes time periods of less than 5 or more than 14400 minutes.
    pub fn new(consensus: &Consensus, testing: bool) -> Result<Self, ScheduleError> {
        let valid_after = consensus.lifetime.valid_after();
        let interval = consensus.lifetime.voting_interval();
        let run = interval.saturating_mul(ROUNDS_PER_RUN);
        let minutes = if testing { run / 60 } else { u64::from(consensus.parameters.interval_minutes) };
        let length = u16::try_from(minutes)
            .ok()
            .and_then(|minutes| PeriodLength::try_from(minutes).ok())
            .ok_or(ScheduleError { interval, minutes })?;
        let offset = interval.saturating_mul(ROUNDS_PER_PHASE);
        let offset_minutes = offset / 60;

        // Runs are counted in rounds from this one: a network that began off the grid stays off it (tor:
        // `sr_state_get_start_time_of_current_protocol_run`).
        let rounds = valid_after.0.checked_div(interval).unwrap_or(0) % ROUNDS_PER_RUN;
        let run_start = valid_after.minus(rounds.saturating_mul(interval));

        // The offset counts to the second (tor: `hs_in_period_between_tp_and_srv`).
        let next_period = TimePeriod::at(run_start, length, offset_minutes).next().start(0).plus(offset);
        let current = TimePeriod::at(valid_after, length, offset_minutes);
        let (first, second, fetched) = if (run_start..next_period).contains(&valid_after) {
            (current, current.next(), Which::First)
        } else {
            (current.previous(), current, Which::Second)
        };
        let term = |period, value: Option<SharedRandomValue>, run_start| DescriptorTerm {
            period,
            shared_random: value.unwrap_or_else(|| disaster_value(period)),
            run_start,
        };
        Ok(Self {
            first: term(first, consensus.shared_random_previous, run_start.minus(run)),
            second: term(second, consensus.shared_random_current, run_start),
            fetched,
            offset_minutes,
        })
    }

    /// The term of the descriptor that clients with this consensus look for.
    pub fn fetched_term(&self) -> &DescriptorTerm {
        match self.fetched {
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }
}

/// The replacement for a shared random value on which the authorities did not agree (rend-spec-v3
/// \[PUB-SHAREDRANDOM\]).
fn disaster_value(period: TimePeriod) -> SharedRandomValue {
    let hash = Sha3_256::new()
        .chain_update(b"shared-random-disaster")
        .chain_update(period.length.minutes().to_be_bytes())
        .chain_update(period.number.to_be_bytes())
        .finalize();
    SharedRandomValue(hash.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tor::documents::consensus::{Lifetime, Parameters};

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    /// A consensus of a network in which each run's value is the number of the run.
    fn consensus(valid_after: u64, interval: u64, interval_minutes: u16) -> Consensus {
        let value = |run: u64| {
            let mut value = [0; 32];
            value[..8].copy_from_slice(&run.to_be_bytes());
            Some(SharedRandomValue(value))
        };
        let run = valid_after / (24 * interval) + 1;
        let moment = |intervals| UnixTime(valid_after + intervals * interval);
        Consensus {
            lifetime: Lifetime::new(moment(0), moment(1), moment(3)).unwrap(),
            parameters: Parameters { interval_minutes, ..Parameters::default() },
            shared_random_current: value(run),
            shared_random_previous: value(run - 1),
            hsdirs: Vec::new(),
        }
    }

    fn public(valid_after: u64) -> Schedule {
        Schedule::new(&consensus(valid_after, HOUR, 1440), false).unwrap()
    }

    #[test]
    fn agrees_with_tors_test_time_between_tp_and_srv() {
        // 1985-10-26 00:00 UTC.
        let midnight = 499_132_800;
        for (hour, fetched) in [
            (0, Which::First),
            (11, Which::First),
            (12, Which::Second),
            (23, Which::Second),
            (24, Which::First),
        ] {
            assert_eq!(public(midnight + hour * HOUR).fetched, fetched, "{hour}");
        }
    }

    #[test]
    fn roles_change_with_the_shared_random_value_only() {
        // 2016-04-13; C tor's test_time_period: 16903 before noon, 16904 from noon on.
        let midnight = 1_460_505_600;
        for hour in 0..24 {
            let schedule = public(midnight + hour * HOUR);
            assert_eq!(schedule.first.period.number, 16903, "{hour}");
            assert_eq!(schedule.second.period.number, 16904, "{hour}");
            assert_eq!(schedule.first.run_start, UnixTime(midnight - DAY));
            assert_eq!(schedule.second.run_start, UnixTime(midnight));
            assert_eq!(schedule.offset_minutes, 720);
        }
        let next = public(midnight + DAY);
        assert_eq!(next.first, public(midnight).second, "what was second is first a day later");
    }

    #[test]
    fn disaster_values_are_tors() {
        // C tor, test_disaster_srv, and Onionbalance, test_v3_descriptor.py.
        let expected = [
            "F8A4948707653837FA44ABB5BBC75A12F6F101E7F8FAF699B9715F4965D3507D",
            "C17966DF8B4834638E1B7BF38944C4995B92E89749D1623E417A44938D08FD67",
            "A3BAB4327F9C2F8B30A126DAD3ABCCE12DD813169A5D924244B57987AEE413C2",
            "C79ABE7116FCF7810F7A5C76198B97339990C738B456EFDBC1399189927BADEC",
            "941D5FE4289FBF2F853766EAC4B948B51C81A4137A44516342ABC80518E0183D",
        ];
        let length = PeriodLength::try_from(1440).unwrap();
        for (number, expected) in (1..).zip(expected) {
            let value = disaster_value(TimePeriod { length, number });
            assert_eq!(data_encoding::HEXUPPER.encode(&value.0), expected, "{number}");
        }
    }

    #[test]
    fn without_values_each_period_has_its_own_disaster() {
        let mut consensus = consensus(1_460_505_600, HOUR, 1440);
        consensus.shared_random_previous = None;
        let schedule = Schedule::new(&consensus, false).unwrap();
        assert_eq!(schedule.first.shared_random, disaster_value(schedule.first.period));
        assert_eq!(Some(schedule.second.shared_random), consensus.shared_random_current);
        consensus.shared_random_current = None;
        let schedule = Schedule::new(&consensus, false).unwrap();
        assert_eq!(schedule.second.shared_random, disaster_value(schedule.second.period));
    }

    #[test]
    fn a_testing_network_takes_its_length_from_the_votes() {
        // A real network: 20 s, 8 min, offset 4 min; periods begin where (minutes - 4) % 8 == 0.
        let at = |minutes: u64| Schedule::new(&consensus(minutes * 60, 20, 1440), true).unwrap();
        let schedule = at(29_922_268);
        assert_eq!(schedule.first.period.length.minutes(), 8);
        assert_eq!(schedule.offset_minutes, 4);
        assert_eq!(schedule.fetched, Which::Second);
        assert_eq!(schedule.second.period.start(4), UnixTime(29_922_268 * 60));
        assert_eq!(at(29_922_267).fetched, Which::First);
    }

    #[test]
    fn refuses_periods_that_tor_does_not_know() {
        let error = Schedule::new(&consensus(1_795_336_080, 10, 1440), true).unwrap_err();
        assert!(error.to_string().contains("10 s makes time periods of 4 minutes"), "{error}");
        assert!(Schedule::new(&consensus(1_795_336_080, 12, 1440), true).is_err());
        assert!(Schedule::new(&consensus(1_795_336_080, 13, 1440), true).is_ok());
        assert!(Schedule::new(&consensus(1_795_336_080, u64::from(u32::MAX), 1440), true).is_err());
        assert!(Schedule::new(&consensus(1_795_336_080, 10, 1440), false).is_ok());
    }

    /// Networks whose time period is as long as a run: (voting interval, `hsdir_interval`, testing).
    const NETWORKS: [(u64, u16, bool); 5] =
        [(20, 1440, true), (15, 1440, true), (300, 1440, true), (1800, 720, false), (HOUR, 1440, false)];

    #[test]
    fn clients_find_one_of_the_two_whatever_live_consensus_they_have() {
        for (interval, minutes, testing) in NETWORKS {
            let schedule =
                |valid_after| Schedule::new(&consensus(valid_after, interval, minutes), testing).unwrap();
            let begin = 1_795_336_080 / interval * interval;
            for minute in 0..3 * 24 * 60 {
                let valid_after = (begin + minute * 60) / interval * interval;
                let service = schedule(valid_after);
                // A consensus is used for three intervals; the client's may also be the newer one.
                for client in (0..=6).map(|rounds| schedule(valid_after + rounds * interval - 3 * interval)) {
                    let wanted = client.fetched_term();
                    assert!([service.first, service.second].contains(wanted), "{interval} {minute}");
                }
            }
        }
    }

    #[test]
    fn a_descriptor_is_published_half_a_period_longer_than_its_period_on_either_side() {
        for (interval, minutes, testing) in NETWORKS {
            let run = 24 * interval;
            // The network begins off the grid of runs, as some do.
            let begin = 1_795_336_080 / interval * interval;
            let mut published: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let mut offset = 0;
            for valid_after in (begin..begin + 5 * run).step_by(usize::try_from(interval).unwrap()) {
                let schedule = Schedule::new(&consensus(valid_after, interval, minutes), testing).unwrap();
                offset = schedule.offset_minutes;
                for term in [schedule.first, schedule.second] {
                    published.entry(term.period.number).or_default().push(valid_after);
                }
            }
            let length = PeriodLength::try_from(u16::try_from(run / 60).unwrap()).unwrap();
            // The first and the last one are incomplete.
            let whole: Vec<_> = published.into_iter().skip(2).rev().skip(2).collect();
            assert!(!whole.is_empty());
            for (number, times) in whole {
                let start = TimePeriod { length, number }.start(offset).0;
                assert!(times.windows(2).all(|pair| pair[1] - pair[0] == interval), "{interval} {number}");
                assert!(times[0] <= start - run / 2 + interval, "{interval} {number}");
                assert!(
                    times[times.len() - 1] >= start + run + run / 2 - 2 * interval,
                    "{interval} {number}"
                );
            }
        }
    }

    #[test]
    fn revision_counters_grow_through_a_descriptors_life() {
        for (interval, minutes, testing) in NETWORKS {
            let run = 24 * interval;
            let begin = 1_795_336_080 / interval * interval;
            for round in 0..72 {
                let valid_after = begin + round * interval;
                let schedule = Schedule::new(&consensus(valid_after, interval, minutes), testing).unwrap();
                let age = |term: &DescriptorTerm| valid_after - term.run_start.0;
                assert!((run..2 * run).contains(&age(&schedule.first)), "{interval} {round}");
                assert!((0..run).contains(&age(&schedule.second)), "{interval} {round}");
                assert_eq!(schedule.first.period.next(), schedule.second.period);
                let fetched = schedule.fetched_term().period.start(schedule.offset_minutes);
                assert!(fetched.0 <= valid_after && valid_after < fetched.0 + run, "{interval} {round}");
            }
        }
    }
}

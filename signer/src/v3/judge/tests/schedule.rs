//! The periods that are in time: those that C tor's service would publish for (tor: `hs_service.c`,
//! `build_descriptors_for_new_service`; `shared_random_state.c`), and the bounds of the judge beyond them.

use super::*;

/// The parts of a consensus on which the schedule depends.
#[derive(Clone, Copy, Debug)]
struct Consensus {
    valid_after: u64,
    /// In seconds; a run of the shared random value takes 24 intervals.
    voting_interval: u64,
    /// The length of a time period in minutes.
    period_length: u16,
}

impl Consensus {
    fn run(self) -> u64 {
        24 * self.voting_interval
    }

    fn run_start(self) -> u64 {
        self.valid_after - self.valid_after % self.run()
    }

    fn offset(self) -> u64 {
        12 * self.voting_interval / 60
    }

    fn period(self, moment: u64) -> u64 {
        (moment / 60 - self.offset()) / u64::from(self.period_length)
    }

    fn period_start(self, number: u64) -> u64 {
        (number * u64::from(self.period_length) + self.offset()) * 60
    }

    /// The period of the first and of the second descriptor, each with the start of the run from which tor's
    /// revision counter counts.
    fn published(self) -> [(u64, u64); 2] {
        let next_period = self.period_start(self.period(self.run_start()) + 1);
        let current = self.period(self.valid_after);
        let between = self.valid_after >= next_period;
        let (first, second) = if between { (current - 1, current) } else { (current, current + 1) };
        [(first, self.run_start() - self.run()), (second, self.run_start())]
    }

    fn judge(self, now: u64) -> Result<(), (Refusal, u64)> {
        for (period_number, _) in self.published() {
            let request = FrontendRequest {
                period_length: self.period_length,
                period_number,
                ..GENUINE.request.clone()
            };
            judge_period(&request, UnixTime(now)).map_err(|refusal| (refusal, period_number))?;
        }
        Ok(())
    }
}

/// The age up to which tor uses a consensus, in seconds: three intervals of validity, then a day
/// (`REASONABLY_LIVE_TIME`).
fn oldest(voting_interval: u64) -> u64 {
    3 * voting_interval + 24 * 3600
}

#[test]
fn every_minute_of_a_day_has_its_two_periods() {
    for (voting_interval, period_length) in [(3600, 1440), (20, 8), (300, 120)] {
        for minute in 0..1440 {
            let now = RUN_START.0 + minute * 60;
            let valid_after = now - now % voting_interval;
            let consensus = Consensus { valid_after, voting_interval, period_length };
            assert_eq!(consensus.judge(now), Ok(()), "{consensus:?} at {now}");
        }
    }
}

#[test]
fn the_schedule_is_tors() {
    // C tor, test_hs_common.c, test_time_between_tp_and_srv and test_time_period: noon begins a period.
    let consensus = |hour: u64| Consensus {
        valid_after: RUN_START.0 + hour * 3600,
        voting_interval: 3600,
        period_length: 1440,
    };
    let (before, after) = (RUN_START.0 - 86_400, RUN_START.0);
    assert_eq!(consensus(11).published(), [(PERIOD, before), (PERIOD + 1, after)]);
    assert_eq!(consensus(12).published(), [(PERIOD, before), (PERIOD + 1, after)]);
    assert_eq!(consensus(0).published(), [(PERIOD, before), (PERIOD + 1, after)]);
    assert_eq!(consensus(24).published(), [(PERIOD + 1, after), (PERIOD + 2, after + 86_400)]);
}

fn judge_number(period_length: u16, period_number: u64) -> Option<Refusal> {
    let request = FrontendRequest { period_length, period_number, ..GENUINE.request.clone() };
    judge_period(&request, NOW).err()
}

/// The judge does not know the offset of the periods, and allows for late consensuses.
#[test]
fn periods_end_at_their_edges() {
    let edges = [
        // Periods of a day: from three before midnight's period to the one after it.
        (1440, PERIOD - 2, PERIOD + 2),
        // Periods of 8 minutes: 27 hours, half a day and one period back; one ahead of the one without
        // offset.
        (8, 3_740_001, 3_740_296),
    ];
    for (length, earliest, latest) in edges {
        assert_eq!(judge_number(length, earliest), None, "{length}");
        assert_eq!(judge_number(length, latest), None, "{length}");
        assert_eq!(judge_number(length, earliest - 1), Some(Refusal::Period), "{length}");
        assert_eq!(judge_number(length, latest + 1), Some(Refusal::Period), "{length}");
    }
}

/// The signer's counter counts from the same moment as tor's, although the signer does not know the
/// consensus.
#[test]
fn revisions_count_from_where_tor_counts() {
    for (voting_interval, period_length) in [(3600, 1440), (300, 120), (25, 10)] {
        for interval in 0..100 {
            let valid_after = RUN_START.0 + interval * voting_interval;
            let consensus = Consensus { valid_after, voting_interval, period_length };
            for (number, run_start) in consensus.published() {
                let period = TimePeriod { length: PeriodLength::try_from(period_length).unwrap(), number };
                assert_eq!(period.start(0), UnixTime(run_start), "{consensus:?}");
            }
        }
    }
}

proptest! {
    /// On a testing network a period is as long as a run.
    #[test]
    fn a_testing_networks_periods_are_accepted(
        voting_interval in 20_u64..=3600,
        slot in 0_u64..10_000,
        age in any::<prop::sample::Index>(),
    ) {
        let period_length = u16::try_from(24 * voting_interval / 60).unwrap();
        let valid_after = (RUN_START.0 / voting_interval + slot) * voting_interval;
        let consensus = Consensus { valid_after, voting_interval, period_length };
        let now = valid_after + age.index(usize::try_from(oldest(voting_interval)).unwrap()) as u64;
        prop_assert_eq!(consensus.judge(now), Ok(()), "{:?} at {}", consensus, now);
    }

    /// On any other network the consensus has the length (`hsdir_interval`), and votes come each hour.
    #[test]
    fn any_length_that_a_consensus_may_say_is_accepted(
        period_length in 5_u16..=14_400,
        slot in 0_u64..10_000,
        age in any::<prop::sample::Index>(),
    ) {
        let consensus = Consensus { valid_after: RUN_START.0 + slot * 3600, voting_interval: 3600, period_length };
        let now = consensus.valid_after + age.index(usize::try_from(oldest(3600)).unwrap()) as u64;
        prop_assert_eq!(consensus.judge(now), Ok(()), "{:?} at {}", consensus, now);
    }
}

//! The consensus: its values are within tor's bounds and in proportion to the text, and make a schedule.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::tor::documents::consensus::Consensus;
use onionbalance::v3::schedule::Schedule;

fuzz_target!(|text: &[u8]| {
    let Ok(consensus) = Consensus::parse(text) else { return };
    // The control port removes the last line end.
    assert_eq!(Consensus::parse(&[text, b"\n"].concat()).as_ref(), Ok(&consensus));

    let lines = text.split(|byte| *byte == b'\n');
    assert!(consensus.hsdirs.len() <= lines.filter(|line| line.starts_with(b"r ")).count());

    let parameters = consensus.parameters;
    assert!((1..=16).contains(&parameters.replicas));
    assert!((1..=128).contains(&parameters.spread_store) && (1..=128).contains(&parameters.spread_fetch));
    assert!((5..=14400).contains(&parameters.interval_minutes));

    let lifetime = consensus.lifetime;
    assert!(
        lifetime.valid_after() < lifetime.fresh_until() && lifetime.fresh_until() <= lifetime.valid_until()
    );
    for testing in [false, true] {
        if let Ok(schedule) = Schedule::new(&consensus, testing) {
            let [first, second] = [schedule.first, schedule.second];
            assert!(second.period == first.period.next() || first.period.number == 0);
            assert!(first.run_start <= second.run_start && second.run_start <= lifetime.valid_after());
        }
    }
});

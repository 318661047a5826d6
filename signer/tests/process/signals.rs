//! The effects of signals on the program.

use nix::sys::signal::Signal;

use crate::harness::Directory;

#[test]
fn ends_well_at_each_signal_that_asks_for_it_and_starts_again() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let directory = Directory::new("");
        let mut signer = directory.serve();
        let mut client = directory.connect();
        assert!(client.is_answered());
        signer.signal(signal);
        let (status, log) = signer.end();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
        assert_eq!(log.last(), Some(&format!("INFO ending: {signal}")), "{log:?}");
        assert!(client.is_closed());
        let _again = directory.serve();
        assert!(directory.connect().is_answered());
    }
}

#[test]
fn goes_on_at_the_signals_that_tor_has_a_use_for() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut client = directory.connect();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGUSR1] {
        signer.signal(signal);
        assert!(client.is_answered());
    }
}

//! The parameters of a simulation.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::network::calendar::Calendar;

/// The version of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Version 2 onion services.
    V2,
    /// Version 3 onion services.
    V3,
}

/// Everything that a simulation depends on: equal scenarios run equally.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The version of onion services.
    pub version: Version,
    /// The simulated days.
    pub days: u64,
    /// The number of services.
    pub services: usize,
    /// The number of backends that they share.
    pub backends: usize,
    /// The number of backends that each service has of its own; `None`: some of those that all share.
    pub each: Option<usize>,
    /// The number of relays that run at a time.
    pub relays: usize,
    /// True if faults happen; relays and introduction points come and go in any case.
    pub trouble: bool,
    /// The time that the signer takes for a descriptor beyond a few milliseconds.
    pub signature: Duration,
    /// How long time periods are. Those of version 2 take a day in any network.
    pub calendar: Calendar,
}

impl Scenario {
    /// The scenario of a seed: three days of a few services, of one version or the other.
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let services = 2 + dice.index(6);
        Self {
            seed,
            version: if dice.chance(600) { Version::V3 } else { Version::V2 },
            days: 3,
            services,
            backends: services + dice.index(services + 1),
            each: None,
            relays: 100 + dice.index(200),
            trouble: dice.chance(900),
            signature: Duration::ZERO,
            calendar: Calendar::PUBLIC,
        }
    }

    /// A day of many services, in which nothing goes wrong: they share tor, and must not act in step.
    pub fn crowd(version: Version) -> Self {
        Self {
            seed: 1,
            version,
            days: 1,
            services: 30,
            backends: 60,
            each: None,
            relays: 300,
            trouble: false,
            signature: Duration::ZERO,
            calendar: Calendar::PUBLIC,
        }
    }

    /// A day of a hundred services in which much goes wrong, so that requests wait in line.
    pub fn busy(version: Version, seed: u64) -> Self {
        Self { seed, services: 100, backends: 150, relays: 200, trouble: true, ..Self::crowd(version) }
    }
}

/// Displays the command that replays it.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, version, days, services, backends, each, relays, trouble, signature, calendar } =
            self;
        let version = if *version == Version::V2 { 2 } else { 3 };
        write!(
            f,
            "cargo run --release -p onionbalance-tests --bin hunt -- --seed {seed} --version {version} --days {days} \
             --services {services} --backends {backends} --relays {relays} --trouble {trouble}"
        )?;
        if let Some(each) = each {
            write!(f, " --each {each}")?;
        }
        if calendar.is_testing() {
            write!(f, " --period-minutes {}", calendar.period_minutes())?;
        }
        if signature.is_zero() { Ok(()) } else { write!(f, " --signature {}", signature.as_secs()) }
    }
}

//! What is simulated.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;

/// The version of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Version 2.
    V2,
    /// Version 3.
    V3,
}

/// Everything that a simulation depends on: equal scenarios run equally.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where all random numbers come from.
    pub seed: u64,
    /// The version of onion services.
    pub version: Version,
    /// How long it takes.
    pub days: u64,
    /// How many services there are.
    pub services: usize,
    /// How many backends they share.
    pub backends: usize,
    /// How many backends each service has of its own; `None`: some of those that all share.
    pub each: Option<usize>,
    /// How many relays run at a time.
    pub relays: usize,
    /// Whether anything goes wrong; relays and introduction points come and go in any case.
    pub trouble: bool,
    /// How much longer the signer takes for a descriptor than a few milliseconds.
    pub signature: Duration,
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
        }
    }
}

/// The command that replays it.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, version, days, services, backends, each, relays, trouble, signature } = self;
        let version = if *version == Version::V2 { 2 } else { 3 };
        write!(
            f,
            "cargo run --release -p onionbalance-tests --bin hunt -- --seed {seed} --version {version} --days {days} \
             --services {services} --backends {backends} --relays {relays} --trouble {trouble}"
        )?;
        if let Some(each) = each {
            write!(f, " --each {each}")?;
        }
        if signature.is_zero() { Ok(()) } else { write!(f, " --signature {}", signature.as_secs()) }
    }
}

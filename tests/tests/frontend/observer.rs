//! An observer that fetches descriptors from every HSDir, and reads them with Arti's code as a client would.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use onionbalance::v3::directory::Directory;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use onionbalance_tests::network::{Client, Network};
use onionbalance_tests::wait::until;
use tor_checkable::TimeBound;
use tor_hscrypto::pk::{HsBlindId, HsId, HsIdKey};
use tor_netdoc::doc::hsdesc::HsDesc;

/// The longest time from a backend's new descriptor until all HSDirs of the frontend list its points: a fetch
/// every 15 s, and uploads.
pub(crate) const SETTLED: Duration = Duration::from_mins(1);

/// The time between two changes of the responsible HSDirs is three minutes.
pub(crate) const CHANGE: Duration = Duration::from_mins(4);

/// An observer: a tor with a control port, and without cached descriptors.
pub(crate) struct Observer {
    pub(crate) client: Client,
    /// An HSDir that does not answer, and is not asked.
    pub(crate) avoids: Option<Fingerprint>,
}

/// An introduction point.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Point {
    /// Its relay's onion key, which identifies the relay.
    pub(crate) relay: [u8; 32],
    auth_key: [u8; 32],
    enc_key: [u8; 32],
}

/// The phase of the network's two clocks, from one consensus.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Phase {
    /// The number of the period whose descriptor clients look for.
    pub(crate) period: u64,
    /// The start of the shared-random run.
    pub(crate) run: UnixTime,
    /// The current shared random value, if the consensus has one.
    pub(crate) current: Option<String>,
    /// The shared random value of the previous run.
    pub(crate) previous: Option<String>,
}

/// A descriptor as a client reads it.
pub(crate) struct Copy {
    pub(crate) revision: u64,
    pub(crate) points: BTreeSet<Point>,
}

impl Observer {
    pub(crate) fn new(network: &Network) -> Result<Self> {
        Ok(Self::of(network.new_tor_client()?))
    }

    /// The observer with this tor.
    pub(crate) fn of(client: Client) -> Self {
        Self { client, avoids: None }
    }

    /// An observer that keeps its present consensus.
    pub(crate) fn left_behind(network: &Network) -> Result<Self> {
        let observer = Self::new(network)?;
        observer.client.control()?.send("SETCONF FetchServerDescriptors=0")?;
        Ok(observer)
    }

    /// The network in the observer's consensus.
    pub(crate) fn directory(&self) -> Result<Directory> {
        let mut control = self.client.control()?;
        until(SETTLED, || {
            let consensus = control.getinfo(CONSENSUS)?;
            let microdescriptors = control.getinfo("md/all")?;
            let directory = Directory::new(consensus.as_bytes(), microdescriptors.as_bytes(), true)?;
            Ok((directory.missing() == 0).then_some(directory))
        })
        .context("microdescriptors are missing")
    }

    pub(crate) fn phase(&self) -> Result<Phase> {
        let consensus = self.client.control()?.getinfo(CONSENSUS)?;
        let shared_random = |which: &str| {
            let value = |line: &str| line.strip_prefix(which).map(str::to_owned);
            consensus.lines().find_map(value)
        };
        let schedule = *self.directory()?.schedule();
        Ok(Phase {
            period: schedule.fetched_term().period.number,
            run: schedule.second.run_start,
            current: shared_random("shared-rand-current-value "),
            previous: shared_random("shared-rand-previous-value "),
        })
    }

    /// Waits for a consensus with another phase.
    pub(crate) fn wait_change(&self, before: &Phase, timeout: Duration) -> Result<Phase> {
        let mut control = self.client.control()?;
        control.set_events("NEWCONSENSUS")?;
        let deadline = Instant::now() + timeout;
        loop {
            let phase = self.phase()?;
            if phase != *before {
                return Ok(phase);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            control.wait_event(left, |_| true)?.with_context(|| format!("it stays {before:?}"))?;
        }
    }

    /// Waits for the beginning of a time period. The next change of the responsible HSDirs comes half a
    /// period later.
    pub(crate) fn wait_next_period(&self) -> Result<()> {
        let before = self.phase()?;
        let mut phase = before.clone();
        while phase.period == before.period {
            phase = self.wait_change(&phase, CHANGE)?;
        }
        Ok(())
    }

    /// The newest copy of a service's present descriptor from two of its HSDirs.
    pub(crate) fn newest(&self, address: &OnionAddress) -> Result<Copy> {
        self.within_period(address, |period, hsdirs| {
            let mut copies = Vec::new();
            for hsdir in hsdirs.iter().take(2) {
                copies.extend(
                    self.fetch(address, hsdir)?.map(|text| read(address, period, &text)).transpose()?,
                );
            }
            let newest = copies.into_iter().max_by_key(|copy| copy.revision);
            newest.with_context(|| format!("two HSDirs have no descriptor of {address}"))
        })
    }

    /// The points of each of these services.
    pub(crate) fn points(&self, of: &[OnionAddress]) -> Result<Vec<BTreeSet<Point>>> {
        of.iter().map(|address| Ok(self.newest(address)?.points)).collect()
    }

    /// The copies of the descriptor of `frontend` that clients with this observer's consensus look for. Fails
    /// if a responsible HSDir has none, or one that a client could not read.
    pub(crate) fn copies(&self, frontend: &OnionAddress) -> Result<Vec<Copy>> {
        self.within_period(frontend, |period, hsdirs| {
            ensure!(!hsdirs.is_empty(), "nobody is responsible");
            let copies = hsdirs.iter().map(|hsdir| {
                let text = self.fetch(frontend, hsdir)?;
                let text = text.with_context(|| format!("{hsdir} has no descriptor for {period:?}"))?;
                read(frontend, period, &text).with_context(|| format!("{hsdir} has a bad descriptor"))
            });
            copies.collect()
        })
    }

    /// Waits until every responsible HSDir has a copy with the right choice of the points that `witness`
    /// finds at the backends, and some of each: there are enough relays.
    pub(crate) fn wait_current(
        &self,
        frontend: &OnionAddress,
        backends: &[OnionAddress],
        witness: &Self,
    ) -> Result<()> {
        self.wait_copies(frontend, || {
            let offered = witness.points(backends)?;
            Ok(move |listed: &BTreeSet<Point>| {
                is_full(listed, &offered) && offered.iter().all(|points| !points.is_disjoint(listed))
            })
        })
    }

    /// Waits until every responsible HSDir has a copy with points that are `right` at that moment.
    pub(crate) fn wait_copies<J: Fn(&BTreeSet<Point>) -> bool>(
        &self,
        frontend: &OnionAddress,
        right: impl Fn() -> Result<J>,
    ) -> Result<()> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let right = right()?;
            let copies = self.copies(frontend);
            let all_right = copies.and_then(|copies| {
                let wrong = copies.iter().filter(|copy| !right(&copy.points)).count();
                ensure!(wrong == 0, "{wrong} of {} HSDirs list the wrong points", copies.len());
                Ok(())
            });
            if all_right.is_ok() || Instant::now() >= deadline {
                return all_right;
            }
        }
    }

    /// Runs an action at the HSDirs of a service. If the next period begins meanwhile, repeats it: tor then
    /// looked for that period's descriptors on the HSDirs of this one.
    fn within_period<T>(
        &self,
        address: &OnionAddress,
        act: impl Fn(TimePeriod, &[Fingerprint]) -> Result<T>,
    ) -> Result<T> {
        loop {
            let (period, mut hsdirs) = self.directory()?.fetch(address);
            hsdirs.retain(|hsdir| Some(*hsdir) != self.avoids);
            let result = act(period, &hsdirs);
            if self.directory()?.fetch(address).0 == period {
                return result;
            }
        }
    }

    fn fetch(&self, address: &OnionAddress, hsdir: &Fingerprint) -> Result<Option<String>> {
        self.client.control()?.hsfetch(&address.to_string(), Some(&hsdir.to_string()))
    }
}

/// True if a descriptor lists one point at each relay of these backends' points: clients find only the first
/// at a relay.
pub(crate) fn is_full(listed: &BTreeSet<Point>, offered: &[BTreeSet<Point>]) -> bool {
    let relays_offered: BTreeSet<_> = offered.iter().flatten().map(|point| point.relay).collect();
    let relays: BTreeSet<_> = listed.iter().map(|point| point.relay).collect();
    let is_offered = |point| offered.iter().any(|points| points.contains(point));
    listed.iter().all(is_offered) && relays.len() == listed.len() && relays == relays_offered
}

const CONSENSUS: &str = "dir/status-vote/current/consensus-microdesc";

/// Reads the text with Arti's code.
fn read(address: &OnionAddress, period: TimePeriod, text: &str) -> Result<Copy> {
    let minutes = u32::from(u16::from(period.length));
    let period = tor_hscrypto::time::TimePeriod::from_parts(minutes, period.number, 0);
    let identity = HsIdKey::try_from(HsId::from(*address.identity()))?;
    let (blinded, subcredential) = identity.compute_blinded_key(period)?;
    let descriptor = HsDesc::parse_decrypt_validate(text, &HsBlindId::from(blinded), &subcredential, None)?;
    let descriptor = descriptor.if_valid_at(&SystemTime::now())?;
    let points = descriptor.intro_points().iter();
    let points = points.map(|point| Point {
        relay: point.ipt_ntor_key().to_bytes(),
        auth_key: point.ipt_sid_key().as_ref().to_bytes(),
        enc_key: point.svc_ntor_key().as_ref().to_bytes(),
    });
    Ok(Copy { revision: descriptor.revision().into(), points: points.collect() })
}

//! Health checks of backends: their configuration, the probes, and the faults that make these fail or lie.
//! They have dice of their own, as weights have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use onionbalance::engine::{BackendId, Event, ProbeId, ProbeOutcome};
use onionbalance_proto::config::{HealthCheck, ProbeKind};

use super::backend::State;
use super::balancer::{Call, number_of};
use super::dice::Dice;
use super::onion_version::OnionVersion;
use super::time::Moment;
use super::world::{Happening, World};

/// The dice of probes, and the faults that concern them.
pub struct Probing {
    /// The source of random numbers.
    pub dice: Dice,
    /// The time since which tor has reached no onion service; `None` if it does.
    pub blind_since: Option<Moment>,
    /// True if tor reaches no HSDir either.
    pub is_cut_off: bool,
    /// True if tor has no SOCKS port.
    socks_away: bool,
    /// The backends whose service does not answer, while their tor publishes.
    deaf: BTreeSet<usize>,
    /// The backends whose tor does not publish, while their service answers.
    pub unpublished: BTreeSet<usize>,
    /// The probes whose result comes when it is not awaited any more, by backend and port: soon after the
    /// next one has begun.
    late: BTreeMap<(usize, u16), Box<Probe>>,
}

/// A probe in progress.
pub struct Probe {
    call: Call,
    id: ProbeId,
    backend: usize,
    check: Arc<HealthCheck>,
    began: Moment,
    end: End,
}

/// The end of a probe as it is known at its beginning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It succeeds if the backend answers until then.
    Answer,
    /// It fails, for this cause.
    Failure(Cause),
    /// It cannot be made.
    Unmade,
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The balancer's tor has reached no onion service since then.
    Tor(Moment),
    /// The backend does not answer, or one probe has failed by chance.
    Other,
}

/// A fault of probes.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Tor reaches no onion service.
    Blind,
    /// Tor has no SOCKS port.
    NoSocks,
    /// The service of this backend does not answer.
    Deaf(usize),
    /// The tor of this backend does not publish.
    Unpublished(usize),
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The services with health checks, out of 1000.
const CHECKED: u64 = 300;
/// The backends of such a service that have none, out of 1000.
const UNCHECKED: u64 = 150;
/// Intervals that operators choose, in seconds: mostly long ones, which are fewer events.
const INTERVALS: [u64; 6] = [30, 60, 120, 180, 240, 300];
/// Probes that fail by chance, out of 1000.
const FAILURES: u64 = 8;
/// Probes without a result, out of 1000.
const LOST: u64 = 4;
/// Probes whose result comes when the next one has begun, out of 1000.
const LATE: u64 = 4;
/// The time from the beginning of the next probe to a late result.
const OVERTAKEN_BY: Duration = Duration::from_millis(200);
/// The time after its time-out within which a probe ends.
const OVERTIME: Duration = Duration::from_secs(2);

impl Probing {
    /// The state for a seed, without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed ^ 0x4845_414C_5448_2121),
            blind_since: None,
            is_cut_off: false,
            socks_away: false,
            deaf: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            late: BTreeMap::new(),
        }
    }

    /// Health checks for these backends of a service; none for most services. Each service has a port of its
    /// own, so that a notice names the check.
    pub fn some_checks(
        &mut self,
        service: usize,
        backends: &BTreeSet<usize>,
    ) -> BTreeMap<usize, Arc<HealthCheck>> {
        let dice = &mut self.dice;
        if !dice.chance(CHECKED) {
            return BTreeMap::new();
        }
        let mut few = || u8::try_from(1 + dice.below(3)).unwrap_or(1);
        let (fall, rise) = (few(), few());
        let check = Arc::new(HealthCheck {
            port: port_of(service),
            kind: ProbeKind::Connect,
            interval: SECOND * u32::try_from(INTERVALS[dice.index(INTERVALS.len())]).unwrap_or(1),
            timeout: dice.between(SECOND * 5, SECOND * 20),
            fall,
            rise,
        });
        backends.iter().filter(|_| !dice.chance(UNCHECKED)).map(|backend| (*backend, check.clone())).collect()
    }
}

/// The port of a service's checks.
pub fn port_of(service: usize) -> u16 {
    u16::try_from(1 + service).unwrap_or(u16::MAX)
}

/// The number of the service whose checks have this port.
pub fn service_of(port: u16) -> usize {
    usize::from(port) - 1
}

impl<V: OnionVersion> World<V> {
    /// Plans the next reload with other checks.
    pub fn plan_recheck(&mut self) {
        let at = self.now.after(self.probing.dice.between(HOUR, 12 * HOUR));
        if at < self.calm_from() {
            self.queue.plan(at, Happening::Recheck);
        }
    }

    /// The operator changes the health checks of a service.
    pub fn recheck(&mut self) {
        self.plan_recheck();
        let number = self.probing.dice.index(self.services.len());
        let service = &self.services[number];
        let checks = self.probing.some_checks(number, &service.backends);
        if service.configured.is_none() || service.checks == checks {
            return;
        }
        self.trace(|| format!("checks of service {number}: {checks:?}"));
        self.services[number].checks = checks;
        self.reconfigure(number, true);
        self.plan_prompt_look(number);
    }

    /// Plans the next fault of probes.
    pub fn plan_probing_fault(&mut self) {
        let at = self.now.after(self.probing.dice.between(HOUR, 8 * HOUR));
        if at < self.calm_from() {
            self.queue.plan(at, Happening::ProbingFault);
        }
    }

    /// Begins a fault of probes.
    pub fn probing_fault(&mut self) {
        self.plan_probing_fault();
        let probing = &mut self.probing;
        let backend = probing.dice.index(self.backends.len());
        let (fault, longest) = match probing.dice.below(6) {
            0 | 1 if probing.blind_since.is_none() => (Fault::Blind, 3 * HOUR),
            2 if !probing.socks_away => (Fault::NoSocks, 6 * HOUR),
            3 if !probing.unpublished.contains(&backend) => (Fault::Unpublished(backend), 8 * HOUR),
            4.. if !probing.deaf.contains(&backend) => (Fault::Deaf(backend), 8 * HOUR),
            _ => return,
        };
        let at = self.now.after(probing.dice.between(2 * MINUTE, longest));
        match fault {
            Fault::Blind => {
                probing.blind_since = Some(self.now);
                probing.is_cut_off = probing.dice.chance(300);
                if probing.is_cut_off {
                    self.disturb();
                }
            }
            Fault::NoSocks => probing.socks_away = true,
            Fault::Deaf(backend) => _ = probing.deaf.insert(backend),
            Fault::Unpublished(backend) => {
                probing.unpublished.insert(backend);
                self.touch_users(backend);
            }
        }
        self.trace(|| format!("probes: {fault:?}, cut off: {}", self.probing.is_cut_off));
        self.queue.plan(at.min(self.calm_from()), Happening::ProbingMended(fault));
    }

    /// Ends a fault of probes.
    pub fn probing_mended(&mut self, fault: Fault) {
        self.trace(|| format!("mended: {fault:?}"));
        match fault {
            Fault::Blind => {
                self.probing.blind_since = None;
                if std::mem::take(&mut self.probing.is_cut_off) {
                    self.disturb();
                }
            }
            Fault::NoSocks => self.probing.socks_away = false,
            Fault::Deaf(backend) => _ = self.probing.deaf.remove(&backend),
            Fault::Unpublished(backend) => {
                self.probing.unpublished.remove(&backend);
                if self.backends[backend].is_alive() {
                    self.revive(backend);
                }
            }
        }
    }

    /// Begins a probe.
    pub fn probe(&mut self, id: ProbeId, backend: &BackendId, check: Arc<HealthCheck>) {
        let (call, backend) = (self.balancer.call, number_of(&backend.0));
        self.watch.health.begins(backend, &check, id, self.now);
        if let Some(late) = self.probing.late.remove(&(backend, check.port)) {
            self.queue.plan(self.now.after(OVERTAKEN_BY), Happening::Probed(late));
        }
        let (end, at) = self.end_of_probe(backend, &check);
        let probe = Box::new(Probe { call, id, backend, check, began: self.now, end });
        match self.probing.dice.below(1000) {
            ..LOST => self.watch.health.is_left_open(backend, &probe.check),
            chance if chance < LOST + LATE => {
                self.watch.health.is_left_open(backend, &probe.check);
                let end = End::Failure(Cause::Other);
                let key = (backend, probe.check.port);
                self.probing.late.insert(key, Box::new(Probe { end, ..*probe }));
            }
            _ => self.queue.plan(at, Happening::Probed(probe)),
        }
    }

    /// The end of a probe that begins now, and its time.
    fn end_of_probe(&mut self, backend: usize, check: &HealthCheck) -> (End, Moment) {
        let (now, dice) = (self.now, &mut self.probing.dice);
        if self.probing.socks_away {
            return (End::Unmade, now.after(dice.between(Duration::ZERO, SECOND)));
        }
        let given_up = now.after(check.timeout + dice.between(Duration::ZERO, OVERTIME));
        let built = self.balancer.tor.build_for_probe(now, given_up, dice);
        let hangs = dice.chance(500);
        let failed = |cause, hangs| (End::Failure(cause), if hangs { given_up } else { built.min(given_up) });
        let has_failed = dice.chance(FAILURES) || built > now.after(check.timeout);
        self.check_in_flight();
        match self.backends[backend].state {
            State::Frozen => failed(Cause::Other, true),
            State::Dead => failed(Cause::Other, hangs),
            State::Alive if self.probing.deaf.contains(&backend) => failed(Cause::Other, hangs),
            State::Alive => match self.probing.blind_since {
                Some(since) => failed(Cause::Tor(since), hangs),
                None if has_failed => failed(Cause::Other, hangs),
                None => (End::Answer, built),
            },
        }
    }

    /// Takes the result of a probe.
    pub fn probed(&mut self, probe: Probe) {
        let Probe { call, id, backend, check, began, end } = probe;
        if call != self.balancer.call {
            return;
        }
        let answers = self.backends[backend].is_alive() && !self.probing.deaf.contains(&backend);
        // A circuit that was built before does not work any more.
        let end = if end == End::Answer && !(answers && self.probing.blind_since.is_none()) {
            End::Failure(Cause::Other)
        } else {
            end
        };
        let outcome = match end {
            End::Answer => ProbeOutcome::Succeeded(self.now.since(began)),
            End::Failure(_) => ProbeOutcome::Failed("it did not answer".into()),
            End::Unmade => ProbeOutcome::Unmade("tor has no SOCKS port".into()),
        };
        let by_tor = if let End::Failure(Cause::Tor(since)) = end { Some(since) } else { None };
        if self.watch.health.answered((backend, &check, id), &outcome, by_tor) {
            self.watch.prompt.may_look(backend);
            self.touch_users(backend);
        }
        let backend = self.backends[backend].id.clone();
        self.tell(Event::Probed { id, backend, outcome });
    }
}

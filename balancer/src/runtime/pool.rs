//! Tors that share work: each service has one of them, and gets another while that one is away.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::onion_version::{Frontend, OnionVersion};
use crate::tor::carrier::Link;

/// The time for which a tor that is away keeps its services: a restart takes seconds, and another tor has to
/// look for every backend again.
const AWAY: Duration = Duration::from_secs(60);
/// The time after which a tor that is back gets its services: one that comes and goes must not move them each
/// time.
const BACK: Duration = Duration::from_secs(300);

/// The frontends of one version that the same tors balance.
#[derive(Clone)]
pub struct Share<V: OnionVersion> {
    /// The tors; at least one.
    pub tors: Vec<Link>,
    /// The frontends; at least one.
    pub frontends: Vec<Frontend<V>>,
}

/// Reports to the fleet if a runtime's tor takes commands.
#[derive(Clone, Debug)]
pub struct Presence {
    is_ready: watch::Sender<bool>,
    changed: Arc<Notify>,
}

impl Presence {
    /// The presence of a tor that is not ready yet. `changed` is notified of each change.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self { is_ready: watch::Sender::new(false), changed }
    }

    pub(super) fn set(&self, is_ready: bool) {
        self.is_ready.send_replace(is_ready);
        self.changed.notify_one();
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.is_ready.borrow()
    }
}

/// True while a tor has services; this follows its presence with a delay.
#[derive(Debug)]
pub(super) struct Standing {
    has_services: bool,
    is_ready: bool,
    /// The time of the last change of `is_ready`.
    since: Instant,
}

impl Standing {
    /// The standing of a tor whose connection begins at `now`: it has [`AWAY`] to become ready.
    pub(super) fn new(now: Instant) -> Self {
        Self { has_services: true, is_ready: false, since: now }
    }

    pub(super) fn has_services(&self) -> bool {
        self.has_services
    }

    /// The time since the tor last became ready or was lost.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Notes if the tor takes commands at `now`.
    pub(super) fn note(&mut self, is_ready: bool, now: Instant) {
        if self.is_ready != is_ready {
            (self.is_ready, self.since) = (is_ready, now);
        }
    }

    /// The time at which the tor loses its services or gets them back; `None` if neither is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let delay = if self.is_ready { BACK } else { AWAY };
        (self.has_services != self.is_ready).then(|| self.since + delay)
    }

    /// Makes the change if it is due. True if it was.
    pub(super) fn change(&mut self, now: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.has_services = self.is_ready;
        }
        is_due
    }
}

/// The frontends of each tor, in the order in which the shares name the tors first. `has_services` is false
/// for a tor that is away; if all tors of a share are away, they count as present.
///
/// Rendezvous hashing with bounded loads (Thaler and Ravishankar 1998; Mirrokni, Thorup and Zadimoghaddam
/// 2018): a service takes the tor that it prefers among those that are not full. So the loads are even, and
/// the loss of a tor moves few services besides its own.
pub(super) fn assign<V: OnionVersion>(
    shares: &[Share<V>],
    has_services: impl Fn(&Link) -> bool,
) -> Vec<(Link, Vec<Frontend<V>>)> {
    let mut assigned: Vec<(Link, Vec<Frontend<V>>)> = Vec::new();
    for Share { tors, frontends } in shares {
        for tor in tors {
            if !assigned.iter().any(|(link, _)| link == tor) {
                assigned.push((tor.clone(), Vec::new()));
            }
        }
        let mut present: Vec<&Link> = tors.iter().filter(|tor| has_services(tor)).collect();
        if present.is_empty() {
            present = tors.iter().collect();
        }
        for (frontend, tor) in frontends.iter().zip(choose(frontends, &present)) {
            if let Some((_, assigned)) = assigned.iter_mut().find(|(link, _)| Some(link) == tor) {
                assigned.push(frontend.clone());
            }
        }
    }
    assigned
}

/// The tor of each of these frontends; `None` only if there are no tors.
fn choose<'a, V: OnionVersion>(frontends: &[Frontend<V>], tors: &[&'a Link]) -> Vec<Option<&'a Link>> {
    let work = |frontend: &Frontend<V>| 1 + frontend.backends.len();
    let part = frontends.iter().map(work).sum::<usize>().div_ceil(tors.len().max(1));
    let mut loads: HashMap<usize, usize> = HashMap::new();
    let choice = |frontend: &Frontend<V>| {
        let has_room = |index: &usize| loads.get(index).is_none_or(|load| *load < part);
        let preference =
            |index: &usize| tors.get(*index).map(|tor| preference(&frontend.address.to_string(), tor));
        let index = (0..tors.len()).filter(has_room).max_by_key(preference)?;
        *loads.entry(index).or_default() += work(frontend);
        tors.get(index).copied()
    };
    frontends.iter().map(choice).collect()
}

fn preference(service: &str, tor: &Link) -> u64 {
    let mut hasher = DefaultHasher::new();
    service.hash(&mut hasher);
    for endpoint in &tor.endpoints {
        endpoint.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onionbalance_proto::v2::OnionAddress;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::engine::Weights;
    use crate::v2::V2;

    const SERVICES: u8 = 60;

    fn link(name: &str) -> Link {
        Link { endpoints: vec![Endpoint::Unix(name.into())], password: None, socks: None }
    }

    fn frontends() -> Vec<Frontend<V2>> {
        let address = |seed: u8| OnionAddress::from_permanent_id([seed; 10]);
        (1..=SERVICES)
            .map(|seed| Frontend {
                address: address(seed),
                backends: Vec::new(),
                weights: Weights::default(),
                checks: BTreeMap::new(),
            })
            .collect()
    }

    fn share(tors: &[&str]) -> Share<V2> {
        Share { tors: tors.iter().map(|name| link(name)).collect(), frontends: frontends() }
    }

    /// The tor of each service.
    fn tors(assigned: &[(Link, Vec<Frontend<V2>>)]) -> HashMap<OnionAddress, Link> {
        let of_tor = |(link, frontends): &(Link, Vec<Frontend<V2>>)| {
            frontends.iter().map(|frontend| (frontend.address, link.clone())).collect::<Vec<_>>()
        };
        assigned.iter().flat_map(of_tor).collect()
    }

    #[test]
    fn tors_have_equal_parts() {
        let assigned = assign(&[share(&["a", "b", "c"])], |_| true);
        let counts: Vec<_> = assigned.iter().map(|(_, frontends)| frontends.len()).collect();
        assert_eq!(counts, [20, 20, 20]);
        let alone = assign(&[share(&["a"])], |_| true);
        assert_eq!((alone.len(), alone[0].1.len()), (1, 60));
    }

    #[test]
    fn a_tor_that_goes_moves_few_services_besides_its_own() {
        let before = tors(&assign(&[share(&["a", "b", "c"])], |_| true));
        let away = link("b");
        let assigned = assign(&[share(&["a", "b", "c"])], |tor| *tor != away);
        assert_eq!(assigned.iter().map(|(_, frontends)| frontends.len()).collect::<Vec<_>>(), [30, 0, 30]);
        let after = tors(&assigned);
        let moved = before.iter().filter(|(service, tor)| **tor != away && after[*service] != **tor).count();
        assert!(moved <= 8, "{moved} of 40 moved");
    }

    #[test]
    fn tors_that_are_all_away_keep_their_services() {
        let present = tors(&assign(&[share(&["a", "b"])], |_| true));
        assert_eq!(tors(&assign(&[share(&["a", "b"])], |_| false)), present);
    }

    #[test]
    fn a_tor_of_two_shares_has_the_services_of_both() {
        let assigned = assign(&[share(&["a", "b"]), share(&["a"])], |_| true);
        assert_eq!(assigned.iter().map(|(_, frontends)| frontends.len()).collect::<Vec<_>>(), [90, 30]);
    }

    #[test]
    fn services_move_when_a_tor_has_been_away_and_come_back_later() {
        let start = Instant::now();
        let mut standing = Standing::new(start);
        standing.note(true, start + Duration::from_secs(2));
        assert_eq!((standing.has_services(), standing.due()), (true, None));
        let lost = start + Duration::from_secs(100);
        standing.note(false, lost);
        assert!(!standing.change(lost + AWAY - Duration::from_secs(1)));
        assert!(standing.change(lost + AWAY) && !standing.has_services());
        let back = lost + AWAY * 2;
        standing.note(true, back);
        standing.note(true, back + BACK / 2);
        assert_eq!(standing.due(), Some(back + BACK));
        assert!(!standing.change(back + BACK / 2));
        assert!(standing.change(back + BACK) && standing.has_services());
        assert_eq!(standing.due(), None);
    }

    #[test]
    fn a_tor_that_never_comes_loses_its_services() {
        let start = Instant::now();
        let mut standing = Standing::new(start);
        assert!(standing.change(start + AWAY) && !standing.has_services());
    }
}

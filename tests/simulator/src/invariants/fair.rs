//! Fair shares: clients find each set of a service's points equally often.

use std::collections::BTreeMap;

use super::super::network::cache::Key;
use super::super::onion_version::OnionVersion;
use super::super::world::World;
use super::Invariant;
use super::alarm::Alarm;

impl<V: OnionVersion> World<V> {
    /// Checks that some time after the last round each set is on as many of a period's HSDirs as any other,
    /// or on one more.
    pub(super) fn check_fair(&mut self, number: usize, alarm: &mut Alarm) {
        let service = &self.services[number];
        if !service.distinct {
            return;
        }
        let mut counts: BTreeMap<u64, Option<BTreeMap<usize, usize>>> = BTreeMap::new();
        for spot in &service.spots {
            let key = Key { owner: number, slot: spot.slot };
            let counts = counts.entry(spot.slot.period).or_insert_with(|| Some(BTreeMap::new()));
            // A slow signer may have had one of two replicas only.
            let held = self.watch.held.get(&key).filter(|held| {
                let given = self.balancer.given.get(&key);
                given.is_some_and(|(_, at)| alarm.passed(held.ordered.max(*at).after(self.promises.posted)))
            });
            for (id, _) in &spot.hsdirs {
                match (held.and_then(|held| held.sets.get(id)), counts.as_mut()) {
                    (Some(set), Some(counts)) => *counts.entry(*set).or_default() += 1,
                    _ => *counts = None,
                }
            }
        }
        let is_fair = |counts: &BTreeMap<usize, usize>| {
            let (least, most) = (counts.values().min(), counts.values().max());
            most.zip(least).is_none_or(|(most, least)| most - least <= 1)
        };
        let unfair = counts
            .into_iter()
            .find_map(|(period, counts)| Some((period, counts.filter(|counts| !is_fair(counts))?)));
        if let Some((period, counts)) = unfair {
            let of = service.id.0.clone();
            self.fail(
                Invariant::Fair,
                &of,
                format!("of period {period}, sets are on so many HSDirs each: {counts:?}"),
            );
        }
    }
}

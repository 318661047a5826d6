//! Weights: clients find the backends of a service as often as the operator wishes, as far as points allow.

use std::collections::BTreeMap;

use onionbalance::engine::Point;

use super::super::network::cache::Key;
use super::super::onion_version::OnionVersion;
use super::super::world::World;
use super::Invariant;
use super::alarm::Alarm;

/// The excess of the sum of all differences between shares and wishes over that of the best single set. The
/// HSDirs of a period cannot always share sets evenly.
const SLACK: f64 = 0.15;
/// The fewest points of a set, if there are as many.
const LEAST: usize = 3;
/// The most single sets that are compared.
const MOST_SETS: usize = 20_000;

/// A backend to which a service's visitors may come.
struct Wish {
    backend: usize,
    /// The part of the visitors that its weight asks for.
    share: f64,
    /// The number of its points.
    points: usize,
}

impl<V: OnionVersion> World<V> {
    /// Checks that some time after the last change HSDirs list no point of a drained backend, unless no
    /// other one is live, and that the shares of the others are no further from their weights than those
    /// of the best single set.
    pub(super) fn check_weights(&mut self, number: usize, alarm: &mut Alarm) {
        let service = &self.services[number];
        let are_alike = service.weights.is_empty() && service.drains.is_empty();
        if are_alike || self.watch.health.is_unsure(number) {
            return;
        }
        let changed = service.backends.iter().map(|backend| self.watch.changed[*backend]).max();
        if !changed.is_some_and(|changed| alarm.passed(changed.after(self.promises.posted))) {
            return;
        }
        let wishes = self.wishes(number);
        if wishes.is_empty() {
            return;
        }
        let periods: Vec<u64> = service.spots.iter().map(|spot| spot.slot.period).collect();
        for period in periods {
            let Some(shares) = self.shares(number, period, alarm) else { continue };
            let of = |backend: usize| shares.get(&backend).copied().unwrap_or(0.0);
            let drained = shares.keys().find(|backend| self.services[number].weight(**backend) == 0);
            let wrong = match drained {
                Some(drained) => Some(format!("{} is drained, and listed", self.backends[*drained].id)),
                None => self.best_error(&wishes).and_then(|best| {
                    let error: f64 = wishes.iter().map(|wish| (wish.share - of(wish.backend)).abs()).sum();
                    let is_far = error > best + SLACK;
                    is_far.then(|| {
                        format!("shares {shares:.3?} are off by {error:.3}, and could be by {best:.3}")
                    })
                }),
            };
            if let Some(wrong) = wrong {
                let of = self.services[number].id.0.clone();
                return self.fail(Invariant::Weights, &of, format!("in period {period}, {wrong}"));
            }
        }
    }

    /// The backends that the engine takes for live and well, and that are not drained.
    fn wishes(&self, number: usize) -> Vec<Wish> {
        let service = &self.services[number];
        let live = |backend: &&usize| {
            let is_live = self.watch.prompt.is_live(**backend) && service.weight(**backend) > 0;
            is_live && !self.watch.health.is_out(number, **backend)
        };
        let live: Vec<usize> = service.backends.iter().filter(live).copied().collect();
        let total: f64 = live.iter().map(|backend| f64::from(service.weight(*backend))).sum();
        let wish = |backend: usize| Wish {
            backend,
            share: f64::from(service.weight(backend)) / total,
            points: self.watch.prompt.points_of(backend).len(),
        };
        live.into_iter().map(wish).collect()
    }

    /// The share of each backend that is listed at the HSDirs of a period; `None` if one of them may have
    /// another set than its own.
    fn shares(&self, number: usize, period: u64, alarm: &mut Alarm) -> Option<BTreeMap<usize, f64>> {
        let (mut shares, mut hsdirs) = (BTreeMap::new(), 0.0);
        for spot in self.services[number].spots.iter().filter(|spot| spot.slot.period == period) {
            let key = Key { owner: number, slot: spot.slot };
            for (id, since) in &spot.hsdirs {
                let last = self.relays.in_slot(key).and_then(|in_slot| in_slot.last(*id));
                let kept = last.filter(|kept| kept.lasts(self.now))?;
                alarm.passed(kept.until);
                if !self.has_no_excuse(self.relays.get(*id), *since, alarm)
                    || self.is_ahead(key, spot, last, alarm)
                {
                    return None;
                }
                hsdirs += 1.0;
                let size = f64::from(u32::try_from(kept.text.points.len()).ok()?);
                for point in kept.text.points.iter() {
                    *shares.entry(self.fates[point.id() as usize].backend).or_insert(0.0) += 1.0 / size;
                }
            }
        }
        for share in shares.values_mut() {
            *share /= hsdirs;
        }
        Some(shares)
    }

    /// The sum of all differences to the wishes in the best single set. `None`: weights are equal, points
    /// are at one relay, or there are too many sets.
    fn best_error(&self, wishes: &[Wish]) -> Option<f64> {
        let are_equal = wishes.windows(2).all(|pair| (pair[0].share - pair[1].share).abs() < 1e-9);
        let points = || wishes.iter().flat_map(|wish| self.watch.prompt.points_of(wish.backend).iter());
        let mut relays: Vec<_> = points().map(Point::relay).collect();
        relays.sort_unstable();
        relays.dedup();
        let sets = wishes.iter().fold(1_usize, |sets, wish| sets.saturating_mul(wish.points));
        if are_equal || relays.len() < points().count() || sets > MOST_SETS || wishes.len() > V::MAX_POINTS {
            return None;
        }
        let mut best = None;
        let least = LEAST.min(relays.len());
        choose(wishes, &mut Vec::new(), &mut |counts: &[usize]| {
            let size = counts.iter().sum::<usize>();
            if (least..=V::MAX_POINTS).contains(&size) {
                let part = |count: usize| number(count) / number(size);
                let error: f64 =
                    wishes.iter().zip(counts).map(|(wish, count)| (wish.share - part(*count)).abs()).sum();
                best = Some(best.map_or(error, |best: f64| best.min(error)));
            }
        });
        best
    }
}

/// Calls `see` with the numbers of points of each single set in which every backend has one.
fn choose(wishes: &[Wish], counts: &mut Vec<usize>, see: &mut impl FnMut(&[usize])) {
    let Some(next) = wishes.get(counts.len()) else { return see(counts) };
    for count in 1..=next.points {
        counts.push(count);
        choose(wishes, counts, see);
        counts.pop();
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

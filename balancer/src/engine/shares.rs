//! The shares of a service's visitors that its backends get.
//!
//! A client asks one of a descriptor's HSDirs, and picks one of the points that it lists, both at random.
//! So a backend's share is the mean, over the HSDirs, of its part of the points of their sets.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Chosen, Point};
use super::id::BackendId;
use super::weights::Weights;

/// The share of each backend that is listed in `sets`; the sum is 1, or 0 without sets. `hsdirs` is the
/// number of HSDirs of each set. If no HSDir is known, all sets count alike.
pub(super) fn given<'a, P: Point>(
    sets: &'a [Vec<Chosen<P>>],
    hsdirs: &[usize],
) -> BTreeMap<&'a BackendId, f64> {
    let are_known = hsdirs.iter().any(|hsdirs| *hsdirs > 0);
    let of_set = |set| if are_known { hsdirs.get(set).copied().unwrap_or(0) } else { 1 };
    let all: f64 = number((0..sets.len()).map(of_set).sum());
    let mut shares = BTreeMap::new();
    for (index, set) in sets.iter().enumerate() {
        let counts = counts(set);
        let listed: usize = counts.values().sum();
        for (backend, count) in counts {
            let part = number(count) / number(listed) * number(of_set(index)) / all;
            *shares.entry(backend).or_default() += part;
        }
    }
    shares
}

/// The number of points of a set at which clients arrive at each backend. Where points are at one relay,
/// clients that pick any of them arrive at the first.
fn counts<P: Point>(set: &[Chosen<P>]) -> BTreeMap<&BackendId, usize> {
    let mut counts = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    for chosen in set {
        // Only version-2 sets have such points.
        let first = if P::FAILED_IS_STRUCK_OFF {
            *firsts.entry(chosen.point.relay()).or_insert(&chosen.backend)
        } else {
            &chosen.backend
        };
        *counts.entry(first).or_default() += 1;
    }
    counts
}

/// The share that the weights ask for, of each of these backends that is not drained; empty if they have
/// equal weights, which ask for nothing: shares follow the numbers of points then.
pub(super) fn wished<'a>(
    backends: impl Iterator<Item = &'a BackendId>,
    weights: &Weights,
) -> BTreeMap<&'a BackendId, f64> {
    let weighted: Vec<(&BackendId, f64)> = backends
        .filter(|backend| !weights.is_drained(backend))
        .map(|backend| (backend, f64::from(weights.of(backend))))
        .collect();
    let different: BTreeSet<u8> = weighted.iter().map(|(backend, _)| weights.of(backend)).collect();
    if different.len() < 2 {
        return BTreeMap::new();
    }
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    weighted.into_iter().map(|(backend, weight)| (backend, weight / total)).collect()
}

/// A number of points or HSDirs, which is small.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Key;
    use super::*;

    fn set(points: &[(&str, u32)]) -> Vec<Chosen<Key>> {
        let point = |(id, (backend, relay)): (usize, &(&str, u32))| Chosen {
            backend: BackendId::from(*backend),
            point: Key::at(u32::try_from(id).unwrap(), *relay),
        };
        points.iter().enumerate().map(point).collect()
    }

    fn shares(sets: &[Vec<Chosen<Key>>], hsdirs: &[usize]) -> Vec<(String, f64)> {
        given(sets, hsdirs).into_iter().map(|(backend, share)| (backend.0.to_string(), share)).collect()
    }

    fn expect(wanted: &[(&str, f64)]) -> Vec<(String, f64)> {
        wanted.iter().map(|(backend, share)| ((*backend).to_owned(), *share)).collect()
    }

    #[test]
    fn a_set_counts_as_often_as_hsdirs_have_it() {
        let sets = [set(&[("a", 1), ("b", 2)]), set(&[("a", 1)])];
        assert_eq!(shares(&sets, &[6, 2]), expect(&[("a", 0.375 + 0.25), ("b", 0.375)]));
        // The HSDirs are not known before the first consensus.
        assert_eq!(shares(&sets, &[0, 0]), expect(&[("a", 0.75), ("b", 0.25)]));
        assert!(shares(&[], &[]).is_empty());
    }

    #[test]
    fn clients_arrive_at_the_first_point_of_a_relay() {
        let sets = [set(&[("a", 1), ("b", 1), ("c", 2), ("c", 3)])];
        assert_eq!(shares(&sets, &[6]), expect(&[("a", 0.5), ("c", 0.5)]));
    }

    #[test]
    fn only_different_weights_are_a_wish() {
        let [a, b, c] = ["a", "b", "c"].map(BackendId::from);
        let wish = |weights: [u8; 3]| {
            let all = [&a, &b, &c];
            let weights = all.into_iter().cloned().zip(weights).collect();
            wished(all.into_iter(), &weights).into_values().collect::<Vec<_>>()
        };
        assert!(wish([1, 1, 1]).is_empty());
        assert!(wish([0, 5, 5]).is_empty());
        assert_eq!(wish([0, 1, 3]), [0.25, 0.75]);
        assert_eq!(wish([1, 1, 2]), [0.25, 0.25, 0.5]);
    }
}

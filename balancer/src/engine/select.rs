//! Which introduction points a frontend descriptor lists.

use std::collections::BTreeSet;

use super::event::{BackendId, Chosen, Point};

/// Chooses at most `max` introduction points from the given backends'.
///
/// All of them where they fit. Otherwise the backends take turns, in the order of their names, so that any
/// two have the same number of points, give or take one, unless one has run out; each offers its points in
/// the order of their identities. The same points offered twice count once. The result is sorted by identity.
/// It depends on nothing else, so two balancers with equal views publish equal sets and do not undo each
/// other's work.
///
/// A client picks one of the listed points at random: a backend's share of the clients is its share of the
/// points.
pub(super) fn select<'a, P: Point + 'a>(
    backends: impl Iterator<Item = (&'a BackendId, &'a [P])>,
    max: usize,
) -> Vec<Chosen<P>> {
    let mut offers: Vec<Offer<'a, P>> =
        backends.map(|(backend, points)| Offer::new(backend, points)).collect();
    offers.sort_by_key(|offer| offer.backend);
    let mut chosen = Vec::new();
    let mut seen = BTreeSet::new();
    while chosen.len() < max && !offers.is_empty() {
        offers.retain_mut(|offer| {
            if chosen.len() == max {
                return false;
            }
            let Some((id, point)) = offer.points.find(|(id, _)| !seen.contains(id)) else { return false };
            seen.insert(id.clone());
            chosen.push((id, Chosen { backend: offer.backend.clone(), point: point.clone() }));
            true
        });
    }
    chosen.sort_by(|(a, _), (b, _)| a.cmp(b));
    chosen.into_iter().map(|(_, chosen)| chosen).collect()
}

/// One backend's points, in the order in which it offers them.
struct Offer<'a, P: Point> {
    backend: &'a BackendId,
    points: std::vec::IntoIter<(P::Id, &'a P)>,
}

impl<'a, P: Point> Offer<'a, P> {
    fn new(backend: &'a BackendId, points: &'a [P]) -> Self {
        let mut points: Vec<_> = points.iter().map(|point| (point.id(), point)).collect();
        points.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { backend, points: points.into_iter() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::super::testing::Key;
    use super::*;

    type View = BTreeMap<BackendId, Vec<Key>>;

    fn choose(view: &View, max: usize) -> Vec<Chosen<Key>> {
        select(view.iter().map(|(backend, points)| (backend, points.as_slice())), max)
    }

    fn count(chosen: &[Chosen<Key>], backend: &BackendId) -> usize {
        chosen.iter().filter(|chosen| chosen.backend == *backend).count()
    }

    fn view(sizes: &[u32]) -> View {
        let backend = |(index, size): (usize, &u32)| {
            let first = u32::try_from(index).unwrap() * 100;
            (BackendId::from(format!("b{index:02}").as_str()), (first..first + size).map(Key::new).collect())
        };
        sizes.iter().enumerate().map(backend).collect()
    }

    #[test]
    fn takes_all_when_they_fit() {
        assert_eq!(choose(&view(&[3, 1, 16]), 20).len(), 20);
        assert_eq!(choose(&view(&[]), 20).len(), 0);
    }

    #[test]
    fn shares_the_room_evenly() {
        for (sizes, shares) in [
            (vec![10, 10, 10], vec![7, 7, 6]),
            (vec![1, 20, 20], vec![1, 10, 9]),
            (vec![2; 20], vec![1; 20]),
            (vec![2; 12], [vec![2; 8], vec![1; 4]].concat()),
        ] {
            let view = view(&sizes);
            let chosen = choose(&view, 20);
            assert_eq!(view.keys().map(|backend| count(&chosen, backend)).collect::<Vec<_>>(), shares);
        }
    }

    proptest! {
        #[test]
        fn is_fair_stable_and_without_duplicates(
            raw in btree_map(0..30u8, vec(0..60u32, 0..12), 0..25),
            max in 1..25usize,
        ) {
            let keys = |keys: &Vec<u32>| keys.iter().copied().map(Key::new).collect();
            let view: View =
                raw.iter().map(|(name, ids)| (name.to_string().as_str().into(), keys(ids))).collect();
            let chosen = choose(&view, max);

            let distinct: BTreeSet<_> = raw.values().flatten().collect();
            prop_assert_eq!(chosen.len(), distinct.len().min(max));
            prop_assert!(chosen.windows(2).all(|pair| pair[0].point.id() < pair[1].point.id()));

            let backwards: Vec<_> = view
                .iter()
                .rev()
                .map(|(backend, points)| (backend, points.iter().rev().copied().collect::<Vec<_>>()))
                .collect();
            let again = select(backwards.iter().map(|(backend, points)| (*backend, points.as_slice())), max);
            prop_assert_eq!(&chosen, &again);

            let most = view.keys().map(|backend| count(&chosen, backend)).max().unwrap_or(0);
            for (backend, points) in &view {
                let taken = |point: &Key| chosen.iter().any(|chosen| chosen.point.id() == point.id());
                let all_taken = points.iter().all(taken);
                prop_assert!(all_taken || count(&chosen, backend) + 1 >= most);
            }
        }
    }
}

//! The choice of the introduction points of a frontend's descriptors.

mod weighted;

use std::collections::BTreeSet;

use onionbalance_proto::relay::Fingerprint;

use super::event::{Chosen, Point};
use super::id::BackendId;
use super::matching;

/// A backend whose points may be chosen.
pub(super) struct Offered<'a, P> {
    /// The backend's name.
    pub(super) backend: &'a BackendId,
    /// Its weight; with 0, none of its points are chosen.
    pub(super) weight: u8,
    /// Its introduction points.
    pub(super) points: &'a [P],
}

/// Chooses sets of at most `max` introduction points from the given backends'. There is one set for all
/// HSDirs if it is enough. Otherwise there are as many as are needed, but at most `count`, the number of
/// HSDirs, among which they are dealt evenly. No set is empty; without points there are no sets.
///
/// No two points of a set are at one relay, where clients would only find the first. Ties are decided by name
/// and identity. So the result depends only on the backends' points and weights, and two balancers with equal
/// views publish equal sets and do not undo each other's work.
///
/// A client picks one HSDir's descriptor and one of its points at random: a backend's share of the clients
/// is its share of the points. With equal weights, all points are listed that can be: see [`even`]. With
/// different ones, as many as give each backend its share: see [`weighted`].
pub(super) fn select<'a, P: Point + 'a>(
    backends: impl Iterator<Item = Offered<'a, P>>,
    max: usize,
    count: usize,
) -> Vec<Vec<Chosen<P>>> {
    let backends = backends.filter(|offered| offered.weight > 0 && !offered.points.is_empty());
    let mut offers: Vec<Offer<'a, P>> = backends.map(Offer::new).collect();
    offers.sort_by_key(|offer| offer.backend);
    let weight = |offer: &Offer<'_, P>| offer.weight;
    let is_even = offers.windows(2).all(|pair| pair.iter().map(weight).is_sorted_by(|a, b| a == b));
    if is_even { even(&mut offers, max, count) } else { weighted::deal(&mut offers, max, count) }
}

/// Deals the points of backends with equal weights. Within a set any two of them have the same number of
/// points, plus or minus one, unless one has no more. Over all sets backends and points take turns: those
/// that were chosen least come first.
fn even<P: Point>(offers: &mut [Offer<'_, P>], max: usize, count: usize) -> Vec<Vec<Chosen<P>>> {
    let mut first = one_set(offers, max, |_| max);
    if first.is_empty() {
        return Vec::new();
    }
    if are_listed(offers) || count < 2 {
        if P::FAILED_IS_STRUCK_OFF {
            first.extend(left_out(offers, max - first.len()));
        }
        return vec![first];
    }
    let mut sets = vec![first];
    while sets.len() < count && !(are_listed(offers) && count % sets.len() == 0) {
        sets.push(one_set(offers, max, |_| max));
    }
    sets
}

/// True if every point is in a set.
fn are_listed<P: Point>(offers: &[Offer<'_, P>]) -> bool {
    let all = || offers.iter().flat_map(|offer| &offer.points);
    // Another backend may have the same point.
    let is_listed = |point: &Candidate<'_, P>| all().any(|other| other.uses > 0 && other.id == point.id);
    all().all(|point| point.uses > 0 || is_listed(point))
}

/// The points of one backend.
struct Offer<'a, P: Point> {
    backend: &'a BackendId,
    weight: u8,
    points: Vec<Candidate<'a, P>>,
    /// The number of times that one of them was chosen.
    picks: usize,
}

struct Candidate<'a, P: Point> {
    id: P::Id,
    relay: Fingerprint,
    point: &'a P,
    /// The number of times that it was chosen.
    uses: usize,
}

impl<'a, P: Point> Offer<'a, P> {
    fn new(Offered { backend, weight, points }: Offered<'a, P>) -> Self {
        let candidate = |point: &'a P| Candidate { id: point.id(), relay: point.relay(), point, uses: 0 };
        Self { backend, weight, points: points.iter().map(candidate).collect(), picks: 0 }
    }

    fn chosen(&self, candidate: &Candidate<'a, P>) -> Chosen<P> {
        Chosen { backend: self.backend.clone(), point: candidate.point.clone() }
    }
}

/// The next set, in the order of the points' identities. It has at most `limit` points of the offer with an
/// index.
fn one_set<P: Point>(
    offers: &mut [Offer<'_, P>],
    max: usize,
    limit: impl Fn(usize) -> usize,
) -> Vec<Chosen<P>> {
    for offer in &mut *offers {
        offer.points.sort_by(|a, b| (a.uses, &a.id).cmp(&(b.uses, &b.id)));
    }
    let mut order: Vec<usize> = (0..offers.len()).collect();
    order.sort_by_key(|index| offers.get(*index).map(|offer| offer.picks));
    let relays: Vec<Vec<&Fingerprint>> =
        offers.iter().map(|offer| offer.points.iter().map(|point| &point.relay).collect()).collect();
    let relays: Vec<&[&Fingerprint]> = relays.iter().map(Vec::as_slice).collect();
    let picked = matching::choose(&relays, &order, limit, max);
    let mut set = Vec::with_capacity(picked.len());
    for (offer, point) in picked {
        let Some(offer) = offers.get_mut(offer) else { continue };
        offer.picks += 1;
        if let Some(candidate) = offer.points.get_mut(point) {
            candidate.uses += 1;
        }
        set.extend(offer.points.get(point).map(|candidate| (candidate.id.clone(), offer.chosen(candidate))));
    }
    set.sort_by(|(a, _), (b, _)| a.cmp(b));
    // Not collected: that would go on with the allocation of the sorted pairs, which are larger by an identity.
    let mut chosen = Vec::with_capacity(set.len());
    chosen.extend(set.into_iter().map(|(_, chosen)| chosen));
    chosen
}

/// A point of each backend that has none in the only set, although the point's relay is taken. If the point
/// in front of it fails, clients strike that off and find this one.
fn left_out<P: Point>(offers: &[Offer<'_, P>], room: usize) -> Vec<Chosen<P>> {
    let unchosen = offers.iter().filter(|offer| offer.picks == 0);
    let taken: BTreeSet<&P::Id> = offers
        .iter()
        .flat_map(|offer| &offer.points)
        .filter(|candidate| candidate.uses > 0)
        .map(|candidate| &candidate.id)
        .collect();
    unchosen
        .filter_map(|offer| {
            let candidate = offer.points.iter().find(|candidate| !taken.contains(&candidate.id))?;
            Some(offer.chosen(candidate))
        })
        .take(room)
        .collect()
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
        let mut sets = choose_sets(view, max, 1);
        assert!(sets.len() <= 1);
        sets.pop().unwrap_or_default()
    }

    fn choose_sets(view: &View, max: usize, count: usize) -> Vec<Vec<Chosen<Key>>> {
        select(view.iter().map(|(backend, points)| offered(backend, points)), max, count)
    }

    fn offered<'a, P>(backend: &'a BackendId, points: &'a [P]) -> Offered<'a, P> {
        Offered { backend, weight: 1, points }
    }

    /// Backends with one point each at every one of these relays.
    fn at_relays(backends: &[&[u32]]) -> View {
        let backend = |(index, relays): (usize, &&[u32])| {
            let first = u32::try_from(index).unwrap() * 100;
            let points = relays.iter().map(|relay| Key::at(first + relay, *relay)).collect();
            (BackendId::from(format!("b{index:02}").as_str()), points)
        };
        backends.iter().enumerate().map(backend).collect()
    }

    fn shares(view: &View, sets: &[Vec<Chosen<Key>>]) -> Vec<usize> {
        let all: Vec<_> = sets.iter().flatten().cloned().collect();
        view.keys().map(|backend| count(&all, backend)).collect()
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

    /// The cases of OnionBalance's tests.
    #[test]
    fn lists_as_many_as_onionbalance_did() {
        for (sizes, chosen) in [
            (vec![3], 3),
            (vec![3, 3], 6),
            (vec![0], 0),
            (vec![10, 10], 10),
            (vec![3; 11], 10),
            (vec![10; 6], 10),
            (vec![0, 3, 3], 6),
            (vec![6, 3, 3], 10),
        ] {
            let view = view(&sizes);
            for _ in 0..2 {
                assert_eq!(choose(&view, 10).len(), chosen, "{sizes:?}");
            }
        }
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

    #[test]
    fn twelve_backends_take_turns_in_six_sets() {
        let view = view(&[3; 12]);
        let sets = choose_sets(&view, 10, 6);
        assert_eq!(sets.iter().map(Vec::len).collect::<Vec<_>>(), [10; 6]);
        assert_eq!(shares(&view, &sets), [5; 12]);
        let listed: BTreeSet<u32> = sets.iter().flatten().map(|chosen| chosen.point.id()).collect();
        assert_eq!(listed.len(), 36);
    }

    #[test]
    fn sixty_points_stand_in_six_sets_once_each() {
        let sets = choose_sets(&view(&[3; 20]), 10, 6);
        let listed: BTreeSet<u32> = sets.iter().flatten().map(|chosen| chosen.point.id()).collect();
        assert_eq!((sets.len(), listed.len()), (6, 60));
    }

    #[test]
    fn there_are_as_many_sets_as_hsdirs_can_share_evenly() {
        // Four sets would list everything. Six HSDirs cannot share four evenly, but eight can.
        for (hsdirs, sets) in [(1, 1), (2, 2), (3, 3), (6, 6), (7, 7), (8, 4), (12, 4)] {
            assert_eq!(choose_sets(&view(&[3; 12]), 10, hsdirs).len(), sets, "{hsdirs} HSDirs");
        }
    }

    #[test]
    fn one_set_serves_all_when_it_lists_everything() {
        assert_eq!(choose_sets(&view(&[3, 3, 4]), 10, 6).len(), 1);
        assert_eq!(choose_sets(&view(&[3, 4, 4]), 10, 6).len(), 2);
        assert!(choose_sets(&view(&[0, 0]), 10, 6).is_empty());
    }

    #[test]
    fn no_two_points_are_at_one_relay() {
        // A greedy choice would give the first backend everything that the second has.
        let view = at_relays(&[&[1, 2, 3], &[1, 2], &[1, 4, 5]]);
        let chosen = choose(&view, 10);
        let relays: BTreeSet<Fingerprint> = chosen.iter().map(|chosen| chosen.point.relay()).collect();
        assert_eq!((chosen.len(), relays.len()), (5, 5));
        assert_eq!(shares(&view, &[chosen]), [2, 1, 2]);
    }

    #[test]
    fn who_shares_all_its_relays_takes_turns_where_there_are_turns() {
        let view = at_relays(&[&[1], &[1], &[1]]);
        let sets = choose_sets(&view, 10, 6);
        assert_eq!(sets.iter().map(Vec::len).collect::<Vec<_>>(), [1; 3]);
        assert_eq!(shares(&view, &sets), [1; 3]);
        // The point comes last if its relay is taken.
        let one = choose(&view, 2);
        assert_eq!(one.iter().map(|chosen| chosen.point.id()).collect::<Vec<_>>(), [1, 101]);
    }

    /// A point that clients of version 3 could not tell from another one at its relay.
    #[derive(Clone)]
    struct Unforgiving(Key);

    impl Point for Unforgiving {
        type Id = u32;

        const FAILED_IS_STRUCK_OFF: bool = false;

        fn id(&self) -> u32 {
            self.0.id()
        }

        fn relay(&self) -> Fingerprint {
            self.0.relay()
        }
    }

    #[test]
    fn nobody_stands_behind_one_who_is_not_struck_off() {
        let points = [1, 101].map(|id| [Unforgiving(Key::at(id, 1))]);
        let backends = ["a", "b"].map(BackendId::from);
        let sets =
            select(backends.iter().zip(&points).map(|(backend, points)| offered(backend, points)), 20, 1);
        let listed: Vec<u32> = sets.iter().flatten().map(|chosen| chosen.point.id()).collect();
        assert_eq!(listed, [1]);
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
            let again = select(backwards.iter().map(|(backend, points)| offered(backend, points)), max, 1);
            prop_assert_eq!(&chosen, &again.into_iter().next().unwrap_or_default());

            let most = view.keys().map(|backend| count(&chosen, backend)).max().unwrap_or(0);
            for (backend, points) in &view {
                let taken = |point: &Key| chosen.iter().any(|chosen| chosen.point.id() == point.id());
                let all_taken = points.iter().all(taken);
                prop_assert!(all_taken || count(&chosen, backend) + 1 >= most);
            }
        }

        #[test]
        fn sets_list_all_that_they_can_and_take_turns(
            raw in vec(vec(0..20u32, 0..8), 0..12),
            max in 1..12usize,
            count in 1..10usize,
        ) {
            let relays: Vec<&[u32]> = raw.iter().map(Vec::as_slice).collect();
            // The ids of a backend are its own, as keys are, and each occurs once.
            let mut view = at_relays(&relays);
            for points in view.values_mut() {
                points.sort_by_key(Point::id);
                points.dedup_by_key(|point| point.id());
            }
            let unforgiving: BTreeMap<&BackendId, Vec<Unforgiving>> =
                view.iter().map(|(backend, points)| (backend, points.iter().copied().map(Unforgiving).collect())).collect();
            let sets = select(unforgiving.iter().map(|(backend, points)| offered(backend, points)), max, count);

            let places: BTreeSet<Fingerprint> = view.values().flatten().map(Point::relay).collect();
            prop_assert_eq!(sets.is_empty(), places.is_empty());
            prop_assert!(sets.len() <= count);
            for set in &sets {
                let taken: BTreeSet<Fingerprint> = set.iter().map(|chosen| chosen.point.relay()).collect();
                prop_assert_eq!((set.len(), taken.len()), (places.len().min(max), places.len().min(max)));
                prop_assert!(set.windows(2).all(|pair| pair[0].point.id() < pair[1].point.id()));
            }
            // A backend that is never listed is one for which there was no turn left.
            let listed = |backend: &BackendId| sets.iter().flatten().filter(|chosen| chosen.backend == *backend).count();
            for (backend, points) in &view {
                prop_assert!(points.is_empty() || listed(backend) > 0 || sets.len() == count);
            }

            let again = select(
                unforgiving.iter().rev().map(|(backend, points)| offered(backend, points)), max, count,
            );
            let ids = |sets: &[Vec<Chosen<Unforgiving>>]| -> Vec<Vec<u32>> {
                sets.iter().map(|set| set.iter().map(|chosen| chosen.point.id()).collect()).collect()
            };
            prop_assert_eq!(ids(&sets), ids(&again));
        }
    }
}

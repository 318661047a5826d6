//! One set of introduction points: as even between backends as possible, and no two points in one place,
//! which is a relay.
//!
//! A bipartite matching between backends and places, of which a backend may hold several. It grows in rounds:
//! in each round every backend gets one more place, if necessary by moving others to other places (augmenting
//! paths). A backend that gets no place in one round gets none in a later one either. So in the end no
//! backend could have more without taking from one that has no more than itself.

/// A backend's points, in the order in which it offers them, by their places.
pub(super) type Offer<'a, L> = &'a [L];

/// Chooses up to `max` points, up to `limit` of an offer. `order` lists the backends in the order in which
/// each round serves them. The result has indices of offers and of points within them.
pub(super) fn choose<L: Eq>(
    offers: &[Offer<'_, L>],
    order: &[usize],
    limit: impl Fn(usize) -> usize,
    max: usize,
) -> Vec<(usize, usize)> {
    let mut matching = Matching { offers, held: Vec::new() };
    let (mut hopeful, mut tried) = (order.to_vec(), Vec::new());
    for round in 0..max {
        hopeful.retain(|offer| {
            tried.clear();
            round < limit(*offer) && matching.held.len() < max && matching.gain(*offer, &mut tried)
        });
        if hopeful.is_empty() {
            break;
        }
    }
    matching.held.into_iter().map(|(_, point)| point).collect()
}

struct Matching<'a, L> {
    offers: &'a [Offer<'a, L>],
    /// The places that are held, each with the offer and its point. There are no more than fit a descriptor.
    held: Vec<(&'a L, (usize, usize))>,
}

impl<'a, L: Eq> Matching<'a, L> {
    /// Gives the backend one more place. False if there is none; `tried` are places that lead nowhere.
    fn gain(&mut self, offer: usize, tried: &mut Vec<&'a L>) -> bool {
        let places = self.offers.get(offer).copied().unwrap_or_default();
        for (point, place) in places.iter().enumerate() {
            let holder = self.held.iter().find(|(held, _)| *held == place).map(|(_, (holder, _))| *holder);
            if holder == Some(offer) || tried.contains(&place) {
                continue;
            }
            tried.push(place);
            if holder.is_none_or(|holder| self.gain(holder, tried)) {
                self.hold(place, (offer, point));
                return true;
            }
        }
        false
    }

    fn hold(&mut self, place: &'a L, by: (usize, usize)) {
        match self.held.iter_mut().find(|(held, _)| *held == place) {
            Some((_, holder)) => *holder = by,
            None => self.held.push((place, by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn shares(offers: &[Vec<u8>], max: usize) -> Vec<usize> {
        let offers: Vec<&[u8]> = offers.iter().map(Vec::as_slice).collect();
        let order: Vec<usize> = (0..offers.len()).collect();
        let chosen = choose(&offers, &order, |_| max, max);
        let places: BTreeSet<u8> = chosen.iter().map(|(offer, point)| offers[*offer][*point]).collect();
        assert_eq!(places.len(), chosen.len(), "two points in one place");
        (0..offers.len()).map(|offer| chosen.iter().filter(|(of, _)| *of == offer).count()).collect()
    }

    #[test]
    fn others_make_room_where_they_can() {
        // The first backend takes place 1, which is the only place of the second.
        assert_eq!(shares(&[vec![1, 2], vec![1]], 10), [1, 1]);
        assert_eq!(shares(&[vec![1, 2, 3], vec![1, 2], vec![1]], 10), [1, 1, 1]);
        assert_eq!(shares(&[vec![1, 2, 3], vec![1, 2, 3], vec![3]], 10), [1, 1, 1]);
        assert_eq!(shares(&[vec![1, 2, 3, 4], vec![1, 2]], 10), [2, 2]);
    }

    #[test]
    fn one_place_is_one_backends() {
        assert_eq!(shares(&[vec![1], vec![1]], 10), [1, 0]);
        assert_eq!(shares(&[vec![1, 1, 1]], 10), [1]);
        assert_eq!(shares(&[], 10), Vec::<usize>::new());
        assert_eq!(shares(&[vec![], vec![1]], 10), [0, 1]);
    }

    #[test]
    fn the_order_decides_who_gets_the_rest() {
        let offers: [&[u8]; 3] = [&[1, 2], &[3, 4], &[5, 6]];
        let last = choose(&offers, &[2, 0, 1], |_| 4, 4);
        let count = |offer| last.iter().filter(|(of, _)| *of == offer).count();
        assert_eq!([count(0), count(1), count(2)], [1, 1, 2]);
    }

    /// The best result: of all assignments of places to backends, the shares in ascending order, compared one
    /// by one.
    fn best(offers: &[Vec<u8>], max: usize) -> Vec<usize> {
        fn assign(
            places: &[u8],
            offers: &[Vec<u8>],
            left: usize,
            shares: &mut Vec<usize>,
            best: &mut Vec<usize>,
        ) {
            let Some((place, rest)) = places.split_first() else {
                let mut sorted = shares.clone();
                sorted.sort_unstable();
                if sorted > *best {
                    *best = sorted;
                }
                return;
            };
            assign(rest, offers, left, shares, best);
            for backend in (0..offers.len()).filter(|backend| left > 0 && offers[*backend].contains(place)) {
                shares[backend] += 1;
                assign(rest, offers, left - 1, shares, best);
                shares[backend] -= 1;
            }
        }
        let places: BTreeSet<u8> = offers.iter().flatten().copied().collect();
        let places: Vec<u8> = places.into_iter().collect();
        let mut best = vec![0; offers.len()];
        assign(&places, offers, max, &mut vec![0; offers.len()], &mut best);
        best
    }

    proptest! {
        #[test]
        fn is_as_fair_as_can_be(offers in vec(vec(0..6u8, 0..4), 0..5), max in 0..7usize) {
            let mut shares = shares(&offers, max);
            shares.sort_unstable();
            prop_assert_eq!(shares, best(&offers, max));
        }
    }
}

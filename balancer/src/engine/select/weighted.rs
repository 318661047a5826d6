//! Sets of points that follow weights.
//!
//! A client picks one set, and one of its points: a backend's share of a set is its part of the set's points,
//! and its share of the visitors is the mean of its shares of all sets. Each set is the one that brings the
//! mean of all sets so far as near to the weights as points and relays allow. So later sets make up for the
//! roundings of earlier ones.

use super::{Chosen, Offer, Point, one_set};

/// The fewest points of a set, if there are as many: as many as tor's onion services have without a setting.
const LEAST: usize = 3;
/// The greatest difference between a share and its wish for which no further set is needed.
const CLOSE: f64 = 0.005;
/// Differences below this are those of floating-point numbers.
const EQUAL: f64 = 1e-9;

/// Deals the points of `offers`, which have different weights above 0, into at most `count` sets of at most
/// `max` points. There are fewer sets if they follow the weights as well. Every backend is in a set.
pub(super) fn deal<P: Point>(offers: &mut [Offer<'_, P>], max: usize, count: usize) -> Vec<Vec<Chosen<P>>> {
    let mut shares = Shares::new(offers);
    let mut sets = Vec::new();
    while sets.len() < count {
        let is_last = sets.len() + 1 == count;
        let least = offers.iter().map(|offer| usize::from(is_last && offer.picks == 0)).collect();
        let limits = limits(&shares.owed(), offers, least, max);
        let before: Vec<usize> = offers.iter().map(|offer| offer.picks).collect();
        let set = one_set(offers, max, |offer| limits.get(offer).copied().unwrap_or(0));
        if set.is_empty() {
            break;
        }
        shares.add(offers.iter().zip(before).map(|(offer, before)| offer.picks - before), set.len());
        sets.push(set);
        let are_listed = offers.iter().all(|offer| offer.picks > 0);
        if are_listed && shares.are_close() && count % sets.len() == 0 {
            break;
        }
    }
    sets
}

/// The shares of the sets so far, by the offers' indices.
struct Shares {
    /// The share that each is to have; the sum is 1.
    wanted: Vec<f64>,
    /// The sum of its shares of all sets.
    given: Vec<f64>,
    sets: f64,
}

impl Shares {
    fn new<P: Point>(offers: &[Offer<'_, P>]) -> Self {
        let total: f64 = offers.iter().map(|offer| f64::from(offer.weight)).sum();
        let wanted = offers.iter().map(|offer| f64::from(offer.weight) / total).collect();
        Self { wanted, given: vec![0.0; offers.len()], sets: 0.0 }
    }

    /// The shares of the next set after which the mean of all would be as wanted. The sum is 1, and none is
    /// negative: a set cannot take back what an earlier one gave.
    fn owed(&self) -> Vec<f64> {
        let owed = self.wanted.iter().zip(&self.given);
        let owed: Vec<f64> =
            owed.map(|(wanted, given)| (wanted * (self.sets + 1.0) - given).max(0.0)).collect();
        let total: f64 = owed.iter().sum();
        owed.iter().map(|owed| owed / total).collect()
    }

    /// Counts a set with this many points, of which `picks` are each offer's.
    fn add(&mut self, picks: impl Iterator<Item = usize>, points: usize) {
        for (given, picks) in self.given.iter_mut().zip(picks) {
            *given += part(picks, points);
        }
        self.sets += 1.0;
    }

    fn are_close(&self) -> bool {
        let pairs = self.wanted.iter().zip(&self.given);
        pairs.map(|(wanted, given)| (wanted - given / self.sets).abs()).all(|error| error < CLOSE)
    }
}

/// The number of points of each offer in the set that is nearest to these shares; of equally near ones the
/// largest, because points fail. None has fewer than `least`, nor more than it offers.
fn limits<P: Point>(owed: &[f64], offers: &[Offer<'_, P>], least: Vec<usize>, max: usize) -> Vec<usize> {
    let offered: usize = offers.iter().map(|offer| offer.points.len()).sum();
    let largest = offered.min(max);
    let mut seats = least;
    let mut best: Option<(f64, Vec<usize>)> = None;
    loop {
        let size = seats.iter().sum();
        let error = error(&seats, size, owed);
        if size >= LEAST.min(largest) && best.as_ref().is_none_or(|(least, _)| error <= least + EQUAL) {
            best = Some((error, seats.clone()));
        }
        let next = if size < largest { next_seat(owed, offers, &seats) } else { None };
        match next.and_then(|next| seats.get_mut(next)) {
            Some(next) => *next += 1,
            None => return best.map_or(seats, |(_, best)| best),
        }
    }
}

/// The offer that gets the next seat by the method of Sainte-Laguë; `None`: all that are owed a share have
/// their points in the set.
fn next_seat<P: Point>(owed: &[f64], offers: &[Offer<'_, P>], seats: &[usize]) -> Option<usize> {
    let has_more = |(index, seats): &(usize, &usize)| {
        offers.get(*index).is_some_and(|offer| **seats < offer.points.len())
    };
    let quotient =
        |(index, seats): (usize, &usize)| (owed.get(index).copied().unwrap_or(0.0) / odd(*seats), index);
    let quotients = seats.iter().enumerate().filter(has_more).map(quotient);
    let first = |best: (f64, usize), next: (f64, usize)| if next.0 > best.0 { next } else { best };
    quotients.filter(|(quotient, _)| *quotient > 0.0).reduce(first).map(|(_, index)| index)
}

/// The sum of the differences between the shares of a set and these.
fn error(seats: &[usize], size: usize, owed: &[f64]) -> f64 {
    seats.iter().zip(owed).map(|(seats, owed)| (part(*seats, size) - owed).abs()).sum()
}

fn odd(seats: usize) -> f64 {
    2.0 * number(seats) + 1.0
}

/// This part of a set; 0 of an empty one.
fn part(points: usize, size: usize) -> f64 {
    if size == 0 { 0.0 } else { number(points) / number(size) }
}

/// The number of points of a set, which is small.
fn number(points: usize) -> f64 {
    f64::from(u32::try_from(points).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::super::id::BackendId;
    use super::super::super::testing::Key;
    use super::super::{Offered, select};
    use super::*;

    /// Each backend's share of the visitors, with these weights and numbers of points, each at a relay of its
    /// own; and the number of points of each set.
    fn shares(backends: &[(u8, u32)], max: usize, count: usize) -> (Vec<f64>, Vec<usize>) {
        let id = |index: usize| BackendId::from(format!("b{index:02}").as_str());
        let points = |(index, (_, points)): (usize, &(u8, u32))| {
            let first = u32::try_from(index).unwrap() * 100;
            (id(index), (first..first + points).map(Key::new).collect::<Vec<_>>())
        };
        let all: Vec<_> = backends.iter().enumerate().map(points).collect();
        let offered = all.iter().zip(backends).map(|((backend, points), (weight, _))| Offered {
            backend,
            weight: *weight,
            points,
        });
        let sets = select(offered, max, count);
        let share = |(backend, _): &(BackendId, Vec<Key>)| {
            let of = |set: &Vec<Chosen<Key>>| {
                part(set.iter().filter(|chosen| chosen.backend == *backend).count(), set.len())
            };
            sets.iter().map(of).sum::<f64>() / number(sets.len())
        };
        (all.iter().map(share).collect(), sets.iter().map(Vec::len).collect())
    }

    /// The same, in hundredths.
    fn percents(backends: &[(u8, u32)], max: usize, count: usize) -> Vec<f64> {
        shares(backends, max, count).0.iter().map(|share| (share * 100.0).round()).collect()
    }

    #[test]
    fn one_set_is_enough_where_points_allow_it() {
        assert_eq!(shares(&[(1, 3), (2, 3), (3, 3)], 20, 8), (vec![1.0 / 6.0, 2.0 / 6.0, 0.5], vec![6]));
        assert_eq!(shares(&[(5, 10), (10, 10)], 20, 8), (vec![5.0 / 15.0, 10.0 / 15.0], vec![15]));
        // The points are the scale, and not the weights.
        assert_eq!(shares(&[(50, 20), (100, 20)], 20, 8).1, [18]);
    }

    #[test]
    fn sets_differ_where_one_cannot_follow_the_weights() {
        assert_eq!(percents(&[(1, 3), (1, 3), (5, 3)], 20, 8), [14.0, 14.0, 71.0]);
        assert_eq!(percents(&[(1, 3), (9, 3)], 20, 8), [9.0, 91.0]);
        // One set for all HSDirs gives each its nearest part.
        assert_eq!(percents(&[(1, 3), (9, 3)], 20, 1), [25.0, 75.0]);
    }

    #[test]
    fn thirty_backends_follow_their_weights() {
        let backends: Vec<(u8, u32)> = (0..30).map(|index| (if index < 10 { 2 } else { 1 }, 3)).collect();
        // The light ones take turns in two sets.
        let (shares, sets) = shares(&backends, 20, 8);
        assert_eq!(sets, [20; 2]);
        for (share, (weight, _)) in shares.iter().zip(&backends) {
            assert!((share - f64::from(*weight) / 40.0).abs() < EQUAL, "{share} of {weight}");
        }
    }

    #[test]
    fn a_drained_backend_has_no_point_and_a_light_one_has() {
        assert_eq!(percents(&[(0, 3), (1, 3), (1, 3)], 20, 8), [0.0, 50.0, 50.0]);
        assert!(shares(&[(0, 3)], 20, 8).1.is_empty());
        assert!(shares(&[(1, 3), (100, 3)], 20, 8).0[0] > 0.0);
        assert!(shares(&[(1, 3), (100, 3)], 20, 1).0[0] > 0.0);
    }

    proptest! {
        #[test]
        fn shares_are_near_to_the_weights_where_relays_allow_it(
            backends in vec((1..=10u8, 3..12u32), 1..8),
        ) {
            let (shares, sets) = shares(&backends, 20, 8);
            let total: f64 = backends.iter().map(|(weight, _)| f64::from(*weight)).sum();
            for (share, (weight, _)) in shares.iter().zip(&backends) {
                let wanted = f64::from(*weight) / total;
                // Equal weights list all points, so that shares follow the points where there is room.
                let is_even = backends.iter().all(|(other, _)| other == weight);
                prop_assert!(is_even || (share - wanted).abs() < 0.03, "{share} for {wanted}");
            }
            prop_assert!(sets.iter().all(|set| (1..=20).contains(set)));
        }
    }
}

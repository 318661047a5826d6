//! Services and backends, by names and by numbers. Finding one by its number costs nothing, and most events
//! concern one that was found before.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// All things of one kind, with names of type `I`.
pub(super) struct Registry<I, T> {
    numbers: BTreeMap<I, Number<I>>,
    all: Vec<Option<T>>,
}

/// The number of a thing whose name is an `I`. None is given twice: an event for a thing that was removed
/// finds nothing.
pub(super) struct Number<I> {
    index: usize,
    of: PhantomData<fn() -> I>,
}

impl<I: Ord, T> Registry<I, T> {
    pub(super) fn new() -> Self {
        Self { numbers: BTreeMap::new(), all: Vec::new() }
    }

    /// The number of the thing with this name. A missing one is made by `make`.
    pub(super) fn get_or_insert(&mut self, name: I, make: impl FnOnce() -> T) -> Number<I> {
        *self.numbers.entry(name).or_insert_with(|| {
            self.all.push(Some(make()));
            Number { index: self.all.len() - 1, of: PhantomData }
        })
    }

    /// Gives memory back that is kept for more things.
    pub(super) fn shrink_to_fit(&mut self) {
        self.all.shrink_to_fit();
    }

    /// Removes the things whose name does not pass.
    pub(super) fn retain(&mut self, passes: impl Fn(&I) -> bool) {
        let all = &mut self.all;
        self.numbers.retain(|name, number| {
            let stays = passes(name);
            if let Some(thing) = all.get_mut(number.index).filter(|_| !stays) {
                *thing = None;
            }
            stays
        });
    }

    pub(super) fn number(&self, name: &I) -> Option<Number<I>> {
        self.numbers.get(name).copied()
    }

    pub(super) fn get(&self, number: Number<I>) -> Option<&T> {
        self.all.get(number.index)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: Number<I>) -> Option<&mut T> {
        self.all.get_mut(number.index)?.as_mut()
    }

    /// The number of things.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The numbers, in the order of the names.
    pub(super) fn numbers(&self) -> Vec<Number<I>> {
        self.numbers.values().copied().collect()
    }

    /// All things, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&I, &T)> {
        self.numbers.iter().filter_map(|(name, number)| Some((name, self.get(*number)?)))
    }

    /// All things, in the order in which they were added.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut().flatten()
    }
}

impl<I> Number<I> {
    /// The number as an index: small, since numbers are given in order.
    pub(super) fn index(self) -> usize {
        self.index
    }
}

// These are not derived, because a derive would demand them of the names too.

impl<I> Clone for Number<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Number<I> {}

impl<I> PartialEq for Number<I> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<I> Eq for Number<I> {}

impl<I> PartialOrd for Number<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I> Ord for Number<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.index.cmp(&other.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_found_by_its_number_even_if_its_name_comes_back() {
        let mut registry = Registry::new();
        let [b, a] = [("b", 1), ("a", 2)].map(|(name, thing)| registry.get_or_insert(name, || thing));
        assert!(registry.get_or_insert("a", || 3) == a);
        assert!(registry.numbers() == [a, b]);
        registry.retain(|name| *name != "a");
        assert_eq!((registry.len(), registry.get(a)), (1, None));
        assert!(registry.number(&"a").is_none());
        let again = registry.get_or_insert("a", || 3);
        assert_eq!((registry.get(a), registry.get(again)), (None, Some(&3)));
        assert!(registry.iter().eq([(&"a", &3), (&"b", &1)]));
        assert!(registry.values_mut().eq([&1, &3]));
    }
}

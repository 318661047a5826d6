//! The weights that the operator gives backends. They have dice of their own, so that everything else happens
//! as without them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dice::Dice;
use super::onion_version::OnionVersion;
use super::world::{Happening, World};

const HOUR: Duration = Duration::from_hours(1);
/// The services with different weights, out of 1000.
const WEIGHTED: u64 = 300;
/// Weights that operators give; 0 drains a backend.
const WEIGHTS: [u8; 8] = [0, 0, 1, 1, 1, 2, 3, 10];

/// The dice for a seed.
pub fn dice(seed: u64) -> Dice {
    Dice(seed ^ 0x5745_4947_4854_5321)
}

/// Weights for these backends; none for those of weight 1. Not all are drained.
pub fn some_weights(dice: &mut Dice, backends: &BTreeSet<usize>) -> BTreeMap<usize, u8> {
    if !dice.chance(WEIGHTED) {
        return BTreeMap::new();
    }
    let mut weights: BTreeMap<usize, u8> =
        backends.iter().map(|backend| (*backend, WEIGHTS[dice.index(WEIGHTS.len())])).collect();
    if weights.values().all(|weight| *weight == 0) {
        weights.clear();
    }
    weights.retain(|_, weight| *weight != 1);
    weights
}

impl<V: OnionVersion> World<V> {
    /// Plans the next change of weights.
    pub fn plan_weighing(&mut self) {
        let at = self.now.after(self.weighing.between(HOUR, 12 * HOUR));
        if at < self.calm_from() {
            self.queue.plan(at, Happening::Weigh);
        }
    }

    /// The operator changes the weights of a service.
    pub fn weigh(&mut self) {
        self.plan_weighing();
        let number = self.weighing.index(self.services.len());
        let service = &self.services[number];
        let weights = some_weights(&mut self.weighing, &service.backends);
        if service.configured.is_none() || service.weights == weights {
            return;
        }
        self.trace(|| format!("weights of service {number}: {weights:?}"));
        self.services[number].weights = weights;
        self.reconfigure(number, true);
        self.plan_prompt_look(number);
    }
}

//! The weight of a backend.

use std::fmt::{self, Display};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// The part of the visitors that a backend is to get, relative to the other backends of its service: 0 to
/// 100. Without `weight`, a backend has the weight 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Weight(u8);

/// The number is greater than 100.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a weight is a whole number from 0 (drained) to {MAX}")]
pub struct WeightError;

/// The greatest weight: no descriptor could follow a smaller part than a hundredth.
const MAX: u8 = 100;

impl Weight {
    /// No visitors: none of the backend's introduction points are published.
    pub const DRAINED: Self = Self(0);

    /// The weight as a number from 0 to 100.
    pub fn value(self) -> u8 {
        self.0
    }

    /// True if the backend is to get no visitors.
    pub fn is_drained(self) -> bool {
        self == Self::DRAINED
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for Weight {
    type Error = WeightError;

    /// Fails for a number greater than 100.
    fn try_from(number: u64) -> Result<Self, WeightError> {
        let weight = u8::try_from(number).map_err(|_| WeightError)?;
        if weight > MAX { Err(WeightError) } else { Ok(Self(weight)) }
    }
}

impl Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Weight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WeightError.fmt(f)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Weight, E> {
        Weight::try_from(number).map_err(E::custom)
    }
}

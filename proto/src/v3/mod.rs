//! Version 3 onion services (rend-spec-v3).

pub mod address;
pub mod blinding;
pub mod period;

pub use address::OnionAddress;
pub use blinding::{BlindedKey, Subcredential};
pub use period::{PeriodLength, TimePeriod};

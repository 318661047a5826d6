//! Version-3 onion services (rend-spec-v3).

pub mod address;
pub mod blinding;
pub mod cert;
pub mod document;
pub mod flow_control;
pub mod keys;
pub mod layer;
pub mod link;
pub mod period;

pub use address::OnionAddress;
pub use blinding::{BlindedKey, Subcredential};
pub use flow_control::FlowControl;
pub use link::LinkSpecifiers;
pub use period::{PeriodLength, TimePeriod};

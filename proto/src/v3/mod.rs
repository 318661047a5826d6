//! Version-3 onion services (rend-spec-v3).
//!
//! From the identity key to the encrypted layers, with the modules on the right:
//!
//! ```text
//! identity key = onion address                                  address
//! identity key, time period --> blinded key, subcredential      period, blinding
//! blinded key certifies descriptor-signing key                  cert, type 08
//!     descriptor-signing key signs the descriptor               document, three layers
//!     descriptor-signing key certifies the keys of each point   cert, types 09 and 0B
//! blinded key, subcredential, revision counter --> keys of the two encrypted layers       layer
//! ```
//!
//! The address is enough to find, decrypt and verify a descriptor. The keys of a point are in [`keys`], the
//! addresses of its relay in [`link`]. The signer holds the secrets of the service's keys: this module signs
//! nothing.
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::{BlindedKey, OnionAddress, PeriodLength, Subcredential, TimePeriod};
//!
//! let address: OnionAddress = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion".parse()?;
//! let period = TimePeriod::at(UnixTime(1_460_545_200), PeriodLength::DAY, 720);
//! let today = BlindedKey::derive(&address, period);
//! let tomorrow = BlindedKey::derive(&address, period.next());
//! assert_ne!(today, tomorrow);
//! assert!(Subcredential::derive(&address, &today) != Subcredential::derive(&address, &tomorrow));
//! # Ok::<(), onionbalance_proto::v3::address::AddressError>(())
//! ```

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

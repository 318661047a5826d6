//! Version 2 onion services (rend-spec-v2): RSA-1024 and SHA-1, for networks of tor 0.4.5.10 and before.
//!
//! Where the specification is silent, comments cite tor's own code: names such as `rend_…` are functions of
//! tor 0.4.5.

pub mod address;
pub mod cookie;
pub mod document;
pub mod id;
pub mod keys;
pub mod layer;
pub mod period;

pub use address::OnionAddress;
pub use cookie::{AuthType, Cookie};
pub use id::{DescriptorId, Replica, SecretIdPart};
pub use keys::{PermanentKey, PointKey};
pub use period::TimePeriod;

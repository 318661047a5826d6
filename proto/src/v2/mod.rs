//! Version 2 onion services (rend-spec-v2): RSA-1024 and SHA-1, for networks of tor 0.4.5.10 and before.
//!
//! Where the specification is silent, comments cite tor's own code: names such as `rend_…` are functions of
//! tor 0.4.5.
//!
//! One key leads to everything else. H is SHA-1, sizes are in bytes, and the modules are on the right:
//!
//! ```text
//! permanent key --H--> 20, of which the first 10 are the permanent id = onion address     keys, address
//! permanent id, moment --> time period, of 24 hours                                       period
//! time period, replica [, stealth cookie] --H--> secret-id-part, 20                       id
//! permanent id, secret-id-part --H--> descriptor id, 20: the place on the ring of HSDirs  id
//! descriptor = id, key, secret-id-part, points [encrypted to cookies], signature          document, layer
//! ```
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v2::{DescriptorId, OnionAddress, Replica, SecretIdPart, TimePeriod};
//!
//! let service: OnionAddress = "jyvfq5umznvka34v.onion".parse()?;
//! let period = TimePeriod::at(UnixTime(1_435_229_421), &service);
//! let ids = Replica::ALL.map(|replica| {
//!     DescriptorId::derive(&service, SecretIdPart::derive(period, replica, None)).to_string()
//! });
//! assert_eq!(ids, ["6wgohrr64y2od75psnrfdkbc74ddqx2v", "he35m4nouhkz6thymvhdvc3y5htqs422"]);
//! # Ok::<(), onionbalance_proto::v2::address::AddressError>(())
//! ```

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

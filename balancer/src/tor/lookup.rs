//! The argument of HSFETCH.

use onionbalance_proto::{v2, v3};

/// The descriptor that HSFETCH is to fetch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// The v3 service's descriptor of tor's present time period.
    V3(v3::OnionAddress),
    /// Both descriptors of the v2 service in the present period, each from every HSDir that is asked.
    V2(v2::OnionAddress),
    /// The v2 descriptor with this id. Events on it name no address.
    V2Id(v2::DescriptorId),
}

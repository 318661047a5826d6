//! The argument of HSFETCH.

use onionbalance_proto::{v2, v3};

/// The descriptor that HSFETCH is to fetch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// The v3 service's descriptor of tor's present time period.
    V3(v3::OnionAddress),
    /// Both of the v2 service's descriptors of the present period, each from every HSDir that is asked.
    V2(v2::OnionAddress),
    /// The v2 descriptor of this id. The events on it name no address.
    V2Id(v2::DescriptorId),
}

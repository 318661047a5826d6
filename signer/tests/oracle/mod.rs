//! A frontend's descriptor as Arti's client reads it.

use std::time::SystemTime;

use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use tor_hscrypto::pk::{HsId, HsIdKey};
use tor_netdoc::doc::hsdesc::HsDesc;

/// The parsed descriptor, and the time at which the first of its certificates expires.
pub(crate) fn parse(frontend: &OnionAddress, period: TimePeriod, text: &str) -> (HsDesc, Option<SystemTime>) {
    let length = u32::from(u16::from(period.length));
    let theirs = tor_hscrypto::time::TimePeriod::from_parts(length, period.number, 0);
    let (key, subcredential) =
        HsIdKey::try_from(HsId::from(*frontend.identity())).unwrap().compute_blinded_key(theirs).unwrap();
    let parsed = HsDesc::parse_decrypt_validate(text, &key.id(), &subcredential, None).unwrap();
    let (_, end) = parsed.bounds_start_end();
    (parsed.dangerously_into_parts().0, end)
}

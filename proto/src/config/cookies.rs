//! Cookies that contradict each other: each is well-formed, but some backends will refuse clients.

use std::collections::HashSet;

use super::service::{InstanceV2, Instances, Service};
use crate::v2;

/// The warnings about the services' cookies.
pub(super) fn warnings(services: &[Service]) -> Vec<String> {
    let of_each: Vec<(&str, &[InstanceV2])> = services
        .iter()
        .filter_map(|service| match &service.instances {
            Instances::V2(instances) => Some((service.key.as_str(), instances.as_slice())),
            Instances::None | Instances::V3(_) => None,
        })
        .collect();
    let several = of_each.iter().filter_map(|(key, instances)| several_cookies(key, instances));
    let all: Vec<&InstanceV2> = of_each.iter().flat_map(|(_, instances)| *instances).collect();
    several.chain(not_everywhere(&all)).collect()
}

/// The warning for a service with several cookies. A client has one cookie for an address, and a backend
/// accepts only the cookies in its own configuration.
fn several_cookies(key: &str, instances: &[InstanceV2]) -> Option<String> {
    let mut secrets: Vec<&[u8; 16]> =
        instances.iter().filter_map(|instance| Some(instance.auth.as_ref()?.secret())).collect();
    secrets.dedup();
    let what = format!(
        "the backends of {key} have different cookies in `auth`: a client has one for the frontend and is refused by the \
         others, so put one into every backend's client_keys file"
    );
    (secrets.len() > 1).then_some(what)
}

/// The warning for a backend that one service lists with a cookie and another without.
fn not_everywhere(all: &[&InstanceV2]) -> Option<String> {
    let open: HashSet<v2::OnionAddress> =
        all.iter().filter(|instance| instance.auth.is_none()).map(|instance| instance.address).collect();
    let closed = all.iter().find(|instance| instance.auth.is_some() && open.contains(&instance.address))?;
    Some(format!(
        "{} has `auth` for one service and none for another: a backend that authorizes its clients needs it for both",
        closed.named()
    ))
}

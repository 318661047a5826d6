//! The texts in place of onion addresses in a log without addresses.

use std::collections::{HashMap, HashSet};

use onionbalance_proto::config::{Instances, Name};
use onionbalance_proto::wire::HeldService;

use super::Configuration;

impl Configuration {
    /// The text for each onion address in a log without addresses: the name, or else the place in the file,
    /// `s1` for the first service and `b1` for its first backend. If backends of several services have the
    /// same text, the service follows. Addresses are in lower case, without `.onion`.
    pub fn labels(&self, held: &[HeldService]) -> HashMap<String, String> {
        let held: HashMap<&str, &HeldService> = held.iter().map(|held| (held.key(), held)).collect();
        let mut labels = HashMap::new();
        let mut backends: Vec<(String, String, String)> = Vec::new();
        for (index, service) in self.config.services.iter().enumerate() {
            let label = service.name.as_ref().map_or_else(|| format!("s{}", index + 1), ToString::to_string);
            if let Some(address) = held.get(service.key.as_str()).map(|held| address_of(held)) {
                labels.insert(bare(&address), label.clone());
            }
            for (index, (name, address)) in named(&service.instances).into_iter().enumerate() {
                let own = name.map_or_else(|| format!("b{}", index + 1), ToString::to_string);
                backends.push((bare(&address), own, label.clone()));
            }
        }
        let mut times: HashMap<String, HashSet<String>> = HashMap::new();
        for (address, own, _) in &backends {
            times.entry(own.clone()).or_default().insert(address.clone());
        }
        for (address, own, service) in backends {
            let is_one = times.get(&own).is_none_or(|addresses| addresses.len() == 1);
            let label = if is_one { own } else { format!("{own} ({service})") };
            labels.entry(address).or_insert(label);
        }
        labels
    }
}

/// The names and addresses of backends.
fn named(instances: &Instances) -> Vec<(Option<&Name>, String)> {
    match instances {
        Instances::None => Vec::new(),
        Instances::V2(v2) => v2.iter().map(|one| (one.name.as_ref(), one.address.to_string())).collect(),
        Instances::V3(v3) => v3.iter().map(|one| (one.name.as_ref(), one.address.to_string())).collect(),
    }
}

/// The address of a frontend.
fn address_of(held: &HeldService) -> String {
    match held {
        HeldService::V2(held) => held.address.to_string(),
        HeldService::V3 { held, .. } => held.address.to_string(),
    }
}

/// An address without `.onion`.
fn bare(address: &str) -> String {
    address.strip_suffix(".onion").unwrap_or(address).to_owned()
}

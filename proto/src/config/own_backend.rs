//! Frontends that are their own backends. Such a frontend would list its own introduction points.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use super::error::{ConfigError, line_in_service};
use super::service::{Address, InstanceV3, Instances, Service};
use crate::v3;

/// Checks that no frontend has its own address among its instances, and that no v3 frontends have one another's.
///
/// `address` tells the frontend's address by its `key`: it is known when the key file was read. A v2 frontend over other v2
/// frontends is legitimate: Onionbalance 0.1.8 published more than ten backends in that way.
pub fn check_own_backends(
    services: &[Service],
    address: impl Fn(&str) -> Option<Address>,
    text: &str,
    file: &Path,
) -> Result<(), ConfigError> {
    let mut frontends = HashMap::new();
    for service in services {
        match (address(&service.key), &service.instances) {
            (Some(Address::V2(own)), Instances::V2(instances))
                if instances.iter().any(|instance| instance.address == own) =>
            {
                return Err(own_backend(service, own, &own.without_suffix(), text, file));
            }
            (Some(Address::V3(own)), Instances::V3(instances)) => {
                if instances.iter().any(|instance| instance.address == own) {
                    return Err(own_backend(service, own, &own.without_suffix(), text, file));
                }
                frontends.insert(own, (service.key.as_str(), instances.as_slice()));
            }
            _ => {}
        }
    }
    match mutual(&frontends) {
        None => Ok(()),
        Some((one, other)) => {
            let what = format!(
                "the frontends with the keys {one} and {other} are backends of each other: list the addresses of backends \
                 that are no frontends"
            );
            Err(ConfigError::about(text, file, other, what))
        }
    }
}

fn own_backend(service: &Service, own: impl Display, name: &str, text: &str, file: &Path) -> ConfigError {
    let is_own = |value: &str| value.to_ascii_lowercase().trim_end_matches(".onion") == name;
    let what = format!(
        "{own} is the address of the frontend with the key {} itself: list the addresses of its backends",
        service.key
    );
    ConfigError { file: file.display().to_string(), line: line_in_service(text, &service.key, is_own), what }
}

/// A frontend's key and instances, by its address.
type Frontends<'a> = HashMap<v3::OnionAddress, (&'a str, &'a [InstanceV3])>;

/// The keys of two frontends that have each other's addresses among their instances.
fn mutual<'a>(frontends: &Frontends<'a>) -> Option<(&'a str, &'a str)> {
    let lists = |(address, (_, instances)): (&v3::OnionAddress, &(_, &'a [InstanceV3]))| {
        let address = *address;
        let listed = instances.iter().map(|instance| instance.address);
        listed.filter(|backend| frontends.contains_key(backend)).map(move |backend| (address, backend))
    };
    let edges: HashSet<_> = frontends.iter().flat_map(lists).collect();
    let both = edges.iter().filter(|(frontend, backend)| edges.contains(&(*backend, *frontend)));
    let keys = both.filter_map(|(one, other)| Some((frontends.get(one)?.0, frontends.get(other)?.0)));
    // The same pair each time, whatever the order of a hash.
    keys.filter(|(one, other)| one < other).min()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::config::Config;
    use crate::v2;

    const V2: [&str; 3] = ["jyvfq5umznvka34v", "7s4hxwwifcslrus2", "lijeinqkg3odt3fl"];

    fn v3(number: u64) -> v3::OnionAddress {
        crate::fixture::Backend::new(number).address()
    }

    /// What is said of services `a`, `b`, … at these addresses, with these instances.
    fn said(services: &[(Address, &[&str])]) -> Option<(usize, String)> {
        let mut text = String::from("services:\n");
        for ((_, instances), key) in services.iter().zip('a'..) {
            write!(text, "- key: {key}\n  instances:\n").unwrap();
            for address in *instances {
                writeln!(text, "  - address: {address}").unwrap();
            }
        }
        let config = Config::parse(&text, Path::new("c")).unwrap();
        let address =
            |key: &str| Some(services.iter().zip('a'..).find(|(_, name)| key == name.to_string())?.0.0);
        let error = check_own_backends(&config.services, address, &text, Path::new("c")).err()?;
        Some((error.line.unwrap(), error.what))
    }

    #[test]
    fn a_frontend_is_not_its_own_backend() {
        let [one, two] = [v3(1), v3(2)];
        let [one_text, two_text] = [one, two].map(|address| address.without_suffix().to_uppercase());
        let own = said(&[(Address::V3(two), &[&one_text]), (Address::V3(one), &[&two_text, &one_text])]);
        let (line, what) = own.unwrap();
        assert_eq!(line, 8);
        assert_eq!(
            what,
            format!(
                "{one} is the address of the frontend with the key b itself: list the addresses of its backends"
            )
        );
        let own: v2::OnionAddress = V2[0].parse().unwrap();
        let (line, what) = said(&[(Address::V2(own), &[V2[1], &format!("{}.onion", V2[0])])]).unwrap();
        assert!(line == 5 && what.starts_with(V2[0]), "{line}: {what}");
    }

    #[test]
    fn two_v3_frontends_are_not_each_others_backends() {
        let [one, two, three] = [1, 2, 3].map(v3);
        let texts = [one, two, three].map(|address| address.to_string());
        let [one, two] = [Address::V3(one), Address::V3(two)];
        let (line, what) = said(&[(one, &[&texts[1], &texts[2]]), (two, &[&texts[2], &texts[0]])]).unwrap();
        assert_eq!(line, 6);
        assert!(what.starts_with("the frontends with the keys a and b are backends of each other"), "{what}");
        assert_eq!(said(&[(one, &[&texts[1]]), (two, &[&texts[2]])]), None);
        // Version 2: Onionbalance 0.1.8 took it.
        let [one, two] = [V2[0], V2[1]].map(|address| Address::V2(address.parse().unwrap()));
        assert_eq!(said(&[(one, &[V2[1]]), (two, &[V2[2]])]), None);
    }
}

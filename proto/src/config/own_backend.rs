//! Frontends that are their own backends, directly or through others. Such a frontend would list its own
//! introduction points, so that those of dead and of removed backends would never disappear, certified by its
//! own key.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use super::error::{ConfigError, line_in_service};
use super::service::{Address, Instances, Service};

/// Checks that no frontend is a backend of its own.
///
/// `address` gives a frontend's address by its `key`; `None`: its key file has not been read. A frontend over
/// other frontends is legitimate: Onionbalance 0.1.8 published more than ten backends in that way. A circle
/// through frontends of other machines is not detected.
///
/// # Errors
/// A frontend has its own address among its instances, or frontends form a circle in which each has the next
/// one's address.
pub fn check_own_backends(
    services: &[Service],
    address: impl Fn(&str) -> Option<Address>,
    text: &str,
    file: &Path,
) -> Result<(), ConfigError> {
    let mut frontends = HashMap::new();
    for service in services {
        let Some(own) = address(&service.key) else { continue };
        match (own, &service.instances) {
            (Address::V2(own), Instances::V2(instances))
                if instances.iter().any(|instance| instance.address == own) =>
            {
                return Err(own_backend(service, own, &own.without_suffix(), text, file));
            }
            (Address::V3(own), Instances::V3(instances))
                if instances.iter().any(|instance| instance.address == own) =>
            {
                return Err(own_backend(service, own, &own.without_suffix(), text, file));
            }
            _ => {}
        }
        frontends.insert(own, service);
    }
    let Some(circle) = circle(&frontends) else { return Ok(()) };
    let (last, others) = circle.split_last().unwrap_or((&"", &[]));
    let what = if let [one] = others {
        format!("the frontends with the keys {one} and {last} are backends of each other")
    } else {
        format!(
            "the frontends with the keys {} and {last} are backends of each other in a circle",
            others.join(", ")
        )
    };
    let what = format!("{what}: list the addresses of backends that are not frontends");
    Err(ConfigError::about(text, file, last, what))
}

fn own_backend(service: &Service, own: impl Display, name: &str, text: &str, file: &Path) -> ConfigError {
    let is_own = |value: &str| value.to_ascii_lowercase().trim_end_matches(".onion") == name;
    let what = format!(
        "{own} is the address of the frontend with the key {} itself: list the addresses of its backends",
        service.key
    );
    ConfigError { file: file.display().to_string(), line: line_in_service(text, &service.key, is_own), what }
}

/// The keys of a circle of frontends, in which each lists the next one, and the last one the first; `None`:
/// there is no circle. The result does not depend on the order of the hash map.
fn circle<'a>(frontends: &HashMap<Address, &'a Service>) -> Option<Vec<&'a str>> {
    let key = |address: &Address| frontends.get(address).map(|service| service.key.as_str());
    let backends = |address: &Address| {
        frontends.get(address).into_iter().flat_map(|service| addresses(&service.instances))
    };
    // Frontends that list none of the rest are in no circle. Their removal may leave others of this kind.
    let mut rest: HashSet<Address> = frontends.keys().copied().collect();
    loop {
        let lists_any = |address: &&Address| backends(address).any(|backend| rest.contains(&backend));
        let above: HashSet<Address> = rest.iter().filter(lists_any).copied().collect();
        if above.len() == rest.len() {
            break;
        }
        rest = above;
    }
    // Each of the rest lists another of them, so that the way comes back to a frontend that it has passed.
    let mut way = vec![rest.iter().copied().min_by_key(key)?];
    loop {
        let listed = backends(way.last()?).filter(|backend| rest.contains(backend));
        let next = listed.min_by_key(key)?;
        if let Some(start) = way.iter().position(|address| *address == next) {
            return way.get(start..)?.iter().map(key).collect();
        }
        way.push(next);
    }
}

fn addresses(instances: &Instances) -> impl Iterator<Item = Address> + '_ {
    let (v2, v3) = match instances {
        Instances::None => (&[][..], &[][..]),
        Instances::V2(instances) => (instances.as_slice(), &[][..]),
        Instances::V3(instances) => (&[][..], instances.as_slice()),
    };
    let v2 = v2.iter().map(|instance| Address::V2(instance.address));
    v2.chain(v3.iter().map(|instance| Address::V3(instance.address)))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::config::Config;
    use crate::v2;
    use crate::v3;

    const V2: [&str; 3] = ["jyvfq5umznvka34v", "7s4hxwwifcslrus2", "lijeinqkg3odt3fl"];

    fn v3(number: u64) -> v3::OnionAddress {
        crate::fixture::Backend::new(number).address()
    }

    /// The line and the message for services `a`, `b`, … at these addresses, with these instances.
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
    fn frontends_are_not_each_others_backends() {
        let [one, two, three] = [1, 2, 3].map(v3);
        let texts = [one, two, three].map(|address| address.to_string());
        let [one, two] = [Address::V3(one), Address::V3(two)];
        let (line, what) = said(&[(one, &[&texts[1], &texts[2]]), (two, &[&texts[2], &texts[0]])]).unwrap();
        assert_eq!(line, 6);
        assert!(
            what.starts_with("the frontends with the keys a and b are backends of each other: "),
            "{what}"
        );
        assert_eq!(said(&[(one, &[&texts[1]]), (two, &[&texts[2]])]), None);
        let [one, two] = [V2[0], V2[1]].map(|address| Address::V2(address.parse().unwrap()));
        let (line, what) = said(&[(one, &[V2[2], V2[1]]), (two, &[V2[0]])]).unwrap();
        assert!(line == 6 && what.starts_with("the frontends with the keys a and b are"), "{line}: {what}");
        // One over the other: Onionbalance 0.1.8 took it.
        assert_eq!(said(&[(one, &[V2[1]]), (two, &[V2[2]])]), None);
    }

    #[test]
    fn a_circle_of_any_length_is_found_and_a_chain_is_none() {
        let texts: Vec<String> = (0..9).map(|number| v3(number).to_string()).collect();
        // Each lists the next; the last one lists no frontend; the first two list a frontend in common.
        let chain: Vec<[&str; 2]> =
            (0..7).map(|number| [texts[number + 1].as_str(), texts[(number + 2).min(8)].as_str()]).collect();
        let listing = |lists: &[[&str; 2]]| {
            let services: Vec<(Address, &[&str])> =
                (0..).zip(lists).map(|(number, list)| (Address::V3(v3(number)), list.as_slice())).collect();
            said(&services)
        };
        assert_eq!(listing(&chain), None);
        let mut circle = chain.clone();
        circle[5] = [&texts[8], &texts[2]];
        let (line, what) = listing(&circle).unwrap();
        // The circle is c, d, e, f, in the keys' order; a, b and g are in none.
        assert!(
            what.starts_with(
                "the frontends with the keys c, d, e and f are backends of each other in a circle: "
            ),
            "{what}"
        );
        assert_eq!(line, 22);
    }
}

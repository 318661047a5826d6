//! The names of services and backends. Addresses take the place of missing names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onionbalance_proto::config::Name;

use crate::engine::{BackendId, ServiceId};

/// The characters of an address that are shown: the first, and the last before `.onion`.
const SHOWN: (usize, usize) = (11, 5);

/// The first and the last characters of an onion address, with `between` between them. A
/// version-2 address is short enough, and stays whole.
pub(crate) fn short(address: &str, between: &str) -> String {
    let name = address.strip_suffix(".onion").unwrap_or(address);
    let (first, last) = SHOWN;
    match (name.get(..first), name.len().checked_sub(last).and_then(|from| name.get(from..))) {
        (Some(begin), Some(end)) if name.len() > first + last => format!("{begin}{between}{end}"),
        _ => address.to_owned(),
    }
}

/// The names of one configuration; cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    inner: Arc<Inner>,
    /// True if the log may not have addresses.
    hides_addresses: bool,
}

#[derive(Debug, Default, Eq, PartialEq)]
struct Inner {
    services: BTreeMap<ServiceId, Name>,
    backends: BTreeMap<BackendId, Backend>,
    places: BTreeMap<ServiceId, usize>,
}

#[derive(Debug, Eq, PartialEq)]
struct Backend {
    name: Name,
    /// The name; with the service's behind it if backends of several services have the same name.
    label: String,
}

/// Collects the names of one configuration.
#[derive(Debug, Default)]
pub struct NamesBuilder {
    services: BTreeMap<ServiceId, Name>,
    /// Each backend's first name, and its service.
    backends: BTreeMap<BackendId, (Name, ServiceId)>,
    places: BTreeMap<ServiceId, usize>,
}

impl NamesBuilder {
    /// Adds a service behind those that were added before, with its name.
    pub fn service(&mut self, service: &ServiceId, name: Option<&Name>) {
        let place = self.places.len();
        self.places.entry(service.clone()).or_insert(place);
        if let Some(name) = name {
            self.services.insert(service.clone(), name.clone());
        }
    }

    /// Names a backend of this service. A backend of several services keeps its first name.
    pub fn backend(&mut self, service: &ServiceId, backend: &BackendId, name: &Name) {
        self.backends.entry(backend.clone()).or_insert_with(|| (name.clone(), service.clone()));
    }

    /// The names that were collected.
    pub fn build(self) -> Names {
        let Self { services, backends, places } = self;
        let mut once = BTreeSet::new();
        let mut several = BTreeSet::new();
        for (name, _) in backends.values() {
            if !once.insert(name.clone()) {
                several.insert(name.clone());
            }
        }
        let label = |name: &Name, service: &ServiceId| {
            let service = services.get(service).map_or(&*service.0, Name::as_str);
            if several.contains(name) { format!("{name} ({service})") } else { name.to_string() }
        };
        let named = |(id, (name, service)): (BackendId, (Name, ServiceId))| {
            (id, Backend { label: label(&name, &service), name })
        };
        let backends = backends.into_iter().map(named).collect();
        Names { inner: Arc::new(Inner { services, backends, places }), hides_addresses: false }
    }
}

impl Names {
    /// These names, without addresses beside them in the log.
    #[must_use]
    pub fn without_addresses(self) -> Self {
        Self { hides_addresses: true, ..self }
    }

    /// True if the log may have addresses beside names.
    pub fn shows_addresses(&self) -> bool {
        !self.hides_addresses
    }

    /// The place of a service among those of the configuration, from 0; `None`: it is not among them.
    pub fn place(&self, service: &ServiceId) -> Option<usize> {
        self.inner.places.get(service).copied()
    }

    /// The name of a service; `None` without one.
    pub fn of_service(&self, service: &ServiceId) -> Option<&Name> {
        self.inner.services.get(service)
    }

    /// The name of a backend; `None` without one.
    pub fn of_backend(&self, backend: &BackendId) -> Option<&Name> {
        self.inner.backends.get(backend).map(|backend| &backend.name)
    }

    /// The text by which messages refer to a service.
    pub fn service<'a>(&'a self, service: &'a ServiceId) -> &'a str {
        self.of_service(service).map_or(&service.0, Name::as_str)
    }

    /// The text by which messages refer to a backend.
    pub fn backend<'a>(&'a self, backend: &'a BackendId) -> &'a str {
        self.inner.backends.get(backend).map_or(&backend.0, |backend| &backend.label)
    }
}

/// The names, and the backends whose addresses the log has had: a name is logged with its address once.
#[derive(Debug)]
pub struct Introductions {
    names: Names,
    told: BTreeSet<BackendId>,
}

impl Introductions {
    /// Names whose addresses the log has not had.
    pub fn new(names: Names) -> Self {
        Self { names, told: BTreeSet::new() }
    }

    /// Takes the names of a new configuration.
    pub fn configure(&mut self, names: Names) {
        let before = std::mem::replace(&mut self.names, names);
        let names = &self.names;
        self.told.retain(|backend| names.of_backend(backend) == before.of_backend(backend));
    }

    /// The names of the present configuration.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The text by which a log line refers to a backend, and the address to add to it: `None` if the log has
    /// had it or may not have it, or if there is no name.
    pub fn introduce<'a>(&mut self, backend: &'a BackendId) -> (String, Option<&'a BackendId>) {
        let has_both = self.names.shows_addresses() && self.names.of_backend(backend).is_some();
        let is_new = has_both && self.told.insert(backend.clone());
        (self.names.backend(backend).to_owned(), is_new.then_some(backend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_address_has_both_ends() {
        let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
        assert_eq!(short(address, "..."), "25njqamcwef...l5sid");
        assert_eq!(short("lijeinqkg3odt3fl.onion", "..."), "lijeinqkg3odt3fl.onion");
    }

    /// A service's address, its name, and its backends' addresses and names.
    type Named<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a str)]);

    fn names(of: &[Named<'_>]) -> Names {
        let mut builder = NamesBuilder::default();
        for (service, name, backends) in of {
            let service = ServiceId::from(*service);
            builder.service(&service, name.map(|name| name.parse().unwrap()).as_ref());
            for (backend, name) in *backends {
                builder.backend(&service, &BackendId::from(*backend), &name.parse().unwrap());
            }
        }
        builder.build()
    }

    #[test]
    fn a_name_comes_before_an_address() {
        let names = names(&[("s.onion", Some("shop"), &[("a.onion", "web1")])]);
        assert_eq!(names.service(&"s.onion".into()), "shop");
        assert_eq!(names.backend(&"a.onion".into()), "web1");
        assert_eq!(names.service(&"t.onion".into()), "t.onion");
        assert_eq!(names.backend(&"b.onion".into()), "b.onion");
        assert_eq!(names.of_backend(&"b.onion".into()), None);
    }

    #[test]
    fn services_have_their_places_in_the_configuration() {
        let names = names(&[("t.onion", None, &[]), ("s.onion", Some("shop"), &[]), ("t.onion", None, &[])]);
        let places = ["s.onion", "t.onion", "u.onion"].map(|service| names.place(&service.into()));
        assert_eq!(places, [Some(1), Some(0), None]);
    }

    #[test]
    fn equal_names_of_two_services_are_told_apart() {
        let names = names(&[
            ("s.onion", Some("shop"), &[("a.onion", "web1"), ("b.onion", "web2")]),
            ("t.onion", None, &[("c.onion", "web1"), ("b.onion", "other")]),
        ]);
        let labels = ["a.onion", "b.onion", "c.onion"].map(|id| names.backend(&id.into()).to_owned());
        assert_eq!(labels, ["web1 (shop)", "web2", "web1 (t.onion)"]);
        assert_eq!(names.of_backend(&"c.onion".into()).unwrap().as_str(), "web1");
    }

    #[test]
    fn an_address_is_told_once_for_a_name() {
        let named = |name| names(&[("s.onion", None, &[("a.onion", name)])]);
        let (named_backend, other) = (BackendId::from("a.onion"), BackendId::from("b.onion"));
        let mut introductions = Introductions::new(named("web1"));
        assert_eq!(introductions.introduce(&named_backend).1, Some(&named_backend));
        assert_eq!(introductions.introduce(&named_backend).1, None);
        assert_eq!(introductions.introduce(&other).1, None);
        introductions.configure(named("web1"));
        assert_eq!(introductions.introduce(&named_backend).1, None);
        introductions.configure(named("web9"));
        assert_eq!(introductions.introduce(&named_backend).1, Some(&named_backend));
        introductions.configure(named("web1").without_addresses());
        assert_eq!(introductions.introduce(&named_backend), ("web1".to_owned(), None));
    }
}

//! The names of services and backends. Addresses take the place of missing names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onionbalance_proto::config::Name;

use crate::engine::{BackendId, ServiceId};

/// The names of one configuration; cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names(Arc<Inner>);

#[derive(Debug, Default, Eq, PartialEq)]
struct Inner {
    services: BTreeMap<ServiceId, Name>,
    backends: BTreeMap<BackendId, Backend>,
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
}

impl NamesBuilder {
    /// Names a service.
    pub fn service(&mut self, service: &ServiceId, name: &Name) {
        self.services.insert(service.clone(), name.clone());
    }

    /// Names a backend of this service. A backend of several services keeps its first name.
    pub fn backend(&mut self, service: &ServiceId, backend: &BackendId, name: &Name) {
        self.backends.entry(backend.clone()).or_insert_with(|| (name.clone(), service.clone()));
    }

    /// The names that were collected.
    pub fn build(self) -> Names {
        let Self { services, backends } = self;
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
        Names(Arc::new(Inner { services, backends }))
    }
}

impl Names {
    /// The name of a service; `None` without one.
    pub fn of_service(&self, service: &ServiceId) -> Option<&Name> {
        self.0.services.get(service)
    }

    /// The name of a backend; `None` without one.
    pub fn of_backend(&self, backend: &BackendId) -> Option<&Name> {
        self.0.backends.get(backend).map(|backend| &backend.name)
    }

    /// The text by which messages refer to a service.
    pub fn service<'a>(&'a self, service: &'a ServiceId) -> &'a str {
        self.of_service(service).map_or(&service.0, Name::as_str)
    }

    /// The text by which messages refer to a backend.
    pub fn backend<'a>(&'a self, backend: &'a BackendId) -> &'a str {
        self.0.backends.get(backend).map_or(&backend.0, |backend| &backend.label)
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
    /// had it, or if there is no name.
    pub fn introduce<'a>(&mut self, backend: &'a BackendId) -> (String, Option<&'a BackendId>) {
        let is_new = self.names.of_backend(backend).is_some() && self.told.insert(backend.clone());
        (self.names.backend(backend).to_owned(), is_new.then_some(backend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service's address, its name, and its backends' addresses and names.
    type Named<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a str)]);

    fn names(of: &[Named<'_>]) -> Names {
        let mut builder = NamesBuilder::default();
        for (service, name, backends) in of {
            let service = ServiceId::from(*service);
            if let Some(name) = name {
                builder.service(&service, &name.parse().unwrap());
            }
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
    }
}

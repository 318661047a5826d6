//! Services on the screen: one in full, or a line for each.

use super::look::Extent;
use super::table::{Side, Table};
use super::{Screen, more};
use crate::commands::clean;
use crate::status::{Descriptor, Instance, InstanceState, Service};

/// The backends that a service shows on a screen, unless all are asked for.
const BACKENDS: usize = 40;

impl Screen<'_> {
    /// A service in full: its descriptors, then its backends.
    pub(super) fn service(&self, service: &Service) -> String {
        let dot = self.look.dot(Some(service.health));
        let address = self.look.address(&service.onion_address);
        let head = match &service.name {
            Some(name) => format!("{dot} {}  {address}\n", clean(name)),
            None => format!("{dot} {address}\n"),
        };
        let clients = service.client_line.as_ref().map(|line| format!("  clients need  {}\n", clean(line)));
        [
            head,
            clients.unwrap_or_default(),
            self.descriptors(service),
            "\n".to_owned(),
            self.backends(service),
        ]
        .concat()
    }

    fn descriptors(&self, service: &Service) -> String {
        if service.descriptors.is_empty() {
            return "  no descriptor yet\n".to_owned();
        }
        let columns = [
            ("descriptor", Side::Left),
            ("period ends", Side::Left),
            ("HSDirs", Side::Right),
            ("points", Side::Right),
            ("stored", Side::Left),
            ("next", Side::Left),
        ];
        let mut table = Table::new(&columns);
        for descriptor in &service.descriptors {
            let replica = descriptor.replica.map(|replica| format!(", replica {replica}"));
            table.row(
                " ".to_owned(),
                vec![
                    format!("{}{}", descriptor.which, replica.unwrap_or_default()),
                    self.maybe(descriptor.period_ends.map(|at| format!("in {}", self.until(at)))),
                    format!("{}/{}", descriptor.stored, descriptor.hsdirs),
                    descriptor.intro_points_num.to_string(),
                    self.maybe(descriptor.last_stored.map(|at| self.roughly_ago(at))),
                    self.next(descriptor),
                ],
            );
        }
        table.render()
    }

    /// The next publication of a descriptor.
    fn next(&self, descriptor: &Descriptor) -> String {
        let failures = descriptor.lacking().map(|hsdir| hsdir.failures).max().unwrap_or(0);
        if failures > 0 {
            let number = descriptor.lacking().count();
            return format!("retrying {number}, try {}", failures.saturating_add(1));
        }
        self.maybe(descriptor.next_publication.map(|at| format!("in {}", self.until(at))))
    }

    fn backends(&self, service: &Service) -> String {
        let columns = [
            ("backend", Side::Left),
            ("state", Side::Left),
            ("points", Side::Right),
            ("share", Side::Right),
            ("looked at", Side::Left),
            ("changed", Side::Left),
            ("address", Side::Left),
        ];
        let most = if self.look.extent == Extent::Screen { BACKENDS } else { service.instances.len() };
        let mut table = Table::new(&columns);
        for instance in service.instances.iter().take(most) {
            table.row(self.look.dot(Some(instance.state.health())), self.backend(instance));
        }
        let drains: String =
            service.instances.iter().take(most).filter_map(|instance| self.drain(instance)).collect();
        table.render() + &drains + &more(service.instances.len().saturating_sub(most))
    }

    /// The line about a drain by command; `None` if the backend has none.
    fn drain(&self, instance: &Instance) -> Option<String> {
        let drain = instance.drain_by_command()?;
        let name = instance.name.as_deref().map(clean);
        let name = name.unwrap_or_else(|| self.look.address(&instance.onion_address));
        Some(format!("  {name}: {drain}\n"))
    }

    fn backend(&self, instance: &Instance) -> Vec<String> {
        // 33.3 % is shown as 33 %: the value is between 0 and 1.
        let share = instance.share.map(|share| format!("{:.0} %", share * 100.0));
        let name = instance.name.as_deref().map_or_else(|| self.look.nothing().to_owned(), clean);
        vec![
            name,
            instance.state.to_string(),
            self.maybe(instance.live_points().map(|points| points.to_string())),
            self.maybe(share),
            self.maybe(instance.last_look.map(|at| self.roughly_ago(at))),
            self.maybe(instance.changed().map(|at| self.roughly_ago(at))),
            self.look.address(&instance.onion_address),
        ]
    }

    /// A line for each of the first `most` services.
    pub(super) fn services(&self, most: usize) -> String {
        let columns = [
            ("service", Side::Left),
            ("state", Side::Left),
            ("backends", Side::Right),
            ("HSDirs", Side::Right),
            ("points", Side::Right),
            ("stored", Side::Left),
            ("address", Side::Left),
        ];
        let services = &self.report.services;
        let mut table = Table::new(&columns);
        for service in services.iter().take(most) {
            table.row(self.look.dot(Some(service.health)), self.line(service));
        }
        table.render() + &more(services.len().saturating_sub(most))
    }

    fn line(&self, service: &Service) -> Vec<String> {
        let live = service.instances.iter().filter(|instance| instance.state == InstanceState::Live).count();
        let (mut hsdirs, mut stored) = (0, 0);
        for descriptor in &service.descriptors {
            hsdirs += descriptor.hsdirs;
            stored += descriptor.stored;
        }
        let last = service.descriptors.iter().filter_map(|descriptor| descriptor.last_stored).max();
        vec![
            service.name.as_deref().map_or_else(|| self.look.nothing().to_owned(), clean),
            service.health.to_string(),
            format!("{live}/{}", service.instances.len()),
            format!("{stored}/{hsdirs}"),
            service.intro_points_num.to_string(),
            self.maybe(last.map(|at| self.roughly_ago(at))),
            self.look.address(&service.onion_address),
        ]
    }

    fn maybe(&self, text: Option<String>) -> String {
        text.unwrap_or_else(|| self.look.nothing().to_owned())
    }
}

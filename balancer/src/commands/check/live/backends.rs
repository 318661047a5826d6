//! The backends of the configuration, and the rows about their descriptors.

use std::fmt::Display;
use std::sync::Arc;

use onionbalance_proto::config::{
    Checking, HealthCheck, InstanceV2, InstanceV3, Instances, Lines, Named, Service, Weight,
};
use onionbalance_proto::v3;

use super::lookup::Lookup;
use super::row::{Row, Verdict};
use super::short;
use crate::config::for_frontend;
use crate::plural::count;

/// A backend of a service.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    /// The backend and its service, as a screen shows them.
    pub(super) subject: String,
    /// Its onion address.
    pub(super) address: String,
    /// True if its weight is 0, so that it may be missing.
    pub(super) is_drained: bool,
    /// The line of the configuration that has its address, counted from 1.
    pub(super) line: Option<usize>,
    /// Its health check; `None` without one. The host of an HTTP probe is `None` only if it is the frontend's
    /// address and that is not known.
    pub(super) check: Option<Arc<HealthCheck>>,
}

/// The backends of one version in some services.
#[derive(Debug)]
pub(super) struct Backends<B> {
    /// As the operator knows them.
    pub(super) shown: Vec<Backend>,
    /// As tor is asked for them, in the same order.
    pub(super) instances: Vec<B>,
}

impl<B> Default for Backends<B> {
    fn default() -> Self {
        Self { shown: Vec::new(), instances: Vec::new() }
    }
}

impl<B> Backends<B> {
    fn push(&mut self, shown: Backend, instance: B) {
        self.shown.push(shown);
        self.instances.push(instance);
    }
}

/// The backends of services, by version.
#[derive(Debug, Default)]
pub(super) struct ByVersion {
    pub(super) v2: Backends<InstanceV2>,
    pub(super) v3: Backends<v3::OnionAddress>,
}

impl ByVersion {
    /// Adds the backends of `service`, which a screen calls `label`; `None`: it has no need to. `frontend` is
    /// the service's address; `None`: it is not known.
    pub(super) fn add(
        &mut self,
        lines: &Lines<'_>,
        service: &Service,
        label: Option<&str>,
        frontend: Option<&str>,
    ) {
        let check = |checking: &Checking| {
            let check = checking.effective(service.health_check.as_ref())?;
            Some(frontend.map_or_else(|| Arc::new(check.clone()), |address| for_frontend(check, &address)))
        };
        match &service.instances {
            Instances::None => {}
            Instances::V2(instances) => {
                for instance in instances {
                    let shown = Backend::new(lines, label, instance.named(), instance.weight);
                    let shown = Backend { check: check(&instance.checking), ..shown };
                    self.v2.push(shown, instance.clone());
                }
            }
            Instances::V3(instances) => {
                for instance in instances {
                    let shown = Backend::new(lines, label, InstanceV3::named(instance), instance.weight);
                    let shown = Backend { check: check(&instance.checking), ..shown };
                    self.v3.push(shown, instance.address);
                }
            }
        }
    }
}

impl Backend {
    fn new(
        lines: &Lines<'_>,
        service: Option<&str>,
        Named(name, address): Named<'_, impl Display>,
        weight: Weight,
    ) -> Self {
        let address = address.to_string();
        let label = name.map_or_else(|| short(&address), ToString::to_string);
        let subject = service.map_or_else(|| label.clone(), |service| format!("{label} ({service})"));
        let line = lines.find_address(&address);
        Self { subject, is_drained: weight.is_drained(), line, address, check: None }
    }

    /// A backend with this health check, for tests.
    #[cfg(test)]
    pub(super) fn checked(subject: &str, check: HealthCheck) -> Self {
        Self {
            subject: subject.to_owned(),
            address: "x.onion".to_owned(),
            is_drained: false,
            line: Some(4),
            check: Some(Arc::new(check)),
        }
    }

    /// The row about its descriptor. A drained backend that is missing is no error: it may be switched off.
    pub(super) fn row(&self, lookup: &Lookup) -> Row {
        let row = self.row_by_lookup(lookup);
        if self.is_drained && row.verdict != Verdict::Ok {
            return Row::new(Verdict::Ok, &self.subject, "drained, and not live".to_owned()).at(self.line);
        }
        row
    }

    fn row_by_lookup(&self, lookup: &Lookup) -> Row {
        let Lookup { hsdirs, asked, found, empty, points, problem, .. } = lookup;
        let (hsdirs, asked, found, empty) = (*hsdirs, *asked, *found, *empty);
        let row = |verdict, text: String| Row::new(verdict, &self.subject, text).at(self.line);
        let silent = hsdirs.saturating_sub(found + empty);
        let with_address = |row: Row| row.with_details([self.address.clone()]);
        if found > 0 && *points > 0 {
            let unanswered = if silent > 0 { format!(", {silent} gave no answer") } else { String::new() };
            let points = count(*points, "introduction point");
            return row(Verdict::Ok, format!("{points}, seen at {found} of {hsdirs} HSDirs{unanswered}"));
        }
        let is_down = "is tor running on that machine?  systemctl status tor@default";
        if found > 0 {
            let text = "its descriptor has no introduction points".to_owned();
            return with_address(row(Verdict::Error, text)).with_details([is_down]);
        }
        if hsdirs == 0 {
            return with_address(row(Verdict::Unknown, "tor knows no HSDirs for it".to_owned()));
        }
        if let Some(problem) = problem {
            return with_address(row(Verdict::Error, problem.clone()));
        }
        if empty * 2 >= hsdirs {
            let answers = if silent == 0 {
                format!("{asked} of {hsdirs} asked")
            } else {
                format!("{empty} of {hsdirs} answered")
            };
            let text = format!("no HSDir has a descriptor ({answers})");
            return with_address(row(Verdict::Error, text)).with_details([is_down]);
        }
        let text = if asked == 0 {
            "there was no time to ask its HSDirs".to_owned()
        } else {
            format!("no descriptor, but only {empty} of {hsdirs} HSDirs answered")
        };
        with_address(row(Verdict::Unknown, text)).with_details(["check again: circuits fail now and then"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row for the outcome of asking eight HSDirs: those with a descriptor, and those without.
    fn row(asked: usize, found: usize, empty: usize, more: Lookup) -> (Verdict, String) {
        let backend = Backend {
            subject: "web1 (shop)".into(),
            address: "x.onion".into(),
            is_drained: false,
            line: Some(4),
            check: None,
        };
        let drained = Backend { is_drained: true, ..backend.clone() };
        let row = drained.row(&Lookup { hsdirs: 8, asked, found, empty, ..more.clone() });
        assert_eq!(row.verdict, Verdict::Ok, "{}", row.text);
        let row = backend.row(&Lookup { hsdirs: 8, asked, found, empty, ..more });
        assert_eq!((row.subject.as_str(), row.line), ("web1 (shop)", Some(4)));
        (row.verdict, row.text)
    }

    fn points(points: usize) -> Lookup {
        Lookup { points, ..Lookup::default() }
    }

    #[test]
    fn one_descriptor_is_enough() {
        let all = row(8, 8, 0, points(3));
        assert_eq!(all, (Verdict::Ok, "3 introduction points, seen at 8 of 8 HSDirs".into()));
        let some = row(8, 1, 5, points(1));
        assert_eq!(
            some,
            (Verdict::Ok, "1 introduction point, seen at 1 of 8 HSDirs, 2 gave no answer".into())
        );
        assert_eq!(row(8, 8, 0, points(0)).0, Verdict::Error);
    }

    #[test]
    fn a_backend_is_missing_if_half_of_its_hsdirs_say_so() {
        let none = row(8, 0, 8, points(0));
        assert_eq!(none, (Verdict::Error, "no HSDir has a descriptor (8 of 8 asked)".into()));
        let most = row(8, 0, 4, points(0));
        assert_eq!(most, (Verdict::Error, "no HSDir has a descriptor (4 of 8 answered)".into()));
        let few = row(8, 0, 3, points(0));
        assert_eq!(few, (Verdict::Unknown, "no descriptor, but only 3 of 8 HSDirs answered".into()));
        assert_eq!(row(0, 0, 0, points(0)).0, Verdict::Unknown);
        let problem = Lookup { problem: Some("its descriptor is not valid: forged".into()), ..points(0) };
        assert_eq!(row(8, 0, 7, problem), (Verdict::Error, "its descriptor is not valid: forged".into()));
    }
}

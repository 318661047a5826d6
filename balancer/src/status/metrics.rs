//! The report as metrics of Prometheus.
//!
//! Labels have the names of services and backends, and no addresses: metrics leave the machine. A service or
//! backend without a name has its place in the report instead (`s1`, `b1`).

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use onionbalance_proto::time::UnixTime;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::{
    Descriptor, Durations, Health, HealthState, Instance, InstanceState, ProblemId, Received, Report,
    Service, Signer, Tor,
};

/// The labels of a series, in pairs of name and value.
type Labels = Vec<(&'static str, String)>;
/// One metric with all its series.
type Series = Family<Labels, Gauge<f64, AtomicU64>>;
/// One count with all its series.
type Counts = Family<Labels, Counter>;
/// One sum with all its series.
type Fractions = Family<Labels, Counter<f64, AtomicU64>>;
/// One histogram with all its series.
type Histograms = Family<Labels, Counted>;

/// The metrics of a report in the text format of Prometheus, version 0.0.4. Without a report there is one:
/// the balancer is not reachable. `has_addresses` adds metrics whose labels have the addresses.
pub(crate) fn render(report: Option<&Report>, has_addresses: bool) -> String {
    let mut metrics = Metrics(Registry::with_prefix("onionbalance"));
    let reachable = metrics.series("reachable", "1 if the balancer answers");
    set(&reachable, &vec![], flag(report.is_some()));
    if let Some(report) = report {
        metrics.of_balancer(report);
        metrics.of_signer(&report.signer);
        metrics.of_tors(&report.tors);
        metrics.of_services(&report.services);
        metrics.of_descriptors(&report.services);
        metrics.of_backends(&report.services);
        metrics.of_requests(&report.services);
        if has_addresses {
            metrics.of_addresses(&report.services);
        }
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_text::encode(&mut text, &metrics.0);
    text
}

struct Metrics(Registry);

impl Metrics {
    /// A new metric, to which series can be added.
    fn series(&mut self, name: &str, help: &str) -> Series {
        let series = Series::default();
        self.0.register(name, help, series.clone());
        series
    }

    /// A new count since the balancer's start. Its name gets the ending `_total`.
    fn counts(&mut self, name: &str, help: &str) -> Counts {
        let counts = Counts::default();
        self.0.register(name, help, counts.clone());
        counts
    }

    /// A new sum since the balancer's start. Its name gets the ending `_total`.
    fn fractions(&mut self, name: &str, help: &str) -> Fractions {
        let sums = Fractions::default();
        self.0.register(name, help, sums.clone());
        sums
    }

    /// A new histogram, to which series can be added.
    fn histogram(&mut self, name: &str, help: &str) -> Histograms {
        let histograms = Histograms::default();
        self.0.register(name, help, histograms.clone());
        histograms
    }

    fn of_balancer(&mut self, report: &Report) {
        let build = self.series("build_info", "The version of the balancer, and the commit of its build");
        // Prometheus takes an empty label as one that is not there.
        let commit = report.commit.clone().unwrap_or_default();
        set(&build, &vec![("version", report.version.clone()), ("commit", commit)], 1.0);
        let start = self.series("start_time_seconds", "The time at which the balancer began");
        set(&start, &vec![], time(report.started_at.0));
        let reload = self.series("config_last_reload_successful", "0 if the last reload was refused");
        let is_refused = report.problems.iter().any(|problem| problem.id == ProblemId::ReloadRefused);
        set(&reload, &vec![], flag(!is_refused));
        if let Some(configuration) = &report.configuration {
            let at = "config_last_reload_success_timestamp_seconds";
            let at = self.series(at, "The time at which the configuration that is in force was read");
            set(&at, &vec![], time(configuration.loaded_at.0));
        }
        let processor = self.fractions("process_cpu_seconds", "The processor time of the balancer");
        processor.get_or_create(&vec![]).inc_by(report.process.cpu_seconds);
        let memory = "process_max_resident_memory_bytes";
        let memory = self.series(memory, "The most memory that the balancer has had at a time");
        set(&memory, &vec![], bytes(report.process.max_resident_bytes));
        let problems = self.series("problems", "Problems by their id, which the manual explains");
        for id in ProblemId::ALL {
            let count = report.problems.iter().filter(|problem| problem.id == id).count();
            set(&problems, &vec![("id", id.to_string())], number(count));
        }
    }

    fn of_signer(&mut self, signer: &Signer) {
        let connected = self.series("signer_connected", "1 if the signer answers");
        set(&connected, &vec![], flag(signer.connected));
        let requests = self.counts("signer_requests", "Descriptors that the signer was asked to sign");
        for (result, count) in
            [("signed", signer.signed), ("refused", signer.refused), ("failed", signer.failed)]
        {
            add(&requests, &vec![("result", result.to_owned())], count);
        }
        let times = self.histogram("signer_request_duration_seconds", "The times that these took");
        fill(&times, &vec![], &signer.durations);
    }

    fn of_tors(&mut self, tors: &[Tor]) {
        let connected = self.series("tor_connected", "1 if tor takes commands");
        let in_flight = self.series("tor_requests_in_flight", "Requests that are outstanding at tor");
        let waiting = self.series("tor_requests_waiting", "Requests that wait for tor");
        let wait = self.series("tor_longest_wait_seconds", "The longest wait of a request for tor");
        let posts = self.series("tor_posts", "Posts of version-3 descriptors since tor's start");
        let bootstrap = self.series("tor_bootstrap_ratio", "The progress of tor's bootstrap, from 0 to 1");
        let hsdirs = self.series("tor_hsdirs", "The HSDirs in tor's consensus");
        let until = "tor_consensus_valid_until_timestamp_seconds";
        let until = self.series(until, "The time until which tor's consensus is valid");
        let clock = "tor_clock_behind_seconds";
        let clock = self.series(clock, "The time by which this machine's clock is behind tor's consensus");
        let reconnects = self.counts("tor_reconnects", "Times that tor was lost and reached again");
        for tor in tors {
            let labels = || vec![("tor", tor.control_ports.join(" or "))];
            set(&bootstrap, &labels(), number(tor.bootstrap.unwrap_or(0)) / 100.0);
            set(&clock, &labels(), number(tor.clock_behind_seconds));
            add(&reconnects, &labels(), tor.reconnects);
            if let Some(known) = tor.hsdirs {
                set(&hsdirs, &labels(), number(known));
            }
            if let Some(at) = tor.consensus_valid_until {
                set(&until, &labels(), time(at.0));
            }
            set(&connected, &labels(), flag(tor.ready));
            set(&in_flight, &labels(), number(tor.in_flight));
            set(
                &waiting,
                &labels(),
                number(tor.fetches_waiting + tor.uploads_waiting + tor.read_backs_waiting),
            );
            set(&wait, &labels(), number(tor.longest_wait_seconds));
            set(&posts, &labels(), number(tor.posts_since_start));
        }
    }

    fn of_services(&mut self, services: &[Service]) {
        let state = self.series("service_state", "1 for the health that the service has");
        let backends = self.series("service_backends", "The backends of a service");
        let live = self.series("service_backends_live", "The live ones of these");
        let points = self.series("service_introduction_points", "The introduction points that are published");
        let end = "service_delegation_end_timestamp_seconds";
        let end = self.series(end, "The end of the signer's delegation, if it does not have the key");
        for (labels, service) in named(services) {
            for health in [Health::Ok, Health::Starting, Health::Degraded, Health::Down] {
                let labels = [labels.clone(), vec![("state", health.to_string())]].concat();
                set(&state, &labels, flag(service.health == health));
            }
            let is_live = |instance: &&Instance| instance.state == InstanceState::Live;
            set(&backends, &labels, number(service.instances.len()));
            set(&live, &labels, number(service.instances.iter().filter(is_live).count()));
            set(&points, &labels, number(service.intro_points_num));
            if let Some(at) = service.delegation_ends {
                set(&end, &labels, time(at.0));
            }
        }
    }

    fn of_descriptors(&mut self, services: &[Service]) {
        let hsdirs = self.series("descriptor_hsdirs", "The HSDirs that are responsible for a descriptor");
        let stored = self.series("descriptor_hsdirs_stored", "Those of these that have stored it");
        let points = "descriptor_introduction_points";
        let points =
            self.series(points, "The introduction points in a descriptor, or in the largest of its sets");
        let size = self.series("descriptor_size_bytes", "The size of a descriptor's largest text");
        let last = self
            .series("descriptor_last_stored_timestamp_seconds", "The time at which an HSDir last stored it");
        let next = self
            .series("descriptor_next_publication_timestamp_seconds", "The time at which it will be renewed");
        for (of_service, service) in named(services) {
            for descriptor in &service.descriptors {
                let labels = [of_service.clone(), of_descriptor(descriptor)].concat();
                set(&hsdirs, &labels, number(descriptor.hsdirs));
                set(&stored, &labels, number(descriptor.stored));
                set(&points, &labels, number(descriptor.intro_points_num));
                if let Some(length) = descriptor.bytes {
                    set(&size, &labels, number(length));
                }
                if let Some(at) = descriptor.last_stored {
                    set(&last, &labels, time(at.0));
                }
                if let Some(at) = descriptor.next_publication {
                    set(&next, &labels, time(at.0));
                }
            }
        }
    }

    fn of_backends(&mut self, services: &[Service]) {
        let live =
            self.series("backend_live", "1 if the backend serves, or would if it were not drained or unwell");
        let points = self.series("backend_introduction_points", "Its introduction points, live or not");
        let share = self.series("backend_share_ratio", "The part of the service's visitors that it gets");
        let healthy = self.series("backend_healthy", "0 if its health check fails; missing if it has none");
        let weight =
            self.series("backend_weight", "Its weight in the configuration; 0 if it is drained by it");
        let drained =
            self.series("backend_drained", "1 if it is to get no visitors, by its weight or by command");
        let received = self.series(
            "backend_descriptor_received_timestamp_seconds",
            "The time at which its newest descriptor was first seen",
        );
        let changed = self.series(
            "backend_introduction_points_changed_timestamp_seconds",
            "The time at which its introduction points were seen to change",
        );
        for (of_service, service) in named(services) {
            for (index, instance) in service.instances.iter().enumerate() {
                let labels = [of_service.clone(), vec![("backend", backend_name(instance, index))]].concat();
                set(&live, &labels, flag(instance.live_points().is_some()));
                set(&weight, &labels, f64::from(instance.weight));
                if let Some(check) = &instance.health_check {
                    set(&healthy, &labels, flag(check.state != HealthState::Unwell));
                }
                set(&drained, &labels, flag(instance.drained));
                if let Some(part) = instance.share {
                    set(&share, &labels, part);
                }
                if let Received::Yes { descriptor_received, intro_set_modified, intro_points_num, .. } =
                    &instance.received
                {
                    set(&points, &labels, number(*intro_points_num));
                    set(&received, &labels, time(descriptor_received.0));
                    set(&changed, &labels, time(intro_set_modified.0));
                }
            }
        }
    }

    fn of_requests(&mut self, services: &[Service]) {
        let begun = self.counts("descriptor_uploads_begun", "Uploads to HSDirs that were handed to tor");
        let ended = self.counts("descriptor_uploads", "Uploads that were answered, by their results");
        let times = self.histogram(
            "descriptor_publish_duration_seconds",
            "The times from new introduction points until a descriptor with them was at all its HSDirs",
        );
        let asked = self.counts("backend_fetches_begun", "Fetches from HSDirs that were handed to tor");
        let probes = self.counts("backend_probes", "Probes of health checks that ended, by their results");
        let probe_times = self.histogram(
            "backend_probe_duration_seconds",
            "The times that probes of health checks took which succeeded",
        );
        let answered = self.counts("backend_fetches", "Fetches that were answered, by their results");
        let result =
            |labels: &Labels, result: &str| [labels.clone(), vec![("result", result.to_owned())]].concat();
        for (labels, service) in named(services) {
            let uploads = &service.uploads;
            fill(&times, &labels, &service.publications);
            add(&begun, &labels, uploads.begun);
            add(&ended, &result(&labels, "acknowledged"), uploads.acknowledged);
            add(&ended, &result(&labels, "refused"), uploads.refused);
            add(&ended, &result(&labels, "failed"), uploads.failed);
            for (index, instance) in service.instances.iter().enumerate() {
                let labels = [labels.clone(), vec![("backend", backend_name(instance, index))]].concat();
                let fetches = &instance.fetches;
                add(&asked, &labels, fetches.begun);
                add(&answered, &result(&labels, "copy"), fetches.copy);
                add(&answered, &result(&labels, "not_found"), fetches.not_found);
                add(&answered, &result(&labels, "failed"), fetches.failed);
                add(&answered, &result(&labels, "invalid"), fetches.invalid);
                if let Some(check) = &instance.health_check {
                    fill(&probe_times, &labels, &check.probe_times);
                    for (of_result, count) in &check.probes {
                        add(&probes, &result(&labels, of_result), *count);
                    }
                }
            }
        }
    }

    fn of_addresses(&mut self, services: &[Service]) {
        let of_service = self.series("service_info", "The address of a service");
        let of_backend = self.series("backend_info", "The address of a backend");
        for (labels, service) in named(services) {
            let address = |address: &str| vec![("address", address.to_owned())];
            set(&of_service, &[labels.clone(), address(&service.onion_address)].concat(), 1.0);
            for (index, instance) in service.instances.iter().enumerate() {
                let backend = vec![("backend", backend_name(instance, index))];
                let labels = [labels.clone(), backend, address(&instance.onion_address)].concat();
                set(&of_backend, &labels, 1.0);
            }
        }
    }
}

/// The services, each with its label.
fn named(services: &[Service]) -> impl Iterator<Item = (Labels, &Service)> {
    services.iter().enumerate().map(|(index, service)| {
        let name = service.name.clone().unwrap_or_else(|| format!("s{}", index + 1));
        (vec![("service", name)], service)
    })
}

fn backend_name(instance: &Instance, index: usize) -> String {
    instance.name.clone().unwrap_or_else(|| format!("b{}", index + 1))
}

fn of_descriptor(descriptor: &Descriptor) -> Labels {
    let replica = descriptor.replica.map(|replica| ("replica", replica.to_string()));
    [("descriptor", descriptor.which.to_string())].into_iter().chain(replica).collect()
}

fn set(series: &Series, labels: &Labels, value: f64) {
    series.get_or_create(labels).set(value);
}

fn add(counts: &Counts, labels: &Labels, count: u64) {
    counts.get_or_create(labels).inc_by(count);
}

fn fill(histograms: &Histograms, labels: &Labels, durations: &Durations) {
    let Counted(filled) = &*histograms.get_or_create(labels);
    // Each series is filled once.
    let _ = filled.set(durations.clone());
}

/// A histogram whose durations were counted before.
#[derive(Debug, Default)]
struct Counted(OnceLock<Durations>);

impl EncodeMetric for Counted {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Counted(filled) = self;
        let Some(Durations { bounds, counts, sum_seconds }) = filled.get() else { return Ok(()) };
        // The last count has no bound; the encoder adds it as the bucket of everything.
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(*sum_seconds, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Counted {
    const TYPE: MetricType = MetricType::Histogram;
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

/// A number of things, which is never near the limit.
fn number(count: impl TryInto<u32>) -> f64 {
    count.try_into().unwrap_or(u32::MAX).into()
}

/// A size, exact up to 2^53 bytes.
#[expect(clippy::cast_precision_loss, reason = "no machine has so much memory")]
fn bytes(size: u64) -> f64 {
    size as f64
}

/// Seconds since 1970, until 2106.
fn time(at: UnixTime) -> f64 {
    number(at.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::engine::{BackendState, BackendStatus, Gone, ServiceStatus};
    use crate::runtime::{Loaded, Usage};
    use crate::status::testing::{backend, descriptor, report, report_of, service, state_of, unwell};

    const DASHBOARD: &str = include_str!("../../../packaging/prometheus/onionbalance.dashboard.json");

    fn shop() -> Report {
        let gone = BackendStatus { state: BackendState::Gone(Gone::TooOld), ..backend("b.onion", Some(1)) };
        let sick = BackendStatus { health: Some(unwell("no answer in time")), ..backend("c.onion", Some(1)) };
        let status = ServiceStatus {
            descriptors: vec![descriptor(7, 0, Some(60)), descriptor(8, 0, None)],
            backends: vec![backend("a.onion", Some(1)), gone, sick],
            ..service("front.onion")
        };
        let mut shop = report(status, Some("shop"), &[("a.onion", "web \"1\"")]);
        shop.probes[2].results = [("success", 3), ("silent", 5)].into();
        let mut state = state_of(vec![shop]);
        state.usage = Usage { processor: Duration::from_millis(12_500), most_memory: 20 << 20 };
        state.configuration = Some(Loaded {
            file: "/etc/onionbalance/config.yaml".into(),
            at: Instant::now(),
            is_reload: false,
        });
        state.delegations = [("front.onion".into(), UnixTime(1_795_600_000))].into();
        Report { commit: Some("1a2b3c4d5e6f".to_owned()), ..report_of(&state, UnixTime(1_795_336_111)) }
    }

    #[test]
    fn series_have_names_and_no_addresses() {
        let text = render(Some(&shop()), false);
        for line in [
            "onionbalance_reachable 1",
            concat!(
                "onionbalance_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\",commit=\"1a2b3c4d5e6f\"} 1"
            ),
            "onionbalance_signer_requests_total{result=\"refused\"} 1",
            "onionbalance_signer_request_duration_seconds_bucket{le=\"0.0025\"} 30",
            "onionbalance_signer_request_duration_seconds_bucket{le=\"1\"} 414",
            "onionbalance_signer_request_duration_seconds_bucket{le=\"+Inf\"} 415",
            "onionbalance_signer_request_duration_seconds_sum 3.16",
            "onionbalance_signer_request_duration_seconds_count 415",
            "onionbalance_service_delegation_end_timestamp_seconds{service=\"shop\"} 1795600000",
            "onionbalance_descriptor_publish_duration_seconds_bucket{service=\"shop\",le=\"2.5\"} 1",
            "onionbalance_descriptor_publish_duration_seconds_count{service=\"shop\"} 4",
            "onionbalance_descriptor_uploads_begun_total{service=\"shop\"} 20",
            "onionbalance_descriptor_uploads_total{service=\"shop\",result=\"acknowledged\"} 16",
            "onionbalance_backend_fetches_total{service=\"shop\",backend=\"b2\",result=\"not_found\"} 6",
            "onionbalance_backend_healthy{service=\"shop\",backend=\"b3\"} 0",
            "onionbalance_backend_probes_total{service=\"shop\",backend=\"b3\",result=\"silent\"} 5",
            "onionbalance_backend_probe_duration_seconds_count{service=\"shop\",backend=\"b3\"} 0",
            "onionbalance_problems{id=\"BACKEND_GONE\"} 1",
            "onionbalance_service_state{service=\"shop\",state=\"degraded\"} 1",
            "onionbalance_service_state{service=\"shop\",state=\"ok\"} 0",
            "onionbalance_service_backends_live{service=\"shop\"} 1",
            "onionbalance_descriptor_hsdirs_stored{service=\"shop\",descriptor=\"first\"} 1",
            "onionbalance_descriptor_last_stored_timestamp_seconds{service=\"shop\",descriptor=\"first\"} 1795336051",
            "onionbalance_backend_live{service=\"shop\",backend=\"web \\\"1\\\"\"} 1",
            "onionbalance_backend_live{service=\"shop\",backend=\"b2\"} 0",
            "onionbalance_descriptor_introduction_points{service=\"shop\",descriptor=\"first\"} 3",
            "onionbalance_descriptor_size_bytes{service=\"shop\",descriptor=\"first\"} 20480",
            "onionbalance_backend_weight{service=\"shop\",backend=\"b2\"} 1",
            "onionbalance_backend_drained{service=\"shop\",backend=\"b2\"} 0",
            "onionbalance_backend_share_ratio{service=\"shop\",backend=\"b2\"} 0",
            "onionbalance_tor_connected{tor=\"unix:/run/tor/control\"} 1",
            "onionbalance_tor_bootstrap_ratio{tor=\"unix:/run/tor/control\"} 1",
            "onionbalance_tor_hsdirs{tor=\"unix:/run/tor/control\"} 4538",
            "onionbalance_tor_reconnects_total{tor=\"unix:/run/tor/control\"} 2",
            "onionbalance_tor_consensus_valid_until_timestamp_seconds{tor=\"unix:/run/tor/control\"} 1795345200",
            "onionbalance_process_cpu_seconds_total 12.5",
            "onionbalance_process_max_resident_memory_bytes 20971520",
            "onionbalance_config_last_reload_success_timestamp_seconds 1795336111",
        ] {
            let is_it = |found: &str| found.trim_end_matches(".0") == line;
            assert!(text.lines().any(is_it), "{line} is not in:\n{text}");
        }
        assert!(!text.contains(".onion"), "{text}");
        assert!(render(Some(&shop()), true).contains("backend=\"b2\",address=\"b.onion\"} 1"));
    }

    #[test]
    fn a_balancer_that_does_not_answer_has_one_metric() {
        let text = render(None, true);
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(series.len(), 1, "{text}");
        assert!(text.contains("\nonionbalance_reachable 0"), "{text}");
    }

    #[test]
    fn alerts_are_about_metrics_and_problems_that_exist() {
        let rules = include_str!("../../../packaging/prometheus/onionbalance.rules.yml");
        let manual = include_str!("../../../docs/operations.md");
        let text = render(Some(&shop()), false);
        let metrics: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let words = rules.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let used: BTreeSet<_> = words.filter(|word| word.starts_with("onionbalance_")).collect();
        assert!(used.len() >= 8 && used.is_subset(&metrics), "{used:?}\n{metrics:?}");
        let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
        let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
            panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
        });
        let words =
            targets.flat_map(|expr| expr.split(|char: char| !char.is_ascii_alphanumeric() && char != '_'));
        // The series of a histogram have endings.
        let metric = |word: &str| {
            let endings = ["_bucket", "_sum", "_count"].into_iter();
            endings.fold(word.to_owned(), |word, ending| word.trim_end_matches(ending).to_owned())
        };
        let used: BTreeSet<_> = words.filter(|word| word.starts_with("onionbalance_")).map(metric).collect();
        assert!(used.len() >= 8, "{used:?}");
        assert!(used.iter().all(|word| metrics.contains(word.as_str())), "{used:?}\n{metrics:?}");
        let anchors =
            rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")?.split_once('#'));
        let heads: BTreeSet<String> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(|head| head.trim_matches('`').to_lowercase().replace(' ', "-"))
            .collect();
        let anchors: Vec<_> = anchors.map(|(_, anchor)| anchor).collect();
        assert!(anchors.len() >= 8 && anchors.iter().all(|anchor| heads.contains(*anchor)), "{anchors:?}");
    }
}

//! Findings from the text of the configuration alone: the warnings of the programs, and numbers that hurt.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::path::Path;
use std::time::Duration;

use onionbalance_proto::config::{Address, Instances, Lines, Service, check_own_backends, line_of_key};

use super::finding::{Finding, Severity};
use crate::config::Configuration;

/// The shortest interval of looks at a backend without a warning.
const SHORTEST_REFRESH: Duration = Duration::from_secs(60);

/// The longest wait for missing backends without a warning.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The shortest interval between publications of an unchanged v2 descriptor without a warning.
const SHORTEST_UPLOAD_PERIOD: Duration = Duration::from_secs(600);

/// The fewest requests per minute and service without a warning: normal operation needs a few an hour, and
/// changes of backends need more at once.
const FEWEST_REQUESTS: u32 = 10;

/// All findings about the file. If it `has_errors`, a service may lack backends because of one of them, and
/// is not reported for that.
pub(super) fn findings(configuration: &Configuration, has_errors: bool) -> Vec<Finding> {
    let config = configuration.contents();
    let mut findings: Vec<Finding> =
        config.warnings.iter().map(|warning| warned(configuration, warning)).collect();
    if !has_errors {
        let empty = config.without_instances(configuration.text(), configuration.path());
        findings.extend(empty.into_iter().map(Finding::warning));
    }
    let lines = Lines::of(configuration.text());
    findings.extend(config.services.iter().flat_map(|service| repeated(configuration, &lines, service)));
    // The key shows the address; a file name can be wrong.
    let own =
        check_own_backends(&config.services, address_in_name, configuration.text(), configuration.path());
    findings.extend(own.err().map(Finding::warning));
    findings.extend(numbers(configuration));
    findings
}

/// A warning of the parser's: it begins with the keys that it is about.
fn warned(configuration: &Configuration, warning: &str) -> Finding {
    let keys = warning.split(':').next().unwrap_or_default().split(", ");
    let line = keys.filter_map(|key| line_of_key(configuration.text(), key)).min();
    Finding { severity: Severity::Warning, line, text: warning.to_owned(), remedy: None }
}

/// A warning for each backend that a service lists more than once.
fn repeated(configuration: &Configuration, lines: &Lines<'_>, service: &Service) -> Vec<Finding> {
    let finding = |address: String| {
        let what = format!("{address} is listed twice for the service with the key {}", service.key);
        let error = lines.error(configuration.path(), &address, what.clone());
        let bare = address.trim_end_matches(".onion");
        let error = if error.line.is_some() { error } else { lines.error(configuration.path(), bare, what) };
        Finding { remedy: Some("remove one of the two".to_owned()), ..Finding::warning(error) }
    };
    let addresses = match &service.instances {
        Instances::None => Vec::new(),
        Instances::V2(instances) => twice(instances.iter().map(|instance| instance.address)),
        Instances::V3(instances) => twice(instances.iter().map(|instance| instance.address)),
    };
    addresses.into_iter().map(finding).collect()
}

/// The addresses that come more than once, each of them once.
fn twice<A: Copy + Display + Eq + Hash>(addresses: impl Iterator<Item = A>) -> Vec<String> {
    let (mut seen, mut told) = (HashSet::new(), HashSet::new());
    addresses
        .filter(|address| !seen.insert(*address) && told.insert(*address))
        .map(|address| address.to_string())
        .collect()
}

/// The address in the name of a key file, as `onionbalance-config` names it: `ADDRESS.key`.
pub(super) fn address_in_name(key: &str) -> Option<Address> {
    Path::new(key).file_stem()?.to_str()?.parse().ok()
}

fn numbers(configuration: &Configuration) -> Vec<Finding> {
    let config = configuration.contents();
    let warning = |key: &str, text: String, remedy: &str| {
        // Some keys have a second name.
        let name =
            if line_of_key(configuration.text(), key).is_some() { key.to_owned() } else { second_name(key) };
        Finding::of_key(Severity::Warning, configuration, &name, &text, remedy)
    };
    let mut findings = Vec::new();
    if let Some(refresh) = config.tuning.refresh.filter(|refresh| *refresh < SHORTEST_REFRESH) {
        let text = format!(
            "each backend is looked up every {} s, which loads tor and the HSDirs",
            refresh.as_secs()
        );
        findings.push(warning("REFRESH_INTERVAL", text, "remove it: the default is 600"));
    }
    if let Some(delay) = config.tuning.initial_delay.filter(|delay| *delay > LONGEST_DELAY) {
        let text =
            format!("while a backend is missing, a service is first published after {} s", delay.as_secs());
        findings.push(warning("INITIAL_DELAY", text, "remove it: the default is 3"));
    }
    if let Some(period) = config.tuning.upload_period.filter(|period| *period < SHORTEST_UPLOAD_PERIOD) {
        let text =
            format!("unchanged v2 descriptors are published every {} s, which loads tor", period.as_secs());
        findings.push(warning("DESCRIPTOR_UPLOAD_PERIOD", text, "remove it: the default is 7200"));
    }
    if config.signer_requests_per_minute < FEWEST_REQUESTS {
        let text =
            format!("the signer refuses all but {} requests a minute", config.signer_requests_per_minute);
        findings.push(warning("signer-requests-per-minute", text, "remove it: the default is 120"));
    }
    findings
}

/// The name of a key in Onionbalance's first version.
fn second_name(key: &str) -> String {
    if key == "REFRESH_INTERVAL" { "refresh".to_owned() } else { key.to_ascii_lowercase() }
}

//! Reports without addresses, for reports of bugs.

use crate::status::Report;

/// The report with numbers in place of addresses: the service `service-1.onion`, its backends
/// `backend-1.onion` and so on, and without the lines of clients, which have cookies.
pub(in super::super) fn redacted(report: &Report) -> Report {
    // A report can always be written as JSON, and read again.
    let mut text = serde_json::to_string(report).unwrap_or_default();
    let services = report.services.iter().map(|service| &service.onion_address);
    let mut backends: Vec<&String> =
        report.services.iter().flat_map(|service| &service.instances).map(|of| &of.onion_address).collect();
    backends.sort_unstable();
    backends.dedup();
    let named = services.zip(1..).map(|(address, number)| (address, format!("service-{number}")));
    let backends =
        backends.into_iter().zip(1..).map(|(address, number)| (address, format!("backend-{number}")));
    for (address, number) in named.chain(backends) {
        text = text.replace(address.strip_suffix(".onion").unwrap_or(address), &number);
    }
    let mut redacted: Report = serde_json::from_str(&text).unwrap_or_else(|_| report.clone());
    for service in &mut redacted.services {
        service.client_line = None;
    }
    redacted
}

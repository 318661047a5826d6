//! Reports without addresses, for reports of bugs.

use crate::status::Report;

/// The report with numbers in place of addresses: the service `service-1.onion`, its backends
/// `backend-1.onion` and so on, and HSDirs `hsdir-1`, which tell whose they are. The lines of clients, which
/// have cookies, are left out.
///
/// # Errors
/// The report cannot be read any more, because an address in it is none. Nothing may be shown of it then.
pub(in super::super) fn redacted(report: &Report) -> serde_json::Result<Report> {
    let mut text = serde_json::to_string(report)?;
    let services = || report.services.iter();
    let hsdirs = services().flat_map(|service| &service.descriptors).flat_map(|one| &one.lacking);
    let kinds = [
        ("service", services().map(|service| &service.onion_address).collect::<Vec<_>>()),
        ("backend", services().flat_map(|service| &service.instances).map(|of| &of.onion_address).collect()),
        ("hsdir", hsdirs.map(|hsdir| &hsdir.fingerprint).collect()),
    ];
    for (kind, mut names) in kinds {
        names.sort_unstable();
        names.dedup();
        for (name, number) in names.into_iter().zip(1..) {
            text = text.replace(name.strip_suffix(".onion").unwrap_or(name), &format!("{kind}-{number}"));
        }
    }
    let mut redacted: Report = serde_json::from_str(&text)?;
    for service in &mut redacted.services {
        service.client_line = None;
    }
    Ok(redacted)
}

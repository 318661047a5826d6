//! The text of `config.yaml`, and the addresses that are filled in later.

use std::fmt::Write;

use onionbalance_proto::config::Address;

use super::Problem;
use super::deployment::{Deployment, key_file};
use super::kernel::Kernel;
use super::plan::{Backend, Form};

/// The configuration of a deployment.
pub(super) fn render(deployment: &Deployment) -> String {
    let mut text =
        "# Made by `onionbalance config`. config.yaml.example explains every key.\nservices:\n".to_owned();
    for (service, address) in deployment.services() {
        // Writing to a string cannot fail.
        let _ = write!(text, "  - name: {}\n    key: {}\n    instances:\n", service.name, key_file(address));
        for Backend { name, address, .. } in &service.backends {
            let address = address.as_ref().map_or_else(|| placeholder(name), Address::to_string);
            let _ = write!(text, "      - address: {address}\n        name: {name}\n");
        }
    }
    text.push('\n');
    text += match deployment.plan.form {
        Form::Units => UNITS,
        Form::FirstTry => FIRST_TRY,
    };
    text += &locked_memory(&deployment.machine.kernel);
    text
}

const FIRST_TRY: &str = "\
# `onionbalance status -c` with this file asks here.
status-socket-location: status.sock
";

const UNITS: &str = "\
# Where the units for systemd have the signer's socket.
signer-socket-location: /run/onionbalance/signer.sock
# The balancer's user in the units may ask the signer.
signer-allowed-uids: [onionbalance]
# The newest descriptors of the backends outlive a restart here.
state-file-location: /var/lib/onionbalance/state.json
";

/// The setting that a kernel without secret memory needs, with its reason; nothing for another kernel.
pub(super) fn locked_memory(kernel: &Kernel) -> String {
    let Some(release) = kernel.without_secret_memory() else { return String::new() };
    format!(
        "# The kernel {release} has no memory that root cannot read. Keys are in memory that is never swapped out instead.
# With secretmem.enable=1 on the kernel's command line (Linux 5.14 or newer), or from Linux 6.5 on, remove this line.
signer-allow-locked-memory: true
"
    )
}

/// The text in place of an address that is not known yet.
fn placeholder(backend: &str) -> String {
    format!("<address of {backend}>")
}

/// The configuration `text` with these addresses in their places. An address that is there already is left.
/// Fails if a backend has no place, and no address is given for it.
pub(super) fn fill(text: &str, backends: &[Backend]) -> Result<String, Problem> {
    let mut filled = text.to_owned();
    for Backend { name, address, .. } in backends {
        let Some(address) = address else {
            return Err(Problem::new(format_args!("{name} has no address: write {name}=ADDRESS")));
        };
        let (place, address) = (placeholder(name), address.to_string());
        if filled.contains(&place) {
            filled = filled.replace(&place, &address);
        } else if !filled.contains(&address) {
            return Err(Problem::new(format_args!("there is no `{place}` to replace: edit the file")));
        }
    }
    Ok(filled)
}

/// The names of the backends whose addresses are missing in `text`.
pub(super) fn missing(text: &str) -> Vec<&str> {
    let places = text.lines().filter_map(|line| line.split_once("<address of "));
    places.filter_map(|(_, rest)| rest.split_once('>')).map(|(name, _)| name).collect()
}

//! The text of the tree's README: the next steps for exactly this deployment.

use std::path::Path;

use super::backend;
use super::deployment::{Deployment, key_file};
use super::plan::{Backend, Form, Protection};
use crate::cli::HsVersion;

/// The README of a deployment in the directory with the absolute path `place`.
pub(super) fn render(deployment: &Deployment, place: &Path) -> String {
    let mut steps = vec![backends(deployment)];
    if !deployment.plan.has_all_addresses() {
        steps.push(addresses(deployment));
    }
    match deployment.plan.form {
        Form::Units => steps.push(installation(deployment)),
        Form::FirstTry => steps.push(first_try(deployment)),
    }
    steps.push(backup(deployment));
    let numbered = steps.iter().zip(1..).map(|(step, number)| format!("\n\n{number}. {step}"));
    format!("{}{}", head(deployment, place), numbered.collect::<String>())
}

fn head(deployment: &Deployment, place: &Path) -> String {
    let (title, noun) = match deployment.plan.services.as_slice() {
        [one] => (one.name.clone(), "address"),
        several => {
            let names = several.iter().map(|service| service.name.as_str());
            (names.collect::<Vec<_>>().join(", "), "addresses")
        }
    };
    let landlock = if deployment.machine.kernel.is_without_landlock() {
        "\nThis machine's kernel has no landlock, by which both programs give up their\n\
         files. Boot it with landlock among lsm=.\n"
    } else {
        ""
    };
    format!(
        "{title}
{}

The {noun} for visitors:

{}
All commands below are run in this directory:

    cd {}
{landlock}",
        "=".repeat(title.len()),
        frontends(deployment),
        quoted(place)
    )
}

/// The addresses for visitors, a line each, after the service's name if there are several.
pub(super) fn frontends(deployment: &Deployment) -> String {
    let lines = deployment.services().map(|(service, address)| match deployment.addresses.len() {
        1 => format!("{address}\n"),
        _ => format!("{}:\n{address}\n", service.name),
    });
    lines.collect()
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.+".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// These lines of a shell, set off from the text.
fn commands(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "    " + line + "\n")
}

/// All backends of the deployment.
fn all(deployment: &Deployment) -> impl Iterator<Item = &Backend> {
    deployment.plan.services.iter().flat_map(|service| &service.backends)
}

fn backends(deployment: &Deployment) -> String {
    let version = match deployment.plan.version {
        HsVersion::V2 => "It has to be 0.4.5.10, 0.3.5.16 or older: newer ones have no version 2.\n",
        HsVersion::V3 => "",
    };
    let targets = deployment.plan.services.iter().map(|service| {
        format!(
            "Tor passes visitors of {}, port {}, to {} there.\n",
            service.name, service.port, service.target
        )
    });
    let line = |Backend { name, has_key, .. }: &Backend| match has_key {
        true => format!(
            "tar -C backends -cf - {name} | ssh root@{name} 'tar -xf - --no-same-owner && sh {name}/install.sh'"
        ),
        false => format!("ssh root@{name} sh -s < backends/{name}/install.sh"),
    };
    let lines: Vec<String> = all(deployment).map(line).collect();
    let keys = if deployment.plan.has_backend_keys() { KEYS } else { "" };
    format!(
        "The backends

Install tor on the machine of each backend, and run its script there as root.
{version}The script adds an onion service to tor's configuration, restarts tor, and
prints the backend's name and address.
{}{keys}
{}",
        targets.collect::<String>(),
        commands(&lines)
    )
}

/// The sentences about the keys of backends.
const KEYS: &str = "\
The keys of the backends were made here, so that no address has to be carried
back. They are not encrypted. The script installs the key for tor, and removes
it from the copy of the directory there.
";

fn addresses(deployment: &Deployment) -> String {
    let missing = all(deployment).filter(|backend| backend.address.is_none());
    let list: Vec<String> = missing.map(|backend| format!("{}=ADDRESS", backend.name)).collect();
    format!(
        "Their addresses

Write them into the configuration:

{}",
        commands(&[format!("onionbalance config --output . --backends {}", list.join(","))])
    )
}

fn installation(deployment: &Deployment) -> String {
    let passphrase = if is_encrypted(deployment) {
        "It asks for the passphrase, which becomes a credential that only systemd on\nthis machine can open.\n"
    } else {
        ""
    };
    format!(
        "This machine

Install onionbalance as its README says, and tor, which needs a control socket
as Debian's has. Then run this script as root. It checks the configuration and
the {keys}, installs both in /etc/onionbalance with their owners and modes, starts
both programs now and at each boot, and returns when all is ok.
{passphrase}
{}",
        commands(&["sh management/install.sh".to_owned()]),
        keys = keys(deployment),
    )
}

fn first_try(deployment: &Deployment) -> String {
    let passphrase =
        if is_encrypted(deployment) { "It asks for the passphrase on the\nterminal. " } else { "" };
    format!(
        "The first try

The balancer starts a signer of its own. {passphrase}It uses tor's control
socket, which on Debian root and the group debian-tor may use.

{}
The status, in another terminal:

{}
The signer and the balancer have one user here. For two users under systemd,
run `onionbalance config` again without --first-try, and give it the same key.
",
        commands(&[
            "onionbalance check -c management/config.yaml".to_owned(),
            "onionbalance -c management/config.yaml".to_owned(),
        ]),
        commands(&["onionbalance status -c management/config.yaml --wait".to_owned()]),
    )
}

/// The first sentences about a copy.
const COPY: &str = "\
Copy the directory management to a safe place. An address is lost with its key.
";
const COPY_WITH_BACKENDS: &str = "\
Copy the directories management and backends to a safe place. An address is
lost with its key. The keys of the backends are not encrypted.
";

fn backup(deployment: &Deployment) -> String {
    let protection = if is_encrypted(deployment) {
        "Keep the passphrase in another place."
    } else {
        "No key is encrypted here:\nthe holder of a copy can act as the service."
    };
    let own = deployment.addresses.iter().map(|address| format!("management/{}", key_file(address)));
    let key = backend::key_file(deployment.plan.version);
    let of_backends = all(deployment).filter(|backend| backend.has_key);
    let of_backends: Vec<String> = of_backends.map(|of| format!("backends/{}/{key}", of.name)).collect();
    let copy = if of_backends.is_empty() { COPY } else { COPY_WITH_BACKENDS };
    // The first try uses its key here.
    let own = own.filter(|_| deployment.plan.form == Form::Units);
    let lines: Vec<String> = own.chain(of_backends).map(|file| format!("shred -u {file}")).collect();
    let remove = if lines.is_empty() {
        String::new()
    } else {
        format!("\nThen remove the keys that are left here:\n\n{}", commands(&lines))
    };
    format!(
        "A copy

{copy}{protection}
{remove}"
    )
}

/// The word for the keys of the deployment.
fn keys(deployment: &Deployment) -> &'static str {
    if deployment.addresses.len() == 1 { "key" } else { "keys" }
}

fn is_encrypted(deployment: &Deployment) -> bool {
    deployment.plan.protection != Protection::Plain
}

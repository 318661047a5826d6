//! `packaging/container/compose.yaml` as options of `podman run`. Debian 12's podman-compose knows neither
//! `group_add` nor a container without network.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use onionbalance_tests::document::Document;
use serde_json::Value;

use super::options::{at, entries, parse, read, word, words};
use super::podman::{Container, Podman};
use super::{OWN_TORRC, TORRC};

const DIRECTORY: &str = "/root/onionbalance/packaging/container";
const PASSPHRASE: &str = "opens it\n";

/// The images, each with its target in the Containerfile.
pub(super) fn targets() -> Result<Vec<(String, String)>> {
    let file = read("compose.yaml")?;
    let services = entries(at(&file, "/services"), "services")?;
    services
        .values()
        .map(|service| {
            ensure!(at(service, "/build/dockerfile") == "packaging/container/Containerfile", "{service}");
            ensure!(at(service, "/build/context") == "../..", "{service}");
            Ok((word(at(service, "/image"))?, word(at(service, "/build/target"))?))
        })
        .collect()
}

/// Writes the configuration and an encrypted key as docs/containers.md has it; returns the containers in the
/// order of their start.
pub(super) fn prepare(podman: &Podman, config: &str, key: &str) -> Result<Vec<Container>> {
    let document = Document::read("docs/containers.md")?;
    podman.sh(&format!("cd {DIRECTORY}; install -d config keys"))?;
    let place = |name: &str| podman.path(&format!("{DIRECTORY}/{name}"));
    fs::write(place("config/config.yaml"), config)?;
    fs::write(place("keys/plain.key"), key)?;
    fs::write(place("keys/passphrase"), PASSPHRASE)?;
    podman.sh(&format!(
        "cd {DIRECTORY}/keys; umask 077; target=../../../target/release
        $target/onionbalance-key encrypt plain.key --new-passphrase-file passphrase -o frontend.key; rm plain.key"
    ))?;
    let owners = document.console("Prepare").into_iter().find(|block| block.contains("chown"));
    podman.sh(&format!("cd {DIRECTORY}; {}", owners.context("no block has the owners")?))?;

    let encrypted = document.blocks("Encrypted keys", "yaml");
    let [encrypted] = encrypted.as_slice() else { bail!("{encrypted:?}") };
    let command = words(at(&parse(encrypted)?, "/services/signer/command"), "command")?;
    let file = read("compose.yaml")?;
    let services = entries(at(&file, "/services"), "services")?;
    ["signer", "tor", "balancer"]
        .iter()
        .map(|name| {
            let service = services.get(*name).with_context(|| format!("no service {name}"))?;
            let mut found = container(name, service).with_context(|| format!("services.{name}"))?;
            if *name == "signer" {
                found.arguments.clone_from(&command);
            }
            Ok(found)
        })
        .collect()
}

fn container(name: &str, service: &Value) -> Result<Container> {
    let mut container = Container::new(name);
    add(&mut container, service)?;
    if name == "tor" {
        container.options(&["--network", "host", "--volume", &format!("{OWN_TORRC}:{TORRC}:ro")]);
    }
    Ok(container)
}

fn add(container: &mut Container, service: &Value) -> Result<()> {
    for (key, value) in entries(service, "the service")? {
        match key.as_str() {
            // YAML's merge key.
            "<<" => add(container, value)?,
            "image" => container.image = word(value)?,
            "command" => container.arguments = words(value, key)?,
            // The images are built, and the order of the start is known.
            "build" | "depends_on" => {}
            "restart" => container.options(&["--restart", &word(value)?]),
            "read_only" => container.options(&[&format!("--read-only={}", word(value)?)]),
            "user" => {
                container.user = word(value)?;
                container.options(&["--user", &word(value)?]);
            }
            "network_mode" => container.options(&["--network", &word(value)?]),
            "tmpfs" => container.options(&["--tmpfs", &word(value)?]),
            "cap_drop" => container.repeat("--cap-drop", &words(value, key)?),
            "security_opt" => container.repeat("--security-opt", &words(value, key)?),
            "group_add" => container.repeat("--group-add", &words(value, key)?),
            "volumes" => container.repeat("--volume", &words(value, key)?),
            "ulimits" => {
                for (limit, value) in entries(value, key)? {
                    container.options(&["--ulimit", &format!("{limit}={}", word(value)?)]);
                }
            }
            "healthcheck" => {
                let test = words(at(value, "/test"), "healthcheck.test")?;
                let command = test.split_first().filter(|(how, _)| *how == "CMD").context("needs a shell")?.1;
                container.probes.push(command.to_vec());
            }
            _ => bail!("{key} is not tested"),
        }
    }
    Ok(())
}

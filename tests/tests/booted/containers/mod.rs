//! Signer, balancer and tor in containers, as the files of `packaging/container/` describe them: the images
//! by its Containerfile, the containers by its compose file and by its pod manifest. Podman runs them in a
//! booted Debian, with its default seccomp profile.

mod compose;
mod options;
mod pod;
mod podman;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;
use onionbalance_tests::document::Document;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Network, Plan};
use onionbalance_tests::provision::podman_archives;
use onionbalance_tests::wait::until;

use self::podman::{Container, Podman};

/// The longest time until a client finds the frontend, after the balancer is "ok".
const REACHABLE: Duration = Duration::from_secs(30);
/// The torrc of the image, and the file that takes its place here: the network is a private one.
const TORRC: &str = "/etc/tor/torrc";
const OWN_TORRC: &str = "/srv/torrc";

#[needs_root]
#[test]
fn a_frontend_is_served_from_containers() -> Result<()> {
    let archives = podman_archives()?;
    isolate_network()?;
    let podman = Podman::start(&archives)?;
    podman.build_images(&compose::targets()?)?;
    let key = KeyV3::named("containers");
    let address = key.address()?;
    let plan = Plan { backends: 1, frontends: vec![address], ..Plan::default() };
    let network = Network::start(&plan)?;
    let image_torrc = podman.sh("cat packaging/container/torrc")?;
    let torrc = image_torrc + &network.torrc();
    fs::write(podman.path(OWN_TORRC), torrc)?;
    let backend = network.backend(0)?;
    let config = configuration(&backend.address().to_string())?;

    let composed = compose::prepare(&podman, &config, &key.pem()?)?;
    without_calls(&podman, &composed)?;
    for (name, containers) in
        [("compose.yaml", composed), ("pod.yaml", pod::prepare(&podman, &config, &key.pem()?)?)]
    {
        serve(&podman, &containers)
            .and_then(|()| {
                let page = || Ok(network.client().get(&address, 80, "/").ok());
                let page = until(REACHABLE, page).context("the frontend cannot be visited")?;
                ensure!(page.text() == backend.name(), "{}", page.text());
                // In a pod the key is in a volume of kubelet's.
                if name == "compose.yaml" {
                    let balancer = containers.iter().find(|container| container.name == "balancer");
                    check(&podman, &balancer.context("no balancer")?.image)?;
                }
                end(&podman, &containers)
            })
            .with_context(|| format!("{name}:\n{}", podman.logs(&containers)))?;
    }
    Ok(())
}

/// Runs the signer with the profile of an older runtime: it reports which protection it lacks.
fn without_calls(podman: &Podman, containers: &[Container]) -> Result<()> {
    podman.sh(
        "sed -e '/\"landlock_/d; /\"memfd_secret\"/d' /usr/share/containers/seccomp.json >/srv/older.json",
    )?;
    let mut signer = containers.first().context("no container")?.clone();
    "older".clone_into(&mut signer.name);
    signer.options(&["--security-opt", "seccomp=/srv/older.json"]);
    podman.run(&signer)?;
    for warning in ["the kernel has no landlock", "keys are in locked memory", "listening on"] {
        podman.wait_log("older", warning)?;
    }
    end(podman, &[signer])
}

/// Starts the containers, and waits until the balancer reports that all is ok.
fn serve(podman: &Podman, containers: &[Container]) -> Result<()> {
    for container in containers {
        podman.run(container)?;
    }
    podman.sh("podman exec balancer /usr/bin/onionbalance status --wait=90")?;
    for container in containers {
        podman.ensure_confined(container)?;
        for probe in &container.probes {
            podman.exec(&container.name, probe)?;
        }
    }
    // As docs/containers.md describes it.
    for name in ["signer", "balancer"] {
        podman.sh(&format!("podman kill --signal HUP {name}"))?;
        podman.wait_log(name, "reloaded /etc/onionbalance/config.yaml")?;
    }
    Ok(())
}

/// Checks the deployment as docs/containers.md does it.
fn check(podman: &Podman, image: &str) -> Result<()> {
    let options = "--network none --user 0:0 --volumes-from balancer --volume ./keys:/run/keys:ro";
    let limits = "--ulimit nofile=1024 --ulimit nproc=4096:4096";
    let checked = podman.sh(&format!(
        "cd packaging/container; podman run --rm {options} {limits} {image} check --live --visit"
    ))?;
    ensure!(checked.contains("3 of 3 visits succeeded"), "{checked}");
    Ok(())
}

/// Ends the containers: as the first process of its container each program ends at SIGTERM, with status 0.
fn end(podman: &Podman, containers: &[Container]) -> Result<()> {
    for Container { name, .. } in containers {
        let ended = podman.sh(&format!(
            "podman stop --time 10 {name}; podman inspect --format '{{{{.State.ExitCode}}}}' {name}"
        ))?;
        ensure!(ended.lines().last() == Some("0"), "{name} ended with {ended}");
    }
    podman.sh("podman rm --all --force; podman volume rm --all --force").map(drop)
}

/// The configuration of docs/containers.md, with this backend.
fn configuration(backend: &str) -> Result<String> {
    let document = Document::read("docs/containers.md")?;
    let yaml = document.blocks("Prepare", "yaml");
    let [config, ..] = yaml.as_slice() else { anyhow::bail!("docs/containers.md has no configuration") };
    let config = config.replace("FIRST-BACKEND.onion", backend);
    ensure!(config.contains(backend), "{config}");
    // A kernel without secret memory is no fault of the containers.
    Ok(config + "signer-allow-locked-memory: true\n")
}

//! `packaging/container/pod.yaml` as options of `podman run`, with volumes as kubelet makes them: its
//! `AtomicWriter` writes `Secret`s and `ConfigMap`s, and `SetVolumeOwnership` gives all to `fsGroup`. Podman's
//! own reader of manifests knows no `fsGroup`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::options::{at, entries, list, read, word, words};
use super::podman::{Container, Podman};
use super::{OWN_TORRC, TORRC};

/// The directory of the pod's volumes: a `ConfigMap` is known by its place in kubelet's directories.
const VOLUMES: &str = "/srv/pod/volumes";

/// Makes the volumes; returns the containers in the order of their start.
pub(super) fn prepare(podman: &Podman, config: &str, key: &str) -> Result<Vec<Container>> {
    let file = read("pod.yaml")?;
    let pod = at(&file, "/spec/template/spec");
    known(
        pod,
        "the pod",
        &["containers", "volumes", "securityContext", "automountServiceAccountToken", "enableServiceLinks"],
    )?;
    let context = at(pod, "/securityContext");
    known(context, "securityContext", &["runAsNonRoot", "fsGroup", "seccompProfile"])?;
    ensure!(at(context, "/seccompProfile/type") == "RuntimeDefault" && at(context, "/runAsNonRoot") == true);
    let group = word(at(context, "/fsGroup"))?;

    let volumes = list(at(pod, "/volumes"), "volumes")?
        .iter()
        .map(|volume| Ok((word(at(volume, "/name"))?, make_volume(podman, volume, &group, [config, key])?)));
    let volumes = volumes.collect::<Result<_>>()?;
    // The balancer waits for both, so any order does.
    list(at(pod, "/containers"), "containers")?
        .iter()
        .map(|found| container(found, &group, &volumes))
        .collect()
}

/// Makes a volume; returns its directory.
fn make_volume(podman: &Podman, volume: &Value, group: &str, [config, key]: [&str; 2]) -> Result<String> {
    let name = word(at(volume, "/name"))?;
    if volume.get("configMap").is_some() {
        let place = format!("{VOLUMES}/kubernetes.io~configmap/{name}");
        write_volume(podman, &place, group, ("config.yaml", config, "0644"))?;
        return Ok(place);
    }
    if volume.get("secret").is_some() {
        // YAML 1.1 reads 0400 as 256. Kubelet adds the group's permission to read.
        let mode = word(at(volume, "/secret/defaultMode"))?;
        ensure!(["0400", "400", "256"].contains(&mode.as_str()), "{volume}");
        let place = format!("{VOLUMES}/kubernetes.io~secret/{name}");
        write_volume(podman, &place, group, ("frontend.key", key, "0440"))?;
        return Ok(place);
    }
    ensure!(volume.get("emptyDir").is_some(), "{volume}");
    let place = format!("{VOLUMES}/kubernetes.io~empty-dir/{name}");
    podman.sh(&format!("install -d -m 2777 -o 0 -g {group} {place}"))?;
    Ok(place)
}

/// Writes a volume with one file, as kubelet does.
fn write_volume(
    podman: &Podman,
    place: &str,
    group: &str,
    (file, text, mode): (&str, &str, &str),
) -> Result<()> {
    fs::write(podman.path("/srv/contents"), text)?;
    let is_secret = place.contains("secret");
    let (mount, volume_mode) = if is_secret { ("mount -t tmpfs tmpfs", "3777") } else { ("true", "2777") };
    podman
        .sh(&format!(
            "install -d -m 700 /srv/pod; install -d {place}; {mount} {place}; cd {place}
            install -d -m 2755 -g {group} ..2026_11_30_12_00_00.1
            install -m {mode} -g {group} /srv/contents ..2026_11_30_12_00_00.1/{file}; rm /srv/contents
            ln -s ..2026_11_30_12_00_00.1 ..data; ln -s ..data/{file} {file}
            chgrp -h {group} . ..data {file}; chmod {volume_mode} ."
        ))
        .map(drop)
}

fn container(found: &Value, group: &str, volumes: &BTreeMap<String, String>) -> Result<Container> {
    let name = word(at(found, "/name"))?;
    let mut container = Container::new(&name);
    // All containers of a pod have one network.
    container.options(&[
        "--network",
        "host",
        "--restart",
        "unless-stopped",
        "--group-add",
        group,
        "--ulimit",
        "nofile=1024",
    ]);
    for (key, value) in entries(found, "the container")? {
        match key.as_str() {
            // Podman cannot limit memory here.
            "name" | "resources" => {}
            "image" => container.image = word(value)?,
            "args" => container.arguments = words(value, key)?,
            "securityContext" => confine(&mut container, value)?,
            "livenessProbe" | "readinessProbe" => {
                container.probes.push(words(at(value, "/exec/command"), key)?);
            }
            "volumeMounts" => {
                for mount in list(value, key)? {
                    known(mount, "the mount", &["name", "mountPath", "readOnly"])?;
                    let place = volumes.get(&word(at(mount, "/name"))?).context("no such volume")?;
                    let read_only = if at(mount, "/readOnly") == true { ":ro" } else { "" };
                    container.options(&[
                        "--volume",
                        &format!("{place}:{}{read_only}", word(at(mount, "/mountPath"))?),
                    ]);
                }
            }
            _ => bail!("{name}: {key} is not tested"),
        }
    }
    if name == "tor" {
        container.options(&["--volume", &format!("{OWN_TORRC}:{TORRC}:ro")]);
    }
    Ok(container)
}

fn confine(container: &mut Container, context: &Value) -> Result<()> {
    let keys =
        ["readOnlyRootFilesystem", "allowPrivilegeEscalation", "capabilities", "runAsUser", "runAsGroup"];
    known(context, "securityContext", &keys)?;
    container.user = format!("{}:{}", word(at(context, "/runAsUser"))?, word(at(context, "/runAsGroup"))?);
    let user = container.user.clone();
    container.options(&[
        "--user",
        &user,
        &format!("--read-only={}", word(at(context, "/readOnlyRootFilesystem"))?),
    ]);
    if at(context, "/allowPrivilegeEscalation") == false {
        container.options(&["--security-opt", "no-new-privileges:true"]);
    }
    container.repeat("--cap-drop", &words(at(context, "/capabilities/drop"), "capabilities.drop")?);
    Ok(())
}

/// Fails if a mapping has other keys than these.
fn known(value: &Value, what: &str, keys: &[&str]) -> Result<()> {
    for key in entries(value, what)?.keys() {
        ensure!(keys.contains(&key.as_str()), "{what}: {key} is not tested");
    }
    Ok(())
}

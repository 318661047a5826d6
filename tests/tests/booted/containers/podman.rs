//! Podman in a booted Debian.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::booted::Booted;
use onionbalance_tests::wait::until;

const SOON: Duration = Duration::from_secs(20);

/// A container to be run.
#[derive(Clone, Default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    /// Its user and group, as numbers.
    pub(super) user: String,
    pub(super) arguments: Vec<String>,
    /// The commands that tell its health: they succeed if all is ok.
    pub(super) probes: Vec<Vec<String>>,
    options: Vec<String>,
}

impl Container {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn options(&mut self, options: &[&str]) {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
    }

    pub(super) fn repeat(&mut self, option: &str, values: &[String]) {
        for value in values {
            self.options(&[option, value]);
        }
    }
}

/// A system with podman.
pub(super) struct Podman(Booted);

impl Deref for Podman {
    type Target = Booted;

    fn deref(&self) -> &Booted {
        &self.0
    }
}

impl Podman {
    /// Boots a system, and unpacks these packages in it.
    pub(super) fn start(archives: &Path) -> Result<Self> {
        let system = Booted::start("containers")?;
        system.copy_files(archives, "/srv/podman")?;
        system.sh(UNPACK)?;
        fs::write(system.path("/etc/containers/storage.conf"), STORAGE)?;
        fs::write(system.path("/etc/containers/containers.conf"), LIMITS)?;
        Ok(Self(system))
    }

    /// Builds images by the Containerfile, each from its target. The stage that compiles is replaced by the
    /// programs of this test, on which the commands of the Containerfile that make the images' files run.
    pub(super) fn build_images(&self, targets: &[(String, String)]) -> Result<()> {
        let file = self.sh("cat packaging/container/Containerfile")?;
        let (compiling, images) =
            file.split_once("\nFROM scratch ").context("no image is made from scratch")?;
        let making: Vec<&str> = compiling
            .lines()
            .filter_map(|line| line.strip_prefix("RUN "))
            .filter(|command| command.starts_with("sh packaging/container/root.sh "))
            .collect();
        ensure!(making.len() == targets.len(), "{making:?}");
        self.sh(&making.join("\n"))?;
        self.sh("tar -C / -c image | podman import --quiet - localhost/build; rm -r /image")?;
        let rest = format!("FROM localhost/build AS build\nFROM scratch {images}");
        fs::write(self.path("/srv/Containerfile"), rest)?;
        self.sh("mkdir /srv/context")?;
        for (image, target) in targets {
            let options = format!("--quiet --file /srv/Containerfile --target {target} --tag {image}");
            self.sh(&format!("podman build {options} /srv/context"))?;
        }
        Ok(())
    }

    pub(super) fn run(&self, container: &Container) -> Result<()> {
        let Container { name, image, options, arguments, .. } = container;
        let words = [options.as_slice(), std::slice::from_ref(image), arguments].concat();
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let run = format!("podman run --detach --ulimit nproc=4096:4096 --name {name} {}", words.join(" "));
        self.sh(&format!("cd packaging/container; {run}")).map(drop)
    }

    pub(super) fn exec(&self, name: &str, command: &[String]) -> Result<String> {
        self.sh(&format!("podman exec {name} {}", command.join(" ")))
    }

    /// Fails unless the container's process has its user, no capability, a read-only root, and a filter of
    /// system calls besides its own.
    pub(super) fn ensure_confined(&self, container: &Container) -> Result<()> {
        let name = &container.name;
        let pid = self.sh(&format!("podman inspect --format '{{{{.State.Pid}}}}' {name}"))?;
        let pid = pid.trim();
        let status = self.sh(&format!("cat /proc/{pid}/status"))?;
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.map(str::trim).with_context(|| format!("no {key}"))
        };
        let first =
            |key: &str| Ok::<_, anyhow::Error>(value(key)?.split_whitespace().next().unwrap_or_default());
        ensure!(format!("{}:{}", first("Uid:")?, first("Gid:")?) == container.user, "{name}: {status}");
        ensure!(
            ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:"]
                .iter()
                .all(|set| value(set).is_ok_and(|set| set.bytes().all(|digit| digit == b'0'))),
            "{name}: {status}"
        );
        ensure!(value("NoNewPrivs:")? == "1" && value("Seccomp:")? == "2", "{name}: {status}");
        let own_filters = match name.as_str() {
            "signer" => 1,
            "balancer" => 2,
            _ => 0,
        };
        ensure!(value("Seccomp_filters:")? == (1 + own_filters).to_string(), "{name}: {status}");
        let mounts = self.sh(&format!("cat /proc/{pid}/mountinfo"))?;
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).context("no root")?;
        ensure!(
            root.split(' ').nth(5).is_some_and(|options| options.split(',').any(|option| option == "ro")),
            "{root}"
        );
        Ok(())
    }

    pub(super) fn wait_log(&self, name: &str, text: &str) -> Result<()> {
        let look = || Ok(self.log(name)?.contains(text).then_some(()));
        until(SOON, look).with_context(|| format!("{name} has not logged {text:?}"))
    }

    /// The logs of all these containers, for a message.
    pub(super) fn logs(&self, containers: &[Container]) -> String {
        let logs = containers.iter().map(|Container { name, .. }| {
            let log = self.log(name).unwrap_or_else(|error| format!("{error:#}"));
            format!("{name}:\n{}\n", onionbalance_tests::process::last_lines(&log, 20))
        });
        logs.collect()
    }

    fn log(&self, name: &str) -> Result<String> {
        self.sh(&format!("podman logs {name} 2>&1"))
    }
}

/// The packages need no script of their maintainers.
const UNPACK: &str = "for package in /srv/podman/*.deb; do
        dpkg-deb --fsys-tarfile $package | tar -C / --keep-directory-symlink --no-overwrite-dir -xf -
    done
    ldconfig; rm -r /srv/podman";
/// The file system here may be an overlay itself, on which there is no second one.
const STORAGE: &str = "[storage]
driver = \"vfs\"
runroot = \"/run/containers/storage\"
graphroot = \"/var/lib/containers/storage\"
";
/// Root on this machine may lack the right to raise limits, and `/proc/sys` is read-only in a booted system.
const LIMITS: &str = "[containers]
cgroups = \"disabled\"
default_sysctls = []
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
log_driver = \"k8s-file\"
";

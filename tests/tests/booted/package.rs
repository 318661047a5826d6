//! The life of the Debian package: over Debian's own package of the Python program, an upgrade, a removal, a
//! purge, and a first installation.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_packaging::debian::{Compression, Package};
use onionbalance_packaging::release::Source;
use onionbalance_tests::booted::{Booted, isolate_network};
use onionbalance_tests::document::Document;
use onionbalance_tests::programs::Programs;
use onionbalance_tests::provision::{debian_archives, dpkg_dev};

use super::installed::{BALANCER, SIGNER, SOON, strangers};

const SOCKET: &str = "onionbalance-signer.socket";
/// The answers of somebody who keeps the files that are there.
const APT: &str = "apt-get -qy -oDpkg::Options::=--force-confold -oDpkg::Use-Pty=0 --no-install-recommends";

#[needs_root]
#[test]
fn the_package_replaces_debians_and_never_deletes_a_key() -> Result<()> {
    let archives = debian_archives()?;
    isolate_network()?;
    let system = Machine::start(&archives)?;

    let (key, advice) = system.replace_the_python_program()?;
    ensure!(
        advice.contains(&format!("    {key}\n")) && advice.contains("chown onionbalance-signer:"),
        "{advice}"
    );
    ensure!(system.0.sh(&format!("stat -c %U {key}"))?.trim() == "onionbalance", "the key was given away");
    system.follow(&key, &advice)?;
    system.wait_active()?;
    system.symbols_are_found()?;

    let socket = system.0.property(SOCKET, "ActiveEnterTimestampMonotonic")?;
    let before = system.processes()?;
    system.install("--reinstall")?;
    system.wait_active()?;
    ensure!(system.processes()?.iter().zip(&before).all(|(now, then)| now != then), "not restarted");
    ensure!(system.0.property(SOCKET, "ActiveEnterTimestampMonotonic")? == socket, "the socket was away");

    system.0.sh(&format!("{APT} remove onionbalance"))?;
    for unit in [SOCKET, SIGNER, BALANCER] {
        ensure!(system.0.property(unit, "ActiveState")? == "inactive", "{unit} is not stopped");
    }
    system.install("")?;
    system.wait_active()?;

    let purged = system.0.sh(&format!("{APT} purge onionbalance"))?;
    ensure!(purged.contains(&format!("    {key}\n")), "{purged}");
    system.0.sh(&format!(
        "test -s {key} && test ! -e /var/lib/onionbalance && test ! -e /usr/bin/onionbalance"
    ))?;

    // The key's only copy goes where its owner wants it, and the system is as if nothing had been there.
    system.0.sh("rm -r /etc/onionbalance")?;
    system.install("")?;
    for unit in [SOCKET, SIGNER, BALANCER] {
        let state = [system.0.property(unit, "ActiveState")?, system.0.property(unit, "UnitFileState")?];
        ensure!(state == ["inactive", "enabled"], "{unit} is {state:?}");
    }
    for page in PAGES {
        system.0.sh(&format!("test -s /usr/share/man/{page}.gz"))?;
    }
    let purged = system.0.sh(&format!("{APT} purge onionbalance"))?;
    ensure!(!purged.contains("are left"), "{purged}");
    system.0.sh("test ! -e /etc/onionbalance").map(drop)
}

/// Manual pages of the package, where `man` looks for them. A minimal Debian has no `man`.
const PAGES: [&str; 4] = [
    "man8/onionbalance.8",
    "man5/onionbalance.yaml.5",
    "man8/onionbalance-signer.8",
    "man1/onionbalance-key.1",
];

/// A Debian with Debian's tor, Debian's package of the Python program, and ours to be installed.
struct Machine(Booted);

impl Machine {
    fn start(archives: &Path) -> Result<Self> {
        let system = Booted::start("package")?;
        // Not below /root, where the user `_apt` cannot read.
        system.copy_files(archives, "/srv/archives")?;
        let programs = Programs::build()?.balancer.parent().context("a directory")?.to_owned();
        let (source, compression) = (Source::find()?, Compression::None);
        let package = Package { source, programs, compression, dpkg_dev };
        let to = system.path("/root/onionbalance/target/package");
        package.build(&to)?;
        package.build_symbols(&to)?;
        Ok(Self(system))
    }

    /// Lets the Python program make a key and a configuration, and installs our package over it. Returns the
    /// path of the key, and apt-get's output.
    fn replace_the_python_program(&self) -> Result<(String, String)> {
        self.0.sh(&format!("{APT} install /srv/archives/*.deb"))?;
        self.0.sh("mkdir -p /etc/onionbalance
            onionbalance-config --hs-version v3 --no-interactive -n 2 --output /etc/onionbalance
            chown -R onionbalance: /etc/onionbalance
            chmod 600 /etc/onionbalance/*.key")?;
        for address in strangers()? {
            let placeholder = "0,/<Enter the instance onion address here>/";
            self.0.sh(&format!("sed -i '{placeholder}s//{address}/' /etc/onionbalance/config.yaml"))?;
        }
        let key = self.0.sh("ls /etc/onionbalance/*.key")?.trim().to_owned();
        self.0.sh("systemctl restart onionbalance")?;
        let advice = self.install("")?;
        let version = self.0.sh("onionbalance --version; test ! -e /etc/init.d/onionbalance")?;
        ensure!(version.contains(" (Rust"), "{version}");
        // Until the configuration has the two new lines, neither program is started again and again.
        for unit in [SIGNER, BALANCER] {
            self.0.wait_property(unit, "ActiveState", "failed", SOON)?;
        }
        self.0.wait_journal(BALANCER, "signer-socket-location: under the units", SOON)?;
        Ok((key, advice))
    }

    /// Does what the package says after it has replaced the Python program.
    fn follow(&self, key: &str, advice: &str) -> Result<()> {
        let settings: Vec<&str> =
            advice.lines().filter_map(|line| line.strip_prefix("    signer-")).collect();
        ensure!(settings.len() == 2, "{advice}");
        for setting in settings {
            self.0.sh(&format!("echo 'signer-{setting}' >>/etc/onionbalance/config.yaml"))?;
        }
        self.0.sh(&format!("chown onionbalance-signer: {key}; chmod 400 {key}"))?;
        for command in ["onionbalance check", "systemctl restart"] {
            let line = advice.lines().map(str::trim).find(|line| line.starts_with(command));
            self.0.sh(line.with_context(|| format!("no {command} in {advice}"))?)?;
        }
        Ok(())
    }

    /// Installs our package by README's command, with one more option, and returns what apt-get says.
    fn install(&self, option: &str) -> Result<String> {
        let blocks = Document::read("README.md")?.console("Install");
        let command = blocks.iter().find_map(|block| block.trim().strip_prefix("apt-get install "));
        let package = command.context("README does not install the package")?;
        self.0.sh(&format!("apt-get -q -oDpkg::Use-Pty=0 install {option} {package}"))
    }

    /// Installs the package of the symbols, which has a file for each installed program, and removes it.
    fn symbols_are_found(&self) -> Result<()> {
        self.0.sh("dpkg -i target/package/onionbalance-dbgsym_*.deb")?;
        self.0.sh("for program in onionbalance onionbalance-signer onionbalance-key; do
            id=$(readelf --notes /usr/bin/$program | sed -n 's/ *Build ID: //p')
            readelf --sections /usr/lib/debug/.build-id/${id%${id#??}}/${id#??}.debug | grep -q '[.]symtab'
            done")?;
        self.0.sh(&format!("{APT} purge onionbalance-dbgsym")).map(drop)
    }

    fn wait_active(&self) -> Result<()> {
        for unit in [SOCKET, SIGNER, BALANCER] {
            self.0.wait_property(unit, "ActiveState", "active", SOON)?;
        }
        Ok(())
    }

    fn processes(&self) -> Result<[String; 2]> {
        Ok([self.0.property(SIGNER, "MainPID")?, self.0.property(BALANCER, "MainPID")?])
    }
}

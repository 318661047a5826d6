//! The tutorial's four machines, made by its commands.

use std::fs;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::booted::Booted;
use onionbalance_tests::document::Document;
use onionbalance_tests::network::{Network, WebServer};

use super::documents::{join, visit_all};
use super::installed::Installed;

const NAMES: [&str; 3] = ["web1", "web2", "web3"];
const PASSPHRASE: &str = "correct horse\n";
/// Answers all questions, since nobody is at a terminal.
const ANSWERED: &str = " --no-interactive --passphrase-file /root/passphrase";

/// The tutorial after its step 6: the backends' tors publish.
pub(super) struct Tutorial {
    document: Document,
    front: Installed,
    backends: Vec<Machine>,
    address: String,
}

/// A backend's machine.
struct Machine {
    address: String,
    _system: Booted,
    _web: WebServer,
}

impl Tutorial {
    /// Follows the steps 3 to 6.
    pub(super) fn start(network: &Network) -> Result<Self> {
        let document = Document::read("docs/tutorial.md")?;
        let front = Installed::start("tutorial")?;
        join(&front, network)?;
        fs::write(front.path("/root/passphrase"), PASSPHRASE)?;
        let [plan, readme] = steps(&document, "4.")?;
        front.sh(&format!("{}{ANSWERED}", plan.trim_end()))?;
        let readme = front.sh(&readme)?;
        let address =
            readme.lines().find(|line| line.strip_suffix(".onion").is_some()).context("no address")?;
        let backends: Result<_> =
            NAMES.iter().map(|name| Machine::start(name, network, &document, &front)).collect();
        Ok(Self { address: address.to_owned(), backends: backends?, document, front })
    }

    /// Follows the steps 7 to 10.
    pub(super) fn finish(&self, network: &Network) -> Result<()> {
        let Self { document, front, backends, address } = self;
        let own = |mut text: String| {
            for (number, backend) in backends.iter().enumerate() {
                text = text.replace(&format!("ADDRESS{}.onion", number + 1), &backend.address);
                text = text.replace(&format!("ADDRESS{}", number + 1), &backend.address);
            }
            text
        };
        let [addresses, install] = steps(document, "7.")?;
        front.sh(&own(addresses))?;
        let installed = front.sh(&format!("{} /root/passphrase", install.trim_end()))?;
        ensure!(installed.contains("ok: 1 service, 3 of 3 backends live"), "{installed}");
        let [check, status] = steps(document, "8.")?;
        let checked = front.sh(&check)?;
        ensure!(checked.contains("3 of 3 visits succeeded"), "{checked}");
        ensure!(front.sh(&status)?.contains("ok: 1 service"));
        visit_all(network, address, &NAMES)?;
        let [out] = steps(document, "9.")?;
        front.sh(&own(out))?;
        let shown = front.sh("onionbalance status --wait=60 --full")?;
        ensure!(shown.contains("2 of 2 backends live") && !shown.contains("web3"), "{shown}");
        let [keep] = steps(document, "10.")?;
        front.sh(&keep)?;
        Ok(())
    }
}

impl Machine {
    /// Runs the backend's script, and hardens it. The web site has another port than 80: all machines have one
    /// loopback.
    fn start(name: &'static str, network: &Network, document: &Document, front: &Installed) -> Result<Self> {
        let (system, web) = (Booted::start(&format!("tutorial-{name}"))?, WebServer::start(name)?);
        join(&system, network)?;
        let script = front.sh(&format!("cat onionbalance-setup/backends/{name}/install.sh"))?;
        let target = format!(" {}", web.address());
        ensure!(script.contains(" 127.0.0.1:80"), "{script}");
        let printed = system.sh(&script.replace(" 127.0.0.1:80", &target))?;
        let [harden] = steps(document, "6.")?;
        system.sh(&harden)?;
        let address = printed.lines().last().and_then(|line| line.strip_prefix(&format!("{name}=")));
        let address = address.with_context(|| format!("no address in {printed:?}"))?.to_owned();
        Ok(Self { address, _system: system, _web: web })
    }
}

/// The scripts of the step with this number.
fn steps<const N: usize>(document: &Document, number: &str) -> Result<[String; N]> {
    let section = document.sections().find(|section| section.starts_with(number)).context("no such step")?;
    let scripts = document.console(section);
    scripts.try_into().map_err(|found: Vec<_>| anyhow::anyhow!("{section} has {} blocks", found.len()))
}

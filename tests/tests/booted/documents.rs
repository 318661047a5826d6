//! From an empty system to a frontend that answers, by the documents' own commands; then every event that it
//! has to survive.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::{Booted, isolate_network};
use onionbalance_tests::document::Document;
use onionbalance_tests::network::{Client, Network, Plan, WebServer};
use onionbalance_tests::wait::until;

use super::installed::{BALANCER, Installed, SIGNER, block};
use super::tutorial::Tutorial;

/// The longest time from the balancer's start, or a change, to the last HSDir's acknowledgement.
const PUBLISHED: Duration = Duration::from_secs(90);
/// The number of clients. The start of a client takes a few seconds, so each is later than the one before.
const CLIENTS: usize = 8;
/// The longest time from a backend's start to its first page.
const REACHABLE: Duration = Duration::from_secs(90);

#[needs_root]
#[test]
fn a_pair_installed_by_the_documents_outlives_what_befalls_it() -> Result<()> {
    isolate_network()?;
    let mut front = Installed::start("front")?;
    let network = Network::start(&Plan { backends: 0, ..Plan::default() })?;
    join(&front, &network)?;
    // Its backends publish while README is followed.
    let tutorial = Tutorial::start(&network)?;
    let address = front.make_key()?;
    let [web1, web2] = ["web1", "web2"].map(|name| Backend::start(name, &network, &front.readme, &address));
    let (web1, web2, web3) = (web1?, web2?, Backend::start_by_script("web3", &network, &front)?);
    for backend in [&web1, &web2, &web3] {
        backend.wait_reachable(network.client())?;
    }

    front.configure(&[&web1.address, &web2.address])?;
    front.follow("onionbalance check -c", &[])?;
    let opened = front.follow("onionbalance-signer check", &[])?;
    ensure!(opened.trim_end() == format!("frontend.key: {address}"), "{opened}");
    front.follow("enable --now", &[])?;
    front.follow("onionbalance status", &[])?;
    wait_published(&front, 2)?;
    visit_all(&network, &address, &["web1", "web2"])?;
    let checked = front.follow("onionbalance check --live", &[])?;
    ensure!(checked.contains("3 of 3 visits succeeded"), "{checked}");

    // One reload removes a backend and adds one, for both programs.
    let published = published(&front)?;
    front.configure(&[&web2.address, &web3.address])?;
    front.follow("reload", &[])?;
    wait_published(&front, published + 2)?;
    visit_all(&network, &address, &["web2", "web3"])?;

    for event in EVENTS {
        outlives(&front, event, [&web1, &web2, &web3]).with_context(|| format!("after `{event}`"))?;
    }

    front.reboot()?;
    ensure!(
        front.sh("cat /var/lib/onionbalance/state.json")?.contains(web2.address.trim_end_matches(".onion"))
    );
    wait_published(&front, 2)?;
    visit_all(&network, &address, &["web2", "web3"])?;
    tutorial.finish(&network).context("docs/tutorial.md")
}

/// The events of the two services, in any order.
const EVENTS: [&str; 10] = [
    "systemctl kill --signal=KILL onionbalance",
    "systemctl kill --signal=KILL onionbalance-signer",
    "systemctl kill --signal=KILL onionbalance onionbalance-signer",
    "systemctl stop onionbalance-signer",
    "systemctl restart onionbalance-signer",
    "systemctl restart onionbalance-signer.socket",
    "systemctl restart onionbalance",
    "systemctl stop onionbalance onionbalance-signer onionbalance-signer.socket; systemctl start onionbalance-signer; systemctl start onionbalance",
    "systemctl stop onionbalance onionbalance-signer onionbalance-signer.socket; systemctl start onionbalance; systemctl start onionbalance-signer",
    "systemctl restart tor@default",
];

/// Runs an event, and then changes the choice of backends: the frontend is published with these.
fn outlives(front: &Installed, event: &str, [web1, web2, web3]: [&Backend; 3]) -> Result<()> {
    front.sh(event)?;
    front.wait_property(BALANCER, "ActiveState", "active", PUBLISHED)?;
    for backends in [[&web1.address, &web2.address], [&web2.address, &web3.address]] {
        let published = published(front)?;
        front.configure(&backends.map(String::as_str))?;
        front.follow("reload", &[])?;
        wait_published(front, published + 2)?;
    }
    front.wait_property(SIGNER, "ActiveState", "active", PUBLISHED)
}

/// A machine with Debian's tor and a web site.
struct Backend {
    name: &'static str,
    address: String,
    _system: Booted,
    _web: WebServer,
}

impl Backend {
    /// Follows README's step *Backends*. The web site has this machine's port instead of port 80.
    fn start(name: &'static str, network: &Network, readme: &Document, frontend: &str) -> Result<Self> {
        let (system, web) = (Booted::start(name)?, WebServer::start(name)?);
        join(&system, network)?;
        system.sh(&block(readme, "ob_config", &[("FRONTEND.onion", frontend)])?)?;
        let torrc = readme.blocks("Run it", "").into_iter().find(|block| block.contains("HiddenServiceDir"));
        let torrc = torrc.context("README has no torrc of a backend")?;
        append(&system, "/etc/tor/torrc", &torrc.replace("127.0.0.1:80", &web.address().to_string()))?;
        let address = system.sh(&block(readme, "restart tor@default", &[])?)?.trim().to_owned();
        ensure!(address.strip_suffix(".onion").is_some(), "tor has the address {address:?}");
        Ok(Self { name, address, _system: system, _web: web })
    }

    /// Runs the script that `onionbalance config` writes for this backend of the frontend's key.
    fn start_by_script(name: &'static str, network: &Network, front: &Installed) -> Result<Self> {
        let (system, web) = (Booted::start(name)?, WebServer::start(name)?);
        join(&system, network)?;
        let key = "--plain --key /etc/onionbalance/frontend.key";
        let target = web.address();
        front.sh(&format!(
            "onionbalance config --no-interactive {key} --backends {name} --service-target {target} --output setup"
        ))?;
        let script = front.sh(&format!("cat setup/backends/{name}/install.sh"))?;
        let printed = system.sh(&script)?;
        let address = printed.lines().last().and_then(|line| line.strip_prefix(&format!("{name}=")));
        let address = address.with_context(|| format!("no address in {printed:?}"))?.to_owned();
        Ok(Self { name, address, _system: system, _web: web })
    }

    /// Waits until its own descriptor is published: a visitor finds it.
    fn wait_reachable(&self, client: &Client) -> Result<()> {
        let look = || Ok(client.get(&self.address, 80, "/").ok().filter(|page| page.text() == self.name));
        until(REACHABLE, look).with_context(|| format!("{} cannot be reached", self.name)).map(drop)
    }
}

/// Makes a system's tor one of the private network, instead of the public one.
pub(super) fn join(system: &Booted, network: &Network) -> Result<()> {
    // The balancer's tor visits the frontend for the live check.
    append(system, "/etc/tor/torrc", &network.torrc().replace("SocksPort 0", "SocksPort auto"))?;
    system.sh("systemctl restart tor@default").map(drop)
}

fn append(system: &Booted, file: &str, text: &str) -> Result<()> {
    let path = system.path(file);
    let before = fs::read_to_string(&path)?;
    Ok(fs::write(path, before + text)?)
}

/// The number of descriptors that the balancer has logged as being on all their HSDirs since the boot.
fn published(front: &Installed) -> Result<usize> {
    let messages = front.journal(BALANCER, "info")?;
    Ok(messages.iter().filter(|message| message.contains("published descriptor ")).count())
}

fn wait_published(front: &Installed, wanted: usize) -> Result<()> {
    until(PUBLISHED, || Ok((published(front)? >= wanted).then_some(()))).with_context(|| {
        let journal = front.sh("journalctl -b --no-pager -n 40 -u onionbalance -u onionbalance-signer");
        format!("the frontend was not published; the logs:\n{}", journal.unwrap_or_default())
    })
}

/// Visits the frontend until each of these backends has answered. Fails if another one answers.
///
/// A client keeps a descriptor for hours, and a descriptor of one backend may come before that of both: the
/// balancer publishes a known backend before it has found the added one. So several clients are used.
pub(super) fn visit_all(network: &Network, address: &str, names: &[&str]) -> Result<()> {
    let mut answered = BTreeSet::new();
    for _ in 0..CLIENTS {
        let client = network.new_tor_client()?;
        // The chance that 20 visits miss one of two backends is one in a million.
        for _ in 0..20 {
            let name = client.get(&address, 80, "/")?.text();
            ensure!(names.contains(&name.as_str()), "{name} answered for the frontend");
            answered.insert(name);
            if answered.len() == names.len() {
                return Ok(());
            }
        }
    }
    bail!("only {answered:?} of {names:?} answered");
}

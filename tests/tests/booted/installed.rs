//! A booted system with the programs installed by README's commands.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use onionbalance_tests::booted::Booted;
use onionbalance_tests::document::Document;
use onionbalance_tests::key_v3::KeyV3;

pub(crate) const BALANCER: &str = "onionbalance.service";
pub(crate) const SIGNER: &str = "onionbalance-signer.service";
/// The longest time from a command to its effect on this machine, without tor.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The system of the balancer and the signer.
pub(crate) struct Installed {
    system: Booted,
    pub(crate) readme: Document,
}

impl Deref for Installed {
    type Target = Booted;

    fn deref(&self) -> &Booted {
        &self.system
    }
}

impl DerefMut for Installed {
    fn deref_mut(&mut self) -> &mut Booted {
        &mut self.system
    }
}

impl Installed {
    /// Boots a system and follows README's section *Install by hand* in it. `cargo build` has been done outside.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let readme = Document::read("README.md")?;
        let system = Booted::start(name)?;
        let [build, install] = readme.console("Install by hand").try_into().ok().context("two blocks")?;
        ensure!(build.starts_with("cargo build --release "), "{build}");
        system.sh(&install)?;
        Ok(Self { system, readme })
    }

    /// Runs the `console` block of README's section *Run it* that contains `text`, with replacements for the
    /// document's examples.
    pub(crate) fn follow(&self, text: &str, own: &[(&str, &str)]) -> Result<String> {
        self.sh(&block(&self.readme, text, own)?)
    }

    /// Makes the key by README's command; returns the frontend's address, with `.onion`.
    pub(crate) fn make_key(&self) -> Result<String> {
        let output = self.follow("onionbalance-key new", &[])?;
        Ok(output
            .lines()
            .find(|line| line.strip_suffix(".onion").is_some())
            .context("no address was printed")?
            .to_owned())
    }

    /// Installs README's configuration with these backends.
    pub(crate) fn configure(&self, backends: &[&str]) -> Result<()> {
        let yaml = self.readme.blocks("Run it", "yaml");
        let [yaml] = yaml.as_slice() else { bail!("README has {} configurations", yaml.len()) };
        let (before, rest) = yaml.split_once("      - address: ").context("no backend")?;
        let (_, after) = rest.split_once("signer-socket-location").context("no signer")?;
        let backends =
            backends.iter().fold(String::new(), |list, address| list + "      - address: " + address + "\n");
        let yaml = format!("{before}{backends}signer-socket-location{after}");
        fs::write(self.path("/root/onionbalance/config.yaml"), yaml)?;
        self.follow("config.yaml", &[]).map(drop)
    }
}

/// The `console` block of README's section *Run it* that contains `text`.
pub(crate) fn block(readme: &Document, text: &str, own: &[(&str, &str)]) -> Result<String> {
    let blocks = readme.console("Run it");
    let block = blocks.into_iter().find(|block| block.contains(text));
    let mut block = block.with_context(|| format!("no console block of README has {text:?}"))?;
    for (theirs, ours) in own {
        block = block.replace(theirs, ours);
    }
    Ok(block)
}

/// Addresses of backends that do not exist.
pub(crate) fn strangers() -> Result<[String; 2]> {
    Ok([
        KeyV3::named("stranger").address()?.to_string(),
        KeyV3::named("another stranger").address()?.to_string(),
    ])
}

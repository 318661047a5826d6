//! Relays, which are the HSDirs and the introduction points of the network.

use std::time::Duration;

use anyhow::{Context, Result};

use super::base::{Base, CONTROL_PORT, RELAY};
use super::daemon::Daemon;
use crate::wait::until;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    tor: Daemon,
    fingerprint: String,
}

impl Relay {
    pub(crate) fn start(base: &Base, number: usize) -> Result<Self> {
        let role = format!("{CONTROL_PORT}{RELAY}ORPort 127.0.0.1:auto\n");
        let tor = base.daemon(&format!("relay-{number}"), &role)?;
        tor.start()?;
        let fingerprint = tor.control()?.getinfo("fingerprint")?;
        Ok(Self { tor, fingerprint })
    }

    /// Makes the relay fetch the first consensus, and waits until it knows the other relays. By itself it
    /// would retry in growing intervals since its start. A relay does not extend a circuit to an unknown
    /// relay.
    pub(crate) fn learn(&self) -> Result<()> {
        let mut control = self.tor.control()?;
        control.send("SIGNAL RELOAD")?;
        until(LEARN_TIMEOUT, || Ok((control.getinfo("status/enough-dir-info")? == "1").then_some(())))
            .with_context(|| self.tor.failure("did not fetch the consensus"))
    }

    /// The relay's identity, 40 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Kills the relay. The consensus lists it for some time longer.
    pub fn kill(&self) -> Result<()> {
        self.tor.kill()
    }

    /// Starts it again, with the same identity and the descriptors it held lost.
    pub fn revive(&self) -> Result<()> {
        self.tor.start()
    }

    /// Freezes the relay: its connections stay open, and are not answered.
    pub fn freeze(&self) -> Result<()> {
        self.tor.freeze()
    }

    /// Continues a frozen relay.
    pub fn thaw(&self) -> Result<()> {
        self.tor.thaw()
    }

    /// Its tor.
    pub fn tor(&self) -> &Daemon {
        &self.tor
    }
}

const LEARN_TIMEOUT: Duration = Duration::from_mins(1);

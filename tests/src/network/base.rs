//! The common parts of all tors of one network.

use std::fmt::Write;

use anyhow::Result;

use super::daemon::Daemon;
use super::directory::Directory;
use super::plan::Plan;
use crate::onion::OnionVersion;
use crate::provision::TorProgram;

/// The program, the directory, and the part of the configuration that every tor of a network shares.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) program: TorProgram,
    pub(crate) directory: Directory,
    /// The version of the onion services.
    pub(crate) version: OnionVersion,
    common: String,
}

impl Base {
    pub(crate) fn new(program: TorProgram, version: OnionVersion, directory: Directory) -> Self {
        Self { program, directory, version, common: String::new() }
    }

    /// Fixes the voting interval and the authorities, which every tor needs before it starts.
    pub(crate) fn settle(&mut self, plan: &Plan, authorities: &str) {
        let interval = plan.voting_interval;
        self.common = format!(
            "TestingTorNetwork 1\n\
             {authorities}\
             V3AuthVotingInterval {interval}\n\
             PathsNeededToBuildCircuits 0.67\n\
             Log notice stdout\n\
             SafeLogging 0\n\
             ShutdownWaitLength 0\n\
             GeoIPFile /dev/null\n\
             GeoIPv6File /dev/null\n\
             CookieAuthentication 1\n"
        );
    }

    /// The part of the configuration that makes any tor a member of this network.
    pub(crate) fn common(&self) -> &str {
        &self.common
    }

    /// The whole configuration of the tor of this name. The tor ends with this process.
    pub(crate) fn torrc(&self, name: &str, role: &str) -> String {
        let directory = self.directory.path().join(name);
        let directory = directory.display();
        let mut torrc = self.common.clone();
        // Writing to a string does not fail.
        let _ = write!(
            torrc,
            "Nickname {}\n\
             DataDirectory {directory}\n\
             ControlPortWriteToFile {directory}/control-port\n\
             __OwningControllerProcess {}\n\
             {role}",
            name.replace('-', ""),
            std::process::id()
        );
        torrc
    }

    /// A tor that has not been started.
    pub(crate) fn daemon(&self, name: &str, role: &str) -> Result<Daemon> {
        Daemon::new(&self.program, self.directory.path(), name, &self.torrc(name, role))
    }
}

/// tor picks the control port itself.
pub(crate) const CONTROL_PORT: &str = "ControlPort auto\n";
/// Directory clients fetch from the authorities at once, and do not wait for caches.
pub(crate) const EARLY: &str = "FetchDirInfoEarly 1\nFetchDirInfoExtraEarly 1\n";
/// The options of a relay of this network: it assumes that it is reachable, and its exit policy allows only
/// loopback.
pub(crate) const RELAY: &str = "Address 127.0.0.1\n\
     AssumeReachable 1\n\
     ContactInfo nobody\n\
     SocksPort 0\n\
     ExitRelay 1\n\
     ExitPolicy accept 127.0.0.0/8:*, reject *:*\n";

//! Directory authorities: their keys, their line in the configuration of every tor, and their own
//! configuration.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::base::{Base, CONTROL_PORT, RELAY};
use super::control::Control;
use super::daemon::Daemon;
use super::plan::Plan;
use super::ports;
use crate::process::{run, run_reading};
use crate::wait::until;

/// An authority that has keys but does not run.
#[derive(Debug)]
pub(crate) struct Authority {
    name: String,
    or_port: u16,
    dir_port: u16,
    /// The SHA-1 digest of the authority identity key (dir-spec, `fingerprint` of the key certificate).
    v3_identity: String,
    /// The fingerprint of the relay identity.
    fingerprint: String,
}

impl Authority {
    /// Makes the keys, in a second or two.
    pub(crate) fn create(base: &Base, number: usize) -> Result<Self> {
        let name = format!("authority-{number}");
        let directory = base.directory.path().join(&name);
        let keys = directory.join("keys");
        for path in [&directory, &keys] {
            DirBuilder::new().mode(0o700).create(path)?;
        }
        let (or_port, dir_port) = (ports::free()?, ports::free()?);
        let v3_identity = make_certificate(base, &keys, dir_port)
            .with_context(|| format!("cannot make the keys of {name}"))?;
        let fingerprint = make_fingerprint(base, &directory)
            .with_context(|| format!("cannot make the relay keys of {name}"))?;
        Ok(Self { name, or_port, dir_port, v3_identity, fingerprint })
    }

    /// The relay identity, 40 hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The line that makes a tor use the authority.
    pub(crate) fn dir_authority(&self) -> String {
        let Self { name, or_port, dir_port, v3_identity, fingerprint } = self;
        let name = name.replace('-', "");
        format!(
            "DirAuthority {name} orport={or_port} no-v2 v3ident={v3_identity} 127.0.0.1:{dir_port} {fingerprint}\n"
        )
    }

    /// Starts the tor, once the base knows all authorities. It does not vote before [`vote`].
    pub(crate) fn start(&self, base: &Base, plan: &Plan) -> Result<Daemon> {
        let hold = hold(now()?);
        let spread = plan.hsdir_spread.map_or_else(String::new, |spread| {
            format!("ConsensusParams hsdir_spread_store={spread} hsdir_spread_fetch={spread}\n")
        });
        let role = format!(
            "{CONTROL_PORT}{RELAY}\
             ORPort 127.0.0.1:{}\n\
             DirPort 127.0.0.1:{}\n\
             AuthoritativeDirectory 1\n\
             V3AuthoritativeDirectory 1\n\
             V3AuthVoteDelay {VOTE_DELAY}\n\
             V3AuthDistDelay {VOTE_DELAY}\n\
             V3AuthNIntervalsValid 3\n\
             TestingV3AuthInitialVotingInterval {hold}\n\
             TestingV3AuthInitialVoteDelay {VOTE_DELAY}\n\
             TestingV3AuthInitialDistDelay {VOTE_DELAY}\n\
             V3BandwidthsFile {}\n\
             MinUptimeHidServDirectoryV2 0\n\
             TestingDirAuthVoteHSDir *\n\
             TestingDirAuthVoteGuard *\n\
             TestingDirAuthVoteExit *\n\
             {spread}",
            self.or_port,
            self.dir_port,
            bandwidths(base).display()
        );
        let tor = base.daemon(&self.name, &role)?;
        tor.start()?;
        Ok(tor)
    }
}

/// Waits until every authority has the descriptors of all relays, and lets them vote at once: the first
/// consensus is complete, and comes before the next full interval. A node that has used an incomplete
/// consensus is slow to replace it.
pub(crate) fn vote(base: &Base, authorities: &[Daemon], fingerprints: &[&str], plan: &Plan) -> Result<()> {
    let relays = fingerprints.len();
    let now = now()?;
    let hsdirs_from = relays.saturating_sub(plan.hsdirs_only);
    fs::write(bandwidths(base), measured(fingerprints, hsdirs_from, now))?;
    let mut controls = Vec::new();
    for tor in authorities {
        let mut control = tor.control()?;
        until(PUBLISH_TIMEOUT, || Ok((descriptors(&mut control)? == relays).then_some(())))
            .with_context(|| tor.failure(&format!("did not hear of {relays} relays")))?;
        controls.push(control);
    }
    // All authorities must have changed their schedule before the first one votes.
    let first_consensus = self::now()? + 2 + 2 * VOTE_DELAY;
    let interval = plan.voting_interval;
    let offset = first_consensus % u64::from(interval);
    for control in &mut controls {
        control.send(&format!(
            "SETCONF TestingV3AuthInitialVotingInterval={interval} TestingV3AuthVotingStartOffset={offset}"
        ))?;
    }
    Ok(())
}

/// Makes a running authority stop voting for a relay. tor reads its list of relays with its configuration, so
/// the configuration has to include earlier changes.
pub(crate) fn reject(authority: &Daemon, fingerprint: &str) -> Result<()> {
    fs::write(authority.directory().join("approved-routers"), format!("!reject {fingerprint}\n"))?;
    let mut control = authority.control()?;
    control.send("SAVECONF")?;
    control.send("SIGNAL RELOAD").map(drop)
}

/// The file of measured bandwidths that all authorities use in their votes.
fn bandwidths(base: &Base) -> PathBuf {
    base.directory.path().join("bandwidths")
}

/// The measured bandwidths: each relay is chosen as often as any other, authorities almost never, as in the
/// real network. Without this file the relays' own measurements in their first seconds differ so much that
/// one relay would be guard, middle and end of nearly every circuit, which cannot be built. The relays from
/// `hsdirs_from` on are never chosen for circuits.
fn measured(fingerprints: &[&str], hsdirs_from: usize, now: u64) -> String {
    let bandwidth = |number| if number < hsdirs_from { 1000 } else { 0 };
    let line = |(number, fingerprint)| format!("node_id=${fingerprint} bw={}", bandwidth(number));
    let lines: Vec<_> = fingerprints.iter().enumerate().map(line).collect();
    format!("{now}\n{}\n", lines.join("\n"))
}

fn descriptors(control: &mut Control) -> Result<usize> {
    let text = control.getinfo("desc/all-recent")?;
    Ok(text.lines().filter(|line| line.starts_with("router ")).count())
}

/// Seconds for votes, and again for signatures, to reach all authorities. Twice this time must fit in half an
/// interval.
const VOTE_DELAY: u64 = 2;
const HALF_HOUR: u64 = 1800;
/// Seconds that authorities and relays may take to start on a busy machine.
const START: u64 = 40;
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(1);

/// The first voting interval. It ends soon after the relays have started, because authorities do not begin a
/// shared-random run before the end of their first interval (tor: `sr_state_update`). tor requires a divisor
/// of half an hour. In the last seconds of a half hour none is long enough, and the first consensus may be
/// incomplete.
fn hold(now: u64) -> u64 {
    let left = |interval: &u64| interval - now % interval;
    let divisors = (30..=HALF_HOUR).filter(|interval| HALF_HOUR.is_multiple_of(*interval));
    divisors.filter(|interval| left(interval) >= START).min_by_key(left).unwrap_or(HALF_HOUR)
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

const CERTIFICATE: &str = "authority_certificate";

fn make_certificate(base: &Base, keys: &Path, dir_port: u16) -> Result<String> {
    let passphrase = keys.join("passphrase");
    fs::write(&passphrase, "loopback\n")?;
    let mut command = base.program.gencert();
    command
        .args(["--create-identity-key", "--passphrase-fd", "0", "-m", "12"])
        .args(["-a", &format!("127.0.0.1:{dir_port}")])
        .args(["-i", "authority_identity_key", "-s", "authority_signing_key", "-c", CERTIFICATE])
        .current_dir(keys);
    run_reading(&mut command, &passphrase, &keys.join("gencert.log"))?;
    let text = fs::read_to_string(keys.join(CERTIFICATE))?;
    let fingerprint = text.lines().find_map(|line| line.strip_prefix("fingerprint "));
    Ok(fingerprint.context("the certificate has no fingerprint")?.to_owned())
}

/// Makes the relay identity by running tor, and returns its fingerprint, 40 hexadecimal digits.
fn make_fingerprint(base: &Base, directory: &Path) -> Result<String> {
    let empty = directory.join("empty-torrc");
    fs::write(&empty, "")?;
    let mut command = base.program.tor();
    command
        .arg("-f")
        .arg(empty)
        .args(["--hush", "--list-fingerprint", "--ORPort", "1", "--DataDirectory"])
        .arg(directory);
    run(&mut command, &directory.join("fingerprint.log"))?;
    let written = fs::read_to_string(directory.join("fingerprint"))?;
    let fingerprint = written.split_whitespace().last().context("tor wrote no fingerprint")?;
    Ok(fingerprint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_votes_off_for_a_minute_or_two() {
        for now in 0..HALF_HOUR - START {
            let hold = hold(now);
            assert!(HALF_HOUR.is_multiple_of(hold));
            assert!((START..=180).contains(&(hold - now % hold)), "{now}: {hold}");
        }
    }
}

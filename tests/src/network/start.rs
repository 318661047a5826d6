//! The order in which a network comes up.

use std::time::Duration;

use anyhow::{Context, Result};

use super::authority::{self, Authority};
use super::backend::Backend;
use super::base::Base;
use super::client::Client;
use super::daemon::Daemon;
use super::management::Management;
use super::plan::Plan;
use super::relay::Relay;
use crate::parallel::{both, each};
use crate::wait::until;

/// All tors of a network that is up.
#[derive(Debug)]
pub(crate) struct Tors {
    pub(crate) authorities: Vec<Daemon>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) users: Users,
}

/// The tors that start after the first consensus; earlier they would wait long for their next attempt.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) client: Client,
    pub(crate) management: Management,
    pub(crate) backends: Vec<Backend>,
}

impl Tors {
    pub(crate) fn start(base: &mut Base, plan: &Plan, tell: &(impl Fn(String) + Sync)) -> Result<Self> {
        let keys = each(0..plan.authorities, |number| Authority::create(base, number))?;
        tell(format!("keys of {} authorities", keys.len()));
        let lines: String = keys.iter().map(Authority::dir_authority).collect();
        base.settle(plan, &lines);
        let base = &*base;
        let (authorities, relays) = both(
            || each(&keys, |authority| authority.start(base, plan)),
            || each(0..plan.relays, |number| Relay::start(base, number)),
        )?;
        tell(format!("{} authorities and {} relays up", authorities.len(), relays.len()));
        let relay_fingerprints = relays.iter().map(Relay::fingerprint);
        let fingerprints: Vec<_> =
            keys.iter().map(Authority::fingerprint).chain(relay_fingerprints).collect();
        authority::vote(base, &authorities, &fingerprints, plan)?;
        wait_consensus(&authorities, fingerprints.len(), plan)?;
        tell(format!("consensus with {} HSDirs", fingerprints.len()));
        let (_, users) = both(|| each(&relays, Relay::learn), || Users::start(base, plan, tell))?;
        Ok(Self { authorities, relays, users })
    }
}

impl Users {
    fn start(base: &Base, plan: &Plan, tell: &(impl Fn(String) + Sync)) -> Result<Self> {
        let (backends, (client, management)) = both(
            || each(0..plan.backends, |number| Backend::start(base, number, &plan.frontends, None)),
            || both(|| Client::start(base, 0), || Management::start(base)),
        )?;
        both(
            || {
                each(&backends, Backend::wait_published)?;
                tell(format!("descriptors of {} backends published", backends.len()));
                Ok(())
            },
            || {
                both(|| client.tor().wait_bootstrapped(), || management.tor().wait_bootstrapped())?;
                tell("client and management tor bootstrapped".to_owned());
                Ok(())
            },
        )?;
        Ok(Self { client, management, backends })
    }
}

fn wait_consensus(authorities: &[Daemon], hsdirs: usize, plan: &Plan) -> Result<()> {
    let authority = authorities.first().context("a network needs an authority")?;
    let mut control = authority.control()?;
    // Three rounds.
    let timeout = Duration::from_secs(30 + 3 * u64::from(plan.voting_interval));
    let look = || Ok((control.hsdirs()?.len() == hsdirs).then_some(()));
    until(timeout, look)
        .with_context(|| authority.failure(&format!("made no consensus with {hsdirs} HSDirs")))
}

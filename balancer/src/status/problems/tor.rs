//! The problems of tors.

use onionbalance_proto::time::UnixTime;

use super::super::problem::{Problem, ProblemId, Severity};
use super::{AWAY, WITHOUT_BALANCER};
use crate::age::Age;
use crate::network::Absence;
use crate::runtime::{ConsensusAge, TorState};

/// The problems of a tor.
pub(super) fn of_tor(tor: &TorState, now: UnixTime) -> impl Iterator<Item = Problem> + use<> {
    let consensus = if tor.is_ready { consensus(tor, now) } else { None };
    away(tor, now).into_iter().chain(consensus).chain(behind(tor, now)).chain(restart(tor))
}

fn warning(id: ProblemId, text: String, remedy: &str) -> Problem {
    Problem::new(id, Severity::Warning, text, remedy)
}

/// A tor that has taken no commands for long.
fn away(tor: &TorState, now: UnixTime) -> Option<Problem> {
    if tor.is_ready || tor.since <= AWAY {
        return None;
    }
    let (places, since) = (tor.places(), Age(tor.since));
    let problem = match &tor.absence {
        Some(Absence::Starting { percent, step, .. }) => {
            let text =
                format!("tor at {places} has not been ready for {since}: bootstrapped {percent} %, {step}");
            warning(
                ProblemId::TorBootstrapping,
                text,
                "its log says what it waits for:  journalctl -u tor@default",
            )
        }
        absence => {
            let reason = match absence {
                Some(Absence::Unreachable(reason)) => format!(": {reason}"),
                _ => String::new(),
            };
            let text = format!("tor at {places} has been away for {since}{reason}");
            let remedy = format!("is it running?  systemctl status tor@default; {WITHOUT_BALANCER}");
            warning(ProblemId::TorUnreachable, text, &remedy)
        }
    };
    Some(problem.lasting(Some(tor.since), now))
}

/// A consensus that is not valid at the present time of this machine.
fn consensus(tor: &TorState, now: UnixTime) -> Option<Problem> {
    let places = tor.places();
    match tor.consensus {
        ConsensusAge::Old(age) => {
            let text = format!("tor at {places} has had no current consensus for {}", Age(age));
            let remedy = "check its connection to the network, and this machine's clock";
            Some(warning(ProblemId::TorConsensusOld, text, remedy).lasting(Some(age), now))
        }
        ConsensusAge::Early(by) => {
            let text = format!("this machine's clock is {} behind the consensus of tor at {places}", Age(by));
            Some(warning(ProblemId::ClockSkew, text, "set the clock:  timedatectl set-ntp true"))
        }
        ConsensusAge::Current => None,
    }
}

/// A tor that has more to do than it can.
fn behind(tor: &TorState, now: UnixTime) -> Option<Problem> {
    let time = tor.load.behind_for?;
    let (places, waiting, longest) = (tor.places(), tor.load.waiting(), Age(tor.load.longest_wait));
    let text = format!(
        "tor at {places} has more to do than one tor can: {waiting} requests wait, the longest for {longest}"
    );
    let remedy = "list more tors under `tor:`, or give each fewer services";
    Some(warning(ProblemId::TorOverloaded, text, remedy).lasting(Some(time), now))
}

/// A tor that is due for a restart, because it loses memory with each post.
fn restart(tor: &TorState) -> Option<Problem> {
    let (places, posts) = (tor.places(), tor.posts.since_start);
    let text =
        format!("tor at {places} has taken {posts} posts since it started, and loses memory with each");
    let remedy = "restart it when few visitors are there";
    tor.posts.is_restart_due.then(|| warning(ProblemId::TorRestartDue, text, remedy))
}

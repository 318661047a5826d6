//! Visits to services, as a client makes them. They find what no descriptor shows: a backend that does not
//! know its frontend refuses every introduction without a word.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::row::{Row, Verdict};
use crate::network::ProbeFailure;
use crate::tor::socks::{SocksPort, VisitError, visit};

/// The longest visit. Tor itself tries for two minutes (`SocksTimeout`); a visit that works takes seconds.
const VISIT: Duration = Duration::from_secs(60);

/// Tor's status code for an introduction without an answer.
const INTRODUCTION_TIMED_OUT: u8 = 0xF7;

/// The most visits at a time: each builds up to three circuits, of which tor builds 32 at a time.
const AT_ONCE: usize = 8;

/// The visits to one service.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The service, as a screen shows it.
    pub(super) subject: String,
    /// Its onion address.
    pub(super) address: String,
    /// True if its backends know it by their `ob_config`: version 3.
    pub(super) has_ob_config: bool,
    /// Tor's SOCKS ports; at least one.
    pub(super) socks: Vec<SocksPort>,
    /// The port that is visited.
    pub(super) port: u16,
    /// The number of visits.
    pub(super) visits: u16,
}

/// The end of a visit.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    /// The backend answered after this time.
    Answered(Duration),
    /// The reason for which it did not.
    Failed(Failure),
}

/// The reason for which a visit failed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Failure {
    /// Tor's SOCKS port cannot be used.
    Port(String),
    /// Nothing came within [`VISIT`], or tor gave the introduction up.
    Silent,
    /// Tor's status code.
    Code(u8),
    /// There was no time left.
    Unvisited,
}

/// Makes the visits of all plans until `end`. Returns a row for each plan, in their order.
pub(super) async fn make(plans: &[Plan], end: Instant) -> Vec<Row> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); plans.len()];
    let mut running = JoinSet::new();
    let all = plans.iter().enumerate().flat_map(|(index, plan)| (0..plan.visits).map(move |_| (index, plan)));
    for (index, plan) in all {
        if running.len() >= AT_ONCE {
            note(&mut outcomes, running.join_next().await);
        }
        let plan = plan.clone();
        running.spawn(async move { (index, visit_once(&plan, end).await) });
    }
    while let Some(ended) = running.join_next().await {
        note(&mut outcomes, Some(ended));
    }
    plans.iter().zip(&outcomes).map(|(plan, outcomes)| plan.row(outcomes)).collect()
}

fn note<E>(outcomes: &mut [Vec<Outcome>], ended: Option<Result<(usize, Outcome), E>>) {
    if let Some(Ok((index, outcome))) = ended {
        if let Some(outcomes) = outcomes.get_mut(index) {
            outcomes.push(outcome);
        }
    }
}

async fn visit_once(plan: &Plan, end: Instant) -> Outcome {
    let began = Instant::now();
    if began >= end {
        return Outcome::Failed(Failure::Unvisited);
    }
    Outcome::Failed(match visit(&plan.socks, &plan.address, plan.port, began + VISIT).await {
        Ok(_) => return Outcome::Answered(began.elapsed()),
        Err(VisitError::Code(INTRODUCTION_TIMED_OUT) | VisitError::Silent) => Failure::Silent,
        Err(VisitError::Code(code)) => Failure::Code(code),
        Err(error @ (VisitError::Port(_) | VisitError::PortSilent)) => Failure::Port(error.to_string()),
    })
}

impl Plan {
    fn row(&self, outcomes: &[Outcome]) -> Row {
        let times = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Answered(time) => Some(*time),
            Outcome::Failed(_) => None,
        });
        let (answered, slowest) = (times.clone().count(), times.max().unwrap_or_default());
        let mut failures: BTreeMap<&Failure, usize> = BTreeMap::new();
        for outcome in outcomes {
            if let Outcome::Failed(failure) = outcome {
                *failures.entry(failure).or_default() += 1;
            }
        }
        let text = format!("{answered} of {} visits succeeded", self.visits);
        if failures.is_empty() {
            let text = format!("{text}, the slowest in {:.1} s", slowest.as_secs_f64());
            return Row::new(Verdict::Ok, &self.subject, text);
        }
        let is_untold =
            failures.keys().all(|failure| matches!(failure, Failure::Port(_) | Failure::Unvisited));
        let verdict = match answered {
            0 if is_untold => Verdict::Unknown,
            0 => Verdict::Error,
            _ => Verdict::Warning,
        };
        let parts = failures.iter().map(|(failure, number)| format!(", {number} {}", failure.words()));
        let row = Row::new(verdict, &self.subject, text + &parts.collect::<String>());
        let remedies = failures.keys().flat_map(|failure| failure.remedy(self));
        row.with_details(remedies.fold(Vec::new(), |mut all, remedy| {
            if !all.contains(&remedy) {
                all.push(remedy);
            }
            all
        }))
    }

    /// The likeliest fault of backends that have descriptors and do not answer.
    fn ob_config(&self) -> Vec<String> {
        if !self.has_ob_config {
            return vec!["do its backends run, and answer at their own addresses?".to_owned()];
        }
        vec![
            "does every backend know this frontend? Its ob_config must say".to_owned(),
            // It is there to be copied: it stays whole, and in a line of its own.
            format!("MasterOnionAddress {}", self.address),
            "and tor must have been restarted since (a reload is not enough)".to_owned(),
        ]
    }
}

impl Failure {
    /// The failure in words, after the number of its visits.
    fn words(&self) -> String {
        match self {
            Self::Port(error) => format!("could not use tor's SOCKS port: {error}"),
            Self::Silent => "timed out".to_owned(),
            Self::Unvisited => "not made in time".to_owned(),
            Self::Code(code) => format!("failed: {}", ProbeFailure::of_socks_code(*code)),
        }
    }

    /// The next steps of a person, a line each.
    fn remedy(&self, plan: &Plan) -> Vec<String> {
        match self {
            Self::Port(_) | Self::Unvisited | Self::Code(0x02 | 0xF4 | 0xF5 | 0xF6) => Vec::new(),
            Self::Code(0xF0 | 0xF1) => vec![published()],
            Self::Code(0x05) => vec![format!(
                "do the backends serve port {}? Their HiddenServicePort says so (--port visits another)",
                plan.port
            )],
            // These codes do not tell one from the other.
            Self::Code(0x00..0xF0) => [vec![published()], plan.ob_config()].concat(),
            Self::Silent | Self::Code(_) => plan.ob_config(),
        }
    }
}

fn published() -> String {
    "has onionbalance published it? onionbalance status".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Outcome = Outcome::Answered(Duration::from_millis(1200));

    fn row(outcomes: &[Outcome]) -> (Verdict, String, Vec<String>) {
        let plan = Plan {
            subject: "shop".into(),
            address: "x.onion".into(),
            has_ob_config: true,
            socks: vec![SocksPort::Unix("/socks".into())],
            port: 80,
            visits: outcomes.len().try_into().unwrap(),
        };
        let row = plan.row(outcomes);
        (row.verdict, row.text, row.details)
    }

    #[test]
    fn visits_that_time_out_suggest_ob_config() {
        let details = [
            "does every backend know this frontend? Its ob_config must say",
            "MasterOnionAddress x.onion",
            "and tor must have been restarted since (a reload is not enough)",
        ];
        let silent = Outcome::Failed(Failure::Silent);
        let (verdict, text, hints) = row(&[SECOND, SECOND, silent.clone()]);
        assert_eq!((verdict, text.as_str()), (Verdict::Warning, "2 of 3 visits succeeded, 1 timed out"));
        assert_eq!(hints, details);
        let (verdict, text, hints) = row(&[silent.clone(), silent]);
        assert_eq!(verdict, Verdict::Error);
        assert_eq!(text, "0 of 2 visits succeeded, 2 timed out");
        assert_eq!(hints, details);
    }

    #[test]
    fn each_failure_has_its_words() {
        assert_eq!(
            row(&[SECOND]),
            (Verdict::Ok, "1 of 1 visits succeeded, the slowest in 1.2 s".into(), vec![])
        );
        let failed = |code| row(&[Outcome::Failed(Failure::Code(code))]);
        let (_, text, details) = failed(0xF0);
        assert_eq!(text, "0 of 1 visits succeeded, 1 failed: no HSDir has its descriptor");
        assert_eq!(details, ["has onionbalance published it? onionbalance status"]);
        assert!(failed(0x05).2.concat().contains("port 80"));
        assert!(failed(0xAB).1.ends_with("tor's SOCKS port answered 0xAB"));
        let gone = row(&[Outcome::Failed(Failure::Port("Connection refused".into()))]);
        assert_eq!(gone.0, Verdict::Unknown);
    }
}

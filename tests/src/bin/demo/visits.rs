//! The visits to the frontend, and their results.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use onionbalance_tests::network::{Client, Page};

/// The results of all requests.
#[derive(Debug)]
pub(crate) struct Visits {
    pages: Vec<Page>,
    /// From the start of the balancer to the end of the first request that was answered.
    pub(crate) first_page: Option<Duration>,
    /// Why requests failed.
    pub(crate) failures: Vec<String>,
}

impl Visits {
    /// Makes the requests of all clients, over circuits of their own; each client fetches the descriptor
    /// twice.
    pub(crate) fn make(clients: &[Client], host: &(impl Display + Sync), start: Instant) -> Result<Self> {
        let mut visits = Self { pages: Vec::new(), first_page: None, failures: Vec::new() };
        let outcomes = thread::scope(|scope| {
            let threads: Vec<_> =
                clients.iter().map(|client| scope.spawn(move || visit(client, host, start))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<Vec<Outcome>>>| {
                thread.join().map_err(|_| anyhow!("a visitor panicked"))?
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        for (at, outcome) in outcomes.into_iter().flatten() {
            match outcome {
                Ok(page) => {
                    visits.first_page = Some(visits.first_page.map_or(at, |first| first.min(at)));
                    visits.pages.push(page);
                }
                Err(error) => visits.failures.push(format!("{error:#}")),
            }
        }
        visits.pages.sort_by_key(|page| page.time);
        Ok(visits)
    }

    /// Requests in all.
    pub(crate) fn count(&self) -> usize {
        self.pages.len() + self.failures.len()
    }

    /// The number of requests that this backend answered.
    pub(crate) fn answers_of(&self, backend: &str) -> usize {
        self.pages.iter().filter(|page| page.text() == backend).count()
    }

    /// The time within which this number of ten requests were answered.
    pub(crate) fn time_of(&self, tenths: usize) -> Option<Duration> {
        let last = (self.pages.len() * tenths).div_ceil(10).checked_sub(1)?;
        self.pages.get(last).map(|page| page.time)
    }
}

/// The end of a request, counted from the balancer's start, and its result.
type Outcome = (Duration, Result<Page>);

/// The number of requests between two fetches of the descriptor.
const BATCH: usize = 5;
/// The number of failures after which a visitor gives up: each may take a minute.
const PATIENCE: usize = 2;

fn visit(client: &Client, host: &impl Display, start: Instant) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for batch in 0..2 {
        if batch > 0 {
            client.forget()?;
        }
        for _ in 0..BATCH {
            let outcome = client.get(host, 80, "/").and_then(|page| {
                ensure!(page.status == 200, "HTTP status {}", page.status);
                Ok(page)
            });
            outcomes.push((start.elapsed(), outcome));
            if outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count() == PATIENCE {
                return Ok(outcomes);
            }
        }
    }
    Ok(outcomes)
}

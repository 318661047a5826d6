//! The descriptors of backends: every HSDir of each is asked, as the balancer asks.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::engine::Source;
use crate::network::{Fetched, Message, Network, RequestId};
use crate::onion_version::{Directory, OnionVersion};
use crate::tor::documents::consensus::Lifetime;

/// The most requests at a time: tor builds 32 circuits for its client at a time
/// (`MaxClientCircuitsPending`), and some are left to a balancer at the same tor.
const IN_FLIGHT: usize = 24;

/// The time after which a request counts as unanswered. A circuit that fails gives no event.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The longest wait for tor's directory.
const DIRECTORY_WITHIN: Duration = Duration::from_secs(90);

/// The outcome of the requests for all backends.
#[derive(Debug)]
pub(super) struct Lookups {
    /// The lifetime of tor's consensus.
    pub(super) lifetime: Lifetime,
    /// The outcome for each backend, in their order.
    pub(super) backends: Vec<Lookup>,
}

/// The outcome of the requests for one backend.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Lookup {
    /// The number of its HSDirs.
    pub(super) hsdirs: usize,
    /// The number of HSDirs that were asked, whether they answered or not.
    pub(super) asked: usize,
    /// The number of HSDirs with a descriptor that is valid.
    pub(super) found: usize,
    /// The number of HSDirs without a descriptor.
    pub(super) empty: usize,
    /// The number of introduction points of the newest descriptor.
    pub(super) points: usize,
    /// The revision of that descriptor.
    pub(super) revision: u64,
    /// The reason for which there is no descriptor although an HSDir may have one; `None` without one.
    pub(super) problem: Option<String>,
}

/// Looks for the descriptors of `backends` until `end`.
///
/// # Errors
/// Tor's directory cannot be read. The error is a message.
pub(super) async fn look_up<V: OnionVersion, N: Network>(
    network: &mut N,
    backends: Vec<V::Backend>,
    end: Instant,
) -> Result<Lookups, String> {
    let directory = timeout_at(end.min(Instant::now() + DIRECTORY_WITHIN), read_directory::<V, N>(network));
    let directory = directory.await.unwrap_or_else(|_| {
        Err(format!("tor did not give its directory within {} s", DIRECTORY_WITHIN.as_secs()))
    })?;
    let mut search = Search::<V>::new(&directory, &backends);
    search.run(network, end).await;
    let lookups = search.lookups;
    Ok(Lookups { lifetime: *directory.lifetime(), backends: lookups })
}

async fn read_directory<V: OnionVersion, N: Network>(network: &mut N) -> Result<V::Directory, String> {
    loop {
        match network.next().await {
            Message::Ready { .. } => network.read_directory(),
            Message::Directory(documents) => {
                return V::directory(&documents?).map_err(|error| error.to_string());
            }
            Message::Lost => return Err("the connection to tor is lost".to_owned()),
            Message::Unusable(error) => return Err(error.to_string()),
            _ => {}
        }
    }
}

/// The requests that wait, and those that are under way.
struct Search<'a, V: OnionVersion> {
    directory: &'a V::Directory,
    backends: &'a [V::Backend],
    waiting: VecDeque<(usize, Source)>,
    /// The index of the backend, and the time at which the request is given up.
    asked: HashMap<RequestId, (usize, Instant)>,
    next: u64,
    lookups: Vec<Lookup>,
}

impl<'a, V: OnionVersion> Search<'a, V> {
    fn new(directory: &'a V::Directory, backends: &'a [V::Backend]) -> Self {
        let mut known = V::Known::default();
        let now = onionbalance_process::now();
        let (mut waiting, mut lookups) = (VecDeque::new(), Vec::with_capacity(backends.len()));
        for (index, backend) in backends.iter().enumerate() {
            let sources = directory.backend(&mut known, backend, now).sources;
            lookups.push(Lookup { hsdirs: sources.len(), ..Lookup::default() });
            waiting.extend(sources.into_iter().map(|source| (index, source)));
        }
        Self { directory, backends, waiting, asked: HashMap::new(), next: 0, lookups }
    }

    async fn run(&mut self, network: &mut impl Network, end: Instant) {
        loop {
            while self.asked.len() < IN_FLIGHT && self.ask(network) {}
            let Some(due) = self.asked.values().map(|(_, due)| *due).min() else { return };
            tokio::select! {
                message = network.next() => match message {
                    Message::Fetched(request, fetched) => self.take(request, fetched),
                    Message::Lost => return,
                    _ => {}
                },
                () = sleep_until(due.min(end)) => {
                    let now = Instant::now();
                    if now >= end {
                        return;
                    }
                    self.asked.retain(|_, (_, due)| *due > now);
                }
            }
        }
    }

    /// Sends the next request. False: none waits.
    fn ask(&mut self, network: &mut impl Network) -> bool {
        let Some((index, source)) = self.waiting.pop_front() else { return false };
        let Some(backend) = self.backends.get(index) else { return true };
        let (request, now) = (RequestId(self.next), onionbalance_process::now());
        self.next += 1;
        match source {
            Source::Hsdir { hsdir, replica } => {
                let Some(lookup) = self.directory.lookup(backend, replica, now) else { return true };
                network.fetch(request, lookup, hsdir);
            }
            Source::Any => {
                let Some(lookup) = self.directory.client_lookup(backend, now) else { return true };
                network.fetch_as_client(request, lookup);
            }
        }
        if let Some(lookup) = self.lookups.get_mut(index) {
            lookup.asked += 1;
        }
        self.asked.insert(request, (index, Instant::now() + ANSWER_WITHIN));
        true
    }

    fn take(&mut self, request: RequestId, fetched: Fetched) {
        let Some((index, _)) = self.asked.remove(&request) else { return };
        let (Some(backend), Some(lookup)) = (self.backends.get(index), self.lookups.get_mut(index)) else {
            return;
        };
        match fetched {
            Fetched::Text(text) => {
                match V::open(backend, self.directory, &text, onionbalance_process::now()) {
                    Ok(copy) => {
                        lookup.found += 1;
                        if copy.revision >= lookup.revision {
                            (lookup.revision, lookup.points) = (copy.revision, copy.points.len());
                        }
                    }
                    Err(problem) => lookup.problem = Some(format!("its descriptor is not valid: {problem}")),
                }
            }
            Fetched::NotFound => lookup.empty += 1,
            Fetched::Unreadable => {
                lookup.problem = Some(format!("its descriptor is not valid: {}", V::UNPARSED));
            }
            Fetched::Failed(Some(problem)) => {
                lookup.problem = Some(format!("cannot fetch its descriptor: {problem}"));
            }
            Fetched::Failed(None) => {}
        }
    }
}

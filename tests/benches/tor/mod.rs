//! Simulated tors behind their control ports: they have as few circuits at a time as a real one, in a made-up
//! network.
#![allow(dead_code, reason = "each benchmark has a use for another part")]

mod network;
#[path = "../../../balancer/tests/synthetic/mod.rs"]
mod synthetic;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use network::Network;
use onionbalance_proto::v3::document::outer::Outer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The most client circuits of tor that are pending at a time (`MaxClientCircuitsPending`).
const CIRCUITS: usize = 32;
/// The time from the beginning of a circuit to the HSDir's answer, in milliseconds.
const LATENCY: std::ops::Range<u64> = 1_000..4_000;

/// Listens until the benchmark ends.
pub(crate) struct Tor(Arc<Shared>);

struct Shared {
    network: Arc<Network>,
    /// The balancer's connection; whole replies and events are written at once.
    stream: Mutex<Option<UnixStream>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    circuits: Option<Sender<Circuit>>,
    counts: Counts,
}

/// The requests that a tor got, and the work that it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// The descriptors that an HSDir was asked for.
    pub(crate) fetches: u64,
    /// The HSPOST commands, each with a new signature.
    pub(crate) posts: u64,
    /// The descriptors that were sent to an HSDir.
    pub(crate) uploads: u64,
    /// The circuits that are waited for, including pending ones.
    pub(crate) outstanding: u64,
    /// The largest number of these.
    pub(crate) most_outstanding: u64,
}

impl Counts {
    /// The counts of two tors: the sum of requests, and the larger number of outstanding circuits.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            fetches: self.fetches + other.fetches,
            posts: self.posts + other.posts,
            uploads: self.uploads + other.uploads,
            outstanding: self.outstanding.max(other.outstanding),
            most_outstanding: self.most_outstanding.max(other.most_outstanding),
        }
    }
}

/// A circuit, by its purpose.
enum Circuit {
    Fetch { address: String, hsdir: String },
    Upload { address: String, blinded: [u8; 32], hsdir: String },
}

impl Tor {
    /// A tor of this network with its control socket at `path`.
    pub(crate) fn listen(path: &Path, network: &Arc<Network>) -> Self {
        let network = Arc::clone(network);
        let shared = Arc::new(Shared { network, stream: Mutex::default(), state: Mutex::default() });
        let (listener, tor) = (UnixListener::bind(path).unwrap(), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming() {
                tor.talk(stream.unwrap());
            }
        });
        Self(shared)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.state.lock().unwrap().counts
    }

    /// Announces the network's present consensus.
    pub(crate) fn announce_consensus(&self) {
        self.0.send("650 STATUS_CLIENT NOTICE CONSENSUS_ARRIVED\r\n");
    }

    /// Makes the balancer connect again; all requests in flight are lost.
    pub(crate) fn restart(&self) {
        let stream = self.0.stream.lock().unwrap().take();
        stream.unwrap().shutdown(Shutdown::Both).unwrap();
    }
}

impl Shared {
    /// Answers until the other end closes.
    fn talk(self: &Arc<Self>, stream: UnixStream) {
        let (circuits, begun) = mpsc::channel();
        *self.stream.lock().unwrap() = Some(stream.try_clone().unwrap());
        {
            let mut state = self.state.lock().unwrap();
            state.circuits = Some(circuits);
            state.counts.outstanding = 0;
        }
        let tor = Arc::clone(self);
        thread::spawn(move || tor.build_circuits(&begun));
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        while let Some(command) = lines.next() {
            let mut text = String::new();
            if command.starts_with('+') {
                for line in lines.by_ref().take_while(|line| line != ".") {
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
            }
            self.send(&self.answer(&command, &text));
        }
    }

    fn send(&self, text: &str) {
        // The balancer is gone at the end.
        let _ = self.stream.lock().unwrap().as_mut().map(|stream| stream.write_all(text.as_bytes()));
    }

    fn answer(&self, command: &str, text: &str) -> String {
        let mut reply = String::new();
        match command.split(' ').collect::<Vec<_>>().as_slice() {
            ["PROTOCOLINFO", ..] => reply
                .push_str("250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250-VERSION Tor=\"0.4.9.11\"\r\n"),
            ["GETCONF", option] => return format!("250 {option}=0\r\n"),
            ["GETINFO", keys @ ..] => keys.iter().for_each(|key| self.add_info(&mut reply, key)),
            ["HSFETCH", address, servers @ ..] => {
                for hsdir in fingerprints(servers) {
                    self.begin(Circuit::Fetch { address: (*address).to_owned(), hsdir });
                }
            }
            ["+HSPOST", servers @ .., address] => {
                let address = address.strip_prefix("HSADDRESS=").unwrap();
                let blinded = Outer::decode(text).unwrap().signing_cert.claim.signed_by;
                self.state.lock().unwrap().counts.posts += 1;
                for hsdir in fingerprints(servers) {
                    self.begin(Circuit::Upload { address: address.to_owned(), blinded, hsdir });
                }
            }
            _ => {}
        }
        reply + "250 OK\r\n"
    }

    fn add_info(&self, reply: &mut String, key: &str) {
        let value = match key {
            "status/bootstrap-phase" => "NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"",
            "status/enough-dir-info" => "1",
            "uptime" => "60",
            "md/all" => return write!(reply, "250+{key}=\r\n{}", self.network.microdescriptors()).unwrap(),
            _ => return write!(reply, "250+{key}=\r\n{}", self.network.consensus()).unwrap(),
        };
        write!(reply, "250-{key}={value}\r\n").unwrap();
    }

    fn begin(&self, circuit: Circuit) {
        let mut state = self.state.lock().unwrap();
        match circuit {
            Circuit::Fetch { .. } => state.counts.fetches += 1,
            Circuit::Upload { .. } => state.counts.uploads += 1,
        }
        state.counts.outstanding += 1;
        state.counts.most_outstanding = state.counts.most_outstanding.max(state.counts.outstanding);
        state.circuits.as_ref().unwrap().send(circuit).unwrap();
    }

    /// Builds circuits in the order in which they were asked for, until the connection to the balancer ends.
    fn build_circuits(&self, begun: &Receiver<Circuit>) {
        let mut rng = StdRng::seed_from_u64(4);
        let mut pending: BTreeMap<(Instant, u64), Circuit> = BTreeMap::new();
        let mut waiting = VecDeque::new();
        let mut number = 0;
        loop {
            while pending.len() < CIRCUITS && !waiting.is_empty() {
                let at = Instant::now() + Duration::from_millis(rng.gen_range(LATENCY));
                number += 1;
                pending.insert((at, number), waiting.pop_front().unwrap());
            }
            let first = pending.first_key_value().map(|((at, _), _)| *at);
            let left = first.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            match begun.recv_timeout(left) {
                Ok(circuit) => waiting.push_back(circuit),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((_, circuit)) = pending.pop_first() {
                        self.finish(circuit);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn finish(&self, circuit: Circuit) {
        let event = match circuit {
            Circuit::Fetch { address, hsdir } => self.network.fetched(&address, &hsdir),
            Circuit::Upload { address, blinded, hsdir } => {
                let event = format!("650 HS_DESC UPLOADED {address} UNKNOWN ${hsdir}\r\n");
                self.network.store(blinded, hsdir);
                event
            }
        };
        {
            // After a restart nothing counts as outstanding, although a circuit may be ending.
            let outstanding = &mut self.state.lock().unwrap().counts.outstanding;
            *outstanding = outstanding.saturating_sub(1);
        }
        self.send(&event);
    }
}

fn fingerprints(servers: &[&str]) -> impl Iterator<Item = String> {
    servers.iter().filter_map(|server| server.strip_prefix("SERVER=")).map(str::to_owned)
}

//! A tor, as far as its control port shows one: a made-up network of the public one's size, backends that publish as real ones
//! do, HSDirs that store everything, and as few circuits at a time as tor has.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use onionbalance_proto::fixture::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::outer::Outer;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::synthetic::{Shape, Texts, texts};

const RELAYS: usize = 9_000;
/// HSDirs of 100 relays, as on the public network.
const HSDIRS_PERCENT: u32 = 50;
const POINTS: usize = 3;
/// Tor has so many client circuits pending at most (`MaxClientCircuitsPending`).
const CIRCUITS: usize = 32;
/// From the beginning of a circuit to the HSDir's answer, in milliseconds.
const LATENCY: std::ops::Range<u64> = 1_000..4_000;
/// A backend publishes its descriptor again after 60 to 120 min (`HS_SERVICE_NEXT_UPLOAD_TIME_MIN`, `_MAX`).
const REPUBLISHED_AFTER: u64 = 90 * 60;

/// Listens until the benchmark ends.
pub(crate) struct Tor(Arc<Shared>);

struct Shared {
    network: Blocks,
    period: TimePeriod,
    backends: BTreeMap<String, u64>,
    /// The balancer's connection; whole replies and events are written at once.
    stream: Mutex<Option<UnixStream>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    circuits: Option<Sender<Circuit>>,
    counts: Counts,
    /// The descriptors that HSDirs hold, by blinded key.
    stored: HashSet<([u8; 32], String)>,
    is_tenth_dead: bool,
}

/// The requests that tor got, and the work that it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Descriptors that were asked of an HSDir.
    pub(crate) fetches: u64,
    /// HSPOST commands, with a signature each.
    pub(crate) posts: u64,
    /// Descriptors sent to an HSDir.
    pub(crate) uploads: u64,
    /// Circuits that are waited for, pending ones included.
    pub(crate) outstanding: u64,
    /// The most that there have been at a time.
    pub(crate) most_outstanding: u64,
}

/// A circuit, by its purpose.
enum Circuit {
    Fetch { address: String, hsdir: String },
    Upload { address: String, blinded: [u8; 32], hsdir: String },
}

/// Data blocks of the control protocol.
struct Blocks {
    consensus: String,
    microdescriptors: String,
}

impl Tor {
    pub(crate) fn listen(path: &Path, backends: u64) -> Self {
        let valid_after = now().minus(now().0 % 3600);
        let Texts { consensus, microdescriptors } = network(valid_after);
        let named = |number| (Backend::new(number).address().without_suffix(), number);
        let shared = Arc::new(Shared {
            network: Blocks { consensus: block(&consensus), microdescriptors: block(&microdescriptors) },
            period: TimePeriod::at(valid_after, PeriodLength::DAY, 720),
            backends: (0..backends).map(named).collect(),
            stream: Mutex::default(),
            state: Mutex::default(),
        });
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

    /// How many HSDirs hold one of the descriptors, all descriptors together.
    pub(crate) fn stored(&self) -> usize {
        self.0.state.lock().unwrap().stored.len()
    }

    /// HSDirs lose everything, so that what is stored can be counted from here on.
    pub(crate) fn forget_stored(&self) {
        self.0.state.lock().unwrap().stored.clear();
    }

    /// The same consensus arrives again.
    pub(crate) fn announce_consensus(&self) {
        self.0.send("650 STATUS_CLIENT NOTICE CONSENSUS_ARRIVED\r\n");
    }

    /// One of ten backends has no descriptor at any HSDir any more.
    pub(crate) fn kill_a_tenth(&self) {
        self.0.state.lock().unwrap().is_tenth_dead = true;
    }

    /// The balancer has to connect again; all requests under way are lost.
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
        // The balancer is gone when all is over.
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
            "md/all" => return write!(reply, "250+{key}=\r\n{}", self.network.microdescriptors).unwrap(),
            _ => return write!(reply, "250+{key}=\r\n{}", self.network.consensus).unwrap(),
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
            Circuit::Fetch { address, hsdir } => self.fetched(&address, &hsdir),
            Circuit::Upload { address, blinded, hsdir } => {
                let event = format!("650 HS_DESC UPLOADED {address} UNKNOWN ${hsdir}\r\n");
                self.state.lock().unwrap().stored.insert((blinded, hsdir));
                event
            }
        };
        self.state.lock().unwrap().counts.outstanding -= 1;
        self.send(&event);
    }

    fn fetched(&self, address: &str, hsdir: &str) -> String {
        let number = self.backends[address];
        let backend = Backend::new(number);
        let id = format!("{:?}", BlindedKey::derive(&backend.address(), self.period));
        if number.is_multiple_of(10) && self.state.lock().unwrap().is_tenth_dead {
            return format!(
                "650 HS_DESC FAILED {address} NO_AUTH ${hsdir} {id} REASON=NOT_FOUND\r\n\
                 650+HS_DESC_CONTENT {address} {id} ${hsdir}\r\n\r\n.\r\n650 OK\r\n"
            );
        }
        let content = block(&descriptor(&backend, number, self.period));
        format!(
            "650 HS_DESC RECEIVED {address} NO_AUTH ${hsdir} {id}\r\n\
             650+HS_DESC_CONTENT {address} {id} ${hsdir}\r\n{content}650 OK\r\n"
        )
    }
}

/// The last descriptor that the backend of this number published. Its points are always the same.
fn descriptor(backend: &Backend, number: u64, period: TimePeriod) -> String {
    let mut rng = StdRng::seed_from_u64(number);
    let phase = number * 7919 % REPUBLISHED_AFTER;
    let round = (now().0 + phase) / REPUBLISHED_AFTER;
    let published = UnixTime(round * REPUBLISHED_AFTER - phase);
    let mut published = backend.publish(period, published, POINTS, &mut rng);
    published.descriptor.revision = round;
    published.text(&mut rng)
}

fn network(valid_after: UnixTime) -> Texts {
    let mut rng = StdRng::seed_from_u64(9);
    let shape = Shape {
        relays: RELAYS,
        hsdirs_percent: HSDIRS_PERCENT,
        times: [0, 1, 3].map(|hours| date(valid_after.plus(hours * 3600))),
        params: String::new(),
        shared_random: [Some(rng.r#gen()), Some(rng.r#gen())],
    };
    texts(&shape, &mut rng)
}

/// `YYYY-MM-DD HH:MM:SS`.
fn date(time: UnixTime) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{}", time.0), "+%F %T"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// As a data block of the control protocol.
fn block(text: &str) -> String {
    text.trim_end().replace('\n', "\r\n") + "\r\n.\r\n"
}

fn fingerprints(servers: &[&str]) -> impl Iterator<Item = String> {
    servers.iter().filter_map(|server| server.strip_prefix("SERVER=")).map(str::to_owned)
}

//! What both programs take in memory on a network of 9 000 relays, as its consensuses come and go.
//!
//! `cargo bench --package onionbalance-tests --bench memory` runs the real programs against a control port that is
//! played here: it hands out a made-up consensus and microdescriptors of the public network's size, descriptors of
//! seven backends, and success for every upload.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod frontend;
#[path = "../../balancer/tests/synthetic/mod.rs"]
mod synthetic;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use frontend::{Config, wait_lines};
use nix::unistd::Pid;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{PeriodLength, TimePeriod};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use synthetic::{Shape, Texts, texts};

const RELAYS: usize = 9_000;
/// Of 100 relays, as on the public network.
const HSDIRS_PERCENT: u32 = 50;
const BACKENDS: u64 = 7;
const POINTS: usize = 3;
/// After how many consensuses the programs are looked at.
const LOOKS: [usize; 5] = [1, 2, 5, 10, 24];

fn main() {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let network = network(now);
    println!(
        "{RELAYS} relays: consensus of {} kB, microdescriptors of {} kB",
        network.consensus.len() / 1000,
        network.microdescriptors.len() / 1000
    );
    let control = ControlPort::listen(&path("control"), &network, now);
    let backends = (0..BACKENDS).map(|number| Backend::new(number).address());
    let config = Config::write(directory.path(), &path("signer"), backends);
    let signer = config.start_signer();
    let balancer = config.start_balancer(&path("control"));
    wait_lines(&balancer, "published descriptor", 2);

    println!("MiB               balancer         signer");
    println!("consensuses    now    peak    now    peak");
    let mut arrived = 1;
    for look in LOOKS {
        while arrived < look {
            control.announce_consensus();
            arrived += 1;
            wait_lines(&balancer, "a new consensus", arrived);
        }
        let [balancer, signer] = [&balancer, &signer]
            .map(|program| ["VmRSS", "VmHWM"].map(|figure| mebibytes(program.pid(), figure)));
        println!(
            "{arrived:11} {:6.1}  {:6.1} {:6.1}  {:6.1}",
            balancer[0], balancer[1], signer[0], signer[1]
        );
    }
}

fn network(now: UnixTime) -> Texts {
    let mut rng = StdRng::seed_from_u64(9);
    let valid_after = now.minus(now.0 % 3600);
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

/// A figure of `/proc/PID/status`.
fn mebibytes(process: Pid, figure: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024.0
}

/// A tor's control port, as far as a balancer can tell.
struct ControlPort {
    /// The balancer's connection; whole replies and events are written at once.
    stream: Arc<Mutex<Option<UnixStream>>>,
}

impl ControlPort {
    fn listen(path: &Path, network: &Texts, now: UnixTime) -> Self {
        let period = TimePeriod::at(now.minus(now.0 % 3600), PeriodLength::try_from(1440).unwrap(), 720);
        let mut rng = StdRng::seed_from_u64(1);
        let descriptors = (0..BACKENDS).map(|number| {
            let published = Backend::new(number).publish(period, now, POINTS, &mut rng);
            (published.address.without_suffix(), block(&published.text(&mut rng)))
        });
        let answers = Answers {
            consensus: block(&network.consensus),
            microdescriptors: block(&network.microdescriptors),
            descriptors: descriptors.collect(),
        };
        let listener = UnixListener::bind(path).unwrap();
        let stream = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&stream);
        thread::spawn(move || {
            let (reader, _) = listener.accept().unwrap();
            *shared.lock().unwrap() = Some(reader.try_clone().unwrap());
            let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
            while let Some(command) = lines.next() {
                if command.starts_with('+') {
                    lines.by_ref().find(|line| line == ".");
                }
                send(&shared, &answers.answer(&command));
            }
        });
        Self { stream }
    }

    fn announce_consensus(&self) {
        send(&self.stream, "650 STATUS_CLIENT NOTICE CONSENSUS_ARRIVED\r\n");
    }
}

fn send(stream: &Mutex<Option<UnixStream>>, text: &str) {
    // The balancer is gone when all is over.
    let _ = stream.lock().unwrap().as_mut().unwrap().write_all(text.as_bytes());
}

/// As a data block of the control protocol.
fn block(text: &str) -> String {
    text.trim_end().replace('\n', "\r\n") + "\r\n.\r\n"
}

/// What the control port has to say; data blocks all.
struct Answers {
    consensus: String,
    microdescriptors: String,
    /// By address.
    descriptors: HashMap<String, String>,
}

impl Answers {
    fn answer(&self, command: &str) -> String {
        let mut reply = String::new();
        match command.split(' ').collect::<Vec<_>>().as_slice() {
            ["PROTOCOLINFO", ..] => reply.push_str(
                "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250-VERSION Tor=\"0.4.9.11\"\r\n250 OK\r\n",
            ),
            ["GETCONF", option] => write!(reply, "250 {option}=0\r\n").unwrap(),
            ["GETINFO", keys @ ..] => {
                for key in keys {
                    self.add_info(&mut reply, key);
                }
                reply.push_str("250 OK\r\n");
            }
            ["HSFETCH", address, servers @ ..] => {
                reply.push_str("250 OK\r\n");
                let descriptor = self.descriptors.get(*address).unwrap();
                for server in fingerprints(servers) {
                    write!(reply, "650+HS_DESC_CONTENT {address} ID ${server}\r\n{descriptor}650 OK\r\n")
                        .unwrap();
                }
            }
            ["+HSPOST", servers @ .., address] => {
                let address = address.strip_prefix("HSADDRESS=").unwrap();
                assert_eq!(address, frontend::address().without_suffix());
                reply.push_str("250 OK\r\n");
                for server in fingerprints(servers) {
                    write!(reply, "650 HS_DESC UPLOADED {address} UNKNOWN ${server}\r\n").unwrap();
                }
            }
            _ => reply.push_str("250 OK\r\n"),
        }
        reply
    }

    fn add_info(&self, reply: &mut String, key: &str) {
        let value = match key {
            "status/bootstrap-phase" => "NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"",
            "status/enough-dir-info" => "1",
            "md/all" => return write!(reply, "250+{key}=\r\n{}", self.microdescriptors).unwrap(),
            _ => return write!(reply, "250+{key}=\r\n{}", self.consensus).unwrap(),
        };
        write!(reply, "250-{key}={value}\r\n").unwrap();
    }
}

fn fingerprints<'a>(servers: &'a [&str]) -> impl Iterator<Item = &'a str> {
    servers.iter().filter_map(|server| server.strip_prefix("SERVER="))
}

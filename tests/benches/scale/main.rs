//! The cost of many services: requests to tor, processor time and memory, with the real programs and tor's real limits.
//!
//! `cargo bench --package onionbalance-tests --bench scale -- 1x3 100x10 1000x10` plays tor's control port for that many services
//! with that many backends each, one after the other (`docs/scale.md` has the results). `--steady MINUTES` sets how long a
//! steady hour is looked at; it is extrapolated.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

#[path = "../../../balancer/tests/synthetic/mod.rs"]
mod synthetic;
mod tor;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::programs::{Programs, Running};
use tor::{Counts, Tor};

/// A service's two descriptors are at eight HSDirs each.
const PLACES: usize = 16;
/// A phase that has not reached its aim by then ends without it.
const PATIENCE: Duration = Duration::from_mins(45);
const LOOK: Duration = Duration::from_millis(200);
/// How long an event without an aim is followed.
const MINUTE: Duration = Duration::from_mins(1);
/// The columns of `/proc/PID/stat` after the name: processor time in the process's and in the kernel's code.
const PROCESSOR_TIME: [usize; 2] = [11, 12];
/// Ticks a second (`USER_HZ`).
const TICKS: f64 = 100.0;

fn main() {
    let mut sizes = Vec::new();
    let mut steady = Duration::from_mins(10);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--steady" {
            steady = Duration::from_mins(arguments.next().unwrap().parse().unwrap());
        } else if let Some((services, backends)) = argument.split_once('x') {
            sizes.push((services.parse().unwrap(), backends.parse().unwrap()));
        }
    }
    if sizes.is_empty() {
        sizes.push((1, 3));
    }
    println!(
        "                                      an hour                   outstanding    balancer         signer"
    );
    println!(
        "services  phase            s    fetches    posts  uploads     now    most   CPU %   MiB   CPU %   MiB"
    );
    for (services, backends) in sizes {
        Site::start(services, backends).run(steady);
    }
}

/// Both programs at work.
struct Site {
    services: u64,
    tor: Tor,
    signer: Running,
    balancer: Running,
    _directory: tempfile::TempDir,
}

/// Figures that grow, at one moment.
struct Reading {
    at: Instant,
    counts: Counts,
    /// Seconds of the balancer and of the signer.
    processor: [f64; 2],
}

impl Site {
    fn start(services: u64, backends: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        configure(path, services, backends);
        let tor = Tor::listen(&path.join("control"), services * backends);
        let programs = Programs::build().unwrap();
        let signer = start(path, &programs.signer, &[]);
        signer.wait_line("listening on", PATIENCE).unwrap();
        let balancer = start(path, &programs.balancer, &["-s", "control"]);
        Self { services, tor, signer, balancer, _directory: directory }
    }

    fn run(&self, steady: Duration) {
        let places = usize::try_from(self.services).unwrap() * PLACES;
        self.phase("start", || self.tor.stored() >= places);
        let begun = Instant::now();
        self.phase("steady", || begun.elapsed() >= steady);
        self.tor.announce_consensus();
        let begun = Instant::now();
        self.phase("consensus", || begun.elapsed() >= MINUTE);
        self.tor.restart();
        let begun = Instant::now();
        self.phase("tor restarted", || begun.elapsed() >= MINUTE);
        self.tor.forget_stored();
        self.tor.kill_a_tenth();
        self.phase("a tenth dead", || self.tor.stored() >= places);
        for program in [&self.balancer, &self.signer] {
            program.signal(Signal::SIGTERM).unwrap();
            assert_eq!(program.wait_exit(PATIENCE).unwrap().code(), Some(0));
        }
    }

    /// Waits until the phase has reached its aim, and prints what it took.
    fn phase(&self, name: &str, is_over: impl Fn() -> bool) {
        let before = self.read();
        let mut ending = "";
        while !is_over() {
            if before.at.elapsed() > PATIENCE {
                ending = "  not reached";
                break;
            }
            sleep(LOOK);
        }
        let after = self.read();
        let time = after.at - before.at;
        let seconds = time.as_secs_f64();
        let an_hour = |count: fn(&Counts) -> u64| {
            let grown = count(&after.counts) - count(&before.counts);
            u128::from(grown) * 3_600_000 / time.as_millis().max(1)
        };
        let [balancer, signer] =
            [0, 1].map(|program| (after.processor[program] - before.processor[program]) / seconds * 100.0);
        let memory = |program: &Running| program.rss_kib().unwrap() / 1024;
        println!(
            "{:8}  {name:14} {seconds:6.1} {:>8} {:>8} {:>8} {:7} {:7} {balancer:7.1} {:5} {signer:7.1} {:5}{ending}",
            self.services,
            an_hour(|counts| counts.fetches),
            an_hour(|counts| counts.posts),
            an_hour(|counts| counts.uploads),
            after.counts.outstanding,
            after.counts.most_outstanding,
            memory(&self.balancer),
            memory(&self.signer),
        );
    }

    fn read(&self) -> Reading {
        let processor = [&self.balancer, &self.signer].map(|program| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
            let figures: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
            PROCESSOR_TIME.map(|column| figures[column].parse::<f64>().unwrap()).iter().sum::<f64>() / TICKS
        });
        Reading { at: Instant::now(), counts: self.tor.counts(), processor }
    }
}

fn configure(directory: &Path, services: u64, backends: u64) {
    let mut yaml = String::from(
        "signer-socket-location: signer\nsigner-allow-locked-memory: true\nstate-file-location: state.json\nservices:\n",
    );
    for service in 0..services {
        let key = KeyV3::named(&format!("service {service}")).pem().unwrap();
        write_secret(&directory.join(format!("{service}.pem")), key).unwrap();
        writeln!(yaml, "- key: {service}.pem\n  instances:").unwrap();
        for number in service * backends..(service + 1) * backends {
            writeln!(yaml, "  - address: {}", Backend::new(number).address()).unwrap();
        }
    }
    fs::write(directory.join("config.yaml"), yaml).unwrap();
}

fn start(directory: &Path, program: &Path, arguments: &[&str]) -> Running {
    let output = directory.join(program.file_name().unwrap()).with_extension("output");
    let mut command = Command::new(program);
    command.current_dir(directory).args(["-c", "config.yaml"]).args(arguments);
    Running::start(&mut command, &output).unwrap()
}

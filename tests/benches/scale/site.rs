//! Both programs at work for many services, through the phases of their life.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::programs::{Programs, Running};

use crate::tor::{Counts, Network, Tor};

/// The number of HSDirs of a descriptor.
const PLACES: usize = 8;
const LOOK: Duration = Duration::from_millis(200);
/// The time for which an event without an aim is followed.
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The columns of `/proc/PID/stat` after the name: processor time in the process's and in the kernel's code.
const PROCESSOR_TIME: [usize; 2] = [11, 12];
/// The ticks of processor time in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Both programs at work.
pub(crate) struct Site {
    services: usize,
    backends: usize,
    network: Arc<Network>,
    tors: Vec<Tor>,
    signer: Running,
    balancer: Running,
    /// The time after which a phase ends even if it has not reached its aim.
    patience: Duration,
    _directory: tempfile::TempDir,
}

/// Growing figures at one moment.
struct Reading {
    at: Instant,
    counts: Counts,
    /// The processor time of the balancer and of the signer, in seconds.
    processor: [f64; 2],
}

impl Site {
    pub(crate) fn start(services: u64, backends: u64, tors: usize, patience: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let network = Arc::new(Network::new(services * backends));
        let sockets: Vec<_> = (0..tors).map(|tor| path.join(format!("{tor}.control"))).collect();
        let tors = sockets.iter().map(|socket| Tor::listen(socket, &network)).collect();
        configure(path, services, backends, &sockets);
        let programs = Programs::delivered().unwrap();
        let signer = start(path, &programs.signer);
        signer.wait_line("listening on", patience).unwrap();
        let balancer = start(path, &programs.balancer);
        let [services, backends] =
            [services, services * backends].map(|count| usize::try_from(count).unwrap());
        Self { services, backends, network, tors, signer, balancer, patience, _directory: directory }
    }

    /// Goes through all phases, and prints a line for each.
    pub(crate) fn run(&self, steady: Duration) {
        println!(
            "                                                   outstanding    balancer            signer"
        );
        println!(
            "phase                s  fetches    posts  uploads    now  most   CPU %   MiB  peak   CPU %   MiB  peak"
        );
        let everywhere = 2 * self.services * PLACES;
        self.phase("start", || self.network.stored() >= everywhere);
        self.steady(steady);
        self.announce_consensus();
        self.phase("consensus", after(MINUTE));
        self.tors[0].restart();
        self.phase("tor restarted", after(MINUTE));
        self.network.advance();
        self.announce_consensus();
        let moved = self.network.stored() + self.services * PLACES;
        self.phase("other HSDirs", || self.network.stored() >= moved);
        self.network.advance();
        self.announce_consensus();
        self.phase("time period", || self.network.found() >= self.backends);
        self.network.forget_stored();
        self.network.kill_a_tenth();
        self.phase("a tenth dead", || self.network.stored() >= everywhere);
        for program in [&self.balancer, &self.signer] {
            program.signal(Signal::SIGTERM).unwrap();
            assert_eq!(program.wait_exit(self.patience).unwrap().code(), Some(0));
        }
    }

    fn announce_consensus(&self) {
        self.tors.iter().for_each(Tor::announce_consensus);
    }

    /// Watches for this time, and extrapolates the figures to an hour.
    fn steady(&self, time: Duration) {
        let before = self.read();
        self.phase("steady", after(time));
        let after = self.read();
        let hours = (after.at - before.at).as_secs_f64() / HOUR.as_secs_f64();
        let requests = requests(&before, &after).map(|count| format!("{:8.0} ", f64::from(count) / hours));
        println!("  in an hour           {}", requests.concat());
    }

    /// Waits until the phase has reached its aim, and prints its cost.
    fn phase(&self, name: &str, is_over: impl Fn() -> bool) {
        let before = self.read();
        let mut ending = "";
        while !is_over() {
            if before.at.elapsed() > self.patience {
                ending = "  not reached";
                break;
            }
            sleep(LOOK);
        }
        let after = self.read();
        let seconds = (after.at - before.at).as_secs_f64();
        let programs = [&self.balancer, &self.signer].into_iter().zip(after.processor).zip(before.processor);
        let figures = programs.map(|((program, after), before)| {
            let [now, peak] = ["VmRSS:", "VmHWM:"].map(|figure| mebibytes(program, figure));
            format!("{:7.1} {now:5.0} {peak:5.0} ", (after - before) / seconds * 100.0)
        });
        let requests = requests(&before, &after).map(|count| format!("{count:8} "));
        println!(
            "{name:14} {seconds:7.1} {}{:6} {:5} {}{ending}",
            requests.concat(),
            after.counts.outstanding,
            after.counts.most_outstanding,
            figures.collect::<String>(),
        );
    }

    fn read(&self) -> Reading {
        let processor = [&self.balancer, &self.signer].map(|program| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
            let figures: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
            PROCESSOR_TIME.map(|column| figures[column].parse::<f64>().unwrap()).iter().sum::<f64>() / TICKS
        });
        let counts = self.tors.iter().map(Tor::counts).fold(Counts::default(), Counts::and);
        Reading { at: Instant::now(), counts, processor }
    }
}

/// The fetches, posts and uploads between two readings.
fn requests(before: &Reading, after: &Reading) -> [u32; 3] {
    let counts = |counts: &Counts| [counts.fetches, counts.posts, counts.uploads];
    let (before, after) = (counts(&before.counts), counts(&after.counts));
    [0, 1, 2].map(|kind| u32::try_from(after[kind] - before[kind]).unwrap())
}

/// True when this much time has passed from now on.
fn after(time: Duration) -> impl Fn() -> bool {
    let begun = Instant::now();
    move || begun.elapsed() >= time
}

/// A figure of `/proc/PID/status`.
fn mebibytes(program: &Running, figure: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024.0
}

fn configure(directory: &Path, services: u64, backends: u64, sockets: &[impl AsRef<Path>]) {
    let mut yaml = String::from(
        "signer-socket-location: signer\nsigner-allow-locked-memory: true\nstate-file-location: state.json\ntor:\n",
    );
    for socket in sockets {
        writeln!(yaml, "- {}", socket.as_ref().display()).unwrap();
    }
    yaml.push_str("services:\n");
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

fn start(directory: &Path, program: &Path) -> Running {
    let output = directory.join(program.file_name().unwrap()).with_extension("output");
    let mut command = Command::new(program);
    command.current_dir(directory).args(["-c", "config.yaml"]);
    Running::start(&mut command, &output).unwrap()
}

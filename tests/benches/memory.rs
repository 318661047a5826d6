//! The memory of both programs in a network of 9 000 relays, as its consensuses come and go.
//!
//! `cargo bench --package onionbalance-tests --bench memory` runs the real programs with a simulated control
//! port: it hands out a made-up consensus and microdescriptors of the public network's size, descriptors of
//! seven backends, and success for every upload.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod frontend;
mod tor;

use std::fs;
use std::sync::Arc;

use frontend::{Config, wait_lines};
use nix::unistd::Pid;
use onionbalance_proto::fixture::Backend;
use tor::{Network, Tor};

const BACKENDS: u64 = 7;
/// The numbers of consensuses after which the memory is measured.
const LOOKS: [usize; 5] = [1, 2, 5, 10, 24];

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let network = Arc::new(Network::new(BACKENDS));
    println!("{}", network.describe());
    let tor = Tor::listen(&path("control"), &network);
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
            tor.announce_consensus();
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

/// A figure of `/proc/PID/status`.
fn mebibytes(process: Pid, figure: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024.0
}

//! The throughput of the frontend, compared with the backend's own address, and the time from a balancer's
//! start to its first publication.
//!
//! `cargo bench --package onionbalance-tests --bench throughput` runs a private network of real tors; 2
//! minutes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod frontend;
mod measure;

use std::time::Instant;

use frontend::{Config, wait_lines};
use measure::{Times, in_turn};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::network::{Network, Plan};

const BYTES: usize = 20_000_000;
const PAIRS: usize = 9;
const STARTS: usize = 7;

fn main() {
    // One backend: the same tor sends the bytes of both sides of a pair.
    let plan = Plan { backends: 1, frontends: vec![frontend::address()], ..Plan::default() };
    let network = Network::start(&plan).unwrap();
    let backend = network.backend(0).unwrap();
    let own_address = backend.address().v3().unwrap();
    let config = Config::write(network.directory(), &network.sockets().join("signer"), [own_address]);
    let _signer = config.start_signer();

    let mut starts = Vec::new();
    let mut balancer = None;
    for _ in 0..STARTS {
        drop(balancer.take());
        let started = Instant::now();
        let running = config.start_balancer(network.management().control_socket());
        // One line for each of the two descriptors that are always published.
        wait_lines(&running, "published descriptor", 2);
        starts.push(started.elapsed());
        balancer = Some(running);
    }
    println!("from start to both descriptors on all their HSDirs: {}", Times::of(starts));

    let fetch = |host: &OnionAddress| {
        let page = network.client().get(host, 80, &format!("/bytes/{BYTES}")).unwrap();
        assert_eq!((page.status, page.body.len()), (200, BYTES));
    };
    let mut through_frontend = || fetch(&frontend::address());
    let mut own = || fetch(&own_address);
    // The first visits fetch the descriptors.
    through_frontend();
    own();
    let [through_frontend, own] = in_turn(PAIRS, 1, [&mut through_frontend, &mut own]);
    println!("{BYTES} bytes through the frontend: {through_frontend}");
    println!("{BYTES} bytes through the backend's own address: {own}");
    println!("ratio {}", through_frontend.ratio(&own));
}

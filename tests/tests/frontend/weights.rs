//! The visitors of backends with weights, counted on real tors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use onionbalance_tests::network::{Client, Network, Plan};

use super::site::{PUBLISHED, Site, plan, wait_published};

/// The frontends, each with the number of its backends. They have the weights 1, 2, 3, 1, 2, 3 and so on.
const FRONTENDS: [(&str, usize); 3] = [("three", 3), ("twelve", 12), ("thirty", 30)];
/// Their points do not fit into one descriptor.
const BACKENDS: usize = 30;
/// Each visit is with descriptors that are fetched for it, which takes a client ten seconds
/// ([`Client::forget`]).
const CLIENTS: usize = 12;
const VISITS_OF_A_CLIENT: usize = 50;

/// Takes Pearson's chi-square of the visits at each backend. If visitors come by weights, it is above the
/// bound in one of a thousand runs.
#[test]
#[ignore = "takes a quarter of an hour: 1800 visits at 30 backends"]
fn visitors_come_by_weights() -> Result<()> {
    // Clients ask all HSDirs of a descriptor, so that all sets count alike; and points have relays of their own.
    let spread = Some(4);
    let plan = Plan { relays: 24, backends: BACKENDS, hsdir_spread: spread, voting_interval: 30, ..plan()? };
    let network = Network::start(&plan)?;
    for backend in network.backends() {
        backend.wait_published()?;
    }
    let mut running = Vec::new();
    for (name, count) in FRONTENDS {
        let (site, tor) = (weighted(&network, name, count)?, network.new_tor_client()?);
        let balancer = site.balancer(tor.tor())?;
        balancer.wait_output("not that it found all backends", PUBLISHED, |output| {
            (output.matches("found backend").count() >= count).then_some(())
        })?;
        wait_published(&balancer)?;
        running.push((site, tor, balancer));
    }
    let sites: Vec<&Site> = running.iter().map(|(site, ..)| site).collect();
    let visits = visit(&network.new_tor_clients(CLIENTS)?, &sites)?;
    let mut unlikely = Vec::new();
    for ((name, count), visits) in FRONTENDS.into_iter().zip(visits) {
        let by_backend: Vec<u32> = (0..count)
            .map(|number| Ok(visits.get(network.backend(number)?.name()).copied().unwrap_or(0)))
            .collect::<Result<_>>()?;
        let (all, other) = (by_backend.iter().sum::<u32>(), visits.values().sum::<u32>());
        ensure!(all == other, "{name}: another backend answered: {visits:?}");
        let (found, bound) = (chi_square(&by_backend), bound(count)?);
        println!("{name}: {all} visits, chi-square {found:.1}, bound {bound}: {by_backend:?}");
        if found > bound {
            unlikely.push(name);
        }
    }
    ensure!(unlikely.is_empty(), "visitors do not come by weights: {unlikely:?}");
    Ok(())
}

/// A frontend of the first backends of the network.
fn weighted(network: &Network, name: &'static str, count: usize) -> Result<Site> {
    let site = Site::new(network, name, &[], "")?;
    let mut yaml = String::from("services:\n- key: front.pem\n  instances:\n");
    for number in 0..count {
        let address = network.backend(number)?.address();
        writeln!(yaml, "  - address: {address}\n    weight: {}", weight(number))?;
    }
    site.configure(yaml)?;
    Ok(site)
}

fn weight(number: usize) -> u8 {
    match number % 3 {
        0 => 1,
        1 => 2,
        _ => 3,
    }
}

/// Visits each frontend with each client. The visits that backends have answered, by their names.
fn visit(clients: &[Client], sites: &[&Site]) -> Result<Vec<BTreeMap<String, u32>>> {
    let by_client = thread::scope(|scope| {
        let threads: Vec<_> = clients.iter().map(|client| scope.spawn(|| visits_of(client, sites))).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        joined.collect::<Result<Vec<_>>>()
    })?;
    let all: Vec<(usize, String)> = by_client.into_iter().flatten().collect();
    let at = |site: usize| {
        let mut visits = BTreeMap::new();
        for (_, name) in all.iter().filter(|(of, _)| *of == site) {
            *visits.entry(name.clone()).or_default() += 1;
        }
        visits
    };
    Ok((0..sites.len()).map(at).collect())
}

/// The backend that answered each visit, with the number of the frontend. A visit that fails is left out:
/// some circuits break.
fn visits_of(client: &Client, sites: &[&Site]) -> Result<Vec<(usize, String)>> {
    let mut answers = Vec::new();
    for _ in 0..VISITS_OF_A_CLIENT {
        client.forget()?;
        for (number, site) in sites.iter().enumerate() {
            answers.extend(client.get(&site.address, 80, "/").ok().map(|page| (number, page.text())));
        }
    }
    let most = VISITS_OF_A_CLIENT * sites.len();
    ensure!(answers.len() * 10 >= most * 9, "only {} of {most} visits were answered", answers.len());
    Ok(answers)
}

fn chi_square(visits: &[u32]) -> f64 {
    let weights = (0..visits.len()).map(|number| f64::from(weight(number)));
    let (all, total): (f64, f64) = (f64::from(visits.iter().sum::<u32>()), weights.clone().sum());
    let wanted = weights.map(|weight| all * weight / total);
    visits.iter().zip(wanted).map(|(found, wanted)| (f64::from(*found) - wanted).powi(2) / wanted).sum()
}

/// The value that chi-square exceeds by chance once in a thousand times, with one degree of freedom less than
/// there are backends.
fn bound(backends: usize) -> Result<f64> {
    let known = [(3, 13.8), (12, 31.3), (30, 58.3)].into_iter().find(|(count, _)| *count == backends);
    known.map(|(_, bound)| bound).context("no bound for this number of backends")
}

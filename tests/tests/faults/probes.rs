//! Backends die, freeze and return while they are probed: they leave the descriptor within a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use onionbalance_tests::network::Backend;

use crate::backends::with_victim;
use crate::report::note;
use crate::site::{Site, VISITED, ensure_within, network, service};

/// A probe every ten seconds, and two failures in a row. A frozen backend fails only when the time is over.
const HEALTH_CHECK: &str = "  health-check:
    kind: http
    port: 80
    path: /
    interval: 10s
    timeout: 10s
    fall: 2
    rise: 2
";
/// The longest time until a backend that does not answer is in no descriptor.
const OUT: Duration = Duration::from_mins(1);
/// The longest time until a backend that answers again is in every descriptor.
const BACK: Duration = Duration::from_secs(30);
/// The visits that measure a state.
const VISITS: usize = 15;

/// A fault of a backend, in words, and its end.
struct Fault {
    what: &'static str,
    strike: fn(&Backend) -> Result<()>,
    mend: fn(&Backend) -> Result<()>,
}

/// Its tor is killed, and then frozen.
pub(crate) fn of_tor(fault: &'static str) -> Result<()> {
    let killed = Fault {
        what: "a probed backend killed",
        strike: Backend::kill,
        mend: |backend| backend.revive().and_then(|()| backend.wait_published()),
    };
    let frozen = Fault { what: "a probed backend frozen", strike: Backend::freeze, mend: Backend::thaw };
    suffer(fault, &[killed, frozen])
}

/// Its web server is killed, and then answers with an error. Its tor knows nothing of that.
pub(crate) fn of_web_server(fault: &'static str) -> Result<()> {
    let killed = Fault {
        what: "the web server of a probed backend killed",
        strike: |backend| {
            backend.web().kill();
            Ok(())
        },
        mend: |backend| backend.web().revive(),
    };
    let failing = Fault {
        what: "the web server of a probed backend answers 500",
        strike: |backend| {
            backend.web().set_failing(true);
            Ok(())
        },
        mend: |backend| {
            backend.web().set_failing(false);
            Ok(())
        },
    };
    suffer(fault, &[killed, failing])
}

/// Lets one of three probed backends suffer these faults, one after the other.
fn suffer(fault: &'static str, faults: &[Fault]) -> Result<()> {
    let network = network()?;
    let (site, living, victim) = with_victim(network, fault)?;
    let checked = service("front.pem", &site.addresses()?)? + HEALTH_CHECK;
    site.set_services(&checked)?;
    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    let mut measured = Vec::new();
    for Fault { what, strike, mend } in faults {
        traffic.set_living(&living);
        let struck = Instant::now();
        strike(&victim)?;
        wait_out(&site, &living).with_context(|| format!("{what}: it stays listed"))?;
        let out = struck.elapsed();
        traffic.wait_lookup(VISITED)?;
        let known = Instant::now();
        traffic.wait(VISITS, VISITED, |_| true)?;

        mend(&victim)?;
        let well = Instant::now();
        site.wait_current().with_context(|| format!("{what}: it does not return"))?;
        let back = well.elapsed();
        traffic.set_living(&site.backends);
        measured.push((*what, [struck, known, well], out, back));
    }
    let visits = traffic.end()?;
    for (what, [struck, known, well], out, back) in measured {
        let between = |from, until| visits.clone().divide(from).1.divide(until).0;
        note(fault, what, &between(struck, known), Some(out));
        let after = between(known, well);
        note(fault, format!("… while it is out, and back: {what}"), &after, Some(back));
        after.assert_unharmed().context(what)?;
        ensure_within(out, OUT).with_context(|| format!("{what}, until it is out"))?;
        ensure_within(back, BACK).with_context(|| format!("{what}, until it is back"))?;
    }
    Ok(())
}

/// Waits until every responsible HSDir lists the points of these backends only.
fn wait_out(site: &Site, living: &[Arc<Backend>]) -> Result<()> {
    let living = living.iter().map(|backend| backend.address().v3()).collect::<Result<Vec<_>>>()?;
    site.observer.wait_current(&site.address, &living, &site.observer)
}

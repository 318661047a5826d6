//! Health checks: a backend is killed before one's eyes, leaves what is published, and returns.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use onionbalance_tests::network::{Client, Network};
use onionbalance_tests::programs::Running;

use crate::frontend::Frontend;
use crate::screen::Screen;
use crate::visits::Visits;

/// The health check of every backend, as lines of its service in `config.yaml`.
pub(crate) const HEALTH_CHECK: &str =
    "  health-check:\n    kind: http\n    port: 80\n    interval: 10s\n    timeout: 10s\n";

/// Kills the tor of the first backend, visits the frontend while it is out, starts it again, and visits the
/// frontend until it answers.
pub(crate) fn show(
    screen: &Screen,
    network: &Network,
    balancer: &Running,
    frontend: &Frontend,
    clients: &[Client],
) -> Result<()> {
    let victim = network.backend(0)?;
    let name = victim.name();
    victim.kill()?;
    let killed = Instant::now();
    screen.stage(&format!("{name} killed; its descriptor stays on the HSDirs for hours"));
    let unwell = format!("backend {name} is unwell");
    let line = wait_line(balancer, &unwell, 0)?;
    screen.stage(&format!("the log: {}", line.1));
    // Those of both time periods.
    let first = wait_line(balancer, "published descriptor", line.0)?;
    let second = wait_line(balancer, "published descriptor", first.0)?;
    screen.stage(&format!(
        "{:.1} s after its death it is in no descriptor of the frontend any more",
        killed.elapsed().as_secs_f64()
    ));
    let visits = visit(clients, frontend)?;
    ensure!(visits.answers_of(name) == 0, "{name} answered although it is dead");
    ensure!(visits.failures.is_empty(), "a request failed: {:?}", visits.failures);
    screen.stage(&format!(
        "{} visits to the others, none failed; 90 % within {:.2} s",
        visits.count(),
        visits.time_of(9).unwrap_or_default().as_secs_f64()
    ));

    victim.revive()?;
    victim.wait_published()?;
    let returned = Instant::now();
    screen.stage(&format!("{name} started again, with other introduction points"));
    let line = wait_line(balancer, &format!("backend {name} answers on port 80 again"), second.0)?;
    screen.stage(&format!("the log: {}", line.1));
    while visit(clients, frontend)?.answers_of(name) == 0 {
        ensure!(returned.elapsed() < RETURNS, "{name} gets no visitors");
    }
    screen.stage(&format!(
        "{name} gets visitors again, {:.1} s after its return",
        returned.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Visits with circuits and descriptors of their own.
fn visit(clients: &[Client], frontend: &Frontend) -> Result<Visits> {
    for client in clients {
        client.forget()?;
    }
    Visits::make(clients, &frontend.onion, Instant::now())
}

/// Waits for a line of the balancer's log with this text, after the first `from` lines. Returns the number of
/// lines up to it, and its message.
fn wait_line(balancer: &Running, text: &str, from: usize) -> Result<(usize, String)> {
    balancer.wait_output(&format!("nothing of: {text}"), PATIENCE, |log| {
        let (number, line) = log.lines().enumerate().skip(from).find(|(_, line)| line.contains(text))?;
        let message = line.find(text).and_then(|at| line.get(at..)).unwrap_or(line);
        Some((number + 1, message.to_owned()))
    })
}

/// The longest time until a backend is unwell: two probes that take all their time, and one interval.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest time until a backend that has returned gets a visitor.
const RETURNS: Duration = Duration::from_mins(2);

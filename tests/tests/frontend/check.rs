//! `onionbalance check --live --visit` on a real network, beside the balancer whose configuration it checks.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::network::Client;
use onionbalance_tests::programs::Programs;

use super::site::{Site, backends, network, wait_published};

const WITH_SOCKET: &str = "signer-socket-location: signer\n";

/// A backend that nobody runs.
const NOBODYS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";

/// The output and the exit status of a check with these arguments, which asks the client's tor.
fn check(site: &Site, client: &Client, arguments: &[&str]) -> Result<(String, i32)> {
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["check", "--live", "-c"]).arg(site.path("config.yaml")).args(arguments);
    command.args(["--tor", &client.tor().control_address()?.to_string()]);
    let output = command.env_remove("ONIONBALANCE_CONFIG").output()?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    Ok((text, output.status.code().context("killed by a signal")?))
}

/// The line of `text` that begins with this verdict and this subject.
fn row<'a>(text: &'a str, verdict: &str, subject: &str) -> Result<&'a str> {
    let begins = |line: &&str| {
        let rest = line.trim_start().strip_prefix(verdict).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(subject))
    };
    text.lines().find(begins).with_context(|| format!("{text}\nwanted {verdict} {subject}"))
}

#[test]
fn what_works_is_ok_and_what_does_not_has_a_row() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "check", &backends, WITH_SOCKET)?;
    let client = network.new_tor_client()?;
    let _signer = site.signer()?;
    let balancer = site.balancer(client.tor())?;
    wait_published(&balancer)?;

    let (text, status) = check(&site, &client, &["--visit"])?;
    ensure!(status == 0, "{status}: {text}");
    ensure!(row(&text, "ok", "configuration")?.ends_with("  1 service, 3 backends"), "{text}");
    ensure!(text.contains("has 1 of 1 key"), "{text}");
    ensure!(row(&text, "ok", "tor")?.ends_with("bootstrapped 100 %"), "{text}");
    row(&text, "ok", "clock")?;
    ensure!(text.matches(" introduction points, seen at ").count() == 3, "{text}");
    ensure!(text.contains("  3 of 3 visits succeeded, the slowest in "), "{text}");
    ensure!(text.ends_with("\nall is well\n"), "{text}");

    probe(&site, &client, &backends)?;

    let more: Vec<OnionAddress> = [backends[0], NOBODYS.parse()?].into();
    site.set_backends(&more, WITH_SOCKET)?;
    let (text, status) = check(&site, &client, &["--format", "short"])?;
    ensure!(status == 78, "{status}: {text}");
    let file = site.path("config.yaml");
    let file = file.display();
    for wanted in [
        format!("{file}:2: error: signer: the signer does not know {NOBODYS} as a backend of "),
        format!("{file}:2: warning: signer: the signer still allows {}", backends[1]),
        format!("{file}:5: error: 25njqamcwef...l5sid: no HSDir has a descriptor ("),
        format!(" asked): {NOBODYS}: is tor running on that machine?  systemctl status tor@default\n"),
    ] {
        ensure!(text.contains(&wanted), "{text}\nwanted {wanted}");
    }
    ensure!(text.lines().count() == 3, "{text}");
    Ok(())
}

/// Checks with health checks of the backends' web servers: a page that is well, one that has another text, one
/// that fails, and a port that no backend serves.
fn probe(site: &Site, client: &Client, backends: &[OnionAddress]) -> Result<()> {
    let passes = "  passes its health check in ";
    for (health_check, wanted_status, wanted) in [
        ("{kind: http, path: /healthz, body: backend}", 0, passes),
        ("{kind: http, body: elsewhere}", 78, "the expected text is not in the page"),
        ("{kind: http, path: /status/503}", 78, "HTTP status 503"),
        ("{kind: connect, port: 81}", 78, "it refused the connection"),
    ] {
        site.set_backends(backends, &format!("  health-check: {health_check}\n{WITH_SOCKET}"))?;
        let (text, status) = check(site, client, &[])?;
        let wanted = if wanted == passes {
            wanted.to_owned()
        } else {
            format!("  does not pass its health check: {wanted}")
        };
        ensure!(
            status == wanted_status && text.matches(&wanted).count() == 3,
            "{status}: {text}\nwanted {wanted}"
        );
    }
    Ok(())
}

/// The descriptors are perfect, and nobody gets through: only a visit shows it.
#[test]
fn backends_that_do_not_know_the_frontend_are_found_by_a_visit() -> Result<()> {
    let network = network()?;
    let site = Site::unknown(network, "check_unknown", &backends(network)?, WITH_SOCKET)?;
    let client = network.new_tor_client()?;
    let _signer = site.signer()?;
    let balancer = site.balancer(client.tor())?;
    wait_published(&balancer)?;

    let (text, status) = check(&site, &client, &["--visit=2"])?;
    ensure!(status == 78, "{status}: {text}");
    ensure!(text.matches(" introduction points, seen at ").count() == 3, "{text}");
    ensure!(text.contains("  0 of 2 visits succeeded, 2 "), "{text}");
    ensure!(text.contains(&format!("\n        MasterOnionAddress {}\n", site.address)), "{text}");
    ensure!(text.ends_with("\n1 error\n"), "{text}");
    Ok(())
}

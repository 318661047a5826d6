//! Backends that authorize their clients: the balancer fetches their descriptors as one of these clients, and
//! the frontend has the same clients.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_proto::v2::{AuthType, Cookie};
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::network::{Authorization, Backend, Network};
use onionbalance_tests::programs::Running;

use super::observer::Observer;
use super::site::{Instance, Site, network, wait_published};

/// The longest time of a page.
const PATIENCE: Duration = Duration::from_secs(10);
const STATUS: &str = "status-socket-location: json\nSTATUS_SOCKET_LOCATION: text\n";

/// A backend with this authorization, and the cookie of its first client in the form of `hostname`, as in the
/// configuration.
fn authorized(network: &Network, authorization: Authorization) -> Result<(Arc<Backend>, Instance, String)> {
    let backend = network.start_authorized_backend(Some(authorization))?;
    backend.wait_published()?;
    let client = backend.clients().first().context("nobody is authorized")?;
    let cookie = client.cookie.clone();
    Ok((Arc::clone(&backend), (client.address.v2()?, Some(cookie.clone())), cookie))
}

/// The cookie in its 22 characters for basic authorization.
fn as_basic(cookie: &str) -> Result<String> {
    Ok(cookie.parse::<Cookie>()?.hid_serv_auth(AuthType::Basic))
}

/// The line that an operator gives to clients: the text after `HidServAuth` in the log, which both statuses
/// show, too.
fn handed_out(site: &Site, balancer: &Running) -> Result<String> {
    let told = balancer.wait_line("clients need this line in their torrc: HidServAuth ", PATIENCE)?;
    let (_, line) = told.split_once("torrc: HidServAuth ").context("it was awaited")?;
    // The fields follow.
    let line: Vec<&str> = line.split(' ').take(2).collect();
    let line = line.join(" ");
    for socket in ["text", "json"] {
        let mut shown = String::new();
        UnixStream::connect(site.path(socket))?.read_to_string(&mut shown)?;
        ensure!(shown.contains(&format!("HidServAuth {line}")), "{shown}");
    }
    Ok(line)
}

#[test]
fn their_clients_reach_them_through_the_frontend_and_others_do_not() -> Result<()> {
    let network = network()?;
    let (basic, basic_instance, basic_cookie) = authorized(network, Authorization::Basic)?;
    let (stealth, stealth_instance, stealth_cookie) = authorized(network, Authorization::Stealth)?;
    // The form of `client_keys` does not contain the kind of authorization.
    let untyped_instance = (stealth_instance.0, Some(format!("{}==", as_basic(&stealth_cookie)?)));
    let [over_basic, over_stealth, over_untyped] =
        [KeyV2::generate()?, KeyV2::generate()?, KeyV2::generate()?];
    let frontends: [(&KeyV2, &[Instance]); 3] = [
        (&over_basic, &[basic_instance]),
        (&over_stealth, &[stealth_instance]),
        (&over_untyped, &[untyped_instance]),
    ];
    for (number, (key, instances)) in frontends.into_iter().enumerate() {
        let site = Site::new(network, &format!("authorized-{number}"), &[(key, instances)], STATUS)?;
        let balancer = site.balancer(network.management().tor())?;
        wait_published(&balancer, &key.address(), 2)?;
        let (backend, cookie) =
            if number == 0 { (&basic, &basic_cookie) } else { (&stealth, &stealth_cookie) };
        let line = handed_out(&site, &balancer)?;
        assert_eq!(line, format!("{} {}", key.address(), as_basic(cookie)?));
        visit(network, key, backend, &line)?;
        assert!(!balancer.output()?.contains(" ERROR "));
    }
    Ok(())
}

/// Visits without authorization, and then with exactly this line of `HidServAuth`.
fn visit(network: &Network, frontend: &KeyV2, backend: &Backend, line: &str) -> Result<()> {
    let service = frontend.address();
    let observer = Observer::new(network)?;
    let visitor = network.new_tor_client()?;
    // A visitor without a cookie cannot read the descriptor.
    assert!(visitor.get_within(PATIENCE, &service, 80, "/").is_err());
    assert!(observer.copies(&service).is_err());
    visitor.control()?.send(&format!("SETCONF HidServAuth=\"{line}\""))?;
    visitor.forget()?;
    for _ in 0..3 {
        assert_eq!(visitor.get(&service, 80, "/")?.text(), backend.name());
    }
    Ok(())
}

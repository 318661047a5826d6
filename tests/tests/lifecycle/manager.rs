//! The messages to the service manager.

use std::os::unix::fs::chown;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, Place, SOON};

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(place: &Place) -> Result<Self> {
        let path = place.path("notify");
        let socket = UnixDatagram::bind(&path)?;
        chown(path, Some(BALANCER), None)?;
        Ok(Self(socket))
    }

    /// Waits for a notification with this text.
    fn wait(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + SOON;
        let mut heard = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.0.set_read_timeout(Some(left))?;
            let mut buffer = [0; 4096];
            let Ok(length) = self.0.recv(&mut buffer) else { break };
            let message = String::from_utf8(buffer.get(..length).context("too long")?.to_vec())?;
            if message.contains(text) {
                return Ok(message);
            }
            heard.push(message);
        }
        bail!("nobody said {text:?}, but {heard:?}")
    }
}

#[needs_root]
#[test]
fn it_is_told_of_the_start_the_state_and_each_reload() -> Result<()> {
    let place = Place::for_two()?;
    let manager = Manager::listen(&place)?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "900000");
    let balancer = place.start(command, "balancer")?;
    // Without a signer: the balancer must not be restarted for it.
    manager.wait("READY=1")?;
    manager.wait("STATUS=waiting for the signer: cannot reach the signer at run/signer: No such file")?;
    let _signer = place.signer()?;
    let status = manager
        .wait("STATUS=waiting for tor at unix:tor/control or 127.0.0.1:9051: bootstrapped 5 %, Connecting")?;
    ensure!(status.ends_with("\nWATCHDOG=1"), "{status}");
    balancer.wait_line("connected to tor", SOON)?;

    balancer.signal(Signal::SIGHUP)?;
    let reloading = manager.wait("RELOADING=1")?;
    let time = reloading.split_once("MONOTONIC_USEC=").context("no time")?.1;
    ensure!(time.parse::<u64>()? > 0, "{reloading}");
    manager.wait("READY=1")?;
    manager.wait("WATCHDOG=1").map(drop)
}

#[needs_root]
#[test]
fn nonsense_in_its_variables_ends_nothing() -> Result<()> {
    for microseconds in ["0", "1", "-1", "soon", "99999999999999999999"] {
        let place = Place::for_two()?;
        let manager = Manager::listen(&place)?;
        let mut command = place.balancer_command(MADE_UP_TOR)?;
        command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", microseconds);
        let _balancer = place.start(command, "balancer")?;
        manager.wait("READY=1")?;
        manager.wait("STATUS=waiting for the signer")?;
    }
    for nobody in ["", "@", "@nobody", "/nonexistent/notify", "vsock:2:1", "/dev/null", &"long/".repeat(100)]
    {
        let place = Place::for_two()?;
        let mut command = place.balancer_command(MADE_UP_TOR)?;
        command.env("NOTIFY_SOCKET", nobody);
        let balancer = place.start(command, "balancer")?;
        balancer.wait_line("waiting for the signer", SOON)?;
        let log = balancer.output()?;
        let warns = log.contains(" WARN cannot tell the service manager at $NOTIFY_SOCKET");
        ensure!(warns != nobody.is_empty(), "{nobody:?}: {log}");
    }
    Ok(())
}

#[needs_root]
#[test]
fn one_that_does_not_read_is_not_waited_for() -> Result<()> {
    let place = Place::for_two()?;
    let _signer = place.signer()?;
    let _manager = Manager::listen(&place)?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    // The program notifies a hundred times a second, and the queue is full after about ten messages.
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "30000");
    let balancer = place.start(command, "balancer")?;
    for times in 1..4_u8 {
        let lost = |log: &str| (log.matches("connected to tor").count() >= times.into()).then_some(());
        balancer.wait_output("no connection", SOON, lost)?;
        place.tor.hang_up();
    }
    Ok(())
}

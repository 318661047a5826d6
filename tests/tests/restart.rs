//! The signer dies and is started again behind a socket that another process holds, as systemd does. The
//! balancer's client keeps sending requests, and every one is answered.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use onionbalance::signer::{SignerClient, SignerPlace};
use onionbalance_proto::fixture::{self, Backend};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::FrontendRequest;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;
use tempfile::TempDir;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v3");
const SOON: Duration = Duration::from_secs(20);
const RESTARTS: usize = 8;

#[test]
fn behind_its_socket_a_restart_loses_no_request() -> Result<()> {
    let place = tempfile::tempdir()?;
    write_secret(&place.path().join("front.pem"), fs::read(Path::new(TESTDATA).join("front.pem"))?)?;
    let config = format!(
        "services:\n- key: front.pem\n  instances:\n  - address: {}\nsigner-allow-locked-memory: true\n\
         signer-requests-per-minute: 1000000\n",
        Backend::new(1).address()
    );
    fs::write(place.path().join("config.yaml"), config)?;
    let socket = place.path().join("socket");
    let listener = UnixListener::bind(&socket)?;

    let mut signer = start_signer(&place, &listener, 0)?;
    let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let asking = {
        let (answered, stop, request) = (Arc::clone(&answered), Arc::clone(&stop), request()?);
        thread::spawn(move || keep_asking(&socket, &request, &answered, &stop))
    };
    for number in 1..=RESTARTS {
        // Killed at another point of its work each time.
        let before = answered.load(Ordering::Relaxed);
        until(SOON, || {
            ensure!(!asking.is_finished(), "a request was lost");
            Ok((answered.load(Ordering::Relaxed) > before + number).then_some(()))
        })?;
        signer.kill()?;
        signer = start_signer(&place, &listener, number)?;
    }
    stop.store(1, Ordering::Relaxed);
    let asked = asking.join().map_err(|_| anyhow!("the client panicked"))??;
    ensure!(asked == answered.load(Ordering::Relaxed) && asked > RESTARTS, "{asked} requests");
    Ok(())
}

/// Sends requests, one after the other, until it is stopped, and counts the replies. Fails if one is not
/// answered.
fn keep_asking(
    socket: &Path,
    request: &FrontendRequest,
    answered: &AtomicUsize,
    stop: &AtomicUsize,
) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = SignerClient::new(SignerPlace::Socket(socket.to_owned()));
    let mut asked = 0;
    while stop.load(Ordering::Relaxed) == 0 {
        asked += 1;
        let signed = runtime.block_on(client.sign(request.clone()));
        let signed = signed.with_context(|| format!("request {asked}"))?;
        ensure!(signed.texts.len() == 1);
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(asked)
}

/// Starts the signer as systemd does, with the listening socket as the first descriptor after the three usual
/// ones.
fn start_signer(place: &TempDir, listener: &UnixListener, number: usize) -> Result<Running> {
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\""]);
    command.arg(&Programs::build()?.signer).args(["-c", "config.yaml"]);
    command.current_dir(place.path()).env("LISTEN_FDS", "1");
    let log = place.path().join(format!("signer-{number}.log"));
    Running::start_with(&mut command, OwnedFd::from(listener.try_clone()?), &log)
}

/// The limit of the configuration.
fn request() -> Result<FrontendRequest> {
    let frontend: OnionAddress =
        fs::read_to_string(Path::new(TESTDATA).join("front.hostname"))?.trim().parse()?;
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let period = TimePeriod::at(now, PeriodLength::try_from(1440)?, 720);
    let published = [Backend::new(1).publish(period, now, 3, &mut rand::thread_rng())];
    Ok(fixture::request(&frontend, period, &published))
}

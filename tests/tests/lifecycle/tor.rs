//! A tor that starts after the balancer, or returns with its cookie in another place.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, MadeUpTor, Place, SOON};
use onionbalance_tests::programs::Running;
use tempfile::TempDir;

const CONNECTED: &str = "connected to tor";

/// A directory of the balancer's user, so that the directory above a cookie in it does not stay readable.
fn elsewhere() -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    chown(directory.path(), Some(BALANCER), None)?;
    Ok(directory)
}

fn make(directory: PathBuf) -> Result<PathBuf> {
    DirBuilder::new().mode(0o755).create(&directory)?;
    Ok(directory)
}

fn wait_connected(balancer: &Running, times: usize) -> Result<()> {
    let enough = |log: &str| (log.matches(CONNECTED).count() >= times).then_some(());
    balancer.wait_output(&format!("{CONNECTED:?} less than {times} times"), SOON, enough)
}

#[needs_root]
#[test]
fn one_that_starts_later_may_keep_its_cookie_anywhere() -> Result<()> {
    let place = Place::for_two()?;
    let control = place.tor.socket().to_owned();
    fs::remove_file(&control)?;
    let _signer = place.signer()?;
    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "balancer")?;
    balancer.wait_line("cannot connect to tor", SOON)?;
    let directory = elsewhere()?;
    let tor = MadeUpTor::start_with(&control, &make(directory.path().join("data"))?.join("cookie"))?;
    wait_connected(&balancer, 1)?;
    // The first tor: after it the balancer cannot read other directories.
    tor.stop()?;
    let other = elsewhere()?;
    let _tor = MadeUpTor::start_with(&control, &make(other.path().join("data"))?.join("cookie"))?;
    ensure!(balancer.wait_exit(SOON)?.code() == Some(1), "{}", balancer.failure("ended otherwise"));
    let log = balancer.output()?;
    ensure!(log.contains(" ERROR tor keeps its cookie in "), "{log}");
    Ok(())
}

/// Replaces a directory, as systemd does with a `RuntimeDirectory=` when tor restarts.
#[needs_root]
#[test]
fn one_whose_directory_was_made_again_is_found() -> Result<()> {
    let place = Place::for_two()?;
    let (control, data) = (place.tor.socket().to_owned(), make(place.path("data"))?);
    fs::remove_file(&control)?;
    let tor = MadeUpTor::start_with(&control, &data.join("cookie"))?;
    let _signer = place.signer()?;
    let balancer = place.balancer()?;
    for times in 2..4 {
        // The directory above belongs to root.
        fs::remove_dir_all(&data)?;
        make(data.clone())?;
        tor.renew_cookie(times)?;
        tor.hang_up();
        wait_connected(&balancer, times.into())?;
    }
    ensure!(balancer.exited()?.is_none());
    Ok(())
}

#[needs_root]
#[test]
fn one_that_moved_its_cookie_out_of_reach_ends_the_process_for_another_to_begin() -> Result<()> {
    let place = Place::for_two()?;
    let _signer = place.signer()?;
    let balancer = place.balancer()?;
    let directory = elsewhere()?;
    let data = make(directory.path().join("data"))?;
    let control = place.tor.socket().to_owned();
    fs::remove_file(&control)?;
    place.tor.hang_up();
    let _tor = MadeUpTor::start_with(&control, &data.join("cookie"))?;
    let status = balancer.wait_exit(SOON)?;
    let log = balancer.output()?;
    ensure!(status.code() == Some(1), "{log}");
    let last = log.lines().last().context("it says why")?;
    ensure!(last.contains(&data.join("cookie").display().to_string()), "{last}");
    ensure!(last.ends_with("gave up when it was started: start onionbalance again"), "{last}");

    let again = place.start(place.balancer_command(MADE_UP_TOR)?, "again")?;
    again.wait_line(CONNECTED, SOON).map(drop)
}

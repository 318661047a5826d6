//! The files, sockets and ports of a confined balancer. The program itself cannot be made to break its rules,
//! so a copy of this test program confines itself in the same way and tries.

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use needs_root::needs_root;
use onionbalance::confinement::{Reach, confine, hardening};
use onionbalance::endpoint::Endpoint;
use tempfile::TempDir;

use onionbalance_tests::pair::BALANCER;

/// The variable that gives a copy of this program two ports, one that is named in the configuration and
/// another, and the part of tor's SOCKS ports within reach: `none`, that `other` port, or `any`.
const PORTS: &str = "ONIONBALANCE_TEST_PORTS";

#[needs_root]
#[test]
fn nothing_is_left_but_what_the_configuration_names() -> Result<()> {
    if let Ok(ports) = env::var(PORTS) {
        let mut words = ports.split(' ');
        let mut next = || words.next().context("two ports and a word");
        return try_all(next()?.parse()?, next()?.parse()?, next()?);
    }
    // Without health checks, with them and `tor-socks-location`, and with them at a port that tor will name.
    ["none", "other", "any"].into_iter().try_for_each(confine_copy)
}

/// Runs a copy of this test in a directory of its own, with this part of tor's SOCKS ports within reach.
fn confine_copy(socks: &str) -> Result<()> {
    let place = TempDir::new()?;
    for directory in ["config", "log", "tor", "other"] {
        fs::create_dir(place.path().join(directory))?;
        fs::write(place.path().join(directory).join("file"), "text")?;
        chown(place.path().join(directory), Some(BALANCER), None)?;
        chown(place.path().join(directory).join("file"), Some(BALANCER), None)?;
    }
    chown(place.path(), Some(BALANCER), None)?;
    let copy = place.path().join("isolation");
    ensure!(Command::new("cp").arg(env::current_exe()?).arg(&copy).status()?.success());
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (named, other) = (listener()?, listener()?);
    let mut command = Command::new(copy);
    command.args(["--exact", "files::nothing_is_left_but_what_the_configuration_names", "--nocapture"]);
    command.args(["--test-threads=1"]).current_dir(place.path()).uid(BALANCER).gid(BALANCER);
    let ports = format!("{} {} {socks}", named.local_addr()?.port(), other.local_addr()?.port());
    let output = command.env(PORTS, ports).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("1 passed"), "{socks}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn try_all(named: u16, other: u16, socks: &str) -> Result<()> {
    // A socket like the signer's: a process that may open it may connect to it, at any path.
    let _listener = UnixListener::bind("other/socket")?;
    // A port that none of these processes may connect to unless all are within reach.
    let third = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut reach = Reach::default();
    reach.configuration(Path::new("config/file"));
    reach.written(Path::new("log/file"));
    let tor = Endpoint::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: named };
    reach.tor(&tor);
    reach.cookie(Path::new("tor/file"));
    match socks {
        "other" => reach.port(other),
        "any" => reach.any_port(),
        _ => {}
    }
    hardening::harden()?;
    confine(reach)?;

    for readable in ["config/file", "log/file", "tor/file"] {
        let mut text = String::new();
        File::open(readable)?.read_to_string(&mut text)?;
        ensure!(text == "text", "{readable}: {text}");
    }
    writable()?;
    // The filter of system calls allows threads, which are confined as well.
    let elsewhere = thread::spawn(|| File::open("other/file")).join();
    refused("a file to read in a thread", elsewhere.map_err(|_| anyhow!("the thread panicked"))?)?;
    UnixStream::connect("other/socket")?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, named))?;

    for hidden in ["other/file", "isolation", "/etc/passwd", "/proc/self/maps", "/proc/self/environ", "."] {
        refused(hidden, File::open(hidden))?;
    }
    for written in ["config/file", "tor/file", "other/file", "config/new", "other/new"] {
        refused(written, File::options().append(true).create(true).open(written))?;
    }
    refused("a file to take away", fs::rename("other/file", "other/away"))?;
    refused("a file to remove", fs::remove_file("config/file"))?;
    refused("a socket elsewhere", UnixListener::bind("other/another"))?;
    let reached = TcpStream::connect((Ipv4Addr::LOCALHOST, other));
    if socks == "none" {
        refused("another port", reached)?;
    } else {
        drop(reached?);
    }
    let reached = TcpStream::connect(third);
    if socks == "any" {
        // Nobody listens there any more, and the connection is tried.
        let refusal = reached.err().context("nobody listens")?.kind();
        ensure!(refusal == ErrorKind::ConnectionRefused, "{refusal}");
    } else {
        refused("a third port", reached)?;
    }
    refused("a port to listen at", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

/// Every operation on logs, status sockets and the state file.
fn writable() -> Result<()> {
    writeln!(File::options().append(true).open("log/file")?, "more")?;
    fs::rename("log/file", "log/file.1")?;
    let mut new = File::create("log/new")?;
    new.write_all(b"kept")?;
    new.sync_all()?;
    fs::rename("log/new", "log/kept")?;
    File::open("log")?.sync_all()?;
    drop(UnixListener::bind("log/socket")?);
    Ok(fs::remove_file("log/socket")?)
}

fn refused<T>(what: &str, outcome: io::Result<T>) -> Result<()> {
    let error = outcome.err().with_context(|| format!("not refused: {what}"))?;
    ensure!(error.kind() == ErrorKind::PermissionDenied, "{what}: {error}");
    Ok(())
}

//! An operator's mistakes. Each causes one line with its place and the remedy, and the exit status 78 if a
//! restart would not help; nothing is served or published.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: i32 = 78;
/// clap's exit status for a wrong command line.
const WRONG_COMMAND_LINE: i32 = 2;
/// A user without files.
const NOBODY: u32 = 65_534;
const SOCKET: &str = "signer-socket-location: signer\n";
const FRONT_PEM: &str = include_str!("../../proto/testdata/v3/front.pem");
const FRONT_TOR: &[u8] = include_bytes!("../../proto/testdata/v3/front.hs_ed25519_secret_key");
/// PKCS#8 (RFC 5958) with the algorithm `rsaEncryption`.
const RSA_PKCS8: &str = include_str!("../../proto/testdata/v2/pem-pkcs8.key");

#[test]
fn both_programs_say_in_one_line_what_is_wrong_with_the_file() -> Result<()> {
    let address = Backend::new(1).address();
    let other = Backend::new(2).address();
    let service = service("front.pem");
    let no_services =
        "there are no services: list at least one under `services:`, with `key` and `instances`";
    let cases = [
        (String::new(), format!("config.yaml:1: {no_services}")),
        ("services: []\n".into(), format!("config.yaml:1: {no_services}")),
        ("services:\n".into(), format!("config.yaml:1: {no_services}")),
        ("signer-socket-location: signer\n".into(), format!("config.yaml:1: {no_services}")),
        (
            format!("services:\n- instances:\n  - address: {address}\n"),
            "config.yaml:2: services[0]: missing field `key`".into(),
        ),
        (
            service.replace(".onion", ".union"),
            "config.yaml:4: services[0].instances[0].address: an onion address has 56 characters (v3) or 16 \
             (v2) before .onion, this one has 62".into(),
        ),
        (
            service.replace(&address.without_suffix(), &mistyped(&address.without_suffix())),
            "config.yaml:4: services[0].instances[0].address: the address's checksum is wrong: it was mistyped or cut"
                .into(),
        ),
        (
            service.replace(&address.to_string(), "expyuzz4wqqyqhj.onion"),
            "config.yaml:4: services[0].instances[0].address: an onion address has 56 characters (v3) or 16 \
             (v2) before .onion, this one has 15"
                .into(),
        ),
        (
            format!("{service}    nmae: one\n"),
            "config.yaml:5: services[0].instances[0]: unknown key `nmae`: did you mean `name`?".into(),
        ),
        (
            format!("{service}signer-sockets: signer\n"),
            "config.yaml:5: unknown key `signer-sockets`: did you mean `signer-socket-location`?"
                .into(),
        ),
        (
            format!("{service}{SOCKET}{SOCKET}"),
            "config.yaml:6: `signer-socket-location` is set a second time: remove one of the two".into(),
        ),
        (
            format!("{service}- key: front.pem\n  instances:\n  - address: {other}\n"),
            "config.yaml:5: two services have the key front.pem: put all instances under one".into(),
        ),
        (
            format!("{service}    address: {other}\n"),
            "config.yaml:4: services[0].instances[0]: duplicate field `address`".into(),
        ),
        ("services: [\n".into(), "config.yaml:2: did not find expected node content".into()),
        ("services: {}\n".into(), "config.yaml:1: services: invalid type: map, expected a sequence".into()),
        (
            "key = front.pem\n".into(),
            "config.yaml:1: invalid type: string \"key = front.pem\", expected a configuration with a list of \
             `services`"
                .into(),
        ),
    ];
    cases.into_iter().try_for_each(|(text, wanted)| both_say(&text, &wanted))
}

#[test]
fn what_a_key_cannot_mean_is_said_by_both_programs() -> Result<()> {
    let service = service("front.pem");
    let cases = [
        ("refresh: often\n", "config.yaml:5: refresh: write a whole number of seconds, such as 600"),
        (
            "REFRESH_INTERVAL: 600\nrefresh: 600\n",
            "config.yaml:6: `refresh` is set a second time: remove one of the two",
        ),
        ("LOG_LEVEL: loud\n", "config.yaml:5: LOG_LEVEL: write debug, info, warning, error or critical"),
        (
            "TOR_PORT: -1\n",
            "config.yaml:5: TOR_PORT: invalid type: integer `-1`, expected a port from 1 to 65535",
        ),
        (
            "tor-control-password: 12345\n",
            "config.yaml:5: tor-control-password: a password is a text: put it in quotes",
        ),
        (
            "TOR_ADDRESS: localhost:9051\n",
            "config.yaml:5: TOR_ADDRESS: write localhost alone, and give 9051 as the port (-p, TOR_PORT)",
        ),
        (
            "  tor: http://127.0.0.1:9051\n",
            "config.yaml:5: services[0].tor: a URL is not the path of a control socket: write the path alone, such as \
             /run/tor/control",
        ),
        (
            "  tor: 127.0.0.1:tor\n",
            "config.yaml:5: services[0].tor: not a control port: write the path of tor's control socket, or \
             ADDRESS:PORT, such as 127.0.0.1:9051 or [::1]:9051",
        ),
        (
            "  tor-control-password: hush\n",
            "config.yaml:2: the service with the key front.pem has a tor-control-password and no `tor`: add `tor`, \
             or move the password to the top of the file",
        ),
    ];
    cases.into_iter().try_for_each(|(more, wanted)| both_say(&format!("{service}{more}"), wanted))
}

/// A command line, or the variable beside it, ends the balancer with a usage message.
#[test]
fn an_option_that_names_no_tor_is_named() -> Result<()> {
    let place = Place::new(&service("front.pem"))?;
    let cases: [(&[&str], Option<&str>, &str); 4] = [
        (
            &["-i", "localhost:9051"],
            None,
            "error: invalid value 'localhost:9051' for '--ip <IP>': write localhost alone, and give 9051 as the port (-p, \
             TOR_PORT)",
        ),
        (&["-p", "0"], None, "error: invalid value '0' for '--port <PORT>': 0 is not in 1..=65535"),
        (
            &["-s", "9051"],
            None,
            "error: invalid value '9051' for '--socket <SOCKET>': 9051 is a port, not the path of a control socket: give it \
             as the port (-p, TOR_PORT)",
        ),
        (
            &[],
            Some("localhost:9051"),
            "error: invalid value 'localhost:9051' for ONIONBALANCE_TOR_CONTROL_SOCKET: localhost:9051 is a control port, \
             not the path of a control socket: give localhost as the address (-i, TOR_ADDRESS) and 9051 as the port (-p, \
             TOR_PORT)",
        ),
    ];
    for (arguments, variable, wanted) in cases {
        let mut command = Command::new(&Programs::build()?.balancer);
        command.args(arguments).args(["-c", "config.yaml"]);
        command.envs(variable.map(|value| ("ONIONBALANCE_TOR_CONTROL_SOCKET", value)));
        let (status, log) = place.end(&mut command)?;
        assert_eq!((status, log.lines().next()), (Some(WRONG_COMMAND_LINE), Some(wanted)), "{log}");
    }
    Ok(())
}

/// Both programs end over the configuration `text` with this line.
fn both_say(text: &str, wanted: &str) -> Result<()> {
    let place = Place::new(text)?;
    assert_eq!(place.signer()?, (Some(BAD_CONFIGURATION), format!("ERROR {wanted}\n")), "{text}");
    let (status, log) = place.balancer()?;
    assert_eq!(
        (status, without_time(&log)),
        (Some(BAD_CONFIGURATION), format!("ERROR {wanted}\n")),
        "{text}"
    );
    assert!(!place.path("signer").exists());
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_named() -> Result<()> {
    let place = Place::empty()?;
    let wanted = "config.yaml: cannot be read: No such file or directory (os error 2); name the configuration with -c\n";
    assert_eq!(place.signer()?, (Some(BAD_CONFIGURATION), format!("ERROR {wanted}")));
    let (status, log) = place.balancer()?;
    assert_eq!((status, without_time(&log)), (Some(BAD_CONFIGURATION), format!("ERROR {wanted}")));
    Ok(())
}

#[test]
fn a_log_that_cannot_be_kept_is_named() -> Result<()> {
    let place = Place::new(&(service("front.pem") + "LOG_LOCATION: logs/onionbalance\n"))?;
    let advice = "its directory must exist, and both be writable (LOG_LOCATION in the configuration, or \
                  ONIONBALANCE_LOG_LOCATION)";
    let wanted = "ERROR cannot write the log file logs/onionbalance: No such file or directory (os error 2)";
    let (status, log) = place.balancer()?;
    assert_eq!((status, without_time(&log)), (Some(BAD_CONFIGURATION), format!("{wanted}; {advice}\n")));

    fs::write(place.path("config.yaml"), service("front.pem"))?;
    let balancer = &Programs::build()?.balancer;
    let (status, log) = place.end(Command::new(balancer).env("ONIONBALANCE_LOG_LEVEL", "loud"))?;
    let wanted = "ERROR ONIONBALANCE_LOG_LEVEL: there is no such level: write debug, info, warning, error or critical\n";
    assert_eq!((status, without_time(&log)), (Some(BAD_CONFIGURATION), wanted.to_owned()));
    Ok(())
}

/// A log line would damage a key, and an unreadable state file is moved aside.
#[test]
fn no_key_and_no_configuration_is_written_over() -> Result<()> {
    for (key, path) in [
        ("LOG_LOCATION", "front.pem"),
        ("LOG_LOCATION", "./config.yaml"),
        ("state-file-location", "config.yaml"),
        ("state-file-location", "link"),
        ("status-socket-location", "front.pem"),
        ("control-socket-location", "front.pem"),
    ] {
        let place = Place::new(&format!("{}{key}: {path}\n", service("front.pem")))?;
        std::os::unix::fs::symlink("front.pem", place.path("link"))?;
        let before = fs::read(place.path("front.pem"))?;
        let (status, log) = place.balancer()?;
        assert_eq!(status, Some(BAD_CONFIGURATION), "{log}");
        let wanted = format!("{path} is the configuration or a key: name another file\n");
        assert!(log.contains("ERROR config.yaml:") && log.ends_with(&wanted), "{log}\nwanted {wanted}");
        assert_eq!(fs::read(place.path("front.pem"))?, before);
    }
    Ok(())
}

#[test]
fn a_status_that_cannot_be_shown_is_named() -> Result<()> {
    let place = Place::new(&(service("front.pem") + "status-socket-location: run/status\n"))?;
    let (status, log) = place.balancer()?;
    assert_eq!(status, Some(1), "{log}");
    let wanted = "cannot create the status socket run/status: No such file or directory (os error 2); its directory must \
                  exist and be writable, and nothing else may be there under that name";
    assert!(log.contains(wanted), "{log}");
    Ok(())
}

#[test]
fn each_wrong_key_file_is_named_with_what_to_give_instead() -> Result<()> {
    let mut public = b"== ed25519v1-public: type0 ==\0\0\0".to_vec();
    public.extend([1; 32]);
    let rsa = RSA_PKCS8.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let none = "is not a key file: give tor's hs_ed25519_secret_key or private_key, or another PEM file with such a key";
    let cases: [(&[u8], &str); 6] = [
        (&public, "is tor's public key: give hs_ed25519_secret_key, which is beside it"),
        (&FRONT_TOR[..60], "has tor's header but 60 bytes, not 96: it is cut or damaged"),
        (rsa.as_bytes(), "holds a key that is cut or damaged: give the whole file"),
        (
            RSA_PKCS8.as_bytes(),
            "holds the key of a v2 service, but the instances are v3: name the key of a v3 service",
        ),
        (Backend::new(1).address().to_string().leak().as_bytes(), none),
        (b"", none),
    ];
    for (key, wanted) in cases {
        let line = format!("ERROR config.yaml:2: the key file front.pem {wanted}\n");
        let place = Place::new(&(service("front.pem") + SOCKET))?;
        write_secret(&place.path("front.pem"), key)?;
        assert_eq!(place.signer()?, (Some(BAD_CONFIGURATION), line.clone()));
        assert!(!place.path("signer").exists());

        // The signer that the balancer starts reports the same, and both end.
        fs::write(place.path("config.yaml"), service("front.pem"))?;
        let (status, log) = place.balancer()?;
        assert_eq!(status, Some(BAD_CONFIGURATION), "{log}");
        // The two write in any order.
        assert!(log.contains(&line), "{log}\nwanted {line}");
        assert_eq!(log.lines().count(), 2, "{log}");
    }
    Ok(())
}

#[needs_root]
#[test]
fn what_may_not_be_read_is_named() -> Result<()> {
    let place = Place::new(&(service("front.pem") + SOCKET))?;
    let key = place.path("front.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    let signer = place.copy(&Programs::build()?.signer)?;
    let wanted = "config.yaml:2: the key file front.pem cannot be read: Permission denied (os error 13); check the \
                  path and that the signer's user may read it\n";
    let as_nobody = |program: &Path, arguments: &[&str]| {
        place.end(Command::new(program).args(arguments).uid(NOBODY).gid(NOBODY))
    };
    let (status, log) = as_nobody(&signer, &["-c", "config.yaml"])?;
    assert_eq!((status, without_time(&log)), (Some(BAD_CONFIGURATION), format!("ERROR {wanted}")));

    // A signer of root's has a socket for its group only, and refuses users outside its list.
    let _signer = place.serve()?;
    let balancer = place.copy(&Programs::build()?.balancer)?;
    let mut command = Command::new(balancer);
    let running = place.start(command.args(["-p", "1", "-c", "config.yaml"]).uid(NOBODY).gid(NOBODY))?;
    assert_eq!(
        without_time(&running.wait_line("waiting for the signer", SOON)?),
        "WARN waiting for the signer: cannot reach the signer at signer: Permission denied (os error 13); add this user to \
         the group of the signer's socket"
    );
    Ok(())
}

#[test]
fn a_signer_that_is_not_there_is_waited_for_by_name() -> Result<()> {
    let place = Place::new(&(service("front.pem") + SOCKET))?;
    let says = |problem: &str| -> Result<()> {
        let mut command = Command::new(&Programs::build()?.balancer);
        let balancer = place.start(command.args(["-p", "1", "-c", "config.yaml"]))?;
        let wanted = format!(
            "WARN waiting for the signer: cannot reach the signer at signer: {problem}; start onionbalance-signer with the \
             same configuration, or remove signer-socket-location to have it started"
        );
        assert_eq!(without_time(&balancer.wait_line("waiting for the signer", SOON)?), wanted);
        Ok(())
    };
    says("No such file or directory (os error 2)")?;
    // The socket existed before.
    place.serve()?.kill()?;
    says("Connection refused (os error 111)")
}

/// tor may be started later than the balancer.
#[test]
fn a_tor_that_is_not_there_is_waited_for() -> Result<()> {
    let place = Place::new(&service("front.pem"))?;
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-s", "control", "-p", "1", "-c", "config.yaml"]);
    let balancer = place.start(&mut command)?;
    let warning = balancer.wait_line(" WARN cannot", SOON)?;
    assert!(
        warning.ends_with(
            "cannot connect to tor's control port unix:control: No such file or directory (os error 2), nor to \
             127.0.0.1:1: Connection refused (os error 111); is tor running, with one of these as `ControlSocket` or \
             `ControlPort` in its torrc? Name another socket with -s, another port with -i and -p"
        ),
        "{warning}"
    );
    // It is looked for again and again, which is logged once in the first minute.
    let listener = UnixListener::bind(place.path("control"))?;
    listener.set_nonblocking(true)?;
    let _connection = until(SOON, || match listener.accept() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    assert_eq!(balancer.output()?.matches(" WARN cannot").count(), 1, "{}", balancer.output()?);
    balancer.signal(Signal::SIGTERM)?;
    assert_eq!(balancer.wait_exit(SOON)?.code(), Some(0));
    assert!(!balancer.output()?.contains(" ERROR "), "{}", balancer.output()?);
    Ok(())
}

/// A directory with a configuration and a key, open to every user.
struct Place(TempDir);

impl Place {
    fn new(config: &str) -> Result<Self> {
        let place = Self::empty()?;
        fs::write(place.path("config.yaml"), config)?;
        Ok(place)
    }

    /// The directory without a configuration.
    fn empty() -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755))?;
        write_secret(&place.path("front.pem"), FRONT_PEM)?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A copy of a program in a directory where every user may run it.
    fn copy(&self, program: &Path) -> Result<PathBuf> {
        let copy = self.path(&program.file_name().context("a program has a name")?.to_string_lossy());
        ensure!(Command::new("cp").arg(program).arg(&copy).status()?.success(), "cannot copy a program");
        Ok(copy)
    }

    fn start(&self, command: &mut Command) -> Result<Running> {
        command.current_dir(self.0.path());
        Running::start(command, &self.path("log"))
    }

    /// The exit status of a program that ends by itself, and its whole output.
    fn end(&self, command: &mut Command) -> Result<(Option<i32>, String)> {
        let running = self.start(command)?;
        let status = running.wait_exit(SOON)?;
        Ok((status.code(), running.output()?))
    }

    fn signer(&self) -> Result<(Option<i32>, String)> {
        let (status, log) = self.end(Command::new(&Programs::build()?.signer).args(["-c", "config.yaml"]))?;
        Ok((status, without_time(&log)))
    }

    fn balancer(&self) -> Result<(Option<i32>, String)> {
        self.end(Command::new(&Programs::build()?.balancer).args(["-p", "1", "-c", "config.yaml"]))
    }

    /// A signer that serves.
    fn serve(&self) -> Result<Running> {
        let mut command = Command::new(&Programs::build()?.signer);
        command.args(["-c", "config.yaml"]).current_dir(self.0.path());
        let signer = Running::start(&mut command, &self.path("signer-log"))?;
        signer.wait_line("listening on", SOON)?;
        Ok(signer)
    }
}

fn service(key: &str) -> String {
    format!("services:\n- key: {key}\n  instances:\n  - address: {}\n", Backend::new(1).address())
}

/// An address with one letter changed.
fn mistyped(address: &str) -> String {
    let first = if address.starts_with('a') { "b" } else { "a" };
    address.chars().skip(1).fold(first.to_owned(), |text, letter| text + &letter.to_string())
}

/// The balancer's line without the time at its beginning.
fn without_time(line: &str) -> String {
    line.split_once(' ').map_or(line, |(_, rest)| rest).trim_start().to_owned()
}

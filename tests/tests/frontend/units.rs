//! Both programs under the restrictions of the package's units that can be applied without systemd: users,
//! capabilities, limits, system calls, the network, and the file system. All of them are read from the units.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::limits::hard_limit;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::provision::systemd_analyze;
use seccompiler::{BpfProgram, apply_filter, compile_from_json};

use super::site::{HASHED_PASSWORD, SOON, Site, backends, network, wait_published};

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd");
const NOBODY: &str = "65534";
/// The users, in the order in which they are in a Debian system without the package.
const SIGNER_USER: &str = "1";
/// The variable that makes a copy of this program apply a filter of system calls and execute another program.
const FILTER: &str = "ONIONBALANCE_TEST_FILTER";
const PROGRAM: &str = "ONIONBALANCE_TEST_PROGRAM";
const LAUNCHER: &str = "frontend::units::the_programs_work_under_what_their_units_put_on_them";

/// A unit's settings, in its order.
struct Unit(Vec<(String, String)>);

impl Unit {
    fn read(name: &str) -> Result<Self> {
        let text = fs::read_to_string(Path::new(UNITS).join(name))?;
        let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
        let setting =
            |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self(lines.filter_map(setting).collect()))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, name: &'a str) -> Result<&'a str> {
        self.all(name).next().with_context(|| format!("the unit says nothing of {name}"))
    }

    fn is_on(&self, name: &str) -> bool {
        self.all(name).last() == Some("yes")
    }

    /// The names of the allowed system calls: groups are resolved, and lines with a tilde remove calls.
    fn system_calls(&self) -> Result<BTreeSet<String>> {
        let mut calls = BTreeSet::new();
        for line in self.all("SystemCallFilter") {
            let (line, takes_away) = line.strip_prefix('~').map_or((line, false), |line| (line, true));
            for word in line.split(' ') {
                let named = if word.starts_with('@') { group(word)? } else { vec![word.to_owned()] };
                for call in named {
                    if takes_away {
                        calls.remove(&call)
                    } else {
                        calls.insert(call)
                    };
                }
            }
        }
        Ok(calls)
    }

    /// `prlimit`'s arguments for its limits.
    fn limits(&self) -> Result<Vec<String>> {
        let limits = [("LimitCORE", "core"), ("LimitNOFILE", "nofile"), ("LimitMEMLOCK", "memlock")];
        let mut arguments = Vec::new();
        for (setting, limit) in limits {
            if let Some(value) = self.all(setting).next() {
                let value = value.replace('M', "000000").parse::<u64>()?.min(hard_limit(limit)?);
                arguments.push(format!("--{limit}={value}:{value}"));
            }
        }
        Ok(arguments)
    }
}

/// The members of a group of system calls, and of the groups in it.
fn group(name: &str) -> Result<Vec<String>> {
    let output = systemd_analyze()?.args(["syscall-filter", "--no-pager", name]).output()?;
    ensure!(output.status.success(), "systemd knows no group {name}");
    let text = String::from_utf8(output.stdout)?;
    let mut calls = Vec::new();
    for word in text.lines().skip(1).map(str::trim).filter(|word| !word.is_empty() && !word.starts_with('#'))
    {
        if word.starts_with('@') {
            calls.extend(group(word)?);
        } else {
            calls.push(word.to_owned());
        }
    }
    Ok(calls)
}

/// The filter of those calls that this machine has, in the form of `seccompiler`.
fn filter(calls: &BTreeSet<String>) -> Result<String> {
    let json = |calls: &[String]| {
        let rules: Vec<String> = calls.iter().map(|call| format!("{{\"syscall\": \"{call}\"}}")).collect();
        format!(
            "{{\"it\": {{\"mismatch_action\": \"kill_process\", \"match_action\": \"allow\", \"filter\": [{}]}}}}",
            rules.join(",")
        )
    };
    let is_here = |call: &&String| compile(&json(&[(*call).clone()])).is_ok();
    let here: Vec<String> = calls.iter().filter(is_here).cloned().collect();
    ensure!(here.len() > 100, "only {} system calls are known", here.len());
    Ok(json(&here))
}

fn compile(json: &str) -> Result<BpfProgram> {
    let mut filters = compile_from_json(json.as_bytes(), env::consts::ARCH.try_into()?)?;
    filters.remove("it").context("no filter")
}

/// The last command of `sh`: the program with its unit's user, capabilities, limits and system calls.
fn under(unit: &Unit, user: &str, group: &str) -> Result<String> {
    ensure!(unit.is_on("NoNewPrivileges") && unit.one("CapabilityBoundingSet")?.is_empty());
    Ok(format!(
        "setpriv --reuid={user} --regid={group} --clear-groups --bounding-set=-all --inh-caps=-all \
         --ambient-caps=-all --no-new-privs prlimit {} -- \"$LAUNCHER\" --exact {LAUNCHER} --nocapture",
        unit.limits()?.join(" ")
    ))
}

/// The first commands of `sh`, in namespaces of its own.
fn in_namespaces(unit: &Unit, script: &str) -> Result<Command> {
    ensure!(unit.is_on("PrivateNetwork") && unit.is_on("PrivateIPC"));
    ensure!(unit.one("ProtectSystem")? == "strict");
    let mut command = Command::new("unshare");
    command.args(["--net", "--ipc", "--mount", "--propagation", "private", "sh", "-ec", script]);
    Ok(command)
}

#[needs_root]
#[test]
fn the_programs_work_under_what_their_units_put_on_them() -> Result<()> {
    if let (Some(filter), Some(program)) = (env::var_os(FILTER), env::var_os(PROGRAM)) {
        let filter = compile(&fs::read_to_string(filter)?)?;
        let program = program.into_string().ok().context("a program")?;
        let mut words = program.split(' ');
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).env_remove(FILTER).env_remove(PROGRAM);
        apply_filter(&filter)?;
        return Err(command.exec()).context("cannot become the program");
    }
    let network = network()?;
    let more =
        "signer-socket-location: run/signer\nsigner-allowed-uids: [65534]\ntor-control-password: loopback\n";
    let site = Site::new(network, "units", &backends(network)?, more)?;
    let launcher = site.copy(&env::current_exe()?)?;
    let signer = start_signer(&site, &launcher)?;
    let client = network.new_tor_client()?;
    let control = site.path("control");
    let settings = format!(
        "SETCONF HashedControlPassword=\"{HASHED_PASSWORD}\" ControlSocket=\"unix:{} RelaxDirModeCheck\"",
        control.display()
    );
    client.control()?.send(&settings)?;
    fs::set_permissions(&control, Permissions::from_mode(0o666))?;
    let balancer = start_balancer(&site, &launcher, &control)?;
    wait_published(&balancer)?;
    // One filter is the unit's; the signer adds one itself, the balancer two.
    is_confined(&signer, SIGNER_USER, 2)?;
    is_confined(&balancer, NOBODY, 3)?;
    let log = balancer.output()?;
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    Ok(())
}

/// Asserts that the kernel reports the restrictions of a program.
fn is_confined(program: &Running, user: &str, filters: usize) -> Result<()> {
    let process = PathBuf::from(format!("/proc/{}", program.pid()));
    let status = fs::read_to_string(process.join("status"))?;
    let uids = [user; 4].join("\t");
    for line in [
        format!("Uid:\t{uids}"),
        "CapBnd:\t0000000000000000".to_owned(),
        "CapEff:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
        format!("Seccomp_filters:\t{filters}"),
    ] {
        ensure!(status.lines().any(|found| found == line), "{line} is not in {status}");
    }
    // Two lines of titles, and the loopback interface.
    let interfaces = fs::read_to_string(process.join("net/dev"))?;
    ensure!(interfaces.lines().count() == 3, "{interfaces}");
    Ok(())
}

/// The signer runs behind a socket that is passed to it, in the root directory that the unit describes.
fn start_signer(site: &Site, launcher: &Path) -> Result<Running> {
    let unit = Unit::read("onionbalance-signer.service")?;
    let filter_file = site.path("signer.filter");
    fs::write(&filter_file, filter(&unit.system_calls()?)?)?;
    fs::create_dir(site.path("run"))?;
    let listener = UnixListener::bind(site.path("run/signer"))?;
    fs::set_permissions(site.path("run/signer"), Permissions::from_mode(0o666))?;
    let program = site.copy(&Programs::build()?.signer)?;
    let directory = launcher.parent().context("a directory")?;
    ensure!(unit.one("BindReadOnlyPaths")?.contains("/etc/onionbalance"));
    let mut script = String::from(
        "exec 3<&0 0</dev/null; R=\"$ROOT\"; mount --bind \"$R\" \"$R\"; mkdir -p \"$R/proc\" \"$R/dev\" \"$R/etc\";",
    );
    for path in unit.one("BindReadOnlyPaths")?.split(' ').map(|path| path.trim_start_matches('-')) {
        // The configuration of this test is mounted at its own path.
        let source = if path == "/etc/onionbalance" { directory } else { Path::new(path) };
        if source.is_dir() {
            write!(
                script,
                " mkdir -p \"$R{path}\"; mount --rbind '{0}' \"$R{path}\"; mount -o remount,bind,ro \"$R{path}\";",
                source.display()
            )?;
        }
    }
    script += " mount -t proc -o subset=pid proc \"$R/proc\"; mount --rbind /dev \"$R/dev\"; \
               mount -o remount,bind,ro \"$R\"; cd /; export LISTEN_PID=$$; exec chroot \"$R\" ";
    script += &under(&unit, SIGNER_USER, NOBODY)?;
    let mut command = in_namespaces(&unit, &script)?;
    let inside = |name: &str| PathBuf::from("/etc/onionbalance").join(name);
    let file_name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::create_dir(site.path("root"))?;
    command
        .env("ROOT", site.path("root"))
        .env("LAUNCHER", inside(&file_name(launcher)))
        .env(FILTER, inside("signer.filter"))
        .env(PROGRAM, format!("{} -c /etc/onionbalance/config.yaml", inside(&file_name(&program)).display()))
        .env("LISTEN_FDS", "1");
    std::os::unix::fs::chown(site.path("front.pem"), Some(SIGNER_USER.parse()?), None)?;
    let signer = Running::start_with(&mut command, OwnedFd::from(listener), &site.path("signer.log"))?;
    signer.wait_line("listening on the socket from the service manager", SOON)?;
    Ok(signer)
}

/// The balancer runs with AF_UNIX sockets only, on a read-only file system.
fn start_balancer(site: &Site, launcher: &Path, control: &Path) -> Result<Running> {
    let unit = Unit::read("onionbalance.service")?;
    let filter_file = site.path("balancer.filter");
    fs::write(&filter_file, filter(&unit.system_calls()?)?)?;
    let program = site.copy(&Programs::build()?.balancer)?;
    let script = format!("mount -o remount,bind,ro /; exec {}", under(&unit, NOBODY, NOBODY)?);
    let mut command = in_namespaces(&unit, &script)?;
    let config = site.path("config.yaml");
    command
        .env("LAUNCHER", launcher)
        .env(FILTER, filter_file)
        .env(PROGRAM, format!("{} -s {} -c {}", program.display(), control.display(), config.display()));
    Running::start(&mut command, &site.path("balancer.log"))
}

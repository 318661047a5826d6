mod dump;
mod rows;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::cli::Format;

const ONE: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
const TWO: &str = "y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad";

/// A directory with a key `front.key`, and the configuration with this text.
struct Place(TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("front.key", "");
        place.write("config.yaml", text);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn checked(&self) -> Checked {
        check(&self.path("config.yaml"), None, Stage::Installed).unwrap().0
    }

    /// The output, in which `DIR` is the directory, and the exit statuses without and with `--strict`.
    fn said(&self, format: Format) -> (String, [u8; 2]) {
        let checked = self.checked();
        let text = checked.screen(None).render(format).replace(&self.0.path().display().to_string(), "DIR");
        (text, [false, true].map(|is_strict| checked.exit_status(is_strict)))
    }

    fn short(&self) -> String {
        self.said(Format::Short).0
    }
}

fn service(more: &str) -> String {
    format!("services:\n- key: front.key\n  instances:\n  - address: {ONE}\n{more}")
}

#[test]
fn a_good_file_has_one_line() {
    let place = Place::new(&service(""));
    assert_eq!(place.said(Format::Text), ("DIR/config.yaml: OK (1 service, 1 backend)\n".into(), [0, 0]));
    assert_eq!(place.said(Format::Short), (String::new(), [0, 0]));
}

#[test]
fn all_errors_come_at_once_with_their_lines() {
    let place = Place::new(
        "services:\n- key: front.key\n  instance:\n  - address: x\nuser: nobody-of-this-name\nLOG_LEVEL: loud\n",
    );
    let text = "\
DIR/config.yaml:3: error: services[0]: unknown key `instance`: did you mean `instances`?
DIR/config.yaml:5: error: user: there is no user nobody-of-this-name
    make one (useradd --system nobody-of-this-name), or name another
DIR/config.yaml:6: error: LOG_LEVEL: write debug, info, warning, error or critical
3 errors
";
    assert_eq!(place.said(Format::Text), (text.into(), [78, 78]));
}

#[test]
fn warnings_are_errors_for_the_strict_alone() {
    let place = Place::new(&service(&format!("  - address: {ONE}.onion\nREFRESH_INTERVAL: 1\n")));
    let text = format!(
        "\
DIR/config.yaml:5: warning: {ONE}.onion is listed twice for the service with the key front.key
    remove one of the two
DIR/config.yaml:6: warning: REFRESH_INTERVAL: each backend is looked up every 1 s, which loads tor and the HSDirs
    remove it: the default is 600
DIR/config.yaml: OK (1 service, 2 backends), 2 warnings
"
    );
    assert_eq!(place.said(Format::Text), (text, [0, 1]));
}

#[test]
fn editors_get_one_line_each_and_programs_an_object() {
    let place = Place::new(&service("refresh: 2\n"));
    let line = "DIR/config.yaml:5: warning: refresh: each backend is looked up every 2 s, which loads tor and the HSDirs: \
                remove it: the default is 600\n";
    assert_eq!(place.said(Format::Short).0, line);
    let object: serde_json::Value = serde_json::from_str(&place.said(Format::Json).0).unwrap();
    let finding = serde_json::json!({
        "severity": "warning",
        "line": 5,
        "text": "refresh: each backend is looked up every 2 s, which loads tor and the HSDirs",
        "remedy": "remove it: the default is 600",
    });
    let wanted = serde_json::json!({
        "schema": 1, "file": "DIR/config.yaml", "errors": 0, "warnings": 1, "complete": true, "services": 1,
        "backends": 1, "findings": [finding],
    });
    assert_eq!(object, wanted);
}

#[test]
fn a_file_that_ends_the_search_says_so() {
    let (text, statuses) = Place::new("services: [{key: k, instance: []}]\n").said(Format::Text);
    assert!(text.ends_with("\n1 error; check again when they are repaired, there may be more\n"), "{text}");
    assert_eq!(statuses, [78, 78]);
}

#[test]
fn a_service_without_backends_is_a_warning() {
    let short = Place::new("services:\n- key: front.key\n").short();
    assert!(short.contains(":2: warning: the service with the key front.key has no instances"), "{short}");
}

#[test]
fn what_the_parser_warns_of_has_a_line() {
    let place = Place::new(&service("REPLICAS: 3\nTOR_PORT: 1\ntor: /run/tor/control\n"));
    let short = place.short();
    assert!(short.contains(":5: warning: REPLICAS: has no effect: "), "{short}");
    assert!(
        short.contains(":6: warning: TOR_CONTROL_SOCKET, TOR_ADDRESS, TOR_PORT: have no effect"),
        "{short}"
    );
}

#[test]
fn a_frontend_among_its_own_backends_is_found_by_the_name_of_its_key() {
    let place = Place::new(&service("").replace("front.key", &format!("{ONE}.key")));
    place.write(&format!("{ONE}.key"), "");
    let short = place.short();
    assert!(short.contains(&format!(":4: warning: {ONE}.onion is the address of the frontend ")), "{short}");
}

#[test]
fn a_group_that_does_not_exist_is_found() {
    let short =
        Place::new(&service("status-socket-group: no-such-group\nstatus-socket-mode: 0640\n")).short();
    let wanted =
        ":5: error: status-socket-group: there is no group no-such-group: make it (groupadd --system";
    assert!(short.contains(wanted), "{short}");
    let short = Place::new(&service("status-socket-group: root\nstatus-socket-mode: 64\n")).short();
    assert!(short.contains(":6: error: status-socket-mode: write a mode in octal digits"), "{short}");
    assert!(!short.contains("group"), "{short}");
}

#[test]
fn places_that_cannot_be_created_are_found() {
    let place = Place::new(&service(
        "status-socket-location: missing/status\nLOG_LOCATION: front.key/log\nstate-file-location: config.yaml\n\
         STATUS_SOCKET_LOCATION: front.key\nsigner-socket-location: /run/onionbalance-none/signer.sock\n\
         metrics-listen: ./missing/metrics\n",
    ));
    let short = place.short();
    for wanted in [
        ":5: error: status-socket-location: there is no directory DIR/missing: create it",
        ":6: error: LOG_LOCATION: DIR/front.key is not a directory: name another place",
        ":7: error: DIR/config.yaml is the configuration or a key: name another file",
        ":10: error: metrics-listen: there is no directory DIR/./missing: create it",
        ":8: warning: STATUS_SOCKET_LOCATION: DIR/front.key exists and is not a socket: name another place",
    ] {
        assert!(short.contains(wanted), "{short}\nwanted {wanted}");
    }
    assert!(!short.contains("onionbalance-none"), "{short}");
}

#[test]
fn a_port_that_others_reach_is_a_warning() {
    let place = Place::new(&service("metrics-listen: 10.0.0.1:9926\n"));
    assert!(place.short().contains(":5: warning: metrics-listen: 10.0.0.1:9926 is not on loopback: "));
}

#[test]
fn modes_are_judged_by_the_signers_rule() {
    let place = Place::new(&service("tor-control-password: hush\n"));
    place.set_mode("config.yaml", 0o666);
    place.set_mode("front.key", 0o644);
    // Nobody else may enter the directory, which hides a key that is readable.
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
    let short = place.short();
    for wanted in [
        "config.yaml: error: this file may be changed by others (mode 666): chmod go-w it",
        "config.yaml:2: error: the key file DIR/front.key may be read or changed by others (mode 644): chmod 600 it",
        "config.yaml: warning: this file has a password of tor's in it, and every user of this machine can read it",
    ] {
        assert!(short.contains(wanted), "{short}\nwanted {wanted}");
    }
    assert!(!short.contains("hush"), "{short}");
}

#[test]
fn a_key_is_a_file() {
    let place = Place::new(&service("").replace("front.key", "missing.key"));
    assert!(place.short().contains(":2: error: the key file DIR/missing.key does not exist"));
    fs::create_dir(place.path("missing.key")).unwrap();
    let short = place.short();
    assert!(short.contains("the key file DIR/missing.key is a directory: name the file in it"), "{short}");
}

#[test]
fn relative_paths_may_start_elsewhere() {
    let (place, other) = (Place::new(&service("")), Place::new(&service("")));
    fs::remove_file(place.path("front.key")).unwrap();
    let found = |directory: Option<&Path>| {
        check(&place.path("config.yaml"), directory, Stage::Installed).unwrap().0.findings
    };
    assert_eq!(found(None).len(), 1);
    assert_eq!(found(Some(other.0.path())), []);
}

#[test]
fn a_missing_file_is_an_error_and_another_service_is_none() {
    let place = Place::new(&service(&format!("- key: front.key\n  instances:\n  - address: {TWO}\n")));
    let short = place.short();
    assert!(short.contains(":5: error: two services have the key front.key"), "{short}");
    assert_eq!(
        check(&place.path("none"), None, Stage::Installed).err().unwrap().kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn users_of_the_signer_are_known_by_name() {
    let place = Place::new(&service("signer-allowed-uids: [root, nobody-of-this-name]\n"));
    let wanted = "DIR/config.yaml:5: error: signer-allowed-uids: there is no user nobody-of-this-name: install the package, or \
                  give a numeric uid\n";
    assert_eq!(place.short().as_str(), wanted);
}

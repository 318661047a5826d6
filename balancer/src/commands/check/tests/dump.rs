//! The dump of the effective configuration.

use super::super::dump::render;
use super::*;
use crate::cli::Task;

#[test]
fn a_dump_has_each_value_with_its_source() {
    let place = Place::new(&service(
        "    name: web1\n    weight: 3\n    health-check: {kind: http, body: all is well}\nsigner-socket-location: run/signer\nsigner-allowed-uids: [7, root]\ntor-control-password: hush\n\
         refresh: 700\nTOR_PORT: 9151\nstatus-socket-group: monitor\nmetrics-listen: '[::1]:9926'\n",
    ));
    let dumped = |line: &str| {
        let Ok(Task::Check(options)) = Task::try_read(line.split(' ').map(Into::into), None) else {
            panic!("{line} is not a check")
        };
        let (_, configuration) = check(&place.path("config.yaml"), None, Stage::Installed).unwrap();
        let text = render(&options, &configuration.unwrap());
        let text = text.replace(&place.0.path().display().to_string(), "DIR");
        // Blanks make the columns.
        let narrow = |line: &str| match line.split_once("  # ") {
            Some((value, source)) => format!("{}  # {source}", value.trim()),
            None => line.to_owned(),
        };
        text.lines().map(narrow).collect::<Vec<_>>()
    };
    let wanted = format!(
        "\
# The effective configuration of DIR/config.yaml
services:  # DIR/config.yaml:1
- key: front.key  # DIR/config.yaml:2
instances:  # DIR/config.yaml
- address: {ONE}.onion  # DIR/config.yaml:4
name: web1  # DIR/config.yaml:5
weight: 3  # DIR/config.yaml
health-check:  # DIR/config.yaml
      kind: http
      path: /
      expect: 200-399
      body: \"all is well\"
      port: 80
      interval: 30s
      timeout: 20s
      fall: 2
      rise: 2
TOR_ADDRESS: 127.0.0.1  # default
TOR_PORT: 9151  # DIR/config.yaml:12
tor-control-password: '***'  # DIR/config.yaml:10
# tor-socks-location is not set
# tor-restart-hint is not set
signer-socket-location: DIR/run/signer  # DIR/config.yaml:8
# user is not set
# signer-user is not set
signer-allowed-uids: [7, root]  # DIR/config.yaml:9
signer-requests-per-minute: 120  # default
signer-allow-locked-memory: false  # default
signer-allow-readable-keys: false  # default
status-socket-group: monitor  # DIR/config.yaml:13
status-socket-mode: 0660  # default
# control-socket-location is not set
metrics-listen: '[::1]:9926'  # DIR/config.yaml:14
# state-file-location is not set
LOG_LEVEL: info  # default
LOG_ADDRESSES: short  # default
# LOG_LOCATION is not set
REFRESH_INTERVAL: 700  # DIR/config.yaml:11
INITIAL_DELAY: 3  # default
DESCRIPTOR_UPLOAD_PERIOD: 7200  # default
MAX_INTRO_POINTS: 10  # default
DISTINCT_DESCRIPTORS: true  # default"
    );
    assert_eq!(dumped("onionbalance check --dump"), wanted.lines().collect::<Vec<_>>());
    let lines = dumped("onionbalance check --dump --tor /run/tor/control");
    assert!(lines.contains(&"TOR_CONTROL_SOCKET: /run/tor/control  # command line".to_owned()), "{lines:?}");
    let lines = dumped("onionbalance check --dump --tor 127.0.0.2:1");
    assert!(lines.contains(&"TOR_ADDRESS: 127.0.0.2  # command line".to_owned()), "{lines:?}");
}

#[test]
fn a_dump_is_a_configuration_with_the_same_meaning() {
    let place = Place::new(&service(
        "    health-check: {kind: http, path: '/a?b=%20', host: shop.example, expect: 204, body: 'it''s: well'}\n\
         signer-socket-location: run/signer\nMAX_INTRO_POINTS: 7\ntor-socks-location: unix:socks\n",
    ));
    let Ok(Task::Check(options)) = Task::try_read(["onionbalance", "check", "--dump"].map(Into::into), None)
    else {
        panic!("not a check")
    };
    let read = || check(&place.path("config.yaml"), None, Stage::Installed).unwrap().1.unwrap();
    let first = render(&options, &read());
    place.write("config.yaml", &first);
    let values = |text: &str| {
        text.lines().map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&render(&options, &read())), values(&first));
}

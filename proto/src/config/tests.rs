use std::fmt::Write;
use std::time::Duration;

use super::*;

const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("config.yaml")).map_err(|error| error.to_string())
}

#[test]
fn reads_what_onionbalance_writes() {
    let config = parse(&format!(
        "services:\n- instances:\n  - address: {ADDRESS}.onion\n    name: node1\n  - address: {ADDRESS}\n  \
         key: front.key\nstatus-socket-location: /run/ob/status\nREFRESH_INTERVAL: 600\n"
    ))
    .unwrap();
    assert_eq!(config.services[0].key, "front.key");
    let Instances::V3(instances) = &config.services[0].instances else { panic!("another version") };
    assert_eq!(instances[0].name.as_ref().map(Name::as_str), Some("node1"));
    assert_eq!(instances[1].address.without_suffix(), ADDRESS);
    assert_eq!(config.status_socket.as_deref(), Some(Path::new("/run/ob/status")));
    assert_eq!(config.tuning.refresh, Some(Duration::from_mins(10)));

    let windows = format!("\u{feff}services:\r\n- key: k\r\n  instances:\r\n  - address: {ADDRESS}\r\n");
    assert_eq!(parse(&windows).unwrap().services[0].key, "k");
}

/// The example of Onionbalance's first version.
#[test]
fn reads_what_the_first_version_read() {
    let config = parse(
        "refresh: 600 # How often to poll for updated descriptors\nservices:\n\
         \x20   - key: /path/to/private_key # 7s4hxwwifcslrus2.onion\n      instances:\n\
         \x20       - address: o6ff73vmigi4oxka # srv1\n        - address: nkz23ai6qesuwqhc # srv2\n\
         \x20         auth: dCmx3qIvArbil8A0KM4KgQ== # Hidden service authentication key\n\
         \x20   - key: /path/to/private_key.enc # dpkdeys3apjtqydk.onion\n      instances:\n\
         \x20       - address: htbzowpp5cn7wj2u # srv3\n",
    )
    .unwrap();
    assert_eq!(config.tuning.refresh, Some(Duration::from_mins(10)));
    let [first, second] = config.services.as_slice() else { panic!("two services") };
    let Instances::V2(instances) = &first.instances else { panic!("another version") };
    let addresses: Vec<String> = instances.iter().map(|one| one.address.without_suffix()).collect();
    assert_eq!(addresses, ["o6ff73vmigi4oxka", "nkz23ai6qesuwqhc"]);
    let cookies = instances.iter().map(|one| one.auth.clone());
    assert!(cookies.eq([None, Some("dCmx3qIvArbil8A0KM4KgQ==".parse().unwrap())]));
    assert!(matches!(&second.instances, Instances::V2(instances) if instances.len() == 1));
}

const EXAMPLE: &str = include_str!("../../../config.yaml.example");

/// True for a line of the example that is a top-level key, commented out.
fn is_key(line: &str) -> bool {
    let name = line.split_once(": ").map_or("", |(name, _)| name);
    let own = ["user", "tor"].contains(&name)
        || ["signer-", "tor-", "status-", "metrics-"].iter().any(|begin| name.starts_with(begin));
    let historic = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    !name.is_empty() && (own || historic)
}

#[test]
fn the_example_is_a_configuration() {
    assert_eq!(parse(EXAMPLE).unwrap().services.len(), 1);
    let every_key: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| is_key(line)).unwrap_or(line))
        .collect();
    let config = parse(&every_key.join("\n")).unwrap();
    assert!(config.signer_socket.is_some() && config.status_socket.is_some());
    assert_eq!(
        (config.user.as_deref(), config.signer_user.as_deref()),
        (Some("onionbalance"), Some("onionbalance-signer"))
    );
    assert!(config.control_password.is_some() && config.status_text_socket.is_some());
    assert_eq!(
        (config.signer_allowed_users, config.signer_requests_per_minute),
        (vec![AllowedUser::Name("onionbalance".to_owned())], SIGNATURES_PER_MINUTE)
    );
    let tuning = Tuning {
        refresh: Some(Duration::from_mins(10)),
        initial_delay: Some(Duration::from_secs(45)),
        upload_period: Some(Duration::from_hours(1)),
        max_points_v2: Some(10),
        distinct: true,
        tor_restart_hint: Some(50_000),
    };
    assert_eq!(config.tuning, tuning);
    assert_eq!(config.metrics_listen, Some(MetricsPlace::Port("127.0.0.1:9926".parse().unwrap())));
    assert!(config.log.level.is_some() && config.log.location.is_some());
    assert!(config.tor.socket.is_some() && config.tor.address.is_some() && config.tor.port.is_some());
    assert_eq!(config.tors.map(|tors| tors.places().len()), Some(2));
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(warning.ends_with("have no effect, because `tor` is set"), "{warning}");
}

#[test]
fn users_of_the_signer_have_names_or_numbers() {
    let read = |users: &str| {
        let service = format!("services:\n- key: k\n  instances:\n  - address: {ADDRESS}\n");
        parse(&format!("{service}signer-allowed-uids: {users}\n")).map(|config| config.signer_allowed_users)
    };
    let named = |name: &str| AllowedUser::Name(name.to_owned());
    assert_eq!(read("[7, onionbalance]"), Ok(vec![AllowedUser::Uid(7), named("onionbalance")]));
    for (users, problem) in [
        ("[-1]", "expected a user name or a numeric uid"),
        ("[4294967296]", "4294967296 is not a uid"),
        ("['7']", "write a user name, or a numeric uid without quotes"),
        ("['']", "write a user name, or a numeric uid without quotes"),
    ] {
        let error = read(users).unwrap_err();
        assert!(
            error.starts_with("config.yaml:5: signer-allowed-uids[0]: ") && error.contains(problem),
            "{error}"
        );
    }
}

#[test]
fn the_examples_v2_service_may_stand_beside_the_other() {
    let mixed: Vec<&str> = EXAMPLE
        .split("\n\n")
        .map(|paragraph| if paragraph.contains("#   - key:") { paragraph } else { "" })
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with("  ")))
        .collect();
    let (services, rest) = EXAMPLE.split_once("\n\n# A v2 onion service").unwrap();
    let config = parse(&format!("{services}\n{}\n# {rest}", mixed.join("\n"))).unwrap();
    let [_, service] = config.services.as_slice() else { panic!("two services") };
    assert!(matches!(&service.instances, Instances::V2(instances) if instances[1].auth.is_some()));
    let own = service.tor.as_ref().map(TorPool::places);
    assert_eq!(own, Some(&[TorPlace::Socket("/run/tor-v2/control".parse().unwrap())][..]));
    assert!(service.tor_control_password.is_some());
}

#[test]
fn says_what_is_wrong_and_where() {
    let service = format!("services:\n- key: k\n  instances:\n  - address: {ADDRESS}\n");
    let cases = [
        (String::new(), "there are no services"),
        ("services: []\n".into(), "config.yaml:1: there are no services"),
        (
            service.replace("5sid", "5sie"),
            "config.yaml:4: services[0].instances[0].address: the address has version",
        ),
        (
            service.replace("25nj", "35nj"),
            "config.yaml:4: services[0].instances[0].address: the address's check",
        ),
        (
            service.clone() + "  - address: jyvfq5umznvka34v\n",
            "config.yaml:5: services[0].instances[1]: v2 and v3 addresses are listed under one service",
        ),
        (
            service.replace(ADDRESS, "jyvfq5umznvka34v") + "  - address: " + ADDRESS + "\n",
            "config.yaml:5: services[0].instances[1]: v2 and v3 addresses are listed under one service",
        ),
        (
            service.clone() + "    auth: dCmx3qIvArbil8A0KM4KgQ\n",
            "config.yaml:4: services[0].instances[0]: `auth` is for v2 addresses",
        ),
        (
            service.replace(ADDRESS, "jyvfq5umznvka34v") + "    auth: dCmx3qIvArbil8A0KM4KgD\n",
            "config.yaml:5: services[0].instances[0].auth: the descriptor cookie has an unknown type",
        ),
        (
            service.replace(ADDRESS, "jyvfq5umznvka341"),
            "config.yaml:4: services[0].instances[0].address: an onion address consists of",
        ),
        (
            service.replace("25nj", "25n"),
            "config.yaml:4: services[0].instances[0].address: an onion address has 56 characters (v3) or 16",
        ),
        (
            service.clone() + "    nmae: x\n",
            "config.yaml:5: services[0].instances[0]: unknown key `nmae`: did you mean `name`?",
        ),
        (
            service.clone() + "signer-socket: x\n",
            "config.yaml:5: unknown key `signer-socket`: did you mean `signer-socket-location`?",
        ),
        (service.clone() + "- key: k\n  instances:\n  - address: 2\n", "config.yaml:7: services[1]"),
        (format!("{service}- key: k\n  instances:\n  - address: {ADDRESS}\n"), "config.yaml:5: two services"),
        (
            format!("{service}{service}"),
            "config.yaml:5: `services` is set a second time: remove one of the two",
        ),
        (
            service.clone() + "TOR_CONTROL_PASSWORD: x\ntor-control-password: x\n",
            "config.yaml:6: `tor-control-password` is set a second time",
        ),
        (service + " : x", "config.yaml:"),
    ];
    for (text, wanted) in cases {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(wanted), "{text}\n→ {error}\nwanted {wanted}");
    }
}

#[test]
fn names_are_optional_and_told_apart() {
    let other = "jyvfq5umznvka34v";
    let named = |first: &str, second: &str| {
        with(&format!("    name: {first}\n  - address: {other}\n    name: other\n  name: {second}\n"))
    };
    let file = |lines: &str| {
        parse(&format!("services:\n- key: k\n  instances:\n  - address: o6ff73vmigi4oxka\n{lines}"))
    };
    let config = named("web 1", "shop").unwrap();
    assert_eq!(config.services[0].name.as_ref().map(Name::as_str), Some("shop"));
    // An empty name is ignored, as Onionbalance ignored it.
    assert_eq!(named("''", "").unwrap().services[0].name, None);
    assert_eq!(named("7", "").unwrap().services[0].instances.count(), 2);
    // One backend that is listed twice may have its name twice.
    file("    name: web1\n  - address: o6ff73vmigi4oxka\n    name: web1\n").unwrap();
    let long = format!("    name: {}\n", "x".repeat(41));
    let twice = format!("    name: web1\n  - address: {other}\n    name: web1\n");
    let second = format!("  name: shop\n- key: l\n  name: shop\n  instances:\n  - address: {other}\n");
    for (lines, wanted) in [
        (long.as_str(), "config.yaml:5: services[0].instances[0].name: a name has at most 40 characters"),
        ("    name: \"a\\nb\"\n", "config.yaml:5: services[0].instances[0].name: a name has no line ends"),
        (
            &twice,
            "config.yaml:6: services[0].instances[1]: two backends have the name web1: give each its own",
        ),
        (&second, "config.yaml:7: two services have the name shop: give each its own"),
    ] {
        let error = file(lines).unwrap_err();
        assert!(error.starts_with(wanted), "{error}\nwanted {wanted}");
    }
}

#[test]
fn a_weight_is_a_small_number_and_not_all_are_0() {
    let other = "o6ff73vmigi4oxka";
    let weights = |text: &str| match &with(text).map(|config| config.services[0].instances.clone()) {
        Ok(Instances::V2(instances)) => {
            Ok(instances.iter().map(|one| one.weight.value()).collect::<Vec<_>>())
        }
        Ok(_) => panic!("not v2"),
        Err(error) => Err(error.clone()),
    };
    assert_eq!(weights(&format!("    weight: 100\n  - address: {other}\n")), Ok(vec![100, 1]));
    assert_eq!(weights(&format!("    weight: 0\n  - address: {other}\n")), Ok(vec![0, 1]));
    for wrong in ["101", "-1", "1.5", "many", "[1]"] {
        let error = weights(&format!("    weight: {wrong}\n")).unwrap_err();
        let wanted = "a weight is a whole number from 0 (drained) to 100";
        assert!(error.starts_with("config.yaml:5: ") && error.contains(wanted), "{error}");
    }
    let error = weights(&format!("    weight: 0\n  - address: {other}\n    weight: 0\n")).unwrap_err();
    assert!(error.contains("every instance of the service with the key k has `weight: 0`"), "{error}");
}

/// A configuration whose service has this health check, and whose second backend has these lines.
fn checked(check: &str, second: &str) -> Result<Config, String> {
    parse(&format!(
        "services:\n- key: k\n  health-check: {check}\n  instances:\n  - address: o6ff73vmigi4oxka\n  - address: \
         jyvfq5umznvka34v\n{second}"
    ))
}

/// The health check of each backend.
fn checks(config: &Config) -> Vec<HealthCheck> {
    config.services[0].health_checks().cloned().collect()
}

#[test]
fn the_health_check_of_the_example_is_one() {
    let (before, after) = EXAMPLE.split_once("    # health-check:\n").unwrap();
    let block: Vec<&str> = after.lines().map_while(|line| line.strip_prefix("    # ")).collect();
    let example = block
        .iter()
        .fold(before.to_owned() + "    health-check:\n", |text, line| text + "    " + line + "\n");
    let [check] = &checks(&parse(&example).unwrap())[..] else { panic!("one backend") };
    let ProbeKind::Http(probe) = &check.kind else { panic!("{check:?}") };
    assert_eq!((probe.path.as_str(), probe.host.as_deref()), ("/healthz", Some("shop.example")));
    assert_eq!((probe.expect.range(), probe.body.as_deref()), (200..=399, Some("all is well")));
}

#[test]
fn a_health_check_has_defaults_and_each_backend_may_have_its_own() {
    let usual = HealthCheck {
        port: 80,
        kind: ProbeKind::Connect,
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(20),
        fall: 2,
        rise: 2,
    };
    assert_eq!(checks(&checked("{kind: connect}", "").unwrap()), [usual.clone(), usual.clone()]);
    assert_eq!(checks(&checked("off", "").unwrap()), []);
    assert_eq!(checks(&checked("false", "").unwrap()), []);
    assert_eq!(
        checks(&checked("{kind: connect}", "    health-check: off\n").unwrap()),
        std::slice::from_ref(&usual)
    );
    let own = "    health-check: {kind: http, port: 8080, expect: 200, interval: 10, rise: 1}\n";
    let page =
        HttpProbe { path: "/".into(), host: None, expect: StatusCodes::new(200, 200).unwrap(), body: None };
    let ten = Duration::from_secs(10);
    let own_check = HealthCheck {
        port: 8080,
        kind: ProbeKind::Http(page),
        interval: ten,
        timeout: ten,
        rise: 1,
        ..usual.clone()
    };
    assert_eq!(checks(&checked("off", own).unwrap()), [own_check]);
    for (text, seconds) in [("45", 45), ("45s", 45), ("2m", 120), ("'1 h'", 3600), ("1d", 86400)] {
        let config = checked(&format!("{{kind: connect, interval: {text}}}"), "").unwrap();
        assert_eq!(checks(&config)[0].interval, Duration::from_secs(seconds));
    }
}

#[test]
fn a_health_check_that_is_not_valid_says_what_to_write() {
    for (check, line, wanted) in [
        ("on", 3, "services[0].health-check: write off, or below it `kind: connect` or `kind: http`"),
        ("", 3, "services[0].health-check: write off, or below it"),
        ("[]", 3, "services[0].health-check: invalid type: sequence, expected off, or below it"),
        ("{port: 80}", 3, "services[0].health-check: missing field `kind`"),
        ("{kind: tcp}", 3, "services[0].health-check.kind: write connect or http"),
        ("{kind: http, pth: /}", 3, "services[0].health-check: unknown key `pth`: did you mean `path`?"),
        ("{kind: connect, path: /}", 3, "services[0].health-check: `path` is for `kind: http`: remove it"),
        (
            "\n    kind: http\n    path: healthz",
            5,
            "services[0].health-check.path: write a path that begins with a slash",
        ),
        ("{kind: http, path: '/a b'}", 3, "services[0].health-check.path: write a path"),
        ("{kind: http, host: 'http://x/'}", 3, "services[0].health-check.host: write a host name alone"),
        ("{kind: http, expect: 200-}", 3, "services[0].health-check.expect: write a status code or a range"),
        ("{kind: http, expect: 399-200}", 3, "services[0].health-check.expect: write a status code"),
        ("{kind: http, expect: 600}", 3, "services[0].health-check.expect: write a status code"),
        ("{kind: http, body: ''}", 3, "services[0].health-check.body: write a text of 1 to 1024 bytes"),
        ("{kind: http, port: 0}", 3, "services[0].health-check.port: write a whole number from 1 to 65535"),
        ("{kind: http, port: -1}", 3, "services[0].health-check.port: write a whole number from 1 to 65535"),
        ("{kind: http, fall: 101}", 3, "services[0].health-check.fall: write a whole number from 1 to 100"),
        (
            "{kind: http, interval: 9s}",
            3,
            "services[0].health-check.interval: write a time from 10s to 86400s",
        ),
        ("{kind: http, interval: 1w}", 3, "services[0].health-check.interval: write a time"),
        ("{kind: http, interval: 99999999999999999d}", 3, "services[0].health-check.interval: write a time"),
        (
            "{kind: http, timeout: 31}",
            3,
            "services[0].health-check: the timeout, 31 s, is longer than the interval, 30 s",
        ),
    ] {
        let error = checked(check, "").unwrap_err();
        assert!(
            error.starts_with(&format!("config.yaml:{line}: {wanted}")),
            "{error}\nwanted {line}: {wanted}"
        );
    }
    let short = checked("{kind: http, timeout: 4s}", "").unwrap().warnings;
    assert!(
        short[0].starts_with("health-check: the service with the key k has a timeout of 4 s"),
        "{short:?}"
    );
}

#[test]
fn a_socks_port_is_that_of_one_tor() {
    let socks = "tor-socks-location: unix:socks\n";
    let config = checked("{kind: connect}", socks).unwrap();
    assert_eq!(config.tor_socks, Some(SocksPlace::Socket("socks".into())));
    assert_eq!(config.warnings, Vec::<String>::new());
    assert!(checked("{kind: connect}", &format!("{socks}tor: /run/tor/control\n")).is_ok());
    let several = checked("{kind: connect}", &format!("{socks}tor: [/run/tor/control, /run/tor2/control]\n"));
    let wanted = "config.yaml:7: tor-socks-location: is the SOCKS port of one tor, and there are several";
    assert!(several.unwrap_err().starts_with(wanted));
    let own = parse(&format!("{socks}services: [{{key: a, tor: 127.0.0.1:1}}, {{key: b}}]"));
    assert!(own.unwrap_err().contains("there are several"));
    let unused = checked("off", socks).unwrap().warnings;
    assert_eq!(unused, ["tor-socks-location: has no effect, because there is no `health-check`"]);
    assert!(checked("off", "tor-socks-location: 9050\n").unwrap_err().contains("tor-socks-location"));
}

#[test]
fn a_password_is_never_shown() {
    let text =
        format!("services:\n- key: k\n  instances:\n  - address: {ADDRESS}\ntor-control-password: hush\n");
    let config = parse(&text).unwrap();
    assert_eq!(config.control_password, Some(ControlPassword("hush".into())));
    assert!(!format!("{config:?}").contains("hush"));
}

fn with(lines: &str) -> Result<Config, String> {
    parse(&format!("services:\n- key: k\n  instances:\n  - address: jyvfq5umznvka34v\n{lines}"))
}

#[test]
fn metrics_have_a_place_and_a_warning_if_strangers_may_reach_it() {
    let parse = |place: &str| {
        let text = format!("services: [{{key: k}}]\nmetrics-listen: {place}\n");
        Config::parse(&text, Path::new("config.yaml"))
    };
    let warned = |place: &str| parse(place).unwrap().warnings;
    for place in ["127.0.0.1:9926", "'[::1]:9926'", "/run/onionbalance-status/metrics.sock"] {
        assert_eq!(warned(place), Vec::<String>::new(), "{place}");
    }
    let warnings = warned("0.0.0.0:9926");
    assert!(warnings[0].starts_with("metrics-listen: 0.0.0.0:9926 is not on loopback: "), "{warnings:?}");
    for (place, wanted) in [
        ("9926", "write an IP address with a port, such as 127.0.0.1:9926 or"),
        ("localhost:9926", "localhost is not an IP address: write one with a port"),
        ("[::1]:9926", "invalid type"),
    ] {
        let error = parse(place).unwrap_err().to_string();
        assert!(error.contains(wanted), "{place}: {error}");
    }
}

#[test]
fn the_mode_of_a_status_socket_is_octal() {
    let parse = |line: &str| {
        let text = format!("services: [{{key: k}}]\nstatus-socket-group: monitor\n{line}\n");
        Config::parse(&text, Path::new("config.yaml"))
    };
    for mode in ["0660", "660", "'0660'", "0o660"] {
        let config = parse(&format!("status-socket-mode: {mode}")).unwrap();
        assert_eq!(config.status_socket_mode.bits(), 0o660, "{mode}");
        assert_eq!(config.status_socket_group.as_deref(), Some("monitor"));
    }
    assert_eq!(parse("").unwrap().status_socket_mode.to_string(), "0660");
    for mode in ["0260", "680", "66", "1660", "rw-rw----", "+660", "''"] {
        let error = parse(&format!("status-socket-mode: {mode}")).unwrap_err().to_string();
        assert!(error.starts_with("config.yaml:3: status-socket-mode: write a mode"), "{error}");
    }
}

#[test]
fn keys_up_to_0_1_8_are_honoured() {
    let config = with(
        "REFRESH_INTERVAL: 300\nPUBLISH_CHECK_INTERVAL: 300\nINITIAL_DELAY: 20\nREPLICAS: 2\nHSDIR_SET: 3\n\
         MAX_INTRO_POINTS: 7\nDESCRIPTOR_VALIDITY_PERIOD: 86400\nDESCRIPTOR_OVERLAP_PERIOD: 3600\n\
         DESCRIPTOR_UPLOAD_PERIOD: 1800\nDISTINCT_DESCRIPTORS: False\nLOG_LOCATION: logs/ob\nLOG_LEVEL: WARNING\n\
         STATUS_SOCKET_LOCATION: /run/ob/control\nTOR_ADDRESS: 127.0.0.2\nTOR_PORT: 9151\n\
         TOR_CONTROL_PASSWORD: hush\nTOR_CONTROL_SOCKET: /run/tor/c\n",
    )
    .unwrap();
    let tuning = Tuning {
        refresh: Some(Duration::from_mins(5)),
        initial_delay: Some(Duration::from_secs(20)),
        upload_period: Some(Duration::from_mins(30)),
        max_points_v2: Some(7),
        distinct: false,
        tor_restart_hint: None,
    };
    assert_eq!(config.tuning, tuning);
    let log =
        LogSettings { level: Some(LogLevel::Warning), location: Some("logs/ob".into()), addresses: None };
    assert_eq!(config.log, log);
    assert_eq!(config.status_text_socket, Some("/run/ob/control".into()));
    assert_eq!(config.status_socket, None);
    let tor = TorDefaults {
        socket: Some("/run/tor/c".parse().unwrap()),
        address: Some("127.0.0.2".parse().unwrap()),
        port: Some(9151),
    };
    assert_eq!(config.tor, tor);
    assert_eq!(config.control_password, Some(ControlPassword("hush".into())));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn lower_case_keys_of_the_first_version_are_honoured() {
    let config = with(
        "refresh: 60\nreplicas: 2\nmax_intro_points: 10\ndescriptor_validity_period: 86400\n\
         descriptor_overlap_period: 3600\ndescriptor_upload_period: 3600\n",
    )
    .unwrap();
    let tuning = Tuning {
        refresh: Some(Duration::from_mins(1)),
        upload_period: Some(Duration::from_hours(1)),
        max_points_v2: Some(10),
        ..Tuning::default()
    };
    assert_eq!(config.tuning, tuning);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn what_python_holds_for_false_is_not_set() {
    let config = with(
        "REFRESH_INTERVAL:\nDESCRIPTOR_UPLOAD_PERIOD: ''\nMAX_INTRO_POINTS: ~\nDISTINCT_DESCRIPTORS:\nREPLICAS: 0\n\
         LOG_LOCATION: ''\nLOG_LEVEL: ~\nSTATUS_SOCKET_LOCATION: False\nTOR_ADDRESS: ''\nTOR_CONTROL_SOCKET: 0\n\
         TOR_CONTROL_PASSWORD: ''\n",
    )
    .unwrap();
    assert_eq!(config, Config { warnings: config.warnings.clone(), ..with("").unwrap() });
    assert_eq!(config.warnings, ["TOR_CONTROL_SOCKET: 0 means not set, as in Onionbalance 0.1.8"]);
}

#[test]
fn what_has_another_effect_than_the_file_says_is_told() {
    let cases = [
        ("INITIAL_DELAY: 0", "INITIAL_DELAY: 0 means not set"),
        (
            "max_intro_points: 12",
            "max_intro_points: is reduced to 10: tor's clients refuse descriptors with more",
        ),
        ("replicas: 3", "replicas: has no effect: tor's clients look for 2"),
        ("HSDIR_SET: 4", "HSDIR_SET: has no effect: tor's clients ask 3 HSDirs"),
        (
            "DESCRIPTOR_OVERLAP_PERIOD: 7200",
            "has no effect: the next period's descriptors are published in the hour",
        ),
        ("DESCRIPTOR_VALIDITY_PERIOD: 1", "has no effect: tor's periods are always one day"),
        ("PUBLISH_CHECK_INTERVAL: 60", "has no effect: changes are published when they are seen"),
    ];
    for (line, wanted) in cases {
        let warnings = with(line).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(wanted), "{warnings:?}\nwanted {wanted}");
    }
    assert_eq!(with("MAX_INTRO_POINTS: 12").unwrap().tuning.max_points_v2, Some(10));

    let v3 = |line: &str| {
        parse(&format!("services:\n- key: k\n  instances:\n  - address: {ADDRESS}\n{line}\n"))
            .unwrap()
            .warnings
    };
    assert_eq!(v3("MAX_INTRO_POINTS: 10\nDESCRIPTOR_UPLOAD_PERIOD: 3600"), Vec::<String>::new());
    assert!(v3("DESCRIPTOR_UPLOAD_PERIOD: 60")[0].ends_with("are for v2 services, and there are none"));
}

#[test]
fn cookies_that_do_not_fit_are_told() {
    const OTHER: &str = "YWJjZGVmZ2hpamtsbW5vcA";
    let warnings = |services: &[&[(&str, &str)]]| {
        let mut text = "services:\n".to_owned();
        for (number, instances) in services.iter().enumerate() {
            writeln!(text, "- key: key{number}\n  instances:").unwrap();
            for (address, auth) in *instances {
                writeln!(text, "  - address: {address}\n    auth: {auth}").unwrap();
            }
        }
        parse(&text).unwrap().warnings
    };
    let (srv1, srv2) = ("o6ff73vmigi4oxka", "nkz23ai6qesuwqhc");
    let cookie = "dCmx3qIvArbil8A0KM4KgQ";
    // One cookie in both its forms, and a backend that is open to everyone.
    assert_eq!(warnings(&[&[(srv1, cookie), (srv2, "dCmx3qIvArbil8A0KM4KgQ==")]]), Vec::<String>::new());
    assert_eq!(warnings(&[&[(srv1, ""), (srv2, cookie)], &[(srv2, OTHER)]]), Vec::<String>::new());
    let [several] = &warnings(&[&[(srv1, OTHER)], &[(srv1, OTHER), (srv2, cookie)]])[..] else { panic!() };
    assert!(several.starts_with("the backends of key1 have different cookies in `auth`"), "{several}");
    let [unequal] = &warnings(&[&[(srv1, "")], &[(srv1, cookie)]])[..] else { panic!() };
    assert!(unequal.starts_with("o6ff73vmigi4oxka.onion has `auth` for one service and none"), "{unequal}");
    assert!(!several.contains(cookie) && !several.contains(OTHER));
}

#[test]
fn nonsense_is_an_error_that_says_what_to_write() {
    let cases = [
        ("refresh: often", "refresh: write a whole number of seconds, such as 600"),
        ("refresh: '600'", "refresh: write a whole number of seconds"),
        ("refresh: -600", "refresh: invalid type: integer `-600`, expected a whole number of seconds"),
        ("refresh: 0.5", "refresh: invalid type: floating point `0.5`, expected a whole number of seconds"),
        ("refresh: [600]", "refresh: invalid type: sequence, expected a whole number of seconds"),
        ("refresh: 5000000000", "refresh: write a whole number of seconds"),
        ("tor-restart-hint: often", "tor-restart-hint: write a whole number of posts, such as 50000"),
        (
            "tor-restart-hint: -1",
            "tor-restart-hint: invalid type: integer `-1`, expected a whole number of posts",
        ),
        ("REPLICAS: two", "REPLICAS: write a whole number, or remove the key: it has no effect"),
        ("TOR_PORT: 65536", "TOR_PORT: write a port from 1 to 65535"),
        ("TOR_ADDRESS: localhost:9051", "TOR_ADDRESS: write localhost alone, and give 9051 as the port"),
        (
            "TOR_ADDRESS: unix:/run/tor/control",
            "TOR_ADDRESS: a path is not an address: give it as the control",
        ),
        ("TOR_ADDRESS: http://127.0.0.1", "TOR_ADDRESS: a URL is not an address: write an IP address or"),
        ("TOR_ADDRESS: 9051", "TOR_ADDRESS: write an IP address, such as 127.0.0.1 or ::1, or a host name"),
        ("TOR_ADDRESS: [::1]", "TOR_ADDRESS: invalid type: sequence, expected an IP address, such as"),
        ("TOR_CONTROL_SOCKET: 9051", "TOR_CONTROL_SOCKET: write a path"),
        (
            "TOR_CONTROL_SOCKET: '9051'",
            "TOR_CONTROL_SOCKET: 9051 is a port, not the path of a control socket",
        ),
        ("TOR_CONTROL_SOCKET: localhost:9051", "TOR_CONTROL_SOCKET: localhost:9051 is a control port, not"),
        ("LOG_LEVEL: loud", "LOG_LEVEL: write debug, info, warning, error or critical"),
        ("LOG_LOCATION: True", "LOG_LOCATION: write a path"),
        ("DISTINCT_DESCRIPTORS: maybe", "DISTINCT_DESCRIPTORS: write True or False"),
        ("refresh: 1\nREFRESH_INTERVAL: 2", "`REFRESH_INTERVAL` is set a second time: remove one of the two"),
        ("TOR_CONTROL_PASSWORD: 12345", "TOR_CONTROL_PASSWORD: a password is a text: put it in quotes"),
    ];
    for (lines, wanted) in cases {
        let error = with(lines).unwrap_err();
        let line = 4 + lines.lines().count();
        assert!(
            error.starts_with(&format!("config.yaml:{line}: {wanted}")),
            "{error}\nwanted {line} {wanted}"
        );
    }
}

#[test]
fn the_hint_to_restart_tor_is_a_number_of_posts_or_none() {
    for (value, wanted) in [("1", Some(1)), ("50000", Some(50_000)), ("0", None), ("", None)] {
        assert_eq!(
            with(&format!("tor-restart-hint: {value}")).unwrap().tuning.tor_restart_hint,
            wanted,
            "{value}"
        );
    }
}

#[test]
fn switches_are_read_as_yaml_1_1_read_them() {
    for (word, wanted) in [("no", false), ("Off", false), ("FALSE", false), ("yes", true), ("on", true)] {
        assert_eq!(with(&format!("DISTINCT_DESCRIPTORS: {word}")).unwrap().tuning.distinct, wanted);
    }
}

#[test]
fn tors_own_ways_to_write_an_endpoint_are_understood() {
    let tor = with("TOR_ADDRESS: '[::1]'\nTOR_CONTROL_SOCKET: unix:/run/tor/control\n").unwrap().tor;
    assert_eq!(tor.address, with("TOR_ADDRESS: ::1\n").unwrap().tor.address);
    assert_eq!(tor.socket, with("TOR_CONTROL_SOCKET: /run/tor/control\n").unwrap().tor.socket);
}

#[test]
fn a_service_may_have_a_tor_of_its_own() {
    let service = |lines: &str| {
        parse(&format!("services:\n- key: k\n{lines}  instances:\n  - address: jyvfq5umznvka34v\n"))
            .map(|config| config.services[0].clone())
    };
    let named = service("  tor: old-tor/control\n  tor-control-password: hush\n").unwrap();
    let places = |service: &Service| service.tor.as_ref().unwrap().places().to_vec();
    assert_eq!(places(&named), [TorPlace::Socket("old-tor/control".parse().unwrap())]);
    assert_eq!(named.tor_control_password, Some(ControlPassword("hush".into())));
    assert!(!format!("{named:?}").contains("hush"));
    let port = TorPlace::Port { host: "127.0.0.1".parse().unwrap(), port: 9151 };
    assert_eq!(places(&service("  tor: 127.0.0.1:9151\n").unwrap()), [port]);

    let error = service("  tor: 127.0.0.1:tor\n").unwrap_err();
    assert!(error.starts_with("config.yaml:3: services[0].tor: not a control port: write"), "{error}");
    let error = service("  tor: 9051\n").unwrap_err();
    assert!(error.starts_with("config.yaml:3: services[0].tor: the address is missing"), "{error}");
    let error = service("  tor-control-password: hush\n").unwrap_err();
    assert!(
        error
            .starts_with("config.yaml:2: the service with the key k has a tor-control-password and no `tor`"),
        "{error}"
    );
}

#[test]
fn several_tors_may_share_the_work() {
    let count = |config: Config| config.tors.unwrap().places().len();
    assert_eq!(count(with("tor: /run/tor/control\n").unwrap()), 1);
    assert_eq!(count(with("tor: [/run/tor/control, '[::1]:9051']\n").unwrap()), 2);
    let many =
        (0..=MAX_TORS).fold(String::from("tor:\n"), |list, number| format!("{list}- /run/tor/{number}\n"));
    for (text, wanted) in [
        ("tor: []\n", "tor: the list of tors is empty"),
        ("tor: 9051\n", "tor: the address is missing"),
        ("tor: [/run/tor/control, 9051]\n", "tor[1]: the address is missing"),
        ("tor: [/run/tor/control, 'unix:/run/tor/control']\n", "tor: a tor is listed twice"),
        ("tor: {a: b}\n", "tor: invalid type: map, expected the path of a control socket"),
        (&many, "tor: there are more than 32 tors"),
    ] {
        let error = with(text).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let config = with("tor: /run/tor/control\nTOR_PORT: 9051\n").unwrap();
    assert!(config.warnings[0].contains("have no effect, because `tor` is set"), "{:?}", config.warnings);
}

/// Onionbalance 0.1.8 took services without instances, because the backends of a deployment may come later.
#[test]
fn a_service_may_have_no_instances_yet() {
    let other = format!("- key: other\n  instances:\n  - address: {ADDRESS}\n");
    for none in ["", "  instances:\n", "  instances: []\n", "  instances: ~\n", "  instances: null\n"] {
        let text = format!("services:\n- key: k\n{none}{other}");
        let config = parse(&text).unwrap();
        assert_eq!(config.services[0].instances, Instances::None, "{none:?}");
        let said = config.without_instances(&text, Path::new("config.yaml"));
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert!(
            said.to_string().starts_with("config.yaml:2: the service with the key k has no instances"),
            "{said}"
        );
    }
}

#[test]
fn what_the_two_programs_cannot_tell_each_other_is_refused_by_its_line() {
    let services = |count: usize| -> String {
        (0..count).fold("services:\n".to_owned(), |text, number| text + &format!("- key: {number}.pem\n"))
    };
    assert_eq!(parse(&services(MAX_SERVICES)).unwrap().services.len(), MAX_SERVICES);
    let error = parse(&services(MAX_SERVICES + 1)).unwrap_err();
    assert!(error.starts_with("config.yaml:10002: there are 10001 services"), "{error}");

    let instances = |count| {
        format!("services:\n- key: k\n  instances:\n{}", format!("  - address: {ADDRESS}\n").repeat(count))
    };
    assert_eq!(parse(&instances(MAX_INSTANCES)).unwrap().services[0].instances.count(), MAX_INSTANCES);
    let error = parse(&instances(MAX_INSTANCES + 1)).unwrap_err();
    assert!(error.starts_with("config.yaml:4100: "), "{error}");
    assert!(error.contains("more than 4096 instances"), "{error}");

    let error = parse(&format!("services:\n- key: {}\n", "k".repeat(MAX_KEY_LENGTH + 1))).unwrap_err();
    assert!(error.starts_with("config.yaml:2: a key has more than 4096 bytes"), "{error}");
}

use std::fs;

use onionbalance_proto::config::ProbeKind;
use onionbalance_proto::wire::{Held, HeldService};
use onionbalance_proto::{v2, v3};
use tempfile::TempDir;

use super::*;
use crate::engine::BackendId;

const V2: &str = "jyvfq5umznvka34v";
const V2_FRONT: &str = "7s4hxwwifcslrus2";
const V3: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
const V3_FRONT: &str = "y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad";

struct Place {
    directory: TempDir,
    configuration: Configuration,
}

fn place(text: &str) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    fs::write(&path, text).unwrap();
    let configuration = Configuration::read(&path).unwrap();
    Place { directory, configuration }
}

/// A v2 service and a v3 service, each with additional lines.
fn services(v2: &str, v3: &str) -> String {
    format!(
        "services:\n- key: old\n{v2}  instances:\n  - address: {V2}\n    auth: dCmx3qIvArbil8A0KM4KgQ==\n  - address: {V2}\n\
         - key: new\n{v3}  instances:\n  - address: {V3}\n"
    )
}

fn held_v2(key: &str) -> HeldService {
    let backends = vec![V2.parse().unwrap()];
    HeldService::V2(Held { key: key.into(), address: V2_FRONT.parse().unwrap(), backends })
}

fn held_v3(key: &str) -> HeldService {
    let backends = vec![V3.parse().unwrap()];
    let held = Held { key: key.into(), address: V3_FRONT.parse().unwrap(), backends };
    HeldService::V3 { held, delegation_ends: None }
}

#[test]
fn frontends_are_sorted_by_version_and_each_may_have_its_own_tor() {
    let text = services("  tor: old/control\n  tor-control-password: hush\n", "  tor: 127.0.0.1:9151\n");
    let place = place(&text);
    let frontends = place.configuration.frontends(&[held_v3("new"), held_v2("old")]).unwrap();
    let [old] = frontends.v2.as_slice() else { panic!("one v2 service") };
    assert_eq!(old.address, V2_FRONT.parse::<v2::OnionAddress>().unwrap());
    let [backend] = old.backends.as_slice() else { panic!("each address once") };
    assert!(backend.address.without_suffix() == V2 && backend.auth.is_some());
    let tors = TorPool {
        endpoints: vec![Endpoint::Unix(place.directory.path().join("old/control"))],
        password: Some(Password::new("hush".into())),
    };
    assert_eq!(old.tors, Some(tors));

    let [new] = frontends.v3.as_slice() else { panic!("one v3 service") };
    assert_eq!(new.backends, [V3.parse().unwrap()]);
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".parse().unwrap(), port: 9151 };
    assert_eq!(new.tors, Some(TorPool { endpoints: vec![endpoint], password: None }));
    assert!(!format!("{frontends:?}").contains("hush"));
}

#[test]
fn the_host_of_a_probe_is_the_frontend_unless_it_is_named() {
    let probe = |check: &str| {
        let place = place(&services("", &format!("  health-check: {check}\n")));
        let frontends = place.configuration.frontends(&[held_v2("old"), held_v3("new")]).unwrap();
        assert!(frontends.v2[0].checks.is_empty());
        let (backend, check) = frontends.v3[0].checks.first_key_value().unwrap();
        assert_eq!(*backend, BackendId::of(&V3.parse::<v3::OnionAddress>().unwrap()));
        match &check.kind {
            ProbeKind::Http(probe) => probe.host.clone(),
            ProbeKind::Connect => None,
        }
    };
    assert_eq!(probe("{kind: connect}"), None);
    assert_eq!(probe("{kind: http, host: shop.example}").as_deref(), Some("shop.example"));
    let address: v3::OnionAddress = V3_FRONT.parse().unwrap();
    assert_eq!(probe("{kind: http}"), Some(address.to_string()));
}

#[test]
fn only_health_checks_need_a_socks_port() {
    let need = |check: &str, keys: &str| {
        let text =
            format!("services:\n- key: k\n  health-check: {check}\n  instances: [{{address: {V3}}}]\n{keys}");
        place(&text).configuration.socks_need()
    };
    let connect = "{kind: connect}";
    assert_eq!(need("off", ""), SocksNeed::None);
    assert_eq!(need("off", "tor-socks-location: 127.0.0.1:9050\n"), SocksNeed::None);
    assert_eq!(need(connect, ""), SocksNeed::AnyPort(HEALTH_CHECKS));
    assert_eq!(need(connect, "tor-socks-location: 127.0.0.1:9050\n"), SocksNeed::Port(9050));
    assert_eq!(need(connect, "tor-socks-location: unix:socks\n"), SocksNeed::None);
    let auth = "backends with `auth` are fetched through";
    assert_eq!(place(&services("", "")).configuration.socks_need(), SocksNeed::AnyPort(auth));
}

#[test]
fn a_service_whose_key_the_signer_does_not_hold_is_left_out_and_named_by_its_line() {
    let place = place(&services("", ""));
    let cases = [
        (vec![held_v2("old")], 7, "the signer does not hold the key new"),
        (
            vec![held_v2("old"), held_v2("new")],
            7,
            "the instances of new are v3 onion services, but the signer holds a v2 key",
        ),
        (
            vec![held_v3("old"), held_v3("new")],
            2,
            "the instances of old are v2 onion services, but the signer holds a v3 key",
        ),
    ];
    for (held, line, wanted) in cases {
        let frontends = place.configuration.frontends(&held).unwrap();
        let Some(error) = frontends.left_out.last() else { panic!("nothing is left out") };
        assert_eq!(error.line, Some(line), "{error}");
        assert!(error.what.starts_with(wanted), "{error}\nwanted {wanted}");
    }
}

#[test]
fn a_backend_that_the_signer_does_not_allow_is_left_out_and_named() {
    let place = place(&services("", ""));
    let mut other = held_v3("new");
    if let HeldService::V3 { held, .. } = &mut other {
        held.backends.clear();
    }
    let frontends = place.configuration.frontends(&[other, held_v2("old")]).unwrap();
    assert!(frontends.v3[0].backends.is_empty());
    assert_eq!(frontends.v2[0].backends.len(), 1);
    let [left_out] = frontends.left_out.as_slice() else { panic!("one is left out") };
    assert_eq!(left_out.line, Some(7));
    assert!(left_out.what.contains(V3) && left_out.what.contains("SIGHUP"), "{left_out}");
}

#[test]
fn a_frontend_that_is_its_own_backend_is_an_error_with_the_line() {
    let place = place(
        &services("", "").replace(&format!("{V3}\n"), &format!("{V3}\n  - address: {V3_FRONT}.onion\n")),
    );
    let error = place.configuration.frontends(&[held_v2("old"), held_v3("new")]).unwrap_err();
    assert_eq!(error.line, Some(10), "{error}");
    assert!(error.what.starts_with(V3_FRONT), "{error}");
}

#[test]
fn frontends_in_a_circle_are_an_error_of_either_version() {
    let text = |v2: &str, v3: &str| {
        format!(
            "services:\n- key: old\n  instances:\n  - address: {V2}\n- key: new\n  instances:\n  - address: {V3}\n\
             - key: older\n  instances:\n  - address: {v2}\n- key: newer\n  instances:\n  - address: {v3}\n"
        )
    };
    let mut held = vec![held_v2("old"), held_v3("new"), held_v2("older"), held_v3("newer")];
    for service in held.iter_mut().skip(2) {
        match service {
            HeldService::V2(held) => held.address = V2.parse().unwrap(),
            HeldService::V3 { held, .. } => held.address = V3.parse().unwrap(),
        }
    }
    let told =
        |v2: &str, v3: &str| place(&text(v2, v3)).configuration.frontends(&held).map_err(|error| error.what);
    let [old, new] = [V2_FRONT, V3_FRONT];
    let [other, another] = ["lijeinqkg3odt3fl", "srpuoce7jsi7v3hptfzjmayeaeja3ut6komozgkt7rssjgva6rry57qd"];
    assert!(
        told(old, another)
            .unwrap_err()
            .starts_with("the frontends with the keys old and older are backends of")
    );
    assert!(
        told(other, new)
            .unwrap_err()
            .starts_with("the frontends with the keys new and newer are backends of")
    );
    // A frontend may be another one's backend, if not also the other way round.
    assert!(told(other, another).is_ok());
}

#[test]
fn the_key_tells_the_version_of_a_service_without_instances() {
    let place = place("services:\n- key: old\n- key: new\n  instances: []\n");
    let frontends = place.configuration.frontends(&[held_v2("old"), held_v3("new")]).unwrap();
    assert_eq!((frontends.v2[0].backends.len(), frontends.v3[0].backends.len()), (0, 0));
    assert_eq!(frontends.left_out, []);
}

#[test]
fn keys_that_are_read_at_the_start_only_are_named_when_they_change() {
    let running = place(&services("", ""));
    let differs = |more: &str| {
        let next = place(&format!("{}{more}", services("", "")));
        next.configuration.differs_lastingly(&running.configuration)
    };
    let nothing: [&str; 0] = [];
    let changeable = "refresh: 20\nTOR_PORT: 9151\ntor-control-password: other\nLOG_LEVEL: debug\n";
    assert_eq!(differs(changeable), nothing);
    for (more, key) in [
        ("signer-socket-location: /socket\n", "signer-socket-location"),
        ("refresh: 20\nstatus-socket-location: /socket\n", "status-socket-location"),
        ("refresh: 20\ncontrol-socket-location: /socket\n", "control-socket-location"),
        ("refresh: 20\nstatus-socket-group: monitor\n", "status-socket-group"),
        ("refresh: 20\nstatus-socket-mode: 0600\n", "status-socket-mode"),
        ("metrics-listen: 127.0.0.1:9926\n", "metrics-listen"),
        ("STATUS_SOCKET_LOCATION: /socket\n", "STATUS_SOCKET_LOCATION"),
        ("state-file-location: state\n", "state-file-location"),
        ("user: nobody\n", "user"),
        ("LOG_LOCATION: log\n", "LOG_LOCATION"),
    ] {
        assert_eq!(differs(more), [key]);
    }
}

#[test]
fn the_status_is_shown_where_and_how_its_reader_expects_it() {
    let v2 = format!("services:\n- key: old\n  instances:\n  - address: {V2}\n");
    let mixed = services("", "");
    let shown = |text: &str, keys: &str, variable: Option<&str>| -> Vec<(String, StatusForm)> {
        let place = place(&format!("{text}{keys}"));
        let places = place.configuration.status(variable.map(PathBuf::from), None).into_iter();
        let name = |path: PathBuf| match path.strip_prefix(place.directory.path()) {
            Ok(inside) => inside.display().to_string(),
            Err(_) => path.display().to_string(),
        };
        places.map(|place| (name(place.path), place.form)).collect()
    };
    let text = |path: &str| (path.to_owned(), StatusForm::Text);
    let json = |path: &str| (path.to_owned(), StatusForm::Json);

    assert_eq!(shown(&mixed, "", None), []);
    assert_eq!(shown(&mixed, "", Some("/variable")), [json("/variable")]);
    assert_eq!(shown(&v2, "", Some("/variable")), [text("/variable")]);
    // 0.1.8 gave the file precedence over the variable, the 0.2 series the variable over the file.
    assert_eq!(shown(&v2, "STATUS_SOCKET_LOCATION: file\n", Some("/variable")), [text("file")]);
    assert_eq!(shown(&mixed, "STATUS_SOCKET_LOCATION: file\n", None), [text("file")]);
    assert_eq!(shown(&v2, "status-socket-location: file\n", None), [json("file")]);
    assert_eq!(shown(&v2, "status-socket-location: file\n", Some("/variable")), [json("/variable")]);
    let both = "STATUS_SOCKET_LOCATION: text\nstatus-socket-location: json\n";
    assert_eq!(shown(&mixed, both, None), [text("text"), json("json")]);
    let metrics = |place: &str| format!("{both}metrics-listen: {place}\n");
    assert_eq!(shown(&mixed, &metrics("./json"), None), [text("text"), json("json")]);
    assert_eq!(shown(&mixed, &metrics("./more"), None), [text("text"), json("json"), json("more")]);
    assert_eq!(shown(&mixed, &metrics("127.0.0.1:9926"), None), [text("text"), json("json")]);
}

#[test]
fn the_service_managers_directory_has_the_status_as_json_unless_another_place_is_named() {
    let shown = |keys: &str| {
        let place = place(&format!("{}{keys}", services("", "")));
        place.configuration.status(None, Some("/run/onionbalance-status".into()))
    };
    let usual = StatusPlace { path: "/run/onionbalance-status/status.sock".into(), form: StatusForm::Json };
    let text = StatusPlace { path: "/text".into(), form: StatusForm::Text };
    assert_eq!(shown("STATUS_SOCKET_LOCATION: /text\n"), [text, usual.clone()]);
    assert_eq!(shown(""), [usual]);
    let named = StatusPlace { path: "/named".into(), form: StatusForm::Json };
    assert_eq!(shown("status-socket-location: /named\n"), [named]);
}

#[test]
fn commands_are_taken_beside_the_status_or_where_the_file_says() {
    let taken = |keys: &str, directory: Option<&str>| {
        let place = place(&format!("{}{keys}", services("", "")));
        let control = place.configuration.control(None, directory.map(PathBuf::from));
        control.map(|control| (control.path.display().to_string(), control.is_named))
    };
    let beside = |path: &str| Some((path.to_owned(), false));
    assert_eq!(taken("", Some("/run/onionbalance-status")), beside("/run/onionbalance-status/control.sock"));
    assert_eq!(taken("status-socket-location: /a/status\n", Some("/run")), beside("/a/control.sock"));
    assert_eq!(taken("", None), None);
    assert_eq!(taken("STATUS_SOCKET_LOCATION: /a/text\n", None), None);
    assert_eq!(taken("status-socket-location: /a/control.sock\n", None), None);
    let named = "status-socket-location: /a/status\ncontrol-socket-location: /b/control\n";
    assert_eq!(taken(named, Some("/run")), Some(("/b/control".to_owned(), true)));
}

#[test]
fn relative_paths_start_from_the_files_directory() {
    let keys = "LOG_LOCATION: log\nTOR_CONTROL_SOCKET: control\nsigner-socket-location: signer\n";
    let place = place(&format!("{}{keys}", services("", "")));
    let inside = |name: &str| place.directory.path().join(name);
    assert_eq!(place.configuration.log().location, Some(inside("log")));
    let socket = place.configuration.tor().socket.unwrap();
    assert_eq!(socket.path(), inside("control"));
    assert_eq!(place.configuration.signer(), SignerPlace::Socket(inside("signer")));
}

#[test]
fn the_state_is_kept_where_the_file_or_the_service_manager_says() {
    let nowhere = place(&services("", ""));
    assert_eq!(nowhere.configuration.state_file(None), None);
    let directory = || Some(PathBuf::from("/var/lib/onionbalance"));
    assert_eq!(
        nowhere.configuration.state_file(directory()),
        Some("/var/lib/onionbalance/state.json".into())
    );
    let named = place(&format!("{}state-file-location: state\n", services("", "")));
    assert_eq!(named.configuration.state_file(directory()), Some(named.directory.path().join("state")));
}

#[test]
fn the_password_in_the_environment_goes_before_the_one_in_the_file() {
    let place = place(&format!("{}tor-control-password: file\n", services("", "")));
    let password = |variable: Option<&str>| place.configuration.control_password(variable.map(str::to_owned));
    assert_eq!(password(None), Some(Password::new("file".into())));
    assert_eq!(password(Some("variable")), Some(Password::new("variable".into())));
}

#[test]
fn an_address_is_replaced_by_its_name_or_its_place() {
    let text = services("", "  name: shop\n") + "    name: web1\n";
    let labels = place(&text).configuration.labels(&[held_v2("old"), held_v3("new")]);
    let wanted = [(V2_FRONT, "s1"), (V3_FRONT, "shop"), (V2, "b1"), (V3, "web1")];
    assert_eq!(labels, wanted.map(|(address, label)| (address.to_owned(), label.to_owned())).into());
    // The first backends of two services have the same place.
    let labels = place(&services("", "  name: wiki\n")).configuration.labels(&[]);
    assert_eq!((labels[V2].as_str(), labels[V3].as_str()), ("b1 (s1)", "b1 (wiki)"));
}

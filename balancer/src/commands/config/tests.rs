//! The files of made-up deployments, and the plans that options and answers make.

use std::path::PathBuf;

use clap::Parser;
use onionbalance_proto::config::{Address, Config};

use super::deployment::Deployment;
use super::kernel::Kernel;
use super::plan::{Form, Protection};
use super::*;
use crate::commands::golden::assert_golden;

const FRONTEND: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
const FRONTEND_V2: &str = "kmgoyykafs6v6st5.onion";
const WEB1: &str = "y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad.onion";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: ConfigOptions,
}

fn options(line: &str) -> ConfigOptions {
    let words = std::iter::once("config").chain(line.split_whitespace());
    Line::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).options
}

fn planned(line: &str) -> Result<Plan, String> {
    wizard::plan(&options(line)).map_err(|problem| problem.to_string())
}

/// The deployment of these options on a machine with this kernel.
fn deployment(line: &str, kernel: Kernel) -> Deployment {
    let plan = planned(line).unwrap();
    let addresses = [FRONTEND, WEB1].map(|address| address.parse::<Address>().unwrap());
    let addresses = addresses.into_iter().take(plan.services.len()).collect();
    Deployment { plan, addresses, machine: Machine { kernel } }
}

fn is_golden(name: &str, text: &str) {
    assert_golden(Path::new("config/golden").join(name), text);
}

#[test]
fn the_files_of_a_usual_deployment() {
    let deployment = deployment("", Kernel::of("6.1.0-28-amd64", "quiet"));
    let (service, address) = deployment.services().next().unwrap();
    let backend = &service.backends[0];
    is_golden("usual-config.yaml", &yaml::render(&deployment));
    is_golden("usual-README", &readme::render(&deployment, Path::new("/root/onionbalance-setup")));
    is_golden("usual-backend.sh", &backend::install(backend, service, address));
    is_golden("usual-here.sh", &here::script(&deployment));
    is_golden("usual-torrc", &backend::torrc(backend, service, address));
    is_golden("usual-summary", &wizard::summary(&deployment.plan));
}

/// Of two backends, one has an address already.
#[test]
fn the_files_of_a_deployment_with_keys_of_backends() {
    let line = format!("--with-backend-keys --backends web1={FRONTEND},web2");
    let mut deployment = deployment(&line, Kernel::of("6.12.57", ""));
    is_golden("keys-summary", &wizard::summary(&deployment.plan));
    let backend = &mut deployment.plan.services[0].backends[1];
    (backend.address, backend.has_key) = (Some(WEB1.parse().unwrap()), true);
    is_golden("keys-README", &readme::render(&deployment, Path::new("/root/onionbalance-setup")));
    is_golden("keys-config.yaml", &yaml::render(&deployment));
    let (service, address) = deployment.services().next().unwrap();
    is_golden("keys-backend.sh", &backend::install(&service.backends[1], service, address));
}

#[test]
fn the_files_of_a_first_try_of_two_services() {
    let line = "--first-try --plain -s 2 --tag shop -n 1 --service-virtual-port 443";
    let deployment = deployment(line, Kernel::of("6.12.57", ""));
    is_golden("two-config.yaml", &yaml::render(&deployment));
    is_golden("two-README", &readme::render(&deployment, Path::new("/home/an operator/try")));
    is_golden("two-summary", &wizard::summary(&deployment.plan));
}

#[test]
fn the_backends_of_a_v2_service_need_no_ob_config() {
    let mut deployment = deployment("--hs-version v2 -n 1", Kernel::default());
    deployment.addresses = vec![FRONTEND_V2.parse().unwrap()];
    let (service, address) = deployment.services().next().unwrap();
    let script = backend::install(&service.backends[0], service, address);
    assert!(!script.contains("ob_config") && script.contains("\nHiddenServiceVersion 2\n"), "{script}");
    assert!(!script.contains('@') || script.contains("$@"), "{script}");
}

#[test]
fn a_configuration_is_valid_once_it_has_the_addresses() {
    let text = yaml::render(&deployment("", Kernel::default()));
    let parse = |text: &str| Config::parse(text, Path::new("config.yaml")).map_err(|error| error.to_string());
    let missing = parse(&text).unwrap_err();
    assert!(
        missing.contains("config.yaml:6: ") && missing.contains("in the place of `<address of web1>`"),
        "{missing}"
    );
    assert_eq!(yaml::missing(&text), ["web1", "web2"]);

    let backends = |list: &str| list.split(',').map(|part| part.parse().unwrap()).collect::<Vec<Backend>>();
    let fill =
        |text: &str, list: &str| yaml::fill(text, &backends(list)).map_err(|problem| problem.to_string());
    let one = fill(&text, &format!("web1={WEB1}")).unwrap();
    assert_eq!(yaml::missing(&one), ["web2"]);
    assert_eq!(fill(&one, &format!("web1={WEB1}")), Ok(one.clone()));
    let both = fill(&one, &format!("web2={FRONTEND}")).unwrap();
    assert_eq!(parse(&both).unwrap().services[0].instances.count(), 2);
    for (list, wanted) in [
        (format!("web1={FRONTEND}"), "there is no `<address of web1>`"),
        (format!("web3={FRONTEND}"), "there is no `<address of web3>`"),
        ("web2".to_owned(), "write web2=ADDRESS"),
    ] {
        let refused = fill(&one, &list).unwrap_err();
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for (line, wanted) in [
        ("-s 2 --key old", "--key has the key of one service"),
        ("-s 3 --backends a --backends b", "--backends is given 2 times for 3 services"),
        ("--backends a,b --backends c,A", "two backends have the name A"),
        ("--backends a=b", "a: an onion address has 56 characters"),
        ("--tag a/b", "a name begins with a letter"),
        ("--service-target web", "write ADDRESS:PORT"),
        ("--output /", "/ exists, and nothing is overwritten"),
    ] {
        let refused = planned(line).unwrap_err();
        assert!(refused.contains(wanted), "{line}: {refused}");
    }
}

/// The plan that these answers make, and the output.
fn answered(line: &str, answers: &str) -> (Result<Option<Plan>, String>, String) {
    let mut output = Vec::new();
    let mut dialogue = Dialogue::new(answers.as_bytes(), &mut output);
    let plan = wizard::ask(&options(line), &mut dialogue).map_err(|problem| problem.to_string());
    (plan, String::from_utf8(output).unwrap())
}

#[test]
fn enter_takes_the_plan_of_the_options() {
    for line in ["", "-s 3 -n 4 --tag a1 --first-try --plain", "--backends a,b --service-target 8080"] {
        let services = planned(line).unwrap().services.len();
        let (plan, output) = answered(line, &"\n".repeat(2 + 5 * services + 3));
        assert_eq!(plan.unwrap().as_ref(), planned(line).ok().as_ref(), "{output}");
    }
}

#[test]
fn answers_make_a_plan() {
    let lines = ["ob", "1", "shop", "", "one, two", "443", "", "try", "no", "y", ""];
    let (plan, output) = answered("", &lines.join("\n"));
    let plan = plan.unwrap().unwrap();
    assert_eq!((plan.form, &plan.protection), (Form::FirstTry, &Protection::Plain), "{output}");
    let [service] = &plan.services[..] else { panic!("{output}") };
    assert_eq!(
        (service.name.as_str(), service.target.as_str(), service.port.get()),
        ("shop", "127.0.0.1:443", 443)
    );
    assert_eq!(
        service.backends.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(plan.output, PathBuf::from("ob"));

    let refused = lines.join("\n").replace("\ny\n", "\nno\n");
    assert_eq!(answered("", &refused).0, Ok(None));
    let (ended, _) = answered("", "ob\n");
    assert!(ended.unwrap_err().contains("standard input ended"));
}

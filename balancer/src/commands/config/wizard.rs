//! The questions by which a plan comes about, and the plan that the options alone make.

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use super::dialogue::Dialogue;
use super::plan::{self, Backend, Form, MAX, Plan, Protection, Service};
use super::{Problem, tree};
use crate::cli::{ConfigOptions, HsVersion};

const NAME: &str = "web";
const NUMBER: u16 = 2;
const PORT: NonZeroU16 = NonZeroU16::new(80).unwrap();

/// The plan that the options and the defaults make. Fails if they do not fit together, or if something exists
/// at the place of the output.
pub(super) fn plan(options: &ConfigOptions) -> Result<Plan, Problem> {
    tree::must_be_absent(&options.output)?;
    let count = services_of(options)?;
    let services = (1..=count).map(|number| service(options, number, count)).collect::<Result<_, _>>()?;
    let plan = Plan {
        output: options.output.clone(),
        version: options.hs_version,
        form: if options.first_try { Form::FirstTry } else { Form::Units },
        protection: protection(options),
        makes_backend_keys: options.backend_keys.with_backend_keys,
        services,
    };
    plan.check()?;
    Ok(plan)
}

fn protection(options: &ConfigOptions) -> Protection {
    match &options.protection.passphrase_file {
        Some(file) => Protection::File(file.clone()),
        None if options.protection.plain => Protection::Plain,
        None => Protection::Asked,
    }
}

/// The number of services. Fails if it does not fit the lists of backends or the key.
fn services_of(options: &ConfigOptions) -> Result<u16, Problem> {
    let lists = u16::try_from(options.backends.len()).unwrap_or(u16::MAX);
    let count = options.services.unwrap_or(lists.max(1));
    if count > MAX || (lists > 0 && lists != count) {
        return Err(Problem::new(format_args!(
            "--backends is given {lists} times for {count} services: give it once for each"
        )));
    }
    if count > 1 && options.key.is_some() {
        return Err(Problem::new(format_args!(
            "--key has the key of one service, and there are {count}: each needs its own"
        )));
    }
    Ok(count)
}

fn service(options: &ConfigOptions, number: u16, count: u16) -> Result<Service, Problem> {
    let tag = plan::read_name(options.tag.as_deref().unwrap_or(NAME))?;
    let name = plan::service_name(&tag, number, count);
    let backends = match list_of(options, number) {
        Some(list) => plan::read_backends(&name, list)?,
        None => plan::backends(&name, options.number.unwrap_or(NUMBER)),
    };
    let port = options.service_virtual_port.unwrap_or(PORT);
    let target = match &options.service_target {
        Some(target) => plan::read_target(target)?,
        None => local(port),
    };
    Ok(Service { name, key: options.key.clone(), backends, port, target })
}

/// The list of backends that the options give for the service with this number, from 1 on.
fn list_of(options: &ConfigOptions, number: u16) -> Option<&String> {
    options.backends.get(usize::from(number).checked_sub(1)?)
}

/// This port on loopback.
fn local(port: NonZeroU16) -> String {
    format!("127.0.0.1:{port}")
}

/// Asks for everything; the options are the defaults. `None`: the person does not want the plan that the
/// answers make. Fails at the end of the answers.
pub(super) fn ask<R: BufRead, W: Write>(
    options: &ConfigOptions,
    dialogue: &mut Dialogue<R, W>,
) -> Result<Option<Plan>, Problem> {
    dialogue.say(
        "This sets up onion services, each with several backends. Enter takes the answer in brackets.\n\
         Nothing is written before you have confirmed it.\n\n",
    )?;
    let output = dialogue.ask("Directory to write", &options.output.display().to_string(), |text| {
        tree::must_be_absent(Path::new(text)).map(|()| PathBuf::from(text))
    })?;
    let mut services = Vec::new();
    let count = dialogue.ask("Number of services", &services_of(options)?.to_string(), |text| {
        text.parse()
            .ok()
            .filter(|count| (1..=MAX).contains(count))
            .ok_or_else(|| Problem::new(format_args!("write a number from 1 to {MAX}")))
    })?;
    for number in 1..=count {
        services.push(ask_service(options, dialogue, number, count)?);
    }
    let form = if options.first_try { Form::FirstTry } else { Form::Units };
    let form = choose(
        dialogue,
        "\nRun them under systemd, as two users, or try them by hand",
        &form,
        &[("systemd", Form::Units), ("try", Form::FirstTry)],
    )?;
    let protection = match protection(options) {
        file @ Protection::File(_) => file,
        default => {
            let answers = [("yes", Protection::Asked), ("no", Protection::Plain)];
            choose(dialogue, "Encrypt the keys with a passphrase", &default, &answers)?
        }
    };
    let (version, makes_backend_keys) = (options.hs_version, options.backend_keys.with_backend_keys);
    let plan = Plan { output, version, form, protection, makes_backend_keys, services };
    plan.check()?;
    dialogue.say(&format!("\n{}", summary(&plan)))?;
    let is_wanted = choose(dialogue, "Write this", &true, &[("yes", true), ("no", false)])?;
    Ok(is_wanted.then_some(plan))
}

fn ask_service<R: BufRead, W: Write>(
    options: &ConfigOptions,
    dialogue: &mut Dialogue<R, W>,
    number: u16,
    count: u16,
) -> Result<Service, Problem> {
    let default = service(options, number, count)?;
    dialogue.say(if count == 1 { "\n" } else { "\nThe next service.\n" })?;
    let name = dialogue.ask("Name of the service", &default.name, plan::read_name)?;
    let key = default.key.map(|key| key.display().to_string()).unwrap_or_default();
    let key = dialogue.ask("File with its key, or nothing for a new key", &key, |text| match text {
        "" => Ok(None),
        file if Path::new(file).try_exists().unwrap_or(true) => Ok(Some(PathBuf::from(file))),
        file => Err(Problem::new(format_args!("there is no {file}"))),
    })?;
    let list = list_of(options, number).cloned();
    let list = list.unwrap_or_else(|| options.number.unwrap_or(NUMBER).to_string());
    let backends = dialogue.ask("Number of its backends, or their names with commas", &list, |text| {
        plan::read_backends(&name, text)
    })?;
    let port = dialogue.ask("Port that visitors use", &default.port.to_string(), plan::read_port)?;
    let target = options.service_target.clone().unwrap_or_else(|| local(port));
    let target = dialogue.ask("Where each backend's server listens", &target, plan::read_target)?;
    Ok(Service { name, key, backends, port, target })
}

/// The value of the answer, one of these words or its beginning.
fn choose<T: Clone + PartialEq, R: BufRead, W: Write>(
    dialogue: &mut Dialogue<R, W>,
    question: &str,
    default: &T,
    answers: &[(&str, T)],
) -> Result<T, Problem> {
    let words = answers.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("/");
    let default = answers.iter().find(|(_, value)| value == default).map_or("", |(word, _)| word);
    dialogue.ask(&format!("{question} ({words})"), default, |text| {
        let mut fitting =
            answers.iter().filter(|(word, _)| !text.is_empty() && word.starts_with(&text.to_lowercase()));
        let value = fitting.next().map(|(_, value)| value.clone());
        value.ok_or_else(|| Problem::new(format_args!("write {}", words.replace('/', " or "))))
    })
}

/// The parts of the plan, for a person to confirm.
pub(super) fn summary(plan: &Plan) -> String {
    let protection = match &plan.protection {
        Protection::Plain => "not encrypted",
        Protection::Asked | Protection::File(_) => "encrypted",
    };
    let form = match plan.form {
        Form::Units => "to run under systemd, as two users",
        Form::FirstTry => "for a first try, as one user",
    };
    let version = match plan.version {
        HsVersion::V2 => ", version 2",
        HsVersion::V3 => "",
    };
    let mut text = format!("{}/, {form}\n", plan.output.display().to_string().trim_end_matches('/'));
    for service in &plan.services {
        let key = service.key.as_ref().map_or_else(
            || format!("a new key, {protection}"),
            |file| format!("the key of {}, {protection}", file.display()),
        );
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "  service {}{version}: {key}; visitors use port {}", service.name, service.port);
        for Backend { name, address, .. } in &service.backends {
            let known = match address {
                Some(address) => format!(" ({address})"),
                None if plan.makes_backend_keys => ", a new key, not encrypted".to_owned(),
                None => String::new(),
            };
            let _ = writeln!(text, "    backend {name}{known}: its server listens at {}", service.target);
        }
    }
    text + "\n"
}

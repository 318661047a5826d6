//! The manual pages: the options from the definitions of the command lines, the rest from `packaging/man/`.
//!
//! Each program and each of its commands has a page. A file of `packaging/man/` with the name of a page has
//! the sections that come after the options; a file with another name is a page without options.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::{fs, io};

use clap::builder::PossibleValue;
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::command_lines;

/// All pages, by their file names (`onionbalance.8`). `sections` is `packaging/man/`. `date` is at the foot
/// of each page: `YYYY-MM-DD`, or empty.
///
/// # Errors
/// A file of `sections` cannot be read.
pub fn pages(sections: &Path, date: &str) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut pages = BTreeMap::new();
    for mut program in command_lines() {
        program.build();
        let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
        for command in commands.cloned() {
            let name = format!("{}-{}", program.get_name(), command.get_name());
            let usage = format!("{} {}", program.get_name(), command.get_name());
            add(&mut pages, command.display_name(name).bin_name(usage), date)?;
        }
        add(&mut pages, program, date)?;
    }
    for entry in fs::read_dir(sections)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        let page = pages.entry(name.to_owned()).or_insert_with(|| title(name, date).into_bytes());
        page.extend(fs::read(&path)?);
    }
    Ok(pages)
}

/// Adds the page of one command, up to its options and commands.
fn add(pages: &mut BTreeMap<String, Vec<u8>>, command: Command, date: &str) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let file = format!("{name}.{}", section(&name));
    let mut page = title(&file, date).into_bytes();
    let commands = commands(&command, &name);
    let has_options = command.get_arguments().next().is_some();
    let man = Man::new(command.mut_args(with_values));
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_options {
        man.render_options_section(&mut page)?;
    }
    page.extend(commands.into_bytes());
    pages.insert(file, page);
    Ok(())
}

/// The argument with its possible values in its help, in one sentence.
fn with_values(argument: Arg) -> Arg {
    let described = |value: &PossibleValue| {
        let name = value.get_name();
        value.get_help().map_or_else(|| name.to_owned(), |help| format!("{name} ({help})"))
    };
    let values: Vec<String> = argument.get_possible_values().iter().map(described).collect();
    let is_choice = !values.is_empty() && argument.get_action().takes_values();
    let help = argument.get_help().filter(|_| is_choice).map(ToString::to_string);
    match help {
        Some(help) => {
            argument.help(format!("{help}: {}", values.join("; "))).long_help(None).hide_possible_values(true)
        }
        None => argument,
    }
}

/// The section with the pages of the commands; empty if there are none.
fn commands(program: &Command, name: &str) -> String {
    let mut roff = Roff::new();
    let mut commands = program.get_subcommands().filter(|command| command.get_name() != "help").peekable();
    if commands.peek().is_none() {
        return String::new();
    }
    roff.control("SH", ["COMMANDS"]);
    for command in commands {
        let page = format!("{name}-{}", command.get_name());
        roff.control("TP", []);
        roff.control("BR", [page.as_str(), &format!("({})", section(&page))]);
        roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff.to_roff()
}

/// The section of the manual: 8 for what needs the balancer's or root's rights, 1 for what makes files.
fn section(name: &str) -> u8 {
    let makes_files = name.starts_with("onionbalance-key") || name == "onionbalance-config";
    if makes_files { 1 } else { 8 }
}

/// The line that begins a page and makes its head and foot.
fn title(file: &str, date: &str) -> String {
    let (name, section) = file.rsplit_once('.').unwrap_or((file, "8"));
    let manual = match section {
        "1" => "General Commands Manual",
        "5" => "File Formats Manual",
        _ => "System Manager's Manual",
    };
    let source = concat!("onionbalance ", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", [name, section, date, source, manual]);
    roff.to_roff()
}

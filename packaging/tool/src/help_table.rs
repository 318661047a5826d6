//! The help text of a program that reads its command line without clap, as a definition for clap's own tools.
//!
//! A text has a description, a line `Usage: …`, perhaps further paragraphs, and a table of the options: an
//! option with its value, two blanks or more, and its help, which may go on in the lines below.

use clap::{Arg, ArgAction, Command, ValueHint};

/// The command `name` with this help. A line of the table that does not begin with `-` and belongs to no
/// option is left out: it is about a command.
pub fn read(name: &'static str, help: &'static str) -> Command {
    let (about, rest) = help.split_once("\n\nUsage: ").unwrap_or((help, ""));
    let (usage, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let table = Table::read(rest);
    let long_about = [about, &table.text].map(str::trim).join("\n\n");
    let short = about.replace('\n', " ");
    let short = short.split(". ").next().and_then(|sentence| sentence.split(": ").next()).unwrap_or_default();
    Command::new(name)
        .about(short.trim_end_matches('.').to_owned())
        .long_about(long_about.trim().to_owned())
        .override_usage(usage.to_owned())
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(operand(usage))
        .args(table.options.into_iter().map(Row::argument))
}

/// The file that a command works on: the word of its usage before the options that is in capital letters.
fn operand(usage: &'static str) -> Option<Arg> {
    let words = usage.split(' ').skip(1).take_while(|word| !word.starts_with(['-', '[']));
    let name = words.into_iter().find(|word| matches!(*word, "FILE" | "SOURCE"))?;
    let operand = Arg::new("operand").value_name(name).value_hint(ValueHint::AnyPath);
    Some(operand.required(true).help("the key file"))
}

#[derive(Default)]
struct Table {
    /// The paragraphs between and behind the options.
    text: String,
    options: Vec<Row>,
}

/// One option of the table.
struct Row {
    /// `-o, --output FILE`.
    left: &'static str,
    help: String,
}

impl Table {
    fn read(lines: &'static str) -> Self {
        let mut table = Self::default();
        for line in lines.lines() {
            let word = line.trim_start();
            let is_indented = word.len() < line.len();
            if is_indented && word.starts_with('-') {
                let (left, help) = word.split_once("  ").unwrap_or((word, ""));
                table.options.push(Row { left, help: help.trim().to_owned() });
            } else if let (true, Some(row)) = (is_indented, table.options.last_mut()) {
                let between = if word.starts_with(char::is_uppercase) { ". " } else { " " };
                if !row.help.is_empty() {
                    row.help += between;
                }
                row.help += word;
            } else if !is_indented {
                table.text += line;
                table.text += "\n";
            }
        }
        table
    }
}

impl Row {
    fn argument(self) -> Arg {
        let (names, value) = match self.left.rsplit_once(' ') {
            Some((names, value)) if !value.starts_with('-') => (names, Some(value)),
            _ => (self.left, None),
        };
        let mut argument = Arg::new(names).help(self.help);
        for name in names.split(", ") {
            argument = match name.strip_prefix("--") {
                Some(long) => argument.long(long),
                None => argument.short(name.chars().nth(1)),
            };
        }
        let Some(value) = value else { return argument.action(ArgAction::SetTrue) };
        let is_path = matches!(value, "FILE" | "CONFIG");
        let argument = if is_path { argument.value_hint(ValueHint::AnyPath) } else { argument };
        argument.value_name(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
Writes a key
in a form. Prints the address.

Usage: key write FILE -o FILE [OPTIONS]

FILE is a key
of any form.

  new  make a key

  -o, --output FILE           the file; must
                              not exist
                              It is never overwritten.
      --plain                 do not encrypt
      --passphrase-file FILE
                              file with the passphrase
";

    #[test]
    fn a_help_text_is_a_definition() {
        let mut command = read("write", HELP);
        command.build();
        assert_eq!(command.get_about().unwrap().to_string(), "Writes a key in a form");
        let long = command.get_long_about().unwrap().to_string();
        assert_eq!(long, "Writes a key\nin a form. Prints the address.\n\nFILE is a key\nof any form.");
        let shown: Vec<_> = command
            .get_arguments()
            .map(|argument| (argument.to_string(), argument.get_help().unwrap().to_string()))
            .collect();
        let shown: Vec<_> = shown.iter().map(|(name, help)| (name.as_str(), help.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("<FILE>", "the key file"),
                ("--output <FILE>", "the file; must not exist. It is never overwritten."),
                ("--plain", "do not encrypt"),
                ("--passphrase-file <FILE>", "file with the passphrase"),
            ]
        );
    }

    #[test]
    fn every_option_of_the_programs_has_its_help() {
        for command in crate::command_lines().iter_mut().skip(1) {
            command.build();
            let all = command.get_subcommands().chain([&*command]);
            for argument in all.flat_map(Command::get_arguments) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{} {argument}", command.get_name());
            }
        }
    }
}

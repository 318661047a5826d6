//! Questions and answers, a line each.

use std::io::{BufRead, Read, Write};

use super::Problem;

/// The most bytes of an answer: a path is no longer.
const MAX_LEN: u64 = 4096;
/// The number of times that one question is asked.
const TRIES: usize = 5;

/// A person, or a file with answers.
pub(super) struct Dialogue<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Dialogue<R, W> {
    /// A dialogue that reads answers from `input` and writes questions to `output`.
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    /// Writes this text. Fails if nobody reads it.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Problem> {
        let written = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        written.map_err(|error| Problem::new(format_args!("cannot write to standard output: {error}")))
    }

    /// The answer to this prompt, without blanks around it. Fails at the input's end.
    pub(super) fn line(&mut self, prompt: &str) -> Result<String, Problem> {
        self.say(prompt)?;
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_LEN).read_until(b'\n', &mut line);
        read.map_err(|error| Problem::new(format_args!("cannot read standard input: {error}")))?;
        if line.pop() != Some(b'\n') {
            return Err(Problem::new("standard input ended before the last question was answered"));
        }
        let line = String::from_utf8(line).map_err(|_| Problem::new("an answer is not UTF-8"))?;
        Ok(line.trim().to_owned())
    }

    /// The answer to this question as `read` reads it; an empty one is `default`. An answer that `read` does
    /// not accept is reported, and the question is asked again. Fails at the input's end, and after
    /// [`TRIES`] answers.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let prompt =
            if default.is_empty() { format!("{question}: ") } else { format!("{question} [{default}]: ") };
        for _ in 0..TRIES {
            let line = self.line(&prompt)?;
            match read(if line.is_empty() { default } else { &line }) {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.say(&format!("  {problem}\n"))?,
            }
        }
        Err(Problem::new(format_args!("no answer of {TRIES} was valid")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::config::plan::read_port;

    fn asked(input: &[u8]) -> (Result<u16, String>, String) {
        let mut output = Vec::new();
        let answer = Dialogue::new(input, &mut output).ask("Port", "80", read_port);
        let answer = answer.map(u16::from).map_err(|problem| problem.to_string());
        (answer, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_question_is_asked_until_the_answer_is_valid() {
        assert_eq!(asked(b"\n"), (Ok(80), "Port [80]: ".into()));
        let (answer, output) = asked(b"http\n 443 \r\n");
        assert_eq!(answer, Ok(443));
        assert_eq!(output, "Port [80]: \x20 write a port, from 1 to 65535\nPort [80]: ");
        for (input, wanted) in [
            (&b""[..], "standard input ended"),
            (b"443", "standard input ended"),
            (&[b'1'; 5000], "standard input ended"),
            (b"\xff\n", "not UTF-8"),
            (b"x\nx\nx\nx\nx\n443\n", "no answer of 5 was valid"),
        ] {
            let problem = asked(input).0.unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
    }
}

//! Sentences of comments, and what word lists can say of them.
//!
//! These are heuristics. They miss a clause that is a subject in the middle of a sentence ("…, and who asks
//! is told"), and they take some good sentences for bad ones ("When it ends the next one begins", without a
//! comma).

use crate::comments::Comment;

/// First words of a sentence whose subject is a clause, unless the sentence is a question.
const SUBJECTS: [&str; 7] = ["who", "whom", "whose", "whoever", "whomever", "what", "whatever"];

/// First words of a subject if no comma follows: with one they begin a condition ("When it ends, the next
/// begins").
const CONDITIONS: [&str; 4] = ["when", "whenever", "where", "wherever"];

/// A documentation comment of at most so many words is tiny.
const TINY: usize = 2;

/// A sentence of a comment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sentence {
    /// The number of the line in which it begins.
    pub line: usize,
    /// Its words, with one space between two.
    pub text: String,
}

impl Sentence {
    /// True if the sentence, or a part of it behind a semicolon, seems to have a clause as its subject.
    pub fn has_clause_as_subject(&self) -> bool {
        !self.text.ends_with('?') && self.text.split("; ").any(begins_with_clause)
    }
}

/// The sentences of a block of comment lines. Code between fences has none; each list item begins one.
pub fn sentences(block: &[Comment]) -> Vec<Sentence> {
    let mut sentences: Vec<Sentence> = Vec::new();
    let mut is_open = false;
    for (line, text) in prose(block) {
        let item = ["- ", "* ", "# ", "## "].iter().find_map(|marker| text.strip_prefix(marker));
        if text.is_empty() || item.is_some() {
            is_open = false;
        }
        for word in item.unwrap_or(text).split_whitespace() {
            match sentences.last_mut() {
                Some(sentence) if is_open => {
                    sentence.text.push(' ');
                    sentence.text.push_str(word);
                }
                _ => sentences.push(Sentence { line, text: word.into() }),
            }
            is_open = !ends_a_sentence(word);
        }
    }
    sentences
}

/// True if the block has one or two words.
pub fn is_tiny(block: &[Comment]) -> bool {
    (1..=TINY).contains(&block.iter().flat_map(|comment| comment.text.split_whitespace()).count())
}

/// The lines outside of code fences; a fence counts as an empty line.
fn prose(block: &[Comment]) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    block.iter().filter_map(move |comment| {
        let text = comment.text.trim();
        if text.starts_with("```") {
            is_code = !is_code;
            return Some((comment.line, ""));
        }
        (!is_code).then_some((comment.line, text))
    })
}

fn ends_a_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '”', ')', '*', '_', '`']);
    bare.ends_with(['.', '?', '!']) && !["e.g.", "i.e."].contains(&bare.trim_start_matches(['(', '"']))
}

fn begins_with_clause(text: &str) -> bool {
    let Some(first) = text.split_whitespace().next() else { return false };
    let word = first.trim_matches(['(', '"', '“', '*', '_', ',', ':', '.', ')']).to_lowercase();
    SUBJECTS.contains(&word.as_str()) || CONDITIONS.contains(&word.as_str()) && !text.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comments::Layout;

    fn read(text: &str) -> Vec<Sentence> {
        sentences(&Layout::read(text).unwrap().comments)
    }

    fn has_clause(text: &str) -> bool {
        let [sentence] = &read(&format!("// {text}"))[..] else { panic!("not one sentence: {text}") };
        sentence.has_clause_as_subject()
    }

    #[test]
    fn finds_sentences_and_their_lines() {
        let found = read(
            "/// One sentence\n/// in two lines. Another (e.g. this one.)\n///\n/// - an item\n/// - what\n///   it is\n/// ```\n/// what code\n/// ```\n/// The end",
        );
        let found: Vec<_> = found.iter().map(|sentence| (sentence.line, sentence.text.as_str())).collect();
        assert_eq!(
            found,
            [
                (1, "One sentence in two lines."),
                (2, "Another (e.g. this one.)"),
                (4, "an item"),
                (5, "what it is"),
                (10, "The end"),
            ]
        );
    }

    #[test]
    fn finds_a_clause_as_subject() {
        for text in [
            "What it says it stored and does not have.",
            "Whose.",
            "Whoever asks is told.",
            "(Who may ask.)",
            "Where it lies.",
            "When to look again",
            "The signer asks; who does not answer is dropped.",
        ] {
            assert!(has_clause(text), "{text}");
        }
    }

    #[test]
    fn leaves_nouns_conditions_and_questions_alone() {
        for text in [
            "The HSDir lacks what it acknowledged.",
            "When it ends, the next one begins.",
            "Where two are equal, the newer one wins.",
            "What is asked?",
            "`what` is a word.",
            "Whatsoever.",
            "Somebody who asks is told.",
        ] {
            assert!(!has_clause(text), "{text}");
        }
    }

    #[test]
    fn finds_tiny_docs() {
        for (text, tiny) in
            [("/// Whose.", true), ("/// Its age.", true), ("/// The address.\n/// More.", false)]
        {
            assert_eq!(is_tiny(&Layout::read(text).unwrap().comments), tiny, "{text}");
        }
    }
}

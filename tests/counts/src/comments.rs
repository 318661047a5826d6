//! The comments of a file, and the lines with code.
//!
//! A parser of Rust drops plain comments. Between two tokens is nothing but white space and comments, so the
//! comments are found by the tokens' places, whatever the strings between them hold.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter;
use std::ops::Range;

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};

/// The readers that a comment is written for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `//!`: documentation of what is around it.
    Inner,
    /// `///`: documentation of the item below it.
    Outer,
    /// `//`: for readers of the source only.
    Plain,
}

/// One line of a comment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Comment {
    /// The line's number in its file, from 1.
    pub line: usize,
    /// The readers that it is written for.
    pub kind: Kind,
    /// The text after the marker, with its indentation.
    pub text: String,
    /// The number of characters before the marker.
    pub column: usize,
    /// The number of characters in the whole line.
    pub width: usize,
}

/// The lines of a file with code, and those with comments.
#[derive(Debug, Default)]
pub struct Layout {
    /// Numbers of the lines with code, from 1.
    pub code: BTreeSet<usize>,
    /// All lines of comments, in order.
    pub comments: Vec<Comment>,
}

impl Layout {
    /// Finds code and comments in a file. Fails if the text does not consist of Rust's tokens.
    pub fn read(text: &str) -> Result<Self> {
        let stream: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
        let mut places = Vec::new();
        find_places(stream, &mut places);
        // The tokens of a documentation comment all begin in it: the longest is the whole comment.
        places.sort_unstable_by_key(|place| (place.start, Reverse(place.end)));
        let lines = Lines::new(text);
        let mut layout = Self::default();
        let mut end = 0;
        for place in places.into_iter().chain(iter::once(text.len()..text.len())) {
            layout.add_comments(&lines, end..place.start);
            if place.start >= end {
                let token = text.get(place.clone()).unwrap_or_default();
                if token.starts_with("//") || token.starts_with("/*") {
                    layout.add_comments(&lines, place.clone());
                } else if !token.is_empty() {
                    layout.code.extend(lines.number(place.start)..=lines.number(place.end - 1));
                }
            }
            end = end.max(place.end);
        }
        Ok(layout)
    }

    fn add_comments(&mut self, lines: &Lines<'_>, place: Range<usize>) {
        let Some(gap) = lines.text.get(place.clone()) else { return };
        let mut start = place.start;
        for piece in gap.split_inclusive('\n') {
            let marked = piece.trim();
            if !marked.is_empty() {
                let indentation = piece.len() - piece.trim_start().len();
                self.comments.push(lines.comment(start + indentation, marked));
            }
            start += piece.len();
        }
    }
}

/// Consecutive lines of one comment.
pub fn blocks(comments: &[Comment]) -> impl Iterator<Item = &[Comment]> {
    comments.chunk_by(|a, b| a.line + 1 == b.line && a.kind == b.kind && a.column == b.column)
}

/// Appends the places of all tokens, delimiters included.
fn find_places(stream: TokenStream, places: &mut Vec<Range<usize>>) {
    for token in stream {
        if let TokenTree::Group(group) = token {
            places.push(group.span_open().byte_range());
            places.push(group.span_close().byte_range());
            find_places(group.stream(), places);
        } else {
            places.push(token.span().byte_range());
        }
    }
}

/// A text with the places at which its lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(place, _)| place + 1);
        Self { text, starts: [0].into_iter().chain(ends).collect() }
    }

    /// The number of the line that has this byte, from 1.
    fn number(&self, place: usize) -> usize {
        self.starts.partition_point(|&start| start <= place)
    }

    fn comment(&self, place: usize, marked: &str) -> Comment {
        let line = self.number(place);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let whole = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = self.text.get(start..place).unwrap_or_default().chars().count();
        let (kind, text) = if let Some(text) = marked.strip_prefix("//!") {
            (Kind::Inner, text)
        } else if let Some(text) = marked.strip_prefix("///") {
            (Kind::Outer, text)
        } else {
            (Kind::Plain, marked.trim_start_matches("//"))
        };
        Comment { line, kind, text: text.into(), column, width: whole.chars().count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_comments_of_each_kind() {
        let text = "//! A head.\n\n// Plain.\n/// Two\n/// lines.\nfn a() {\n    b(\"// no comment\"); // after code\n}\n// Last.";
        let layout = Layout::read(text).unwrap();
        let found: Vec<_> = layout.comments.iter().map(|c| (c.line, c.kind, c.text.trim())).collect();
        assert_eq!(
            found,
            [
                (1, Kind::Inner, "A head."),
                (3, Kind::Plain, "Plain."),
                (4, Kind::Outer, "Two"),
                (5, Kind::Outer, "lines."),
                (7, Kind::Plain, "after code"),
                (9, Kind::Plain, "Last."),
            ]
        );
        assert_eq!(Vec::from_iter(layout.code), [6, 7, 8]);
        assert_eq!(layout.comments[4].width, 37);
        assert_eq!(blocks(&layout.comments).map(<[Comment]>::len).collect::<Vec<_>>(), [1, 1, 2, 1, 1]);
    }

    #[test]
    fn counts_a_text_of_several_lines_as_code() {
        let layout = Layout::read(
            "const A: &str = \"1\n// 2\n\n4\";\n\n// A comment with ünïcode.\nconst B: u8 = 1;\n",
        )
        .unwrap();
        assert_eq!(Vec::from_iter(layout.code), [1, 2, 3, 4, 7]);
        assert_eq!(layout.comments.len(), 1);
        assert_eq!((layout.comments[0].line, layout.comments[0].width), (6, 26));
    }

    #[test]
    fn refuses_what_is_not_rust() {
        assert!(Layout::read("fn a( {").is_err());
    }
}

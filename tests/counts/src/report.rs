//! The counts of all packages as tables.

use crate::counts::{Counts, List};
use crate::table;

/// The tables of all rows, each with its name.
pub fn report(rows: &[(String, Counts)]) -> String {
    let table = |heads: &[&str], cells: &dyn Fn(&Counts) -> Vec<String>| {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|(name, counts)| [vec![name.clone()], cells(counts)].concat()).collect();
        table::write(heads, &rows)
    };
    let size = table(
        &[
            "size",
            "code",
            "test code",
            "files",
            "median",
            "p90",
            "longest",
            "functions",
            "median",
            "p90",
            "longest",
        ],
        &|counts| {
            let code = counts.files.iter().sum::<usize>().to_string();
            let files = spread(&counts.files);
            [vec![code, counts.test_code.to_string()], files, spread(&counts.functions)].concat()
        },
    );
    let language = table(
        &["language", "comment lines", "clause subjects", "share", "tiny docs", "long docs"],
        &|counts| {
            let clauses = counts.number(List::Clauses);
            let numbers = [counts.comments, clauses, counts.number(List::Tiny), counts.number(List::Long)];
            let mut cells: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            cells.insert(2, percent(clauses, counts.comments));
            cells
        },
    );
    let docs = table(
        &[
            "docs and structure",
            "public docs",
            "fallible",
            "silent",
            "unsafe blocks",
            "circles",
            "with the parent",
        ],
        &|counts| {
            let (public, all) = counts.documented;
            let (silent, blocks) = (counts.number(List::Silent), counts.number(List::Unsafe));
            let numbers = [counts.fallible, silent, blocks, counts.circles, counts.hidden_circles];
            [vec![percent(public, all)], numbers.iter().map(ToString::to_string).collect()].concat()
        },
    );
    format!("{size}\n{language}\n{docs}")
}

/// The number of lengths, their median, 90th percentile and greatest; 0 for an empty list.
fn spread(lengths: &[usize]) -> Vec<String> {
    let mut ordered = lengths.to_vec();
    ordered.sort_unstable();
    let at =
        |percent: usize| ordered.get(ordered.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    [ordered.len(), at(50), at(90), at(100)].iter().map(ToString::to_string).collect()
}

/// A share with one decimal, such as `12.5 %`; `-` of nothing.
fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".into();
    }
    let thousandths = (part * 1000 + whole / 2) / whole;
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_line_for_each_row_of_each_table() {
        let rows = [("one".into(), Counts::default()), ("two".into(), Counts::default())];
        assert_eq!(report(&rows).lines().filter(|line| line.starts_with("two ")).count(), 3);
    }

    #[test]
    fn spreads_and_shares() {
        assert_eq!(spread(&[]), ["0", "0", "0", "0"]);
        assert_eq!(spread(&(1..=101).rev().collect::<Vec<_>>()), ["101", "51", "91", "101"]);
        assert_eq!((percent(1, 8).as_str(), percent(0, 0).as_str()), ("12.5 %", "-"));
    }
}

//! Tables with columns of equal width.

/// A table. Its last column is as wide as it needs to be.
pub(super) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Row>,
}

/// The side of a column at which its texts begin or end.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Side {
    Left,
    Right,
}

struct Row {
    mark: String,
    cells: Vec<String>,
}

/// The space between two columns.
const GAP: &str = "  ";
/// The longest text of a column but the last, in characters.
const LONGEST: usize = 24;

impl Table {
    /// A table with these heads.
    pub(super) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, with a mark of one character before it; a missing cell is empty.
    pub(super) fn row(&mut self, mark: String, cells: Vec<String>) {
        self.rows.push(Row { mark, cells });
    }

    /// The table as lines, each with a line end.
    pub(super) fn render(&self) -> String {
        let heads = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let head = Row { mark: " ".to_owned(), cells: heads };
        let rows = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| {
            let cells = rows().filter_map(|row| row.cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(LONGEST)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        rows().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &Row, widths: &[usize]) -> String {
        let last = self.columns.len().saturating_sub(1);
        let cells = self.columns.iter().zip(widths).zip(&row.cells).enumerate();
        let cells = cells.map(|(column, (((_, side), width), cell))| match (column == last, side) {
            (true, Side::Left) => cell.clone(),
            (false, Side::Left) => format!("{:<width$}", cut(cell, *width)),
            (_, Side::Right) => format!("{:>width$}", cut(cell, *width)),
        });
        let cells: Vec<String> = cells.collect();
        format!("{} {}", row.mark, cells.join(GAP)).trim_end().to_owned() + "\n"
    }
}

/// The first characters of `text`, with a full stop at the place where it is cut.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['.']).collect()
}

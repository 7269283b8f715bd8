//! Tables for people: text to the left, numbers to the right, no lines drawn.

use super::say;

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    Number(u64),
    /// A number as it is to be written.
    Figure(String),
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Text(text) | Cell::Figure(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
        }
    }
}

/// Prints a head and rows of as many cells.
pub fn print(head: &[Cell], rows: &[Vec<Cell>]) {
    lines(head, rows).iter().for_each(|line| say(line));
}

/// The lines of a table.
pub fn lines(head: &[Cell], rows: &[Vec<Cell>]) -> Vec<String> {
    let width = |column: usize| {
        let of = |row: &[Cell]| row.get(column).map_or(0, |cell| cell.text().len());
        rows.iter().map(|row| of(row)).chain([of(head)]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |column: usize| {
        rows.first().is_some_and(|row| matches!(row.get(column), Some(Cell::Number(_) | Cell::Figure(_))))
    };
    let line = |row: &[Cell]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let text = cell.text();
            if is_number(column) { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    std::iter::once(line(head)).chain(rows.iter().map(|row| line(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let text = |text: &str| Cell::Text(text.into());
        let head = [text("fault"), text("count")];
        let rows = [vec![text("cut"), Cell::Number(7)], vec![text("isolate"), Cell::Number(123_456)]];
        assert_eq!(lines(&head, &rows), ["fault     count", "cut           7", "isolate  123456"]);
    }
}

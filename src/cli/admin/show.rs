//! How results are written: a table of at most 80 columns, CSV, or the node's own JSON.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::cli::{WIDTH, wrapped};

/// Columns between two columns.
const GAP: usize = 2;
/// What a column of text is narrowed to before a table is given up for a list.
const NARROWEST_TEXT: usize = 12;

/// How to write results: for people; what the node said, in one line (a list as an array of
/// it); or with a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// `-o`.
#[derive(Clone, Copy, Debug, Args)]
pub struct FormatArgs {
    /// How to write the result; json is what the node said, in one line
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        global = true,
        display_order = 100
    )]
    pub output: Format,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    /// Aligned to the right and never broken.
    is_number: bool,
}

impl Column {
    pub const fn text(name: &'static str) -> Column {
        Column { name, is_number: false }
    }

    pub const fn number(name: &'static str) -> Column {
        Column { name, is_number: true }
    }
}

/// What is shown, line by line.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    pub fn new(columns: &[Column]) -> Rows {
        Rows { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn add(&mut self, row: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A table, or a list when the numbers leave no room for one. Ends with a line feed.
    pub fn table(&self) -> String {
        if self.fits() { self.as_table() } else { self.as_list() }
    }

    /// # Errors
    /// When it cannot be written.
    pub fn write_csv(&self, out: &mut dyn Write, with_header: bool) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        if with_header {
            writer.write_record(self.columns.iter().map(|column| column.name)).map_err(io::Error::other)?;
        }
        for row in &self.rows {
            writer.write_record(row).map_err(io::Error::other)?;
        }
        writer.flush()
    }

    fn width_of(&self, place: usize) -> usize {
        let header = self.columns[place].name.len();
        let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
        cells.fold(header, usize::max)
    }

    fn fits(&self) -> bool {
        let narrowest = |(place, column): (usize, &Column)| match column.is_number {
            true => self.width_of(place),
            false => self.width_of(place).min(NARROWEST_TEXT.max(column.name.len())),
        };
        let gaps = GAP * self.columns.len().saturating_sub(1);
        self.columns.iter().enumerate().map(narrowest).sum::<usize>() + gaps <= WIDTH
    }

    fn as_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(WIDTH as u16);
        table.set_header(self.columns.iter().map(|column| column.name));
        table.add_rows(self.rows.iter());
        let last = self.columns.len().saturating_sub(1);
        for (place, column) in self.columns.iter().enumerate() {
            let Some(shown) = table.column_mut(place) else { continue };
            shown.set_padding((0, if place < last { GAP as u16 } else { 0 }));
            if column.is_number {
                shown.set_cell_alignment(CellAlignment::Right);
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Each row as a paragraph: the first cell, then the others with their names.
    fn as_list(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mut cells = self.columns.iter().zip(row);
            if let Some((column, cell)) = cells.next() {
                text += &format!("{}\n", folded(&format!("{}: {cell}", column.name)));
            }
            let rest: Vec<String> = cells
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(column, cell)| format!("{}={cell}", column.name))
                .collect();
            text += &format!("{}\n", folded(&format!("  {}", rest.join(", "))));
        }
        text
    }
}

/// Lines of at most [`WIDTH`] columns, also when a word is longer than that.
pub fn folded(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        for line in wrapped(line).lines() {
            let letters: Vec<char> = line.chars().collect();
            match letters.is_empty() {
                true => lines.push(String::new()),
                false => lines.extend(letters.chunks(WIDTH).map(|part| part.iter().collect::<String>())),
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::text("sku"), Column::text("name"), Column::number("free")];

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_where_they_end() {
        let mut rows = Rows::new(&COLUMNS);
        rows.add(["MUG", "Mug", "7"]);
        rows.add(["TEE-RED-M", "", "1200"]);
        assert_eq!(rows.table(), "sku        name  free\nMUG        Mug      7\nTEE-RED-M        1200\n");
    }

    #[test]
    fn long_texts_are_broken_and_numbers_never() {
        let mut rows = Rows::new(&COLUMNS);
        rows.add(["S".repeat(128), "long name ".repeat(25), "1000000000".to_owned()]);
        rows.add(["MUG".to_owned(), "Ünïcödé".repeat(30), "18446744073709551615".to_owned()]);
        let text = rows.table();
        assert!(widest(&text) <= WIDTH, "{text}");
        assert!(text.contains("1000000000") && text.contains("18446744073709551615"), "{text}");
    }

    #[test]
    fn what_fits_in_no_table_becomes_a_list() {
        let columns: Vec<Column> =
            [Column::text("node")].into_iter().chain([Column::number("received"); 9]).collect();
        let mut rows = Rows::new(&columns);
        rows.add(["n".repeat(128)].into_iter().chain((0..9).map(|_| "1000000000".to_owned())));
        let text = rows.table();
        assert!(text.starts_with("node:") && widest(&text) <= WIDTH, "{text}");
        assert_eq!(text.matches("received=1000000000").count(), 9, "{text}");
    }

    #[test]
    fn csv_is_whole_and_quoted() {
        let mut rows = Rows::new(&COLUMNS);
        rows.add(["A", "x, \"y\"", "1"]);
        let mut out = Vec::new();
        rows.write_csv(&mut out, true).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "sku,name,free\nA,\"x, \"\"y\"\"\",1\n");
    }
}

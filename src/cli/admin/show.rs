//! How results are written: a table that fits the terminal, CSV, or the node's own JSON.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::cli::{WIDTH, wrapped};

/// Columns between two columns.
const GAP: usize = 2;
/// What a column of text is narrowed to before a table is given up for a list.
const NARROWEST_TEXT: usize = 12;
/// A last column of long texts that would get less stands under its row instead.
const READABLE: usize = 40;
/// Columns before such a text.
const UNDER: usize = 4;

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
    pub fn table(&self, width: usize) -> String {
        match self.left_for_last(width) {
            Some(left) if left < READABLE.min(self.last_width()) => self.with_last_under(width),
            left if left.is_some() || self.fits(width) => self.as_table(width, left.is_some()),
            _ => self.as_list(),
        }
    }

    /// What is left for a last column of text when no other is broken. `None`: the last one is no
    /// text, or the others take more than there is.
    fn left_for_last(&self, width: usize) -> Option<usize> {
        let last = self.columns.len().checked_sub(1)?;
        let others: usize = (0..last).map(|place| self.width_of(place) + GAP).sum();
        width.checked_sub(others).filter(|_| !self.columns[last].is_number && last > 0)
    }

    fn last_width(&self) -> usize {
        self.columns.len().checked_sub(1).map_or(0, |last| self.width_of(last))
    }

    /// Each row in one line but for its last cell, which stands under it.
    fn with_last_under(&self, width: usize) -> String {
        let last = self.columns.len().saturating_sub(1);
        let rest = Rows {
            columns: self.columns[..last].to_vec(),
            rows: self.rows.iter().map(|row| row[..last.min(row.len())].to_vec()).collect(),
        };
        let texts = self.columns.last().map(|column| column.name).into_iter();
        let texts = texts.chain(self.rows.iter().map(|row| row.get(last).map_or("", String::as_str)));
        let mut text = String::new();
        for (line, under) in rest.as_table(width, true).lines().zip(texts) {
            text += &format!("{line}\n");
            if !under.is_empty() {
                let indent = " ".repeat(UNDER);
                text += &format!("{}\n", folded_to(&format!("{indent}{under}"), width));
            }
        }
        text
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

    fn fits(&self, width: usize) -> bool {
        let narrowest = |(place, column): (usize, &Column)| match column.is_number {
            true => self.width_of(place),
            false => self.width_of(place).min(NARROWEST_TEXT.max(column.name.len())),
        };
        let gaps = GAP * self.columns.len().saturating_sub(1);
        self.columns.iter().enumerate().map(narrowest).sum::<usize>() + gaps <= width
    }

    /// `only_last`: no column but the last is broken.
    fn as_table(&self, width: usize, only_last: bool) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_header(self.columns.iter().map(|column| column.name));
        table.add_rows(self.rows.iter());
        let last = self.columns.len().saturating_sub(1);
        for (place, column) in self.columns.iter().enumerate() {
            let Some(shown) = table.column_mut(place) else { continue };
            shown.set_padding((0, if place < last { GAP as u16 } else { 0 }));
            if column.is_number {
                shown.set_cell_alignment(CellAlignment::Right);
            }
            if column.is_number || (only_last && place < last) {
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
    folded_to(text, WIDTH)
}

fn folded_to(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        for line in wrapped(line, width).lines() {
            let letters: Vec<char> = line.chars().collect();
            match letters.is_empty() {
                true => lines.push(String::new()),
                false => lines.extend(letters.chunks(width).map(|part| part.iter().collect::<String>())),
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
        assert_eq!(
            rows.table(WIDTH),
            "sku        name  free\nMUG        Mug      7\nTEE-RED-M        1200\n"
        );
    }

    #[test]
    fn long_texts_are_broken_and_numbers_never() {
        let mut rows = Rows::new(&COLUMNS);
        rows.add(["S".repeat(128), "long name ".repeat(25), "1000000000".to_owned()]);
        rows.add(["MUG".to_owned(), "Ünïcödé".repeat(30), "18446744073709551615".to_owned()]);
        let text = rows.table(WIDTH);
        assert!(widest(&text) <= WIDTH, "{text}");
        assert!(text.contains("1000000000") && text.contains("18446744073709551615"), "{text}");
    }

    #[test]
    fn what_fits_in_no_table_becomes_a_list() {
        let columns: Vec<Column> =
            [Column::text("node")].into_iter().chain([Column::number("received"); 9]).collect();
        let mut rows = Rows::new(&columns);
        rows.add(["n".repeat(128)].into_iter().chain((0..9).map(|_| "1000000000".to_owned())));
        let text = rows.table(WIDTH);
        assert!(text.starts_with("node:") && widest(&text) <= WIDTH, "{text}");
        assert_eq!(text.matches("received=1000000000").count(), 9, "{text}");
    }

    #[test]
    fn a_last_column_of_long_texts_has_the_rest_of_the_terminal_or_lines_of_its_own() {
        let columns =
            [Column::text("time"), Column::text("cause"), Column::number("free"), Column::text("about")];
        let mut rows = Rows::new(&columns);
        let why = "us-1 sells 3.2 a minute and has 4 free, enough for 75 s; eu-1 has 60 more than it should";
        rows.add(["2026-05-03 10:00:00", "give_for_balance_of_buyers", "+5", why]);
        rows.add(["2026-05-03 10:00:01", "sell", "-1", ""]);
        rows.add(["2026-05-03 10:00:02", "sell", "-1", "short"]);
        assert_eq!(
            rows.table(80),
            "time                 cause                       free\n    about\n\
             2026-05-03 10:00:00  give_for_balance_of_buyers    +5\n    \
             us-1 sells 3.2 a minute and has 4 free, enough for 75 s; eu-1 has 60 more\n      \
             than it should\n\
             2026-05-03 10:00:01  sell                          -1\n\
             2026-05-03 10:00:02  sell                          -1\n    short\n"
        );
        let wide = rows.table(120);
        assert!(
            wide.contains("+5  us-1 sells 3.2 a minute and has 4 free, enough for 75 s; eu-1 has\n"),
            "{wide}"
        );
        assert!(widest(&wide) <= 120 && wide.lines().count() == 5, "{wide}");
        assert_eq!(rows.table(200).lines().count(), 4, "nothing is broken where there is room");
        let narrow = rows.table(60);
        assert!(narrow.contains("10:00:00  give_for_balance_of_buyers    +5\n    us-1 sells"), "{narrow}");
        assert!(widest(&narrow) <= 60, "{narrow}");
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

//! Reading a trace of orders: a CSV with the columns `ts,region,sku,qty,order`, gzipped or not.
//!
//! A line is a sale (`qty` > 0) or a return (`qty` < 0). The lines of one order stand
//! together and share a region. A bad line is named with its number and column, and nothing
//! is guessed. The whole trace is held in memory.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use csv::StringRecord;

use crate::types::id::check_code;
use crate::types::reservation::MAX_LINES;
use crate::types::units::MAX_QUANTITY;

/// Longest order id; it leaves room for what is put behind it to make ids and keys of.
pub const MAX_ORDER_BYTES: usize = 100;
/// Longest region label.
const MAX_REGION_BYTES: usize = 63;
pub const COLUMNS: [&str; 5] = ["ts", "region", "sku", "qty", "order"];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An item's place in [`Trace::skus`].
pub type SkuIndex = usize;

/// Orders in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub skus: Vec<String>,
    pub regions: Vec<String>,
    pub orders: Vec<Order>,
}

/// What one buyer wanted, or brought back, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: String,
    /// Place in [`Trace::regions`].
    pub region: usize,
    /// When, in seconds since 1970, if its first line says so in RFC 3339.
    pub at: Option<i64>,
    pub sales: Vec<TraceLine>,
    pub returns: Vec<TraceLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLine {
    pub sku: SkuIndex,
    pub quantity: u64,
}

/// Which part of the file, and how it is cut into orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Only so many orders from the beginning.
    pub limit: Option<usize>,
    /// Each line is an order of its own.
    pub per_line: bool,
}

impl Trace {
    /// # Errors
    /// When the file cannot be read, or with the first bad line.
    pub fn load(file: &Path, window: Window) -> anyhow::Result<Trace> {
        let shown = file.display();
        let source = std::fs::File::open(file).with_context(|| format!("cannot read {shown}"))?;
        Trace::read(source, window).with_context(|| shown.to_string())
    }

    /// # Errors
    /// With the first bad line.
    pub fn read(source: impl Read, window: Window) -> anyhow::Result<Trace> {
        let mut source = BufReader::new(source);
        let mut magic = Vec::new();
        source.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
        let is_gzip = magic == GZIP_MAGIC;
        let whole = std::io::Cursor::new(magic).chain(source);
        if is_gzip {
            read_rows(flate2::read::MultiGzDecoder::new(whole), window)
        } else {
            read_rows(whole, window)
        }
    }

    /// Units that each item sells, over all orders.
    pub fn units_sold(&self) -> Vec<u64> {
        let mut units = vec![0u64; self.skus.len()];
        for line in self.orders.iter().flat_map(|order| &order.sales) {
            units[line.sku] = units[line.sku].saturating_add(line.quantity);
        }
        units
    }

    /// The region that buys most of each item, the one first named in the file among equals;
    /// `None` for items that are only returned.
    pub fn largest_regions(&self) -> Vec<Option<usize>> {
        let mut units = vec![vec![0u64; self.regions.len()]; self.skus.len()];
        for order in &self.orders {
            for line in &order.sales {
                let cell = &mut units[line.sku][order.region];
                *cell = cell.saturating_add(line.quantity);
            }
        }
        let largest = |regions: &Vec<u64>| {
            let most = *regions.iter().max()?;
            if most == 0 { None } else { regions.iter().position(|units| *units == most) }
        };
        units.iter().map(largest).collect()
    }
}

fn read_rows(source: impl Read, window: Window) -> anyhow::Result<Trace> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
    let columns = find_columns(reader.headers().context("the header cannot be read")?)?;
    let mut builder = Builder { columns, window, ..Builder::default() };
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).context("not a CSV")? {
        let line = record.position().map_or(0, csv::Position::line);
        if !builder.add(&record, line)? {
            break;
        }
    }
    ensure!(!builder.trace.orders.is_empty(), "holds no orders");
    Ok(builder.trace)
}

/// Where each of [`COLUMNS`] stands.
fn find_columns(header: &StringRecord) -> anyhow::Result<[usize; 5]> {
    let mut columns = [0; 5];
    for (place, name) in columns.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|column| column == name).with_context(|| {
            format!("line 1: there is no column {name:?}; the header must name {}", COLUMNS.join(", "))
        })?;
    }
    Ok(columns)
}

#[derive(Default)]
struct Builder {
    columns: [usize; 5],
    window: Window,
    trace: Trace,
    skus: HashMap<String, SkuIndex>,
    regions: HashMap<String, usize>,
    /// Each order's first line, and how many lines it has had.
    seen: HashMap<String, Seen>,
    last_order: String,
}

struct Seen {
    first_line: u64,
    lines: usize,
}

impl Builder {
    /// Adds a row; false when the window is full and the row lies behind it.
    fn add(&mut self, record: &StringRecord, line: u64) -> anyhow::Result<bool> {
        let field =
            |column: usize| record.get(self.columns[column]).with_context(|| bad(line, column, "is missing"));
        let (time, region, sku, quantity, id) = (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
        check_code(sku).map_err(|e| anyhow::anyhow!(bad(line, 2, &format!("{sku:?} {e}"))))?;
        check_code(id).map_err(|e| anyhow::anyhow!(bad(line, 4, &format!("{id:?} {e}"))))?;
        ensure!(
            id.len() <= MAX_ORDER_BYTES,
            bad(line, 4, &format!("is longer than {MAX_ORDER_BYTES} bytes"))
        );
        ensure!(!region.is_empty(), bad(line, 1, "is empty"));
        ensure!(
            region.len() <= MAX_REGION_BYTES,
            bad(line, 1, &format!("is longer than {MAX_REGION_BYTES} bytes"))
        );
        let quantity = parse_quantity(quantity).map_err(|why| anyhow::anyhow!(bad(line, 3, &why)))?;
        let (region, sku) = (intern(&mut self.regions, &mut self.trace.regions, region), sku.to_owned());
        let Some(lines_before) = self.begin(time, id, region, line)? else { return Ok(false) };
        let sku = intern(&mut self.skus, &mut self.trace.skus, &sku);
        let order = self.trace.orders.last_mut().expect("an order was begun");
        ensure!(
            lines_before < MAX_LINES,
            bad(line, 4, &format!("order {id} has more than {MAX_LINES} lines; use --per-line"))
        );
        let line = TraceLine { sku, quantity: quantity.unsigned_abs() };
        if quantity > 0 {
            order.sales.push(line)
        } else {
            order.returns.push(line)
        }
        Ok(true)
    }

    /// Makes the row's order the last one, and says how many lines it has; `None`: the window is full.
    fn begin(&mut self, time: &str, id: &str, region: usize, line: u64) -> anyhow::Result<Option<usize>> {
        let goes_on = !self.window.per_line && self.last_order == id;
        if goes_on {
            let order = self.trace.orders.last().expect("the last order is there");
            ensure!(order.region == region, bad(line, 1, &format!("order {id} began in another region")));
        } else {
            if self.window.limit.is_some_and(|limit| self.trace.orders.len() >= limit) {
                return Ok(None);
            }
            let id = self.new_id(id, line)?;
            let at = time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
            self.trace.orders.push(Order { id, region, at, sales: Vec::new(), returns: Vec::new() });
        }
        let seen = self.seen.entry(id.to_owned()).or_insert(Seen { first_line: line, lines: 0 });
        seen.lines += 1;
        self.last_order = id.to_owned();
        Ok(Some(if self.window.per_line { 0 } else { seen.lines - 1 }))
    }

    /// The order's own id, or with `per_line` the id and the line's place among its lines.
    fn new_id(&self, id: &str, line: u64) -> anyhow::Result<String> {
        let seen = self.seen.get(id);
        if self.window.per_line {
            return Ok(format!("{id}.{}", seen.map_or(0, |seen| seen.lines)));
        }
        if let Some(Seen { first_line, .. }) = seen {
            bail!(bad(
                line,
                4,
                &format!("order {id} began on line {first_line}; put its lines together, or use --per-line")
            ));
        }
        Ok(id.to_owned())
    }
}

fn bad(line: u64, column: usize, why: &str) -> String {
    format!("line {line}, column {:?}: {why}", COLUMNS[column])
}

fn parse_quantity(text: &str) -> Result<i64, String> {
    let quantity: i64 = text.parse().map_err(|_| format!("{text:?} is no whole number"))?;
    match quantity.unsigned_abs() {
        0 => Err("0 is neither a sale nor a return".to_owned()),
        1..=MAX_QUANTITY => Ok(quantity),
        _ => Err(format!("{quantity} is more than {MAX_QUANTITY} units")),
    }
}

fn intern(known: &mut HashMap<String, usize>, all: &mut Vec<String>, text: &str) -> usize {
    if let Some(index) = known.get(text) {
        return *index;
    }
    known.insert(text.to_owned(), all.len());
    all.push(text.to_owned());
    all.len() - 1
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SMALL: &str = "ts,region,sku,qty,order\n\
        t,uk,A,2,1\nt,uk,B,3,1\nt,fr,A,5,2\nt,uk,A,-1,3\nt,uk,C,-4,3\n";

    fn read(text: &str, window: Window) -> anyhow::Result<Trace> {
        Trace::read(text.as_bytes(), window)
    }

    fn complaint(rows: &str) -> String {
        let text = format!("ts,region,sku,qty,order\n{rows}");
        format!("{:#}", read(&text, Window::default()).unwrap_err())
    }

    #[test]
    fn orders_have_their_lines_and_returns_apart() {
        let trace = read(SMALL, Window::default()).unwrap();
        let ids: Vec<_> = trace.orders.iter().map(|order| order.id.as_str()).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(
            (trace.skus, trace.regions),
            (vec!["A".into(), "B".into(), "C".into()], vec!["uk".into(), "fr".into()])
        );
        let third = &trace.orders[2];
        assert!(third.sales.is_empty());
        assert_eq!(third.returns, [TraceLine { sku: 0, quantity: 1 }, TraceLine { sku: 2, quantity: 4 }]);
    }

    #[test]
    fn units_and_largest_regions_are_those_of_the_window() {
        let trace = read(SMALL, Window::default()).unwrap();
        assert_eq!(trace.units_sold(), [7, 3, 0]);
        assert_eq!(trace.largest_regions(), [Some(1), Some(0), None]);
        let first = read(SMALL, Window { limit: Some(1), per_line: false }).unwrap();
        assert_eq!(first.units_sold(), [2, 3]);
        assert_eq!(first.largest_regions(), [Some(0), Some(0)]);
        assert_eq!(first.orders.len(), 1);
    }

    #[test]
    fn gzip_is_recognised_by_its_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(SMALL.as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        assert_eq!(
            Trace::read(bytes.as_slice(), Window::default()).unwrap(),
            read(SMALL, Window::default()).unwrap()
        );
    }

    #[test]
    fn per_line_makes_each_line_an_order_with_an_id_of_its_own() {
        let trace = read(SMALL, Window { limit: Some(3), per_line: true }).unwrap();
        let ids: Vec<_> = trace.orders.iter().map(|order| order.id.as_str()).collect();
        assert_eq!(ids, ["1.0", "1.1", "2.0"]);
    }

    #[test]
    fn bad_rows_name_their_line_and_column() {
        let cases = [
            ("t,uk,A,two,1\n", "line 2, column \"qty\": \"two\" is no whole number"),
            ("t,uk,A,1,1\nt,uk,B,0,1\n", "line 3, column \"qty\": 0 is neither"),
            ("t,uk,A,1000000001,1\n", "line 2, column \"qty\": 1000000001 is more than"),
            ("t,uk,A B,1,1\n", "line 2, column \"sku\": \"A B\" must be 1 to 128"),
            ("t,,A,1,1\n", "line 2, column \"region\": is empty"),
            ("t,uk,A,1,\n", "line 2, column \"order\": \"\" must be"),
            ("t,uk,A,1,1\nt,fr,B,1,1\n", "line 3, column \"region\": order 1 began in another region"),
            ("t,uk,A,1,1\nt,uk,A,1,2\nt,uk,A,1,1\n", "line 4, column \"order\": order 1 began on line 2"),
            ("t,uk,A,1\n", "line: 2"),
            ("", "holds no orders"),
        ];
        for (rows, expected) in cases {
            let text = complaint(rows);
            assert!(text.contains(expected), "{rows}: {text}");
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let text = read("ts,region,sku,quantity,order\n", Window::default()).unwrap_err().to_string();
        assert!(text.contains("no column \"qty\""), "{text}");
    }

    #[test]
    fn an_order_of_too_many_lines_is_refused() {
        let rows: String = (0..=MAX_LINES).map(|n| format!("t,uk,S{n},1,1\n")).collect();
        assert!(complaint(&rows).contains("use --per-line"));
    }
}

//! Demand from a trace of orders: a CSV with the columns `ts,region,sku,qty,order`, gzipped or
//! not, as `stockade demand` writes and `stockade replay` reads it.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use csv::StringRecord;
use jiff::Timestamp;
use stockade::types::{Sku, reservation::MAX_LINES};

use super::lapse::Lapse;
use crate::dice::Dice;

const COLUMNS: [&str; 5] = ["ts", "region", "sku", "qty", "order"];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Most units of one line.
const MOST_UNITS: u64 = 1_000_000_000;
/// Stamps of whole minutes are spread over the minute.
const MINUTE: i64 = 60;

/// The orders of a window, with the names that occur in them.
#[derive(Debug, Default)]
pub struct Trace {
    pub regions: Vec<String>,
    pub skus: Vec<Sku>,
    pub orders: Vec<TraceOrder>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TraceOrder {
    /// Since the beginning of the window.
    pub at: Lapse,
    pub region: usize,
    /// Item and units; fewer than none were brought back.
    pub lines: Vec<(usize, i64)>,
}

/// Which part of the trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Seconds since 1970; the beginning of the first row's day when left out, and then no row may
    /// be of an earlier one.
    pub from: Option<i64>,
    pub length: Option<Lapse>,
}

/// A moment of the file's `from` and `until`: a day, or a moment.
///
/// # Errors
/// In words.
pub fn moment(text: &str) -> Result<i64, String> {
    let day = format!("{text}T00:00:00Z");
    let parsed = text.parse::<Timestamp>().or_else(|_| day.parse::<Timestamp>());
    parsed.map(Timestamp::as_second).map_err(|_| {
        format!("`{text}` is no moment; write \"2010-11-15\" (in UTC) or \"2010-11-15T09:00:00Z\"")
    })
}

/// # Errors
/// In words, when the file cannot be read or a line is bad.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "read before the world begins")]
pub fn load(file: &Path, window: Window, dice: &mut Dice) -> Result<Trace, String> {
    let source = std::fs::File::open(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    read(source, window, dice).map_err(|e| format!("{}: {e}", file.display()))
}

fn read(source: impl Read, window: Window, dice: &mut Dice) -> Result<Trace, String> {
    let mut source = BufReader::new(source);
    let mut magic = Vec::new();
    source.by_ref().take(2).read_to_end(&mut magic).map_err(|e| e.to_string())?;
    let is_gzip = magic == GZIP_MAGIC;
    let whole = std::io::Cursor::new(magic).chain(source);
    if is_gzip {
        read_rows(flate2::read::MultiGzDecoder::new(whole), window, dice)
    } else {
        read_rows(whole, window, dice)
    }
}

fn read_rows(source: impl Read, window: Window, dice: &mut Dice) -> Result<Trace, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
    let header = reader.headers().map_err(|e| e.to_string())?;
    let mut columns = [0; 5];
    for (place, name) in columns.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|column| column == name).ok_or_else(|| {
            format!("line 1: there is no column `{name}`; the header must name {}", COLUMNS.join(", "))
        })?;
    }
    let mut reading = Reading { columns, window, ..Reading::default() };
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| e.to_string())? {
        let line = record.position().map_or(0, csv::Position::line);
        reading.row(&record, dice).map_err(|e| format!("line {line}, {e}"))?;
    }
    if reading.trace.orders.is_empty() {
        let told = |at: i64| Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        return Err(match reading.times {
            None => "there are no orders".into(),
            Some((first, last)) => format!(
                "there are no orders from {} on for so long; they are from {} to {}",
                told(reading.window.from.or(reading.first_day).unwrap_or(first)),
                told(first),
                told(last)
            ),
        });
    }
    reading.trace.orders.sort_by_key(|order| order.at);
    Ok(reading.trace)
}

#[derive(Default)]
struct Reading {
    columns: [usize; 5],
    window: Window,
    trace: Trace,
    regions: BTreeMap<String, usize>,
    skus: BTreeMap<Sku, usize>,
    /// The order whose lines are being read, and whether it lies in the window.
    current: Option<(String, bool)>,
    /// The beginning of the first row's day.
    first_day: Option<i64>,
    /// The first and last moment of the whole trace.
    times: Option<(i64, i64)>,
}

impl Reading {
    fn row(&mut self, record: &StringRecord, dice: &mut Dice) -> Result<(), String> {
        let field = |n: usize| record.get(self.columns[n]).unwrap_or_default();
        let bad = |n: usize, why: &str| format!("column `{}`: {:?} {why}", COLUMNS[n], field(n));
        if self.current.as_ref().is_none_or(|(id, _)| id != field(4)) {
            let at = field(0).parse::<Timestamp>().map_err(|_| bad(0, "is no RFC 3339 moment"))?.as_second();
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
            let first_day = *self.first_day.get_or_insert(at - at.rem_euclid(86_400));
            if self.window.from.is_none() && at < first_day {
                let why = "is of a day before the first row's; sort the trace, or say `from` (--from)";
                return Err(bad(0, why));
            }
            let from = self.window.from.unwrap_or(first_day);
            let since = at - from;
            let within = u64::try_from(since).ok().map(Lapse::seconds);
            let within = within.filter(|since| self.window.length.is_none_or(|length| *since < length));
            if let Some(since) = within {
                let spread = if at % MINUTE == 0 { dice.below(60_000_000) } else { 0 };
                if field(1).is_empty() {
                    return Err(bad(1, "names no region"));
                }
                let region = intern(&mut self.regions, &mut self.trace.regions, field(1).to_owned());
                let order = TraceOrder { at: Lapse(since.0 + spread), region, lines: Vec::new() };
                self.trace.orders.push(order);
            }
            self.current = Some((field(4).to_owned(), within.is_some()));
        }
        if !self.current.as_ref().is_some_and(|(_, within)| *within) {
            return Ok(());
        }
        let sku = Sku::new(field(2)).map_err(|e| bad(2, &e.to_string()))?;
        let units: i64 = field(3).parse().map_err(|_| bad(3, "is no whole number"))?;
        if units == 0 || units.unsigned_abs() > MOST_UNITS {
            return Err(bad(3, "is neither a sale nor a return that can be"));
        }
        let item = intern(&mut self.skus, &mut self.trace.skus, sku);
        let Some(order) = self.trace.orders.last_mut() else { return Ok(()) };
        if order.lines.len() >= MAX_LINES {
            return Err(bad(4, "has too many lines"));
        }
        order.lines.push((item, units));
        Ok(())
    }
}

fn intern<T: Clone + Ord>(known: &mut BTreeMap<T, usize>, all: &mut Vec<T>, name: T) -> usize {
    if let Some(place) = known.get(&name) {
        return *place;
    }
    known.insert(name.clone(), all.len());
    all.push(name);
    all.len() - 1
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::dice::Stream;

    const SMALL: &str = "ts,region,sku,qty,order\n\
        2010-11-15T09:00:00Z,uk,A,2,1\n2010-11-15T09:00:00Z,uk,B,3,1\n\
        2010-11-15T10:00:05Z,fr,A,-1,2\n2010-11-16T00:00:00Z,uk,C,1,3\n";

    fn dice() -> Dice {
        Dice::new(1, Stream::Demand)
    }

    #[test]
    fn orders_have_their_lines_and_times_within_the_window() {
        let window = Window { from: None, length: Some(Lapse::minutes(24 * 60)) };
        let trace = read(SMALL.as_bytes(), window, &mut dice()).unwrap();
        assert_eq!(trace.regions, ["uk", "fr"]);
        assert_eq!(trace.orders.len(), 2);
        assert_eq!(trace.orders[0].lines, [(0, 2), (1, 3)]);
        let hour = Lapse::minutes(60).0;
        assert!((9 * hour..9 * hour + 60_000_000).contains(&trace.orders[0].at.0));
        assert_eq!(
            trace.orders[1],
            TraceOrder { at: Lapse(10 * hour + 5_000_000), region: 1, lines: vec![(0, -1)] }
        );
        let never = Window { from: Some(moment("2010-11-17").unwrap()), length: None };
        let complaint = read(SMALL.as_bytes(), never, &mut dice()).unwrap_err();
        assert!(
            complaint.ends_with("they are from 2010-11-15T09:00:00Z to 2010-11-16T00:00:00Z"),
            "{complaint}"
        );
        let late = Window { from: Some(moment("2010-11-16").unwrap()), length: None };
        assert_eq!(read(SMALL.as_bytes(), late, &mut dice()).unwrap().skus, [Sku::new("C").unwrap()]);
    }

    #[test]
    fn no_row_is_lost_because_a_later_one_came_first() {
        let late_first = "ts,region,sku,qty,order\n2010-11-16T09:00:00Z,uk,A,1,1\n\
            2010-11-16T08:00:00Z,uk,A,1,2\n2010-11-15T23:00:00Z,uk,A,1,3\n";
        let complaint = read(late_first.as_bytes(), Window::default(), &mut dice()).unwrap_err();
        assert!(complaint.starts_with("line 4, column `ts`"), "{complaint}");
        assert!(complaint.contains("sort the trace, or say `from` (--from)"), "{complaint}");
        let window = Window { from: Some(moment("2010-11-15").unwrap()), length: None };
        let orders = read(late_first.as_bytes(), window, &mut dice()).unwrap().orders;
        assert!(orders.len() == 3 && orders.is_sorted_by_key(|order| order.at));
    }

    #[test]
    fn gzip_is_recognised() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(SMALL.as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        assert_eq!(read(bytes.as_slice(), Window::default(), &mut dice()).unwrap().orders.len(), 3);
    }

    #[test]
    fn bad_rows_are_named() {
        let complaint = |rows: &str| {
            let text = format!("ts,region,sku,qty,order\n{rows}");
            read(text.as_bytes(), Window::default(), &mut dice()).unwrap_err()
        };
        let cases = [
            ("yesterday,uk,A,1,1\n", "line 2, column `ts`"),
            ("2010-11-15T09:00:00Z,,A,1,1\n", "column `region`"),
            ("2010-11-15T09:00:00Z,uk,A B,1,1\n", "column `sku`"),
            ("2010-11-15T09:00:00Z,uk,A,0,1\n", "column `qty`"),
            ("2010-11-15T09:00:00Z,uk,A,-9223372036854775808,1\n", "column `qty`"),
            ("", "no orders"),
        ];
        for (rows, expected) in cases {
            assert!(complaint(rows).contains(expected), "{rows}: {}", complaint(rows));
        }
        let other = read("ts,region,sku,qty\n".as_bytes(), Window::default(), &mut dice()).unwrap_err();
        assert!(other.contains("no column `order`"), "{other}");
    }
}

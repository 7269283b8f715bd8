//! What a line says: CSV or NDJSON.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::lines::Line;
use super::{Read, Unread};
use crate::http::fields::{MAX_TEXT_CHARS, read_body};
use crate::http::problem::{Code, Errors, Problem};
use crate::types::units::MAX_QUANTITY;
use crate::types::{Sku, Units};

const COLUMNS: [&str; 3] = ["sku", "name", "quantity"];
const NO_STOCK: &str = "leave it empty to create the item without stock";

/// How lines are to be read.
#[derive(Debug)]
pub(super) enum Format {
    /// Which column stands where; `None` before the first line.
    Csv(Option<Vec<usize>>),
    Ndjson,
}

impl Format {
    /// # Errors
    /// `unsupported_media_type`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Format, Problem> {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (first, second) = (types.next(), types.next());
        let essence = first.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
        let essence = essence.filter(|_| second.is_none()).map(|text| text.trim().to_ascii_lowercase());
        let encoded =
            headers.get(CONTENT_ENCODING).is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"));
        match essence.as_deref() {
            Some("text/csv") if !encoded => Ok(Format::Csv(None)),
            Some("application/x-ndjson" | "application/ndjson") if !encoded => Ok(Format::Ndjson),
            _ => {
                let detail = "Send the header Content-Type: text/csv or application/x-ndjson, and no \
                              Content-Encoding.";
                Err(Problem::new(Code::UnsupportedMediaType).detail(detail.to_owned()))
            }
        }
    }

    /// What the line says, or what is wrong with it; `None` for a blank line and the header.
    ///
    /// # Errors
    /// When the header is wrong: no line could be understood.
    pub(super) fn read(&mut self, line: &Line) -> Result<Option<Result<Read, Unread>>, Problem> {
        let Some(text) = &line.text else {
            let detail = "A line may have at most 65536 bytes.".to_owned();
            return Ok(Some(Err(unknown(Problem::new(Code::BodyTooLarge).detail(detail)))));
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match self {
            Format::Ndjson => Ok(Some(object(text))),
            Format::Csv(columns) => {
                let fields = match fields(text) {
                    Ok(fields) => fields,
                    Err(problem) => return Ok(Some(Err(unknown(problem)))),
                };
                if let Some(columns) = columns {
                    return Ok(Some(row(&fields, columns)));
                }
                match header(&fields)? {
                    Some(named) => {
                        *columns = Some(named);
                        Ok(None)
                    }
                    None => Ok(Some(row(&fields, columns.insert(vec![0, 1, 2])))),
                }
            }
        }
    }
}

/// A line of which not even the item can be told.
fn unknown(problem: Problem) -> Unread {
    Unread { sku: None, problem }
}

fn object(text: &[u8]) -> Result<Read, Unread> {
    let mut known = None;
    let read = read_body(text, Errors::default(), |fields| {
        let sku = fields.required_id("sku", Sku::new);
        known.clone_from(&sku);
        let name = fields.text("name");
        let quantity = fields.integer("quantity", 1..=MAX_QUANTITY).map(Units);
        Some(Read { sku: sku?, name, quantity })
    });
    read.map_err(|problem| Unread { sku: known, problem })
}

/// The fields of one line of CSV.
fn fields(text: &[u8]) -> Result<Vec<String>, Problem> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut records = reader.records();
    let wrong = |message: &str| Problem::field("line", message);
    // The reader takes the end of the text for the end of a quoted field.
    if text.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        return Err(wrong("holds a quote that does not end; a quoted field must end on its line"));
    }
    match (records.next(), records.next()) {
        (Some(Ok(record)), None) => Ok(record.iter().map(|field| field.trim().to_owned()).collect()),
        (Some(Err(error)), _) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
            Err(wrong("is not UTF-8"))
        }
        _ => Err(wrong("is not one line of CSV")),
    }
}

/// Which column stands where, if this is a header. What only looks like one is refused: taken
/// for a line, it would make an item that nobody meant.
fn header(fields: &[String]) -> Result<Option<Vec<usize>>, Problem> {
    let names: Vec<String> = fields.iter().map(|field| field.to_ascii_lowercase()).collect();
    let is_there = |column: &str| names.iter().any(|name| name == column);
    if !is_there("sku") {
        if !is_there("name") && !is_there("quantity") {
            return Ok(None);
        }
        let message = "has no column sku; the columns are sku, name and quantity, in any order";
        return Err(Problem::field("header", message));
    }
    // An item may well be named "sku", but no column is called 5.
    let is_number = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let is_item = names.first().is_some_and(|first| !COLUMNS.contains(&first.as_str()));
    if is_item && !is_there("name") && !is_there("quantity") && names.iter().any(is_number) {
        return Ok(None);
    }
    let mut places = Vec::new();
    for name in &names {
        let place = COLUMNS.iter().position(|column| column == name);
        match place {
            Some(place) if !places.contains(&place) => places.push(place),
            Some(_) => return Err(Problem::field("header", format!("column {name} is there twice"))),
            None => {
                let message = format!("column {name} is not known; the columns are sku, name and quantity");
                return Err(Problem::field("header", message));
            }
        }
    }
    Ok(Some(places))
}

fn row(fields: &[String], columns: &[usize]) -> Result<Read, Unread> {
    let mut errors = Errors::default();
    if fields.len() > columns.len() {
        let most = columns.len();
        errors.add(
            "line",
            format!("has {} columns, not {most}; quote a name that holds a comma", fields.len()),
        );
    }
    let field = |wanted: usize| {
        let at = columns.iter().position(|column| *column == wanted)?;
        fields.get(at).map(String::as_str).filter(|text| !text.is_empty())
    };
    let sku = errors.check("sku", Sku::new(field(0).unwrap_or_default()));
    let name = field(1).map(str::to_owned);
    if name
        .as_ref()
        .is_some_and(|name| name.chars().count() > MAX_TEXT_CHARS || name.chars().any(char::is_control))
    {
        errors.add(
            "name",
            format!("must be at most {MAX_TEXT_CHARS} characters, none of them a control character"),
        );
    }
    let quantity = field(2).and_then(|text| errors.check("quantity", quantity(text)));
    let read = errors.finish(sku.clone().map(|sku| Read { sku, name, quantity }));
    read.map_err(|problem| Unread { sku, problem })
}

fn quantity(text: &str) -> Result<Units, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_QUANTITY).contains(number));
    let number = number.filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.map(Units).ok_or_else(|| format!("must be an integer from 1 to {MAX_QUANTITY}; {NO_STOCK}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Nothing, or sku, name and quantity, or what is wrong.
    type Said = Option<Result<(String, Option<String>, u64), String>>;

    /// What lines say: sku, name and quantity, or the field that is wrong.
    fn read(mut format: Format, lines: &[&str]) -> Vec<Said> {
        let one = |(number, text): (u64, &&str)| {
            let line = Line { number, text: Some(Bytes::copy_from_slice(text.as_bytes())) };
            let read = format.read(&line).unwrap()?;
            Some(match read {
                Ok(read) => Ok((read.sku.to_string(), read.name, read.quantity.map_or(0, |units| units.0))),
                Err(unread) => Err(unread.problem.message()),
            })
        };
        (1..).zip(lines).map(one).collect()
    }

    fn good(sku: &str, name: &str, quantity: u64) -> Said {
        let name = (!name.is_empty()).then(|| name.to_owned());
        Some(Ok((sku.to_owned(), name, quantity)))
    }

    #[test]
    fn csv_with_and_without_a_header() {
        let lines = ["TEE,\"Tee, red\",5", "", "MUG,,", "CAP", " HAT , Hat , 7 "];
        let expected =
            [good("TEE", "Tee, red", 5), None, good("MUG", "", 0), good("CAP", "", 0), good("HAT", "Hat", 7)];
        assert_eq!(read(Format::Csv(None), &lines), expected);
        let lines = ["quantity,SKU", "5,TEE", ",MUG"];
        assert_eq!(read(Format::Csv(None), &lines), [None, good("TEE", "", 5), good("MUG", "", 0)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, field) in [
            ("TEE,Tee,0", "quantity"),
            ("TEE,Tee,-1", "quantity"),
            ("TEE,Tee,1.5", "quantity"),
            ("TEE,Tee,+5", "quantity"),
            ("TEE,Tee,1000000001", "quantity"),
            ("T E E,Tee,1", "sku"),
            (",Tee,1", "sku"),
            ("TEE,Tee,1,2", "line"),
            ("TEE,\"Tee,1", "line"),
        ] {
            let told = read(Format::Csv(None), &["x,y,1", line]);
            assert!(matches!(&told[1], Some(Err(message)) if message.starts_with(field)), "{line}: {told:?}");
        }
        for (line, field) in [
            (r#"{"sku":"TEE","quantity":0}"#, "quantity"),
            (r#"{"sku":"TEE","quantity":1.0}"#, "quantity"),
            (r#"{"quantity":1}"#, "sku"),
            (r#"{"sku":"TEE","colour":"red"}"#, "colour"),
            ("TEE,Tee,1", "body"),
        ] {
            let told = read(Format::Ndjson, &[line]);
            assert!(matches!(&told[0], Some(Err(message)) if message.starts_with(field)), "{line}: {told:?}");
        }
    }

    #[test]
    fn a_first_line_that_only_looks_like_a_header_makes_no_item() {
        for header in ["sku,price", "item,name", "Article,Quantity", "NAME,quantity", "name", "item,sku"] {
            let line = Line { number: 1, text: Some(Bytes::from_static(header.as_bytes())) };
            let problem = Format::Csv(None).read(&line).unwrap_err();
            assert!(problem.message().starts_with("header"), "{header}: {problem:?}");
        }
        for (row, expected) in
            [("TEE,sku,5", good("TEE", "sku", 5)), ("TEE,Name tag", good("TEE", "Name tag", 0))]
        {
            assert_eq!(read(Format::Csv(None), &[row]), [expected]);
        }
        // Only the first one can be a header.
        assert_eq!(read(Format::Csv(None), &["A", "TEE,name,5"])[1], good("TEE", "name", 5));
    }

    #[test]
    fn ndjson_is_read_strictly() {
        let lines = [r#"{"sku":"TEE","name":"Tee","quantity":5}"#, " ", r#"{"sku":"MUG"}"#];
        assert_eq!(read(Format::Ndjson, &lines), [good("TEE", "Tee", 5), None, good("MUG", "", 0)]);
    }
}

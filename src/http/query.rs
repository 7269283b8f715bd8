//! Query parameters, strictly: none unknown, none twice unless it is a list.

use super::fields::shortened;
use super::problem::{Errors, Problem};

/// The decoded parameters of a request, in the order given.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// # Errors
    /// When a `%` is not followed by two hexadecimal digits, or what they spell is not UTF-8.
    pub(super) fn parse(query: Option<&str>) -> Result<Query, Problem> {
        let mut pairs = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, true).ok_or_else(|| broken("query"))?;
            let value = decoded(value, true).ok_or_else(|| broken(&shortened(&name)))?;
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// Notes parameters that are none of `once` and `many`, and repeated ones of `once`.
    pub(super) fn allow(&self, once: &[&str], many: &[&str], errors: &mut Errors) {
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in &self.pairs {
            let name = name.as_str();
            if many.contains(&name) {
                continue;
            }
            if !once.contains(&name) {
                errors.add(shortened(name), "is not a parameter of this call");
            } else if seen.contains(&name) {
                errors.add(name, "is given more than once");
            } else {
                seen.push(name);
            }
        }
    }

    /// All values of a parameter.
    pub(super) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter.
    pub(super) fn first<'q>(&'q self, name: &'q str) -> Option<&'q str> {
        self.all(name).next()
    }
}

fn broken(field: &str) -> Problem {
    Problem::field(field, "holds a % that does not begin an escaped UTF-8 text")
}

/// Undoes `%41`, and in a query also `+`. `None` when an escape is broken or spells no UTF-8.
pub(super) fn decoded(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_in_order() {
        let query = Query::parse(Some("sku=A%3AB&&sku=c+d&x")).unwrap();
        assert_eq!(query.all("sku").collect::<Vec<_>>(), ["A:B", "c d"]);
        assert_eq!(query.first("x"), Some(""));
        assert_eq!(query.first("y"), None);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Query::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}

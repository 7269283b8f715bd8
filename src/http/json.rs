//! Strict JSON: a request body as a small tree, without what the contract refuses.
//!
//! The tree remembers what is wrong where it is wrong (a key given twice, a number with a
//! fraction), so that whoever reads the field can name it; see [`super::fields`]. What is
//! not JSON at all, not UTF-8, followed by anything, or nested too deeply is refused here.
//!
//! Everything is bounded: by the size of the body, and by the limits below.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of objects and lists. The deepest request is a batch:
/// body, operations, operation, lines, line.
pub const MAX_DEPTH: usize = 8;
/// Most members of one object. The largest are an item's quotas, one a node.
pub const MAX_MEMBERS: usize = 128;
/// Elements of one list that are kept; whoever reads the list refuses more.
pub const MAX_ELEMENTS: usize = 1_000;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(u64),
    Negative,
    /// A number with a fraction or exponent, or beyond 64 bits.
    Fraction,
    Text(Cow<'a, str>),
    List(List<'a>),
    Object(Object<'a>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct List<'a> {
    pub(super) elements: Vec<Value<'a>>,
    /// There were more than [`MAX_ELEMENTS`]; these were not kept.
    pub(super) overlong: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object<'a> {
    /// In the order written, each name once.
    pub(super) members: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Names that were given more than once.
    pub(super) repeated: Vec<Cow<'a, str>>,
}

impl Value<'_> {
    /// What it is, for "must be a text, not a list".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Negative => "a number",
            Value::Fraction => "a number with a fraction, an exponent or more than 64 bits",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// Reads one whole body.
///
/// # Errors
/// When it is not one JSON value within the limits; the message says where.
pub(super) fn parse(bytes: &[u8]) -> Result<Value<'_>, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| format!("is not UTF-8 after byte {}", e.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Err("is empty".to_owned());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value =
        ValueSeed { depth: 0 }.deserialize(&mut deserializer).map_err(|e| format!("is not valid: {e}"))?;
    deserializer.end().map_err(|e| format!("is followed by something else: {e}"))?;
    Ok(value)
}

struct ValueSeed {
    depth: usize,
}

impl ValueSeed {
    fn deeper<E: Error>(&self) -> Result<ValueSeed, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested more than {MAX_DEPTH} deep")));
        }
        Ok(ValueSeed { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(number).map_or(Value::Negative, Value::Integer))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Fraction)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        let mut list = List::default();
        while list.elements.len() < MAX_ELEMENTS {
            match elements.next_element_seed(self.deeper()?)? {
                Some(element) => list.elements.push(element),
                None => return Ok(Value::List(list)),
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            list.overlong = true;
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let mut object = Object::default();
        let mut count = 0;
        while let Some(name) = members.next_key_seed(NameSeed)? {
            count += 1;
            if count > MAX_MEMBERS {
                return Err(A::Error::custom(format_args!("an object of more than {MAX_MEMBERS} members")));
            }
            let value = members.next_value_seed(self.deeper()?)?;
            if object.members.iter().any(|(known, _)| *known == name) {
                object.repeated.push(name);
            } else {
                object.members.push((name, value));
            }
        }
        Ok(Value::Object(object))
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_integers_or_known_not_to_be() {
        for (text, value) in [
            ("0", Value::Integer(0)),
            ("18446744073709551615", Value::Integer(u64::MAX)),
            ("-1", Value::Negative),
            ("18446744073709551616", Value::Fraction),
            ("1.0", Value::Fraction),
            ("1e3", Value::Fraction),
            ("1E0", Value::Fraction),
            ("-0", Value::Fraction),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(20_000);
        let bad: [&[u8]; 14] = [
            b"",
            b" ",
            b"{",
            b"{}x",
            b"{} {}",
            b"01",
            b"+1",
            b".5",
            b"NaN",
            b"'a'",
            b"{a:1}",
            b"[1,]",
            b"\"\xff\"",
            b"\"\\ud800\"",
        ];
        for text in bad.into_iter().chain([deep.as_bytes(), b"\xef\xbb\xbf{}"]) {
            assert!(parse(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_name_given_twice_is_noted_at_any_level() {
        let Ok(Value::Object(outer)) = parse(br#"{"a":{"b":1,"b":2},"a":3}"#) else { panic!("an object") };
        assert_eq!(outer.repeated, ["a"]);
        let Value::Object(inner) = &outer.members[0].1 else { panic!("an object") };
        assert_eq!(inner.repeated, ["b"]);
    }

    #[test]
    fn nesting_lists_and_objects_are_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());

        let list = format!("[{}0]", "0,".repeat(MAX_ELEMENTS));
        let Ok(Value::List(list)) = parse(list.as_bytes()) else { panic!("a list") };
        assert!(list.overlong && list.elements.len() == MAX_ELEMENTS);

        let members: Vec<String> = (0..=MAX_MEMBERS).map(|i| format!("\"{i}\":0")).collect();
        assert!(parse(format!("{{{}}}", members.join(",")).as_bytes()).is_err());
    }
}

//! Reads the fields of a request body by name, noting everything that is wrong with it.
//!
//! A reader takes each field it knows; what is left at the end is an unknown field. Fields
//! given twice, of the wrong type or out of range are noted with their path, such as
//! `operations[2].lines[0].quantity`, and the request is refused once all of it was looked at.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use super::json::{Object, Value};
use super::problem::{Errors, Problem};
use super::time;
use crate::types::{Autonomy, InvalidAutonomy, Timestamp};

/// Longest text in a free field: a name, a reason, a reference.
pub const MAX_TEXT_CHARS: usize = 256;
/// Most characters of a client's own field name that an answer repeats.
const MAX_NAME_CHARS: usize = 64;

/// Where in the body a value stands. Made without allocating: it is needed only when something is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Body,
    Field(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Body => f.write_str("body"),
            Path::Field(Path::Body, name) => f.write_str(&shortened(name)),
            Path::Field(parent, name) => write!(f, "{parent}.{}", shortened(name)),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A name as an answer may repeat it.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

/// Takes the whole of a body: parses it and lets `read` take the fields.
///
/// # Errors
/// When it is not strict JSON, not an object, or anything was noted.
pub(super) fn read_body<T>(
    bytes: &[u8],
    mut errors: Errors,
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<T, Problem> {
    let value = super::json::parse(bytes).map_err(|message| Problem::field(Path::Body, message))?;
    let value = Fields::read(value, &Path::Body, &mut errors, read);
    errors.finish(value)
}

/// The fields of one object that have not been taken yet.
#[derive(Debug)]
pub(super) struct Fields<'v, 'p> {
    object: Object<'v>,
    path: &'p Path<'p>,
    errors: &'p mut Errors,
    /// Required, and not there. They are noted last: a misspelt field says more than the lack of it.
    missing: Vec<String>,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// Lets `read` take the fields of `value`, then notes what it did not know.
    pub(super) fn read<T>(
        value: Value<'v>,
        path: &'p Path<'p>,
        errors: &'p mut Errors,
        read: impl FnOnce(&mut Fields<'v, 'p>) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(object) = value else {
            errors.add(path, format_args!("must be an object, not {}", value.kind()));
            return None;
        };
        for name in &object.repeated {
            errors.add(Path::Field(path, name), "is given more than once");
        }
        let mut fields = Fields { object, path, errors, missing: Vec::new() };
        let value = read(&mut fields);
        let Fields { object, path, errors, missing } = fields;
        for (name, _) in &object.members {
            errors.add(Path::Field(path, name), "is not a field of this request");
        }
        for name in &missing {
            errors.add(Path::Field(path, name), "is required");
        }
        value
    }

    /// Notes that something is wrong with a field of this object.
    pub(super) fn wrong(&mut self, name: &str, message: impl fmt::Display) {
        self.errors.add(Path::Field(self.path, name), message);
    }

    fn take(&mut self, name: &str) -> Option<Value<'v>> {
        let at = self.object.members.iter().position(|(known, _)| known == name)?;
        Some(self.object.members.remove(at).1)
    }

    /// Takes a field that must be there; `None`: it was noted why there is none.
    fn demand(&mut self, name: &str) -> Option<Value<'v>> {
        let value = self.take(name);
        if value.is_none() {
            self.missing.push(name.to_owned());
        }
        value
    }

    /// An integer that may be left out.
    pub(super) fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take(name)?;
        self.checked_integer(name, value, range)
    }

    pub(super) fn required_integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.demand(name)?;
        self.checked_integer(name, value, range)
    }

    fn checked_integer(&mut self, name: &str, value: Value<'v>, range: RangeInclusive<u64>) -> Option<u64> {
        match value {
            Value::Integer(number) if range.contains(&number) => Some(number),
            Value::Integer(_) | Value::Negative => {
                let (least, most) = range.into_inner();
                self.wrong(name, format_args!("must be an integer from {least} to {most}"));
                None
            }
            other => {
                self.wrong(name, format_args!("must be an integer, not {}", other.kind()));
                None
            }
        }
    }

    /// `true` or `false`, that may be left out.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => {
                self.wrong(name, format_args!("must be true or false, not {}", other.kind()));
                None
            }
        }
    }

    /// A name or id that must be there, of the form that `new` checks.
    pub(super) fn required_id<T, E: fmt::Display>(
        &mut self,
        name: &str,
        new: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.demand(name)?;
        self.checked_id(name, &value, new)
    }

    /// A name or id that may be left out.
    pub(super) fn id<T, E: fmt::Display>(
        &mut self,
        name: &str,
        new: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.take(name)?;
        self.checked_id(name, &value, new)
    }

    fn checked_id<T, E: fmt::Display>(
        &mut self,
        name: &str,
        value: &Value<'v>,
        new: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Value::Text(text) = value else {
            self.wrong(name, format_args!("must be a text, not {}", value.kind()));
            return None;
        };
        self.errors.check(Path::Field(self.path, name), new(text))
    }

    /// A free text that may be left out: at most [`MAX_TEXT_CHARS`], no control characters.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = match self.take(name)? {
            Value::Text(text) => text,
            other => {
                self.wrong(name, format_args!("must be a text, not {}", other.kind()));
                return None;
            }
        };
        if text.chars().count() > MAX_TEXT_CHARS || text.chars().any(char::is_control) {
            self.wrong(
                name,
                format_args!("must be at most {MAX_TEXT_CHARS} characters, none a control character"),
            );
            return None;
        }
        Some(text.into_owned())
    }

    /// One of a few words, that may be left out.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        self.checked_word(name, &value, words)
    }

    pub(super) fn required_word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.demand(name)?;
        self.checked_word(name, &value, words)
    }

    fn checked_word<T: Copy>(&mut self, name: &str, value: &Value<'v>, words: &[(&str, T)]) -> Option<T> {
        let found = match value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format_args!("must be one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A list of objects that must be there, of 1 to `most` elements, each read by `read`.
    /// `None` when any of it is wrong.
    pub(super) fn required_objects<T>(
        &mut self,
        name: &str,
        most: usize,
        mut read: impl FnMut(&mut Fields<'v, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = match self.demand(name)? {
            Value::List(list) => list,
            other => {
                self.wrong(name, format_args!("must be a list, not {}", other.kind()));
                return None;
            }
        };
        if list.overlong || list.elements.is_empty() || list.elements.len() > most {
            self.wrong(name, format_args!("must have 1 to {most} elements"));
            return None;
        }
        let path = Path::Field(self.path, name);
        let count = list.elements.len();
        let mut all = Vec::with_capacity(count);
        for (index, element) in list.elements.into_iter().enumerate() {
            let path = Path::Element(&path, index);
            all.extend(Fields::read(element, &path, self.errors, &mut read));
        }
        (all.len() == count).then_some(all)
    }

    /// An object that may be left out, whose names are the client's: each value is an object too.
    pub(super) fn named_objects<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&str, &mut Fields<'v, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let object = match self.take(name)? {
            Value::Object(object) => object,
            other => {
                self.wrong(name, format_args!("must be an object, not {}", other.kind()));
                return None;
            }
        };
        let path = Path::Field(self.path, name);
        for repeated in &object.repeated {
            self.errors.add(Path::Field(&path, repeated), "is given more than once");
        }
        let count = object.members.len();
        let mut all = Vec::with_capacity(count);
        for (key, value) in object.members {
            let path = Path::Field(&path, &key);
            all.extend(Fields::read(value, &path, self.errors, |fields| read(&key, fields)));
        }
        (all.len() == count).then_some(all)
    }

    /// An object that may be left out, whose fields `read` takes.
    pub(super) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        Fields::read(value, &Path::Field(self.path, name), self.errors, read)
    }

    /// An object that must be there and not be empty, whose names are the client's, of the form that `new`
    /// checks: each value is an integer. `None` when any of it is wrong.
    pub(super) fn required_integers<T, E: fmt::Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
        new: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<(T, u64)>> {
        let value = self.demand(name)?;
        if matches!(&value, Value::Object(object) if object.members.is_empty()) {
            self.wrong(name, "must not be empty");
            return None;
        }
        Fields::read(value, &Path::Field(self.path, name), self.errors, |fields| {
            let mut all = Vec::new();
            for (key, value) in std::mem::take(&mut fields.object.members) {
                let known = fields.errors.check(Path::Field(fields.path, &key), new(&key));
                all.push(known.zip(fields.checked_integer(&key, value, range.clone())));
            }
            all.into_iter().collect()
        })
    }

    /// A dial that may be left out: a number of units, or a text.
    pub(super) fn autonomy(&mut self, name: &str) -> Option<Autonomy> {
        let read = match self.take(name)? {
            Value::Integer(units) => Autonomy::try_from(units),
            Value::Text(text) => text.parse(),
            _ => Err(InvalidAutonomy),
        };
        self.errors.check(Path::Field(self.path, name), read)
    }

    /// A point in time that must be there.
    pub(super) fn required_time(&mut self, name: &str) -> Option<Timestamp> {
        self.required_id(name, time::parse)
    }

    /// Notes that something is wrong with this object as a whole.
    pub(super) fn wrong_here(&mut self, message: impl fmt::Display) {
        self.errors.add(self.path, message);
    }
}

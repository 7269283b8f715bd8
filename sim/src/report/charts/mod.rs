//! Charts as static SVG, made without a script. A chart is drawn once for each width it may be seen
//! at, and the style sheet shows the one that fits, so that its text is always of a size to read.
//! Colours are classes of the style sheet; every colour is also told by place, shape or words.

pub mod area;
pub mod axis;
pub mod bars;
pub mod events;
pub mod matrix;

use super::html::Text;

/// A width to draw for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A phone, alone or one under the other.
    Phone,
    /// One of two on a wide screen.
    Half,
    /// Alone on a wide screen, or on paper.
    Full,
}

/// What a page with one run is drawn for.
pub const ALONE: [Size; 2] = [Size::Full, Size::Phone];
/// And one with two.
pub const PAIR: [Size; 2] = [Size::Half, Size::Phone];

impl Size {
    pub fn width(self) -> f64 {
        match self {
            Size::Phone => 332.0,
            Size::Half => 560.0,
            Size::Full => 960.0,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Size::Phone => "phone",
            Size::Half => "wide half",
            Size::Full => "wide",
        }
    }
}

/// The size of text in charts, in the units they are drawn in: pixels on a phone.
pub const TEXT: f64 = 14.0;
/// About the width of a character of that size, in the widest of common fonts.
pub const CHARACTER: f64 = 8.4;

/// How wide a text will be, about.
pub fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// A chart at each of the sizes. `label` tells those who cannot see it what it shows.
pub fn at_sizes(sizes: &[Size], label: &str, draw: impl Fn(Size) -> (f64, String)) -> String {
    let chart = |size: &Size| {
        let (height, inside) = draw(*size);
        format!(
            "<svg class=\"chart {}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{inside}</svg>\n",
            size.class(),
            px(size.width()),
            px(height),
            Text(label)
        )
    };
    sizes.iter().map(chart).collect()
}

/// A coordinate, to a tenth of a pixel.
pub fn px(number: f64) -> String {
    let text = format!("{:.1}", super::numbers::finite(number));
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// A text at a place. `class` says how: `end`, `middle`, `name`, `faint`.
pub fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text x=\"{}\" y=\"{}\" class=\"{class}\">{}</text>", px(x), px(y), Text(text))
}

pub fn rect(x: f64, y: f64, width: f64, height: f64, class: &str) -> String {
    let (x, y, width, height) = (px(x), px(y), px(width.max(0.0)), px(height.max(0.0)));
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"{class}\"/>")
}

pub fn line(from: (f64, f64), to: (f64, f64), class: &str) -> String {
    let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
    format!("<path d=\"M{x1} {y1}L{x2} {y2}\" class=\"{class}\"/>")
}

pub fn path(d: &str, class: &str) -> String {
    if d.is_empty() { String::new() } else { format!("<path d=\"{d}\" class=\"{class}\"/>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_finite() {
        assert_eq!([1.0, 1.26, -0.01, f64::NAN, f64::INFINITY].map(px), ["1", "1.3", "0", "0", "0"]);
        assert!(!rect(0.0, 0.0, -4.0, 2.0, "x").contains('-'));
    }
}

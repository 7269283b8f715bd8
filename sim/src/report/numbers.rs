//! How numbers are written: thousands separators, units, signs, shares that do not round a loss
//! away. Whatever comes in, no `NaN` goes out.

/// A number that can be drawn: what is not finite counts as zero.
pub fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 order`, `2 orders`.
pub fn of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// With its sign, and a proper minus.
pub fn signed(number: i128) -> String {
    let size = count(u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX));
    match number.signum() {
        0 => "0".to_owned(),
        1 => format!("+{size}"),
        _ => format!("−{size}"),
    }
}

/// A part of a whole in percent. Only all of it is 100%, and only nothing is 0%.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    percent(part as f64 / whole as f64)
}

/// A ratio from 0 to 1 in percent.
pub fn percent(ratio: f64) -> String {
    let percent = finite(ratio) * 100.0;
    if percent > 0.0 && percent < 0.05 {
        "under 0.1%".to_owned()
    } else if (99.95..100.0).contains(&percent) {
        "over 99.9%".to_owned()
    } else if percent == percent.round() {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// Milliseconds, as seconds from a second on.
pub fn millis(millis: f64) -> String {
    let millis = finite(millis).max(0.0);
    match millis {
        0.0 => "0 ms".to_owned(),
        m if m < 9.95 => format!("{m:.1} ms"),
        m if m < 999.5 => format!("{m:.0} ms"),
        m if m < 9_950.0 => format!("{:.1} s", m / 1e3),
        m => format!("{} s", count((m / 1e3).round() as u64)),
    }
}

/// Bytes in decimal units.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        b if b < 1_000 => format!("{b} B"),
        b if b < 999_950 => format!("{:.1} kB", b as f64 / 1e3),
        b if b < 999_950_000 => format!("{:.1} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

/// A time since the beginning, or a length: `1 d 6 h`, `45 min`, `2.5 s`.
pub fn elapsed(seconds: f64) -> String {
    let seconds = finite(seconds).max(0.0);
    if seconds == 0.0 {
        return "0".to_owned();
    }
    if seconds < 60.0 {
        let tenths = format!("{:.1}", seconds);
        return format!("{} s", tenths.strip_suffix(".0").unwrap_or(&tenths));
    }
    let mut left = seconds.round() as u64;
    let mut parts = Vec::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)] {
        if left >= size {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        }
    }
    parts.join(" ")
}

/// The label of a tick: short, whatever the size.
pub fn tick(number: u64) -> String {
    let scaled = |scale: f64, unit: &str| {
        let text = format!("{:.1}", number as f64 / scale);
        format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match number {
        n if n < 100_000 => count(n),
        n if n < 1_000_000 => scaled(1e3, "k"),
        n if n < 1_000_000_000 => scaled(1e6, "M"),
        n if n < 1_000_000_000_000 => scaled(1e9, "G"),
        _ => scaled(1e12, "T"),
    }
}

/// Something spelt out, and the last joined with "and".
pub fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let written = [0, 999, 1_000, 12_345, 1_234_567, u64::MAX].map(count);
        let expected = ["0", "999", "1,000", "12,345", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(written, expected);
        assert_eq!([0, 1_200, -45].map(signed), ["0", "+1,200", "−45"]);
    }

    #[test]
    fn a_share_never_rounds_a_loss_away() {
        assert_eq!(share(1, 0), "–");
        assert_eq!(share(10, 10), "100%");
        assert_eq!(share(99_999, 100_000), "over 99.9%");
        assert_eq!(share(1, 100_000), "under 0.1%");
        assert_eq!(share(972, 1_000), "97.2%");
        assert_eq!(percent(f64::NAN), "0%");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(
            [0.0, 1.24, 99.9, 999.9, 1_240.0, 65_000.0].map(millis),
            ["0 ms", "1.2 ms", "100 ms", "1.0 s", "1.2 s", "65 s"]
        );
        assert_eq!(
            [0.0, 2.5, 60.0, 5_400.0, 86_400.0, 108_000.0].map(elapsed),
            ["0", "2.5 s", "1 min", "1 h 30 min", "1 d", "1 d 6 h"]
        );
        assert_eq!([f64::NAN, f64::INFINITY, -1.0].map(elapsed), ["0", "0", "0"]);
    }

    #[test]
    fn ticks_stay_short() {
        assert_eq!(
            [0, 12_500, 150_000, 2_000_000, u64::MAX].map(tick),
            ["0", "12,500", "150 k", "2 M", "18446744.1 T"]
        );
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(listed(&["1 a".into(), "2 b".into(), "3 c".into()]), "1 a, 2 b and 3 c");
    }
}

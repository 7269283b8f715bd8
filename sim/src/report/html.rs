//! Text that is safe to put into HTML, and the frame of a page. Titles, skus and names come from
//! users: whatever is theirs goes through `Text`. Leaves what a page says to others.

use std::fmt;

/// A user's text in HTML, between tags or in a quoted attribute.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                c if c.is_whitespace() => out.write_str(" ")?,
                c if disturbs(c) => out.write_str("\u{FFFD}")?,
                c => write!(out, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Control characters have no place in HTML; those of direction would turn the text after them.
fn disturbs(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A text cut to so many characters.
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The whole document. `title` is a user's, `body` is HTML.
pub fn document(title: &str, body: &str) -> String {
    let style = include_str!("style.css");
    let title = Text(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A section: what it is, what to see in it, and the thing itself.
pub fn section(heading: &str, caption: &str, body: &str) -> String {
    format!("<section>\n<h2>{heading}</h2>\n<p class=\"caption\">{caption}</p>\n{body}\n</section>\n")
}

/// A table that scrolls in its own box where the screen is narrower.
pub fn table(label: &str, head: &str, rows: &str, foot: &str) -> String {
    let foot = if foot.is_empty() { String::new() } else { format!("<tfoot>{foot}</tfoot>") };
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table>\
         <thead>{head}</thead>\n<tbody>{rows}</tbody>{foot}</table></div>",
        Text(label)
    )
}

/// One row of a table: its heading, which is a user's, and cells, which are HTML.
pub fn row<I: IntoIterator<Item = String>>(heading: &str, cells: I) -> String {
    let cells: String = cells.into_iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr><th scope=\"row\" title=\"{0}\">{0}</th>{cells}</tr>\n", Text(heading))
}

/// The headings of columns.
pub fn head(columns: &[&str]) -> String {
    let cells: String = columns.iter().map(|column| format!("<th scope=\"col\">{column}</th>")).collect();
    format!("<tr>{cells}</tr>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_wrote_stays_text() {
        let text = Text("<b title=\"x\" id='y'>&\n\u{0}\u{202E}").to_string();
        assert_eq!(text, "&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp; \u{FFFD}\u{FFFD}");
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        assert_eq!(short("größer", 6), "größer");
        assert_eq!(short("größer als", 5), "größ…");
        assert_eq!(short("", 5), "");
    }
}

//! Two runs side by side: what differs, better or worse in words, and the same charts in pairs on
//! the same axes. On a phone one stands under the other.

use super::charts::area::{self, Axes, STRIPS, Series};
use super::charts::events::Events;
use super::charts::{PAIR, bars, matrix};
use super::figures::Figures;
use super::html::{Text, document, head, row, section, short, table};
use super::numbers::{bytes, count, listed, millis, share, signed};
use super::page::{MODEL, captions, pace, replay, span, title};
use super::places::Places;
use super::{tables, verdict};
use crate::recording::Recording;

/// A run with what is made from it.
struct Run<'a> {
    letter: char,
    recording: &'a Recording,
    places: Places,
    events: Events,
    figures: Figures,
}

impl<'a> Run<'a> {
    fn of(letter: char, recording: &'a Recording) -> Run<'a> {
        let (places, events) = (Places::of(recording), Events::of(recording));
        Run { letter, recording, places, events, figures: Figures::of(recording) }
    }

    fn series(&self) -> Series<'_> {
        Series::of(self.recording, &self.places, &self.events)
    }
}

/// Two runs of scenarios as one page.
pub fn compare(a: &Recording, b: &Recording) -> String {
    let runs = [Run::of('A', a), Run::of('B', b)];
    let series = [runs[0].series(), runs[1].series()];
    let axes = series[0].axes().both(&series[1].axes());

    let mut body = top(&runs);
    body += &section(
        "What differs",
        "See in the last column whether B is better or worse than A.",
        &differences(&runs),
    );
    body += &section(
        "Rights over time",
        captions::RIGHTS,
        &(area::rights_key() + &over_time(&runs, &series, &axes)),
    );
    let sales = pair(&runs, |at, run| {
        area::sales_key(run.recording) + &area::sales(&series[at], &axes, Some(&series[1 - at]), &PAIR)
    });
    let spans = if (series[0].span - series[1].span).abs() > series[0].span * 0.01 {
        "<p class=\"more\">The runs were recorded in spans of different lengths: compare shapes, not heights.</p>"
    } else {
        ""
    };
    body += &section("Sales and refusals", captions::SALES, &(sales + spans));
    body += &section(
        "By region",
        captions::NODES,
        &stacked(&runs, |run| tables::nodes(run.recording, &run.places)),
    );
    let deepest = matrix::deepest(a).max(matrix::deepest(b));
    let transfers = pair(&runs, |_, run| matrix::transfers(run.recording, &run.places, deepest));
    body += &section("Transfers", captions::TRANSFERS, &transfers);
    let values: Vec<f64> = [a, b].into_iter().flat_map(bars::values).collect();
    let latency = pair(&runs, |_, run| bars::latency(run.recording, &run.places, &values, &PAIR));
    body += &section("Latency as buyers saw it", captions::LATENCY, &(bars::key().to_owned() + &latency));
    body += &section(
        "The books at the end",
        captions::BOOKS,
        &stacked(&runs, |run| tables::books(run.recording)),
    );
    body += &section("What this is", captions::ABOUT, &about(&runs));
    document(&format!("A: {} / B: {}", title(a), title(b)), &body)
}

fn top(runs: &[Run; 2]) -> String {
    let name = |run: &Run| {
        let about = Text(run.recording.about.trim()).to_string();
        let head = format!("<h2>{} · {}</h2>", run.letter, Text(title(run.recording)));
        let sentence = verdict::sentences(run.recording, &run.figures, &run.places).html();
        format!("<div>{head}<p class=\"about\">{about}</p><p>{sentence}</p></div>\n")
    };
    let violations: String =
        runs.iter().map(|run| verdict::violation(run.recording, &format!(" in {}", run.letter))).collect();
    let [a, b] = [&runs[0], &runs[1]].map(|run| span(run.recording));
    let both = if a == b { a } else { format!("{a} and {b}") };
    format!(
        "<header>\n<p class=\"kind\">Two Stockade scenarios · {}</p>\n<h1>A or B?</h1>\n\
         {violations}<p class=\"verdict\">{}</p>\n<div class=\"pair runs\">{}{}</div>\n</header>\n",
        both,
        decision(&runs[0].figures, &runs[1].figures),
        name(&runs[0]),
        name(&runs[1])
    )
}

/// What speaks for B and what against it, in a sentence.
fn decision(a: &Figures, b: &Figures) -> String {
    let mut better = Vec::new();
    let mut worse = Vec::new();
    let mut weigh = |good: i128, more: &str, less: &str| {
        let size = count(u64::try_from(good.unsigned_abs()).unwrap_or(u64::MAX));
        match good.signum() {
            1 => better.push(more.replace('#', &size)),
            -1 => worse.push(less.replace('#', &size)),
            _ => {}
        }
    };
    let gain = |a: u64, b: u64| i128::from(b) - i128::from(a);
    let sold_more = gain(a.totals.orders_served, b.totals.orders_served);
    weigh(sold_more, "serves # orders more", "serves # orders fewer");
    weigh(gain(b.refused, a.refused), "refuses # units fewer", "refuses # units more");
    weigh(
        gain(b.totals.avoidable, a.totals.avoidable),
        "has # avoidable refusals fewer",
        "has # avoidable refusals more",
    );
    let slow = |figures: &Figures| figures.slowest.map_or(0.0, |(p99, _)| p99.max(0.0));
    // A twentieth of a wait is chance, too.
    let faster = slow(a) - slow(b);
    let faster = if faster.abs() * 20.0 < slow(a) { 0 } else { faster.round() as i128 };
    weigh(faster, "is # ms faster at its slowest (p99)", "is # ms slower at its slowest (p99)");
    let moved = gain(b.totals.units_moved, a.totals.units_moved);
    // Fewer than one in a hundred are chance.
    let moved = if moved.unsigned_abs() * 100 < u128::from(a.totals.units_moved) { 0 } else { moved };
    weigh(moved, "moves # units fewer", "moves # units more");
    let mut text = match (better.as_slice(), worse.as_slice()) {
        ([], []) => "<b>A and B come to the same, or nearly.</b>".to_owned(),
        (good, []) => format!("<b>B is better in all that differs:</b> it {}.", listed(good)),
        ([], bad) => format!("<b>A is better in all that differs:</b> B {}.", listed(bad)),
        // What weighs most comes first: buyers who were served or not.
        (good, bad) if sold_more < 0 => format!("<b>B {}.</b> But it {}.", listed(bad), listed(good)),
        (good, bad) => format!("<b>B {}.</b> But it {}.", listed(good), listed(bad)),
    };
    if a.totals.units_asked != b.totals.units_asked {
        text += " The two were not asked for the same number of units: compare shares rather than counts.";
    }
    text
}

/// Which direction is good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Good {
    More,
    Less,
    /// Depends on what one wants.
    Neither,
}

fn differences(runs: &[Run; 2]) -> String {
    let [a, b] = [&runs[0].figures, &runs[1].figures];
    let (ta, tb) = (&a.totals, &b.totals);
    let plain = |name, a: u64, b: u64, good| difference(name, a, b, good, count);
    let mut rows = plain("Orders", ta.orders, tb.orders, Good::Neither);
    rows += &plain("Orders served", ta.orders_served, tb.orders_served, Good::More);

    rows += &plain("Units asked for", ta.units_asked, tb.units_asked, Good::Neither);
    rows += &plain("… never paid for", ta.abandoned, tb.abandoned, Good::Neither);
    rows += &plain("Units served", ta.units_served, tb.units_served, Good::More);
    rows += &shares(ta.units_served, a.wanted, tb.units_served, b.wanted);
    rows += &plain("Units refused", a.refused, b.refused, Good::Less);
    rows += &plain("… sold out", ta.sold_out, tb.sold_out, Good::Less);
    rows += &plain("… elsewhere", ta.elsewhere, tb.elsewhere, Good::Less);
    rows += &plain("… unknown", ta.unknown, tb.unknown, Good::Less);
    rows += &plain("… unanswered", ta.unanswered, tb.unanswered, Good::Less);
    rows += &plain("… of all these avoidable", ta.avoidable, tb.avoidable, Good::Less);
    rows += &plain("Orders failed over", a.failed_over, b.failed_over, Good::Less);
    rows += &slowest(a.slowest, b.slowest);
    rows += &plain("Units moved", ta.units_moved, tb.units_moved, Good::Less);
    rows += &plain("Transfers", ta.transfers, tb.transfers, Good::Less);
    rows += &difference("Bytes between nodes", ta.bytes, tb.bytes, Good::Less, bytes);
    rows += &plain("Units left at the end", a.left, b.left, Good::Neither);
    let columns = ["", "A", "B", "B − A", "B is"];
    format!("<div class=\"differs\">{}</div>", table("What differs", &head(&columns), &rows, ""))
}

fn difference(name: &str, a: u64, b: u64, good: Good, written: fn(u64) -> String) -> String {
    let change = i128::from(b) - i128::from(a);
    let size = u64::try_from(change.unsigned_abs()).unwrap_or(u64::MAX);
    let sign = ["−", "", "+"][usize::try_from(change.signum() + 1).unwrap_or(1)];
    let mut text = format!("{sign}{}", written(size));
    // Beyond tenfold a share says less than the two numbers.
    let tells = change.unsigned_abs() * 2_000 >= u128::from(a) && change.unsigned_abs() < 10 * u128::from(a);
    if a > 0 && tells {
        text += &format!(" <small>({}%)</small>", signed_share(change, a));
    }
    row(name, [written(a), written(b), text, word(change.signum() as i8, good)])
}

/// A change in percent of what was, rounded.
fn signed_share(change: i128, of: u64) -> String {
    let percent = change as f64 / of as f64 * 100.0;
    match percent.abs() {
        p if p < 9.95 => format!("{}{p:.1}", if change < 0 { "−" } else { "+" }),
        _ => signed(percent.round() as i128),
    }
}

fn shares(a: u64, of_a: u64, b: u64, of_b: u64) -> String {
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let points = (ratio(b, of_b) - ratio(a, of_a)) * 100.0;
    let text = match (of_a == 0 || of_b == 0, points) {
        (true, _) => "–".to_owned(),
        (_, p) if p > 0.0 => format!("+{p:.1} points"),
        (_, p) if p < 0.0 => format!("−{:.1} points", -p),
        _ => "0".to_owned(),
    };
    let sign = if points > 0.0 {
        1
    } else if points < 0.0 {
        -1
    } else {
        0
    };
    row("… of those wanted", [share(a, of_a), share(b, of_b), text, word(sign, Good::More)])
}

fn slowest(a: Option<(f64, usize)>, b: Option<(f64, usize)>) -> String {
    let (Some((a, _)), Some((b, _))) = (a, b) else {
        let written = [a, b].map(|p99| p99.map_or_else(|| "–".to_owned(), |(p99, _)| millis(p99)));
        let [a, b] = written;
        return row("Slowest p99", [a, b, "–".to_owned(), "–".to_owned()]);
    };
    let change = b - a;
    let same = millis(a) == millis(b);
    let sign = if same {
        0
    } else if change > 0.0 {
        1
    } else {
        -1
    };
    let text = match sign {
        0 => "0".to_owned(),
        1 => format!("+{}", millis(change)),
        _ => format!("−{}", millis(-change)),
    };
    row("Slowest p99", [millis(a), millis(b), text, word(sign, Good::Less)])
}

/// Better or worse, by a sign and a word as well as by colour.
fn word(sign: i8, good: Good) -> String {
    let word = match (sign, good) {
        (0, _) => "= same",
        (1, Good::More) | (-1, Good::Less) => "<b class=\"good\">✓ better</b>",
        (_, Good::Neither) => "≠ differs",
        _ => "<b class=\"bad\">✗ worse</b>",
    };
    word.to_owned()
}

fn heading(run: &Run) -> String {
    format!("<h3>{} · {}</h3>\n", run.letter, Text(&short(title(run.recording), 60)))
}

/// Both beside each other where there is room.
fn pair(runs: &[Run; 2], draw: impl Fn(usize, &Run) -> String) -> String {
    let one = |(at, run): (usize, &Run)| format!("<div>{}{}</div>\n", heading(run), draw(at, run));
    format!("<div class=\"pair\">{}</div>", runs.iter().enumerate().map(one).collect::<String>())
}

/// One under the other: for wide tables.
fn stacked(runs: &[Run; 2], draw: impl Fn(&Run) -> String) -> String {
    runs.iter().map(|run| heading(run) + &draw(run)).collect()
}

fn over_time(runs: &[Run; 2], series: &[Series; 2], axes: &Axes) -> String {
    pair(runs, |at, run| {
        let more = run.places.more(run.places.shown(STRIPS).len());
        let happened = run.events.list(|node| run.places.name(node).to_owned());
        area::rights(&series[at], axes, Some(&series[1 - at]), &PAIR)
            + &more
            + "<h3>What happened</h3>\n"
            + &happened
    })
}

fn about(runs: &[Run; 2]) -> String {
    let command = |run: &Run| {
        format!(
            "<p>{}, seed {}:</p>\n<pre>{}</pre>\n{}",
            run.letter,
            run.recording.seed,
            Text(&replay(run.recording)),
            pace(run.recording)
        )
    };
    format!(
        "<p>Two deterministic simulations, each of which can be had again:</p>\n{}{}{MODEL}",
        command(&runs[0]),
        command(&runs[1])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Totals;

    fn figures(orders_served: u64, elsewhere: u64, units_moved: u64) -> Figures {
        let totals = Totals { orders: 100, orders_served, elsewhere, units_moved, ..Totals::default() };
        Figures::of(&Recording { totals, ..Recording::default() })
    }

    #[test]
    fn the_decision_weighs_what_differs() {
        let (a, b) = (figures(90, 10, 5), figures(95, 5, 1_205));
        assert_eq!(
            decision(&a, &b),
            "<b>B serves 5 orders more and refuses 5 units fewer.</b> But it moves 1,200 units more."
        );
        assert_eq!(decision(&a, &a), "<b>A and B come to the same, or nearly.</b>");
        assert_eq!(
            decision(&a, &figures(80, 10, 5)),
            "<b>A is better in all that differs:</b> B serves 10 orders fewer."
        );
    }

    #[test]
    fn orders_lost_weigh_more_than_units_not_moved() {
        let told = decision(&figures(90, 10, 500), &figures(80, 20, 5));
        assert!(
            told.starts_with("<b>B serves 10 orders fewer and refuses 10 units more.</b> But it moves 495"),
            "{told}"
        );
    }

    #[test]
    fn better_and_worse_are_words() {
        assert!(
            difference("x", 10, 12, Good::More, count)
                .contains("<td>+2 <small>(+20%)</small></td><td><b class=\"good\">✓ better")
        );
        assert!(difference("x", 10, 12, Good::Less, count).contains("✗ worse"));
        assert!(difference("x", 1_000, 1, Good::Less, count).contains("−999 <small>(−100%)</small>"));
        assert!(difference("x", 0, 0, Good::Less, count).contains("<td>0</td><td>= same"));
        assert!(difference("x", 1, 2, Good::Neither, count).contains("≠ differs"));
        assert!(shares(9, 10, 8, 10).contains("−10.0 points</td><td><b class=\"bad\">✗ worse"));
        assert!(slowest(Some((20.0, 0)), Some((12.0, 1))).contains("−8.0 ms</td><td><b class=\"good\">"));
        assert!(slowest(None, Some((12.0, 1))).contains("<td>–</td><td>12 ms</td><td>–</td>"));
    }
}

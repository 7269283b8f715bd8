//! The report of one run, from top to bottom.

use super::charts::area::{self, STRIPS, Series};
use super::charts::events::Events;
use super::charts::{ALONE, bars, matrix};
use super::figures::Figures;
use super::html::{Text, document, section};
use super::numbers::{bytes, count, elapsed, millis};
use super::places::Places;
use super::{tables, verdict};
use crate::recording::Recording;

/// What each part of a report shows, in one sentence; a comparison says the same.
pub mod captions {
    pub const RIGHTS: &str = "Each strip is what one place could sell at once without asking anyone: see where it runs \
        out while others still have units, and what a cut, a restock or a setting changes; every strip has a scale \
        of its own.";
    pub const SALES: &str = "See when buyers were turned away and for which reason: where the line of what they wanted \
        stands above the area of what was served, the lower chart says why.";
    pub const NODES: &str = "Units that buyers asked for at each place and what became of them (what is missing was never paid \
        for); failed over counts orders served by another node than the nearest, local is the share of served orders \
        that needed no word from another node.";
    pub const TRANSFERS: &str = "Rows gave units, columns received them: a deep colour is a way that many units \
        went, so that stock for those buyers could lie there from the start.";
    pub const LATENCY: &str = "How long buyers waited from request to answer: a long thin tail means that some orders \
        waited for units from far away or for a node that was gone, or that many were refused, since a node asks the \
        others before it refuses.";
    pub const BOOKS: &str = "Where every unit is at the end, items with most demand first; the last column shows that \
        none was made or lost.";
    pub const ABOUT: &str = "How to get this page again, and how far to trust it.";
}

/// The report of one run as a page of its own.
pub fn page(recording: &Recording) -> String {
    let places = Places::of(recording);
    let events = Events::of(recording);
    let series = Series::of(recording, &places, &events);
    let (axes, figures) = (series.axes(), Figures::of(recording));

    let mut body = top(recording, &figures, &places);
    let rights = area::rights_key()
        + &area::rights(&series, &axes, None, &ALONE)
        + &places.more(places.shown(STRIPS).len());
    let happened = events.list(|node| places.name(node).to_owned());
    body +=
        &section("Rights over time", captions::RIGHTS, &(rights + "<h3>What happened</h3>\n" + &happened));
    let sales = area::sales_key(recording) + &area::sales(&series, &axes, None, &ALONE);
    body += &section("Sales and refusals", captions::SALES, &sales);
    let word = if places.word() == "region" { "By region" } else { "By node" };
    body += &section(word, captions::NODES, &tables::nodes(recording, &places));
    let transfers = matrix::transfers(recording, &places, matrix::deepest(recording));
    body += &section(&format!("Transfers between {}s", places.word()), captions::TRANSFERS, &transfers);
    body += &section("Latency as buyers saw it", captions::LATENCY, &latency(recording, &places));
    body += &section("The books at the end", captions::BOOKS, &tables::books(recording));
    body += &section("What this is", captions::ABOUT, &about(recording));
    document(title(recording), &body)
}

/// A scenario's title, or what stands for none.
pub fn title(recording: &Recording) -> &str {
    match recording.title.trim() {
        "" => "A scenario without a title",
        title => title,
    }
}

fn top(recording: &Recording, figures: &Figures, places: &Places) -> String {
    let about = match recording.about.trim() {
        "" => String::new(),
        about => format!("<p class=\"about\">{}</p>\n", Text(about)),
    };
    format!(
        "<header>\n<p class=\"kind\">Stockade scenario · {} · {}</p>\n<h1>{}</h1>\n{about}{}\
         <p class=\"verdict\">{}</p>\n{}</header>\n",
        span(recording),
        super::numbers::of(recording.nodes.len() as u64, "node", "nodes"),
        Text(title(recording)),
        verdict::violation(recording, ""),
        verdict::sentences(recording, figures, places).html(),
        verdict::tiles(figures, places)
    )
}

fn latency(recording: &Recording, places: &Places) -> String {
    let chart = bars::latency(recording, places, &bars::values(recording), &ALONE);
    let longest = bars::longest(recording).map_or_else(String::new, |most| {
        format!("<p class=\"more\">The longest answer of all took {}.</p>", millis(most))
    });
    bars::key().to_owned() + &chart + &longest + &places.more(places.shown(bars::BARS).len())
}

/// How long a run lasted, and how that was compressed.
pub fn span(recording: &Recording) -> String {
    let length = elapsed(recording.seconds);
    match recording.compress {
        0 | 1 => format!("{length} of virtual time"),
        times => format!("{length} of virtual time, compressed {} times", count(times)),
    }
}

/// What compressed time means for the numbers; nothing where it was not compressed.
pub fn pace(recording: &Recording) -> String {
    match recording.compress {
        0 | 1 => String::new(),
        times => format!(
            "<p>Time was compressed {0} times: an hour of the shop took {1} of the machines. Orders met {0} times as \
             often as in truth, so that waits and transfers look worse than they would be.</p>\n",
            count(times),
            elapsed((3_600.0 / times as f64 * 10.0).round() / 10.0)
        ),
    }
}

/// How to get a run again.
pub fn replay(recording: &Recording) -> String {
    let file = if recording.file.is_empty() { "SCENARIO.toml" } else { recording.file.as_str() };
    let options: String = recording.options.iter().map(|option| format!(" {}", quoted(option))).collect();
    format!("cargo run --release -p stockade-sim -- run {}{options} --seed {}", quoted(file), recording.seed)
}

/// A file's name as a shell takes it.
fn quoted(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if file.chars().all(plain) { file.to_owned() } else { format!("'{}'", file.replace('\'', "'\\''")) }
}

fn about(recording: &Recording) -> String {
    let totals = &recording.totals;
    format!(
        "<p>A deterministic simulation: the same scenario, seed ({}) and version give the same run, event for event:</p>\n\
         <pre>{} --report report.html</pre>\n{}{MODEL}<p class=\"more\">{} events, {} messages, {} on the wire.</p>\n",
        recording.seed,
        Text(&replay(recording)),
        pace(recording),
        count(totals.events),
        count(totals.messages),
        bytes(totals.bytes)
    )
}

/// What the simulator does and does not model.
pub const MODEL: &str = "<p>Modelled are Stockade's own replicas, as they ship, with buyers, operators, clocks, \
    disks and a network whose delays, cuts and crashes come from the scenario; an oracle checks that no unit is sold \
    twice or lost. Not modelled are the web shop before it, HTTP and TLS, the speed of real processors and disks, and \
    buyers who change their minds because of an answer. Take shares, and differences between two policies, as the \
    result; milliseconds are those of the scenario's round trips, not a measurement.</p>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replay_can_be_pasted_into_a_shell() {
        let mut recording = Recording { seed: 7, ..Recording::default() };
        assert!(replay(&recording).ends_with("-- run SCENARIO.toml --seed 7"));
        recording.file = "sim/scenarios/ocean-cable.toml".into();
        assert!(replay(&recording).ends_with("-- run sim/scenarios/ocean-cable.toml --seed 7"));
        recording.file = "my shop's.toml; rm".into();
        assert!(replay(&recording).ends_with(r"-- run 'my shop'\''s.toml; rm' --seed 7"));
        recording.file = "week.toml".into();
        recording.options = ["--demand", "my orders.csv"].map(String::from).into();
        assert!(replay(&recording).ends_with("-- run week.toml --demand 'my orders.csv' --seed 7"));
    }

    #[test]
    fn compressed_time_is_told_of() {
        let mut recording = Recording { seconds: 3_600.0, ..Recording::default() };
        assert_eq!((span(&recording).as_str(), pace(&recording).as_str()), ("1 h of virtual time", ""));
        recording.compress = 60;
        assert_eq!(span(&recording), "1 h of virtual time, compressed 60 times");
        assert!(pace(&recording).contains("took 1 min of the machines"));
    }
}

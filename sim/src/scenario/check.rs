//! From a file to a [`Script`]: names become numbers, and everything that does not hold together
//! is found before the run, all at once.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use stockade::limits::{MAX_TTL, MAX_WAIT};
use stockade::types::{Millis, NodeName};
use toml::Spanned;

use super::demand_check;
use super::events_check;
use super::file::{BuyersEntry, File};
use super::lapse::Lapse;
use super::problem::{Findings, Problems};
use super::script::{Buyers, Region, Script};
use super::sites;
use super::stock;
use super::trace;

/// Most nodes.
const MOST_NODES: usize = 16;
const MOST_COMPRESS: u64 = 10_000;
/// The greatest part of anything against others: sums of them are numbers still.
const MOST_PART: f64 = 1e12;
/// A hold must last so long by the nodes' clocks.
const LEAST_TTL: Lapse = Lapse(500_000);

/// A run lasts no longer by the nodes' clocks, its warm-up and all.
const LONGEST_RUN: Lapse = Lapse::minutes(31 * 24 * 60);
/// The mean of what buyers take to pay, by the nodes' clocks: the last of them is waited for.
const LONGEST_PAY: Lapse = Lapse::minutes(6 * 60);

/// What the command line sets besides the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub seed: Option<u64>,
    /// A trace in place of the file's demand.
    pub demand: Option<PathBuf>,
    /// Where in that trace to begin.
    pub from: Option<String>,
    /// In place of the file's.
    pub duration: Option<Lapse>,
}

/// Reads a scenario's file.
///
/// # Errors
/// With everything that is wrong with it.
#[allow(clippy::disallowed_methods, reason = "read before the world begins")]
pub fn load(file: &Path, over: &Overrides) -> Result<Script, Problems> {
    let source = std::fs::read_to_string(file).map_err(|e| Problems::one(file, e))?;
    read(file, &source, over)
}

/// # Errors
/// With everything that is wrong with it.
pub fn read(file: &Path, source: &str, over: &Overrides) -> Result<Script, Problems> {
    let raw: File = toml::from_str(source).map_err(|e| Problems::one(file, e))?;
    let mut findings = Findings::new(file, source);
    let checked = check(&raw, file, over, &mut findings);
    findings.end()?;
    checked.ok_or_else(|| Problems::one(file, "it cannot be run"))
}

/// The names of a scenario.
#[derive(Debug, Default)]
pub struct Names {
    pub nodes: Vec<String>,
    pub regions: Vec<Region>,
}

impl Names {
    /// A node by its own name or a region's.
    pub fn node(&self, name: &str) -> Option<usize> {
        let by_region = || self.regions.iter().find(|region| region.name == name).map(|region| region.node);
        self.nodes.iter().position(|node| node == name).or_else(by_region)
    }

    pub fn region(&self, name: &str) -> Option<usize> {
        self.regions.iter().position(|region| region.name == name)
    }

    /// The node, or a finding about the name.
    pub fn find(
        &self,
        findings: &mut Findings<'_>,
        place: Range<usize>,
        key: &str,
        name: &str,
    ) -> Option<usize> {
        let found = self.node(name);
        findings.must(found.is_some(), place, key, self.no_region(name));
        found
    }

    pub fn no_region(&self, name: &str) -> String {
        let names: Vec<&str> = self.regions.iter().map(|region| region.name.as_str()).collect();
        format!("there is no region `{name}`; there are {}", names.join(", "))
    }

    /// What the regions of each node have of the demand, together.
    pub fn populations(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.nodes.len()];
        self.regions.iter().for_each(|region| shares[region.node] += region.share);
        shares
    }
}

fn check(raw: &File, file: &Path, over: &Overrides, findings: &mut Findings<'_>) -> Option<Script> {
    let names = regions(raw, findings);
    let lines = sites::lines(raw, &names, findings);
    let compress = compress(raw, findings);
    let length = length(raw, over, findings);
    let seed = over.seed.unwrap_or(raw.seed);
    if names.nodes.is_empty() {
        return None;
    }
    let demand = demand_check::demand(raw, file, over, &names, (seed, length), findings);
    let buyers = buyers(&raw.buyers, compress, findings);
    let to_last = || {
        let last = demand.as_ref()?.0.last().map_or(Lapse(0), |order| Lapse(order.at.0 + 1_000_000));
        Some(Lapse(last.0.saturating_sub(raw.warm_up().0).max(1_000_000)))
    };
    let duration = length.or_else(to_last);
    if let Some(duration) = duration {
        ends(raw, duration, compress, findings);
    }
    let ((mut orders, skus), duration) = demand.zip(duration)?;
    let items = stock::items(raw, &names, &skus, &mut orders, findings);
    let events = events_check::events(raw, &names, &items, duration, over.duration.is_some(), findings);
    Some(Script {
        title: raw.title.clone(),
        about: raw.about.trim().to_owned(),
        seed,
        duration,
        warm_up: raw.warm_up(),
        compress,
        nodes: names.nodes,
        regions: names.regions,
        lines,
        items,
        orders,
        buyers,
        events,
    })
}

fn regions(raw: &File, findings: &mut Findings<'_>) -> Names {
    let mut names = Names::default();
    for entry in &raw.region {
        let (name, place) = (entry.name.get_ref(), entry.name.span());
        let node = entry.node.as_ref().unwrap_or(&entry.name);
        for text in [&entry.name, node] {
            if let Err(e) = NodeName::new(text.get_ref()) {
                findings.add(text.span(), "region", format!("`{}` {e}", text.get_ref()));
            }
        }
        findings.must(names.region(name).is_none(), place, "region.name", format!("there are two `{name}`"));
        let population =
            number(findings, "region.population", entry.population.as_ref(), 1.0, 0.0..=MOST_PART);
        let offset = number(findings, "region.utc_offset", entry.utc_offset.as_ref(), 0.0, -14.0..=14.0);
        let place = names.nodes.iter().position(|known| known == node.get_ref());
        let node = place.unwrap_or_else(|| {
            names.nodes.push(node.get_ref().clone());
            names.nodes.len() - 1
        });
        names.regions.push(Region { name: name.clone(), node, share: population, offset });
    }
    let all: f64 = names.regions.iter().map(|region| region.share).sum();
    names.regions.iter_mut().for_each(|region| region.share /= if all > 0.0 { all } else { 1.0 });
    let count = names.nodes.len();
    findings.must((1..=MOST_NODES).contains(&count), 0..0, "region", {
        format!("there are {count} nodes; write one to {MOST_NODES} [[region]] tables")
    });
    names
}

fn compress(raw: &File, findings: &mut Findings<'_>) -> u64 {
    let Some(compress) = &raw.compress else { return 1 };
    let good = (1..=MOST_COMPRESS).contains(compress.get_ref());
    findings.must(good, compress.span(), "compress", format!("must be 1 to {MOST_COMPRESS}"));
    (*compress.get_ref()).clamp(1, MOST_COMPRESS)
}

/// How long it lasts; nothing for a whole trace.
fn length(raw: &File, over: &Overrides, findings: &mut Findings<'_>) -> Option<Lapse> {
    let between = || {
        let (from, until) = (raw.demand.from.as_ref()?, raw.demand.until.as_ref()?);
        let seconds = trace::moment(until.get_ref()).ok()? - trace::moment(from.get_ref()).ok()?;
        u64::try_from(seconds).ok().map(Lapse::seconds)
    };
    if let (Some(from), Some(until)) = (&raw.demand.from, &raw.demand.until)
        && let (Ok(begin), Ok(end)) = (trace::moment(from.get_ref()), trace::moment(until.get_ref()))
    {
        let why = format!("{} is not after from, {}", until.get_ref(), from.get_ref());
        findings.must(end > begin, until.span(), "demand.until", why);
    }
    let length = over.duration.or(raw.duration.as_ref().map(|duration| *duration.get_ref())).or_else(between);
    let place = raw.duration.as_ref().map_or(0..0, Spanned::span);
    findings.must(
        length.is_none_or(|length| length.0 > 0),
        place.clone(),
        "duration",
        "must be more than nothing",
    );
    let has_trace = raw.demand.trace.is_some() || over.demand.is_some();
    findings.must(length.is_some() || has_trace, place, "duration", {
        "is missing; write for example duration = \"7d\" (a trace alone ends by itself)"
    });
    length
}

/// The run comes to its end.
fn ends(raw: &File, duration: Lapse, compress: u64, findings: &mut Findings<'_>) {
    let (warm_up, all) = (raw.warm_up(), Lapse(raw.warm_up().0 + duration.0));
    let (key, place, what) = if warm_up > duration {
        ("warm_up", raw.warm_up.as_ref().map(Spanned::span), format!("{warm_up}, with the duration {all},"))
    } else if warm_up.0 > 0 {
        ("duration", raw.duration.as_ref().map(Spanned::span), format!("{duration}, with the warm_up {all},"))
    } else {
        ("duration", raw.duration.as_ref().map(Spanned::span), duration.to_string())
    };
    within((key, place, &what), all, compress, LONGEST_RUN, findings);
}

/// What takes too long by the nodes' clocks is refused, with what would do.
fn within(
    (key, place, what): (&str, Option<Range<usize>>, &str),
    lapse: Lapse,
    compress: u64,
    most: Lapse,
    findings: &mut Findings<'_>,
) {
    let by_clock = Lapse(lapse.0 / compress);
    let enough = lapse.0.div_ceil(most.0);
    let fix = if enough <= MOST_COMPRESS {
        format!("make it shorter, or compress at least {enough}")
    } else {
        "make it shorter".to_owned()
    };
    findings.must(by_clock <= most, place.unwrap_or(0..0), key, {
        format!("{what} is {by_clock} by the nodes' clocks with compress = {compress}; it must be {most} at most there: {fix}")
    });
}

/// A number of the file within a range, or what it is by default.
pub fn number(
    findings: &mut Findings<'_>,
    key: &str,
    entry: Option<&Spanned<f64>>,
    default: f64,
    range: RangeInclusive<f64>,
) -> f64 {
    let Some(entry) = entry else { return default };
    let number = *entry.get_ref();
    findings.must(range.contains(&number), entry.span(), key, {
        format!("{number} must be {} to {}", range.start(), range.end())
    });
    number
}

/// A region's part of something against the others'; 0 when it is none.
pub fn part(share: f64, region: &str, place: Range<usize>, key: &str, findings: &mut Findings<'_>) -> f64 {
    let good = (0.0..=MOST_PART).contains(&share);
    findings.must(good, place, key, format!("the share of {region}, {share}, must be 0 to {MOST_PART}"));
    if good { share } else { 0.0 }
}

fn buyers(entry: &BuyersEntry, compress: u64, findings: &mut Findings<'_>) -> Buyers {
    let mut share = |key: &str, entry: Option<&Spanned<f64>>, default: f64| {
        let share = entry.map_or(default, |entry| *entry.get_ref());
        let place = entry.map_or(0..0, Spanned::span);
        findings.must((0.0..=1.0).contains(&share), place, key, format!("{share} is no share from 0 to 1"));
        share
    };
    let abandon = share("buyers.abandon", entry.abandon.as_ref(), 0.0);
    let retry_share = share("buyers.retry_share", entry.retry_share.as_ref(), 0.0);
    let ttl = entry.ttl.as_ref().map_or(Lapse::minutes(15), |ttl| *ttl.get_ref());
    let place = entry.ttl.as_ref().map_or(0..0, Spanned::span);
    let by_clock = Lapse(ttl.0 / compress);
    findings.must(by_clock >= LEAST_TTL && by_clock.0 / 1_000 <= MAX_TTL.0, place, "buyers.ttl", {
        format!("{ttl} is {by_clock} by the nodes' clocks with compress = {compress}; it must be 500ms to 24h there")
    });
    let wait = entry.wait_ms.as_ref().map_or(1_000, |wait| *wait.get_ref());
    let place = entry.wait_ms.as_ref().map_or(0..0, Spanned::span);
    findings.must(wait <= MAX_WAIT.0, place, "buyers.wait_ms", format!("must be 0 to {}", MAX_WAIT.0));
    let answer = entry.answer_ms.as_ref().map_or(wait.min(MAX_WAIT.0) + 5_000, |answer| *answer.get_ref());
    let place = entry.answer_ms.as_ref().map_or(0..0, Spanned::span);
    findings.must((wait..=120_000).contains(&answer), place, "buyers.answer_ms", {
        format!("must be {wait} (wait_ms) to 120000")
    });
    let pay = entry.pay.as_ref().map_or(Lapse::minutes(3), |pay| *pay.get_ref());
    let place = entry.pay.as_ref().map(Spanned::span);
    within(("buyers.pay", place, &pay.to_string()), pay, compress, LONGEST_PAY, findings);
    Buyers {
        pay,
        ttl,
        abandon,
        wait: Millis(wait),
        answer: Millis(answer),
        fail_over: entry.fail_over.unwrap_or_default(),
        on_short: entry.on_short.unwrap_or_default(),
        retry_share,
        retry_after: entry.retry_after.unwrap_or(Lapse::minutes(1)),
        retries: entry.retries.unwrap_or(1),
    }
}

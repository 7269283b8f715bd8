//! How long packets take between the nodes: the table of real regions, or a file.
//!
//! What a cluster was given is kept in its directory as `round-trips.toml`, for the next starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::cli::cluster::Cluster;
use crate::types::{NodeName, Region};

/// In the cluster's directory.
pub const FILE: &str = "round-trips.toml";
/// Longer would be taken for a dead link.
const MOST_MS: f64 = 2_000.0;

/// Regions of AWS, and between each and those after it the mean round trip in milliseconds.
const PLACES: [(&str, &[u16]); 8] = [
    ("virginia", &[87, 81, 89, 145, 217, 230, 120]),
    ("oregon", &[137, 160, 89, 161, 162, 183]),
    ("ireland", &[20, 212, 239, 310, 191]),
    ("frankfurt", &[237, 326, 324, 195]),
    ("tokyo", &[74, 104, 257]),
    ("singapore", &[175, 328]),
    ("sydney", &[323]),
    ("sao-paulo", &[]),
];

/// A row of [`PLACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

impl Place {
    fn named(name: &str) -> Option<Place> {
        PLACES.iter().position(|(known, _)| *known == name).map(Place)
    }

    pub fn name(self) -> &'static str {
        PLACES[self.0].0
    }

    fn ms_to(self, other: Place) -> f64 {
        let (low, high) = (self.0.min(other.0), self.0.max(other.0));
        if low == high { 0.0 } else { PLACES[low].1[high - low - 1].into() }
    }
}

fn all_places() -> String {
    PLACES.map(|(name, _)| name).join(", ")
}

/// What `--round-trips` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table; where each node is, if that was said.
    Aws(Vec<Place>),
    File(PathBuf),
}

/// `aws`, `aws:PLACE,..` or a file.
pub fn source(text: &str) -> Result<Source, String> {
    if text == "aws" {
        return Ok(Source::Aws(Vec::new()));
    }
    let Some(places) = text.strip_prefix("aws:") else { return Ok(Source::File(text.into())) };
    let place = |name| Place::named(name).ok_or_else(|| format!("{name:?} is none of {}", all_places()));
    Ok(Source::Aws(places.split(',').map(place).collect::<Result<_, _>>()?))
}

/// What a file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Between nodes of which nothing else is said.
    #[serde(default)]
    default_ms: f64,
    /// Node by node, where it is.
    #[serde(default)]
    aws: BTreeMap<String, String>,
    #[serde(default)]
    link: Vec<RawLink>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    /// Two, which is checked later: whoever gave another number hears it in words.
    between: Vec<String>,
    ms: f64,
}

/// What a file may hold, for those whose file holds something else.
const FORM: &str = "\
it may hold `default_ms = 80`; `[aws]` with lines such as `NODE = \"virginia\"`; and for two nodes
  [[link]]
  between = [\"NODE\", \"NODE\"]
  ms = 80";

/// Between any two nodes of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundTrips {
    nodes: Vec<NodeName>,
    places: Vec<Option<Place>>,
    links: BTreeMap<(usize, usize), f64>,
    default_ms: f64,
}

impl RoundTrips {
    /// What `dir` keeps; `None` when nodes there reach each other directly.
    ///
    /// # Errors
    /// When it does not fit the cluster.
    pub fn kept(dir: &Path, nodes: &[NodeName]) -> anyhow::Result<Option<RoundTrips>> {
        let file = dir.join(FILE);
        if file.exists() { RoundTrips::read(&file, nodes).map(Some) } else { Ok(None) }
    }

    fn read(file: &Path, nodes: &[NodeName]) -> anyhow::Result<RoundTrips> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        RoundTrips::parse(&text, nodes).with_context(|| file.display().to_string())
    }

    /// # Errors
    /// Names the field, what is wrong with it, and what would be right.
    pub fn parse(text: &str, nodes: &[NodeName]) -> anyhow::Result<RoundTrips> {
        let raw: Raw =
            toml::from_str(text).map_err(|e| anyhow::anyhow!("{}\n{FORM}", e.to_string().trim_end()))?;
        let node = |field: &str, name: &str| {
            let place = nodes.iter().position(|node| node.as_str() == name);
            place.with_context(|| format!("{field}: no node is called {name:?}; there are {}", listed(nodes)))
        };
        let mut found = RoundTrips {
            nodes: nodes.to_vec(),
            places: vec![None; nodes.len()],
            links: BTreeMap::new(),
            default_ms: checked("default_ms", raw.default_ms)?,
        };
        for (name, place) in &raw.aws {
            let field = format!("aws.{name}");
            let known = Place::named(place);
            found.places[node("aws", name)?] =
                Some(known.with_context(|| format!("{field}: {place:?} is none of {}", all_places()))?);
        }
        for (number, link) in raw.link.iter().enumerate() {
            let field = format!("link[{number}].between");
            let [one, other] = link.between.as_slice() else {
                let count = link.between.len();
                bail!("{field}: name two nodes, not {count}; there are {}", listed(nodes));
            };
            let (a, b) = (node(&field, one)?, node(&field, other)?);
            ensure!(a != b, "{field}: name two nodes, not {one:?} twice");
            let ms = checked(&format!("link[{number}].ms"), link.ms)?;
            let is_new = found.links.insert((a.min(b), a.max(b)), ms).is_none();
            ensure!(is_new, "{field}: these two have a link above; remove one");
        }
        Ok(found)
    }

    /// Node by number.
    pub fn place(&self, node: usize) -> Option<Place> {
        self.places[node]
    }

    pub fn ms(&self, a: usize, b: usize) -> f64 {
        if let Some(ms) = self.links.get(&(a.min(b), a.max(b))) {
            return *ms;
        }
        match (self.places[a], self.places[b]) {
            (Some(a), Some(b)) => a.ms_to(b),
            _ => self.default_ms,
        }
    }

    /// Half a round trip.
    pub fn delay(&self, a: usize, b: usize) -> Duration {
        Duration::from_secs_f64(self.ms(a, b) / 2_000.0)
    }

    /// The shortest and the longest; `None` for a node alone.
    pub fn range(&self) -> Option<(f64, f64)> {
        let pairs = (0..self.nodes.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let all: Vec<f64> = pairs.map(|(a, b)| self.ms(a, b)).collect();
        all.iter().copied().reduce(f64::min).zip(all.iter().copied().reduce(f64::max))
    }
}

fn checked(field: &str, ms: f64) -> anyhow::Result<f64> {
    ensure!((0.0..=MOST_MS).contains(&ms), "{field}: {ms} is not from 0 to {MOST_MS} ms");
    Ok(ms)
}

fn listed(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

/// The text to keep: a file's as it is, or where in the table each node is.
///
/// # Errors
/// When the file cannot be read or does not fit, or the table has too few places.
pub fn text(source: &Source, nodes: &[(NodeName, Region)]) -> anyhow::Result<String> {
    let names: Vec<NodeName> = nodes.iter().map(|(name, _)| name.clone()).collect();
    let text = match source {
        Source::File(file) => {
            let text = std::fs::read_to_string(file).with_context(|| {
                format!("--round-trips: cannot read {}; write aws, aws:PLACE,.. or a file", file.display())
            })?;
            RoundTrips::parse(&text, &names).with_context(|| file.display().to_string())?;
            return Ok(text);
        }
        Source::Aws(places) => located(places, nodes)?,
    };
    let lines = names.iter().zip(&text).map(|(node, place)| format!("{node} = \"{}\"\n", place.name()));
    let head = "# Written by `stockade dev`; yours to edit between starts. A link may be added:\n\
                # [[link]]\n# between = [\"NODE\", \"NODE\"]\n# ms = 80\n\n[aws]\n";
    Ok(head.to_owned() + &lines.collect::<String>())
}

/// Where each node is: as said; else as its region is called, if all are called so; else in the
/// order of the table.
fn located(said: &[Place], nodes: &[(NodeName, Region)]) -> anyhow::Result<Vec<Place>> {
    if !said.is_empty() {
        let counts = (said.len(), nodes.len());
        ensure!(
            counts.0 == counts.1,
            "--round-trips aws: {} nodes need as many places, not {}",
            counts.1,
            counts.0
        );
        return Ok(said.to_vec());
    }
    let by_region: Option<Vec<Place>> =
        nodes.iter().map(|(_, region)| Place::named(region.as_str())).collect();
    if let Some(places) = by_region {
        return Ok(places);
    }
    if nodes.len() > PLACES.len() {
        bail!(
            "--round-trips aws has {} places, fewer than {} nodes; write where each is: aws:virginia,oregon,..",
            PLACES.len(),
            nodes.len()
        );
    }
    Ok((0..nodes.len()).map(Place).collect())
}

/// The name of each node.
pub fn names(cluster: &Cluster) -> Vec<NodeName> {
    cluster.nodes.iter().map(|node| node.config.node.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| NodeName::new(name).unwrap()).collect()
    }

    fn with_regions(names: &[&str]) -> Vec<(NodeName, Region)> {
        let region = |name: &NodeName| Region::new(name.as_str().trim_end_matches("-1")).unwrap();
        nodes(names).into_iter().map(|name| (name.clone(), region(&name))).collect()
    }

    fn aws(names: &[&str], source_text: &str) -> RoundTrips {
        let text = text(&source(source_text).unwrap(), &with_regions(names)).unwrap();
        RoundTrips::parse(&text, &nodes(names)).unwrap()
    }

    #[test]
    fn the_table_is_whole_and_the_same_both_ways() {
        for (row, (_, ms)) in PLACES.iter().enumerate() {
            assert_eq!(ms.len(), PLACES.len() - 1 - row);
        }
        let ms = |a: &str, b: &str| Place::named(a).unwrap().ms_to(Place::named(b).unwrap());
        assert_eq!((ms("frankfurt", "ireland"), ms("ireland", "frankfurt")), (20.0, 20.0));
        assert_eq!((ms("virginia", "sao-paulo"), ms("sydney", "sao-paulo")), (120.0, 323.0));
        assert_eq!(ms("tokyo", "tokyo"), 0.0);
    }

    #[test]
    fn nodes_take_the_tables_places_in_order_or_by_region_or_as_told() {
        let names = |found: &RoundTrips| -> Vec<_> {
            (0..found.nodes.len()).map(|node| found.place(node).unwrap().name()).collect()
        };
        let in_order = aws(&["uk-1", "ie-1", "fr-1"], "aws");
        assert_eq!(names(&in_order), ["virginia", "oregon", "ireland"]);
        assert_eq!((in_order.ms(2, 0), in_order.range()), (81.0, Some((81.0, 137.0))));
        assert_eq!(in_order.delay(0, 1), Duration::from_micros(43_500));
        assert_eq!(names(&aws(&["tokyo-1", "ireland-1"], "aws")), ["tokyo", "ireland"]);
        assert_eq!(names(&aws(&["a-1", "b-1"], "aws:sydney,sydney")), ["sydney", "sydney"]);
        // One region more than the table knows: not by region.
        assert_eq!(names(&aws(&["tokyo-1", "mars-1"], "aws")), ["virginia", "oregon"]);
    }

    #[test]
    fn too_few_places_and_unknown_ones_are_refused() {
        assert!(source("aws:virginia,mars").unwrap_err().contains("\"mars\" is none of virginia, oregon"));
        assert_eq!(source("./aws").unwrap(), Source::File("./aws".into()));
        let said = text(&source("aws:tokyo").unwrap(), &with_regions(&["a-1", "b-1"])).unwrap_err();
        assert!(said.to_string().contains("2 nodes need as many places, not 1"), "{said}");
        let many: Vec<String> = (1..=9).map(|n| format!("n{n}-1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let said = text(&source("aws").unwrap(), &with_regions(&many)).unwrap_err().to_string();
        assert!(said.contains("8 places, fewer than 9 nodes; write where each is"), "{said}");
    }

    #[test]
    fn a_file_names_links_and_a_link_outweighs_places_and_default() {
        let text = "default_ms = 100\n[aws]\na-1 = \"ireland\"\nb-1 = \"frankfurt\"\n\
                    [[link]]\nbetween = [\"c-1\", \"a-1\"]\nms = 7.5\n";
        let found = RoundTrips::parse(text, &nodes(&["a-1", "b-1", "c-1"])).unwrap();
        assert_eq!((found.ms(0, 1), found.ms(0, 2), found.ms(1, 2)), (20.0, 7.5, 100.0));
        let empty = RoundTrips::parse("", &nodes(&["a-1", "b-1"])).unwrap();
        assert_eq!(empty.ms(0, 1), 0.0);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_what_would_be_right() {
        let link = |between: &str, ms: &str| format!("[[link]]\nbetween = {between}\nms = {ms}\n");
        for (text, expected) in [
            (
                link("[\"a-1\", \"x-1\"]", "80"),
                "link[0].between: no node is called \"x-1\"; there are a-1, b-1",
            ),
            (link("[\"a-1\", \"a-1\"]", "80"), "link[0].between: name two nodes, not \"a-1\" twice"),
            (link("[\"a-1\", \"b-1\"]", "-1"), "link[0].ms: -1 is not from 0 to 2000 ms"),
            (link("[\"a-1\", \"b-1\"]", "nan"), "link[0].ms: NaN is not from 0 to 2000 ms"),
            (link("[\"a-1\"]", "80"), "link[0].between: name two nodes, not 1; there are a-1, b-1"),
            (link("[\"a-1\", \"b-1\", \"c-1\"]", "80"), "link[0].between: name two nodes, not 3"),
            (link("[\"a-1\", \"b-1\"]", "\"far\""), "ms = \"far\""),
            (
                link("[\"a-1\", \"b-1\"]", "1") + &link("[\"b-1\", \"a-1\"]", "2"),
                "link[1].between: these two",
            ),
            ("default_ms = 5000".to_owned(), "default_ms: 5000 is not from 0 to 2000 ms"),
            (
                "defaults = 1".to_owned(),
                "unknown field `defaults`, expected one of `default_ms`, `aws`, `link`\nit may",
            ),
            (link("[\"a-1\", \"b-1\"]", "80\nloss = 1"), "unknown field `loss`"),
            ("[aws]\na-1 = \"mars\"".to_owned(), "aws.a-1: \"mars\" is none of virginia"),
            ("[aws]\nx-1 = \"tokyo\"".to_owned(), "aws: no node is called \"x-1\""),
        ] {
            let said = format!("{:#}", RoundTrips::parse(&text, &nodes(&["a-1", "b-1"])).unwrap_err());
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}

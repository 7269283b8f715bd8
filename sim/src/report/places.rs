//! What nodes are called in a report, and which are shown where not all can be.

use crate::recording::Recording;

/// The names of a recording's nodes, by number, and which have most to tell.
pub struct Places {
    names: Vec<String>,
    /// Whether each node is a region of its own, so that it goes by the region's name.
    regions: bool,
    /// Nodes by units asked for there, most first.
    busiest: Vec<usize>,
}

impl Places {
    pub fn of(recording: &Recording) -> Places {
        let nodes = &recording.nodes;
        let same = |region: &str| nodes.iter().filter(|node| node.region == region).count();
        let regions = nodes.iter().all(|node| same(&node.region) == 1 && !node.region.trim().is_empty());
        let name = |(at, node): (usize, &crate::recording::Node)| match (regions, node.name.trim()) {
            (true, _) => node.region.trim().to_owned(),
            (false, "") => format!("node {}", at + 1),
            (false, name) if node.region.trim().is_empty() || node.region == node.name => name.to_owned(),
            (false, name) => format!("{name} ({})", node.region.trim()),
        };
        let mut busiest: Vec<usize> = (0..nodes.len()).collect();
        let asked = |node: usize| -> u64 {
            recording.buckets.iter().filter_map(|bucket| bucket.nodes.get(node)).map(|n| n.asked).sum()
        };
        busiest.sort_by_key(|node| std::cmp::Reverse(asked(*node)));
        Places { names: nodes.iter().enumerate().map(name).collect(), regions, busiest }
    }

    pub fn name(&self, node: usize) -> &str {
        self.names.get(node).map_or("?", String::as_str)
    }

    /// The word for what is listed: `region`, or `node` where a region has several.
    pub fn word(&self) -> &'static str {
        if self.regions { "region" } else { "node" }
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The busiest, at most so many, in the order of the file.
    pub fn shown(&self, most: usize) -> Vec<usize> {
        let mut shown: Vec<usize> = self.busiest.iter().copied().take(most).collect();
        shown.sort_unstable();
        shown
    }

    /// A line that says how many are not shown; nothing if all are.
    pub fn more(&self, shown: usize) -> String {
        match self.count().saturating_sub(shown) {
            0 => String::new(),
            more => format!(
                "<p class=\"more\">The {shown} {word}s where most was asked for, and {more} more.</p>",
                word = self.word()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Bucket, Node, NodeBucket};

    fn nodes(names: &[(&str, &str)]) -> Recording {
        let node = |(name, region): &(&str, &str)| Node { name: (*name).into(), region: (*region).into() };
        Recording { nodes: names.iter().map(node).collect(), ..Recording::default() }
    }

    #[test]
    fn a_node_goes_by_its_region_where_that_is_enough() {
        let places = Places::of(&nodes(&[("eu-1", "Europe"), ("us-1", "America")]));
        assert_eq!((places.name(0), places.word()), ("Europe", "region"));
        let places = Places::of(&nodes(&[("eu-1", "Europe"), ("eu-2", "Europe"), ("", "")]));
        assert_eq!((places.name(1), places.name(2), places.word()), ("eu-2 (Europe)", "node 3", "node"));
        assert_eq!(places.name(7), "?");
    }

    #[test]
    fn the_busiest_are_shown_in_the_order_of_the_file() {
        let mut recording = nodes(&[("a", "a"), ("b", "b"), ("c", "c")]);
        let asked = |asked| NodeBucket { asked, ..NodeBucket::default() };
        recording.buckets.push(Bucket { from: 0.0, nodes: vec![asked(5), asked(1), asked(9)] });
        let places = Places::of(&recording);
        assert_eq!(places.shown(2), [0, 2]);
        assert!(places.more(2).contains("and 1 more"));
        assert_eq!(places.more(3), "");
    }
}

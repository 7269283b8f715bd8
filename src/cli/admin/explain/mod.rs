//! `stockade explain`: where every unit of an item is, what limits it, and why the last
//! order was refused.
//!
//! Here the facts are gathered; `sentences` turns them into words and decides nothing else.

mod facts;
mod sentences;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Common;
use super::desk::Desk;
use super::show::{Column, Format, Rows, folded};
use crate::cli::Ending;
use crate::types::Sku;
use facts::{Facts, Flight};

const EXAMPLE: &str = "\
Examples:
  stockade explain MUG
  stockade explain MUG --dev ./stockade-data --node us-1
  stockade explain MUG -o json

Tells it as the node that is asked knows it. With a cluster's directory each
node is asked for its last refusal, else only this one.";

/// Tell where every unit of an item is, and what limits it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ExplainArgs {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    #[command(flatten)]
    common: Common,
}

/// A heading with what stands under it.
#[derive(Debug, Serialize)]
pub struct Section {
    heading: &'static str,
    sentences: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    item: &'a RawValue,
    cluster: &'a RawValue,
    flights: &'a [Flight],
    last_refusals: Vec<NodeRefusal<'a>>,
    explanation: &'a [Section],
}

#[derive(Serialize)]
struct NodeRefusal<'a> {
    node: &'a str,
    /// Null: it has refused none since its start, does not tell, or did not answer.
    last_refusal: Option<&'a RawValue>,
}

impl<'a> NodeRefusal<'a> {
    fn of(told: &'a facts::Told) -> NodeRefusal<'a> {
        NodeRefusal { node: &told.node, last_refusal: told.raw.as_deref() }
    }
}

impl ExplainArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let facts = Facts::gather(&node, &self.sku).await?;
        let sections = sentences::explain(&facts);
        match self.common.format.output {
            Format::Table => {
                let title = format!("{}, as {} knows it", facts.books.title(), facts.teller);
                writeln!(desk.out, "{}", folded(&title))?;
                for Section { heading, sentences } in &sections {
                    writeln!(desk.out, "\n{heading}")?;
                    for sentence in sentences {
                        writeln!(desk.out, "{}", folded(&format!("  {sentence}")))?;
                    }
                }
            }
            Format::Csv => {
                let mut rows = Rows::new(&[Column::text("heading"), Column::text("sentence")]);
                for Section { heading, sentences } in &sections {
                    sentences.iter().for_each(|sentence| rows.add([*heading, sentence]));
                }
                rows.write_csv(desk.out, true)?;
            }
            Format::Json => {
                let report = Report {
                    item: &facts.raw_item,
                    cluster: &facts.raw_cluster,
                    flights: &facts.flights,
                    last_refusals: facts.told.iter().map(NodeRefusal::of).collect(),
                    explanation: &sections,
                };
                writeln!(desk.out, "{}", serde_json::to_string(&report)?)?;
            }
        }
        Ok(Ending::Good)
    }
}

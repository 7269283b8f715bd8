//! The way back: what a store holds, applied to a replica.

use super::handle::Identity;
use crate::limits::Limits;
use crate::replica::Replica;
use crate::store::{BatchNumber, Head, Loaded};
use crate::types::Timestamp;
use crate::wire::{Batch, Record, codec};

/// Takes what [`Store::load`](crate::store::Store::load) gives, in order.
#[derive(Debug)]
pub struct Recovery {
    limits: Limits,
    records: u64,
    replica: Option<Replica>,
    time: Timestamp,
}

/// A replica as it was when the last durable batch was written.
#[derive(Debug)]
pub struct Recovered {
    pub replica: Replica,
    /// The newest ledger time in the journal.
    pub time: Timestamp,
    /// How many records were applied.
    pub records: u64,
}

impl Recovery {
    pub fn new(limits: Limits) -> Recovery {
        Recovery { limits, records: 0, replica: None, time: Timestamp::ZERO }
    }

    /// Applies one chunk or batch, and gives a batch back for others to look at.
    ///
    /// # Errors
    /// When it cannot be decoded, or is not of this node.
    pub fn take(&mut self, loaded: Loaded<'_>) -> Result<Option<(BatchNumber, Batch)>, String> {
        let (number, batch): (_, Batch) = match loaded {
            Loaded::Chunk(bytes) => (None, codec::decode(bytes).map_err(|e| format!("a checkpoint: {e}"))?),
            Loaded::Batch(number, bytes) => {
                (Some(number), codec::decode(bytes).map_err(|e| format!("batch {}: {e}", number.0))?)
            }
        };
        self.time = self.time.max(batch.time);
        batch.records.iter().try_for_each(|record| self.apply(record))?;
        Ok(number.map(|number| (number, batch)))
    }

    fn apply(&mut self, record: &Record) -> Result<(), String> {
        self.records += 1;
        if let Record::Genesis(genesis) = record {
            self.replica.get_or_insert_with(|| Replica::new(genesis.clone(), self.limits));
            return Ok(());
        }
        self.replica.as_mut().ok_or("it does not begin with a genesis")?.restore(record);
        Ok(())
    }

    /// The replica, whose genesis must be of the node that the store's head names.
    ///
    /// # Errors
    /// When nothing was stored, or another node's records.
    pub fn finish(self, head: &Head) -> Result<Recovered, String> {
        let replica = self.replica.ok_or("it holds no genesis")?;
        let genesis = replica.genesis();
        if (genesis.cluster, &genesis.name, genesis.replica) != (head.cluster, &head.node, head.replica) {
            return Err("its genesis is of another node than its head".into());
        }
        let time = self.time.max(replica.time());
        Ok(Recovered { replica, time, records: self.records })
    }
}

impl Recovered {
    pub fn identity(&self) -> Identity {
        let genesis = self.replica.genesis();
        Identity {
            cluster: genesis.cluster,
            node: genesis.name.clone(),
            region: genesis.region.clone(),
            replica: genesis.replica,
        }
    }
}

//! The way back: what a store holds, applied to a replica.

use super::handle::Identity;
use crate::limits::Limits;
use crate::replica::Replica;
use crate::store::{Head, Loaded};
use crate::types::Timestamp;
use crate::wire::{Batch, Record, codec};

/// Takes what [`Store::load`](crate::store::Store::load) gives, in order.
#[derive(Debug)]
pub struct Recovery {
    head: Head,
    limits: Limits,
    replica: Option<Replica>,
    time: Timestamp,
}

/// A replica as it was when the last durable batch was written.
#[derive(Debug)]
pub struct Recovered {
    pub replica: Replica,
    /// The newest ledger time in the journal.
    pub time: Timestamp,
}

impl Recovery {
    pub fn new(head: &Head, limits: Limits) -> Recovery {
        Recovery { head: head.clone(), limits, replica: None, time: Timestamp::ZERO }
    }

    /// Applies one chunk or batch.
    ///
    /// # Errors
    /// When it cannot be decoded, or is not of this node.
    pub fn take(&mut self, loaded: Loaded<'_>) -> Result<(), String> {
        let batch: Batch = match loaded {
            Loaded::Chunk(bytes) => codec::decode(bytes).map_err(|e| format!("a checkpoint: {e}"))?,
            Loaded::Batch(number, bytes) => {
                codec::decode(bytes).map_err(|e| format!("batch {}: {e}", number.0))?
            }
        };
        self.time = self.time.max(batch.time);
        batch.records.iter().try_for_each(|record| self.apply(record))
    }

    fn apply(&mut self, record: &Record) -> Result<(), String> {
        if let Record::Genesis(genesis) = record {
            let of_head = (genesis.cluster, &genesis.name, genesis.replica);
            if of_head != (self.head.cluster, &self.head.node, self.head.replica) {
                return Err("its genesis is of another node than its head".into());
            }
            self.replica.get_or_insert_with(|| Replica::new(genesis.clone(), self.limits));
            return Ok(());
        }
        self.replica.as_mut().ok_or("it does not begin with a genesis")?.restore(record);
        Ok(())
    }

    /// # Errors
    /// When nothing was stored.
    pub fn finish(self) -> Result<Recovered, String> {
        let replica = self.replica.ok_or("it holds no genesis")?;
        let time = self.time.max(replica.time());
        Ok(Recovered { replica, time })
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

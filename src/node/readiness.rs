//! Whether the node may take requests, and if not, why.

use std::sync::Mutex;

use crate::types::NodeName;

/// Why a node is not ready. More than one may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotReadyReason {
    /// Replaying its journal.
    Starting,
    /// Has not yet heard from its peers whether its disk is current.
    WaitingForPeers,
    /// The journal could not be written; the process is about to exit.
    StoreFailed,
    /// Too little room on the disk.
    DiskFull,
    /// Its disk is older than what its peers have heard from it.
    RolledBack,
    /// Shutting down.
    Stopping,
    /// Told to take no new reservations. All other calls are answered.
    Draining,
}

impl NotReadyReason {
    pub fn as_str(self) -> &'static str {
        match self {
            NotReadyReason::Starting => "starting",
            NotReadyReason::WaitingForPeers => "waiting_for_peers",
            NotReadyReason::StoreFailed => "store_failed",
            NotReadyReason::DiskFull => "disk_full",
            NotReadyReason::RolledBack => "rolled_back",
            NotReadyReason::Stopping => "stopping",
            NotReadyReason::Draining => "draining",
        }
    }
}

/// The reasons that hold now.
#[derive(Debug, Default)]
pub struct Readiness {
    reasons: Mutex<Vec<NotReadyReason>>,
    awaited: Mutex<Vec<NodeName>>,
}

impl Readiness {
    pub fn set(&self, reason: NotReadyReason, holds: bool) {
        let mut reasons = self.reasons.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        reasons.retain(|r| *r != reason);
        if holds {
            reasons.push(reason);
        }
    }

    pub fn set_awaited(&self, members: Vec<NodeName>) {
        *self.awaited.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = members;
    }

    /// Members that must be heard first; with [`NotReadyReason::WaitingForPeers`].
    pub fn awaited(&self) -> Vec<NodeName> {
        self.awaited.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Empty: ready.
    pub fn reasons(&self) -> Vec<NotReadyReason> {
        self.reasons.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// The reasons for which every call is refused.
    pub fn refusals(&self) -> Vec<NotReadyReason> {
        let mut reasons = self.reasons();
        reasons.retain(|reason| *reason != NotReadyReason::Draining);
        reasons
    }
}

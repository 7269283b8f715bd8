//! Rare paths, each with a name: a sweep that never goes down one of them has shown nothing about
//! it. Marks are set by what passes through the world and the oracle; where only the replica knows,
//! by its own counters.
//!
//! Not here, because no world can get there yet: `memory_full`, `overloaded` (tables far larger than
//! a world), `unknown_node` and `invalid` (the workload asks for what exists), `rolled_back` (no disk
//! goes back), and a pass of several frames (a frame holds more items than a world has).

use stockade::types::{Refusal, Verdict};
use stockade::wire::{Cause, Message};

macro_rules! marks {
    ($($name:ident: $about:literal,)*) => {
        /// A rare path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark {
            $($name,)*
        }

        impl Mark {
            pub const ALL: &[Mark] = &[$(Mark::$name,)*];

            /// What happens on it, in a few words.
            pub fn about(self) -> &'static str {
                match self {
                    $(Mark::$name => $about,)*
                }
            }
        }
    };
}

marks! {
    // Refusals.
    SoldOut: "a line was refused as sold out",
    Elsewhere: "a line was refused, units are elsewhere",
    Unknown: "a line was refused, nobody knows why",
    UnknownSku: "an item was not known yet",
    NotFound: "a reservation was not found",
    AlreadyConfirmed: "a confirmed reservation was to be changed",
    AlreadyCancelled: "a cancelled reservation was to be changed",
    Expired: "an expired reservation's units were gone",
    VersionMismatch: "another version was meant",
    KeyReused: "another request came under a used key",
    MaxPerOrder: "an order was too large",
    NotFreeHere: "a write-off or transfer of more than is free",
    OwnerUnreachable: "an owner could not be reached",
    NodeUnreachable: "the giver of a transfer could not be reached",
    OutcomeUnknown: "a forwarded request's answer was lost",
    DrainingRefused: "a draining node took nothing new",
    NotReady: "a node was asked before it was ready",
    AutonomySpent: "units were here, and nobody confirmed a higher mark",
    // Causes of changes.
    Started: "a session began",
    Stopped: "a clean stop was written",
    Reserved: "units were held",
    Replaced: "a reservation's lines were replaced",
    Confirmed: "a reservation was confirmed",
    Cancelled: "a reservation was cancelled",
    Extended: "a deadline was moved",
    RanOut: "a hold expired",
    Sold: "units were sold at once",
    Returned: "units came back",
    Received: "a delivery came",
    WrittenOff: "units were written off",
    ItemSet: "an item was set",
    Transferred: "an admin moved units",
    GivenForBuyer: "units were given for a buyer elsewhere",
    GivenForBalance: "units were given ahead of need",
    GivenUnasked: "units were given to a member that had not asked",
    GivenForDrain: "units were handed over by a draining node",
    Credited: "units were taken in",
    Remembered: "an answer alone was remembered",
    Imported: "a line was imported",
    DrainBegan: "a node began to drain",
    DrainEnded: "a node was resumed",
    RoomMade: "a mark was written by itself",
    Placed: "a reservation was sent to where the units are",
    PlacedRefused: "and refused there, and went on here",
    PlacedUnknown: "and not answered",
    LaunchSet: "an item was set with what a launch is expected to sell",
    MoveTold: "a rebalance told what would be moved",
    MoveBegun: "a rebalance began to move units",
    QuotaSetInCut: "quotas were changed while a link was cut",
    DrainBeganInCut: "a node began to drain while a link was cut",
    // Messages.
    HelloSent: "a hello was sent",
    DigestSent: "a digest was sent",
    PassSent: "a pass was sent",
    AskSent: "an ask was sent",
    GivenSent: "an ask was answered",
    ForwardSent: "a request was sent on",
    ForwardedSent: "a request that was sent on was answered",
    HoldsSent: "a node said at once what it holds",
    RelayedPass: "a third node's log was passed on",
    AskForRow: "an ask wanted nothing but the row",
    PullAhead: "an ask was made ahead of need",
    ItemWithoutRow: "an ask met a node without a row",
    AskAnsweredLate: "an ask was answered after it was given up",
    NewSessionGreets: "a hello told of a new session",
    // Keys and batches.
    Replayed: "a key was answered again",
    ReplayedAfterCrash: "a key was answered again after a crash",
    TwinAnswered: "a concurrent repeat got the first answer",
    ImportResumed: "an import was repeated after a crash",
    BatchInPart: "a batch was done in part",
    // Reservations.
    ConfirmedAfterExpiry: "a reservation was confirmed after its end",
    HeldAgain: "an expired reservation was held again",
    HeldThenSold: "a sale took the place of a hold",
    TwoOwners: "two nodes held one id",
    FoundElsewhere: "another node's reservation was answered",
    OverdueAtStart: "a hold had run out while its node was down",
    LongWait: "a request was open for more than two seconds",
    // Waiting.
    WaitServed: "a buyer waited and was served",
    WaitTimedOut: "a buyer's patience ended",
    WaitInVain: "a buyer was told early that waiting is in vain",
    BasketsCrossed: "an ask met buyers for the same item",
    // Sync and starts.
    EarlyEntry: "an entry came before its session",
    PassUnclaimed: "a pass lifted nothing, one before it was lost",
    StartedUnheard: "a start ended by time",
    StartProven: "a witness proved a start",
    StartUnproven: "a start had no witness",
    StartBehind: "a witness knew more than the disk",
    // Crashes.
    CrashIdle: "a crash met an idle disk",
    BatchKept: "a batch in flight at a crash was kept",
    BatchLost: "a batch in flight at a crash was lost",
    CrashInCheckpoint: "a crash met a checkpoint in the making",
    CrashUnproven: "a crash met a node that was not ready yet",
    StartFromCheckpoint: "a restart began from a checkpoint",
    StartFromJournal: "a restart had the journal alone",
    // Nodes.
    Drained: "a draining node had nothing left",
    PageSoldOut: "a page said sold out",
}

impl Mark {
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    pub fn of_cause(cause: Cause) -> Mark {
        match cause {
            Cause::Start => Mark::Started,
            Cause::Stop => Mark::Stopped,
            Cause::Reserve => Mark::Reserved,
            Cause::Replace => Mark::Replaced,
            Cause::Confirm => Mark::Confirmed,
            Cause::Cancel => Mark::Cancelled,
            Cause::Extend => Mark::Extended,
            Cause::Expire => Mark::RanOut,
            Cause::Sell => Mark::Sold,
            Cause::Return => Mark::Returned,
            Cause::Receive => Mark::Received,
            Cause::WriteOff => Mark::WrittenOff,
            Cause::SetItem => Mark::ItemSet,
            Cause::Transfer => Mark::Transferred,
            Cause::GiveForBuyer => Mark::GivenForBuyer,
            Cause::GiveForBalance => Mark::GivenForBalance,
            Cause::GiveUnasked => Mark::GivenUnasked,
            Cause::Credit => Mark::Credited,
            Cause::Remember => Mark::Remembered,
            Cause::GiveForDrain => Mark::GivenForDrain,
            Cause::Import => Mark::Imported,
            Cause::Drain => Mark::DrainBegan,
            Cause::Resume => Mark::DrainEnded,
            Cause::Place => Mark::Placed,
            Cause::Withdraw => Mark::PlacedRefused,
            Cause::Mark => Mark::RoomMade,
        }
    }

    /// `None`: no world gets there; see the module's text.
    pub fn of_refusal(refusal: &Refusal) -> Option<Mark> {
        Some(match refusal {
            Refusal::InsufficientStock(_) => return None,
            Refusal::UnknownSku { .. } => Mark::UnknownSku,
            Refusal::ReservationNotFound => Mark::NotFound,
            Refusal::AlreadyConfirmed => Mark::AlreadyConfirmed,
            Refusal::AlreadyCancelled => Mark::AlreadyCancelled,
            Refusal::Expired(_) => Mark::Expired,
            Refusal::VersionMismatch { .. } => Mark::VersionMismatch,
            Refusal::KeyReused => Mark::KeyReused,
            Refusal::MaxPerOrder { .. } => Mark::MaxPerOrder,
            Refusal::NotFreeHere { .. } => Mark::NotFreeHere,
            Refusal::OwnerUnreachable { .. } => Mark::OwnerUnreachable,
            Refusal::NodeUnreachable { .. } => Mark::NodeUnreachable,
            Refusal::OutcomeUnknown => Mark::OutcomeUnknown,
            Refusal::Draining => Mark::DrainingRefused,
            Refusal::NotReady => Mark::NotReady,
            Refusal::AutonomySpent(_) => Mark::AutonomySpent,
            Refusal::UnknownNode { .. }
            | Refusal::MemoryFull
            | Refusal::Overloaded
            | Refusal::RolledBack
            | Refusal::Invalid { .. } => return None,
        })
    }

    pub fn of_verdict(verdict: Verdict) -> Mark {
        match verdict {
            Verdict::SoldOut => Mark::SoldOut,
            Verdict::Elsewhere => Mark::Elsewhere,
            Verdict::Unknown => Mark::Unknown,
        }
    }

    /// `None`: between shells only.
    pub fn of_message(message: &Message) -> Option<Mark> {
        Some(match message {
            Message::Hello(_) => Mark::HelloSent,
            Message::Digest(_) => Mark::DigestSent,
            Message::Pass(_) => Mark::PassSent,
            Message::Ask(_) => Mark::AskSent,
            Message::Given(_) => Mark::GivenSent,
            Message::Forward(_) => Mark::ForwardSent,
            Message::Forwarded(_) => Mark::ForwardedSent,
            Message::Holds(_) => Mark::HoldsSent,
            Message::Recall(_) | Message::Recalled(_) => return None,
        })
    }
}

//! Known bugs, to be switched on one at a time: a simulator that has never found a bug proves
//! nothing.
//!
//! Each [`Bug`] is a mistake that could have been made, with a switch at the place where it would
//! have been made. `stockade-sim planted` switches them on one by one and counts the seeds that it
//! needs to find each.
//!
//! Only the simulator's own feature `planted` turns this crate's feature of that name on. Without
//! it [`is_on`] is a constant `false`: the compiler removes every such branch, and nothing of the
//! table below is in the binary. CI looks for the prefix of the slugs in the shipped binary, and in
//! a simulator that has them.

macro_rules! bugs {
    ($($bug:ident $slug:literal $wrong:literal;)*) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "planted", derive(Debug))]
        #[cfg_attr(not(feature = "planted"), allow(missing_debug_implementations, reason = "no names"))]
        pub enum Bug {
            $(#[doc = $wrong] $bug,)*
        }

        #[cfg(feature = "planted")]
        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$bug),*];

            /// The slug, behind a prefix that says in a binary what it is.
            const fn tag(self) -> &'static str {
                match self {
                    $(Bug::$bug => concat!("planted-bug:", $slug),)*
                }
            }

            /// What is wrong when it is on.
            pub const fn wrong(self) -> &'static str {
                match self {
                    $(Bug::$bug => $wrong,)*
                }
            }
        }
    };
}

bugs! {
    // What leaves before it is durable.
    AnswerBeforeSync "answer-before-sync" "an answer leaves before its record is durable";
    ReadBeforeSync "read-before-sync" "a read does not wait for the sync of what it read";
    TwinBeforeSync "twin-before-sync" "a repeat is answered before the first answer is durable";
    SendBeforeSync "send-before-sync" "messages leave before what they tell is durable";
    GiftBeforeSync "gift-before-sync" "rights leave before the giver's debit is durable";
    SyncNotAwaited "sync-not-awaited" "a batch counts as durable once it is handed to the disk";
    ServesAfterDiskError "serves-after-disk-error" "a batch that failed counts as written";
    FullTakenForSuccess "full-taken-for-success" "a batch for which there is no room counts as written";
    StepTorn "step-torn" "the records of one step are split over two batches";

    // Spend marks.
    MarkBeforeDurable "mark-before-durable" "a mark counts before any peer holds it";
    OneConfirmationTooFew "one-confirmation-too-few" "one peer's word is enough where two are needed";
    LimitForgotten "limit-forgotten" "after a restart all of a mark counts as confirmed";

    // Idempotency.
    DedupApart "dedup-apart" "a key is remembered in a batch after the one with its effect";
    DedupVolatile "dedup-volatile" "a key is remembered in memory only";
    DedupNotInCheckpoint "dedup-not-in-checkpoint" "a checkpoint leaves remembered keys out";
    DedupPrunedEarly "dedup-pruned-early" "keys are forgotten after seconds, not a day";
    TwinDecidedTwice "twin-decided-twice" "a repeat does not wait for the first request under its key";
    OtherBodyAccepted "other-body-accepted" "another request under a used key gets the first answer";
    ReplayDiffers "replay-differs" "a repeat is answered with the books of the moment";
    ImportLineTwice "import-line-twice" "an import's line is not remembered over a restart";

    // Reservations.
    ExpiresTwice "expires-twice" "what expired stays in the list of what is due";
    ExpiryOfConfirmed "expiry-of-confirmed" "a confirmed reservation still expires at its deadline";
    ConfirmAfterExpiry "confirm-after-expiry" "an expired reservation is sold without being taken anew";
    WrongQuantityReleased "wrong-quantity-released" "one unit a line is released, whatever was held";
    BasketLeak "basket-leak" "of a basket that is let go only the first line is released";
    BasketByOneLine "basket-by-one-line" "a basket is held when any of its lines is in stock";
    CancelKeepsUnits "cancel-keeps-units" "a cancelled reservation's units stay held";
    ExtendForgotten "extend-forgotten" "an extended reservation expires at its first deadline";
    OneTooMany "one-too-many" "one unit more than there is can be held";
    ReplaceSameVersion "replace-same-version" "replacing the lines leaves the version as it was";
    SellsHeldAnew "sells-held-anew" "a sale of what is held takes the units once more";

    // The books.
    TransferOverdraws "transfer-overdraws" "a transfer may be of more than its giver has";
    WriteOffOverdraws "write-off-overdraws" "more may be written off than is free";
    AddOnMerge "add-on-merge" "a newer row is added to the older one";
    CreditTwice "credit-twice" "a newer row's sent units are taken in whole, each time";
    SelfMadeReceipt "self-made-receipt" "units from a peer are booked as a delivery";
    WrapAt32 "wrap-at-2-32" "counters wrap at 2^32";
    SaturationHides "saturation-hides" "a credit without its debit counts as nothing in flight";
    RowOfBearer "row-of-bearer" "a relayed row is filed under the member that relayed it";
    ForesightOfCredit "foresight-of-credit" "a giver books the credit in its copy of the taker's row";
    ShrinkingRowAccepted "shrinking-row-accepted" "an older row replaces a newer one";
    RightsLostOnTimeout "rights-lost-on-timeout" "rights that come when nobody waits are not taken in";

    // Logs that travel.
    ClaimOverHole "claim-over-hole" "a watermark is claimed though an earlier pass was lost";
    SessionNotChecked "session-not-checked" "entries are taken in before the session that wrote them";
    LostPushNotRepeated "lost-push-not-repeated" "a pass that was lost is not sent again";
    NoRelay "no-relay" "what a member lacks of others is not passed on";
    SyncStopsAfterError "sync-stops-after-error" "the first entry that is not taken in ends the sync";
    OvertakenDigestBelieved "overtaken-digest-believed" "an overtaken digest proves an old disk";
    WallClockOrder "wall-clock-order" "settings are ordered by the wall clock alone";

    // Verdicts.
    SoldOutUnheard "sold-out-unheard" "sold_out is said with a member that was not heard";
    SoldOutOnStaleRows "sold-out-on-stale-rows" "sold_out is said on rows of any age";
    SoldOutInFlight "sold-out-in-flight" "sold_out is said with units in flight";
    HeardOnArrival "heard-on-arrival" "rows count as current when their digest comes, not when it left";
    HeardBeforeRows "heard-before-rows" "a member counts as heard before its rows are here";

    // Requests that other nodes decide.
    RetryMakesSecond "retry-makes-second" "a retry at another node makes a second reservation";
    RetryDespiteSilence "retry-despite-silence" "a retry is held anew though a member did not answer";
    UnknownSaidRefused "unknown-said-refused" "a forwarded request that was not answered is refused";
    DeniedThenDone "denied-then-done" "a buyer who was refused is still served later";

    PlaceWithoutNote "place-without-note" "where a reservation was sent is noted in memory only";
    PlaceAgainElsewhere "place-again-elsewhere" "what was sent and not answered is sent to another member";
    PlaceIgnoresFloor "place-ignores-floor" "placed reservations take what a quota reserves";

    // Policy.
    PoorestDonorFirst "poorest-donor-first" "the poorest donor is asked first";
    ThrottleOff "throttle-off" "a donor that has nothing is asked again at once";
    AskLivelock "ask-livelock" "two that want each other's units both give";
    QuotasIgnored "quotas-ignored" "rights that a quota reserves are given away";
    FloorGivenUnasked "floor-given-unasked" "who gives unasked does not mind what a quota reserves here";
    UnseenGiftsRepeated "unseen-gifts-repeated" "an ask is met as if nothing had been given since it was sent";
    DryRunMoves "dry-run-moves" "a dry run of a rebalance begins what it tells";
    DrainLeavesUnits "drain-leaves-units" "what comes free while draining is not handed over";
    DrainedTooEarly "drained-too-early" "a node says it is drained while it holds units";

    // Checkpoints and recovery.
    CheckpointSkipsReservation "checkpoint-skips-reservation" "the last reservation of a full chunk is left out";
    CheckpointSkipsEntry "checkpoint-skips-entry" "the last entry of a full chunk is left out";
    CheckpointAheadOfJournal "checkpoint-ahead-of-journal" "a checkpoint does not wait for the journal";
    ChecksumSkipped "checksum-skipped" "what is read at a start is not held against its checksum";
    TornCheckpointTrusted "torn-checkpoint-trusted" "a start takes a checkpoint that has no end";
    OldDiskBelieved "old-disk-believed" "what peers hold of the own log is no proof of an old disk";
    WitnessBeforeSync "witness-before-sync" "the witness is told of a batch before it is durable";
    WitnessIgnored "witness-ignored" "a journal that is behind its witness starts as if it had none";
    ReplaySkipsBatch "replay-skips-batch" "the first batch after a checkpoint is not replayed";

    // Clocks, and the simulator itself.
    ClockStepExpires "clock-step-expires" "ledger time follows a step of the wall clock";
    TraceByHashOrder "trace-by-hash-order" "events come in the order of a hash map";
}

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;
    use std::hint::black_box;

    use super::Bug;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is the one that is on in this thread.
    ///
    /// Every program that has a switch has the slugs for this, whether or not it ever names a bug:
    /// else a search for them would find nothing in a server built with the bugs.
    #[must_use]
    pub fn is_on(bug: Bug) -> bool {
        ON.get().is_some_and(|on| {
            black_box(on.tag());
            on == bug
        })
    }

    /// Switches one bug on, or none, for what this thread does from now on.
    pub fn set(bug: Option<Bug>) {
        ON.set(bug);
    }
}

#[cfg(feature = "planted")]
pub use switch::{is_on, set};

/// No bug is planted in this build.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is_on(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
impl Bug {
    /// Its name for people.
    #[must_use]
    pub fn slug(self) -> &'static str {
        self.tag().split_once(':').map_or("", |(_, slug)| slug)
    }

    /// The bug of this slug.
    #[must_use]
    pub fn named(slug: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.slug() == slug)
    }
}

#[cfg(all(test, feature = "planted"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn slugs_are_kebab_case_and_stand_for_one_bug_each() {
        let slugs: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.slug()).collect();
        assert_eq!(slugs.len(), Bug::ALL.len());
        for bug in Bug::ALL {
            let words = bug.slug().split('-');
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!(words.into_iter().all(|word| !word.is_empty() && word.chars().all(plain)), "{bug:?}");
            assert_eq!(Bug::named(bug.slug()), Some(*bug));
            assert!(!bug.wrong().is_empty() && bug.wrong().len() <= 70, "{bug:?}: {}", bug.wrong());
        }
    }

    #[test]
    fn one_bug_is_on_at_a_time_and_in_one_thread() {
        set(Some(Bug::OneTooMany));
        assert!(is_on(Bug::OneTooMany) && !is_on(Bug::BasketLeak));
        std::thread::scope(|scope| scope.spawn(|| assert!(!is_on(Bug::OneTooMany))).join()).unwrap();
        set(None);
        assert!(!is_on(Bug::OneTooMany));
    }
}

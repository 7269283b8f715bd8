//! Golden bytes: what version 1 wrote, this release reads and writes.
//!
//! A line here is never changed once it was released; a new version adds its own.

use uuid::Uuid;

use super::history::{Before, Numbered};
use super::message::{Ask, AskLine, Digest, Forward, Forwarded, Given, Hello, Holds, Pass, Recall, Recalled};
use super::record::{Allowance, Claim, KeyedRequest};
use super::*;
use crate::types::*;

fn replica(n: u128) -> ReplicaId {
    ReplicaId(Uuid::from_u128(n))
}

fn sku() -> Sku {
    Sku::new("TEE").unwrap()
}

fn reservation() -> Reservation {
    Reservation {
        id: ReservationId::new("A-1").unwrap(),
        home: replica(1),
        caller: 0,
        version: 2,
        lines: vec![Line { sku: sku(), quantity: Units(3) }],
        created_at: Timestamp(10),
        deadline: Timestamp(20),
        state: ReservationState::Held,
        durability: Durability::Local,
        ended_at: Timestamp(0),
    }
}

fn member() -> Member {
    Member { replica: replica(1), name: NodeName::new("eu-1").unwrap(), region: Region::new("eu").unwrap() }
}

fn gauge() -> Option<Gauge> {
    Some(Gauge { units: 1_500, orders: 1_000, span: 60_000, at: Timestamp(3) })
}

fn entries() -> Vec<Entry> {
    let cells = [Cell::Received, Cell::Returned, Cell::Taken, Cell::Released, Cell::Sold, Cell::Retired];
    let columns = [Cell::Sent(replica(2)), Cell::Credited(replica(2)), Cell::Reclaimed(replica(3))];
    let cells =
        cells.into_iter().chain(columns).zip(1..).map(|(cell, value)| CellValue { cell, value }).collect();
    let row = RowBody { cells, mark: u64::MAX, q: 1, demand: gauge(), limit: Some(300) };
    let quota = Quota { weight: Some(3), min: Some(Units(1)), max: Some(Units(9)), pinned: None };
    let policy = Policy {
        name: Some("Tee".into()),
        low_stock: Some(Units(5)),
        max_per_order: Some(Units(4)),
        rebalance: Rebalance::Manual,
        quotas: [(member().name, quota)].into(),
        launch: Some(Launch { until: Timestamp(9), expected: [(member().name, Units(7))].into() }),
        autonomy: Some(Autonomy::Percent(5)),
    };
    let session = Session { nonce: 7, first: Seq(3) };
    let bodies = [
        (Key::Item(sku()), Body::Item(row)),
        (Key::Member(replica(1)), Body::Member(member())),
        (Key::Setting(sku()), Body::Setting(Setting { time: Timestamp(5), policy })),
        (Key::Session, Body::Session(session)),
        (Key::Closed, Body::Closed),
        (Key::Draining, Body::Draining(true)),
    ];
    let entry = |((key, body), seq)| Entry { origin: replica(1), session: 7, seq: Seq(seq), key, body };
    bodies.into_iter().zip(1..).map(entry).collect()
}

fn placed() -> Placed {
    let request = Some(KeyedRequest { id: [1; 16], fingerprint: [2; 16] });
    Placed { id: reservation().id, at: replica(2), request, time: Timestamp(20), withdrawn: true }
}

fn batch() -> Batch {
    let request = Remembered {
        id: [1; 16],
        fingerprint: [2; 16],
        outcome: Err(Refusal::NotFreeHere { free: Units(1) }),
        time: Timestamp(9),
    };
    let change = Change {
        time: Timestamp(8),
        cause: Cause::Reserve,
        actor: Some(Actor::Forwarded { caller: Caller::Admin, via: replica(2) }),
        reference: Some("r".into()),
        rows: vec![Raise {
            sku: sku(),
            seq: Seq(4),
            cells: vec![CellRaise { new: CellValue { cell: Cell::Taken, value: 5 }, by: Units(3) }],
            demand: gauge(),
            allowance: Some(Allowance { mark: 300, limit: 200, q: 1 }),
        }],
        entries: vec![],
        reservation: Some(reservation()),
        request: Some(request.clone()),
        reason: Some("why".into()),
        placed: Some(placed()),
    };
    let genesis = Genesis {
        cluster: ClusterId(Uuid::from_u128(9)),
        replica: replica(1),
        name: member().name,
        region: member().region,
        founders: vec![member()],
    };
    let claim = Some(Claim { origin: replica(2), upto: Seq(6) });
    let records = vec![
        Record::Genesis(genesis),
        Record::Change(Box::new(change)),
        Record::Merge(Merge { entries: entries(), claim }),
        Record::Own(vec![]),
        Record::Reservation(reservation()),
        Record::Request(Box::new(request)),
        Record::Watermark { origin: replica(2), upto: Seq(6) },
        Record::Placed(placed()),
    ];
    Batch { time: Timestamp(11), records }
}

fn messages() -> Vec<Message> {
    let digest = Digest {
        watermarks: vec![(replica(1), Seq(5))],
        stamp: Timestamp(3),
        echo: Some(Timestamp(2)),
        demand: gauge(),
    };
    let session = Session { nonce: 7, first: Seq(3) };
    let line = AskLine { sku: sku(), need: Units(2), want: Units(1), demand: gauge(), seen: Some(Units(7)) };
    let claimed =
        Claimed { reservation: reservation(), created: true, node: member().name, region: member().region };
    let told = HistoryEntry {
        time: Timestamp(8),
        cause: Cause::Import,
        actor: Some(Actor::Peer(replica(2))),
        reference: Some("r".into()),
        reason: None,
        reservation: Some(reservation().id),
        raised: vec![CellValue { cell: Cell::Taken, value: 3 }],
        policy: None,
    };
    let told = Numbered { number: 4, entry: told };
    vec![
        Message::Hello(Hello {
            protocol: 1,
            cluster: ClusterId(Uuid::from_u128(9)),
            node: member().name,
            replica: replica(1),
            session,
            watermark: Seq(5),
            digest: digest.clone(),
            known: Some(session),
            held: Seq(6),
        }),
        Message::Digest(digest),
        Message::Pass(Pass {
            origin: replica(1),
            number: 1,
            from: Seq(0),
            frame: 0,
            upto: Some(Seq(5)),
            entries: entries(),
        }),
        Message::Ask(Ask { id: 4, lines: vec![line], stamp: Timestamp(3), since: Some(Timestamp(1)) }),
        Message::Given(Given { id: 4, stamp: Timestamp(3), entries: vec![], none: vec![sku()] }),
        Message::Forward(Forward {
            id: 5,
            request: Request::plain(Command::Cancel { id: ReservationId::new("A-1").unwrap() }),
            placing: true,
        }),
        Message::Recall(Recall { id: 6, sku: sku(), before: Before::Number(9), limit: 100 }),
        Message::Recalled(Recalled { id: 6, entries: vec![told], more: true }),
        Message::Holds(Holds { upto: Seq(5) }),
        Message::Forwarded(Forwarded {
            id: 5,
            outcome: Ok(Answer::Reservation(claimed)),
            replayed: false,
            rows: entries(),
        }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const BATCH: &str = "\
    01820b8882008185500000000000000000000000000000000950000000000000000000000000000000016465752d3162\
    6575818350000000000000000000000000000000016465752d316265758201818a080282018201500000000000000000\
    0000000000000002617281866354454504818282020503f6841905dc1903e819ea60038319012c18c801808a63412d31\
    50000000000000000000000000000000010002818263544545030a140000008450010101010101010101010101010101\
    01500202020202020202020202020202020282018209810109637768798563412d315000000000000000000000000000\
    000002825001010101010101010101010101010101500202020202020202020202020202020214f58202818286855000\
    000000000000000000000000000001070182008163544545820081868982000182010282020382030482040582050683\
    060750000000000000000000000000000000028307085000000000000000000000000000000002830809500000000000\
    00000000000000000000031bffffffffffffffff01f6841905dc1903e819ea600319012c855000000000000000000000\
    000000000001070282018150000000000000000000000000000000018201818350000000000000000000000000000000\
    016465752d31626575855000000000000000000000000000000001070382028163544545820281820587635465650504\
    01a16465752d31830301098209a16465752d310782028105855000000000000000000000000000000001070482038082\
    038182070385500000000000000000000000000000000107058205808205808550000000000000000000000000000000\
    010706820780820781f582500000000000000000000000000000000206820381808204818a63412d3150000000000000\
    000000000000000000010002818263544545030a14000000820581845001010101010101010101010101010101500202\
    020202020202020202020202020282018209810109820682500000000000000000000000000000000206820781856341\
    2d3150000000000000000000000000000000028250010101010101010101010101010101015002020202020202020202\
    02020202020214f5";
const MESSAGES: &str = "\
    018a820081890150000000000000000000000000000000096465752d3150000000000000000000000000000000018207\
    03058481825000000000000000000000000000000001050302841905dc1903e819ea6003820703068201818481825000\
    000000000000000000000000000001050302841905dc1903e819ea600382028186500000000000000000000000000000\
    000101000005868550000000000000000000000000000000010701820081635445458200818689820001820102820203\
    820304820405820506830607500000000000000000000000000000000283070850000000000000000000000000000000\
    0283080950000000000000000000000000000000031bffffffffffffffff01f6841905dc1903e819ea600319012c8550\
    000000000000000000000000000000010702820181500000000000000000000000000000000182018183500000000000\
    00000000000000000000016465752d316265758550000000000000000000000000000000010703820281635445458202\
    8182058763546565050401a16465752d31830301098209a16465752d3107820281058550000000000000000000000000\
    000000010704820380820381820703855000000000000000000000000000000001070582058082058085500000000000\
    00000000000000000000010706820780820781f582038184048186635445450201f6841905dc1903e819ea6003070301\
    82048184040380816354454582058183058382028163412d31f600f5820981840663544545820181091864820a818306\
    81820487081382028150000000000000000000000000000000026172f663412d3181820203f5820b8181058206818405\
    8200820081848a63412d3150000000000000000000000000000000010002818263544545030a14000000f56465752d31\
    626575f48685500000000000000000000000000000000107018200816354454582008186898200018201028202038203\
    048204058205068306075000000000000000000000000000000002830708500000000000000000000000000000000283\
    080950000000000000000000000000000000031bffffffffffffffff01f6841905dc1903e819ea600319012c85500000\
    000000000000000000000000000107028201815000000000000000000000000000000001820181835000000000000000\
    0000000000000000016465752d3162657585500000000000000000000000000000000107038202816354454582028182\
    058763546565050401a16465752d31830301098209a16465752d31078202810585500000000000000000000000000000\
    000107048203808203818207038550000000000000000000000000000000010705820580820580855000000000000000\
    0000000000000000010706820780820781f5";

#[test]
fn a_batch_of_version_1_is_read_and_written_as_it_was() {
    assert_eq!(hex(&codec::encode(&batch())), BATCH);
    assert_eq!(codec::decode::<Batch>(&bytes(BATCH)).unwrap(), batch());
}

#[test]
fn messages_of_version_1_are_read_and_written_as_they_were() {
    assert_eq!(hex(&codec::encode(&messages())), MESSAGES);
    assert_eq!(codec::decode::<Vec<Message>>(&bytes(MESSAGES)).unwrap(), messages());
}

#[test]
fn no_cut_or_flipped_byte_makes_a_decoder_panic() {
    for good in [BATCH, MESSAGES] {
        let good = bytes(good);
        for at in 0..good.len() {
            let _ = codec::decode::<Batch>(&good[..at]);
            let _ = codec::decode::<Vec<Message>>(&good[..at]);
            for bit in [1, 16, 128] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                let _ = codec::decode::<Batch>(&bad);
                let _ = codec::decode::<Vec<Message>>(&bad);
            }
        }
    }
}

#[test]
fn what_was_written_before_notes_and_placing_is_read() {
    let request = Request::plain(Command::Nodes);
    let forward: Forward = codec::decode(&codec::encode(&(5u64, request.clone()))).unwrap();
    assert_eq!(forward, Forward { id: 5, request, placing: false });
    let nothing = (None::<Reservation>, None::<Remembered>, None::<String>);
    let (rows, entries) = (Vec::<Raise>::new(), Vec::<Entry>::new());
    let old = (Timestamp(8), Cause::Stop, None::<Actor>, None::<String>, rows, entries);
    let old = (old.0, old.1, old.2, old.3, old.4, old.5, nothing.0, nothing.1, nothing.2);
    let change: Change = codec::decode(&codec::encode(&old)).unwrap();
    assert_eq!((change.cause, change.placed), (Cause::Stop, None));
}

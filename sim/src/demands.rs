//! What is demanded of a world that was healed, besides that its books converge and its stock sells
//! out: silence when nobody asks, one answer about each reservation, whoever is asked, and that
//! two baskets that want each other's units do not starve.

use std::rc::Rc;

use stockade::replica::Token;
use stockade::types::{
    Autonomy, Caller, Command, IdempotencyKey, Line, Millis, Movement, Outcome, Request, ReservationId, Sell,
    Sku, Units,
};

use crate::checks::{Checked, Property, Violation, answered, moves, quiet, reach, service, sizes};
use crate::host::Open;
use crate::time::Span;
use crate::workload::sku;
use crate::world::{Event, World};

/// How long hosts are listened to when nothing is to be said.
const QUIET: Span = Span::seconds(3);
/// After the last request hosts may still look for what it made them want.
const ECHO: Span = Span::seconds(1);
/// Requests may still come until then after the heal; see [`World`]'s late repeats.
const TRIES: usize = 5;
/// How often a wait for answers looks again.
const SLICE: Span = Span::millis(5);

impl World {
    /// Nobody asks for anything: listens whether hosts are quiet.
    pub(crate) fn be_quiet(&mut self) -> Checked {
        for _ in 0..TRIES {
            let requests = self.counts.requests;
            // What the last request made wanted is still looked for.
            self.run_until(self.now.after(ECHO))?;
            let transfers = self.oracle.transfers;
            self.oracle.sent.fill(quiet::Sent::default());
            self.run_until(self.now.after(QUIET))?;
            if self.counts.requests > requests {
                continue;
            }
            quiet::check_transfers(transfers, self.oracle.transfers)?;
            let hosts = self.plan.hosts;
            for (place, sent) in self.oracle.sent.iter().enumerate() {
                quiet::check(place / hosts, place % hosts, *sent, QUIET)?;
            }
            for (host, process) in self.hosts.iter().enumerate() {
                let Some(process) = &process.process else { continue };
                sizes::check_idle(host, &process.replica.sizes())?;
            }
            return Ok(());
        }
        Err(Violation::of(Property::Quiet, "requests still come long after the heal: nobody was listened to"))
    }

    /// What each client asked for last is done or not done, whoever is asked.
    pub(crate) fn settle_all(&mut self) -> Checked {
        let ids = self.oracle.last_asked();
        let mut asked = Vec::new();
        for id in &ids {
            let first = self.dice.place(self.plan.hosts);
            for host in [first, (first + 1) % self.plan.hosts] {
                asked.push((host, Command::Read { id: id.clone() }));
            }
        }
        let outcomes = self.ask_all(asked)?;
        for (id, said) in ids.iter().zip(outcomes.chunks(2)) {
            if let [(first, _), (second, _)] = said {
                self.oracle.check_settled(id, [first, second])?;
            }
        }
        Ok(())
    }

    /// Two hosts each have units of an item, and at each a buyer wants all of both, at once.
    pub(crate) fn cross_baskets(&mut self) -> Checked {
        if self.plan.items < 2 {
            return Ok(());
        }
        let first = self.dice.place(self.plan.hosts);
        let hosts = [first, (first + 1) % self.plan.hosts];
        let skus = [sku(0), sku(1)];
        let deliveries = hosts.iter().zip(&skus).map(|(host, sku)| (*host, delivery(sku)));
        let deliveries = self.ask_all(deliveries.collect())?;
        for (outcome, _) in deliveries {
            service::check_delivery(&outcome)?;
        }
        let line = |sku: &Sku| {
            let free = u64::try_from(self.oracle.free(sku)).unwrap_or(0);
            Line { sku: sku.clone(), quantity: Units(free) }
        };
        let lines: Vec<Line> = skus.iter().map(line).collect();
        let sell = |(n, host): (usize, usize)| {
            let id = ReservationId::new(&format!("cross-{n}")).expect("a valid id");
            let wait = Millis(5_000);
            (host, Command::Sell(Sell { id, lines: lines.clone(), wait, reference: None, minted: false }))
        };
        let sales = hosts.into_iter().enumerate().map(sell).collect();
        let outcomes = self.ask_all(sales)?;
        if let [(first, _), (second, _)] = outcomes.as_slice() {
            service::check_crossing([first, second])?;
            self.counts.sold += lines.iter().map(|line| line.quantity.0).sum::<u64>();
        }
        Ok(())
    }

    /// Sells all that is free of an item through one host, each sale measured.
    pub(crate) fn sell_all(&mut self, host: usize, sku: &Sku) -> Checked {
        let (all, moved) = (self.oracle.free(sku), self.oracle.moves.moved(sku));
        loop {
            let free = self.oracle.free(sku);
            let free_units = u64::try_from(free).unwrap_or(0);
            if free_units == 0 {
                break;
            }
            let most = (free_units / 2).max(5).min(free_units);
            let units = self.dice.between(1, most);
            self.sell_in_time(host, sku, units, free)?;
            self.counts.sold += units;
        }
        moves::check_calm(sku, all, self.oracle.moves.moved(sku) - moved)
    }

    fn sell_in_time(&mut self, host: usize, sku: &Sku, units: u64, free: i128) -> Checked {
        let id = ReservationId::new(&format!("end-{}", self.now.0)).expect("a valid id");
        let lines = vec![Line { sku: sku.clone(), quantity: Units(units) }];
        let sell = Sell { id, lines, wait: Millis(5_000), reference: None, minted: false };
        for (outcome, took) in self.ask_all(vec![(host, Command::Sell(sell))])? {
            reach::check_sale(sku, free, &outcome)?;
            let has_dials = self.plan.autonomy != Autonomy::All;
            service::check_sale(sku, took, self.network.slowest(), self.plan.sync, has_dials)?;
        }
        Ok(())
    }

    /// All hosts are idle: what they have is what their disks have, and what all their records come
    /// to.
    pub(crate) fn check_rebuilt(&self) -> Checked {
        for (n, host) in self.hosts.iter().enumerate() {
            let Some(process) = &host.process else { continue };
            if process.durable == process.replica.position() {
                self.oracle.check_rebuilt(n, &process.replica)?;
            }
        }
        Ok(())
    }

    /// Requests that reach their nodes at once; their answers, and how long each took.
    ///
    /// # Errors
    /// When one is not answered, or a property does not hold meanwhile.
    fn ask_all(&mut self, commands: Vec<(usize, Command)>) -> Result<Vec<(Outcome, Span)>, Violation> {
        let arrived = self.now;
        let mut tokens: Vec<(usize, Token)> = Vec::new();
        for (node, command) in commands {
            let token = self.token();
            let scope = "POST /demands".into();
            let key = matches!(command, Command::Receive(_))
                .then(|| IdempotencyKey { scope, key: format!("{token:?}") });
            let request = Rc::new(Request { command, key, caller: Caller::Storefront });
            let open = Open { request, arrived, client: None, altered: false };
            self.calls.insert(token, None);
            self.push(arrived, Event::Request { node, token, open });
            tokens.push((node, token));
        }
        let mut outcomes: Vec<Option<(Outcome, Span)>> = vec![None; tokens.len()];
        while outcomes.contains(&None) {
            self.run_until(self.now.after(SLICE))?;
            for ((node, token), place) in tokens.iter().zip(&mut outcomes) {
                if let Some(Some(outcome)) = self.calls.get(token).cloned() {
                    self.calls.remove(token);
                    *place = Some((outcome, self.now.since(arrived)));
                } else if place.is_none() {
                    answered::check(*node, arrived, self.now)?;
                }
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }
}

fn delivery(sku: &Sku) -> Command {
    Command::Receive(Movement { sku: sku.clone(), quantity: Units(1), reason: None, reference: None })
}

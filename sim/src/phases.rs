//! The life of a world: it is set up, faults and clients rage, all is healed, and then progress
//! is demanded: the books converge, every request was answered, and all that is left is sold
//! through one node, to exactly zero.

use std::rc::Rc;

use stockade::limits::{LOOK_PAUSE_MAX, SETTLE_FOR};
use stockade::types::{
    Caller, Command, IdempotencyKey, Line, Millis, Movement, Outcome, Policy, Rebalance, Request,
    ReservationId, Sell, Sku, Units,
};

use crate::checks::{Checked, Property, Violation, answered, convergence, drained, floors, reach};
use crate::host::Open;
use crate::time::{Span, Time};
use crate::world::{Event, World};

/// Cuts are mended, hosts boot and stalled processes go on within this after the heal.
const HEAL: Span = Span::seconds(9);
/// The longest time a hold lasts.
const HOLDS: Span = Span::seconds(25);
/// How long the books may take to converge once nothing changes any more.
const CONVERGE: Span = Span::seconds(10);
/// How long what quotas reserve may take to get there: the longest pause before a node looks again
/// whether it can be had, and time for the moves.
const FLOORS: Span = Span::millis(LOOK_PAUSE_MAX.0 + 5_000);
/// So long after a start, a link or a change of what is wanted a node looks again for what it lacks.
const SETTLE: Span = Span::millis(SETTLE_FOR.0 + 1_000);
/// Longer than a world lasts.
const FOREVER: Span = Span::seconds(100_000);
/// How often a request is tried while faults rage. None of them lasts so long.
const TRIES: u32 = 400;
/// How often a wait looks again.
const SLICE: Span = Span::millis(100);

impl World {
    /// # Errors
    /// At the first property that does not hold.
    pub fn live(&mut self) -> Checked {
        let result = self.phases();
        self.counts.virtual_us = self.now.0;
        result
    }

    fn phases(&mut self) -> Checked {
        self.set_up()?;
        self.run_until(self.plan.chaos_end().max(self.now))?;
        self.heal()?;
        self.converge()?;
        self.check_drained()?;
        self.wait(FLOORS, |world| world.check_floors().is_ok())?;
        self.check_floors()?;
        self.run_until(self.now.after(SETTLE))?;
        self.be_quiet()?;
        self.mend_bridge()?;
        self.settle_all()?;
        self.sell_out()?;
        self.check_rebuilt()?;
        self.note_end();
        (0..self.plan.hosts).try_for_each(|host| self.check_host(host))?;
        self.oracle.moves.check(self.plan.hosts)?;
        self.oracle.check_end()
    }

    fn set_up(&mut self) -> Checked {
        if self.plan.early {
            return self.set_up_in_a_storm();
        }
        let early = self.plan.hosts - usize::from(self.plan.late_host);
        (0..early).try_for_each(|host| self.boot(host))?;
        // A replica that not everybody greets serves after three seconds.
        self.run_until(Time::ZERO.after(Span::seconds(4)))?;
        let skus: Vec<Sku> = (0..self.plan.items).map(crate::workload::sku).collect();
        for sku in &skus {
            let policy = self.workload.policy();
            self.must(0, Command::SetItem { sku: sku.clone(), policy })?;
        }
        self.run_until(self.now.after(Span::seconds(1)))?;
        for sku in skus.iter().chain(&skus) {
            let host = self.dice.place(early);
            let quantity = Units(self.dice.between(1, self.plan.most_units));
            // A lossy network may not have told this host of the item yet.
            if self.call(host, receive(sku, quantity))?.is_err() {
                self.must(0, receive(sku, quantity))?;
            }
        }
        self.run_until(self.plan.chaos_from().max(self.now))?;
        self.rage();
        Ok(())
    }

    /// Faults and clients are there from the first start on.
    fn set_up_in_a_storm(&mut self) -> Checked {
        self.rage();
        for host in 0..self.plan.hosts {
            let at = self.some(Span::seconds(1));
            self.push_in(at, Event::Boot { host });
        }
        let first = self.some(Span::seconds(2));
        self.run_until(self.now.after(first))?;
        let skus: Vec<Sku> = (0..self.plan.items).map(crate::workload::sku).collect();
        for sku in &skus {
            let policy = self.workload.policy();
            self.insist(Command::SetItem { sku: sku.clone(), policy })?;
            let quantity = Units(self.dice.between(1, self.plan.most_units));
            self.insist(receive(sku, quantity))?;
        }
        for sku in &skus {
            let quantity = Units(self.dice.between(1, self.plan.most_units));
            self.insist(receive(sku, quantity))?;
        }
        Ok(())
    }

    /// Faults and clients begin.
    fn rage(&mut self) {
        self.chaos = true;
        if self.plan.late_host {
            let soon = self.some(Span::seconds(2));
            self.push_in(soon, Event::Boot { host: self.plan.hosts - 1 });
        }
        for client in 0..self.plan.clients {
            let pause = self.some(Span::seconds(1));
            self.push_in(pause, Event::Wake { client });
        }
        self.plan_strikes();
    }

    fn heal(&mut self) -> Checked {
        self.trace.note(self.now, &[], &[], || "heal".into());
        self.chaos = false;
        self.network.calm();
        for host in 0..self.plan.hosts {
            self.hosts[host].clock.thaw(self.now);
            self.hosts[host].wounds.heal();
            if self.hosts[host].wounds.rot.take().is_some() {
                self.hosts[host].disk.mend_rot();
            }
            let mistake = self.hosts[host].wounds.mistakes;
            self.right_disk(host, mistake)?;
        }
        let cuts: Vec<u64> = self.cuts.keys().copied().collect();
        cuts.into_iter().for_each(|cut| self.mend(cut));
        if self.plan.bridge {
            self.cut(0, 1, FOREVER);
            self.cut(1, 0, FOREVER);
        }
        self.run_until(self.now.after(HEAL))
    }

    /// The last cuts end, and the links come back.
    fn mend_bridge(&mut self) -> Checked {
        let cuts: Vec<u64> = self.cuts.keys().copied().collect();
        cuts.into_iter().for_each(|cut| self.mend(cut));
        self.run_until(self.now.after(Span::seconds(3)))
    }

    fn converge(&mut self) -> Checked {
        // What came last may wait still, and hold units then.
        self.wait(answered::LIMIT, |world| world.oldest_open().is_none())?;
        self.wait(HOLDS, |world| world.oracle.held() == 0)?;
        self.wait(CONVERGE, |world| world.check_converged().is_ok())?;
        self.check_converged()?;
        match self.oldest_open() {
            Some((host, arrived)) => answered::check(host, arrived, self.now),
            None => Ok(()),
        }
    }

    /// Nothing has changed for long: who drains, and can reach one that does not, has no free unit.
    fn check_drained(&self) -> Checked {
        let hosts =
            || self.hosts.iter().enumerate().filter_map(|(n, host)| Some((n, host.process.as_ref()?)));
        for (n, process) in hosts().filter(|(_, process)| process.replica.is_draining()) {
            let takes = |(to, other): (usize, &crate::host::Process)| {
                let cut = self.network.is_cut(n, to) || self.network.is_cut(to, n);
                !other.replica.is_draining() && !cut && self.hosts[n].ends[to].up
            };
            if !hosts().filter(|(to, _)| *to != n).any(takes) {
                continue;
            }
            let own = process.replica.rows().filter(|(_, owner, _)| *owner == process.replica.replica_id());
            for (sku, _, row) in own {
                let free = row.balances().map_or(0, |balances| balances.available.0);
                drained::check_handed_over(n, sku, free)?;
            }
        }
        Ok(())
    }

    /// Nothing has changed for long: what quotas reserve is where it should be.
    fn check_floors(&self) -> Checked {
        let replicas: Option<Vec<_>> =
            self.hosts.iter().map(|host| Some(&host.process.as_ref()?.replica)).collect();
        let Some(replicas) = replicas.filter(|all| !self.plan.bridge && !all.iter().any(|r| r.is_draining()))
        else {
            return Ok(());
        };
        for sku in (0..self.plan.items).map(crate::workload::sku) {
            let Some(policy) = replicas[0].policy(&sku).filter(|p| p.rebalance == Rebalance::Auto) else {
                continue;
            };
            let held = |replica: &&stockade::replica::Replica| floors::Held {
                available: replica.available(&sku).0,
                floor: policy.quotas.get(replica.name()).map_or(0, |quota| quota.floor().0),
            };
            floors::check(sku.as_str(), &replicas.iter().map(held).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn check_converged(&self) -> Checked {
        let processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        let digests: Vec<String> = processes.map(|process| process.replica.check().books_digest).collect();
        convergence::check(&digests, self.now)
    }

    fn oldest_open(&self) -> Option<(usize, Time)> {
        let of = |(n, host): (usize, &crate::host::Host)| {
            let process = host.process.as_ref()?;
            Some((n, process.open.values().map(|open| open.arrived).min()?))
        };
        self.hosts.iter().enumerate().filter_map(of).min_by_key(|(_, arrived)| *arrived)
    }

    fn wait(&mut self, most: Span, done: impl Fn(&World) -> bool) -> Checked {
        let end = self.now.after(most);
        while self.now < end && !done(self) {
            self.run_until(self.now.after(SLICE))?;
        }
        Ok(())
    }

    fn sell_out(&mut self) -> Checked {
        // A repeat that came late may have made one; its units would come back amid the sale.
        self.wait(HOLDS, |world| world.oracle.held() == 0)?;
        for n in 0..self.plan.hosts {
            self.must(n, Command::SetDraining { node: crate::workload::node(n), draining: false })?;
        }
        let seller = self.dice.place(self.plan.hosts);
        let skus: Vec<Sku> = (0..self.plan.items).map(crate::workload::sku).collect();
        for sku in &skus {
            self.must(seller, Command::SetItem { sku: sku.clone(), policy: Policy::default() })?;
        }
        // Units that the new setting wants elsewhere have moved by then.
        self.run_until(self.now.after(SETTLE))?;
        self.cross_baskets()?;
        let hosts = 0..self.plan.hosts;
        let pairs = hosts.clone().flat_map(|a| hosts.clone().map(move |b| (a, b)));
        self.oracle.calm = Some(pairs.map(|(a, b)| self.network.round_trip(self.now, a, b)).collect());
        for sku in &skus {
            self.sell_all(seller, sku)?;
            let outcome = self.sell(seller, sku, 1)?;
            reach::check_end(sku, &outcome)?;
        }
        Ok(())
    }

    fn sell(&mut self, host: usize, sku: &Sku, units: u64) -> Result<Outcome, Violation> {
        let id = ReservationId::new(&format!("end-{}", self.now.0)).expect("a valid id");
        let lines = vec![Line { sku: sku.clone(), quantity: Units(units) }];
        let wait = Millis(5_000);
        self.call(host, Command::Sell(Sell { id, lines, wait, reference: None, minted: false }))
    }

    /// A request that has no reason to be refused.
    fn must(&mut self, node: usize, command: Command) -> Checked {
        let text = format!("{command:?}");
        match self.call(node, command)? {
            Ok(_) => Ok(()),
            Err(no) => Err(Violation::of(Property::Answered, format!("n-{node} refused {text}: {no:?}"))),
        }
    }

    /// Asks one host after the other, until one does it.
    fn insist(&mut self, command: Command) -> Checked {
        let mut last = None;
        for _ in 0..TRIES {
            let host = self.dice.place(self.plan.hosts);
            match self.call(host, command.clone())? {
                Ok(_) => return Ok(()),
                Err(no) => last = Some(no),
            }
            self.run_until(self.now.after(Span::millis(200)))?;
        }
        Err(Violation::of(Property::Answered, format!("nobody did {command:?}: {last:?}")))
    }

    /// A request that reaches its node at once, and its answer.
    ///
    /// # Errors
    /// When none comes, or a property does not hold meanwhile.
    fn call(&mut self, node: usize, command: Command) -> Result<Outcome, Violation> {
        let token = self.token();
        let key = match &command {
            Command::Receive(_) => {
                Some(IdempotencyKey { scope: "POST /calls".into(), key: format!("{token:?}") })
            }
            _ => None,
        };
        let request = Rc::new(Request { command, key, caller: Caller::Storefront });
        let open = Open { request, arrived: self.now, client: None, altered: false };
        self.calls.insert(token, None);
        let arrived = self.now;
        self.push(self.now, Event::Request { node, token, open });
        loop {
            self.run_until(self.now.after(Span::millis(5)))?;
            if let Some(Some(outcome)) = self.calls.get(&token).cloned() {
                self.calls.remove(&token);
                return Ok(outcome);
            }
            answered::check(node, arrived, self.now)?;
        }
    }
}

fn receive(sku: &Sku, quantity: Units) -> Command {
    Command::Receive(Movement { sku: sku.clone(), quantity, reason: None, reference: None })
}

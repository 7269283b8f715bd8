//! Operators, who act at the worst moment: drains, transfers, settings, launches, rebalances,
//! write-offs, imports and deliveries, now and then twice, and at any node.

use std::rc::Rc;

use stockade::types::{
    Caller, Command, IdempotencyKey, ImportLine, Movement, Policy, Request, Transfer, Units,
};

use crate::dice::Dice;
use crate::host::Open;
use crate::time::Span;
use crate::workload::{launch, node, quotas, rebalance, sku};
use crate::world::{Event, World};

impl World {
    pub(super) fn deed(&mut self, dice: &mut Dice) {
        self.counts.deeds += 1;
        let request = self.deed_request(dice);
        let mut at = dice.place(self.plan.hosts);
        let is_local = request.key.is_some();
        for again in [true, dice.chance(300)] {
            if again {
                let token = self.token();
                let request = Rc::clone(&request);
                let open = Open { request, arrived: self.now, client: None, altered: false };
                let delay = Span(dice.below(3_000));
                self.push_in(delay, Event::Request { node: at, token, open });
            }
            // A key holds for the node that it came to.
            if !is_local {
                at = dice.place(self.plan.hosts);
            }
        }
    }

    fn deed_request(&self, dice: &mut Dice) -> Rc<Request> {
        let hosts = self.plan.hosts;
        let sku = sku(dice.place(self.plan.items));
        let quantity = Units(dice.between(1, 8));
        let movement = Movement { sku: sku.clone(), quantity, reason: None, reference: None };
        let name = format!("deed-{}", dice.any());
        let from = dice.place(hosts);
        let (command, scope) = match dice.below(11) {
            0 | 1 => (Command::SetDraining { node: node(from), draining: dice.chance(600) }, None),
            2 | 3 => {
                let to = node((from + 1 + dice.place(hosts - 1)) % hosts);
                let from = node(from);
                (Command::Transfer(Transfer { sku, from, to, quantity, reference: None }), Some("transfers"))
            }
            4 => {
                let launch = dice.chance(300).then(|| launch(self.now, hosts, dice));
                let policy = Policy { quotas: quotas(hosts, dice), launch, ..Policy::default() };
                (Command::SetItem { sku, policy }, None)
            }
            5 => {
                let launch = dice.chance(500).then(|| launch(self.now, hosts, dice));
                (Command::SetItem { sku, policy: Policy { launch, ..Policy::default() } }, None)
            }
            6 => (Command::WriteOff(movement), Some("write-offs")),
            7 => {
                let line = ImportLine { sku, name: None, quantity: Some(quantity), repeat: 0 };
                (Command::Import { key: Some(name.clone()), lines: vec![line] }, None)
            }
            8 | 9 => (rebalance(self.plan.items, dice), None),
            _ => (Command::Receive(movement), Some("receipts")),
        };
        let key = scope.map(|scope| IdempotencyKey { scope: format!("POST /{scope}"), key: name });
        Rc::new(Request { command, key, caller: Caller::Admin })
    }
}

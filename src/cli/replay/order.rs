//! The course of one order: reserve, confirm, and bring back what is brought back.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::patience::{Patience, Silences, until_answered};
use super::targets::Target;
use super::trace::{Order, Trace};
use crate::cli::client::{Answer, BaseUrl, Call, Client};

/// Why an order was refused, by the strongest reason among its short lines: one `unknown`
/// outweighs any `elsewhere`, which outweighs any `sold_out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    SoldOut,
    Elsewhere,
    Unknown,
}

impl Verdict {
    fn of(text: &str) -> Verdict {
        match text {
            "sold_out" => Verdict::SoldOut,
            "elsewhere" => Verdict::Elsewhere,
            _ => Verdict::Unknown,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    Confirmed,
    Refused(Verdict),
    /// Nobody said how it ended.
    Unanswered,
}

/// What was acknowledged about one order.
#[derive(Clone, Debug)]
pub struct OrderReport {
    /// Its place in the trace.
    pub order: usize,
    pub end: OrderEnd,
    /// For each line that was brought back, whether that was acknowledged.
    pub returned: Vec<bool>,
    pub reserve: Option<Duration>,
    /// The node had to wait for others before it answered the reservation.
    pub waited: bool,
    pub confirm: Option<Duration>,
    /// An answer that should never be given, in words.
    pub unexpected: Option<String>,
}

impl OrderReport {
    pub fn unanswered(order: usize) -> OrderReport {
        let end = OrderEnd::Unanswered;
        OrderReport {
            order,
            end,
            returned: Vec::new(),
            reserve: None,
            waited: false,
            confirm: None,
            unexpected: None,
        }
    }

    /// How it ended, in words.
    pub fn words(&self, order: &Order) -> String {
        let end = match self.end {
            _ if order.sales.is_empty() => "nothing was bought",
            OrderEnd::Confirmed => "it is confirmed",
            OrderEnd::Refused(_) => "it was not carried out",
            OrderEnd::Unanswered => "no answer",
        };
        let returned = self.returned.iter().filter(|done| **done).count();
        format!("{end}; {returned} of {} returns acknowledged", order.returns.len())
    }

    /// Its reservation was not refused, whatever came of it later.
    pub fn is_held(&self) -> bool {
        self.confirm.is_some() || !matches!(self.end, OrderEnd::Refused(_))
    }

    /// Nothing is left open.
    pub fn is_settled(&self, order: &Order) -> bool {
        let sold = order.sales.is_empty() || self.end != OrderEnd::Unanswered;
        sold && self.returned.len() == order.returns.len() && self.returned.iter().all(|done| *done)
    }
}

/// What every order needs.
#[derive(Clone, Debug)]
pub struct Shop {
    pub client: Client,
    pub trace: Arc<Trace>,
    pub targets: Arc<[Target]>,
    pub silences: Arc<Silences>,
    pub patience: Patience,
    /// How long a node may fetch rights from others before it refuses.
    pub wait_ms: u64,
}

impl Shop {
    /// Carries out one order at one node.
    pub async fn carry_out(&self, order: usize, node: usize) -> OrderReport {
        let mut report = OrderReport::unanswered(order);
        if !self.trace.orders[order].sales.is_empty() {
            self.sell(&mut report, node).await;
        }
        self.bring_back(&mut report, node).await;
        report
    }

    async fn sell(&self, report: &mut OrderReport, node: usize) {
        let call = self.reserve_call(&self.trace.orders[report.order], &self.targets[node].storefront);
        let Some(answered) = self.until_answered(node, &call).await else { return };
        report.reserve = Some(answered.took);
        report.waited = answered.answer.waited;
        match reading(&answered.answer) {
            Reading::State(State::Held) => self.confirm(report, node).await,
            Reading::State(State::Confirmed) => report.end = OrderEnd::Confirmed,
            Reading::Refused(verdict) => report.end = OrderEnd::Refused(verdict),
            _ => report.note_unexpected(&call, &answered.answer),
        }
    }

    async fn confirm(&self, report: &mut OrderReport, node: usize) {
        let id = &self.trace.orders[report.order].id;
        let path = format!("/v1/reservations/{id}/confirm");
        let call = Call::post(&self.targets[node].storefront, &path, &json!({}));
        let Some(answered) = self.until_answered(node, &call).await else { return };
        report.confirm = Some(answered.took);
        match reading(&answered.answer) {
            Reading::State(State::Confirmed) => report.end = OrderEnd::Confirmed,
            Reading::Refused(verdict) => report.end = OrderEnd::Refused(verdict),
            _ => report.note_unexpected(&call, &answered.answer),
        }
    }

    /// One keyed return for each line, in order.
    async fn bring_back(&self, report: &mut OrderReport, node: usize) {
        let order = &self.trace.orders[report.order];
        for (place, line) in order.returns.iter().enumerate().skip(report.returned.len()) {
            let body =
                json!({"sku": self.trace.skus[line.sku], "quantity": line.quantity, "reference": order.id});
            let key = format!("{}:return-{place}", order.id);
            let call = Call::post(&self.targets[node].storefront, "/v1/returns", &body).with_key(key);
            let Some(answered) = self.until_answered(node, &call).await else { break };
            let is_done = answered.answer.is_success();
            report.returned.push(is_done);
            if !is_done {
                report.note_unexpected(&call, &answered.answer);
            }
        }
    }

    /// Finds out how an order ended about which nobody has said so. What is found held is
    /// confirmed: the buyer asked for it and nobody told him no. Returns are sent again.
    pub async fn resolve(&self, report: &mut OrderReport, node: usize) {
        let order = &self.trace.orders[report.order];
        if !order.sales.is_empty() && report.end == OrderEnd::Unanswered {
            let call = Call::get(&self.targets[node].storefront, &format!("/v1/reservations/{}", order.id));
            if let Some(answered) = self.until_answered(node, &call).await {
                match reading(&answered.answer) {
                    Reading::State(State::Held) => self.confirm(report, node).await,
                    Reading::State(State::Confirmed) => report.end = OrderEnd::Confirmed,
                    Reading::State(State::Ended) | Reading::NotThere => {
                        report.end = OrderEnd::Refused(Verdict::Unknown)
                    }
                    _ => report.note_unexpected(&call, &answered.answer),
                }
            }
        }
        self.bring_back(report, node).await;
        // What could not be sent again is open for good.
        report.returned.resize(order.returns.len(), false);
    }

    async fn until_answered(&self, node: usize, call: &Call) -> Option<super::patience::Answered> {
        until_answered(&self.client, &self.silences, &self.patience, node, call).await
    }

    fn reserve_call(&self, order: &Order, storefront: &BaseUrl) -> Call {
        let line = |line: &super::trace::TraceLine| json!({"sku": self.trace.skus[line.sku], "quantity": line.quantity});
        let lines: Vec<_> = order.sales.iter().map(line).collect();
        let body = json!({"lines": lines, "wait_ms": self.wait_ms});
        Call::put(storefront, &format!("/v1/reservations/{}", order.id), &body)
    }
}

impl OrderReport {
    fn note_unexpected(&mut self, call: &Call, answer: &Answer) {
        self.unexpected = Some(format!("{} {}: {}", call.method, call.url, answer.brief()));
    }
}

/// What an answer about a reservation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    State(State),
    Refused(Verdict),
    NotThere,
    Unexpected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Held,
    Confirmed,
    #[serde(alias = "cancelled", alias = "expired")]
    Ended,
}

#[derive(Deserialize)]
struct ReservationJson {
    state: State,
}

#[derive(Deserialize)]
struct RefusalJson {
    code: String,
    #[serde(default)]
    shortfalls: Vec<ShortfallJson>,
}

#[derive(Deserialize)]
struct ShortfallJson {
    verdict: String,
}

fn reading(answer: &Answer) -> Reading {
    if answer.is_success() {
        return answer
            .json::<ReservationJson>()
            .map_or(Reading::Unexpected, |found| Reading::State(found.state));
    }
    let Ok(refusal) = answer.json::<RefusalJson>() else { return Reading::Unexpected };
    match refusal.code.as_str() {
        "insufficient_stock" | "expired" => {
            let verdicts = refusal.shortfalls.iter().map(|short| Verdict::of(&short.verdict));
            Reading::Refused(verdicts.max().unwrap_or(Verdict::Unknown))
        }
        "reservation_not_found" => Reading::NotThere,
        _ => Reading::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &serde_json::Value) -> Reading {
        reading(&Answer {
            status,
            body: body.to_string().into(),
            retry_after: None,
            replayed: false,
            waited: false,
        })
    }

    fn refused(verdicts: &[&str]) -> Reading {
        let shortfalls: Vec<_> = verdicts.iter().map(|verdict| json!({"verdict": verdict})).collect();
        read(409, &json!({"code": "insufficient_stock", "shortfalls": shortfalls}))
    }

    #[test]
    fn an_order_counts_under_the_strongest_reason_among_its_lines() {
        assert_eq!(refused(&["sold_out"]), Reading::Refused(Verdict::SoldOut));
        assert_eq!(refused(&["elsewhere", "sold_out"]), Reading::Refused(Verdict::Elsewhere));
        assert_eq!(refused(&["sold_out", "unknown", "elsewhere"]), Reading::Refused(Verdict::Unknown));
        assert_eq!(refused(&[]), Reading::Refused(Verdict::Unknown));
    }

    #[test]
    fn answers_are_read_by_status_state_and_code() {
        assert_eq!(read(201, &json!({"state": "held"})), Reading::State(State::Held));
        assert_eq!(read(200, &json!({"state": "expired"})), Reading::State(State::Ended));
        assert_eq!(read(404, &json!({"code": "reservation_not_found"})), Reading::NotThere);
        assert_eq!(read(404, &json!({"code": "unknown_sku"})), Reading::Unexpected);
        assert_eq!(read(200, &json!("what")), Reading::Unexpected);
    }
}

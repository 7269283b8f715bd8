//! What one counter per item would have served: the yardstick for many nodes.

use serde::Serialize;

use super::trace::{Trace, TraceLine};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Central {
    pub orders: u64,
    pub units: u64,
}

/// Plays the trace in the order of the file, one order after the other: all lines or none,
/// returns are for sale again at once.
pub fn serve(trace: &Trace, received: &[u64]) -> Central {
    let mut free = received.to_vec();
    let mut served = Central::default();
    for order in &trace.orders {
        if !order.sales.is_empty() && take_all(&mut free, &order.sales) {
            served.orders += 1;
            served.units += order.sales.iter().map(|line| line.quantity).sum::<u64>();
        }
        for line in &order.returns {
            free[line.sku] += line.quantity;
        }
    }
    served
}

/// Takes every line, or nothing. An item may stand on more than one line.
fn take_all(free: &mut [u64], lines: &[TraceLine]) -> bool {
    for (taken, line) in lines.iter().enumerate() {
        if free[line.sku] < line.quantity {
            for line in &lines[..taken] {
                free[line.sku] += line.quantity;
            }
            return false;
        }
        free[line.sku] -= line.quantity;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::replay::stock::Share;
    use crate::cli::replay::trace::Window;

    fn served(rows: &str, received: &[u64]) -> Central {
        let text = format!("ts,region,sku,qty,order\n{rows}");
        serve(&Trace::read(text.as_bytes(), Window::default()).unwrap(), received)
    }

    #[test]
    fn orders_are_served_whole_or_not_at_all() {
        let rows = "t,uk,A,3,1\nt,uk,B,1,1\nt,uk,A,2,2\nt,uk,B,9,2\nt,uk,A,2,3\n";
        assert_eq!(served(rows, &[5, 1]), Central { orders: 2, units: 6 });
    }

    #[test]
    fn returns_are_for_sale_again() {
        assert_eq!(served("t,uk,A,2,1\nt,uk,A,-2,2\nt,uk,A,2,3\n", &[2]), Central { orders: 2, units: 4 });
    }

    #[test]
    fn an_item_on_two_lines_is_added_up() {
        assert_eq!(served("t,uk,A,2,1\nt,uk,A,2,1\nt,uk,A,3,2\n", &[3]), Central { orders: 1, units: 3 });
    }

    /// Known by counting the published trace with another program.
    #[test]
    fn one_counter_serves_the_known_number_of_real_orders() {
        let file = std::env::var_os("STOCKADE_TRACE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/online_retail_dev.csv.gz"),
            Into::into,
        );
        if !file.exists() {
            eprintln!("skipped: {} is not there; set STOCKADE_TRACE to the trace", file.display());
            return;
        }
        let trace = Trace::load(&file, Window::default()).unwrap();
        for (share, orders, units) in [("0.95", 18_557, 4_754_606), ("0.5", 11_586, 2_212_427)] {
            let share: Share = share.parse().unwrap();
            let received: Vec<u64> = trace.units_sold().into_iter().map(|sold| share.of(sold)).collect();
            assert_eq!(serve(&trace, &received), Central { orders, units });
        }
    }
}

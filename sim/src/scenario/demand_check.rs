//! The file's demand: where it comes from, and every order of it.

use std::collections::BTreeMap;
use std::path::Path;

use stockade::types::Sku;

use super::check::{Names, Overrides, number, part};
use super::demand::{self, Generator};
use super::file::{Day, DropEntry, File, GenerateEntry, PeakEntry};
use super::lapse::Lapse;
use super::problem::Findings;
use super::script::{Order, Wish};
use super::trace::{self, Trace, Window};
use crate::dice::{Dice, Stream};

/// Most generated items.
const MOST_ITEMS: u64 = 100_000;
/// Most orders.
const MOST_ORDERS: f64 = 5e6;

/// Every order, and the skus that their items are places in: first those that the file names,
/// then those it makes up, then those that only the trace has.
pub fn demand(
    raw: &File,
    file: &Path,
    over: &Overrides,
    names: &Names,
    (seed, length): (u64, Option<Lapse>),
    findings: &mut Findings<'_>,
) -> Option<(Vec<Order>, Vec<Sku>)> {
    let mut skus = catalogue(raw, findings);
    let place = raw.demand.trace.as_ref().map_or(0..0, toml::Spanned::span);
    for (name, target) in &raw.demand.regions {
        let what = format!("`{name}` is mapped, but {}", names.no_region(target));
        findings.must(names.region(target).is_some(), place.clone(), "demand.regions", what);
    }
    let traced = over.demand.clone().or_else(|| {
        let trace = raw.demand.trace.as_ref()?;
        Some(file.parent().unwrap_or(Path::new("")).join(trace.get_ref()))
    });
    let both = raw.demand.trace.as_ref().filter(|_| raw.demand.generate.is_some());
    if let Some(trace) = both {
        findings.add(trace.span(), "demand", "has both a trace and [demand.generate]; keep one");
    }
    if let Some(trace) = traced {
        let orders = of_trace(raw, over, &trace, names, (seed, length), &mut skus, findings)?;
        return Some((orders, skus));
    }
    let Some(generate) = &raw.demand.generate else {
        findings.add(
            0..0,
            "demand",
            "is missing; write [demand] trace = \"orders.csv\" or [demand.generate]",
        );
        return None;
    };
    let generator = generator(generate, raw, &skus, names, findings);
    let end = Lapse(length?.0 + raw.warm_up().0);
    let many = generator.at_most(end, &names.regions);
    let what = format!(
        "peaks, drops and the busiest hour come to {many:.0} orders, which are too many; {MOST_ORDERS:.0} at most: lower them, or the duration"
    );
    let place = generate.orders_per_hour.span();
    findings.must(many <= MOST_ORDERS, place, "demand.generate", what);
    let can_be_made = !skus.is_empty() && generator.drops.iter().all(|drop| !drop.shares.is_empty());
    if many > MOST_ORDERS || !can_be_made {
        return None;
    }
    Some((generator.orders(seed, end, &names.regions), skus))
}

/// The skus that the file names and makes up.
fn catalogue(raw: &File, findings: &mut Findings<'_>) -> Vec<Sku> {
    let mut skus: Vec<Sku> = Vec::new();
    for entry in &raw.item {
        match Sku::new(entry.sku.get_ref()) {
            Ok(sku) => {
                let twice = skus.contains(&sku);
                findings.must(!twice, entry.sku.span(), "item.sku", format!("there are two `{sku}`"));
                skus.push(sku);
            }
            Err(e) => findings.add(entry.sku.span(), "item.sku", format!("`{}` {e}", entry.sku.get_ref())),
        }
    }
    if let Some(items) = &raw.items {
        let count = items.get_ref().count.unwrap_or(0);
        let what = format!("must be 0 to {MOST_ITEMS}");
        findings.must(count <= MOST_ITEMS, items.span(), "items.count", what);
        let made = (1..=count.min(MOST_ITEMS)).filter_map(|n| Sku::new(&format!("item-{n}")).ok());
        skus.extend(made);
    }
    skus
}

fn of_trace(
    raw: &File,
    over: &Overrides,
    path: &Path,
    names: &Names,
    (seed, length): (u64, Option<Lapse>),
    skus: &mut Vec<Sku>,
    findings: &mut Findings<'_>,
) -> Option<Vec<Order>> {
    let place = raw.demand.trace.as_ref().map_or(0..0, toml::Spanned::span);
    let mut moment = |text: &str, place| match trace::moment(text) {
        Ok(moment) => Some(moment),
        Err(what) => {
            findings.add(place, "demand.from", what);
            None
        }
    };
    let of_file = raw.demand.from.as_ref().filter(|_| over.demand.is_none());
    let from = match (&over.from, of_file) {
        (Some(text), _) => Some(moment(text, 0..0)?),
        (None, Some(text)) => Some(moment(text.get_ref(), text.span())?),
        (None, None) => None,
    };
    if let Some(until) = &raw.demand.until {
        moment(until.get_ref(), until.span())?;
    }
    let warm_up = raw.warm_up();
    let from = from.map(|from| from - (warm_up.0 / 1_000_000) as i64);
    let length = length.map(|length| Lapse(length.0 + warm_up.0));
    match trace::load(path, Window { from, length }, &mut Dice::new(seed, Stream::Demand)) {
        Ok(trace) => named(raw, &trace, names, skus, findings),
        Err(what) => {
            findings.add(place, "demand.trace", what);
            None
        }
    }
}

/// The trace's orders in the scenario's regions and items.
fn named(
    raw: &File,
    trace: &Trace,
    names: &Names,
    skus: &mut Vec<Sku>,
    findings: &mut Findings<'_>,
) -> Option<Vec<Order>> {
    let place = raw.demand.trace.as_ref().map_or(0..0, toml::Spanned::span);
    let map = &raw.demand.regions;
    let mut regions = Vec::new();
    for name in &trace.regions {
        let target = map.get(name).or_else(|| names.region(name).is_none().then(|| map.get("*")).flatten());
        let region = names.region(target.unwrap_or(name));
        findings.must(region.is_some() || target.is_some(), place.clone(), "demand.regions", {
            format!("the trace's region `{name}` is none of the file's; map it, as in [demand.regions] \"{name}\" = \"..\"")
        });
        regions.push(region);
    }
    let mut places: BTreeMap<Sku, usize> =
        skus.iter().cloned().enumerate().map(|(n, sku)| (sku, n)).collect();
    let mut unknown = 0u64;
    for sku in &trace.skus {
        if !places.contains_key(sku) {
            unknown += 1;
            places.insert(sku.clone(), skus.len());
            skus.push(sku.clone());
        }
    }
    findings.must(unknown == 0 || raw.items.is_some(), place, "items", {
        format!(
            "{unknown} items of the trace have no [[item]]; write [items] with cover = 0.95 to stock them"
        )
    });
    let regions: Vec<usize> = regions.into_iter().collect::<Option<_>>()?;
    let order = |from: &trace::TraceOrder| {
        let mut order =
            Order { at: from.at, region: regions[from.region], sales: Vec::new(), returns: Vec::new() };
        for (item, units) in &from.lines {
            let item = places[&trace.skus[*item]];
            let side = if *units > 0 { &mut order.sales } else { &mut order.returns };
            match side.iter_mut().find(|wish| wish.item == item) {
                Some(wish) => wish.units += units.unsigned_abs(),
                None => side.push(Wish { item, units: units.unsigned_abs() }),
            }
        }
        order
    };
    Some(trace.orders.iter().map(order).collect())
}

fn generator(
    entry: &GenerateEntry,
    raw: &File,
    skus: &[Sku],
    names: &Names,
    findings: &mut Findings<'_>,
) -> Generator {
    let key = |name: &str| format!("demand.generate.{name}");
    let rate = &entry.orders_per_hour;
    let orders_per_hour = number(findings, &key("orders_per_hour"), Some(rate), 0.0, 0.0..=1e7);
    let zipf = number(findings, &key("zipf"), entry.zipf.as_ref(), 1.0, 0.0..=5.0);
    if skus.is_empty() {
        findings.add(
            rate.span(),
            "items",
            "there is nothing to sell; write [[item]] tables or [items] count = 100",
        );
    }
    let mut popularity = demand::zipf(skus.len(), zipf);
    for (weight, item) in popularity.iter_mut().zip(&raw.item) {
        if let Some(given) = item.popularity {
            let good = (0.0..1e12).contains(&given);
            findings.must(good, item.sku.span(), "item.popularity", "must be 0 or more");
            *weight = given.max(0.0);
        }
    }
    Generator {
        orders_per_hour,
        day: day(entry, findings),
        begins_at: number(findings, &key("begins_at"), entry.begins_at.as_ref(), 0.0, 0.0..=24.0),
        popularity,
        basket: number(findings, &key("basket"), entry.basket.as_ref(), 1.0, 1.0..=500.0),
        quantity: number(findings, &key("quantity"), entry.quantity.as_ref(), 1.0, 1.0..=10_000.0),
        tastes: number(findings, &key("tastes"), entry.tastes.as_ref(), 0.0, 0.0..=1.0),
        drift: entry.drift,
        peaks: entry.peak.iter().map(|entry| peak(entry, raw, skus, names, findings)).collect(),
        drops: entry.drop.iter().map(|entry| hot_drop(entry, raw, skus, names, findings)).collect(),
    }
}

fn day(entry: &GenerateEntry, findings: &mut Findings<'_>) -> [f64; 24] {
    let Some(day) = &entry.day else { return [1.0; 24] };
    match day.get_ref() {
        Day::Named(name) if name == "flat" => [1.0; 24],
        Day::Named(name) if name == "shop" => demand::SHOP_DAY,
        Day::Hours(hours) if hours.iter().all(|hour| (0.0..1e6).contains(hour)) => {
            if let Ok(hours) = <[f64; 24]>::try_from(hours.as_slice()) {
                return hours;
            }
            findings.add(day.span(), "demand.generate.day", format!("has {} hours, not 24", hours.len()));
            [1.0; 24]
        }
        _ => {
            findings.add(
                day.span(),
                "demand.generate.day",
                "must be \"flat\", \"shop\" or 24 numbers from 0",
            );
            [1.0; 24]
        }
    }
}

fn sku_place(
    skus: &[Sku],
    entry: &toml::Spanned<String>,
    key: &str,
    findings: &mut Findings<'_>,
) -> Option<usize> {
    let place = skus.iter().position(|sku| sku.as_str() == entry.get_ref());
    let what = format!("there is no item `{}`; write an [[item]] table for it", entry.get_ref());
    findings.must(place.is_some(), entry.span(), key, what);
    place
}

fn peak(
    entry: &PeakEntry,
    raw: &File,
    skus: &[Sku],
    names: &Names,
    findings: &mut Findings<'_>,
) -> demand::Peak {
    let times = number(findings, "demand.generate.peak.times", Some(&entry.times), 1.0, 1.0..=10_000.0);
    let mut regions = Vec::new();
    for name in &entry.regions {
        match names.region(name.get_ref()) {
            Some(region) => regions.push(region),
            None => {
                findings.add(name.span(), "demand.generate.peak.regions", names.no_region(name.get_ref()))
            }
        }
    }
    let key = "demand.generate.peak.skus";
    let items = entry.skus.iter().filter_map(|sku| sku_place(skus, sku, key, findings)).collect();
    let from = Lapse(entry.at.get_ref().0 + raw.warm_up().0);
    demand::Peak { from, to: Lapse(from.0 + entry.lasts.0), times, regions, items }
}

fn hot_drop(
    entry: &DropEntry,
    raw: &File,
    skus: &[Sku],
    names: &Names,
    findings: &mut Findings<'_>,
) -> demand::Drop {
    let key = "demand.generate.drop";
    let item = sku_place(skus, &entry.sku, key, findings).unwrap_or(0);
    let place = entry.sku.span();
    let good = (1..=1_000_000).contains(&entry.orders) && (1..=10_000).contains(&entry.quantity);
    findings.must(good, place.clone(), key, "orders must be 1 to 1000000, quantity 1 to 10000");
    let mut shares: Vec<f64> = names.regions.iter().map(|region| region.share).collect();
    if !entry.regions.is_empty() {
        shares = vec![0.0; shares.len()];
    }
    for (name, share) in &entry.regions {
        match names.region(name) {
            Some(region) => shares[region] = part(*share, name, place.clone(), key, findings),
            None => findings.add(place.clone(), key, names.no_region(name)),
        }
    }
    demand::Drop {
        at: Lapse(entry.at.get_ref().0 + raw.warm_up().0),
        over: entry.over,
        orders: entry.orders.min(1_000_000),
        wish: Wish { item, units: entry.quantity },
        shares,
    }
}

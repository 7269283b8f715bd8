//! An item's facts in sentences. Pure: the same facts always read the same.

use super::super::books::{Launch, NodeBooks, Quota, Totals};
use super::super::history::Entry;
use super::super::node::Member;
use super::super::short_time;
use super::Section;
use super::facts::{Facts, Last, Told};

/// All there is to say.
pub fn explain(facts: &Facts) -> Vec<Section> {
    let mut sections = vec![
        Section { heading: "Where every unit is", sentences: whereabouts(facts) },
        Section { heading: "What limits it", sentences: limits(facts) },
        Section { heading: "The last refusal", sentences: refusals(facts) },
    ];
    if !facts.moves.is_empty() {
        let sentences = facts.moves.iter().map(move_sentence).collect();
        sections.push(Section { heading: "The last moves between nodes", sentences });
    }
    sections
}

fn move_sentence(entry: &Entry) -> String {
    let units = entry.amounts.get("sent").copied().unwrap_or(0);
    let to = entry.peer.as_deref().unwrap_or("another node");
    let why = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (time, node, cause) = (short_time(&entry.time), &entry.node, cause_words(&entry.cause));
    format!("{time} {node} gave {units} to {to}, {cause}{why}.")
}

/// A cause for people; one that this release does not know by its own name.
fn cause_words(cause: &str) -> &str {
    match cause {
        "give_for_buyer" => "for a buyer there",
        "give_for_balance" => "to where more of it should be",
        "give_unasked" => "ahead of its buyers",
        "give_for_drain" => "because it is drained",
        "transfer" => "because an admin said so",
        other => other,
    }
}

/// `3 received + 1 returned - 2 sold`: terms that are zero are left out, but for the first.
fn sum(terms: &[(char, u64, &str)]) -> String {
    let mut text = String::new();
    for (place, (sign, count, words)) in terms.iter().enumerate() {
        if place == 0 {
            text += &format!("{count} {words}");
        } else if *count > 0 {
            text += &format!(" {sign} {count} {words}");
        }
    }
    text
}

fn total(terms: &[(char, u64, &str)]) -> i128 {
    let value = |(sign, count, _): &(char, u64, &str)| match sign {
        '-' => -i128::from(*count),
        _ => i128::from(*count),
    };
    terms.iter().map(value).sum()
}

fn whereabouts(facts: &Facts) -> Vec<String> {
    let t: &Totals = &facts.books.totals;
    let came = [
        ('+', t.received, "received"),
        ('+', t.returned, "returned"),
        ('-', t.retired, "written off"),
        ('-', t.sold, "sold"),
    ];
    let are = [('+', t.available, "free"), ('+', t.held, "held"), ('+', t.in_flight, "in flight")];
    let (on_hand, found) = (total(&came), total(&are));
    let mut sentences = vec![format!("{} = {on_hand} on hand.", sum(&came))];
    sentences.push(match found == on_hand {
        true => format!("{} = {found}: it adds up.", sum(&are)),
        false => format!("{} = {found}, not {on_hand}: it does not add up here.", sum(&are)),
    });
    if found != on_hand || !facts.books.balanced {
        sentences.push(
            "This node has not heard all rows that belong together yet; ask again, or run `stockade check`."
                .to_owned(),
        );
    }
    sentences.extend(facts.books.nodes.iter().map(at_node));
    sentences.extend(in_flight(facts));
    sentences
}

fn at_node(at: &NodeBooks) -> String {
    let came = [
        ('+', at.received, "received"),
        ('+', at.returned, "returned"),
        ('+', at.given, "given by others"),
        ('-', at.sent, "sent to others"),
        ('-', at.retired, "written off"),
        ('-', at.sold, "sold"),
    ];
    let has = i128::from(at.available) + i128::from(at.held);
    if came.iter().all(|(_, count, _)| *count == 0) {
        return format!("{} has had none.", at.node);
    }
    let check = if total(&came) == has { "" } else { "; that does not add up" };
    format!(
        "{}: {} free, {} held ({} = {}{check}).",
        at.node,
        at.available,
        at.held,
        sum(&came),
        total(&came)
    )
}

fn in_flight(facts: &Facts) -> Vec<String> {
    let units = facts.books.totals.in_flight;
    if units == 0 {
        return Vec::new();
    }
    let mut sentences: Vec<String> = facts
        .flights
        .iter()
        .map(|flight| format!("{} on the way from {} to {}.", flight.units, flight.from, flight.to))
        .collect();
    if sentences.is_empty() {
        let names = |count: fn(&NodeBooks) -> u64| {
            let with = facts.books.nodes.iter().filter(|at| count(at) > 0);
            let names: Vec<String> = with.map(|at| format!("{} {}", at.node, count(at))).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        sentences.push(format!(
            "{units} on the way: of all that was ever sent ({}) not all has been taken in ({}).",
            names(|at| at.sent),
            names(|at| at.given)
        ));
    }
    sentences
}

fn limits(facts: &Facts) -> Vec<String> {
    let policy = &facts.books.policy;
    let free = facts.books.totals.available;
    let mut sentences = Vec::new();
    if free == 0 {
        sentences.push("Nothing is free anywhere that this node knows of.".to_owned());
    }
    if let Some(most) = policy.max_per_order {
        sentences.push(format!("One order may have at most {most} (max_per_order)."));
    }
    if let Some(low) = policy.low_stock.filter(|low| free > 0 && free <= *low) {
        sentences.push(format!("{free} free is not above low_stock {low}: product pages show it as low."));
    }
    if policy.rebalance() == "manual" {
        sentences.push(
            "Nodes do not move its units by themselves (rebalance manual): each sells what it has, and \
             `stockade transfer` moves units."
                .to_owned(),
        );
    }
    sentences.extend(policy.quotas.iter().flat_map(|(node, quota)| quota_sentences(node, quota)));
    sentences.extend(policy.launch.as_ref().map(|launch| launch_sentence(launch, facts)));
    sentences.extend(autonomy_sentence(facts));
    sentences.extend(facts.books.nodes.iter().filter_map(|at| limit_sentence(at, facts)));
    let kept = kept(facts);
    if kept > 0 {
        sentences.push(format!("Of the {free} free units {kept} are kept where they are by quotas."));
    }
    sentences.extend(facts.members.iter().filter_map(|member| member_sentence(member, facts)));
    if sentences.is_empty() {
        sentences.push("Nothing: any free unit can be sold anywhere, and all nodes are linked.".to_owned());
    }
    sentences
}

fn quota_sentences(node: &str, quota: &Quota) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(units) = quota.pinned {
        sentences.push(format!(
            "{node} is pinned at {units}: others cannot ask these away, and with them it asks for no more."
        ));
    } else {
        sentences.extend(quota.min.map(|units| format!("{node} keeps {units} from others (quota min).")));
        sentences.extend(
            quota.max.map(|units| format!("{node} asks for no more once it has {units} free (quota max).")),
        );
    }
    sentences.extend(quota.weight.map(|weight| {
        format!("The demand at {node} counts {weight} times when units are shared ahead (quota weight).")
    }));
    sentences
}

/// What the dial says, if one bounds anything.
fn autonomy_sentence(facts: &Facts) -> Option<String> {
    let is_bounded = facts.books.nodes.iter().any(|at| at.mark.is_some());
    let (dial, whose) = match &facts.books.policy.autonomy {
        Some(autonomy) => (autonomy.words(), "autonomy"),
        None if is_bounded => ("so many units".to_owned(), "autonomy, as is set for the cluster"),
        None => return None,
    };
    let dial = if dial.ends_with('%') { format!("{dial} of it") } else { dial };
    Some(match dial.as_str() {
        "all" => format!("A node may sell all that it has, also while it is cut off ({whose})."),
        dial => format!("A node may take at most {dial} that no other has been told of ({whose})."),
    })
}

/// That not all that is free at a node may be sold at once, and why.
fn limit_sentence(at: &NodeBooks, facts: &Facts) -> Option<String> {
    let left = at.within_limit()?;
    let NodeBooks { node, available, taken, .. } = at;
    let limit = at.limit?;
    // Of others only what they wrote last is known: they may have had their marks confirmed since.
    let heard = if *node == facts.teller { "" } else { ", as it last said" };
    let why = match at.mark {
        Some(mark) if mark > limit => format!("its mark, {mark}, is not confirmed by enough other nodes yet"),
        Some(_) => "an order for more has to wait until others confirm a higher mark".to_owned(),
        None => "others have not confirmed yet that nothing bounds it".to_owned(),
    };
    let may = if left == 0 { "none".to_owned() } else { left.to_string() };
    Some(format!(
        "{node} may sell {may} of its {available} free at once: {taken} of its limit of {limit} are taken{heard}; {why}."
    ))
}

fn launch_sentence(launch: &Launch, facts: &Facts) -> String {
    let each = launch.expected.iter().map(|(node, units)| format!("{units} at {node}"));
    let each = each.collect::<Vec<_>>().join(", ");
    let until = short_time(&launch.until);
    if facts.books.is_past(&launch.until) {
        return format!("What was expected of its launch ({each}) counts for nothing since {until}.");
    }
    format!("Until {until} its units are shared as if buyers will ask for {each} (launch).")
}

/// Whether a time is past, by the newest numbers in these books.
/// Free units that quotas keep from buyers at other nodes.
fn kept(facts: &Facts) -> u64 {
    let reserve = |at: &NodeBooks| {
        let quota = facts.books.policy.quotas.get(&at.node);
        quota.and_then(|quota| quota.pinned.or(quota.min)).unwrap_or(0).min(at.available)
    };
    facts.books.nodes.iter().map(reserve).fold(0, u64::saturating_add)
}

fn member_sentence(member: &Member, facts: &Facts) -> Option<String> {
    let has = facts.books.at(&member.name).cloned().unwrap_or_default();
    let mut words = Vec::new();
    if !member.state.is_empty() && member.state != "active" {
        words.push(format!("{} is {}: it takes no new reservations.", member.name, member.state));
    }
    if !member.is_self && member.link != "up" {
        let known = format!("{} free and {} held", has.available, has.held);
        words.push(match age(&has.as_of, facts) {
            Some(seconds) => format!(
                "{} is silent (link {}): its {known} are {seconds} s old, as of {}, and cannot be fetched.",
                member.name,
                member.link,
                short_time(&has.as_of)
            ),
            None => format!(
                "{} is silent (link {}): what it has is not known; {known} was last heard.",
                member.name, member.link
            ),
        });
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// How much older a node's numbers are than the newest in these books.
fn age(as_of: &str, facts: &Facts) -> Option<i64> {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let newest = facts.books.nodes.iter().filter_map(|at| time(&at.as_of)).max()?;
    Some(newest.as_second() - time(as_of)?.as_second())
}

fn refusals(facts: &Facts) -> Vec<String> {
    let mut newest: Vec<&Told> = facts.told.iter().collect();
    newest.sort_by_key(|told| match &told.last {
        Last::Refusal(refusal) => std::cmp::Reverse(refusal.at.clone()),
        _ => std::cmp::Reverse(String::new()),
    });
    newest.into_iter().map(|told| refusal_sentence(told, facts)).collect()
}

fn refusal_sentence(told: &Told, facts: &Facts) -> String {
    let node = &told.node;
    let refusal = match &told.last {
        Last::Refusal(refusal) => refusal,
        Last::None => return format!("{node} has refused none for want of stock since it started."),
        Last::Untold => return format!("{node} does not tell what it refused."),
        Last::Silent => return format!("{node} did not answer."),
    };
    let short = &refusal.short;
    let mut text = format!(
        "{node} refused {} at {}: {} free there, and {}.",
        short.requested,
        short_time(&refusal.at),
        short.available_here,
        short.why()
    );
    if short.verdict == "elsewhere" {
        if facts.books.policy.rebalance() == "manual" {
            text += " Nodes may not fetch units of it: rebalance is manual.";
        } else if kept(facts) > 0
            || facts.books.policy.quotas.get(node).is_some_and(|q| q.max.or(q.pinned).is_some())
        {
            text += " Quotas limit what it may fetch.";
        }
    }
    text
}

#[cfg(test)]
mod tests;

"""What JSON Schema cannot say about the bodies of valid requests.

A quota's min must not be above its max, and pinned not outside of them; a launch must lie ahead. No keyword
compares two fields, or knows what time it is. Where such a field is right in form, it is made to fit.

Since draft 6 an integer may be written 2.0. The node takes 2 and refuses 2.0, as its contract
demands, and no keyword says so. Here such a number is written without its fraction. Nothing else
is touched: 2.5 stays 2.5, and the node must refuse it.
"""

import json
import re

import schemathesis


def written_as_integers(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [written_as_integers(element) for element in value]
    if isinstance(value, dict):
        return {name: written_as_integers(element) for name, element in value.items()}
    return value


UNITS = ("min", "max", "pinned")
MOST = 1_000_000_000


def is_quantity(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def fitting(quota):
    if not isinstance(quota, dict):
        return quota
    bounds = {name: quota[name] for name in UNITS if name in quota}
    if not all(is_quantity(value) for value in bounds.values()):
        return quota
    low, high = sorted((bounds.get("min", 0), bounds.get("max", MOST)))
    fitted = {"min": low, "max": high, "pinned": min(max(bounds.get("pinned", low), low), high)}
    return {name: fitted[name] if name in bounds else value for name, value in quota.items()}


def ahead(launch):
    until = launch.get("until") if isinstance(launch, dict) else None
    if not isinstance(until, str) or not re.match(r"(19[7-9]|2[0-9]{2})[0-9]-", until):
        return launch
    return {**launch, "until": "2999" + until[4:]}


def sensible(item):
    if not isinstance(item, dict):
        return item
    item = dict(item)
    if isinstance(item.get("quotas"), dict):
        item["quotas"] = {node: fitting(quota) for node, quota in item["quotas"].items()}
    if "launch" in item:
        item["launch"] = ahead(item["launch"])
    return item


@schemathesis.hook
def map_body(context, body):
    return sensible(written_as_integers(body))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Bodies that are made from examples and bounds of the schema come by here alone."""
    if isinstance(case.body, dict) and "launch" in case.body:
        case.body = sensible(case.body)


def as_line(value):
    return value if isinstance(value, str) else json.dumps(value)


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_lines(context, value):
    """Imports are text, which no schema describes: whatever was made up is written line by line."""
    lines = value if isinstance(value, list) else [value]
    return "\n".join(as_line(line) for line in lines).encode("utf-8", "replace")

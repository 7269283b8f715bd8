"""What JSON Schema cannot say about the bodies of valid requests.

Since draft 6 an integer may be written 2.0. The node takes 2 and refuses 2.0, as its contract
demands, and no keyword says so. Here such a number is written without its fraction. Nothing else
is touched: 2.5 stays 2.5, and the node must refuse it.
"""

import schemathesis


def written_as_integers(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [written_as_integers(element) for element in value]
    if isinstance(value, dict):
        return {name: written_as_integers(element) for name, element in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    return written_as_integers(body)

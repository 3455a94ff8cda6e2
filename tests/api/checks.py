"""What Schemathesis cannot know of this API, told to its checks.

It takes what a schema allows for valid. Three things that a relay refuses for good reasons cannot be said in a schema: names that
only its configuration knows, a cursor, and the range of time that a search needs. And one it takes: a parameter without a value is as
good as not given.
"""

from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# Fields of which the schema cannot say which values a relay takes.
KNOWN_TO_THE_RELAY = {
    "cursor",        # only what an earlier page gave
    "to",            # only destinations that are configured
    "destinations",  # the same
    "since",         # a search needs it, and a range of 31 days at most
}


@schemathesis.check
def valid_data_is_taken(ctx, response, case):
    try:
        return positive_data_acceptance(ctx, response, case)
    except AssertionError:
        if response.status_code == 400 and response.json().get("field") in KNOWN_TO_THE_RELAY:
            return None
        raise


@schemathesis.check
def invalid_data_is_refused(ctx, response, case):
    try:
        return negative_data_rejection(ctx, response, case)
    except AssertionError:
        # It is refused before it is read.
        if response.status_code == 413:
            return None
        # What was sent counts: more than one value of JSON becomes nothing in a query.
        query = parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)
        if any(not value for _, value in query):
            return None
        raise

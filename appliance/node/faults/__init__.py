"""What can go wrong at a provider, on purpose: a proxy in front of the real one, and a fault a file.

To add one: a file that makes a Fault, and its name in this list.
"""

from __future__ import annotations

from appliance.node.faults.black_hole import BLACK_HOLE
from appliance.node.faults.comments_only import COMMENTS_AFTER_TOKEN, COMMENTS_ONLY
from appliance.node.faults.cut import CUT_AFTER_CONTENT, CUT_BEFORE_CONTENT
from appliance.node.faults.dns import DNS
from appliance.node.faults.empty import EMPTY
from appliance.node.faults.error_in_band import ERROR_AFTER_CONTENT, ERROR_IN_BAND
from appliance.node.faults.fault import Fault
from appliance.node.faults.hang import HANG
from appliance.node.faults.html import HTML
from appliance.node.faults.malformed import MALFORMED
from appliance.node.faults.refused import REFUSED
from appliance.node.faults.refused_request import CLIENT_ERROR, CONTEXT_LENGTH
from appliance.node.faults.reset import RESET
from appliance.node.faults.slow import SLOW_ANSWER, SLOWER_ANSWER
from appliance.node.faults.spent_quota import SPENT_QUOTA
from appliance.node.faults.stall import STALL_AFTER_ROLE, STALL_AFTER_TOKEN
from appliance.node.faults.status import RETRY_AFTER_429, STATUSES
from appliance.node.faults.tls import TLS
from appliance.node.faults.trickled import TRICKLED_BODY, TRICKLED_HEADERS
from appliance.node.faults.wrong_key import WRONG_KEY

_ALL = (
    REFUSED, RESET, DNS, TLS, BLACK_HOLE,
    HANG, TRICKLED_HEADERS, TRICKLED_BODY, STALL_AFTER_ROLE, STALL_AFTER_TOKEN, COMMENTS_ONLY,
    COMMENTS_AFTER_TOKEN,
    CUT_BEFORE_CONTENT, CUT_AFTER_CONTENT,
    *STATUSES, RETRY_AFTER_429, SPENT_QUOTA, WRONG_KEY,
    HTML, MALFORMED, EMPTY, ERROR_IN_BAND, ERROR_AFTER_CONTENT,
    CONTEXT_LENGTH, CLIENT_ERROR,
    SLOW_ANSWER, SLOWER_ANSWER,
)  # fmt: skip
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}

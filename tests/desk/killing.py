"""A desk that is killed at any moment of its work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.desk.cloud import Cloud


class Killed(BaseException):
    """SIGKILL, as far as one process can play it: from then on nothing more is done."""


@dataclass
class Killer:
    """Ends the desk at the `at`-th moment: before and after each API request and each command on the node."""

    at: int
    moments: int = 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments >= self.at:
            raise Killed

    def follow(self, cloud: Cloud) -> Cloud:
        session = cloud._wire._client._client._session
        send: Callable[..., object] = session.request

        def request(*args: object, **kwargs: object) -> object:
            self.moment()
            answer = send(*args, **kwargs)
            self.moment()
            return answer

        session.request = request  # type: ignore[assignment]
        return cloud

"""One request from its question to its answer: the race's moves carried out, the answer given on.

The client gets one provider's whole answer, or one error; whatever it was given before a break is followed by
an error in band, never by another provider's words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from appliance.contract.router_policy import Mode, Provider, Target, Workload
from appliance.node.router import shaping
from appliance.node.router.attempt import Attempt, Opener
from appliance.node.router.breaker import Breaker, Permit
from appliance.node.router.classify import Cause, Failed, Outcome
from appliance.node.router.dialects import Ask
from appliance.node.router.race import Cancel, Move, Race, Start
from appliance.node.router.shaping import Passed, Reply

COMMENT = b": held until it is whole\n\n"
LAST_WORDS = 2  # seconds that a client has to take the error; TimeoutError for one who reads no more
SETTLE = 0.5  # seconds for the end of a connection's answer


class Client(Protocol):
    """Who asked, as far as a stream is begun; errors before that are replies."""

    async def begin(self, headers: dict[str, str]) -> None:
        """A 200, an event stream."""

    async def write(self, data: bytes) -> None: ...


log = logging.getLogger("router")


@dataclass(frozen=True)
class Candidate:
    target: Target
    provider: Provider
    key: str | None
    breaker: Breaker
    open: Cause | None  # why its breaker puts it last


@dataclass
class _Run:
    """An attempt under way."""

    attempt: Attempt
    permit: Permit
    task: asyncio.Task[None] | None = None


@dataclass
class Story:
    """What became of a request, for the log and the counters."""

    workload: str
    provider: str | None = None
    passed: list[Passed] = field(default_factory=list)
    status: int = 0
    broke: Outcome | None = None  # after the client had content
    first: float | None = None  # seconds until content
    seconds: float = 0


class Relay:
    """`candidates` in the order of this request, those that stand behind an open breaker last."""

    def __init__(
        self, ask: Ask, workload: Workload, candidates: list[Candidate], opener: Opener, client: Client
    ) -> None:
        self._ask = ask
        self._workload = workload
        self._candidates = candidates
        self._opener = opener
        self._client = client
        self._limits = workload.deadlines
        self._holds = ask.stream and workload.mode is Mode.HOLD
        hedge = self._limits.hedge if ask.stream else self._limits.whole_hedge
        self._race = Race([c.target.context_window for c in candidates], hedge)
        self._runs: dict[int, _Run] = {}
        self._news: asyncio.Queue[tuple[int, _Run, Outcome | bool]] = asyncio.Queue()
        self._failed: list[tuple[str, Outcome]] = []
        self._begun = self._now()
        self._comment_at = self._begun + self._limits.comment
        self._streaming = False
        self.story = Story(
            ask.workload, passed=[Passed(c.target.provider, c.open, True) for c in candidates if c.open]
        )

    async def answer(self) -> Reply | None:
        """A reply to send, or None: the client has it all, as a stream.

        TimeoutError: it does not read. Whatever the client's own methods raise goes through.
        """
        try:
            winner = await self._winner()
            if winner is None:
                return await self._no_answer()
            return await self._give(*winner)
        finally:
            self._end()

    # --- until somebody has content

    async def _winner(self) -> tuple[Candidate, _Run] | None:
        self._do(self._race.begin(self._now()))
        while not self._race.over:
            try:
                async with asyncio.timeout_at(self._wake()):
                    index, run, news = await self._news.get()
            except TimeoutError:
                await self._time_passed()
                continue
            if self._runs.get(index) is not run:
                continue  # cancelled meanwhile
            if isinstance(news, Outcome):
                self._attempt_failed(index, news)
                continue
            self._do(self._race.content(index, self._now()))
            if self.story.first is None:
                self.story.first = self._now() - self._begun
            if news:
                return self._candidates[index], self._runs.pop(index)
        return None

    def _wake(self) -> float:
        times = [self._deadline()]
        if self._race.wake is not None:
            times.append(self._race.wake)
        if self._holds:
            times.append(self._comment_at)
        return min(times)

    def _deadline(self) -> float:
        """A held stream that had content once has its whole time, whoever it comes from in the end."""
        waits_for_content = self._ask.stream and self.story.first is None
        return self._begun + (self._limits.start if waits_for_content else self._limits.total)

    async def _time_passed(self) -> None:
        now = self._now()
        if now >= self._deadline():
            self._failed += [(self._name(index), Outcome(Cause.DEADLINE)) for index in self._race.running]
            self._do(self._race.time_over(now))
            return
        self._do(self._race.tick(now))
        if self._holds and now >= self._comment_at:
            self._comment_at = now + self._limits.comment
            await self._stream({})
            await self._client.write(COMMENT)

    def _attempt_failed(self, index: int, outcome: Outcome) -> None:
        run = self._runs.pop(index)
        self._candidates[index].breaker.failed(run.permit, outcome, self._now())
        self._failed.append((self._name(index), outcome))
        self.story.passed.append(Passed(self._name(index), outcome.cause))
        self._do(self._race.failed(index, outcome, self._now()))

    # --- the race's moves

    def _do(self, moves: Iterable[Move]) -> None:
        for move in moves:
            if isinstance(move, Start):
                self._start(move.index)
            else:
                self._cancel(move)

    def _start(self, index: int) -> None:
        candidate = self._candidates[index]
        attempt = Attempt(self._ask, candidate.provider, candidate.target, candidate.key, self._limits)
        run = self._runs[index] = _Run(attempt, candidate.breaker.start(self._now()))
        run.task = asyncio.create_task(self._attend(index, run))

    async def _attend(self, index: int, run: _Run) -> None:
        def tell(news: Outcome | bool) -> None:
            self._news.put_nowait((index, run, news))

        kept = False
        try:
            await run.attempt.begin(self._opener)
            if self._holds:
                await run.attempt.gather(on_content=lambda: tell(False))
            kept = True
            tell(True)
        except Failed as failed:
            tell(failed.outcome)
        except Exception:
            # Ours to mend; the client is answered all the same.
            log.exception("an attempt at %s ended in a bug", self._name(index))
            tell(Outcome(Cause.MALFORMED))
        finally:
            if not kept:
                run.attempt.close()

    def _cancel(self, move: Cancel) -> None:
        run = self._runs.pop(move.index)
        breaker = self._candidates[move.index].breaker
        if move.silent:
            breaker.failed(run.permit, Outcome(Cause.SILENT), self._now())
            self.story.passed.append(Passed(self._name(move.index), Cause.SILENT))
        else:
            breaker.let_go(run.permit)
        self._drop(run)

    def _drop(self, run: _Run) -> None:
        if run.task is not None:
            run.task.cancel()
        run.attempt.close()

    def _end(self) -> None:
        """The client has its answer, or left: nobody goes on for nothing."""
        for index, run in self._runs.items():
            self._candidates[index].breaker.let_go(run.permit)
            self._drop(run)
        self._runs.clear()
        self.story.seconds = self._now() - self._begun

    # --- from then on

    async def _give(self, winner: Candidate, run: _Run) -> Reply | None:
        self.story.provider = winner.target.provider
        self.story.status = 200
        self.story.passed = [
            p for p in self.story.passed if not (p.skipped and p.provider == self.story.provider)
        ]
        headers = shaping.told_by(winner.target.provider, self.story.passed)
        settled = False
        try:
            if not self._ask.stream:
                winner.breaker.succeeded(run.permit)
                settled = True
                return Reply(200, b"".join(run.attempt.head), headers)
            settled = await self._give_stream(winner, run, headers)
            return None
        finally:
            if settled and not run.attempt.spent:
                _in_background(run.attempt.settle(SETTLE))
            else:
                run.attempt.close()
            if not settled:
                winner.breaker.let_go(run.permit)

    async def _give_stream(self, winner: Candidate, run: _Run, headers: dict[str, str]) -> bool:
        """Whether the answer became whole."""
        attempt = run.attempt
        if self._streaming:  # held, and its headers are long gone
            await self._client.write(b": " + headers[shaping.PROVIDER].encode() + b"\n\n")
        await self._stream(headers)
        try:
            async with asyncio.timeout_at(self._begun + self._limits.total):
                await self._client.write(b"".join(attempt.head))
                while not attempt.done:
                    await self._client.write(await attempt.more())
        except (Failed, TimeoutError) as error:
            outcome = error.outcome if isinstance(error, Failed) else Outcome(Cause.DEADLINE)
            winner.breaker.failed(run.permit, outcome, self._now())
            self.story.broke = outcome
            async with asyncio.timeout(LAST_WORDS):
                await self._client.write(shaping.in_band(*shaping.broke_off(winner.target.provider, outcome)))
            return False
        winner.breaker.succeeded(run.permit)
        return True

    async def _no_answer(self) -> Reply | None:
        status, message = shaping.failure(self._ask.workload, self._failed, self._workload.failed_status)
        self.story.status = status
        if self._streaming:
            await self._client.write(shaping.in_band(status, message))
            return None
        reply = shaping.refusal(status, message)
        return Reply(status, reply.body, {**reply.headers, **shaping.told_by(None, self.story.passed)})

    async def _stream(self, headers: dict[str, str]) -> None:
        if not self._streaming:
            self._streaming = True
            await self._client.begin(headers)

    def _name(self, index: int) -> str:
        return self._candidates[index].target.provider

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_settling: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references


def _in_background(work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work)
    _settling.add(task)
    task.add_done_callback(_settling.discard)

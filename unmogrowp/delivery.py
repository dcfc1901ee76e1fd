"""Sending one request until it is taken, as effects: a generator says what to do, a client does it.

Belongs here: the effects, trying again, and the two ways to run effects (threads, asyncio's loop). Not here:
which request is next (`engine`), what a reply means (`transport`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import httpx

from unmogrowp.batching import Batch, BatchAnswer
from unmogrowp.errors import AuthenticationError, ClientError, DoorUnavailableError, TooLargeError
from unmogrowp.transport import Door, Post, Reply, Unreachable, batch_post

REQUEST_TIMEOUT_S = 30.0  # the door's p99 is 35 ms (one fdatasync); a loaded one still answers within seconds
RETRY_FOR_S = 60.0  # a door that restarts is back within seconds; longer is for a person to look at
BACKOFF_FIRST_S = 0.2
# A door asks the registry again for an unknown key after 0.25 s: one minted a moment ago is known by then.
FRESH_KEY_S = 1.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Wait:
    """Do nothing for so long (None: until woken); whether new work, or a flush, may end it."""

    seconds: float | None
    may_be_woken: bool = True


@dataclass(frozen=True)
class Tell:
    """Call the caller's own function."""

    function: Callable[[Any], object]
    argument: Any


Effect: TypeAlias = Post | Wait | Tell
Steps: TypeAlias = Generator[Effect, Reply | Unreachable | None, Result]


class OnFailure(Protocol):
    """Told of every try that failed; raises to give up."""

    def __call__(self, error: ClientError) -> None:
        """One try failed like this."""


class GiveUp:
    """Gives up on the first permanent error, and on a door that is away for too long."""

    def __init__(self, door: Door, retry_for_s: float) -> None:
        self._door, self._retry_for_s = door, retry_for_s
        self._started_s = time.monotonic()

    def __call__(self, error: ClientError) -> None:
        """Raise the error, or when time is over one that says so."""
        if not isinstance(error, DoorUnavailableError):
            raise error
        wait_s = error.retry_after_s or BACKOFF_FIRST_S
        if time.monotonic() + wait_s > self._started_s + self._retry_for_s:
            raise DoorUnavailableError(
                f"tenant {self._door.tenant_id}: the door at {self._door.base_url} took no batch for "
                f"{self._retry_for_s:g} s ({error}); see that it runs, then send the same again: known event "
                "ids count once",
                status=error.status,
            )


def deliver(
    post: Post,
    read: Callable[[Reply | Unreachable], Result],
    on_failure: OnFailure,
    *,
    longest_pause_s: float,
) -> Steps[Result]:
    """Send the same bytes until `read` gives a result; its errors go to `on_failure`, which may raise."""
    started_s, pause_s = time.monotonic(), BACKOFF_FIRST_S
    while True:
        reply = yield post
        assert reply is not None, "a Post is answered"  # noqa: S101 - the runner's contract
        try:
            return read(reply)
        except ClientError as error:
            is_fresh = time.monotonic() < started_s + FRESH_KEY_S
            if not (isinstance(error, AuthenticationError) and is_fresh):
                on_failure(error)
            wish_s = error.retry_after_s if isinstance(error, DoorUnavailableError) else None
        if wish_s is None:
            yield Wait(pause_s)
        else:  # never at once, and not before the door wants it, whoever flushes
            yield Wait(max(wish_s, BACKOFF_FIRST_S), may_be_woken=False)
        # up to half more, so that clients do not come back all together
        pause_s = min(pause_s * 2, longest_pause_s) * random.uniform(1.0, 1.5)  # noqa: S311 - no secret


def deliver_batch(
    door: Door, lines: Sequence[bytes], on_failure: OnFailure, *, longest_pause_s: float
) -> Steps[BatchAnswer]:
    """Send lines until they are acknowledged; what the door finds too large goes in two halves, in order."""
    try:
        return (
            yield from deliver(
                batch_post(lines),
                lambda reply: door.answer(reply, lines),
                on_failure,
                longest_pause_s=longest_pause_s,
            )
        )
    except TooLargeError:
        if len(lines) == 1:
            raise
    first, second = Batch(lines).halves()
    answer = yield from deliver_batch(door, first.lines, on_failure, longest_pause_s=longest_pause_s)
    rest = yield from deliver_batch(door, second.lines, on_failure, longest_pause_s=longest_pause_s)
    return answer.followed_by(rest, len(first.lines))


def run(
    steps: Steps[Result], post: Callable[[Post], Reply | Unreachable], wait: Callable[[Wait], None]
) -> Result:
    """Do every effect in this thread; what `post` and `wait` raise ends it."""
    reply: Reply | Unreachable | None = None
    try:
        while True:
            effect = steps.send(reply)
            reply = None
            if isinstance(effect, Post):
                reply = post(effect)
            elif isinstance(effect, Wait):
                wait(effect)
            else:
                effect.function(effect.argument)
    except StopIteration as end:
        result: Result = end.value
        return result


async def run_async(
    steps: Steps[Result],
    post: Callable[[Post], Awaitable[Reply | Unreachable]],
    wait: Callable[[Wait], Awaitable[None]],
) -> Result:
    """Do every effect on the loop; the steps between them, which read the disk and pack, in a thread."""
    reply: Reply | Unreachable | None = None
    while True:
        effect = await in_thread(next_effect, steps, reply)
        reply = None
        if isinstance(effect, Post):
            reply = await post(effect)
        elif isinstance(effect, Wait):
            await wait(effect)
        elif isinstance(effect, Tell):
            effect.function(effect.argument)
        else:
            result: Result = effect[0]
            return result


def next_effect(steps: Steps[Result], reply: Reply | Unreachable | None) -> Effect | tuple[Result]:
    """The next effect, or the result alone in a tuple: StopIteration cannot leave a thread."""
    try:
        return steps.send(reply)
    except StopIteration as end:
        return (end.value,)


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """As `asyncio.to_thread`, but a cancellation waits until the thread is out of the function."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done():
            await asyncio.wait([work])
        raise


def reply_of(answer: httpx.Response) -> Reply:
    """An httpx response as the steps want it."""
    content_type = answer.headers.get("Content-Type", "application/json")
    return Reply(answer.status_code, content_type, answer.content, answer.headers.get("Retry-After"))

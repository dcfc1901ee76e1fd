"""The order drill: that every 202 leaves the door after the sync of its bytes, by the kernel's own account.

The door runs under strace (of every thread the calls that write and sync); each event id of each 202 is looked up
in the trace: the call that wrote it into the log, the fdatasync of that file behind it, and where the answer's
first byte was written. Bodies are plain JSON here, because the trace shows bytes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.servers import TENANT, running_door
from benchmarks.traffic import make_events, requests_of, send_all
from resources.errors import SettingsError

CONNECTIONS = 16  # so that several requests share a sync
SINGLE_EVENTS_SHARE = 4  # every fourth event is sent alone
EVENTS_PER_BATCH = 20
STRING_MAX_BYTES = 1_000_000  # of a call's bytes in the trace: a group of appends whole
CALLS = "write,writev,pwrite64,sendto,sendmsg,fdatasync"
_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<file>\d+)(?P<bytes>.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>")
_FAILED = re.compile(r"= -1 E")
_IDS = re.compile(r'eventId\\":\\"([0-9a-f-]{36})')


class Call(NamedTuple):
    """A system call: on which file, with what, and the lines of the trace where it began and had returned."""

    name: str
    file: int
    text: str
    began: int
    ended: int
    is_ok: bool


class Order(NamedTuple):
    """What a trace says."""

    answers: int
    events: int
    syncs: int
    before_sync: list[str]  # ids whose answer began before a sync had covered them


def run(workdir: Path, *, events: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Send so many events to a traced door and read the trace.

    Raises:
        SettingsError: strace is not installed.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise SettingsError("the order drill needs strace: install the package `strace` and run it again")
    trace = workdir / "door.trace"
    # -D leaves the door our child, so that it and not the tracer is asked to end
    under = [strace, "-D", "-f", "-qq", "-o", str(trace), "-s", str(STRING_MAX_BYTES), "-e", f"trace={CALLS}"]
    with running_door(workdir / "home", under=[*under, "-e", "signal=none"]) as door:
        say(f"sending {events} events to a door under strace")
        made = make_events(TENANT, events)
        alone = events // SINGLE_EVENTS_SHARE
        send_all(door.server.port, requests_of(made[:alone], 1, TENANT, door.token), CONNECTIONS)
        batches = requests_of(made[alone:], EVENTS_PER_BATCH, TENANT, door.token)
        send_all(door.server.port, batches, CONNECTIONS)
    with trace.open() as lines:
        order = order_of(calls(lines))
    return {
        "drill": "order",
        "answers": order.answers,
        "events": order.events,
        "fdatasyncs": order.syncs,
        "faults": {
            "answered_before_the_sync": len(order.before_sync),
            "events_without_a_202": events - order.events,
        },
        "details": order.before_sync[:10],
    }


def order_of(traced: Iterable[Call]) -> Order:
    """Compare, for each event id of each 202, the sync that covers it with the answer's first byte."""
    writes: dict[str, Call] = {}  # id → the call that wrote it first: the log's
    synced: dict[int, list[Call]] = {}  # file → its syncs
    heads: dict[int, Call] = {}  # connection → the head whose body is still to come
    answers = events = 0
    before_sync: list[str] = []
    for call in traced:
        if call.name == "fdatasync":
            synced.setdefault(call.file, []).append(call)
        elif call.text.startswith(', "HTTP/1.1 202 '):
            heads[call.file] = call
        ids = _IDS.findall(call.text)
        head = heads.pop(call.file, None) if ids else None
        if head is not None:
            answers, events = answers + 1, events + len(ids)
            before_sync += [one for one in ids if not _is_synced(writes.get(one), synced, head)]
        else:
            writes |= {one: call for one in ids if one not in writes}
    return Order(answers, events, sum(map(len, synced.values())), before_sync)


def _is_synced(write: Call | None, synced: dict[int, list[Call]], head: Call) -> bool:
    """Whether a successful sync of the write's file began behind the write and returned before the answer."""
    return write is not None and any(
        sync.is_ok and sync.began > write.ended and sync.ended < head.began
        for sync in synced.get(write.file, ())
    )


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace of several threads, in the order in which they began."""
    begun: dict[str, tuple[re.Match[str] | None, int]] = {}
    found: list[Call] = []
    for number, line in enumerate(lines):
        matched = _LINE.match(line)
        if matched is None:
            continue
        thread, rest = matched["thread"], matched["rest"]
        is_resumed = _RESUMED.match(rest) is not None
        call, began = begun.pop(thread, (None, number)) if is_resumed else (_CALL.match(rest), number)
        if call is None:
            continue
        if rest.rstrip().endswith("<unfinished ...>"):
            begun[thread] = call, number
            continue
        is_ok = _FAILED.search(rest[-200:]) is None
        found.append(Call(call["name"], int(call["file"]), call["bytes"], began, number, is_ok))
    yield from sorted(found, key=lambda call: call.began)

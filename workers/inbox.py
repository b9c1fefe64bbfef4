"""Watches folders for HOTFIX files and has each worked as soon as it is whole.

Run by `halon hotfix --watch`, and by the child that the urgent worker keeps for configured inboxes.
It needs no server: the file system says that something moved, and the folder itself is the truth,
so that a missed event costs a moment and a file that came while nobody watched is found.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import watchfiles

from agents.hotfix import tracker
from agents.hotfix.answers import Result
from agents.hotfix.protocol import Protocol
from incidents import errors

TICK_MILLISECONDS = 250
AT_ONCE = 4
# An editor makes the file before anybody has typed a word.
EMPTY_SECONDS = 10.0

Told = Callable[[Path, str], None]
Mark = tuple[int, int, int]


@dataclass
class Watch:
    """The folders that are watched; `begun` hears of a file's start, `ended` of its result."""

    folders: Sequence[Path]
    protocol: Protocol
    begun: Callable[[Path], None]
    ended: Callable[[Path, Result], None]
    stop: Event = field(default_factory=Event)
    _seen: dict[Path, Mark] = field(default_factory=dict)
    _running: dict[Path, Future[None]] = field(default_factory=dict)

    def run(self) -> None:
        """Watch until `stop` is set; what is being worked then is finished first."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self.stop.is_set():
                self._look(pool)
                places = self._places()
                for _ in self._moved(places):
                    self._look(pool)
                    if self._places() != places:
                        break

    def _moved(self, places: Sequence[Path]) -> Iterator[object]:
        """Yield when something moves in the folders, and at each tick in any case.

        Ends after a tick where a folder has just gone away, or the kernel has no watch to give (its
        limit is an error of the library's own): then the folders are looked at each tick.
        """
        if places:
            try:
                yield from watchfiles.watch(
                    *places,
                    recursive=False,
                    step=50,
                    debounce=100,
                    rust_timeout=TICK_MILLISECONDS,
                    yield_on_timeout=True,
                    stop_event=self.stop,
                    raise_interrupt=False,
                )
                return
            except (OSError, RuntimeError):
                pass
        self.stop.wait(TICK_MILLISECONDS / 1000)

    def _places(self) -> list[Path]:
        wanted = [place for one in self.folders for place in (one, one / tracker.FOLDER)]
        return [place for place in wanted if place.is_dir()]

    def _look(self, pool: ThreadPoolExecutor) -> None:
        """Start every tracker that is new, whole, and not answered yet."""
        for path, one in list(self._running.items()):
            if one.done():
                del self._running[path]
                self._tell_of(path, one)
        for folder in self.folders:
            for path in tracker.trackers(folder):
                mark = tracker.signature(path)
                if mark is None or path in self._running or self._seen.get(path) == mark:
                    continue
                if self._waits(path, mark):
                    continue
                self._seen[path] = mark
                self._running[path] = pool.submit(self._work, path)

    def _tell_of(self, path: Path, done: Future[None]) -> None:
        """Say so when an error of our own ended the work on a file; the others go on."""
        if (error := done.exception()) is not None:
            said = f"An error of Halon's own ({type(error).__name__}: {error}); report it."
            self.ended(path, Result(path, None, said, fit=False, answered=False))

    def _waits(self, path: Path, mark: Mark) -> bool:
        if mark[1] == 0 and time.time() - mark[2] / 1e9 < EMPTY_SECONDS:
            return True
        return not tracker.rested(path, 0)

    def _work(self, path: Path) -> None:
        try:
            if tracker.read(path).answered:
                return
            self.begun(path)
            result = self.protocol.work(path, wait=0)
        except errors.HalonError as error:
            result = Result(path, None, error.message, fit=False, answered=False)
        after = tracker.signature(result.path)
        if after is not None and result.answered:
            self._seen[result.path] = after  # our own answer is no news
        self.ended(path, result)

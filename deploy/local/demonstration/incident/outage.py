"""The fault that is no letter: MySQL is killed while claims are on their way to it."""

from demonstration.incident.eyes import Eyes, await_that
from demonstration.incident.planting import STACK
from demonstration.incident.sale import UNAVAILABLE, Sale, named
from demonstration.incident.shell import Shell, require, step, tell

ON_THEIR_WAY = 29
LATE_USER = "late-1"


class Outage:
    def __init__(self, shell: Shell, eyes: Eyes, sale: Sale):
        self._shell, self._eyes, self._sale = shell, eyes, sale

    def survive(self, since: str) -> None:
        step("3. A downstream outage: MySQL is killed while claims are on their way to the consumers")
        letters = self._eyes.open_letters(since)
        tell("The consumers are frozen for a moment, so that the outage catches them with work to do.")
        self._shell.run(f"{STACK} pause consumers")
        self._sale.claim(named("on-the-way", ON_THEIR_WAY))
        await_that("the lag to grow", lambda: self._eyes.lag() >= ON_THEIR_WAY)
        tell(f"They are published: the lag has grown from 0 to {self._eyes.lag()}.")
        self._shell.run(f"{STACK} kill mysql")
        self._shell.run(f"{STACK} resume consumers")
        await_that("the consumers to wait for MySQL", self._eyes.consumers_wait)
        tell("They have met it: the partitions wait, and nothing is given up.")
        self._shell.run(f"{STACK} logs consumers --lines 100 | grep 'waits for a dependency' | tail -n 2")
        self._shell.run("headgate lag")
        lag = self._eyes.lag()
        require(lag >= ON_THEIR_WAY, "what is on its way stays on its way", f"lag {lag}")
        self._claim_refused()
        self._shell.run(f"{STACK} start mysql")
        self._sale.claim([LATE_USER])
        await_that("the lag to fall to 0", self._eyes.is_quiet)
        tell("MySQL is back, and the lag has fallen to 0.")
        self._shell.run("headgate lag")
        after = self._eyes.open_letters(since)
        require(after == letters, f"{letters} dead letters before the outage and after it", after)
        tell(f"Nobody did anything but start MySQL. Dead letters before the outage: {letters}, after it: {after}.")

    def _claim_refused(self) -> None:
        """Whoever asks now is promised nothing."""
        answer = self._sale.ask(LATE_USER)
        require(answer.status == UNAVAILABLE, "who asks during the outage hears 503", answer)
        tell(f"A claim during the outage: {answer.status} {answer.code()}, "
             f"Retry-After: {answer.retry_after_seconds:g}")

"""The packet filters of one namespace over the time of the tests: read, read again, compared."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from bot.agent.firewalls import Present, RawRules, RulesReader, parse_rules
from bot.agent.netns import Home
from bot.agent.report import Firewall, Missing
from bot.agent.rules import RuleSet, firewall

QUICK_S = 1.0
"""Rules that took longer to print are not printed twice: their growth stays unknown."""


@dataclass(slots=True, kw_only=True)
class FirewallWatch:
    """Readings before and after the tests. Nothing is parsed before `result`."""

    home: Home
    netns_fd: int
    label: str
    present: Present
    threads: Executor
    before: RawRules | None = None
    after: RawRules | None = None
    rules: RuleSet = field(default_factory=RuleSet)
    missing: list[Missing] = field(default_factory=list[Missing])

    async def look(self) -> None:
        """The first reading. Costs nothing where there are no rules."""
        if not self.present.is_empty:
            self.before = await self._read()

    async def look_again(self) -> None:
        """The second one, when the first was quick."""
        if self.before and self.before.took_s < QUICK_S:
            self.after = await self._read()

    def result(self) -> Firewall | None:
        """The report's view; None when nothing could be read. `rules` and `missing` are filled by it."""
        if self.present.is_empty:
            return Firewall()
        if self.before is None:
            self.missing.append(Missing(what=f"{self.label}.firewall", why="not read before the deadline"))
            return None
        self.rules = parse_rules(self.before, self.label, self.present, with_steps=True)
        after = parse_rules(self.after, self.label, self.present, with_steps=False) if self.after else None
        self.missing += self.before.missing
        if not self.before.nft and not self.before.saves:
            return None
        return firewall(self.rules, after)

    async def _read(self) -> RawRules:
        return await RulesReader(self.home, self.netns_fd, self.present, self.label, self.threads).read()

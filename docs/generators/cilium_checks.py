"""docs/reference/cilium-checks.md: what is looked at before Cilium is installed beside another CNI."""

from bot.remediation.cilium.preflight import CHECKS

_HEAD = """# Checks before a migration to Cilium

What `cnibot plan preflight-cilium VALUES` checks, from the API and from each node's own network. *block*: it must not
be done so. *accept*: somebody must know it and say that it is all right. *warn*: to be known. What could not be read is
unknown, which is no better than blocked.

| check | is well when | else | what happens | what to do |
| --- | --- | --- | --- | --- |
"""


def pages() -> dict[str, str]:
    """The page."""
    rows = [
        f"| {one.id} | {one.what.removesuffix('.')} | {one.severity} | {one.why} | {one.instead} |\n" for one in CHECKS
    ]
    return {"docs/reference/cilium-checks.md": _HEAD + "".join(rows)}

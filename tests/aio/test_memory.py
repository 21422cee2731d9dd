"""Memory is given back, as far as the kernel says."""

from pathlib import Path

from bot.aio.memory import give_back


def own_memory_mb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))


def test_what_is_free_goes_back_to_the_kernel() -> None:
    kept: list[object] = []
    lost: list[object] = []
    for number in range(1_500_000):  # of what glibc hands out itself, with something that stays at the top of its heap
        (kept if number % 5_000 == 4_999 else lost).append(b"x" * 600)
        if number % 5_000 == 4_999 and own_memory_mb() > 400:
            break
    before = own_memory_mb()
    lost.clear()
    give_back()

    assert own_memory_mb() < before - 100
    assert kept

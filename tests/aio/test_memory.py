"""Memory is given back, as far as the kernel says."""

from pathlib import Path

from bot.aio.memory import give_back


def own_memory_mb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))


def test_what_is_free_goes_back_to_the_kernel() -> None:
    give_back()  # else what follows would fill the holes that other tests left
    began = own_memory_mb()
    lost: list[object] = []
    kept: list[object] = []
    for number in range(200_000):  # over 512 bytes: glibc's; something that stays lies between
        (lost if number % 100 else kept).append(number.to_bytes(600, "big"))
    full = own_memory_mb()
    lost.clear()
    give_back()

    assert full > began + 80
    assert own_memory_mb() < began + 60
    assert len(kept) == 2_000

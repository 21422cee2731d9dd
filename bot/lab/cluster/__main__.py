"""``python -m bot.lab``: the lab's commands alone, without the rest of cnibot."""

from bot.lab.cluster.commands import app

app()

"""Do applications answer, in their own protocols, what their clients ask?"""

from bot.probes.application_answers.facts import FACTS
from bot.probes.application_answers.findings import NAME, judge
from bot.probes.application_answers.observe import observe
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="Do applications answer, in their own protocols, what their clients ask?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)

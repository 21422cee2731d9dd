"""The facts that application-answers declares: of each Service that a playbook has a question for."""

from bot.probes.engine.fact_spec import fact

_LOOK = "curl -i http://<address>:<port>  # on <node>"

FACTS = (
    fact(
        "service.answers",
        "str",
        "How it answers the questions of playbooks: right, wrong, both; or there was no connection to ask over.",
        values=("right", "wrong", "mixed", "unreached"),
        look=_LOOK,
    ),
    fact(
        "service.right_answers",
        "list",
        "The questions that were answered as expected, and from how many pods.",
        look=_LOOK,
    ),
    fact(
        "service.wrong_answers", "list", "Each question that was answered otherwise than expected, and how.", look=_LOOK
    ),
)

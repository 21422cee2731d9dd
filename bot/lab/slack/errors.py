"""What can go wrong in the workspace, for apps and for the people who use it."""

from bot.lab.types import Json


class SlackError(Exception):
    """A refusal by the Web API: `{"ok": false, "error": code}` and whatever else the refusal says."""

    def __init__(self, code: str, *messages: str, **more: object) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.messages = messages
        self.more = more

    def as_json(self) -> Json:
        """The answer's body."""
        answer: Json = {"ok": False, "error": self.code, **self.more}
        if self.messages:
            answer["response_metadata"] = {"messages": list(self.messages)}
        return answer


class UserClientError(Exception):
    """A person tried what Slack's client would not let them do: a button that is not there, a channel not seen."""

"""What the outbox itself has to say."""

from bot.domain.outgoing import Attach, Content, Place, Post, Priority


def withheld(key: str, channel: str, count: int) -> Post:
    """The one note, in the thread of the message, that it has not shown everything."""
    updates, were = ("update", "was") if count == 1 else ("updates", "were")
    text = (
        f"{count} progress {updates} {were} left out: Slack limits how often messages may change, or did not answer. "
        "The message shows the newest state."
    )
    place = Place(channel=channel, thread_key=key)
    return Post(key=f"{key}:withheld", place=place, content=Content(text=text), priority=Priority.PROGRESS)


def goes_on_here() -> Content:
    """The first message of a thread that goes on in another place."""
    return Content(text="The first message of a thread was deleted. The thread goes on here.")


def invite_me(channel: str) -> Content:
    """Why the answer to a command does not come. The channel's id is from Slack's own payload."""
    return Content(
        text=f"I cannot post in <#{channel}>, because I am not in it. Invite me there with `/invite`, then try again."
    )


def instead_of_file(item: Attach, reason: str) -> Content:
    """What stands where the file would. Titles and comments come escaped, as all contents do."""
    lines = [f"The file “{item.title}” could not be attached ({reason}).", item.comment]
    return Content(text="\n".join(line for line in lines if line))

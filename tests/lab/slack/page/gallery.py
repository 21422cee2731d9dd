"""A workspace without a bot, in which every kind of message has been posted; a program for the tests of the page.

python -m tests.lab.slack.page.gallery     prints the page's address, ends when its standard input does
"""

import asyncio
import sys
import time
from typing import Any

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Ephemeral, File, Message
from bot.lab.slack.model import View
from bot.lab.slack.page.page_context import PageContext
from bot.lab.slack.page.server import page
from bot.lab.slack.page.typing import Hint
from bot.slack import views
from tests.slack.views.goldens import report

Json = dict[str, Any]
HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>`${window.pwned = 3}`</script>"
"""What nobody may manage to run, whichever field it stands in."""
SLACK_HOSTILE = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
HINT = Hint(
    command="/cni",
    usage="diagnose NAMESPACE | status | incidents | help",
    description="Says why pods cannot talk",
)


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(text: str, action_id: str, **more: Any) -> Json:
    return {"type": "button", "text": plain(text), "action_id": action_id, "value": action_id, **more}


def verdict() -> list[Json]:
    """Much of Block Kit, as a bot would use it."""
    return [
        {"type": "header", "text": plain(":red_circle: Proxy ARP is off on the pod's host interface")},
        {
            "type": "section",
            "text": mrkdwn(
                "*8 pods on `node-2`* cannot reach their gateway `169.254.1.1`. _Confirmed_, ~not guessed~.\n"
                "&gt; dial tcp 10.43.51.131:9004: i/o timeout"
            ),
            "accessory": button("Details", "details"),
        },
        {
            "type": "section",
            "fields": [
                mrkdwn("*Namespace*\nseldon-mesh"),
                mrkdwn("*Cluster*\nlab"),
                mrkdwn("*Opened by*\n<@U0ALICE>"),
                mrkdwn(f"*Since*\n<!date^{int(time.time())}^{{date_short_pretty}} {{time}}|today>"),
            ],
        },
        {"type": "divider"},
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [
                        {
                            "type": "rich_text_section",
                            "elements": [
                                {"type": "text", "text": "calico-8689", "style": {"bold": True}},
                                {"type": "text", "text": " is ruled out "},
                                {"type": "emoji", "name": "white_check_mark"},
                            ],
                        }
                    ],
                },
                {
                    "type": "rich_text_preformatted",
                    "elements": [{"type": "text", "text": "sysctl -w net.ipv4.conf.cali1.proxy_arp=1"}],
                },
            ],
        },
        {
            "type": "table",
            "rows": [
                [{"type": "raw_text", "text": "node"}, {"type": "raw_text", "text": "pods"}],
                [{"type": "raw_text", "text": "node-2"}, {"type": "raw_text", "text": "8"}],
            ],
        },
        {"type": "markdown", "text": "**Next**: see [the page](https://example.org) and `ip neigh`."},
        {
            "type": "context",
            "elements": [mrkdwn("3 of 3 nodes inspected · 3.6 s · <https://example.org/8689|calico#8689>")],
        },
        {
            "type": "actions",
            "elements": [
                button("Re-run", "rerun", style="primary"),
                button(
                    "Not it",
                    "not_it",
                    style="danger",
                    confirm={
                        "title": plain("Sure?"),
                        "text": mrkdwn("It will be *recorded*."),
                        "confirm": plain("Yes, record it"),
                        "deny": plain("No"),
                    },
                ),
                {
                    "type": "static_select",
                    "action_id": "share",
                    "placeholder": plain("Share with"),
                    "options": [{"text": plain("SRE"), "value": "sre"}, {"text": plain("Network"), "value": "net"}],
                },
                {
                    "type": "overflow",
                    "action_id": "more",
                    "options": [
                        {"text": plain("Evidence"), "value": "evidence"},
                        {"text": plain("Path"), "value": "path"},
                    ],
                },
            ],
        },
    ]


def hostile_blocks() -> list[Json]:
    return [
        {"type": "header", "text": plain(HOSTILE[:150])},
        {
            "type": "section",
            "text": mrkdwn(SLACK_HOSTILE + " <javascript:alert(1)|a link>"),
            "fields": [plain(HOSTILE)],
        },
        {"type": "context", "elements": [mrkdwn(HOSTILE)]},
        {"type": "markdown", "text": HOSTILE + " [x](javascript:alert(1))"},
        {"type": "image", "image_url": "javascript:alert(1)", "alt_text": HOSTILE},
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": HOSTILE}]}],
        },
        {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
        {"type": "actions", "elements": [button(HOSTILE[:75], "hostile")]},
    ]


def modal() -> Json:
    return {
        "type": "modal",
        "callback_id": "why",
        "title": plain("Not it"),
        "submit": plain("Send"),
        "close": plain("Cancel"),
        "blocks": [
            {"type": "section", "text": mrkdwn("What was it *really*?")},
            {
                "type": "input",
                "block_id": "reason",
                "label": plain("Reason"),
                "hint": plain("One sentence."),
                "element": {"type": "plain_text_input", "action_id": "reason", "multiline": True},
            },
            {
                "type": "input",
                "block_id": "layer",
                "optional": True,
                "label": plain("Layer"),
                "element": {
                    "type": "static_select",
                    "action_id": "layer",
                    "options": [{"text": plain("Host"), "value": "host"}, {"text": plain("Pod"), "value": "pod"}],
                },
            },
        ],
    }


def bot(channel: str, **what: Any) -> Message:
    """A message of the bot."""
    return Message(channel=channel, ts="", user="U0CNIBOT", bot_id="B0CNIBOT", app_id="A0CNIBOT", **what)


async def plant(workspace: SlackWorkspace) -> None:
    """Post everything."""
    state, incidents = workspace.state, workspace.state.channels["C0INCIDENTS"]
    alice = workspace.user("alice")
    await alice.say("incidents", "Models time out in `seldon-mesh` since 2 a.m. Anyone?")
    root = state.post(incidents, bot("C0INCIDENTS", text="Proxy ARP is off", blocks=verdict()))
    state.post(incidents, bot("C0INCIDENTS", text="Looking at 3 nodes :mag:", thread_ts=root.ts))
    reply = state.post(incidents, bot("C0INCIDENTS", text="Evidence", thread_ts=root.ts))
    for name, content in (("matrix.png", PIXEL), ("evidence.md", HOSTILE.encode())):
        file = File(
            id=f"F0{name[:3].upper()}",
            name=name,
            length=len(content),
            content=content,
            alt_txt="The matrix",
            title=name,
        )
        state.files[file.id] = file
        reply.files.append(file)
    state.edit(incidents, reply, "U0CNIBOT", {"text": "The evidence"})
    state.react(incidents, root, "eyes", "U0BOB", add=True)
    alerts = state.channels["C0ALERTS"]
    real = views.verdict(report("one-cause"), incident_id="inc-0123abcd", run=2, healthy_at=1_796_000_000.0)
    first = state.post(alerts, bot("C0ALERTS", text="node-2: proxy ARP is off, 8 pods have no gateway"))
    state.post(alerts, bot("C0ALERTS", text=real.text, blocks=[dict(one) for one in real.blocks], thread_ts=first.ts))
    state.post(incidents, bot("C0INCIDENTS", text="hostile", blocks=hostile_blocks()))
    state.post(incidents, bot("C0INCIDENTS", text=HOSTILE))
    state.ephemeral(
        Ephemeral(
            channel="C0INCIDENTS", ts="", user="U0ALICE", text="There is no namespace `seldom`.", app_id="A0CNIBOT"
        )
    )
    await alice.say("general", f"It is here: <{workspace.permalink('incidents', root.ts)}|the verdict>")
    for number in range(60):
        state.post(state.channels["C0SHARED"], bot("C0SHARED", text=f"Note {number}"))
    state.homes["A0CNIBOT", "U0ALICE"] = View(
        id="V0HOME", hash="1", app_id="A0CNIBOT", user="U0ALICE", payload={"type": "home", "blocks": verdict()[:3]}
    )
    state.views["V0MODAL"] = view = View(id="V0MODAL", hash="1", app_id="A0CNIBOT", user="U0CAROL", payload=modal())
    state.stacks["U0CAROL"] = [view]


async def main() -> None:
    async with SlackWorkspace.start() as workspace:
        await plant(workspace)
        stage = PageContext(
            workspace=workspace,
            hints=(HINT,),
            shortcuts=(("cni_diagnose_message", "Diagnose this alert"),),
        )
        async with page(stage) as address:
            print(address, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
